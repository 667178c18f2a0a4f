// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Staying in sync with the vaults: looking at their keys
 *
 * Each vault has a timer of its own, which is off while no envelope names a key
 * of that vault.  When it fires the vault is asked for its keys one after the
 * other, so that it has one poll under way at most, and the timer is set again
 * when that is over.  Between two rounds there are three quarters of the
 * interval or more, but never more than all of it: hosts that were started
 * together drift apart, and what a vault says is known within the interval.
 * A round stops where the vault wants a rest, and goes on after that; it is over
 * when the vault is away, and the next one begins with the key after that.
 *
 * A refusal is the vault's definite word.  That it is away changes nothing here:
 * worker.c tells the journal.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "sync.h"

#define ACCURACY	100000		/* microseconds */
#define UNPOLLED	60000000ULL	/* as if that were the interval */

struct sync_vault {
	struct sync *sync;
	struct worker *worker;
	uint64_t interval;		/* 0: is not polled */
	sd_event_source *timer;
	uint64_t began;			/* the round that is under way */
	struct sync_key *keys;
	struct sync_key *asked;		/* not NULL: a round is under way */
	struct worker_job *job;		/* likewise; NULL: it rests */
	bool again;			/* somebody wants another one */
};

struct sync {
	struct daemon *d;
	struct sync_vault *vaults;	/* as d->workers */
	struct sync_keks *keks;
	sd_event_source *look;		/* in the loop's next turn */
};

/* --- what is known --- */

static struct sync_vault *vault_of(const struct sync *sync, const char *ref,
				   const char **key)
{
	char name[VAULTRING_MAX_VAULT + 1];
	size_t i;

	if (vault_ref_split(ref, name, key))
		return NULL;
	for (i = 0; i < sync->d->config.n_vaults; i++)
		if (!strcmp(sync->d->config.vaults[i].name, name))
			return &sync->vaults[i];
	return NULL;
}

static struct sync_key *find_key(const struct sync_vault *v, const char *ref,
				 const uint8_t *fingerprint)
{
	struct sync_key *key;

	for (key = v->keys; key; key = key->next)
		if (!strcmp(key->ref, ref) &&
		    !memcmp(key->fingerprint, fingerprint, FINGERPRINT_SIZE))
			return key;
	return NULL;
}

const struct sync_key *sync_find(const struct sync *sync, const char *ref,
				 const uint8_t *fingerprint)
{
	const char *name;
	const struct sync_vault *v = vault_of(sync, ref, &name);

	return v ? find_key(v, ref, fingerprint) : NULL;
}

const struct sync_key *sync_next(const struct sync *sync,
				 const struct sync_key *key)
{
	const char *name;
	size_t i = 0;

	if (key && key->next)
		return key->next;
	if (key)
		i = vault_of(sync, key->ref, &name) - sync->vaults + 1;
	for (; i < sync->d->config.n_vaults; i++)
		if (sync->vaults[i].keys)
			return sync->vaults[i].keys;
	return NULL;
}

/* NULL: no such vault, or out of memory */
static struct sync_key *find_or_add(struct sync *sync, const char *ref,
				    const uint8_t *fingerprint)
{
	const char *name;
	struct sync_vault *v = vault_of(sync, ref, &name);
	struct sync_key *key = v ? find_key(v, ref, fingerprint) : NULL;

	if (key || !v)
		return key;
	key = calloc(1, sizeof(*key));
	if (!key)
		return NULL;
	copy_text(key->ref, sizeof(key->ref), ref);
	key->name = key->ref + (name - ref);
	memcpy(key->fingerprint, fingerprint, sizeof(key->fingerprint));
	key->next = v->keys;
	v->keys = key;
	return key;
}

/*
 * What vaultring.conf says may have changed before we were started, and be wrong.
 * So a key that has never agreed since then has to be refused twice, with about an
 * interval in between.
 */
static enum key_word refusal(const struct sync *sync, struct sync_key *key)
{
	const char *name;
	uint64_t interval = vault_of(sync, key->ref, &name)->interval;

	if (key->word == KEY_AGREES || key->word == KEY_REFUSED)
		return KEY_REFUSED;
	if (!key->doubted_at)
		key->doubted_at = now_usec();
	return now_usec() - key->doubted_at < (interval ?: UNPOLLED) / 2 ?
	       KEY_DOUBTED : KEY_REFUSED;
}

static void tell(const struct sync_key *key, enum key_word before)
{
	if (key->word == KEY_AGREES) {
		if (before != KEY_UNHEARD)
			log_notice("vault %s: agrees again", key->ref);
		return;
	}
	log_warning("vault %s: refuses%s: %s", key->ref,
		    before == KEY_DOUBTED ? " again" : "", key->reason);
	if (key->word == KEY_DOUBTED)
		log_warning("vault %s: it has not agreed since vaultringd was started; is vaultring.conf right?  When it refuses at the next look that counts",
			    key->ref);
}

static void hear(struct sync *sync, struct sync_key *key, int err, bool here,
		 const char *message)
{
	enum key_word before = key->word;

	if (err && (err != -ENOKEY || here))
		return;
	key->heard_at = time(NULL);
	key->word = err ? refusal(sync, key) : KEY_AGREES;
	snprintf(key->reason, sizeof(key->reason), "%s", err ? message : "");
	/* It may be cut inside of a character. */
	text_tidy(key->reason);
	if (key->word == before)
		return;
	tell(key, before);
	sync_look(sync->d);
}

void sync_heard(struct daemon *d, const char *ref, const uint8_t *fingerprint,
		int err, bool here, const char *message)
{
	struct sync_key *key = d->sync ?
			       find_or_add(d->sync, ref, fingerprint) : NULL;

	if (key)
		hear(d->sync, key, err, here, message);
}

/* --- polling --- */

static bool is_armed(const struct sync_vault *v)
{
	int on = SD_EVENT_OFF;

	sd_event_source_get_enabled(v->timer, &on);
	return on != SD_EVENT_OFF;
}

static void set_timer(struct sync_vault *v, uint64_t at)
{
	uint64_t now = now_usec();

	sd_event_source_set_time(v->timer, at > now ? at : now);
	sd_event_source_set_enabled(v->timer, SD_EVENT_ONESHOT);
}

static void arm(struct sync_vault *v, uint64_t from)
{
	uint64_t after = v->interval - part_of(v->interval / 4);

	log_debug("vault %s: looks again in %" PRIu64 " ms",
		  worker_config(v->worker)->name, after / 1000);
	set_timer(v, from + after);
}

/* Which keys the store's envelopes name; those of new ones are added. */
static void read_store(struct sync *sync)
{
	const struct envelope *list;
	struct sync_key *key;
	size_t i, j, n = store_list(sync->d->store, &list);

	for (i = 0; i < sync->d->config.n_vaults; i++)
		for (key = sync->vaults[i].keys; key; key = key->next)
			key->used = false;
	for (i = 0; i < n; i++) {
		for (j = 0; !list[i].damage && j < list[i].n_shares; j++) {
			key = find_or_add(sync, list[i].shares[j].vault,
					  list[i].shares[j].fingerprint);
			if (!key)
				continue;
			key->used = true;
			key->method = list[i].shares[j].method;
		}
	}
}

static void drop_unused(struct sync_vault *v)
{
	struct sync_key **p = &v->keys, *key;

	while ((key = *p)) {
		if (key->used) {
			p = &key->next;
			continue;
		}
		*p = key->next;
		free(key);
	}
}

/* That is for vaultring.conf to say, and so no word of the vault's either. */
static bool take_method(struct sync_key *key, const json_t *body)
{
	uint32_t method = method_of(body);
	bool other = key->method && method != key->method;

	if (other && !key->other_method)
		log_warning("vault %s: makes %s shares now, and KEKs have %s ones of it; put back what vaultring.conf said of it, or reseal them",
			    key->ref, method_name(method) ?: "other",
			    method_name(key->method));
	key->other_method = other;
	return !other;
}

static void take_poll(struct sync_vault *v, const struct worker_reply *r)
{
	struct sync_key *key = v->asked;
	char text[128], want[FINGERPRINT_HEX];
	struct share_key have;

	if (r->err) {
		hear(v->sync, key, r->err, r->here, r->message);
		return;
	}
	if (!take_method(key, r->body))
		return;
	/* What the key is, the kernel sees at the next unseal. */
	if (key->method == VAULTRING_METHOD_SEALED) {
		hear(v->sync, key, 0, false, "");
		return;
	}
	/* Nonsense is no word of the vault's. */
	if (share_take_key(r->body, &have)) {
		log_debug("vault %s: a poll gave no public key", key->ref);
		return;
	}
	hex_encode(want, key->fingerprint, FINGERPRINT_SIZE);
	if (!strcmp(want, have.fingerprint)) {
		hear(v->sync, key, 0, false, "");
		return;
	}
	snprintf(text, sizeof(text), "it has another key in its place, %s",
		 have.fingerprint);
	hear(v->sync, key, -ENOKEY, false, text);
}

static void tell_newest(struct sync_vault *v, const struct sync_key *key)
{
	char names[400], newest[FINGERPRINT_HEX];

	hex_encode(newest, key->newest, sizeof(key->newest));
	sync_names(v->sync->d, key, names, sizeof(names));
	log_notice("vault %s: its key has a new version, %s; made with the one before: kek %s; to move on: vaultring vault pin %s, then vaultring kek reseal --newer",
		   key->ref, newest, names, key->ref);
}

/* Each new one is told once; its failure says nothing of the one that counts. */
static void take_newest(struct sync_vault *v, const struct worker_reply *r)
{
	uint8_t hash[FINGERPRINT_SIZE];
	struct share_key newest;
	struct sync_key *key;

	if (r->err || share_take_key(r->body, &newest) ||
	    hex_decode(newest.fingerprint, hash, sizeof(hash)))
		return;
	for (key = v->keys; key; key = key->next) {
		bool known = key->has_newest &&
			     !memcmp(key->newest, hash, sizeof(hash));

		if (strcmp(key->ref, v->asked->ref))
			continue;
		memcpy(key->newest, hash, sizeof(hash));
		key->has_newest = memcmp(key->fingerprint, hash, sizeof(hash));
		if (key->has_newest && !known)
			tell_newest(v, key);
	}
}

/* The asked one, and with those before it, if it is not to be the next. */
static void to_the_end(struct sync_vault *v, struct sync_key *key)
{
	struct sync_key *last = key;

	while (last->next)
		last = last->next;
	last->next = v->keys;
	v->keys = key->next;
	key->next = NULL;
}

static void end_round(struct sync_vault *v, uint64_t from)
{
	v->asked = NULL;
	if (v->again)
		set_timer(v, now_usec());
	else if (v->keys && v->interval)
		arm(v, from);
	v->again = false;
	/* What could not be done about a refusal is tried once more. */
	sync_look(v->sync->d);
}

static void ask_next(struct sync_vault *v);

static void on_newest(void *arg, const struct worker_reply *r)
{
	struct sync_vault *v = arg;

	v->job = NULL;
	take_newest(v, r);
	v->asked = v->asked->next;
	ask_next(v);
}

/*
 * A look at a key of which vaults keep versions is one at the version that counts:
 * so once a round the newest is asked for.  Whether that is under way.
 */
static bool ask_newest(struct sync_vault *v)
{
	struct sync_key *key;

	if (v->asked->method != VAULTRING_METHOD_CLEAR ||
	    v->asked->word != KEY_AGREES || v->asked->newest_at == v->began)
		return false;
	for (key = v->keys; key; key = key->next)
		if (!strcmp(key->ref, v->asked->ref))
			key->newest_at = v->began;
	return !worker_submit(v->worker,
			      json_pack("{s:s, s:s, s:b}", "op", "public-key",
					"key", v->asked->name, "poll", 1),
			      WORKER_ASIDE, on_newest, v, &v->job);
}

static void on_poll(void *arg, const struct worker_reply *r)
{
	struct sync_vault *v = arg;

	v->job = NULL;
	take_poll(v, r);
	if (r->err == -EAGAIN) {
		to_the_end(v, v->asked);
		end_round(v, now_usec());
		return;
	}
	if (!r->err && ask_newest(v))
		return;
	v->asked = v->asked->next;
	ask_next(v);
}

/* The next key of this round; or the round is over. */
static void ask_next(struct sync_vault *v)
{
	for (; v->asked; v->asked = v->asked->next) {
		uint64_t at = worker_poll_at(v->worker);
		char want[FINGERPRINT_HEX];
		json_t *request;

		if (at > now_usec()) {
			set_timer(v, at);
			return;
		}
		hex_encode(want, v->asked->fingerprint, FINGERPRINT_SIZE);
		request = json_pack("{s:s, s:s, s:b, s:s}", "op", "public-key",
				    "key", v->asked->name, "poll", 1,
				    "spki-fingerprint", want);
		/* A vault that so many wait for is asked often enough. */
		if (!worker_submit(v->worker, request, WORKER_POLL, on_poll, v,
				   &v->job))
			return;
	}
	end_round(v, v->began);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct sync_vault *v = arg;

	(void)source;
	(void)usec;
	if (!v->asked) {
		read_store(v->sync);
		drop_unused(v);
		v->began = now_usec();
		v->asked = v->keys;
	}
	ask_next(v);
	return 0;
}

void sync_checked(struct daemon *d, const char *ref, int err)
{
	const char *name;
	struct sync_vault *v = d->sync ? vault_of(d->sync, ref, &name) : NULL;
	const struct sync_key *key = v ? v->keys : NULL;
	bool rests = v && v->asked && !v->job;

	while (key && key->word != KEY_DOUBTED && key->word != KEY_REFUSED)
		key = key->next;
	if (!v || (!key && err != -ENOKEY && !rests))
		return;
	if (v->job)
		v->again = true;
	else
		set_timer(v, now_usec());
}

/* --- the loop --- */

/* Vaults that envelopes name now and did not before are polled from now on. */
static int on_look(sd_event_source *source, void *arg)
{
	struct sync *sync = arg;
	size_t i;

	(void)source;
	read_store(sync);
	for (i = 0; i < sync->d->config.n_vaults; i++) {
		struct sync_vault *v = &sync->vaults[i];

		if (v->interval && v->keys && !v->asked && !is_armed(v))
			arm(v, now_usec());
	}
	sync_keks_look(sync->keks, sync);
	return 0;
}

void sync_look(struct daemon *d)
{
	/* Not yet, or not any more. */
	if (d->sync)
		sd_event_source_set_enabled(d->sync->look, SD_EVENT_ONESHOT);
}

int sync_new(struct daemon *d, struct sync **out)
{
	struct sync *sync = calloc(1, sizeof(*sync));
	size_t i;
	int err = -ENOMEM;

	if (!sync)
		return err;
	*out = sync;
	sync->d = d;
	sync->vaults = calloc(d->config.n_vaults + 1, sizeof(*sync->vaults));
	if (!sync->vaults)
		return err;
	err = sd_event_add_defer(d->event, &sync->look, on_look, sync);
	for (i = 0; i < d->config.n_vaults && err >= 0; i++) {
		struct sync_vault *v = &sync->vaults[i];

		v->sync = sync;
		v->worker = d->workers[i];
		v->interval = d->config.vaults[i].poll_usec;
		err = sd_event_add_time(d->event, &v->timer, CLOCK_MONOTONIC, 0,
					ACCURACY, on_timer, v);
		if (err >= 0)
			err = sd_event_source_set_enabled(v->timer,
							  SD_EVENT_OFF);
	}
	if (err >= 0)
		err = sync_keks_new(d, &sync->keks);
	return err < 0 ? err : 0;
}

void sync_free(struct sync *sync)
{
	struct sync_key *key;
	size_t i;

	if (!sync)
		return;
	for (i = 0; sync->vaults && i < sync->d->config.n_vaults; i++) {
		worker_cancel(sync->vaults[i].job);
		sd_event_source_disable_unref(sync->vaults[i].timer);
		while ((key = sync->vaults[i].keys)) {
			sync->vaults[i].keys = key->next;
			free(key);
		}
	}
	sync_keks_free(sync->keks);
	sd_event_source_disable_unref(sync->look);
	free(sync->vaults);
	free(sync);
}
