#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The OpenBao worker against a real OpenBao server, in a network of its own:
# clear and sealed shares, keys that go, servers that are away or lie.
#
# PROGRAMS names the folder of the programs, which are built with ASan and UBSan
# without it; OPENBAO the folder of bao, see scripts/openbao.

# shellcheck disable=SC2086,SC2119,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/openbao_lib.sh"

# Methods, as envelopes have them.
SEALED=2 CLEAR=3

# --- clear ---

public_key()
{
	with "$(configure; look)" "\"spki\": ?\"$(spki_of root 1)\"" \
		'"method": ?"clear"'
}

# unwraps KEY VERSION: what openssl encrypted for that version comes back.
unwraps()
{
	local key=$1 version=$2 secret

	secret=$(random)
	with "$(configure token-file=$WORK/any-token
		unwrap "$key" "$version" "$secret")" \
		"\"secret\": ?\"$secret\""
}

rotated()
{
	operator write -f transit/keys/root/rotate &&
		unwraps root 1 && unwraps root 2 &&
		with "$(configure; look; poll root 1; poll root 2)" \
			"\"spki\": ?\"$(spki_of root 2)\"" &&
		said 2 "$(spki_of root 2)" && said 1 "$(spki_of root 1)"
}

too_old()
{
	local lines status

	lines=$(configure; unwrap root 1; poll root 1
		configure key-version=1; look)
	operator write transit/keys/root/config min_decryption_version=2 ||
		return
	with "$lines" "$REFUSED.*none of its versions" \
		"$REFUSED.*may not decrypt with version 1" && said 3 "$REFUSED" &&
		said 0 '"here"'
	status=$?
	operator write transit/keys/root/config min_decryption_version=1 &&
		[ $status -eq 0 ] && unwraps root 1
}

# The worker knows the key already, and may not trust what it knows.
too_old_meanwhile()
{
	local secret old

	secret=$(random)
	old=$(unwrap root 1 "$secret")
	with "$(configure; echo "$old")
!$BAO_CLI write transit/keys/root/config min_decryption_version=2
$old
!$BAO_CLI write transit/keys/root/config min_decryption_version=1
$old" "$REFUSED" && said 2 "$secret"
}

version_setting()
{
	with "$(configure key-version=1; look)" "$(spki_of root 1)" &&
		with "$(configure key-version=7; look)" "$REFUSED.*version 7" &&
		with "$(configure key-version=0; look)" "$REFUSED.*key-version"
}

damaged_ciphertext()
{
	with "$(configure; unwrap root 2 |
		sed 's/"ciphertext":"..../"ciphertext":"0000/')" "$INVALID"
}

other_length()
{
	with "$(configure; unwrap root 2 "$(random 31)")" "$INVALID.*31 bytes" &&
		with "$(configure; unwrap root 2 "$(random 33)")" "$INVALID"
}

soft_deleted()
{
	local secret lines

	secret=$(random)
	lines=$(unwrap victim 1 "$secret"; poll victim 1)
	with "$(configure token-file=$WORK/any-token; echo "$lines")
!$BAO_CLI delete transit/keys/victim/soft-delete
$lines
!$BAO_CLI write -f transit/keys/victim/soft-delete-restore
$lines" && said 2 "$REFUSED.*deleted" && said 2 "$secret"
}

deleted()
{
	local lines

	lines=$(unwrap victim 1 "$(random)"; poll victim 1)
	with "$(configure token-file=$WORK/any-token; echo "$lines")
!$BAO_CLI write transit/keys/victim/config deletion_allowed=true
!$BAO_CLI delete transit/keys/victim
$lines" '"secret"' && said 2 "$REFUSED" && said 0 '"here"'
}

# One of the same name, which the worker knew as another.
replaced()
{
	local line

	line=$(unwrap victim2 1)
	with "$(configure token-file=$WORK/any-token; echo "$line")
!$BAO_CLI write transit/keys/victim2/config deletion_allowed=true
!$BAO_CLI delete transit/keys/victim2
!$BAO_CLI write transit/keys/victim2 type=rsa-2048
$line
$line" "$REFUSED.*none of its versions" && said 1 '"secret"'
}

# --- the server ---

sealed_server()
{
	local secret lines

	secret=$(random)
	lines=$(unwrap root 2 "$secret"; poll root 2)
	with "$(configure timeout=2; echo "$lines")
!$BAO_CLI operator seal
$lines
!$BAO_CLI operator unseal $(cat "$WORK/unseal") > /dev/null
!sleep 2
$lines" && said 2 "$AWAY.*sealed" && said 2 "$secret"
}

killed_server()
{
	local line

	line=$(unwrap root 2 "$(random)")
	stop_server
	with "$(configure timeout=2; echo "$line")" "$AWAY" || return
	start_server && with "$(configure; echo "$line")" '"secret"'
}

# The first of the two does not exist, and both do not.
endpoints()
{
	local line

	line=$(unwrap root 2 "$(random)")
	with "$(configure uri=openbao:https://127.0.0.1:9/transit/root \
		endpoints=$SERVER; echo "$line")" '"secret"' &&
		with "$(configure uri=openbao:https://127.0.0.1:9/transit/root \
			endpoints=https://127.0.0.1:10; echo "$line")" "$AWAY"
}

other_authority()
{
	with "$(configure ca-file=$WORK/other.pem timeout=2; look)" "$AWAY.*prove" &&
		with "$(configure ca-file=/nowhere timeout=2; look)" \
			"$REFUSED.*ca-file"
}

wrong_name()
{
	with "$(configure uri=openbao:https://127.0.0.2:8200/transit/root \
		timeout=2; look)" "$AWAY.*prove"
}

# daemon_on CONFIGURATION
daemon_on()
{
	rm -f "$WORK/sock"
	mkdir -p "$WORK/state"
	"$PROGRAMS/vaultringd" --config "$1" --user '' \
		--state "$WORK/state" --socket "$WORK/sock" \
		--libexec "$PROGRAMS" --no-kernel --debug 2> "$WORK/daemon.log" &
	DAEMON=$!
	wait_for [ -S "$WORK/sock" ]
}

daemon_off()
{
	local status

	kill $DAEMON && wait $DAEMON
	status=$?
	DAEMON=''
	cat "$WORK/daemon.log"
	[ $status -eq 0 ] && ! grep -iE "sanitizer|$(cat "$WORK/token")" "$WORK/daemon.log"
}

# As vaultring vault check has it.
daemon_checks()
{
	local status

	daemon_on "$WORK/vaultring.conf" &&
		$PYTHON "$HERE/worker_drive.py" call "$WORK/sock" VaultCheck \
			'{"vault":"bao"}' | tee /dev/stderr | grep latency_ms
	status=$?
	daemon_off && [ $status -eq 0 ]
}

says()
{
	wait_for grep -E -- "$1" "$WORK/daemon.log"
}

# envelope NAME VAULT=FINGERPRINT/METHOD
envelope()
{
	$PYTHON "$HERE/envelope_new.py" "$WORK/state/keks/$1@1.env" "$1" 1 "$2"
}

# Of a sealed key's fingerprint the worker knows nothing.
watched()
{
	{
		printf '[daemon]\non-refusal = revoke\n'
		section bao root token-file="$WORK/token" poll=1s
		section sealed kek method=sealed host-key=host \
			token-file="$WORK/sealed-token" poll=1s
	} > "$WORK/watch.conf"
	mkdir -p "$WORK/state/keks"
	envelope one "bao=$(spki_of root 1 | fingerprint)/$CLEAR" &&
		envelope two "sealed=$(random)/$SEALED" && daemon_on "$WORK/watch.conf" &&
		says "vault bao: looks again" && says "vault sealed: looks again" &&
		! grep -E 'kek (one|two): ' "$WORK/daemon.log"
}

daemon_revokes()
{
	local status
	local no='1 of its 1 vaults refuse it and it needs 1; it is revoked'

	watched &&
		operator write transit/keys/root/config min_decryption_version=2 &&
		says "kek one: $no" &&
		operator delete transit/keys/kek/soft-delete &&
		says "kek two: $no" &&
		operator write transit/keys/root/config min_decryption_version=1 &&
		operator write -f transit/keys/kek/soft-delete-restore &&
		says "kek one: its vaults agree again" &&
		says "kek two: its vaults agree again"
	status=$?
	daemon_off && [ $status -eq 0 ]
}

# A server that is sealed, and a token that ends meanwhile.
daemon_keeps()
{
	local status

	policy_token clear -explicit-max-ttl=15s > "$WORK/token"
	watched && operator operator seal &&
		says "vault bao: away" && says "vault sealed: away" &&
		sleep 16 && unseal && says "vault bao: .*token.*put a new one" &&
		says "vault sealed: .*back" &&
		! grep -E 'kek (one|two): ' "$WORK/daemon.log"
	status=$?
	new_token > "$WORK/token"
	daemon_off && [ $status -eq 0 ]
}

# --- sealed ---

released()
{
	local truth wrapped

	truth=$(exported kek 1)
	with "$(configure_sealed; release)" '"hash": ?"sha256"' || return
	wrapped=$(sed -n 's/.*"wrapped": *"\([0-9a-f]*\)".*/\1/p' "$REPLIES")
	[ ${#truth} -eq 64 ] &&
		[ "$(peer open "$WORK/host.key" "$wrapped")" = "$truth" ]
}

rotated_kek()
{
	local one two

	one=$(exported kek 1)
	operator write -f transit/keys/kek/rotate && two=$(exported kek 2) ||
		return
	[ "$one" != "$two" ] && releases kek "$two" &&
		releases kek "$one" key-version=1 sealed-1
}

# releases KEK TRUTH [SETTING] [POLICY]
releases()
{
	local wrapped

	[ -z "${4:-}" ] || policy_token "$4" > "$WORK/sealed-token"
	wrapped=$(configure_sealed ${3:-} | cat - <(release) | worker |
		sed -n 's/.*"wrapped": *"\([0-9a-f]*\)".*/\1/p')
	policy_token sealed > "$WORK/sealed-token"
	[ "$(peer open "$WORK/host.key" "$wrapped")" = "$2" ]
}

sealed_has_no_public_key()
{
	with "$(configure_sealed; look; poll)" &&
		said 2 '"method": ?"sealed"' && said 0 spki
}

# After a boot the kernel has another transport key.
other_transport()
{
	with "$(configure_sealed; release "$WORK/other-host.key")" \
		"$REFUSED.*transport key" "$HERE_TOO"
}

# Which an operator imports as a new version of the host key.
next_transport()
{
	with "$(configure_sealed; release)
!$BAO_CLI write transit/keys/host/import_version public_key=@$WORK/other-host.pub
$(release)
$(release "$WORK/other-host.key")
!$BAO_CLI write transit/keys/host/import_version public_key=@$WORK/host.pub
$(release)" && said 3 '"wrapped"' && said 1 "$REFUSED.*transport key"
}

not_exportable()
{
	with "$(configure_sealed token-file=$WORK/root-token \
		uri=openbao:$SERVER/transit/fixed; look; release; poll)" &&
		said 3 "$REFUSED.*not exportable"
}

host_key_gone()
{
	with "$(configure_sealed; poll)
!$BAO_CLI delete transit/keys/host/soft-delete
$(release)
$(poll)
!$BAO_CLI write -f transit/keys/host/soft-delete-restore
$(release)" '"wrapped"' && said 2 "$REFUSED.*host is deleted" || return
	with "$(configure_sealed host-key=nohost token-file=$WORK/root-token
		release)" "$REFUSED.*nohost is not there"
}

kek_gone()
{
	with "$(configure_sealed; poll)
!$BAO_CLI delete transit/keys/kek/soft-delete
$(release)
$(poll)
!$BAO_CLI write -f transit/keys/kek/soft-delete-restore
$(release)" && said 2 "$REFUSED.*kek is deleted" && said 1 '"wrapped"' &&
		said 0 '"here"'
}

methods_apart()
{
	with "$(configure; release)" "$REFUSED.*method is clear" &&
		with "$(configure_sealed; unwrap root 2)" "$REFUSED"
}

start

ok "the public key is the newest version's SubjectPublicKeyInfo" public_key
for bits in 2048 3072 4096; do
	ok "what OpenSSL encrypted for rsa-$bits is unwrapped" unwraps r$bits 1
done
ok "after a rotation old and new shares are unwrapped" rotated
ok "a version that may decrypt no more is refused" too_old
ok "and also when that has just changed" too_old_meanwhile
ok "key-version says which version new shares are for" version_setting
ok "a damaged ciphertext is invalid" damaged_ciphertext
ok "a share of another length is invalid" other_length
ok "a key that is not there is refused" \
	with "$(configure token-file=$WORK/any-token; look nothing)" \
	"$REFUSED.*nothing is not there"
ok "a key that cannot decrypt is refused" \
	with "$(configure token-file=$WORK/root-token; look kek)" \
	"$REFUSED.*aes256-gcm96" "$HERE_TOO"
ok "a key deleted softly is refused until it is restored" soft_deleted
ok "a deleted key is refused" deleted
ok "a key that took the place of another is refused" replaced

ok "a sealed server is away" sealed_server
ok "a dead server is away, and its return noticed" killed_server
ok "the next endpoint is asked when the first is away" endpoints
ok "a server of another authority is away" other_authority
ok "a server of another name is away" wrong_name
ok "the daemon checks such a vault" daemon_checks
ok "it revokes what the server refuses, clear or sealed" daemon_revokes
ok "an outage that is longer than a token lasts costs nothing" daemon_keeps

ok "a released key opens with the transport key, and is the vault's" released
ok "the newest version is released, or the one set" rotated_kek
ok "a sealed key has no public key" sealed_has_no_public_key
ok "a host key that is not the kernel's is told" other_transport
ok "the next boot's is imported as a new version" next_transport
ok "a key that is not exportable is refused" not_exportable
ok "without the host key nothing is released" host_key_gone
ok "a deleted key is not released" kek_gone
ok "a vault serves the one method that is set" methods_apart

ok "the sanitizers have found nothing" nothing_found
finish
