// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Azure: a value to try a key with, wrapped as the kernel wraps a clear share
 */

#include <errno.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "azure.h"

int azure_try_encrypt(const struct azure_key *key,
		      const uint8_t value[SHARE_SECRET_SIZE],
		      uint8_t out[CIPHERTEXT_MAX], size_t *len)
{
	const uint8_t *p = key->spki;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &p, key->spki_len);
	EVP_PKEY_CTX *ctx = pkey ? EVP_PKEY_CTX_new(pkey, NULL) : NULL;
	bool ok;

	*len = CIPHERTEXT_MAX;
	ok = ctx && EVP_PKEY_encrypt_init(ctx) == 1 &&
	     EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
	     EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
	     EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 &&
	     EVP_PKEY_encrypt(ctx, out, len, value, SHARE_SECRET_SIZE) == 1;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return ok ? 0 : vault_fail(-EAGAIN, "OpenSSL cannot encrypt a value to try the key with");
}
