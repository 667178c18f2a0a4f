#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Resealing through daemon and tool when things go wrong: vaults that answer when
# they are let, two reseals at once, a daemon that is killed between any two steps
# and one that lies.  Whatever happens, the envelope that is there opens.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

HELD=$HERE/bad_pkcs11-held.so
SOCKET=/run/vaultring/vaultringd.sock
declare -A PID

tidy()
{
	touch "$HELD.go"
	[ ! -e "$WORK/conf" ] || cat "$WORK/conf" > $CONF
	[ ! -e "$WORK/pins" ] || cat "$WORK/pins" > /etc/vaultring/pins
	rm -f "$HERE"/bad_pkcs11-*.so "$HELD.go"
	vaultring vault pin --load
	restart_daemon
}

# More often than systemd lets a unit start without being told.
restart_daemon()
{
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
}

# vault NAME TIMEOUT: the library takes its manner from its own name.
vault()
{
	cp "$HERE/bad_pkcs11.so" "$HERE/bad_pkcs11-$1.so"
	cat >> $CONF << CONFIG

[vault $1]
uri = pkcs11:token=vaultring;object=root?module-path=$HERE/bad_pkcs11-$1.so
pin-source = /etc/vaultring/hsm.pin
timeout = $2
CONFIG
}

# `held` answers while it is let, `late` after 13 seconds and `garbage` wrongly;
# all of them have the key of `hsm`.
vaults()
{
	local name

	cp $CONF "$WORK/conf"
	cp /etc/vaultring/pins "$WORK/pins"
	vault held 19s
	vault late 18s
	vault garbage 5s
	restart_daemon || return
	for name in held late garbage; do
		vaultring vault pin $name || return
	done
}

hold()
{
	rm -f "$HELD.go"
}

let_it()
{
	touch "$HELD.go"
}

# create NAME OPTION...
create()
{
	KEKS+=("$1")
	vaultring kek create "$@"
}

id_of()
{
	vaultring kek show "$1" | sed -n 's/^id *//p'
}

# With a blob that must go on to open.
make_kek()
{
	let_it
	create moved --vault held && rm -f "$WORK/blob" &&
		vaultring dek new --kek moved --use xts -o "$WORK/blob" &&
		id_of moved > "$WORK/id"
}

opens()
{
	keyctl unlink %vault-dek:moved @u
	vaultring kek revoke moved
	vaultring kek unseal moved && [ "$(id_of moved)" = "$(cat "$WORK/id")" ] &&
		keyctl padd vault-dek moved @u < "$WORK/blob"
}

# Under that vault, and nothing is left lying about.
opens_with()
{
	opens || return
	vaultring kek show moved | tee /dev/stderr |
		grep -Eq "^share 1 +vault $1," &&
		! find $ENVELOPES -name '*moved@1*' ! -name 'moved@1.env' |
			grep .
}

# With the envelope that was there before.
former_opens()
{
	cmp "$WORK/former" "$(envelope_of moved)" && opens_with "$1"
}

state_is()
{
	vaultring kek show moved | tee /dev/stderr | grep -Eq "^state +$1\$"
}

# begin NAME CMD...: in the background.
begin()
{
	local name=$1

	shift
	"$@" > "$WORK/$name.said" 2>&1 < /dev/null &
	PID[$name]=$!
}

# come_to NAME TEXT: so far it has come; the tool says so once it waits for long.
come_to()
{
	local left=80

	until grep -q -- "$2" "$WORK/$1.said"; do
		left=$((left - 1))
		[ $left -gt 0 ] || return
		sleep 0.25
	done
}

end_of()
{
	local status

	wait "${PID[$1]}"
	status=$?
	cat "$WORK/$1.said"
	return $status
}

# One that has begun with the former envelope and ends after the new one is made.
unseal_beside_a_reseal()
{
	hold
	begin reseal vaultring kek reseal moved --vault garbage
	come_to reseal "asking the vaults of kek moved" || return 125
	begin unseal vaultring kek unseal moved
	come_to unseal "asking vault held" || return 125
	let_it
	end_of unseal || return 125
	end_of reseal
}

two_at_once()
{
	local status

	hold
	begin first vaultring kek reseal moved --vault known
	come_to first "asking the vaults of kek moved" || return 125
	vaultring kek reseal moved --vault hsm > "$WORK/said" 2>&1
	status=$?
	let_it
	end_of first || return 125
	cat "$WORK/said"
	return $status
}

kernel_waits_for_nothing()
{
	vaultring status --json | tee /dev/stderr | python3 -c '
import json, sys
assert json.load(sys.stdin)["module"]["unseals"] == 0'
}

try_on_held()
{
	hold
	cp "$(envelope_of moved)" "$WORK/former"
	begin trial vaultring kek reseal moved --vault held
	come_to trial "unsealing kek moved with its new envelope"
}

# The trial hangs; the former envelope serves, and so does its vault.
serves_meanwhile()
{
	local status

	vaultring kek revoke moved
	try_on_held || return
	vaultring kek unseal moved && cmp "$WORK/former" "$(envelope_of moved)" &&
		! vaultring kek reseal moved --vault hsm > "$WORK/said" 2>&1 &&
		grep "another reseal of it is under way" "$WORK/said"
	status=$?
	let_it
	end_of trial && return $status
}

sealed_stays_sealed()
{
	vaultring kek revoke moved
	vaultring kek reseal moved --vault known && state_is sealed
}

active_stays_active()
{
	opens && vaultring kek reseal moved --vault known && state_is active
}

# Somebody opens something while the trial hangs, by the key type alone.
wanted_meanwhile()
{
	vaultring kek revoke moved
	try_on_held || return
	keyctl request2 vault-kek moved "" @s || return
	let_it
	end_of trial && state_is active
}

with_damage()
{
	local status

	cp "$(envelope_of moved)" "$WORK/former"
	truncate -s 200 "$(envelope_of moved)"
	vaultring kek reseal moved
	status=$?
	cat "$WORK/former" > "$(envelope_of moved)"
	return $status
}

longer_than_an_unseal_may()
{
	local start=$SECONDS

	vaultring kek reseal late || return
	echo "took $((SECONDS - start)) s"
	[ $((SECONDS - start)) -gt 25 ]
}

daemon_pid()
{
	systemctl show -P MainPID vaultringd
}

# another_daemon PID: systemd starts it anew.
another_daemon()
{
	local left=100

	until systemctl -q is-active vaultringd && [ "$(daemon_pid)" != "$1" ]; do
		left=$((left - 1))
		[ $left -gt 0 ] || return
		sleep 0.2
	done
}

killed_in_the_trial()
{
	local pid status

	systemctl reset-failed vaultringd
	pid=$(daemon_pid)
	try_on_held || return 125
	kill -9 "$pid"
	end_of trial
	status=$?
	let_it
	another_daemon "$pid" || return 125
	return $status
}

# killed_at CALL N VAULT: it dies at its Nth such call, which is not made.
killed_at()
{
	local pid tracer status left=50

	let_it
	systemctl reset-failed vaultringd
	cp "$(envelope_of moved)" "$WORK/former"
	pid=$(daemon_pid)
	strace -qq -o "$WORK/strace" -p "$pid" -e "trace=$1" \
		-e "inject=$1:signal=KILL:when=$2" &
	tracer=$!
	until grep -q '^TracerPid:.*[1-9]' "/proc/$pid/status"; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 125
		sleep 0.2
	done
	vaultring kek reseal moved --vault $3
	status=$?
	kill $tracer
	wait $tracer
	cat "$WORK/strace"
	another_daemon "$pid" || return 125
	return $status
}

make_both()
{
	create both --vault known --vault hsm --threshold 2
}

# lied_to LIES CMD...: what the daemon says of the KEK `both` is not so.
lied_to()
{
	local lies=$1 liar status left=50

	shift
	mv $SOCKET $SOCKET.real
	python3 "$HERE/lying_daemon.py" $SOCKET $SOCKET.real both "$lies" &
	liar=$!
	until [ -S $SOCKET ] || [ $left -eq 0 ]; do
		left=$((left - 1))
		sleep 0.2
	done
	"$@"
	status=$?
	kill $liar
	wait $liar
	mv $SOCKET.real $SOCKET
	return $status
}

# While it asks its vaults another KEK of that name is made, and pinned.
pinned_meanwhile()
{
	create twin --vault hsm && cp "$(envelope_of twin)" "$WORK/twin.env" &&
		vaultring kek revoke twin && rm "$(envelope_of twin)" &&
		sed -i '/^kek twin /d' /etc/vaultring/pins || return 125
	strace -qq -o "$WORK/strace" -e trace=connect \
		-e inject=connect:delay_enter=10000000:when=2 \
		vaultring kek reseal moved --vault known &
	sleep 4
	create twin --vault hsm && wait $! || return 125
	cp "$WORK/twin.env" "$(envelope_of twin)" && vaultring kek revoke twin
	vaultring kek unseal twin
}

# A name of a vault that would be a line of its own.
writes_no_line()
{
	local before status

	before=$(cat /etc/vaultring/pins)
	lied_to '{"newer": true, "vaults": ["x\nkek forged 00"]}' \
		vaultring kek reseal --newer --pin
	status=$?
	[ "$before" = "$(cat /etc/vaultring/pins)" ] || return 125
	return $status
}

both_are_needed()
{
	vaultring kek show both | tee /dev/stderr > "$WORK/show"
	grep -Eq '^threshold +2 of 2$' "$WORK/show" &&
		grep -q 'vault known' "$WORK/show" &&
		grep -q 'vault hsm' "$WORK/show"
}

must known_vault
must vaults
ok "a KEK of a vault that waits, and a blob under it" make_kek
refused "an unseal with the former envelope says nothing about the new one" \
	"kek moved: not resealed, as its new envelope does not open; nothing has changed" \
	unseal_beside_a_reseal
ok "which is not in its place" opens_with held
refused "of two reseals at a time the later one is refused" \
	"kek moved: another reseal of it is under way; try again" two_at_once
ok "the other one has moved it" opens_with known
ok "and nothing is left behind in the kernel" kernel_waits_for_nothing
ok "while the new envelope is tried the former one is in its place" \
	serves_meanwhile
ok "then the new one is" opens_with held
ok "a KEK that was revoked is sealed after its reseal" sealed_stays_sealed
ok "it opens" opens_with known
ok "unless somebody has asked for it meanwhile" wanted_meanwhile
ok "one that is active stays so" active_stays_active
refused "a KEK whose first day has not come" "not unsealed" \
	create dated --vault known --not-before 2090-01-01
ok "is resealed all the same" vaultring kek reseal dated --vault hsm
refused "and is as far off as before" "outside its dates" \
	vaultring kek unseal dated
refused "an envelope that a wrong vault guards is not its new one either" \
	"kek dated: not resealed.*nothing has changed" \
	vaultring kek reseal dated --vault garbage
refused "a damaged envelope is called that" \
	"kek moved: its envelope .*moved@1.env is damaged: it is cut off" \
	with_damage
refused "a daemon that is killed while the new envelope is tried" \
	"whether it was resealed is not known" killed_in_the_trial
ok "leaves the former one, which opens" former_opens known
refused "likewise before the new one is on the disk" "is not known" \
	killed_at fsync 1 hsm
ok "the former one opens" former_opens known
refused "before it takes the former one's place" "is not known" \
	killed_at /^rename 1 hsm
ok "the former one opens" former_opens known
refused "and right after that" "is not known" killed_at fsync 2 hsm
ok "the new one opens" opens_with hsm
ok "a KEK that needs two vaults" make_both
ok "is resealed for both, though the daemon speaks of one" lied_to \
	'{"vaults": ["known"], "threshold": 1}' vaultring kek reseal both
ok "it still needs them" both_are_needed
refused "what it says of the vaults does not get into the file of pins" \
	"list of KEKs has what is no vault" writes_no_line
refused "another KEK's envelope is not resealed in its place" \
	"kek both: its envelope .* is damaged: it is that of another KEK" \
	lied_to "{\"envelope\": \"$(envelope_of moved)\"}" \
	vaultring kek reseal both --vault known --threshold 1
refused "what is pinned while a reseal asks its vaults stays pinned" \
	"pinned to another KEK" pinned_meanwhile
ok "a KEK of a vault that takes its time" create late --vault late
ok "is resealed, though that takes longer than an unseal may" \
	longer_than_an_unseal_may
finish
