// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unsealing KEKs
 *
 * An unseal goes: unseal-start with the kernel, one exchange per share with its
 * vault, unseal-answer with the kernel for each until there are enough.  Whoever
 * wants the same KEK meanwhile joins: the kernel wakes every task that waits for
 * a KEK once it is there.  Nobody joins a reseal or the trial of its envelope,
 * nor do these join: what came of one envelope says nothing about another.
 * There is one end for every unseal, unseal_finish(), which tells all of them.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "sync.h"
#include "unseal.h"

#define TELL 1000000		/* microseconds */

/* --- the end --- */

static void answer_waiter(struct daemon *d, struct unseal_waiter *w,
			  const struct unseal_outcome *o)
{
	if (w->fn)
		w->fn(w->arg, o);
	/* The kernel has answered it already if the unseal was its own. */
	else if (o->err && netlink_request_fail(d->nl, w->request, -o->err))
		log_debug("request %" PRIu64 ": %s", w->request,
			  netlink_error(d->nl));
	free(w);
}

static void unlink_unseal(struct unseal *u)
{
	struct unseal **p = &u->d->unseals;

	while (*p && *p != u)
		p = &(*p)->next;
	if (*p)
		*p = u->next;
}

void unseal_finish(struct unseal *u, int err, const char *message,
		   const struct unseal_result *result)
{
	static const char *const done[] = {
		[UNSEAL_SHARED] = "unsealed",
		[UNSEAL_RESEAL] = "has another envelope, which is tried now",
		[UNSEAL_TRIAL] = "opens with it",
	};
	struct unseal_outcome o = {
		.err = err, .envelope = &u->envelope, .shared = u->shared,
	};
	struct unseal_waiter *w;
	char text[3200];

	snprintf(text, sizeof(text), "kek %s: %s", u->envelope.name, message);
	o.message = text;
	if (result)
		o.result = *result;
	unlink_unseal(u);
	unseal_drop_shares(u, err);
	sd_event_source_disable_unref(u->timer);
	if (err)
		log_warning("%s", text);
	else
		log_info("kek %s: version %" PRIu32 " %s",
			 u->envelope.name, u->envelope.version, done[u->kind]);
	while ((w = u->waiters)) {
		u->waiters = w->next;
		answer_waiter(u->d, w, &o);
	}
	/* There may be a lease to watch, or a KEK that is refused all the same. */
	sync_look(u->d);
	explicit_bzero(&u->start, sizeof(u->start));
	free(o.result.resealed);
	free(u);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)source;
	(void)usec;
	unseal_time_out(arg);
	return 0;
}

/* --- the beginning --- */

/* What the index says may be old: the file's bytes count. */
static const char *read_envelope(struct daemon *d, struct unseal *u,
				 uint8_t **data, size_t *len, int *err)
{
	struct envelope now;
	const char *damage;

	if (u->envelope.damage) {
		*err = -EKEYREJECTED;
		return u->envelope.damage;
	}
	*err = store_read(d->store, &u->envelope, data, len);
	if (*err) {
		damage = strerrordesc_np(-*err);
		/* Of -ENOENT only the kernel's own means that nobody waits. */
		if (*err == -ENOENT)
			*err = -ENOKEY;
		return damage;
	}
	damage = envelope_parse(*data, *len, &now);
	if (!damage && (strcmp(now.name, u->envelope.name) ||
			now.version != u->envelope.version))
		damage = "its name or version is not that of its file";
	if (!damage) {
		memcpy(now.file, u->envelope.file, sizeof(now.file));
		u->envelope = now;
		return NULL;
	}
	*err = -EKEYREJECTED;
	free(*data);
	return damage;
}

static int set_deadline(struct unseal *u, uint64_t usec, char *text,
			size_t size)
{
	int err = sd_event_add_time_relative(u->d->event, &u->timer,
					     CLOCK_MONOTONIC, usec, 10000,
					     on_deadline, u);

	snprintf(text, size, "cannot set a timer");
	return err < 0 ? err : 0;
}

static int start_with_kernel(struct unseal *u, const void *data, size_t len,
			     uint64_t request, uint32_t left_ms, char *text,
			     size_t size)
{
	uint64_t timeout = u->d->config.unseal_timeout_usec;
	int err;

	if (left_ms && left_ms * 1000ULL < timeout)
		timeout = left_ms * 1000ULL;
	err = netlink_unseal_start(u->d->nl, data, len, request,
				   timeout / 1000, &u->start);
	if (!err)
		return set_deadline(u, timeout, text, size);
	snprintf(text, size, "the kernel refused its envelope: %s",
		 netlink_error(u->d->nl));
	return err;
}

static int start_from_file(struct unseal *u, uint64_t request, uint32_t left_ms,
			   char *text, size_t size)
{
	const char *damage;
	uint8_t *data;
	size_t len;
	int err;

	damage = read_envelope(u->d, u, &data, &len, &err);
	if (damage) {
		snprintf(text, size, "its envelope %s/%s is damaged: %s; restore it from a backup",
			 store_path(u->d->store), u->envelope.file, damage);
		return err;
	}
	err = start_with_kernel(u, data, len, request, left_ms, text, size);
	free(data);
	return err;
}

/* Ends what has only just begun, for one waiter that needs no answer. */
static void drop(struct unseal *u)
{
	unlink_unseal(u);
	free(u->waiters);
	free(u);
}

static struct unseal *find_unseal(const struct daemon *d,
				  const struct envelope *e,
				  enum unseal_kind kind)
{
	struct unseal *u;

	for (u = d->unseals; u; u = u->next)
		if (u->kind == kind &&
		    !memcmp(u->envelope.id, e->id, sizeof(e->id)) &&
		    !strcmp(u->envelope.name, e->name))
			return u;
	return NULL;
}

bool unseal_resealing(const struct daemon *d, const struct envelope *e)
{
	return find_unseal(d, e, UNSEAL_RESEAL) ||
	       find_unseal(d, e, UNSEAL_TRIAL);
}

static void begin(struct daemon *d, const struct envelope *e, struct unseal_waiter *w,
		  uint32_t left_ms)
{
	struct unseal *u = find_unseal(d, e, UNSEAL_TRIAL);
	char text[700];
	int err;

	/* If it comes first, the KEK is theirs as well. */
	if (u)
		u->shared = true;
	u = find_unseal(d, e, UNSEAL_SHARED);
	if (u) {
		w->next = u->waiters;
		u->waiters = w;
		return;
	}
	u = calloc(1, sizeof(*u));
	if (!u) {
		answer_waiter(d, w, &(struct unseal_outcome){
			.err = -ENOMEM, .message = "out of memory",
			.envelope = e });
		return;
	}
	u->d = d;
	u->envelope = *e;
	u->waiters = w;
	u->next = d->unseals;
	d->unseals = u;
	err = start_from_file(u, w->request, left_ms, text, sizeof(text));
	/* Nobody waits any more: the KEK came, or the task went. */
	if (err == -ENOENT && w->request)
		drop(u);
	else if (err)
		unseal_finish(u, err, text, NULL);
	else
		unseal_ask(u);
}

void unseal_begin(struct daemon *d, const struct envelope *e, unseal_fn fn,
		  void *arg)
{
	struct unseal_waiter *w = calloc(1, sizeof(*w));

	if (!w) {
		fn(arg, &(struct unseal_outcome){ .err = -ENOMEM,
			.message = "out of memory", .envelope = e });
		return;
	}
	w->fn = fn;
	w->arg = arg;
	begin(d, e, w, 0);
}

/* NULL: out of memory, and fn knows. */
static struct unseal *new_alone(struct daemon *d, const struct envelope *e,
				enum unseal_kind kind, unseal_fn fn, void *arg)
{
	struct unseal_waiter *w = calloc(1, sizeof(*w));
	struct unseal *u = calloc(1, sizeof(*u));

	if (!w || !u) {
		free(w);
		free(u);
		fn(arg, &(struct unseal_outcome){ .err = -ENOMEM,
			.message = "out of memory", .envelope = e });
		return NULL;
	}
	w->fn = fn;
	w->arg = arg;
	u->d = d;
	u->envelope = *e;
	u->kind = kind;
	u->waiters = w;
	u->next = d->unseals;
	d->unseals = u;
	return u;
}

void unseal_go_on(struct daemon *d, const struct envelope *e,
		  const struct unseal_start *start, unseal_fn fn, void *arg)
{
	struct unseal *u = new_alone(d, e, UNSEAL_RESEAL, fn, arg);
	uint64_t usec = start->deadline_ms * 1000ULL;
	char text[100];
	int err;

	if (!u)
		return;
	u->start = *start;
	/* Before the kernel does, so as to be able to tell it. */
	usec -= usec / 10 < TELL ? usec / 10 : TELL;
	if (usec > d->config.unseal_timeout_usec)
		usec = d->config.unseal_timeout_usec;
	err = set_deadline(u, usec, text, sizeof(text));
	if (err)
		unseal_finish(u, err, text, NULL);
	else
		unseal_ask(u);
}

void unseal_try(struct daemon *d, const struct envelope *e, const void *data,
		size_t len, unseal_fn fn, void *arg)
{
	struct unseal *u = new_alone(d, e, UNSEAL_TRIAL, fn, arg);
	char text[700];
	int err;

	if (!u)
		return;
	u->shared = find_unseal(d, e, UNSEAL_SHARED);
	err = start_with_kernel(u, data, len, 0, 0, text, sizeof(text));
	if (err)
		unseal_finish(u, err, text, NULL);
	else
		unseal_ask(u);
}

static bool already_waiting(struct daemon *d, uint64_t request)
{
	struct unseal *u;
	struct unseal_waiter *w;

	for (u = d->unseals; u; u = u->next)
		for (w = u->waiters; w; w = w->next)
			if (w->request == request)
				return true;
	return false;
}

static void refuse(struct daemon *d, const struct kek_request *r, int err,
		   const char *why)
{
	char id[2 * VAULTRING_ID_SIZE + 1] = "";

	if (r->by_id)
		hex_encode(id, r->id, sizeof(r->id));
	log_notice("kek %s%s: %s (asked for by %s, pid %" PRIu32
		   ", uid %u, gid %u, cgroup %" PRIu64 ")",
		   r->name, id, why, r->comm, r->pid, r->uid, r->gid, r->cgroup);
	if (netlink_request_fail(d->nl, r->request, -err))
		log_debug("request %" PRIu64 ": %s", r->request,
			  netlink_error(d->nl));
}

void unseal_on_request(void *arg, const struct kek_request *r)
{
	struct daemon *d = arg;
	const struct envelope *e;
	struct unseal_waiter *w;

	/* The kernel asks again when we attach again. */
	if (already_waiting(d, r->request))
		return;
	e = r->by_id ? store_find_id(d->store, r->id) :
	    store_find(d->store, r->name, 0);
	if (!e) {
		refuse(d, r, -ENOKEY, "no such envelope here");
		return;
	}
	/*
	 * Nobody should make a vault busy with a KEK that is not theirs.  The
	 * kernel has the last word once it is unsealed.
	 */
	if (!e->damage && !envelope_may_allow(e, r->uid)) {
		refuse(d, r, -EACCES, "not theirs to use");
		return;
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		refuse(d, r, -ENOMEM, "out of memory");
		return;
	}
	w->request = r->request;
	log_debug("kek %s: asked for by %s, pid %" PRIu32 ", uid %u, gid %u, cgroup %"
		  PRIu64, e->name, r->comm, r->pid, r->uid, r->gid, r->cgroup);
	begin(d, e, w, r->deadline_ms);
}

void unseal_forget_all(struct daemon *d)
{
	struct unseal *u;
	struct unseal_waiter *w;

	while ((u = d->unseals)) {
		d->unseals = u->next;
		unseal_drop_shares(u, 0);
		sd_event_source_disable_unref(u->timer);
		while ((w = u->waiters)) {
			u->waiters = w->next;
			free(w);
		}
		free(u);
	}
}
