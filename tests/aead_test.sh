#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Authenticated sectors: gcm(paes), and phmac(sha256) beside xts(paes), below
# dm-crypt over dm-integrity, and phmac(sha256) in dm-integrity alone.  What
# was changed on the disk is an error, and the oracle finds what was written.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

KEK=aead
DISK=/dev/vdb
TEXT="found by the oracle behind its tag"
AT=77
SIZE=1024

tidy()
{
	close_all
	wipefs -aq $DISK
}

close_all()
{
	local name

	udevadm settle
	for name in aead integrity; do
		[ ! -e /dev/mapper/$name ] || dmsetup remove --retry $name || return
	done
}

blob_for()
{
	vaultring dek new --kek $KEK --use "$1" "${@:2}" -o "$WORK/$1.blob"
}

key_of()
{
	local files=("${@/#/$WORK/}")

	hex_of "${files[@]/%/.blob}"
}

# crypt_on CIPHER KEY TAGSIZE [ARGUMENT]: dm-crypt upon it.
crypt_on()
{
	dmsetup create aead --table "0 $SIZE crypt $1 $2 0 \
		/dev/mapper/integrity 0 $(($# - 2)) integrity:$3:aead ${4:-}"
}

# The ways, each for a new device and for one that is there.

gcm()
{
	${1}_on 28 && crypt_on 'capi:gcm(paes)-random' "$(key_of gcm)" 28
}

# 12 bytes of tag and 12 of IV.
gcm_short()
{
	${1}_on 24 && crypt_on 'capi:gcm(paes)-random' "$(key_of gcm)" 24
}

phmac()
{
	${1}_on 32 && crypt_on 'capi:authenc(phmac(sha256),xts(paes))-plain64' \
		"$(key_of xts hmac)" 32 integrity_key_size:136
}

alone()
{
	${1}_on - "internal_hash:phmac(sha256):$(key_of hmac)" &&
		dmsetup create aead --table "0 $SIZE linear /dev/mapper/integrity 0"
}

again_on()
{
	integrity_again integrity $DISK "$@"
}

new_on()
{
	integrity_new integrity $DISK "$@"
}

# By stock tools.  The format keeps no key; integritysetup before 2.8.2 makes one
# up there, which phmac(sha256) refuses.
TAGS="--integrity phmac-sha256 --integrity-key-size 136 --integrity-key-file"

stock()
{
	[ $1 = again ] || integritysetup -q format --no-wipe --tag-size 32 \
		--integrity hmac-sha256 --integrity-key-file /etc/machine-id \
		--integrity-key-size 32 $DISK || return
	integritysetup open $TAGS "$WORK/hmac.blob" $DISK integrity &&
		dmsetup create aead --table "0 $SIZE linear /dev/mapper/integrity 0"
}

luks_upon()
{
	close_all && stock new && udevadm settle &&
		dmsetup remove --retry aead &&
		dd if=/dev/zero of=/dev/mapper/integrity bs=1M oflag=direct \
			iflag=count_bytes status=none conv=nocreat \
			count="$(blockdev --getsize64 /dev/mapper/integrity)" &&
		cryptsetup -q luksFormat --type luks2 \
			--cipher paes-xts-plain64 --key-size 1088 \
			--volume-key-file "$WORK/xts.blob" \
			--key-file /etc/hostname --pbkdf pbkdf2 \
			--pbkdf-force-iterations 1000 /dev/mapper/integrity &&
		cryptsetup open --volume-key-file "$WORK/xts.blob" \
			/dev/mapper/integrity aead &&
		echo "$TEXT" | dd of=/dev/mapper/aead bs=512 seek=$AT \
			conv=sync oflag=direct status=none &&
		read_sector $AT | grep -aq "$TEXT"
}

luks_aead()
{
	close_all && cryptsetup -q luksFormat --type luks2 \
		--cipher paes-gcm-random --integrity aead --integrity-no-wipe \
		--key-size 1088 --volume-key-file "$WORK/gcm.blob" \
		--key-file /etc/hostname $DISK
}

volume()
{
	WAY=$1
	new()
	{
		close_all && $WAY new
	}
	again()
	{
		close_all && $WAY again
	}
}

# Each sector once, so that it has a tag, and in one of them the text.  Flushed:
# dm-integrity may lose what is not when it stops for an error.
write_text()
{
	dd if=/dev/zero of=/dev/mapper/aead bs=64k count=$((SIZE / 128)) \
		oflag=direct conv=nocreat status=none &&
		echo "$TEXT" | dd of=/dev/mapper/aead bs=512 seek=$AT \
			conv=sync,fsync,nocreat oflag=direct status=none
}

read_sector()
{
	dd if=/dev/mapper/aead bs=512 skip="$1" count=1 iflag=direct status=none
}

reads_text()
{
	again && [ "$(read_sector $AT | head -n 1 | tr -d '\0')" = "$TEXT" ]
}

oracle_reads_text()
{
	local blobs=("${@/#/$WORK/}")

	close_all && oracle authentic "$(envelope_of $KEK)" $KNOWN $DISK $AT \
		"${blobs[@]/%/.blob}" | grep -aq "$TEXT"
}

raw_text_is_absent()
{
	close_all && ! grep -aq "$TEXT" $DISK
}

# places_of: where the tags and the data begin, and the size of a tag.
places_of()
{
	python3 - $DISK << PYTHON
import sys
sys.path.insert(0, "$HERE")
import oracle
with open(sys.argv[1], "rb") as device:
    print(*oracle.integrity_places(device.read(512)))
PYTHON
}

# flip BYTE: of the device.
flip()
{
	python3 - $DISK "$1" << 'PYTHON'
import os
import sys
device = os.open(sys.argv[1], os.O_RDWR)
at = int(sys.argv[2])
byte = os.pread(device, 1, at)
os.pwrite(device, bytes([byte[0] ^ 4]), at)
os.fsync(device)
PYTHON
}

# damaged WHAT: a bit of the sector (data) or its tag; the neighbours are good.
damaged()
{
	local tags data size at

	close_all && read -r tags data size < <(places_of) || return
	at=$((data + 512 * AT + 300))
	[ "$1" = data ] || at=$((tags + size * AT + 3))
	flip $at && again || return
	read_sector $((AT - 1)) > /dev/null && read_sector $((AT + 1)) > /dev/null ||
		return
	! read_sector $AT > "$WORK/read" 2> "$WORK/error" || return
	cat "$WORK/error"
	# dd: the kernel's EILSEQ
	grep -q "Invalid or incomplete" "$WORK/error" && [ ! -s "$WORK/read" ] &&
		close_all && flip $at && again && read_sector $AT > /dev/null
}

works()
{
	local sentence=$1 way=$2

	shift 2
	volume $way
	ok "$sentence: a volume is made" new
	ok "$sentence: it can be written" write_text
	ok "$sentence: what was written is read back" reads_text
	ok "$sentence: the oracle finds it behind a tag that holds" \
		oracle_reads_text "$@"
	ok "$sentence: a changed bit of a sector is EILSEQ" damaged data
	ok "$sentence: a changed bit of a tag is EILSEQ" damaged tag
}

# gcm_refuses PATTERN KEY [TAGSIZE]
gcm_refuses()
{
	close_all && new_on "${3:-28}" &&
		says "$1" crypt_on 'capi:gcm(paes)-random' "$2" "${3:-28}"
}

phmac_refuses()
{
	close_all && says "$1" new_on - "internal_hash:phmac(sha256):$2"
}

# says PATTERN CMD...: it fails, and the kernel says why.
says()
{
	local mark="aead_test: case $CASES" pattern=$1

	shift
	echo "$mark" > /dev/kmsg
	! "$@" || return
	dmesg | sed "1,/$mark\$/d" | tee /dev/stderr | grep -Eq "$pattern"
}

fails_after_revoke()
{
	vaultring kek revoke $KEK || return
	! read_sector $AT > /dev/null 2> "$WORK/error" || return
	cat "$WORK/error"
	# dm-integrity takes the MAC that it did not get for a wrong one.
	grep -Eq "Input/output error|Invalid or incomplete" "$WORK/error" &&
		! echo "$TEXT" | dd of=/dev/mapper/aead bs=512 seek=5 \
			conv=sync oflag=direct status=none
}

# The refused write has left its sector as it was.
reads_both()
{
	reads_text && read_sector 5 | cmp - <(head -c 512 /dev/zero)
}

unseal_again()
{
	close_all && vaultring kek unseal $KEK
}

must known_vault
must new_kek $KEK known
ok "data keys for gcm, hmac and xts are made" eval \
	'blob_for gcm && blob_for hmac && blob_for xts'
modprobe dm-integrity

works "gcm(paes)" gcm gcm
ok "gcm(paes): the disk does not hold the text" raw_text_is_absent
works "gcm(paes) with tags of 12 bytes" gcm_short gcm

# The inner transform alone knows which lengths GCM has.
ok "gcm(paes): a tag of 11 bytes is refused" gcm_refuses "auth tag size" \
	"$(key_of gcm)" 23
for use in xts hmac; do
	ok "gcm(paes): a blob for $use is refused" \
		gcm_refuses "key \((-EOPNOTSUPP|-95)" "$(key_of $use)"
done
ok "gcm(paes): a raw key is refused" gcm_refuses "key \((-EINVAL|-22)" \
	"$(head -c 32 /dev/urandom | hex_of)"

works "phmac(sha256) in dm-integrity" alone hmac
for use in xts gcm; do
	ok "phmac(sha256): a blob for $use is refused" \
		phmac_refuses "key \((-EOPNOTSUPP|-95)" "$(key_of $use)"
done
ok "phmac(sha256): a raw key is refused" phmac_refuses "key \((-EINVAL|-22)" \
	"$(head -c 32 /dev/urandom | hex_of)"
rm "$WORK/hmac.blob"
ok "a data key of 512 bits for hmac is made" blob_for hmac --bits 512
works "integritysetup with phmac-sha256" stock hmac
ok "stock tools make a LUKS2 volume upon it" luks_upon
refused "the made-up key of cryptsetup's probe of gcm(paes) is refused" \
	"not available" luks_aead

if kernel_is 6.1; then
	ok "authenc(phmac, xts) needs an option that this kernel lacks" eval \
		'close_all; ! phmac new'
else
	works "authenc(phmac, xts)" phmac xts hmac
	ok "authenc(phmac, xts): the disk does not hold the text" \
		raw_text_is_absent
fi

for way in gcm alone phmac; do
	[ $way != phmac ] || ! kernel_is 6.1 || continue
	volume $way
	# Opened again: dm-integrity checks no tag of what is in its journal.
	ok "$way: a volume is open" eval 'new && write_text && again'
	ok "$way: after a revoke it neither reads nor writes" fails_after_revoke
	ok "$way: the KEK is unsealed again" unseal_again
	ok "$way: opened again it has what was written before" reads_both
done
finish
