#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The PKCS#11 worker against openCryptoki, which is built otherwise than SoftHSM: a
# daemon of its own hands out the slots, processes share memory and locks, and who
# may use it depends on a group.  The daemon and its workers run as the user
# `vaultring` here, as the service's do.
#
# All that happens in namespaces of its own, on tokens of its own: nothing changes
# outside, and nothing stays when this ends in whatever way.

# shellcheck disable=SC2034,SC2059,SC2086,SC2317,SC2329 # words; what ok runs
if [ -z "${OWN_SPACE:-}" ]; then
	# In a chroot nobody can say anything of /, and scripts/root has said it.
	propagation=unchanged
	! unshare --mount true 2> /dev/null || propagation=private
	exec env OWN_SPACE=yes unshare --mount --propagation $propagation --ipc \
		--pid --fork --kill-child --mount-proc -- "$0" "$@"
fi

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/pkcs11_lib.sh"

MODULE=/usr/lib/x86_64-linux-gnu/pkcs11/libopencryptoki.so
# It takes 4 to 8 characters.
export PIN=48151623
export PKCS11_USER_PIN=$PIN SO_PIN=87654321
# Behind those libraries that count.
export BAD_PKCS11_REAL=$MODULE
SLOTD=

# --- openCryptoki, as its package has it on a machine of its own ---

own_folders()
{
	local dir

	cp -a /etc/opencryptoki "$WORK/etc" && mkdir -p /run/lock || return
	for dir in /dev/shm /etc/opencryptoki /var/{lib,log}/opencryptoki \
		/run/opencryptoki /run/lock/opencryptoki; do
		mkdir -p "$dir" && mount -t tmpfs -o mode=770 tmpfs "$dir" &&
			chgrp pkcs11 "$dir" || return
	done
	cp -a "$WORK/etc/." /etc/opencryptoki && chmod 755 /etc/opencryptoki &&
		chmod 1777 /dev/shm && chmod 710 /run/opencryptoki || return
	! getent passwd pkcsslotd || chown pkcsslotd /run/opencryptoki
}

# The library looks for the user in the group's list of members, and nowhere else.
own_users()
{
	cp /etc/passwd /etc/group "$WORK" || return
	getent passwd vaultring ||
		echo 'vaultring:x:64999:64999::/:/bin/false' >> "$WORK/passwd"
	sed -i 's/^pkcs11:.*[^:]$/&,/; s/^pkcs11:.*/&vaultring/' "$WORK/group"
	mount --bind "$WORK/passwd" /etc/passwd &&
		mount --bind "$WORK/group" /etc/group &&
		AS="setpriv --reuid vaultring --regid 64999 --init-groups"
}

# Two tokens of the same kind.
slots()
{
	local name slot=0

	echo version opencryptoki-3.1
	for name in vaultring beside; do
		printf 'slot %s\n{\nstdll = libpkcs11_sw.so\ntokname = %s\n' \
			$slot $name
		printf 'tokversion = 3.12\n}\n'
		slot=$((slot + 1))
	done
}

slotd_on()
{
	pkcsslotd && SLOTD=$(cat /run/opencryptoki/pkcsslotd.pid) &&
		kill -0 "$SLOTD"
}

slotd_gone()
{
	! kill -0 "$SLOTD" 2> /dev/null
}

slotd_off()
{
	kill "$SLOTD" && soon slotd_gone && SLOTD=
}

put_away()
{
	[ -z "$SLOTD" ] || kill "$SLOTD"
}

p11()
{
	pkcs11-tool --module "$MODULE" --slot "${SLOT:-0}" --login \
		--pin env:PIN "$@"
}

make_token()
{
	pkcs11-tool --module "$MODULE" --slot "$SLOT" --init-token --label "$1" \
		--so-pin env:SO_PIN &&
		pkcs11-tool --module "$MODULE" --slot "$SLOT" --init-pin \
			--login --login-type so --so-pin env:SO_PIN \
			--new-pin env:PIN
}

# import FILE LABEL ID ATTRIBUTES [KIND]: both halves; capital letters set what they
# stand for, small ones do not: Sensitive, eXtractable, deRive.
import()
{
	p11sak import-key "${5:-ec}" private --slot "${SLOT:-0}" --file "$1" \
		--label "$2" --id "$3" --attr "P$4" &&
		p11sak import-key "${5:-ec}" public --slot "${SLOT:-0}" \
			--file "$1.pub" --label "$2" --id "$3"
}

public_half()
{
	openssl pkey -in "$1" -pubout -out "$1.pub"
}

set_up_token()
{
	(umask 077 && echo "$PIN" > "$PIN_FILE")
	chown vaultring "$PIN_FILE" && chmod 711 "$WORK" &&
		SLOT=0 make_token vaultring && SLOT=1 make_token beside &&
		new_keys && new_key "$WORK/beside.pem" &&
		openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
			-out "$WORK/rsa.pem" || return
	for key in root twin p384 beside rsa; do
		public_half "$WORK/$key.pem" || return
	done
	import "$WORK/root.pem" root 01 SxR &&
		import "$WORK/root.pem" loose 02 sXR &&
		import "$WORK/root.pem" twin 03 SxR &&
		import "$WORK/twin.pem" twin 04 SxR &&
		import "$WORK/p384.pem" p384 05 SxR &&
		p11sak generate-key ec prime256v1 --slot 0 --label victim:= \
			--attr :PSxR &&
		import "$WORK/root.pem" signs 07 Sxr &&
		import "$WORK/rsa.pem" rsa 08 Sx rsa &&
		SLOT=1 import "$WORK/beside.pem" root 01 SxR
}

delete_key()
{
	echo "pkcs11-tool --module $MODULE --slot 0 --login --pin env:PIN --delete-object --type privkey --label $1"
}

start()
{
	own_folders && own_users && slots > /etc/opencryptoki/opencryptoki.conf &&
		slotd_on
}

# Where that user can get at it.
own_programs()
{
	mkdir -p "$WORK/programs" &&
		cp "$PROGRAMS"/vault{ringd,-pkcs11} "$WORK/programs" &&
		PROGRAMS=$WORK/programs
}

# --- what is special about it ---

# Not by its PIN either; the loose one shows that this is how.
stays_inside()
{
	p11sak export-key private --slot 0 --label loose --force \
		--file "$WORK/out.pem" &&
		grep 'PRIVATE KEY' "$WORK/out.pem" || return
	p11sak export-key private --slot 0 --label root --force \
		--file "$WORK/none.pem"
	! grep 'PRIVATE KEY' "$WORK/none.pem"
}

# The group alone does not do.
not_in_list()
{
	local AS="setpriv --reuid 64998 --regid 64999 --groups pkcs11"

	chown 64998 "$PIN_FILE"
	with "$(configure; exchange)" '"away".*C_Initialize'
	set -- $?
	chown vaultring "$PIN_FILE"
	return "$1"
}

# answers COUNT FILE: so many right ones.
answers()
{
	cat "$2"
	[ "$(grep -cE "$right$TRUTH" "$2")" -eq "$1" ]
}

# Told to stop, it stays while somebody is connected; then systemd kills it.
slotd_comes_back()
{
	with "$(configure; exchange)
!kill -KILL $SLOTD
$(exchange)
!pkcsslotd
$(exchange)
{\"id\":3,\"op\":\"public-key\",\"key\":\"\",\"poll\":true}
$(exchange)" "$right$TRUTH" '"spki"' > "$WORK/back"
	set -- $?
	SLOTD=$(cat /run/opencryptoki/pkcsslotd.pid)
	answers 4 "$WORK/back" && [ "$1" -eq 0 ]
}

away_without_slotd()
{
	slotd_off || return
	with "$(configure; exchange)" '"away".*C_Initialize'
	set -- $?
	slotd_on && return "$1"
}

# looks N: the worker's open files and threads after so many.
looks()
{
	for _ in $(seq "$1"); do
		echo '{"id":3,"op":"public-key","key":"","poll":true}'
	done
	# shellcheck disable=SC2016 # run by that shell
	echo '!p=/proc/$(pgrep -n vault-pkcs11); echo has $(ls $p/fd $p/task | wc -l)'
}

looks_leave_nothing()
{
	with "$(configure; looks 3; looks 12)" '"spki"' > "$WORK/looks"
	cat "$WORK/looks"
	[ "$(grep -c '"spki"' "$WORK/looks")" -eq 15 ] &&
		[ "$(grep -c '^has ' "$WORK/looks")" -eq 2 ] &&
		[ "$(grep '^has ' "$WORK/looks" | sort -u | wc -l)" -eq 1 ]
}

# Each a process of its own, while others log in and write.
side_by_side()
{
	local i pids=()

	for i in 1 2 3 4; do
		{ configure; for _ in $(seq 20); do exchange; done; } |
			worker > "$WORK/side$i" 2>&1 &
		pids+=($!)
	done
	for i in 1 2 3; do
		p11 --keypairgen --key-type EC:prime256v1 --label beside \
			--id 1$i > /dev/null || return
	done
	wait "${pids[@]}" || return
	for i in 1 2 3 4; do
		answers 20 "$WORK/side$i" || return
	done
}

# The token locks itself at the third; then the right one is none either.
pin_locks()
{
	local fine

	fine=$(configure "" "token=beside;object=root")
	with "$fine$(for i in 1 2 3; do
		printf '\n!echo 000%s > %s\n' $i "$PIN_FILE"
		echo "$public"
	done)
!echo $PIN > $PIN_FILE
$public
$public" '"refused".*incorrect' '"refused".*locked' > "$WORK/locks"
	set -- $?
	cat "$WORK/locks"
	! grep '"spki"' "$WORK/locks" && [ "$1" -eq 0 ]
}

# --- with the daemon ---

start_daemon()
{
	for name in vaultring beside; do
		printf '[vault %s]\nuri = pkcs11:token=%s;object=root' $name $name
		printf '?module-path=%s\npin-source = %s\ntimeout = 20s\n' \
			"$MODULE" "$PIN_FILE"
	done > "$WORK/vaultring.conf"
	mkdir -p "$WORK/envelopes" && chown -R vaultring "$WORK/envelopes" &&
		chmod 1777 "$WORK" && daemon_on
}

check()
{
	call VaultCheck "{\"vault\":\"$1\"}"
}

checks_at_once()
{
	local i pids=()

	for i in 1 2 3; do
		check vaultring & pids+=($!)
		check beside & pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || return
	done
}

# A lock must not outlive its holder.
killed_anywhere()
{
	local i pid

	for i in $(seq 10); do
		check vaultring > /dev/null &
		sleep "0.0$((i * 9 % 10))"
		for pid in $(pgrep -P "$DAEMON"); do
			kill -KILL "$pid"
		done
		wait $!
	done
	check vaultring && check beside
}

as_the_service()
{
	local pid

	for pid in $DAEMON $(pgrep -P "$DAEMON"); do
		[ "$(stat -c %U "/proc/$pid")" != root ] &&
			grep "Uid:[[:space:]]*$(id -u vaultring)" "/proc/$pid/status" &&
			grep 'CapPrm:[[:space:]]*0*$' "/proc/$pid/status" || return
	done
	grep 'Seccomp:[[:space:]]*2' "/proc/$pid/status"
}

nothing_stays()
{
	slotd_off || return
	ipcs -m
	ps -ef
	[ "$(ipcs -m | grep -c '^0x')" -eq 0 ] && ! pgrep 'pkcsslotd|vault'
}

if ! command -v pkcsslotd > /dev/null; then
	echo "# openCryptoki is not here; try: apt install opencryptoki"
	must command -v pkcsslotd
fi
# Debian 12 has 3.8, which knows no elliptic curves either.
if ! p11sak import-key --help > /dev/null 2>&1; then
	skip "the worker with openCryptoki" "this one is too old to import keys"
	finish
fi
must start
begin
must own_programs
cases_of_any_module
ok "a key that is sensitive and not extractable stays inside" stays_inside
ok "a key that may not derive is refused" \
	with "$(configure; exchange signs)" '"refused".*C_DeriveKey.*0x68'
ok "an RSA key is not taken for one" \
	with "$(configure; exchange rsa)" '"refused".*no private half'
ok "who is not in its group's list of members finds it away" not_in_list
ok "four workers and another program use a token at once" side_by_side
ok "looks leave neither files nor threads behind" looks_leave_nothing
ok "without pkcsslotd it is away" away_without_slotd
ok "a worker goes on when pkcsslotd is killed and started again" slotd_comes_back
ok "the daemon starts as the user of the service" start_daemon
ok "vault check: the daemon's own ECDH agrees, for both tokens at once" \
	checks_at_once
ok "a worker that is killed at any time is replaced and leaves no lock" \
	killed_anywhere
ok "daemon and workers have that user, no capabilities and a filter" \
	as_the_service
ok "the PIN is in no log" no_pin_in_log
ok "it stops when told to, and takes its socket along" stops
ok "a PIN that locks itself is refused, and so is the right one then" pin_locks
ok "pkcsslotd ends, and no shared memory stays" nothing_stays
finish
