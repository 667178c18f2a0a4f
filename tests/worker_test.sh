#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The PKCS#11 worker against a SoftHSM token in a folder of its own.
# Needs no module and changes nothing outside of it.

# shellcheck disable=SC2059,SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/softhsm_lib.sh"

# configure [LIBRARY] [URI-ATTRIBUTES]
configure()
{
	printf '{"id":1,"op":"configure","settings":{"uri":"pkcs11:%s?module-path=%s","pin-source":"%s"}}\n' \
		"${2:-token=vaultring;object=root}" "${1:-$SOFTHSM}" "$PIN_FILE"
}

exchange()
{
	printf '{"id":3,"op":"exchange","key":"%s","spki-fingerprint":"%s","point":"%s"}\n' \
		"${1:-}" "${2:-$FINGERPRINT}" "${3:-$POINT}"
}

# bad MODE PATTERN...: an exchange through the library that misbehaves so.
bad()
{
	local library=$WORK/bad_pkcs11-$1.so

	shift
	ln -sf bad_pkcs11.so "$library"
	with "$(configure "$library"; exchange)" "$@"
}

public_key()
{
	with "$(configure)
{\"id\":2,\"op\":\"public-key\",\"key\":\"\"}" "\"spki\": ?\"$SPKI\"" \
		'"method": ?"oblivious"'
}

# What is wrong with the request does not come to it.
other_methods()
{
	with "$(configure)
{\"id\":2,\"op\":\"unwrap\",\"key\":\"\",\"ciphertext\":\"00\"}
{\"id\":3,\"op\":\"release\",\"key\":\"\",\"transport\":\"00\",\"nonce\":\"\"}" \
		'"refused".*a pkcs11 vault makes no clear shares' \
		'"refused".*a pkcs11 vault makes no sealed shares'
}

other_key()
{
	openssl pkey -in "$WORK/twin.pem" -pubout -outform DER \
		-out "$WORK/spki"
	with "$(configure "" "token=vaultring;id=%04"
		exchange "" "$(sha256sum < "$WORK/spki" | cut -d ' ' -f 1)")" \
		"$right"
}

repeated()
{
	with "$(configure; for _ in $(seq 50); do exchange; done)" "$right$TRUTH" \
		> "$WORK/repeated" || { cat "$WORK/repeated"; return 1; }
	[ "$(grep -c "$TRUTH" "$WORK/repeated")" -eq 50 ]
}

# logins PIN-CHANGES: how often a wrong PIN was tried in three exchanges.
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
	} | worker > "$WORK/logins" 2>&1
	echo $PIN > "$PIN_FILE"
	cat "$WORK/logins"
	count=$(grep -c "C_Login is called" "$WORK/logins")
	echo "$count logins"
	[ "$count" -eq $((1 + $1)) ] &&
		[ "$(grep -c '"refused"' "$WORK/logins")" -eq 5 ]
}

pin_corrected()
{
	with "!echo 9999 > $PIN_FILE
$(configure; exchange)
!echo $PIN > $PIN_FILE
$(exchange)" '"refused".*PIN' "$right$TRUTH"
}

readable_pin()
{
	local status

	chmod 604 "$PIN_FILE"
	with "$(configure; exchange)" '"refused".*chmod'
	status=$?
	chmod 600 "$PIN_FILE"
	return $status
}

token_moved()
{
	with "$(configure; exchange)
!mv $TOKENS $TOKENS.away; mkdir $TOKENS
$(exchange)
!rmdir $TOKENS; mv $TOKENS.away $TOKENS
$(exchange)" '"away".*not present' > "$WORK/moved"
	cat "$WORK/moved"
	[ "$(grep -c "$TRUTH" "$WORK/moved")" -eq 2 ]
}

key_deleted()
{
	local print

	print=$(with "$(configure "" "token=vaultring;object=victim")
{\"id\":2,\"op\":\"public-key\",\"key\":\"\"}" '"spki"' |
		sed 's/.*"spki": *"\([0-9a-f]*\)".*/\1/;t;d' | xxd -r -p |
		sha256sum | cut -d ' ' -f 1)
	with "$(configure "" "token=vaultring;object=victim"; exchange "" "$print")
!pkcs11-tool --module $SOFTHSM --token-label vaultring --login --pin $PIN --delete-object --type privkey --label victim
$(exchange "" "$print")" "$right" '"refused".*private half'
}

prints()
{
	bad prints "$right$TRUTH" && ! grep '^{.*"00"' "$OUT"
}

loose_key()
{
	with "$(configure "" "token=vaultring;object=loose"
		exchange; exchange)" "$right$TRUTH" "can be read out" &&
		[ "$(grep -c "can be read out" "$OUT")" -eq 1 ]
}

library_without_list()
{
	bad null '"away".*C_GetFunctionList'
}

line_too_long()
{
	local status

	head -c 70000 /dev/zero | tr '\0' x | timeout 20 $DRIVE worker \
		"$PROGRAMS/vault-pkcs11"
	status=$?
	[ $status -eq 1 ]
}

no_way_out()
{
	(
		sleep 5 | "$PROGRAMS/vault-pkcs11" --help
	) 2>&1 | grep "not by hand"
}

begin
ok "an exchange equals OpenSSL's ECDH" \
	with "$(configure; exchange)" "$right$TRUTH"
ok "the public key is OpenSSL's SubjectPublicKeyInfo" public_key
ok "a token neither decrypts nor releases" other_methods
ok "a key is found by its id" other_key
ok "a key named in the request is taken in place of the URI's" \
	with "$(configure "" "token=vaultring"; exchange root)" "$right$TRUTH"
ok "fifty exchanges in one session give the same" repeated
ok "a fingerprint that differs is refused and both are named" \
	with "$(configure; exchange "" "${FINGERPRINT//[0-7]/8}")" \
	"\"refused\".*$FINGERPRINT.*${FINGERPRINT//[0-7]/8}"
ok "a setting that is none is refused and named" \
	with "$(configure | sed 's/"pin-source"/"pin-sauce"/')" \
	'"refused".*pin-sauce'
ok "a missing key is refused" \
	with "$(configure; exchange nothing)" '"refused".*nothing'
ok "two keys of one name are refused" \
	with "$(configure; exchange twin)" '"refused".*several.*twin'
ok "a key on another curve is refused" \
	with "$(configure; exchange p384)" '"refused".*P-256'
ok "a point that is not on the curve is invalid or refused" \
	with "$(configure; exchange "" "" "${POINT//[0-7]/8}")
$(exchange)" '"error": ?"(invalid|away|refused)"' "$right$TRUTH"
ok "a point of another length is invalid" \
	with "$(configure; exchange "" "" 00ff)" '"invalid"'
ok "a missing token is away" \
	with "$(configure "" "token=other;object=root"; exchange)" \
	'"away".*other.*not present'
ok "a missing library is away" \
	with "$(configure /nowhere.so; exchange)" '"away".*nowhere'
ok "a library that is not PKCS#11 is away" \
	with "$(configure /lib/x86_64-linux-gnu/libm.so.6; exchange)" \
	'"away".*not a PKCS#11'
ok "a PIN in the URI is refused" \
	with '{"id":1,"op":"configure","settings":{"uri":"pkcs11:token=x?module-path=/x.so&pin-value=1"}}' \
	'"refused".*pin-source'
ok "a URI without module-path is refused" \
	with '{"id":1,"op":"configure","settings":{"uri":"pkcs11:token=x"}}' \
	'"refused".*module-path'
ok "a URI with unknown attributes is refused" \
	with "$(configure "" "token=vaultring;colour=red")" '"refused".*RFC 7512'
ok "a PIN file that everybody may read is refused" readable_pin
ok "a wrong PIN is tried once" logins 0
ok "a PIN file that changed is tried again, once" logins 1
ok "with the right PIN in the file it works at once" pin_corrected
ok "a token that has no PIN has refused none" bad no-pin '"away".*C_Login'
ok "a token that is taken out and put back is noticed" token_moved
ok "a key that is deleted is refused from then on" key_deleted
ok "a key that can be read out works, with one warning" loose_key
ok "a token that takes raw points works" bad raw "$right$TRUTH"
ok "a token that takes DER-wrapped points works" bad der "$right$TRUTH"
ok "a token that gives raw public points works" bad point "$right$TRUTH"
ok "a device that vanished for a moment is opened again" \
	bad gone-once "$right$TRUTH"
ok "a device that stays away is away" bad gone '"away".*0x32'
ok "an error code of the vendor's own is away" bad error '"away".*0x80000007'
ok "a value that is too short is invalid" bad short '"invalid".*16 bytes'
ok "a value that is too long is invalid" bad long '"invalid".*1048576 bytes'
ok "an absurd number of slots is away" bad slots '"away".*1000000000 slots'
ok "a library without functions is away" library_without_list
ok "what a library prints is not taken for a reply" prints
ok "a library cannot start programs, trace or open netlink" \
	bad sandbox "$right$TRUTH"
ok "not JSON, not an object, no op, no such op: each gets an error" \
	with "$(configure)
x
[1]
{\"id\":7}
{\"id\":8,\"op\":\"rm\"}
{\"id\":9,\"op\":\"configure\",\"op\":\"exchange\"}" \
	'not a JSON object' '"id": ?7' 'no such op: rm'
ok "an exchange before configure is refused" \
	with "$(exchange)" '"refused".*configure'
ok "a line without end ends the worker" line_too_long
ok "started by hand it says what it is" no_way_out
finish
