/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of vaultringd share
 */
#ifndef VAULTRING_DAEMON_H
#define VAULTRING_DAEMON_H

#include <systemd/sd-event.h>

#include "config.h"
#include "envelope_store.h"
#include "netlink.h"
#include "worker.h"

struct unseal;
struct server;
struct sync;

struct daemon {
	sd_event *event;
	struct config config;
	struct netlink *nl;		/* NULL: --no-kernel */
	sd_event_source *nl_io;
	struct store *store;
	struct worker **workers;	/* one per config.vaults */
	struct unseal *unseals;		/* under way */
	struct server *server;
	struct sync *sync;
};

/* vaultringd.c; NULL if no vault is called that */
struct worker *daemon_worker(struct daemon *d, const char *name);

/* unseal.c */
struct unseal_outcome {
	int err;			/* 0 or a negative errno */
	const char *message;		/* a whole sentence, if err */
	const struct envelope *envelope;
	struct unseal_result result;
	bool shared;			/* of a trial: others want the KEK, too */
};

/* May be called before unseal_begin() returns; exactly once. */
typedef void (*unseal_fn)(void *arg, const struct unseal_outcome *outcome);

/* For somebody who asked through the socket. */
void unseal_begin(struct daemon *d, const struct envelope *e, unseal_fn fn,
		  void *arg);
/*
 * For a reseal that root has begun with the kernel.  The outcome has the new
 * envelope, if err is 0; it goes when fn returns.
 */
void unseal_go_on(struct daemon *d, const struct envelope *e,
		  const struct unseal_start *start, unseal_fn fn, void *arg);
/*
 * Whether that envelope opens, whose bytes are in no file yet.  Succeeds also if
 * only the KEK's dates forbid to have it; then the result is not active.
 */
void unseal_try(struct daemon *d, const struct envelope *e, const void *data,
		size_t len, unseal_fn fn, void *arg);
/* Whether a reseal of that KEK, or the trial of its outcome, is under way. */
bool unseal_resealing(const struct daemon *d, const struct envelope *e);
/* A task's request, which always gets an answer; fit for netlink_attach(). */
void unseal_on_request(void *arg, const struct kek_request *request);
/* Answers nobody: the kernel asks whoever attaches next. */
void unseal_forget_all(struct daemon *d);

/*
 * What a failed exchange means to a person: "vault hsm is away (...); try ...".
 */
void vault_failure_text(char *text, size_t size, const char *vault, int err,
			const char *message);

#endif /* VAULTRING_DAEMON_H */
