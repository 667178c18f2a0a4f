# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the scripts of the test bed share: names, folders, locks and the way
# into a root folder.  Sourced, never run.

KERNELS="6.1 6.12 7.3"
# Slow, and so only used when asked for; scripts/kernel builds them.
DEBUG_KERNELS="debug kcsan"
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # used by those who source this
BUILD=$REPO/build
CACHE=${VAULTRING_CACHE:-/var/cache/vaultring}
PROG=${0##*/}
export LC_ALL=C.UTF-8

die()
{
	echo "$PROG: $*" >&2
	exit 1
}

note()
{
	echo "$PROG: $*" >&2
}

need_root()
{
	[ "$(id -u)" -eq 0 ] ||
		die "needs root (chroot, mounts, package installs); try: sudo $0"
}

known_kernel()
{
	case " $KERNELS $DEBUG_KERNELS " in
	*" $1 "*) ;;
	*) die "no such kernel: $1; there are: $KERNELS $DEBUG_KERNELS" ;;
	esac
}

is_debug_kernel()
{
	case " $DEBUG_KERNELS " in
	*" $1 "*) return 0 ;;
	*) return 1 ;;
	esac
}

# How much longer everything may take on a kernel than on an ordinary one; in
# the guest tests/guest_run says so.
slowness_of()
{
	if is_debug_kernel "$1"; then
		echo 5
	else
		echo 1
	fi
}

suite_of()
{
	case $1 in
	6.1) echo bookworm ;;
	*) echo trixie ;;
	esac
}

root_of()
{
	echo "$CACHE/$1/root"
}

# The version that module folders carry, of the one kernel in a root.
kver_of()
{
	local dir

	for dir in "$(root_of "$1")"/usr/lib/modules/*/kernel; do
		[ -d "$dir" ] || die "root $1 has no kernel; remove $CACHE/$1"
		basename "$(dirname "$dir")"
	done | sort -V | tail -n 1
}

# One exclusive lock per cached thing, held until the calling process ends or
# unlocks: two runs never build the same thing at once.
lock()
{
	mkdir -p "$CACHE/lock"
	exec {LOCK_FD}> "$CACHE/lock/$1"
	flock "$LOCK_FD"
}

unlock()
{
	exec {LOCK_FD}>&-
}

# in_root ROOT [SOURCE:TARGET...] -- CMD...: run CMD chrooted in ROOT, in a
# mount namespace of its own, so that nothing stays mounted whatever happens.
# Every step execs the next one: the pid of a background in_root is CMD's.
in_root()
{
	local root=$1 binds=()

	shift
	while [ "$1" != -- ]; do
		binds+=("$1")
		shift
	done
	shift
	# shellcheck disable=SC2016 # expanded by the inner shell
	exec unshare --mount --propagation private -- bash -c '
		set -e
		root=$1 count=$2
		shift 2
		mount --rbind /dev "$root/dev"
		mount --rbind /proc "$root/proc"
		mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
		mount -t tmpfs -o mode=755 tmpfs "$root/run"
		while [ "$count" -gt 0 ]; do
			mkdir -p "$root${1#*:}"
			mount --rbind "${1%%:*}" "$root${1#*:}"
			shift
			count=$((count - 1))
		done
		exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
			LC_ALL=C.UTF-8 TERM="${TERM:-dumb}" \
			chroot "$root" "$@"
	' in_root "$root" "${#binds[@]}" "${binds[@]}" "$@"
}
