# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What azure_test.sh stands on: a network of its own in which the names of Azure
# are this machine, the server that answers there, and the worker asked as the
# daemon would.  Sourced, never run.

# shellcheck disable=SC2034,SC2086,SC2120,SC2317,SC2329 # used by those who source this
if [ -z "${AZURE_NETWORK:-}" ]; then
	exec env AZURE_NETWORK=1 unshare --net --mount --propagation unchanged \
		"$0" "$@"
fi

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

REPO=$(cd "$HERE/.." && pwd)
PYTHON=/usr/bin/python3
DRIVE="$PYTHON $HERE/worker_drive.py"
export DRIVE_TIMES=yes
SERVER=
TENANT=11111111-2222-3333-4444-555555555555
CLIENT=99999999-8888-7777-6666-555555555555
SECRET_FILE=$WORK/client.secret
# Chosen so that no other text looks like them.
PASSWORD=Qv8~vaultring-azure-password.1
NEW_PASSWORD=Qv8~vaultring-azure-password.2
FEDERATED=ZmVk.ZXJhdGVk.dG9rZW4
SHARE=5ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75eff

build()
{
	[ -z "${PROGRAMS:-}" ] || return 0
	PROGRAMS=$REPO/build/sanitized
	# Another test may be building there, too.
	mkdir -p "$REPO/build" && flock "$REPO/build" make -s -j"$(nproc)" \
		-C "$REPO/daemon" SANITIZE=1 BUILD="$PROGRAMS"
}

# --- the network ---

network_up()
{
	cat > "$WORK/hosts" << 'HOSTS'
127.0.0.1 localhost main.vault.azure.net copy.vault.azure.net login.microsoftonline.com
127.0.0.1 hsm.managedhsm.azure.net
127.0.0.1 login.evil.example main.evil.example copy.evil.example
127.0.0.1 pool.managedhsm.azure.net host.attest.azure.net
127.0.0.1 main.vault.azure.cn login.chinacloudapi.cn
127.0.0.1 main.vault.usgovcloudapi.net login.microsoftonline.us
127.0.0.2 name.vault.azure.net
127.0.0.3 expired.vault.azure.net
127.0.0.4 stranger.vault.azure.net
127.0.0.5 early.vault.azure.net
127.0.0.6 old.vault.azure.net
127.0.0.7 plain.vault.azure.net
127.0.0.8 mute.vault.azure.net
127.0.0.9 down.vault.azure.net
HOSTS
	echo "nameserver 127.0.0.53" > "$WORK/resolv.conf"
	ip link set lo up && ip addr add 169.254.169.254/32 dev lo &&
		mount --bind "$WORK/hosts" /etc/hosts &&
		mount --bind "$WORK/resolv.conf" /etc/resolv.conf
}

# certificate NAME CA SUBJECT-ALT-NAMES [DAYS-BEFORE DAYS-AFTER [HASH]]
certificate()
{
	local from to

	from=$(date -u -d "${4:--1} days" +%Y%m%d%H%M%SZ)
	to=$(date -u -d "${5:-1} days" +%Y%m%d%H%M%SZ)
	printf '%s\n' "subjectAltName=$3" authorityKeyIdentifier=keyid \
		extendedKeyUsage=serverAuth > "$WORK/ext"
	openssl req -new -newkey rsa:2048 -nodes -subj "/CN=test" \
		-keyout "$WORK/tls/$1.key" -out "$WORK/csr" &&
		openssl ca -batch -notext -md "${6:-sha256}" -config "$WORK/ca.conf" \
			-cert "$WORK/$2.pem" -keyfile "$WORK/$2.key" \
			-extfile "$WORK/ext" -startdate "$from" -enddate "$to" \
			-in "$WORK/csr" -out "$WORK/tls/$1.pem"
}

authority()
{
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" \
		-addext keyUsage=critical,keyCertSign -keyout "$WORK/$1.key" \
		-out "$WORK/$1.pem"
}

certificates()
{
	local good='DNS:*.vault.azure.net,DNS:*.managedhsm.azure.net,DNS:login.microsoftonline.com,DNS:*.evil.example'

	good+=',DNS:*.attest.azure.net,DNS:*.vault.azure.cn,DNS:login.chinacloudapi.cn'
	good+=',DNS:*.vault.usgovcloudapi.net,DNS:login.microsoftonline.us'
	mkdir -p "$WORK/tls" "$WORK/issued"
	touch "$WORK/index"
	printf '%s\n' '[ca]' 'default_ca=x' '[x]' "database=$WORK/index" \
		"new_certs_dir=$WORK/issued" rand_serial=yes policy=p \
		unique_subject=no '[p]' commonName=supplied > "$WORK/ca.conf"
	authority ca && authority other && certificate good ca "$good" &&
		certificate name ca DNS:other.vault.azure.net &&
		certificate expired ca "$good" -3 -1 &&
		certificate early ca "$good" 1 3 &&
		certificate stranger other "$good" &&
		certificate old ca "$good" && authority release-ca &&
		certificate release release-ca DNS:release &&
		certificate weak release-ca DNS:release -1 1 sha1 &&
		certificate forged other DNS:release &&
		openssl req -x509 -newkey rsa:2048 -nodes -days 2 \
			-subj /CN=client -keyout "$WORK/client.key" \
			-out "$WORK/cert.pem" &&
		(umask 077 && cat "$WORK/cert.pem" "$WORK/client.key" \
			> "$WORK/client.pem")
}

register()
{
	(umask 077
		printf %s "$PASSWORD" > "$WORK/secret"
		printf '%s\n' "$PASSWORD" > "$SECRET_FILE"
		printf %s "$FEDERATED" > "$WORK/federated")
}

server_up()
{
	local left=100

	mkfifo "$WORK/control"
	$PYTHON "$HERE/azure_server.py" "$WORK" < "$WORK/control" \
		> "$WORK/server.log" 2>&1 &
	SERVER=$!
	exec 7> "$WORK/control"
	until grep -qs ready "$WORK/log"; do
		left=$((left - 1))
		[ $left -gt 0 ] || { cat "$WORK/server.log"; return 1; }
		sleep 0.1
	done
}

# server KEY VALUE: changes it and waits until that has happened.
server()
{
	local left=50 before

	before=$(grep -c "^set $1 " "$WORK/log")
	echo "$1 $2" >&7
	while [ "$(grep -c "^set $1 " "$WORK/log")" -eq "$before" ]; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 0.1
	done
}

# The same as a line for with(): run while the worker waits.
SDK_LINE="cd $HERE && REQUESTS_CA_BUNDLE=$WORK/ca.pem PYTHONPATH=${AZURE_SDK:-} $PYTHON azure_sdk.py $WORK"

sdk()
{
	REQUESTS_CA_BUNDLE=$WORK/ca.pem PYTHONPATH=$AZURE_SDK \
		PYTHONDONTWRITEBYTECODE=1 \
		timeout 120 $PYTHON "$HERE/azure_sdk.py" "$WORK" "$@"
}

# --- the worker ---

# configure [NAME=VALUE]...: without a value it is left out.
configure()
{
	local item name list='' timeout=10000
	declare -A set=([uri]=azure:https://main.vault.azure.net/keys/root
		[ca-file]=$WORK/ca.pem [client-id]=$CLIENT [tenant]=$TENANT
		[credential]=secret [client-secret-file]=$SECRET_FILE)

	for item; do
		set[${item%%=*}]=${item#*=}
	done
	timeout=${set[timeout]:-$timeout}
	unset 'set[timeout]'
	for name in "${!set[@]}"; do
		[ -z "${set[$name]}" ] || list+=",\"$name\":\"${set[$name]}\""
	done
	printf '{"id":1,"op":"configure","timeout-ms":%s,"settings":{%s}}\n' \
		"$timeout" "${list#,}"
}

print_of()
{
	printf %s "$1" | xxd -r -p | sha256sum | cut -d ' ' -f 1
}

public_key()
{
	printf '{"id":2,"op":"public-key","key":"%s"}\n' "${1:-}"
}

# poll [KEY] [FINGERPRINT]
poll()
{
	printf '{"id":3,"op":"public-key","poll":true,"key":"%s","spki-fingerprint":"%s"}\n' \
		"${1:-}" "${2:-$PRINT}"
}

# unwrap [KEY] [FINGERPRINT] [CIPHERTEXT]
unwrap()
{
	printf '{"id":4,"op":"unwrap","key":"%s","spki-fingerprint":"%s","ciphertext":"%s"}\n' \
		"${1:-}" "${2:-$PRINT}" "${3:-$WRAPPED}"
}

# wrap [KEY] [FINGERPRINT]
wrap()
{
	printf '{"id":5,"op":"wrap","key":"%s","spki-fingerprint":"%s"}\n' \
		"${1:-}" "${2:-$OCT_PRINT}"
}

worker()
{
	timeout 60 $DRIVE worker "$PROGRAMS/vault-azure" 2>&1 |
		tee -a "$WORK/replies"
}

# with LINES PATTERN...: the replies hold each pattern.
with()
{
	local lines=$1 replies pattern

	shift
	replies=$(printf '%s\n' "$lines" | worker)
	printf '%s\n' "$replies"
	for pattern; do
		grep -Eq -- "$pattern" <<< "$replies" || {
			echo "lacks: $pattern"
			return 1
		}
	done
}

# under FAULTS LINES PATTERN...: the same, with faults from the second line on.
under()
{
	local faults=$1 status

	shift
	printf '%s\n' "$faults" > "$WORK/fault"
	with "$@"
	status=$?
	rm -f "$WORK/fault"
	return $status
}

# longest FILE: the time of the answer that took longest, in ms.
longest()
{
	sed -n 's/^(answered in \([0-9]*\) ms)$/\1/p' "$1" | sort -n | tail -n 1
}

# within SECONDS CMD...: no answer takes longer; how long the worker takes to
# start is the machine's affair.
within()
{
	local limit=$1 status

	shift
	"$@" > "$WORK/within"
	status=$?
	cat "$WORK/within"
	[ $status -eq 0 ] && [ "$(longest "$WORK/within")" -le $((limit * 1000)) ]
}

# worker_killed FAULTS CONFIGURATION LINE: while it is about to answer.
worker_killed()
{
	under "$1" "$2
$(kill_worker vault-azure)
$3" '^\(ended\)$'
}

# twice CMD...: with() whose pattern, the last word, two replies hold.
twice()
{
	"$@" > "$WORK/twice"
	cat "$WORK/twice"
	[ "$(grep -cE -- "${*: -1}" "$WORK/twice")" -eq 2 ]
}

# without WHAT CMD...: while that is not allowed.
without()
{
	local status

	echo "$1" > "$WORK/access"
	shift
	"$@"
	status=$?
	rm -f "$WORK/access"
	return $status
}

# skewed SECONDS REFUSAL WARNING: with the server's clock so far off, the key `root`
# is used, and `soon` refused by the server's time.
skewed()
{
	local status

	server skew "$1" || return
	forget_log
	with "$(configure credential=certificate client-certificate-file="$WORK/client.pem"
		unwrap; unwrap soon "$SOON" "$SOON_WRAPPED")" "$right" \
		"\"refused\".*$2" "$3" &&
		[ "$(requests '^token POST')" -eq 2 ]
	status=$?
	server skew 0
	return $status
}

# requests PATTERN: how many the server has seen since the last `forget_log`.
requests()
{
	grep -cE -- "$1" "$WORK/log"
}

forget_log()
{
	echo ready > "$WORK/log"
}

# Five versions of the key `root`; the fourth is what the test's envelope is for,
# and on the second page of the vault's list.
set_up_keys()
{
	sdk create root $SHARE versions=5 > "$WORK/root" || return
	read -r VERSION SPKI WRAPPED <<< "$(sed -n 4p "$WORK/root")"
	read -r NEWEST NEWEST_SPKI _ <<< "$(tail -n 1 "$WORK/root")"
	PRINT=$(print_of "$SPKI")
	NEWEST_PRINT=$(print_of "$NEWEST_SPKI")
	[ ${#WRAPPED} -eq 512 ] && [ "$PRINT" != "$NEWEST_PRINT" ]
}

# Three versions of Managed HSM's key `wraps`; the first is what an envelope is for.
set_up_symmetric()
{
	HSM=https://hsm.managedhsm.azure.net/keys
	OCT=0c70c70c70c70c70c70c70c70c70c70c70c70c70c70c70c70c70c70c70c70c7f
	sdk symmetric wraps $SHARE $OCT > "$WORK/oct" &&
		sdk symmetric wraps $SHARE - >> "$WORK/oct" &&
		sdk symmetric wraps $SHARE - >> "$WORK/oct" || return
	read -r OCT_VERSION OCT_WRAPPED <<< "$(head -n 1 "$WORK/oct")"
	read -r OCT_NEWEST _ <<< "$(tail -n 1 "$WORK/oct")"
	OCT_PRINT=$(identity_print wraps "$OCT_VERSION")
	[ ${#OCT_WRAPPED} -eq 80 ] && [ "$OCT_VERSION" != "$OCT_NEWEST" ]
}

# identity_print KEY VERSION
identity_print()
{
	printf %s "$HSM/$1/$2" | sha256sum | cut -d ' ' -f 1
}

right="\"secret\":\"$SHARE\""

# --- the daemon ---

# envelope NAME VAULT FINGERPRINT: one that no kernel made, with a clear share.
envelope()
{
	$PYTHON - "$@" > "$WORK/state/keks/$1@1.env" << 'END'
import struct, sys
name, vault, fingerprint = sys.argv[1:]
sys.stdout.buffer.write(struct.pack(
    "<4sBBBBIIQQIBB2x64x64s32s16s32s", b"VRE1", 1, 1, 1, 0, 1, 2, 0, 0, 0, 0, 0,
    name.encode(), b"", b"i" * 16, b"") + struct.pack(
    "<BBH4x64s32s32s", 1, 3, 0, vault.encode(), bytes.fromhex(fingerprint), b""))
END
}

# section VAULT URL POLL: of vaultring.conf
section()
{
	cat << CONF
[vault $1]
uri = azure:$2
ca-file = $WORK/ca.pem
tenant = $TENANT
client-id = $CLIENT
credential = secret
client-secret-file = $SECRET_FILE
timeout = 8s
poll = $3
CONF
}

daemon_up()
{
	local left=100

	"$PROGRAMS/vaultringd" --config "$WORK/vaultring.conf" --user '' \
		--state "$WORK/state" --socket "$WORK/sock" --libexec "$PROGRAMS" \
		--no-kernel --debug 2> "$WORK/daemon.log" &
	DAEMON=$!
	until [ -S "$WORK/sock" ]; do
		left=$((left - 1))
		[ $left -gt 0 ] || { cat "$WORK/daemon.log"; return 1; }
		sleep 0.1
	done
}

daemon_down()
{
	# To wait for nobody is to wait for the server, too.
	[ -n "$DAEMON" ] || return
	cat "$WORK/daemon.log"
	kill $DAEMON
	wait $DAEMON
	DAEMON=
	rm -f "$WORK/sock"
}

# check VAULT
check()
{
	timeout 30 $DRIVE call "$WORK/sock" VaultCheck "{\"vault\":\"$1\"}"
}

# key_is STATE FINGERPRINT: of the envelope's version, which is not the newest.
key_is()
{
	local left=300

	until timeout 30 $DRIVE call "$WORK/sock" VaultList > "$WORK/list" &&
		grep -qE "$2\", \"state\": \"$1\"|\"state\": \"$1\".*$2" \
			"$WORK/list"; do
		left=$((left - 1))
		[ $left -gt 0 ] || { cat "$WORK/list"; return 1; }
		sleep 0.1
	done
}

set_up()
{
	trap tidy EXIT
	ok "the worker builds" build
	ok "certificates and a network are there" \
		eval "certificates && network_up"
	register
	ok "the server is up" server_up
	[ $FAILED -eq 0 ] || { echo "Bail out! nothing to test with"; exit 1; }
}

# In place of lib.sh's, which is for a guest with a daemon of its own.
tidy()
{
	[ -z "$SERVER" ] || kill "$SERVER"
	[ -z "${DAEMON:-}" ] || kill "$DAEMON"
	umount /etc/hosts /etc/resolv.conf
	rm -rf "$WORK"
}
