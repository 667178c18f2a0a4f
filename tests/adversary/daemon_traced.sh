#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Another process of the same user looks into the daemon and its workers, or has them
# dump core: it may not, and there is none.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attack_lib.sh"

CORES=/var/tmp/traced-cores
PATTERN=$(cat /proc/sys/kernel/core_pattern)

tidy()
{
	echo "$PATTERN" > /proc/sys/kernel/core_pattern
	rm -rf $CORES
}

as_its_user()
{
	setpriv --reuid vaultring --regid vaultring --clear-groups "$@"
}

worker_pid()
{
	pgrep -f '^/usr/libexec/vaultring/vault-' | head -n 1
}

daemon_pid()
{
	systemctl show -P MainPID vaultringd
}

# Ways in, each with a PID.
trace()
{
	as_its_user timeout 5 strace -p "$1"
}

read_memory()
{
	as_its_user sh -c "cat /proc/$1/maps; head -c 1 /proc/$1/mem"
}

read_environment()
{
	as_its_user cat "/proc/$1/environ"
}

# process_vm_readv(2), of an address that is mapped in everybody.
read_at()
{
	as_its_user python3 - "$1" << 'PYTHON'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
class Vec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
buf = ctypes.create_string_buffer(16)
mine, there = Vec(ctypes.addressof(buf), 16), Vec(0x400000, 16)
n = libc.process_vm_readv(int(sys.argv[1]), ctypes.byref(mine), 1,
                          ctypes.byref(there), 1, 0)
if n < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
PYTHON
}

# What else is not between them would be in the way here, too.
control_reads()
{
	as_its_user sh -c 'sleep 5 & head -c 1 /proc/$!/environ > /dev/null'
}

make_cores()
{
	mkdir -p $CORES && chmod 1777 $CORES &&
		echo "$CORES/core.%e.%p" > /proc/sys/kernel/core_pattern &&
		ulimit -c unlimited || return
	sh -c 'kill -ABRT $$'
	compgen -G "$CORES/core.sh.*"
}

no_core()
{
	kill -ABRT "$(worker_pid)" && kill -ABRT "$(daemon_pid)" || return
	sleep 2
	restart_daemon && ! compgen -G "$CORES/core.vault*"
}

must restart_daemon
must vaultring vault check hsm
ok "control: its user can look into a process of his own" control_reads
for who in daemon worker; do
	pid=$(${who}_pid)
	refused "the $who cannot be traced by its own user" "not permitted" \
		trace "$pid"
	refused "nor its memory be read" "denied|permitted" read_memory "$pid"
	refused "nor its environment" "denied" read_environment "$pid"
	refused "nor by process_vm_readv" "permitted" read_at "$pid"
done
ok "cores are written" make_cores
ok "but neither the worker nor the daemon leaves one" no_core
finish
