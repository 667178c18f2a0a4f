// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Asking the vaults of an unseal
 *
 * All are asked at once, each through its own worker, so that none waits for
 * another.  What comes is handed to the kernel at once, and so is that a share
 * will not come.  Whether the unseal goes on, and what came of it, the kernel
 * says.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kept.h"
#include "log.h"
#include "sync.h"
#include "unseal.h"

#define LATE "it did not answer in time"
#define RETRY 250000		/* microseconds */

static const char *vault_name(const char *ref, char name[VAULTRING_MAX_VAULT + 1])
{
	const char *key;

	if (vault_ref_split(ref, name, &key))
		snprintf(name, VAULTRING_MAX_VAULT + 1, "%s", ref);
	return name;
}

static const char *what_failed(int err)
{
	return err == -EAGAIN ? "is away" : err == -EKEYREJECTED ?
	       "gave no proper answer" : "refused";
}

/* What a failed exchange means to a person, without what to do about it. */
static void failure_reason(char *text, size_t size, const char *vault,
			   const char *what, const char *message)
{
	char name[VAULTRING_MAX_VAULT + 1];

	snprintf(text, size, "vault %s %s (%s)", vault_name(vault, name), what,
		 message);
}

static const char *advice(int err)
{
	return err == -EAGAIN || err == -EKEYREJECTED ? "" :
	       "set this right, then ";
}

void vault_failure_text(char *text, size_t size, const char *vault, int err,
			const char *message)
{
	char name[VAULTRING_MAX_VAULT + 1];
	size_t len;

	failure_reason(text, size, vault, what_failed(err), message);
	len = strlen(text);
	snprintf(text + len, size - len, "; %stry: vaultring vault check %s",
		 advice(err), vault_name(vault, name));
}

static size_t add(char *text, size_t size, size_t at, const char *more)
{
	int n = at < size ? snprintf(text + at, size - at, "%s", more) : 0;

	return at + (n > 0 ? n : 0);
}

/* Each vault that failed and why, and where to look first. */
static void add_reasons(const struct unseal *u, char *text, size_t size)
{
	const struct unseal_share *first = NULL;
	size_t i, at = strlen(text);
	char name[VAULTRING_MAX_VAULT + 1];

	for (i = 0; i < u->start.n; i++) {
		const struct unseal_share *s = &u->shares[i];

		if (!s->reason[0])
			continue;
		at = add(text, size, at, at ? "; " : "");
		at = add(text, size, at, s->reason);
		if (!s->unasked)
			first = first ?: s;
	}
	if (!first)
		return;
	at = add(text, size, at, "; ");
	at = add(text, size, at, advice(first->err));
	at = add(text, size, at, "try: vaultring vault check ");
	add(text, size, at, vault_name(first->challenge->vault, name));
}

/* --- what came --- */

/* "vault a" or "vaults a, b": those whose answers the kernel has. */
static size_t add_answered(const struct unseal *u, char *text, size_t size)
{
	char name[VAULTRING_MAX_VAULT + 1], list[600] = "";
	size_t i, n = 0, at = 0;

	for (i = 0; i < u->start.n; i++) {
		const struct unseal_share *s = &u->shares[i];

		if (!s->done || s->err)
			continue;
		at = add(list, sizeof(list), at, n++ ? ", " : " ");
		at = add(list, sizeof(list), at,
			 vault_name(s->challenge->vault, name));
	}
	at = strlen(text);
	at = add(text, size, at, n > 1 ? "vaults" : "vault");
	add(text, size, at, list);
	return n;
}

/* Not enough vaults are left. */
static void finish_failed(struct unseal *u, int err)
{
	char text[3000] = "";

	if (u->start.n > 1)
		snprintf(text, sizeof(text), "it needs %u of %zu vaults",
			 u->envelope.threshold, u->start.n);
	if (u->wrong) {
		add(text, sizeof(text), strlen(text), "; of ");
		add_answered(u, text, sizeof(text));
		add(text, sizeof(text), strlen(text),
		    " an answer is wrong, or the envelope is damaged");
	}
	add_reasons(u, text, sizeof(text));
	unseal_finish(u, err, text, NULL);
}

/* The kernel refused an answer, and with it the unseal. */
static void finish_refused(struct unseal *u, int err)
{
	const char *why = netlink_error(u->d->nl);
	char text[3000];
	size_t n, at;

	snprintf(text, sizeof(text), "%sthe answer of ",
		 err == -EKEYREJECTED ? "" : "the kernel refused ");
	n = add_answered(u, text, sizeof(text));
	at = strlen(text);
	snprintf(text + at, sizeof(text) - at, err == -EKEYREJECTED ?
		 " was rejected: %s; the envelope is damaged (restore it from a backup) or %s wrong (see: vaultring vault list)" :
		 ": %s", why, n > 1 ? "one of them is" : "the vault is");
	add_reasons(u, text, sizeof(text));
	/* Too late is not wrong. */
	unseal_finish(u, err == -ENOENT ? -EAGAIN : err, text, NULL);
}

/*
 * The kernel looks at a KEK's dates last, after all that could be wrong with its
 * envelope; unless that is a vault's word that it repeats.
 */
static bool opens_too_late(const struct unseal *u)
{
	size_t i;

	for (i = 0; i < u->start.n; i++)
		if (u->shares[i].err == -EKEYEXPIRED)
			return false;
	return u->kind == UNSEAL_TRIAL;
}

/* Whether the unseal has been finished with this. */
static bool hand_in(struct unseal_share *s, const struct share_answer *answer)
{
	struct unseal *u = s->unseal;
	struct unseal_result result;
	int err;

	s->done = true;
	err = netlink_unseal_answer(u->d->nl, u->start.unseal,
				    s->challenge->index, answer, 0, &result);
	if (err == -EKEYEXPIRED && opens_too_late(u)) {
		unseal_finish(u, 0, "", NULL);
		return true;
	}
	if (err) {
		finish_refused(u, err);
		return true;
	}
	if (result.active || result.resealed) {
		unseal_finish(u, 0, "", &result);
		return true;
	}
	u->wrong = u->wrong || result.err;
	if (result.err)
		log_warning("kek %s: the answer of vault %s, or one before it, is wrong; waiting for the others",
			    u->envelope.name, s->challenge->vault);
	return false;
}

static void note_failure(struct unseal_share *s, int err, const char *message)
{
	s->err = err;
	failure_reason(s->reason, sizeof(s->reason), s->challenge->vault,
		       s->unasked ? "was not asked" : what_failed(err), message);
}

/* Whether the unseal has been finished with this. */
static bool give_up(struct unseal_share *s, int err, const char *message)
{
	struct unseal *u = s->unseal;
	struct unseal_result result;
	int failed;

	note_failure(s, err, message);
	s->done = true;
	failed = netlink_unseal_answer(u->d->nl, u->start.unseal,
				       s->challenge->index, NULL, -err, &result);
	if (!failed && result.goes_on) {
		log_warning("kek %s: %s; waiting for the other vaults",
			    u->envelope.name, s->reason);
		return false;
	}
	/* At its deadline the kernel may have been faster. */
	finish_failed(u, failed == -ENOENT ? -EAGAIN : failed ?:
		      result.err ?: err);
	return true;
}

static void on_answer(void *arg, const struct worker_reply *reply)
{
	struct unseal_share *s = arg;
	struct share_answer answer;
	const char *wrong;

	s->job = NULL;
	sync_heard(s->unseal->d, s->challenge->vault,
		   s->challenge->fingerprint, reply->err, reply->here,
		   reply->message);
	if (reply->err) {
		give_up(s, reply->err, reply->message);
		return;
	}
	wrong = share_take(s->challenge->method, reply->body, &answer);
	if (wrong)
		give_up(s, -EKEYREJECTED, wrong);
	else
		hand_in(s, &answer);
	explicit_bzero(&answer, sizeof(answer));
}

/* --- asking --- */

static int on_retry(sd_event_source *source, uint64_t usec, void *arg);

/* The kernel is making its transport key: ask it again in a while. */
static int ask_later(struct unseal_share *s, const char **why)
{
	*why = "out of memory";
	return sd_event_add_time_relative(s->unseal->d->event, &s->retry,
					  CLOCK_MONOTONIC, RETRY, RETRY / 10,
					  on_retry, s) < 0 ? -EAGAIN : 0;
}

/*
 * The key that the vault is to release its own for.  What it released for any
 * but the kept one would be of no use if it knows that one: whoever wants the
 * KEK asks again, as if it was away.
 */
static int get_transport(struct unseal_share *s, uint8_t *spki, size_t *len,
			 const char **why)
{
	int err = netlink_transport_get(s->unseal->d->nl, spki, len);

	if (err && err != -EAGAIN) {
		*why = "the kernel gives no transport key";
		return err;
	}
	if (kept_not_loaded(err ? NULL : spki, *len)) {
		*why = KEPT_NOT_LOADED;
		s->unasked = true;
		return -EAGAIN;
	}
	return err ? -EINPROGRESS : 0;
}

static int ask(struct unseal_share *s, const char **why)
{
	const struct challenge *c = s->challenge;
	char name[VAULTRING_MAX_VAULT + 1];
	uint8_t transport[VAULTRING_MAX_PUBLIC_KEY];
	struct share_question q = {
		.method = c->method, .fingerprint = c->fingerprint,
		.challenge = c->data, .challenge_len = c->len,
		.transport = transport,
	};
	struct worker *worker;
	int err = 0;

	if (!method_name(c->method)) {
		*why = "this version of vaultringd does not know its method";
		return -ENOKEY;
	}
	worker = vault_ref_split(c->vault, name, &q.key) ? NULL :
		 daemon_worker(s->unseal->d, name);
	if (!worker) {
		*why = "it is not in vaultring.conf";
		return -ENOKEY;
	}
	if (c->method == VAULTRING_METHOD_SEALED)
		err = get_transport(s, transport, &q.transport_len, why);
	if (err == -EINPROGRESS)
		return ask_later(s, why);
	if (err)
		return err;
	*why = "too much is waiting for it";
	return worker_submit(worker, share_request(&q), WORKER_PATIENT,
			     on_answer, s, &s->job);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *arg)
{
	struct unseal_share *s = arg;
	const char *why;
	int err;

	(void)source;
	(void)usec;
	s->retry = sd_event_source_disable_unref(s->retry);
	err = ask(s, &why);
	if (err)
		give_up(s, err, why);
	return 0;
}

/* The vault is not asked any more. */
static void stop_asking(struct unseal_share *s)
{
	worker_cancel(s->job);
	s->job = NULL;
	s->retry = sd_event_source_disable_unref(s->retry);
}

void unseal_ask(struct unseal *u)
{
	const char *why;
	size_t i;
	int err;

	for (i = 0; i < u->start.n; i++)
		u->shares[i] = (struct unseal_share){
			.unseal = u, .challenge = &u->start.challenges[i],
		};
	for (i = 0; i < u->start.n; i++) {
		err = ask(&u->shares[i], &why);
		if (err && give_up(&u->shares[i], err, why))
			return;
	}
}

void unseal_time_out(struct unseal *u)
{
	size_t i;

	/* All of them first: the kernel may have dropped it already. */
	for (i = 0; i < u->start.n; i++) {
		if (u->shares[i].done)
			continue;
		stop_asking(&u->shares[i]);
		note_failure(&u->shares[i], -EAGAIN, LATE);
	}
	for (i = 0; i < u->start.n; i++) {
		struct unseal_share *s = &u->shares[i];

		if (s->done)
			continue;
		if (give_up(s, -EAGAIN, LATE))
			return;
	}
	/* The kernel had its last word long ago; this cannot be. */
	unseal_finish(u, -EAGAIN, "no answer in time", NULL);
}

void unseal_drop_shares(struct unseal *u, int err)
{
	struct unseal_result ignored;
	size_t i;

	for (i = 0; i < u->start.n; i++) {
		struct unseal_share *s = &u->shares[i];

		stop_asking(s);
		/* -ENOENT, as a rule: it has ended all of them itself. */
		if (err && !s->done)
			netlink_unseal_answer(u->d->nl, u->start.unseal,
					      u->start.challenges[i].index,
					      NULL, -err, &ignored);
		s->done = true;
	}
}
