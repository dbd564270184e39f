# SPDX-License-Identifier: MIT
# Puts the daemon of a stock Debian init script (here that of nginx) under moult.
#
# Start: moult starts the daemon.  --exec stays: the script's pid file is the daemon's.
/start-stop-daemon --start/{
/--test/!s|--exec \$DAEMON --|--exec $DAEMON --startas /usr/local/bin/moult -- run --background --name=$NAME -- $DAEMON|
}
# Stop: without this line an older version that still drains would serve again.
s|start-stop-daemon --stop .*--retry.*|/usr/local/bin/moult stop $NAME --now \|\| [ $? -eq 3 ]|
# Reload becomes the upgrade, and says whether it has failed.
s|start-stop-daemon --stop --signal HUP .*|/usr/local/bin/moult upgrade $NAME \|\| return 1|
