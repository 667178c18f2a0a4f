# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Tokens of SoftHSM, and keys that come and go: as files of their folders, in
# $TOKENS.  Sourced, never run; p11 makes keys.

# shellcheck source-path=SCRIPTDIR

objects()
{
	find "$TOKENS" -name '*.object' ! -name token.object | sort
}

# make_token LABEL: empty, and with the PIN of the others.  A token of its own for
# each vault that is polled: SoftHSM's reader finds none while another writes.
make_token()
{
	local slot

	slot=$(find "$TOKENS" -mindepth 1 -maxdepth 1 -type d | wc -l)
	pkcs11-tool --module /usr/lib/softhsm/libsofthsm2.so \
		--slot-index "$slot" --init-token --label "$1" \
		--so-pin env:PIN &&
		pkcs11-tool --module /usr/lib/softhsm/libsofthsm2.so \
			--token-label "$1" --init-pin --login --login-type so \
			--so-pin env:PIN --new-pin env:PIN
} > /dev/null

# make_key NAME: a key pair `root`, whose files are listed in objects-NAME.
make_key()
{
	objects > "$WORK/before"
	p11 --keypairgen --key-type EC:prime256v1 --usage-derive --sensitive \
		--label root --id 01 > /dev/null || return
	objects | comm -13 "$WORK/before" - > "$WORK/objects-$1"
	[ "$(wc -l < "$WORK/objects-$1")" -eq 2 ]
}

# The key's files stay what they are, with a name that is none of an object.
take_away()
{
	local file

	while read -r file; do
		mv "$file" "$file.away" || return
	done < "$WORK/objects-$1"
}

put_back()
{
	local file

	while read -r file; do
		[ ! -e "$file.away" ] || mv "$file.away" "$file" || return
	done < "$WORK/objects-$1"
}
