// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Resealing KEKs for the tools
 *
 * Root begins a reseal with the kernel, which takes no such wish from us, and
 * hands us the challenges.  The vaults are asked as for an unseal; what comes out
 * is another envelope of the same KEK.  It takes the former one's place only if
 * an unseal with it succeeds.
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

/* --- the new envelope --- */

static json_t *reply(const struct reseal *r, const struct envelope *e)
{
	char path[4096 + ENVELOPE_FILE_MAX], id[2 * VAULTRING_ID_SIZE + 1];

	snprintf(path, sizeof(path), "%s/%s", store_path(r->d->store), e->file);
	hex_encode(id, e->id, sizeof(e->id));
	return json_pack("{s:s, s:I, s:s, s:s}", "name", r->name, "version",
			 (json_int_t)r->version, "id", id, "envelope", path);
}

static void on_tried(void *arg, const struct unseal_outcome *o)
{
	struct reseal *r = arg;
	int err = store_keep(r->d->store, r->name, r->version, !o->err);

	if (err)
		log_err("kek %s: %s/%s@%u.old: %s", r->name,
			store_path(r->d->store), r->name, r->version,
			strerror(-err));
	if (o->err)
		call_error(r->call, o->err, "kek %s: not resealed, as its new envelope does not open; the former one is %s: %s",
			   r->name, err ? "in its .old file" : "in its place",
			   o->message);
	else
		call_reply(r->call, reply(r, o->envelope));
	free(r);
}

/* NULL, or why the kernel's envelope cannot be stored. */
static const char *store_resealed(struct reseal *r, const struct unseal_outcome *o)
{
	const struct envelope *e = store_find(r->d->store, r->name, r->version);
	struct envelope check;
	const char *wrong;
	int err;

	if (!e || e->damage)
		return "the former one is not there any more";
	wrong = envelope_parse(o->result.resealed, o->result.resealed_len,
			       &check);
	if (!wrong && (strcmp(check.name, e->name) ||
		       check.version != e->version ||
		       memcmp(check.id, e->id, sizeof(check.id))))
		wrong = "the new one is not of this KEK";
	if (wrong)
		return wrong;
	err = store_replace(r->d->store, e, o->result.resealed,
			    o->result.resealed_len);
	return err ? strerrordesc_np(-err) : NULL;
}

static void on_resealed(void *arg, const struct unseal_outcome *o)
{
	struct reseal *r = arg;
	const char *wrong;

	if (o->err) {
		call_error(r->call, o->err, "%s", o->message);
		free(r);
		return;
	}
	wrong = store_resealed(r, o);
	if (wrong) {
		call_error(r->call, -EIO, "kek %s: cannot store its new envelope in %s: %s; nothing has changed",
			   r->name, store_path(r->d->store), wrong);
		free(r);
		return;
	}
	log_notice("kek %s: another envelope is in place, which is tried now",
		   r->name);
	call_progress(r->call, "unsealing kek %s with its new envelope",
		      r->name);
	unseal_begin(r->d, store_find(r->d->store, r->name, r->version),
		     on_tried, r);
}

void kek_reseal(struct daemon *d, struct call *call, const json_t *params)
{
	const struct envelope *e = kek_param(d, call, params);
	struct unseal_start start;
	struct reseal *r;

	if (!e)
		return;
	if (e->damage) {
		call_error(call, -EKEYREJECTED, "kek %s: its envelope %s/%s is damaged: %s; restore it from a backup",
			   e->name, store_path(d->store), e->file, e->damage);
		return;
	}
	if (!take_start(params, &start)) {
		call_error(call, -EINVAL, "kek %s: these are no challenges; are vaultring and vaultringd of the same version?",
			   e->name);
		return;
	}
	r = calloc(1, sizeof(*r));
	if (!r) {
		call_error(call, -ENOMEM, "kek %s: out of memory", e->name);
		return;
	}
	r->d = d;
	r->call = call;
	copy_text(r->name, sizeof(r->name), e->name);
	r->version = e->version;
	call_progress(call, "asking the vaults of kek %s", r->name);
	unseal_go_on(d, e, &start, on_resealed, r);
}
