// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the tools may ask of the daemon: vaults, and lists
 */

#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "methods.h"
#include "vault_check.h"

static const char *const use_names[] = {
	[VAULTRING_USE_XTS] = "xts",
	[VAULTRING_USE_CBC] = "cbc",
	[VAULTRING_USE_CTR] = "ctr",
	[VAULTRING_USE_GCM] = "gcm",
	[VAULTRING_USE_FSCRYPT] = "fscrypt",
	[VAULTRING_USE_HMAC] = "hmac",
};

static json_t *uses_list(uint32_t uses)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(use_names); i++)
		if (use_names[i] && uses & UINT32_C(1) << i)
			json_array_append_new(list, json_string(use_names[i]));
	return list;
}

static double to_ms(uint64_t usec)
{
	return round(usec / 100.0) / 10.0;
}

/* --- vaults --- */

static json_t *vault_state(const struct worker *w)
{
	static const char *const states[] = {
		[WORKER_UNKNOWN] = "unknown",
		[WORKER_READY] = "ready",
		[WORKER_AWAY] = "away",
		[WORKER_REFUSED] = "refused",
	};
	const struct vault_config *c = worker_config(w);
	uint64_t contact = worker_last_contact(w);

	return json_pack("{s:s, s:s#, s:s, s:s, s:s, s:o, s:o}", "name", c->name,
			 "family", c->uri, (int)strcspn(c->uri, ":"), "uri",
			 c->uri, "state", states[worker_state(w)], "message",
			 worker_message(w), "last_contact",
			 contact ? json_integer(contact) : json_null(),
			 "latency_ms", contact ?
			 json_real(to_ms(worker_latency_usec(w))) : json_null());
}

static void vault_list(struct daemon *d, struct call *call, const json_t *params)
{
	json_t *list = json_array();
	size_t i;

	(void)params;
	for (i = 0; i < d->config.n_vaults; i++)
		json_array_append_new(list, vault_state(d->workers[i]));
	call_reply(call, json_pack("{s:o}", "vaults", list));
}

static struct worker *find_vault(struct daemon *d, const char *ref,
				 const char **key)
{
	char name[VAULTRING_MAX_VAULT + 1];

	return vault_ref_split(ref, name, key) ? NULL : daemon_worker(d, name);
}

/* Answers the call if there is no such vault. */
static struct worker *vault_param(struct daemon *d, struct call *call,
				  const json_t *params, const char **ref,
				  const char **key)
{
	struct worker *w = NULL;

	*ref = json_string_value(json_object_get(params, "vault"));
	if (!*ref)
		call_error(call, -EINVAL, "vault is missing");
	else if (!(w = find_vault(d, *ref, key)))
		call_error(call, -ENOENT, "no vault %s in vaultring.conf; try: vaultring vault list",
			   *ref);
	return w;
}

struct vault_call {
	struct call *call;
	char ref[VAULTRING_MAX_VAULT + 1];
	struct vault_check *check;
	char fingerprint[FINGERPRINT_HEX];
	struct worker *worker;
	const char *key;
};

static void vault_call_failed(struct vault_call *v, const struct worker_reply *r)
{
	char text[1024];

	vault_failure_text(text, sizeof(text), v->ref, r->err, r->message);
	call_error(v->call, r->err, "%s", text);
}

static void vault_call_free(struct vault_call *v)
{
	vault_check_free(v->check);
	free(v);
}

/* What the vault says is its public key, or what is wrong with it. */
static int take_spki(const struct worker_reply *r, const char **hex,
		     char fingerprint[FINGERPRINT_HEX])
{
	uint8_t spki[VAULTRING_MAX_PUBLIC_KEY], hash[FINGERPRINT_SIZE];
	ssize_t len;

	*hex = json_string_value(json_object_get(r->body, "spki"));
	len = *hex ? hex_decode_any(*hex, spki, sizeof(spki)) : -EINVAL;
	if (len <= 0 || sha256(spki, len, hash))
		return -EKEYREJECTED;
	hex_encode(fingerprint, hash, sizeof(hash));
	return 0;
}

/* The same, with v->fingerprint; or NULL, and the caller has been told why. */
static const char *spki_or_error(struct vault_call *v,
				 const struct worker_reply *r)
{
	const char *hex;

	if (r->err) {
		vault_call_failed(v, r);
		return NULL;
	}
	if (!take_spki(r, &hex, v->fingerprint))
		return hex;
	call_error(v->call, -EKEYREJECTED, "vault %s gave something else than a public key",
		   v->ref);
	return NULL;
}

static void on_public_key(void *arg, const struct worker_reply *r)
{
	struct vault_call *v = arg;
	const char *hex = spki_or_error(v, r);

	if (hex)
		call_reply(v->call, json_pack("{s:s, s:s, s:s}", "vault", v->ref,
					      "spki", hex, "fingerprint",
					      v->fingerprint));
	vault_call_free(v);
}

/* What it made of it for a file is for root's tool to keep: we cannot. */
static void on_init(void *arg, const struct worker_reply *r)
{
	struct vault_call *v = arg;

	if (spki_or_error(v, r))
		call_reply(v->call, json_pack("{s:s, s:s, s:O?}", "vault",
					      v->ref, "fingerprint",
					      v->fingerprint, "file",
					      json_object_get(r->body, "file")));
	vault_call_free(v);
}

static void on_check_answer(void *arg, const struct worker_reply *r)
{
	struct vault_call *v = arg;
	const char *x = json_string_value(json_object_get(r->body, "x"));

	if (r->err)
		vault_call_failed(v, r);
	else if (!x || vault_check_answer(v->check, x))
		call_error(v->call, -EKEYREJECTED, "vault %s gave a wrong answer: its private key does not belong to its public key, or it computes something else than ECDH",
			   v->ref);
	else
		call_reply(v->call, json_pack("{s:s, s:s, s:f}", "vault", v->ref,
					      "fingerprint", v->fingerprint,
					      "latency_ms",
					      to_ms(r->latency_usec)));
	vault_call_free(v);
}

static void on_check_key(void *arg, const struct worker_reply *r)
{
	struct vault_call *v = arg;
	char point[2 * VAULTRING_OBLIVIOUS_DATA + 1];
	const char *hex;

	if (r->err) {
		vault_call_failed(v, r);
	} else if (take_spki(r, &hex, v->fingerprint) ||
		   vault_check_new(hex, point, &v->check)) {
		call_error(v->call, -EKEYREJECTED, "vault %s gave something else than a public key on P-256",
			   v->ref);
	} else if (worker_submit(v->worker,
				 json_pack("{s:s, s:s, s:s, s:s}", "op",
					   "exchange", "key", v->key,
					   "spki-fingerprint", v->fingerprint,
					   "point", point),
				 true, on_check_answer, v, NULL)) {
		call_error(v->call, -EAGAIN, "vault %s: too much is waiting for it",
			   v->ref);
	} else {
		return;
	}
	vault_call_free(v);
}

static void ask_vault(struct daemon *d, struct call *call, const json_t *params,
		      const char *op, worker_fn fn)
{
	const char *ref, *key;
	struct worker *w = vault_param(d, call, params, &ref, &key);
	struct vault_call *v;

	if (!w)
		return;
	v = calloc(1, sizeof(*v));
	if (!v) {
		call_error(call, -ENOMEM, "out of memory");
		return;
	}
	v->call = call;
	v->worker = w;
	/* Its own copy: params go when this returns. */
	snprintf(v->ref, sizeof(v->ref), "%s", ref);
	v->key = v->ref + (key - ref);
	call_progress(call, "asking vault %s", worker_config(w)->name);
	if (worker_submit(w, json_pack("{s:s, s:s}", "op", op, "key", v->key),
			  true, fn, v, NULL)) {
		call_error(call, -EAGAIN, "vault %s: too much is waiting for it",
			   v->ref);
		vault_call_free(v);
	}
}

static void vault_public_key(struct daemon *d, struct call *call,
			     const json_t *params)
{
	ask_vault(d, call, params, "public-key", on_public_key);
}

static void vault_check(struct daemon *d, struct call *call,
			const json_t *params)
{
	ask_vault(d, call, params, "public-key", on_check_key);
}

static void vault_init(struct daemon *d, struct call *call, const json_t *params)
{
	ask_vault(d, call, params, "init", on_init);
}

/* --- KEKs --- */

static json_t *integers(const uint32_t *values, size_t n)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < n; i++)
		json_array_append_new(list, json_integer(values[i]));
	return list;
}

/* All that is known for sure is its file. */
static json_t *describe_damaged(struct store *store, const struct envelope *e)
{
	char path[4096 + ENVELOPE_FILE_MAX];

	snprintf(path, sizeof(path), "%s/%s", store_path(store), e->file);
	return json_pack("{s:s, s:I, s:s, s:s}", "name", e->name, "version",
			 (json_int_t)e->version, "envelope", path, "damage",
			 e->damage);
}

static json_t *describe_share(const struct envelope *e, size_t i)
{
	char fingerprint[FINGERPRINT_HEX];

	hex_encode(fingerprint, e->shares[i].fingerprint, FINGERPRINT_SIZE);
	return json_pack("{s:I, s:s, s:s}", "index", (json_int_t)i + 1, "vault",
			 e->shares[i].vault, "fingerprint", fingerprint);
}

static json_t *describe(struct store *store, const struct envelope *e)
{
	char id[2 * VAULTRING_ID_SIZE + 1], path[4096 + ENVELOPE_FILE_MAX];
	json_t *vaults = json_array(), *shares = json_array();
	size_t i;

	snprintf(path, sizeof(path), "%s/%s", store_path(store), e->file);
	hex_encode(id, e->id, sizeof(e->id));
	for (i = 0; i < e->n_shares; i++) {
		json_array_append_new(vaults, json_string(e->shares[i].vault));
		json_array_append_new(shares, describe_share(e, i));
	}
	return json_pack("{s:s, s:I, s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:I, s:s, s:I, s:I, s:s}",
			 "name", e->name, "version", (json_int_t)e->version,
			 "id", id, "vaults", vaults, "shares", shares, "threshold",
			 (json_int_t)e->threshold, "uses", uses_list(e->uses),
			 "uids", integers(e->uids, e->n_uids), "gids",
			 integers(e->gids, e->n_gids), "lease",
			 (json_int_t)e->lease, "lease_end",
			 e->lease_end == VAULTRING_LEASE_END_KILL ? "kill" : "keep",
			 "not_before", (json_int_t)e->not_before, "not_after",
			 (json_int_t)e->not_after, "envelope", path);
}

static void kek_list(struct daemon *d, struct call *call, const json_t *params)
{
	const struct envelope *list;
	json_t *keks = json_array();
	size_t i, n = store_list(d->store, &list);

	(void)params;
	for (i = 0; i < n; i++)
		json_array_append_new(keks, list[i].damage ?
				      describe_damaged(d->store, &list[i]) :
				      describe(d->store, &list[i]));
	call_reply(call, json_pack("{s:o}", "keks", keks));
}

static const struct {
	const char *name;
	void (*run)(struct daemon *d, struct call *call, const json_t *params);
} methods[] = {
	{ "vaultring.VaultList", vault_list },
	{ "vaultring.VaultPublicKey", vault_public_key },
	{ "vaultring.VaultCheck", vault_check },
	{ "vaultring.VaultInit", vault_init },
	{ "vaultring.KekStore", kek_store },
	{ "vaultring.KekUnseal", kek_unseal },
	{ "vaultring.KekList", kek_list },
};

void method_run(struct daemon *d, struct call *call, const char *method,
		const json_t *params)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(methods); i++) {
		if (strcmp(method, methods[i].name))
			continue;
		methods[i].run(d, call, params);
		return;
	}
	call_error(call, -EOPNOTSUPP, "no such method: %.60s", method);
}
