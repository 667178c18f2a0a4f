#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What becomes of KEKs, leases and volumes when vaults refuse, are away and come
# back.  How the daemon finds out is tests/polls_test.sh's.
#
# Keys come and go as files of their tokens' folders.  Some vaults have a library
# that hangs, or counts, on demand.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"
TOKENS=/var/lib/softhsm/tokens
. "$HERE/token_lib.sh"

SLOW=${VAULTRING_SLOW:-1}
POLL=1			# seconds, of all vaults here
LEASE=$((6 * SLOW))
LONG_LEASE=$((240 * SLOW))
TIMEOUT=$((8 * SLOW))	# of a vault that hangs
LIBRARY=/usr/lib/softhsm/libsofthsm2.so
COUNTING=$HERE/bad_pkcs11-counts.so
DISK=/dev/vdb
UNIT=vaultring-open@sync.service
DROP_IN=/run/systemd/system/$UNIT.d
MANY=${VAULTRING_SHORT:+200}
MANY=${MANY:-500}

tidy()
{
	local file

	systemctl stop $UNIT
	rm -rf $DROP_IN
	systemctl daemon-reload
	vaultring luks close sync
	wipefs -aq $DISK
	rm -f "$COUNTING" "$COUNTING.mode" "$COUNTING.go"
	# The folders of tokens that were made here.
	cat "$WORK"/objects-* | while read -r file; do
		rm -rf "${file%/*}"
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

# within SECONDS CMD...
within()
{
	local seconds=$1 start

	start=$(date +%s%N)
	shift
	until "$@" > "$WORK/within" 2>&1; do
		[ $(($(date +%s%N) - start)) -lt $((seconds * 1000000000)) ] || {
			cat "$WORK/within"
			return 1
		}
		sleep 0.1
	done
	echo "within $((($(date +%s%N) - start) / 1000000)) ms: $*"
}

# One poll, and what the rest takes in a guest that is not alone.
in_time()
{
	within $((POLL + 10 * SLOW)) "$@"
}

soon()
{
	within $((30 * SLOW)) "$@"
}

mark()
{
	SINCE=$(journalctl -q -b -n 1 --show-cursor | sed -n 's/^-- cursor: //p')
}

# says COUNT PATTERN: so many lines of the daemon's since the last mark.
says()
{
	journalctl -q -b -u vaultringd -o cat --after-cursor "$SINCE" \
		> "$WORK/journal"
	cat "$WORK/journal"
	[ "$(grep -cE -- "$2" "$WORK/journal")" -eq "$1" ]
}

# vault NAME TOKEN LIBRARY POLL TIMEOUT
vault()
{
	cat >> $CONF << CONFIG

[vault $1]
uri = pkcs11:token=$2;object=root?module-path=$3
pin-source = /etc/vaultring/hsm.pin
poll = $4
timeout = $5s
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
	for name in s1 s2 s3 s4; do
		make_token $name && TOKEN=$name make_key $name || return
	done
	own_tokens
	for name in s1 s2 s3; do
		vault $name $name $LIBRARY ${POLL}s $((20 * SLOW))
	done
	vault hangs vaultring "$COUNTING" ${POLL}s $TIMEOUT
	vault second s3 "$COUNTING" 0 $TIMEOUT
	vault slow s4 "$COUNTING" 0 $((20 * SLOW))
	cp $CONF "$WORK/vaults"
	with_settings "on-refusal = keep" || return
	for name in s1 s2 s3 hangs second slow; do
		soon vaultring vault pin $name || return
	done
}

create()
{
	KEKS+=("$1")
	soon vaultring kek create "$@"
}

keks()
{
	create one --vault s1 &&
		create two --vault s1 --vault s2 --vault s3 --threshold 2 &&
		create hung --vault hangs &&
		create both --vault hangs --vault second --threshold 1 &&
		create leased --vault s2 --lease ${LEASE}s &&
		create away --vault hangs --lease ${LEASE}s &&
		create long --vault s3 --lease ${LONG_LEASE}s &&
		create many --vault slow
}

is_active()
{
	local name

	for name in "$@"; do
		vaultring kek show "$name" --json |
			grep '"state": "active"' && continue
		journalctl -q -b -u vaultringd -o cat -n 20
		return 1
	done
}

is_gone()
{
	! is_active "$1"
}

# key_is VAULT WORD: what vault list says of its key.
key_is()
{
	vaultring vault list --json | python3 -c '
import json, sys
vaults = {v["name"]: v for v in json.load(sys.stdin)["vaults"]}
print(vaults[sys.argv[1]])
sys.exit(vaults[sys.argv[1]]["keys"][0]["state"] != sys.argv[2])' "$@"
}

vault_is()
{
	vaultring vault list | tee /dev/stderr | grep -E "^$1 +pkcs11 +$2 "
}

# --- refused, and away ---

kept()
{
	mark
	take_away s1
	soon says 1 "kek one: 1 of its 1 vaults refuse it .* it is kept" &&
		is_active one two
}

# The policy that it is started with now holds for what is refused already.
revoked_at_start()
{
	with_settings "on-refusal = revoke" && soon is_gone one &&
		is_active two hung
}

stays_revoked()
{
	vaultring kek unseal one
}

unseals_again()
{
	put_back s1
	vaultring kek unseal one && soon key_is s1 agrees && is_active one
}

revoked_in_time()
{
	mark
	take_away s1
	in_time is_gone one &&
		soon says 1 "kek one: revoked, because its vaults refuse it" &&
		is_active two hung
}

one_of_three()
{
	soon key_is s1 refused && is_active two
}

two_of_three()
{
	take_away s2
	in_time is_gone two
}

all_back()
{
	put_back s1 && put_back s2 && vaultring kek unseal two &&
		vaultring kek unseal one && soon key_is s1 agrees &&
		soon key_is s2 agrees && is_active one two
}

outage_keeps()
{
	mark
	echo hang-init > "$COUNTING.mode"
	soon vault_is hangs away && is_active hung &&
		says 0 "refuse|revoked"
}

listing()
{
	vaultring vault list > "$WORK/list"
	cat "$WORK/list"
	grep -E '^hangs +pkcs11 +away +[0-9]+[hms].* ago +[0-9]+ ms' "$WORK/list" &&
		grep -E '^hangs: no answer within' "$WORK/list"
}

# --- a volume, and no vault ---

volume()
{
	vaultring luks format $DISK --kek both --label sync --yes &&
		soon test -e /dev/disk/by-label/sync
}

# As after a boot: no KEK, no worker, no vault.
open_without_vaults()
{
	local start=$SECONDS status

	vaultring kek revoke both
	restart_daemon
	timeout $((60 * SLOW)) vaultring luks open $DISK sync
	status=$?
	echo "took $((SECONDS - start)) s"
	[ $((SECONDS - start)) -le $((TIMEOUT + 25 * SLOW)) ] || return 125
	return $status
}

unit_tries()
{
	mkdir -p $DROP_IN
	printf '[Service]\nRestartSec=1s\n' > $DROP_IN/often.conf
	systemctl daemon-reload
	! timeout $((60 * SLOW)) systemctl start $UNIT &&
		[ ! -e /dev/mapper/sync ] &&
		journalctl -q -b -o cat -u $UNIT | tee /dev/stderr |
		grep "vault hangs is away.*vault second is away"
}

opens_by_itself()
{
	rm "$COUNTING.mode"
	soon test -e /dev/mapper/sync && soon systemctl is-active $UNIT &&
		soon vault_is hangs ready
}

# --- leases ---

lease_ends()
{
	soon is_gone leased && is_gone away
}

renewed()
{
	with_settings "renew = yes" || return
	mark
	vaultring kek unseal leased && vaultring kek unseal away || return
	sleep $LEASE
	soon says 2 "kek (leased|away): lease renewed" && is_active leased away
}

# One is refused, of the other nothing is known.
ends_without_vault()
{
	# One that had begun when the poll saw it.
	local refused="kek leased: .*vault s2 refused"

	mark
	take_away s2
	echo hang-init > "$COUNTING.mode"
	soon is_gone leased && soon is_gone away &&
		says 1 "kek leased: .*its lease is not renewed" &&
		{ says 0 "$refused" || says 1 "$refused"; } &&
		says 0 "kek away: .*refuse|vault hangs.*refuse"
	set -- $?
	put_back s2
	rm "$COUNTING.mode"
	return "$1"
}

# More than two thirds of a lease nobody gets, but for what is by chance: a quarter.
renewed_early()
{
	with_settings "renew = yes" "grace = 1h" && vaultring kek unseal long ||
		return
	mark
	within $((LONG_LEASE / 3 + 30 * SLOW)) \
		says 1 "kek long: lease renewed, [0-9]+ s before its end" &&
		sed -n 's/.*kek long: lease renewed, \([0-9]*\) s.*/\1/p' \
			"$WORK/journal" | awk -v lease=$LONG_LEASE \
			'{ exit $1 < lease / 2 || $1 > lease * 5 / 6 }'
}

# --- waits ---

hung_daemon()
{
	local pid start

	with_settings "unseal-timeout = 2s" "[tools]" "timeout = 4s" &&
		pid=$(systemctl show -P MainPID vaultringd) || return 125
	start=$SECONDS
	kill -STOP "$pid"
	vaultring vault list
	set -- $?
	kill -CONT "$pid"
	echo "took $((SECONDS - start)) s"
	[ $((SECONDS - start)) -lt $((7 + 8 * SLOW)) ] || return 125
	return "$1"
}

# --- many ---

# By tools and by tasks.  The vault answers the first when all of them wait.
many_at_once()
{
	echo held > "$COUNTING.mode"
	with_settings "unseal-timeout = 25s" || return
	vaultring kek revoke many
	mark
	python3 - "$MANY" "$COUNTING.go" << 'PYTHON' || return
import ctypes, glob, json, socket, sys, threading, time
half = int(sys.argv[1]) // 2
keyutils = ctypes.CDLL("libkeyutils.so.1", use_errno=True)
good = []

def task():
    if keyutils.request_key(b"vault-kek", b"many", b"", -1) > 0:
        good.append(1)

def waiting():
    calls = [open(f).read() for f in glob.glob("/proc/self/task/*/syscall")]
    return sum(call.startswith("249 ") for call in calls)

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
start = time.monotonic()
while waiting() < half and time.monotonic() - start < 15:
    time.sleep(0.1)
print(waiting(), "tasks wait after", time.monotonic() - start, "s")
# The daemon takes what is in its sockets.
time.sleep(1)
open(sys.argv[2], "w").close()
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
ok "by default a KEK that its vault refuses is kept" kept
ok "with on-refusal = revoke it is revoked" revoked_at_start
refused "which cannot be unsealed" "vault s1 refused" stays_revoked
ok "until the key is back" unseals_again
ok "a key that is gone costs its KEK, in time" revoked_in_time
ok "one refusal of three keeps a KEK that needs two" one_of_three
ok "two end it" two_of_three
ok "when they are back all is as before" all_back
ok "an outage keeps, whatever the policy" outage_keeps
ok "vault list tells state, contact, latency and errors" listing
ok "a lease ends, by default" lease_ends
ok "a volume under two vaults, of which one is enough" volume
refused "with every vault away an open ends soon and names each" \
	"vault hangs is away.*vault second is away" open_without_vaults
ok "so does the unit that opens it at boot" unit_tries
ok "as soon as they are back it is open, and nobody did anything" \
	opens_by_itself
ok "leases are renewed when the daemon is told so" renewed
ok "and end when the vault refuses, or is away" ends_without_vault
ok "grace has a lease renewed as early as that, and not sooner" renewed_early
refused "a daemon that hangs is not waited for longer than settings say" \
	"no answer from the daemon within 7 s" hung_daemon
ok "$MANY requests at once are one exchange at the vault" many_at_once
finish
