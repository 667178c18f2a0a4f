#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A thief has blobs and envelopes, which are no secret: they open nothing for him, here
# or on a machine of his own, and cannot be changed to.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attack_lib.sh"

tidy()
{
	give_vault_back
	restart_daemon
}

copies()
{
	chmod 711 "$WORK"
	install -m 644 "$(envelope_of robbed)" "$WORK/envelope" &&
		vaultring dek new --kek robbed --use cbc -o "$WORK/blob" &&
		chmod 644 "$WORK/blob"
}

# Under another KEK's number, which its owner has, it is no blob of that one.
under_own_kek()
{
	python3 - "$(envelope_of own)" "$WORK/blob" "$WORK/own.blob" << 'PYTHON'
import sys
envelope, blob, out = sys.argv[1:]
ident = open(envelope, "rb").read()[200:216]
data = bytearray(open(blob, "rb").read())
data[8:24] = ident
open(out, "wb").write(data)
PYTHON
	keyctl padd vault-dek own @u < "$WORK/own.blob"
}

no_secret_in_them()
{
	python3 "$HERE/hunt.py" --kek "$(envelope_of robbed)" $KNOWN \
		--blob "$WORK/blob" "$WORK/envelope" "$WORK/blob"
}

on_another_machine()
{
	vaultring kek revoke robbed
	take_vault
	restart_daemon
	keyctl padd vault-dek robbed @u < "$WORK/blob"
}

must known_vault
must new_kek robbed known
must new_kek own known
ok "they are copied" copies
refused "a user with the blob does not open it" "denied" as_nobody \
	sh -c 'keyctl padd vault-dek robbed @s < '"$WORK/blob"
refused "under a KEK of the thief's own it is a forgery" "rejected" \
	under_own_kek
ok "no changed envelope is taken, nor a blob for another use" \
	cases forge_test changed_attributes_are_refused \
	an_own_kek_under_the_id_of_another_is_refused \
	a_blob_for_a_use_that_its_kek_does_not_allow_is_refused
ok "a blob opens for its own use only" cases blob_test \
	a_blob_opens_for_its_own_use_only \
	wrong_magic_version_wrapping_and_reserved_bytes_are_refused
# Where all is run these are, too.
if [ -z "${VAULTRING_SHORT:-}" ]; then
	ok "no bit of an envelope can be changed" cases unseal_test \
		every_flipped_bit_of_an_envelope_is_refused
	ok "nor one of a blob" cases blob_test \
		every_flipped_bit_is_refused_by_load
fi
refused "root of another machine, without the vault, gets nothing either" \
	"unavailable|not available" on_another_machine
give_vault_back
ok "no secret is in them" no_secret_in_them
finish
