// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One exchange with a throw-away key
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "util.h"
#include "vault_check.h"

#define X_SIZE 32
#define SPKI_MAX 1024

struct vault_check {
	uint8_t expected[X_SIZE];
};

static EVP_PKEY *read_spki(const char *hex)
{
	uint8_t spki[SPKI_MAX];
	const uint8_t *p = spki;
	ssize_t len = hex_decode_any(hex, spki, sizeof(spki));
	EVP_PKEY *key = len > 0 ? d2i_PUBKEY(NULL, &p, len) : NULL;
	char group[32] = "";

	if (key && EVP_PKEY_is_a(key, "EC") &&
	    EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME,
					   group, sizeof(group), NULL) &&
	    (!strcmp(group, "prime256v1") || !strcmp(group, "P-256")))
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

static int derive(EVP_PKEY *own, EVP_PKEY *peer, uint8_t x[X_SIZE])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
	size_t len = X_SIZE;
	int ok = ctx && EVP_PKEY_derive_init(ctx) == 1 &&
		 EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
		 EVP_PKEY_derive(ctx, x, &len) == 1 && len == X_SIZE;

	EVP_PKEY_CTX_free(ctx);
	return ok ? 0 : -EINVAL;
}

static int write_point(EVP_PKEY *key, char *hex)
{
	uint8_t *point = NULL;
	size_t len = EVP_PKEY_get1_encoded_public_key(key, &point);
	int err = -EINVAL;

	if (len == 1 + VAULTRING_OBLIVIOUS_DATA && point[0] == 4) {
		hex_encode(hex, point + 1, VAULTRING_OBLIVIOUS_DATA);
		err = 0;
	}
	OPENSSL_free(point);
	return err;
}

int vault_check_new(const char *spki_hex,
		    char point[2 * VAULTRING_OBLIVIOUS_DATA + 1],
		    struct vault_check **out)
{
	struct vault_check *check = calloc(1, sizeof(*check));
	EVP_PKEY *peer = read_spki(spki_hex);
	EVP_PKEY *own = EVP_EC_gen("P-256");
	int err = -EINVAL;

	if (check && peer && own)
		err = write_point(own, point) ?:
		      derive(own, peer, check->expected);
	EVP_PKEY_free(peer);
	EVP_PKEY_free(own);
	if (err)
		vault_check_free(check);
	else
		*out = check;
	return err;
}

int vault_check_answer(const struct vault_check *check, const char *x_hex)
{
	uint8_t x[X_SIZE];

	if (hex_decode(x_hex, x, sizeof(x)) ||
	    CRYPTO_memcmp(x, check->expected, sizeof(x)))
		return -EKEYREJECTED;
	return 0;
}

void vault_check_free(struct vault_check *check)
{
	if (check)
		explicit_bzero(check, sizeof(*check));
	free(check);
}
