#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Clear and sealed shares through tools and daemon, with the vaults of
# soft_worker.py beside the token, and the transport key's life.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

CLEAR=/etc/vaultring/soft-clear.key
SEALED=/etc/vaultring/soft-sealed.key
LIBEXEC=/usr/libexec/vaultring

tidy()
{
	rm -f $CLEAR* $SEALED* $LIBEXEC/vault-soft
	[ ! -e "$WORK/conf" ] || cat "$WORK/conf" > $CONF
	[ ! -e "$WORK/pins" ] || cat "$WORK/pins" > /etc/vaultring/pins
	modprobe vaultring
	vaultring vault pin --load
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
}

# The worker writes beside its keys.
vaults()
{
	cp $CONF "$WORK/conf"
	cp /etc/vaultring/pins "$WORK/pins"
	# Under its own name, which env(1) would take from it.
	sed '1s,.*,#!/usr/bin/python3,' "$HERE/soft_worker.py" \
		> $LIBEXEC/vault-soft && chmod 755 $LIBEXEC/vault-soft
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
		-out $CLEAR && openssl rand -hex 32 > $SEALED || return
	touch $SEALED.seen
	chown vaultring: $CLEAR $SEALED $SEALED.seen
	cat >> $CONF << CONFIG

[vault cloud]
uri = soft:$CLEAR
timeout = 20s

[vault released]
uri = soft:$SEALED
timeout = 20s
CONFIG
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
}

# mode FILE WORD
mode()
{
	echo "$2" > "$1.mode"
	chmod 644 "$1.mode"
}

create()
{
	KEKS+=("$1")
	vaultring kek create "$@"
}

fresh_unseal()
{
	vaultring kek revoke "$1"
	vaultring kek unseal "$1"
}

# with MODE FILE CMD...: the vault behaves so while the command runs.
with()
{
	local file=$2 status

	mode "$file" "$1"
	shift 2
	"$@"
	status=$?
	rm -f "$file.mode"
	return $status
}

id_by_oracle()
{
	local id

	id=$(oracle verify "$(envelope_of "$1")" "$2" | sed -n 's/^id=//p')
	echo "oracle: $id"
	[ -n "$id" ] && vaultring kek show "$1" --json | grep -q "\"$id\""
}

shows_methods()
{
	vaultring kek show both | tee /dev/stderr > "$WORK/show"
	grep -qE '^share 1 +vault known, oblivious, key [0-9a-f]{64}$' \
		"$WORK/show" &&
		grep -qE '^share 2 +vault cloud, clear, key [0-9a-f]{64}$' \
			"$WORK/show"
}

unload()
{
	local left=20

	systemctl stop vaultringd
	until rmmod vaultring; do
		left=$((left - 1))
		[ $left -gt 0 ] || return
		sleep 1
	done
}

# None of those that ask first lives to get it.
killed_askers()
{
	local pids='' pid

	unload && modprobe vaultring || return
	for _ in 1 2 3; do
		vaultring transport show > /dev/null 2>&1 &
		pids="$pids $!"
	done
	sleep 0.5
	kill -9 $pids
	for pid in $pids; do
		wait "$pid"
		[ $? -eq 137 ] || return
	done
	vaultring transport show > "$WORK/first.pem" &
	vaultring transport show > "$WORK/second.pem" &
	wait
	cat "$WORK/first.pem"
	[ -s "$WORK/first.pem" ] && cmp "$WORK/first.pem" "$WORK/second.pem"
}

made_in()
{
	dmesg | grep 'vaultring: transport key made in' | tail -n 1 |
		tee /dev/stderr | grep -q '[1-9][0-9]* ms, [1-9][0-9]* candidates'
}

# The module does not wait for what nobody needs any more.
unloaded_while_made()
{
	local start

	unload && modprobe vaultring || return
	vaultring transport show > /dev/null 2>&1 &
	sleep 1
	kill $!
	wait
	start=$SECONDS
	unload || return
	echo "unloaded in $((SECONDS - start)) s"
	modprobe vaultring && vaultring vault pin --load &&
		systemctl start vaultringd
}

another_key()
{
	vaultring transport show > "$WORK/third.pem" &&
		! cmp "$WORK/first.pem" "$WORK/third.pem"
}

# The three ways to show it agree, and OpenSSL reads two of them.
shown_alike()
{
	vaultring transport show --jwk > "$WORK/jwk" &&
		vaultring transport show --json > "$WORK/json" &&
		vaultring transport show --pem > "$WORK/pem" || return
	python3 - "$WORK" << 'PYTHON'
import base64, hashlib, json, sys
from cryptography.hazmat.primitives import serialization as s
folder = sys.argv[1]
pem = open(folder + "/pem", "rb").read()
jwk, whole = (json.load(open(f"{folder}/{n}")) for n in ("jwk", "json"))
key = s.load_pem_public_key(pem)
number = lambda t: int.from_bytes(base64.urlsafe_b64decode(t + "=="), "big")
assert (number(jwk["n"]), number(jwk["e"])) == (
    key.public_numbers().n, key.public_numbers().e)
assert key.key_size == 3072 and "=" not in jwk["n"] and jwk["e"] == "AQAB"
assert jwk["alg"] == "RSA-OAEP-256" and jwk["kty"] == "RSA"
thumb = json.dumps({k: jwk[k] for k in ("e", "kty", "n")},
                   separators=(",", ":")).encode()
kid = base64.urlsafe_b64encode(hashlib.sha256(thumb).digest()).rstrip(b"=")
assert jwk["kid"] == kid.decode()
der = key.public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)
assert whole["pem"].encode() == pem and whole["jwk"] == jwk
assert whole["fingerprint"] == hashlib.sha256(der).hexdigest()
PYTHON
}

# It asked for the kernel's key each time, and with another nonce each time.
fresh_nonces()
{
	cut -d ' ' -f 1 $SEALED.seen | sort > "$WORK/nonces"
	[ "$(wc -l < "$WORK/nonces")" -gt 3 ] &&
		[ -z "$(uniq -d "$WORK/nonces")" ] || return
	openssl pkey -pubin -in "$WORK/third.pem" -outform DER | od -An -v -tx1 |
		tr -d ' \n' > "$WORK/spki"
	[ "$(cut -d ' ' -f 2 $SEALED.seen | sort -u)" = "$(cat "$WORK/spki")" ]
}


# The daemon has had it in its hands, too.
only_the_share_in_its_worker()
{
	fresh_unseal both || return
	python3 "$HERE/hunt.py" --kek "$(envelope_of both)" $KNOWN,$CLEAR \
		> "$WORK/hunt"
	[ $? -ne 1 ] && cat "$WORK/hunt" || return
	# More would not be shown.
	[ "$(sed -n 's/^processes=.* hits=//p' "$WORK/hunt")" -le 40 ] &&
		! grep '^found: ' "$WORK/hunt" |
			grep -v '^found: share secret 2.*(vault-soft)'
}

must known_vault
must vaults
ok "the transport key comes to who asks last, whoever was killed meanwhile" \
	killed_askers
ok "the log says how long it took" made_in
ok "the module unloads while it is made" unloaded_while_made
ok "the next one is another" another_key
ok "PEM, JWK and JSON are of one key" shown_alike
status_is "two words are a usage error" 2 vaultring transport show it

ok "a clear vault passes its check" vaultring vault check cloud
refused "one that gives other secrets does not" "wrong answer" \
	with wrong $CLEAR vaultring vault check cloud
refused "and is not trusted before it is pinned" "vault pin cloud" \
	create both --vault known --vault cloud --threshold 2
ok "it is pinned" vaultring vault pin cloud
refused "alone it guards nothing" "clear shares" create alone --vault cloud
refused "nor as one of two" "clear shares" \
	create alone --vault known --vault cloud --threshold 1
ok "beside a token it does" \
	create both --vault known --vault cloud --threshold 2
ok "kek show says which is what" shows_methods
ok "the oracle gets the same id" id_by_oracle both $KNOWN,$CLEAR
ok "it unseals" fresh_unseal both
refused "a wrong secret is refused" "wrong|rejected" \
	with wrong $CLEAR fresh_unseal both
refused "a vault that is away is named" "vault cloud is away" \
	with away $CLEAR fresh_unseal both
refused "one that refuses too" "vault cloud refused" \
	with refuse $CLEAR fresh_unseal both

ok "a sealed vault passes its check" vaultring vault check released
refused "not if it releases for somebody else's key" "released" \
	with own $SEALED vaultring vault check released
refused "nor if it does not wrap" "kernel refused" \
	with plain $SEALED vaultring vault check released
refused "it is not trusted before it is pinned" "vault pin released" \
	create sealed --vault released
ok "it is pinned" vaultring vault pin released
ok "pinning it again changes nothing" vaultring vault pin released
ok "alone it guards a KEK" create sealed --vault released
ok "the oracle gets the same id from its key" id_by_oracle sealed $SEALED
ok "it unseals" fresh_unseal sealed
ok "with SHA-384, too" with sha384 $SEALED fresh_unseal sealed
refused "another key of that vault's is refused" "wrong|rejected" \
	with wrong $SEALED fresh_unseal sealed
refused "so is one for somebody else" "wrong|rejected" \
	with own $SEALED fresh_unseal sealed
refused "and one that is not wrapped" "wrong|rejected" \
	with plain $SEALED fresh_unseal sealed
ok "a task has it unsealed" eval "vaultring kek revoke sealed;
	keyctl request2 vault-kek sealed '' @s"
ok "every release had its own nonce and the kernel's key" fresh_nonces
ok "three methods, two of which are needed" create all --vault cloud \
	--vault released --vault known --threshold 2
ok "it unseals without the token's" fresh_unseal all
ok "it unseals without the cloud" with away $CLEAR fresh_unseal all
ok "doctor is content with both" eval \
	"vaultring doctor | tee /dev/stderr | grep -c 'and is trusted' | grep -qx 4"
ok "a clear share is left in its worker, and nothing else is anywhere" \
	only_the_share_in_its_worker
finish
