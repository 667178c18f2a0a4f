#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The daemon sees clear shares.  So many of them that they would be enough alone are
# refused when a KEK is made, when it is resealed and when it is unsealed.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attack_lib.sh"

ok "clear shares alone make no KEK" cases shares_test \
	clear_shares_alone_never_make_a_kek
ok "nor do those of symmetric vault keys" cases symmetric_test \
	alone_such_shares_never_make_a_kek
ok "nor does an envelope that was made so elsewhere unseal" cases verdict_test \
	clear_shares_that_reach_the_threshold_are_refused
ok "nor one whose share was made a clear one, authenticated anew" cases \
	forge_test a_clear_share_that_reaches_the_threshold_is_refused
ok "nor can a reseal bring that about" cases reseal_test \
	what_cannot_be_created_cannot_be_resealed_either
finish
