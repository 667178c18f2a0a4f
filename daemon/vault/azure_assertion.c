// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The assertion by which a certificate's owner asks for a token
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "../util.h"
#include "azure_assertion.h"
#include "json.h"
#include "vault.h"

#define LIFETIME	600	/* seconds */
#define EARLIER		60	/* for clocks that differ a little */
#define SIGNATURE_MAX	1024
#define ASSERTION_MAX	8192

/* Nobody is there to type one. */
static int no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static int read_pem(const struct secret *pem, const char *path, EVP_PKEY **key,
		    X509 **cert)
{
	BIO *bio = BIO_new_mem_buf(pem->data, pem->len);

	*cert = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
	BIO_free(bio);
	bio = BIO_new_mem_buf(pem->data, pem->len);
	*key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
	BIO_free(bio);
	if (!*cert || !*key)
		return vault_fail_here("%s does not hold a certificate and its key, both in PEM and without a password",
				       path);
	if (!EVP_PKEY_is_a(*key, "RSA") || EVP_PKEY_get_bits(*key) < 2048)
		return vault_fail_here("the key in %s is not RSA with 2048 bits or more",
				       path);
	if (X509_check_private_key(*cert, *key) != 1)
		return vault_fail_here("the certificate in %s is of another key",
				       path);
	return 0;
}

/* Appends base64url of the JSON, and takes the reference. */
static int add_json(char *out, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (!text)
		return vault_fail(-EAGAIN, "out of memory");
	base64_encode(BASE64_URL, text, strlen(text), out + strlen(out));
	free(text);
	return 0;
}

static int add_header(char *out, X509 *cert)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char print[BASE64_SIZE(EVP_MAX_MD_SIZE)];
	unsigned int len = 0;

	if (X509_digest(cert, EVP_sha256(), hash, &len) != 1)
		return vault_fail(-EAGAIN, "cannot compute SHA-256");
	base64_encode(BASE64_URL, hash, len, print);
	return add_json(out, json_pack("{s:s, s:s, s:s}", "alg", "PS256", "typ",
				       "JWT", "x5t#S256", print));
}

static int add_claims(char *out, const char *client_id, const char *audience,
		      time_t now)
{
	unsigned char random[16];
	char id[2 * sizeof(random) + 1];

	if (RAND_bytes(random, sizeof(random)) != 1)
		return vault_fail(-EAGAIN, "OpenSSL has no random numbers");
	hex_encode(id, random, sizeof(random));
	return add_json(out, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}",
				       "aud", audience, "iss", client_id, "sub",
				       client_id, "jti", id,
				       "iat", (json_int_t)now,
				       "nbf", (json_int_t)(now - EARLIER),
				       "exp", (json_int_t)(now + LIFETIME)));
}

/* Of all that out holds; appended after a dot. */
static int add_signature(char *out, EVP_PKEY *key)
{
	unsigned char signature[SIGNATURE_MAX];
	size_t len = sizeof(signature);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *ctx = NULL;
	int ok = md && EVP_PKEY_get_size(key) <= SIGNATURE_MAX &&
		 EVP_DigestSignInit(md, &ctx, EVP_sha256(), NULL, key) == 1 &&
		 EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		 EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx,
						  RSA_PSS_SALTLEN_DIGEST) == 1 &&
		 EVP_DigestSign(md, signature, &len, (unsigned char *)out,
				strlen(out)) == 1;

	EVP_MD_CTX_free(md);
	if (!ok)
		return vault_fail_here("OpenSSL cannot sign with the certificate's key");
	out += strlen(out);
	*out++ = '.';
	base64_encode(BASE64_URL, signature, len, out);
	return 0;
}

int assertion_make(const struct secret *pem, const char *path,
		   const char *client_id, const char *audience, time_t now,
		   struct secret *out)
{
	EVP_PKEY *key;
	X509 *cert;
	char *text;
	int err = read_pem(pem, path, &key, &cert);

	if (!err && secret_alloc(out, ASSERTION_MAX))
		err = vault_fail(-EAGAIN, "cannot lock memory for an assertion");
	text = (char *)out->data;
	if (!err)
		err = add_header(text, cert);
	if (!err) {
		text[strlen(text)] = '.';	/* zeros follow */
		err = add_claims(text, client_id, audience, now);
	}
	if (!err)
		err = add_signature(text, key);
	X509_free(cert);
	EVP_PKEY_free(key);
	if (err)
		secret_free(out);
	return err;
}
