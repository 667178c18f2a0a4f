#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Everything at once for an hour, or for three minutes where little is asked for:
# see chaos.py.  Nothing hangs, no sector and no ciphertext is wrong, and neither
# the kernel nor the daemon grows; guest_run then looks at the kernel's log.
#
# CHAOS_SEED repeats an order of disturbances:
#
#	scripts/vm -k debug --mem 2G --disk 48M --timeout 6000 -- env CHAOS_SEED=1 \
#		VAULTRING_SLOW=5 /usr/libexec/vaultring-tests/chaos_test.sh
#
# seconds at most: 4500

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

DISK=/dev/vdb
IMAGE=/root/chaos.img
LIBRARY=$HERE/bad_pkcs11-chaos.so
SECONDS_OF_IT=${VAULTRING_SHORT:+180}
SECONDS_OF_IT=${SECONDS_OF_IT:-3600}
SEED=${CHAOS_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
TOKENS=/var/lib/softhsm/tokens

tidy()
{
	date -s "@$((BORN + $(cut -d . -f 1 /proc/uptime)))"
	[ ! -d $TOKENS.away ] || mv $TOKENS.away/* $TOKENS/
	rmdir $TOKENS.away
	rm -f "$LIBRARY" "$LIBRARY.mode"
	[ ! -e "$WORK/conf" ] || cat "$WORK/conf" > $CONF
	[ ! -e "$WORK/pins" ] || cat "$WORK/pins" > /etc/vaultring/pins
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
	vaultring vault pin --load
	vaultring luks close chaos0
	vaultring luks close chaos1
	wipefs -aq $DISK
	rm -f $IMAGE
}

# The key of the vault `hsm`, through a library with moods.
flaky_vault()
{
	cp $CONF "$WORK/conf"
	cp /etc/vaultring/pins "$WORK/pins"
	cp "$HERE/bad_pkcs11.so" "$LIBRARY" && echo good > "$LIBRARY.mode" || return
	cat >> $CONF << CONFIG

[vault chaos]
uri = pkcs11:token=vaultring;object=root?module-path=$LIBRARY
pin-source = /etc/vaultring/hsm.pin
timeout = 5s
requests-per-minute = 6000
CONFIG
	systemctl restart vaultringd && vaultring vault pin chaos
}

# A KEK for each, so that they die one by one; the third has blobs alone.
prepare()
{
	local restriction=/proc/sys/crypto/af_alg_restrict i

	[ ! -e $restriction ] || echo 0 > $restriction
	for i in 0 1 2; do
		new_kek chaos$i chaos && vaultring dek new --kek chaos$i \
			--use cbc -o "$WORK/$i.blob" || return
	done
	truncate -s 24M $IMAGE && vaultring luks format $DISK --kek chaos0 --yes &&
		vaultring luks format $IMAGE --kek chaos1 --yes
}

chaos()
{
	python3 "$HERE/chaos.py" $SECONDS_OF_IT "$SEED" "$LIBRARY.mode" \
		chaos0=$DISK chaos1=$IMAGE "$WORK"/?.blob > "$WORK/report" 2>&1
	local status=$?

	sed 's/^\(# \)*/# /' "$WORK/report" >&3
	tail -n 60 "$WORK/report"
	return $status
}

# is NAME TEST NUMBER
is()
{
	local value

	value=$(sed -n "s/^$1=//p" "$WORK/report")
	grep "^#" "$WORK/report" | tail -n 40
	echo "$1: ${value:-nothing}"
	test "${value%.*}" "$2" "$3"
}

works_again()
{
	local i

	for i in 0 1 2; do
		vaultring kek revoke chaos$i
		vaultring kek unseal chaos$i || return
	done
	vaultring vault check chaos
}

exec 3>&1
BORN=$(($(date +%s) - $(cut -d . -f 1 /proc/uptime)))
echo "# CHAOS_SEED=$SEED, $SECONDS_OF_IT seconds"
ok "there is a vault with moods" flaky_vault
ok "KEKs, data keys and volumes" prepare
ok "all is disturbed for $SECONDS_OF_IT seconds, and comes to its end" chaos
ok "in each way, and more than once in most" is least_deeds -ge 1
ok "much was done meanwhile" is "done" -ge $((5 * SECONDS_OF_IT))
ok "and much refused" is refused -ge 20
ok "no sector and no ciphertext was wrong" is wrong -eq 0
ok "no error was another than an absent vault or a revoke gives" is other -eq 0
ok "nothing took longer than it may" is hangs -eq 0
ok "everybody came to his end, and found all that was written" \
	is unfinished -eq 0
ok "the kernel's memory does not grow" is leaks -eq 0
ok "nor does the daemon's" is daemon_growth -lt 1024
ok "which stays small" is daemon_rss -lt 16384
ok "all works again" works_again
finish
