#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The plaintext hunt: while a volume and a directory are open and written to, no
# plaintext key is anywhere in userspace.  The same hunt must find the key of a
# stock volume, or it is broken.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

KEK=hunt
DISK=/dev/vdb
IMAGE=/root/hunt.img
SPARE=/root/hunt-spare.img
CORES=/var/tmp/hunt-cores
CAPTURE=/var/tmp/hunt.pcap
SWAP=/hunt.swap
VOLUME=/mnt
DIRECTORY=/media
PATTERN=$(cat /proc/sys/kernel/core_pattern)
started=()

tidy()
{
	local pid

	# Not asked to: cryptsetup first ends a key derivation without end.
	for pid in "${started[@]}"; do
		kill -KILL "$pid"
	done
	wait "${started[@]}"
	umount $DIRECTORY $VOLUME
	vaultring luks close hunt
	wipefs -aq $DISK
	swapoff $SWAP
	ip link del nlmon0
	rm -rf $IMAGE $SPARE $SWAP $CORES $CAPTURE /dev/shm/stock.key
	echo "$PATTERN" > /proc/sys/kernel/core_pattern
}

# Everything from the KEK's creation on goes over nlmon0.
capture_netlink()
{
	modprobe nlmon && ip link add nlmon0 type nlmon &&
		ip link set nlmon0 up || return
	tcpdump -i nlmon0 -s 0 -U -w $CAPTURE > "$WORK/tcpdump" 2>&1 &
	started+=($!)
	until grep -q 'listening on' "$WORK/tcpdump"; do
		kill -0 "${started[-1]}" || return
		sleep 0.1
	done
}

make_swap()
{
	dd if=/dev/zero of=$SWAP bs=1M count=64 status=none &&
		chmod 600 $SWAP && mkswap -q $SWAP && swapon $SWAP
}

# Cores of whatever may leave one; the proof that it works is a shell's core.
make_cores()
{
	mkdir -p $CORES && chmod 1777 $CORES &&
		echo "$CORES/core.%e.%p" > /proc/sys/kernel/core_pattern &&
		ulimit -c unlimited || return
	sh -c 'kill -ABRT $$'
	compgen -G "$CORES/core.sh.*"
}

open_volume()
{
	vaultring luks format $DISK --kek $KEK --yes &&
		vaultring luks open $DISK hunt &&
		cryptsetup token export --token-id 0 $DISK |
		python3 -c 'import base64, json, sys
sys.stdout.buffer.write(base64.b64decode(json.load(sys.stdin)["blob"]))' \
			> "$WORK/volume.blob" &&
		mkfs.ext4 -q /dev/mapper/hunt && mount /dev/mapper/hunt $VOLUME
}

open_directory()
{
	local id

	truncate -s 32M $IMAGE && mkfs.ext4 -q -O encrypt $IMAGE &&
		mount -o loop $IMAGE $DIRECTORY &&
		vaultring dek new --kek $KEK --use fscrypt \
			-o "$WORK/directory.blob" &&
		id=$(vaultring fscrypt add $DIRECTORY "$WORK/directory.blob") &&
		mkdir $DIRECTORY/d &&
		xfs_io -c "set_encpolicy -v 2 $id" $DIRECTORY/d
}

revoke_and_unseal()
{
	new_kek hunt2 known && vaultring kek revoke hunt2 &&
		vaultring kek unseal hunt2
}

write_on()
{
	while :; do
		head -c 256K /dev/urandom > $VOLUME/f
		head -c 256K /dev/urandom > $DIRECTORY/d/f
		sync
		sleep 0.2
	done
}

# A tool in the middle of its work: it waits for an answer, with the blob.
waiting_tool()
{
	truncate -s 32M $SPARE
	python3 -c 'import os, pty, sys, time
pid, fd = pty.fork()
if not pid:
    os.execvp(sys.argv[1], sys.argv[1:])
time.sleep(600)' vaultring luks format $SPARE --kek $KEK &
	started+=($!)
}

push_to_swap()
{
	local group

	for group in /sys/fs/cgroup/*.slice /sys/fs/cgroup/*.slice/*.service; do
		echo 48M > "$group/memory.reclaim"
	done 2> /dev/null
	awk '/^SwapTotal/ { total = $2 } /^SwapFree/ { free = $2 }
		END { print total - free " kB of swap in use"
		      exit total - free < 1024 }' /proc/meminfo
}

abort_daemon()
{
	local pid

	for pid in $(pgrep -x vaultringd) $(pgrep -f /vault-pkcs11); do
		kill -ABRT "$pid"
	done
	sleep 2
	systemctl reset-failed vaultringd
	systemctl start vaultringd
	! compgen -G "$CORES/core.vault*"
}

stop_capture()
{
	kill -INT "${started[0]}" && wait "${started[0]}"
	# It must have seen our own messages, else it proves nothing.
	grep -aq vaultring $CAPTURE && grep -aq $KEK $CAPTURE
}

# hunt PLACES...: for the secrets of the KEK and both data keys.
hunt()
{
	python3 "$HERE/hunt.py" --kek "$(envelope_of $KEK)" $KNOWN \
		--blob "$WORK/volume.blob" --blob "$WORK/directory.blob" "$@"
}

hunt_everywhere()
{
	dmesg > "$WORK/dmesg"
	sync
	journalctl --flush
	hunt "$WORK" /run /tmp /dev/shm /var/log /var/lib/vaultring \
		/etc/vaultring /etc/cryptsetup-keys.d /var/lib/systemd \
		/var/crash /root > "$WORK/report" 2>&1
	local status=$?

	cat "$WORK/report"
	return $status
}

searched()
{
	cat "$WORK/report"
	grep "^searched: .*\\b$1\\b" "$WORK/report"
}

# What went to swap was written past the file's page cache.
hunt_swap()
{
	echo 1 > /proc/sys/vm/drop_caches
	hunt $SWAP
}

disk_holds_no_key()
{
	hunt $DISK $IMAGE
}

stock_volume()
{
	head -c 64 /dev/urandom > /dev/shm/stock.key
	truncate -s 32M "$WORK/stock.img"
	# A long key derivation, so that it can be stopped in the middle.
	cryptsetup -q luksFormat --type luks2 --cipher aes-xts-plain64 \
		--key-size 512 --volume-key-file /dev/shm/stock.key \
		--pbkdf pbkdf2 --pbkdf-force-iterations 200000000 \
		--key-file /etc/hostname "$WORK/stock.img" &
	STOCK=$!
	started+=("$STOCK")
	sleep 3
	kill -STOP $STOCK
}

control_finds()
{
	local status

	python3 "$HERE/hunt.py" --raw /dev/shm/stock.key /dev/shm \
		> "$WORK/control"
	status=$?
	cat "$WORK/control"
	[ $status -eq 3 ] && grep -q "$1" "$WORK/control"
}

control_finds_in_capture()
{
	# The volume's identity is no secret, but it crossed netlink.
	oracle verify "$(envelope_of $KEK)" $KNOWN | sed -n 's/^id=//p' |
		python3 -c 'import sys
sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read().strip()))' > "$WORK/id"
	python3 "$HERE/hunt.py" --raw "$WORK/id" $CAPTURE > "$WORK/control"
	[ $? -eq 3 ] && grep "in file $CAPTURE" "$WORK/control"
}

must known_vault
ok "netlink traffic is captured" capture_netlink
ok "swap is on" make_swap
ok "cores are written" make_cores
ok "a KEK is made" new_kek $KEK known
ok "a volume is open" open_volume
ok "a directory is open" open_directory
write_on &
started+=($!)
waiting_tool
ok "a second KEK is revoked and unsealed while the capture runs" \
	revoke_and_unseal
sleep 2
ok "memory has gone to swap" push_to_swap
ok "no secret is in any process, argument, environment or file" \
	hunt_everywhere
ok "the daemon's memory was searched" searched vaultringd
ok "a worker's memory was searched" searched vault-pkcs11
ok "a tool's memory was searched" searched vaultring
ok "PID 1's memory was searched" searched systemd
ok "no secret is in swap" hunt_swap
ok "no secret is on the disks" disk_holds_no_key
ok "neither the daemon nor a worker leaves a core" abort_daemon
ok "no secret is in a core" hunt $CORES
ok "the capture holds our messages" stop_capture
ok "no secret is in the captured netlink traffic" hunt $CAPTURE
ok "control: a stock volume is made" stock_volume
ok "control: the hunt finds its key in cryptsetup's memory" \
	control_finds "in process $STOCK"
ok "control: the hunt finds its key in a file" \
	control_finds "in file /dev/shm/stock.key"
ok "control: the hunt finds a known value in the capture" \
	control_finds_in_capture
finish
