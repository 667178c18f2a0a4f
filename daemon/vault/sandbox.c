// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a vault worker gives up before it loads anybody's library
 *
 * A family whose libraries are known says which system calls it needs.  For the
 * others it is a list of what is refused: vendors' libraries use threads, files,
 * USB and the network as they like, and a library that breaks because of our
 * list would be ours to debug.  Refused is what could reach other processes, the
 * kernel's configuration or its keys, or start another program.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cap-ng.h>
#include <seccomp.h>

#include "../util.h"
#include "vault.h"

static const char *const starting_calls[] = { "execve", "execveat", "kill" };

static const char *const refused_calls[] = {
	"ptrace", "process_vm_readv",
	"process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
	"init_module", "finit_module", "delete_module", "kexec_load",
	"kexec_file_load", "bpf", "perf_event_open", "userfaultfd",
	"io_uring_setup", "io_uring_enter", "io_uring_register",
	"add_key", "request_key", "keyctl",
	"mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree",
	"fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
	"setns", "unshare", "open_by_handle_at", "name_to_handle_at",
	"reboot", "swapon", "swapoff", "acct", "quotactl", "syslog",
	"settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
	"sethostname", "setdomainname", "iopl", "ioperm", "modify_ldt",
	"personality", "vhangup", "fanotify_init", "tkill",
	"rt_sigqueueinfo", "pidfd_send_signal", "vmsplice",
};

/* Local and IP sockets reach tokens; the rest reaches the kernel. */
static const int refused_families[] = {
	AF_NETLINK, AF_PACKET, AF_ALG, AF_KEY, AF_VSOCK, AF_BLUETOOTH, AF_CAN,
	AF_TIPC, AF_XDP, AF_RDS,
};

static const unsigned long new_namespaces = CLONE_NEWUSER | CLONE_NEWNS |
	CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
	CLONE_NEWCGROUP;

static int filter_add_arguments(scmp_filter_ctx ctx)
{
	unsigned long bit;
	int err = 0;
	size_t i;

	for (i = 0; !err && i < ARRAY_SIZE(refused_families); i++)
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT),
				       SCMP_SYS(socket), 1,
				       SCMP_A0(SCMP_CMP_EQ,
					       refused_families[i]));
	for (bit = 1; !err && bit && bit <= new_namespaces; bit <<= 1)
		if (bit & new_namespaces)
			err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM),
					       SCMP_SYS(clone), 1,
					       SCMP_A0(SCMP_CMP_MASKED_EQ, bit,
						       bit));
	/* Its arguments are in memory; libc falls back to clone(). */
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS),
				       SCMP_SYS(clone3), 0);
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM),
				       SCMP_SYS(ioctl), 1,
				       SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff,
					       TIOCSTI));
	return err;
}

static int filter_add(scmp_filter_ctx ctx, uint32_t action,
		      const char *const *names, size_t n)
{
	int err = 0, call;
	size_t i;

	for (i = 0; !err && i < n && names[i]; i++) {
		call = seccomp_syscall_resolve_name(names[i]);
		/* Negative: this machine, or this libseccomp, has no such call. */
		if (call >= 0)
			err = seccomp_rule_add(ctx, action, call, 0);
	}
	return err;
}

/* starts: for a process that is there to start a program. */
static int filter_load(bool starts)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int err;

	if (!ctx)
		return -ENOMEM;
	err = filter_add(ctx, SCMP_ACT_ERRNO(EPERM), refused_calls,
			 ARRAY_SIZE(refused_calls));
	if (!err && !starts)
		err = filter_add(ctx, SCMP_ACT_ERRNO(EPERM), starting_calls,
				 ARRAY_SIZE(starting_calls));
	if (!err)
		err = filter_add_arguments(ctx);
	if (!err)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	return err;
}

/* On top of the other filter, whose rules about arguments go on to hold. */
static int filter_load_list(const char *const *calls)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err;

	if (!ctx)
		return -ENOMEM;
	err = filter_add(ctx, SCMP_ACT_ALLOW, calls, SIZE_MAX);
	/* abort() sends itself a signal. */
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				       SCMP_A0(SCMP_CMP_EQ, getpid()));
	if (!err)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	return err;
}

int sandbox_end_sockets(void)
{
	static const char *const calls[] = {
		"socket", "connect", "sendto", "recvfrom", "seccomp",
	};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int err;

	if (!ctx)
		return -ENOMEM;
	/* no_new_privs is set, and setting it again is not on the list. */
	err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	if (!err)
		err = filter_add(ctx, SCMP_ACT_ERRNO(EPERM), calls,
				 ARRAY_SIZE(calls));
	if (!err)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	return err;
}

static int give_up(void)
{
	static const struct rlimit none;
	pid_t parent = getppid();

	umask(077);
	if (setrlimit(RLIMIT_CORE, &none))
		return -errno;
	capng_clear(CAPNG_SELECT_ALL);
	/* The bounding set needs a capability to shrink: no loss without. */
	(void)!capng_apply(CAPNG_SELECT_BOUNDS);
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_CAPS))
		return -EPERM;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ||
	    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0))
		return -errno;
	/* The daemon may have died before it could be noticed. */
	return getppid() == parent ? 0 : -ESRCH;
}

int sandbox_enter_runner(void)
{
	return give_up() ?: filter_load(true);
}

int sandbox_enter(void)
{
	int err = give_up() ?: filter_load(false);

	if (!err && vault_ops.calls)
		err = filter_load_list(vault_ops.calls);
	return err;
}
