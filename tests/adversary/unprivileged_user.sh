#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A user of the machine, who has copies of blobs and knows names: he gets at no key of
# another one, by no door, and does not learn which are held.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attack_lib.sh"

envelopes_unreadable()
{
	! as_nobody ls $ENVELOPES && ! as_nobody cat "$(envelope_of user)"
}

# call_daemon COUNT: past the tool, over so many connections at once.
call_daemon()
{
	as_nobody python3 - "$1" << 'PYTHON'
import json, socket, sys
socks = []
for _ in range(int(sys.argv[1])):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect("/run/vaultring/vaultringd.sock")
    socks.append(sock)
call = {"method": "vaultring.KekUnseal", "parameters": {"name": "user"}}
socks[0].sendall(json.dumps(call).encode() + b"\0")
print(socks[0].recv(4096))
if len(socks) > 1:
    import time
    time.sleep(8)
PYTHON
}

# His connections, of which he says nothing more, keep nobody else out.
crowd()
{
	local status

	call_daemon 200 > "$WORK/crowd" 2>&1 &
	sleep 3
	vaultring vault check hsm
	status=$?
	wait $!
	return $status
}

only_root_is_answered()
{
	call_daemon 1 | grep "only root"
}

must known_vault
must new_kek user
must vaultring dek new --kek user --use xts -o "$WORK/blob"
chmod 711 "$WORK"
chmod 644 "$WORK/blob"
refused "he cannot have the KEK unsealed" "denied|root" \
	as_nobody vaultring kek unseal user
refused "nor ask the kernel for it" "denied" \
	as_nobody keyctl request2 vault-kek user "" @s
refused "nor use a copy of a blob" "denied" as_nobody \
	sh -c 'keyctl padd vault-dek mine @s < '"$WORK/blob"
refused "nor have a data key made under it" "denied" as_nobody \
	keyctl add vault-dek mine "new kek=user use=xts bits=512" @s
refused "nor make a KEK by hand" "not permitted" as_nobody \
	keyctl add vault-kek user x @s
refused "nor revoke it" "denied|permitted|root" \
	as_nobody vaultring kek revoke user
refused "nor make another" "denied|permitted|root" \
	as_nobody vaultring kek create evil --vault hsm
refused "nor trust a vault" "denied|permitted|root" \
	as_nobody vaultring vault pin hsm
ok "nor read envelopes" envelopes_unreadable
ok "past the tool the daemon answers him no more than that" \
	only_root_is_answered
ok "and he keeps nobody from the daemon" crowd
ok "the KEK is untouched" held user
ok "with the blob he gets nowhere, as the kernel's own tests see it" \
	cases kek_test a_stranger_with_the_blob_is_refused_by_setkey \
	a_stranger_with_the_blob_is_refused_by_load \
	a_stranger_gets_neither_the_kek_nor_a_new_data_key \
	a_stranger_with_the_blob_is_refused_by_device_mapper
ok "nor at another user's keys" cases keyrings_test \
	neither_can_touch_see_or_end_the_others_keys \
	no_user_ends_a_kek_not_even_his_own
ok "nor does he learn what is held" cases subjects_test \
	for_a_stranger_no_vault_is_asked \
	a_stranger_cannot_tell_whether_a_kek_is_held
finish
