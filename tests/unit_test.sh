#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The daemon as systemd runs it.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

UNIT=vaultringd.service

main_pid()
{
	systemctl show -P MainPID $UNIT
}

exposure()
{
	local level

	systemd-analyze security --no-pager $UNIT > "$WORK/security"
	level=$(sed -n 's/.*Overall exposure level.*: \([0-9.]*\) .*/\1/p' \
		"$WORK/security")
	grep '^✗' "$WORK/security"
	echo "level $level"
	[ -n "$level" ] && awk "BEGIN { exit !($level <= 2.0) }"
}

status_field()
{
	awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status"
}

# CAP_NET_ADMIN is bit 12.
only_net_admin()
{
	local pid set

	pid=$(main_pid)
	for set in CapPrm CapEff CapBnd; do
		echo "$set $(status_field "$pid" $set)"
		[ "$(status_field "$pid" $set)" = 0000000000001000 ] || return
	done
}

worker_has_none()
{
	local pid found=1

	for pid in $(pgrep -f '^/usr/libexec/vaultring/vault-'); do
		found=0
		cat "/proc/$pid/status"
		[ "$(status_field "$pid" CapEff)" = 0000000000000000 ] &&
			[ "$(status_field "$pid" CapPrm)" = 0000000000000000 ] &&
			[ "$(status_field "$pid" NoNewPrivs)" = 1 ] &&
			[ "$(status_field "$pid" Seccomp)" = 2 ] || return
	done
	return $found
}

unprivileged()
{
	local pid

	pid=$(main_pid)
	[ "$(ps -o user= -p "$pid")" = vaultring ] &&
		[ "$(status_field "$pid" NoNewPrivs)" = 1 ] &&
		[ "$(status_field "$pid" Seccomp)" = 2 ]
}

# A process that is not dumpable has a /proc folder that belongs to root.
not_dumpable()
{
	local pid

	for pid in $(main_pid) $(pgrep -f '^/usr/libexec/vaultring/vault-'); do
		stat -c '%U %n' "/proc/$pid/environ"
		[ "$(stat -c %U "/proc/$pid/environ")" = root ] || return
		grep 'Max core file size' "/proc/$pid/limits" |
			grep -Eq 'size +0 +0 ' || return
	done
}

not_traceable_by_its_user()
{
	! setpriv --reuid vaultring --regid vaultring --clear-groups \
		timeout 5 strace -p "$(main_pid)" > "$WORK/strace" 2>&1 &&
		cat "$WORK/strace" && grep -q 'not permitted' "$WORK/strace"
}

ready_after_module()
{
	local modules daemon

	modules=$(systemctl show -P ActiveEnterTimestampMonotonic \
		systemd-modules-load.service)
	daemon=$(journalctl -q -b -o json -u $UNIT -n +1 |
		sed -n 's/.*"__MONOTONIC_TIMESTAMP":"\([0-9]*\)".*/\1/p' |
		head -n 1)
	systemctl show -P After $UNIT | grep -q systemd-modules-load.service &&
		[ "$modules" -gt 0 ] && [ "$modules" -le "$daemon" ]
}

notifies()
{
	[ "$(systemctl show -P Type $UNIT)" = notify ] ||
		[ "$(systemctl show -P Type $UNIT)" = notify-reload ]
}

idle()
{
	local pid before after

	pid=$(main_pid)
	before=$(awk '{ print $14 + $15 }' "/proc/$pid/stat")
	sleep 5
	after=$(awk '{ print $14 + $15 }' "/proc/$pid/stat")
	[ $((after - before)) -le 2 ]
}

modes()
{
	stat -c '%a %U %n' /etc/vaultring/pins /var/lib/vaultring \
		/var/lib/vaultring/keks /run/vaultring/vaultringd.sock
	[ "$(stat -c '%a %U' /etc/vaultring/pins)" = "644 root" ] &&
		[ "$(stat -c %U /var/lib/vaultring/keks)" = vaultring ] &&
		! setpriv --reuid nobody --regid nogroup --clear-groups \
			ls /var/lib/vaultring/keks
}

envelope_mode()
{
	new_kek unit &&
		[ "$(stat -c '%a %U' "$(envelope_of unit)")" = "600 vaultring" ]
}

refuses_others()
{
	setpriv --reuid nobody --regid nogroup --clear-groups \
		vaultring vault check hsm
}

must systemctl restart $UNIT
must vaultring vault check hsm
ok "the unit is active" systemctl is-active $UNIT
ok "it was enabled" systemctl is-enabled $UNIT
ok "it says when it is ready" notifies
ok "it starts after the module is loaded" ready_after_module
ok "systemd-analyze rates it 2.0 or better" exposure
ok "it is not root, and cannot become it" unprivileged
ok "its only capability is CAP_NET_ADMIN" only_net_admin
ok "a worker has no capability and a system call filter" worker_has_none
ok "neither can be dumped" not_dumpable
ok "its own user cannot trace it" not_traceable_by_its_user
ok "idle, it uses no time" idle
ok "files have their owners and modes" modes
ok "an envelope is its user's alone" envelope_mode
refused "another user's call is refused" "root" refuses_others
finish
