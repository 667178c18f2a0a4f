# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the tests with a SoftHSM token in a folder of their own share: the token,
# its keys, and what OpenSSL makes of them.  Sourced, never run.

# shellcheck disable=SC2034 # used by those who source this
# shellcheck source-path=SCRIPTDIR
FAMILY=pkcs11
. "$(dirname "${BASH_SOURCE[0]}")/worker_lib.sh"
. "$HERE/token_lib.sh"

SOFTHSM=/usr/lib/softhsm/libsofthsm2.so
export SOFTHSM2_CONF=$WORK/softhsm2.conf
TOKENS=$WORK/tokens
# Nothing else is likely to look like it.
export PIN=4815162342
unset BAD_PKCS11

build()
{
	# shellcheck disable=SC2046 # flags
	build_programs && library "$WORK/slow_truncate.so" slow_truncate.c &&
		library "$WORK/bad_pkcs11.so" bad_pkcs11.c \
			$(pkg-config --cflags p11-kit-1)
}

p11()
{
	pkcs11-tool --module "$SOFTHSM" --token-label "${TOKEN:-vaultring}" \
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

new_key()
{
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:"${2:-P-256}" \
		-out "$1"
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
		new_key "$WORK/root.pem" && new_key "$WORK/peer.pem" &&
		new_key "$WORK/twin.pem" && new_key "$WORK/p384.pem" P-384 &&
		import "$WORK/root.pem" root 01 --sensitive &&
		import "$WORK/root.pem" loose 02 --extractable &&
		import "$WORK/root.pem" twin 03 --sensitive &&
		import "$WORK/twin.pem" twin 04 --sensitive &&
		import "$WORK/p384.pem" p384 05 --sensitive &&
		p11 --keypairgen --key-type EC:prime256v1 --usage-derive \
			--sensitive --label victim --id 06 &&
		make_token beside && TOKEN=beside make_key beside
}

# What the tests compare with comes from OpenSSL alone.
set_up_truth()
{
	openssl pkey -in "$WORK/peer.pem" -pubout -out "$WORK/peer.pub" &&
		openssl pkey -in "$WORK/root.pem" -pubout -outform DER \
			-out "$WORK/root.spki" || return
	POINT=$(openssl pkey -in "$WORK/peer.pem" -pubout -outform DER |
		tail -c 64 | hex)
	TRUTH=$(openssl pkeyutl -derive -inkey "$WORK/root.pem" \
		-peerkey "$WORK/peer.pub" | hex)
	SPKI=$(hex < "$WORK/root.spki")
	FINGERPRINT=$(sha256sum < "$WORK/root.spki" | cut -d ' ' -f 1)
	[ ${#POINT} -eq 128 ] && [ ${#TRUTH} -eq 64 ] && [ ${#SPKI} -eq 182 ]
}

begin()
{
	ok "worker and library build" build
	ok "a token with keys is there" set_up_token
	[ $FAILED -eq 0 ] || { echo "Bail out! nothing to test with"; exit 1; }
	cp "$HERE/worker_drive.py" "$WORK/drive.py"
	set_up_truth || { echo "Bail out! no truth to compare with"; exit 1; }
}
