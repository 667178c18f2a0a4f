# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the kernel has to say after the tests: its log and, on a debug kernel,
# what was leaked and raced for.  Sourced by guest_run.

LEAKS=/sys/kernel/debug/kmemleak
BAD_LOG='BUG|WARNING|Oops|unreferenced|circular locking|general protection'
BAD_LOG="$BAD_LOG|refcount_t|use-after-free|blocked for more than|KASAN|UBSAN"
BAD_LOG="$BAD_LOG|possible recursive locking|inconsistent lock state|possible deadlock"
BAD_LOG="$BAD_LOG|suspicious RCU usage|Invalid wait context|sleeping function called"
BAD_LOG="$BAD_LOG|ODEBUG|leak|invalid opcode|soft lockup|rcu.*stall|alg: .*(fail|err)"
LOG_CASES=0

# log_case TRUTH SENTENCE
log_case()
{
	LOG_CASES=$((LOG_CASES + 1))
	[ "$1" -eq 0 ] || printf 'not '
	echo "ok $LOG_CASES - $2"
}

# races WORD: KCSAN's reports with (`ours`) or without (`others`) our module
# among their frames; `none`: the log without any of them.
log_races()
{
	awk -v word="$1" '
	{ text = $0; sub(/^\[[ 0-9.]*\] /, "", text) }
	text ~ /^={60,}$/ && !report { report = $0 "\n"; next }
	report {
		report = report $0 "\n"
		if (text !~ /^={60,}$/)
			next
		if (report !~ /BUG: KCSAN/)
			kind = "none"
		else
			kind = report ~ /\[vaultring\]/ ? "ours" : "others"
		if (kind == word)
			printf "%s", report
		report = ""
		next
	}
	word == "none" { print }
	END { if (report) printf "%s", report }'
}

# leaks WORD: the unreferenced objects that our module allocated (`ours`), or
# the others.  A function without a name was of a module that is unloaded, and
# no module is but ours and the tests'.  A cache that cannot be made for want of
# memory leaves its name behind in sysfs_slab_add(), whoever wanted it.
leaks()
{
	awk -v word="$1" '
	function show() {
		ours = object ~ /\[vaultring\]/ || object ~ /\n *0x[0-9a-f]+\n/
		if (object ~ / sysfs_slab_add\+/)
			ours = 0
		if (object && ours == (word == "ours"))
			printf "%s", object
		object = ""
	}
	/^unreferenced object/ { show() }
	{ object = object $0 "\n" }
	END { show() }' "$LEAKS"
}

# An object must be some seconds old, and unchanged since the last scan.
scan_leaks()
{
	local title

	[ -w $LEAKS ] || return
	sleep 6
	echo scan > $LEAKS && sleep 6 && echo scan > $LEAKS || return
	leaks others > /tmp/leaks.others
	leaks ours > /tmp/leaks
	while read -r title; do
		echo "# a leak of the kernel's own: $title"
	done < <(grep '^unreferenced' /tmp/leaks.others | head -n 20)
	head -n 200 /tmp/leaks | sed 's/^/# /'
	[ ! -s /tmp/leaks ]
}

# Whatever a test left, it must come out; then nothing of it may be left.
unload_module()
{
	local left=30

	systemctl stop vaultringd
	keyctl clear @u
	keyctl clear @s
	until rmmod vaultring; do
		left=$((left - 1))
		if [ $left -eq 0 ]; then
			dmsetup ls
			grep -B 3 -A 8 vaultring /proc/crypto
			cat /proc/keys
			return 1
		fi
		sleep 1
	done 2>&1 | sed 's/^/# /'
	return "${PIPESTATUS[0]}"
}

# A fault that is injected into a page fault makes the kernel say "Huh".
silent()
{
	dmesg | log_races none |
		grep -vE 'kmemleak: |debug is enabled|Huh VM_FAULT_OOM leaked' > /tmp/log
	if ! grep -qE "$BAD_LOG" /tmp/log; then
		return 0
	fi
	grep -E -A 40 "$BAD_LOG" /tmp/log | head -n 300 | sed 's/^/# /'
	return 1
}

no_races()
{
	local title

	while read -r title; do
		echo "# a race of the kernel's own: $title"
	done < <(dmesg | log_races others | sed -n 's/.*BUG: KCSAN: //p' | sort | uniq -c)
	dmesg | log_races ours > /tmp/races
	head -n 300 /tmp/races | sed 's/^/# /'
	[ ! -s /tmp/races ]
}

judge_kernel()
{
	case $(uname -r) in
	*-vaultring-debug)
		scan_leaks
		log_case $? "nothing that the module allocated is leaked"
		unload_module
		log_case $? "the module unloads after all tests"
		scan_leaks
		log_case $? "nothing is left of it"
		;;
	*-vaultring-kcsan)
		unload_module
		log_case $? "the module unloads after all tests"
		no_races
		log_case $? "no data race is in the module"
		;;
	esac
	silent
	log_case $? "kernel log is silent"
	echo "1..$LOG_CASES"
}
