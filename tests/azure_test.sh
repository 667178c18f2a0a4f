#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The worker for Azure Key Vault, in a network namespace where the names of Azure
# are this machine.  The vault there is azure_server.py, which Azure's own SDK has
# to take for one first: azure_sdk.py, in the folder that AZURE_SDK names
# (scripts/azure-sdk).  What goes wrong on the way is azure_faults_test.sh's, and
# sealed shares are azure_sealed_test.sh's.
#
# PROGRAMS names the folder of vaultringd and vault-azure; without it they are
# built with ASan and UBSan.

# shellcheck disable=SC2086,SC2119,SC2317,SC2329 # words; functions that ok runs
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/azure_lib.sh"
DAEMON=

set_up
ok "Azure's own SDK takes the server for a vault, with each credential" sdk tour
ok "it makes a key of five versions" set_up_keys
[ $FAILED -eq 0 ] || { echo "Bail out! nothing to compare with"; exit 1; }

# --- what it is for ---

ok "the public key is that of the newest version, as the SDK has it" \
	with "$(configure; public_key)" "\"spki\":\"$NEWEST_SPKI\"" '"method":"clear"'
ok "a share is unwrapped with the version that the fingerprint names" \
	with "$(configure; unwrap)" "$right"

# The list has two pages up to that version.
one_request()
{
	forget_log
	with "$(configure; unwrap; unwrap; unwrap)" "$right" || return
	[ "$(requests 'unwrapkey')" -eq 3 ] && [ "$(requests '/versions')" -eq 2 ] &&
		[ "$(requests '^token')" -eq 1 ]
}
ok "the version is searched for once, and one token serves" one_request
ok "a fingerprint of no version is refused and both are named" \
	with "$(configure; unwrap "" "${PRINT//[0-7]/8}")" \
	"\"refused\".*$NEWEST_PRINT.*${PRINT//[0-7]/8}"
ok "a uri with a version means that one" \
	with "$(configure "uri=azure:https://main.vault.azure.net/keys/root/$VERSION"
		public_key; unwrap)" "$SPKI" "$right"
ok "and no other" \
	with "$(configure "uri=azure:https://main.vault.azure.net/keys/root/$NEWEST"
		unwrap)" '"refused".*not the one that the envelope'
ok "a key that the request names is taken in place of the uri's" \
	with "$(configure uri=azure:https://main.vault.azure.net/keys/none
		unwrap root)" "$right"
ok "a name that no key can have is refused" \
	with "$(configure; public_key "../secrets/x")" '"refused".*no key in Azure'
tried()
{
	forget_log
	with "$(configure; poll)" "\"spki\":\"$SPKI\"" &&
		[ "$(requests "POST .*/keys/root/$VERSION/unwrapkey")" -eq 1 ]
}
ok "a look finds the version of the envelope, rotated or not, and tries it" tried
ok "a key that the request names with its version is that one" \
	with "$(configure uri=azure:https://main.vault.azure.net/keys/none
		unwrap "root/$VERSION"; public_key "root/$NEWEST"; public_key root/)" \
	"$right" "$NEWEST_SPKI" '"refused".*no key in Azure'
ok "a damaged ciphertext is invalid" \
	with "$(configure; unwrap "" "" "${WRAPPED:0:510}00")" '"invalid".*BadParameter'

# --- credentials ---

ok "a certificate" with "$(configure credential=certificate \
	client-certificate-file="$WORK/client.pem"; unwrap)" "$right"
ok "the machine's own identity" with "$(configure credential=managed-identity \
	client-id= tenant=; unwrap)" "$right"
ok "one of several that the machine has" \
	with "$(configure credential=managed-identity tenant=; unwrap)" "$right"
ok "an identity that the machine has not is refused here, not by the vault" \
	with "$(configure credential=managed-identity client-id=abc; unwrap)" \
	'"refused".*Identity not found.*"here"|"refused","here".*Identity not found'
ok "a federated token" with "$(configure credential=workload-identity \
	federated-token-file="$WORK/federated"; unwrap)" "$right"
ok "without a tenant the vault's challenge names it" \
	with "$(configure tenant=; unwrap)" "$right"

wrong_credential()
{
	echo wrong > "$WORK/wrong"
	chmod 600 "$WORK/wrong"
	with "$(configure client-secret-file="$WORK/wrong"; unwrap)" \
		'"refused","message":"login.microsoftonline.com gives no token: invalid_client.*AADSTS7000215'
}
ok "a wrong secret is refused, in Entra's words" wrong_credential

other_certificate()
{
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=client \
		-keyout "$WORK/o.key" -out "$WORK/o.pem" 2> /dev/null
	cat "$WORK/o.key" "$WORK/o.pem" > "$WORK/o"
	cat "$WORK/o.key" "$WORK/cert.pem" > "$WORK/mixed"
	chmod 600 "$WORK/o" "$WORK/mixed"
	with "$(configure credential=certificate client-certificate-file="$WORK/o"
		unwrap)" '"refused".*AADSTS700027' &&
		with "$(configure credential=certificate \
			client-certificate-file="$WORK/mixed"; unwrap)" \
			'"here".*of another key|of another key.*"here"'
}
ok "another certificate is refused, and one of another key is told" other_certificate

bad_files()
{
	local mode

	cp -p "$SECRET_FILE" "$WORK/open"
	for mode in 604 602 606; do
		chmod $mode "$WORK/open"
		with "$(configure client-secret-file="$WORK/open"; unwrap)" \
			'"refused".*everybody may read.*chmod o=' || return
	done
	: > "$WORK/empty"
	chmod 600 "$WORK/empty"
	with "$(configure client-secret-file="$WORK/empty"; unwrap)" \
		'"refused".*empty' &&
		with "$(configure client-secret-file="$WORK/none"; unwrap)" \
			'"refused".*cannot read.*No such file' &&
		with "$(configure client-secret-file="$WORK"; unwrap)" \
			'"refused".*is not a file' &&
		with "$(configure client-secret-file=secret)" '"refused".*full path'
}
ok "files that are missing, empty or open to everybody are refused and named" bad_files

rotated()
{
	with "$(configure; public_key)
!printf %s $NEW_PASSWORD > $WORK/secret
$(public_key)
!echo $NEW_PASSWORD > $SECRET_FILE
$(public_key)" '"refused".*AADSTS7000215' > "$WORK/rotated"
	cat "$WORK/rotated"
	register
	[ "$(grep -c "$NEWEST_SPKI" "$WORK/rotated")" -eq 2 ]
}
ok "a secret that is rotated while it runs is taken up" rotated

# One that ends in 8 s is used for 4.
renewed()
{
	local status

	server lifetime 8 || return
	forget_log
	with "$(configure; unwrap)
!sleep 4.2
$(unwrap)" "$right" && [ "$(requests '^token POST')" -eq 2 ] &&
		[ "$(requests 'refused a token')" -eq 0 ]
	status=$?
	server lifetime 3600
	return $status
}
ok "a token is renewed before it ends" renewed
twice_right()
{
	forget_log
	twice with "$(configure; unwrap)
!echo forget now > $WORK/control; sleep 0.5
$(unwrap)" "$right" && [ "$(requests '^token POST')" -eq 2 ]
}
ok "one that the vault does not take any more is replaced by one other" twice_right

moved()
{
	local status

	twice with "$(configure tenant=; unwrap)
!echo tenant 22222222-3333-4444-5555-666666666666 > $WORK/control; sleep 0.5
$(unwrap)" "$right"
	status=$?
	server tenant $TENANT
	return $status
}
ok "a vault that moves to another tenant is followed, if none is set" moved
ok "one odd word about the tenant does not stay" \
	under "vault authority:https://login.microsoftonline.com/other.example 1" \
	"$(configure tenant=; unwrap; unwrap)" '"refused","here":true.*AADSTS90002' "$right"

# --- other clouds ---

# cloud HOST [SETTING=VALUE...]
cloud()
{
	local host=$1

	shift
	with "$(configure "uri=azure:https://$host/keys/root" "$@"; unwrap)" "$right"
}
ok "Managed HSM's tokens are for Managed HSM" cloud pool.managedhsm.azure.net
ok "and the machine's own identity has one, too" cloud pool.managedhsm.azure.net \
	credential=managed-identity client-id= tenant=
ok "China's vaults are asked with tokens of China's authority" \
	cloud main.vault.azure.cn authority=https://login.chinacloudapi.cn tenant=
ok "the US government's with those of its own" cloud main.vault.usgovcloudapi.net \
	authority=https://login.microsoftonline.us tenant= credential=certificate \
	client-certificate-file="$WORK/client.pem"
ok "and with none of another cloud" \
	with "$(configure uri=azure:https://main.vault.azure.cn/keys/root tenant=; unwrap)" \
	'"invalid".*login.chinacloudapi.cn.*nothing was sent there'

# --- keys ---

disabled()
{
	sdk enable root "$VERSION" no || return
	with "$(configure; poll; unwrap)" "\"refused\".*$VERSION.*disabled"
	local status=$?
	sdk enable root "$VERSION" yes && [ $status -eq 0 ] &&
		with "$(configure; poll; unwrap)" "$right"
}
ok "a disabled version is refused, and serves when it is enabled again" disabled

disabled_meanwhile()
{
	with "$(configure; unwrap)
!$SDK_LINE enable root $VERSION no
$(unwrap; poll)" "$right" '"refused".*disabled key' "\"refused\".*$VERSION.*is disabled"
	local status=$?
	sdk enable root "$VERSION" yes && [ $status -eq 0 ]
}
ok "one that is disabled while it runs is refused in the vault's words" disabled_meanwhile

dates()
{
	local print

	sdk create late $SHARE exp=-60 > "$WORK/late" &&
		sdk create early $SHARE nbf=3600 > "$WORK/early" &&
		sdk create soon $SHARE exp=3600 > "$WORK/soon" || return
	SOON=$(print_of "$(cut -d ' ' -f 2 "$WORK/soon")")
	SOON_WRAPPED=$(cut -d ' ' -f 3 "$WORK/soon")
	print=$(print_of "$(cut -d ' ' -f 2 "$WORK/late")")
	with "$(configure; poll late "$print"
		unwrap late "$print" "$(cut -d ' ' -f 3 "$WORK/late")")" \
		'"id":3.*|"refused".*expired' '"refused".*late expired.*ago' &&
		with "$(configure; public_key early)" '"refused".*not valid for' &&
		with "$(configure; unwrap soon "$SOON" "$SOON_WRAPPED")" "$right"
}
ok "one that is expired, or not valid yet, is refused" dates

operations()
{
	sdk create signs $SHARE ops=sign,verify > /dev/null &&
		with "$(configure; public_key signs)" '"refused".*unwrapKey' &&
		sdk create big $SHARE size=4096 > "$WORK/big" &&
		with "$(configure; unwrap big \
			"$(print_of "$(cut -d ' ' -f 2 "$WORK/big")")" \
			"$(cut -d ' ' -f 3 "$WORK/big")")" "$right"
}
ok "a key that may not unwrap is refused, one of 4096 bits serves" operations
ok "a key that there is not is refused" \
	with "$(configure; public_key none)" '"refused".*no key none'

deleted()
{
	sdk delete late || return
	with "$(configure; public_key late)" \
		'"refused".*late is deleted; until 20..-..-.. ..:.. UTC it can be recovered' || return
	sdk recover late && with "$(configure; public_key late)" \
		'"refused".*expired' && sdk delete late && sdk purge late &&
		with "$(configure; public_key late)" '"refused".*no key late'
}
ok "a deleted key is told apart, recovered and purged" deleted

ok "access that was taken is a refusal" without none \
	with "$(configure; poll)" '"refused".*Forbidden, ForbiddenByRbac \(403\)'
ok "a look notices when the right to use the key alone was taken" without use \
	with "$(configure; public_key; poll)" "$NEWEST_SPKI" \
	'"refused","message".*ForbiddenByRbac'
ok "that the right to list is missing is told, and no word of the vault's" \
	without list with "$(configure; public_key; unwrap)" "$NEWEST_SPKI" \
	'"refused","here":true.*right to list'

# More versions than it remembers with all that they are; one page and twelve.
long_history()
{
	local last first

	sdk create long $SHARE versions=36 > "$WORK/long" || return
	first=$(sed -n 2p "$WORK/long")
	last=$(sed -n 35p "$WORK/long")
	forget_log
	with "$(configure
		unwrap long "$(print_of "$(cut -d ' ' -f 2 <<< "$first")")" "${first##* }"
		unwrap long "$(print_of "$(cut -d ' ' -f 2 <<< "$last")")" "${last##* }"
		unwrap long "$(print_of "$(cut -d ' ' -f 2 <<< "$first")")" "${first##* }"
		unwrap long "$(print_of "$(cut -d ' ' -f 2 <<< "$last")")" "${last##* }")" \
		"$right" > "$WORK/long.out"
	cat "$WORK/long.out"
	[ "$(grep -c "$right" "$WORK/long.out")" -eq 4 ] &&
		[ "$(requests '/keys/long/versions')" -eq 13 ]
}
ok "a long history is read once, whatever is wanted of it" long_history
ok "a firewall is not: it may be where we are" \
	under "vault firewall" "$(configure; poll)" '"away".*ForbiddenByFirewall'

# --- where it is ---

ok "an endpoint that is down is passed over" \
	with "$(configure uri=azure:https://down.vault.azure.net/keys/root \
		endpoints=https://main.vault.azure.net; unwrap)" "$right"
ok "one that hangs leaves time for the next" within 4 \
	with "$(configure uri=azure:https://mute.vault.azure.net/keys/root timeout=3000 \
		endpoints='https://down.vault.azure.net, https://main.vault.azure.net'
		public_key)" "$NEWEST_SPKI"

first_is_enough()
{
	forget_log
	with "$(configure endpoints=https://copy.vault.azure.net; unwrap)" "$right" &&
		under "vault 403" "$(configure endpoints=https://copy.vault.azure.net
			unwrap)" '"refused"' && [ "$(requests ' copy')" -eq 0 ]
}
ok "what one says, another is not asked" first_is_enough
ok "an endpoint that its tokens are not for is refused" \
	with "$(configure endpoints=https://copy.evil.example)" '"refused".*copy.evil'
ok "all down is away, and the last is named" \
	with "$(configure uri=azure:https://down.vault.azure.net/keys/root \
		endpoints=https://mute.vault.azure.net timeout=2000; unwrap)" \
	'"away".*mute.vault.azure.net'
ok "a name server that hangs is away in time" within 3 \
	with "$(configure uri=azure:https://nowhere.vault.azure.net/keys/root timeout=2000
		unwrap)" '"away".*(resolve|Resolving|Timeout|timed out)'

no_resolver()
{
	echo "nameserver 127.0.0.54" > "$WORK/resolv.conf"
	with "$(configure uri=azure:https://nowhere.vault.azure.net/keys/root
		unwrap)" '"away".*resolve'
	local status=$?
	echo "nameserver 127.0.0.53" > "$WORK/resolv.conf"
	return $status
}
ok "a name that is not found is away" no_resolver

ok "with a clock a day off, Azure's counts" \
	skewed 86400 'soon expired' 'clock is -?8[0-9]{4} s off'

# --- secrets ---

at_rest()
{
	{ configure; public_key; unwrap; } | $PYTHON "$HERE/azure_memory.py" \
		"$PROGRAMS/vault-azure" "$WORK/tokens" "$PASSWORD" $SHARE
}
ok "what the process holds at rest: a token, no password, no share" at_rest

no_secret_told()
{
	local echoed

	under "token echo" "$(configure; unwrap)" '"refused".*left out' &&
		under "vault echo" "$(configure; unwrap)" '"refused".*left out' &&
		under "vault echo-challenge" "$(configure; unwrap)" \
			'"invalid".*shows one of ours' &&
		under "vault echo:key.kid" "$(configure; public_key)" \
			'"invalid".*secret of ours as .*kid' &&
		under "vault pass 1
vault echo:nextLink" "$(configure; unwrap)" '"invalid".*secret of ours as .*nextLink' ||
		return
	for echoed in "$PASSWORD" "$NEW_PASSWORD" "$FEDERATED"; do
		! grep -F -e "$echoed" "$WORK/replies" || return
	done
	[ -s "$WORK/tokens" ] && ! grep -F -f "$WORK/tokens" "$WORK/replies"
}
ok "no reply or message shows a secret or a token, though servers send them back" \
	no_secret_told

# --- the daemon ---

start_daemon()
{
	mkdir -p "$WORK/state/keks"
	envelope old azure "$PRINT"
	section azure https://main.vault.azure.net/keys/root "${1:-1s}" \
		> "$WORK/vaultring.conf"
	daemon_up
}

# killed_at REQUEST: its worker is killed while that is under way.
killed_at()
{
	local left=100 asking status

	forget_log
	echo "$1 hang:20 1" > "$WORK/fault"
	[ "$2" = first ] || echo "$1 pass 1
$1 hang:20 1" > "$WORK/fault"
	check azure > "$WORK/killed" 2>&1 &
	asking=$!
	until [ ! -s "$WORK/fault" ]; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 0.1
	done
	kill -KILL "$(pgrep -P $DAEMON vault-azure)"
	wait $asking
	cat "$WORK/killed"
	grep EAGAIN "$WORK/killed" | grep -q "ended by signal 9" && check azure
}
ok "the daemon checks the vault by a clear share of its own" \
	eval "start_daemon && check azure"

looks()
{
	key_is agrees "$PRINT" && sdk enable root "$VERSION" no &&
		key_is refused "$PRINT" &&
		grep -E "refuses: .*(key root is|on a) disabled" \
			"$WORK/daemon.log" &&
		sdk enable root "$VERSION" yes && key_is agrees "$PRINT"
}
ok "its looks are at the version that an envelope is for" looks
daemon_down > /dev/null
ok "a worker killed while it asks for a token costs that one request" \
	eval "start_daemon 0 && killed_at token first"
ok "while it asks for the key, too" killed_at vault first
ok "and while the vault unwraps" killed_at vault second

clean_log()
{
	daemon_down
	! grep -F -e "$PASSWORD" -e Bearer "$WORK/daemon.log" &&
		! grep -F -f "$WORK/tokens" "$WORK/daemon.log" &&
		! grep -i sanitizer "$WORK/daemon.log" "$WORK/replies"
}
ok "the daemon's log shows no secret, and no program was wrong" clean_log
finish
