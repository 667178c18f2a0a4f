#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The worker for Azure Key Vault while servers, and who is between, do what they
# should not: see azure_test.sh.

# shellcheck disable=SC2086,SC2119,SC2317,SC2329 # words; functions that ok runs
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/azure_lib.sh"

set_up
ok "a key of five versions is there" set_up_keys
[ $FAILED -eq 0 ] || { echo "Bail out! nothing to compare with"; exit 1; }

# --- TLS ---

# tls HOST PATTERN
tls()
{
	with "$(configure "uri=azure:https://$1.vault.azure.net/keys/root"
		unwrap)" "\"away\",.*$2" && ! grep -q '"here"' "$OUT"
}
for host in name:'no alternative certificate subject name matches|does not match' \
	expired:'certificate has expired' early:'not yet valid' \
	stranger:'unable to get local issuer|self.signed' \
	old:'protocol version|unsupported protocol|wrong version|alert' \
	plain:'wrong version number|record|unknown protocol|http request'; do
	ok "a server with ${host%%:*} certificate or protocol is away" \
		tls "${host%%:*}" "${host#*:}"
done

system_authorities()
{
	local certs=$WORK/certs status

	mkdir -p "$certs"
	cp "$WORK/other.pem" "$certs/"
	cp "$WORK/other.pem" "$certs/ca-certificates.crt"
	openssl rehash "$certs"
	mount --bind "$certs" /etc/ssl/certs || return
	with "$(configure uri=azure:https://stranger.vault.azure.net/keys/root; unwrap)" \
		'"away".*prove who it is' &&
		with "$(configure uri=azure:https://stranger.vault.azure.net/keys/root \
			ca-file=; unwrap)" 'login.microsoftonline.com:? does not prove|login.microsoftonline.com does not prove'
	status=$?
	umount /etc/ssl/certs
	return $status
}
ok "ca-file is trusted in place of the system's authorities" system_authorities
ok "a ca-file that is missing is refused here" \
	with "$(configure ca-file="$WORK/nothing")" '"refused".*ca-file'
for uri in http://main.vault.azure.net/keys/root https://main.vault.azure.net/secrets/x \
	https://user@main.vault.azure.net/keys/root https://localhost/keys/root \
	https://main.vault.azure.net/keys/root/a/b "https://main.vault.azure.net/keys/ro%6ft" \
	https://main.vault.azure.net/keys/; do
	ok "a uri like $uri is refused" \
		with "$(configure "uri=azure:$uri")" '"refused".*its uri is not'
done
ok "a setting that is none is refused and named" \
	with "$(configure client-secert-file=/x)" '"refused".*client-secert-file'
ok "a credential that is none is refused" \
	with "$(configure credential=password)" '"refused".*not password'

# --- where credentials go ---

# nothing_sent HOST CMD...: and no token or secret went there.
nothing_sent()
{
	local host=$1

	shift
	forget_log
	"$@" && [ "$(requests " $host ")" -eq 0 ]
}
ok "a redirect is not followed" nothing_sent copy.vault.azure.net \
	under "vault redirect:https://copy.vault.azure.net/keys/root" \
	"$(configure timeout=2000; unwrap)" '"away".*elsewhere'
ok "a redirect of the authority is not followed" nothing_sent login.evil.example \
	under "token redirect:https://login.evil.example/x" \
	"$(configure timeout=2000; unwrap)" '"away".*elsewhere'
ok "a foreign authority is not asked for a token" nothing_sent login.evil.example \
	under "vault authority:https://login.evil.example/$TENANT" \
	"$(configure tenant=; unwrap)" '"invalid".*login.evil.example.*nothing was sent'
ok "nor one whose name only begins so" nothing_sent login.evil.example \
	under "vault authority:https://login.microsoftonline.com.evil.example/$TENANT" \
	"$(configure tenant=; unwrap)" '"invalid".*nothing was sent'
ok "a token for elsewhere is not asked for" nothing_sent login.microsoftonline.com \
	under "vault resource:https://evil.example" "$(configure tenant=; unwrap)" \
	'"invalid".*evil.example.*none was sent'
ok "nor for what only ends so" nothing_sent login.microsoftonline.com \
	under "vault resource:https://azure.net" "$(configure tenant=; unwrap)" \
	'"invalid".*none was sent'
for challenge in Basic_realm="x" Bearer Bearer_authorization= \
	"Bearer_authorization=\"https://login.microsoftonline.com/$TENANT" \
	"Bearer_authorization=\"https://login.microsoftonline.com/$TENANT\",_authorization=\"https://login.evil.example/x\",_resource=\"https://vault.azure.net\"" \
	"Bearer_authorization=\"https://login.microsoftonline.com/../x\",_resource=\"https://vault.azure.net\""; do
	ok "a challenge like ${challenge:0:60} is invalid" \
		nothing_sent login.microsoftonline.com under "vault challenge:$challenge" \
		"$(configure tenant=; unwrap)" '"invalid".*challenge'
done

# --- whose no it is ---

# The first endpoint is away, and what the second says may be old.
copy()
{
	under "$1" "$(configure uri=azure:https://down.vault.azure.net/keys/root \
		endpoints=https://main.vault.azure.net; unwrap; poll)" \
		"\"away\".*down.vault.azure.net is away, and what its copy says.*$2"
}
ok "a 404 of a copy is not the vault's" copy "vault 404" KeyNotFound
ok "nor is a 403" copy "vault 403" Forbidden
copy_old()
{
	local other=${PRINT//[0-7]/8}

	with "$(configure uri=azure:https://down.vault.azure.net/keys/root \
		endpoints=https://main.vault.azure.net; unwrap "" "$other"
		poll "" "$other")" '"away".*what its copy says.*no such version.*"id":4' \
		'"away".*what its copy says.*no such version.*"id":3'
}
ok "nor that it has not that version" copy_old
copy_disabled()
{
	sdk enable root "$VERSION" no || return
	copy "vault pass" 'is disabled'
	local status=$?
	sdk enable root "$VERSION" yes && [ $status -eq 0 ]
}
ok "nor that a version is disabled there" copy_disabled
copy_used()
{
	without use copy "vault pass" ForbiddenByRbac
}
ok "nor that it may not be used there" copy_used
ok "the vault's own is, though it has a copy" under "vault 404" \
	"$(configure endpoints=https://copy.vault.azure.net; unwrap)" '"refused".*no key root'
for code in 403:Blocked 403:KeyNotFound 404:NotFound; do
	ok "an error of a gateway on the way is no word of Azure's ($code)" \
		under "vault code:$code" "$(configure; unwrap)" '"invalid".*as told'
done

# entra STATUS:ERROR:NUMBER PATTERN
entra()
{
	under "token entra:$1" "$(configure credential=workload-identity \
		federated-token-file="$WORK/federated"; poll)" "$2"
}
for number in 50166 501661 90061; do
	ok "the authority cannot reach the issuer of a federated token ($number): away" \
		entra 400:invalid_request:$number "\"away\".*AADSTS$number"
done
ok "keys of the issuer that are being rotated: away" \
	entra 401:invalid_client:7000272 '"away"'
ok "a place that is not let in: away" entra 400:invalid_grant:53003 '"away"'
ok "a number that is not known: away" entra 400:invalid_client:123456 '"away"'
ok "the right number with another status: away" entra 403:invalid_client:7000215 '"away"'
for number in 7000215 7000222 700016 7000112 70021 700213; do
	ok "Entra's $number is a refusal" \
		entra 401:invalid_client:$number '"refused","message"'
done
for number in 90002 700023 70011; do
	ok "Entra's $number is this machine's matter" \
		entra 400:invalid_request:$number '"refused","here":true'
done
for fault in gateway:403 gateway:404 gateway:400 html:403; do
	ok "$fault of the authority is away" under "token $fault" \
		"$(configure; poll)" '"away"'
done

# The newest, the list's first page, then the versions on it.
ok "a version that may not be read ends the search for the one that is wanted" \
	under "vault pass 2
vault 403 1" "$(configure; unwrap)" '"refused".*main.vault.azure.net says Forbidden'
ok "one that is gone does not" under "vault pass 2
vault 404 1" "$(configure; unwrap)" "$right"

loop()
{
	forget_log
	under "vault loop" "$(configure; unwrap)" '"refused".*401' &&
		[ "$(requests '^token POST')" -eq 1 ] && [ "$(requests '^vault')" -le 2 ]
}
ok "a vault that takes no token is asked once, and refused" loop
# --- busy, broken, malicious ---

ok "403, in whatever words, is a refusal" \
	under "vault 403" "$(configure; unwrap)" '"refused".*Forbidden \(403\): as told'
ok "404 is a refusal" under "vault 404" "$(configure; unwrap)" '"refused"'
ok "409 is away: the key is coming or going" \
	under "vault 409" "$(configure; unwrap)" '"away".*Conflict'
ok "a no that is not in Azure's words is none" \
	under "vault html:403" "$(configure; unwrap)" '"invalid".*not as Azure does'
# Two answers of 429, each with a wish of one second.
waits()
{
	within 9 under "vault 429:1 2" "$(configure; unwrap)" "$right" &&
		[ "$(longest "$WORK/within")" -ge 2000 ]
}
ok "429 is waited for as long as it says" waits
ok "not when that is too long" within 3 \
	under "vault 429:60" "$(configure; unwrap)" '"away".*Throttled.*ask again in 60 s'

storm()
{
	forget_log
	within 4 under "vault 429" "$(configure timeout=3000; unwrap)" \
		'"away".*Throttled' && [ "$(requests '^vault')" -ge 2 ] &&
		[ "$(requests '^vault')" -le 6 ]
}
ok "a storm of 429 is met with few requests, and away in time" storm
for status in 500 503; do
	ok "$status is tried again" \
		under "vault $status 2" "$(configure; unwrap)" "$right"
	ok "and away when it stays" within 4 under "vault $status" \
		"$(configure timeout=2500; unwrap)" "\"away\".*$status"
done
ok "the authority's 503 is away, too" within 4 under "token 503" \
	"$(configure timeout=2500; unwrap)" '"away".*503'
ok "and tried again" under "token 503 1" "$(configure; unwrap)" "$right"
ok "the machine's 404 and 410 are waited for" \
	under "machine 404 1
machine 410 1" "$(configure credential=managed-identity client-id=; unwrap)" "$right"

for target in vault token; do
	for fault in cut-headers cut-body; do
		ok "$fault of the $target is away" under "$target $fault" \
			"$(configure timeout=3000; unwrap)" '"away"'
	done
	for fault in drip hang; do
		ok "$fault of the $target is away in time" within 3 \
			under "$target $fault" "$(configure timeout=2000; unwrap)" \
			'"away"'
	done
	ok "headers without end of the $target are invalid" \
		under "$target headers" "$(configure; unwrap)" '"invalid".*headers'
	ok "text of the $target in place of JSON is invalid" \
		under "$target text" "$(configure; unwrap)" '"invalid".*not JSON'
	ok "another kind of JSON of the $target is invalid" \
		under "$target array" "$(configure; unwrap)" '"invalid".*no object'
	ok "a member twice of the $target is invalid" \
		under "$target duplicate" "$(configure; unwrap)" '"invalid".*twice'
done

flood()
{
	forget_log
	under "$1 $2" "$(configure; unwrap)" '"invalid".*more than 64 KiB' || return
	sleep 1
	awk '/flood ended/ { print; if ($4 > 4194304) exit 1; n++ }
		END { exit !n }' "$WORK/log"
}
ok "a body of 10 MiB is left as soon as it is too long" flood vault flood
ok "in chunks, too" flood vault flood-chunked
ok "and the authority's" flood token flood

# spoilt NAME=JSON PATTERN: an answer of the vault's in which that was replaced.
spoilt()
{
	under "vault $1" "$(configure "uri=azure:https://main.vault.azure.net/keys/root/$VERSION"
		unwrap)" "\"invalid\".*$2"
}
# The same in what unwraps: the first answer is about the key.
spoilt_secret()
{
	with "$(configure; public_key; unwrap)
!echo 'vault $1' > $WORK/fault
$(unwrap)" "$right" "\"invalid\".*$2"
	local status=$?
	rm -f "$WORK/fault"
	return $status
}
ok "a kid of another key" spoilt 'set:key.kid="https://main.vault.azure.net/keys/toor/abc"' 'asked about key root'
ok "a kid that is none" spoilt 'set:key.kid="root"' 'asked about key root'
ok "another version" spoilt "set:key.kid=\"https://main.vault.azure.net/keys/root/$NEWEST\"" \
	'asked for version'
ok "no modulus" spoilt drop:key.n '\\"n\\" is no string'
ok "a modulus that is not base64url" spoilt 'set:key.n="+/+/"' '\\"n\\" is not base64url'
ok "a modulus that is too short" spoilt 'set:key.n="AAAA"' 'no RSA modulus'
# Of NEWEST_SPKI it is all but the head and the exponent, which has ten digits.
modulus()
{
	printf %s "$1${NEWEST_SPKI: -522:512}" | xxd -r -p | base64 -w0 | tr +/ -_ | tr -d =
}
ok "a modulus with a zero before it is the same number" under \
	"vault set:key.n=\"$(modulus 00)\"" "$(configure; public_key)" "\"$NEWEST_SPKI\""
ok "two zeros are too many" spoilt "set:key.n=\"$(modulus 0000)\"" 'no RSA modulus'
ok "an exponent of 3" spoilt 'set:key.e="Aw"' 'no RSA modulus|exponent'
ok "key_ops that are no list" spoilt 'set:key.key_ops="unwrapKey"' 'key_ops'
ok "enabled that is neither" spoilt 'set:attributes.enabled="false"' 'enabled'
ok "a date that is no number" spoilt 'set:attributes.exp="never"' 'exp'
ok "a secret of 31 bytes" \
	spoilt_secret "set:value=\"$(head -c 31 /dev/zero | base64 -w0 | tr -d =)\"" '31 bytes'
ok "a secret of 33 bytes" \
	spoilt_secret "set:value=\"$(head -c 33 /dev/zero | base64 -w0 | tr -d =)\"" '32 bytes at most'
ok "a secret in padded base64" spoilt_secret 'set:value="AAAA"' '3 bytes, not 32'
ok "a secret with bits left over" \
	spoilt_secret "set:value=\"$(printf 'A%.0s' $(seq 42))B\"" 'not base64url'
ok "a secret with a padding" \
	spoilt_secret "set:value=\"$(printf 'A%.0s' $(seq 43))=\"" 'not base64url'
ok "a secret of another version" \
	spoilt_secret "set:kid=\"https://main.vault.azure.net/keys/root/$NEWEST\"" \
	'asked version'
ok "no secret" spoilt_secret drop:value '\\"value\\" is no string'
ok "a list of versions that goes on at another host" nothing_sent copy.evil.example \
	under 'vault pass 1
vault set:nextLink="https://copy.evil.example/keys/root/versions?api-version=7.4" 1' \
	"$(configure; unwrap "" "${PRINT//[0-7]/8}")" '"invalid".*goes on elsewhere'
for fault in 'set:access_token="a\\r\\nX-Evil:1"' 'set:access_token=""' \
	'set:token_type="pop"' 'set:expires_in=-5' 'set:expires_in="soon"' \
	drop:access_token 'set:access_token=7'; do
	ok "a token with $fault is invalid" \
		under "token $fault" "$(configure; unwrap)" '"invalid"'
done
ok "a key of another type is refused" under 'vault set:key.kty="EC"' \
	"$(configure; public_key)" '"refused".*is of type EC, not RSA'

# --- clocks ---

# Ours is a day fast until the vault has been heard.
stepped()
{
	echo 80000 > "$WORK/step"
	forget_log
	LD_PRELOAD=$WORK/clock_step.so ASAN_OPTIONS=verify_asan_link_order=0 \
		CLOCK_STEP=$WORK/step twice with "$(configure
		unwrap soon "$SOON" "$SOON_WRAPPED")
!echo 0 > $WORK/step
$(unwrap soon "$SOON" "$SOON_WRAPPED")" "$right" || return
	grep -E "clock is [78][0-9]{4} s off" "$WORK/twice" &&
		[ "$(requests 'GET .*/keys/soon')" -eq 1 ]
}
soon()
{
	sdk create soon $SHARE nbf=-60 exp=3600 > "$WORK/soon" &&
		cc -shared -fPIC -O2 -Wall -Wextra -Werror -o "$WORK/clock_step.so" \
			"$HERE/clock_step.c" || return
	SOON_VERSION=$(cut -d ' ' -f 1 "$WORK/soon")
	SOON=$(print_of "$(cut -d ' ' -f 2 "$WORK/soon")")
	SOON_WRAPPED=$(cut -d ' ' -f 3 "$WORK/soon")
}
ok "a key that is valid from a minute ago for an hour is there" soon
ok "a clock of ours that was fast and is set right ends no key" stepped

ok "with a clock a day before ours, Azure's counts" \
	skewed -86400 'soon is not valid for' 'clock is 8[0-9]{4} s off'

# Its dates are remembered, and have passed when they are changed.
extended()
{
	local status

	twice with "$(configure; unwrap soon "$SOON" "$SOON_WRAPPED")
!$SDK_LINE extend soon $SOON_VERSION 9000; echo skew 5000 > $WORK/control; sleep 0.5
$(public_key; unwrap soon "$SOON" "$SOON_WRAPPED")" "$right"
	status=$?
	server skew 0
	return $status
}
ok "a key whose end was put off serves, whatever is remembered of it" extended

no_sanitizer()
{
	! grep -iE "sanitizer|runtime error" "$WORK/replies"
}
ok "no program was wrong in all this" no_sanitizer
finish
