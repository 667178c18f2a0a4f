# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the tests of the workers share: one worker asked as the daemon would, and
# the daemon without the kernel.  Sourced, never run; FAMILY names the worker.
#
# PROGRAMS names the folder of vaultringd and the workers; without it they are
# built with ASan and UBSan.  They are started with the words of AS before them.

# shellcheck disable=SC2034,SC2086 # used by those who source this; words
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

REPO=$(cd "$HERE/.." && pwd)
PYTHON=/usr/bin/python3
DRIVE="$PYTHON $HERE/worker_drive.py"
SOCKET=$WORK/sock
PIN_FILE=$WORK/pin
DAEMON=
AS=

build_programs()
{
	[ -z "${PROGRAMS:-}" ] || return 0
	PROGRAMS=$REPO/build/sanitized
	# Another test may be building there, too.
	mkdir -p "$REPO/build" && flock "$REPO/build" \
		make -s -j"$(nproc)" -C "$REPO/daemon" SANITIZE=1 \
		BUILD="$PROGRAMS"
}

# library OUTPUT SOURCE [FLAG...]
library()
{
	local output=$1 source=$2

	shift 2
	cc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 "$@" -fPIC \
		-shared -o "$output" "$HERE/$source"
}

hex()
{
	xxd -p -c 1000
}

# --- a worker ---

right='"x": ?"'
public='{"id":3,"op":"public-key","key":""}'

# Lines for the worker come from standard input.
worker()
{
	timeout 60 $DRIVE worker $AS "$PROGRAMS/vault-$FAMILY"
}

# with LINES PATTERN [PATTERN...]: the replies hold each pattern.
with()
{
	local lines=$1 replies pattern

	shift
	replies=$(printf '%s\n' "$lines" | worker 2>&1)
	printf '%s\n' "$replies"
	! grep -i sanitizer <<< "$replies" || return
	for pattern; do
		grep -Eq -- "$pattern" <<< "$replies" || {
			echo "lacks: $pattern"
			return 1
		}
	done
}

# --- the daemon, without the kernel ---

# With $WORK/vaultring.conf.
daemon_on()
{
	local left=100

	mkdir -p "$WORK/envelopes"
	rm -f "$SOCKET"
	$AS "$PROGRAMS/vaultringd" --config "$WORK/vaultring.conf" --user '' \
		--state "$WORK/envelopes" --socket "$SOCKET" \
		--libexec "${LIBEXEC:-$PROGRAMS}" --no-kernel --debug 2>> "$WORK/daemon.log" &
	DAEMON=$!
	until [ -S "$SOCKET" ]; do
		left=$((left - 1))
		[ $left -gt 0 ] || { cat "$WORK/daemon.log"; return 1; }
		sleep 0.1
	done
}

call()
{
	timeout 30 $DRIVE call "$SOCKET" "$@"
}

# What its log says, from the last mark on.
mark()
{
	LINES_BEFORE=$(wc -l < "$WORK/daemon.log")
}

since()
{
	tail -n +$((LINES_BEFORE + 1)) "$WORK/daemon.log"
}

# says COUNT PATTERN: so many lines since the last mark.
says()
{
	since > "$WORK/since"
	[ "$(grep -cE -- "$2" "$WORK/since")" -eq "$1" ] && return
	cat "$WORK/since"
	return 1
}

# who_says PATTERN: in which process that was, the last time since the mark.
who_says()
{
	since | sed -n "s/.*$1, in \([0-9]*\)\$/\1/p" | tail -n 1 | grep .
}

# A host may be very busy; nothing here takes long on one that is not.
soon()
{
	local end=$((SECONDS + 30))

	until "$@" > "$WORK/soon" 2>&1; do
		[ $SECONDS -lt $end ] || { cat "$WORK/soon"; return 1; }
		sleep 0.1
	done
}

rounds_of()
{
	grep -c "vault $1: looks again in" "$WORK/daemon.log"
}

has_rounds()
{
	[ "$(rounds_of "$1")" -ge "$2" ]
}

# rounds VAULT N: until so many more are over, after the one under way.
rounds()
{
	soon has_rounds "$1" $(($(rounds_of "$1") + $2 + 1))
}

# --- envelopes ---

declare -A PRINTS

# print_of VAULT: its key's fingerprint, kept for envelopes.
print_of()
{
	PRINTS[$1]=$(call VaultPublicKey "{\"vault\":\"$1\"}" |
		sed -n 's/.*"fingerprint": "\([0-9a-f]*\)".*/\1/p')
	[ ${#PRINTS[$1]} -eq 64 ]
}

# envelope NAME THRESHOLD VAULT...: that the daemon takes for one.
envelope()
{
	local name=$1 threshold=$2 vault shares=()

	shift 2
	for vault; do
		shares+=("$vault=${PRINTS[$vault]}")
	done
	"$PYTHON" "$HERE/envelope_new.py" "$WORK/envelopes/keks/$name@1.env" \
		"$name" "$threshold" "${shares[@]}"
}

# --- beginning and end ---

no_pin_in_log()
{
	! grep -q "$(cat "$PIN_FILE")" "$WORK/daemon.log"
}

stops()
{
	kill -TERM "$DAEMON"
	wait "$DAEMON" && DAEMON='' && [ ! -e "$SOCKET" ] &&
		! grep -i sanitizer "$WORK/daemon.log"
}

# In place of lib.sh's, which is for a guest with a daemon of its own.
tidy()
{
	! declare -F put_away > /dev/null || put_away
	[ -z "$DAEMON" ] || kill "$DAEMON"
	rm -rf "$WORK"
}
trap tidy EXIT
