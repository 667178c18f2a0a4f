#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The transforms from inside the kernel: load each test module of tests/kmod,
# take its TAP over and unload it.

# shellcheck disable=SC2317,SC2329 # functions that are called by name
. "$(dirname "$0")/lib.sh"

# Modules that run their cases as they are loaded.
SELF_RUNNING="conform"

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
			report $status "${line#*ok * - }"
			: > "$OUT"
			;;
		esac
	done < "/sys/kernel/debug/$name/tap"
	echo "$cases cases, planned: ${planned:-none}" > "$OUT"
	status=0
	[ "$cases" -gt 0 ] && [ "$cases" = "$planned" ] || status=1
	report $status "$name came to its end"
}

for name in $SELF_RUNNING; do
	ok "the test module $name is loaded" insmod "$HERE/$name.ko"
	take_tap "$name"
	ok "the test module $name is unloaded" rmmod "$name"
done
finish
