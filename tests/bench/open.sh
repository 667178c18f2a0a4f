#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Opening a LUKS2 volume: vaultring with its KEK in the kernel, and what people use
# today, each by its own program and with its own defaults.  The time is that of the
# command, until the mapping is there.  Needs scripts/vm --tpm, whose TPM is a
# program of the host's: faster than any chip.

# shellcheck disable=SC2119,SC2317,SC2329 # of standard input; called by the trap, or by name
. "$(dirname "$0")/lib.sh"

ROUNDS=$(either 5 15)
KEY=$WORK/key
PORT=7500
TANG=
declare -A DISK

tidy()
{
	cryptsetup close bench-open
	[ -z "$TANG" ] || kill "$TANG"
	wipefs -aq "${DISKS[@]}"
}

# Without a NUL or an end of line, for clevis reads it as a line of text.
make_key()
{
	(umask 077 && head -c 32 /dev/urandom | hex_of > "$KEY")
}

# luks DEVICE PBKDF [OPTION...]: with a key file, as cryptsetup makes them.
luks()
{
	local device=$1 pbkdf=$2

	shift 2
	cryptsetup -q luksFormat --type luks2 --pbkdf "$pbkdf" "$@" \
		--key-file "$KEY" "$device"
}

# The least that cryptsetup takes: a random key needs no more.
luks_quick()
{
	luks "$1" pbkdf2 --pbkdf-force-iterations 1000
}

# --- each side: how its volume is made, and how it is opened as bench-open ---

make_vaultring()
{
	new_kek bench-open && vaultring luks format "$1" --kek bench-open --yes
}

open_vaultring()
{
	vaultring luks open "$1" bench-open
}

make_pbkdf2()
{
	luks_quick "$1"
}

open_pbkdf2()
{
	cryptsetup open --key-file "$KEY" "$1" bench-open
}

make_argon2id()
{
	luks "$1" argon2id
}

open_argon2id()
{
	cryptsetup open --key-file "$KEY" "$1" bench-open
}

listens()
{
	(: < "/dev/tcp/127.0.0.1/$PORT") 2> /dev/null
}

make_tang()
{
	local left=100

	mkdir "$WORK/tang" && tangd-keygen "$WORK/tang" || return
	tangd -p $PORT -l "$WORK/tang" &
	TANG=$!
	until listens; do
		left=$((left - 1))
		[ $left -gt 0 ] || return
		sleep 0.1
	done
	luks_quick "$1" && clevis luks bind -y -d "$1" -k "$KEY" tang \
		"{\"url\":\"http://127.0.0.1:$PORT\"}"
}

open_tang()
{
	clevis luks unlock -d "$1" -n bench-open
}

make_tpm2()
{
	[ -c /dev/tpmrm0 ] && luks_quick "$1" &&
		systemd-cryptenroll --unlock-key-file="$KEY" --tpm2-device=auto "$1"
}

open_tpm2()
{
	systemd-cryptsetup attach bench-open "$1" - tpm2-device=auto,headless=true
}

# --- all of them ---

# side NAME: it takes part, on a disk of its own.
side()
{
	local disk=${DISKS[${#DISK[@]}]}

	if "make_$1" "$disk" > "$OUT" 2>&1 < /dev/null; then
		DISK[$1]=$disk
		return
	fi
	tail -n 25 "$OUT" | cut -c 1-400 | sed 's/^/# /'
	echo "bench missing $1 its set-up, which fails"
}

closed()
{
	[ -b /dev/mapper/bench-open ] && cryptsetup close bench-open &&
		[ ! -e /dev/mapper/bench-open ]
}

need make_key
side vaultring
side pbkdf2
side argon2id
! have tang "clevis-luks, and tang" clevis clevis-luks-unlock tangd tangd-keygen ||
	side tang
! have tpm2 systemd-cryptsetup systemd-cryptenroll systemd-cryptsetup || side tpm2
for _ in $(seq "$ROUNDS"); do
	for name in vaultring pbkdf2 argon2id tang tpm2; do
		[ -n "${DISK[$name]:-}" ] || continue
		timed open "$name" "open_$name" "${DISK[$name]}"
		need closed
	done
done
