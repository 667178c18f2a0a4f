// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unsealing KEKs
 *
 * An unseal goes: unseal-start with the kernel, one exchange per share with its
 * vault, unseal-answer with the kernel.  Whoever wants the same KEK meanwhile
 * joins: the kernel wakes every task that waits for a KEK once it is there.
 * There is one end for every unseal, finish(), which tells all of them.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "log.h"

struct waiter {
	struct waiter *next;
	uint64_t request;	/* of the kernel, or 0 and fn */
	unseal_fn fn;
	void *arg;
};

struct share {
	struct unseal *unseal;
	const struct challenge *challenge;
	struct worker_job *job;
	bool asked, answered;
};

struct unseal {
	struct unseal *next;
	struct daemon *d;
	struct envelope envelope;
	struct unseal_start start;
	struct share shares[VAULTRING_MAX_SHARES];
	unsigned int good;	/* shares that the kernel has taken */
	struct waiter *waiters;
	sd_event_source *timer;
	/* Of the last share that failed */
	int err;
	char message[1024];
};

void vault_failure_text(char *text, size_t size, const char *vault, int err,
			const char *message)
{
	char name[VAULTRING_MAX_VAULT + 1];
	const char *key;

	if (vault_ref_split(vault, name, &key))
		snprintf(name, sizeof(name), "%s", vault);
	switch (err) {
	case -EAGAIN:
		snprintf(text, size,
			 "vault %s is away (%s); try: vaultring vault check %s",
			 name, message, name);
		break;
	case -EKEYREJECTED:
		snprintf(text, size, "vault %s gave no proper answer (%s); try: vaultring vault check %s",
			 name, message, name);
		break;
	default:
		snprintf(text, size, "vault %s refused (%s); set this right, then try: vaultring vault check %s",
			 name, message, name);
	}
}

/* --- the end --- */

static void answer_waiter(struct daemon *d, struct waiter *w,
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

/* Ends it for the kernel too, which otherwise waits until its deadline. */
static void give_up_shares(struct unseal *u, int err)
{
	struct unseal_result ignored;
	size_t i;

	for (i = 0; i < u->start.n; i++) {
		struct share *s = &u->shares[i];

		worker_cancel(s->job);
		s->job = NULL;
		if (err && !s->answered)
			netlink_unseal_answer(u->d->nl, u->start.unseal,
					      s->challenge->index, NULL, 0,
					      -err, &ignored);
		s->answered = true;
	}
}

static void finish(struct unseal *u, int err, const char *message,
		   const struct unseal_result *result)
{
	struct unseal_outcome o = { .err = err, .envelope = &u->envelope };
	char text[1200];
	struct waiter *w;

	snprintf(text, sizeof(text), "kek %s: %s", u->envelope.name, message);
	o.message = text;
	if (result)
		o.result = *result;
	unlink_unseal(u);
	give_up_shares(u, err);
	sd_event_source_disable_unref(u->timer);
	if (err)
		log_warning("%s", text);
	else
		log_info("kek %s: version %" PRIu32 " unsealed",
			 u->envelope.name, u->envelope.version);
	while ((w = u->waiters)) {
		u->waiters = w->next;
		answer_waiter(u->d, w, &o);
	}
	explicit_bzero(&u->start, sizeof(u->start));
	free(u);
}

/* --- the vaults --- */

static void ask_next(struct unseal *u);

static void hand_in(struct unseal *u, struct share *s, const uint8_t *x)
{
	struct unseal_result result;
	char text[600];
	int err;

	s->answered = true;
	u->good++;
	err = netlink_unseal_answer(u->d->nl, u->start.unseal,
				    s->challenge->index, x, FINGERPRINT_SIZE, 0,
				    &result);
	if (err) {
		snprintf(text, sizeof(text), err == -EKEYREJECTED ?
			 "the answer of vault %s was rejected: %s; the envelope is damaged (restore it from a backup) or the vault is wrong (see: vaultring vault list)" :
			 "the kernel refused the answer of vault %s: %s",
			 s->challenge->vault, netlink_error(u->d->nl));
		finish(u, err, text, NULL);
	} else if (result.active) {
		finish(u, 0, "", &result);
	} else {
		ask_next(u);
	}
}

/* Tells the kernel, whose answer is that same error. */
static void share_failed(struct unseal *u, struct share *s, int err,
			 const char *message)
{
	struct unseal_result ignored;

	s->answered = true;
	u->err = err;
	vault_failure_text(u->message, sizeof(u->message), s->challenge->vault,
			   err, message);
	netlink_unseal_answer(u->d->nl, u->start.unseal, s->challenge->index,
			      NULL, 0, -err, &ignored);
}

static void on_exchange(void *arg, const struct worker_reply *reply)
{
	struct share *s = arg;
	uint8_t x[FINGERPRINT_SIZE];
	const char *hex;

	s->job = NULL;
	if (reply->err) {
		share_failed(s->unseal, s, reply->err, reply->message);
		ask_next(s->unseal);
		return;
	}
	hex = json_string_value(json_object_get(reply->body, "x"));
	if (!hex || hex_decode(hex, x, sizeof(x))) {
		share_failed(s->unseal, s, -EKEYREJECTED,
			     "its answer is not 32 bytes in hex");
		ask_next(s->unseal);
		return;
	}
	hand_in(s->unseal, s, x);
	explicit_bzero(x, sizeof(x));
}

static int ask(struct share *s, const char **why)
{
	const struct challenge *c = s->challenge;
	char name[VAULTRING_MAX_VAULT + 1], point[2 * sizeof(c->point) + 1];
	char fingerprint[FINGERPRINT_HEX];
	struct worker *worker;
	const char *key;

	s->asked = true;
	if (c->method != VAULTRING_METHOD_OBLIVIOUS ||
	    c->len != VAULTRING_OBLIVIOUS_DATA) {
		*why = "this version of vaultringd knows the oblivious method only";
		return -ENOKEY;
	}
	worker = vault_ref_split(c->vault, name, &key) ? NULL :
		 daemon_worker(s->unseal->d, name);
	if (!worker) {
		*why = "it is not in vaultring.conf";
		return -ENOKEY;
	}
	hex_encode(point, c->point, c->len);
	hex_encode(fingerprint, c->fingerprint, sizeof(c->fingerprint));
	*why = "too much is waiting for it";
	return worker_submit(worker,
			     json_pack("{s:s, s:s, s:s, s:s}", "op", "exchange",
				       "key", key, "spki-fingerprint",
				       fingerprint, "point", point),
			     false, on_exchange, s, &s->job);
}

static struct share *next_share(struct unseal *u)
{
	size_t i;

	for (i = 0; i < u->start.n; i++)
		if (!u->shares[i].asked)
			return &u->shares[i];
	return NULL;
}

/* As many shares are asked for as are still needed, the first ones first. */
static void ask_next(struct unseal *u)
{
	unsigned int asking = 0;
	const char *why;
	struct share *s;
	size_t i;
	int err;

	for (i = 0; i < u->start.n; i++)
		asking += u->shares[i].asked && !u->shares[i].answered;
	while (u->good + asking < u->envelope.threshold) {
		s = next_share(u);
		if (!s) {
			finish(u, u->err ?: -EKEYREJECTED, u->message, NULL);
			return;
		}
		err = ask(s, &why);
		if (err)
			share_failed(u, s, err, why);
		else
			asking++;
	}
	/* Enough are in and there is no KEK: the kernel disagrees. */
	if (!asking)
		finish(u, -EKEYREJECTED, "the kernel wants more answers than the envelope says",
		       NULL);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *arg)
{
	struct unseal *u = arg;
	char text[128];
	size_t i;

	(void)source;
	(void)usec;
	snprintf(text, sizeof(text), "no answer in time");
	for (i = 0; i < u->start.n; i++)
		if (u->shares[i].asked && !u->shares[i].answered)
			snprintf(text, sizeof(text),
				 "vault %s did not answer in time; try: vaultring vault list",
				 u->shares[i].challenge->vault);
	finish(u, -EAGAIN, text, NULL);
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

static int start_with_kernel(struct unseal *u, uint64_t request,
			     uint32_t left_ms, char *text, size_t size)
{
	uint64_t timeout = u->d->config.unseal_timeout_usec;
	const char *damage;
	uint8_t *data;
	size_t len, i;
	int err;

	damage = read_envelope(u->d, u, &data, &len, &err);
	if (damage) {
		snprintf(text, size, "its envelope %s/%s is damaged: %s; restore it from a backup",
			 store_path(u->d->store), u->envelope.file, damage);
		return err;
	}
	if (left_ms && left_ms * 1000ULL < timeout)
		timeout = left_ms * 1000ULL;
	err = netlink_unseal_start(u->d->nl, data, len, request,
				   timeout / 1000, &u->start);
	free(data);
	if (err) {
		snprintf(text, size, "the kernel refused its envelope: %s",
			 netlink_error(u->d->nl));
		return err;
	}
	for (i = 0; i < u->start.n; i++)
		u->shares[i] = (struct share){
			.unseal = u, .challenge = &u->start.challenges[i],
		};
	err = sd_event_add_time_relative(u->d->event, &u->timer,
					 CLOCK_MONOTONIC, timeout, 10000,
					 on_deadline, u);
	snprintf(text, size, "cannot set a timer");
	return err < 0 ? err : 0;
}

/* Ends what has only just begun, for one waiter that needs no answer. */
static void drop(struct unseal *u)
{
	unlink_unseal(u);
	free(u->waiters);
	free(u);
}

static struct unseal *find_unseal(struct daemon *d, const struct envelope *e)
{
	struct unseal *u;

	for (u = d->unseals; u; u = u->next)
		if (!memcmp(u->envelope.id, e->id, sizeof(e->id)) &&
		    !strcmp(u->envelope.name, e->name))
			return u;
	return NULL;
}

static void begin(struct daemon *d, const struct envelope *e, struct waiter *w,
		  uint32_t left_ms)
{
	struct unseal *u = find_unseal(d, e);
	char text[700];
	int err;

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
	err = start_with_kernel(u, w->request, left_ms, text, sizeof(text));
	/* Nobody waits any more: the KEK came, or the task went. */
	if (err == -ENOENT && w->request)
		drop(u);
	else if (err)
		finish(u, err, text, NULL);
	else
		ask_next(u);
}

void unseal_begin(struct daemon *d, const struct envelope *e, unseal_fn fn,
		  void *arg)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (!w) {
		fn(arg, &(struct unseal_outcome){ .err = -ENOMEM,
			.message = "out of memory", .envelope = e });
		return;
	}
	w->fn = fn;
	w->arg = arg;
	begin(d, e, w, 0);
}

static bool already_waiting(struct daemon *d, uint64_t request)
{
	struct unseal *u;
	struct waiter *w;

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
	struct waiter *w;

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
	struct waiter *w;

	while ((u = d->unseals)) {
		d->unseals = u->next;
		give_up_shares(u, 0);
		sd_event_source_disable_unref(u->timer);
		while ((w = u->waiters)) {
			u->waiters = w->next;
			free(w);
		}
		free(u);
	}
}
