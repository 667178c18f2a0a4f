#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The PKCS#11 worker against a SoftHSM token in a folder of its own.
# Needs no module and changes nothing outside of it.

# shellcheck disable=SC2059,SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/softhsm_lib.sh"

# bad MODE PATTERN...: an exchange through the library that misbehaves so.
bad()
{
	local library=$WORK/bad_pkcs11-$1.so

	shift
	ln -sf bad_pkcs11.so "$library"
	with "$(configure "$library"; exchange)" "$@"
}

# What is wrong with the request does not come to it.
other_methods()
{
	with "$(configure)
{\"id\":2,\"op\":\"unwrap\",\"key\":\"\",\"ciphertext\":\"00\"}
{\"id\":3,\"op\":\"release\",\"key\":\"\",\"transport\":\"00\",\"nonce\":\"\"}" \
		'"refused".*"here".*vaults of family pkcs11 make no clear shares' \
		'"refused".*"here".*vaults of family pkcs11 make no sealed shares'
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

# It ends up with the messages.
prints()
{
	ln -sf bad_pkcs11.so "$WORK/bad_pkcs11-prints.so"
	{ configure "$WORK/bad_pkcs11-prints.so"; exchange; } |
		worker > "$WORK/replies" 2> "$WORK/messages"
	cat "$WORK/replies" "$WORK/messages"
	grep -E "$right$TRUTH" "$WORK/replies" &&
		! grep '"00"' "$WORK/replies" && grep '"00"' "$WORK/messages"
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
cases_of_any_module
ok "a token neither decrypts nor releases" other_methods
ok "a setting that is none is refused and named" \
	with "$(configure | sed 's/"pin-source"/"pin-sauce"/')" \
	'"refused".*pin-sauce'
ok "a point of another length is invalid" \
	with "$(configure; exchange "" "" 00ff)" '"invalid"'
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
ok "a token that has no PIN has refused none" bad no-pin '"away".*C_Login'
ok "a token that is taken out and put back is noticed" token_moved
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
