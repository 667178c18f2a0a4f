#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Each attack of the threat model, by one script in adversary/ that shows how it
# is refused.  Their cases are this test's.  Named, only those:
#
#	tests/adversary_test.sh [ATTACK...]
#
# seconds at most: 2400

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

# What has to be there: an attack that is not tried is not refused.
ATTACKS="unprivileged_user hostile_daemon hostile_vault thief_of_a_disk
	thief_of_blobs header_swapped old_header_replayed replayed_answers
	clear_collusion af_alg_oracle container daemon_traced state_folder"

# attack NAME: its cases, under its name, and whether it came to its end.
attack()
{
	local status line plan='' count=0

	"$HERE/adversary/$1.sh" > "$WORK/tap" 2>&1 < /dev/null
	status=$?
	while IFS= read -r line; do
		case $line in
		"ok "* | "not ok "*)
			count=$((count + 1))
			CASES=$((CASES + 1))
			[ "${line%%ok *}" = "" ] || FAILED=$((FAILED + 1))
			echo "${line%%ok *}ok $CASES - $1: ${line#*ok * - }"
			;;
		1..*) plan=${line#1..} ;;
		*) echo "# ${line#"# "}" ;;
		esac
	done < "$WORK/tap"
	echo "exit status $status, $count cases of ${plan:-no plan}" > "$OUT"
	[ "$plan" = $count ] && [ $count -gt 0 ] &&
		{ [ $status -eq 0 ] || grep -q '^not ok' "$WORK/tap"; }
	report $? "$1: it came to its end"
}

# shellcheck disable=SC2086 # words
[ $# -gt 0 ] || set -- $ATTACKS
for name in "$@"; do
	attack "$name"
done
finish
