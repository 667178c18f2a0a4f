#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The hunt in physical memory: while keys are in use they are in pages of the
# kernel's alone, and after each way in which they go they are nowhere, freed
# memory included.  The same search must find a stock volume's key in a program,
# in the page cache, in dm-crypt and in what has been freed, or it is broken.
# Runs on the host: see hunt_memory.py.
#
#	tests/hunt_memory_test.sh KERNEL...
#
# On 6.12 once more with the AES that is written in C.

# shellcheck disable=SC2317,SC2329 # functions that check runs

set -uo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../scripts/lib.sh"
work=$BUILD/hunt
found=$work/found
cases=0 failed=0
# Of what nobody may see at any time.
NEVER='M|HMAC key|share secret|mask'

# check SENTENCE CMD...
check()
{
	cases=$((cases + 1))
	if "${@:2}" > "$work/output" 2>&1; then
		echo "ok $cases - $what: $1"
	else
		failed=1
		tail -n 40 "$work/output" | sed 's/^/# /'
		echo "not ok $cases - $what: $1"
	fi
}

# In the root that has what the oracle needs, with the tests built for it; the
# last step is an exec.
hunter()
{
	in_root "$(root_of "$1")" "$BUILD:$BUILD" -- \
		python3 "$BUILD/$1/src/tests/hunt_memory.py" "${@:2}"
}

# hunt KERNEL [generic]
hunt()
{
	local kernel=$1 memory=512M

	shift
	! is_debug_kernel "$kernel" || memory=1G
	rm -f "$found"
	"$REPO/scripts/vm" -k "$kernel" --mem $memory --disk 24M \
		--timeout $((900 * $(slowness_of "$kernel"))) \
		--host "$REPO/tests/hunt_memory_test.sh --hunter $kernel $found" \
		--script "$REPO/tests/vm/hunt_memory" -- "$@"
}

# count PHASE LABELS PLACES: both are extended regular expressions.
count()
{
	awk -F '\t' -v phase="$1" -v labels="^($2)\$" -v places="^($3)\$" '
		$1 == phase && $2 ~ labels && $3 ~ places {
			print > "/dev/stderr"
			sum += $4
		}
		END { print sum + 0 }' "$found"
}

# The search took place, and saw other programs' pages.
took_place()
{
	[ "$(count "$1" searched MiB)" -ge 500 ] &&
		[ "$(count "$1" searched patterns)" -ge 100 ] &&
		[ "$(count "$1" searched 'page tables')" -ge 10 ] &&
		[ "$(count "$1" searched 'mapped pages')" -ge 2000 ]
}

# somewhere PHASE LABELS PLACES
somewhere()
{
	[ "$(count "$@")" -gt 0 ]
}

# nowhere PHASE LABELS [PLACES]
nowhere()
{
	took_place "$1" && [ "$(count "$1" "$2" "${3:-.*}")" -eq 0 ]
}

OURS='(volume|directory|leased|hunt).*'
OUTSIDE='process|page cache|free'

judge()
{
	check "in use, the data key is in the kernel" \
		somewhere used 'volume: bytes' kernel
	check "and so are the round keys that AES makes of it" \
		somewhere used 'volume: round key' kernel
	check "and those for decryption" \
		somewhere used 'volume: inverse round key' kernel
	check "and the directory's key" somewhere used 'directory: bytes' kernel
	check "and the KEK" somewhere used 'hunt KEK: bytes' kernel
	check "all of it in the kernel's pages alone" \
		nowhere used "$OURS" "$OUTSIDE"
	check "nothing is written down as text" nowhere used '.*: text'
	check "what a KEK comes from is nowhere" \
		nowhere used ".* ($NEVER): .*"
	check "closed and removed, no data key is anywhere" \
		nowhere closed '(volume|directory).*'
	check "the KEK, which is held, is in the kernel" \
		somewhere closed 'hunt KEK: bytes' kernel
	check "and nowhere else" nowhere closed "$OURS" "$OUTSIDE"
	check "a key under a lease is in the kernel" \
		somewhere leased 'leased: bytes' kernel
	check "and nowhere else" nowhere leased "$OURS" "$OUTSIDE"
	check "the lease is over, with its volume open: neither key is anywhere" \
		nowhere lease-over 'leased.*'
	check "the other KEK is still there" \
		somewhere lease-over 'hunt KEK: bytes' kernel
	check "revoked, with its volume mounted: no key is anywhere" \
		nowhere revoked "$OURS"
	check "the module is gone: no key is anywhere" nowhere unloaded "$OURS"
	check "control: a stock volume's key is found in dm-crypt" \
		somewhere stock 'stock: round key' kernel
	check "control: and in a program" somewhere stock 'stock: bytes' process
	check "control: and in the page cache" \
		somewhere stock 'stock: bytes' 'page cache'
	check "control: and in what all of them have left behind" \
		somewhere stock-gone 'stock: bytes' '.*'
}

if [ "${1:-}" = --hunter ]; then
	shift
	hunter "$@"
	exit
fi
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
for kernel in "$@"; do
	what=$kernel
	check "a guest has its memory searched" hunt "$kernel"
	judge
done
case " $* " in
*" 6.12 "*)
	what="6.12, generic AES"
	check "a guest has its memory searched" hunt 6.12 generic
	judge
	;;
esac
echo "1..$cases"
[ $failed -eq 0 ]
