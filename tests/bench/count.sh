#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The same as in requests.sh and blobs.sh, in instructions.  Needs scripts/vm
# --count: what the processor's counter counts there is nothing else.

# shellcheck disable=SC2317,SC2329 # called by the trap
. "$(dirname "$0")/lib.sh"

tidy()
{
	rmmod bench
}

# counted VERB: what comes of it has other names than when time is measured.
counted()
{
	need insmod "$HERE/bench.ko"
	"$HERE/bench_keys" "$1" 3 | sed 's/^bench sample /bench sample count./'
	[ "${PIPESTATUS[0]}" -eq 0 ] || exit 1
	need rmmod bench
}

[ "$(nproc)" -eq 1 ] || failed "not in a guest of scripts/vm --count"
counted requests
counted blobs
