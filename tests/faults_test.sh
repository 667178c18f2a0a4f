#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Allocations fail: at 1 % in everything that a task does, and at 10 % in what the
# module does for it.  Each operation is done rightly or refused, nothing is
# lost, and afterwards everything works.  guest_run then looks at the kernel's log
# and for leaks.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

DEBUG=/sys/kernel/debug
KEK=faults
DISK=/dev/vdb
MANY=1000000000
SUITES="blob_test kek_test paes_test netlink_test unseal_test forge_test race_test"
SUITES="$SUITES events_test dates_test lease_test subjects_test keyrings_test limits_test"

tidy()
{
	no_faults
	vaultring luks close faults
	wipefs -aq $DISK
	modprobe vaultring
}

set_knob()
{
	echo "$2" > "$DEBUG/failslab/$1" &&
		echo "$2" > "$DEBUG/fail_page_alloc/$1"
}

no_faults()
{
	set_knob probability 0
}

# faults PERCENT [ours|all [EACH]]: of each EACHth allocation from now on, in tasks
# that ask for it; `ours`: where the module is among the callers.
faults()
{
	local start=0 end=0xffffffffffffffff depth=0

	# Where modules are; there is no other that a task of ours would call.
	if [ "${2:-}" = ours ]; then
		start=0xffffffffa0000000 end=0xffffffffff000000 depth=32
	fi
	set_knob probability 0 && set_knob task-filter Y &&
		set_knob verbose 0 && set_knob interval "${3:-1}" &&
		set_knob times $MANY && set_knob space 0 &&
		set_knob ignore-gfp-wait N &&
		echo 0 > $DEBUG/fail_page_alloc/min-order &&
		set_knob stacktrace-depth $depth &&
		set_knob require-start "$start" &&
		set_knob require-end "$end" &&
		set_knob probability "$1"
}

# How many faults were injected since faults(); at least so many.
injected()
{
	local slab pages

	slab=$((MANY - $(cat $DEBUG/failslab/times)))
	pages=$((MANY - $(cat $DEBUG/fail_page_alloc/times)))
	echo "# injected: $slab of slabs, $pages of pages" | tee -a "$WORK/injected"
	[ $((slab + pages)) -ge "$1" ]
}

# failing CMD...: its allocations fail; whether it is done is its affair.
failing()
{
	LD_PRELOAD=$HERE/faults_on.so "$@"
}

work()
{
	"$HERE/faults_work" "$@" > "$WORK/work" 2>&1
	local status=$?

	sed 's/^/# /' "$WORK/work" >&3
	cat "$WORK/work"
	return $status
}

make_volume()
{
	vaultring luks format $DISK --kek $KEK --yes &&
		vaultring luks open $DISK faults &&
		head -c 4M /dev/urandom > "$WORK/data" &&
		dd if="$WORK/data" of=/dev/mapper/faults oflag=direct bs=64K &&
		vaultring luks close faults
}

same_data()
{
	dd if=/dev/mapper/faults bs=64K count=64 iflag=direct \
		of="$WORK/back" && cmp "$WORK/data" "$WORK/back"
}

# What cannot be read is read again without faults before it is judged.
volume_round()
{
	failing vaultring luks open $DISK faults
	if [ -e /dev/mapper/faults ]; then
		opened=$((opened + 1))
		failing dd if=/dev/mapper/faults bs=64K count=64 iflag=direct \
			of="$WORK/back" && {
			cmp "$WORK/data" "$WORK/back" || return
		}
		head -c 4M /dev/urandom > "$WORK/data"
		failing dd if="$WORK/data" of=/dev/mapper/faults oflag=direct \
			bs=64K || dd if="$WORK/data" of=/dev/mapper/faults \
			oflag=direct bs=64K || return
	fi
	failing vaultring luks close faults
	[ ! -e /dev/mapper/faults ] || vaultring luks close faults || return
	vaultring luks open $DISK faults && same_data &&
		vaultring luks close faults
}

# Opened more than once, and refused more than once.
volume_rounds()
{
	local opened=0

	for _ in $(seq "$1"); do
		volume_round || return
	done
	echo "# opened $opened times of $1" | tee /dev/fd/3
	[ $opened -gt 0 ]
}

# judge_suite WHOSE SUITE STATUS SECONDS: a case may fail for want of memory, and
# all that follows from that with it.  A suite may not hang; none of its cases may
# see other data, or what should have been refused done, before anything else has
# failed in it; and no thread may at any time.  Where only the module lacks memory,
# no program may crash or leave cases out; where all of the task does, a page of
# its own stack may be what it cannot have.
judge_suite()
{
	awk -v whose="$1" -v suite="$2" -v status="$3" -v seconds="$4" '
	function bad(text) { print suite ": " text ": " $0; wrong++ }
	/^1\.\.[0-9]/ { plan = substr($1, 4) + 0 }
	/^(not )?ok / { cases++; good += $1 == "ok" }
	/^# +RUN / { first = 1 }
	/terminated unexpectedly by signal/ && whose == "ours" {
		bad("a case died")
	}
	/:Expected / && /(->|\.)(wrong|late) \(/ { bad("wrong data") }
	/:Expected / && first && /memcmp\(/ { bad("wrong data") }
	/:Expected / && first && /Expected -?E[A-Z]+ \(-?[0-9]+\) == .* \(0\)$/ {
		bad("not refused")
	}
	/:Expected / { first = 0 }
	END {
		printf "# %s: status %d, %d of %d cases ok, %d s\n", suite,
		       status, good, cases, seconds
		$0 = ""
		if (status == 124 || status == 137)
			bad("hangs")
		if (whose == "all")
			exit wrong > 0
		if (status >= 124)
			bad("died")
		if (!plan || cases != plan)
			bad("ran " cases + 0 " cases of " plan + 0)
		exit wrong > 0
	}' "$WORK/$2" > "$WORK/verdict"
	local judged=$?

	grep '^#' "$WORK/verdict" >&3
	[ $judged -eq 0 ] || cat "$WORK/verdict"
	return $judged
}

# run_suites all|ours
run_suites()
{
	local suite start failed=0

	for suite in $SUITES; do
		keyctl clear @u
		start=$SECONDS
		timeout -k 10 $((180 * ${VAULTRING_SLOW:-1})) \
			env LD_PRELOAD="$HERE/faults_on.so" \
			"$HERE/$suite" > "$WORK/$suite" 2>&1
		judge_suite $1 $suite $? $((SECONDS - start)) || failed=1
		# One of them stops the daemon, and may end before it goes on.
		systemctl reset-failed vaultringd
		systemctl restart vaultringd || return
	done
	vaultring vault pin --load && [ $failed -eq 0 ]
}

# At least so many cases of all suites had all the memory that they needed.
passed()
{
	local passed

	passed=$(cd "$WORK" && cat $SUITES | grep -c '^ok ')
	echo "# $passed cases passed" | tee /dev/fd/3
	[ "$passed" -ge "$1" ]
}

unload()
{
	systemctl stop vaultringd
	keyctl clear @u
	for _ in $(seq 30); do
		! rmmod vaultring || return 0
		sleep 1
	done
	return 1
}

load_module()
{
	unload && work load "/usr/lib/modules/$(uname -r)/updates/vaultring.ko"
}

works_again()
{
	modprobe vaultring && systemctl start vaultringd &&
		vaultring kek unseal $KEK && vaultring luks open $DISK faults &&
		same_data && vaultring luks close faults && work work 1
}

exec 3>&1
must test -w $DEBUG/failslab/probability
must new_kek $KEK
ok "a volume is made" make_volume
must faults 1
ok "with 1 % of a task's allocations failing, each step is done or refused" \
	work work 40
ok "faults were injected" injected 40
must faults 0 ours
ok "with each of the module's allocations failing in its turn, too" work each
ok "they did fail" injected 40
ok "of shares, reseals and the transport key as well" work shares-each
must faults 10 ours
ok "with 10 % of the module's failing, each step is done or refused" \
	work work 40
ok "faults were injected there" injected 40
must faults 4 ours
ok "a volume that cannot be opened for want of memory loses nothing" \
	volume_rounds 12
ok "faults were injected into its setup" injected 3
# Of 1 % no case would come to its end: making its process takes a hundred.
must faults 1 all 20
ok "the other tests end and see nothing wrong while everything fails" \
	run_suites all
ok "faults were injected into them" injected 20
ok "some of their cases come to their end" passed 20
must faults 10 ours 50
ok "they do while few of the module's allocations fail, too" run_suites ours
ok "faults were injected into the module" injected 20
ok "more of their cases come to their end" passed 40
must faults 0 ours
ok "each allocation of loading fails in its turn, and leaves nothing" \
	load_module
ok "faults were injected into loading" injected 20
no_faults
ok "without faults everything works again" works_again
finish
