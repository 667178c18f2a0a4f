#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A revoke with 1,000 live transforms that are being read from.

# shellcheck disable=SC2317,SC2329 # called by the trap
. "$(dirname "$0")/lib.sh"

tidy()
{
	dmsetup remove --retry storm0
	dmsetup remove --retry storm1
}

need systemctl stop vaultringd
"$HERE/bench_revoke" "$(either 3 11)" || exit 1
