#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Blobs opened: in the kernel beside gcm(aes), by add_key beside encrypted keys,
# and beside SoftHSM and OpenSSL, which unwrap a key of that size for themselves.

# shellcheck disable=SC2317,SC2329 # called by the trap
. "$(dirname "$0")/lib.sh"

ROUNDS=$(either 5 21)

tidy()
{
	rmmod bench
}

need modprobe encrypted-keys
need insmod "$HERE/bench.ko"
"$HERE/bench_keys" blobs "$ROUNDS" || exit 1
"$HERE/bench_keys" load "$ROUNDS" || exit 1
token_pin
"$HERE/bench_p11" unwrap "$ROUNDS" || exit 1
