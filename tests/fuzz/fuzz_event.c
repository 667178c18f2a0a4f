// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * In place of sd-event: sources that go off when the fuzzer says so, by its clock
 */

#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include <systemd/sd-event.h>

#include "fuzz.h"
#include "fuzz_event.h"

#define SOURCES_MAX	16
#define ROUNDS_MAX	10000

struct sd_event_source {
	bool used, enabled;
	uint64_t at;
	int fd;
	short events;		/* epoll's are poll's */
	void *arg;
	/* One of them: */
	sd_event_time_handler_t on_time;
	sd_event_handler_t on_defer;
	sd_event_child_handler_t on_child;
	sd_event_io_handler_t on_io;
};

uint64_t fuzz_now = 1000000;

static struct sd_event_source sources[SOURCES_MAX];

static sd_event_source *add(sd_event_source **out, void *arg)
{
	sd_event_source *s = sources;

	while (s < sources + SOURCES_MAX && s->used)
		s++;
	HOLDS(s < sources + SOURCES_MAX);
	*s = (struct sd_event_source){ .used = true, .enabled = true,
				       .fd = -1, .arg = arg };
	*out = s;
	return s;
}

int sd_event_add_time(sd_event *event, sd_event_source **out, clockid_t clock,
		      uint64_t usec, uint64_t accuracy,
		      sd_event_time_handler_t handler, void *arg)
{
	sd_event_source *s = add(out, arg);

	(void)event;
	(void)clock;
	(void)accuracy;
	s->at = usec;
	s->on_time = handler;
	return 0;
}

int sd_event_add_time_relative(sd_event *event, sd_event_source **out,
			       clockid_t clock, uint64_t usec,
			       uint64_t accuracy,
			       sd_event_time_handler_t handler, void *arg)
{
	return sd_event_add_time(event, out, clock, fuzz_now + usec, accuracy,
				 handler, arg);
}

int sd_event_add_defer(sd_event *event, sd_event_source **out,
		       sd_event_handler_t handler, void *arg)
{
	(void)event;
	add(out, arg)->on_defer = handler;
	return 0;
}

int sd_event_add_child(sd_event *event, sd_event_source **out, pid_t pid,
		       int options, sd_event_child_handler_t handler, void *arg)
{
	(void)event;
	(void)pid;
	(void)options;
	add(out, arg)->on_child = handler;
	return 0;
}

int sd_event_add_io(sd_event *event, sd_event_source **out, int fd,
		    uint32_t events, sd_event_io_handler_t handler, void *arg)
{
	sd_event_source *s = add(out, arg);

	(void)event;
	s->fd = fd;
	s->events = events;
	s->on_io = handler;
	return 0;
}

int sd_event_source_set_enabled(sd_event_source *s, int enabled)
{
	HOLDS(s->used);
	s->enabled = enabled != SD_EVENT_OFF;
	return 0;
}

int sd_event_source_set_time(sd_event_source *s, uint64_t usec)
{
	HOLDS(s->used && s->on_time);
	s->at = usec;
	return 0;
}

int sd_event_source_set_time_relative(sd_event_source *s, uint64_t usec)
{
	return sd_event_source_set_time(s, fuzz_now + usec);
}

int sd_event_source_set_io_events(sd_event_source *s, uint32_t events)
{
	HOLDS(s->used && s->on_io);
	s->events = events;
	return 0;
}

sd_event_source *sd_event_source_disable_unref(sd_event_source *s)
{
	if (s) {
		HOLDS(s->used);
		*s = (struct sd_event_source){ .used = false };
	}
	return NULL;
}

static short io_events(const sd_event_source *s)
{
	struct pollfd ready = { .fd = s->fd, .events = s->events };

	return poll(&ready, 1, 0) == 1 ? ready.revents : 0;
}

static bool is_due(const sd_event_source *s)
{
	if (!s->used || !s->enabled)
		return false;
	if (s->on_io)
		return io_events(s);
	return s->on_defer || (s->on_time && s->at <= fuzz_now);
}

static void go_off(sd_event_source *s)
{
	if (s->on_io) {
		s->on_io(s, s->fd, io_events(s), s->arg);
		return;
	}
	s->enabled = false;
	if (s->on_defer)
		s->on_defer(s, s->arg);
	else
		s->on_time(s, s->at, s->arg);
}

void fuzz_event_run(void)
{
	sd_event_source *s = sources;
	int rounds = 0;

	while (s < sources + SOURCES_MAX) {
		if (!is_due(s)) {
			s++;
			continue;
		}
		/* One that is always due would keep a processor busy. */
		HOLDS(rounds++ < ROUNDS_MAX);
		go_off(s);
		s = sources;
	}
}

void fuzz_event_child(int number)
{
	siginfo_t info = { .si_signo = SIGCHLD };
	sd_event_source *s;

	info.si_code = number ? CLD_KILLED : CLD_EXITED;
	info.si_status = number;
	for (s = sources; s < sources + SOURCES_MAX; s++) {
		if (!s->used || !s->on_child)
			continue;
		s->on_child(s, &info, s->arg);
		return;
	}
}

unsigned int fuzz_event_count(void)
{
	unsigned int n = 0, i;

	for (i = 0; i < SOURCES_MAX; i++)
		n += sources[i].used;
	return n;
}
