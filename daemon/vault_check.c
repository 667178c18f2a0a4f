// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One exchange with a throw-away key or secret
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "util.h"
#include "vault_check.h"

#define EXPECTED_SIZE 32

struct vault_check {
	uint8_t expected[EXPECTED_SIZE];
};

static bool is_p256(const EVP_PKEY *key)
{
	char group[32] = "";

	return EVP_PKEY_is_a(key, "EC") &&
	       EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME,
					      group, sizeof(group), NULL) &&
	       (!strcmp(group, "prime256v1") || !strcmp(group, "P-256"));
}

static int derive(EVP_PKEY *own, EVP_PKEY *peer, uint8_t x[EXPECTED_SIZE])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
	size_t len = EXPECTED_SIZE;
	int ok = ctx && EVP_PKEY_derive_init(ctx) == 1 &&
		 EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
		 EVP_PKEY_derive(ctx, x, &len) == 1 && len == EXPECTED_SIZE;

	EVP_PKEY_CTX_free(ctx);
	return ok ? 0 : -EINVAL;
}

static int write_point(EVP_PKEY *key, uint8_t *out, size_t *out_len)
{
	uint8_t *point = NULL;
	size_t len = EVP_PKEY_get1_encoded_public_key(key, &point);
	int err = -EINVAL;

	if (len == 1 + VAULTRING_OBLIVIOUS_DATA && point[0] == 4) {
		memcpy(out, point + 1, VAULTRING_OBLIVIOUS_DATA);
		*out_len = VAULTRING_OBLIVIOUS_DATA;
		err = 0;
	}
	OPENSSL_free(point);
	return err;
}

/* A point e * G; expected is x(e * S). */
static int new_point(EVP_PKEY *peer, uint8_t *out, size_t *len,
		     uint8_t expected[EXPECTED_SIZE])
{
	EVP_PKEY *own = is_p256(peer) ? EVP_EC_gen("P-256") : NULL;
	int err = own ? write_point(own, out, len) ?:
			derive(own, peer, expected) : -EINVAL;

	EVP_PKEY_free(own);
	return err;
}

/* A ciphertext; expected is random. */
static int new_ciphertext(EVP_PKEY *peer, uint8_t *out, size_t *len,
			  uint8_t expected[EXPECTED_SIZE])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(peer, NULL);
	int ok;

	*len = CHALLENGE_MAX;
	ok = ctx && EVP_PKEY_is_a(peer, "RSA") &&
	     RAND_bytes(expected, EXPECTED_SIZE) == 1 &&
	     EVP_PKEY_encrypt_init(ctx) == 1 &&
	     EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
	     EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
	     EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 &&
	     EVP_PKEY_encrypt(ctx, out, len, expected, EXPECTED_SIZE) == 1;
	EVP_PKEY_CTX_free(ctx);
	return ok ? 0 : -EINVAL;
}

int vault_check_new(uint32_t method, const uint8_t *spki, size_t spki_len,
		    uint8_t challenge[CHALLENGE_MAX], size_t *len,
		    struct vault_check **out)
{
	struct vault_check *check = calloc(1, sizeof(*check));
	EVP_PKEY *peer = d2i_PUBKEY(NULL, &spki, (long)spki_len);
	int err = -EINVAL;

	if (check && peer)
		err = method == VAULTRING_METHOD_CLEAR ?
		      new_ciphertext(peer, challenge, len, check->expected) :
		      new_point(peer, challenge, len, check->expected);
	EVP_PKEY_free(peer);
	if (err)
		vault_check_free(check);
	else
		*out = check;
	return err;
}

int vault_check_given(const uint8_t secret[SHARE_SECRET_SIZE],
		      struct vault_check **out)
{
	struct vault_check *check = calloc(1, sizeof(*check));

	if (!check)
		return -ENOMEM;
	memcpy(check->expected, secret, EXPECTED_SIZE);
	*out = check;
	return 0;
}

int vault_check_answer(const struct vault_check *check,
		       const struct share_answer *answer)
{
	return answer->len == EXPECTED_SIZE &&
	       !CRYPTO_memcmp(answer->data, check->expected, EXPECTED_SIZE) ?
	       0 : -EKEYREJECTED;
}

void vault_check_free(struct vault_check *check)
{
	if (check)
		explicit_bzero(check, sizeof(*check));
	free(check);
}
