#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# AF_ALG lets every user put keys into transforms: nobody gets to use a key by it that
# is not his, no key works under another algorithm than its own, and none comes out.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attack_lib.sh"

FSCRYPT=$WORK/fscrypt.blob

prepare()
{
	local restriction=/proc/sys/crypto/af_alg_restrict

	[ ! -e $restriction ] || echo 0 > $restriction
	vaultring dek new --kek oracle --use cbc -o "$WORK/cbc.blob" &&
		vaultring dek new --kek oracle --use fscrypt -o $FSCRYPT &&
		chmod 711 "$WORK" && chmod 644 "$WORK"/*.blob
}

# setkey ALGORITHM FILE: by its content.
setkey()
{
	python3 - "$@" << 'PYTHON'
import socket, sys
name, path = sys.argv[1:]
with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as alg:
    alg.bind(("skcipher", name))
    with open(path, "rb") as file:
        alg.setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY, file.read())
PYTHON
}

# setkey_of ALGORITHM KEY: by a key's number, as ALG_SET_KEY_BY_KEY_SERIAL does
# with keys of other types.
setkey_of()
{
	python3 - "$@" << 'PYTHON'
import socket, struct, sys
name, serial = sys.argv[1:]
with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as alg:
    alg.bind(("skcipher", name))
    alg.setsockopt(socket.SOL_ALG, 7, struct.pack("<i", int(serial)))
PYTHON
}

as_user_setkey()
{
	declare -f setkey > "$WORK/setkey"
	as_nobody bash -c ". $WORK/setkey; setkey $*"
}

# The keys that a blob gives in a keyring, by their numbers.
of_data_key()
{
	setkey_of "$1" "$(keyctl padd vault-dek cbc @u < "$WORK/cbc.blob")"
}

of_provisioned()
{
	keyctl add vault-dek photos "load $(hex_of $FSCRYPT) provision=photos" @u &&
		setkey_of "cbc(aes)" \
			"$(keyctl search @s fscrypt-provisioning photos)"
}

provisioned_is_not_read()
{
	keyctl pipe "$(keyctl search @s fscrypt-provisioning photos)"
}

raw_key()
{
	head -c 32 /dev/urandom > "$WORK/raw"
	setkey "cbc(paes)" "$WORK/raw"
}

must new_kek oracle
must prepare
ok "control: its owner's blob is taken" setkey "cbc(paes)" "$WORK/cbc.blob"
refused "another user's setkey with the same blob is refused" \
	"Permission denied" as_user_setkey "'cbc(paes)'" "$WORK/cbc.blob"
refused "a raw key is not taken for a blob" "Invalid argument" raw_key
refused "nor is a blob for another use" "not supported" \
	setkey "cbc(paes)" $FSCRYPT
refused "a data key in a keyring serves no other algorithm by its number" \
	"Error" of_data_key "cbc(aes)"
refused "nor its own" "Error" of_data_key "cbc(paes)"
refused "nor does a key that was provisioned" "Error" of_provisioned
refused "which cannot be read" "denied|not supported|permitted" \
	provisioned_is_not_read
ok "without a key nothing is encrypted, and after a refused one neither" \
	cases paes_test without_a_key_encrypts_nothing \
	never_uses_the_old_key_after_a_refused_one
finish
