// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Resealing KEKs for the tools
 *
 * Root begins a reseal with the kernel, which takes no such wish from us, and
 * hands us the challenges.  The vaults are asked as for an unseal; what comes out
 * is another envelope of the same KEK.  It is tried first, by an unseal with just
 * these bytes, and then takes the former one's place in one step: whatever ends
 * us, the file that is there opens.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "methods.h"

struct reseal {
	struct daemon *d;
	struct call *call;
	char name[VAULTRING_MAX_NAME + 1];
	uint32_t version;
	uint8_t id[VAULTRING_ID_SIZE];
	uint8_t former[FINGERPRINT_SIZE];	/* SHA-256 of its envelope */
	uint8_t data[VAULTRING_MAX_ENVELOPE];	/* the new one */
	size_t len;
	bool sealed;				/* it was, before the trial */
};

/* --- what root hands in --- */

/* How many bytes of hex are there; 0 if none, or too many. */
static size_t take_hex(const json_t *share, const char *member, uint8_t *out,
		       size_t room)
{
	const char *hex = json_string_value(json_object_get(share, member));
	ssize_t len = hex ? hex_decode_any(hex, out, room) : 0;

	return len > 0 ? len : 0;
}

static bool take_challenge(const json_t *share, struct challenge *c)
{
	const char *vault = json_string_value(json_object_get(share, "vault"));

	c->index = json_integer_value(json_object_get(share, "index"));
	c->method = json_integer_value(json_object_get(share, "method"));
	if (!vault || strlen(vault) > VAULTRING_MAX_VAULT)
		return false;
	copy_text(c->vault, sizeof(c->vault), vault);
	c->len = take_hex(share, "challenge", c->data, sizeof(c->data));
	return c->len && take_hex(share, "fingerprint", c->fingerprint,
				  sizeof(c->fingerprint)) ==
			 sizeof(c->fingerprint);
}

static bool take_start(const json_t *params, struct unseal_start *start)
{
	const json_t *shares = json_object_get(params, "shares");
	size_t i;

	memset(start, 0, sizeof(*start));
	start->unseal = json_integer_value(json_object_get(params, "unseal"));
	start->deadline_ms = json_integer_value(json_object_get(params,
								"deadline_ms"));
	start->n = json_array_size(shares);
	if (!start->deadline_ms || !start->n ||
	    start->n > VAULTRING_MAX_SHARES)
		return false;
	for (i = 0; i < start->n; i++)
		if (!take_challenge(json_array_get(shares, i),
				    &start->challenges[i]))
			return false;
	return true;
}

/* Root has seen the envelope that is here, and no other. */
static bool is_former(struct store *store, const struct envelope *e,
		      const uint8_t former[FINGERPRINT_SIZE])
{
	uint8_t hash[FINGERPRINT_SIZE], *data;
	size_t len;
	bool same;

	if (store_read(store, e, &data, &len))
		return false;
	same = !sha256(data, len, hash) && !memcmp(hash, former, sizeof(hash));
	free(data);
	return same;
}

/* --- the new envelope --- */

/* Once it is known to open. */
static void store_it(struct reseal *r)
{
	struct store *store = r->d->store;
	const struct envelope *e = store_find(store, r->name, r->version);
	char path[4096 + ENVELOPE_FILE_MAX], id[2 * VAULTRING_ID_SIZE + 1];
	int err;

	if (!e || !is_former(store, e, r->former)) {
		call_error(r->call, -EAGAIN, "kek %s: not resealed, as its envelope has changed or gone meanwhile; try again",
			   r->name);
		return;
	}
	snprintf(path, sizeof(path), "%s/%s", store_path(store), e->file);
	err = store_replace(store, e, r->data, r->len);
	if (err) {
		call_error(r->call, err, "kek %s: cannot write its new envelope %s: %s; the one that is there opens: vaultring kek show %s",
			   r->name, path, strerror(-err), r->name);
		return;
	}
	log_notice("kek %s: resealed, %s", r->name, path);
	hex_encode(id, r->id, sizeof(r->id));
	call_reply(r->call, json_pack("{s:s, s:I, s:s, s:s}", "name", r->name,
				      "version", (json_int_t)r->version, "id",
				      id, "envelope", path));
}

/* --- the trial --- */

/* What the kernel does not say for sure is no reason to end a KEK. */
static bool is_sealed(const struct reseal *r)
{
	struct kek_state state;
	int err = netlink_kek_get(r->d->nl, r->id, &state);

	return err == -ENOKEY || (!err && !state.active);
}

/* One that was sealed does not stay active for our trial alone. */
static void seal_again(const struct reseal *r)
{
	struct kek_state state;
	uint32_t transforms;

	if (netlink_kek_get(r->d->nl, r->id, &state) || !state.active ||
	    state.transforms)
		return;
	if (netlink_kek_revoke(r->d->nl, r->id, &transforms))
		log_err("kek %s: was sealed and is active since its reseal: %s; try: vaultring kek revoke %s",
			r->name, netlink_error(r->d->nl), r->name);
	else
		log_info("kek %s: sealed again, as it was before its reseal",
			 r->name);
}

static void on_tried(void *arg, const struct unseal_outcome *o)
{
	struct reseal *r = arg;

	if (r->sealed && !o->shared)
		seal_again(r);
	if (o->err)
		call_error(r->call, o->err, "kek %s: not resealed, as its new envelope does not open; nothing has changed: %s",
			   r->name, o->message);
	else
		store_it(r);
	free(r);
}

/* NULL, or why the kernel's envelope cannot be that of this KEK. */
static const char *take_new(struct reseal *r, const struct unseal_result *result,
			    struct envelope *e)
{
	const char *wrong = envelope_parse(result->resealed,
					   result->resealed_len, e);

	if (wrong)
		return wrong;
	if (strcmp(e->name, r->name) || e->version != r->version ||
	    memcmp(e->id, r->id, sizeof(e->id)))
		return "it is of another one";
	memcpy(r->data, result->resealed, result->resealed_len);
	r->len = result->resealed_len;
	return NULL;
}

static void on_resealed(void *arg, const struct unseal_outcome *o)
{
	struct reseal *r = arg;
	struct envelope e;
	const char *wrong = o->err ? NULL : take_new(r, &o->result, &e);

	if (o->err)
		call_error(r->call, o->err, "%s", o->message);
	else if (wrong)
		call_error(r->call, -EIO, "kek %s: not resealed, as the kernel's new envelope is of no use: %s",
			   r->name, wrong);
	if (o->err || wrong) {
		free(r);
		return;
	}
	call_progress(r->call, "unsealing kek %s with its new envelope",
		      r->name);
	r->sealed = is_sealed(r);
	unseal_try(r->d, &e, r->data, r->len, on_tried, r);
}

/* --- the beginning --- */

/* Nobody will ask the vaults: the kernel need not wait for them. */
static void let_go(struct daemon *d, const struct unseal_start *start, int err)
{
	struct unseal_result ignored;
	size_t i;

	for (i = 0; i < start->n; i++)
		netlink_unseal_answer(d->nl, start->unseal,
				      start->challenges[i].index, NULL, -err,
				      &ignored);
}

/* False: it cannot be now, and the caller has been told. */
static bool may_begin(struct daemon *d, struct call *call,
		      const struct envelope *e, const uint8_t *former)
{
	if (unseal_resealing(d, e)) {
		call_error(call, -EBUSY, "kek %s: another reseal of it is under way; try again when that has ended",
			   e->name);
		return false;
	}
	if (!is_former(d->store, e, former)) {
		call_error(call, -EAGAIN, "kek %s: its envelope has just been replaced; try again",
			   e->name);
		return false;
	}
	return true;
}

static void begin(struct daemon *d, struct call *call, const struct envelope *e,
		  const struct unseal_start *start, const uint8_t *former)
{
	struct reseal *r = calloc(1, sizeof(*r));

	if (!r) {
		call_error(call, -ENOMEM, "kek %s: out of memory", e->name);
		let_go(d, start, -ENOMEM);
		return;
	}
	r->d = d;
	r->call = call;
	copy_text(r->name, sizeof(r->name), e->name);
	r->version = e->version;
	memcpy(r->id, e->id, sizeof(r->id));
	memcpy(r->former, former, sizeof(r->former));
	call_progress(call, "asking the vaults of kek %s", r->name);
	unseal_go_on(d, e, start, on_resealed, r);
}

void kek_reseal(struct daemon *d, struct call *call, const json_t *params)
{
	const struct envelope *e = kek_param(d, call, params);
	uint8_t former[FINGERPRINT_SIZE];
	struct unseal_start start;

	if (!e)
		return;
	if (e->damage) {
		call_error(call, -EKEYREJECTED, "kek %s: its envelope %s/%s is damaged: %s; restore it from a backup",
			   e->name, store_path(d->store), e->file, e->damage);
		return;
	}
	if (!take_start(params, &start) ||
	    take_hex(params, "former", former, sizeof(former)) !=
		    sizeof(former)) {
		call_error(call, -EINVAL, "kek %s: these are no challenges; are vaultring and vaultringd of the same version?",
			   e->name);
		return;
	}
	if (may_begin(d, call, e, former))
		begin(d, call, e, &start, former);
	else
		let_go(d, &start, -EBUSY);
}
