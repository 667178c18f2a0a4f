# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the tests with a SoftHSM token in a folder of their own share: the token,
# its keys, and what OpenSSL makes of them.  Sourced, never run.

# shellcheck disable=SC2034 # used by those who source this
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/pkcs11_lib.sh"
. "$HERE/token_lib.sh"

MODULE=/usr/lib/softhsm/libsofthsm2.so
export SOFTHSM2_CONF=$WORK/softhsm2.conf
TOKENS=$WORK/tokens
# Nothing else is likely to look like it.
export PIN=4815162342

p11()
{
	pkcs11-tool --module "$MODULE" --token-label "${TOKEN:-vaultring}" \
		--login --pin "$PIN" "$@"
}

# import FILE LABEL ID [OPTION...]: both halves of the key.
import()
{
	local file=$1 label=$2 id=$3

	shift 3
	openssl pkey -in "$file" -outform DER -out "$WORK/der" &&
		p11 --write-object "$WORK/der" --type privkey --label "$label" \
			--id "$id" --usage-derive "$@" &&
		openssl pkey -in "$file" -pubout -outform DER -out "$WORK/der" &&
		p11 --write-object "$WORK/der" --type pubkey --label "$label" \
			--id "$id" --usage-derive
}

set_up_token()
{
	mkdir -p "$TOKENS"
	printf 'directories.tokendir = %s\nobjectstore.backend = file\n' \
		"$TOKENS" > "$SOFTHSM2_CONF"
	echo 'log.level = ERROR' >> "$SOFTHSM2_CONF"
	(umask 077 && echo "$PIN" > "$PIN_FILE")
	softhsm2-util --init-token --free --label vaultring --pin "$PIN" \
		--so-pin 5678 &&
		new_keys &&
		import "$WORK/root.pem" root 01 --sensitive &&
		import "$WORK/root.pem" loose 02 --extractable &&
		import "$WORK/root.pem" twin 03 --sensitive &&
		import "$WORK/twin.pem" twin 04 --sensitive &&
		import "$WORK/p384.pem" p384 05 --sensitive &&
		p11 --keypairgen --key-type EC:prime256v1 --usage-derive \
			--sensitive --label victim --id 06 &&
		make_token beside && TOKEN=beside make_key beside
}

# What the shell has to run for it.
delete_key()
{
	echo "pkcs11-tool --module $MODULE --token-label vaultring --login --pin $PIN --delete-object --type privkey --label $1"
}
