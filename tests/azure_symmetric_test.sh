#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The worker for Azure with a symmetric key, which Managed HSM has: the vault itself
# has to wrap a clear share's secret, and Azure's own SDK says whether it is
# right.  Otherwise as azure_test.sh.

# shellcheck disable=SC2086,SC2119,SC2154,SC2317,SC2329 # words; functions that ok runs
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/azure_lib.sh"
DAEMON=

set_up
ok "Azure's own SDK takes the server for an HSM" sdk tour_symmetric
ok "it makes an RSA key beside it" set_up_keys

# oct [SETTING=VALUE...]
oct()
{
	configure uri=azure:$HSM/wraps "$@"
}

ok "the SDK makes a symmetric key, and has a share wrapped with it" set_up_symmetric
[ $FAILED -eq 0 ] || { echo "Bail out! nothing to compare with"; exit 1; }

ok "it is known by the newest version's name, in place of a public key" \
	with "$(oct; public_key)" \
	"^\{\"method\":\"clear\",\"identity\":\"$HSM/wraps/$OCT_NEWEST\",\"id\":2\}\$"
ok "names of either case are the same key's" \
	with "$(oct uri=azure:${HSM^^}/WRAPS | sed 's,HTTPS:,https:,; s,/KEYS/,/keys/,'
		public_key)" "\"identity\":\"$HSM/wraps/$OCT_NEWEST\""
ok "what the SDK had wrapped is unwrapped by the version that the fingerprint names" \
	with "$(oct; unwrap "" "$OCT_PRINT" "$OCT_WRAPPED")" "$right"

# made FILE: the secret and the ciphertext in the answer
made()
{
	sed -n 's/.*"secret":"\([0-9a-f]\{64\}\)","ciphertext":"\([0-9a-f]\{80\}\)".*/\1 \2/p' "$1"
}

# Two of them, by the version that was asked for and not by the newest.
wraps()
{
	local secret ciphertext

	forget_log
	with "$(oct; wrap; wrap)" > "$WORK/wrap"
	cat "$WORK/wrap"
	made "$WORK/wrap" > "$WORK/made"
	[ "$(sort -u "$WORK/made" | wc -l)" -eq 2 ] &&
		[ "$(requests "POST .*/keys/wraps/$OCT_VERSION/wrapkey")" -eq 2 ] &&
		[ "$(requests wrapkey)" -eq 2 ] || return
	while read -r secret ciphertext; do
		[ "$(sdk unwrap_here $OCT "$ciphertext")" = "$secret" ] || return
	done < "$WORK/made"
}
ok "what the worker has wrapped the SDK unwraps by itself, each another" wraps
ok "nothing is wrapped without saying by which version" \
	with "$(oct; wrap | sed 's/,"spki-fingerprint":"[^"]*"//')" \
	'"invalid".*fingerprint is missing'
ok "nor by a version that there is not" \
	with "$(oct; wrap "" "${OCT_PRINT//[0-7]/8}")" '"refused".*not the one'
ok "nor by a key that the kernel can encrypt to" \
	with "$(configure; wrap "" "$PRINT")" '"refused".*public half'
ok "a look finds the version of the envelope, rotated or not" \
	with "$(oct; poll "" "$OCT_PRINT")" "\"identity\":\"$HSM/wraps/$OCT_VERSION\""
ok "a uri with a version means that one" \
	with "$(oct uri=azure:$HSM/wraps/$OCT_VERSION; public_key)" \
	"\"identity\":\"$HSM/wraps/$OCT_VERSION\""
ok "a damaged ciphertext is invalid" \
	with "$(oct; unwrap "" "$OCT_PRINT" "${OCT_WRAPPED:0:78}00")" \
	'"invalid".*BadParameter'
ok "one of another length is not sent" \
	with "$(oct; unwrap "" "$OCT_PRINT" "$WRAPPED")" '"invalid".*256 bytes'

# What a key may do, once it has been made.
operations()
{
	local version

	read -r version _ <<< "$(sdk symmetric opens $SHARE $OCT ops=unwrapKey)" &&
		with "$(oct uri=azure:$HSM/opens
			wrap "" "$(identity_print opens "$version")"
			unwrap "" "$(identity_print opens "$version")" "$OCT_WRAPPED")" \
			'"refused".*may not wrap.*wrapKey' "$right" &&
		sdk symmetric shuts $SHARE $OCT ops=wrapKey > "$WORK/shuts" &&
		with "$(oct uri=azure:$HSM/shuts; public_key)" \
			'"refused".*may not unwrap.*unwrapKey'
}
ok "a key that may only unwrap serves on, one that may only wrap does not" operations

disabled_symmetric()
{
	local status

	sdk enable_symmetric wraps "$OCT_VERSION" no || return
	with "$(oct; poll "" "$OCT_PRINT"; unwrap "" "$OCT_PRINT" "$OCT_WRAPPED"
		wrap)" "\"refused\".*$OCT_VERSION.*disabled" > "$WORK/off"
	status=$?
	cat "$WORK/off"
	sdk enable_symmetric wraps "$OCT_VERSION" yes && [ $status -eq 0 ] &&
		[ "$(grep -c '"refused"' "$WORK/off")" -eq 3 ]
}
ok "a disabled version is refused" disabled_symmetric

other_size()
{
	local version

	read -r version _ <<< "$(sdk symmetric small $SHARE - size=128)" &&
		with "$(oct uri=azure:$HSM/small
			wrap "" "$(identity_print small "$version")")" \
			'"invalid".*do not match'
}
ok "a key of another size is refused in the vault's words" other_size

other_kinds()
{
	sdk other_kinds &&
		with "$(oct uri=azure:$HSM/curve; public_key)" \
			'"refused".*curve is of type EC-HSM, not RSA' &&
		with "$(oct uri=azure:$HSM/soft; public_key)" \
			'"refused".*soft is of type oct, not RSA'
}
ok "keys of other types are refused and the type is named" other_kinds

# wrong_wrap FAULT PATTERN: the third request to the vault.
wrong_wrap()
{
	under "vault pass 2
vault $1 1" "$(oct uri=azure:$HSM/wraps/$OCT_VERSION; wrap; wrap)" \
		"\"invalid\".*$2" '"ciphertext":"[0-9a-f]{80}"'
}
ok "a vault that gives the secret back as it is is found out" \
	wrong_wrap release:plain 'in the clear'
ok "with an alert" grep -q "should have wrapped: do not use it" "$WORK/replies"
ok "a ciphertext that is too short is invalid" \
	wrong_wrap 'set:value="AAAA"' '3 bytes, not 40'
ok "and so is one by another version" \
	wrong_wrap "set:kid=\"$HSM/wraps/$OCT_NEWEST\"" "$OCT_NEWEST answered"

at_rest_wrapped()
{
	{ oct; public_key; wrap; } | $PYTHON "$HERE/azure_memory.py" \
		"$PROGRAMS/vault-azure" "$WORK/tokens" "$PASSWORD" -
}
ok "at rest it holds no share that it has had wrapped" at_rest_wrapped

# --- the daemon ---

start_daemon()
{
	mkdir -p "$WORK/state/keks"
	envelope hsm hsm "$OCT_PRINT"
	section hsm $HSM/wraps "$1" > "$WORK/vaultring.conf"
	daemon_up
}
ok "the daemon starts" start_daemon 0

# Its newest version wraps and unwraps, once each.
check_symmetric()
{
	local print

	print=$(identity_print wraps "$OCT_NEWEST")
	forget_log
	check hsm | tee /dev/stderr | grep -q "$print" &&
		[ "$(requests "POST .*/$OCT_NEWEST/wrapkey")" -eq 1 ] &&
		[ "$(requests "POST .*/$OCT_NEWEST/unwrapkey")" -eq 1 ]
}
ok "a symmetric key is checked by having it wrap and unwrap" check_symmetric

# What it unwraps is of the right length, and somebody else's.
check_finds_out()
{
	local value

	value=$(printf %s $SHARE | xxd -r -p | base64 | tr +/ -_ | tr -d =)
	! under_daemon "vault pass 2
vault set:value=\"$value\" 1" check hsm | tee /dev/stderr | grep -q latency &&
		grep -q "wrong answer: it does not unwrap what it has wrapped" \
			"$WORK/checked"
}

# under_daemon FAULTS CMD...
under_daemon()
{
	printf '%s\n' "$1" > "$WORK/fault"
	shift
	"$@" > "$WORK/checked" 2>&1
	set -- $?
	rm -f "$WORK/fault"
	cat "$WORK/checked"
	return "$1"
}
ok "one that unwraps something else is found out" check_finds_out

# What the tool gets to make an envelope with; it says by which version.
daemon_wraps()
{
	local secret ciphertext

	timeout 30 $DRIVE call "$WORK/sock" VaultWrap \
		"{\"vault\":\"hsm\",\"fingerprint\":\"$OCT_PRINT\"}" |
		tr -d ' ' > "$WORK/daemon-wrap" || return
	read -r secret ciphertext <<< "$(made "$WORK/daemon-wrap")"
	[ "$(sdk unwrap_here $OCT "$ciphertext")" = "$secret" ] &&
		! grep -F "$secret" "$WORK/daemon.log" &&
		! timeout 30 $DRIVE call "$WORK/sock" VaultWrap '{"vault":"hsm"}'
}
ok "it relays a share for a new envelope, and does not log it" daemon_wraps

looks_symmetric()
{
	daemon_down
	! grep -i -F -e sanitizer -e "$PASSWORD" "$WORK/daemon.log" &&
		start_daemon 1s || return
	key_is agrees "$OCT_PRINT" &&
		sdk enable_symmetric wraps "$OCT_VERSION" no &&
		key_is refused "$OCT_PRINT" &&
		sdk enable_symmetric wraps "$OCT_VERSION" yes &&
		key_is agrees "$OCT_PRINT"
}
ok "its looks are at the version that an envelope is for" looks_symmetric

# The next one does what it did not.
killed_while_it_wraps()
{
	worker_killed "vault pass 1
vault hang:20 1" "$(oct)" "$(wrap)" && with "$(oct; wrap)" '"ciphertext":"[0-9a-f]{80}"'
}
ok "a worker killed while the vault wraps leaves no trace" killed_while_it_wraps

clean_log()
{
	daemon_down
	! grep -F -e "$PASSWORD" -e Bearer -e "$SHARE" "$WORK/daemon.log" &&
		! grep -F -f "$WORK/tokens" "$WORK/daemon.log" &&
		! grep -i sanitizer "$WORK/daemon.log" "$WORK/replies"
}
ok "the daemon's log shows no secret, and no program was wrong" clean_log
finish
