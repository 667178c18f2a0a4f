#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Loading and unloading the module.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

KEK=module
DISK=/dev/vdb

tidy()
{
	vaultring luks close module
	wipefs -aq $DISK
	modprobe vaultring
}

open_volume()
{
	vaultring luks format $DISK --kek $KEK --yes &&
		vaultring luks open $DISK module
}

alive()
{
	dd if=/dev/mapper/module of=/dev/null bs=4k count=1 iflag=direct
}

unload()
{
	local left=10

	systemctl stop vaultringd
	# Keys of our types go with their keyrings, which is a matter of the
	# collector's time.
	keyctl clear @u
	keyctl clear @s
	keyctl link @u @s
	until rmmod vaultring; do
		left=$((left - 1))
		[ $left -gt 0 ] || return
		sleep 1
	done
}

reload()
{
	modprobe vaultring && systemctl start vaultringd &&
		vaultring kek unseal $KEK && vaultring luks open $DISK module &&
		alive
}

three_times()
{
	modprobe vaultring && rmmod vaultring &&
		modprobe vaultring && rmmod vaultring && modprobe vaultring
}

forgets()
{
	! vaultring kek list --json | grep -q '"active"'
}

autoloads()
{
	grep -qx vaultring /usr/lib/modules-load.d/vaultring.conf &&
		modinfo -F alias vaultring | grep -qF 'crypto-xts(paes)'
}

log_names_no_key()
{
	! dmesg | grep -iE 'vaultring.*[0-9a-f]{64}'
}

daemon_without_module()
{
	timeout 20 /usr/sbin/vaultringd
}

must new_kek $KEK
ok "the module is loaded at boot and found by its algorithms" autoloads
ok "a volume is open" open_volume
systemctl stop vaultringd
refused "unloading it is refused while a volume is open" "in use" \
	rmmod vaultring
ok "the volume is alive after that" alive
ok "the volume closes" vaultring luks close module
ok "the module unloads when nothing uses it" unload
refused "the daemon says that the module is missing" "module|modprobe" \
	daemon_without_module
ok "it loads and unloads again and again" three_times
ok "it forgets its KEKs" forgets
ok "loaded again, everything works" reload
ok "the kernel's log shows no key" log_names_no_key
finish
