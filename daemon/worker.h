/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker process of one vault
 *
 * Work is queued and handed to the process one request at a time.  A process
 * that takes too long is ended; one that is gone is started again for the next
 * request, after a pause that grows while this goes on.
 */
#ifndef VAULTRING_WORKER_H
#define VAULTRING_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <systemd/sd-event.h>

#include "config.h"

enum worker_state {
	WORKER_UNKNOWN, WORKER_READY, WORKER_AWAY, WORKER_REFUSED,
};

struct worker_reply {
	int err;		/* 0, -EAGAIN, -ENOKEY or -EKEYREJECTED */
	const char *message;	/* what the vault said, if err */
	bool here;		/* -ENOKEY, but no word of the vault's */
	const json_t *body;	/* NULL if err */
	uint64_t latency_usec;
};

/* Called once per job, from the event loop, never from within worker_*(). */
typedef void (*worker_fn)(void *arg, const struct worker_reply *reply);

struct worker;
struct worker_job;

/* Starts the process; folder is where the workers' programs are. */
int worker_new(sd_event *event, const struct vault_config *config,
	       const char *folder, struct worker **worker);
/* Begins to end the process, so that several can do so at a time. */
void worker_end(struct worker *worker);
/* Waits for its end; jobs that are left fail. */
void worker_free(struct worker *worker);
/* Ends the process after what is under way: the next job gets a new one, at once. */
void worker_restart(struct worker *worker);

enum worker_how {
	WORKER_PATIENT,		/* a pause may end first */
	WORKER_IMPATIENT,	/* somebody is looking at it: at once */
	WORKER_POLL,		/* after all others; a pause is over */
	WORKER_ASIDE,		/* likewise; a refusal is none of the vault's state */
};

/* Takes the reference to the request. */
int worker_submit(struct worker *worker, json_t *request, enum worker_how how,
		  worker_fn fn, void *arg, struct worker_job **job);
/* fn is not called. */
void worker_cancel(struct worker_job *job);
/* When the vault may be polled: in the past, if it may; CLOCK_MONOTONIC, in usec */
uint64_t worker_poll_at(const struct worker *worker);

const struct vault_config *worker_config(const struct worker *worker);
enum worker_state worker_state(const struct worker *worker);
const char *worker_message(const struct worker *worker);
/* Of the last success: seconds since the epoch and how long it took; 0: never */
uint64_t worker_last_contact(const struct worker *worker);
uint64_t worker_latency_usec(const struct worker *worker);
/* The last one, which may be over, and when; NULL: none yet */
const char *worker_last_error(const struct worker *worker, uint64_t *when);

#endif /* VAULTRING_WORKER_H */
