#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Requests to dm-crypt on a RAM disk: xts(paes) and xts(aes), in turn, on the very
# same disk, so that nothing but the cipher differs.

# shellcheck disable=SC2086,SC2317,SC2329 # words; called by the trap
. "$(dirname "$0")/lib.sh"

DISK=${DISKS[0]}
ROUNDS=$(either 11 41)
SLICE=$(either 120 250)		# milliseconds

tidy()
{
	dmsetup remove --retry bench-paes
	dmsetup remove --retry bench-aes
	dmsetup remove --retry bench-again
}

# mapping NAME CIPHER KEY SECTOR-SIZE
mapping()
{
	dmsetup create "$1" --table "0 $(blockdev --getsz $DISK) crypt capi:xts($2)-plain64 $3 0 $DISK 0 1 sector_size:$4"
}

open_both()
{
	mapping bench-paes paes "$(hex_of "$WORK/blob")" "$1" &&
		mapping bench-aes aes "$AES" "$1" &&
		mapping bench-again aes "$AES" "$1" &&
		udevadm settle
}

close_both()
{
	udevadm settle
	tidy
}

# A mapping that did not encrypt would be fast.
encrypts()
{
	local device

	for device in paes aes; do
		yes "plain text of bench-$device" | head -c 65536 > "$WORK/plain"
		dd if="$WORK/plain" of=/dev/mapper/bench-$device bs=64k \
			oflag=direct && dd if=/dev/mapper/bench-$device bs=64k count=1 \
			iflag=direct of="$WORK/back" && cmp "$WORK/plain" "$WORK/back" &&
			dd if=$DISK bs=64k count=1 iflag=direct of="$WORK/raw" &&
			! grep -aq "plain text" "$WORK/raw" || return
	done
}

# All of the disk's memory is there before anything is measured.
fill()
{
	dd if=/dev/zero of=$DISK bs=1M oflag=direct \
		count=$(($(blockdev --getsize64 $DISK) >> 20))
}

# compare METRIC PATTERN DEPTH [SIDE=DEVICE SIDE=DEVICE]
compare()
{
	local metric=$1 pattern=$2 depth=$3

	shift 3
	[ $# -gt 0 ] || set -- paes=/dev/mapper/bench-paes aes=/dev/mapper/bench-aes
	"$HERE/bench_io" "$metric" "$pattern" "$depth" "$ROUNDS" "$SLICE" "$@" ||
		exit 1
}

AES=$(head -c 64 /dev/urandom | hex_of)
need new_kek bench-io
need vaultring dek new --kek bench-io --use xts -o "$WORK/blob"
need open_both 4096
need encrypts
need fill
for depth in 1 32; do
	for pattern in randread randwrite read write; do
		compare "io.$pattern.$depth" $pattern $depth
	done
done
# How much of a difference is none: the same cipher on both sides.
compare io.control randread 32 one=/dev/mapper/bench-aes \
	other=/dev/mapper/bench-again
close_both
need open_both 512
compare io.512 randread 32
