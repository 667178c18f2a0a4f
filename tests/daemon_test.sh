#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The daemon when things go wrong: killed, locked out, without its token, with a
# PKCS#11 library that misbehaves, with a full disk.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

KEK=daemon
KNOWN_KEK=daemon-known
TOKENS=/var/lib/softhsm/tokens
PIN_FILE=/etc/vaultring/hsm.pin
DISK=/dev/vdb

tidy()
{
	umount -l $ENVELOPES
	vaultring luks close daemon
	wipefs -aq $DISK
	[ ! -d $TOKENS.away ] || mv $TOKENS.away/* $TOKENS/
	[ ! -e "$WORK/pin" ] || cat "$WORK/pin" > $PIN_FILE
	[ ! -e "$WORK/conf" ] || cat "$WORK/conf" > $CONF
	rm -f $ENVELOPES/damaged@1.env "$HERE"/bad_pkcs11-*.so
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
}

active()
{
	vaultring kek show $KEK --json | tee /dev/stderr | grep -q '"active"'
}

envelopes_sum()
{
	(cd $ENVELOPES && sha256sum -- *.env)
}

daemon_pid()
{
	systemctl show -P MainPID vaultringd
}

wait_for_daemon()
{
	local left=100

	until systemctl -q is-active vaultringd &&
		[ "$(daemon_pid)" != "${1:-0}" ]; do
		left=$((left - 1))
		[ $left -gt 0 ] || return
		sleep 0.2
	done
}

# More often than systemd lets a unit start without being told.
restart_daemon()
{
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
}

restart_loses_nothing()
{
	local before

	before=$(envelopes_sum)
	restart_daemon && active &&
		[ "$before" = "$(envelopes_sum)" ] && vaultring kek list &&
		vaultring kek list | grep -q $KEK
}

open_volume()
{
	vaultring luks format $DISK --kek $KEK --yes &&
		vaultring luks open $DISK daemon &&
		mkfs.ext4 -q /dev/mapper/daemon
}

volume_works()
{
	echo text | dd of=/dev/mapper/daemon oflag=direct bs=4k conv=sync \
		seek=3000 && dd if=/dev/mapper/daemon iflag=direct bs=4k \
		skip=3000 count=1 | grep -aqx text
}

volume_without_daemon()
{
	local status

	systemctl stop vaultringd
	volume_works && active_in_kernel
	status=$?
	systemctl start vaultringd
	return $status
}

active_in_kernel()
{
	vaultring status --json | grep -q "\"$KEK\""
}

killed()
{
	local pid

	pid=$(daemon_pid)
	kill -KILL "$pid"
	wait_for_daemon "$pid" && active && volume_works &&
		vaultring kek unseal $KEK
}

fresh_unseal()
{
	vaultring kek revoke "$1"
	vaultring kek unseal "$1"
}

set_pin()
{
	printf %s "$1" > $PIN_FILE
}

# Remembered with its mode and owner, since the file stays the same one.
wrong_pin()
{
	cat $PIN_FILE > "$WORK/pin"
	set_pin 00000000
	restart_daemon
	fresh_unseal $KEK
}

right_pin()
{
	cat "$WORK/pin" > $PIN_FILE
	rm "$WORK/pin"
	vaultring vault check hsm && fresh_unseal $KEK
}

# Anybody may connect: 64 KiB without an end are one refusal, and the end.
too_long()
{
	python3 - /run/vaultring/vaultringd.sock << 'PYTHON'
import socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.settimeout(30)
sock.connect(sys.argv[1])
sock.sendall(b"a" * 65536)
data = b""
while data.count(b"\0") < 2:
    chunk = sock.recv(65536)
    if not chunk:
        break
    data += chunk
print(data[:300])
sys.exit(data.count(b"\0") != 1 or b"64 KiB" not in data)
PYTHON
}

no_pin_in_view()
{
	local pin

	pin=$(cat $PIN_FILE)
	! grep -aFq "$pin" /proc/[0-9]*/cmdline &&
		! journalctl -q -b | grep -Fq "$pin" &&
		! vaultring vault list --json | grep -Fq "$pin"
}

take_token()
{
	mkdir -p $TOKENS.away
	mv $TOKENS/* $TOKENS.away/
}

token_gone()
{
	take_token
	fresh_unseal $KEK
}

request_when_away()
{
	keyctl request2 vault-kek $KEK "" @s
}

token_back()
{
	mv $TOKENS.away/* $TOKENS/
	rmdir $TOKENS.away
	fresh_unseal $KEK
}

key_destroyed()
{
	token_pin
	p11 --delete-object --type privkey --label known || return 0
	own_tokens
	fresh_unseal $KNOWN_KEK
}

key_restored()
{
	token_pin
	openssl pkey -in $KNOWN -outform DER -out "$WORK/der" &&
		p11 --write-object "$WORK/der" --type privkey --usage-derive \
			--sensitive --label known --id 02 || return
	own_tokens
	fresh_unseal $KNOWN_KEK
}

# The library takes its manner from its own name.
bad_module()
{
	cp "$HERE/bad_pkcs11.so" "$HERE/bad_pkcs11-$1.so"
	echo "$HERE/bad_pkcs11-$1.so"
}

# bad_library HOW: the vault `bad` has a library that misbehaves that way.
bad_library()
{
	cp $CONF "$WORK/conf"
	cat >> $CONF << CONFIG

[vault bad]
uri = pkcs11:token=vaultring;object=root?module-path=$(bad_module "$1")
pin-source = $PIN_FILE
timeout = 3s
CONFIG
	restart_daemon
	vaultring vault check bad
}

create_and_fail()
{
	KEKS+=(kept)
	vaultring kek create kept --vault bad
}

kept_and_pinned()
{
	[ -s "$(envelope_of kept)" ] &&
		grep -E '^kek kept [0-9a-f]{32}$' /etc/vaultring/pins
}

others_work()
{
	local status

	active && fresh_unseal $KEK
	status=$?
	cat "$WORK/conf" > $CONF
	restart_daemon
	return $status
}

fill_disk()
{
	local owner

	owner=$(id -u vaultring)
	cp -p $ENVELOPES/*.env "$WORK/"
	mount -t tmpfs -o "size=64k,mode=0700,uid=$owner,gid=$(id -g vaultring)" \
		tmpfs $ENVELOPES && cp -p "$WORK/"*.env $ENVELOPES/ || return
	restart_daemon || return
	dd if=/dev/zero of=$ENVELOPES/fill bs=4k > /dev/null 2>&1
	df $ENVELOPES
	[ "$(df --output=avail $ENVELOPES | tail -n 1)" -eq 0 ]
}

nothing_left_nothing_lost()
{
	local file

	find $ENVELOPES -type f
	for file in "$WORK/"*.env; do
		cmp "$file" "$ENVELOPES/${file##*/}" || return
	done
	[ "$(find $ENVELOPES -type f ! -name fill | wc -l)" -eq \
		"$(find "$WORK" -name '*.env' | wc -l)" ] &&
		! grep -q '^kek full ' /etc/vaultring/pins
}

works_when_freed()
{
	rm $ENVELOPES/fill
	new_kek full && vaultring kek show full && vaultring kek revoke full
}

disk_is_back()
{
	systemctl stop vaultringd && umount $ENVELOPES &&
		systemctl start vaultringd && vaultring kek show $KEK
}

damaged_file()
{
	head -c 300 /dev/urandom > $ENVELOPES/damaged@1.env
	chown vaultring: $ENVELOPES/damaged@1.env
	restart_daemon && vaultring kek list &&
		vaultring kek list | grep -q $KEK &&
		journalctl -q -b -u vaultringd | grep damaged@1.env &&
		[ -s $ENVELOPES/damaged@1.env ]
}

# The salt is at byte 168: the file stays well-formed.
flipped_bit()
{
	local file status

	file=$(envelope_of $KEK)
	cp -p "$file" "$WORK/kept"
	python3 -c 'import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(170); b = f.read(1); f.seek(170); f.write(bytes([b[0] ^ 4]))' \
		"$file"
	restart_daemon
	fresh_unseal $KEK
	status=$?
	cat "$WORK/kept" > "$file"
	restart_daemon
	return $status
}

# A handle on it lies in the user keyring all the time.
lease_renewed()
{
	vaultring kek create leased --vault hsm --lease 2s || return
	KEKS+=(leased)
	keyctl request2 vault-kek leased "" @u || return
	sleep 4
	keyctl print "$(keyctl request2 vault-kek leased "" @u)" |
		grep state=active
}

must known_vault
must new_kek $KEK
must new_kek $KNOWN_KEK known
ok "a restart loses neither KEKs nor envelopes" restart_loses_nothing
ok "a volume is open" open_volume
ok "it needs no daemon while data move" volume_without_daemon
ok "after SIGKILL the daemon is back and nothing is lost" killed
ok "a message that is too long is refused once" too_long
ok "the volume closes" vaultring luks close daemon
ok "a lease that ended is renewed for who asks, handle or not" lease_renewed
refused "a wrong PIN is told from other troubles" "PIN" wrong_pin
ok "with the right PIN again it works" right_pin
ok "the PIN is in no argument, log or listing" no_pin_in_view
refused "a token that was taken out is said to be away" "away|not present" \
	token_gone
refused "a task that asks meanwhile is told to try again" \
	"temporarily unavailable" request_when_away
ok "with the token back it works, without a restart" token_back
refused "a destroyed vault key is said to be missing" "key|object" \
	key_destroyed
ok "with the key restored it works" key_restored
refused "a library that hangs makes its vault be away" "away|time" \
	bad_library hang
ok "the other vault works meanwhile" others_work
refused "a library that hangs from the start too" "away|time" \
	bad_library hang-init
ok "the other vault works then, too" others_work
refused "a library that crashes costs one worker" "away|ended|died|crash" \
	bad_library crash
ok "and the other vault works" others_work
refused "a library that gives garbage is found out" \
	"wrong|another|differ|match|reject|garbage" bad_library garbage
refused "a KEK that it cannot unseal is created all the same" "kept in" \
	create_and_fail
ok "its envelope is kept and its id is pinned" kept_and_pinned
ok "and the other vault works still" others_work
ok "the disk of the envelopes is full" fill_disk
refused "an envelope that cannot be stored is a clear error" \
	"no space|full|ENOSPC" vaultring kek create full --vault hsm
ok "nothing is left of it and nothing is lost" nothing_left_nothing_lost
ok "with space again it works" works_when_freed
ok "the disk is as before" disk_is_back
ok "a damaged file is reported, skipped and kept" damaged_file
refused "an envelope with a flipped bit is refused" \
	"another KEK|reject|damaged" flipped_bit
ok "the good one still works" fresh_unseal $KEK
finish
