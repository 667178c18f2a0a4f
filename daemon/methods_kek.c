// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Storing and unsealing KEKs for the tools
 *
 * Root makes KEKs with the kernel, not we: an envelope that the daemon had made
 * could be one of a KEK that somebody else knows.  What is handed in here is
 * stored and then unsealed like any other.  From the moment that the envelope is
 * stored the KEK exists, whatever becomes of the unseal.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "log.h"
#include "methods.h"

/* Whole groups of three, which is how base64 is decoded. */
#define ENVELOPE_ROOM ((VAULTRING_MAX_ENVELOPE + 2) / 3 * 3)

struct storing {
	struct call *call;
	char name[VAULTRING_MAX_NAME + 1];
	char path[4096 + ENVELOPE_FILE_MAX];
};

static json_t *kek_reply(const struct envelope *e)
{
	char id[2 * VAULTRING_ID_SIZE + 1];

	hex_encode(id, e->id, sizeof(e->id));
	return json_pack("{s:s, s:I, s:s}", "name", e->name, "version",
			 (json_int_t)e->version, "id", id);
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

/* --- store --- */

/* How long it is; 0 if there is none. */
static size_t take_envelope(const json_t *params, uint8_t data[ENVELOPE_ROOM])
{
	const char *text = json_string_value(json_object_get(params,
							     "envelope"));
	size_t len = text ? strlen(text) : 0;
	int n, padding;

	if (!len || len % 4 || len / 4 * 3 > ENVELOPE_ROOM)
		return 0;
	n = EVP_DecodeBlock(data, (const uint8_t *)text, (int)len);
	padding = (text[len - 1] == '=') + (text[len - 2] == '=');
	return n > padding ? n - padding : 0;
}

/* NULL, or what is wrong with it */
static const char *check_envelope(const char *name, const uint8_t *data,
				  size_t len, struct envelope *e)
{
	const char *wrong;

	if (len > VAULTRING_MAX_ENVELOPE)
		return "it is too long";
	wrong = envelope_parse(data, len, e);
	if (!wrong && strcmp(e->name, name))
		wrong = "it is that of another name";
	return wrong;
}

static void on_stored_unseal(void *arg, const struct unseal_outcome *o)
{
	struct storing *s = arg;
	json_t *reply;

	if (o->err) {
		call_error(s->call, o->err, "kek %s: created, and its envelope is kept in %s, but not unsealed: %s",
			   s->name, s->path, o->message);
	} else {
		reply = kek_reply(o->envelope);
		json_object_set_new(reply, "envelope", json_string(s->path));
		call_reply(s->call, reply);
	}
	free(s);
}

static void unseal_stored(struct daemon *d, struct call *call,
			  const struct envelope *e)
{
	struct storing *s = calloc(1, sizeof(*s));

	if (!s) {
		call_error(call, -ENOMEM, "kek %s: created, but not unsealed: out of memory",
			   e->name);
		return;
	}
	s->call = call;
	copy_text(s->name, sizeof(s->name), e->name);
	snprintf(s->path, sizeof(s->path), "%s/%s", store_path(d->store),
		 e->file);
	log_info("kek %s: stored, %s", s->name, s->path);
	call_progress(call, "unsealing kek %s", s->name);
	unseal_begin(d, e, on_stored_unseal, s);
}

void kek_store(struct daemon *d, struct call *call, const json_t *params)
{
	const char *name = kek_name(d, call, params), *wrong;
	uint8_t data[ENVELOPE_ROOM];
	const struct envelope *e;
	struct envelope check;
	size_t len;
	int err;

	if (!name)
		return;
	if (store_find(d->store, name, 0)) {
		call_error(call, -EEXIST, "kek %s: exists already; try: vaultring kek show %s",
			   name, name);
		return;
	}
	len = take_envelope(params, data);
	wrong = check_envelope(name, data, len, &check);
	if (wrong) {
		call_error(call, -EINVAL, "kek %s: this is no envelope to store: %s; are vaultring, vaultringd and the module of the same version?",
			   name, wrong);
		return;
	}
	err = store_add(d->store, name, check.version, data, len);
	if (err) {
		call_error(call, err, "kek %s: cannot store its envelope in %s: %s; nothing was created",
			   name, store_path(d->store), strerror(-err));
		return;
	}
	e = store_find(d->store, name, check.version);
	if (e && !e->damage)
		unseal_stored(d, call, e);
	else
		call_error(call, -EIO, "kek %s: its envelope cannot be read back from %s",
			   name, store_path(d->store));
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

/* 0: the newest; -1: not a version */
static json_int_t take_version(const json_t *params)
{
	const json_t *v = json_object_get(params, "version");
	json_int_t version = json_integer_value(v);

	if (!v || json_is_null(v))
		return 0;
	return version >= 1 && version <= UINT32_MAX ? version : -1;
}

static void say_whom_we_ask(struct call *call, const struct envelope *e)
{
	char vault[VAULTRING_MAX_VAULT + 1], list[600] = "";
	const char *key;
	size_t i, at = 0;

	for (i = 0; i < e->n_shares && at < sizeof(list); i++)
		if (!vault_ref_split(e->shares[i].vault, vault, &key))
			at += snprintf(list + at, sizeof(list) - at, "%s%s",
				       at ? ", " : "", vault);
	call_progress(call, "asking vault%s %s", e->n_shares > 1 ? "s" : "",
		      list);
}

const struct envelope *kek_param(struct daemon *d, struct call *call,
				 const json_t *params)
{
	const char *name = kek_name(d, call, params);
	json_int_t version = take_version(params);
	const struct envelope *e;

	if (!name)
		return NULL;
	if (version < 0) {
		call_error(call, -EINVAL, "kek %s: version must be a number from 1",
			   name);
		return NULL;
	}
	e = store_find(d->store, name, version);
	if (!e)
		call_error(call, -ENOKEY, "kek %s: no such envelope in %s; try: vaultring kek list",
			   name, store_path(d->store));
	return e;
}

void kek_unseal(struct daemon *d, struct call *call, const json_t *params)
{
	const struct envelope *e = kek_param(d, call, params);

	if (!e)
		return;
	if (!e->damage)
		say_whom_we_ask(call, e);
	unseal_begin(d, e, on_unsealed, call);
}
