#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vaultring(1): usage, listings, errors that a person can use.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

KEK=cli

# json CMD...: its output is one JSON value.
json()
{
	"$@" > "$WORK/json" || return
	cat "$WORK/json"
	python3 -m json.tool "$WORK/json" > /dev/null
}

json_has()
{
	local what=$1

	shift
	json "$@" && grep -q -- "$what" "$WORK/json"
}

says_when_stopped()
{
	local status

	systemctl stop vaultringd
	"$@"
	status=$?
	systemctl start vaultringd
	return $status
}

status_when_stopped()
{
	says_when_stopped vaultring status > "$WORK/status"
	cat "$WORK/status"
	grep -qiE 'daemon.*(not|no|stopped|absent)|not running' "$WORK/status"
}

unpinned()
{
	local status

	cp /etc/vaultring/pins "$WORK/pins"
	sed -i '/^vault /d' /etc/vaultring/pins
	vaultring vault pin --load
	vaultring kek create unpinned --vault hsm
	status=$?
	cp "$WORK/pins" /etc/vaultring/pins
	vaultring vault pin --load
	return $status
}

fingerprint_is_openssls()
{
	local fingerprint

	token_pin
	p11 --read-object --type pubkey --label root -o "$WORK/pub" || return
	fingerprint=$(openssl pkey -pubin -in "$WORK/pub" -inform DER \
		-outform DER | sha256sum | cut -d ' ' -f 1)
	echo "$fingerprint"
	grep "vault hsm $fingerprint" /etc/vaultring/pins
}

keeps_file()
{
	local before status

	before=$(sha256sum < "$WORK/blob")
	vaultring dek new --kek $KEK --use xts -o "$WORK/blob"
	status=$?
	[ "$before" = "$(sha256sum < "$WORK/blob")" ] || return 126
	return $status
}

blob_mode()
{
	[ "$(stat -c '%a %s' "$WORK/blob")" = "600 136" ]
}

full_device()
{
	vaultring status > /dev/full
}

# Swap or an old kernel may be wrong on the guest; then it exits 1, in JSON too.
json_of_doctor()
{
	vaultring doctor --json > "$WORK/json"
	[ $? -le 1 ] && python3 -m json.tool "$WORK/json"
}

doctor_runs()
{
	vaultring doctor
	[ $? -le 1 ]
}

# Each kind of secret; it looks at the file of settings, not at the daemon's.
doctor_sees_open_secrets()
{
	local setting

	cp /etc/vaultring/vaultring.conf "$WORK/conf"
	install -m 0644 -o vaultring /dev/null "$WORK/open"
	install -m 0400 -o vaultring /dev/null "$WORK/closed"
	for setting in pin-source token-file secret-id-file client-secret-file \
		client-certificate-file; do
		echo "$setting = $WORK/open"
		echo "$setting = $WORK/closed"
	done >> /etc/vaultring/vaultring.conf
	vaultring doctor > "$WORK/doctor"
	cat "$WORK/conf" > /etc/vaultring/vaultring.conf
	grep "$WORK" "$WORK/doctor"
	[ "$(grep -c "^wrong .*$WORK/open: others" "$WORK/doctor")" = 5 ] &&
		[ "$(grep -c "^ok .*$WORK/closed: for" "$WORK/doctor")" = 5 ]
}

doctor_when_stopped()
{
	says_when_stopped vaultring doctor
}

as_user()
{
	setpriv --reuid nobody --regid nogroup --clear-groups "$@"
}

# in_groups GROUPS CMD...: a user whom the KEK does not name, in those groups.
in_groups()
{
	local groups=$1

	shift
	setpriv --reuid nobody --regid nogroup --groups "$groups" "$@"
}

members_kek()
{
	KEKS+=(members)
	vaultring kek create members --vault hsm --gid daemon &&
		vaultring kek revoke members
}

ask_for_members_kek()
{
	in_groups "$1" keyctl session - keyctl request2 vault-kek members "" @s
}

# The KEK's envelope is replaced by another one of that name, as a hostile
# daemon could: as genuine as its own, made by this kernel for this vault.
replace_envelope()
{
	KEKS+=(twin)
	vaultring kek create twin --vault hsm &&
		cp "$(envelope_of twin)" "$WORK/twin" || return
	forget twin
	vaultring kek create twin --vault hsm && vaultring kek revoke twin &&
		! cmp "$WORK/twin" "$(envelope_of twin)" &&
		cat "$WORK/twin" > "$(envelope_of twin)"
}

nothing_pinned()
{
	! grep -E '^kek (unpinned|other|many|stopped) ' /etc/vaultring/pins
}

pinned_name()
{
	grep -E "^kek $KEK [0-9a-f]{32}$" /etc/vaultring/pins
}

no_stray_key()
{
	keyctl show @s
	! keyctl show @s | grep -q vault-dek
}

status_is "without arguments it is a usage error" 2 vaultring
status_is "an unknown verb is a usage error" 2 vaultring frobnicate
status_is "an unknown sub-verb is a usage error" 2 vaultring kek frobnicate
status_is "an unknown option is a usage error" 2 vaultring status --frob
status_is "a missing argument is a usage error" 2 vaultring kek create
status_is "a bad use is a usage error" 2 \
	vaultring dek new --kek $KEK --use ecb -o "$WORK/x"
status_is "a bad name is a usage error" 2 \
	vaultring kek create a/b --vault hsm
status_is "a bad lease is a usage error" 2 \
	vaultring kek create lease --vault hsm --lease soon
ok "--help is no error" vaultring --help
ok "each verb has --help" vaultring kek create --help
ok "status shows one screen" vaultring status
ok "kek create makes and unseals a KEK" new_kek $KEK
ok "and pins its name to its id" pinned_name
refused "a name that exists is refused" "$KEK" \
	vaultring kek create $KEK --vault hsm
refused "a vault that is not configured is refused by name" "nowhere" \
	vaultring kek create other --vault nowhere
refused "a vault key that is not pinned is refused with the next step" \
	"vaultring vault pin hsm" unpinned
refused "a KEK that is not there is refused by name" "nowhere" \
	vaultring kek unseal nowhere
refused "showing one that is not there too" "nowhere" vaultring kek show nowhere
refused "one vault key for two shares is refused clearly" "same vault key" \
	vaultring kek create many --vault hsm --vault hsm:root --threshold 2
ok "status --json parses" json vaultring status --json
ok "vault list --json names the vault" json_has '"hsm"' \
	vaultring vault list --json
ok "kek list --json names the KEK" json_has "\"$KEK\"" \
	vaultring kek list --json
ok "kek show --json names it" json_has "\"$KEK\"" \
	vaultring kek show $KEK --json
ok "doctor --json parses or complains in JSON" json_of_doctor
ok "vault list shows the vault" vaultring vault list
ok "kek list shows the KEK" vaultring kek list
ok "kek show shows it" vaultring kek show $KEK
ok "vault check makes one full exchange" vaultring vault check hsm
refused "vault check of an unknown vault names it" "nowhere" \
	vaultring vault check nowhere
ok "the pinned fingerprint is that of openssl" fingerprint_is_openssls
refused "pinning with another fingerprint is refused" "fingerprint|differ" \
	vaultring vault pin hsm --fingerprint \
	0000000000000000000000000000000000000000000000000000000000000000
ok "dek new writes a blob" \
	vaultring dek new --kek $KEK --use xts --bits 512 -o "$WORK/blob"
ok "of 136 bytes for its owner alone" blob_mode
ok "and leaves no key in the session" no_stray_key
refused "it does not overwrite" "exists" keeps_file
ok "--force does" vaultring dek new --kek $KEK --use xts -o "$WORK/blob" --force
ok "dek show --json says what it is for" json_has '"xts"' \
	vaultring dek show "$WORK/blob" --json
refused "dek show of something else says so" "blob" \
	vaultring dek show /etc/hostname
refused "dek new under an unknown KEK names it" "nowhere" \
	vaultring dek new --kek nowhere --use xts -o "$WORK/y"
refused "an unprivileged user is told who may" "root" \
	as_user vaultring kek revoke $KEK
ok "a KEK's envelope is replaced by another one of its name" replace_envelope
refused "it cannot be unsealed" "another KEK" vaultring kek unseal twin
refused "and who asks is told that it is rejected" "rejected" \
	keyctl request2 vault-kek twin "" @s
ok "a KEK can be made for a group" members_kek
refused "who is not in the group cannot have it unsealed" "denied" \
	ask_for_members_kek nogroup
refused "nor was it unsealed for him" "not active" vaultring kek revoke members
ok "a member by a supplementary group can" ask_for_members_kek nogroup,daemon
ok "status works and says so when the daemon is stopped" status_when_stopped
refused "kek create says that the daemon is stopped, and what to do" \
	"vaultringd|daemon" says_when_stopped \
	vaultring kek create stopped --vault hsm
ok "no KEK that was refused is pinned" nothing_pinned
refused "output that cannot be written is an error" "write" full_device
ok "doctor checks the set-up" doctor_runs
ok "and who can read each kind of secret" doctor_sees_open_secrets
refused "doctor says that the daemon is stopped, and what to do" \
	"systemctl|vaultringd" doctor_when_stopped
finish
