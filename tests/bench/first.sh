#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The first opening of a volume, which asks the vault, beside the next one and a
# bare call of that vault.  Vaults are SoftHSM, a library, and a TPM in software
# behind a socket of the loopback interface.

# shellcheck disable=SC2317,SC2329 # called by the trap, or by name
. "$(dirname "$0")/lib.sh"

ROUNDS=$(either 5 15)
PORT=2421		# of the TPM; its control channel is the next one
PROXY_PORT=2431
HANDLE=0x81000100
COUNTING=$HERE/bad_pkcs11-counts.so
declare -A DISK=([hsm]=${DISKS[0]} [loop]=${DISKS[1]})
TPM='' PROXY=''

tidy()
{
	cryptsetup close bench-first
	[ -z "$TPM" ] || kill "$TPM"
	[ -z "$PROXY" ] || kill "$PROXY"
	wipefs -aq "${DISKS[@]}"
	rm -f "$COUNTING"
	[ ! -e "$WORK/conf" ] || cat "$WORK/conf" > $CONF
	[ ! -e "$WORK/pins" ] || cat "$WORK/pins" > /etc/vaultring/pins
	restart_daemon
}

tpm_on()
{
	local left=100

	mkdir "$WORK/tpm"
	swtpm socket --tpm2 --tpmstate "dir=$WORK/tpm" \
		--server "type=tcp,port=$PORT,bindaddr=127.0.0.1" \
		--ctrl "type=tcp,port=$((PORT + 1)),bindaddr=127.0.0.1" \
		--flags not-need-init,startup-clear > "$WORK/swtpm.log" 2>&1 &
	TPM=$!
	until TPM2TOOLS_TCTI=swtpm:host=127.0.0.1,port=$PORT \
		tpm2_getrandom --hex 4; do
		left=$((left - 1))
		[ $left -gt 0 ] || { cat "$WORK/swtpm.log"; return 1; }
		sleep 0.1
	done
}

vaults()
{
	cat $CONF > "$WORK/conf"
	cat /etc/vaultring/pins > "$WORK/pins"
	cat >> $CONF << CONFIG

[vault loop]
uri = tpm2:handle=$HANDLE?tcti=swtpm:host=127.0.0.1,port=$PORT
timeout = 15s
CONFIG
	restart_daemon && vaultring vault init loop && vaultring vault pin loop
}

volume()
{
	new_kek "bench-$1" "$1" &&
		vaultring luks format "${DISK[$1]}" --kek "bench-$1" --yes
}

open_volume()
{
	vaultring luks open "${DISK[$1]}" bench-first
}

close_volume()
{
	cryptsetup close bench-first
}

seal()
{
	vaultring kek revoke "bench-$1"
}

# --- bare calls, in microseconds ---

call_hsm()
{
	"$HERE/bench_p11" derive
}

call_loop()
{
	"$HERE/bench/bare_tpm.py" call $PORT $HANDLE
}

# --- how often the vault is asked ---

opened_once()
{
	vaultring kek unseal "bench-$1" && seal "$1" || return
	mark
	open_volume "$1" && close_volume
}

mark()
{
	SINCE=$(journalctl -q -b -n 1 --show-cursor | sed -n 's/^-- cursor: //p')
	[ -z "$PROXY" ] || : > "$WORK/proxy.log"
}

# Through a library that tells of each call.
trips_hsm()
{
	cp "$HERE/bad_pkcs11.so" "$COUNTING" &&
		sed -i "/^\[vault hsm\]/,/^$/s|module-path=.*|module-path=$COUNTING|" \
			$CONF && restart_daemon && opened_once hsm &&
		journalctl --sync && journalctl -q -b -u vaultringd -o cat \
			--after-cursor "$SINCE" > "$WORK/journal" || return
	TRIPS=$(grep -c "C_DeriveKey is called" "$WORK/journal")
}

# Through a proxy that keeps all commands.
trips_loop()
{
	: > "$WORK/proxy.mode"
	"$HERE/tpm_proxy.py" $PROXY_PORT $PORT "$WORK/proxy.mode" \
		"$WORK/proxy.log" > "$WORK/proxy.out" &
	PROXY=$!
	while ! grep -q listens "$WORK/proxy.out"; do
		kill -0 $PROXY || return
		sleep 0.1
	done
	sed -i "s/port=$PORT\$/port=$PROXY_PORT/" $CONF && restart_daemon &&
		opened_once loop || return
	"$HERE/bench/bare_tpm.py" count "$WORK/proxy.log" > "$WORK/count" &&
		TRIPS=$(sed -n 's/^ECDH_ZGen //p' "$WORK/count")
	echo "bench note loop: $(tr '\n' ' ' < "$WORK/count")" >&3
}

exec 3>&1
need token_pin
need tpm_on
need vaults
need volume hsm
need volume loop
for _ in $(seq "$ROUNDS"); do
	for vault in hsm loop; do
		need seal $vault
		timed "first.$vault" first open_volume $vault
		need close_volume
		timed "first.$vault" held open_volume $vault
		need close_volume
		us=$(call_$vault)
		[[ $us =~ ^[0-9]+$ ]] || failed "a bare call of $vault: $us"
		sample "first.$vault" call "$(ms "$us")"
	done
done
for vault in hsm loop; do
	TRIPS=
	need trips_$vault
	sample "first.$vault.trips" calls "$TRIPS"
done
