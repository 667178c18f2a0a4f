#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A volume is frozen while programs write to it, loses its KEK, and comes back:
# they notice nothing but the wait, and nothing that they synced is lost.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"
. "$HERE/suspend_lib.sh"

VOLUMES="one two other"

# Past the cache, in which the disk may look as it did long ago.
raw_sum()
{
	dd if=$DISK bs=1M iflag=direct status=none | sha256sum
}

disk_rests()
{
	local before

	before=$(raw_sum)
	waits one && [ "$(raw_sum)" = "$before" ]
}

start_reader()
{
	dd if=/dev/mapper/one of=/dev/null bs=4k count=16 iflag=direct \
		status=none &
	READER=$!
	sleep 1
	kill -0 $READER
}

revoke_frozen()
{
	vaultring kek revoke goes --on-loss error && kill -0 $READER &&
		is_frozen one && disk_rests
}

without_daemon()
{
	local status

	systemctl stop vaultringd
	"$@"
	status=$?
	systemctl start vaultringd
	return $status
}

with_wrong_pin()
{
	local status

	echo 00000000 > /etc/vaultring/wrong.pin
	chown vaultring: /etc/vaultring/wrong.pin
	chmod 600 /etc/vaultring/wrong.pin
	cp -p $CONF "$WORK/conf"
	sed -i 's/hsm\.pin/wrong.pin/' $CONF
	systemctl restart vaultringd
	"$@"
	status=$?
	cp -p "$WORK/conf" $CONF
	rm -f /etc/vaultring/wrong.pin
	systemctl restart vaultringd
	return $status
}

still_waits()
{
	is_frozen one && kill -0 $READER && waits one
}

resume_one()
{
	vaultring luks resume one && wait $READER && goes_on one
}

# One after the other, each with a second of work in between.
many_rounds()
{
	local round

	for round in $(seq 5); do
		vaultring luks suspend one && vaultring kek revoke goes &&
			vaultring luks resume one && goes_on one || return
	done
	echo $round
}

resume_both()
{
	vaultring luks resume one && vaultring luks resume two &&
		all_go_on $VOLUMES
}

both_frozen()
{
	is_frozen one && is_frozen two && ! is_frozen other && disk_rests &&
		waits one two && goes_on other
}

by_policy()
{
	set_policy freeze
	vaultring kek revoke goes && both_frozen && resume_both
}

# The writers get an error at once; what they synced is there all the same.
by_error()
{
	local tries

	vaultring kek revoke goes --on-loss error || return
	for tries in $(seq 200); do
		[ ! -s "$WORK/one.error" ] || [ ! -s "$WORK/two.error" ] || break
		sleep 0.1
	done
	echo $tries
	cat "$WORK/one.error" "$WORK/two.error" && [ ! -e "$WORK/other.error" ] &&
		! is_frozen one && goes_on other
}

# A file system whose journal was cut off is mended first, as at any boot.
reopen_mended()
{
	local name

	for name in one two; do
		umount /mnt/$name && vaultring luks close $name &&
			vaultring luks open "$(device_of $name)" $name || return
		e2fsck -p /dev/mapper/$name
		[ $? -le 1 ] && mount /dev/mapper/$name /mnt/$name || return
	done
}

reopened_sound()
{
	reopen_mended && sound one two
}

# The first block of the log, as it lies on the disk.
oracle_reads_the_log()
{
	local start block

	cryptsetup token export --token-id 0 $DISK | python3 -c '
import base64, json, sys
sys.stdout.buffer.write(base64.b64decode(json.load(sys.stdin)["blob"]))' \
		> "$WORK/blob"
	block=$(filefrag -b1024 -v /mnt/one/log | awk '/^ *0:/ {
		sub(/\.\..*/, "", $4); print $4 }')
	start=$(cryptsetup luksDump $DISK |
		sed -n 's/.*offset: \([0-9]*\) \[bytes\]/\1/p' | head -n 1)
	[ -n "$block" ] && ! grep -aq "record 00000000" $DISK &&
		oracle sector "$(envelope_of goes)" $KNOWN "$WORK/blob" $DISK \
			"$start" $((block * 2)) 512 | grep -a "record 00000000"
}

# A volume on a disk that hangs: its file system cannot come to rest.
hung_volume()
{
	truncate -s 32M "$WORK/hung.img"
	losetup /dev/loop7 "$WORK/hung.img" &&
		dmsetup create base --table "0 65536 linear /dev/loop7 0" &&
		vaultring luks format /dev/mapper/base --kek goes --yes &&
		vaultring luks open /dev/mapper/base hung &&
		mkfs.ext4 -q /dev/mapper/hung && mkdir -p /mnt/hung &&
		mount /dev/mapper/hung /mnt/hung && echo dirty > /mnt/hung/f &&
		dmsetup suspend --noflush base
}

revoke_with_hung_disk()
{
	local start

	start=$(date +%s)
	vaultring kek revoke goes --on-loss freeze || return
	[ $(($(date +%s) - start)) -le $((9 * ${VAULTRING_SLOW:-1})) ] && is_frozen one && is_frozen two &&
		! vaultring kek list | grep -w goes | grep -w active
}

says_that_it_hung()
{
	hung_volume && revoke_with_hung_disk 2>&1 | tee "$WORK/said" &&
		[ "${PIPESTATUS[0]}" -eq 0 ] &&
		grep "hung: not frozen in time" "$WORK/said"
	local status=$?

	dmsetup resume base
	sleep 1
	vaultring luks resume hung
	umount /mnt/hung
	vaultring luks close hung
	dmsetup remove base
	losetup -d /dev/loop7
	return $status
}

swap_volume()
{
	truncate -s 24M "$WORK/swap.img"
	vaultring luks format "$WORK/swap.img" --kek goes --yes &&
		vaultring luks open "$WORK/swap.img" swap &&
		mkswap /dev/mapper/swap && swapon /dev/mapper/swap
}

drop_swap()
{
	swapoff /dev/mapper/swap && vaultring luks close swap
}

broken_policy()
{
	set_policy perhaps
	vaultring kek revoke broken 2>&1 | tee "$WORK/said"
	set_policy error
	grep "revoked" "$WORK/said" &&
		grep "error or freeze, not: perhaps" "$WORK/said"
}

plain_mapping()
{
	dmsetup create plain --table "0 2048 error"
}

must known_vault
must new_kek goes known
must new_kek stays
must new_kek broken
must set_policy error
must make_volume one
status_is "suspend without a name is a usage error" 2 vaultring luks suspend
status_is "resume with two names is one too" 2 vaultring luks resume one two
refused "a name that does not exist is not suspended" "no mapping" \
	vaultring luks suspend nothing
refused "nor resumed" "no mapping" vaultring luks resume nothing
must plain_mapping
refused "a mapping that is no volume is not suspended" "no LUKS2 volume" \
	vaultring luks suspend plain
dmsetup remove plain
refused "a volume that is not frozen is not resumed" "not frozen" \
	vaultring luks resume one
must swap_volume
refused "what the system stands on is not frozen" "swap is on it" \
	vaultring luks suspend swap
must drop_swap

ok "a volume is written to" start_writers one
ok "one is frozen under load" vaultring luks suspend one
refused "a second time it says so" "frozen already" vaultring luks suspend one
ok "its writer waits and its disk does not change" disk_rests
ok "a read waits too" start_reader
ok "its KEK is revoked, and all wait on" revoke_frozen
refused "without the daemon it stays frozen, and says why" \
	"daemon is not running.*|stays frozen" \
	without_daemon vaultring luks resume one
ok "and it still waits" still_waits
refused "with a wrong PIN it stays frozen, and says why" "stays frozen" \
	with_wrong_pin vaultring luks resume one
ok "and it still waits" still_waits
ok "resumed, the vault is asked, and reader and writer go on" resume_one
ok "five rounds of suspend, revoke and resume under load" many_rounds

must make_volumes two other
ok "another under its KEK and one under another KEK are written to" \
	start_writers two other
must set_policy error
must vaultring kek revoke goes --on-loss freeze
ok "a revoke with --on-loss freeze freezes its two volumes, and no other" both_frozen
ok "both are resumed" resume_both
ok "vaultring.conf says the same for each revoke" by_policy
ok "a disk that hangs does not hold up the revoke; it says what is lost" says_that_it_hung
ok "the others are resumed" resume_both
ok "a policy that is not understood does not stop a revoke" broken_policy
ok "the writers end by request, with no error" stop_writers
ok "each synced record is there, and the file systems are sound" sound $VOLUMES
ok "the oracle finds the first record in a raw sector" oracle_reads_the_log
must start_writers $VOLUMES
must set_policy freeze
ok "with --on-loss error the writers fail at once, and those alone" by_error
ok "reopened, each synced record is there too" reopened_sound
finish
