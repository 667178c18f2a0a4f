#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The guard: a volume whose KEK has a lease that kills is frozen before the end
# and goes on when the KEK is unsealed again.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"
. "$HERE/suspend_lib.sh"

LEASE=24

journal_of_guard()
{
	journalctl -q -b -o cat -u $GUARD
}

idle_guard()
{
	systemctl start $GUARD && ! systemctl -q is-active $GUARD &&
		! systemctl -q is-failed $GUARD &&
		journal_of_guard | grep "not freeze"
}

# Systemd's rating; device-mapper needs CAP_SYS_ADMIN and disks to be there.
guard_exposure()
{
	local level

	systemd-analyze security --no-pager $GUARD > "$WORK/security"
	level=$(sed -n 's/.*Overall exposure level.*: \([0-9.]*\) .*/\1/p' \
		"$WORK/security")
	grep '^✗' "$WORK/security"
	echo "level $level"
	[ -n "$level" ] && awk "BEGIN { exit !($level <= 4.0) }"
}

leased_volume()
{
	set_policy freeze
	systemctl start $GUARD && KEKS+=(leased) &&
		vaultring kek create leased --vault known --lease $LEASE \
			--on-lease-end kill &&
		make_volume leased vaultring kek unseal leased &&
		start_writers leased
}

wait_until()
{
	local tries

	for tries in $(seq 150); do
		! "$@" || return 0
		sleep 0.2
	done
	echo "not after $tries looks: $*"
	return 1
}

leased_is_active()
{
	vaultring kek list | grep -w leased | grep -w active
}

lease_is_over()
{
	! leased_is_active
}

frozen_by_guard()
{
	wait_until is_frozen leased && leased_is_active
	local status=$?

	journal_of_guard
	return $status
}

waits_when_over()
{
	wait_until lease_is_over && is_frozen leased && waits leased
}

resumed_by_guard()
{
	systemctl restart $GUARD && is_frozen leased &&
		vaultring kek unseal leased && goes_on leased
	local status=$?

	journal_of_guard
	return $status
}

# The lease that is left was renewed in time, so nothing is frozen.
renewed_in_time()
{
	for _ in 1 2 3; do
		sleep $((LEASE / 4 + 1))
		vaultring kek unseal leased || return
	done
	! is_frozen leased && goes_on leased &&
		[ "$(journal_of_guard | grep -c "leased: frozen;")" -eq 1 ]
}

leased_is_sound()
{
	stop_writers && sound leased
}

must known_vault
must set_policy error
ok "the guard ends at once where volumes are to fail, and says so" idle_guard
ok "systemd-analyze rates the guard 4.0 or better" guard_exposure
ok "a volume under a KEK with a lease that kills is written to" leased_volume
ok "the guard freezes it before the lease ends" frozen_by_guard
ok "the lease ends, and its writer waits" waits_when_over
ok "a new guard resumes it when the KEK is unsealed" resumed_by_guard
ok "a lease that is renewed in time freezes nothing" renewed_in_time
ok "each synced record is there, and the file system is sound" leased_is_sound
finish
