// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What waits for a worker
 */

#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "worker_queue.h"

bool job_is_poll(const struct worker_job *job)
{
	return job->how == WORKER_POLL || job->how == WORKER_ASIDE;
}

/* Lower goes first. */
static int rank(const struct worker_job *job)
{
	return job_is_poll(job) ? 2 : job->how == WORKER_PATIENT;
}

void queue_put(struct worker_queue *q, struct worker_job *job, bool in_flight)
{
	struct worker_job **p = in_flight ? &q->first->next : &q->first;

	while (*p && rank(*p) <= rank(job))
		p = &(*p)->next;
	job->next = *p;
	*p = job;
	q->n++;
}

static void end(struct worker_queue *q, struct worker_job **p,
		const struct worker_reply *reply)
{
	struct worker_job *job = *p;

	*p = job->next;
	q->n--;
	if (job->fn)
		job->fn(job->arg, reply);
	json_decref(job->request);
	free(job);
}

void queue_end_first(struct worker_queue *q, const struct worker_reply *reply)
{
	end(q, &q->first, reply);
}

void queue_end_all(struct worker_queue *q, const struct worker_reply *why)
{
	struct worker_reply reply = *why;
	unsigned int n = q->n;
	char *copy = strdup(why->message);

	reply.message = copy ?: "out of memory";
	/* What is put in meanwhile stays. */
	while (n-- && q->first)
		end(q, &q->first, &reply);
	free(copy);
}

void queue_end_waiting(struct worker_queue *q, bool in_flight, uint64_t came,
		       uint64_t due, const struct worker_reply *why)
{
	struct worker_job **p = in_flight ? &q->first->next : &q->first;
	struct worker_reply reply = *why;
	char *copy = strdup(why->message);

	reply.message = copy ?: "out of memory";
	while (*p) {
		if ((*p)->since > came && (*p)->deadline > due) {
			p = &(*p)->next;
			continue;
		}
		end(q, p, &reply);
		/* Others may have been put in: from the start. */
		p = in_flight ? &q->first->next : &q->first;
	}
	free(copy);
}
