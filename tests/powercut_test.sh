#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The power goes at a random moment, again and again: what was ever reported as
# done is there after the next boot.  Runs on the host: see powercut.py.
#
#	tests/powercut_test.sh [--short] [KERNEL]
#
# POWERCUT_SEED repeats a course, as far as the machine's pace lets it;
# POWERCUT_CUTS says how often.

# shellcheck disable=SC2317,SC2329 # functions that check runs

set -uo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../scripts/lib.sh"
if [ "${1:-}" = --cut ]; then
	# Beside the guest; the last step is an exec.
	in_root "$(root_of tools)" "$REPO:$REPO" -- \
		python3 "$REPO/tests/powercut.py" "${@:2}"
fi
cuts=300
if [ "${1:-}" = --short ]; then
	cuts=6
	shift
fi
cuts=${POWERCUT_CUTS:-$cuts}
kernel=${1:-6.12}
known_kernel "$kernel"
need_root
work=$BUILD/powercut
guest=powercut-$$
state=$work/state
cases=0 failed=0

# check SENTENCE CMD...
check()
{
	cases=$((cases + 1))
	if "${@:2}" > "$work/output" 2>&1; then
		echo "ok $cases - $1"
	else
		failed=1
		tail -n 60 "$work/output" | sed 's/^/# /'
		echo "not ok $cases - $1"
	fi
}

powercut()
{
	"$REPO/scripts/root" tools -- python3 "$REPO/tests/powercut.py" "$@"
}

# One boot: 125 is what becomes of a guest whose power goes.
boot()
{
	local before after status

	before=$(value cuts)
	"$REPO/scripts/vm" -k "$kernel" --keep "$guest" \
		--timeout $((1500 * $(slowness_of "$kernel"))) \
		--host "$REPO/tests/powercut_test.sh --cut $state $cuts" \
		--script "$REPO/tests/vm/powercut" > "$work/boot" 2>&1 < /dev/null
	status=$?
	after=$(value cuts)
	[ $status -eq 125 ] && [ "$after" -eq $((before + 1)) ] && return
	[ $status -eq 0 ] && [ "$(value complete)" = 1 ] && return
	echo "exit status $status, $before and $after cuts"
	tail -n 60 "$work/boot"
	return 1
}

value()
{
	powercut --judge "$state" | sed -n "s/^$1=//p"
}

course()
{
	until [ "$(value complete)" = 1 ]; do
		boot || return
	done
	powercut --judge "$state"
}

# is NAME TEST NUMBER
is()
{
	powercut --judge "$state"
	test "$(value "$1")" "$2" "$3"
}

mkdir -p "$work"
# shellcheck disable=SC2064 # now
trap "rm -rf '$work' '$BUILD/vm/$guest.kept' '$BUILD/vm/$guest.lock'" EXIT
powercut --seed "${POWERCUT_SEED:-0}" "$state" || exit
echo "# POWERCUT_SEED=$(value seed)"
check "the power goes $cuts times, and the guest comes up each time" course
echo "# $(value cuts) cuts, $(value checked) checks of $(value keks) KEKs," \
	"$(value deks) data keys and $(value volumes) volumes"
echo "# in the midst of: $(value cut_in); right after the end: $(value cut_after)"
check "as often as asked for" is cuts -ge "$cuts"
check "and not only right after the end of what was done" \
	is cut_after -le $((cuts * 3 / 4))
check "what was reported as done is there each time" is lost -eq 0
check "what is looked for was there" is checked -ge "$cuts"
check "and all that was not cut was done" is failed -eq 0
echo "1..$cases"
[ $failed -eq 0 ]
