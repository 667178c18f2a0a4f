#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The TPM worker with somebody on the bus between it and its TPM, and the daemon,
# without the kernel, with TPM vaults.
#
# PROGRAMS names the folder of vaultringd and vault-tpm2; without it they are
# built with ASan and UBSan.

# shellcheck disable=SC2059,SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/tpm_lib.sh"

# --- somebody on the bus ---

proxy_on()
{
	forget_failures
	REAL=$PORT
	find_ports
	: > "$WORK/mode"
	: > "$WORK/bus"
	rm -f "$WORK/listens"
	$PYTHON "$HERE/tpm_proxy.py" "$PORT" "$REAL" "$WORK/mode" "$WORK/bus" \
		> "$WORK/listens" &
	PROXY=$!
	until [ -s "$WORK/listens" ]; do
		kill -0 "$PROXY" || return
		sleep 0.1
	done
	export TPM2TOOLS_TCTI=swtpm:host=127.0.0.1,port=$REAL
}

# The PIN as it is in the file, which is what the TPM knows.
pin_not_on_bus()
{
	: > "$WORK/bus"
	echo hunted-pin > "$PIN_FILE"
	makes_key 0x81000130 pin-source "$PIN_FILE" &&
		agrees 0x81000130 pin-source "$PIN_FILE" &&
		makes_key 0x81000131 pin-source "$PIN_FILE" pcrs sha256:0 &&
		agrees 0x81000131 pin-source "$PIN_FILE" pcrs sha256:0
	set -- $?
	echo 1234 > "$PIN_FILE"
	[ -s "$WORK/bus" ] && ! grep -aq hunted-pin "$WORK/bus" && return "$1"
}

# on_bus MODE PATTERN: what becomes of an exchange.
on_bus()
{
	echo "$1" > "$WORK/mode"
	shift
	with "$(configure 0x81000130 pin-source "$PIN_FILE"
		exchange)" "$@"
	set -- $?
	echo > "$WORK/mode"
	return "$1"
}

plain_on_bus()
{
	echo hunted-pin > "$PIN_FILE"
	on_bus "$@"
	set -- $?
	echo 1234 > "$PIN_FILE"
	return "$1"
}

# The answer is encrypted: whoever reads along has not even the blinded value.
x_not_on_bus()
{
	: > "$WORK/bus"
	plain_on_bus "" "$right$(truth 0x81000130)" &&
		! hex < "$WORK/bus" | tr -d '\n' | grep -q "$(truth 0x81000130)"
}

none_counted()
{
	lockout_counter | grep 0x0
}

# --- the daemon, without the kernel ---

start_daemon()
{
	cat > "$WORK/vaultring.conf" << END
[vault tpm]
uri = tpm2:handle=0x81000140?tcti=swtpm:host=127.0.0.1
  %2cport=$REAL
pin-source = $PIN_FILE
pcrs = sha256:23
timeout = 15s

[vault file]
uri = tpm2:file=$WORK/d.tpm?tcti=swtpm:host=127.0.0.1%2cport=$REAL

[vault slow]
uri = tpm2:handle=0x81000130?tcti=swtpm:host=127.0.0.1%2cport=$PORT
timeout = 1s

[vault hsm]
uri = pkcs11:token=x?module-path=/x.so

[vault polled]
uri = tpm2:handle=$POLLED?tcti=swtpm:host=127.0.0.1%2cport=$REAL
pin-source = $WORK/wrong
poll = 1s
timeout = 20s
END
	daemon_on
}

method()
{
	call "$1" "{\"vault\":\"$2\"}"
}

# --- polls ---

# The PIN in its file is wrong from the beginning.
polled_key()
{
	(umask 077 && echo 9999 > "$WORK/wrong")
	makes_key $POLLED pin-source "$PIN_FILE" &&
		PRINTS[polled]=$(fingerprint $POLLED) &&
		mkdir -p "$WORK/envelopes/keks" && envelope polled 1 polled
}

polls_without_pin()
{
	rounds polled 2 && none_counted && call VaultList |
		grep "\"fingerprint\": \"${PRINTS[polled]}\", \"state\": \"agrees\""
}

tpm_away()
{
	mark
	tpm2_shutdown --clear
	tpm_off
	soon says 1 "vault polled: away" && rounds polled 2 &&
		says 1 "vault polled: away" && says 0 "refuse|kek "
	set -- $?
	PORT=$REAL tpm_on || return
	[ "$1" -eq 0 ] && soon says 1 "vault polled: back" &&
		says 0 "refuse|kek "
}

key_removed()
{
	mark
	tpm2_evictcontrol -Q -C o -c $POLLED &&
		soon says 1 "vault polled: refuses: .*does not have the key $POLLED" &&
		soon says 1 "kek polled: 1 of its 1 vaults refuse it" &&
		rounds polled 2 && says 1 "refuses"
}

key_replaced()
{
	mark
	makes_key $POLLED pin-source "$PIN_FILE" && rounds polled 2 &&
		says 0 "agrees" && call VaultList |
		grep "it has another key in its place, $(fingerprint $POLLED)"
}

init_of_daemon()
{
	method VaultInit tpm > "$WORK/reply"
	cat "$WORK/reply"
	grep "\"fingerprint\": \"$(fingerprint 0x81000140)\"" "$WORK/reply"
}

file_of_daemon()
{
	method VaultInit file | tee /dev/stderr |
		sed -n 's/.*"file": "\([0-9a-f]*\)".*/\1/p' | xxd -r -p \
		> "$WORK/new" && [ -s "$WORK/new" ] &&
		mv "$WORK/new" "$WORK/d.tpm" && method VaultCheck file
}

hang_is_away()
{
	echo hang > "$WORK/mode"
	method VaultCheck slow
	set -- $?
	: > "$WORK/mode"
	return "$1"
}

worker_filters()
{
	local pid found=1

	for pid in $(pgrep -P $DAEMON); do
		grep -q vault-tpm2 "/proc/$pid/cmdline" || continue
		found=0
		grep 'Seccomp:[[:space:]]*2' "/proc/$pid/status" &&
			grep 'CapEff:[[:space:]]*0*$' "/proc/$pid/status" || return
	done
	return $found
}

begin
ok "somebody sits on the bus" proxy_on
ok "the PIN does not pass there, neither making nor using keys" pin_not_on_bus
ok "nor does the answer" x_not_on_bus
ok "a bit that he changes is found out" plain_on_bus flip '"invalid".*Authorizing'
ok "an answer without anything in it is invalid or away" \
	plain_on_bus short '"(invalid|away)"'
ok "garbage is invalid or away" plain_on_bus garbage '"(invalid|away)"'
ok "a TPM that is busy once is asked again" plain_on_bus retry-once "$right"
ok "a TPM that stays busy is away" plain_on_bus retry '"away".*0x922'
ok "a TPM that yields is away" plain_on_bus yielded '"away".*0x908'
ok "a TPM that tests itself is away" plain_on_bus testing '"away".*0x90a'
ok "a TPM that vanishes while it works is away" plain_on_bus cut '"away"'
ok "no PIN counted as wrong in all that" none_counted

ok "a key to be polled is there" polled_key
ok "the daemon starts" start_daemon
refused "before init a check says what is missing" "vault init" \
	method VaultCheck tpm
ok "VaultInit makes the key" init_of_daemon
ok "and a check its right use" method VaultCheck tpm
ok "VaultInit gives what belongs in a file" file_of_daemon
refused "a second one is refused" "there is a key 0x81000140 already" \
	method VaultInit tpm
refused "an HSM's key is made with the HSM's tools" "own tools" \
	method VaultInit hsm
refused "only the uri's key is made" "only the key that its uri names" \
	method VaultInit tpm:0x81000141
ok "a TPM's key is polled, and its PIN not tried" polls_without_pin
ok "a TPM that is switched off is away, and no refusal" tpm_away
ok "a key that is removed is refused, and so is its KEK, told once" key_removed
ok "another key under its handle is refused" key_replaced
refused "a TPM that hangs costs a timeout" "EAGAIN.*no answer within 1.0 s" \
	hang_is_away
ok "the worker has no capability, and a filter" worker_filters
ok "the PIN is in no log" no_pin_in_log
ok "it stops when told to" stops

finish
