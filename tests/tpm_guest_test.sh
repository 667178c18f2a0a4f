#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A TPM as the only vault of a volume: README's way to it, PCRs that change,
# wrong PINs, a TPM that is cleared.  Needs scripts/vm --tpm.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

DEVICE=/dev/tpmrm0
DROP_IN=/etc/systemd/system/vaultringd.service.d/tpm2.conf
PIN_FILE=/etc/vaultring/tpm.pin
DISK=/dev/vdb
MOUNT=$WORK/mount
export TPM2TOOLS_TCTI=device:$DEVICE

tidy()
{
	umount $MOUNT
	vaultring luks close bound
	wipefs -aq $DISK
	[ ! -e "$WORK/conf" ] || cat "$WORK/conf" > $CONF
	rm -f $DROP_IN $PIN_FILE /etc/vaultring/sealed.tpm
	systemctl daemon-reload
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
}

tpm_is_there()
{
	local left=100

	until [ "$(stat -c %G $DEVICE)" = tss ]; do
		left=$((left - 1))
		[ $left -gt 0 ] || { ls -l /dev/tpm*; return 1; }
		sleep 0.1
	done
}

# vault NAME KEY [LINE...]
vault()
{
	printf '\n[vault %s]\nuri = tpm2:%s\n' "$1" "$2"
	shift 2
	[ $# -eq 0 ] || printf '%s\n' "$@"
}

restart()
{
	systemctl daemon-reload
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
}

# --- README ---

# The commands of its part about TPMs, as they are written there.
readme()
{
	tar -xzf "$HERE/source.tar.gz" -C "$WORK" ./README.md || return
	awk '/^### / { on = $0 == "### With a TPM" } on && /^```$/ { exit }
		on && code { print } on && /^```sh$/ { code = 1 }' \
		"$WORK/README.md" > "$WORK/script"
	grep "vault init tpm" "$WORK/script" || return
	KEKS+=(local)
	env -i HOME=/root LC_ALL=C.UTF-8 PATH=$PATH bash -ex "$WORK/script"
}

fingerprint_is_tpms()
{
	local fingerprint

	tpm2_readpublic -Q -c 0x81000100 -f der -o "$WORK/pub" || return
	fingerprint=$(sha256sum < "$WORK/pub" | cut -d ' ' -f 1)
	echo "$fingerprint"
	grep "vault tpm $fingerprint" /etc/vaultring/pins
}

doctor_says()
{
	vaultring doctor > "$WORK/doctor"
	cat "$WORK/doctor"
	grep -E "$1" "$WORK/doctor"
}

exposure()
{
	systemd-analyze security --no-pager vaultringd.service > "$WORK/security"
	tail -n 1 "$WORK/security"
	awk '/Overall exposure level/ { for (i = 1; i <= NF; i++)
		if ($i ~ /^[0-9.]+$/) { seen = 1; exit } }
		END { exit !(seen && $i <= 2.0) }' "$WORK/security"
}

worker_is_confined()
{
	local pid

	pid=$(pgrep -f '^/usr/libexec/vaultring/vault-tpm2' | head -n 1)
	grep -E '^(Groups|CapEff|NoNewPrivs|Seccomp)' "/proc/$pid/status"
	[ "$(ps -o user= -p "$pid")" = vaultring ] &&
		grep -q 'CapEff:[[:space:]]*0*$' "/proc/$pid/status" &&
		grep -q 'Seccomp:[[:space:]]*2' "/proc/$pid/status" &&
		[ "$(systemctl show -P DevicePolicy vaultringd)" = closed ]
}

# --- without the drop-in ---

without_drop_in()
{
	rm $DROP_IN
	restart
	vaultring vault check tpm
	set -- $?
	doctor_says 'wrong.*may not use|wrong.*tpm2.conf' || set -- 0
	cp /usr/share/doc/vaultring/examples/tpm2.conf $DROP_IN
	restart
	return $1
}

# --- the volume ---

# Longer than the default: the host may have much else to do.
bound_vault()
{
	sed -i '/^\[vault tpm\]/a timeout = 15s' $CONF
	{
		vault bound handle=0x81000101 "pcrs = sha256:8" \
			"pin-source = $PIN_FILE" "timeout = 15s"
		vault sealed file=/etc/vaultring/sealed.tpm "timeout = 15s"
		vault nowhere 'handle=0x81000102?tcti=device:/dev/tpmrm7'
	} >> $CONF
	restart && vaultring vault init bound && vaultring vault pin bound &&
		new_kek bound bound
}

volume()
{
	mkdir -p $MOUNT
	vaultring luks format $DISK --kek bound --yes &&
		vaultring luks open $DISK bound &&
		mkfs.ext4 -q /dev/mapper/bound && mount /dev/mapper/bound $MOUNT &&
		echo "the TPM guards this" > $MOUNT/file && umount $MOUNT &&
		vaultring luks close bound
}

reopened()
{
	vaultring kek revoke bound
	vaultring luks open $DISK bound && mount /dev/mapper/bound $MOUNT &&
		grep "the TPM guards this" $MOUNT/file
}

timed_unseal()
{
	local start

	vaultring kek revoke local
	start=$(date +%s%N)
	vaultring kek unseal local || return
	echo "# one unseal: $((($(date +%s%N) - start) / 1000000)) ms" >&3
}

close_it()
{
	umount $MOUNT
	vaultring luks close bound
}

other_pcrs()
{
	tpm2_pcrextend "8:sha256=$(printf %064d 1)" &&
		grep "the TPM guards this" $MOUNT/file && close_it &&
		vaultring kek revoke bound
}

pcr_cannot_be_reset()
{
	tpm2_pcrreset 8
}

# --- a key in a file ---

key_in_file()
{
	vaultring vault init sealed && vaultring vault check sealed &&
		vaultring vault pin sealed && new_kek sealed sealed &&
		[ "$(stat -c '%a %U' /etc/vaultring/sealed.tpm)" = "644 root" ]
}

# --- PINs ---

fresh_unseal()
{
	vaultring kek revoke "$1"
	vaultring kek unseal "$1"
}

counter()
{
	tpm2_getcap properties-variable |
		sed -n 's/^TPM2_PT_LOCKOUT_COUNTER: //p'
}

wrong_pin()
{
	cat $PIN_FILE > "$WORK/pin"
	tpm2_dictionarylockout --clear-lockout
	printf wrong > $PIN_FILE
	fresh_unseal local
}

asked_often()
{
	local i

	for i in $(seq 10); do
		fresh_unseal local
	done
	counter
	[ "$(counter)" = 0x1 ]
}

locked()
{
	local i

	tpm2_dictionarylockout --setup-parameters --max-tries=3 \
		--recovery-time=1000 --lockout-recovery-time=1000 || return 0
	for i in 1 2 3 4; do
		printf 'wrong%s' "$i" > $PIN_FILE
		vaultring vault check tpm
	done
	cat "$WORK/pin" > $PIN_FILE
	fresh_unseal local
}

unlocked()
{
	tpm2_dictionarylockout --clear-lockout && fresh_unseal local
}

no_pin_in_view()
{
	local pin

	pin=$(cat $PIN_FILE)
	! grep -aFq "$pin" /proc/[0-9]*/cmdline &&
		! journalctl -q -b | grep -Fq "$pin"
}

# --- the end ---

clear_tpm()
{
	tpm2_clear -c p || tpm2_clear -c l
}

exec 3>&1
must tpm_is_there
cat $CONF > "$WORK/conf"

ok "README's way to a TPM works as it is written" readme
[ $FAILED -eq 0 ] || finish
ok "the fingerprint is that of tpm2_readpublic" fingerprint_is_tpms
ok "a KEK is unsealed with the TPM's help" timed_unseal
ok "doctor sees the TPM" doctor_says "ok +tpm: vault tpm: $DEVICE is there"
ok "systemd-analyze rates the service 2.0 or better with it" exposure
ok "the worker has no capability, a filter, and a closed list of devices" \
	worker_is_confined
refused "without the drop-in a check says what to do" \
	"may not use $DEVICE.*tpm2.conf" without_drop_in
refused "a second init is refused, and the key kept" \
	"there is a key 0x81000100 already" vaultring vault init tpm
refused "an HSM's key is made with its own tools" "own tools" \
	vaultring vault init hsm
ok "a key bound to PCRs and a PIN guards a KEK" bound_vault
ok "doctor misses a device" doctor_says 'wrong +tpm: vault nowhere: /dev/tpmrm7'
ok "a volume under it is made" volume
ok "it opens again after a revoke, and holds its file" reopened
ok "PCRs that change leave it open" other_pcrs
refused "but it does not open again, and says why" \
	"PCRs sha256:8 are not what they were.*Until a boot" \
	vaultring luks open $DISK bound
refused "no one brings them back without a boot" "locality|0x907" pcr_cannot_be_reset
refused "nor does a restart of the daemon" "PCRs sha256:8" \
	eval "restart; vaultring kek unseal bound"
ok "another key of the TPM still works" fresh_unseal local
ok "a key in a file is made by root, and works" key_in_file
refused "a second one is refused" "sealed.tpm exists already" \
	vaultring vault init sealed

refused "a wrong PIN is refused" "refused the PIN in $PIN_FILE" wrong_pin
ok "asked often, it is tried once" asked_often
refused "a locked TPM says so, and what to do" \
	"locked the key.*1000 s.*tpm2_dictionarylockout" locked
ok "unlocked, it works" unlocked
ok "the PIN is in no journal and no argument" no_pin_in_view

must clear_tpm
refused "a TPM that was cleared has lost the key" \
	"does not have the key 0x81000100.*cleared" fresh_unseal local
refused "a key in a file is lost with it" \
	"another TPM than this, before this one was cleared" fresh_unseal sealed
finish
