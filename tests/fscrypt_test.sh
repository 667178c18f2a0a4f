#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# fscrypt directories: with keyctl and xfs_io, and with the tool.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

KEK=fscrypt
MNT=/mnt
IMAGE=/root/fscrypt.img

tidy()
{
	umount $MNT
	rm -f $IMAGE
}

prepare()
{
	truncate -s 64M $IMAGE && mkfs.ext4 -q -O encrypt $IMAGE &&
		mount -o loop $IMAGE $MNT
}

# provisioned NAME WORDS: the identifier of the key that the kernel made.
provisioned()
{
	local id

	keyctl add vault-dek "$1" "$2 provision=$1" @u > /dev/null || return
	id=$(keyctl search @s fscrypt-provisioning "$1") || return
	xfs_io -c "add_enckey -k $id" $MNT |
		sed -n 's/.*identifier \([0-9a-f]*\).*/\1/p'
}

with_stock_tools()
{
	keyctl add vault-dek photos "new kek=$KEK use=fscrypt bits=512" @u &&
		keyctl pipe %vault-dek:photos > "$WORK/blob" || return
	STOCK=$(provisioned photos "load $(xxd_of "$WORK/blob")")
	[ ${#STOCK} -eq 32 ] &&
		mkdir $MNT/stock &&
		xfs_io -c "set_encpolicy -v 2 $STOCK" $MNT/stock &&
		echo "private picture" > $MNT/stock/picture.jpg && sync
}

# stock ID...: the key is gone, so names are not readable and files not open.
locked()
{
	xfs_io -c "rm_enckey $1" $MNT && ls "$2" &&
		[ ! -e "$2/$3" ] && [ "$(find "$2" -mindepth 1 | wc -l)" -eq 1 ]
}

unlock_with_stock_tools()
{
	local id

	keyctl clear @u
	id=$(provisioned again "load $(xxd_of "$WORK/blob")")
	[ "$id" = "$STOCK" ] && grep -qx "private picture" $MNT/stock/picture.jpg
}

xxd_of()
{
	od -An -v -tx1 "$1" | tr -d ' \n'
}

content_not_on_disk()
{
	sync
	! grep -aqE "private picture|secret letter|picture.jpg" $IMAGE
}

not_readable_back()
{
	! keyctl read "$(keyctl search @s fscrypt-provisioning photos)"
}

with_the_tool()
{
	vaultring dek new --kek $KEK --use fscrypt -o "$WORK/letters" &&
		TOOL=$(vaultring fscrypt add $MNT "$WORK/letters" 2> /dev/null) &&
		[ ${#TOOL} -eq 32 ] && mkdir $MNT/tool &&
		xfs_io -c "set_encpolicy -v 2 $TOOL" $MNT/tool &&
		echo "secret letter" > $MNT/tool/letter && sync
}

locked_by_the_tool()
{
	vaultring fscrypt remove $MNT "$TOOL" && [ ! -e $MNT/tool/letter ] &&
		[ "$(find $MNT/tool -mindepth 1 | wc -l)" -eq 1 ]
}

unlocked_by_the_tool()
{
	[ "$(vaultring fscrypt add $MNT "$WORK/letters" 2> /dev/null)" = "$TOOL" ] &&
		grep -qx "secret letter" $MNT/tool/letter
}

without_feature()
{
	local image=$WORK/plain status

	mkdir "$WORK/mnt" && truncate -s 32M "$image" && mkfs.ext4 -q "$image" &&
		mount -o loop "$image" "$WORK/mnt" || return 0
	vaultring fscrypt add "$WORK/mnt" "$WORK/letters"
	status=$?
	umount "$WORK/mnt"
	return $status
}

must new_kek $KEK
must prepare
ok "a key that the kernel provisioned encrypts a directory" with_stock_tools
ok "the provisioned key cannot be read back" not_readable_back
ok "without the key the directory is locked" \
	locked "$STOCK" $MNT/stock picture.jpg
ok "the stored blob unlocks it" unlock_with_stock_tools
ok "the tool encrypts a directory" with_the_tool
ok "the tool locks it" locked_by_the_tool
ok "the tool unlocks it from the file" unlocked_by_the_tool
ok "neither texts nor names are on the disk" content_not_on_disk
must vaultring dek new --kek $KEK --use xts -o "$WORK/xts"
refused "a blob for volumes is refused" "fscrypt" \
	vaultring fscrypt add $MNT "$WORK/xts"
refused "a file system without the feature is named, with the next step" \
	"tune2fs -O encrypt" without_feature
refused "a file that is no blob is refused" "blob" \
	vaultring fscrypt add $MNT /etc/hostname
refused "removing a key that is not there says so" "not there" \
	vaultring fscrypt remove $MNT 00000000000000000000000000000000
finish
