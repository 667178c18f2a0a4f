// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A worker's process and the socket to it
 *
 * JSON lines each way.  The process gets an environment of its own: what
 * PKCS#11 libraries look for, and what the configuration says.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
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

#include "log.h"
#include "worker_process.h"

#define LINE_SIZE (64 * 1024)
#define MAX_VARIABLES 32

struct process {
	char program[4096];
	const struct vault_config *config;
	sd_event *event;
	process_line_fn on_line;
	process_died_fn on_died;
	void *arg;

	enum process_status status;
	pid_t pid;
	int fd;
	sd_event_source *io, *child, *late;
	uint64_t end_by;		/* while it is dying */
	char *line;
	size_t have;
};

/* The daemon's own variables that workers need. */
static const char *const passed_on[] = {
	"SOFTHSM2_CONF", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM", "TZ",
#ifdef __SANITIZE_ADDRESS__
	"ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
#endif
};

static void fill_environment(char *env[MAX_VARIABLES + 1], char *configured)
{
	size_t i, n = 0;
	char *p, *save;

	env[n++] = strdup("PATH=/usr/bin:/bin");
	for (i = 0; i < ARRAY_SIZE(passed_on); i++) {
		const char *value = getenv(passed_on[i]);

		if (value && asprintf(&env[n], "%s=%s", passed_on[i], value) > 0)
			n++;
	}
	p = configured ? strtok_r(configured, " \t", &save) : NULL;
	while (p && n < MAX_VARIABLES) {
		if (strchr(p, '='))
			env[n++] = strdup(p);
		p = strtok_r(NULL, " \t", &save);
	}
	env[n] = NULL;
}

static int spawn(struct process *p, int fd)
{
	char *configured = p->config->environment ?
			   strdup(p->config->environment) : NULL;
	char *env[MAX_VARIABLES + 1], *argv[] = { p->program, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	size_t i;
	int err;

	sigemptyset(&none);
	sigfillset(&all);
	fill_environment(env, configured);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
				 POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_init(&actions);
	err = posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO) ?:
	      posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO) ?:
	      posix_spawn(&p->pid, p->program, &actions, &attr, argv, env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	for (i = 0; env[i]; i++)
		free(env[i]);
	free(configured);
	return -err;
}

static void close_socket(struct process *p)
{
	p->io = sd_event_source_disable_unref(p->io);
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->have = 0;
}

/*
 * SoftHSM writes its token's file anew at each login: killed in the middle of
 * that, a worker would leave a token that nobody can open.  So it is asked to
 * end, which it does when the library has returned, and killed if it is not gone
 * in a while.
 */
void process_end(struct process *p)
{
	if (p->status != PROCESS_RUNNING)
		return;
	close_socket(p);
	p->status = PROCESS_DYING;
	p->end_by = now_usec() + p->config->end_usec;
	sd_event_source_set_time(p->late, p->end_by);
	sd_event_source_set_enabled(p->late, SD_EVENT_ONESHOT);
}

static int on_late(sd_event_source *source, uint64_t usec, void *arg)
{
	struct process *p = arg;

	(void)source;
	(void)usec;
	if (p->status == PROCESS_DYING)
		kill(p->pid, SIGKILL);
	return 0;
}

/* Hands on each whole line; stops when that ends the process. */
static void take_lines(struct process *p)
{
	char *end;

	while (p->status == PROCESS_RUNNING &&
	       (end = memchr(p->line, '\n', p->have))) {
		size_t len = end - p->line;
		json_t *body = json_loadb(p->line, len, JSON_REJECT_DUPLICATES,
					  NULL);

		p->have -= len + 1;
		memmove(p->line, end + 1, p->have);
		/* It may have held a clear share. */
		explicit_bzero(p->line + p->have, len + 1);
		if (json_is_object(body)) {
			p->on_line(p->arg, body);
		} else {
			log_warning("vault %s: its worker does not speak JSON",
				    p->config->name);
			process_end(p);
		}
		json_decref(body);
	}
	if (p->status == PROCESS_RUNNING && p->have == LINE_SIZE) {
		log_warning("vault %s: its worker says too much",
			    p->config->name);
		process_end(p);
	}
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct process *p = arg;
	ssize_t n;

	(void)source;
	(void)events;
	n = read(fd, p->line + p->have, LINE_SIZE - p->have);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		/* It ends or has ended; how comes through on_child(). */
		process_end(p);
		return 0;
	}
	p->have += n;
	take_lines(p);
	return 0;
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *arg)
{
	struct process *p = arg;
	char how[128];

	(void)source;
	if (info->si_code == CLD_EXITED)
		snprintf(how, sizeof(how), "its worker ended with status %d",
			 info->si_status);
	else
		snprintf(how, sizeof(how), "its worker was ended by signal %d (%s)",
			 info->si_status, strsignal(info->si_status));
	close_socket(p);
	sd_event_source_set_enabled(p->late, SD_EVENT_OFF);
	p->child = sd_event_source_disable_unref(p->child);
	p->status = PROCESS_NONE;
	p->pid = 0;
	p->on_died(p->arg, how);
	return 0;
}

/* Without the event loop. */
static void wait_for_end(struct process *p)
{
	struct pollfd gone = { .fd = pidfd_open(p->pid, 0), .events = POLLIN };
	uint64_t now = now_usec();
	int left = p->end_by > now ? (p->end_by - now) / 1000 : 0;

	if (gone.fd < 0 || poll(&gone, 1, left) != 1)
		kill(p->pid, SIGKILL);
	if (gone.fd >= 0)
		close(gone.fd);
	waitpid(p->pid, NULL, 0);
	p->status = PROCESS_NONE;
}

int process_start(struct process *p)
{
	int fds[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	err = spawn(p, fds[1]);
	close(fds[1]);
	if (err) {
		close(fds[0]);
		return err;
	}
	p->fd = fds[0];
	p->status = PROCESS_RUNNING;
	err = fcntl(p->fd, F_SETFL, O_NONBLOCK) ? -errno : 0;
	if (!err)
		err = sd_event_add_child(p->event, &p->child, p->pid, WEXITED,
					 on_child, p);
	if (err >= 0)
		err = sd_event_add_io(p->event, &p->io, p->fd, EPOLLIN, on_io, p);
	if (err >= 0)
		return 0;
	process_end(p);
	/* Nobody else will reap it. */
	if (!p->child)
		wait_for_end(p);
	return err;
}

int process_send(struct process *p, const json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t len;
	ssize_t n;

	if (!text)
		return -ENOMEM;
	if (p->status != PROCESS_RUNNING) {
		free(text);
		return -EPIPE;
	}
	len = strlen(text);
	text[len++] = '\n';
	/* One request at a time: an empty socket takes it whole. */
	n = send(p->fd, text, len, MSG_NOSIGNAL);
	explicit_bzero(text, len);
	free(text);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EMSGSIZE;
}

enum process_status process_status(const struct process *p)
{
	return p->status;
}

const char *process_program(const struct process *p)
{
	return p->program;
}

int process_new(sd_event *event, const struct vault_config *config,
		const char *folder, process_line_fn on_line,
		process_died_fn on_died, void *arg, struct process **out)
{
	struct process *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	*out = p;
	*p = (struct process){
		.config = config, .event = event, .on_line = on_line,
		.on_died = on_died, .arg = arg, .fd = -1,
		.line = malloc(LINE_SIZE),
	};
	snprintf(p->program, sizeof(p->program), "%s/vault-%.*s", folder,
		 (int)strcspn(config->uri, ":"), config->uri);
	if (!p->line)
		return -ENOMEM;
	err = sd_event_add_time(event, &p->late, CLOCK_MONOTONIC, 0, 10000,
				on_late, p);
	if (err >= 0)
		err = sd_event_source_set_enabled(p->late, SD_EVENT_OFF);
	return err < 0 ? err : 0;
}

void process_free(struct process *p)
{
	if (!p)
		return;
	process_end(p);
	if (p->status != PROCESS_NONE)
		wait_for_end(p);
	sd_event_source_disable_unref(p->child);
	sd_event_source_disable_unref(p->late);
	free(p->line);
	free(p);
}
