/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What waits for a worker
 *
 * First go those that a person waits for, then unseals, then polls: so what holds
 * back the first one, holds back all.  The first one may be in flight, with the
 * process, and then stays where it is.
 */
#ifndef VAULTRING_WORKER_QUEUE_H
#define VAULTRING_WORKER_QUEUE_H

#include "worker.h"

struct worker_job {
	struct worker_job *next;
	struct worker *worker;
	json_t *request;
	uint64_t since;		/* in the queue */
	uint64_t deadline;	/* likewise; in flight the worker's */
	enum worker_how how;
	worker_fn fn;		/* NULL: cancelled */
	void *arg;
};

struct worker_queue {
	struct worker_job *first;
	unsigned int n;
};

bool job_is_poll(const struct worker_job *job);
void queue_put(struct worker_queue *queue, struct worker_job *job, bool in_flight);
/* These take jobs out and tell whoever waits for them, who may put in others. */
void queue_end_first(struct worker_queue *queue, const struct worker_reply *reply);
void queue_end_all(struct worker_queue *queue, const struct worker_reply *reply);
/* Those not in flight that have come by then, or whose deadline is by then. */
void queue_end_waiting(struct worker_queue *queue, bool in_flight, uint64_t came,
		       uint64_t due, const struct worker_reply *reply);

#endif /* VAULTRING_WORKER_QUEUE_H */
