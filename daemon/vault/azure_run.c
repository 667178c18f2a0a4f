// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Azure: the process that runs the command of attestation-command
 *
 * It and the worker speak in packets: first the command, then a request and a reply
 * at a time.  It has no capability either and cannot reach the kernel, nor can what
 * it starts.  It ends with the worker, and the command with it.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "../log.h"
#include "../util.h"
#include "azure_run.h"
#include "vault.h"

#define COMMAND_MAX	4096
#define ARGUMENTS_MAX	32
#define INPUT_MAX	8192	/* a pipe holds it */
#define SLICE_MS	20
#define SLACK_MS	500

struct request {
	uint32_t serial, ms;
	char input[INPUT_MAX];		/* ends with a zero */
};

struct reply {
	uint32_t serial;
	int32_t err;			/* -ETIMEDOUT, -E2BIG or another */
	int32_t status;			/* of waitid(): the exit code or */
	int32_t signal;			/* what it was killed by */
	uint8_t output[AZURE_RUN_MAX];
};

#define REPLY_HEAD	offsetof(struct reply, output)

static int runner = -1;		/* the worker's end, or the runner's own */
static char name[COMMAND_MAX];	/* of the program, for messages */

/* --- in the runner --- */

static void __attribute__((noreturn))
start(char *const argv[], pid_t parent, int in, int out)
{
	static char *const environment[] = {
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL,
	};

	/* A group of its own, so that all of it can be ended. */
	if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) ||
	    getppid() != parent || chdir("/") || dup2(in, STDIN_FILENO) < 0 ||
	    dup2(out, STDOUT_FILENO) < 0 || !argv[0])
		_exit(EX_OSERR);
	close_range(3, ~0U, 0);
	execve(argv[0], argv, environment);
	_exit(127);
}

/* Has it ended?  It stays a zombie, and its number its own. */
static bool has_ended(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) ||
	       info.si_pid == pid;
}

/* Until the command has ended, and as long as there is something to read. */
static void read_output(pid_t pid, int fd, uint64_t end, struct reply *r,
			size_t *len)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	bool ended;
	ssize_t n;

	for (;;) {
		ended = has_ended(pid);
		if (now_usec() >= end) {
			r->err = -ETIMEDOUT;
			return;
		}
		if (poll(&ready, 1, ended ? 0 : SLICE_MS) != 1) {
			if (ended)
				return;
			continue;
		}
		if (*len == sizeof(r->output)) {
			r->err = -E2BIG;
			return;
		}
		n = read(fd, r->output + *len, sizeof(r->output) - *len);
		if (n > 0)
			*len += n;
		else
			ready.fd = -1;	/* closed: it need not have ended */
	}
}

static void finish(pid_t pid, struct reply *r)
{
	siginfo_t info = { .si_pid = 0 };

	/* It may not have its group yet. */
	if (kill(-pid, SIGKILL))
		kill(pid, SIGKILL);
	if (waitid(P_PID, pid, &info, WEXITED))
		r->err = r->err ?: -errno;
	else if (info.si_code == CLD_EXITED)
		r->status = info.si_status;
	else
		r->signal = info.si_status;
}

static size_t run(char *const argv[], const struct request *rq, struct reply *r)
{
	uint64_t end = now_usec() + rq->ms * 1000ULL;
	size_t len = 0, input_len = strlen(rq->input);
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };
	pid_t self = getpid(), pid = -1;

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) ||
	    write(in[1], rq->input, input_len) != (ssize_t)input_len ||
	    (pid = fork()) < 0)
		r->err = -errno;
	if (!pid)
		start(argv, self, in[0], out[1]);
	close(in[0]);
	close(in[1]);
	close(out[1]);
	if (pid > 0) {
		read_output(pid, out[0], end, r, &len);
		finish(pid, r);
	}
	close(out[0]);
	return r->err ? 0 : len;
}

static void split(char *text, char *argv[ARGUMENTS_MAX + 1])
{
	size_t n = 0;
	char *save;

	for (text = strtok_r(text, " \t", &save); text && n < ARGUMENTS_MAX;
	     text = strtok_r(NULL, " \t", &save))
		argv[n++] = text;
	argv[n] = NULL;
}

static void serve(void)
{
	char command[COMMAND_MAX], *argv[ARGUMENTS_MAX + 1];
	struct secret memory = { 0 };
	static struct request rq;
	struct reply *r;
	ssize_t n;
	size_t len;

	n = recv(runner, command, sizeof(command) - 1, 0);
	if (n <= 0 || secret_alloc(&memory, sizeof(*r)))
		return;
	command[n] = 0;
	split(command, argv);
	r = (struct reply *)memory.data;
	for (;;) {
		n = recv(runner, &rq, sizeof(rq) - 1, 0);
		if (n < (ssize_t)offsetof(struct request, input))
			return;
		((char *)&rq)[n] = 0;
		*r = (struct reply){ .serial = rq.serial };
		len = run(argv, &rq, r);
		if (send(runner, r, REPLY_HEAD + len, MSG_NOSIGNAL) < 0)
			return;
		explicit_bzero(r, sizeof(*r));
	}
}

/* Of the worker it keeps standard error. */
static void __attribute__((noreturn)) runner_main(void)
{
	if (dup2(runner, 3) < 0 || close_range(4, ~0U, 0))
		_exit(EX_OSERR);
	runner = 3;
	/* What it starts must not have it. */
	if (fcntl(runner, F_SETFD, FD_CLOEXEC) || sandbox_enter_runner() ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) ||
	    signal(SIGTERM, SIG_DFL) == SIG_ERR ||
	    signal(SIGPIPE, SIG_DFL) == SIG_ERR)
		_exit(EX_OSERR);
	serve();
	_exit(0);
}

/* --- in the worker --- */

int azure_run_prepare(void)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	runner = ends[pid > 0];
	if (!pid)
		runner_main();
	close(ends[0]);
	/* It ends when it likes, and nobody waits for it. */
	return signal(SIGCHLD, SIG_IGN) == SIG_ERR ? -errno : 0;
}

int azure_run_configure(const char *command)
{
	static char taken[COMMAND_MAX];

	if (!command) {
		if (runner >= 0)
			close(runner);
		runner = -1;
		return 0;
	}
	if (*command != '/' || strlen(command) >= COMMAND_MAX)
		return vault_fail_here("attestation-command needs a full path");
	if (runner < 0 || (*taken && strcmp(taken, command)))
		return vault_fail_here("attestation-command was another one; restart vaultringd");
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(command, " \t"),
		 command);
	if (access(name, X_OK))
		return vault_fail_here("cannot run %.200s of attestation-command: %s",
				       name, strerror(errno));
	if (!*taken && send(runner, command, strlen(command), MSG_NOSIGNAL) < 0)
		return vault_fail_here("cannot run attestation-command: %s",
				       strerror(errno));
	copy_text(taken, sizeof(taken), command);
	return 0;
}

/* *len is of the output; replies to what nobody waited for are passed over. */
/* Whoever starts us anew starts another one. */
static void __attribute__((noreturn)) runner_gone(void)
{
	log_err("what runs attestation-command has ended");
	_exit(EX_OSERR);
}

static int ask(const struct request *rq, struct reply *r, size_t *len)
{
	struct pollfd ready = { .fd = runner, .events = POLLIN };
	uint64_t end = now_usec() + (rq->ms + SLACK_MS) * 1000ULL, now;
	size_t size = offsetof(struct request, input) + strlen(rq->input);
	ssize_t n;

	if (send(runner, rq, size, MSG_NOSIGNAL) < 0)
		runner_gone();
	do {
		now = now_usec();
		if (now >= end || poll(&ready, 1, (end - now) / 1000 + 1) != 1)
			return vault_fail(-EAGAIN, "%.200s is not done after %u ms",
					  name, rq->ms);
		n = recv(runner, r, sizeof(*r), 0);
		if (n < (ssize_t)REPLY_HEAD)
			runner_gone();
	} while (r->serial != rq->serial);
	*len = n - REPLY_HEAD;
	return 0;
}

static int judge(const struct request *rq, const struct reply *r)
{
	if (r->err == -ETIMEDOUT)
		return vault_fail(-EAGAIN, "%.200s is not done after %u ms",
				  name, rq->ms);
	if (r->err == -E2BIG)
		return vault_fail_here("%.200s writes %d bytes or more",
				       name, AZURE_RUN_MAX);
	if (r->err)
		return vault_fail(-EAGAIN, "cannot run %.200s: %s", name,
				  strerror(-r->err));
	if (r->signal)
		return vault_fail_here("%.200s was ended by signal %d", name,
				       r->signal);
	if (r->status == EX_TEMPFAIL)
		return vault_fail(-EAGAIN, "%.200s says to try again later",
				  name);
	if (r->status)
		return vault_fail_here("%.200s ended with status %d%s", name,
				       r->status, r->status == 127 ?
				       ": could it be run?" : "");
	return 0;
}

static int take_output(const struct reply *r, size_t len, struct secret *out)
{
	while (len && strchr("\r\n", r->output[len - 1]))
		len--;
	if (!len || memchr(r->output, 0, len))
		return vault_fail_here("%.200s writes nothing, or no text", name);
	if (secret_alloc(out, len + 1))
		return vault_fail(-EAGAIN, "cannot lock memory for a token");
	memcpy(out->data, r->output, len);
	out->data[len] = 0;
	out->len = len;
	return 0;
}

int azure_run(const char *input, struct secret *out)
{
	static struct request rq;
	struct secret memory = { 0 };
	uint64_t deadline = vault_deadline(), now = now_usec();
	size_t len = 0;
	int err;

	if (!copy_text(rq.input, sizeof(rq.input), input))
		return vault_fail_here("the transport key is too long");
	if (secret_alloc(&memory, sizeof(struct reply)))
		return vault_fail(-EAGAIN, "cannot lock memory for a token");
	/* The vault wants to be asked, too. */
	rq.ms = deadline > now ? (deadline - now) / 2000 : 0;
	rq.serial++;
	err = ask(&rq, (struct reply *)memory.data, &len) ?:
	      judge(&rq, (struct reply *)memory.data) ?:
	      take_output((struct reply *)memory.data, len, out);
	secret_free(&memory);
	return err;
}
