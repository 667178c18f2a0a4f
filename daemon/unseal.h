/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An unseal under way: unseal.c begins and ends it, unseal_shares.c asks the
 * vaults in between
 */
#ifndef VAULTRING_UNSEAL_H
#define VAULTRING_UNSEAL_H

#include "daemon.h"

struct unseal_waiter {
	struct unseal_waiter *next;
	uint64_t request;	/* of the kernel, or 0 and fn */
	unseal_fn fn;
	void *arg;
};

struct unseal_share {
	struct unseal *unseal;
	const struct challenge *challenge;
	struct worker_job *job;	/* not NULL: the vault is being asked */
	sd_event_source *retry;	/* not NULL: waits for the transport key */
	bool done;		/* the kernel has its answer, or why not */
	bool unasked;		/* it was not the vault that failed */
	int err;		/* why there is none */
	char reason[300];	/* likewise: "vault a is away (...)" */
};

enum unseal_kind {
	UNSEAL_SHARED,	/* whoever wants the same KEK joins */
	UNSEAL_RESEAL,	/* root has begun it with the kernel */
	UNSEAL_TRIAL,	/* of the bytes that a reseal gave */
};

struct unseal {
	struct unseal *next;
	struct daemon *d;
	struct envelope envelope;
	enum unseal_kind kind;
	bool shared;		/* a trial: others have asked for the KEK, too */
	struct unseal_start start;
	struct unseal_share shares[VAULTRING_MAX_SHARES];
	bool wrong;		/* one of the answers, says the kernel */
	struct unseal_waiter *waiters;
	sd_event_source *timer;
};

/* unseal.c; the unseal is no more when this returns */
void unseal_finish(struct unseal *u, int err, const char *message,
		   const struct unseal_result *result);

/* unseal_shares.c */
/* Asks all vaults at once; may finish the unseal. */
void unseal_ask(struct unseal *u);
/* Those that have not answered are not waited for any more; finishes it. */
void unseal_time_out(struct unseal *u);
/* Nobody waits for the vaults; err, if not 0, is told to the kernel. */
void unseal_drop_shares(struct unseal *u, int err);

#endif /* VAULTRING_UNSEAL_H */
