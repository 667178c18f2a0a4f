#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What lies on the disk is AES under the data key that the written formats give:
# the oracle, which knows the vault's private key, decrypts raw sectors.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

KEK=sector
DISK=/dev/vdb
TEXT="found by the oracle in a raw sector"

tidy()
{
	umount /mnt
	cryptsetup close sector
	dmsetup remove raw
	wipefs -aq $DISK
}

id_fits()
{
	local id

	id=$(oracle verify "$(envelope_of $KEK)" $KNOWN | sed -n 's/^id=//p')
	[ -n "$id" ] && vaultring kek show $KEK --json | grep -q "\"$id\""
}

# blob_for USE: $WORK/USE.blob, a data key of the KEK.
blob_for()
{
	vaultring dek new --kek $KEK --use "$1" -o "$WORK/$1.blob"
}

sector_of()
{
	oracle sector "$(envelope_of $KEK)" $KNOWN "$@"
}

luks_volume()
{
	blob_for xts && cryptsetup -q luksFormat --type luks2 \
		--cipher paes-xts-plain64 --key-size 1088 "$@" \
		--volume-key-file "$WORK/xts.blob" --key-file /etc/hostname \
		--pbkdf pbkdf2 --pbkdf-force-iterations 1000 $DISK &&
		cryptsetup open --volume-key-file "$WORK/xts.blob" $DISK sector &&
		mkfs.ext4 -q -b 4096 /dev/mapper/sector &&
		mount /dev/mapper/sector /mnt &&
		echo "$TEXT" > /mnt/f && sync &&
		BLOCK=$(filefrag -b4096 -v /mnt/f | awk '/^ *0:/ {
			sub(/\.\..*/, "", $4); print $4 }') &&
		umount /mnt && cryptsetup close sector
}

# file_found SIZE: of the volume's sectors.
file_found()
{
	local start

	[ -n "$BLOCK" ] || return

	start=$(cryptsetup luksDump $DISK |
		sed -n 's/.*offset: \([0-9]*\) \[bytes\]/\1/p' | head -n 1)
	! grep -aq "$TEXT" $DISK &&
		sector_of "$WORK/xts.blob" $DISK "$start" $((BLOCK * 4096 / $1)) \
			"$1" | grep -aq "$TEXT"
}

luks_with_large_sectors()
{
	rm -f "$WORK/xts.blob"
	luks_volume --sector-size 4096
}

# A dm-crypt table without LUKS, for the modes that it does not offer.
raw_found()
{
	local use=$1 key

	rm -f "$WORK/$use.blob"
	blob_for "$use" || return
	key=$(od -An -v -tx1 "$WORK/$use.blob" | tr -d ' \n')
	dmsetup create raw --table \
		"0 2048 crypt capi:$use(paes)-plain64 $key 0 $DISK 4096" || return
	echo "$TEXT" | dd of=/dev/mapper/raw bs=512 seek=77 conv=sync \
		oflag=direct status=none || return
	dmsetup remove --retry raw || return
	! grep -aq "$TEXT" $DISK &&
		sector_of "$WORK/$use.blob" $DISK $((4096 * 512)) 77 512 |
			grep -aq "$TEXT"
}

other_key_finds_nothing()
{
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
		-out "$WORK/other" &&
		! oracle verify "$(envelope_of $KEK)" "$WORK/other"
}

damaged_envelope()
{
	local at

	for at in 4 36 104 168 200 216 249 320 360 400; do
		python3 - "$(envelope_of $KEK)" "$WORK/bad" $at << 'PYTHON' || return
import sys
raw = bytearray(open(sys.argv[1], "rb").read())
raw[int(sys.argv[3])] ^= 0x10
open(sys.argv[2], "wb").write(raw)
PYTHON
		! oracle verify "$WORK/bad" $KNOWN || return
	done
}

must known_vault
must new_kek $KEK known
ok "the kernel's envelope is what the written format says" \
	oracle verify "$(envelope_of $KEK)" $KNOWN
ok "the id is the one that the daemon shows" id_fits
ok "another private key opens nothing" other_key_finds_nothing
ok "a damaged envelope is told by the oracle too" damaged_envelope
ok "a LUKS2 volume is made" luks_volume
ok "the oracle finds the file's text in a raw sector" file_found 512
ok "a LUKS2 volume with sectors of 4096 bytes is made" luks_with_large_sectors
ok "the oracle finds the file's text there too" file_found 4096
ok "the oracle decrypts a sector of cbc(paes)" raw_found cbc
ok "the oracle decrypts a sector of ctr(paes)" raw_found ctr
ok "the oracle decrypts a sector of xts(paes)" raw_found xts
finish
