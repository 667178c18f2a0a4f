// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon and one of its workers: whatever the worker says or does, each job
 * has one outcome, in time
 *
 * The input's lines are what happens, by their first byte:
 *
 *	j HOW	a job comes in
 *	c N	the Nth job is cancelled
 *	t MS	so much time goes by
 *	d N	the process ends, by signal N or with status 0
 *	e	it closes its socket
 *	s	from now on it can, or cannot, be started
 *	r	its settings are to be read anew
 *	p TEXT	it says that, without the end of the line
 *	b	it says a great deal
 *
 * Anything else it says, with $ for the id of what is under way.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"
#include "fuzz_event.h"
#include "share.h"
#include "worker_process.h"
#include "worker_queue.h"

/* --- the process, which there is not --- */

#define NO_PID	0x3fffffff

static int peer = -1;		/* its end of the socket */
static bool starts, killed;

static int fake_spawn(pid_t *pid, const char *path,
		      const posix_spawn_file_actions_t *actions,
		      const posix_spawnattr_t *attr, char *const argv[],
		      char *const env[])
{
	(void)path;
	(void)actions;
	(void)attr;
	HOLDS(argv[0] && env[0]);
	*pid = NO_PID;
	killed = false;
	return starts ? 0 : ENOENT;
}

static int fake_pair(int domain, int type, int protocol, int fds[2])
{
	int err = (socketpair)(domain, type, protocol, fds);

	if (peer >= 0)
		close(peer);
	HOLDS(!err && (peer = dup(fds[1])) >= 0);
	return err;
}

static int fake_kill(pid_t pid, int number)
{
	HOLDS(pid == NO_PID && number == SIGKILL);
	killed = true;
	return 0;
}

static pid_t fake_wait(pid_t pid, int *status, int options)
{
	(void)status;
	(void)options;
	HOLDS(pid == NO_PID);
	return pid;
}

/* As its header has it, which has no guard. */
int fake_pidfd(pid_t pid, unsigned int flags)
{
	(void)flags;
	HOLDS(pid == NO_PID);
	return -1;
}

#define posix_spawn	fake_spawn
#define socketpair	fake_pair
#define kill		fake_kill
#define waitpid		fake_wait
#define pidfd_open	fake_pidfd
#define now_usec()	fuzz_now
#define part_of(usec)	((usec) / 2)
#include "worker.c"
#include "worker_process.c"

/* --- jobs --- */

#define JOBS_MAX	300

static struct worker *worker;
static struct job {
	struct worker_job *handle;	/* NULL: it is over */
	bool cancelled;
	int outcomes;
	uint64_t since;
} jobs[JOBS_MAX];
static size_t n_jobs;
static bool inside;		/* a call of worker_*() */

static const struct vault_config config = {
	.name = "fuzz", .uri = (char *)"fuzz:", .timeout_usec = 5000000,
	.connect_usec = 3000000, .end_usec = 2000000, .pause_usec = 10000000,
	.settings = &(struct vault_setting){ (char *)"uri", (char *)"fuzz:" },
	.n_settings = 1,
}, slow_config = {
	.name = "slow", .uri = (char *)"fuzz:", .timeout_usec = 5000000,
	.connect_usec = 3000000, .end_usec = 2000000, .pause_usec = 10000000,
	.limit = 10,
};

static void check_shares(const json_t *body)
{
	struct share_wrapped wrapped;
	struct share_answer answer;
	struct share_key key;
	const char *wrong;
	uint32_t method;

	for (method = 1; method <= VAULTRING_METHOD_CLEAR; method++) {
		wrong = share_take(method, body, &answer);
		HOLDS(wrong ? *wrong : answer.len <= sizeof(answer.data));
		HOLDS(wrong || answer.len == SHARE_SECRET_SIZE ||
		      method == VAULTRING_METHOD_SEALED);
	}
	if (!share_take_key(body, &key))
		HOLDS(key.len && key.len <= sizeof(key.data) &&
		      strlen(key.fingerprint) == 2 * FINGERPRINT_SIZE);
	share_take_wrapped(body, &wrapped);
	HOLDS(method_of(body) <= VAULTRING_METHOD_CLEAR);
}

static void on_outcome(void *arg, const struct worker_reply *reply)
{
	struct job *job = arg;

	HOLDS(!inside && !job->cancelled && !job->outcomes);
	job->outcomes++;
	job->handle = NULL;
	HOLDS(reply->err == 0 || reply->err == -EAGAIN ||
	      reply->err == -ENOKEY || reply->err == -EKEYREJECTED);
	HOLDS(!reply->here || reply->err == -ENOKEY);
	if (reply->err) {
		HOLDS(reply->message);
		HOLDS(strlen(reply->message) < 65536);
	} else {
		HOLDS(json_is_object(reply->body));
		check_shares(reply->body);
	}
}

static void submit(int how)
{
	struct job *job = &jobs[n_jobs];
	int err;

	if (n_jobs == JOBS_MAX)
		return;
	*job = (struct job){ .since = fuzz_now };
	inside = true;
	err = worker_submit(worker, json_pack("{s:s}", "op", "exchange"),
			    how & 3, on_outcome, job, &job->handle);
	inside = false;
	HOLDS(!err || (err == -EAGAIN && worker->queue.n == MAX_JOBS));
	n_jobs += !err;
}

static void cancel(size_t n)
{
	struct job *job = n_jobs ? &jobs[n % n_jobs] : NULL;

	if (!job || !job->handle)
		return;
	job->cancelled = true;
	inside = true;
	worker_cancel(job->handle);
	inside = false;
	job->handle = NULL;
}

/* --- what happens --- */

static void say(const char *text, size_t len)
{
	static char rest[65536];

	/* It hears, too. */
	while (peer >= 0 && recv(peer, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		;
	if (peer >= 0)
		(void)!send(peer, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void say_line(const char *text)
{
	char *line, *p;
	size_t n = 0, len = strlen(text);

	line = malloc(21 * len + 2);
	HOLDS(line);
	for (p = line; n < len; n++) {
		if (text[n] == '$')
			p += sprintf(p, "%lld", (long long)worker->flight);
		else
			*p++ = text[n];
	}
	*p++ = '\n';
	say(line, p - line);
	free(line);
}

static void hang_up(void)
{
	if (peer >= 0)
		close(peer);
	peer = -1;
}

static void say_much(void)
{
	char *text = malloc(70000);

	HOLDS(text);
	memset(text, '{', 70000);
	say(text, 70000);
	free(text);
}

static void happens(const char *line)
{
	long n = *line ? atol(line + 1) : 0;

	switch (*line) {
	case 'j':
		submit(n);
		break;
	case 'c':
		cancel(n);
		break;
	case 't':
		fuzz_now += (n < 0 || n > 100000 ? 100000 : n) * 1000ULL;
		break;
	case 'd':
		hang_up();
		fuzz_event_child(n & 31);
		break;
	case 'e':
		hang_up();
		break;
	case 's':
		starts = !starts;
		break;
	case 'r':
		inside = true;
		worker_restart(worker);
		inside = false;
		break;
	case 'p':
		say(line + 1, strlen(line + 1));
		break;
	case 'b':
		say_much();
		break;
	default:
		say_line(line);
	}
}

static void settle(void)
{
	const struct worker_job *job;
	unsigned int n = 0;

	fuzz_event_run();
	/* What was killed ends. */
	while (killed && process_status(worker->process) == PROCESS_DYING) {
		fuzz_event_child(SIGKILL);
		fuzz_event_run();
	}
	for (job = worker->queue.first; job; job = job->next)
		n++;
	HOLDS(n == worker->queue.n && n <= MAX_JOBS);
	HOLDS(!worker->flight || process_status(worker->process) != PROCESS_NONE);
}

/* Nobody waits for longer than the settings say, whatever there is to come. */
static void check_in_time(void)
{
	size_t i;

	for (i = 0; i < n_jobs; i++)
		HOLDS(jobs[i].outcomes == !jobs[i].cancelled ||
		      fuzz_now < jobs[i].since + 2 * config.timeout_usec +
				 config.pause_usec);
}

static void end_all(void)
{
	size_t i;

	for (i = 0; i < 8; i++) {
		fuzz_now += 2500000;
		settle();
		check_in_time();
	}
	for (i = 0; i < n_jobs; i++)
		HOLDS(jobs[i].outcomes == !jobs[i].cancelled);
	worker_end(worker);
	worker_free(worker);
	hang_up();
	HOLDS(!fuzz_event_count());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, data + len };
	char *line;

	n_jobs = 0;
	starts = true;
	fuzz_now = 1000000;
	HOLDS(!worker_new(NULL, fuzz_byte(&in) & 1 ? &slow_config : &config,
			  "/nowhere", &worker));
	settle();
	while (in.at < in.end) {
		line = fuzz_text(&in, "\n", NULL);
		happens(line);
		free(line);
		settle();
		check_in_time();
	}
	end_all();
	return 0;
}
