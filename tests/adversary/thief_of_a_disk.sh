#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A thief has the disk, and all of the machine that holds no vault: nothing on it is
# a key, and nothing opens.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attack_lib.sh"

TEXT="what the thief is after"

tidy()
{
	umount /mnt
	vaultring luks close stolen
	give_vault_back
	[ ! -d "$WORK/keks" ] || mv "$WORK/keks"/* $ENVELOPES/
	wipefs -aq $DISK
	restart_daemon
}

stolen()
{
	vaultring kek revoke stolen
	take_vault
	restart_daemon
}

without_envelopes()
{
	mkdir "$WORK/keks"
	mv $ENVELOPES/*.env "$WORK/keks/"
	restart_daemon
	vaultring luks open $DISK stolen
}

envelopes_back()
{
	mv "$WORK/keks"/* $ENVELOPES/ && rmdir "$WORK/keks" && restart_daemon
}

holds_no_key()
{
	volume_blob $DISK "$WORK/blob" && sync && python3 "$HERE/hunt.py" \
		--kek "$(envelope_of stolen)" $KNOWN --blob "$WORK/blob" \
		$DISK /var/lib/vaultring /etc/vaultring /var/log
}

opens_by_blob()
{
	volume_blob $DISK "$WORK/blob" && cryptsetup open --key-size 1088 \
		--volume-key-file "$WORK/blob" $DISK stolen
}

no_text()
{
	! grep -aq "$TEXT" $DISK
}

own_key_opens_nothing()
{
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
		-out "$WORK/own.pem" &&
		! oracle verify "$(envelope_of stolen)" "$WORK/own.pem"
}

must known_vault
must new_kek stolen known
ok "there is a volume with a text" make_volume $DISK stolen stolen "$TEXT"
stolen
ok "the text is not on the disk" no_text
refused "without the vault it does not open" "away" \
	vaultring luks open $DISK stolen
refused "nor by the blob in its header" "." opens_by_blob
refused "nor where no envelope is" "kek|none" without_envelopes
must envelopes_back
ok "another vault key opens no envelope" own_key_opens_nothing
give_vault_back
ok "no secret is on the disk, nor in what the daemon stores" holds_no_key
must restart_daemon
ok "control: with the vault it opens" volume_has $DISK stolen "$TEXT"
finish
