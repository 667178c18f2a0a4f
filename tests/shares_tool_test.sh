#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Clear and sealed shares through tools and daemon, with the vaults of
# soft_worker.py beside the token, and the transport key's life, for one boot and
# for more.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

CLEAR=/etc/vaultring/soft-clear.key
SEALED=/etc/vaultring/soft-sealed.key
SYMMETRIC=/etc/vaultring/soft-symmetric.key
LIBEXEC=/usr/libexec/vaultring
KEPT=/etc/vaultring/transport.key
LOADER=vaultring-transport.service

tidy()
{
	systemctl unmask --runtime $LOADER
	systemctl stop $LOADER
	rm -f $KEPT $CLEAR* $SEALED* $SYMMETRIC* $LIBEXEC/vault-soft
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
	echo "soft://hsm/keys/wraps/1 $(openssl rand -hex 32)" > $SYMMETRIC
	touch $SEALED.seen
	chown vaultring: $CLEAR $SEALED $SEALED.seen $SYMMETRIC
	# Where all is emulated the transport key takes long.
	cat >> $CONF << CONFIG

[tools]
timeout = 5m

[vault cloud]
uri = soft:$CLEAR
timeout = 20s

[vault released]
uri = soft:$SEALED
timeout = 20s

[vault wraps]
uri = soft:$SYMMETRIC
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

# Under emulation it may be made for longer than the tool waits.
show_key()
{
	vaultring transport show || vaultring transport show
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
	show_key > "$WORK/first.pem" &
	show_key > "$WORK/second.pem" &
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

# So long that it would have been made.
not_made_at_load()
{
	local made='.*transport key made in \([0-9]*\) ms.*' before

	dmesg | sed -n "s/$made/\\1/p" > "$WORK/made"
	before=$(tail -n 1 "$WORK/made")
	unload && modprobe vaultring && vaultring vault pin --load &&
		systemctl start vaultringd && sleep $((2 * before / 1000 + 3)) &&
		vaultring status &&
		dmesg | sed -n "s/$made/\\1/p" | cmp - "$WORK/made"
}

another_key()
{
	show_key > "$WORK/third.pem" &&
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

# The key's next version: another name, and another key.
rotated()
{
	cp -p $SYMMETRIC "$WORK/symmetric"
	echo "soft://hsm/keys/wraps/2 $(openssl rand -hex 32)" > $SYMMETRIC
	systemctl restart vaultringd
	fresh_unseal named 2>&1 | tee /dev/stderr |
		grep -q "vault wraps refused" || return
	cp -p $SYMMETRIC "$WORK/symmetric.2"
	cp -p "$WORK/symmetric" $SYMMETRIC
	systemctl restart vaultringd
	fresh_unseal named
}

pins_its_name()
{
	vaultring vault pin wraps | tee /dev/stderr | grep -q \
		"$(printf soft://hsm/keys/wraps/1 | sha256sum | cut -d ' ' -f 1)"
}

# The same KEK, for another vault in its place.
resealed()
{
	local id

	id=$(vaultring kek show both --json | grep -oE '"id": ?"[0-9a-f]+"') &&
		vaultring kek reseal both --vault known --vault wraps \
			--threshold 2 &&
		vaultring kek show both --json | grep "$id" &&
		fresh_unseal both && id_by_oracle both $KNOWN,$SYMMETRIC &&
		vaultring kek reseal both --vault known --vault cloud \
			--threshold 2
}

# --- kept across boots; a module that is loaded again knows as little ---

soon()
{
	local left=60

	until "$@"; do
		left=$((left - 1))
		[ $left -gt 0 ] || return
		sleep 1
	done
}

reload()
{
	unload && modprobe vaultring && systemctl reset-failed vaultringd &&
		systemctl start vaultringd
}

keep()
{
	vaultring transport keep "$@"
}

show()
{
	vaultring transport show > "$WORK/$1.pem" 2> "$WORK/$1.said"
}

kept()
{
	show before && keep --kek home > "$WORK/keep" 2>&1
	cat "$WORK/keep"
	grep -q "kept in $KEPT, under kek home" "$WORK/keep" &&
		grep -q "once per boot" "$WORK/keep" &&
		[ "$(stat -c '%a %U %s' $KEPT)" = "644 root 820" ] &&
		show kept && cmp "$WORK/before.pem" "$WORK/kept.pem" &&
		grep -q "kept across boots" "$WORK/kept.said" &&
		vaultring transport show --json | grep -q '"kept": "yes"'
}

oracle_opens()
{
	oracle transport "$(envelope_of home)" $KNOWN $KEPT > "$WORK/primes" &&
		openssl rsa -pubin -in "$WORK/kept.pem" -noout -modulus |
		sed 's/Modulus=/n=/' | tr '[:upper:]' '[:lower:]' |
		grep -qxFf - "$WORK/primes"
}

doctor_says()
{
	vaultring doctor | tee /dev/stderr | grep -q "$1"
}

last_word()
{
	dmesg | grep 'vaultring: transport key' | tail -n 1 | grep -q "$1"
}

same_after_reload()
{
	reload && soon systemctl -q is-active $LOADER &&
		show after && cmp "$WORK/kept.pem" "$WORK/after.pem" &&
		last_word loaded
}

# Nothing loads it: another one is made.
not_loaded()
{
	systemctl mask --runtime --now $LOADER
	reload && show other && ! cmp "$WORK/kept.pem" "$WORK/other.pem" &&
		grep -q "vaultring transport load" "$WORK/other.said" &&
		vaultring transport show --json | grep -q '"kept": "another"'
}

# What is made meanwhile is not wanted any more.
loaded_while_made()
{
	local shower

	reload && vaultring kek unseal home || return
	vaultring transport show > "$WORK/early.pem" 2> /dev/null &
	shower=$!
	sleep 0.2
	vaultring transport load || return
	wait $shower
	sleep 5
	show late && cmp "$WORK/kept.pem" "$WORK/late.pem" &&
		cmp "$WORK/kept.pem" "$WORK/early.pem" && last_word loaded
}

# changed BYTE CMD...: with that byte of the file another one.
changed()
{
	local status

	cp $KEPT "$WORK/copy"
	python3 -c "
import sys
data = bytearray(open('$KEPT', 'rb').read())
data[$1] ^= 1
open('$KEPT', 'wb').write(data)"
	shift
	"$@"
	status=$?
	cat "$WORK/copy" > $KEPT
	return $status
}

writable()
{
	local status

	chmod 666 $KEPT
	"$@"
	status=$?
	chmod 644 $KEPT
	return $status
}

# The envelope of its KEK is away, and comes back.
tries_until_it_can()
{
	local envelope

	envelope=$(envelope_of home)
	systemctl unmask --runtime $LOADER
	mv "$envelope" "$WORK/envelope"
	reload && systemctl -q is-active vaultringd &&
		soon eval "journalctl -b -u $LOADER | grep -q 'no envelope of its KEK'" &&
		! systemctl -q is-active $LOADER &&
		! vaultring kek unseal sealed
	set -- $?
	mv "$WORK/envelope" "$envelope"
	[ "$1" -eq 0 ] && soon systemctl -q is-active $LOADER &&
		fresh_unseal sealed
}

loader_exposure()
{
	systemd-analyze security --no-pager $LOADER > "$WORK/security"
	sed -n 's/.*Overall exposure level.*: \([0-9.]*\) .*/\1/p' \
		"$WORK/security" | tee /dev/stderr |
		awk '{ seen = 1; bad = $1 > 2.0 } END { exit bad || !seen }'
}

given_up()
{
	systemctl mask --runtime --now $LOADER
	reload && keep --kek home --force && show forced &&
		! cmp "$WORK/kept.pem" "$WORK/forced.pem" &&
		grep -q "kept across boots" "$WORK/forced.said" &&
		vaultring transport load && show again &&
		cmp "$WORK/forced.pem" "$WORK/again.pem"
}

must known_vault
must vaults
ok "the transport key comes to who asks last, whoever was killed meanwhile" \
	killed_askers
ok "the log says how long it took" made_in
ok "the module unloads while it is made" unloaded_while_made
ok "no key is made before somebody needs one" not_made_at_load
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

ok "a vault with a symmetric key passes its check" vaultring vault check wraps
refused "one that unwraps something else does not" "does not unwrap what" \
	with wrong $SYMMETRIC vaultring vault check wraps
refused "nor one that cannot unwrap what it wraps" "no proper answer" \
	with other $SYMMETRIC vaultring vault check wraps
refused "and is not trusted before it is pinned" "vault pin wraps" \
	create named --vault known --vault wraps --threshold 2
ok "the SHA-256 of its name is pinned" pins_its_name
refused "alone it guards nothing" "clear shares" create alone --vault wraps
refused "nor do two clear vaults" "clear shares" \
	create alone --vault cloud --vault wraps --threshold 2
ok "beside a token it does" \
	create named --vault known --vault wraps --threshold 2
ok "the oracle gets the same id" id_by_oracle named $KNOWN,$SYMMETRIC
ok "it unseals, and not with the key's next version" rotated
refused "a wrong secret is refused" "wrong|rejected" \
	with wrong $SYMMETRIC fresh_unseal named
refused "a share that was wrapped wrong does not unseal" "no proper answer" \
	with other $SYMMETRIC create spoilt --vault known --vault wraps \
	--threshold 2
ok "a KEK is resealed for it, and back" resealed

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
	"vaultring doctor | tee /dev/stderr | grep -c 'and is trusted' | grep -qx 5"
ok "a clear share is left in its worker, and nothing else is anywhere" \
	only_the_share_in_its_worker

status_is "it is to be said under which KEK to keep the key" 2 keep
refused "one that does not exist will not do" "there is none" keep --kek none
refused "nor one that is for data" "use transport" keep --kek both
ok "a KEK has that use when it is told so" \
	create home --vault known --use transport
ok "and is for nothing else" eval \
	"vaultring kek show home | grep -qE '^uses +transport$'"
refused "no data key has it" "takes one of" \
	vaultring dek new --kek home --use transport -o "$WORK/blob"
ok "a sealed vault can guard one, too" \
	create selfish --vault released --use transport
refused "which would wait for itself" "oblivious vaults alone" \
	keep --kek selfish
refused "before it is kept there is nothing to load" "no transport key is kept" \
	vaultring transport load
ok "it says that it is not kept" eval \
	"vaultring transport show 2>&1 > /dev/null | grep -q 'not kept'"
ok "it is kept" kept
ok "the oracle finds its primes in the file" oracle_opens
ok "it can be kept again" keep --kek home
ok "doctor knows" doctor_says "^ok .*kept in $KEPT, and loaded"
ok "after a boot it is the same" same_after_reload
ok "a KEK that was sealed for it unseals" fresh_unseal sealed
ok "systemd-analyze rates the loader 2.0 or better" loader_exposure
ok "if it is not loaded, that is said" not_loaded
refused "and no sealed vault is asked for another one" \
	"vault released was not asked .*vaultring transport load" \
	vaultring kek unseal sealed
refused "nor to be checked or pinned" \
	"was not asked: .*vaultring transport load" \
	vaultring vault check released
ok "others are" vaultring kek unseal home
ok "doctor says what to do" doctor_says "^wrong .*is not loaded"
refused "nor does another one take its place" "keeps another transport key" \
	keep --kek home
ok "it can be loaded by hand" vaultring transport load
ok "then they are asked" fresh_unseal sealed
ok "while one is being made, too" loaded_while_made
refused "a forged one is not taken" "forged or corrupt.*backup" \
	changed 500 vaultring transport load
refused "nor something else" "no kept transport key" \
	changed 1 vaultring transport load
refused "nor one under an unknown KEK" "no envelope of its KEK" \
	changed 9 vaultring transport load
refused "nor one that anybody could have written" "others than root" \
	writable vaultring transport load
ok "the kernel has the right one all the while" eval \
	"show still && cmp $WORK/kept.pem $WORK/still.pem"
ok "a boot does not wait for its KEK, and it is loaded once that is there" \
	tries_until_it_can
ok "it can be given up for another one" given_up
finish
