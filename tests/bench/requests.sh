#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# One request to xts(paes) and to xts(aes), inside the kernel.

# shellcheck disable=SC2317,SC2329 # called by the trap
. "$(dirname "$0")/lib.sh"

tidy()
{
	rmmod bench
}

need insmod "$HERE/bench.ko"
"$HERE/bench_keys" requests "$(either 5 21)" || exit 1
