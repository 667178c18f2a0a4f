// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Shares: what each method asks of a vault's worker, and what comes back
 */

#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "share.h"
#include "util.h"

static const char *const method_names[] = {
	[VAULTRING_METHOD_OBLIVIOUS] = "oblivious",
	[VAULTRING_METHOD_SEALED] = "sealed",
	[VAULTRING_METHOD_CLEAR] = "clear",
};

const char *method_name(uint32_t method)
{
	return method < ARRAY_SIZE(method_names) ? method_names[method] : NULL;
}

uint32_t method_of(const json_t *body)
{
	const json_t *given = json_object_get(body, "method");
	const char *name = json_string_value(given);
	uint32_t i;

	if (!given)
		return VAULTRING_METHOD_OBLIVIOUS;
	for (i = 1; i < ARRAY_SIZE(method_names); i++)
		if (name && !strcmp(name, method_names[i]))
			return i;
	return 0;
}

/* --- vault keys --- */

/* As the kernel has it. */
static bool identity_ok(const char *text)
{
	size_t len = 0;

	while (text[len] > ' ' && text[len] <= '~')
		len++;
	return len && len <= VAULTRING_MAX_IDENTITY && !text[len];
}

int share_take_key(const json_t *body, struct share_key *key)
{
	const char *hex = json_string_value(json_object_get(body, "spki"));
	const char *identity = json_string_value(json_object_get(body,
								"identity"));
	ssize_t len = hex ? hex_decode_any(hex, key->data, sizeof(key->data)) :
		      -EINVAL;
	uint8_t hash[FINGERPRINT_SIZE];

	key->symmetric = identity;
	if (identity) {
		if (hex || !identity_ok(identity))
			return -EKEYREJECTED;
		len = (ssize_t)strlen(identity);
		memcpy(key->data, identity, (size_t)len);
	}
	if (len <= 0 || sha256(key->data, (size_t)len, hash))
		return -EKEYREJECTED;
	key->len = (size_t)len;
	hex_encode(key->fingerprint, hash, sizeof(hash));
	return 0;
}

int share_take_wrapped(const json_t *body, struct share_wrapped *share)
{
	const char *secret = json_string_value(json_object_get(body, "secret"));
	const char *wrapped = json_string_value(json_object_get(body,
								"ciphertext"));

	if (secret && wrapped &&
	    !hex_decode(secret, share->secret, sizeof(share->secret)) &&
	    !hex_decode(wrapped, share->wrapped, sizeof(share->wrapped)))
		return 0;
	explicit_bzero(share, sizeof(*share));
	return -EKEYREJECTED;
}

/* --- asking --- */

static json_t *release_request(const struct share_question *q)
{
	char nonce[2 * SHARE_NONCE_SIZE + 1];
	char transport[2 * VAULTRING_MAX_PUBLIC_KEY + 1];

	if (q->challenge_len != SHARE_NONCE_SIZE ||
	    q->transport_len > VAULTRING_MAX_PUBLIC_KEY)
		return NULL;
	hex_encode(nonce, q->challenge, q->challenge_len);
	hex_encode(transport, q->transport, q->transport_len);
	return json_pack("{s:s, s:s, s:s, s:s}", "op", "release", "key", q->key,
			 "transport", transport, "nonce", nonce);
}

json_t *share_request(const struct share_question *q)
{
	char challenge[2 * CHALLENGE_MAX + 1], fingerprint[FINGERPRINT_HEX];
	bool clear = q->method == VAULTRING_METHOD_CLEAR;

	if (q->method == VAULTRING_METHOD_SEALED)
		return release_request(q);
	if (!method_name(q->method) || q->challenge_len > CHALLENGE_MAX)
		return NULL;
	hex_encode(challenge, q->challenge, q->challenge_len);
	hex_encode(fingerprint, q->fingerprint, FINGERPRINT_SIZE);
	return json_pack("{s:s, s:s, s:s, s:s}", "op",
			 clear ? "unwrap" : "exchange", "key", q->key,
			 "spki-fingerprint", fingerprint,
			 clear ? "ciphertext" : "point", challenge);
}

/* --- what came --- */

static const char *take_32(const json_t *body, const char *member,
			   struct share_answer *answer)
{
	const char *hex = json_string_value(json_object_get(body, member));

	if (!hex || hex_decode(hex, answer->data, SHARE_SECRET_SIZE))
		return "its answer is not 32 bytes in hex";
	answer->len = SHARE_SECRET_SIZE;
	return NULL;
}

static const char *take_wrapped(const json_t *body, struct share_answer *answer)
{
	const char *hex = json_string_value(json_object_get(body, "wrapped"));
	const char *hash = json_string_value(json_object_get(body, "hash"));
	ssize_t len = hex ? hex_decode_any(hex, answer->data,
					   sizeof(answer->data)) : -EINVAL;

	if (len <= 0)
		return "its answer is no wrapped key in hex";
	if (hash && !strcmp(hash, "sha256"))
		answer->hash = VAULTRING_HASH_SHA256;
	else if (hash && !strcmp(hash, "sha384"))
		answer->hash = VAULTRING_HASH_SHA384;
	else
		return "its key is not wrapped with SHA-256 or SHA-384";
	answer->len = (size_t)len;
	return NULL;
}

const char *share_take(uint32_t method, const json_t *body,
		       struct share_answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	switch (method) {
	case VAULTRING_METHOD_CLEAR:
		return take_32(body, "secret", answer);
	case VAULTRING_METHOD_SEALED:
		return take_wrapped(body, answer);
	default:
		return take_32(body, "x", answer);
	}
}
