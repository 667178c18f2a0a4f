#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The daemon, without the kernel, looks at the vault keys of its envelopes: when,
# how often, and what it makes of what it sees.  What follows for KEKs is for
# tests/sync_test.sh.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/softhsm_lib.sh"

# --- vaults and envelopes ---

# vault NAME TOKEN MODE POLL [PIN-FILE [TIMEOUT]]: with a library of its own name.
vault()
{
	ln -sf bad_pkcs11.so "$WORK/bad_pkcs11-$3.$1.so"
	cat << CONFIG

[vault $1]
uri = pkcs11:token=$2;object=root
  ?module-path=$WORK/bad_pkcs11-$3.$1.so
pin-source = ${5:-$PIN_FILE}
poll = $4
timeout = ${6:-20s}
CONFIG
}

# mode_of VAULT [MODE]
mode_of()
{
	local file=$WORK/bad_pkcs11-counts.$1.so.mode

	if [ $# -gt 1 ]; then
		echo "$2" > "$file"
	else
		rm "$file"
	fi
}

set_up()
{
	local name

	for name in s1 s2 s3 s4; do
		make_token $name && TOKEN=$name make_key $name || return
	done
	(umask 077 && cp "$PIN_FILE" "$WORK/pin2")
	{
		vault s1 s1 counts 1s
		vault s2 s2 counts 1s
		vault s3 s3 counts 1s
		vault hangs s4 counts 1s "$PIN_FILE" 3s
		vault pin vaultring logins 1s "$WORK/pin2"
		vault never beside counts 0
		vault unused beside counts 1s
	} > "$WORK/vaultring.conf"
	daemon_on
}

# Started anew: an envelope that comes as a file is no reason to look.
envelopes()
{
	local vault

	for vault in s1 s2 s3 hangs pin never; do
		print_of $vault || return
	done
	envelope one 1 s1 && envelope same 1 s1 &&
		envelope two 2 s1 s2 s3 && envelope hung 1 hangs &&
		envelope pinned 1 pin && envelope unpolled 1 never &&
		stops && daemon_on
}

# --- when ---

polls_them()
{
	mark
	rounds s1 6 && says 0 "vault s[123]: (away|refuse|back)"
}

# The longest is the interval, the shortest three quarters of it.
in_the_interval()
{
	sed -n 's/.*vault s1: looks again in \([0-9]*\) ms.*/\1/p' \
		"$WORK/daemon.log" | sort -n > "$WORK/intervals"
	tr '\n' ' ' < "$WORK/intervals"
	[ "$(head -n 1 "$WORK/intervals")" -ge 750 ] &&
		[ "$(tail -n 1 "$WORK/intervals")" -le 1000 ]
}

with_jitter()
{
	[ "$(uniq "$WORK/intervals" | wc -l)" -ge 3 ]
}

# By the clock, too: that is no matter of a timer that is wrong.  An early start
# of the first and a late one of the last are the host's.
as_often_as_that()
{
	local start before n

	before=$(rounds_of s1)
	start=$(date +%s%N)
	rounds s1 5 || return
	n=$(($(rounds_of s1) - before))
	echo "$n rounds in $((($(date +%s%N) - start) / 1000000)) ms"
	[ $((($(date +%s%N) - start) / 1000000)) -ge $(((n - 1) * 750)) ]
}

looks_of()
{
	grep -c "$1.so: a key is looked for" "$WORK/daemon.log"
}

# Three envelopes name it.
once_a_round()
{
	local rounds looks

	rounds s1 1
	# Not in the middle of one.
	kill -STOP "$DAEMON"
	rounds=$(rounds_of s1) looks=$(looks_of s1)
	kill -CONT "$DAEMON"
	echo "$looks looks in $rounds rounds"
	# The first one is print_of's; another may be under way.
	[ "$looks" -ge "$rounds" ] && [ "$looks" -le $((rounds + 2)) ]
}

# print_of had one.
never_polled()
{
	[ "$(looks_of never)" -eq 1 ] && [ "$(rounds_of never)" -eq 0 ] &&
		[ "$(looks_of unused)" -eq 0 ]
}

# A look takes longer than the interval; so they do not queue up.
one_at_a_time()
{
	local before

	mode_of hangs slow-look
	rounds hangs 8 || return
	before=$(looks_of hangs)
	call VaultCheck '{"vault":"hangs"}'
	echo "$(($(looks_of hangs) - before)) looks meanwhile"
	[ $(($(looks_of hangs) - before)) -le 3 ]
	set -- $?
	mode_of hangs
	return "$1"
}

# --- what is made of it ---

key_gone_is_told()
{
	mark
	take_away s1
	soon says 1 "vault s1: refuses: .*key \"root\" has no" &&
		rounds s1 2 && says 1 "vault s1: refuses" &&
		says 1 "kek one: 1 of its 1 vaults refuse it and it needs 1" &&
		says 1 "kek one: " && says 1 "kek same: " && says 0 "kek two: "
}

back_is_told()
{
	mark
	put_back s1
	soon says 1 "vault s1: agrees again" && rounds s1 2 &&
		says 1 "vault s1: agrees again" &&
		says 1 "kek one: its vaults agree again" && says 0 "kek two: "
}

# In the same place, by label and id.  That there are two at first is a matter of
# what the uri says, and no refusal.
two_of_a_name()
{
	mark
	TOKEN=s1 make_key other && soon says 1 "vault s1: refused: several" &&
		rounds s1 2 && says 0 "refuses|kek "
}

another_key()
{
	mark
	take_away s1
	soon says 1 "vault s1: refuses: it has another key in its place" &&
		rounds s1 2 && says 1 "vault s1: refuses" &&
		says 0 "vault s1: away" && says 1 "kek one: "
}

first_key_again()
{
	mark
	take_away other && put_back s1 &&
		soon says 1 "vault s1: agrees again"
}

hangs()
{
	mark
	mode_of hangs hang-init
	soon says 1 "vault hangs: away: no answer within 3.0 s" &&
		rounds hangs 2 && says 1 "vault hangs: away" &&
		says 0 "vault hangs: refuse|kek "
}

comes_back()
{
	mark
	mode_of hangs
	soon says 1 "vault hangs: back" && rounds hangs 2 &&
		says 1 "vault hangs: back" && says 0 "refuse|kek "
}

dies()
{
	local pid

	mark
	mode_of s3 hang-init
	soon says 1 "s3.so: it hangs" && pid=$(who_says "s3.so: it hangs") &&
		kill -KILL "$pid" || return
	mode_of s3
	soon says 1 "vault s3: away: its worker was ended by signal 9" &&
		soon says 1 "vault s3: back" && says 0 "refuse|kek "
}

token_away()
{
	mark
	mv "$TOKENS" "$TOKENS.away" && mkdir "$TOKENS"
	soon says 1 "vault s1: away: " && rounds s1 2 &&
		says 0 "refuse|kek "
	set -- $?
	rmdir "$TOKENS"
	mv "$TOKENS.away" "$TOKENS"
	[ "$1" -eq 0 ] && soon says 1 "vault s1: back"
}

pin_refused()
{
	mark
	echo 9999 > "$WORK/pin2"
	soon says 1 "vault pin: refuses: the token refused the PIN" &&
		soon says 1 "kek pinned: 1 of its 1 vaults refuse it" &&
		rounds pin 2 && says 1 "vault pin: refuses" || return
	# Of the two before it changed one may have been under way.
	since | sed '0,/vault pin: refuses/d' > "$WORK/after"
	! grep "C_Login is called" "$WORK/after"
}

pin_right()
{
	mark
	cat "$PIN_FILE" > "$WORK/pin2"
	soon says 1 "vault pin: agrees again" &&
		soon says 1 "kek pinned: its vaults agree again"
}

# That is no word of the vault's.
pin_unreadable()
{
	mark
	chmod 604 "$WORK/pin2"
	soon says 1 "vault pin: refused: everybody may read" && rounds pin 2 &&
		says 0 "refuses|kek "
	set -- $?
	chmod 600 "$WORK/pin2"
	[ "$1" -eq 0 ] && soon says 1 "vault pin: back"
}

fewer_than_it_needs()
{
	mark
	take_away s3
	soon says 1 "vault s3: refuses" && rounds s3 2 && says 0 "kek two: " ||
		return
	take_away s2
	soon says 1 "kek two: 2 of its 3 vaults refuse it and it needs 2; it is kept" &&
		rounds s2 2 && says 1 "kek two: "
}

enough_again()
{
	mark
	put_back s2
	soon says 1 "kek two: its vaults agree again" && rounds s2 2 &&
		says 1 "kek two: " && put_back s3 &&
		soon says 1 "vault s3: agrees again" && says 1 "kek two: "
}

listing()
{
	mark
	take_away s1
	soon says 1 "vault s1: refuses" || return
	call VaultList > "$WORK/list"
	put_back s1
	cat "$WORK/list"
	$PYTHON - "${PRINTS[s1]}" "$WORK/list" << 'PYTHON'
import json, sys, time
vaults = {v["name"]: v for v in
          json.load(open(sys.argv[2]))["parameters"]["vaults"]}
key, = vaults["s1"]["keys"]
assert key["key"] == "s1" and key["fingerprint"] == sys.argv[1]
assert key["state"] == "refused" and "has no" in key["message"]
assert abs(key["heard"] - time.time()) < 60
assert vaults["s2"]["keys"][0]["state"] == "agrees"
assert vaults["s2"]["state"] == "ready" and vaults["s2"]["poll"] == 1
assert abs(vaults["s2"]["last_contact"] - time.time()) < 60
assert vaults["hangs"]["last_error"]["message"]
assert vaults["never"]["keys"][0]["state"] == "unknown"
assert vaults["never"]["poll"] == 0 and not vaults["unused"]["keys"]
PYTHON
}

revoke_is_told()
{
	soon says 1 "vault s1: agrees again" && stops &&
		sed -i '1i [daemon]\non-refusal = revoke' "$WORK/vaultring.conf" &&
		daemon_on || return
	mark
	take_away s1
	soon says 1 "kek one: .*it is revoked if it is active"
	set -- $?
	put_back s1
	return "$1"
}

begin
ok "vaults and a daemon are there" set_up
ok "and envelopes that name their keys" envelopes
ok "keys are polled, and nothing is said of it" polls_them
ok "never later than the interval, and no sooner than three quarters" \
	in_the_interval
ok "not always after the same time" with_jitter
ok "not more often than that, by the clock" as_often_as_that
ok "a key that several envelopes name is asked for once" once_a_round
ok "what has poll = 0, or no envelope names, is not polled" never_polled
ok "a look that lasts longer than the interval keeps nobody waiting" one_at_a_time
ok "a key that is gone is told, of vault and KEK, once" key_gone_is_told
ok "its return is told, once" back_is_told
ok "two keys of one name are no refusal" two_of_a_name
ok "another key in its place is one" another_key
ok "the first one in its place is fine" first_key_again
ok "a vault that hangs is away, said once, and no refusal" hangs
ok "it is back, said once" comes_back
ok "a worker that dies is away, and no refusal" dies
ok "a token that is not there is away, and no refusal" token_away
ok "a PIN that is refused is one, and not tried again" pin_refused
ok "the right PIN in the file is enough" pin_right
ok "a PIN file that cannot be used is no refusal" pin_unreadable
ok "refused is a KEK when fewer are left than it needs, and told once" \
	fewer_than_it_needs
ok "until there are enough again" enough_again
ok "the listing tells states, keys, contact and errors" listing
ok "with on-refusal = revoke that is what is said" revoke_is_told
ok "no PIN is in the log" no_pin_in_log
ok "it stops when told to" stops
finish
