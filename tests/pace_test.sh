#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The daemon, without the kernel: how often it asks a vault that is away, wants to
# rest or has many keys, what settings can make of that, and what it makes of new
# versions of a key and of a vault that vaultring.conf describes otherwise than
# before.  The vaults say what they are told to.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/worker_lib.sh"

LIBEXEC=$WORK/libexec
OBLIVIOUS=1
CLEAR=3

# --- vaults and envelopes ---

# vault NAME LINE...
vault()
{
	printf '\n[vault %s]\nuri = said:%s/%s\n' "$1" "$WORK" "$1"
	shift
	printf '%s\n' "$@"
}

# says_of VAULT JSON: from now on.
says_of()
{
	echo "$2" > "$WORK/new" && mv "$WORK/new" "$WORK/$1"
}

# good SPKI [MEMBERS]: a key's entry.
good()
{
	echo "{\"method\": \"${METHOD:-clear}\", \"spki\": [\"$1\"]${2:+, $2}}"
}

# Of these the newest is not asked for.
few()
{
	local name list=

	for name in a b c d e; do
		list="$list${list:+, }\"$name\": $(METHOD=oblivious good 0$name)"
	done
	echo "{$list}"
}

# key VAULT[:KEY] SPKI METHOD: for envelopes.
key()
{
	PRINTS[$1]=$(xxd -r -p <<< "$2" | sha256sum | cut -d ' ' -f 1)/$3
}

set_up()
{
	mkdir -p "$LIBEXEC" "$WORK/envelopes" &&
		ln -s "$PROGRAMS"/vault-* "$LIBEXEC" &&
		sed '1s,.*,#!/usr/bin/python3,' "$HERE/said_worker.py" \
			> "$LIBEXEC/vault-said" &&
		chmod 755 "$LIBEXEC/vault-said" || return
	{
		vault away "poll = 1s" "timeout = 3s" "end-timeout = 300ms"
		vault rests "poll = 1s" "longest-pause = 2s"
		vault few "poll = 1s" "requests-per-minute = 6"
		vault versions "poll = 1s"
		vault other "poll = 1s"
		vault unsure "poll = 5s"
		vault hangs "poll = 1s" "timeout = 5s" "connect-timeout = 700ms"
		vault never "poll = 0"
	} > "$WORK/vaultring.conf"
	says_of away '{"a": {"sleep": 30}, "b": {"sleep": 30}, "c": {"sleep": 30}}'
	says_of rests "{\"\": $(good 0a)}"
	says_of few "$(few)"
	says_of versions "{\"\": $(good 01)}"
	says_of other "{\"\": $(good 01)}"
	says_of unsure '{"": {"say": {"error": "refused", "message": "no such key"}}}'
	says_of hangs "{\"\": $(good 01)}"
	says_of never "{\"\": $(good 01)}"
	daemon_on
}

envelopes()
{
	local name

	for name in a b c; do
		key away:$name 0a $CLEAR && envelope away-$name 1 away:$name ||
			return
	done
	for name in a b c d e; do
		key few:$name 0$name $OBLIVIOUS && envelope few-$name 1 few:$name ||
			return
	done
	key rests 0a $CLEAR && envelope rests 1 rests &&
		key versions 01 $CLEAR && envelope old 1 versions &&
		envelope older 1 versions &&
		key other 01 $CLEAR && envelope other 1 other &&
		key unsure 01 $CLEAR && envelope unsure 1 unsure &&
		key hangs 01 $CLEAR && envelope hung 1 hangs &&
		key never 01 $CLEAR && envelope unpolled 1 never || return
	mark
	stops && daemon_on
}

# asked VAULT: each look since the mark of that vault, its time and its key.
asked()
{
	$PYTHON - "$WORK/$1.seen" "${SEEN[$1]:-0}" << 'PYTHON'
import json, sys
for line in open(sys.argv[1]).readlines()[int(sys.argv[2]):]:
    seen = json.loads(line)
    if seen.get("poll") and "spki-fingerprint" in seen:
        print("%.3f" % seen["at"], seen["key"] or "-")
PYTHON
}

declare -A SEEN

# From here on, for asked.
mark_of()
{
	SEEN[$1]=$(wc -l < "$WORK/$1.seen")
}

has_asked()
{
	[ "$(asked "$1" | wc -l)" -ge "$2" ]
}

# --- a vault that is away ---

# Each look costs its timeout, and then there is a pause: 3.75 to 4 seconds.
one_key_a_round()
{
	mark_of away
	soon has_asked away 4 || return
	asked away | head -n 4 | tee /dev/stderr | awk '
		NR > 1 && $1 - last < 3.7 { bad = 1 }
		{ last = $1; keys[$2] = 1 }
		END { exit bad || length(keys) != 3 }'
}

others_get_their_turn()
{
	says_of away "{\"a\": {\"sleep\": 30}, \"b\": $(good 0a), \"c\": $(good 0a)}"
	soon says 1 "vault away: back" && soon key_is away:b agrees &&
		soon key_is away:c agrees && key_is away:a unknown
}

# key_is KEY STATE: what the list says of it.
key_is()
{
	call VaultList | $PYTHON -c '
import json, sys
keys = {key["key"]: key["state"]
        for vault in json.loads(sys.stdin.readlines()[-1])["parameters"]["vaults"]
        for key in vault["keys"]}
print(keys)
sys.exit(keys[sys.argv[1]] != sys.argv[2])' "$@"
}

# --- one that wants to rest ---

rests()
{
	mark_of rests
	says_of rests '{"": {"say": {"error": "away", "message": "429", "retry-after-ms": 4000}}}'
	soon has_asked rests 4 || return
	# It may be asked once before it says so.
	asked rests | head -n 4 | tee /dev/stderr | awk '
		NR > 2 && $1 - last < 4 { bad = 1 } { last = $1 }
		END { exit bad }'
}

# Somebody is looking at it.  What it says then is believed: it rests no more.
asks_for_a_person()
{
	mark_of rests
	says_of rests '{"": {"say": {"error": "away", "message": "429", "retry-after-ms": 90000}}}'
	soon has_asked rests 1 || return
	sleep 2
	mark_of rests
	says_of rests "{\"\": $(good 0a)}"
	sleep 2
	! has_asked rests 1 || return
	call VaultCheck '{"vault":"rests"}'
	soon has_asked rests 2
}

# --- one that must not be asked often ---

# Half of six a minute at once, and one each ten seconds: of all keys in turn.
limited()
{
	mark_of few
	stops && daemon_on || return
	soon has_asked few 4 || return
	sleep 2
	asked few | tee /dev/stderr | awk '
		NR == 3 { third = $1 } NR == 4 && $1 - third < 7 { bad = 1 }
		{ keys[$2] = 1 } END { exit bad || NR > 5 || length(keys) != NR }'
}

# With all of them used up the next one would wait for ten seconds.
limited_not_for_a_person()
{
	local start=$SECONDS

	for _ in 1 2 3 4 5; do
		call VaultPublicKey '{"vault":"few:a"}' | grep spki || return
	done
	echo "took $((SECONDS - start)) s"
	[ $((SECONDS - start)) -le 8 ]
}

# --- versions ---

# is_told COUNT VAULT: all but when it looks again.
is_told()
{
	says "$1" "vault $2: (its|it|makes|agrees|refuse|away|back)"
}

new_version()
{
	mark
	rounds versions 2 && is_told 0 versions || return
	says_of versions '{"": {"method": "clear", "spki": ["01", "02"]}}'
	soon says 1 "vault versions: its key has a new version, $(key new 02 ''; echo ${PRINTS[new]%/}).*kek old, older; .*vault pin versions.*kek reseal" &&
		rounds versions 3 && is_told 1 versions && says 0 "kek old:"
}

listed()
{
	call VaultList > "$WORK/list"
	call KekList > "$WORK/keks"
	key new 02 ''
	$PYTHON - "$WORK/list" "$WORK/keks" "${PRINTS[new]%/}" << 'PYTHON'
import json, sys
last = lambda name: json.loads(open(name).readlines()[-1])["parameters"]
vaults = {v["name"]: v for v in last(sys.argv[1])["vaults"]}
key, = vaults["versions"]["keys"]
print(vaults["versions"])
assert key["newest"] == sys.argv[3] and key["state"] == "agrees"
assert vaults["other"]["keys"][0]["newest"] is None
keks = {k["name"]: k for k in last(sys.argv[2])["keks"]}
assert keks["old"]["newer"] and keks["older"]["newer"]
assert not keks["other"]["newer"]
PYTHON
}

# The newest one may be disabled: that says nothing of the one that counts.
newest_refused()
{
	mark
	says_of versions "{\"\": $(good 01 '"newest": {"error": "refused", "message": "disabled"}')}"
	rounds versions 3 && is_told 0 versions && says 0 "kek old" &&
		call VaultList | grep -o '"name": "versions".*"poll"' |
		sed 's/"poll".*//' | tee /dev/stderr | grep '"state": "ready"'
}

# Of one name two KEKs, and then none with the former.
resealed()
{
	says_of versions '{"": {"method": "clear", "spki": ["01", "02"]}}'
	key versions 02 $CLEAR && envelope old 1 versions &&
		envelope older 1 versions || return
	mark
	stops && daemon_on || return
	rounds versions 3 && says 0 "new version" && is_newest old
}

is_newest()
{
	call KekList | $PYTHON -c '
import json, sys
keks = json.loads(sys.stdin.readlines()[-1])["parameters"]["keks"]
sys.exit(any(k["newer"] for k in keks if k["name"] == sys.argv[1]))' "$1"
}

# --- vaultring.conf is another one ---

other_method()
{
	mark
	says_of other '{"": {"method": "sealed", "spki": ["01"]}}'
	soon says 1 "vault other: makes sealed shares now, and KEKs have clear ones" &&
		rounds other 3 && is_told 1 other && says 0 "kek other" &&
		key_is other agrees
}

method_again()
{
	mark
	says_of other "{\"\": $(good 01)}"
	rounds other 2 && is_told 0 other && says 0 "kek other"
}

# Nobody knows whether that was ever right.  An interval passes.
first_refusal()
{
	mark
	stops && daemon_on || return
	soon says 1 "vault unsure: refuses: no such key" &&
		says 1 "vault unsure: it has not agreed since" &&
		key_is unsure doubted && says 0 "kek unsure"
}

second_refusal()
{
	soon says 1 "vault unsure: refuses again: no such key" &&
		soon says 1 "kek unsure: 1 of its 1 vaults refuse it" &&
		key_is unsure refused && rounds unsure 1 &&
		says 2 "vault unsure: refuses"
}

# It has agreed meanwhile: from then on once is enough.
once_is_enough()
{
	mark
	says_of unsure "{\"\": $(good 01)}"
	soon says 1 "vault unsure: agrees again" || return
	mark
	says_of unsure '{"": {"say": {"error": "refused", "message": "gone"}}}'
	soon says 1 "kek unsure: 1 of its 1 vaults refuse it" &&
		says 1 "vault unsure: refuses: gone" && says 0 "it has not agreed"
}

doubt_ends()
{
	mark
	stops && daemon_on && soon says 1 "it has not agreed since" || return
	says_of unsure "{\"\": $(good 01)}"
	soon says 1 "vault unsure: agrees again" && says 0 "kek unsure"
}

# --- somebody looks after it ---

check_polls()
{
	key_is never unknown && mark_of never || return
	call VaultCheck '{"vault":"never"}'
	sleep 1
	key_is never unknown || return
	says_of never '{"": {"say": {"error": "refused", "message": "no"}}}'
	call VaultCheck '{"vault":"never"}'
	soon key_is never doubted || return
	says_of never "{\"\": $(good 01)}"
	call VaultCheck '{"vault":"never"}'
	soon key_is never agrees && sleep 2 && asked never | tee /dev/stderr |
		awk 'END { exit NR != 2 }'
}

# What waits behind a poll that hangs has not had its turn.
not_with_the_poll()
{
	mark
	says_of hangs "{\"\": $(good 01 '"sleep": 12')}"
	mark_of hangs
	soon has_asked hangs 1 || return
	says_of hangs "{\"\": $(good 01)}"
	call VaultPublicKey '{"vault":"hangs"}' | grep spki &&
		says 1 "vault hangs: away: no answer within 5.0 s"
}

pids()
{
	$PYTHON -c '
import json, sys
print(len({json.loads(line)["pid"] for line in open(sys.argv[1])}))' \
		"$WORK/hangs.seen"
}

hangup_while_busy()
{
	local before

	rounds hangs 1 || return
	says_of hangs "{\"\": $(good 01 '"sleep": 2')}"
	mark_of hangs
	soon has_asked hangs 1 && before=$(pids) && mark || return
	kill -HUP "$DAEMON"
	rounds hangs 1 && says 0 "vault hangs: away" || return
	says_of hangs "{\"\": $(good 01)}"
	echo "$before processes before, $(pids) after"
	[ "$(pids)" -eq $((before + 1)) ]
}

# --- settings ---

given()
{
	grep -q '"connect-timeout-ms": 700,' "$WORK/hangs.seen" &&
		grep -q '"end-timeout-ms": 2000' "$WORK/hangs.seen" &&
		grep -q '"connect-timeout-ms": 3000' "$WORK/away.seen"
}

# It sleeps and does not notice that it should end.
end_timeout()
{
	local start

	says_of away '{"a": {"sleep": 30}, "b": {"sleep": 30}, "c": {"sleep": 30}}'
	mark_of away
	soon has_asked away 2 || return
	start=$(date +%s%N)
	stops || return
	set -- $((($(date +%s%N) - start) / 1000000))
	echo "stopped within $1 ms"
	[ "$1" -ge 250 ] && [ "$1" -lt 1700 ]
}

# The server takes the connection and says nothing.
connect_timeout()
{
	local port server

	$PYTHON -c '
import socket, time
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
time.sleep(60)' > "$WORK/port" &
	server=$!
	soon test -s "$WORK/port"
	read -r port < "$WORK/port"
	(umask 077 && echo token > "$WORK/token")
	DRIVE_TIMES=1 timeout 30 $DRIVE worker "$PROGRAMS/vault-openbao" << LINES
{"id":1,"op":"configure","settings":{"uri":"openbao:https://127.0.0.1:$port/k","token-file":"$WORK/token"},"timeout-ms":20000,"connect-timeout-ms":700}
{"id":2,"op":"public-key","key":""}
LINES
	kill $server
}

takes()
{
	local ms

	connect_timeout > "$WORK/replies" 2>&1
	cat "$WORK/replies"
	ms=$(sed -n 's/(answered in \([0-9]*\) ms)/\1/p' "$WORK/replies" |
		tail -n 1)
	grep -q '"away"' "$WORK/replies" && [ "$ms" -ge 600 ] &&
		[ "$ms" -lt 2500 ]
}

# wrong SECTION LINE PATTERN: such a file is refused, with the line's number.
wrong()
{
	printf '[%s]\n%s\n' "$1" "$2" > "$WORK/wrong.conf"
	"$PROGRAMS/vaultringd" --config "$WORK/wrong.conf" --user '' \
		--state "$WORK/envelopes" --socket "$WORK/no" \
		--libexec "$LIBEXEC" --no-kernel > "$WORK/said" 2>&1
	set -- $? "$3"
	cat "$WORK/said"
	[ "$1" -eq 1 ] && grep -qE "wrong.conf:2: $2" "$WORK/said"
}

settings()
{
	local name

	for name in daemon.unseal-timeout daemon.kernel-timeout \
		daemon.client-timeout tools.timeout volumes.freeze-timeout \
		volumes.resume-timeout "vault x.timeout" \
		"vault x.connect-timeout" "vault x.end-timeout" \
		"vault x.longest-pause"; do
		wrong "${name%.*}" "${name##*.} = 0" "not a duration" &&
			wrong "${name%.*}" "${name##*.} = 11m" \
				"not a duration of 10m at most" || return
	done
	wrong daemon "grace = 0" "grace is a duration" &&
		wrong tools "grace = 5s" "no such setting in .tools." &&
		wrong daemon "resume-timeout = 5s" "no such setting" &&
		wrong "vault x" "requests-per-minute = -1" "requests-per-minute is" &&
		wrong "vault x" "requests-per-minute = 5s" "requests-per-minute is" &&
		wrong vault "timeout = 5s" "not .daemon., .tools., .volumes. or"
}

# By default nothing waits for half a minute; that is what the manual says, too.
defaults()
{
	"$PYTHON" - "$REPO" << 'PYTHON'
import re, sys
code = open(sys.argv[1] + "/daemon/config.c").read()
table = code.split("waits[] = {")[1].split("};")[0]
waits = re.findall(r'{ "(\w+)", "([\w-]+)",.*?(\d+) }', table, re.S)
assert len(waits) == table.count("offsetof") >= 10
manual = open(sys.argv[1] + "/daemon/man/vaultring.conf.5").read()
overview = open(sys.argv[1] + "/daemon/man/vaultringd.8").read()
for section, name, seconds in waits:
    print(section, name, seconds)
    assert int(seconds) < 30
    assert re.search(r"\.It Li %s\n(?:(?!\.It ).*\n)*?\.Ql %ss" % (name, seconds),
                     manual), name
    assert ".Li " + name in overview, name
PYTHON
}

client_timeout()
{
	sed -i '1i [daemon]\nclient-timeout = 1s' "$WORK/vaultring.conf"
	# The case before may have failed.
	[ -z "$DAEMON" ] || stops
	daemon_on || return
	set -- "$SECONDS"
	timeout 20 $DRIVE raw "$SOCKET" '{' | grep -q closed &&
		[ $((SECONDS - $1)) -le 8 ]
}

unit()
{
	# shellcheck disable=SC2046 # flags
	cc -std=gnu11 -Wall -Wextra -Werror -g -fsanitize=address,undefined \
		-I"$REPO/uapi" $(pkg-config --cflags jansson libsystemd) \
		-o "$WORK/pace_unit" "$HERE/pace_unit.c" "$REPO/daemon/pace.c" \
		"$REPO/daemon/worker_queue.c" $(pkg-config --libs jansson) &&
		"$WORK/pace_unit" > "$WORK/unit" 2>&1
	set -- $?
	cat "$WORK/unit"
	[ "$1" -eq 0 ] && ! grep '^not ok' "$WORK/unit" &&
		[ "$(grep -c '^ok' "$WORK/unit")" -eq 20 ]
}

ok "limits, rests and queues by themselves" unit
ok "programs build" build_programs
ok "vaults that say what they are told to, and a daemon" set_up
ok "and envelopes that name their keys" envelopes
ok "a first refusal is told, and is not yet one" first_refusal
ok "the second one, after an interval, is" second_refusal
ok "once it has agreed, one is enough" once_is_enough
ok "a vault that agrees after a first refusal costs nothing" doubt_ends
ok "of a vault that is away one key is asked a round, with a pause" \
	one_key_a_round
ok "and the others get their turn" others_get_their_turn
ok "a vault that wants to rest is not polled meanwhile" rests
ok "but asked for a person, and then it rests no more" asks_for_a_person
ok "polls keep to half of the requests a minute, and go on in turn" limited
ok "a person does not wait for that" limited_not_for_a_person
ok "a new version of a key is told once, with what to do" new_version
ok "and listed, of key and KEK" listed
ok "that the newest is refused says nothing" newest_refused
ok "KEKs that were resealed for it are of the newest" resealed
ok "a vault that makes other shares than before is told, and no refusal" \
	other_method
ok "until it makes the former ones" method_again
ok "after a check a vault that refused is polled, even with poll = 0" check_polls
ok "what waits behind a poll that hangs does not fail with it" \
	not_with_the_poll
ok "a worker that is busy at SIGHUP is started anew after that" \
	hangup_while_busy
ok "workers are told how long to wait" given
ok "a worker that does not end is killed after end-timeout" end_timeout
ok "a server that takes connections and says nothing costs connect-timeout" \
	takes
ok "a client that says nothing is sent away after client-timeout" \
	client_timeout
ok "it stops when told to" stops
ok "settings that cannot be are refused with their line" settings
ok "each wait has a setting, is in both manuals, and ends before 30 s" defaults
finish
