#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Games with links and permissions where files are kept: /var/lib/vaultring, /etc, and
# folders that everybody may write to.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attack_lib.sh"

VICTIM=/etc/adversary-victim
SHARED=/tmp/adversary-shared

tidy()
{
	rm -rf $VICTIM $SHARED
	rm -f $ENVELOPES/linked@1.env $ENVELOPES/fifo@1.env
	restart_daemon
}

# Nobody but the daemon gets at its folder, whatever its umask was.
folder_is_closed()
{
	[ "$(stat -c '%a %U' /var/lib/vaultring)" = "700 vaultring" ] &&
		! as_nobody ls /var/lib/vaultring &&
		! as_nobody ln -s /etc/shadow $ENVELOPES/x@1.env &&
		! as_nobody touch /var/lib/vaultring/x
}

settings_are_roots()
{
	local file

	for file in /etc/vaultring /etc/vaultring/vaultring.conf \
		/etc/vaultring/pins; do
		stat -c '%a %U %n' $file
		[ "$(stat -c %U $file)" = root ] &&
			! as_its_user test -w $file || return
	done
}

as_its_user()
{
	setpriv --reuid vaultring --regid vaultring --clear-groups "$@"
}

# As one who has the daemon's user: another file's content must not come out.
linked_envelope()
{
	echo "a secret of root" > $VICTIM
	chmod 600 $VICTIM
	as_its_user ln -s $VICTIM $ENVELOPES/linked@1.env &&
		as_its_user mkfifo $ENVELOPES/fifo@1.env || return
	restart_daemon && vaultring kek list && held state
	vaultring kek unseal linked
	vaultring kek unseal fifo
	! journalctl -q -b -u vaultringd | grep "a secret of root" &&
		held state && [ "$(cat $VICTIM)" = "a secret of root" ]
}

# He puts links where root's tools are about to write.
shared_folder()
{
	mkdir -p $SHARED && chmod 1777 $SHARED && echo whole > $VICTIM &&
		as_nobody ln -s $VICTIM $SHARED/blob
}

write_there()
{
	vaultring dek new --kek state --use xts -o $SHARED/blob "$@"
}

victim_is_whole()
{
	[ "$(cat $VICTIM)" = whole ]
}

# The socket: who connects is told apart by the kernel.
socket_is_kept()
{
	! as_nobody rm /run/vaultring/vaultringd.sock &&
		! as_nobody sh -c 'echo > /run/vaultring/x' &&
		vaultring vault check hsm
}

# A PIN that others could read is not used.
open_pin()
{
	local status mode

	mode=$(stat -c %a /etc/vaultring/hsm.pin)
	chmod 644 /etc/vaultring/hsm.pin
	restart_daemon
	vaultring kek revoke state
	vaultring kek unseal state
	status=$?
	chmod "$mode" /etc/vaultring/hsm.pin
	restart_daemon
	return $status
}

must new_kek state
ok "nobody else gets at the daemon's folder" folder_is_closed
ok "nor does the daemon at what binds it" settings_are_roots
ok "envelopes that are links or no files are passed over" linked_envelope
must shared_folder
refused "root's tool does not write through another user's link" "exist" \
	write_there
refused "nor when it is told to replace what is there" "not a regular file" \
	write_there --force
ok "what the link points to is whole" victim_is_whole
ok "the socket's folder is the daemon's" socket_is_kept
refused "a PIN that others can read is refused" "everybody|PIN" open_pin
ok "and serves again when it is closed" vaultring kek unseal state
finish
