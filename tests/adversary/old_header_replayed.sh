#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What was good once comes back from a copy: the header of a volume whose KEK has
# been given up, the envelope of a vault key that is destroyed or was taken out.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attack_lib.sh"

TEXT="from before"

tidy()
{
	umount /mnt
	vaultring luks close old
	wipefs -aq $DISK
	restore_key
}

# With the KEK it was under given up the old header is of no use.
give_up_old()
{
	rm -f "$WORK/header"
	cryptsetup luksHeaderBackup $DISK --header-backup-file "$WORK/header" ||
		return
	cp -p "$(envelope_of old)" "$WORK/old.env"
	forget old
	vaultring luks format $DISK --kek new --yes &&
		vaultring luks open $DISK old && vaultring luks close old
}

old_header()
{
	dd if="$WORK/header" of=$DISK bs=1M conv=notrunc,fsync status=none
	vaultring luks open $DISK old
}

# The thief of a backup has the envelope as well; the vault key is no more.
destroy_key()
{
	token_pin
	p11 --delete-object --type privkey --label known && own_tokens &&
		restart_daemon
}

restore_key()
{
	token_pin
	vaultring vault check known && return
	openssl pkey -in $KNOWN -outform DER -out "$WORK/der" &&
		p11 --write-object "$WORK/der" --type privkey --usage-derive \
			--sensitive --label known --id 02 && own_tokens &&
		restart_daemon
}

with_old_envelope()
{
	cp -p "$WORK/old.env" "$(envelope_of old)"
	restart_daemon
	old_header
}

# Resealed for another vault, with its former key destroyed as README says.
former_envelope()
{
	cp -p "$(envelope_of moved)" "$WORK/moved.env"
	vaultring kek reseal moved --vault hsm && vaultring kek unseal moved &&
		vaultring kek revoke moved || return 0
	cp -p "$WORK/moved.env" "$(envelope_of moved)"
	destroy_key || return 0
	vaultring kek unseal moved
}

# Pinned is another KEK of that name.
another_of_that_name()
{
	forget moved
	vaultring kek create moved --vault hsm && vaultring kek revoke moved ||
		return 0
	cp -p "$WORK/moved.env" "$(envelope_of moved)"
	restart_daemon
	vaultring kek unseal moved
}

must known_vault
must new_kek old known
must new_kek new
must new_kek moved known
must make_volume $DISK old old "$TEXT"
must give_up_old
refused "a header under a KEK that was given up does not open" "." old_header
must destroy_key
refused "nor with its envelope, once the vault key is destroyed" "." \
	with_old_envelope
must restore_key
refused "nor does the former envelope of a KEK that was resealed" "private half" \
	former_envelope
must restore_key
refused "nor one of a KEK whose name root has pinned to another" \
	"another KEK|pinned" another_of_that_name
ok "what changes in an envelope is noticed" cases forge_test \
	changed_attributes_are_refused an_envelope_outside_its_dates_is_refused
finish
