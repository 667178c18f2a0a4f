#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# After a revoke the keys are not in the guest's memory any more; while they are
# in use they are, or the search is broken.  Runs on the host, which dumps the
# guest's memory and alone computes what to look for.
#
#	tests/wipe_test.sh KERNEL...

set -uo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../scripts/lib.sh"
work=$BUILD/wipe
cases=0

# check SENTENCE CMD...
check()
{
	cases=$((cases + 1))
	if "${@:2}" > "$work/output" 2>&1; then
		echo "ok $cases - $1"
	else
		sed 's/^/# /' "$work/output"
		echo "not ok $cases - $1"
	fi
}

# dump KERNEL PHASE: what is in the memory of a guest after that.
dump()
{
	local memory=512M

	# The less, the faster it is searched.
	! is_debug_kernel "$1" || memory=1G
	"$REPO/scripts/vm" -k "$1" --mem $memory --disk 48M \
		--timeout $((300 * $(slowness_of "$1"))) \
		--dump "$work/dump" --script "$REPO/tests/vm/wipe" -- "$2" \
		> "$work/what" &&
		"$REPO/scripts/root" 6.12 -- python3 "$REPO/tests/wipe.py" \
			"$work/dump" "$work/what" > "$work/found"
	local status=$?

	rm -f "$work/dump"
	cat "$work/found"
	return $status
}

# is NAME TEST NUMBER: so often it was found.
is()
{
	local found

	found=$(sed -n "s/^$1: //p" "$work/found")
	echo "$1: found ${found:-nothing}"
	test "${found:--1}" "$2" "$3"
}

mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
for kernel in "$@"; do
	check "$kernel: a guest with an open volume is dumped" dump "$kernel" used
	check "$kernel: its DEK is in memory" is DEK -gt 0
	check "$kernel: a key for GCM is in memory" is "GCM key" -gt 0
	check "$kernel: a key for HMAC is in memory" is "HMAC key" -gt 0
	check "$kernel: that of a transform is in memory" is "lone DEK" -gt 0
	check "$kernel: its KEK is in memory" is KEK -gt 0
	check "$kernel: another KEK is in memory" is "other KEK" -gt 0
	check "$kernel: M is not, nor is" is M -eq 0
	check "$kernel: the share's secret" is "share secret" -eq 0
	check "$kernel: a guest is dumped after a revoke" dump "$kernel" revoked
	check "$kernel: the DEK is gone" is DEK -eq 0
	check "$kernel: the key for GCM is gone" is "GCM key" -eq 0
	check "$kernel: the key for HMAC is gone" is "HMAC key" -eq 0
	check "$kernel: one went with a refused setkey" is "lone DEK" -eq 0
	check "$kernel: the KEK is gone" is KEK -eq 0
	check "$kernel: one went with its lease" is "other KEK" -eq 0
done
echo "1..$cases"
