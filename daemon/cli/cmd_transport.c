// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring transport: the kernel's key that vaults release sealed shares for
 *
 * As PEM (RFC 7468) or as a JSON Web Key (RFC 7517), whose id is its thumbprint
 * (RFC 7638).
 */

#include <errno.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "cli.h"

#define MODULUS_MAX	512
#define BASE64_MAX	((MODULUS_MAX + 2) / 3 * 4 + 1)

/* Without padding (RFC 7515, 2) */
static void base64url(char out[BASE64_MAX], const uint8_t *in, size_t len)
{
	char *c;

	EVP_EncodeBlock((uint8_t *)out, in, (int)len);
	for (c = out; *c && *c != '='; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
	*c = 0;
}

static int number(const EVP_PKEY *key, const char *param, char out[BASE64_MAX])
{
	uint8_t bytes[MODULUS_MAX];
	BIGNUM *value = NULL;
	int len = 0;

	if (EVP_PKEY_get_bn_param(key, param, &value) == 1 &&
	    BN_num_bytes(value) <= MODULUS_MAX)
		len = BN_bn2bin(value, bytes);
	BN_free(value);
	base64url(out, bytes, (size_t)len);
	return len ? 0 : -1;
}

/* NULL: it is not an RSA key */
static json_t *jwk(const EVP_PKEY *key)
{
	char n[BASE64_MAX], e[BASE64_MAX], kid[BASE64_MAX];
	char text[2 * BASE64_MAX + 64];
	uint8_t hash[FINGERPRINT_SIZE];
	int len;

	if (number(key, OSSL_PKEY_PARAM_RSA_N, n) ||
	    number(key, OSSL_PKEY_PARAM_RSA_E, e))
		return NULL;
	/* RFC 7638, 3.2: these members, in this order, without spaces */
	len = snprintf(text, sizeof(text),
		       "{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}", e, n);
	if (sha256(text, (size_t)len, hash))
		return NULL;
	base64url(kid, hash, sizeof(hash));
	return json_pack("{s:s, s:s, s:s, s:[s], s:s, s:s}", "kty", "RSA",
			 "alg", "RSA-OAEP-256", "kid", kid, "key_ops", "encrypt",
			 "n", n, "e", e);
}

static int print_pem(const EVP_PKEY *key)
{
	if (PEM_write_PUBKEY(stdout, (EVP_PKEY *)key) == 1)
		return DONE;
	say_error("transport key: cannot be written as PEM");
	return FAILED;
}

/* Whether it is that of each boot; "another": that is another one. */
static const char *kept_word(const uint8_t *spki, size_t len)
{
	struct vaultring_transport kept;
	int err = kept_read(&kept);

	if (err == -ENOENT)
		return "no";
	return !err && kept_is(&kept, spki, len) ? "yes" : "another";
}

/* Beside what goes to a vault, so that nobody brings it a key of today only. */
static void say_whether_kept(const char *word)
{
	if (*word == 'y')
		say_note("it is kept across boots, in " KEPT_FILE);
	else if (*word == 'n')
		say_note("it is not kept: after a restart, or 1000 answers of vaults, "
			 "it is another one; see: vaultring transport keep --help");
	else
		say_note("it is not the one that is kept in " KEPT_FILE "; try: "
			 "vaultring transport load");
}

static int print_all(const EVP_PKEY *key, json_t *web, const uint8_t *spki,
		     size_t len)
{
	char fingerprint[FINGERPRINT_HEX], *pem = NULL;
	uint8_t hash[FINGERPRINT_SIZE];
	BIO *bio = BIO_new(BIO_s_mem());
	json_t *report = NULL;
	long size = 0;

	if (bio && PEM_write_bio_PUBKEY(bio, (EVP_PKEY *)key) == 1)
		size = BIO_get_mem_data(bio, &pem);
	if (size > 0 && !sha256(spki, len, hash)) {
		hex_encode(fingerprint, hash, sizeof(hash));
		report = json_pack("{s:s, s:s%, s:O, s:s}", "fingerprint",
				   fingerprint, "pem", pem, (size_t)size, "jwk",
				   web, "kept", kept_word(spki, len));
	}
	BIO_free(bio);
	if (report)
		return print_json(report);
	say_error("transport key: out of memory");
	return FAILED;
}

static int print_key(int how)
{
	uint8_t spki[VAULTRING_MAX_PUBLIC_KEY];
	const uint8_t *at = spki;
	int status = FAILED;
	EVP_PKEY *key;
	json_t *web;
	size_t len;

	if (transport_key(spki, &len))
		return FAILED;
	key = d2i_PUBKEY(NULL, &at, (long)len);
	web = key ? jwk(key) : NULL;
	if (!web)
		say_error("transport key: the kernel's answer is no RSA key");
	else if (how == 'p')
		status = print_pem(key);
	else if (how == 'w')
		status = print_json(json_incref(web));
	else
		status = print_all(key, web, spki, len);
	if (how != 'j' && status == DONE)
		say_whether_kept(kept_word(spki, len));
	json_decref(web);
	EVP_PKEY_free(key);
	return status;
}

static int transport_show(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "pem", no_argument, NULL, 'p' },
		{ "jwk", no_argument, NULL, 'w' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	int opt, how = 'p';

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		if (!strchr("pwj", opt))
			return verb_option_exit(verb, opt);
		how = opt;
	}
	if (optind != argc)
		return verb_usage(verb, "takes no argument");
	return need_root(verb) ? print_key(how) : FAILED;
}

const struct verb verb_transport[] = {
	{ "show", transport_show, "[--pem|--jwk|--json]",
	  "its public half, for vaults",
	  "      --pem   as OpenBao takes it (the default)\n"
	  "      --jwk   as a JSON Web Key\n"
	  "      --json  both, its fingerprint and whether it is kept, for programs\n"
	  "\nThe kernel makes it when it is first needed, and makes another one after a\n"
	  "restart, unless it is kept.\n", NULL, NULL },
	{ "keep", transport_keep, "--kek NAME [--force]",
	  "have the same one after each restart",
	  "      --kek NAME  seal it under this KEK, which has the use transport and\n"
	  "                  which oblivious vaults alone can unseal\n"
	  "      --force     give up another one that is kept\n"
	  "\nIt is stored in " KEPT_FILE ", which is no secret, and loaded\n"
	  "at boot.  While it is kept, an answer that a vault gave before a restart serves\n"
	  "once more after it: see vaultring(1).\n", NULL, NULL },
	{ "load", transport_load, "", "load the one that is kept",
	  "\nvaultring-transport.service does so, until its KEK can be unsealed.\n",
	  NULL, NULL },
	{ 0 }
};
