// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the tools may ask of the daemon: lists, and the table of all of it
 */

#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "methods.h"
#include "sync.h"

static const char *const use_names[] = {
	[VAULTRING_USE_XTS] = "xts",
	[VAULTRING_USE_CBC] = "cbc",
	[VAULTRING_USE_CTR] = "ctr",
	[VAULTRING_USE_GCM] = "gcm",
	[VAULTRING_USE_FSCRYPT] = "fscrypt",
	[VAULTRING_USE_HMAC] = "hmac",
	[VAULTRING_USE_TRANSPORT] = "transport",
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

double to_ms(uint64_t usec)
{
	return round(usec / 100.0) / 10.0;
}

/* --- vaults --- */

/* Each key that envelopes name, with the vault's last word on it. */
static json_t *vault_keys(const struct daemon *d, const char *vault)
{
	static const char *const words[] = {
		[KEY_UNHEARD] = "unknown",
		[KEY_AGREES] = "agrees",
		[KEY_DOUBTED] = "doubted",
		[KEY_REFUSED] = "refused",
	};
	char name[VAULTRING_MAX_VAULT + 1], fingerprint[FINGERPRINT_HEX];
	char newest[FINGERPRINT_HEX];
	const struct sync_key *key = NULL;
	json_t *list = json_array();
	const char *rest;

	while ((key = sync_next(d->sync, key))) {
		if (vault_ref_split(key->ref, name, &rest) ||
		    strcmp(name, vault))
			continue;
		hex_encode(fingerprint, key->fingerprint, FINGERPRINT_SIZE);
		hex_encode(newest, key->newest, FINGERPRINT_SIZE);
		json_array_append_new(list, json_pack(
			"{s:s, s:s, s:s, s:s, s:o, s:s?}", "key", key->ref,
			"fingerprint", fingerprint, "state", words[key->word],
			"message", key->reason, "heard", key->heard_at ?
			json_integer(key->heard_at) : json_null(), "newest",
			key->has_newest ? newest : NULL));
	}
	return list;
}

static json_t *last_error(const struct worker *w)
{
	uint64_t when;
	const char *text = worker_last_error(w, &when);

	return text ? json_pack("{s:s, s:I}", "message", text, "when",
				(json_int_t)when) : json_null();
}

static json_t *vault_state(const struct daemon *d, const struct worker *w)
{
	static const char *const states[] = {
		[WORKER_UNKNOWN] = "unknown",
		[WORKER_READY] = "ready",
		[WORKER_AWAY] = "away",
		[WORKER_REFUSED] = "refused",
	};
	const struct vault_config *c = worker_config(w);
	uint64_t contact = worker_last_contact(w);

	return json_pack("{s:s, s:s#, s:s, s:s, s:s, s:o, s:o, s:o, s:I, s:o}", "name", c->name,
			 "family", c->uri, (int)strcspn(c->uri, ":"), "uri",
			 c->uri, "state", states[worker_state(w)], "message",
			 worker_message(w), "last_contact",
			 contact ? json_integer(contact) : json_null(),
			 "latency_ms", contact ?
			 json_real(to_ms(worker_latency_usec(w))) : json_null(),
			 "last_error", last_error(w), "poll",
			 (json_int_t)(c->poll_usec / 1000000), "keys",
			 vault_keys(d, c->name));
}

static void vault_list(struct daemon *d, struct call *call, const json_t *params)
{
	json_t *list = json_array();
	size_t i;

	(void)params;
	for (i = 0; i < d->config.n_vaults; i++)
		json_array_append_new(list, vault_state(d, d->workers[i]));
	call_reply(call, json_pack("{s:o}", "vaults", list));
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
	return json_pack("{s:I, s:s, s:s, s:s}", "index", (json_int_t)i + 1,
			 "vault", e->shares[i].vault, "method",
			 method_name(e->shares[i].method), "fingerprint",
			 fingerprint);
}

static json_t *describe(const struct daemon *d, const struct envelope *e)
{
	char id[2 * VAULTRING_ID_SIZE + 1], path[4096 + ENVELOPE_FILE_MAX];
	json_t *vaults = json_array(), *shares = json_array();
	size_t i;

	snprintf(path, sizeof(path), "%s/%s", store_path(d->store), e->file);
	hex_encode(id, e->id, sizeof(e->id));
	for (i = 0; i < e->n_shares; i++) {
		json_array_append_new(vaults, json_string(e->shares[i].vault));
		json_array_append_new(shares, describe_share(e, i));
	}
	return json_pack("{s:s, s:I, s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:I, s:s, s:I, s:I, s:s, s:b, s:b}",
			 "name", e->name, "version", (json_int_t)e->version,
			 "id", id, "vaults", vaults, "shares", shares, "threshold",
			 (json_int_t)e->threshold, "uses", uses_list(e->uses),
			 "uids", integers(e->uids, e->n_uids), "gids",
			 integers(e->gids, e->n_gids), "lease",
			 (json_int_t)e->lease, "lease_end",
			 e->lease_end == VAULTRING_LEASE_END_KILL ? "kill" : "keep",
			 "not_before", (json_int_t)e->not_before, "not_after",
			 (json_int_t)e->not_after, "envelope", path, "refused",
			 sync_refused(d->sync, e), "newer",
			 sync_newer(d->sync, e));
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
				      describe(d, &list[i]));
	call_reply(call, json_pack("{s:o}", "keks", keks));
}

static const struct {
	const char *name;
	void (*run)(struct daemon *d, struct call *call, const json_t *params);
} methods[] = {
	{ "vaultring.VaultList", vault_list },
	{ "vaultring.VaultPublicKey", vault_public_key },
	{ "vaultring.VaultCheck", vault_check },
	{ "vaultring.VaultRelease", vault_release },
	{ "vaultring.VaultWrap", vault_wrap },
	{ "vaultring.VaultInit", vault_init },
	{ "vaultring.KekStore", kek_store },
	{ "vaultring.KekUnseal", kek_unseal },
	{ "vaultring.KekReseal", kek_reseal },
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
