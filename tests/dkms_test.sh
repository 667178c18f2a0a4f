#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The module by way of DKMS: built and signed here, replaced by a newer version,
# built for a new kernel when that is installed, loaded under it, removed.
#
# seconds at most: 2800
#
# A second kernel's packages are in /opt/other-kernel.  The test goes on under
# that kernel: guest_run runs it again after the boot.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/lib.sh"

KEK=dkms
STATE=/var/lib/dkms_test
BLOB=$STATE/blob
VERSION=$(modinfo -F version vaultring)
NAME=vaultring/$VERSION
NEWER=9.9

# On to another boot: what was there must stay.
goes_on()
{
	[ -e $STATE/goes_on ]
}

tidy()
{
	goes_on && exit
	dkms remove $NAME --all
	dkms remove vaultring/$NEWER --all
	rm -rf $STATE /usr/src/vaultring-$NEWER
}

without_complaint()
{
	"$@" > "$WORK/said" 2>&1 < /dev/null || {
		cat "$WORK/said"
		cat /var/lib/dkms/vaultring/*/build/make.log
		return 1
	}
	! grep -iE 'warning|deprecated|error|fail' "$WORK/said"
}

# state VERSION KERNEL: what DKMS says of it.
state()
{
	dkms status | tee /dev/stderr | sed 's/: */,/; s/ *(.*//; s/, */,/g' |
		awk -F , -v which="vaultring/$1" -v kernel="$2" \
			'$1 == which && $2 == kernel { print $4 }'
}

file_of()
{
	echo /lib/modules/$1/updates/dkms/vaultring.ko*
}

# The one that modprobe takes is DKMS's, and it is signed.
taken()
{
	modinfo -k "$1" -n vaultring
	[ "$(modinfo -k "$1" -n vaultring)" = "$(file_of "$1")" ] &&
		[ -n "$(modinfo -k "$1" -F sig_key vaultring)" ] &&
		modinfo -k "$1" -F vermagic vaultring | grep -F "$1 "
}

installed()
{
	[ "$(state $VERSION "$1")" = installed ] && taken "$1"
}

unloads()
{
	systemctl stop vaultringd
	keyctl clear @u
	rmmod vaultring
}

works()
{
	rm -f $BLOB
	vaultring dek new --kek $KEK --use xts -o $BLOB && opens
}

# The kernel takes a blob only if it opens, and no other in the place of one.
opens()
{
	keyctl unlink %vault-dek:dkms @u
	keyctl padd vault-dek dkms @u < $BLOB &&
		vaultring doctor --json | tr -d ' \n' |
		grep -F '"check":"module","state":"ok"'
}

loads()
{
	modprobe vaultring && systemctl start vaultringd && new_kek $KEK &&
		works
}

# What a reader of README.md has: make install came first.
make_install_first()
{
	[ "$(modinfo -n vaultring)" = \
		"/lib/modules/$(uname -r)/updates/vaultring.ko" ] && unloads
}

make_install_again()
{
	mkdir -p "$WORK/tree" &&
		tar -xzf "$HERE/source.tar.gz" -C "$WORK/tree" || return
	touch "$WORK/tree/vaultring.ko"
	make -C "$WORK/tree" -o module install-module | tee /dev/stderr |
		grep -F "dkms build --force $NAME" &&
		[ ! -e "/lib/modules/$(uname -r)/updates/vaultring.ko" ] &&
		taken "$(uname -r)"
}

# A newer version: the files that DKMS looks at, and a module of one line.
newer_version()
{
	local source=/usr/src/vaultring-$NEWER

	mkdir -p $source
	sed "s/^PACKAGE_VERSION=.*/PACKAGE_VERSION=\"$NEWER\"/" \
		/usr/src/vaultring-$VERSION/dkms.conf > $source/dkms.conf
	echo "obj-m := vaultring.o" > $source/Kbuild
	cat > $source/vaultring.c << CODE
#include <linux/module.h>
MODULE_DESCRIPTION("newer");
MODULE_LICENSE("GPL");
MODULE_VERSION("$NEWER");
CODE
	without_complaint dkms install vaultring/$NEWER &&
		[ "$(modinfo -F version vaultring)" = $NEWER ] &&
		[ "$(state $VERSION "$(uname -r)")" = built ]
}

back_to_version()
{
	dkms remove vaultring/$NEWER --all && dkms install --force $NAME &&
		[ "$(modinfo -F version vaultring)" = $VERSION ] &&
		! dkms status | grep $NEWER && installed "$(uname -r)"
}

other_kernel()
{
	local name

	name=$(dpkg-deb -f /opt/other-kernel/linux-headers-*-common_*.deb Package)
	name=${name#linux-headers-}
	echo "${name%-common}-cloud-amd64"
}

# As an administrator does; no initrd, as this guest's is made below.
upgrade_kernel()
{
	INITRD=No DEBIAN_FRONTEND=noninteractive apt-get -y -q \
		-o Dpkg::Options::=--force-unsafe-io --allow-downgrades \
		install /opt/other-kernel/*.deb &&
		[ -e "/boot/vmlinuz-$OTHER" ] && [ -d "/lib/modules/$OTHER/kernel" ]
}

modprobe_finds_it()
{
	modprobe -S "$OTHER" -n --show-depends vaultring |
		grep -F "$(file_of "$OTHER")"
}

# into_tree PROGRAM...: each with its libraries, for the initrd.
into_tree()
{
	local program file

	for program in "$@"; do
		program=$(command -v "$program")
		cp -L "$program" "$TREE/bin/" || return
		for file in $(ldd "$program" | grep -o '/[^ ]*'); do
			cp -L --parents "$file" "$TREE" || return
		done
	done
}

# The modules that mount the disk, unpacked: a small insmod may not unpack.
modules_into_tree()
{
	local module name

	for module in virtio_pci virtio_blk ext4 virtio_console; do
		modprobe -S "$OTHER" --show-depends $module
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' > "$WORK/modules"
	while read -r module; do
		name=${module##*/}
		name=${name%.xz}
		case $module in
		*.xz) xz -dc "$module" ;;
		*) cat "$module" ;;
		esac > "$TREE/modules/$name"
		echo "$name" >> "$TREE/modules/order"
	done < "$WORK/modules"
	[ -s "$TREE/modules/order" ]
}

# The other kernel's init: as at the first boot, but all is on the disk.
write_init()
{
	cat > "$TREE/init" << 'INIT'
#!/bin/sh
export PATH=/bin
mount -t devtmpfs devtmpfs /dev
while read -r module; do
	insmod "/modules/$module"
done < /modules/order
until [ -b /dev/vda ]; do
	sleep 0.1
done
mount -t ext4 -o noatime /dev/vda /disk
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /disk/run
cp -a /disk/var/lib/dkms_test/run/. /disk/run
mount --move /dev /disk/dev
exec switch_root /disk /lib/systemd/systemd
INIT
	chmod 755 "$TREE/init"
}

make_initrd()
{
	TREE=$WORK/initrd
	mkdir -p "$TREE"/{bin,modules,dev,disk} &&
		into_tree sh mount insmod sleep cp switch_root &&
		modules_into_tree && write_init || return
	mkdir -p $STATE/run/systemd/system &&
		cp -a /run/vaultring-vm $STATE/run/ &&
		rm -f $STATE/run/vaultring-vm/std* &&
		cp -a /run/systemd/system/. $STATE/run/systemd/system || return
	python3 - "$TREE" $STATE/initrd << 'PYTHON'
import os, sys
top = sys.argv[1]
names = ["."] + sorted(os.path.relpath(os.path.join(folder, name), top)
                       for folder, folders, files in os.walk(top)
                       for name in folders + files)
def pad(data):
    return data + bytes(-len(data) % 4)
with open(sys.argv[2], "wb") as out:
    for number, name in enumerate(names + ["TRAILER!!!"], 1):
        path = os.path.join(top, name)
        mode, data = 0, b""
        if name != "TRAILER!!!":
            mode = os.stat(path).st_mode
            if os.path.isfile(path):
                data = open(path, "rb").read()
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0,
                  len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields)
        out.write(pad(head + name.encode() + b"\0") + pad(data))
PYTHON
}

load_kernel()
{
	make_initrd && python3 - "/boot/vmlinuz-$OTHER" $STATE/initrd << 'PYTHON'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
kernel, initrd = (os.open(path, os.O_RDONLY) for path in sys.argv[1:])
line = open("/proc/cmdline", "rb").read().strip() + b"\0"
KEXEC_FILE_LOAD = 320
if libc.syscall(KEXEC_FILE_LOAD, kernel, initrd, ctypes.c_ulong(len(line)),
                line, ctypes.c_ulong(0)):
    sys.exit("kexec_file_load: " + os.strerror(ctypes.get_errno()))
PYTHON
}

# Does not return.  The output must be out: its other end goes, too.
boot_loaded_kernel()
{
	echo "$OTHER $CASES $FAILED" > $STATE/goes_on
	sync
	sleep 2
	python3 - << 'PYTHON'
import ctypes
LINUX_REBOOT_CMD_KEXEC = 0x45584543
ctypes.CDLL(None).syscall(169, 0xfee1dead, 672274793, LINUX_REBOOT_CMD_KEXEC, 0)
PYTHON
}

# guest_run sees the other kernel's alone.
log_is_silent()
{
	! dmesg | grep -E 'BUG|WARNING|Oops|general protection|refcount_t'
}

nothing_left()
{
	! find /lib/modules /var/lib/dkms -name 'vaultring*' |
		grep -v "^/lib/modules/[^/]*/updates/vaultring.ko$" &&
		[ -z "$(dkms status)" ]
}

runs_other_kernel()
{
	[ "$(uname -r)" = "$OTHER" ]
}

loaded_at_boot()
{
	[ -d /sys/module/vaultring ] && taken "$OTHER" &&
		[ "$(cat /sys/module/vaultring/version)" = $VERSION ]
}

removes_all()
{
	unloads && without_complaint dkms remove $NAME --all
}

# What make install had put in the place of.
put_back()
{
	[ -e "/lib/modules/$(cat $STATE/kernel)/updates/vaultring.ko" ] &&
		[ ! -e "/lib/modules/$OTHER/updates/vaultring.ko" ]
}

if ! goes_on; then
	mkdir -p $STATE
	date +%s > $STATE/began
	uname -r > $STATE/kernel
	OTHER=$(other_kernel)
	must make_install_first
	ok "DKMS adds it, without a complaint" without_complaint dkms add $NAME
	start=$SECONDS
	ok "it builds and signs it" without_complaint dkms build $NAME
	echo "# the build: $((SECONDS - start)) s"
	ok "it installs it, in the place of make install's" \
		without_complaint dkms install --force $NAME
	ok "modprobe takes that one" installed "$(uname -r)"
	ok "it loads and works" loads
	ok "make install leaves it in its place" make_install_again
	ok "a newer version takes its place" newer_version
	ok "it comes back when that one goes" back_to_version
	start=$SECONDS
	ok "another kernel is installed" upgrade_kernel
	echo "# the upgrade: $((SECONDS - start)) s"
	ok "DKMS has built it for that one by itself" installed "$OTHER"
	ok "the one for this kernel stays" installed "$(uname -r)"
	ok "modprobe finds it under the other kernel" modprobe_finds_it
	ok "the other kernel is ready to boot" load_kernel
	ok "the kernel's log is silent till here" log_is_silent
	if [ $FAILED -eq 0 ]; then
		boot_loaded_kernel
		rm $STATE/goes_on
		report 1 "the other kernel boots"
	fi
else
	read -r OTHER CASES FAILED < $STATE/goes_on
	rm $STATE/goes_on
	KEKS+=("$KEK")
	ok "the other kernel runs" runs_other_kernel
	ok "the module was loaded at boot" loaded_at_boot
	ok "what was wrapped before opens" opens
	ok "it works" works
	ok "DKMS removes all of it" removes_all
	ok "nothing of it is left" nothing_left
	ok "make install's is back where it was, and there alone" put_back
fi
finish
