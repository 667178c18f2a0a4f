#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The daemon, without the kernel, and how its workers end against a SoftHSM token in a folder of its own.
# Needs no module and changes nothing outside of it.

# shellcheck disable=SC2059,SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/softhsm_lib.sh"

# vault_section NAME MODE [TIMEOUT [TOKEN]]
vault_section()
{
	ln -sf bad_pkcs11.so "$WORK/bad_pkcs11-$2.so"
	printf '[vault %s]\nuri = pkcs11:token=%s;object=root\n' "$1" \
		"${4:-vaultring}"
	# The line goes on: long URIs need that.
	printf '  ?module-path=%s/bad_pkcs11-%s.so\n' "$WORK" "$2"
	printf 'pin-source = %s\ntimeout = %s\n' "$PIN_FILE" "${3:-5s}"
}

# The sanitizer wants to be the first one.
slow_writing()
{
	echo "environment = LD_PRELOAD=$WORK/slow_truncate.so"
	echo "  ASAN_OPTIONS=verify_asan_link_order=0"
}

start_daemon()
{
	{
		echo '# comment'
		vault_section hsm good
		vault_section hangs hang 1s
		vault_section lasts hang 5s
		vault_section crashes crash
		vault_section wrong garbage
		vault_section env none
		echo "environment = BAD_PKCS11=error A=b"
		vault_section starts slow-init 1s
		vault_section writes none 1s beside
		slow_writing
		vault_section fills none 10s beside
		slow_writing
	} > "$WORK/vaultring.conf"
	daemon_on
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
	local hanging

	mark
	check lasts > /dev/null &
	hanging=$!
	soon says 1 "it hangs" && check hsm && kill -0 $hanging
	set -- $?
	wait $hanging
	return "$1"
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
	head -c 300 /dev/urandom > "$WORK/envelopes/keks/bad@1.env"
	call KekList && grep "bad@1.env: damaged" "$WORK/daemon.log" &&
		[ -s "$WORK/envelopes/keks/bad@1.env" ]
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

# --- how workers end ---

# gone PID...: soon.
gone()
{
	local end=$((SECONDS + 4)) pid

	for pid; do
		# One that has ended may wait for whoever looks after orphans.
		while ps -o stat= -p "$pid" | grep -qv Z; do
			[ $SECONDS -lt $end ] || {
				ps -f -p "$pid"
				return 1
			}
			sleep 0.1
		done
	done
}

token_is_whole()
{
	pkcs11-tool --module "$MODULE" --token-label beside --list-objects \
		--type pubkey > "$WORK/objects" 2>&1
	cat "$WORK/objects"
	grep root "$WORK/objects"
}

# late VAULT SAYING: too late, it is ended.  It must have been in the middle of it,
# and may not get there on a busy host.
late()
{
	local pid='' left=5

	while [ -z "$pid" ] && [ $left -gt 0 ]; do
		mark
		check "$1" | grep "no answer within 1.0 s" || return
		pid=$(who_says "$2")
		left=$((left - 1))
	done
	gone "${pid:?}"
}

late_but_whole()
{
	late writes "a file is emptied" && token_is_whole
}

# Nobody waits any more when it comes to that.
no_late_login()
{
	local pid

	mark
	check starts | grep "no answer within 1.0 s" &&
		soon says 1 "C_Initialize is called" &&
		pid=$(who_says "C_Initialize is called") && gone "$pid" &&
		says 0 "C_Login is called"
}

in_the_middle()
{
	mark
	check lasts > /dev/null &
	check fills > /dev/null &
	soon says 1 "it hangs" && soon says 1 "a file is emptied"
}

# As systemd does it: all of them are told.
stops_in_the_middle()
{
	local pids

	in_the_middle || return
	mapfile -t pids < <(pgrep -P "$DAEMON")
	kill -TERM "$DAEMON" "${pids[@]}"
	wait "$DAEMON" || { cat "$WORK/daemon.log"; return 1; }
	gone "${pids[@]}" && token_is_whole && daemon_on
}

killed_in_the_middle()
{
	local pids

	in_the_middle || return
	mapfile -t pids < <(pgrep -P "$DAEMON")
	kill -KILL "$DAEMON"
	gone "${pids[@]}" && token_is_whole && daemon_on
}

config_refused()
{
	printf "$1" > "$WORK/bad.conf"
	timeout 10 "$PROGRAMS/vaultringd" --config "$WORK/bad.conf" --user '' \
		--state "$WORK/envelopes" --socket "$WORK/other" \
		--libexec "$PROGRAMS" --no-kernel
}

begin
ok "the daemon starts without the kernel when told so" start_daemon
ok "vault check: the daemon's own ECDH agrees" check hsm
ok "the daemon gives the vault's public key and fingerprint" spki_of_daemon
refused "a vault that is not configured is named" "no vault nope" check nope
ok "a library that hangs is killed at the timeout and away" hang_costs_a_timeout
ok "and again, with a new worker" hang_costs_a_timeout
ok "which is gone soon, too" late hangs "it hangs"
ok "a token that is late with its files is left whole" late_but_whole
ok "nor is a login begun that late" no_late_login
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
ok "told to stop in the middle of it, all end and the token is whole" \
	stops_in_the_middle
ok "killed in the middle of it, the daemon leaves no worker, and it is whole" \
	killed_in_the_middle
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
