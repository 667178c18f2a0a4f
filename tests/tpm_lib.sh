# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the tests of the TPM worker share: a software TPM in a folder of its own,
# and the worker asked as the daemon would.  Sourced, never run.

# shellcheck disable=SC2034,SC2086 # used by those who source this; words
# shellcheck source-path=SCRIPTDIR
FAMILY=tpm2
. "$(dirname "${BASH_SOURCE[0]}")/worker_lib.sh"

KEY_FILE=$WORK/key.tpm
STATE=$WORK/state
TPM=
PROXY=
REAL=
# Handles
PLAIN=0x81000100 PINNED=0x81000101 BOUND=0x81000102 BOTH=0x81000103
NEW=0x81000110 POLLED=0x81000142

build()
{
	local name

	build_programs || return
	mkdir "$WORK/bad"
	for name in device swtpm; do
		library "$WORK/bad/libtss2-tcti-$name.so.0" bad_tcti.c || return
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

# exchange [FINGERPRINT [KEY [POINT]]]
exchange()
{
	local print=

	[ -z "${1:-}" ] || print=",\"spki-fingerprint\":\"$1\""
	printf '{"id":4,"op":"exchange","key":"%s"%s,"point":"%s"}\n' \
		"${2:-}" "$print" "${3:-$POINT}"
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

# --- beginning and end ---

put_away()
{
	[ -z "$PROXY" ] || kill "$PROXY"
	tpm_off
}

begin()
{
	ok "the worker builds" build
	[ $FAILED -eq 0 ] || { echo "Bail out! nothing to test"; exit 1; }
	find_ports
	ok "a software TPM runs" tpm_on
	[ $FAILED -eq 0 ] || { echo "Bail out! nothing to test with"; exit 1; }
	(umask 077 && echo 1234 > "$PIN_FILE")
	set_up_point || { echo "Bail out! no point to ask with"; exit 1; }
}
