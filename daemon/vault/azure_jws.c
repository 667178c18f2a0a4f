// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Signed statements of a vault
 *
 * The header says how it was signed; of what it can say, one thing is believed.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "../secret.h"
#include "azure_jws.h"
#include "json.h"
#include "vault.h"

#define PART_MAX	(48 * 1024)
#define CERT_MAX	(8 * 1024)
#define CHAIN_MAX	8
#define SIGNATURE_MAX	512
#define AUTH_LEVEL	2	/* of OpenSSL's: 112 bits */

struct jws {
	const char *signed_text;	/* header.payload */
	size_t signed_len, header_len;
	const char *signature;
};

static int split(const char *text, struct jws *j)
{
	const char *first = strchr(text, '.');
	const char *second = first ? strchr(first + 1, '.') : NULL;

	if (!second || strchr(second + 1, '.'))
		return vault_fail(-EKEYREJECTED, "it released no signed statement (JWS)");
	*j = (struct jws){
		.signed_text = text, .signed_len = second - text,
		.header_len = first - text, .signature = second + 1,
	};
	return 0;
}

static int decode_json(const char *text, size_t len, json_t **out)
{
	struct secret part = { 0 };
	ssize_t n;
	int err;

	if (secret_alloc(&part, PART_MAX))
		return vault_fail(-EAGAIN, "cannot lock memory for a statement");
	n = base64_decode(BASE64_URL, text, len, part.data, PART_MAX);
	part.len = n < 0 ? 0 : n;
	err = n < 0 ? vault_fail(-EKEYREJECTED, "its signed statement is not base64url") :
	      body_parse(&part, out);
	secret_free(&part);
	return err;
}

/* --- the signer --- */

/* x5c is standard base64 of DER, the signer's own first. */
static X509 *read_certificate(const json_t *item)
{
	const char *text = json_string_value(item);
	uint8_t der[CERT_MAX];
	const uint8_t *p = der;
	ssize_t n = text ? base64_decode(BASE64_STD, text, strlen(text), der,
					 sizeof(der)) : -EINVAL;
	X509 *cert = n > 0 ? d2i_X509(NULL, &p, n) : NULL;

	if (cert && p != der + n) {
		X509_free(cert);
		cert = NULL;
	}
	return cert;
}

static int read_chain(const json_t *header, X509 **signer,
		      STACK_OF(X509) *others)
{
	json_t *list, *item;
	X509 *cert;
	size_t i;
	int err = need_array(header, "x5c", &list);

	if (err)
		return err;
	json_array_foreach(list, i, item) {
		cert = i < CHAIN_MAX ? read_certificate(item) : NULL;
		if (!cert)
			return vault_fail(-EKEYREJECTED, "its signed statement has x5c that are no certificates");
		if (!i) {
			*signer = cert;
		} else if (!sk_X509_push(others, cert)) {
			X509_free(cert);
			return vault_fail(-EAGAIN, "out of memory");
		}
	}
	return *signer ? 0 :
	       vault_fail(-EKEYREJECTED, "its signed statement has no certificate");
}

static int check_chain(X509 *signer, STACK_OF(X509) *others,
		       const char *ca_file, time_t now)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int err;

	if (!store || !ctx)
		err = vault_fail(-EAGAIN, "out of memory");
	else if (X509_STORE_load_file(store, ca_file) != 1)
		err = vault_fail_here("cannot read certificates from release-ca-file %s",
				      ca_file);
	else if (X509_STORE_CTX_init(ctx, store, signer, others) != 1)
		err = vault_fail(-EAGAIN, "out of memory");
	else
		err = 0;
	if (!err) {
		X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), now);
		/* No SHA-1, no RSA below 2048 bits, in none of the chain. */
		X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(ctx),
						 AUTH_LEVEL);
		/* Not for TLS: any certificate that this authority gave. */
		X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_ANY);
		if (X509_verify_cert(ctx) != 1)
			err = vault_fail(-EKEYREJECTED, "who signed the release is not known: %s; is release-ca-file right?",
					 X509_verify_cert_error_string(
						X509_STORE_CTX_get_error(ctx)));
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return err;
}

static int check_signature(const struct jws *j, X509 *signer)
{
	uint8_t signature[SIGNATURE_MAX];
	ssize_t len = base64_decode(BASE64_URL, j->signature,
				    strlen(j->signature), signature,
				    sizeof(signature));
	EVP_PKEY *key = X509_get0_pubkey(signer);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = len > 0 && key && md && EVP_PKEY_is_a(key, "RSA") &&
		  EVP_PKEY_get_bits(key) >= 2048 &&
		  EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
		  EVP_DigestVerify(md, signature, len,
				   (const unsigned char *)j->signed_text,
				   j->signed_len) == 1;

	EVP_MD_CTX_free(md);
	return ok ? 0 :
	       vault_fail(-EKEYREJECTED, "the release's signature is wrong");
}

static int check_signer(const struct jws *j, const json_t *header,
			const char *ca_file, time_t now)
{
	STACK_OF(X509) *others = sk_X509_new_null();
	X509 *signer = NULL;
	int err;

	err = others ? read_chain(header, &signer, others) :
	      vault_fail(-EAGAIN, "out of memory");
	if (!err)
		err = check_chain(signer, others, ca_file, now);
	if (!err)
		err = check_signature(j, signer);
	X509_free(signer);
	sk_X509_pop_free(others, X509_free);
	return err;
}

int jws_check(const char *text, const char *ca_file, time_t now, json_t **payload)
{
	json_t *header = NULL;
	const char *alg;
	struct jws j = { .signature = "" };
	int err;

	*payload = NULL;
	err = split(text, &j) ?:
	      decode_json(j.signed_text, j.header_len, &header) ?:
	      need_string(header, "alg", &alg);
	if (!err && strcmp(alg, "RS256"))
		err = vault_fail(-EKEYREJECTED, "the release is signed with alg %.20s, not RS256",
				 alg);
	/* What must be understood is not. */
	if (!err && json_object_get(header, "crit"))
		err = vault_fail(-EKEYREJECTED, "the release's header has crit, which is not understood");
	if (!err)
		err = check_signer(&j, header, ca_file, now);
	if (!err)
		err = decode_json(j.signed_text + j.header_len + 1,
				  j.signed_len - j.header_len - 1, payload);
	json_decref(header);
	return err;
}
