#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The TPM worker against a software TPM of its own.  Needs no module and changes
# nothing outside of its folder.
#
# PROGRAMS names the folder of vaultringd and vault-tpm2; without it they are
# built with ASan and UBSan.

# shellcheck disable=SC2059,SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

REPO=$(cd "$HERE/.." && pwd)
PYTHON=/usr/bin/python3
DRIVE="$PYTHON $HERE/worker_drive.py"
SOCKET=$WORK/sock
PIN_FILE=$WORK/pin
KEY_FILE=$WORK/key.tpm
STATE=$WORK/state
TPM=
PROXY=
DAEMON=
REAL=
# Handles
PLAIN=0x81000100 PINNED=0x81000101 BOUND=0x81000102 BOTH=0x81000103
NEW=0x81000110

build()
{
	local name

	if [ -z "${PROGRAMS:-}" ]; then
		PROGRAMS=$REPO/build/sanitized
		make -s -j"$(nproc)" -C "$REPO/daemon" SANITIZE=1 \
			BUILD="$PROGRAMS" || return
	fi
	mkdir "$WORK/bad"
	for name in device swtpm; do
		cc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -fPIC \
			-shared -o "$WORK/bad/libtss2-tcti-$name.so.0" \
			"$HERE/bad_tcti.c" || return
	done
}

# --- the TPM ---

# Two ports of this machine's own, the second for what is not a TPM command.
find_ports()
{
	PORT=$($PYTHON -c '
import socket
while True:
    one, two = socket.socket(), socket.socket()
    one.bind(("127.0.0.1", 0))
    port = one.getsockname()[1]
    try:
        two.bind(("127.0.0.1", port + 1))
    except OSError:
        continue
    print(port)
    break')
	TCTI=swtpm:host=127.0.0.1,port=$PORT
	export TPM2TOOLS_TCTI=$TCTI
}

tpm_on()
{
	local left=100

	mkdir -p "$STATE"
	swtpm socket --tpm2 --tpmstate "dir=$STATE" \
		--server "type=tcp,port=$PORT,bindaddr=127.0.0.1" \
		--ctrl "type=tcp,port=$((PORT + 1)),bindaddr=127.0.0.1" \
		--flags not-need-init,startup-clear --pid "file=$WORK/tpm.pid" \
		>> "$WORK/swtpm.log" 2>&1 &
	TPM=$!
	until tpm2_getrandom --hex 4 > /dev/null 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || { cat "$WORK/swtpm.log"; return 1; }
		sleep 0.1
	done
}

tpm_off()
{
	[ -z "$TPM" ] || { kill "$TPM"; wait "$TPM"; }
	TPM=
}

# The PCRs are zero again, and what is not persistent is gone.  Without the
# shutdown a PIN would count as wrong.
tpm_reboot()
{
	[ -z "$TPM" ] || ! kill -0 "$TPM" || tpm2_shutdown --clear
	tpm_off
	tpm_on
}

extend()
{
	tpm2_pcrextend "$1:sha256=$(printf %064d 1)"
}

clear_tpm()
{
	tpm2_clear -c p
}

lockout_counter()
{
	tpm2_getcap properties-variable |
		sed -n 's/^TPM2_PT_LOCKOUT_COUNTER: //p'
}

forget_failures()
{
	tpm2_dictionarylockout --clear-lockout
}

storage_key()
{
	tpm2_createprimary -Q -C o -g sha256 -G ecc256:aes128cfb -a "$SRK" \
		-c "$WORK/srk.ctx" && tpm2_flushcontext -t
}

SRK='fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt'
GOOD='fixedtpm|fixedparent|sensitivedataorigin|userwithauth|decrypt'

# foreign_key HANDLE ALGORITHM ATTRIBUTES: made with tpm2-tools.
foreign_key()
{
	tpm2_create -Q -C "$WORK/srk.ctx" -g sha256 -G "$2" -a "$3" \
		-u "$WORK/u" -r "$WORK/r" -c "$WORK/k.ctx" &&
		tpm2_flushcontext -t && tpm2_evictcontrol -Q -C o -c "$WORK/k.ctx" "$1" &&
		tpm2_flushcontext -t
}

# A key that came from outside, wrapped for this TPM.
imported_key()
{
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
		-out "$WORK/imported.pem" &&
		tpm2_import -Q -C "$WORK/srk.ctx" -G ecc -g sha256 \
			-a 'userwithauth|decrypt' -i "$WORK/imported.pem" \
			-u "$WORK/u" -r "$WORK/r" && tpm2_flushcontext -t &&
		tpm2_load -Q -C "$WORK/srk.ctx" -u "$WORK/u" -r "$WORK/r" \
			-c "$WORK/k.ctx" && tpm2_flushcontext -t &&
		tpm2_evictcontrol -Q -C o -c "$WORK/k.ctx" "$1" &&
		tpm2_flushcontext -t
}

# --- the worker ---

# configure KEY [SETTING VALUE]...: KEY is a handle or a file.
configure()
{
	local key=$1 settings

	case $key in
	/*) key=file=$key ;;
	0x*) key=handle=$key ;;
	esac
	shift
	settings=$(printf ',"%s":"%s"' ${1+"$@"})
	[ $# -gt 0 ] || settings=
	printf '{"id":1,"op":"configure","settings":{"uri":"tpm2:%s?tcti=%s"%s}}\n' \
		"$key" "$TCTI" "$settings"
}

init='{"id":2,"op":"init"}'
public='{"id":3,"op":"public-key","key":""}'

# exchange [FINGERPRINT [KEY [POINT]]]
exchange()
{
	local print=

	[ -z "${1:-}" ] || print=",\"spki-fingerprint\":\"$1\""
	printf '{"id":4,"op":"exchange","key":"%s"%s,"point":"%s"}\n' \
		"${2:-}" "$print" "${3:-$POINT}"
}

# Lines for the worker come from standard input.
worker()
{
	timeout 60 $DRIVE worker "$PROGRAMS/vault-tpm2"
}

# with LINES PATTERN [PATTERN...]: the replies hold each pattern.
with()
{
	local lines=$1 replies pattern

	shift
	replies=$(printf '%s\n' "$lines" | worker 2>&1)
	printf '%s\n' "$replies"
	! grep -i sanitizer <<< "$replies" || return
	for pattern; do
		grep -Eq -- "$pattern" <<< "$replies" || {
			echo "lacks: $pattern"
			return 1
		}
	done
}

hex()
{
	xxd -p -c 1000
}

set_up_point()
{
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
		-out "$WORK/peer.pem"
	POINT=$(openssl pkey -in "$WORK/peer.pem" -pubout -outform DER |
		tail -c 64 | hex)
	[ ${#POINT} -eq 128 ]
}

# truth HANDLE: what OpenSSL computes with its private key and the public key
# that the TPM's own tools show.
truth()
{
	tpm2_readpublic -Q -c "$1" -f pem -o "$WORK/key.pub" >&2 &&
		openssl pkeyutl -derive -inkey "$WORK/peer.pem" \
			-peerkey "$WORK/key.pub" | hex
}

fingerprint()
{
	tpm2_readpublic -Q -c "$1" -f der -o "$WORK/key.der" >&2 &&
		sha256sum < "$WORK/key.der" | cut -d ' ' -f 1
}

right='"x": ?"'

makes_key()
{
	with "$(configure "$@"; echo "$init")" '"spki": ?"[0-9a-f]{182}"'
}

# agrees HANDLE [SETTING VALUE]...
agrees()
{
	local want print

	want=$(truth "$1") && print=$(fingerprint "$1") || return
	with "$(configure "$@"; exchange "$print")" "$right$want"
}

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
	tpm2_getcap handles-transient > "$WORK/handles"
	tpm2_getcap handles-loaded-session >> "$WORK/handles"
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

	for pcrs in '' 7 sha256 sha256: sha256:24 sha256:7, sha256:-1 md5:7 \
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
	cat > "$WORK/again" << END
kill \$(cat $WORK/tpm.pid)
sleep 0.3
swtpm socket --tpm2 --tpmstate dir=$STATE --daemon \\
	--server type=tcp,port=$PORT,bindaddr=127.0.0.1 \\
	--ctrl type=tcp,port=$((PORT + 1)),bindaddr=127.0.0.1 \\
	--flags not-need-init,startup-clear --pid file=$WORK/tpm.pid
END
	with "$(configure $PLAIN; exchange)
!sh $WORK/again
$(exchange)" "$right$(truth $PLAIN)"
	set -- $?
	kill "$(cat "$WORK/tpm.pid")"
	sleep 0.3
	tpm_off
	tpm_on && return "$1"
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

lists_lockout()
{
	lockout_counter | grep 0x0
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

# --- somebody on the bus ---

proxy_on()
{
	forget_failures
	REAL=$PORT
	find_ports
	: > "$WORK/mode"
	: > "$WORK/bus"
	$PYTHON "$HERE/tpm_proxy.py" "$PORT" "$REAL" "$WORK/mode" "$WORK/bus" &
	PROXY=$!
	sleep 0.7
	export TPM2TOOLS_TCTI=swtpm:host=127.0.0.1,port=$REAL
}

# The PIN as it is in the file, which is what the TPM knows.
pin_not_on_bus()
{
	: > "$WORK/bus"
	echo hunted-pin > "$PIN_FILE"
	makes_key 0x81000130 pin-source "$PIN_FILE" &&
		agrees 0x81000130 pin-source "$PIN_FILE" &&
		makes_key 0x81000131 pin-source "$PIN_FILE" pcrs sha256:0 &&
		agrees 0x81000131 pin-source "$PIN_FILE" pcrs sha256:0
	set -- $?
	echo 1234 > "$PIN_FILE"
	[ -s "$WORK/bus" ] && ! grep -aq hunted-pin "$WORK/bus" && return "$1"
}

# on_bus MODE PATTERN: what becomes of an exchange.
on_bus()
{
	echo "$1" > "$WORK/mode"
	shift
	with "$(configure 0x81000130 pin-source "$PIN_FILE"
		exchange)" "$@"
	set -- $?
	echo > "$WORK/mode"
	return "$1"
}

plain_on_bus()
{
	echo hunted-pin > "$PIN_FILE"
	on_bus "$@"
	set -- $?
	echo 1234 > "$PIN_FILE"
	return "$1"
}

# The answer is encrypted: whoever reads along has not even the blinded value.
x_not_on_bus()
{
	: > "$WORK/bus"
	plain_on_bus "" "$right$(truth 0x81000130)" &&
		! hex < "$WORK/bus" | tr -d '\n' | grep -q "$(truth 0x81000130)"
}

# --- the daemon, without the kernel ---

start_daemon()
{
	local left=50

	cat > "$WORK/vaultring.conf" << END
[vault tpm]
uri = tpm2:handle=0x81000140?tcti=swtpm:host=127.0.0.1
  %2cport=$REAL
pin-source = $PIN_FILE
pcrs = sha256:23
timeout = 2s

[vault file]
uri = tpm2:file=$WORK/d.tpm?tcti=swtpm:host=127.0.0.1%2cport=$REAL

[vault slow]
uri = tpm2:handle=0x81000130?tcti=swtpm:host=127.0.0.1%2cport=$PORT
timeout = 1s

[vault hsm]
uri = pkcs11:token=x?module-path=/x.so
END
	mkdir -p "$WORK/state-of-daemon"
	"$PROGRAMS/vaultringd" --config "$WORK/vaultring.conf" --user '' \
		--state "$WORK/state-of-daemon" --socket "$SOCKET" \
		--libexec "$PROGRAMS" --no-kernel --debug 2> "$WORK/daemon.log" &
	DAEMON=$!
	until [ -S "$SOCKET" ]; do
		left=$((left - 1))
		[ $left -gt 0 ] || { cat "$WORK/daemon.log"; return 1; }
		sleep 0.1
	done
}

call()
{
	timeout 30 $DRIVE call "$SOCKET" "$@"
}

method()
{
	call "$1" "{\"vault\":\"$2\"}"
}

init_of_daemon()
{
	method VaultInit tpm > "$WORK/reply"
	cat "$WORK/reply"
	grep "\"fingerprint\": \"$(fingerprint 0x81000140)\"" "$WORK/reply"
}

file_of_daemon()
{
	method VaultInit file | tee /dev/stderr |
		sed -n 's/.*"file": "\([0-9a-f]*\)".*/\1/p' | xxd -r -p \
		> "$WORK/new" && [ -s "$WORK/new" ] &&
		mv "$WORK/new" "$WORK/d.tpm" && method VaultCheck file
}

hang_is_away()
{
	echo hang > "$WORK/mode"
	method VaultCheck slow
	set -- $?
	: > "$WORK/mode"
	return "$1"
}

no_pin_in_log()
{
	! grep -q 1234 "$WORK/daemon.log"
}

worker_filters()
{
	local pid found=1

	for pid in $(pgrep -P $DAEMON); do
		grep -q vault-tpm2 "/proc/$pid/cmdline" || continue
		found=0
		grep 'Seccomp:[[:space:]]*2' "/proc/$pid/status" &&
			grep 'CapEff:[[:space:]]*0*$' "/proc/$pid/status" || return
	done
	return $found
}

stops()
{
	kill -TERM $DAEMON
	wait $DAEMON && DAEMON='' && ! grep -i sanitizer "$WORK/daemon.log"
}

tidy()
{
	[ -z "$PROXY" ] || kill "$PROXY"
	tpm_off
	[ -z "$DAEMON" ] || kill "$DAEMON"
	rm -rf "$WORK"
}
trap tidy EXIT

ok "the worker builds" build
[ $FAILED -eq 0 ] || { echo "Bail out! nothing to test"; exit 1; }
find_ports
ok "a software TPM runs" tpm_on
[ $FAILED -eq 0 ] || { echo "Bail out! nothing to test with"; exit 1; }
(umask 077 && echo 1234 > "$PIN_FILE")
set_up_point || { echo "Bail out! no point to ask with"; exit 1; }

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
ok "a missing device is away" missing_device
ok "a device that it may not use is away, and says what to do" forbidden_device
ok "a device that is no TPM is away" no_tpm_behind
ok "with a device it can do nothing but use that" could device:/dev/null 10 0
ok "with a socket it can make one, and nothing else" could swtpm:port=1 8 1
ok "nothing is left in the TPM" keeps_nothing
ok "an owner with a password is named" owner_with_password

ok "somebody sits on the bus" proxy_on
ok "the PIN does not pass there, neither making nor using keys" pin_not_on_bus
ok "nor does the answer" x_not_on_bus
ok "a bit that he changes is found out" plain_on_bus flip '"invalid".*Authorizing'
ok "an answer without anything in it is invalid or away" \
	plain_on_bus short '"(invalid|away)"'
ok "garbage is invalid or away" plain_on_bus garbage '"(invalid|away)"'
ok "a TPM that is busy once is asked again" plain_on_bus retry-once "$right"
ok "a TPM that stays busy is away" plain_on_bus retry '"away".*0x922'
ok "a TPM that yields is away" plain_on_bus yielded '"away".*0x908'
ok "a TPM that tests itself is away" plain_on_bus testing '"away".*0x90a'
ok "a TPM that vanishes while it works is away" plain_on_bus cut '"away"'
ok "no PIN counted as wrong in all that" lists_lockout

ok "the daemon starts" start_daemon
refused "before init a check says what is missing" "vault init" \
	method VaultCheck tpm
ok "VaultInit makes the key" init_of_daemon
ok "and a check its right use" method VaultCheck tpm
ok "VaultInit gives what belongs in a file" file_of_daemon
refused "a second one is refused" "there is a key 0x81000140 already" \
	method VaultInit tpm
refused "an HSM's key is made with the HSM's tools" "own tools" \
	method VaultInit hsm
refused "only the uri's key is made" "only the key that its uri names" \
	method VaultInit tpm:0x81000141
refused "a TPM that hangs costs a timeout" "EAGAIN.*no answer within 1.0 s" \
	hang_is_away
ok "the worker has no capability, and a filter" worker_filters
ok "the PIN is in no log" no_pin_in_log
ok "it stops when told to" stops

export TCTI=swtpm:host=127.0.0.1,port=$REAL
ok "a TPM that was cleared has lost the key" cleared_handle
ok "a key in a file is lost with it" \
	refuses "another TPM than this, or this one has been cleared" "$KEY_FILE"
finish
