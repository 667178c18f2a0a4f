#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The daemon: how soon it is ready, what it takes while nothing happens, and
# whether it grows.

# shellcheck disable=SC2317,SC2329 # called by the trap
. "$(dirname "$0")/lib.sh"

UNSEALS=${BENCH_UNSEALS:-$(either 500 5000)}
DAEMON=/usr/sbin/vaultringd

tidy()
{
	[ ! -e "$WORK/conf" ] || cat "$WORK/conf" > $CONF
	[ ! -e "$WORK/pins" ] || cat "$WORK/pins" > /etc/vaultring/pins
	restart_daemon
}

# A vault that may be asked as often as it can answer.
vault()
{
	cat $CONF > "$WORK/conf"
	cat /etc/vaultring/pins > "$WORK/pins"
	cat >> $CONF << 'CONFIG'

[vault bench]
uri = pkcs11:token=vaultring;object=root?module-path=/usr/lib/softhsm/libsofthsm2.so
pin-source = /etc/vaultring/hsm.pin
requests-per-minute = 0
CONFIG
	restart_daemon && vaultring vault pin bench && new_kek bench-daemon bench
}

watch()
{
	"$HERE/bench/daemon.py" "$@" "$DAEMON" || exit 1
}

need vault
need systemctl stop vaultringd
watch start daemon.start "$(either 5 21)"
watch idle "$(either 10 60)"
watch unseals bench-daemon "$UNSEALS"
