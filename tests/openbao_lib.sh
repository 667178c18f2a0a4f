# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# For openbao_test.sh, openbao_access_test.sh and openbao_faults_test.sh: the
# server and its operator, requests to the worker, and what they are compared with.
# Sourced, never run.

# shellcheck disable=SC2086,SC2119,SC2120 # words; arguments that may be left out
if [ -z "${OWN_NETWORK:-}" ]; then
	# shellcheck disable=SC2016 # expanded by the inner shell
	exec unshare --net env OWN_NETWORK=yes bash -c \
		'ip link set lo up && exec "$0"' "$0"
fi
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

REPO=$(cd "$HERE/.." && pwd)
PYTHON=/usr/bin/python3
SERVER=https://127.0.0.1:8200
# What stands in between, and falsifies answers.
PROXY=https://127.0.0.1:8300
BAO=${OPENBAO:-}/bao
# For operators, with a token that may do all.
BAO_CLI="env BAO_ADDR=$SERVER BAO_CACERT=$WORK/ca.pem BAO_TOKEN_FILE=$WORK/root-token $WORK/operator"
AUDIT=$WORK/audit.log
REPLIES=$WORK/replies
SERVER_PID='' PROXY_PID='' DAEMON=''
# shellcheck disable=SC2034 # patterns, for those who source this
AWAY='"error": ?"away"' REFUSED='"error": ?"refused"' INVALID='"error": ?"invalid"'
# shellcheck disable=SC2034
HERE_TOO='"here": ?true'

build()
{
	[ -z "${PROGRAMS:-}" ] || return 0
	PROGRAMS=$REPO/build/sanitized
	mkdir -p "$REPO/build" && flock "$REPO/build" \
		make -s -j"$(nproc)" -C "$REPO/daemon" SANITIZE=1 BUILD="$PROGRAMS"
}

peer()
{
	$PYTHON "$HERE/openbao_peer.py" "$@"
}

# --- the server ---

# certificate NAME CA CA-KEY [DAYS]
certificate()
{
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-keyout "$WORK/$1.key" -out "$WORK/$1.csr" -subj "/CN=$1" &&
		openssl x509 -req -in "$WORK/$1.csr" -CA "$2" -CAkey "$3" \
			-days "${4:-30}" -out "$WORK/$1.pem" \
			-extfile <(echo "subjectAltName=$(printf 'IP:127.0.0.%s,' 1 3 6)IP:127.0.0.7")
}

authority()
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-keyout "$WORK/$1.key" -out "$WORK/$1.pem" -subj "/CN=$1" -days 30 \
		-addext keyUsage=critical,keyCertSign,cRLSign
}

write_configuration()
{
	cat > "$WORK/bao.hcl" << CONFIG
storage "raft" {
  path = "$WORK/data"
  node_id = "one"
}
listener "tcp" {
  address = "0.0.0.0:8200"
  cluster_address = "127.0.0.1:8201"
  tls_cert_file = "$WORK/server.pem"
  tls_key_file = "$WORK/server.key"
}
audit "file" "all" {
  options = {
    file_path = "$AUDIT"
  }
}
api_addr = "$SERVER"
cluster_addr = "https://127.0.0.1:8201"
CONFIG
	cat > "$WORK/operator" << 'SCRIPT'
#!/bin/sh
BAO_TOKEN=$(cat "$BAO_TOKEN_FILE")
export BAO_TOKEN
SCRIPT
	printf 'exec %s "$@"\n' "$BAO" >> "$WORK/operator"
	chmod 755 "$WORK/operator"
}

operator()
{
	$BAO_CLI "$@"
}

# wait_for CMD...: for up to a minute.
wait_for()
{
	local left=300

	until "$@" > "$WORK/waited" 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || { cat "$WORK/waited"; return 1; }
		sleep 0.2
	done
}

answers()
{
	local status

	operator status
	status=$?
	[ $status -eq 0 ] || [ $status -eq 2 ]
}

# It takes a moment to become the active node.
unseal()
{
	operator operator unseal "$(cat "$WORK/unseal")" &&
		wait_for operator read sys/health
}

start_server()
{
	"$BAO" server -config "$WORK/bao.hcl" > "$WORK/server.log" 2>&1 &
	SERVER_PID=$!
	wait_for answers || { cat "$WORK/server.log"; return 1; }
	[ ! -e "$WORK/unseal" ] || unseal
}

stop_server()
{
	kill -KILL $SERVER_PID
	wait $SERVER_PID 2> /dev/null
	SERVER_PID=''
}

init_server()
{
	mkdir -p "$WORK/data"
	: > "$WORK/root-token"
	start_server && operator operator init -key-shares=1 -key-threshold=1 \
		-format=json > "$WORK/init" || return
	$PYTHON -c '
import json, sys
d = json.load(open(sys.argv[1] + "/init"))
open(sys.argv[1] + "/unseal", "w").write(d["unseal_keys_b64"][0])
open(sys.argv[1] + "/root-token", "w").write(d["root_token"])' "$WORK"
	unseal
}

# The last two are for what azure_server.py would serve.
start_proxy()
{
	local name kind

	mkdir "$WORK/tls"
	for kind in pem key; do
		ln -s "$WORK/expired.$kind" "$WORK/tls/expired.$kind"
		for name in good old; do
			ln -s "$WORK/server.$kind" "$WORK/tls/$name.$kind"
		done
	done
	$PYTHON "$HERE/openbao_peer.py" proxy "$WORK" 127.0.0.1:8200 \
		"$WORK/ca.pem" > "$WORK/proxy.log" 2>&1 &
	PROXY_PID=$!
	wait_for grep ready "$WORK/log" || { cat "$WORK/proxy.log"; return 1; }
}

# under FAULTS CMD...: what the proxy does meanwhile.
under()
{
	local status

	printf '%s\n' "$1" > "$WORK/fault"
	echo ready > "$WORK/log"
	shift
	"$@"
	status=$?
	rm -f "$WORK/fault"
	return $status
}

# passed PATTERN: how many such requests came by since the last under().
passed()
{
	grep -cE -- "$1" "$WORK/log"
}

# --- its keys, policies, tokens ---

set_up_keys()
{
	local bits

	operator secrets enable transit &&
		operator write transit/keys/root type=rsa-3072 &&
		operator write transit/keys/victim type=rsa-2048 &&
		operator write transit/keys/victim2 type=rsa-2048 || return
	for bits in 2048 3072 4096; do
		operator write transit/keys/r$bits type=rsa-$bits || return
	done
	openssl genrsa -out "$WORK/host.key" 3072 &&
		openssl genrsa -out "$WORK/other-host.key" 3072 &&
		openssl pkey -in "$WORK/host.key" -pubout -out "$WORK/host.pub" &&
		openssl pkey -in "$WORK/other-host.key" -pubout \
			-out "$WORK/other-host.pub" &&
		operator write transit/keys/host/import type=rsa-3072 \
			public_key=@"$WORK/host.pub" &&
		operator write transit/keys/mine/import type=rsa-3072 \
			public_key=@"$WORK/host.pub" &&
		operator write transit/keys/kek exportable=true &&
		operator write transit/keys/kek2 exportable=true &&
		operator write transit/keys/fixed type=aes256-gcm96
}

# section NAME KEY SETTING=VALUE...
section()
{
	local setting

	printf '[vault %s]\nuri = openbao:%s/transit/%s\nca-file = %s\n' "$1" \
		"$SERVER" "$2" "$WORK/ca.pem"
	shift 2
	for setting; do
		echo "${setting%%=*} = ${setting#*=}"
	done
}

# For the tool, which makes policies of them, and for the daemon.
write_vaults()
{
	local sealed="method=sealed host-key=host token-file=$WORK/sealed-token"

	section bao root token-file="$WORK/token"
	section role root role-id=x secret-id-file="$WORK/secret-id"
	section sealed kek $sealed
	section sealed-1 kek $sealed key-version=1
	section team inner namespace=team token-file="$WORK/team-token"
} > "$WORK/vaultring.conf"

tool()
{
	local verb=$1

	shift
	"$PROGRAMS/vaultring" vault "$verb" --config "$WORK/vaultring.conf" "$@"
}

# policy_token POLICY [OPTION...]: it has that policy alone.
policy_token()
{
	local policy=$1

	shift
	operator token create -policy="$policy" -no-default-policy \
		-field=token "$@"
}

new_token()
{
	policy_token clear "$@"
}

new_role()
{
	operator write auth/approle/role/worker token_policies=role \
		token_no_default_policy=true token_ttl=1h token_max_ttl=2h &&
		operator read -field=role_id auth/approle/role/worker/role-id \
			> "$WORK/role-id" &&
		operator write -f -field=secret_id \
			auth/approle/role/worker/secret-id > "$WORK/secret-id"
}

set_up_access()
{
	write_vaults
	tool policy bao > "$WORK/clear.hcl" &&
		operator policy write clear "$WORK/clear.hcl" &&
		tool policy role > "$WORK/role.hcl" &&
		operator policy write role "$WORK/role.hcl" &&
		tool policy sealed | operator policy write sealed - &&
		tool policy sealed-1 | operator policy write sealed-1 - || return
	# The worker's policy, for all keys of this test.
	sed 's|/root"|/*"|' "$WORK/clear.hcl" | operator policy write any - ||
		return
	printf 'path "transit/keys/root" {\n  capabilities = ["read"]\n}\n' \
		> "$WORK/read-only.hcl"
	new_token > "$WORK/token" && policy_token any > "$WORK/any-token" &&
		policy_token sealed > "$WORK/sealed-token" &&
		operator auth enable approle && new_role
}

set_up_namespace()
{
	operator namespace create team &&
		BAO_NAMESPACE=team operator secrets enable transit &&
		BAO_NAMESPACE=team operator write transit/keys/inner \
			type=rsa-2048 &&
		tool policy team |
			BAO_NAMESPACE=team operator policy write inner - &&
		BAO_NAMESPACE=team operator token create -policy=inner \
			-no-default-policy -field=token > "$WORK/team-token"
}

set_up()
{
	umask 077
	[ -x "$BAO" ] || { echo "no $BAO: scripts/openbao fetches it"; return 1; }
	authority ca && authority other &&
		certificate server "$WORK/ca.pem" "$WORK/ca.key" &&
		certificate expired "$WORK/ca.pem" "$WORK/ca.key" 0 &&
		write_configuration && init_server && set_up_keys &&
		set_up_access && set_up_namespace && start_proxy
}

start()
{
	ok "worker and tool build" build
	ok "an OpenBao server is there, with keys" set_up
	[ $FAILED -eq 0 ] || { echo "Bail out! nothing to test with"; exit 1; }
}

# asked PATH: how often the server was asked for it since the last with().
asked()
{
	tail -c +$((AUDIT_FROM + 1)) "$AUDIT" | grep '"type":"request"' |
		grep -c "\"path\":\"[^\"]*$1\""
}

# denied_all TOKEN-FILE REQUEST...: the server permits none of them.
denied_all()
{
	peer denied 127.0.0.1:8200 "$WORK/ca.pem" "$@"
}

# --- truth ---

random()
{
	openssl rand -hex "${1:-32}"
}

hex()
{
	xxd -p -c 2000
}

# spki_of KEY VERSION, in hex; what it is never changes.
spki_of()
{
	local file=$WORK/spki-${BAO_NAMESPACE:-}-$1-$2

	[ -s "$file" ] || operator read -format=json "transit/keys/$1" |
		$PYTHON -c '
import json, sys
print(json.load(sys.stdin)["data"]["keys"][sys.argv[1]]["public_key"])' "$2" |
		openssl pkey -pubin -outform DER | hex > "$file"
	cat "$file"
}

exported()
{
	operator read -format=json "transit/export/encryption-key/$1/$2" |
		$PYTHON -c '
import base64, json, sys
key, = json.load(sys.stdin)["data"]["keys"].values()
print(base64.b64decode(key).hex())'
}

# --- requests ---

# configure [SETTING=VALUE...]: for a clear share of root, with a token.  A
# setting without a value is left out, and timeout is the daemon's, in seconds.
configure()
{
	local -A settings
	local pair name text=''

	for pair in uri="openbao:$SERVER/transit/root" ca-file="$WORK/ca.pem" \
		token-file="$WORK/token" timeout=5 "$@"; do
		settings[${pair%%=*}]=${pair#*=}
	done
	for name in "${!settings[@]}"; do
		[ -z "${settings[$name]}" ] || [ "$name" = timeout ] ||
			text="$text,\"$name\":\"${settings[$name]}\""
	done
	printf '{"id":1,"op":"configure","timeout-ms":%s,"settings":{%s}}\n' \
		"${settings[timeout]}000" "${text#,}"
}

configure_role()
{
	configure token-file= role-id="$(cat "$WORK/role-id")" \
		secret-id-file="$WORK/secret-id" "$@"
}

proxied_role()
{
	configure_role uri="openbao:$PROXY/transit/root" "$@"
}

# The same, by way of the proxy.
proxied()
{
	configure uri="openbao:$PROXY/transit/root" "$@"
}

configure_sealed()
{
	configure uri="openbao:$SERVER/transit/kek" method=sealed host-key=host \
		token-file="$WORK/sealed-token" "$@"
}

look()
{
	printf '{"id":2,"op":"public-key","key":"%s"}\n' "${1:-}"
}

fingerprint()
{
	xxd -r -p | sha256sum | cut -d ' ' -f 1
}

# poll [KEY VERSION]
poll()
{
	local print=''

	[ $# -eq 0 ] || print=$(spki_of "$1" "$2" | fingerprint)
	printf '{"id":3,"op":"public-key","poll":true,"key":"%s"' "${1:-}"
	[ -z "$print" ] || printf ',"spki-fingerprint":"%s"' "$print"
	echo '}'
}

# unwrap_with SPKI KEY SECRET
unwrap_with()
{
	local ciphertext

	xxd -r -p <<< "$1" > "$WORK/spki"
	ciphertext=$(xxd -r -p <<< "$3" | openssl pkeyutl -encrypt -pubin \
		-keyform DER -inkey "$WORK/spki" -pkeyopt rsa_padding_mode:oaep \
		-pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256 | hex)
	printf '{"id":4,"op":"unwrap","key":"%s","ciphertext":"%s","spki-fingerprint":"%s"}\n' \
		"$2" "$ciphertext" "$(fingerprint <<< "$1")"
}

# unwrap [KEY VERSION [SECRET]]
unwrap()
{
	unwrap_with "$(spki_of "${1:-root}" "${2:-1}")" "${1:-root}" \
		"${3:-$(random)}"
}

# release [TRANSPORT-KEY]
release()
{
	printf '{"id":5,"op":"release","key":"","transport":"%s","nonce":"%s"}\n' \
		"$(openssl pkey -in "${1:-$WORK/host.key}" -pubout -outform DER |
			hex)" "$(random)"
}

# Lines for the worker come from standard input.  What it says besides its
# replies is kept, each time in a file of its own.
worker()
{
	timeout 120 $PYTHON "$HERE/worker_drive.py" worker \
		"$PROGRAMS/vault-openbao" 2> >(tee -a "$WORK/said.stderr" >&2)
}

# with LINES PATTERN...: the replies hold each pattern.
with()
{
	local lines=$1 pattern

	shift
	AUDIT_FROM=$(stat -c %s "$AUDIT")
	worker <<< "$lines" > "$REPLIES" 2>&1
	cat "$REPLIES"
	for pattern; do
		grep -Eq -- "$pattern" "$REPLIES" || {
			echo "lacks: $pattern"
			return 1
		}
	done
}

# said COUNT PATTERN: so many replies to the last with() hold it.
said()
{
	local count

	count=$(grep -Ec -- "$2" "$REPLIES")
	[ "$count" -eq "$1" ] || { echo "$count and not $1: $2"; return 1; }
}

nothing_found()
{
	! grep -iE 'sanitizer|runtime error' "$WORK"/said.*
}

# In place of lib.sh's, which is for a guest with a daemon of its own.
tidy()
{
	[ -z "$SERVER_PID" ] || kill -KILL "$SERVER_PID"
	[ -z "$PROXY_PID" ] || kill "$PROXY_PID"
	[ -z "$DAEMON" ] || kill "$DAEMON"
	rm -rf "$WORK"
} 2> /dev/null
trap tidy EXIT
