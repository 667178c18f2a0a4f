#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The TPM worker against a software TPM of its own.  Needs no module and changes
# nothing outside of its folder.
#
# PROGRAMS names the folder of vaultringd and vault-tpm2; without it they are
# built with ASan and UBSan.

# shellcheck disable=SC2059,SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/tpm_lib.sh"

# Of each key the attributes that matter, as the TPM's own tools show them.
attributes_are()
{
	tpm2_readpublic -c "$1" > "$WORK/public"
	cat "$WORK/public"
	[ "$(sed -n '/^attributes:/,/^ *raw/s/^ *value: //p' \
		"$WORK/public")" = "$2" ]
}

same_spki()
{
	local spki

	spki=$(tpm2_readpublic -Q -c $PLAIN -f der -o "$WORK/key.der" >&2 &&
		hex < "$WORK/key.der") &&
		with "$(configure $PLAIN; echo "$public")" "\"spki\": ?\"$spki\""
}

# One x in 256 begins with a zero, which a TPM may leave out: find such a point.
short_x()
{
	tpm2_readpublic -Q -c $PLAIN -f pem -o "$WORK/key.pub" >&2 || return
	read -r POINT2 TRUTH2 < <($PYTHON - "$WORK/key.pub" << 'PYTHON'
import sys
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
with open(sys.argv[1], "rb") as file:
    vault = serialization.load_pem_public_key(file.read())
while True:
    peer = ec.generate_private_key(ec.SECP256R1())
    x = peer.exchange(ec.ECDH(), vault)
    if x[0] == 0:
        break
point = peer.public_key().public_bytes(
    serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
print(point[1:].hex(), x.hex())
PYTHON
	)
	with "$(configure $PLAIN; exchange "" "" "$POINT2")" "${right}00" \
		"$right$TRUTH2"
}

keeps_nothing()
{
	tpm2_getcap handles-transient > "$WORK/handles" &&
		tpm2_getcap handles-loaded-session >> "$WORK/handles" || return
	cat "$WORK/handles"
	[ ! -s "$WORK/handles" ]
}

to_file()
{
	makes_key "$KEY_FILE" "$@" > "$WORK/made" || { cat "$WORK/made"; return 1; }
	sed -n 's/.*"file": *"\([0-9a-f]*\)".*/\1/p' "$WORK/made" | xxd -r -p \
		> "$KEY_FILE"
	sed -n 's/.*"spki": *"\([0-9a-f]*\)".*/\1/p' "$WORK/made" | xxd -r -p \
		> "$WORK/file.der"
	[ -s "$KEY_FILE" ] && [ "$(wc -c < "$WORK/file.der")" -eq 91 ]
}

file_agrees()
{
	local want

	want=$(openssl pkeyutl -derive -inkey "$WORK/peer.pem" -pubin \
		-keyform PEM -peerkey <(openssl pkey -pubin -inform DER \
		-in "$WORK/file.der") | hex)
	echo "$want"
	with "$(configure "$KEY_FILE" "$@"; exchange; exchange)" "$right$want"
}

# --- what goes wrong ---

# refuses PATTERN CONFIGURE-ARGUMENT...: an exchange is, and says why.
refuses()
{
	local pattern=$1

	shift
	with "$(configure "$@"; exchange)" "\"refused\".*$pattern"
}

inits_refused()
{
	local pattern=$1

	shift
	with "$(configure "$@"; echo "$init")" "\"refused\".*$pattern"
}

no_such_pcrs()
{
	tpm2_pcrallocate sha1:none+sha256:all+sha512:none && tpm_reboot &&
		inits_refused "does not have the PCRs sha512:7" $NEW \
			pcrs sha512:7
}

garbage_uri()
{
	local uri status=0

	for uri in '' handle= handle=0x81000100x handle=81000100 handle=0x80000001 \
		handle=0x81800000 handle=0x181000100 handle=-1 file= file=key.tpm \
		handle=0x81000100\;file=/a handle=0x81000100\;handle=0x81000101 \
		handle file=/%zz file=/a%00b file=/%0a colour=red \
		"file=/$(printf %0300d 0)" ; do
		with "{\"id\":1,\"op\":\"configure\",\"settings\":{\"uri\":\"tpm2:$uri\"}}
$init" '"refused".*uri.*"id": ?1' '"refused".*"id": ?2' || status=1
	done
	for uri in tcti=cmd:sh tcti=/lib/x.so tcti=device:/etc/passwd tcti= tcti \
		x=y 'tcti=swtpm:&tcti=swtpm:'; do
		with "{\"id\":1,\"op\":\"configure\",\"settings\":{\"uri\":\"tpm2:handle=$PLAIN?$uri\"}}" \
			'"refused".*uri' || status=1
	done
	return $status
}

garbage_settings()
{
	local pcrs status=0

	for pcrs in '' 7 sha256 sha256: sha256:24 'sha256:7,' sha256:-1 md5:7 \
		sha256:7x 'sha256: 7' sha256:7,,8 sha256:99999999999999999999; do
		with "$(configure $PLAIN pcrs "$pcrs")" '"refused".*pcrs' ||
			status=1
	done
	with "$(configure $PLAIN pin-source pin)" '"refused".*full path' &&
		with "$(configure $PLAIN pin-sauce /pin)" '"refused".*pin-sauce' &&
		return $status
}

odd_pins()
{
	local status=0

	: > "$PIN_FILE"
	refuses "does not hold a PIN" $PINNED pin-source "$PIN_FILE" || status=1
	printf %033d 0 > "$PIN_FILE"
	refuses "longer than 32" $PINNED pin-source "$PIN_FILE" || status=1
	echo 1234 > "$PIN_FILE"
	chmod 604 "$PIN_FILE"
	refuses "chmod" $PINNED pin-source "$PIN_FILE" || status=1
	chmod 600 "$PIN_FILE"
	refuses "cannot read the PIN" $PINNED pin-source /nowhere || status=1
	[ "$(lockout_counter)" = 0x0 ] && return $status
}

# In one worker, so that it can remember.
wrong_pin_once()
{
	local i

	forget_failures
	echo 9999 > "$PIN_FILE"
	with "$(configure $PINNED pin-source "$PIN_FILE"
		for i in $(seq 40); do exchange; done)
!echo 8888 > $PIN_FILE
$(for i in $(seq 40); do exchange; done)
!echo 1234 > $PIN_FILE
$(exchange)" '"refused".*refused the PIN in' 'has not changed since' \
		"$right$(truth $PINNED)" > "$WORK/once" || {
			cat "$WORK/once"
			return 1
		}
	echo 1234 > "$PIN_FILE"
	tail -n 3 "$WORK/once"
	lockout_counter
	[ "$(grep -c '"refused"' "$WORK/once")" -eq 80 ] &&
		[ "$(lockout_counter)" = 0x2 ] && forget_failures
}

# A check that somebody asks for tries again, once.
wrong_pin_check()
{
	local fresh

	fresh=$(exchange | sed 's/"op"/"fresh":true,"op"/')
	echo 9999 > "$PIN_FILE"
	with "$(configure $PINNED pin-source "$PIN_FILE"; exchange; exchange
		echo "$fresh"; exchange)" '"refused"'
	echo 1234 > "$PIN_FILE"
	[ "$(lockout_counter)" = 0x2 ] && forget_failures
}

# The key has a PIN and nobody said where it is.
no_pin_once()
{
	with "$(configure $PINNED; exchange; exchange; exchange)" \
		'"refused".*wants a PIN; set pin-source' || return
	[ "$(lockout_counter)" = 0x1 ] && forget_failures
}

other_without_pin()
{
	with "$(configure $PLAIN; exchange "" $PINNED; exchange
		exchange "" $PINNED)" \
		'"refused".*wants a PIN' "$right$(truth $PLAIN)" || return
	[ "$(lockout_counter)" = 0x1 ] && forget_failures
}

wrong_pin_bound()
{
	echo 9999 > "$PIN_FILE"
	with "$(configure $BOTH pcrs sha256:16,23 pin-source "$PIN_FILE"
		exchange; exchange)
!echo 1234 > $PIN_FILE
$(exchange)" '"refused".*refused the PIN' "$right$(truth $BOTH)"
	set -- $?
	echo 1234 > "$PIN_FILE"
	[ "$(lockout_counter)" = 0x1 ] && forget_failures && return "$1"
}

locked()
{
	local i

	tpm2_dictionarylockout --setup-parameters --max-tries=3 \
		--recovery-time=77 --lockout-recovery-time=1 || return
	for i in 1 2 3 4; do
		echo "wrong$i" > "$PIN_FILE"
		refuses "PIN" $PINNED pin-source "$PIN_FILE"
	done
	echo 1234 > "$PIN_FILE"
	refuses "locked the key.*77 s.*tpm2_dictionarylockout" $PINNED \
		pin-source "$PIN_FILE"
}

unlocked()
{
	forget_failures && agrees $PINNED pin-source "$PIN_FILE"
}

pcr_changed()
{
	extend 23 && refuses "PCRs sha256:16,23 are not what they were" $BOUND \
		pcrs sha256:16,23 && refuses "PCRs sha256:16,23" $BOTH \
		pcrs sha256:16,23 pin-source "$PIN_FILE" &&
		[ "$(lockout_counter)" = 0x0 ]
}

pcr_back()
{
	tpm_reboot && agrees $BOUND pcrs sha256:16,23
}

same_worker()
{
	with "$(configure $PLAIN; exchange)
!kill -${1} $TPM
$(exchange; exchange)" "$right" '"away"' && tpm_reboot && agrees $PLAIN
}

# Off and on again between two requests to the same worker.
away_and_back()
{
	local want

	cat > "$WORK/again" << END
pid=\$(cat $WORK/tpm.pid)
kill \$pid
while kill -0 \$pid 2> /dev/null; do sleep 0.1; done
swtpm socket --tpm2 --tpmstate dir=$STATE --daemon \\
	--server type=tcp,port=$PORT,bindaddr=127.0.0.1 \\
	--ctrl type=tcp,port=$((PORT + 1)),bindaddr=127.0.0.1 \\
	--flags not-need-init,startup-clear --pid file=$WORK/tpm.pid
END
	want=$(truth $PLAIN)
	with "$(configure $PLAIN; exchange)
!sh $WORK/again
$(exchange)" "$right$want" > "$WORK/both"
	cat "$WORK/both"
	[ "$(grep -c "$want" "$WORK/both")" -eq 2 ]
	set -- $? "$(cat "$WORK/tpm.pid")"
	kill "$2"
	while kill -0 "$2" 2> /dev/null; do sleep 0.1; done
	tpm_off
	tpm_on && return "$1"
}

# Another key under the same handle: an old memory of it would cost a PIN.
replaced()
{
	with "$(configure $NEW; echo "$init"; echo "$public")
!timeout 10 tpm2_evictcontrol -Q -C o -c $NEW
$(echo "$init"; echo "$public"; exchange)" "$right" > "$WORK/replaced"
	cat "$WORK/replaced"
	tpm2_evictcontrol -Q -C o -c $NEW
	sed -n 's/.*"spki": *"\([0-9a-f]*\)".*/\1/p' "$WORK/replaced" |
		uniq -c | awk '{ print $1; n += $1 == 2 } END { exit n != 2 }'
}

missing_device()
{
	local uri="tpm2:handle=$PLAIN?tcti=device:/dev/shm/vaultring-none"

	with "{\"id\":1,\"op\":\"configure\",\"settings\":{\"uri\":\"$uri\"}}
$(exchange)" '"away".*no TPM 2.0 at /dev/shm/vaultring-none.*firmware'
}

forbidden_device()
{
	local path=/dev/shm/vaultring-$$ status

	install -m 000 -o 1 /dev/null $path
	with "{\"id\":1,\"op\":\"configure\",\"settings\":{\"uri\":\"tpm2:handle=$PLAIN?tcti=device:$path\"}}
$(exchange)" '"away".*may not use.*tpm2.conf'
	status=$?
	rm -f $path
	return $status
}

no_tpm_behind()
{
	with "{\"id\":1,\"op\":\"configure\",\"settings\":{\"uri\":\"tpm2:handle=$PLAIN?tcti=device:/dev/null\"}}
$(exchange; exchange)" '"away"'
}

# could TCTI: what a library did there, and what it did not.
could()
{
	local uri="tpm2:handle=$PLAIN?tcti=$1"

	printf '%s\n' "{\"id\":1,\"op\":\"configure\",\"settings\":{\"uri\":\"$uri\"}}" \
		"$(exchange)" | LD_LIBRARY_PATH=$WORK/bad worker \
		> "$WORK/could" 2>&1
	cat "$WORK/could"
	grep '"away"' "$WORK/could" &&
		[ "$(grep -c ': EPERM$' "$WORK/could")" -eq "$2" ] &&
		grep 'netlink: \(EPERM\|EAFNOSUPPORT\)' "$WORK/could" &&
		[ ! -e /tmp/bad_tcti ] &&
		[ "$(grep -c ': done$' "$WORK/could")" -eq "$3" ]
}

damaged_file()
{
	head -c 100 "$KEY_FILE" > "$WORK/cut.tpm"
	refuses "not a TPM's key" "$WORK/cut.tpm" || return
	cat "$KEY_FILE" "$PIN_FILE" > "$WORK/long.tpm"
	refuses "not a TPM's key" "$WORK/long.tpm" || return
	head -c 4000 /dev/urandom > "$WORK/random.tpm"
	refuses "random.tpm" "$WORK/random.tpm" || return
	$PYTHON -c "
import sys
data = bytearray(open('$KEY_FILE', 'rb').read())
data[-1] ^= 1
open('$WORK/flip.tpm', 'wb').write(data)"
	refuses "another TPM|cleared" "$WORK/flip.tpm"
}

wrong_keys_set_up()
{
	local both=fixedtpm\|fixedparent\|sensitivedataorigin\|userwithauth

	storage_key && foreign_key 0x81000120 ecc256 "$GOOD" &&
		foreign_key 0x81000121 ecc256 "$both|sign|decrypt" &&
		foreign_key 0x81000122 ecc256 "$both|sign" &&
		foreign_key 0x81000123 ecc256 \
			'sensitivedataorigin|userwithauth|decrypt' &&
		foreign_key 0x81000124 ecc384 "$GOOD" &&
		foreign_key 0x81000125 rsa2048 "$GOOD" &&
		foreign_key 0x81000126 ecc256:aes128cfb "$both|restricted|decrypt" &&
		imported_key 0x81000127
}

cleared_handle()
{
	clear_tpm && refuses "does not have the key $PLAIN.*cleared" $PLAIN
}

owner_with_password()
{
	local status

	tpm2_changeauth -c owner secret
	inits_refused "owner has a password.*tpm2-tools" $NEW
	status=$?
	tpm2_changeauth -c owner -p secret
	return $status
}

begin
refused_before="with the key missing it is refused, and says what to do"
ok "$refused_before" refuses "does not have the key $PLAIN.*vault init" $PLAIN
ok "init makes a key under a handle" makes_key $PLAIN
ok "an exchange equals OpenSSL's ECDH" agrees $PLAIN
ok "an x that begins with zeros has 32 bytes" short_x
ok "the public key is that of tpm2_readpublic" same_spki
ok "nothing is left in the TPM" keeps_nothing
ok "the key may decrypt, cannot leave, and nobody's PINs lock it" \
	attributes_are $PLAIN \
	"fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|decrypt"
ok "init refuses where a key is" inits_refused "there is a key $PLAIN already" \
	$PLAIN
ok "a key with a PIN is made" makes_key $PINNED pin-source "$PIN_FILE"
ok "it works with the PIN" agrees $PINNED pin-source "$PIN_FILE"
ok "wrong PINs count for it" attributes_are $PINNED \
	"fixedtpm|fixedparent|sensitivedataorigin|userwithauth|decrypt"
ok "a key bound to PCRs is made" makes_key $BOUND pcrs sha256:16,23
ok "it works while they are what they were" agrees $BOUND pcrs sha256:16,23
ok "it cannot be used without them" attributes_are $BOUND \
	"fixedtpm|fixedparent|sensitivedataorigin|adminwithpolicy|noda|decrypt"
ok "a key bound to PCRs and a PIN is made" \
	makes_key $BOTH pcrs sha256:16,23 pin-source "$PIN_FILE"
ok "it works with both" agrees $BOTH pcrs sha256:16,23 pin-source "$PIN_FILE"
ok "PCRs that the TPM does not have are refused at init" no_such_pcrs
ok "a key for a file is made, and not kept in the TPM" to_file
ok "a key in a file works" file_agrees
ok "init refuses where a file is" inits_refused "exists already" "$KEY_FILE"
ok "a damaged key file is refused" damaged_file
ok "another key is named by its handle" \
	with "$(configure "$KEY_FILE"; exchange "" $PLAIN)" "$right$(truth $PLAIN)"
ok "another key cannot be a file" \
	with "$(configure $PLAIN; exchange "" "$KEY_FILE")" '"refused".*handle'
ok "a fingerprint that differs is refused" \
	with "$(configure $PLAIN; exchange "$(fingerprint $PINNED)")" \
	"\"refused\".*$(fingerprint $PLAIN)"
ok "URIs that say nothing sensible are refused" garbage_uri
ok "settings that say nothing sensible are refused" garbage_settings
ok "a point that is not on the curve is invalid" \
	with "$(configure $PLAIN; exchange "" "" "${POINT//[0-7]/8}"
		exchange)" '"invalid"' "$right$(truth $PLAIN)"

ok "PINs that are none never reach the TPM" odd_pins
ok "a wrong PIN is tried once, however often it is asked" wrong_pin_once
ok "a check tries it once more" wrong_pin_check
ok "a key that wants a PIN is tried once without" no_pin_once
ok "another key that wants none goes on working" other_without_pin
ok "a key bound to PCRs refuses a wrong PIN" wrong_pin_bound
ok "a TPM that has locked itself says so, and for how long" locked
ok "others than that key go on working" agrees $PLAIN
ok "unlocked, it works" unlocked
ok "with other PCRs it is refused, and no PIN counts" pcr_changed
ok "others than that key go on working" agrees $PLAIN
ok "when the PCRs are back it works" pcr_back
ok "pcrs for a key that is not bound are refused" \
	refuses "made without them" $PLAIN pcrs sha256:16
ok "a bound key without pcrs is refused" refuses "name them with pcrs" $BOUND
ok "other pcrs than the key's are refused" \
	refuses "in vaultring.conf were others" $BOUND pcrs sha256:16
ok "a PIN for a key bound without one is refused" \
	refuses "in vaultring.conf were others" $BOUND pcrs sha256:16,23 \
	pin-source "$PIN_FILE"

ok "keys of all kinds are there" wrong_keys_set_up
ok "a proper key that others made works" agrees 0x81000120
ok "a key that may sign as well is refused" refuses "may sign" 0x81000121
ok "a key that may only sign is refused" refuses "may not do ECDH" 0x81000122
ok "a key that can be copied is refused" refuses "fixedTPM" 0x81000123
ok "a key on P-384 is refused" refuses "P-256" 0x81000124
ok "an RSA key is refused" refuses "P-256" 0x81000125
ok "a storage key is refused" refuses "may not do ECDH" 0x81000126
ok "a key that was imported is refused" refuses "fixedTPM" 0x81000127
ok "its public key is refused, too" \
	with "$(configure 0x81000127; echo "$public")" '"refused".*fixedTPM'

ok "a TPM that ends is away, and comes back" same_worker TERM
ok "a TPM that is killed is away, and comes back" same_worker KILL
ok "the worker notices neither end nor start" away_and_back
ok "it notices a key that is replaced" replaced
ok "a missing device is away" missing_device
ok "a device that it may not use is away, and says what to do" forbidden_device
ok "a device that is no TPM is away" no_tpm_behind
ok "with a device it can do nothing but use that" could device:/dev/null 10 0
ok "with a socket it can make one, and nothing else" could swtpm:port=1 8 1
ok "nothing is left in the TPM" keeps_nothing
ok "an owner with a password is named" owner_with_password

ok "a TPM that was cleared has lost the key" cleared_handle
ok "a key in a file is lost with it" \
	refuses "another TPM than this, before this one was cleared" "$KEY_FILE"
finish
