#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A LUKS2 volume made and opened by stock tools alone: keyctl and cryptsetup.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

tidy()
{
	umount /mnt
	cryptsetup close x
	rm -f /root/d /root/b
}

make_blob()
{
	keyctl request2 vault-kek prod "" @u &&
		keyctl add vault-dek disk0 "new kek=prod use=xts bits=512" @u &&
		keyctl pipe %vault-dek:disk0 > /root/b
}

# 1088 bits are the blob's 136 bytes: to cryptsetup it is the volume key.
format()
{
	truncate -s 64M /root/d &&
		cryptsetup -q luksFormat --type luks2 --cipher paes-xts-plain64 \
			--key-size 1088 --volume-key-file /root/b \
			--key-file /etc/hostname /root/d
}

# cryptsetup before 2.7 takes no volume key from a keyring, and without a keyslot
# does not know the key's size.
open_volume()
{
	if kernel_is 6.1; then
		cryptsetup open --key-size 1088 --volume-key-file /root/b \
			/root/d x
	else
		cryptsetup open --volume-key-keyring %vault-dek:disk0 /root/d x
	fi
}

store()
{
	mkfs.ext4 -q /dev/mapper/x && mount /dev/mapper/x /mnt &&
		echo "it works" > /mnt/f && umount /mnt
}

read_back()
{
	mount /dev/mapper/x /mnt && [ "$(cat /mnt/f)" = "it works" ] &&
		umount /mnt
}

blob_is_136_bytes()
{
	[ "$(wc -c < /root/b)" -eq 136 ]
}

ciphertext_only()
{
	! grep -aq "it works" /root/d
}

ok "a KEK is made" new_kek prod
ok "keyctl makes a data key and gives its blob" make_blob
ok "the blob has 136 bytes" blob_is_136_bytes
ok "cryptsetup formats with the blob as volume key" format
ok "the volume needs no keyslot" cryptsetup -q luksKillSlot /root/d 0
ok "cryptsetup opens it" open_volume
ok "a file system on it takes a file" store
ok "the file's text is not on the disk" ciphertext_only
ok "cryptsetup closes it" cryptsetup close x
ok "it opens again" open_volume
ok "the file is still there" read_back
ok "and closes again" cryptsetup close x
finish
