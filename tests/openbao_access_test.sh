#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Who the OpenBao worker is to a real server, and what it may do there: tokens,
# AppRole, namespaces, the policy, and that no secret gets out.  See
# openbao_test.sh for PROGRAMS and OPENBAO.

# shellcheck disable=SC2086,SC2119,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/openbao_lib.sh"

# --- who we are ---

no_token()
{
	with "$(configure token-file=$WORK/none; look)" \
		"$REFUSED.*cannot read the token" "$HERE_TOO" &&
		with "$(configure token-file=token; look)" \
			"$REFUSED.*token-file is not"
}

open_token()
{
	install -m 644 "$WORK/token" "$WORK/open"
	with "$(configure token-file=$WORK/open; look)" "$REFUSED.*chmod" "$HERE_TOO"
}

# Without capabilities root is nobody special.
closed_token()
{
	install -m 000 "$WORK/token" "$WORK/closed"
	with "$(configure token-file=$WORK/closed; look; poll root 1)" && said 2 \
		"$REFUSED.*cannot read the token from .*denied" && said 2 "$HERE_TOO"
}

# A header must not end where the file says.
two_lines()
{
	printf 's.x\nX-Vault-Namespace: team\n' > "$WORK/lines"
	with "$(configure token-file=$WORK/lines; look)" \
		"$REFUSED.*does not hold a token" "$HERE_TOO"
}

revoked_token()
{
	local line

	new_token > "$WORK/token"
	line=$(unwrap root 1 "$(random)")
	with "$(configure; echo "$line")
!$BAO_CLI token revoke \$(cat $WORK/token)
$line
$(poll root 1)
!$BAO_CLI token create -policy=clear -no-default-policy -field=token > $WORK/token
$line" && said 2 "$REFUSED.*denied" && said 2 '"secret"' && said 0 '"here"'
}

# Nobody took it back: it is old, whatever became of the vault meanwhile.
ended_token()
{
	local line

	policy_token clear -explicit-max-ttl=6s > "$WORK/short"
	line=$(unwrap root 1)
	with "$(configure token-file="$WORK/short"; echo "$line"; poll root 1
		echo '!sleep 7'; echo "$line"; poll root 1)
!$BAO_CLI token create -policy=clear -no-default-policy -field=token > $WORK/short
$line" && said 2 "$REFUSED.*has ended; put a new one" && said 2 "$HERE_TOO" &&
		said 2 '"secret"'
}

# As when the machine was off: what became of it nobody can say.
dead_token()
{
	policy_token clear -explicit-max-ttl=1s > "$WORK/dead"
	sleep 2
	with "$(configure token-file="$WORK/dead"; unwrap root 1; poll root 1)" &&
		said 2 "$REFUSED.*does not know the token" && said 2 "$HERE_TOO"
}

tokens()
{
	operator list auth/token/accessors | wc -l
}

approle()
{
	local before

	before=$(tokens)
	with "$(configure_role; unwrap root 1)" '"secret"' &&
		echo "$(asked revoke-self) given back" &&
		[ "$(tokens)" -eq "$before" ]
}

# What is denied to a token is denied to the next one.
denied_role()
{
	with "$(configure_role; poll root 1)
!$BAO_CLI policy write role $WORK/read-only.hcl
$(for _ in 1 2 3 4; do poll root 1; done)
!$BAO_CLI policy write role $WORK/role.hcl
$(poll root 1)" && said 2 '"spki"' && said 4 "$REFUSED.*decrypt.*denied" &&
		[ "$(asked approle/login)" -eq 1 ]
}

# One login for its first time; then it is renewed, and in the end anew.
role_is_renewed()
{
	operator write auth/approle/role/worker token_ttl=6s token_max_ttl=12s ||
		return
	with "$(configure_role; for _ in 1 2 3 4 5 6 7 8 9 10; do
		unwrap root 1
		echo '!sleep 1.3'
	done)"
	operator write auth/approle/role/worker token_ttl=1h token_max_ttl=2h
	echo "$(asked approle/login) logins, $(asked renew-self) renewals"
	said 10 '"secret"' &&
		[ "$(asked approle/login)" -ge 2 ] &&
		[ "$(asked approle/login)" -le 4 ] &&
		[ "$(asked renew-self)" -ge 1 ]
}

role_token_revoked()
{
	local line

	line=$(unwrap root 1)
	with "$(configure_role; echo "$line")
!$BAO_CLI token revoke -mode=path auth/approle
$line" && said 2 '"secret"' && [ "$(asked approle/login)" -eq 2 ]
}

# Servers lock roles out.
wrong_secret_id()
{
	echo nonsense > "$WORK/wrong-id"
	with "$(configure_role secret-id-file=$WORK/wrong-id
		poll root 1; unwrap root 1; unwrap root 1)
!cat $WORK/secret-id > $WORK/wrong-id
$(unwrap root 1)" "$REFUSED.*invalid role or secret" "$REFUSED.*not changed" \
		'"secret"' && [ "$(asked approle/login)" -eq 2 ]
}

# The tokens that it has given out live on, for as long as they last.
role_deleted()
{
	local lines status

	lines=$(configure_role; unwrap root 1; poll root 1)
	operator delete auth/approle/role/worker
	with "$lines" "$REFUSED.*auth/approle/login.*invalid" && said 2 "$REFUSED" &&
		said 0 '"here"'
	status=$?
	new_role && [ $status -eq 0 ]
}

# The policy goes, and comes back.
access_withdrawn()
{
	with "$(configure; poll root 1)
!$BAO_CLI policy write clear $WORK/read-only.hcl
$(poll root 1)
$(unwrap root 1)
!$BAO_CLI policy write clear $WORK/clear.hcl
$(poll root 1)" && said 2 '"spki"' && said 2 "$REFUSED.*decrypt.*denied"
}

namespace()
{
	local secret spki

	spki=$(BAO_NAMESPACE=team spki_of inner 1)
	secret=$(random)
	with "$(configure token-file=$WORK/team-token namespace=team
		unwrap_with "$spki" inner "$secret")" "$secret" &&
		with "$(configure token-file=$WORK/team-token
			unwrap_with "$spki" inner "$secret")" "$REFUSED" &&
		with "$(configure token-file=$WORK/team-token namespace=nowhere
			unwrap_with "$spki" inner "$secret")" "$REFUSED"
}

# --- the policy ---

# The real server says no to all else that a thief of the token might want.
nothing_else_clear()
{
	policy_token clear > "$WORK/thief"
	denied_all "$WORK/thief" \
		"GET transit/keys/kek" "LIST transit/keys" \
		"GET transit/export/encryption-key/root" \
		"GET transit/export/signing-key/root/1" \
		"GET transit/export/encryption-key/kek/1" \
		"GET transit/byok-export/host/kek/latest" \
		"POST transit/keys/root/import type=rsa-3072" \
		"POST transit/keys/mine type=rsa-2048" \
		"POST transit/keys/root/rotate" \
		"POST transit/keys/root/config exportable=true" \
		"DELETE transit/keys/root" \
		"GET transit/backup/root" \
		"POST transit/sign/root input=AAAA" \
		"POST transit/encrypt/root plaintext=AAAA" \
		"POST transit/decrypt/r2048 ciphertext=vault:v1:AAAA" \
		"POST transit/decrypt/root ciphertext=vault:v1:AAAA context=AAAA" \
		"POST transit/decrypt/root batch_input=[]" \
		"GET sys/policies/acl/clear" "POST sys/seal x=y" \
		"GET sys/mounts" "POST auth/token/create ttl=1h" \
		"POST cubbyhole/x y=z" "LIST auth/token/accessors"
}

nothing_else_sealed()
{
	policy_token sealed > "$WORK/thief"
	denied_all "$WORK/thief" \
		"GET transit/export/encryption-key/kek/1" \
		"GET transit/export/encryption-key/kek" \
		"GET transit/backup/kek" \
		"GET transit/byok-export/host/kek" \
		"GET transit/byok-export/host/kek/1" \
		"GET transit/byok-export/mine/kek/latest" \
		"GET transit/byok-export/host/kek2/latest" \
		"POST transit/keys/host/import type=rsa-3072" \
		"POST transit/keys/host/import_version public_key=x" \
		"POST transit/keys/mine/import type=rsa-3072" \
		"POST transit/keys/mine type=rsa-3072" \
		"POST transit/decrypt/kek ciphertext=vault:v1:AAAA" \
		"POST transit/encrypt/kek plaintext=AAAA" \
		"GET transit/wrapping_key" \
		"POST transit/keys/kek/rotate" \
		"POST transit/keys/kek/config exportable=true" \
		"GET sys/policies/acl/sealed" "GET sys/mounts" \
		"POST auth/token/create ttl=1h"
}

# It is enough for all that the worker does, a token's renewal included: this one
# would not last as long.
policy_is_enough()
{
	local lines

	lines=$(configure token-file="$WORK/enough"; look; unwrap root 1
		echo '!sleep 4'; poll root 1; echo '!sleep 4'; unwrap root 1)
	policy_token clear -ttl=6s > "$WORK/enough"
	with "$lines" '"spki"' && said 2 '"secret"' && said 0 '"error"' &&
		[ "$(asked renew-self)" -ge 1 ] && [ "$(asked lookup-self)" -ge 1 ]
}

policy_of_a_key()
{
	tool policy bao:r2048 | tee /dev/stderr | grep -q 'transit/decrypt/r2048"' &&
		! tool policy bao:r2048 | grep root &&
		tool policy sealed | grep -q 'byok-export/host/kek/latest"' &&
		tool policy sealed-1 | grep -q 'byok-export/host/kek/1"' &&
		! tool policy sealed | grep -q decrypt &&
		tool policy team | grep -q 'namespace team' &&
		! tool policy role | grep lookup-self &&
		tool policy role | grep -q revoke-self &&
		! tool policy bao | grep revoke-self
}

# --- settings, secrets ---

bad_settings()
{
	local pair

	while IFS='|' read -r pair pattern; do
		with "$(configure $pair; look)" "$REFUSED.*$pattern" "$HERE_TOO" ||
			return
	done << 'PAIRS'
uri=openbao:http://127.0.0.1:8200/transit/root|https
uri=openbao:https://127.0.0.1:8200|/MOUNT/KEY
uri=openbao:https://127.0.0.1:8200/transit/../sys/seal|/MOUNT/KEY
uri=openbao:https://127.0.0.1:8200/transit/root?x=y|/MOUNT/KEY
uri=openbao:https://user@127.0.0.1:8200/transit/root|HOST
uri=openbao:https://[::1]:8200/transit/root|HOST
uri=openbao:https://a_b:8200/transit/root|HOST
uri=openbao:https://127.0.0.1:82000000/transit/root|HOST
method=open|clear nor sealed
method=sealed|host-key
host-key=host|method = sealed
role-id=x|secret-id-file
token-file=|token-file
namespace=../team|namespace
endpoints=http://127.0.0.1|https
PAIRS
	with "$(configure tokenfile=x; look)" "$REFUSED.*tokenfile"
}

bad_key_names()
{
	with "$(configure; look '../../sys/seal')" "$REFUSED.*name of a key" &&
		with "$(configure; look 'a b')" "$REFUSED" &&
		with "$(configure; look 'root?x')" "$REFUSED.*name of a key"
}

# All that was shown to it, against all that it said; the log has each request.
no_secret_shown()
{
	local secret shown=$WORK/shown text

	secret=$(random)
	new_token > "$WORK/token"
	peer vanish "$PROGRAMS/vault-openbao" "$(configure_role
		unwrap root 1 "$secret"; poll root 1)" > "$shown" 2>&1
	peer vanish "$PROGRAMS/vault-openbao" "$(configure
		unwrap root 1 "$secret"; poll root 1)" >> "$shown" 2>&1
	cat "$shown"
	[ "$(grep -c "'secret': '$secret'" "$shown")" -eq 2 ] &&
		[ "$(grep -c 'no core signal 6' "$shown")" -eq 2 ] &&
		! compgen -G "$PWD/core*" || return
	for text in "$(cat "$WORK/token")" "$(cat "$WORK/secret-id")"; do
		[ ${#text} -gt 20 ] && ! grep -F -- "$text" "$shown" "$WORK"/said.* ||
			return
	done
	# Those that it has got itself: of services, and of batches.
	! grep -E '\b[sb]\.[A-Za-z0-9_-]{20,}' "$shown" "$WORK"/said.*
}

# memory FOUND NOT-FOUND CONFIGURATION: of a worker that has just answered.
memory()
{
	local share=5ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75eff

	{ echo "$3"; look; unwrap root 1 "$share"; } |
		$PYTHON "$HERE/azure_memory.py" "$PROGRAMS/vault-openbao" "$1" \
			"$2" "$share"
}

memory_at_rest()
{
	memory "$WORK/role-id" "$(cat "$WORK/secret-id")" "$(configure_role)" &&
		memory "$WORK/token" "X-Vault-Token: $(cat "$WORK/token")" \
			"$(configure)"
}

start

ok "a token file that cannot be read is this machine's trouble" no_token
ok "a token file that everybody may read is refused" open_token
ok "and one that the daemon may not read" closed_token
ok "a token file with more than a token is refused" two_lines
ok "a revoked token is refused, and a new one taken from the file" revoked_token
ok "a token that has come to its end is this machine's trouble" ended_token
ok "as is one that had ended before" dead_token
ok "AppRole logs in, and gives its token back" approle
ok "it does not log in anew for what its token may not do" denied_role
ok "its token is renewed, and made anew at the end" role_is_renewed
ok "its token is made anew when it was revoked" role_token_revoked
ok "a secret ID that was refused is tried once" wrong_secret_id
ok "a deleted role is refused" role_deleted
ok "access that is withdrawn is noticed by a poll" access_withdrawn
ok "a key in a namespace" namespace

ok "the policy is enough, and a token is renewed before it ends" \
	policy_is_enough
ok "a token for clear shares can do nothing else" nothing_else_clear
ok "a token for sealed shares can do nothing else" nothing_else_sealed
ok "the policy follows the settings" policy_of_a_key

ok "settings that make no sense are refused and named" bad_settings
ok "names that are no keys' get no further" bad_key_names
ok "at rest a worker's memory holds no secret ID, header or share" \
	memory_at_rest
ok "no token, secret ID or core is left anywhere" no_secret_shown
ok "the sanitizers have found nothing" nothing_found
finish
