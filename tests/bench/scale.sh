#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# 1,000 volumes under one KEK, and what a blob costs with more and more KEKs held.

# shellcheck disable=SC2317,SC2329 # called by the trap
. "$(dirname "$0")/lib.sh"

UDEV=(systemd-udevd-kernel.socket systemd-udevd-control.socket)

# What a program that was ended left.
tidy()
{
	dmsetup ls --target crypt | sed -n 's/^\(bench-[ap][0-9]*\)[^0-9].*/\1/p' |
		xargs -r dmsetup remove --noudevsync
	systemctl start "${UDEV[@]}" systemd-udevd
}

# It would look at each of thousands of devices that come and go.
without_udev()
{
	systemctl stop "${UDEV[@]}" systemd-udevd
}

module_anew()
{
	local left=40

	systemctl stop vaultringd
	until rmmod vaultring; do
		left=$((left - 1))
		[ $left -gt 0 ] || return
		sleep 0.5
	done
	modprobe vaultring && systemctl start vaultringd
}

need new_kek bench-scale
need udevadm settle
need without_udev
"$HERE/bench_volumes" bench-scale "${DISKS[0]}" 1000 "$(either 1 3)" || exit 1
need systemctl start "${UDEV[@]}" systemd-udevd
need systemctl stop vaultringd
"$HERE/bench_keys" keks "$(either 1000 10000)" || exit 1
need module_anew
