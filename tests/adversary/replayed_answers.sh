#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Somebody has recorded what a vault answered, and gives it once more.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attack_lib.sh"

PLACE=$WORK/hostile

lie()
{
	vaultring kek revoke prey
	as_daemon "$HERE/hostile_daemon" "$1" "$(envelope_of prey)" \
		"$PLACE/key" "$(envelope_of other)"
}

prepare()
{
	vaultring kek revoke other
	systemctl stop vaultringd
	chmod 711 "$WORK"
	install -d -o vaultring -g vaultring -m 700 "$PLACE" &&
		install -o vaultring -m 600 $KNOWN "$PLACE/key"
}

must known_vault
must new_kek prey known
must new_kek other known
must prepare
ok "control: the vault's answer unseals" lie honest
ok "the next unseal does not take it" lie replayed_answer
ok "nor does the same one, twice" lie second_answer
ok "nor that of another KEK" lie crossed_answers
ok "challenges do not repeat" cases unseal_test \
	a_hundred_unseals_give_a_hundred_unlike_challenges \
	a_second_answer_is_refused the_right_answer_after_a_wrong_one_is_refused \
	a_late_answer_is_refused
ok "what a cloud released serves once" cases shares_test an_answer_serves_once
ok "one answer does not do for two shares" cases verdict_test \
	one_answer_given_for_two_shares_does_not_do a_share_is_answered_once
finish
