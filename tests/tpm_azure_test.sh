#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Vaults together: a volume under a TPM and Azure Key Vault, of which both are
# needed, until the key in the cloud is disabled; and many volumes at once.
# Azure is azure_server.py, in the same guest.  Needs scripts/vm --tpm.

# shellcheck disable=SC2034,SC2086,SC2317,SC2329 # words; functions that ok runs
# In the guest's own network.
AZURE_NETWORK=guest
. "$(dirname "$0")/azure_lib.sh"

SLOW=${VAULTRING_SLOW:-1}
POLL=8			# seconds
HANDLE=0x81000120
DROP_IN=/etc/systemd/system/vaultringd.service.d/tpm2.conf
CA=/etc/vaultring/azure-ca.pem
SECRET=/etc/vaultring/azure.secret
DISK=/dev/vdb
MOUNT=$WORK/mount
MANY=${VAULTRING_SHORT:+100}
MANY=${MANY:-500}
KEYS=10			# of many volumes
export TPM2TOOLS_TCTI=device:/dev/tpmrm0

tidy()
{
	umount $MOUNT
	vaultring luks close both
	remove_many
	wipefs -aq $DISK
	[ -z "$SERVER" ] || kill "$SERVER"
	umount /etc/hosts /etc/resolv.conf
	ip addr del 169.254.169.254/32 dev lo
	tpm2_evictcontrol -Q -C o -c $HANDLE
	[ ! -e "$WORK/conf" ] || cat "$WORK/conf" > $CONF
	[ ! -e "$WORK/pins" ] || cat "$WORK/pins" > /etc/vaultring/pins
	rm -f $DROP_IN $CA $SECRET $ATTESTATION $RELEASE_CA
	restart
	vaultring vault pin --load
}

restart()
{
	systemctl daemon-reload
	systemctl reset-failed vaultringd
	systemctl restart vaultringd
}

# --- the vaults ---

# operator METHOD PATH [BODY]: as the vault's operator, who has another token than
# the daemon.
operator()
{
	$PYTHON - "$WORK" $TENANT $CLIENT "$@" << 'PYTHON'
import json, ssl, sys, urllib.parse, urllib.request
folder, tenant, client, method, path, *body = sys.argv[1:]
tls = ssl.create_default_context(cafile=folder + "/ca.pem")
def ask(url, data, headers={}, method="POST"):
    request = urllib.request.Request(url, data, headers, method=method)
    return json.load(urllib.request.urlopen(request, context=tls, timeout=30))
form = {"client_id": client, "grant_type": "client_credentials",
        "client_secret": open(folder + "/secret").read(),
        "scope": "https://vault.azure.net/.default"}
token = ask(f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
            urllib.parse.urlencode(form).encode())["access_token"]
print(json.dumps(ask("https://main.vault.azure.net" + path + "?api-version=7.4",
                     body[0].encode() if body else None,
                     {"Authorization": "Bearer " + token,
                      "Content-Type": "application/json"}, method)))
PYTHON
}

enabled()
{
	operator PATCH /keys/disks "{\"attributes\":{\"enabled\":$1}}"
}

cloud()
{
	certificates && network_up && register && server_up &&
		operator POST /keys/disks/create '{"kty":"RSA","key_size":2048}'
}

vaults()
{
	cat $CONF > "$WORK/conf"
	cp /etc/vaultring/pins "$WORK/pins"
	cp "$WORK/ca.pem" $CA && install -o vaultring -m 600 "$SECRET_FILE" $SECRET
	mkdir -p ${DROP_IN%/*}
	cp /usr/share/doc/vaultring/examples/tpm2.conf $DROP_IN
	cat >> $CONF << CONFIG

[vault tpm]
uri = tpm2:handle=$HANDLE
timeout = 15s

[vault azure]
uri = azure:https://main.vault.azure.net/keys/disks
credential = secret
tenant = $TENANT
client-id = $CLIENT
client-secret-file = $SECRET
ca-file = $CA
timeout = 15s
poll = 0

[daemon]
on-refusal = revoke
CONFIG
	restart && vaultring vault init tpm && vaultring vault pin tpm &&
		vaultring vault pin azure && vaultring vault list
}

# --- the KEK ---

# The oracle knows this vault's key, and with the envelope as it was at first all
# that follows: a reseal changes neither.
known_at_first()
{
	new_kek both known && cp "$(envelope_of both)" "$WORK/first.env"
}

needs_both()
{
	vaultring kek reseal both --vault tpm --vault azure --threshold 2 ||
		return
	vaultring kek show both | tee /dev/stderr > "$WORK/show"
	grep -q 'vault tpm, oblivious' "$WORK/show" &&
		grep -q 'vault azure, clear' "$WORK/show" &&
		! cmp "$WORK/first.env" "$(envelope_of both)"
}

# timed SENTENCE CMD...
timed()
{
	local start sentence=$1

	shift
	start=$(date +%s%N)
	"$@" || return
	echo "# $sentence: $((($(date +%s%N) - start) / 1000000)) ms" >&3
}

fresh_unseal()
{
	vaultring kek revoke "$1"
	timed "one unseal of KEK $1" vaultring kek unseal "$1"
}

of_one_vault()
{
	new_kek hsm known && fresh_unseal hsm && new_kek local tpm &&
		fresh_unseal local && fresh_unseal both
}

# --- the volume ---

volume()
{
	mkdir -p $MOUNT
	vaultring luks format $DISK --kek both --yes &&
		vaultring luks open $DISK both &&
		mkfs.ext4 -q /dev/mapper/both && mount /dev/mapper/both $MOUNT &&
		echo "both guard this" > $MOUNT/file && umount $MOUNT &&
		vaultring luks close both
}

opens_cold()
{
	vaultring kek revoke both
	forget_log
	timed "opening a volume, KEK sealed" vaultring luks open $DISK both &&
		[ "$(requests unwrapkey)" -eq 1 ] &&
		mount /dev/mapper/both $MOUNT && grep "both guard" $MOUNT/file
}

no_secret_is_seen()
{
	local status

	cryptsetup token export --token-id 0 $DISK | $PYTHON -c '
import base64, json, sys
sys.stdout.buffer.write(base64.b64decode(json.load(sys.stdin)["blob"]))' \
		> "$WORK/volume.blob"
	(while :; do head -c 256K /dev/urandom > $MOUNT/noise; sync; done) &
	$PYTHON "$HERE/hunt.py" --kek "$WORK/first.env" $KNOWN \
		--blob "$WORK/volume.blob" /run /var/lib/vaultring \
		/etc/vaultring /var/log > "$WORK/hunt" 2>&1
	status=$?
	kill $!
	cat "$WORK/hunt"
	grep -q "^searched: .*vault-azure.*vault-tpm2.*vaultringd" "$WORK/hunt" &&
		[ $status -eq 0 ]
}

# Its requests are those of unseals, but for what follows.
poll_each()
{
	sed -i "/^\[vault azure\]/,/^\[/s/^poll = .*/poll = $1/" $CONF && restart
}

# Reads the volume, past the cache, until that fails; how long it took.
killed_in_time()
{
	local left=$((200 * SLOW))

	# A first no, before the vault has once agreed, could be a mistyped name.
	forget_log
	poll_each ${POLL}s || return
	until [ "$(requests unwrapkey)" -gt 0 ]; do
		left=$((left - 1))
		[ $left -gt 0 ] || return
		sleep 0.1
	done
	$PYTHON - /dev/mapper/both 60 > "$WORK/killed" << 'PYTHON' &
import mmap, os, sys, time
page = mmap.mmap(-1, 4096)
disk = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
print("reading", flush=True)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    try:
        os.preadv(disk, [page], 0)
    except OSError:
        print("killed", int(time.time() * 1000))
        break
    time.sleep(0.02)
PYTHON
	until grep -q reading "$WORK/killed"; do sleep 0.1; done
	enabled false || return
	DISABLED=$(date +%s%3N)
	wait $!
	cat "$WORK/killed"
	took=$(($(sed -n 's/^killed //p' "$WORK/killed") - DISABLED))
	echo "# killed $took ms after the key was disabled, with a poll each $POLL s" >&3
	[ $took -gt -2000 ] && [ $took -le $(((POLL + SLOW) * 1000)) ]
}

closed()
{
	umount $MOUNT
	vaultring luks close both && [ ! -e /dev/mapper/both ]
}

opens_again()
{
	poll_each 0 && enabled true && vaultring vault check azure &&
		vaultring luks open $DISK both && mount /dev/mapper/both $MOUNT &&
		grep "both guard" $MOUNT/file && closed
}

# --- another version of the key ---

RESEAL=vaultring-reseal.service

# Told with a poll; until then a reseal has no reason.
rotated()
{
	local left=$((200 * SLOW))

	operator POST /keys/disks/create '{"kty":"RSA","key_size":2048}' || return
	until vaultring vault list | tee /dev/stderr |
		grep "azure: has a new version.*kek reseal --newer"; do
		left=$((left - 1))
		[ $left -gt 0 ] || return
		sleep 0.2
	done
}

cloud_share()
{
	vaultring kek show both | grep 'vault azure, clear'
}

first_rotation()
{
	cloud_share > "$WORK/share" && vaultring kek reseal --newer |
		grep "no vault has a newer key" && poll_each 2s && rotated
}

# moved CMD...: it leaves the KEK with another vault key, and able to open.
moved()
{
	local id

	id=$(vaultring kek show both | grep '^id') && "$@" &&
		cloud_share > "$WORK/now" && ! cmp "$WORK/now" "$WORK/share" &&
		mv "$WORK/now" "$WORK/share" && vaultring kek revoke both &&
		vaultring kek unseal both &&
		[ "$(vaultring kek show both | grep '^id')" = "$id" ] &&
		vaultring kek reseal --newer | grep "no vault has a newer key"
}

# As root's policy: once it is not, then it is allowed to trust.
by_the_service()
{
	! systemctl start $RESEAL &&
		journalctl -u $RESEAL | grep "vault azure.*not trusted" || return
	mkdir -p /run/systemd/system/$RESEAL.d
	printf '[Service]\nEnvironment=OPTIONS=--pin\n' \
		> /run/systemd/system/$RESEAL.d/pin.conf
	systemctl daemon-reload
	systemctl start $RESEAL && return
	journalctl -u $RESEAL
	return 1
}

next_rotation()
{
	local status

	rotated && moved by_the_service
	status=$?
	rm -rf /run/systemd/system/$RESEAL.d
	poll_each 0 && [ $status -eq 0 ]
}

# --- a sealed share ---

ATTESTATION=/etc/vaultring/azure.attestation
RELEASE_CA=/etc/vaultring/azure-release-ca.pem

# A key that the cloud releases, for the transport key of this kernel.
released_key()
{
	local bytes left=$((20 * SLOW))

	bytes=$(head -c 32 /dev/urandom | basenc --base64url | tr -d =)
	until vaultring transport show > "$WORK/kernel.pem"; do
		left=$((left - 1))
		[ $left -gt 0 ] || return
	done
	$PYTHON "$HERE/azure_release.py" attest "$WORK" \
			"$WORK/kernel.pem" || return
	cp "$WORK/release-ca.pem" $RELEASE_CA
	install -o vaultring -m 400 "$WORK/attestation" $ATTESTATION
	operator PUT /keys/released "{\"key\":{\"kty\":\"oct-HSM\",\"k\":\"$bytes\",
		\"key_ops\":[\"release\"]},\"attributes\":{\"exportable\":true},
		\"release_policy\":{\"data\":\"e30\"}}" || return
	cat >> $CONF << CONFIG

[vault released]
uri = azure:https://main.vault.azure.net/keys/released
method = sealed
credential = secret
tenant = $TENANT
client-id = $CLIENT
client-secret-file = $SECRET
ca-file = $CA
attestation-file = $ATTESTATION
release-ca-file = $RELEASE_CA
timeout = 15s
poll = 0
CONFIG
	restart && vaultring vault pin released
}

opens_sealed()
{
	vaultring kek create released --vault released &&
		vaultring kek show released | grep 'vault released, sealed' &&
		vaultring kek revoke released || return
	forget_log
	timed "one unseal of a released key" vaultring kek unseal released &&
		[ "$(requests '/release\?')" -eq 1 ]
}

# The vault was told of another key: it releases, and the kernel has no use for it.
opens_for_no_other()
{
	vaultring kek revoke released
	$PYTHON "$HERE/azure_release.py" new "$WORK" > "$WORK/other.spki" || return 125
	cat "$WORK/attestation" > $ATTESTATION
	vaultring kek unseal released
}

# --- many volumes ---

remove_many()
{
	udevadm control --stop-exec-queue
	dmsetup ls --target crypt | sed -n 's/^\(many[0-9]*\).*/\1/p' |
		xargs -r dmsetup remove --noudevsync
	# It has so much to look at that it may not answer in time.
	udevadm control --start-exec-queue
	! dmsetup ls --target crypt | grep '^many'
}

data_keys()
{
	local i

	wipefs -aq $DISK
	for i in $(seq 0 $((KEYS - 1))); do
		vaultring dek new --kek both --use xts -o "$WORK/many.$i" || return
	done
}

# Volumes of eight sectors side by side; they take some 2 MiB each.
open_many()
{
	vaultring kek revoke both
	forget_log
	udevadm control --stop-exec-queue
	timeout $((400 * SLOW)) $PYTHON - $MANY $DISK "$WORK"/many.* << 'PYTHON'
import subprocess, sys, time
many, disk, keys = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
keys = [open(key, "rb").read().hex() for key in keys]
start, running = time.monotonic(), []
for i in range(many):
    running.append(subprocess.Popen(
        ["dmsetup", "create", f"many{i}", "--noudevsync"], text=True,
        stdin=subprocess.PIPE))
    running[-1].stdin.write("0 8 crypt capi:xts(paes)-plain64 "
                            f"{keys[i % len(keys)]} 0 {disk} {8 * i}")
for process in running:
    process.stdin.close()
failed = sum(process.wait() != 0 for process in running)
print(f"{many} volumes in {time.monotonic() - start:.1f} s, {failed} failed")
sys.exit(failed != 0)
PYTHON
	local status=$?

	dmsetup ls --target crypt | grep -c '^many'
	echo "requests to Azure: $(requests unwrapkey)"
	echo "# $MANY volumes at once: $(requests unwrapkey) unwrapKey, $(requests \
		'^vault') requests in all" >&3
	[ $status -eq 0 ] && [ "$(requests unwrapkey)" -eq 1 ] &&
		[ "$(dmsetup ls --target crypt | grep -c '^many')" -eq $MANY ]
}

exec 3>&1
must known_vault
ok "a cloud is there" cloud
ok "a TPM and a key in the cloud are pinned" vaults
[ $FAILED -eq 0 ] || finish
ok "a KEK of a known vault" known_at_first
ok "is resealed for the TPM and the cloud, both of which are needed" needs_both
ok "unseals take their time" of_one_vault
ok "a volume under it" volume
ok "opens with one request to the cloud" opens_cold
ok "no secret is anywhere in userspace" no_secret_is_seen
ok "the key disabled, the volume is dead after a poll" killed_in_time
ok "it is closed" closed
refused "it does not open again, and says why" "azure refused.*disabled" \
	vaultring luks open $DISK both
ok "enabled, it does" opens_again
ok "another version of the key is told" first_rotation
refused "until it is trusted the KEK stays where it is" \
	"vault azure.*not trusted.*vault pin azure" vaultring kek reseal --newer
ok "with --pin the KEK moves to it" moved vaultring kek reseal --newer --pin
ok "the service does so, and trusts if it may" next_rotation
ok "the cloud releases a key to this kernel" released_key
ok "and that alone opens a KEK" opens_sealed
refused "released to another one, it opens nothing" \
	"vault released.*not the vault's key, released for this transport key" \
	opens_for_no_other
ok "data keys for many volumes" data_keys
ok "$MANY volumes opened at once are one request to the cloud" open_many
ok "they are removed" remove_many
finish
