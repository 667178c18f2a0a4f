// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Signed statements: nothing counts that was not signed by who may, and what counts
 * is what was signed
 *
 * The input is JSON, not base64url, which no mutation would hit: how to sign it,
 * header, payload and signature, with a zero between.  In the header "LEAF",
 * "OTHER" and "ROOT" stand for certificates, in the payload it is as it is.  What
 * begins with anything else than these is the statement itself.
 */

#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "fuzz_vault.h"
#include "util.h"
#include "vault/azure_jws.h"
#include "vault/json.h"

/* How it is signed. */
enum {
	BY_LEAF = 'L',		/* whom the root vouches for */
	BY_OTHER = 'O',		/* whom nobody does */
	AS_GIVEN = 'G',		/* the input has the signature's bytes */
};

#define NOW	1800000000L
#define DAY	86400L

static struct signer {
	const char *name;
	EVP_PKEY *key;
	X509 *cert;
	char x5c[4096];
} root = { .name = "ROOT" }, leaf = { .name = "LEAF" },
  other = { .name = "OTHER" };

static const char *ca_file;

/* Of the input. */
struct part {
	const char *text;
	size_t len;
};

/* --- who signs --- */

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	HOLDS(extension && X509_add_ext(cert, extension, -1));
	X509_EXTENSION_free(extension);
}

static void make_signer(struct signer *s, const struct signer *by)
{
	uint8_t *der = NULL;
	X509_NAME *name;
	int len;

	s->key = EVP_RSA_gen(2048);
	s->cert = X509_new();
	HOLDS(s->key && s->cert && X509_set_version(s->cert, 2));
	name = X509_get_subject_name(s->cert);
	HOLDS(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
					 (const uint8_t *)s->name, -1, -1, 0));
	HOLDS(X509_set_issuer_name(s->cert, X509_get_subject_name(by->cert)));
	ASN1_INTEGER_set(X509_get_serialNumber(s->cert), *s->name);
	HOLDS(ASN1_TIME_set(X509_getm_notBefore(s->cert), NOW - DAY) &&
	      ASN1_TIME_set(X509_getm_notAfter(s->cert), NOW + DAY) &&
	      X509_set_pubkey(s->cert, s->key));
	add_extension(s->cert, by->cert, NID_basic_constraints,
		      s == by ? "critical,CA:TRUE" : "critical,CA:FALSE");
	HOLDS(X509_sign(s->cert, by->key, EVP_sha256()));
	len = i2d_X509(s->cert, &der);
	HOLDS(len > 0 && BASE64_SIZE((size_t)len) <= sizeof(s->x5c));
	base64_encode(BASE64_STD, der, len, s->x5c);
	OPENSSL_free(der);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static int fd = -1;
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem;
	long len;

	(void)argc;
	(void)argv;
	make_signer(&root, &root);
	make_signer(&leaf, &root);
	make_signer(&other, &other);
	HOLDS(bio && PEM_write_bio_X509(bio, root.cert));
	len = BIO_get_mem_data(bio, &pem);
	ca_file = strdup(fuzz_file(&fd, pem, len));
	BIO_free(bio);
	return 0;
}

/* --- the statement --- */

static void put_certificates(json_t *header)
{
	const struct signer *all[] = { &root, &leaf, &other };
	json_t *list = json_object_get(header, "x5c"), *item;
	const char *text;
	size_t i, j;

	json_array_foreach(list, i, item) {
		text = json_string_value(item);
		for (j = 0; text && j < ARRAY_SIZE(all); j++) {
			if (strcmp(text, all[j]->name))
				continue;
			json_array_set_new(list, i, json_string(all[j]->x5c));
			break;
		}
	}
}

/* The header's JSON with the certificates in their places. */
static char *make_header(const char *text, size_t *len)
{
	json_t *header = json_loadb(text, *len, 0, NULL);
	char *out;

	if (!header)
		return fuzz_copy(text, *len);
	put_certificates(header);
	out = json_dumps(header, JSON_COMPACT | JSON_ENCODE_ANY);
	HOLDS(out);
	*len = strlen(out);
	json_decref(header);
	return out;
}

static size_t sign(const struct signer *s, const char *text, size_t len,
		   uint8_t signature[512])
{
	size_t size = 512;
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	HOLDS(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, s->key) == 1 &&
	      EVP_DigestSign(md, signature, &size, (const uint8_t *)text,
			     len) == 1);
	EVP_MD_CTX_free(md);
	return size;
}

static void take_parts(struct fuzz_input in, struct part parts[3])
{
	int i;

	for (i = 0; i < 3; i++) {
		parts[i].text = (const char *)in.at;
		parts[i].len = in.end - in.at;
		if (i < 2)
			parts[i].len = strnlen(parts[i].text, parts[i].len);
		in.at += parts[i].len;
		in.at += in.at < in.end;
	}
}

static char *make_statement(int how, const struct part parts[3])
{
	size_t header_len = parts[0].len, n;
	char *header = make_header(parts[0].text, &header_len);
	char *text = malloc(BASE64_SIZE(header_len) +
			    BASE64_SIZE(parts[1].len) +
			    BASE64_SIZE(parts[2].len) + BASE64_SIZE(512));
	uint8_t signature[512];

	HOLDS(text);
	n = base64_encode(BASE64_URL, header, header_len, text);
	text[n++] = '.';
	n += base64_encode(BASE64_URL, parts[1].text, parts[1].len, text + n);
	if (how == AS_GIVEN) {
		text[n++] = '.';
		base64_encode(BASE64_URL, parts[2].text, parts[2].len,
			      text + n);
	} else {
		size_t len = sign(how == BY_LEAF ? &leaf : &other, text, n,
				  signature);

		text[n++] = '.';
		base64_encode(BASE64_URL, signature, len, text + n);
	}
	free(header);
	return text;
}

/* The first of the header's certificates is the leaf's, and all is as it should be. */
static bool vouched_for(const struct part *header)
{
	json_t *json = json_loadb(header->text, header->len, 0, NULL);
	const char *alg = json_string_value(json_object_get(json, "alg"));
	const char *first = json_string_value(json_array_get(
				json_object_get(json, "x5c"), 0));
	bool good = alg && !strcmp(alg, "RS256") && first &&
		    !strcmp(first, leaf.name) && !json_object_get(json, "crit");

	json_decref(json);
	return good;
}

static void check_taken(int how, const struct part parts[3], const json_t *taken)
{
	json_t *payload;

	/* Nobody else knows the leaf's key. */
	HOLDS(how == BY_LEAF && vouched_for(&parts[0]));
	payload = json_loadb(parts[1].text, parts[1].len, 0, NULL);
	HOLDS(json_equal(payload, taken));
	json_decref(payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, data + len };
	int how = fuzz_byte(&in), err;
	json_t *taken = (void *)1;
	struct part parts[3];
	char *text;

	if (how == BY_LEAF || how == BY_OTHER || how == AS_GIVEN) {
		take_parts(in, parts);
		text = make_statement(how, parts);
	} else {
		text = fuzz_text(&(struct fuzz_input){ data, data + len },
				 "\n\n", NULL);
	}
	fuzz_begin();
	err = jws_check(text, ca_file, NOW, &taken);
	fuzz_judge(err);
	HOLDS(!err == !!taken);
	if (!err)
		check_taken(how, parts, taken);
	json_decref(taken);
	free(text);
	return 0;
}
