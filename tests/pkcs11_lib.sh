# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the tests of the PKCS#11 worker share, whatever the module: how it is asked,
# what OpenSSL makes of the token's keys, and what has to hold of any module.
# Sourced, never run; who does so sets
# MODULE, the library, and PIN, and defines set_up_token, which makes two tokens
# with that PIN and their keys, and delete_key LABEL, the private half.
#
#	token vaultring	root, loose (can be read out), twin twice, twin.pem's with
#			the id 04, p384, victim
#	token beside	root, another

# shellcheck disable=SC2034,SC2059,SC2086,SC2154 # used there; words; worker_lib's
# shellcheck source-path=SCRIPTDIR
FAMILY=pkcs11
. "$(dirname "${BASH_SOURCE[0]}")/worker_lib.sh"

unset BAD_PKCS11

build()
{
	# shellcheck disable=SC2046 # flags
	build_programs && library "$WORK/slow_truncate.so" slow_truncate.c &&
		library "$WORK/bad_pkcs11.so" bad_pkcs11.c \
			$(pkg-config --cflags p11-kit-1)
}

new_key()
{
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:"${2:-P-256}" \
		-out "$1"
}

new_keys()
{
	new_key "$WORK/root.pem" && new_key "$WORK/peer.pem" &&
		new_key "$WORK/twin.pem" && new_key "$WORK/p384.pem" P-384
}

fingerprint_of()
{
	openssl pkey -in "$1" -pubout -outform DER | sha256sum | cut -d ' ' -f 1
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
	FINGERPRINT=$(fingerprint_of "$WORK/root.pem")
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

# configure [LIBRARY] [URI-ATTRIBUTES]
configure()
{
	printf '{"id":1,"op":"configure","settings":{"uri":"pkcs11:%s?module-path=%s","pin-source":"%s"}}\n' \
		"${2:-token=vaultring;object=root}" "${1:-$MODULE}" "$PIN_FILE"
}

# exchange [KEY] [FINGERPRINT] [POINT]
exchange()
{
	printf '{"id":3,"op":"exchange","key":"%s","spki-fingerprint":"%s","point":"%s"}\n' \
		"${1:-}" "${2:-$FINGERPRINT}" "${3:-$POINT}"
}

public_key()
{
	with "$(configure)
{\"id\":2,\"op\":\"public-key\",\"key\":\"\"}" "\"spki\": ?\"$SPKI\"" \
		'"method": ?"oblivious"'
}

other_key()
{
	with "$(configure "" "token=vaultring;id=%04"
		exchange "" "$(fingerprint_of "$WORK/twin.pem")")" "$right"
}

# The fingerprint says that it is not the other token's.
other_token()
{
	local print

	print=$(with "$(configure "" "token=beside;object=root")
$public" '"spki"' | sed 's/.*"spki": *"\([0-9a-f]*\)".*/\1/;t;d' |
		xxd -r -p | sha256sum | cut -d ' ' -f 1)
	[ "$print" != "$FINGERPRINT" ] &&
		with "$(configure "" "token=beside;object=root"
			exchange "" "$print"
			exchange)" "$right" "\"refused\".*$print"
}

repeated()
{
	with "$(configure; for _ in $(seq 50); do exchange; done)" "$right$TRUTH" \
		> "$WORK/repeated" || { cat "$WORK/repeated"; return 1; }
	[ "$(grep -c "$TRUTH" "$WORK/repeated")" -eq 50 ]
}

# logins PIN-CHANGES: how often a wrong PIN was tried in so many exchanges, and
# that the right one serves afterwards.
logins()
{
	local count

	echo 9999 > "$PIN_FILE"
	ln -sf bad_pkcs11.so "$WORK/bad_pkcs11-logins.so"
	{
		configure "$WORK/bad_pkcs11-logins.so"
		exchange; exchange; exchange
		[ "$1" -eq 0 ] || echo "!echo 8888 > $PIN_FILE"
		exchange; exchange
		echo "!echo $PIN > $PIN_FILE"
		exchange
	} | worker > "$WORK/logins" 2>&1
	echo $PIN > "$PIN_FILE"
	cat "$WORK/logins"
	count=$(grep -c "C_Login is called" "$WORK/logins")
	echo "$count logins"
	[ "$count" -eq $((2 + $1)) ] && grep -E "$right$TRUTH" "$WORK/logins" &&
		[ "$(grep -c '"refused"' "$WORK/logins")" -eq 5 ]
}

pin_corrected()
{
	with "!echo 9999 > $PIN_FILE
$(configure; exchange)
!echo $PIN > $PIN_FILE
$(exchange)" '"refused".*PIN' "$right$TRUTH"
}

key_deleted()
{
	local print

	print=$(with "$(configure "" "token=vaultring;object=victim")
$public" '"spki"' |
		sed 's/.*"spki": *"\([0-9a-f]*\)".*/\1/;t;d' | xxd -r -p |
		sha256sum | cut -d ' ' -f 1)
	with "$(configure "" "token=vaultring;object=victim"; exchange "" "$print")
!$(delete_key victim)
$(exchange "" "$print")" "$right" '"refused".*private half'
}

loose_key()
{
	with "$(configure "" "token=vaultring;object=loose"
		exchange; exchange)" "$right$TRUTH" "can be read out" &&
		[ "$(grep -c "can be read out" "$OUT")" -eq 1 ]
}

tight_key()
{
	with "$(configure; exchange)" "$right$TRUTH" &&
		! grep -q "can be read out" "$OUT"
}

# What has to hold of any module.
cases_of_any_module()
{
	ok "an exchange equals OpenSSL's ECDH" \
		with "$(configure; exchange)" "$right$TRUTH"
	ok "the public key is OpenSSL's SubjectPublicKeyInfo" public_key
	ok "a key is found by its id" other_key
	ok "a key is found on the token that is named" other_token
	ok "a key named in the request is taken in place of the URI's" \
		with "$(configure "" "token=vaultring"; exchange root)" \
		"$right$TRUTH"
	ok "fifty exchanges in one session give the same" repeated
	ok "a fingerprint that differs is refused and both are named" \
		with "$(configure; exchange "" "${FINGERPRINT//[0-7]/8}")" \
		"\"refused\".*$FINGERPRINT.*${FINGERPRINT//[0-7]/8}"
	ok "a missing key is refused" \
		with "$(configure; exchange nothing)" '"refused".*nothing'
	ok "two keys of one name are refused" \
		with "$(configure; exchange twin)" '"refused".*several.*twin'
	ok "a key on another curve is refused" \
		with "$(configure; exchange p384)" '"refused".*P-256'
	ok "a point that is not on the curve is invalid or refused" \
		with "$(configure; exchange "" "" "${POINT//[0-7]/8}")
$(exchange)" '"error": ?"(invalid|away|refused)"' "$right$TRUTH"
	ok "a missing token is away" \
		with "$(configure "" "token=other;object=root"; exchange)" \
		'"away".*other.*not present'
	ok "a wrong PIN is tried once" logins 0
	ok "a PIN file that changed is tried again, once" logins 1
	ok "with the right PIN in the file it works at once" pin_corrected
	ok "a key that is deleted is refused from then on" key_deleted
	ok "a key that can be read out works, with one warning" loose_key
	ok "and one that cannot, without" tight_key
}
