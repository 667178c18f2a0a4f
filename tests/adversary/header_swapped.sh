#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Somebody who can write to the disk puts another header in front of it: a token, all of
# another volume, one of a KEK of his own, or one with a passphrase that he knows.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attack_lib.sh"

TEXT="written under the true header"

tidy()
{
	umount /mnt
	vaultring luks close first
	vaultring luks close second
	wipefs -aq $DISK $OTHER_DISK
}

save_header()
{
	rm -f "$2"
	cryptsetup luksHeaderBackup "$1" --header-backup-file "$2"
}

# As one who can write to the disk would; the tool asks and compares.
put_header()
{
	dd if="$1" of=$DISK bs=1M conv=notrunc,fsync status=none
}

put_token()
{
	cryptsetup token export --token-id 0 $OTHER_DISK > "$WORK/token" &&
		cryptsetup token remove --token-id 0 $DISK &&
		cryptsetup token import --token-id 0 \
			--json-file "$WORK/token" $DISK
}

opens()
{
	vaultring luks open $DISK first
}

# It opens as the volume that the header is of, and what is behind it is noise.
noise_behind_it()
{
	put_header "$WORK/second" && opens || return
	! mount /dev/mapper/first /mnt &&
		! grep -aq "$TEXT" /dev/mapper/first
	local status=$?

	vaultring luks close first
	return $status
}

# A volume with one KEK more, which this machine then forgets.
foreign_header()
{
	new_kek foreign && truncate -s 20M "$WORK/foreign.img" &&
		vaultring luks format "$WORK/foreign.img" --kek foreign --yes &&
		save_header "$WORK/foreign.img" "$WORK/foreign" || return
	forget foreign
	put_header "$WORK/foreign"
}

known_passphrase()
{
	echo known > "$WORK/passphrase"
	truncate -s 20M "$WORK/plain.img" && cryptsetup -q luksFormat \
		--type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
		--key-file "$WORK/passphrase" "$WORK/plain.img" &&
		save_header "$WORK/plain.img" "$WORK/plain" &&
		put_header "$WORK/plain"
}

must new_kek first
must new_kek second
must make_volume $DISK first first "$TEXT"
must make_volume $OTHER_DISK second second "of another volume"
must save_header $DISK "$WORK/first"
must save_header $OTHER_DISK "$WORK/second"
must put_token
refused "another volume's token is no key of this one" "tampered" opens
must put_header "$WORK/first"
ok "behind another volume's header there is noise" noise_behind_it
must foreign_header
refused "a header under a KEK that nobody here made does not open" "." opens
must known_passphrase
refused "one with a passphrase is not taken for a volume under a vault" \
	"not under a vault" opens
must put_header "$WORK/first"
ok "with its own header the volume has its text" volume_has $DISK first "$TEXT"
finish
