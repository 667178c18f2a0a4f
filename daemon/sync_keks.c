// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Staying in sync with the vaults: what follows for KEKs
 *
 * A KEK that so many of its vaults refuse that the others are too few for an
 * unseal is refused.  on-refusal says what becomes of it.  A vault that is away
 * costs no KEK: its last definite word holds.
 *
 * A lease is renewed by unsealing again, so long before its end that vaults may
 * be away meanwhile, and hosts that were started together not at the same time.
 * When that is due follows from what the kernel says is left of it; one timer
 * serves all leases and is off without any.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "sync.h"

#define SECOND		1000000ULL
#define LONGEST_RETRY	(60 * SECOND)

/* What is remembered of a KEK; there are few, and they stay. */
struct sync_kek {
	struct sync_kek *next;
	struct sync_keks *all;
	uint8_t id[VAULTRING_ID_SIZE];
	bool refused;			/* and the journal knows */
	bool renewing;
	uint32_t left;			/* seconds, when that began */
	uint64_t early;			/* microseconds, by chance; see due_in() */
	uint64_t retry_at;
};

struct sync_keks {
	struct daemon *d;
	struct sync_kek *list;
	sd_event_source *timer;
};

static struct sync_kek *find(struct sync_keks *keks, const uint8_t *id)
{
	struct sync_kek *kek;

	for (kek = keks->list; kek; kek = kek->next)
		if (!memcmp(kek->id, id, sizeof(kek->id)))
			return kek;
	kek = calloc(1, sizeof(*kek));
	if (!kek)
		return NULL;
	kek->all = keks;
	memcpy(kek->id, id, sizeof(kek->id));
	kek->next = keks->list;
	keks->list = kek;
	return kek;
}

static unsigned int count_refusals(const struct sync *sync,
				   const struct envelope *e)
{
	const struct sync_key *key;
	unsigned int i, n = 0;

	for (i = 0; i < e->n_shares; i++) {
		key = sync_find(sync, e->shares[i].vault,
				e->shares[i].fingerprint);
		n += key && key->word == KEY_REFUSED;
	}
	return n;
}

bool sync_refused(const struct sync *sync, const struct envelope *e)
{
	return e->n_shares - count_refusals(sync, e) < e->threshold;
}

/* An envelope that was made anew for the same KEK counts, not the one before. */
static bool superseded(const struct envelope *list, size_t n, size_t i)
{
	size_t j;

	for (j = i + 1; j < n && !strcmp(list[j].name, list[i].name); j++)
		if (!list[j].damage && !memcmp(list[j].id, list[i].id,
					       sizeof(list[i].id)))
			return true;
	return false;
}

bool sync_newer(const struct sync *sync, const struct envelope *e)
{
	const struct sync_key *key;
	unsigned int i;

	for (i = 0; i < e->n_shares; i++) {
		key = sync_find(sync, e->shares[i].vault,
				e->shares[i].fingerprint);
		if (key && key->has_newest)
			return true;
	}
	return false;
}

static bool made_with(const struct envelope *e, const struct sync_key *key)
{
	unsigned int i;

	for (i = 0; i < e->n_shares; i++)
		if (!strcmp(e->shares[i].vault, key->ref) &&
		    !memcmp(e->shares[i].fingerprint, key->fingerprint,
			    sizeof(key->fingerprint)))
			return true;
	return false;
}

void sync_names(struct daemon *d, const struct sync_key *key, char *text,
		size_t size)
{
	const struct envelope *list;
	size_t i, n = store_list(d->store, &list), at = 0;

	*text = 0;
	for (i = 0; i < n && at < size; i++)
		if (!list[i].damage && !superseded(list, n, i) &&
		    made_with(&list[i], key))
			at += snprintf(text + at, size - at, "%s%s",
				       at ? ", " : "", list[i].name);
}

/* --- refused KEKs --- */

static void tell(const struct sync *sync, const struct envelope *e, bool refused,
		 bool revoke)
{
	unsigned int no = count_refusals(sync, e);

	if (!refused)
		log_notice("kek %s: its vaults agree again", e->name);
	else
		log_warning("kek %s: %u of its %u vaults refuse it and it needs %u; %s",
			    e->name, no, e->n_shares, e->threshold, revoke ?
			    "it is revoked if it is active (on-refusal = revoke)" :
			    "it is kept and its lease is not renewed (on-refusal = keep)");
}

/* Tried again with each look while it is refused, should the kernel not do it. */
static void revoke_kek(struct daemon *d, const struct envelope *e)
{
	uint32_t transforms;
	int err = netlink_kek_revoke(d->nl, e->id, &transforms);

	if (!err)
		log_warning("kek %s: revoked, because its vaults refuse it; %"
			    PRIu32 " keyed transforms ended and wiped", e->name,
			    transforms);
	else if (err != -ENOKEY)
		log_err("kek %s: cannot be revoked: %s", e->name,
			netlink_error(d->nl));
}

static void judge(struct sync_keks *keks, const struct sync *sync,
		  const struct envelope *e)
{
	bool refused = sync_refused(sync, e), policy = keks->d->config.revoke;
	struct sync_kek *kek = find(keks, e->id);

	if (kek && kek->refused != refused) {
		kek->refused = refused;
		tell(sync, e, refused, policy);
	}
	if (refused && policy && keks->d->nl)
		revoke_kek(keks->d, e);
}

/* --- leases --- */

static void arm(struct sync_keks *keks, uint64_t at)
{
	uint64_t now;

	sd_event_now(keks->d->event, CLOCK_BOOTTIME, &now);
	sd_event_source_set_time(keks->timer, now + at);
	sd_event_source_set_enabled(keks->timer, SD_EVENT_ONESHOT);
}

/*
 * How long before its end a lease is renewed, but for what is by chance: for so
 * long vaults may be away.  A lease that is used by a third is never renewed.
 */
static uint64_t margin_of(const struct daemon *d, const struct envelope *e)
{
	uint64_t lease = e->lease * SECOND, margin = d->config.grace_usec;

	if (!margin)
		return lease / 3;
	return margin < lease - lease / 3 ? margin : lease - lease / 3;
}

/* Often when little is left, and not all hosts of a vault that is back at once. */
static uint64_t retry_after(uint64_t left_usec)
{
	uint64_t after = left_usec / 4;

	if (after > LONGEST_RETRY)
		after = LONGEST_RETRY;
	if (after < SECOND)
		after = SECOND;
	return after - part_of(after / 4);
}

static void on_renewed(void *arg, const struct unseal_outcome *o)
{
	struct sync_kek *kek = arg;

	kek->renewing = false;
	if (!o->err) {
		log_info("kek %s: lease renewed, %" PRIu32 " s before its end",
			 o->envelope->name, kek->left);
		kek->early = 0;
		kek->retry_at = 0;
	}
	sync_look(kek->all->d);
}

/* Microseconds until it is due; 0: now; UINT64_MAX: nothing to do. */
static uint64_t due_in(struct sync_keks *keks, const struct sync *sync,
		       const struct envelope *e, struct sync_kek *kek)
{
	struct kek_state state;
	uint64_t margin = margin_of(keks->d, e), now = now_usec(), left;

	if (!e->lease || !kek || kek->renewing || sync_refused(sync, e) ||
	    netlink_kek_get(keks->d->nl, e->id, &state) || !state.active ||
	    !state.has_lease)
		return UINT64_MAX;
	/* Earlier by up to a quarter, the same until it is renewed; never 0. */
	kek->early = kek->early ?: part_of(margin / 4) + 1;
	margin += kek->early;
	left = state.lease_left * SECOND;
	if (left > margin)
		return left - margin;
	if (kek->retry_at > now)
		return kek->retry_at - now;
	kek->retry_at = now + retry_after(left);
	kek->left = state.lease_left;
	return 0;
}

/* One at a time: an unseal may change the store's list. */
static bool renew_one(struct sync_keks *keks, const struct sync *sync,
		      uint64_t *next)
{
	const struct envelope *list;
	size_t i, n = store_list(keks->d->store, &list);
	struct sync_kek *kek;
	uint64_t due;

	*next = UINT64_MAX;
	for (i = 0; i < n; i++) {
		if (list[i].damage || superseded(list, n, i))
			continue;
		kek = find(keks, list[i].id);
		due = due_in(keks, sync, &list[i], kek);
		if (!due) {
			kek->renewing = true;
			unseal_begin(keks->d, &list[i], on_renewed, kek);
			return true;
		}
		if (due < *next)
			*next = due;
	}
	return false;
}

static void renew_due(struct sync_keks *keks, const struct sync *sync)
{
	uint64_t next;

	while (renew_one(keks, sync, &next))
		;
	if (next == UINT64_MAX)
		sd_event_source_set_enabled(keks->timer, SD_EVENT_OFF);
	else
		arm(keks, next);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct sync_keks *keks = arg;

	(void)source;
	(void)usec;
	sync_look(keks->d);
	return 0;
}

/* --- for sync.c --- */

void sync_keks_look(struct sync_keks *keks, const struct sync *sync)
{
	const struct envelope *list;
	size_t i, n = store_list(keks->d->store, &list);

	for (i = 0; i < n; i++)
		if (!list[i].damage && !superseded(list, n, i))
			judge(keks, sync, &list[i]);
	if (keks->d->nl && keks->d->config.renew)
		renew_due(keks, sync);
}

int sync_keks_new(struct daemon *d, struct sync_keks **out)
{
	struct sync_keks *keks = calloc(1, sizeof(*keks));
	int err;

	if (!keks)
		return -ENOMEM;
	*out = keks;
	keks->d = d;
	/* Leases go on while the machine sleeps. */
	err = sd_event_add_time(d->event, &keks->timer, CLOCK_BOOTTIME, 0,
				100000, on_timer, keks);
	if (err >= 0)
		err = sd_event_source_set_enabled(keks->timer, SD_EVENT_OFF);
	return err < 0 ? err : 0;
}

void sync_keks_free(struct sync_keks *keks)
{
	struct sync_kek *kek;

	if (!keks)
		return;
	while ((kek = keks->list)) {
		keks->list = kek->next;
		free(kek);
	}
	sd_event_source_disable_unref(keks->timer);
	free(keks);
}
