#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes the restart that a package asks for an upgrade, if the service runs under moult: clients notice
# nothing.  Debian's maintainer scripts ask this program before they start, stop or restart a service
# (invoke-rc.d(8), deb-systemd-invoke(1p); alternative "policy-rc.d").
#
#   policy-rc.d [--quiet] SERVICE ACTION [RUNLEVEL]
#
# Exit status 0: the maintainer script does what it wants.  101: it does not, because the upgrade has
# taken its place.  An upgrade that fails leaves the old version serving, and says so.
set -u

while [ "${1:-}" = --quiet ]; do shift; done
[ $# -ge 2 ] && [ "$1" != --list ] || exit 0
service=$1
actions=$2
unit=$service
case $unit in *.*) ;; *) unit=$unit.service ;; esac
marks=/run/moult/stops # a file for each unit whose stop has been left out

[ -d /run/systemd/system ] || exit 0
case $unit in *.service) ;; *) exit 0 ;; esac

# A running service whose reload is an upgrade.
under_moult() {
	state=$(systemctl show -p ActiveState -p ExecStart -p ExecReload -- "$unit" 2>/dev/null) ||
		return 1
	for part in ActiveState=active "/moult run " "/moult upgrade "; do
		case $state in *"$part"*) ;; *) return 1 ;; esac
	done
}

# The command lines of the processes that have led to this one, the nearest first.
callers() {
	pid=$PPID
	while [ "${pid:-0}" -gt 1 ]; do
		tr '\0\n' '  ' <"/proc/$pid/cmdline" 2>/dev/null || return 0
		echo
		pid=$(sed -n 's/^PPid:[^0-9]*//p' "/proc/$pid/status" 2>/dev/null)
	done
}

# Does the "prerm upgrade" of a package ask?
is_before_an_upgrade() {
	callers | grep -q '[./]prerm upgrade '
}

# The other units of the same call of deb-systemd-invoke, which skips all when one of them is refused.
others() {
	for word in $(callers | sed -n 's/.*deb-systemd-invoke //p' | head -n 1); do
		case $word in
		-* | "$unit") ;;
		*.*) echo "$word" ;;
		esac
	done
}

upgrade() { # ACTION: what the package has asked for
	rm -f "$marks/$unit"
	if systemctl reload -- "$unit" >&2; then
		echo "moult: $unit is upgraded, not restarted" >&2
	else
		echo "moult: the upgrade of $unit has failed: the old version serves on" \
			"(journalctl -u $unit)" >&2
	fi
	# Those that have been asked for already are asked for again, and have no other answer.
	# shellcheck disable=SC2046 # names of units have no blanks
	set -- "$1" $(others)
	if [ $# -gt 1 ] && [ -z "${MOULT_POLICY:-}" ]; then
		MOULT_POLICY=1 deb-systemd-invoke "$@" >&2 || :
	fi
	exit 101
}

for action in $actions; do
	case $action in
	restart | try-restart | condrestart | force-restart)
		if under_moult; then upgrade "$action"; fi
		;;
	stop)
		# Before the files are replaced: the start that follows becomes the upgrade.
		if is_before_an_upgrade && under_moult &&
			(umask 077; mkdir -p "$marks") && : >"$marks/$unit"; then
			echo "moult: $unit is not stopped; it is upgraded later" >&2
			exit 101
		fi
		;;
	start)
		if [ -e "$marks/$unit" ] && under_moult; then upgrade start; fi
		;;
	esac
done
exit 0
