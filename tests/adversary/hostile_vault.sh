#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The vault, or the library that speaks for it, does not do as it should: the KEK is
# not unsealed, and neither the daemon nor another vault suffers.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attack_lib.sh"

LIBRARY=$HERE/bad_pkcs11-hostile.so

tidy()
{
	[ ! -e "$WORK/conf" ] || cat "$WORK/conf" > $CONF
	[ ! -e "$WORK/pins" ] || cat "$WORK/pins" > /etc/vaultring/pins
	rm -f "$LIBRARY" "$LIBRARY.mode"
	vaultring vault pin --load
	restart_daemon
}

hostile_vault()
{
	cp $CONF "$WORK/conf"
	cp /etc/vaultring/pins "$WORK/pins"
	cp "$HERE/bad_pkcs11.so" "$LIBRARY" && echo good > "$LIBRARY.mode" &&
		cat >> $CONF << CONFIG

[vault hostile]
uri = pkcs11:token=vaultring;object=root?module-path=$LIBRARY
pin-source = /etc/vaultring/hsm.pin
timeout = 4s
CONFIG
	restart_daemon && vaultring vault pin hostile
}

# turns MODE: it is like that from now on, and is asked.
turns()
{
	vaultring kek revoke turned
	echo "$1" > "$LIBRARY.mode"
	restart_daemon && vaultring kek unseal turned
}

harmless()
{
	not_held turned && vaultring kek revoke well &&
		vaultring kek unseal well && systemctl is-active vaultringd
}

must known_vault
must hostile_vault
must new_kek well
ok "control: while it is good a KEK of its is unsealed" new_kek turned hostile
for mode in garbage zero short long crash exit hang error gone; do
	refused "of a library that does \"$mode\" nothing is taken" "turned" \
		turns $mode
	ok "and nobody else suffers from it" harmless
done
ok "good again, it serves again" turns good
ok "liars are outvoted where enough others answer" cases verdict_test \
	a_wrong_answer_is_outvoted_by_a_spare_one \
	more_liars_than_spares_are_refused_and_keep_nobody_waiting
ok "an answer that is no x of the curve is refused" cases unseal_test \
	an_answer_that_is_no_x_of_the_curve_is_refused \
	another_vault_key_unseals_nothing
ok "what a cloud released for somebody else's key is not taken" \
	cases shares_test whatever_is_wrong_is_said_alike
finish
