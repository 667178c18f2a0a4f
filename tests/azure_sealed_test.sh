#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Sealed shares of Azure: secure key release, and what attests this host to it.  See
# azure_test.sh.

# shellcheck disable=SC2086,SC2119,SC2317,SC2329 # words; functions that ok runs
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/azure_lib.sh"

set_up

# --- sealed shares ---

NONCE=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff

# released [SETTING=VALUE...]: the requests.
released()
{
	configure uri=azure:https://main.vault.azure.net/keys/sealed method=sealed \
		attestation-file="$WORK/attestation" \
		release-ca-file="$WORK/release-ca.pem" "$@"
	release_of ""
}

release_of()
{
	printf '{"id":5,"op":"release","key":"%s","transport":"%s","nonce":"%s"}\n' \
		"$1" "$TRANSPORT" $NONCE
}

set_up_release()
{
	TRANSPORT=$($PYTHON "$HERE/azure_release.py" new "$WORK") &&
		SEALED=$(sdk import_oct sealed $SHARE) && [ ${#SEALED} -eq 32 ] &&
		sdk create root $SHARE > "$WORK/root" &&
		sdk release sealed bm9uY2U | grep -qE '^[^.]+\.[^.]+\.[^.]+$'
}

# release [SETTING=VALUE...]: and it is the key.
release()
{
	local wrapped

	with "$(released "$@")" '"hash":"sha256"' > "$WORK/release" ||
		{ cat "$WORK/release"; return 1; }
	wrapped=$(sed -n 's/.*"wrapped":"\([0-9a-f]*\)".*/\1/p' "$WORK/release")
	[ ${#wrapped} -eq $((2 * 424)) ] &&
		[ "$($PYTHON "$HERE/azure_release.py" open "$WORK" "$wrapped")" = $SHARE ]
}

ok "the SDK imports a key, and has it released" set_up_release
ok "a key is released, wrapped for the transport key alone" release
[ $FAILED -eq 0 ] || { echo "Bail out! nothing to compare with"; exit 1; }
ok "a look at a sealed key gives its method and no public key" \
	with "$(released | head -n 1; public_key)" '^\{"method":"sealed","id":2\}$'
ok "a key that may not be released is refused" \
	with "$(released uri=azure:https://main.vault.azure.net/keys/root)" \
	'"refused".*may not be released'
ok "nothing is released without method = sealed" \
	with "$(released method=clear)" '"refused".*method = sealed'

# wrong HOW PATTERN
wrong()
{
	under "vault pass 1
vault release:$1 1" "$(released; released | tail -n 1)" "\"invalid\".*$2" '"hash":"sha256"'
}
for how in 'none:alg none' hs256:'alg HS256' unsigned:signature \
	wrong-key:signature tampered:signature stranger:'not known' \
	no-chain:'no certificate' crit:crit \
	'kid-request:version .* was released' 'kid-key:version .* was released' \
	'kid-inner:version .* was released' 'inner-alg:not dir' \
	'enc-request:CKM_RSA_AES_KEY_WRAP' 'enc-inner:CKM_RSA_AES_KEY_WRAP' \
	nonce:'another request' 'plain:in the clear' short:'416 bytes' \
	weak:'too weak'; do
	ok "a release that is wrong (${how%%:*}) is invalid, the next one right" \
		wrong "${how%%:*}" "${how#*:}"
done
ok "a key released in the clear is an alert" \
	grep -q "released key sealed in the clear: do not use it" "$WORK/replies"
ok "an authority for releases that is missing is refused here" \
	with "$(released release-ca-file="$WORK/none")" '"refused".*release-ca-file'
ok "an attestation that is missing is refused here" \
	with "$(released attestation-file="$WORK/none")" '"refused".*No such file'

# What the vault thinks of an attestation is no word about the key.
(umask 077; printf a.e30.b > "$WORK/stale")
ok "an attestation that the vault does not take is this host's affair" \
	with "$(released attestation-file="$WORK/stale")" \
	'"refused","here":true.*does not release key sealed.*attestation statement'
not_allowed()
{
	without use with "$(released)" '"refused".*ForbiddenByRbac' > "$WORK/denied"
	local status=$?

	cat "$WORK/denied"
	[ $status -eq 0 ] && ! grep '"here"' "$WORK/denied"
}
ok "the right to it withdrawn is the vault's refusal" not_allowed

# --- looks ---

# Of no key, and not zero, as that of a key without one is.
PRINT=$(printf 'ab%.0s' {1..32})
# shellcheck disable=SC2120 # by ok
look()
{
	with "$(released "$@" | head -n 1; poll)" '^\{"method":"sealed","id":3\}$'
}
ok "a look needs no right to list, though the daemon names a fingerprint" \
	without list look
one_look()
{
	forget_log
	look && [ "$(requests '^vault')" -eq 1 ]
}
ok "and is one request" one_look
ok "the uri may name the version" release \
	"uri=azure:https://main.vault.azure.net/keys/sealed/$SEALED"
ok "and so may a request" \
	with "$(released | head -n 1; release_of "sealed/$SEALED")" '"hash":"sha256"'

here()
{
	echo "\"refused\",\"here\":true.*$1"
}

# It rotates while the worker runs: what is released now is another key.
rotated()
{
	with "$(released | head -n 1; poll)
!$SDK_LINE import_oct sealed ${SHARE//e/d}
$(poll; public_key; poll)" "$(here "sealed was rotated; name version $SEALED")" \
		"key sealed of .* was rotated, from version $SEALED" \
		> "$WORK/rotated" || { cat "$WORK/rotated"; return 1; }
	[ "$(grep -c '"method":"sealed","id":3' "$WORK/rotated")" -eq 2 ]
}
ok "a rotation is noticed by a look, until somebody checks the vault" rotated
ok "the version that is named is still released after it" release \
	"uri=azure:https://main.vault.azure.net/keys/sealed/$SEALED"

made_anew()
{
	with "$(released | head -n 1; poll)
!$SDK_LINE replace_oct sealed $SHARE
$(poll)" '"refused","message".*no key sealed, or not that version'
}
ok "a key that was deleted and made anew is a refusal" made_anew
disabled()
{
	local version

	version=$(sdk import_oct once $SHARE) && sdk enable once "$version" no || return
	with "$(released "uri=azure:https://main.vault.azure.net/keys/once/$version" |
		head -n 1; poll)" '"refused".*disabled'
}
ok "and so is one that is disabled" disabled

# --- attestation by a command ---

# command BODY: a program that does that.
command()
{
	printf '#!/bin/sh\n%s\n' "$1" > "$WORK/attest"
	chmod 700 "$WORK/attest"
}

by_command()
{
	released attestation-file= attestation-command="$WORK/attest" "$@"
}

gives()
{
	command "cat > $WORK/given; env > $WORK/env; pwd > $WORK/pwd
printf '%s\n' \"\$@\" > $WORK/args; ls /proc/self/fd > $WORK/fds
grep -E '^(Cap...|Seccomp|NoNewPrivs):' /proc/self/status > $WORK/status
cat $WORK/attestation"
	release attestation-file= \
		attestation-command="$WORK/attest  a;touch $WORK/shell \$(id) *"
}
ok "a command's output is taken for the attestation" gives
ok "it is told the transport key and the nonce" eval \
	"grep -E '^\{\"transport\":\{\"kty\":\"RSA\",\"n\":\"[A-Za-z0-9_-]{512}\",\"e\":\"AQAB\"\},\"nonce\":\"[A-Za-z0-9_-]{43}\"\}\$' $WORK/given"
ok "no shell reads its arguments" eval \
	"[ ! -e $WORK/shell ] && printf '%s\n' 'a;touch' $WORK/shell '\$(id)' '*' |
	cmp - $WORK/args"
ok "its environment is clean" eval \
	"! grep -vE '^(PATH=/usr/sbin:/usr/bin:/sbin:/bin|LC_ALL=C|PWD=/|OLDPWD=.*|SHLVL=.*|_=.*)\$' $WORK/env &&
	grep -x / $WORK/pwd"
# ls has the folder open, too.
ok "it has no file of the worker's" eval "[ \$(tail -n 1 $WORK/fds) -le 3 ]"
ok "and no capability, but a filter" eval \
	"grep -P '^CapEff:\t0+\$' $WORK/status && grep -P '^Seccomp:\t2' $WORK/status &&
	grep -P '^NoNewPrivs:\t1' $WORK/status"

# ends PATTERN [SETTING=VALUE]: and nothing of it is left.  What it starts has no
# standard error here, for whose end with() would wait.
ends()
{
	local left=50

	with "$(by_command ${2:-})" "$1" || return
	while is_alive "$(cat "$WORK/pid")" || is_alive "$(cat "$WORK/pid2")"; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 0.1
	done
}
is_alive()
{
	[ -d "/proc/$1" ] && grep -q '^State:.[^Z]' "/proc/$1/status"
}
command "echo \$\$ > $WORK/pid; sleep 61 2> /dev/null & echo \$! > $WORK/pid2; wait"
ok "one that hangs is away in time, and all of it is ended" \
	within 3 ends '"away".*not done after' timeout=3000
command "echo \$\$ > $WORK/pid; sleep 61 2> /dev/null & echo \$! > $WORK/pid2
cat $WORK/attestation"
ok "what it leaves behind is ended, too" ends '"hash":"sha256"'
command "echo \$\$ | tee $WORK/pid > $WORK/pid2; yes"
ok "one that writes without end is ended" ends "$(here "bytes or more")"

# gone_with_worker: its worker is killed meanwhile.
gone_with_worker()
{
	local left=100 pid worker

	rm -f "$WORK/pid"
	by_command timeout=9000 | worker > "$WORK/killed" &
	until [ -s "$WORK/pid" ]; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 0.1
	done
	pid=$(cat "$WORK/pid")
	worker=$(parent_of "$(parent_of "$pid")")
	[ "$(cat "/proc/$worker/comm")" = vault-azure ] && kill -KILL "$worker"
	wait $!
	left=50
	while is_alive "$pid"; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 0.1
	done
}
parent_of()
{
	sed -n 's/^PPid:\t//p' "/proc/$1/status"
}
command "echo \$\$ > $WORK/pid.new; mv $WORK/pid.new $WORK/pid; exec sleep 62"
ok "it ends with its worker" gone_with_worker

# command_ends STATUS PATTERN
command_ends()
{
	command "echo x; exit $1"
	with "$(by_command)" "$2"
}
ok "one that fails is this machine's matter" command_ends 3 "$(here "status 3")"
ok "one that says to try again later is away" command_ends 75 '"away".*again later'
command 'kill -9 $$'
ok "one that is killed is named" with "$(by_command)" "$(here "signal 9")"
command :
ok "one that says nothing, too" with "$(by_command)" "$(here "writes nothing")"
command 'echo no token'
ok "what is no token is not sent" with "$(by_command)" "$(here "no token")"
command "cat $WORK/attestation"
ok "the next one is right" release attestation-file= \
	attestation-command="$WORK/attest"
# A worker that cannot run it any more would be away for ever.
ok "what runs commands does not end without the worker" \
	with "$(by_command | head -n 1; release_of "")
!pkill -KILL -P \$(pgrep -P \$PPID vault-azure)
$(release_of "")" '"hash":"sha256"' 'what runs attestation-command has ended' \
	'^\(ended\)$'
ok "a command that is missing is refused here" \
	with "$(by_command attestation-command="$WORK/none x")" "$(here "No such file")"
ok "one without a path, too" \
	with "$(by_command attestation-command=attest)" "$(here "full path")"
ok "and one beside a file" \
	with "$(released attestation-command="$WORK/attest")" "$(here "either")"
ok "and neither" with "$(released attestation-file=)" "$(here "either")"

# --- attestation by Azure's service ---

AT="attestation-endpoint=https://host.attest.azure.net/attest/SevSnpVm?api-version=2022-08-01"
by_service()
{
	forget_log
	release attestation-file="$WORK/evidence" $AT &&
		[ "$(requests '^attest POST host.attest.azure.net .* \(no token\)')" -eq 1 ]
}
ok "evidence in a file becomes a token, and none of ours goes there" by_service
command "cat $WORK/evidence"
ok "evidence by a command, too" release attestation-file= \
	attestation-command="$WORK/attest" $AT
(umask 077; sed 's/"report": "[^"]*"/"report": "eA"/' "$WORK/evidence" > "$WORK/other")
ok "a host that is not attested is no refusal of the vault's" \
	with "$(released attestation-file="$WORK/other" $AT)" '"refused"' \
	"$(here "does not attest this host")"
ok "a service that is busy is away" under "attest 503" \
	"$(released attestation-file="$WORK/evidence" timeout=2500 $AT)" '"away".*503'
for fault in text array drop:token duplicate; do
	ok "$fault of the service is invalid" under "attest $fault" \
		"$(released attestation-file="$WORK/evidence" $AT)" '"invalid"'
done
ok "a token that is none is not sent on" under 'attest set:token="a\\r\\nb"' \
	"$(released attestation-file="$WORK/evidence" $AT)" "$(here "gives no token")"
for url in http://host.attest.azure.net/attest/x https://host.attest.azure.net \
	https://user@host.attest.azure.net/x; do
	ok "an endpoint like $url is refused" \
		with "$(released "attestation-endpoint=$url")" "$(here "attestation-endpoint is not")"
done

# killed_at FAULTS SETTING=VALUE...: the next worker does what it did not.
killed_at()
{
	local faults=$1

	shift
	worker_killed "$faults" "$(released "$@" | head -n 1)" \
		"$(release_of "")" && release "$@"
}
ok "a worker killed while the vault releases leaves no trace" killed_at "vault pass 1
vault hang:20 1"
ok "nor while the host is attested" killed_at "attest hang:20 1" \
	attestation-file="$WORK/evidence" $AT

no_sanitizer()
{
	! grep -iE "sanitizer|runtime error" "$WORK/replies"
}
ok "no program was wrong in all this" no_sanitizer
finish
