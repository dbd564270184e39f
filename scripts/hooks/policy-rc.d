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
	state=$(systemctl show -p ActiveState -p ExecReload -- "$unit" 2>/dev/null) || return 1
	case $state in *ActiveState=active*) ;; *) return 1 ;; esac
	case $state in */moult\ upgrade\ *) return 0 ;; *) return 1 ;; esac
}

# "prerm upgrade", "postinst configure": the words of the maintainer script that asks; nothing if none.
maintainer_script() {
	pid=$PPID
	while [ "$pid" -gt 1 ]; do
		for word in $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null); do
			case $word in
			*.prerm | *.postinst | *.preinst | *.postrm) script=${word##*.} ;;
			upgrade | configure | remove | failed-upgrade)
				[ -z "${script:-}" ] || { echo "$script $word" && return; }
				;;
			esac
		done
		pid=$(sed -n 's/^PPid:[^0-9]*//p' "/proc/$pid/status" 2>/dev/null)
		[ -n "$pid" ] || return
	done
}

# The other units of the same call of deb-systemd-invoke, which skips all when one of them is refused.
others() {
	found=
	for word in $(tr '\0' ' ' <"/proc/$PPID/cmdline" 2>/dev/null); do
		case $word in
		*deb-systemd-invoke) found=yes ;;
		-* | "$unit" | "$service" | "$1") ;;
		*.*) [ -z "$found" ] || echo "$word" ;;
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
	set -- "$1" $(others "$1")
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
		if [ "$(maintainer_script)" = "prerm upgrade" ] && under_moult &&
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
