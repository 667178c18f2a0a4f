// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How often a vault may be asked, and in which order and how long requests wait,
 * by themselves: TAP on standard output.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../daemon/pace.h"
#include "../daemon/worker_queue.h"

#define SECOND	1000000ULL
#define START	(1000 * SECOND)

static int cases, failed;

static void ok(bool good, const char *name)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++cases, name);
	failed += !good;
}

/* --- pace --- */

/* How many are sent at once, and when the next one may be. */
static unsigned int burst(struct pace *p, bool poll, uint64_t now, uint64_t *next)
{
	unsigned int n = 0;

	while (n < 1000 && pace_next(p, poll) <= now) {
		pace_count(p, now);
		n++;
	}
	*next = pace_next(p, poll);
	return n;
}

static void limits(void)
{
	struct pace p;
	uint64_t next;

	pace_init(&p, 0);
	ok(burst(&p, true, START, &next) == 1000, "without a limit there is none");
	pace_init(&p, 60);
	ok(burst(&p, false, START, &next) == 60 && next == START + SECOND,
	   "a minute's requests come at once, the next one after its time");
	ok(burst(&p, false, START + 10 * SECOND, &next) == 10,
	   "in a time so many more as fit in it");
	pace_init(&p, 60);
	ok(burst(&p, true, START, &next) == 30 && next == START + SECOND,
	   "polls take half of them");
	ok(burst(&p, false, START, &next) == 30, "and leave the others");
	ok(burst(&p, true, START, &next) == 0 && next == START + 31 * SECOND,
	   "which polls pay for");
	ok(burst(&p, false, START + 600 * SECOND, &next) == 60,
	   "a long quiet is worth a minute");
	pace_init(&p, 1);
	ok(burst(&p, true, START, &next) == 1 && next == START + 60 * SECOND,
	   "with one a minute that one may be a poll");
}

static void rests(void)
{
	struct pace p;

	pace_init(&p, 0);
	pace_rest(&p, START, 40 * SECOND, 10 * SECOND);
	ok(pace_next(&p, true) == START + 40 * SECOND, "polls rest as long as it says");
	ok(pace_next(&p, false) == START + 10 * SECOND,
	   "an unseal not longer than it may");
	pace_rest(&p, START, 4 * SECOND, 10 * SECOND);
	ok(pace_next(&p, false) == START + 4 * SECOND, "nor longer than it says");
	pace_rested(&p);
	ok(!pace_next(&p, true) && !pace_next(&p, false), "until it is over");
	pace_rest(&p, START, UINT64_MAX / 2, 10 * SECOND);
	ok(pace_next(&p, true) == START + 3600 * SECOND, "no vault silences for ever");
}

/* --- queue --- */

static struct worker_queue queue;
static char order[64];
static int last_err;

static void put(char name, enum worker_how how, bool in_flight, uint64_t since,
		uint64_t deadline);

static void done(void *arg, const struct worker_reply *reply)
{
	char name = *(char *)&arg;

	snprintf(order + strlen(order), sizeof(order) - strlen(order), "%c", name);
	last_err = reply->err;
	/* Whoever is told may ask again. */
	if (name == 'x')
		put('y', WORKER_PATIENT, false, 900, 900);
}

static void put(char name, enum worker_how how, bool in_flight, uint64_t since,
		uint64_t deadline)
{
	struct worker_job *job = calloc(1, sizeof(*job));

	if (!job)
		exit(1);
	job->fn = done;
	*(char *)&job->arg = name;
	job->how = how;
	job->since = since;
	job->deadline = deadline;
	queue_put(&queue, job, in_flight);
}

/* In which order they are, and none is left. */
static const char *drain(void)
{
	*order = 0;
	while (queue.first)
		queue_end_first(&queue, &(struct worker_reply){ .err = 0 });
	return order;
}

static void orders(void)
{
	put('p', WORKER_POLL, false, 1, 9);
	put('u', WORKER_PATIENT, false, 1, 9);
	put('a', WORKER_ASIDE, false, 1, 9);
	put('v', WORKER_PATIENT, false, 1, 9);
	put('i', WORKER_IMPATIENT, false, 1, 9);
	ok(!strcmp(drain(), "iuvpa") && !queue.n,
	   "persons go first, then unseals, then polls");
	put('p', WORKER_POLL, false, 1, 9);
	put('u', WORKER_PATIENT, true, 1, 9);
	put('i', WORKER_IMPATIENT, true, 1, 9);
	ok(!strcmp(drain(), "piu"), "what is in flight stays where it is");
}

static void ends(void)
{
	const struct worker_reply away = { .err = -EAGAIN, .message = "away" };

	put('a', WORKER_PATIENT, false, 10, 100);
	put('b', WORKER_PATIENT, false, 20, 100);
	put('c', WORKER_PATIENT, false, 30, 100);
	*order = 0;
	queue_end_waiting(&queue, true, 20, 0, &away);
	ok(!strcmp(order, "b") && last_err == -EAGAIN,
	   "those who had come by then fail, but for what is in flight");
	ok(!strcmp(drain(), "ac"), "and the others stay");
	put('a', WORKER_PATIENT, false, 10, 100);
	put('b', WORKER_PATIENT, false, 20, 50);
	*order = 0;
	queue_end_waiting(&queue, false, 0, 50, &away);
	ok(!strcmp(order, "b") && !strcmp(drain(), "a"),
	   "those whose time is over fail");
	put('x', WORKER_PATIENT, false, 10, 1000);
	*order = 0;
	queue_end_waiting(&queue, false, 20, 0, &away);
	ok(!strcmp(order, "x") && queue.n == 1, "what is put in meanwhile stays");
	put('x', WORKER_PATIENT, false, 10, 1000);
	*order = 0;
	queue_end_all(&queue, &away);
	ok(!strcmp(order, "yx") && queue.n == 1, "also when all that was there ends");
	drain();
}

int main(void)
{
	limits();
	rests();
	orders();
	ends();
	return failed ? 1 : 0;
}
