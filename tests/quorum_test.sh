#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# KEKs that several vaults guard, through daemon and tools: two tokens, one of
# which is taken out, and vaults that hang or lie.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

TOKENS=/var/lib/softhsm/tokens
SECOND=/root/second.pem
SECOND_TOKEN=
DISK=/dev/vdb
# How long the vault that hangs may take, which is less than an unseal may; the
# others answer within a second.
HANGS=15

tidy()
{
	vaultring luks close quorum
	wipefs -aq $DISK
	[ ! -d $TOKENS.away ] || mv $TOKENS.away/* $TOKENS/
	[ ! -e "$WORK/conf" ] || cat "$WORK/conf" > $CONF
	[ ! -e "$WORK/pins" ] || cat "$WORK/pins" > /etc/vaultring/pins
	[ -z "$SECOND_TOKEN" ] || rm -rf "$SECOND_TOKEN"
	rm -f "$HERE"/bad_pkcs11-*.so $SECOND
	vaultring vault pin --load
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
}

token_list()
{
	find $TOKENS -mindepth 1 -maxdepth 1 | sort
}

# A second token, with a key that the oracle has, too.
second_token()
{
	token_pin
	token_list > "$WORK/before"
	softhsm2-util --init-token --free --label second --pin "$PIN" \
		--so-pin "$PIN" || return
	SECOND_TOKEN=$(token_list | comm -13 "$WORK/before" -)
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
		-out $SECOND &&
		openssl pkey -in $SECOND -outform DER -out "$WORK/der" &&
		openssl pkey -in $SECOND -pubout -outform DER -out "$WORK/pub" &&
		p11_second --write-object "$WORK/der" --type privkey \
			--usage-derive --sensitive --label second --id 03 &&
		p11_second --write-object "$WORK/pub" --type pubkey \
			--label second --id 03 && own_tokens
}

p11_second()
{
	pkcs11-tool --module /usr/lib/softhsm/libsofthsm2.so \
		--token-label second --login --pin env:PIN "$@"
}

# vault NAME TOKEN OBJECT LIBRARY TIMEOUT
vault()
{
	cat >> $CONF << CONFIG

[vault $1]
uri = pkcs11:token=$2;object=$3?module-path=$4
pin-source = /etc/vaultring/hsm.pin
timeout = $5
CONFIG
}

# The library takes its manner from its own name.
bad_module()
{
	cp "$HERE/bad_pkcs11.so" "$HERE/bad_pkcs11-$1.so"
	echo "$HERE/bad_pkcs11-$1.so"
}

vaults()
{
	local name

	cp $CONF "$WORK/conf"
	cp /etc/vaultring/pins "$WORK/pins"
	vault second second second /usr/lib/softhsm/libsofthsm2.so 5s
	vault hangs vaultring root "$(bad_module hang)" ${HANGS}s
	vault liar vaultring root "$(bad_module garbage)" 5s
	systemctl reset-failed vaultringd
	systemctl restart vaultringd || return
	for name in second hangs liar; do
		vaultring vault pin $name || return
	done
}

# create NAME OPTION...
create()
{
	KEKS+=("$1")
	vaultring kek create "$@"
}

reseal()
{
	vaultring kek reseal "$@" | tee "$WORK/resealed"
	return "${PIPESTATUS[0]}"
}

id_of()
{
	vaultring kek show "$1" | sed -n 's/^id *//p'
}

# With a blob that must go on to open.
make_moved()
{
	create moved --vault known && rm -f "$WORK/moved.blob" &&
		vaultring dek new --kek moved --use xts -o "$WORK/moved.blob" &&
		id_of moved > "$WORK/moved.id"
}

moved_opens()
{
	keyctl unlink %vault-dek:moved @u
	fresh_unseal moved && [ "$(id_of moved)" = "$(cat "$WORK/moved.id")" ] &&
		keyctl padd vault-dek moved @u < "$WORK/moved.blob"
}

# within SECONDS CMD...: it must not take longer.
within()
{
	local start=$SECONDS status limit=$1

	shift
	"$@"
	status=$?
	echo "took $((SECONDS - start)) s"
	[ $((SECONDS - start)) -le $limit ] || return 125
	return $status
}

fresh_unseal()
{
	vaultring kek revoke "$1"
	vaultring kek unseal "$1"
}

shows_shares()
{
	vaultring kek show both > "$WORK/show"
	cat "$WORK/show"
	grep -E '^share 1 +vault known, oblivious, key [0-9a-f]{64}$' "$WORK/show" &&
		grep -E '^share 2 +vault second, oblivious, key [0-9a-f]{64}$' "$WORK/show" &&
		grep -E '^threshold +2 of 2$' "$WORK/show"
}

lists_them()
{
	vaultring kek list | tee /dev/stderr |
		grep -qE '^both .* 2 of known,second '
}

shows_shares_as_json()
{
	vaultring kek show both --json | tee /dev/stderr | python3 -c '
import hashlib, json, subprocess, sys
kek = json.load(sys.stdin)
def print_of(path):
    der = subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-outform",
                          "DER"], capture_output=True, check=True).stdout
    return hashlib.sha256(der).hexdigest()
assert kek["threshold"] == 2
assert [(s["index"], s["vault"], s["fingerprint"]) for s in kek["shares"]] == [
    (1, "known", print_of(sys.argv[1])), (2, "second", print_of(sys.argv[2]))]' \
		$KNOWN $SECOND
}

# id_by_oracle NAME KEYS: the id that the formats give is the one that is shown.
id_by_oracle()
{
	local id

	id=$(oracle verify "$(envelope_of "$1")" "$2" | sed -n 's/^id=//p')
	echo "oracle: $id"
	[ -n "$id" ] && vaultring kek show "$1" --json | grep -q "\"$id\""
}

# parts_are NAME KEYS COUNT: so many of its parts are the master secret itself.
parts_are()
{
	local master

	oracle verify "$(envelope_of "$1")" "$2" > "$WORK/secrets" || return
	master=$(sed -n 's/^master=//p' "$WORK/secrets")
	grep -c '^part' "$WORK/secrets"
	[ "$(grep -c "^part.*=$master$" "$WORK/secrets")" -eq "$3" ]
}

either_part_is_it()
{
	parts_are either $KNOWN 1 && parts_are either $SECOND 1
}

one_key_gives_nothing()
{
	! oracle verify "$(envelope_of both)" $KNOWN &&
		! oracle verify "$(envelope_of both)" $SECOND
}

open_and_write()
{
	vaultring luks format $DISK --kek both --yes &&
		vaultring luks open $DISK quorum &&
		echo "two guard this" | dd of=/dev/mapper/quorum bs=512 \
			conv=sync,fsync oflag=direct
}

read_back()
{
	dd if=/dev/mapper/quorum bs=512 count=1 iflag=direct |
		grep -aqx "two guard this"
}

close_and_revoke()
{
	vaultring luks close quorum && vaultring kek revoke both
}

take_second()
{
	mkdir -p $TOKENS.away
	mv "$SECOND_TOKEN" $TOKENS.away/
}

put_second_back()
{
	mv $TOKENS.away/* $TOKENS/
	rmdir $TOKENS.away
}

open_volume()
{
	vaultring luks open $DISK quorum
}

# In one line, and nothing about the vault that is fine.
names_the_absent_one_alone()
{
	vaultring kek unseal both 2>&1 | tee /dev/stderr > "$WORK/said"
	grep -q "it needs 2 of 2 vaults; vault second is away (.*vault check second" \
		"$WORK/said" && ! grep -q "vault known" "$WORK/said"
}

journal_has()
{
	journalctl -q -b -u vaultringd | grep -E -- "$1"
}

request()
{
	vaultring kek revoke "$1"
	keyctl request2 vault-kek "$1" "" @s
}

# Else the vault is still busy with an exchange that nobody waits for any more.
create_stuck()
{
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
	create stuck --vault hangs --vault known --threshold 2
}

both_away()
{
	mkdir -p $TOKENS.away
	mv $TOKENS/* $TOKENS.away/
	fresh_unseal either
}

# The vault is no more: its share can never come.
unconfigured()
{
	local status

	cp $CONF "$WORK/with"
	sed -i '/^\[vault second\]/,/^$/d' $CONF
	systemctl restart vaultringd
	fresh_unseal both
	status=$?
	cat "$WORK/with" > $CONF
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
	return $status
}

must known_vault
must second_token
must vaults
status_is "several vaults and no threshold is a usage error" 2 \
	vaultring kek create x --vault known --vault second
status_is "a threshold of 0 is one" 2 \
	vaultring kek create x --vault known --vault second --threshold 0
status_is "and one that is more than the vaults" 2 \
	vaultring kek create x --vault known --vault second --threshold 3
status_is "and nine vaults" 2 vaultring kek create x --vault known:1 \
	--vault known:2 --vault known:3 --vault known:4 --vault known:5 \
	--vault known:6 --vault known:7 --vault known:8 --vault known:9 \
	--threshold 2
refused "two names of one vault key are refused" "same vault key" \
	create same --vault known --vault hsm --vault hsm:root --threshold 2
ok "a KEK that both of two vaults guard" \
	create both --vault known --vault second --threshold 2
# Before this shell learns of them.
ok "no process has its secrets, its parts or its KEK" \
	python3 "$HERE/hunt.py" --kek "$(envelope_of both)" $KNOWN,$SECOND
ok "kek show lists the shares and the threshold" shows_shares
ok "kek list says it in short" lists_them
ok "kek show --json lists them, with the vaults' own fingerprints" \
	shows_shares_as_json
ok "the oracle gets its id from the formats and both keys" \
	id_by_oracle both $KNOWN,$SECOND
ok "and nothing from one of them" one_key_gives_nothing
ok "neither of its parts is the master secret" \
	parts_are both $KNOWN,$SECOND 0
ok "a volume under it" open_and_write
ok "is closed, and the KEK revoked" close_and_revoke
take_second
refused "with one token taken out it does not open, and says which" \
	"vault second is away" open_volume
ok "the vault that is fine is not accused" names_the_absent_one_alone
ok "the journal says it too" journal_has \
	"kek both: it needs 2 of 2 vaults; vault second is away"
refused "a task that asks is told to try again" "temporarily unavailable" \
	request both
put_second_back
ok "with the token back it opens" open_volume
ok "and the data are there" read_back
ok "it is closed again" close_and_revoke
ok "a KEK that either of two vaults opens" \
	create either --vault second --vault known --threshold 1
ok "the oracle gets it from the first key" id_by_oracle either $SECOND
ok "and from the second" id_by_oracle either $KNOWN
ok "with a threshold of 1 each part is the master secret" either_part_is_it
take_second
ok "with one token taken out it is unsealed" fresh_unseal either
ok "also for a task that asks" request either
put_second_back
refused "with both away the failure names each" \
	"vault second is away.*vault known is away" both_away
put_second_back
# However slow this machine is: it is another who hangs.
ok "a vault that hangs does not delay one of two" within $((HANGS - 1)) \
	create quick --vault hangs --vault known --threshold 1
ok "nor the next unseal, while it hangs" within $((HANGS - 1)) \
	fresh_unseal quick
ok "nor a task's" within $((HANGS - 1)) request quick
refused "where it is needed the failure names it, after its own time" \
	"it needs 2 of 2 vaults; vault hangs is away \(no answer within" \
	within $((HANGS * 2 * ${VAULTRING_SLOW:-1})) create_stuck
ok "a vault that lies is outvoted by two of three" \
	create lied --vault liar --vault known --vault second --threshold 2
ok "each time" fresh_unseal lied
refused "where it is needed it is refused" "wrong|rejected|proper" \
	create trusting --vault liar --vault known --threshold 2
ok "a KEK of one vault, and a blob under it" make_moved
ok "is resealed for both of two" \
	reseal moved --vault known --vault second --threshold 2
ok "the tool says for which" grep -F "for 2 of known, second" "$WORK/resealed"
ok "it has its id, and opens the blob" moved_opens
take_second
refused "with one of the two gone it is not unsealed" "vault second is away" \
	fresh_unseal moved
refused "nor resealed" "vault second is away" reseal moved --vault known
put_second_back
refused "a vault that then gives no right answer changes nothing" \
	"kek moved: not resealed, as its new envelope does not open; nothing has changed" \
	reseal moved --vault liar
ok "the former envelope serves on" moved_opens
ok "it is resealed for the second alone" reseal moved --vault second
ok "and again, for the same" reseal moved
ok "and opens the blob" moved_opens
refused "several vaults want a threshold" "say with --threshold" \
	reseal moved --vault known --vault second
refused "a KEK that does not exist is named" "kek nosuch: there is none" \
	reseal nosuch --vault known
refused "a vault that is in no configuration any more is named" \
	"vault second refused \(it is not in vaultring.conf" unconfigured
ok "and all is well with it back" fresh_unseal both
finish
