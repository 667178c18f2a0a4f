#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# seconds at most: 3000
#
# Nonsense for the module, made of what is good: see fuzz_kernel.c.  guest_run then
# looks at the kernel's log and for leaks.  Each part says its seed; to have the same
# again: fuzz_kernel PART ROUNDS SEED

# shellcheck disable=SC2317,SC2329 # functions that ok runs
. "$(dirname "$0")/lib.sh"

tidy()
{
	systemctl start vaultringd
	vaultring vault pin --load
}

# As many as there is time for.
rounds()
{
	local n=$1

	[ -z "${VAULTRING_SHORT:-}" ] || n=$((n / 4))
	[ "${VAULTRING_SLOW:-1}" -eq 1 ] || n=$((n / 4))
	echo "$n"
}

fuzz()
{
	local status

	"$HERE/fuzz_kernel" "$1" "$(rounds "$2")" > "$WORK/fuzz" 2>&1
	status=$?
	grep '^#' "$WORK/fuzz" >&3
	cat "$WORK/fuzz"
	return "$status"
}

exec 3>&1
ok "messages of the family are taken or refused, and the KEK works" \
	fuzz messages 20000
ok "so are payloads of both key types" fuzz payloads 20000
ok "of changed blobs none opens" fuzz blobs 20000
ok "of changed envelopes none gives a KEK" fuzz envelopes 4000
ok "of changed transport keys none is taken" fuzz transport 4000
finish
