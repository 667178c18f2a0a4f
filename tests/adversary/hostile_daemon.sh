#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Somebody has taken over the daemon: he has its socket, its envelopes and whatever
# the vault answers.  See hostile_daemon.c; each lie is refused by the kernel.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attack_lib.sh"

LIAR=$HERE/hostile_daemon
PLACE=$WORK/hostile

take_over()
{
	systemctl stop vaultringd
	chmod 711 "$WORK"
	install -d -o vaultring -g vaultring -m 700 "$PLACE" &&
		install -o vaultring -m 600 $KNOWN "$PLACE/key" || return
	vaultring kek revoke prey
	vaultring kek revoke other
	[ "$(systemctl is-active vaultringd)" = inactive ]
}

# lie NAME
lie()
{
	as_daemon "$LIAR" "$1" "$(envelope_of prey)" "$PLACE/key" \
		"$(envelope_of other)" "$PLACE/transcript"
}

forget_it()
{
	vaultring kek revoke prey
}

# ask_a_liar LIE SECONDS PATTERN: what a task hears which asks for the KEK.
ask_a_liar()
{
	local liar start=$SECONDS status

	lie "$1" > "$WORK/liar" 2>&1 &
	liar=$!
	until grep -q attached "$WORK/liar"; do
		kill -0 $liar || return
		sleep 0.1
	done
	keyctl request2 vault-kek prey "" @s > "$WORK/asked" 2>&1
	status=$?
	echo "took $((SECONDS - start)) s"
	[ "$1" = substitute ] || kill $liar
	wait $liar
	cat "$WORK/liar" "$WORK/asked"
	[ $status -ne 0 ] && [ $((SECONDS - start)) -le $(($2 * ${VAULTRING_SLOW:-1})) ] &&
		grep -Ei "$3" "$WORK/asked" && ! vaultring status --json |
			grep -q '"prey"'
}

no_secret_in_transcript()
{
	[ -s "$PLACE/transcript" ] &&
		python3 "$HERE/hunt.py" --kek "$(envelope_of prey)" $KNOWN \
			"$PLACE/transcript"
}

must known_vault
must new_kek prey known
must new_kek other known
ok "the daemon is taken over" take_over
ok "control: with a right answer the kernel unseals for it" lie honest
must forget_it
ok "a KEK for a vault key of its own is refused" lie own_vault
ok "pins of its own are" lie own_pins
ok "so is an envelope resealed for its own vault key" lie own_reseal
ok "and the transport key sealed for it" lie own_transport
ok "wrong answers are refused" lie wrong_answers
ok "a changed envelope is, whatever the vault answers" lie changed_attributes
ok "another KEK under the name that is pinned is" lie another_kek
ok "its share made a clear one is" lie clear_share
ok "a point that is not on the curve is" lie point_off_the_curve
ok "who asks does not get another KEK in its place" \
	ask_a_liar substitute 60 "available|rejected|again|timed out"
ok "nor is he told that all is well" \
	ask_a_liar claim 40 "available|again|timed out"
ok "a daemon that says nothing holds nobody up for long" \
	ask_a_liar silence 35 "available|again|timed out"
ok "what it has heard from the kernel holds no secret" no_secret_in_transcript
finish
