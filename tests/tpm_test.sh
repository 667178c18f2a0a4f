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
DAEMON=
# Handles
PLAIN=0x81000100 PINNED=0x81000101 BOUND=0x81000102 BOTH=0x81000103
NEW=0x81000110

build()
{
	if [ -z "${PROGRAMS:-}" ]; then
		PROGRAMS=$REPO/build/sanitized
		make -s -j"$(nproc)" -C "$REPO/daemon" SANITIZE=1 \
			BUILD="$PROGRAMS"
	fi
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

# The PCRs are zero again, and what is not persistent is gone.
tpm_reboot()
{
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
		-c "$WORK/srk.ctx"
}

SRK='fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt'
GOOD='fixedtpm|fixedparent|sensitivedataorigin|userwithauth|decrypt'

# foreign_key HANDLE ALGORITHM ATTRIBUTES: made with tpm2-tools.
foreign_key()
{
	tpm2_create -Q -C "$WORK/srk.ctx" -g sha256 -G "$2" -a "$3" \
		-u "$WORK/u" -r "$WORK/r" -c "$WORK/k.ctx" &&
		tpm2_evictcontrol -Q -C o -c "$WORK/k.ctx" "$1" &&
		tpm2_flushcontext -t
}

# A key that came from outside, wrapped for this TPM.
imported_key()
{
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
		-out "$WORK/imported.pem" &&
		tpm2_import -Q -C "$WORK/srk.ctx" -G ecc -g sha256 \
			-a 'userwithauth|decrypt' -i "$WORK/imported.pem" \
			-u "$WORK/u" -r "$WORK/r" &&
		tpm2_load -Q -C "$WORK/srk.ctx" -u "$WORK/u" -r "$WORK/r" \
			-c "$WORK/k.ctx" &&
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

# Some x begin with zeros: one in 256 of them.
many_points()
{
	local i want

	for i in $(seq 300); do
		openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
			-outform DER -out "$WORK/many.der"
	done
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

tidy()
{
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

ok "vault init makes a key under a handle" makes_key $PLAIN
ok "an exchange equals OpenSSL's ECDH" agrees $PLAIN
ok "the public key is that of tpm2_readpublic" same_spki
ok "nothing is left in the TPM" keeps_nothing
ok "init pin" makes_key $PINNED pin-source "$PIN_FILE"
ok "exchange pin" agrees $PINNED pin-source "$PIN_FILE"
ok "init bound" makes_key $BOUND pcrs sha256:16,23
ok "exchange bound" agrees $BOUND pcrs sha256:16,23
ok "init both" makes_key $BOTH pcrs sha256:16,23 pin-source "$PIN_FILE"
ok "exchange both" agrees $BOTH pcrs sha256:16,23 pin-source "$PIN_FILE"
ok "file" to_file
ok "file x" file_agrees
finish
