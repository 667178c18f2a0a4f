# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Volumes with a writer on each, for the tests that freeze them.  Sourced after
# lib.sh.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs

DISK=/dev/vdb
WRITERS=()
export GUARD=vaultring-guard

# device_of VOLUME: the first is on a disk of its own, for its raw sectors.
device_of()
{
	case $1 in
	one) echo $DISK ;;
	*) echo "$WORK/$1.img" ;;
	esac
}

kek_of()
{
	case $1 in
	other) echo stays ;;
	leased) echo leased ;;
	*) echo goes ;;
	esac
}

tidy()
{
	local name

	systemctl stop vaultring-guard
	set_policy error
	dmsetup resume base
	for name in one two other leased hung swap; do
		vaultring luks resume $name
	done
	kill "${WRITERS[@]}"
	wait
	swapoff /dev/mapper/swap
	for name in one two other leased hung swap; do
		umount "/mnt/$name"
		vaultring luks close $name
	done
	dmsetup remove base plain
	losetup -D
	wipefs -aq $DISK
}

# set_policy error|freeze|...: what vaultring.conf says.
set_policy()
{
	sed -i '/^\[volumes\]$/,+2d' $CONF
	printf '[volumes]\non-kek-loss = %s\nfreeze-timeout = %ds\n' "$1" \
		$((5 * ${VAULTRING_SLOW:-1})) >> $CONF
}

# make_volume VOLUME [CMD...]: with a command between the steps.
make_volume()
{
	local name=$1 device

	shift
	device=$(device_of $name)
	[ -e "$device" ] || truncate -s 32M "$device"
	vaultring luks format $device --kek "$(kek_of $name)" --yes && "$@" &&
		vaultring luks open $device $name && "$@" &&
		mkfs.ext4 -q /dev/mapper/$name && "$@" && mkdir -p /mnt/$name &&
		mount /dev/mapper/$name /mnt/$name && "$@"
}

make_volumes()
{
	local name

	for name in "$@"; do
		make_volume $name || return
	done
}

start_writers()
{
	local name

	for name in "$@"; do
		rm -f "$WORK/$name.error"
		python3 "$HERE/suspend_writer.py" /mnt/$name/log "$WORK/$name" &
		WRITERS+=($!)
	done
	all_go_on "$@"
}

stop_writers()
{
	kill "${WRITERS[@]}" && wait "${WRITERS[@]}"
	WRITERS=()
	! cat "$WORK"/*.error
}

done_by()
{
	cat "$WORK/$1.done" 2> /dev/null || echo 0
}

# More has been synced by this writer within ten seconds.
goes_on()
{
	local name=$1 before tries

	before=$(done_by $name)
	for tries in $(seq 100); do
		[ "$(done_by $name)" = "$before" ] || return 0
		sleep 0.1
	done
	echo "the writer on $name stands at $before after $tries looks"
	return 1
}

all_go_on()
{
	local name

	for name in "$@"; do
		goes_on $name || return
	done
}

# Neither a step forward nor an error.
waits()
{
	local name

	for name in "$@"; do
		cp "$WORK/$name.done" "$WORK/$name.before"
	done
	sleep 1.5
	for name in "$@"; do
		cmp "$WORK/$name.done" "$WORK/$name.before" &&
			[ ! -e "$WORK/$name.error" ] || return
	done
}

is_frozen()
{
	[ "$(dmsetup info -c --noheadings -o suspended "$1")" = Suspended ]
}

sound()
{
	local name

	for name in "$@"; do
		umount /mnt/$name && e2fsck -fn /dev/mapper/$name &&
			mount /dev/mapper/$name /mnt/$name &&
			python3 "$HERE/suspend_writer.py" --check \
				/mnt/$name/log "$WORK/$name" || return
	done
}
