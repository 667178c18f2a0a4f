#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The transforms from inside the kernel: load each test module of tests/kmod,
# take its TAP over and unload it.

# shellcheck disable=SC2317,SC2329 # functions that are called by name
. "$(dirname "$0")/lib.sh"

# Modules that run their cases as they are loaded.
SELF_RUNNING="keywrap_vectors oaep_vectors"

# take_tap NAME: the module's cases become cases of this test, with the notes
# that stand before them; one that lacks its plan has not come to its end.
take_tap()
{
	local name=$1 line planned='' cases=0 status

	: > "$OUT"
	while IFS= read -r line; do
		case $line in
		'#'*) echo "${line#\# }" >> "$OUT" ;;
		1..*) planned=${line#1..} ;;
		*)
			cases=$((cases + 1))
			status=0
			[ "${line%% *}" = ok ] || status=1
			report "$status" "${line#*ok * - }"
			: > "$OUT"
			;;
		esac
	done < "/sys/kernel/debug/$name/tap"
	echo "$cases cases, planned: ${planned:-none}" > "$OUT"
	status=0
	[ "$cases" -gt 0 ] && [ "$cases" = "$planned" ] || status=1
	report "$status" "$name came to its end"
}

# run_module NAME [PARAMETER=VALUE...]
run_module()
{
	ok "the test module $1 is loaded" insmod "$HERE/$1.ko" "${@:2}"
	take_tap "$1"
	ok "the test module $1 is unloaded" rmmod "$1"
}

unload()
{
	local left=10

	systemctl stop vaultringd
	keyctl clear @u
	keyctl clear @s
	keyctl link @u @s
	until rmmod vaultring; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || return
		sleep 1
	done
}

self_tests_passed()
{
	dmesg | tail -n 20 | grep 'vaultring: self-tests passed'
}

# shellcheck disable=SC2317,SC2329 # called by cleanup
tidy()
{
	# It holds transforms of the module, which then holds its inner ciphers.
	echo drop > /sys/kernel/debug/conform/command
	rmmod conform || rmmod vaultring
	rmmod conform
	rmmod vaultring
	modprobe vaultring
}

# conform [held]
conform()
{
	ok "the conformance suite runs to its end" "$HERE/conform_run" "$@"
	take_tap conform
}

for name in $SELF_RUNNING; do
	run_module "$name"
done

ok "the conformance suite is loaded" insmod "$HERE/conform.ko"
conform
ok "the conformance suite is unloaded" rmmod conform

# By now the kernel has a kw(aes) of its own, where there is one to be had.
ok "the module unloads" unload
ok "built with DEBUG=1 it loads" insmod "$HERE/vaultring-debug.ko"
ok "its self-tests have passed" self_tests_passed
run_module keywrap_vectors brief=1

ok "the module unloads once more" unload
ok "slow and asynchronous inner ciphers are loaded" \
	insmod "$HERE/conform.ko" async=1
ok "the module takes them for its own" modprobe vaultring
conform held
ok "the module gives them up" unload
ok "they are unloaded" rmmod conform
finish
