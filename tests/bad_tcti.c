// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A library to reach a TPM by that tries what a worker must not be able to do,
 * and says on standard error what it could.  It reaches nothing.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <tss2/tss2_tcti.h>

static void say(const char *what, long result)
{
	dprintf(STDERR_FILENO, "%s: %s\n", what,
		result < 0 ? strerrorname_np(errno) : "done");
}

static TSS2_RC init(TSS2_TCTI_CONTEXT *context, size_t *size, const char *conf)
{
	char *argv[] = { "true", NULL };

	(void)context;
	(void)size;
	(void)conf;
	say("execve", execve("/bin/true", argv, argv));
	say("clone", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
	say("ptrace", ptrace(PTRACE_ATTACH, getppid(), 0, 0));
	say("kill", kill(getppid(), 0));
	say("tgkill", syscall(SYS_tgkill, getppid(), getppid(), 0));
	say("netlink", socket(AF_NETLINK, SOCK_RAW, 16));
	say("local", socket(AF_UNIX, SOCK_STREAM, 0));
	say("mkdir", mkdir("/tmp/bad_tcti", 0700));
	say("unlink", unlink("/tmp/bad_tcti"));
	say("prctl", syscall(SYS_prctl, 4, 1, 0, 0, 0));
	return TSS2_TCTI_RC_IO_ERROR;
}

static const TSS2_TCTI_INFO info = {
	.version = 1, .name = "bad", .init = init,
};

const TSS2_TCTI_INFO *Tss2_Tcti_Info(void)
{
	return &info;
}
