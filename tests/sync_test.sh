#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The daemon stays in sync with its vaults: it polls their keys, ends what they
# refuse if it is told to, keeps what an outage only hides, and renews leases.
#
# Three vaults are three keys of one token; keys come and go as files of the
# token's folder.  Two more have a library that counts, or misbehaves on demand.

# shellcheck disable=SC2317,SC2329 # functions that ok runs
. "$(dirname "$0")/lib.sh"

SLOW=${VAULTRING_SLOW:-1}
POLL=1			# seconds, of all vaults here
LEASE=$((9 * SLOW))
LIBRARY=/usr/lib/softhsm/libsofthsm2.so
COUNTING=$HERE/bad_pkcs11-counts.so
TOKENS=/var/lib/softhsm/tokens
DISK=/dev/vdb
MANY=${VAULTRING_SHORT:+200}
MANY=${MANY:-500}

tidy()
{
	local file

	vaultring luks close sync
	wipefs -aq $DISK
	rm -f "$COUNTING" "$COUNTING.mode"
	# The files of keys that were made here, and the one that was put aside.
	cat "$WORK"/objects-* | while read -r file; do
		rm -f "$file" "$file.away"
	done
	[ ! -e "$WORK/conf" ] || cat "$WORK/conf" > $CONF
	[ ! -e "$WORK/pins" ] || cat "$WORK/pins" > /etc/vaultring/pins
	restart_daemon
}

restart_daemon()
{
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
}

# soon CMD...: within one poll; two seconds more are for a host that is busy.
soon()
{
	local end

	end=$(($(date +%s%N) + (POLL + 3 * SLOW) * 1000000000))
	until "$@"; do
		[ "$(date +%s%N)" -lt $end ] || return 1
		sleep 0.1
	done
}

# The same behind what a vault may take for its answer.
in_the_end()
{
	sleep $((2 * SLOW))
	soon "$@"
}

# Nothing changes for one poll and a bit.
later()
{
	sleep $((POLL + SLOW))
	"$@"
}

objects()
{
	find $TOKENS -name '*.object' ! -name token.object | sort
}

# make_key NAME: a key pair of that label, whose files are listed in
# objects-NAME.
make_key()
{
	token_pin
	objects > "$WORK/before"
	p11 --keypairgen --key-type EC:prime256v1 --usage-derive --sensitive \
		--label "${2:-$1}" --id "${3:-a1}" > /dev/null || return
	objects | comm -13 "$WORK/before" - > "$WORK/objects-$1"
	own_tokens
	wc -l < "$WORK/objects-$1" | grep -qx 2
}

# The key's files stay what they are, with a name that is none of an object.
take_away()
{
	local file

	while read -r file; do
		mv "$file" "$file.away" || return
	done < "$WORK/objects-$1"
}

put_back()
{
	local file

	while read -r file; do
		[ ! -e "$file.away" ] || mv "$file.away" "$file" || return
	done < "$WORK/objects-$1"
}

# vault NAME OBJECT LIBRARY [POLL [TIMEOUT]]
vault()
{
	cat >> $CONF << CONFIG

[vault $1]
uri = pkcs11:token=vaultring;object=$2?module-path=$3
pin-source = /etc/vaultring/hsm.pin
timeout = ${5:-$((2 * SLOW))s}
poll = ${4:-${POLL}s}
CONFIG
}

# with_settings LINE...: of the daemon.
with_settings()
{
	{
		echo "[daemon]"
		printf '%s\n' "$@"
		cat "$WORK/vaults"
	} > $CONF
	restart_daemon
}

set_up()
{
	local name

	cp $CONF "$WORK/conf"
	cp /etc/vaultring/pins "$WORK/pins"
	cp "$HERE/bad_pkcs11.so" "$COUNTING"
	make_key s1 s1 a1 && make_key s2 s2 a2 && make_key s3 s3 a3 || return
	vault s1 s1 $LIBRARY
	vault s2 s2 $LIBRARY
	vault s3 s3 $LIBRARY
	vault counts root "$COUNTING"
	vault never s3 "$COUNTING" 0
	vault patient s2 "$COUNTING" 0 20s
	cp $CONF "$WORK/vaults"
	with_settings "on-refusal = keep" || return
	for name in s1 s2 s3 counts never patient; do
		vaultring vault pin $name || return
	done
}

create()
{
	KEKS+=("$1")
	vaultring kek create "$@"
}

keks()
{
	create one --vault s1 &&
		create two --vault s1 --vault s2 --vault s3 --threshold 2 &&
		create counted --vault counts &&
		create leased --vault s2 --lease ${LEASE}s
}

is_active()
{
	local name

	for name in "$@"; do
		vaultring kek show "$name" --json |
			grep '"state": "active"' || return
	done
}

is_gone()
{
	! is_active "$1"
}

mark()
{
	SINCE=$(journalctl -q -b -n 1 --show-cursor | sed -n 's/^-- cursor: //p')
}

journal()
{
	journalctl -q -b -u vaultringd -o cat --after-cursor "$SINCE"
}

# says COUNT PATTERN: so many lines of the daemon's since the last mark.
says()
{
	journal > "$WORK/journal"
	cat "$WORK/journal"
	[ "$(grep -cE -- "$2" "$WORK/journal")" -eq "$1" ]
}

# state_is VAULT STATE
state_is()
{
	vaultring vault list --json > "$WORK/vaults.json"
	python3 - "$WORK/vaults.json" "$@" << 'PYTHON'
import json, sys
vaults = {v["name"]: v for v in json.load(open(sys.argv[1]))["vaults"]}
print(vaults[sys.argv[2]])
sys.exit(vaults[sys.argv[2]]["state"] != sys.argv[3])
PYTHON
}

polls_them()
{
	mark
	sleep $((POLL * 3))
	says 0 "vault (s1|s2|s3|counts): " || return
	# Three quarters of an interval is the least between two.
	grep -c "a key is looked for" "$WORK/journal"
	[ "$(grep -c "a key is looked for" "$WORK/journal")" -ge 2 ] &&
		[ "$(grep -c "a key is looked for" "$WORK/journal")" -le 4 ]
}

# After it was asked once, for its KEK; `counts` has the same library.
never_polls()
{
	create unpolled --vault never && vaultring kek revoke counted &&
		mv "$(envelope_of counted)" "$WORK/counted.env" || return
	sleep $((POLL + 1))
	mark
	sleep $((POLL * 2))
	says 0 "a key is looked for"
}

counted_again()
{
	mv "$WORK/counted.env" "$(envelope_of counted)" &&
		vaultring kek unseal counted
}

key_gone_is_told()
{
	mark
	take_away s1
	soon says 1 "vault s1: refuses: .*s1" &&
		later says 1 "vault s1: refuses" &&
		says 1 "kek one: 1 of its 1 vaults refuse it" &&
		says 1 "kek one: " && says 0 "kek two: "
}

back_is_told()
{
	mark
	put_back s1
	soon says 1 "vault s1: agrees again" &&
		later says 1 "kek one: its vaults agree again"
}

# In the same place, by label and id.  That there are two at first is a matter of
# what the uri says, and no refusal.
another_key()
{
	mark
	make_key other s1 a1 && take_away s1 || return
	soon says 1 "vault s1: refuses: it has another key in its place" &&
		says 0 "vault s1: away"
}

first_key_again()
{
	take_away other
	put_back s1
	soon says 1 "vault s1: agrees again"
}

hangs()
{
	mark
	echo hang-init > "$COUNTING.mode"
	in_the_end says 1 "vault counts: away" && state_is counts away &&
		is_active counted && later says 1 "vault counts: away"
}

comes_back()
{
	mark
	rm "$COUNTING.mode"
	in_the_end says 1 "vault counts: back" && state_is counts ready &&
		is_active counted && says 0 "kek counted: "
}

worker_of()
{
	pgrep -f "/vault-pkcs11$"
}

# All of them: a worker that is gone is started again, and that is no refusal.
workers_killed()
{
	mark
	worker_of | xargs -r kill -KILL
	later says 0 "refuses|revoked" && is_active one two counted
}

revoked_in_time()
{
	take_away s1
	soon is_gone one && is_active two counted &&
		says 1 "kek one: revoked, because its vaults refuse it"
}

stays_revoked()
{
	vaultring kek unseal one
}

unseals_again()
{
	put_back s1
	vaultring kek unseal one && later is_active one
}

two_of_three_gone()
{
	take_away s2
	later is_active two && take_away s3 && soon is_gone two
}

put_all_back()
{
	put_back s2 && put_back s3 && vaultring kek unseal two &&
		later is_active two
}

# With the policy to revoke, too.
outage_keeps()
{
	mark
	echo hang-init > "$COUNTING.mode"
	in_the_end state_is counts away && is_active counted
}

listing()
{
	vaultring vault list | tee /dev/stderr > "$WORK/list"
	grep -E '^counts +pkcs11 +away +[0-9]+s ago +[0-9]+ ms' "$WORK/list" &&
		grep -E '^counts: no answer within' "$WORK/list" || return
	take_away s1
	soon state_is s1 refused
	vaultring vault list | tee /dev/stderr | grep -E '^s1: refused, key ' &&
		put_back s1 && soon state_is s1 ready &&
		vaultring vault list | grep -E '^s1: last error [0-9]+s ago: '
}

open_without_vaults()
{
	local start=$SECONDS status

	vaultring luks close sync
	vaultring kek revoke both
	restart_daemon
	timeout $((30 * SLOW)) vaultring luks open $DISK sync
	status=$?
	echo "took $((SECONDS - start)) s"
	[ $((SECONDS - start)) -le $((15 * SLOW)) ] || return 125
	return $status
}

opens_when_back()
{
	rm "$COUNTING.mode"
	vaultring luks open $DISK sync
}

volume()
{
	create both --vault counts --vault never --threshold 1 &&
		vaultring luks format $DISK --kek both --yes &&
		vaultring luks open $DISK sync
}

lease_is_renewed()
{
	with_settings "renew = yes" || return
	mark
	vaultring kek unseal leased || return
	sleep $((LEASE + LEASE / 2))
	is_active leased && says 0 "kek leased: .*(away|refuse)" &&
		grep "kek leased: lease renewed" "$WORK/journal"
}

lease_ends_when_refused()
{
	take_away s2
	mark
	soon says 1 "kek leased: .*its lease is not renewed" &&
		sleep $((LEASE + 1))
	put_back s2
	is_gone leased
}

# By tools and by tasks, while the vault takes its time for the first.
many_at_once()
{
	create many --vault patient || return
	echo slow > "$COUNTING.mode"
	restart_daemon
	vaultring kek revoke many
	mark
	python3 - "$MANY" << 'PYTHON' || return
import ctypes, json, socket, sys, threading
half = int(sys.argv[1]) // 2
keyutils = ctypes.CDLL("libkeyutils.so.1", use_errno=True)
good = []

def task():
    if keyutils.request_key(b"vault-kek", b"many", b"", -1) > 0:
        good.append(1)

socks = []
for _ in range(half):
    s = socket.socket(socket.AF_UNIX)
    s.connect("/run/vaultring/vaultringd.sock")
    s.settimeout(60)
    socks.append(s)
call = {"method": "vaultring.KekUnseal", "parameters": {"name": "many"}}
for s in socks:
    s.sendall(json.dumps(call).encode() + b"\0")
threading.stack_size(128 * 1024)
threads = [threading.Thread(target=task) for _ in range(half)]
for t in threads:
    t.start()
for s in socks:
    data = b""
    while data.count(b"\0") < 2:
        data += s.recv(4096) or sys.exit("closed: %r" % data)
    if b'"id"' in data:
        good.append(1)
for t in threads:
    t.join()
print(len(good), "of", 2 * half)
sys.exit(len(good) != 2 * half)
PYTHON
	says 1 "C_DeriveKey is called"
}

must token_pin
must set_up
must keks
ok "keys are polled once an interval, and nothing is said of it" polls_them
ok "with poll = 0 a vault is not polled" never_polls
ok "its neighbour is back" counted_again
ok "a key that is gone is told, of vault and KEK, once" key_gone_is_told
ok "and the KEK is kept" is_active one two
ok "its return is told, once" back_is_told
ok "another key in its place is a refusal, not an outage" another_key
ok "the first one in its place is fine" first_key_again
ok "a vault that hangs is away, said once, and its KEK is kept" hangs
ok "it is back, said once, and nothing became of its KEK" comes_back
ok "a lease ends, by default" is_gone leased
must with_settings "on-refusal = revoke"
ok "workers that are killed are no refusal" workers_killed
mark
ok "with on-refusal = revoke a key that is gone costs its KEK, in time" \
	revoked_in_time
refused "which cannot be unsealed" "vault s1 refused" stays_revoked
ok "until the key is back" unseals_again
ok "one refusal of three keeps a KEK that needs two; two end it" \
	two_of_three_gone
ok "and they bring it back" put_all_back
ok "a volume under two vaults" volume
ok "an outage keeps, whatever the policy" outage_keeps
ok "vault list tells state, contact, latency and errors" listing
refused "with every vault away an open ends soon and names each" \
	"vault counts is away.*vault never is away" open_without_vaults
ok "and as soon as they are back it works, without a restart" opens_when_back
ok "a lease is renewed when the daemon is told so" lease_is_renewed
ok "and ends when the vault refuses" lease_ends_when_refused
ok "$MANY requests at once are one exchange at the vault" many_at_once
finish
