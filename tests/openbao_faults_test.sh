#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The OpenBao worker while somebody between it and a real server does what he
# should not, or the server itself does.  See openbao_test.sh for PROGRAMS and
# OPENBAO.

# shellcheck disable=SC2086,SC2119,SC2317,SC2329 # words; functions that ok runs
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/openbao_lib.sh"
export DRIVE_TIMES=yes

right='"secret":'

# fault KIND CONFIGURATION LINE PATTERN...: of all but logins and the like.
fault()
{
	local kind=$1 configuration=$2 line=$3

	shift 3
	under "server $kind" with "$(proxied $configuration; echo "$line")" "$@"
}

# within SECONDS CMD...: no answer takes longer.
within()
{
	local limit=$1 longest

	shift
	"$@" || return
	longest=$(sed -n 's/^(answered in \([0-9]*\) ms)$/\1/p' "$REPLIES" |
		sort -n | tail -n 1)
	[ "$longest" -le $((limit * 1000)) ]
}

# --- TLS ---

# tls ADDRESS PATTERN
tls()
{
	with "$(configure uri=openbao:https://$1:8300/transit/root; unwrap)" \
		"$AWAY.*$2" && said 0 '"here"'
}

# --- whose no it is ---

not_the_servers_no()
{
	fault html:403 "" "$(unwrap)" "$AWAY.*403" &&
		fault html:404 "" "$(poll)" "$AWAY.*404" &&
		fault 403 "" "$(poll)" "$AWAY.*not in the way" &&
		fault redirect:$SERVER/v1/x "" "$(poll)" "$AWAY.*elsewhere"
}

# In its format, and not in its words.
nor_is_this()
{
	local kind

	for kind in no-words other-words objects text-and-object no-words-400; do
		fault $kind "" "$(poll)" "$AWAY.*not in the way" || return
	done
	fault no-words-404 "" "$(poll)" "$REFUSED.*is not there" && said 0 '"here"'
}

# Which has a list without an error that says so.
no_login_for_it()
{
	under "server html:403" with "$(proxied_role; poll; poll)" "$AWAY" &&
		[ "$(passed '^login')" -eq 1 ]
}

# --- what it says ---

false_answers()
{
	fault text "" "$(unwrap)" "$INVALID" &&
		fault array "" "$(unwrap)" "$INVALID" &&
		fault no-body "" "$(poll)" "$INVALID" &&
		fault twice "" "$(unwrap)" "$INVALID" &&
		fault short "" "$(unwrap)" "$INVALID.*30 bytes" &&
		fault long "" "$(unwrap)" "$INVALID" &&
		fault bad-base64 "" "$(unwrap)" "$INVALID" &&
		fault other-key "" "$(poll)" "$INVALID.*another value"
}

many_versions()
{
	within 4 fault versions "" "$(unwrap_with "$(spki_of victim 1)" root \
		"$(random)")" "$REFUSED.*none of its versions"
}

# What is not a ciphertext of the right size must not be passed on, and somebody
# has to know.
plaintext()
{
	local sealed

	sealed="method=sealed host-key=host token-file=$WORK/root-token
		key-version=1 uri=openbao:$PROXY/transit/kek"
	fault plaintext "$sealed" "$(release)" "$INVALID.*32 bytes" &&
		wait_for grep "gave key kek in the clear" "$WORK/said.stderr" &&
		fault two-keys "$sealed" "$(release)" "$INVALID.*2 keys"
}

# echoed FAULT CONFIGURATION SECRET-FILE PATTERN
echoed()
{
	local text

	text=$(cat "$3")
	under "$1" with "$($2; poll)" "$4" &&
		[ ${#text} -gt 20 ] && ! grep -F -- "$text" "$REPLIES"
}

echoes()
{
	echoed "server echo-403" proxied "$WORK/token" "$REFUSED.*left out" &&
		echoed "server echo-500" proxied "$WORK/token" "$AWAY.*left out" &&
		echoed "server echo-type" proxied "$WORK/token" \
			"$INVALID.*secret of ours as .*type" &&
		echoed "login echo-400" proxied_role "$WORK/secret-id" \
			"$REFUSED.*left out" &&
		echoed "login echo-500" proxied_role "$WORK/secret-id" \
			"$AWAY.*left out" &&
		echoed "server echo-id" proxied_role "$WORK/secret-id" \
			"$REFUSED.*left out"
}

# --- busy, broken ---

waits()
{
	fault "429:1 2" timeout=9 "$(unwrap)" "$right" &&
		[ "$(passed '^server')" -ge 4 ] &&
		within 3 fault 429:60 "" "$(unwrap)" "$AWAY"
}

again()
{
	fault "500 1" "" "$(unwrap)" "$right" &&
		fault "503 1" "" "$(unwrap)" "$right" &&
		within 4 fault 503 timeout=3 "$(unwrap)" "$AWAY.*503" &&
		[ "$(passed '^server')" -ge 2 ] && [ "$(passed '^server')" -le 6 ]
}

cut_off()
{
	fault cut-headers timeout=3 "$(unwrap)" "$AWAY" &&
		fault cut-body timeout=3 "$(unwrap)" "$AWAY"
}

slow()
{
	within 3 fault drip timeout=2 "$(unwrap)" "$AWAY" &&
		within 3 fault hang timeout=2 "$(unwrap)" "$AWAY"
}

too_much()
{
	fault headers "" "$(unwrap)" "$INVALID.*headers" &&
		fault flood "" "$(unwrap)" "$INVALID.*more than 64 KiB" &&
		fault flood-chunked "" "$(unwrap)" "$INVALID.*more than 64 KiB"
}

# --- tokens ---

# The server was not to be asked when the token was taken from its file.
late_lookup()
{
	policy_token clear -ttl=24s > "$WORK/late"
	under "lookup-self 503 1" with "$(proxied token-file=$WORK/late; unwrap
		echo '!sleep 6'; unwrap
		echo '!sleep 7'; unwrap
		echo '!sleep 15'; unwrap)" && said 4 "$right" &&
		[ "$(passed '^lookup-self')" -eq 2 ] &&
		[ "$(passed '^renew-self')" -ge 1 ]
}

# renewal_fails KIND: costs an answer little time, and not each.
renewal_fails()
{
	policy_token clear -ttl=40s > "$WORK/fails"
	within 4 under "renew-self $1" with "$(proxied token-file=$WORK/fails \
		timeout=8; unwrap; echo '!sleep 11'; unwrap; unwrap; unwrap)" &&
		said 4 "$right" && [ "$(passed '^renew-self')" -eq 1 ]
}

# --- a proxy that is meant to be there ---

# tunnelled HOW PATTERN
tunnelled()
{
	local pid status

	$PYTHON "$HERE/openbao_peer.py" tunnel 8400 "$1" &
	pid=$!
	wait_for eval ': < /dev/tcp/127.0.0.1/8400'
	HTTPS_PROXY=http://127.0.0.1:8400 with "$(configure; unwrap)" "$2"
	status=$?
	# The next one takes its place when it is gone, not before.
	kill $pid
	wait $pid
	return $status
}

# --- its own end ---

# ends HOW: long before the server lets it, or the request's time is over.
ends()
{
	local lines

	lines=$(proxied timeout=60; poll)
	under "server hang:60" peer ends "$PROGRAMS/vault-openbao" "$lines" "$1" |
		tee /dev/stderr | grep -q 'after [123] s'
}

# killed_at FAULTS CONFIGURATION LINE PATTERN: the next worker does what it did not.
killed_at()
{
	under "$1" with "$2
$(kill_worker vault-openbao)
$3" '^\(ended\)$' && with "$2
$3" "$4"
}

killed_while_it_exports()
{
	killed_at "server pass 2
server hang:20 1" "$(proxied method=sealed host-key=host key-version=1 \
		token-file="$WORK/root-token" uri="openbao:$PROXY/transit/kek")" \
		"$(release)" '"wrapped":'
}

start
ok "through the proxy all is well" fault pass "" "$(unwrap)" "$right"
ok "a server with an expired certificate is away" \
	tls 127.0.0.3 'certificate has expired'
ok "one that speaks TLS 1.1 alone is away" \
	tls 127.0.0.6 'protocol version|unsupported protocol|alert'
ok "one that speaks plain HTTP is away" \
	tls 127.0.0.7 'wrong version number|record|http request'

ok "what stands in between cannot say the server's no" not_the_servers_no
ok "nor in its format, without its words" nor_is_this
ok "and makes nobody log in anew" no_login_for_it
ok "answers that cannot be right are invalid" false_answers
ok "two thousand million versions take no time" many_versions
ok "plaintext in place of a wrapped key is invalid, and told" plaintext
ok "a server that shows our secrets is not quoted" echoes

ok "429 is waited for as long as it says, if there is time" waits
ok "500 and 503 are tried again, and away when they stay" again
ok "answers that are cut off are away" cut_off
ok "those that do not end are away in time" slow
ok "those of 10 MiB are invalid" too_much

ok "a token is looked up when that is possible again" late_lookup
ok "a renewal that fails is not tried at each request" renewal_fails 503
ok "one that hangs costs a quarter of one request's time" renewal_fails hang
ok "an HTTP proxy is used, and what it says of itself ignored" \
	tunnelled much "$right"
ok "its no is not the server's" tunnelled no "$AWAY.*403"
ok "a worker killed while it logs in leaves no trace" \
	killed_at "login hang:20 1" "$(proxied_role)" "$(unwrap)" "$right"
ok "nor while it reads the key" \
	killed_at "server hang:20 1" "$(proxied)" "$(unwrap)" "$right"
ok "nor while the server decrypts" killed_at "server pass 1
server hang:20 1" "$(proxied)" "$(unwrap)" "$right"
ok "nor while it exports" killed_while_it_exports
ok "told to end, a worker does not wait for the server" ends term
ok "nor when the daemon dies" ends orphan
ok "the sanitizers have found nothing" nothing_found
finish
