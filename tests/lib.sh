# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the shell tests share: TAP, the vault whose key is known, and cleaning
# up.  Sourced, never run; a test ends with `finish`.

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export HERE LC_ALL=C.UTF-8
PATH=$PATH:/usr/sbin:/sbin
CASES=0 FAILED=0
WORK=$(mktemp -d "/tmp/${0##*/}.XXXXXX")
OUT=$WORK/output
KEKS=()
ENVELOPES=/var/lib/vaultring/keks
KNOWN=/root/known.pem
CONF=/etc/vaultring/vaultring.conf

# report TRUTH SENTENCE: one TAP line, with the output of what failed.
report()
{
	CASES=$((CASES + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $CASES - $2"
		return
	fi
	FAILED=$((FAILED + 1))
	tail -n 25 "$OUT" | cut -c 1-400 | sed 's/^/# /'
	echo "not ok $CASES - $2"
}

# ok SENTENCE CMD...: the command must succeed.
ok()
{
	local sentence=$1 status

	shift
	"$@" > "$OUT" 2>&1 < /dev/null
	status=$?
	[ $status -eq 0 ] || echo "exit status $status: $*" >> "$OUT"
	report $status "$sentence"
}

# refused SENTENCE PATTERN CMD...: it must fail, and say why.
refused()
{
	local sentence=$1 pattern=$2 status

	shift 2
	"$@" > "$OUT" 2>&1 < /dev/null
	status=$?
	if [ $status -eq 0 ] || [ $status -ge 124 ]; then
		echo "exit status $status, not refused: $*" >> "$OUT"
		report 1 "$sentence"
	elif ! grep -Eqi -- "$pattern" "$OUT"; then
		echo "does not say /$pattern/: $*" >> "$OUT"
		report 1 "$sentence"
	else
		report 0 "$sentence"
	fi
}

# status_is SENTENCE STATUS CMD...
status_is()
{
	local sentence=$1 want=$2 status

	shift 2
	"$@" > "$OUT" 2>&1 < /dev/null
	status=$?
	[ $status -eq "$want" ] ||
		echo "exit status $status, not $want: $*" >> "$OUT"
	report $((status != want)) "$sentence"
}

skip()
{
	CASES=$((CASES + 1))
	echo "ok $CASES - $1 # SKIP $2"
}

# What must hold before the cases make sense.
must()
{
	"$@" > "$OUT" 2>&1 < /dev/null && return
	report 1 "the test can start: $*"
	finish
}

# kill_worker PROGRAM: a line for worker_drive.py.  As soon as the server has taken the
# last line of $WORK/fault, which makes it hang, the worker is killed.
kill_worker()
{
	echo "!driver=\$PPID; (until [ ! -s $WORK/fault ]; do sleep 0.1; done;" \
		"pkill -KILL -P \$driver $1) > /dev/null 2>&1 &"
}

# The plan comes last: a test that dies early has none, and that is a failure.
finish()
{
	echo "1..$CASES"
	[ $FAILED -eq 0 ]
	exit
}

forget()
{
	vaultring kek revoke "$1"
	rm -f "$ENVELOPES/$1@"*
	if grep -q "^kek $1 " /etc/vaultring/pins; then
		sed -i "/^kek $1 /d" /etc/vaultring/pins
		vaultring vault pin --load
	fi
}

# shellcheck disable=SC2317,SC2329 # called by the trap
cleanup()
{
	local name

	# A subshell that a signal ends would run this too.
	[ "$BASHPID" = $$ ] || return
	declare -F tidy > /dev/null && tidy
	if [ -d /run/systemd/system ] && ! systemctl -q is-active vaultringd; then
		systemctl reset-failed vaultringd
		systemctl start vaultringd
	fi
	for name in "${KEKS[@]}"; do
		forget "$name"
	done
	rm -rf "$WORK"
} > /dev/null 2>&1
trap cleanup EXIT

# new_kek NAME [VAULT]: through the daemon, removed when the test ends.
new_kek()
{
	KEKS+=("$1")
	vaultring kek create "$1" --vault "${2:-hsm}"
}

token_pin()
{
	PIN=$(cat /etc/vaultring/hsm.pin)
	export PIN
}

p11()
{
	pkcs11-tool --module /usr/lib/softhsm/libsofthsm2.so \
		--token-label "${TOKEN:-vaultring}" --login --pin env:PIN "$@"
}

own_tokens()
{
	chown -R vaultring:softhsm /var/lib/softhsm/tokens
}

# A vault `known`: its private key lies in $KNOWN, for the oracle, and in the
# token, where it is as sensitive and non-extractable as any other.
known_vault()
{
	token_pin
	if [ ! -e "$KNOWN" ]; then
		openssl genpkey -algorithm EC \
			-pkeyopt ec_paramgen_curve:P-256 -out "$KNOWN.new" || return
		openssl pkey -in "$KNOWN.new" -outform DER -out "$WORK/der" &&
			openssl pkey -in "$KNOWN.new" -pubout -outform DER \
				-out "$WORK/pub" || return
		p11 --write-object "$WORK/der" --type privkey --usage-derive \
			--sensitive --label known --id 02 || return
		p11 --write-object "$WORK/pub" --type pubkey --label known \
			--id 02 || return
		own_tokens
		mv "$KNOWN.new" "$KNOWN"
	fi
	grep -q '^\[vault known\]' $CONF || cat >> $CONF << 'CONFIG'

[vault known]
uri = pkcs11:token=vaultring;object=known?module-path=/usr/lib/softhsm/libsofthsm2.so
pin-source = /etc/vaultring/hsm.pin
timeout = 5s
CONFIG
	systemctl restart vaultringd && vaultring vault pin known
}

envelope_of()
{
	echo "$ENVELOPES/$1@${2:-1}.env"
}

oracle()
{
	python3 "$HERE/oracle.py" "$@"
}

# hex_of FILE...: for dmsetup's tables.
hex_of()
{
	cat "$@" | od -An -v -tx1 | tr -d ' \n'
}

# integrity_new NAME DISK TAGSIZE [ARGUMENT...]: a device of dm-integrity.  A
# first table of one sector makes the superblock, which then says the size.
integrity_new()
{
	dd if=/dev/zero of="$2" bs=4096 count=1 conv=fsync status=none &&
		integrity_table 1 "$@" && udevadm settle &&
		dmsetup remove --retry "$1" && integrity_again "$@"
}

integrity_again()
{
	integrity_table "$(od -An -tu8 -j16 -N8 "$2" | tr -d ' ')" "$@"
}

integrity_table()
{
	local sectors=$1 name=$2 disk=$3 tag=$4

	shift 4
	dmsetup create "$name" --table \
		"0 $sectors integrity $disk 0 $tag J $# $*"
}

# on_terminal ANSWER CMD...: runs it on a pseudo-terminal and types ANSWER
# once it has asked.
on_terminal()
{
	python3 - "$@" << 'PYTHON'
import os, pty, select, sys
answer, argv = sys.argv[1].encode() + b"\n", sys.argv[2:]
pid, fd = pty.fork()
if not pid:
    os.execvp(argv[0], argv)
typed = False
while True:
    if not select.select([fd], [], [], 60)[0]:
        os.kill(pid, 9)
    try:
        data = os.read(fd, 4096)
    except OSError:
        break
    if not data:
        break
    sys.stdout.buffer.write(data)
    if not typed and (b"YES" in data or b"?" in data):
        os.write(fd, answer)
        typed = True
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
PYTHON
}

kernel_is()
{
	case $(uname -r) in
	"$1".*) return 0 ;;
	esac
	return 1
}
