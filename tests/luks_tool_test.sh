#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vaultring luks: formats only what it may, opens by the token in the header.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

DISK=/dev/vdb
KEK=luks-tool

tidy()
{
	umount /mnt
	vaultring luks close tool
	dmsetup remove holder
	wipefs -aq $DISK
}

disk_sum()
{
	dd if=$DISK bs=1M status=none | md5sum
}

# unharmed CMD...: the command fails as it should and the disk is as before.
unharmed()
{
	local before status

	before=$(disk_sum)
	"$@"
	status=$?
	if [ "$before" != "$(disk_sum)" ]; then
		echo "the disk was written to"
		return 126
	fi
	return $status
}

mounted_format()
{
	local status

	mount $DISK /mnt
	vaultring luks format $DISK --kek $KEK --yes
	status=$?
	umount /mnt
	return $status
}

mapped_format()
{
	local status

	dmsetup create holder --table "0 2048 linear $DISK 0"
	vaultring luks format $DISK --kek $KEK --yes
	status=$?
	dmsetup remove holder
	return $status
}

is_ext4()
{
	[ "$(blkid -p -s TYPE -o value $DISK)" = ext4 ]
}

is_luks_without_keyslot()
{
	cryptsetup isLuks --type luks2 $DISK &&
		cryptsetup luksDump $DISK &&
		! cryptsetup luksDump $DISK | sed -n '/^Keyslots:/,/^Tokens:/p' |
			grep -q luks2 &&
		cryptsetup luksDump $DISK | grep -q ' vaultring'
}

store()
{
	mkfs.ext4 -q /dev/mapper/tool && mount /dev/mapper/tool /mnt &&
		echo "kept by luks" > /mnt/f && umount /mnt &&
		vaultring luks close tool
}

read_back()
{
	vaultring luks open $DISK tool && mount /dev/mapper/tool /mnt &&
		grep -qx "kept by luks" /mnt/f && umount /mnt
}

# damage_token tag|blanks: the blob's tag is at its end, and the token stays
# well-formed; blanks at the end of its base64 are not the bytes that were there.
damage_token()
{
	cryptsetup token export --token-id 0 $DISK > "$WORK/token" &&
		cryptsetup token remove --token-id 0 $DISK &&
		python3 - "$WORK/token" "$1" << 'PYTHON' > "$WORK/bad" &&
import base64, json, sys
token = json.load(open(sys.argv[1]))
blob = bytearray(base64.b64decode(token["blob"]))
if sys.argv[2] == "tag":
    blob[130] ^= 1
token["blob"] = base64.b64encode(blob).decode()
if sys.argv[2] == "blanks":
    token["blob"] = token["blob"][:-4] + 4 * " "
print(json.dumps(token))
PYTHON
		cryptsetup token import --token-id 0 --json-file "$WORK/bad" $DISK
}

repair_token()
{
	cryptsetup token remove --token-id 0 $DISK &&
		cryptsetup token import --token-id 0 --json-file "$WORK/token" \
			$DISK
}

opens_revoked()
{
	vaultring kek revoke $KEK && vaultring luks open $DISK tool &&
		vaultring luks close tool
}

must new_kek $KEK
wipefs -aq $DISK
status_is "format without a device is a usage error" 2 vaultring luks format
status_is "format without a KEK is a usage error" 2 vaultring luks format $DISK
refused "an empty disk is not formatted without a terminal" "terminal|--yes" \
	unharmed vaultring luks format $DISK --kek $KEK
refused "a KEK that is not there is refused before the disk is touched" \
	"nowhere" unharmed vaultring luks format $DISK --kek nowhere --yes
refused "a device that is not there is refused" "No such file" \
	vaultring luks format /dev/nothing --kek $KEK --yes
mkfs.ext4 -q $DISK
refused "a disk with data is not formatted without a terminal" "ext4" \
	unharmed vaultring luks format $DISK --kek $KEK
refused "on a terminal it names the data, and 'yes' is not YES" "ext4" \
	unharmed on_terminal yes vaultring luks format $DISK --kek $KEK
ok "the data are still there" is_ext4
refused "a mounted disk is refused even with --yes" "in use|mounted" \
	mounted_format
refused "a mapped disk is refused even with --yes" "in use|mapped" mapped_format
ok "the data are still there after that" is_ext4
ok "YES on a terminal formats" \
	on_terminal YES vaultring luks format $DISK --kek $KEK
ok "--yes formats without asking" \
	vaultring luks format $DISK --kek $KEK --yes
ok "the header is LUKS2 with a token and no keyslot" is_luks_without_keyslot
ok "open maps it" vaultring luks open $DISK tool
refused "a name in use is refused" "already" vaultring luks open $DISK tool
refused "a device in use is refused" "in use" \
	vaultring luks format $DISK --kek $KEK --yes
ok "a file is stored and the volume closed" store
ok "the file is there after opening again" read_back
ok "close removes the mapping" vaultring luks close tool
refused "a second close says that there is none" "no mapping" \
	vaultring luks close tool
ok "a revoked KEK is asked for again by open" opens_revoked
must damage_token tag
refused "a blob that was tampered with is refused" "damaged|tampered|reject|forged|corrupt" \
	vaultring luks open $DISK tool
must repair_token
must damage_token blanks
refused "one that is cut short and filled with blanks is, too" \
	"token in its header is damaged" vaultring luks open $DISK tool
must repair_token
ok "the repaired token opens" vaultring luks open $DISK tool
vaultring luks close tool > /dev/null 2>&1
must cryptsetup token remove --token-id 0 $DISK
refused "a volume without a token is refused" "token" \
	vaultring luks open $DISK tool
finish
