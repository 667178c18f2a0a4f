// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Azure: secure key release, for sealed shares
 *
 * An attestation service says of this host, in a token, which transport key its
 * kernel has: see azure_attest.c.  The vault checks it against the key's release
 * policy and answers with a signed statement (JWS) that holds the key, wrapped for
 * the transport key.  The kernel alone can open that, and knows the right key; what
 * is checked here is that the answer is to what was asked, by who may give it, and
 * wrapped as strongly as was asked.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "../log.h"
#include "azure.h"
#include "azure_jws.h"
#include "azure_run.h"
#include "json.h"

#define WRAP		"RSA_AES_KEY_WRAP_256"
#define WRAP_OLD_NAME	"CKM_" WRAP
#define KEY_SIZE	32	/* AES-256 */
#define KWP_SIZE	(KEY_SIZE + 8)
#define INNER_MAX	(16 * 1024)
#define SERVED_MAX	16

/* Of each key without a version in its name, the version that served at first. */
static struct azure_ref served[SERVED_MAX];
static size_t n_served;

int azure_release_configure(void)
{
	const char *ca_file = vault_setting("release-ca-file");
	bool sealed = azure.method == AZURE_SEALED;
	int err = azure_run_configure(sealed ?
				      vault_setting("attestation-command") : NULL);

	if (err || !sealed)
		return err;
	if (!ca_file || *ca_file != '/')
		return vault_fail_here("method = sealed needs release-ca-file with a full path");
	return azure_attest_configure();
}

/* --- which version --- */

void azure_release_forget(void)
{
	n_served = 0;
}

static const struct azure_ref *served_of(const struct azure_key *key)
{
	size_t i;

	for (i = 0; i < n_served; i++)
		if (!strcmp(served[i].name, key->name))
			return &served[i];
	if (n_served == SERVED_MAX)
		return NULL;
	memcpy(served[n_served].name, key->name, AZURE_NAME_SIZE);
	memcpy(served[n_served].version, key->version, AZURE_NAME_SIZE);
	return &served[n_served++];
}

void azure_release_note(const struct azure_key *key)
{
	served_of(key);
}

/*
 * The newest is what is released, and no fingerprint tells us whether it is the one
 * that a share was made from.  That it is no longer the same can be told; that the
 * old one is gone is the vault's no.
 */
int azure_release_look(const struct azure_ref *ref)
{
	const struct azure_ref *first;
	const struct azure_key *key;
	char newest[AZURE_NAME_SIZE];
	static char told[AZURE_NAME_SIZE];
	int err = azure_key_find(ref, true, &key);

	first = err || *ref->version ? NULL : served_of(key);
	if (!first || !strcmp(first->version, key->version))
		return err;
	memcpy(newest, key->version, sizeof(newest));
	err = azure_key_find(first, true, &key);
	if (err)
		return err;
	if (strcmp(told, newest))
		log_warning("key %s of %s was rotated, from version %s to %s: a KEK that was made with the old one opens only if uri names that",
			    first->name, azure.host, first->version, newest);
	memcpy(told, newest, sizeof(told));
	return vault_fail_here("key %s was rotated; name version %s in uri, or reseal its KEKs and check the vault",
			       first->name, first->version);
}

/* The hash of a wrap that is not as asked for, in whichever place it is named. */
static int check_wrap(const char *where, const char *enc)
{
	if (!strcmp(enc, WRAP) || !strcmp(enc, WRAP_OLD_NAME))
		return 0;
	return vault_fail(-EKEYREJECTED, "asked for a key wrapped by " WRAP ", %s says %.60s",
			  where, enc);
}

static int check_kid(const char *kid, const struct azure_key *key)
{
	char version[AZURE_NAME_SIZE];
	int err = azure_kid_check(kid, key->name, version);

	if (!err && strcmp(version, key->version))
		err = vault_fail(-EKEYREJECTED, "asked for version %s of key %s, version %s was released",
				 key->version, key->name, version);
	return err;
}

/* What was asked, as the vault heard it. */
static int check_request(const json_t *payload, const struct azure_key *key,
			 const char *nonce)
{
	const char *enc, *kid, *heard;
	json_t *request;
	int err = need_object(payload, "request", &request) ?:
		  need_string(request, "enc", &enc) ?:
		  check_wrap("the request that it heard", enc) ?:
		  need_string(request, "kid", &kid) ?:
		  check_kid(kid, key) ?:
		  need_string(request, "nonce", &heard);

	if (!err && strcmp(heard, nonce))
		err = vault_fail(-EKEYREJECTED, "the release is an answer to another request");
	return err;
}

/* Parts of a key that nobody but the vault may have in the clear. */
static int check_no_plaintext(const json_t *jwk)
{
	static const char *const secret[] = {
		"k", "d", "p", "q", "dp", "dq", "qi",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(secret); i++) {
		if (!json_object_get(jwk, secret[i]))
			continue;
		log_err("%s released key %s in the clear: do not use it any more",
			azure.host, azure.key);
		return vault_fail(-EKEYREJECTED, "it released the key in the clear (\"%s\"): it is spoilt",
				  secret[i]);
	}
	return 0;
}

/* {schema_version, header: {kid, alg: "dir", enc}, ciphertext} */
static int read_inner(const json_t *inner, const struct azure_key *key,
		      struct release *out)
{
	const char *alg, *enc, *kid;
	json_t *header;
	ssize_t n;
	int err = need_object(inner, "header", &header) ?:
		  need_string(header, "alg", &alg) ?:
		  need_string(header, "enc", &enc) ?:
		  check_wrap("the key's own header", enc) ?:
		  need_string(header, "kid", &kid) ?:
		  check_kid(kid, key);

	if (!err && strcmp(alg, "dir"))
		err = vault_fail(-EKEYREJECTED, "the key's own header has alg %.20s, not dir",
				 alg);
	if (err)
		return err;
	n = need_bytes(inner, "ciphertext", BASE64_URL, out->wrapped,
		       sizeof(out->wrapped));
	out->len = n < 0 ? 0 : n;
	return n < 0 ? n : 0;
}

static int read_key(const json_t *payload, const struct azure_key *key,
		    struct release *out)
{
	json_t *response, *outer, *jwk, *inner = NULL;
	struct secret text = { 0 };
	const char *kid;
	ssize_t n;
	int err = need_object(payload, "response", &response) ?:
		  need_object(response, "key", &outer) ?:
		  need_object(outer, "key", &jwk) ?:
		  check_no_plaintext(jwk) ?:
		  need_string(jwk, "kid", &kid) ?:
		  check_kid(kid, key);

	if (!err && secret_alloc(&text, INNER_MAX))
		err = vault_fail(-EAGAIN, "cannot lock memory for a key");
	if (err)
		return err;
	n = need_bytes(jwk, "key_hsm", BASE64_URL, text.data, INNER_MAX);
	text.len = n < 0 ? 0 : n;
	err = n < 0 ? n : body_parse(&text, &inner);
	if (!err)
		err = check_no_plaintext(inner) ?: read_inner(inner, key, out);
	json_decref(inner);
	secret_free(&text);
	return err;
}

/* RSA-OAEP for the transport key, then RFC 5649 of 32 bytes. */
static int check_length(const struct release_request *r,
			const struct release *out)
{
	const uint8_t *p = r->transport;
	EVP_PKEY *transport = d2i_PUBKEY(NULL, &p, r->transport_len);
	size_t size = transport && EVP_PKEY_is_a(transport, "RSA") ?
		      EVP_PKEY_get_size(transport) : 0;

	EVP_PKEY_free(transport);
	if (!size)
		return vault_fail(-EKEYREJECTED, "transport is no RSA public key");
	if (out->len != size + KWP_SIZE)
		return vault_fail(-EKEYREJECTED, "it released %zu bytes; a wrapped key of %d bytes has %zu",
				  out->len, KEY_SIZE, size + KWP_SIZE);
	return 0;
}

/*
 * These are about the key or who asks.  Any other no is to the attestation, which
 * this host's attester and clock have their part in.
 */
static bool is_withdrawn(const char *inner)
{
	static const char *const codes[] = {
		"AccessDenied", "ForbiddenByPolicy", "ForbiddenByRbac",
		"KeyDisabled", "KeyOperationForbidden",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(codes); i++)
		if (!strcmp(codes[i], inner))
			return true;
	return false;
}

static int ask(const struct azure_key *key, const struct release_request *r,
	       const char *nonce, struct azure_answer *answer)
{
	struct secret token = { 0 };
	char path[400];
	json_t *body;
	int err = azure_attest_token(r, &token);

	if (err)
		return err;
	snprintf(path, sizeof(path), "/keys/%s/%s/release?api-version="
		 AZURE_API, key->name, key->version);
	body = json_pack("{s:s, s:s, s:s}", "target", (char *)token.data,
			 "nonce", nonce, "enc", WRAP);
	secret_free(&token);
	err = body ? azure_call(path, body, answer) :
	      vault_fail_here("the attestation is not text");
	json_decref(body);
	if (err == -ENOKEY && answer->status == 403 &&
	    !is_withdrawn(answer->inner))
		err = vault_fail_here("%s does not release key %s to this host (%s): %s",
				      azure.host, key->name, *answer->inner ?
				      answer->inner : "403", answer->message);
	return err;
}

int azure_release(const struct azure_key *key, const struct release_request *r,
		  struct release *out)
{
	struct azure_answer answer = { .status = 0 };
	char nonce[BASE64_SIZE(NONCE_SIZE)];
	json_t *payload = NULL;
	const char *jws;
	int err;

	base64_encode(BASE64_URL, r->nonce, sizeof(r->nonce), nonce);
	err = ask(key, r, nonce, &answer);
	if (!err)
		err = need_string(answer.json, "value", &jws);
	if (!err)
		err = jws_check(jws, vault_setting("release-ca-file"),
				azure_now(), &payload);
	if (!err)
		err = check_request(payload, key, nonce) ?:
		      read_key(payload, key, out) ?:
		      check_length(r, out);
	if (!err)
		out->hash = "sha256";
	json_decref(payload);
	azure_answer_free(&answer);
	return err;
}
