#!/bin/sh
# SPDX-License-Identifier: MIT
### BEGIN INIT INFO
# Provides:          web
# Required-Start:    $remote_fs $network $syslog
# Required-Stop:     $remote_fs $network $syslog
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: web server under moult
# Description:       "reload" upgrades the web server without refusing a client.
### END INIT INFO
#
# An LSB init script for a daemon under moult.  It needs the packages coreutils and procps.
#
#   start         returns when the daemon serves; a failure is shown, with the daemon's last words
#   reload        the upgrade: new binary, new configuration, new DAEMON_ARGS; 1: it has failed, and
#                 the old version serves
#   stop          connections may finish for STOP_SECONDS
#   restart       cuts connections, as without moult; moult itself is started anew
#   status        0: runs, 1: was killed, 3: does not run, 4: unknown

# /etc/default/web may change these.
NAME=web
DAEMON=/usr/sbin/nginx
DAEMON_ARGS="-g 'daemon off;'" # the daemon has to stay in the foreground
MOULT=/usr/local/bin/moult
MOULT_OPTIONS= # options that run and upgrade have, for example --drain-timeout=1h
STOP_SECONDS=20
PIDFILE=/run/moult-$NAME.pid
LOG=/var/log/$NAME.log

# shellcheck disable=SC1090
[ ! -r "/etc/default/$NAME" ] || . "/etc/default/$NAME"

# moult with the daemon's command line.  eval: the variables may hold quoted words.
with_daemon() { # run|upgrade WORD...
	eval "set -- \"\$@\" $MOULT_OPTIONS -- \"\$DAEMON\" $DAEMON_ARGS"
	"$MOULT" "$@"
}

is_running() {
	"$MOULT" status "$NAME" >/dev/null 2>&1
}

# The log is a file, so that moult can show the last words of a version that fails.
start() {
	! is_running || return 0
	said=$(wc -c 2>/dev/null <"$LOG" || echo 0)
	with_daemon run --background --name="$NAME" --pid-file="$PIDFILE" >>"$LOG" 2>&1 && return
	tail -c +$((said + 1)) "$LOG" >&2
	return 1
}

keepers() { # the parents of what a killed launcher has left
	for keeper in $(pgrep -x moult-keeper); do
		! tr '\0' '\n' 2>/dev/null <"/proc/$keeper/cmdline" | grep -qx -e "--name=$NAME" ||
			echo "$keeper"
	done
}

end_left() {
	[ -e "$PIDFILE" ] || return 0
	for signal in TERM KILL; do
		for keeper in $(keepers); do
			pkill -$signal -P "$keeper"
		done
		for _ in $(seq 100); do
			[ -n "$(keepers)" ] || { rm -f "$PIDFILE" && return; }
			sleep 0.1
		done
	done
	return 1
}

stop_now() {
	is_running || { end_left && return; }
	"$MOULT" stop "$NAME" --now
}

stop() {
	is_running && timeout "$STOP_SECONDS" "$MOULT" stop "$NAME" && return
	stop_now
}

status() {
	"$MOULT" status "$NAME"
	case $? in
	0) return 0 ;;
	3) [ ! -e "$PIDFILE" ] && return 3 || return 1 ;;
	*) return 4 ;;
	esac
}

usage() {
	echo "usage: $0 {start|stop|restart|try-restart|reload|force-reload|status}" >&2
	exit 2
}

case $1 in
start | stop | restart | try-restart | reload | force-reload)
	[ "$(id -u)" -eq 0 ] || exit 4
	[ -x "$MOULT" ] && [ -x "$DAEMON" ] || [ "$1" = stop ] || exit 5
	;;
esac
case $1 in
start) start ;;
stop) stop ;;
restart) stop_now && start ;;
try-restart) ! is_running || { stop_now && start; } ;;
reload | force-reload)
	is_running || exit 7
	with_daemon upgrade "$NAME"
	;;
status) status ;;
*) usage ;;
esac
