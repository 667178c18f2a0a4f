#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The worker for Azure Key Vault, the daemon and the tool against Lowkey Vault, a
# vault that others wrote (https://github.com/nagyesta/lowkey-vault), whose keys
# Azure's own SDK makes.  It is a fake for developers, whose noes are not Azure's:
# each difference that shows is said where it shows.
#
# LOWKEY_VAULT names its jar and JAVA a Java that can run it, 25 or later;
# AZURE_SDK and PROGRAMS are as in azure_test.sh.  No registry has that jar.  Its
# source builds with Gradle (gradlew :lowkey-vault-app:bootJar), or with Maven from
# lowkey-vault-app by a pom.xml with spring-boot-starter-parent as its parent, the
# libraries and versions of gradle/libs.versions.toml that its build.gradle.kts
# names, lombok, lombok-mapstruct-binding and mapstruct-processor as annotation
# processors, and spring-boot-maven-plugin.

# shellcheck disable=SC2086,SC2119,SC2317,SC2329 # words; functions that ok runs
[ -f "${LOWKEY_VAULT:-}" ] || {
	echo "Bail out! LOWKEY_VAULT does not name the jar of Lowkey Vault"
	exit 1
}
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/azure_lib.sh"
DAEMON=
# What its own certificate is for, and tokens.
DOMAIN=lowkey-vault.local
HOST=main.$DOMAIN
# Names of the same server: one that its certificate has, and one that it has not.
ALIAS=main.default.svc.cluster.local
STRANGER=main.vault.example
export VAULT_URL=https://$HOST VAULT_CREDENTIAL=managed
TOOL_SOCKET=/run/vaultring/vaultringd.sock
# Azure has these unless others are named, Lowkey none; and it wants the right to
# decrypt for unwrapKey, too.
OPS=ops=encrypt,decrypt,wrapKey,unwrapKey

# --- the server ---

# Its own certificate, which nobody else has signed.
own_certificate()
{
	$PYTHON - "$LOWKEY_VAULT" > "$WORK/ca.pem" << 'END'
import sys, zipfile
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12
with zipfile.ZipFile(sys.argv[1]) as jar:
    store = jar.read("BOOT-INF/classes/cert/keystore.p12")
print(pkcs12.load_pkcs12(store, b"changeit").cert.certificate.public_bytes(
    Encoding.PEM).decode(), end="")
END
}

# Where the machine's cloud is, it gives tokens as that does.  It takes any.
lowkey_up()
{
	local left=240

	LOWKEY_VAULT_NAMES=- LOWKEY_AUTH_RESOURCE=$DOMAIN "${JAVA:-java}" \
		-XX:+UseSerialGC -Xmx256m -Djava.io.tmpdir="$WORK" -jar "$LOWKEY_VAULT" \
		--spring.main.banner-mode=off --server.port=443 \
		--app.token.port=80 > "$WORK/server.log" 2>&1 &
	SERVER=$!
	until grep -qs "Started LowkeyVaultApp" "$WORK/server.log"; do
		left=$((left - 1))
		if [ $left -eq 0 ] || ! kill -0 $SERVER; then
			cat "$WORK/server.log"
			return 1
		fi
		sleep 0.5
	done
}

# By its own way to make a vault; those that it makes by itself do not purge.
make_vault()
{
	$PYTHON - "$WORK/ca.pem" "$VAULT_URL" << 'END'
import json, ssl, sys, urllib.request
body = {"baseUri": sys.argv[2], "recoveryLevel": "Recoverable+Purgeable",
        "recoverableDays": 90}
request = urllib.request.Request(
    "https://localhost/management/vault", json.dumps(body).encode(),
    {"Content-Type": "application/json"})
urllib.request.urlopen(request, context=ssl.create_default_context(
    cafile=sys.argv[1])).read()
END
}

names()
{
	network_up && echo "127.0.0.1 $HOST $ALIAS $STRANGER" >> "$WORK/hosts"
}

# lowkey [SETTING=VALUE...]: Java takes its time on a busy machine.
lowkey()
{
	configure uri=azure:$VAULT_URL/keys/root credential=managed-identity \
		client-id= tenant= client-secret-file= timeout=14000 "$@" |
		sed 's/"settings"/"connect-timeout-ms":10000,&/'
}

# key FILE LINE: sets VERSION, SPKI, WRAPPED and PRINT
key()
{
	read -r VERSION SPKI WRAPPED <<< "$(sed -n "$2p" "$WORK/$1")"
	PRINT=$(print_of "$SPKI")
	[ ${#WRAPPED} -ge 512 ]
}

ok "the worker builds" build
register
ok "a network and the server's certificate are there" eval "names && own_certificate"
ok "the server is up" lowkey_up
ok "it has a vault" make_vault
[ $FAILED -eq 0 ] || { echo "Bail out! nothing to test with"; exit 1; }

# make NAME
make()
{
	sdk create "$1" $SHARE $OPS > "$WORK/$1" && key "$1" 1
}
ok "Azure's own SDK makes a key in it" make root
[ $FAILED -eq 0 ] || { echo "Bail out! nothing to compare with"; exit 1; }

# --- what it is for ---

# Lowkey writes the modulus with a zero before it, which RFC 7518 has not.
ok "the public key is the one that the SDK has" \
	with "$(lowkey; public_key)" "\"spki\":\"$SPKI\"" '"method":"clear"'
ok "a share that the SDK has encrypted is unwrapped" \
	with "$(lowkey; unwrap)" "$right"

by_openssl()
{
	local there

	there=$(lowkey | { cat; public_key; } | worker | sed -n 's/.*"spki":"\([0-9a-f]*\)".*/\1/p')
	printf %s "$there" | xxd -r -p > "$WORK/spki" &&
		printf %s $SHARE | xxd -r -p | openssl pkeyutl -encrypt -pubin \
			-keyform DER -inkey "$WORK/spki" -pkeyopt rsa_padding_mode:oaep \
			-pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256 \
			> "$WORK/ciphertext" &&
		with "$(lowkey; unwrap "" "" "$(xxd -p -c 1000 "$WORK/ciphertext")")" "$right"
}
ok "one that OpenSSL has encrypted to what the worker tells, too" by_openssl
ok "a look tries the key" with "$(lowkey; poll)" "\"spki\":\"$SPKI\""
ok "the version can be named" \
	with "$(lowkey uri=azure:$VAULT_URL/keys/root/$VERSION; public_key; unwrap
		unwrap "root/$VERSION")" "$SPKI" "$right"
ok "a fingerprint of no version is refused and both are named" \
	with "$(lowkey; unwrap "" "${PRINT//[0-7]/8}")" \
	"\"refused\".*$PRINT.*${PRINT//[0-7]/8}"

big()
{
	sdk import_rsa big $SHARE 4096 > "$WORK/big" && with "$(lowkey
		unwrap big "$(print_of "$(cut -d ' ' -f 2 "$WORK/big")")" \
			"$(cut -d ' ' -f 3 "$WORK/big")")" "$right"
}
ok "a key of 4096 bits serves" big

operations()
{
	sdk create signs $SHARE ops=sign,verify > /dev/null &&
		sdk curve curve && with "$(lowkey; public_key signs
		public_key curve)" '"refused".*may not unwrap.*unwrapKey' \
		'"refused".*curve is of type EC,'
}
ok "a key that may not unwrap is refused, and one that is no RSA key" operations

# It knows no A256KW: all that can be said of such a key is which one it is.
symmetric()
{
	local version

	version=$(sdk symmetric wraps $SHARE - size=256 ops=wrapKey,unwrapKey) &&
		with "$(lowkey uri=azure:$VAULT_URL/keys/wraps; public_key)" \
			"\"identity\":\"$VAULT_URL/keys/wraps/${version% }\""
}
ok "a symmetric key is known by its version's name" symmetric

# --- who it is, and who gives tokens ---

ok "without its certificate it is away" \
	with "$(lowkey ca-file=; public_key)" '"away".*prove who it is'
ok "under a name that its certificate has not, too" \
	with "$(lowkey uri=azure:https://$STRANGER/keys/root; public_key)" \
	'"away".*prove who it is'

# with_secret [SETTING=VALUE...]: as an application, which it does not know.
with_secret()
{
	lowkey credential=secret client-id=$CLIENT client-secret-file=$SECRET_FILE "$@"
}
# It names itself and the path that was asked, where Azure names Entra and a tenant.
ok "what it says of who gives tokens is not believed" \
	with "$(with_secret; public_key)" \
	"\"invalid\".*a token of $VAULT_URL/keys/root, and authority is https://login.microsoftonline.com; nothing was sent"
ok "unless the settings say the same; that it gives none is no refusal" \
	with "$(with_secret authority=$VAULT_URL; public_key)" \
	"\"away\".*$HOST gives no token"
ok "nor is one for another name sent" \
	with "$(with_secret uri=azure:https://$ALIAS/keys/root authority=https://$ALIAS
		public_key)" \
	"\"invalid\".*a token for https://$DOMAIN, and its own are for https://${ALIAS#*.}; none was sent"

# --- versions ---

rotated()
{
	local old=$VERSION print=$PRINT wrapped=$WRAPPED spki=$SPKI

	sdk rotate root $SHARE >> "$WORK/root" && key root 2 &&
		[ "$VERSION" != "$old" ] && [ "$SPKI" != "$spki" ] &&
		with "$(lowkey; public_key; unwrap; unwrap "" "$print" "$wrapped"
			poll "" "$print")" "\"spki\":\"$SPKI\"" "$right" \
			"\"spki\":\"$spki\"" > "$WORK/rotated"
	cat "$WORK/rotated"
	[ "$(grep -c "$right" "$WORK/rotated")" -eq 2 ]
}
ok "after a rotation the key is the new one, and the one before goes on" rotated

# Its pages have 25, by the versions' names: until one that serves is on another, and
# not the newest.  A slow server may have the search begin again where it was.
second_page()
{
	local line place=0

	sdk curve long 35 || return
	until [ $place -gt 25 ]; do
		sdk create long $SHARE $OPS > "$WORK/long" &&
			sdk versions long > "$WORK/versions" || return
		line=$(cat "$WORK/long")
		place=$(grep -n "^${line%% *}\$" "$WORK/versions" | cut -d : -f 1)
	done
	sdk curve long &&
		key long 1 && with "$(lowkey; unwrap long; unwrap long; unwrap long)" "$right"
}
ok "a version on the second page of many is found" second_page

# --- noes ---

key root 1

# It says that with an error of its own (500); Azure with BadParameter (400), which
# is invalid.
ok "what was encrypted to another version is not unwrapped" \
	with "$(lowkey; unwrap "" "" "$(sed -n '2s/.* //p' "$WORK/root")")" \
	'"away".*\(500\): Cannot decrypt'

dates()
{
	local late early soon

	sdk create late $SHARE $OPS exp=-60 > "$WORK/late" &&
		sdk create early $SHARE $OPS nbf=3600 > "$WORK/early" &&
		sdk create soon $SHARE $OPS exp=3600 > "$WORK/soon" || return
	late=$(print_of "$(cut -d ' ' -f 2 "$WORK/late")")
	early=$(print_of "$(cut -d ' ' -f 2 "$WORK/early")")
	soon=$(print_of "$(cut -d ' ' -f 2 "$WORK/soon")")
	with "$(lowkey; unwrap late "$late" "$(cut -d ' ' -f 3 "$WORK/late")"
		poll late "$late"
		unwrap early "$early" "$(cut -d ' ' -f 3 "$WORK/early")"
		unwrap soon "$soon" "$(cut -d ' ' -f 3 "$WORK/soon")")" \
		'"refused".*early is not valid for' "$right" > "$WORK/dates"
	cat "$WORK/dates"
	[ "$(grep -c '"refused".*late expired .* ago' "$WORK/dates")" -eq 2 ]
}
ok "one that is expired, or not valid yet, is refused" dates

expires_meanwhile()
{
	with "$(lowkey uri=azure:$VAULT_URL/keys/soon; public_key)
!$SDK_LINE extend soon $(cut -d ' ' -f 1 "$WORK/soon") -5
$(public_key)
!$SDK_LINE extend soon $(cut -d ' ' -f 1 "$WORK/soon") 600
$(public_key)" '"refused".*soon expired' > "$WORK/soon.out"
	cat "$WORK/soon.out"
	[ "$(grep -c '"spki"' "$WORK/soon.out")" -eq 2 ]
}
ok "one that expires while it runs, too, and serves when it is extended" expires_meanwhile

# A vault's no is one in Azure's words alone.  Of a disabled key Lowkey says that it
# is not found, Azure tells it and that it is disabled; both do not unwrap with it,
# which Lowkey says with an error of its own (500), Azure with KeyDisabled (403).
# The code of its errors is a Java class.
disabled()
{
	with "$(lowkey; unwrap)
!$SDK_LINE enable root $VERSION no
$(unwrap; poll)
!$SDK_LINE enable root $VERSION yes
$(unwrap; poll)" '"away".*is not enabled' '"invalid".*\(404\).*disabled entity' \
		"\"spki\":\"$SPKI\"" > "$WORK/disabled"
	cat "$WORK/disabled"
	[ "$(grep -c "$right" "$WORK/disabled")" -eq 2 ] &&
		! grep '"refused"' "$WORK/disabled"
}
ok "a disabled version does not serve, which is no refusal in these words" disabled

deleted()
{
	with "$(lowkey; unwrap)
!$SDK_LINE delete root
$(unwrap; poll)" "$right" > "$WORK/deleted" && sdk recover root &&
		with "$(lowkey; unwrap; poll)" "$right" "\"spki\":\"$SPKI\"" &&
		sdk delete root && sdk purge root &&
		with "$(lowkey; unwrap; poll)" >> "$WORK/deleted"
	cat "$WORK/deleted"
	[ "$(grep -c '"invalid".*(404)' "$WORK/deleted")" -eq 4 ] &&
		! grep '"refused"' "$WORK/deleted"
}
ok "nor does a deleted key, until it is recovered; nor a purged one" deleted

# --- the daemon and the tool ---

tool()
{
	timeout 60 "$PROGRAMS/vaultring" "$@"
}

start_daemon()
{
	make disks || return
	mkdir -p "$WORK/state/keks" "${TOOL_SOCKET%/*}" &&
		ln -s "$WORK/sock" $TOOL_SOCKET || return
	envelope old lowkey "$PRINT"
	cat > "$WORK/vaultring.conf" << CONF
[vault lowkey]
uri = azure:$VAULT_URL/keys/disks
ca-file = $WORK/ca.pem
credential = managed-identity
timeout = 14s
connect-timeout = 10s
poll = 1s
CONF
	daemon_up
}
ok "the daemon takes the vault" start_daemon
checked()
{
	tool vault check lowkey > "$WORK/checked" || return
	cat "$WORK/checked"
	grep 'decrypted a throw-away secret' "$WORK/checked" &&
		grep "fingerprint $PRINT" "$WORK/checked"
}
ok "the tool checks it, and tells the SDK's key" checked
ok "its looks agree" key_is agrees "$PRINT"

told_newer()
{
	local left=300

	sdk rotate disks $SHARE >> "$WORK/disks" || return
	until tool vault list > "$WORK/listed" && grep 'has a new version' "$WORK/listed"; do
		left=$((left - 1))
		[ $left -gt 0 ] || { cat "$WORK/listed"; return 1; }
		sleep 0.1
	done
	read -r _ SPKI _ <<< "$(tail -n 1 "$WORK/disks")"
	grep "new version, key $(print_of "$SPKI" | cut -c 1-16).*KEKs have ${PRINT:0:16}" \
		"$WORK/listed" && key_is agrees "$PRINT"
}
ok "a rotation is told as a newer key, and the KEK's own goes on" told_newer

clean()
{
	daemon_down || return
	rm -f $TOOL_SOCKET
	! grep -F Bearer "$WORK/daemon.log" &&
		! grep -i sanitizer "$WORK/daemon.log" "$WORK/replies"
}
ok "no program was wrong" clean
finish
