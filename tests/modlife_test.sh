#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The module's life: loading, unloading, what keeps it and what does not, and
# who has it loaded.  What is done many times is in modlife_test.c.
#
# seconds at most: 1400

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

KEK=module
DISK=/dev/vdb
ROUNDS=1000
[ -z "${VAULTRING_SHORT:-}" ] || ROUNDS=200
OTHER_NAMES="vaultring=vaultrinx vault-kek=vault-kex vault-dek=vault-dex"
OTHER_ALGORITHMS="xts-paes-vaultring=xts-paes-vaultrinx
	cbc-paes-vaultring=cbc-paes-vaultrinx
	ctr-paes-vaultring=ctr-paes-vaultrinx
	gcm-paes-vaultring=gcm-paes-vaultrinx
	phmac-sha256-vaultring=phmac-sha256-vaultrinx"
# What the kernel says of itself.
ITS_OWN="Key type vault-.*registered|drop_caches|audit|alg: No test|PF_ALG|AF_ALG|af_alg|hrtimer: interrupt took|self-tests passed"
MODULE=/lib/modules/$(uname -r)/updates/vaultring.ko

tidy()
{
	dmsetup remove autoload
	vaultring luks close module
	wipefs -aq $DISK
	rmmod vaultrinx
	modprobe vaultring
	systemctl start systemd-udevd
}

open_volume()
{
	vaultring luks format $DISK --kek $KEK --yes &&
		vaultring luks open $DISK module
}

alive()
{
	dd if=/dev/mapper/module of=/dev/null bs=4k count=1 iflag=direct
}

loaded()
{
	[ -d /sys/module/vaultring ]
}

# The kernel's own thread that tests a new algorithm may hold the module for a
# moment longer than loading takes.
unload()
{
	local tries=0

	until ! loaded || rmmod vaultring; do
		tries=$((tries + 1))
		[ $tries -lt 20 ] || return
		sleep 0.05
	done
	! loaded
}

reload()
{
	modprobe vaultring && systemctl start vaultringd &&
		vaultring kek unseal $KEK && vaultring luks open $DISK module &&
		alive
}

forgets()
{
	! vaultring kek list --json | grep -q '"active"'
}

log_names_no_key()
{
	! dmesg | grep -iE 'vaultring.*[0-9a-f]{64}'
}

daemon_without_module()
{
	timeout 20 /usr/sbin/vaultringd
}

# silently CMD...: the kernel says no more than what it says of itself.
silently()
{
	local follower status

	dmesg --follow-new > "$WORK/log" &
	follower=$!
	"$@"
	status=$?
	sleep 1
	kill $follower
	! grep -vE "$ITS_OWN" "$WORK/log" | head -n 20 | grep . && return $status
}

# What the kernel has said since the mark.
said_since()
{
	dmesg | sed "1,/$1/d"
}

aliases()
{
	modinfo -F alias vaultring | sed -n 's/^crypto-\(.*(.*)\)$/\1/p' | sort -u
}

# Each algorithm of ours has its alias and is found by it, as the kernel does.
each_algorithm_loads_it()
{
	local name

	modprobe vaultring
	awk '/^name/ { name = $3 } /^module *: vaultring$/ { print name }' \
		/proc/crypto | sort -u > "$WORK/algorithms"
	[ "$(wc -l < "$WORK/algorithms")" -ge 3 ] || return
	aliases | diff "$WORK/algorithms" - || return
	while read -r name; do
		unload || return
		modprobe -q -- "crypto-$name"
		loaded || {
			echo "crypto-$name does not load it"
			return 1
		}
	done < "$WORK/algorithms"
}

# dm-crypt has it loaded; then it refuses the key, which is no blob.
dm_crypt_loads_it()
{
	unload || return
	! dmsetup create autoload --table \
		"0 8 crypt capi:xts(paes)-plain64 $(printf '%0272d' 0) 0 $DISK 0" &&
		loaded
}

cryptsetup_loads_it()
{
	systemctl stop vaultringd
	unload || return
	! cryptsetup open --key-size 1088 --volume-key-file "$WORK/blob" \
		$DISK module && loaded && systemctl start vaultringd &&
		cryptsetup open --key-size 1088 --volume-key-file "$WORK/blob" \
			$DISK module && alive && cryptsetup close module
}

save_blob()
{
	cryptsetup token export --token-id 0 $DISK |
		sed 's/.*"blob": *"\([^"]*\)".*/\1/' | tr -d '\134' |
		base64 -d > "$WORK/blob"
	[ "$(wc -c < "$WORK/blob")" -eq 136 ]
}

boot_loads_it()
{
	unload || return
	grep -qx vaultring /usr/lib/modules-load.d/vaultring.conf &&
		systemctl restart systemd-modules-load && loaded
}

modinfo_says()
{
	local field value

	for field in description author license version vermagic srcversion \
		softdep parm; do
		value=$(modinfo -F $field vaultring)
		echo "$field: $value"
		[ -n "$value" ] || return
	done
	# Where all of these are built in it depends on no module.
	case $(uname -r) in
	*-vaultring-*) ;;
	*) [ -n "$(modinfo -F depends vaultring)" ] || return ;;
	esac
	[ "$(modinfo -F license vaultring)" = GPL ] &&
		vaultring --version | grep -F "$(modinfo -F version vaultring)"
}

takes_parameter()
{
	unload || return
	modprobe vaultring upcall_timeout_ms=1234 &&
		grep -qx 1234 /sys/module/vaultring/parameters/upcall_timeout_ms
}

without_module()
{
	unload || return
	"$@"
}

# copy_with OLD=NEW...: another module that has the names but for these.  Its
# own name is vaultrinx, and its cache is its own: debug kernels warn of two with
# one name.
copy_with()
{
	python3 - $MODULE "$WORK/copy.ko" "$@" << 'PYTHON'
import sys
data = open(sys.argv[1], "rb").read()
# The module's own name, between the links and the rest of a longer array.
name = bytes(8) + b"vaultring" + bytes(40)
pairs = [(name, name.replace(b"g", b"x")), (b"\0vr_kek\0", b"\0vr_kex\0")]
# The family's name and version, as in struct genl_family.
family = bytes(7) + b"\1\0\0\0"
for pair in sys.argv[3:]:
    old, new = pair.encode().split(b"=")
    end = family if old == b"vaultring" else b"\0"
    pairs.append((old + end, new + end))
for old, new in pairs:
    assert old in data and len(old) == len(new), old
    data = data.replace(old, new)
open(sys.argv[2], "wb").write(data)
PYTHON
}

ours()
{
	grep -c '^module *: vaultring$' /proc/crypto
}

# clash PART OLD=NEW...: a second module comes as far as that part and leaves
# the first one as it was.  ("File exists" would be "loaded" to modprobe.)
clash()
{
	local part=$1 before mark="modlife_test: $*"

	shift
	copy_with "$@" || return
	before=$(ours)
	echo "$mark" > /dev/kmsg
	insmod "$WORK/copy.ko" 2>&1 | tee /dev/stderr | grep "busy" || return
	said_since "$mark" | grep -E "vaultrin.: $part: (-EEXIST|-17); another" &&
		! said_since "$mark" | grep -E 'WARNING|BUG|suspicious|sysfs' &&
		[ "$before" -ge 3 ] && [ "$(ours)" = "$before" ] &&
		! grep -q '^vaultrinx' /proc/modules /proc/crypto &&
		vaultring kek unseal $KEK &&
		vaultring dek new --kek $KEK --use xts -o "$WORK/clash" &&
		rm "$WORK/clash"
}

# Older kernels do not compare the names of two drivers that are registered.
refuses_twins()
{
	case $(uname -r) in
	6.1.*) return 1 ;;
	esac
}

many()
{
	"$HERE/modlife_test" "$@"
}

must new_kek $KEK
ok "modinfo says all that there is to say" modinfo_says
ok "a volume is open" open_volume
ok "its blob is saved" save_blob
systemctl stop vaultringd
refused "unloading it is refused while a volume is open" "in use" \
	rmmod vaultring
ok "the volume is alive after that" alive
ok "the volume closes" vaultring luks close module
ok "the module unloads when nothing uses it" unload
refused "the daemon says that the module is missing" "module|modprobe" \
	daemon_without_module
ok "each of its algorithms has it loaded" each_algorithm_loads_it
ok "dm-crypt has it loaded" dm_crypt_loads_it
ok "stock cryptsetup has it loaded" cryptsetup_loads_it
systemctl stop vaultringd
ok "the boot has it loaded" boot_loads_it
ok "it takes its parameter" takes_parameter
refused "a parameter that is no number is refused" "invalid|parameter" \
	without_module modprobe vaultring upcall_timeout_ms=soon
ok "after that it loads" modprobe vaultring
ok "it forgets its KEKs" forgets
systemctl start vaultringd
ok "another of its netlink family is refused" clash "netlink family"
ok "another of its key type vault-kek is refused" clash "key type vault-kek" \
	vaultring=vaultrinx
ok "another of its key type vault-dek is refused" clash "key type vault-dek" \
	vaultring=vaultrinx vault-kek=vault-kex
if refuses_twins; then
	ok "another of its algorithms is refused" clash "transforms" \
		$OTHER_NAMES
	ok "another of one of them is refused, and the others go" \
		clash "transforms" $OTHER_NAMES \
		xts-paes-vaultring=xts-paes-vaultrinx
	ok "another of its last algorithm is refused" clash "key wrap" \
		$OTHER_NAMES $OTHER_ALGORITHMS
else
	skip "another of its algorithms is refused" \
		"this kernel takes two of one driver's name"
fi
# Its workers would do nothing but look at each of so many events.
systemctl stop vaultringd 'systemd-udevd*'
ok "it unloads for what comes now" unload
ok "loading and unloading it $ROUNDS times leaves nothing" \
	silently many reload $ROUNDS
head -n 20 "$OUT" | sed 's/^/# /'
systemctl start systemd-udevd
ok "with everything in use it stays; keys and sockets do not keep it" \
	silently many live $((ROUNDS / 20))
head -n 20 "$OUT" | sed 's/^/# /'
ok "loading and unloading goes well with whatever runs" \
	silently many race 15
head -n 20 "$OUT" | sed 's/^/# /'
ok "loaded again, everything works" reload
ok "the kernel's log shows no key" log_names_no_key
finish
