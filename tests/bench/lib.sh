# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the parts of the bench share: rounds, the clock around a command, and the
# lines that report.py reads.  Sourced, never run.
#
#	bench sample METRIC SIDE VALUE	one round's figure of one side
#	bench missing SIDE WHAT		a peer that is not there, and what to install
#	bench failed WHAT		why there is no figure
#	bench note TEXT

# shellcheck disable=SC2034 # used by those who source this
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# Some are no commands of users'.
PATH=$PATH:/usr/lib/systemd:/usr/libexec:/usr/lib/x86_64-linux-gnu
SHORT=${VAULTRING_SHORT:-}
DISKS=(/dev/ram1 /dev/ram2 /dev/ram3 /dev/ram4 /dev/ram5 /dev/ram6)

# either SHORT LONG: how often, by what was asked for.
either()
{
	if [ -n "$SHORT" ]; then
		echo "$1"
	else
		echo "$2"
	fi
}

sample()
{
	echo "bench sample $1 $2 $3"
}

failed()
{
	tail -n 25 "$OUT" | cut -c 1-400 | sed 's/^/# /'
	echo "bench failed $*"
	exit 1
}

# need CMD...: without it there is nothing to measure.
need()
{
	"$@" > "$OUT" 2>&1 < /dev/null || failed "$*"
}

# have SIDE PACKAGES PROGRAM...: whether that peer is there; if not, that counts.
have()
{
	local side=$1 packages=$2 program

	shift 2
	for program; do
		command -v "$program" > "$OUT" || {
			echo "bench missing $side the package $packages"
			return 1
		}
	done
}

# timed METRIC SIDE CMD...: the command's time, in milliseconds, from before it
# is started to when it has ended.
timed()
{
	local metric=$1 side=$2 start end

	shift 2
	start=${EPOCHREALTIME/./}
	"$@" > "$OUT" 2>&1 < /dev/null || failed "$side: $*"
	end=${EPOCHREALTIME/./}
	sample "$metric" "$side" "$(ms $((end - start)))"
}

restart_daemon()
{
	systemctl daemon-reload
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
}

# The clock's microseconds as milliseconds.
ms()
{
	printf '%d.%03d\n' $(($1 / 1000)) $(($1 % 1000))
}
