#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A revoke with a volume mounted: I/O fails at once, nothing is lost.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

KEK=revoke
DISK=/dev/vdb

tidy()
{
	umount /mnt
	vaultring luks close revoked
	wipefs -aq $DISK
}

open_and_mount()
{
	vaultring luks open $DISK revoked && mount /dev/mapper/revoked /mnt
}

prepare()
{
	vaultring luks format $DISK --kek $KEK --yes &&
		vaultring luks open $DISK revoked &&
		mkfs.ext4 -q /dev/mapper/revoked &&
		mount /dev/mapper/revoked /mnt &&
		head -c 4M /dev/urandom > /mnt/data && sync &&
		sha256sum < /mnt/data > "$WORK/sum"
}

direct_read()
{
	timeout 10 dd if=/dev/mapper/revoked of=/dev/null bs=4k count=16 \
		skip=1000 iflag=direct
}

direct_write()
{
	timeout 10 dd if=/dev/zero of=/dev/mapper/revoked bs=4k count=1 \
		seek=2000 oflag=direct
}

synced_write()
{
	timeout 20 dd if=/dev/zero of=/mnt/late bs=4k count=16 conv=fsync
}

revoke_quickly()
{
	local start

	start=$(date +%s%N)
	vaultring kek revoke $KEK || return
	[ $(($(date +%s%N) - start)) -lt 5000000000 ]
}

close_it()
{
	umount /mnt && vaultring luks close revoked
}

still_dead()
{
	vaultring kek unseal $KEK && ! direct_read
}

intact()
{
	[ "$(sha256sum < /mnt/data)" = "$(cat "$WORK/sum")" ]
}

checked()
{
	vaultring luks open $DISK revoked || return
	# The journal was cut off in the middle, as by a power failure.
	e2fsck -p /dev/mapper/revoked
	[ $? -le 1 ] && e2fsck -fn /dev/mapper/revoked &&
		mount /dev/mapper/revoked /mnt
}

dead_daemon_revoke()
{
	local status

	systemctl stop vaultringd
	vaultring kek revoke $KEK && ! direct_read
	status=$?
	systemctl start vaultringd
	return $status
}

must new_kek $KEK
ok "a volume is mounted and written" prepare
ok "its blocks can be read past the cache" direct_read
ok "the revoke returns within seconds" revoke_quickly
refused "a read past the cache fails at once" "error" direct_read
refused "a write past the cache fails at once" "error" direct_write
refused "a synced write to the file system fails" "error|read-only" \
	synced_write
refused "a second revoke says that the KEK is not there" "$KEK" \
	vaultring kek revoke $KEK
ok "unsealing the KEK does not revive the volume" still_dead
ok "the dead volume can be unmounted and closed" close_it
ok "it opens again, and the file system is sound" checked
ok "the data are intact" intact
ok "a revoke works without the daemon" dead_daemon_revoke
ok "and the volume can be closed then too" close_it
ok "and opened again" open_and_mount
ok "with its data" intact
finish
