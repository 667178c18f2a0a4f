#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The PKCS#11 worker, and the daemon without the kernel, against a SoftHSM token
# in a folder of its own.  Needs no module and changes nothing outside of it.
#
# PROGRAMS names the folder of vaultringd and vault-pkcs11; without it they are
# built with ASan and UBSan.

# shellcheck disable=SC2059,SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

REPO=$(cd "$HERE/.." && pwd)
SOFTHSM=/usr/lib/softhsm/libsofthsm2.so
export SOFTHSM2_CONF=$WORK/softhsm2.conf
PYTHON=/usr/bin/python3
DRIVE="$PYTHON $HERE/worker_drive.py"
SOCKET=$WORK/sock
PIN_FILE=$WORK/pin
TOKENS=$WORK/tokens
DAEMON=
unset BAD_PKCS11

build()
{
	if [ -z "${PROGRAMS:-}" ]; then
		PROGRAMS=$REPO/build/sanitized
		# Another test may be building there, too.
		mkdir -p "$REPO/build" && flock "$REPO/build" \
			make -s -j"$(nproc)" -C "$REPO/daemon" SANITIZE=1 \
			BUILD="$PROGRAMS" || return
	fi
	# shellcheck disable=SC2046 # flags
	cc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 \
		$(pkg-config --cflags p11-kit-1) -fPIC -shared \
		-o "$WORK/bad_pkcs11.so" "$HERE/bad_pkcs11.c"
}

p11()
{
	pkcs11-tool --module "$SOFTHSM" --token-label vaultring --login \
		--pin 1234 "$@"
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
	(umask 077 && echo 1234 > "$PIN_FILE")
	softhsm2-util --init-token --free --label vaultring --pin 1234 \
		--so-pin 5678 &&
		new_key "$WORK/root.pem" && new_key "$WORK/peer.pem" &&
		new_key "$WORK/twin.pem" && new_key "$WORK/p384.pem" P-384 &&
		import "$WORK/root.pem" root 01 --sensitive &&
		import "$WORK/root.pem" loose 02 --extractable &&
		import "$WORK/root.pem" twin 03 --sensitive &&
		import "$WORK/twin.pem" twin 04 --sensitive &&
		import "$WORK/p384.pem" p384 05 --sensitive &&
		p11 --keypairgen --key-type EC:prime256v1 --usage-derive \
			--sensitive --label victim --id 06
}

hex()
{
	xxd -p -c 1000
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

# Lines for the worker come from standard input.
worker()
{
	timeout 60 $DRIVE worker "$PROGRAMS/vault-pkcs11"
}

# with LINES PATTERN [PATTERN...]: the replies hold each pattern.
with()
{
	local lines=$1 replies pattern

	shift
	replies=$(printf '%s\n' "$lines" | worker 2>&1)
	printf '%s\n' "$replies"
	for pattern; do
		grep -Eq -- "$pattern" <<< "$replies" || {
			echo "lacks: $pattern"
			return 1
		}
	done
}

# bad MODE PATTERN...: an exchange through the library that misbehaves so.
bad()
{
	local library=$WORK/bad_pkcs11-$1.so

	shift
	ln -sf bad_pkcs11.so "$library"
	with "$(configure "$library"; exchange)" "$@"
}

right='"x": ?"'
public_key()
{
	with "$(configure)
{\"id\":2,\"op\":\"public-key\",\"key\":\"\"}" "\"spki\": ?\"$SPKI\""
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
	local i

	with "$(configure; for i in $(seq 50); do exchange; done)" "$right$TRUTH" \
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
	echo 1234 > "$PIN_FILE"
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
!echo 1234 > $PIN_FILE
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
!pkcs11-tool --module $SOFTHSM --token-label vaultring --login --pin 1234 --delete-object --type privkey --label victim
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

# --- the daemon, without the kernel ---

vault_section()
{
	ln -sf bad_pkcs11.so "$WORK/bad_pkcs11-$2.so"
	printf '[vault %s]\nuri = pkcs11:token=vaultring;object=root\n' "$1"
	# The line goes on: long URIs need that.
	printf '  ?module-path=%s/bad_pkcs11-%s.so\n' "$WORK" "$2"
	printf 'pin-source = %s\ntimeout = 1s\n' "$PIN_FILE"
}

start_daemon()
{
	local left=50

	{
		echo '# comment'
		vault_section hsm good
		vault_section hangs hang
		vault_section crashes crash
		vault_section wrong garbage
		vault_section env none
		echo "environment = BAD_PKCS11=error A=b"
	} > "$WORK/vaultring.conf"
	mkdir -p "$WORK/state"
	"$PROGRAMS/vaultringd" --config "$WORK/vaultring.conf" --user '' \
		--state "$WORK/state" --socket "$SOCKET" --libexec "$PROGRAMS" \
		--no-kernel --debug 2> "$WORK/daemon.log" &
	DAEMON=$!
	until [ -S "$SOCKET" ]; do
		left=$((left - 1))
		[ $left -gt 0 ] || { cat "$WORK/daemon.log"; return 1; }
		sleep 0.1
	done
}

call()
{
	timeout 30 $DRIVE call "$SOCKET" "$@"
}

check()
{
	call VaultCheck "{\"vault\":\"$1\"}"
}

hang_costs_a_timeout()
{
	local start=$SECONDS

	check hangs | tee /dev/stderr | grep EAGAIN | grep -q "no answer within" &&
		[ $((SECONDS - start)) -le 5 ]
}

others_meanwhile()
{
	local status hanging

	check hangs > /dev/null &
	hanging=$!
	sleep 0.3
	timeout 1 $DRIVE call "$SOCKET" VaultCheck '{"vault":"hsm"}'
	status=$?
	wait $hanging
	return $status
}

listing()
{
	call VaultList | tee /dev/stderr | $PYTHON -c '
import json, sys
vaults = {v["name"]: v for v in json.load(sys.stdin)["parameters"]["vaults"]}
assert vaults["hsm"]["state"] == "ready" and vaults["hsm"]["latency_ms"] > 0
assert vaults["hangs"]["state"] == "away" and vaults["hangs"]["message"]
assert vaults["env"]["state"] == "unknown" and vaults["env"]["latency_ms"] is None
assert "bad_pkcs11-good.so" in vaults["hsm"]["uri"]'
}

spki_of_daemon()
{
	call VaultPublicKey '{"vault":"hsm:root"}' | tee /dev/stderr |
		grep "\"$SPKI\"" | grep -q "\"$FINGERPRINT\""
}

stranger()
{
	chmod 711 "$WORK"
	setpriv --reuid 12345 --regid 12345 --clear-groups \
		$PYTHON "$WORK/drive.py" call "$SOCKET" VaultList
}

slow_clients()
{
	local i pids=()

	for i in $(seq 5); do
		$PYTHON -c "
import socket, time
s = socket.socket(socket.AF_UNIX); s.connect('$SOCKET')
s.sendall(b'{\"method\":'); time.sleep(5)" &
		pids+=($!)
	done
	sleep 0.5
	timeout 2 $DRIVE call "$SOCKET" VaultList
	i=$?
	kill "${pids[@]}"
	return $i
}

worker_killed()
{
	local pid

	for pid in $(pgrep -P $DAEMON); do
		kill -KILL "$pid"
	done
	check hsm
}

idle()
{
	local before after

	before=$(awk '/ctxt/ { n += $2 } END { print n }' /proc/$DAEMON/status)
	sleep 3
	after=$(awk '/ctxt/ { n += $2 } END { print n }' /proc/$DAEMON/status)
	echo "$before $after"
	[ "$before" -eq "$after" ]
}

damaged_envelope_is_kept()
{
	head -c 300 /dev/urandom > "$WORK/state/keks/bad@1.env"
	call KekList && grep "bad@1.env: damaged" "$WORK/daemon.log" &&
		[ -s "$WORK/state/keks/bad@1.env" ]
}

no_core_no_privileges()
{
	local pid

	for pid in $(pgrep -P $DAEMON) $DAEMON; do
		grep -q 'NoNewPrivs:[[:space:]]*1' "/proc/$pid/status" &&
			grep -q 'CapEff:[[:space:]]*0*$' "/proc/$pid/status" &&
			grep -q 'CapPrm:[[:space:]]*0*$' "/proc/$pid/status" &&
			grep -q 'Max core file size *0 ' "/proc/$pid/limits" ||
			return
	done
	pid=$(pgrep -P $DAEMON | head -n 1)
	grep 'Seccomp:[[:space:]]*2' "/proc/$pid/status" &&
		! tr '\0' '\n' < "/proc/$pid/environ" | grep -q '^HOME='
}

no_pin_in_log()
{
	! grep -q 1234 "$WORK/daemon.log"
}

stops()
{
	kill -TERM $DAEMON
	wait $DAEMON && DAEMON='' && [ ! -e "$SOCKET" ] && ! grep -i "sanitizer" \
		"$WORK/daemon.log"
}

config_refused()
{
	printf "$1" > "$WORK/bad.conf"
	timeout 10 "$PROGRAMS/vaultringd" --config "$WORK/bad.conf" --user '' \
		--state "$WORK/state" --socket "$WORK/other" \
		--libexec "$PROGRAMS" --no-kernel
}

# In place of lib.sh's, which is for a guest with a daemon of its own.
tidy()
{
	[ -z "$DAEMON" ] || kill "$DAEMON"
	rm -rf "$WORK"
}
trap tidy EXIT

ok "worker and library build" build
ok "a token with keys is there" set_up_token
[ $FAILED -eq 0 ] || { echo "Bail out! nothing to test with"; exit 1; }
cp "$HERE/worker_drive.py" "$WORK/drive.py"
set_up_truth || { echo "Bail out! no truth to compare with"; exit 1; }

ok "an exchange equals OpenSSL's ECDH" \
	with "$(configure; exchange)" "$right$TRUTH"
ok "the public key is OpenSSL's SubjectPublicKeyInfo" public_key
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

ok "the daemon starts without the kernel when told so" start_daemon
ok "vault check: the daemon's own ECDH agrees" check hsm
ok "the daemon gives the vault's public key and fingerprint" spki_of_daemon
refused "a vault that is not configured is named" "no vault nope" check nope
ok "a library that hangs is killed at the timeout and away" hang_costs_a_timeout
ok "and again, with a new worker" hang_costs_a_timeout
ok "a vault that hangs does not hold up another one" others_meanwhile
refused "a library that crashes is away" "EAGAIN.*signal 6" check crashes
refused "and again, with a new worker" "EAGAIN.*signal 6" check crashes
refused "a wrong answer is found out" "EKEYREJECTED.*wrong answer" check wrong
ok "the listing tells the states" listing
refused "the settings' environment reaches the library" "EAGAIN.*0x80000007" \
	check env
ok "a worker that was killed is replaced" worker_killed
refused "a user who is not root is refused" "EACCES.*only root" stranger
refused "a method that does not exist is named" "no such method: vaultring.X" \
	call X
refused "a KEK needs the kernel" "no-kernel" call KekUnseal '{"name":"prod"}'
refused "a message that is too long is refused" "EMSGSIZE" \
	$DRIVE raw "$SOCKET" "$(head -c 70000 /dev/zero | tr '\0' x)"
ok "clients that say half a message hold nobody up" slow_clients
ok "a damaged envelope is reported and kept" damaged_envelope_is_kept
ok "neither daemon nor workers have capabilities or core files" \
	no_core_no_privileges
ok "the daemon sleeps while nothing is asked" idle
ok "the PIN is in no log" no_pin_in_log
ok "it stops when told to, and takes its socket along" stops
refused "a setting outside of a section is named with its line" "conf:1: " \
	config_refused 'x = 1\n'
refused "a PIN in the settings is refused" "holds a PIN" config_refused \
	'[vault a]\nuri = pkcs11:token=a?pin-value=1\n'
refused "a line that is too long is not cut" "conf:2: .*too long" \
	config_refused "[vault a]\nuri = pkcs11:token=$(printf %0300d 0)\n"
refused "a timeout that is none is named" "conf:3: .*5s" config_refused \
	'[vault a]\nuri = pkcs11:a\ntimeout = soon\n'
finish
