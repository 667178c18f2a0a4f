// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Asking a vault for the tools
 *
 * A sealed key is released for the kernel's transport key only, which we ask
 * the kernel for: whoever may ask us must not choose who gets it.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "kept.h"
#include "methods.h"
#include "sync.h"
#include "vault_check.h"

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
	struct daemon *d;
	struct call *call;
	char ref[VAULTRING_MAX_VAULT + 1];
	uint32_t method;
	struct vault_check *check;
	struct share_key known;
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

/* v->known; or false, and the caller has been told why. */
static bool known_or_error(struct vault_call *v, const struct worker_reply *r)
{
	if (r->err) {
		vault_call_failed(v, r);
		return false;
	}
	if (!share_take_key(r->body, &v->known))
		return true;
	call_error(v->call, -EKEYREJECTED, "vault %s gave something else than a public key",
		   v->ref);
	return false;
}

static void on_public_key(void *arg, const struct worker_reply *r)
{
	struct vault_call *v = arg;

	v->method = method_of(r->body);
	if (v->method == VAULTRING_METHOD_SEALED && !r->err)
		call_reply(v->call, json_pack("{s:s, s:s}", "vault", v->ref,
					      "method", "sealed"));
	else if (known_or_error(v, r))
		call_reply(v->call, json_pack("{s:s, s:s, s:O*, s:O*, s:s}",
					      "vault", v->ref, "method",
					      method_name(v->method) ?: "unknown",
					      "spki",
					      json_object_get(r->body, "spki"),
					      "identity",
					      json_object_get(r->body, "identity"),
					      "fingerprint",
					      v->known.fingerprint));
	vault_call_free(v);
}

/* What it made of it for a file is for root's tool to keep: we cannot. */
static void on_init(void *arg, const struct worker_reply *r)
{
	struct vault_call *v = arg;

	if (known_or_error(v, r))
		call_reply(v->call, json_pack("{s:s, s:s, s:O?}", "vault",
					      v->ref, "fingerprint",
					      v->known.fingerprint, "file",
					      json_object_get(r->body, "file")));
	vault_call_free(v);
}

static void check_over(struct vault_call *v, int err)
{
	sync_checked(v->d, v->ref, err);
	vault_call_free(v);
}

static const char *what_is_wrong(const struct vault_call *v)
{
	if (v->known.symmetric)
		return "it does not unwrap what it has wrapped";
	return v->method == VAULTRING_METHOD_CLEAR ?
	       "its private key does not belong to its public key, or it computes something else than RSA-OAEP with SHA-256" :
	       "its private key does not belong to its public key, or it computes something else than ECDH";
}

static void on_check_answer(void *arg, const struct worker_reply *r)
{
	struct vault_call *v = arg;
	struct share_answer answer;

	if (r->err)
		vault_call_failed(v, r);
	else if (share_take(v->method, r->body, &answer) ||
		 vault_check_answer(v->check, &answer))
		call_error(v->call, -EKEYREJECTED, "vault %s gave a wrong answer: %s",
			   v->ref, what_is_wrong(v));
	else
		call_reply(v->call, json_pack("{s:s, s:s, s:s, s:f}", "vault",
					      v->ref, "method",
					      method_name(v->method),
					      "fingerprint", v->known.fingerprint,
					      "latency_ms",
					      to_ms(r->latency_usec)));
	check_over(v, r->err);
}

static json_t *check_request(const struct vault_call *v,
			     const uint8_t *challenge, size_t len)
{
	uint8_t fingerprint[FINGERPRINT_SIZE];
	struct share_question q = {
		.method = v->method, .key = v->key, .fingerprint = fingerprint,
		.challenge = challenge, .challenge_len = len,
	};

	hex_decode(v->known.fingerprint, fingerprint, sizeof(fingerprint));
	return share_request(&q);
}

/* What a symmetric key wraps is made by the worker. */
static json_t *wrap_request(const struct vault_call *v, const char *fingerprint)
{
	return json_pack("{s:s, s:s, s:s}", "op", "wrap", "key", v->key,
			 "spki-fingerprint", fingerprint);
}

/* The check's next step; the call has been answered if there is none. */
static void check_ask(struct vault_call *v, json_t *request, worker_fn fn)
{
	if (!worker_submit(v->worker, request, WORKER_IMPATIENT, fn, v, NULL))
		return;
	call_error(v->call, -EAGAIN, "vault %s: too much is waiting for it",
		   v->ref);
	vault_call_free(v);
}

static void on_check_wrapped(void *arg, const struct worker_reply *r)
{
	struct vault_call *v = arg;
	struct share_wrapped share;

	if (r->err) {
		vault_call_failed(v, r);
		vault_call_free(v);
	} else if (share_take_wrapped(r->body, &share) ||
		   vault_check_given(share.secret, &v->check)) {
		call_error(v->call, -EKEYREJECTED, "vault %s wrapped nothing",
			   v->ref);
		vault_call_free(v);
	} else {
		check_ask(v, check_request(v, share.wrapped,
					   sizeof(share.wrapped)),
			  on_check_answer);
	}
	explicit_bzero(&share, sizeof(share));
}

/* NULL, or what is wrong with the key; the caller has not been told. */
static const char *make_check(struct vault_call *v, const struct worker_reply *r,
			      json_t **request)
{
	uint8_t challenge[CHALLENGE_MAX];
	size_t len;

	if (share_take_key(r->body, &v->known) ||
	    (v->known.symmetric && v->method != VAULTRING_METHOD_CLEAR))
		return "something else than a public key";
	if (v->known.symmetric) {
		*request = wrap_request(v, v->known.fingerprint);
		return NULL;
	}
	if (vault_check_new(v->method, v->known.data, v->known.len, challenge,
			    &len, &v->check))
		return v->method == VAULTRING_METHOD_CLEAR ?
		       "something else than a public key for RSA" :
		       "something else than a public key on P-256";
	*request = check_request(v, challenge, len);
	return NULL;
}

/* What a sealed key is, the kernel tells root alone: that is the tool's part. */
static void on_check_key(void *arg, const struct worker_reply *r)
{
	struct vault_call *v = arg;
	json_t *request = NULL;
	const char *wrong = NULL;

	v->method = method_of(r->body);
	if (r->err) {
		vault_call_failed(v, r);
	} else if (v->method == VAULTRING_METHOD_SEALED) {
		call_reply(v->call, json_pack("{s:s, s:s, s:f}", "vault", v->ref,
					      "method", "sealed", "latency_ms",
					      to_ms(r->latency_usec)));
	} else if (!v->method || (wrong = make_check(v, r, &request))) {
		call_error(v->call, -EKEYREJECTED, "vault %s gave %s", v->ref,
			   wrong ?: "a method that this version does not know");
	} else {
		check_ask(v, request, v->known.symmetric ? on_check_wrapped :
			  on_check_answer);
		return;
	}
	check_over(v, r->err);
}

/* A clear share for root's tool to have an envelope made with; its secret too. */
static void on_wrap(void *arg, const struct worker_reply *r)
{
	struct vault_call *v = arg;
	struct share_wrapped share;

	if (r->err)
		vault_call_failed(v, r);
	else if (share_take_wrapped(r->body, &share))
		call_error(v->call, -EKEYREJECTED, "vault %s wrapped nothing",
			   v->ref);
	else
		call_reply(v->call, json_pack("{s:s, s:O, s:O}", "vault", v->ref,
					      "secret",
					      json_object_get(r->body, "secret"),
					      "ciphertext",
					      json_object_get(r->body,
							      "ciphertext")));
	explicit_bzero(&share, sizeof(share));
	vault_call_free(v);
}

static void on_release(void *arg, const struct worker_reply *r)
{
	struct vault_call *v = arg;
	struct share_answer answer;
	const char *wrong;

	if (r->err)
		vault_call_failed(v, r);
	else if ((wrong = share_take(VAULTRING_METHOD_SEALED, r->body, &answer)))
		call_error(v->call, -EKEYREJECTED, "vault %s gave no proper answer (%s)",
			   v->ref, wrong);
	else
		call_reply(v->call, json_pack("{s:s, s:O, s:O, s:f}", "vault",
					      v->ref, "wrapped",
					      json_object_get(r->body, "wrapped"),
					      "hash",
					      json_object_get(r->body, "hash"),
					      "latency_ms",
					      to_ms(r->latency_usec)));
	vault_call_free(v);
}

/* NULL, and the call has been answered */
static struct vault_call *vault_call_new(struct daemon *d, struct call *call,
					 const json_t *params)
{
	const char *ref, *key;
	struct worker *w = vault_param(d, call, params, &ref, &key);
	struct vault_call *v;

	if (!w)
		return NULL;
	v = calloc(1, sizeof(*v));
	if (!v) {
		call_error(call, -ENOMEM, "out of memory");
		return NULL;
	}
	v->d = d;
	v->call = call;
	v->worker = w;
	/* Its own copy: params go when the method returns. */
	snprintf(v->ref, sizeof(v->ref), "%s", ref);
	v->key = v->ref + (key - ref);
	return v;
}

static void vault_call_ask(struct vault_call *v, json_t *request, worker_fn fn)
{
	call_progress(v->call, "asking vault %s", worker_config(v->worker)->name);
	if (!worker_submit(v->worker, request, WORKER_IMPATIENT, fn, v, NULL))
		return;
	call_error(v->call, -EAGAIN, "vault %s: too much is waiting for it",
		   v->ref);
	vault_call_free(v);
}

static void ask_vault(struct daemon *d, struct call *call, const json_t *params,
		      const char *op, worker_fn fn)
{
	struct vault_call *v = vault_call_new(d, call, params);

	if (v)
		vault_call_ask(v, json_pack("{s:s, s:s}", "op", op, "key",
					    v->key), fn);
}

void vault_public_key(struct daemon *d, struct call *call, const json_t *params)
{
	ask_vault(d, call, params, "public-key", on_public_key);
}

void vault_check(struct daemon *d, struct call *call, const json_t *params)
{
	ask_vault(d, call, params, "public-key", on_check_key);
}

void vault_init(struct daemon *d, struct call *call, const json_t *params)
{
	ask_vault(d, call, params, "init", on_init);
}

void vault_wrap(struct daemon *d, struct call *call, const json_t *params)
{
	const char *print = json_string_value(json_object_get(params,
							"fingerprint"));
	uint8_t bytes[FINGERPRINT_SIZE];
	struct vault_call *v;

	/* Of which version, root's tool has to say: it has seen whether it is pinned. */
	if (!print || hex_decode(print, bytes, sizeof(bytes))) {
		call_error(call, -EINVAL, "fingerprint is missing");
		return;
	}
	v = vault_call_new(d, call, params);
	if (v)
		vault_call_ask(v, wrap_request(v, print), on_wrap);
}

void vault_release(struct daemon *d, struct call *call, const json_t *params)
{
	uint8_t transport[VAULTRING_MAX_PUBLIC_KEY], nonce[SHARE_NONCE_SIZE];
	struct share_question q = {
		.method = VAULTRING_METHOD_SEALED, .challenge = nonce,
		.challenge_len = sizeof(nonce), .transport = transport,
	};
	struct vault_call *v = vault_call_new(d, call, params);
	int err;

	if (!v)
		return;
	err = d->nl ? netlink_transport_get(d->nl, transport, &q.transport_len) :
	      -ENOTCONN;
	if ((!err || err == -EAGAIN) &&
	    kept_not_loaded(err ? NULL : transport, q.transport_len)) {
		call_error(call, -EAGAIN, "vault %s was not asked: %s", v->ref,
			   KEPT_NOT_LOADED);
		vault_call_free(v);
		return;
	}
	if (err) {
		call_error(call, err, "vault %s: the kernel gives no transport key: %s",
			   v->ref, d->nl ? netlink_error(d->nl) :
			   "vaultringd was started without it (--no-kernel)");
		vault_call_free(v);
		return;
	}
	q.key = v->key;
	if (getrandom(nonce, sizeof(nonce), 0) != sizeof(nonce)) {
		call_error(call, -EIO, "vault %s: no random numbers", v->ref);
		vault_call_free(v);
		return;
	}
	vault_call_ask(v, share_request(&q), on_release);
}
