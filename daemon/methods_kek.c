// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Making and unsealing KEKs for the tools
 *
 * Creation goes: each vault's public key, the kernel's kek-create, the envelope
 * into the store, and then an unseal like any other.  From the moment that the
 * envelope is stored the KEK exists, whatever becomes of the unseal.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "methods.h"

struct create {
	struct daemon *d;
	struct call *call;
	struct kek_spec spec;
	char name[VAULTRING_MAX_NAME + 1];
	char refs[VAULTRING_MAX_SHARES][VAULTRING_MAX_VAULT + 1];
	char fingerprints[VAULTRING_MAX_SHARES][FINGERPRINT_HEX];
	size_t at;		/* the share whose vault is being asked */
	char path[4096 + ENVELOPE_FILE_MAX];
};

/* --- parameters --- */

/* Leaves value as it is if there is no such member. */
static bool take_integer(const json_t *params, const char *name, json_int_t min,
			 json_int_t max, json_int_t *value)
{
	const json_t *v = json_object_get(params, name);

	if (!v || json_is_null(v))
		return true;
	if (!json_is_integer(v))
		return false;
	*value = json_integer_value(v);
	return *value >= min && *value <= max;
}

static bool take_subjects(const json_t *params, const char *name,
			  uint32_t *subjects, size_t *n)
{
	const json_t *list = json_object_get(params, name), *v;
	size_t i;

	if (!list || json_is_null(list))
		return true;
	if (!json_is_array(list) || json_array_size(list) > VAULTRING_MAX_SUBJECTS)
		return false;
	json_array_foreach(list, i, v) {
		json_int_t id = json_integer_value(v);

		/* The highest means "none". */
		if (!json_is_integer(v) || id < 0 || id >= UINT32_MAX)
			return false;
		subjects[(*n)++] = id;
	}
	return true;
}

static bool take_uses(const json_t *params, uint32_t *uses)
{
	const json_t *list = json_object_get(params, "uses"), *v;
	size_t i;

	*uses = 0;
	json_array_foreach(list, i, v) {
		const char *name = json_string_value(v);
		uint32_t bit = name ? uses_bit(name) : 0;

		if (!bit)
			return false;
		*uses |= bit;
	}
	if (!*uses)
		*uses = uses_all();
	return !list || json_is_null(list) || json_is_array(list);
}

/* NULL, or what is wrong */
static const char *take_vaults(struct create *c, const json_t *params)
{
	const json_t *list = json_object_get(params, "vaults"), *v;
	const char *ref, *key;
	size_t i;

	if (!json_is_array(list) || !json_array_size(list) ||
	    json_array_size(list) > VAULTRING_MAX_SHARES)
		return "vaults must name 1 to 8 vaults";
	json_array_foreach(list, i, v) {
		ref = json_string_value(v);
		if (!ref || !vault_ref_ok(ref))
			return "a vault is written VAULT or VAULT:KEY, with 63 bytes at most";
		if (!find_vault(c->d, ref, &key))
			return "one of its vaults is not in vaultring.conf; try: vaultring vault list";
		strcpy(c->refs[i], ref);
		c->spec.shares[i].vault = c->refs[i];
		c->spec.n_shares++;
	}
	return NULL;
}

static const char *take_params(struct create *c, const json_t *params)
{
	const char *lease_end = json_string_value(json_object_get(params,
								  "lease_end"));
	json_int_t threshold = 1, lease = 0, not_before = 0, not_after = 0;
	const char *wrong = take_vaults(c, params);

	if (wrong)
		return wrong;
	if (!take_integer(params, "threshold", 1, c->spec.n_shares, &threshold))
		return "threshold must be from 1 to the number of vaults";
	if (!take_integer(params, "lease", 0, UINT32_MAX, &lease))
		return "lease must be a number of seconds";
	if (!take_integer(params, "not_before", 0, INT64_MAX, &not_before) ||
	    !take_integer(params, "not_after", 0, INT64_MAX, &not_after))
		return "not_before and not_after must be seconds since the epoch";
	if (lease_end && strcmp(lease_end, "keep") && strcmp(lease_end, "kill"))
		return "lease_end must be keep or kill";
	if (!take_uses(params, &c->spec.uses))
		return "uses must be some of xts, cbc, ctr, gcm and fscrypt";
	if (!take_subjects(params, "uids", c->spec.uids, &c->spec.n_uids) ||
	    !take_subjects(params, "gids", c->spec.gids, &c->spec.n_gids))
		return "uids and gids must be 8 numbers each at most";
	c->spec.name = c->name;
	c->spec.version = 1;
	c->spec.threshold = threshold;
	c->spec.lease = lease;
	c->spec.lease_end = lease_end && !strcmp(lease_end, "kill") ?
			    VAULTRING_LEASE_END_KILL : VAULTRING_LEASE_END_KEEP;
	c->spec.not_before = not_before;
	c->spec.not_after = not_after;
	return NULL;
}

static json_t *kek_reply(const struct envelope *e)
{
	char id[2 * VAULTRING_ID_SIZE + 1];

	hex_encode(id, e->id, sizeof(e->id));
	return json_pack("{s:s, s:I, s:s}", "name", e->name, "version",
			 (json_int_t)e->version, "id", id);
}

/* --- create --- */

static void on_created_unseal(void *arg, const struct unseal_outcome *o)
{
	struct create *c = arg;
	json_t *reply;

	if (o->err) {
		call_error(c->call, o->err, "kek %s: created, and its envelope is kept in %s, but not unsealed: %s",
			   c->name, c->path, o->message);
	} else {
		reply = kek_reply(o->envelope);
		json_object_set_new(reply, "envelope", json_string(c->path));
		call_reply(c->call, reply);
	}
	free(c);
}

/* Whose public key is not pinned, the kernel does not say. */
static void kernel_refused(struct create *c, int err)
{
	size_t i = 0;

	if (err == -EACCES && c->spec.n_shares == 1)
		call_error(c->call, err, "kek %s: the public key of vault %s (fingerprint %s) is not pinned; try: vaultring vault pin %s",
			   c->name, c->refs[i], c->fingerprints[i], c->refs[i]);
	else
		call_error(c->call, err, "kek %s: the kernel refused to make it: %s",
			   c->name, netlink_error(c->d->nl));
}

/* 0, or answers the call */
static int create_and_store(struct create *c)
{
	uint8_t envelope[VAULTRING_MAX_ENVELOPE], id[VAULTRING_ID_SIZE];
	struct envelope check;
	size_t len;
	int err;

	err = netlink_kek_create(c->d->nl, &c->spec, envelope, &len, id);
	if (err) {
		kernel_refused(c, err);
		return err;
	}
	/* What could not be read again must not be stored. */
	if (envelope_parse(envelope, len, &check) ||
	    strcmp(check.name, c->name) || check.version != c->spec.version) {
		call_error(c->call, -EIO, "kek %s: the module made an envelope that vaultringd cannot read; are both of the same version?",
			   c->name);
		return -EIO;
	}
	err = store_add(c->d->store, c->name, c->spec.version, envelope, len);
	if (err)
		call_error(c->call, err, "kek %s: cannot store its envelope in %s: %s; nothing was created",
			   c->name, store_path(c->d->store), strerror(-err));
	return err;
}

static void create_now(struct create *c)
{
	const struct envelope *e;

	if (create_and_store(c)) {
		free(c);
		return;
	}
	e = store_find(c->d->store, c->name, c->spec.version);
	if (!e || e->damage) {
		call_error(c->call, -EIO, "kek %s: its envelope cannot be read back from %s",
			   c->name, store_path(c->d->store));
		free(c);
		return;
	}
	snprintf(c->path, sizeof(c->path), "%s/%s", store_path(c->d->store),
		 e->file);
	log_info("kek %s: created, %s", c->name, c->path);
	call_progress(c->call, "unsealing kek %s", c->name);
	unseal_begin(c->d, e, on_created_unseal, c);
}

static void ask_public_key(struct create *c);

static void on_public_key(void *arg, const struct worker_reply *r)
{
	struct create *c = arg;
	struct kek_spec_share *share = &c->spec.shares[c->at];
	uint8_t hash[FINGERPRINT_SIZE];
	const char *hex;
	char text[1024];
	ssize_t len;

	if (r->err) {
		vault_failure_text(text, sizeof(text), c->refs[c->at], r->err,
				   r->message);
		call_error(c->call, r->err, "kek %s: %s", c->name, text);
		free(c);
		return;
	}
	hex = json_string_value(json_object_get(r->body, "spki"));
	len = hex ? hex_decode_any(hex, share->spki, sizeof(share->spki)) : -1;
	if (len <= 0 || sha256(share->spki, len, hash)) {
		call_error(c->call, -EKEYREJECTED, "kek %s: vault %s gave something else than a public key",
			   c->name, c->refs[c->at]);
		free(c);
		return;
	}
	share->spki_len = len;
	hex_encode(c->fingerprints[c->at], hash, sizeof(hash));
	if (++c->at < c->spec.n_shares)
		ask_public_key(c);
	else
		create_now(c);
}

static void ask_public_key(struct create *c)
{
	const char *key;
	struct worker *w = find_vault(c->d, c->refs[c->at], &key);

	call_progress(c->call, "asking vault %s", worker_config(w)->name);
	if (!worker_submit(w, json_pack("{s:s, s:s}", "op", "public-key", "key",
					key), true, on_public_key, c, NULL))
		return;
	call_error(c->call, -EAGAIN, "kek %s: too much is waiting for vault %s; try again",
		   c->name, c->refs[c->at]);
	free(c);
}

/* NULL if there is none, or an answer has been given why it cannot serve. */
static const char *kek_name(struct daemon *d, struct call *call,
			    const json_t *params)
{
	const char *name = json_string_value(json_object_get(params, "name"));

	if (!name || !name_ok(name)) {
		call_error(call, -EINVAL, "a KEK's name has 1 to 63 of A-Z a-z 0-9 . _ -");
		return NULL;
	}
	if (!d->nl) {
		call_error(call, -ENOTCONN, "kek %s: vaultringd was started without the kernel (--no-kernel)",
			   name);
		return NULL;
	}
	return name;
}

void kek_create(struct daemon *d, struct call *call, const json_t *params)
{
	const char *name = kek_name(d, call, params), *wrong;
	struct create *c;

	if (!name)
		return;
	if (store_find(d->store, name, 0)) {
		call_error(call, -EEXIST, "kek %s: exists already; try: vaultring kek show %s",
			   name, name);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		call_error(call, -ENOMEM, "out of memory");
		return;
	}
	c->d = d;
	c->call = call;
	strcpy(c->name, name);
	wrong = take_params(c, params);
	if (wrong) {
		call_error(call, -EINVAL, "kek %s: %s", name, wrong);
		free(c);
		return;
	}
	ask_public_key(c);
}

/* --- unseal --- */

static void on_unsealed(void *arg, const struct unseal_outcome *o)
{
	json_t *reply;

	if (o->err) {
		call_error(arg, o->err, "%s", o->message);
		return;
	}
	reply = kek_reply(o->envelope);
	json_object_set_new(reply, "lease_left", o->result.has_lease ?
			    json_integer(o->result.lease_left) : json_null());
	call_reply(arg, reply);
}

void kek_unseal(struct daemon *d, struct call *call, const json_t *params)
{
	const char *name = kek_name(d, call, params);
	const struct envelope *e;
	json_int_t version = 0;
	char vault[VAULTRING_MAX_VAULT + 1];
	const char *key;

	if (!name)
		return;
	if (!take_integer(params, "version", 1, UINT32_MAX, &version)) {
		call_error(call, -EINVAL, "kek %s: version must be a number from 1",
			   name);
		return;
	}
	e = store_find(d->store, name, version);
	if (!e) {
		call_error(call, -ENOKEY, "kek %s: no such envelope in %s; try: vaultring kek list",
			   name, store_path(d->store));
		return;
	}
	if (!e->damage && !vault_ref_split(e->shares[0].vault, vault, &key))
		call_progress(call, "asking vault %s", vault);
	unseal_begin(d, e, on_unsealed, call);
}
