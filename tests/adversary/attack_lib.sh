# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the attacks share.  Sourced after ../lib.sh, which is shared by all tests.

# shellcheck disable=SC2034 # used by those who source this
DISK=/dev/vdb
OTHER_DISK=/dev/vdc
TOKENS=/var/lib/softhsm/tokens

# cases PROGRAM NAME...: these of its cases hold, and each of them was run.
cases()
{
	local program=$1 options=() name

	shift
	for name in "$@"; do
		options+=(-t "$name")
	done
	"$HERE/$program" "${options[@]}" > "$WORK/cases" 2>&1
	local status=$?

	cat "$WORK/cases"
	[ $status -eq 0 ] || return
	for name in "$@"; do
		grep -E "^ok [0-9]+ .*[.]?$name( |\$)" "$WORK/cases" || return
	done
}

# as_nobody CMD...: in a session keyring of his own.
as_nobody()
{
	setpriv --reuid nobody --regid nogroup --clear-groups \
		keyctl session - "$@" 2>&1
}

# as_daemon CMD...: all that a daemon has which somebody has taken over.
as_daemon()
{
	setpriv --reuid vaultring --regid vaultring --clear-groups \
		--inh-caps=-all,+net_admin --ambient-caps=-all,+net_admin "$@"
}

restart_daemon()
{
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
}

# The vault is out of reach, as on another machine.
take_vault()
{
	mkdir -p $TOKENS.away && mv $TOKENS/* $TOKENS.away/
}

give_vault_back()
{
	[ ! -d $TOKENS.away ] || mv $TOKENS.away/* $TOKENS/
	rmdir $TOKENS.away
}

held()
{
	vaultring kek show "$1" --json | grep -q '"active"'
}

not_held()
{
	! held "$1"
}

# volume_blob DEVICE FILE
volume_blob()
{
	cryptsetup token export --token-id 0 "$1" | python3 -c '
import base64, json, sys
sys.stdout.buffer.write(base64.b64decode(json.load(sys.stdin)["blob"]))' > "$2"
}

# make_volume DEVICE KEK NAME TEXT: with a file system that holds the text.
make_volume()
{
	vaultring luks format "$1" --kek "$2" --yes &&
		vaultring luks open "$1" "$3" &&
		mkfs.ext4 -q "/dev/mapper/$3" && mount "/dev/mapper/$3" /mnt &&
		echo "$4" > /mnt/text && umount /mnt && vaultring luks close "$3"
}

# volume_has DEVICE NAME TEXT
volume_has()
{
	vaultring luks open "$1" "$2" && mount "/dev/mapper/$2" /mnt || return
	grep -x "$3" /mnt/text
	local status=$?

	umount /mnt && vaultring luks close "$2" && return $status
}
