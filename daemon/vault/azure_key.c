// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Azure: the versions of a key
 *
 * A request names a public key by its fingerprint, and the vault its versions by
 * names of its own.  Which is which is found by reading the newest, then the
 * others, and remembered: it does not change.  A symmetric key has no public
 * half: there the vault's name for the version is what it is known by.  That a
 * version is disabled or expired is the vault's word, but unwrapping with an
 * expired one is left to us to refuse: Azure does it.
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "azure.h"
#include "json.h"

#define KEYS_MAX	32	/* remembered with all that they are */
#define VERSIONS_MAX	1024	/* with their fingerprints */
#define PAGES_MAX	40
#define RSA_MIN		256	/* bytes */
#define RSA_MAX		512
#define IDENTITY_MAX	512

static struct azure_key keys[KEYS_MAX];
static size_t n_keys, next_key;

/* Each version that was read: a search goes on where the last one had to end. */
static struct {
	struct azure_ref ref;
	uint8_t fingerprint[FINGERPRINT_SIZE];
} versions[VERSIONS_MAX];
static size_t n_versions, next_version;

void azure_key_forget(void)
{
	n_keys = 0;
	next_key = 0;
	n_versions = 0;
	next_version = 0;
}

static struct azure_key *remembered(const char *name, const char *version)
{
	size_t i;

	for (i = 0; i < n_keys; i++)
		if (!strcmp(keys[i].name, name) &&
		    !strcmp(keys[i].version, version))
			return &keys[i];
	return NULL;
}

/* NULL: it was not read, or not yet. */
static const uint8_t *fingerprint_of(const char *name, const char *version)
{
	size_t i;

	for (i = 0; i < n_versions; i++)
		if (!strcmp(versions[i].ref.name, name) &&
		    !strcmp(versions[i].ref.version, version))
			return versions[i].fingerprint;
	return NULL;
}

static const char *version_of(const char *name, const uint8_t *fingerprint)
{
	size_t i;

	for (i = 0; i < n_versions; i++)
		if (!strcmp(versions[i].ref.name, name) &&
		    !memcmp(versions[i].fingerprint, fingerprint,
			    FINGERPRINT_SIZE))
			return versions[i].ref.version;
	return NULL;
}

static void remember_version(const struct azure_key *key)
{
	size_t i = n_versions;

	if (fingerprint_of(key->name, key->version))
		return;
	if (n_versions < VERSIONS_MAX)
		n_versions++;
	else
		i = next_version++ % VERSIONS_MAX;
	memcpy(versions[i].ref.name, key->name, AZURE_NAME_SIZE);
	memcpy(versions[i].ref.version, key->version, AZURE_NAME_SIZE);
	memcpy(versions[i].fingerprint, key->fingerprint, FINGERPRINT_SIZE);
}

/* The oldest makes room. */
static struct azure_key *remember(const struct azure_key *key)
{
	struct azure_key *k = remembered(key->name, key->version);

	remember_version(key);
	if (!k && n_keys < KEYS_MAX)
		k = &keys[n_keys++];
	if (!k)
		k = &keys[next_key++ % KEYS_MAX];
	*k = *key;
	return k;
}

/* --- what a key is --- */

int azure_kid_check(const char *kid, const char *name, char *version)
{
	char host[sizeof(azure.host)];
	const char *path = NULL;
	size_t len = strlen(name);

	if (http_host(kid, host, sizeof(host)))
		path = strchr(kid + strlen("https://"), '/');
	/* Names are of either case, and a vault's copy has the key's old host. */
	if (!path || strncmp(path, "/keys/", 6) ||
	    strncasecmp(path + 6, name, len) || path[6 + len] != '/' ||
	    !azure_word_ok(path + 7 + len, "") ||
	    !copy_text(version, AZURE_NAME_SIZE, path + 7 + len))
		return vault_fail(-EKEYREJECTED, "asked about key %s, it answered about %.200s",
				  name, kid);
	return 0;
}

static EVP_PKEY *make_rsa(const uint8_t *n, size_t n_len, const uint8_t *e,
			  size_t e_len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *bn_n = BN_bin2bn(n, n_len, NULL);
	BIGNUM *bn_e = BN_bin2bn(e, e_len, NULL);
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;

	if (ctx && build && bn_n && bn_e &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn_n) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, bn_e))
		params = OSSL_PARAM_BLD_to_param(build);
	if (!params || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	OSSL_PARAM_free(params);
	BN_free(bn_e);
	BN_free(bn_n);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

/* n has 2048 to 4096 bits, e is the usual one or another that fits. */
static bool rsa_ok(const uint8_t *n, ssize_t n_len, const uint8_t *e,
		   ssize_t e_len)
{
	return n_len >= RSA_MIN && n_len <= RSA_MAX && n[0] & 0x80 &&
	       n[n_len - 1] & 1 && e_len >= 3 && e_len <= 4 && e[0] &&
	       e[e_len - 1] & 1;
}

static int read_spki(const json_t *jwk, struct azure_key *key)
{
	uint8_t n[RSA_MAX + 1], e[8], *p = key->spki;
	ssize_t n_len, e_len;
	EVP_PKEY *rsa;
	int len;

	n_len = need_bytes(jwk, "n", BASE64_URL, n, sizeof(n));
	if (n_len < 0)
		return n_len;
	/* Java writes a number whose first bit is set with a zero before it. */
	if (n_len > 1 && !n[0])
		memmove(n, n + 1, --n_len);
	e_len = need_bytes(jwk, "e", BASE64_URL, e, sizeof(e));
	if (e_len < 0)
		return e_len;
	if (!rsa_ok(n, n_len, e, e_len))
		return vault_fail(-EKEYREJECTED, "key %s has no RSA modulus of 2048 to 4096 bits, or an odd exponent",
				  key->name);
	rsa = make_rsa(n, n_len, e, e_len);
	len = rsa ? i2d_PUBKEY(rsa, NULL) : -1;
	if (len > 0 && len <= SPKI_MAX)
		key->spki_len = i2d_PUBKEY(rsa, &p);
	EVP_PKEY_free(rsa);
	if (!key->spki_len || sha256(key->spki, key->spki_len, key->fingerprint))
		return vault_fail(-EKEYREJECTED, "OpenSSL takes key %s for no RSA key",
				  key->name);
	return 0;
}

/*
 * Names are of either case, and mean the same key.  The version is the vault's, and
 * never used again.
 */
static int make_identity(struct azure_key *key)
{
	char *at = (char *)key->spki;
	int len = snprintf(at, SPKI_MAX, "https://%s/keys/%s/%s", azure.host,
			   key->name, key->version);

	if (len > IDENTITY_MAX)
		return vault_fail(-EKEYREJECTED, "key %s has a name that is too long",
				  key->name);
	for (; *at; at++)
		*at = tolower((unsigned char)*at);
	key->symmetric = true;
	key->spki_len = len;
	if (sha256(key->spki, key->spki_len, key->fingerprint))
		return vault_fail(-EAGAIN, "cannot compute SHA-256");
	return 0;
}

static int read_operations(const json_t *jwk, struct azure_key *key)
{
	json_t *list, *op;
	const char *text;
	int err = need_array(jwk, "key_ops", &list);
	size_t i;

	if (err)
		return err;
	json_array_foreach(list, i, op) {
		text = json_string_value(op) ?: "";
		key->wraps |= !strcmp(text, "wrapKey");
		key->unwraps |= !strcmp(text, "unwrapKey");
		key->releases |= !strcmp(text, "release");
	}
	return 0;
}

static int read_attributes(const json_t *bundle, struct azure_key *key)
{
	json_t *attributes;

	key->enabled = true;
	return need_object(bundle, "attributes", &attributes) ?:
	       may_bool(attributes, "enabled", &key->enabled) ?:
	       may_integer(attributes, "nbf", &key->not_before) ?:
	       may_integer(attributes, "exp", &key->expires);
}

/* A KeyBundle; what is of another type is no error before it is used. */
static int read_bundle(const json_t *bundle, struct azure_key *key)
{
	const char *kid, *kty;
	json_t *jwk;
	int err = need_object(bundle, "key", &jwk) ?:
		  need_string(jwk, "kid", &kid) ?:
		  azure_kid_check(kid, key->name, key->version) ?:
		  need_string(jwk, "kty", &kty) ?:
		  read_operations(jwk, key) ?:
		  read_attributes(bundle, key);

	if (err)
		return err;
	snprintf(key->kty, sizeof(key->kty), "%s", kty);
	if (!strcmp(kty, "RSA") || !strcmp(kty, "RSA-HSM"))
		return read_spki(jwk, key);
	return strcmp(kty, "oct-HSM") ? 0 : make_identity(key);
}

/* May it be used, by its attributes? */
static int check(const struct azure_key *key)
{
	time_t now = azure_now();

	if (!key->enabled)
		return azure_no("version %s of key %s is disabled",
				key->version, key->name);
	if (key->not_before && now < key->not_before)
		return azure_no("version %s of key %s is not valid for %lld s yet",
				key->version, key->name,
				(long long)(key->not_before - now));
	if (key->expires && now >= key->expires)
		return azure_no("version %s of key %s expired %lld s ago",
				key->version, key->name,
				(long long)(now - key->expires));
	if (azure.method == AZURE_SEALED)
		return key->releases ? 0 :
		       azure_no("version %s of key %s may not be released; it needs a release policy and the operation release",
				key->version, key->name);
	if (!key->spki_len)
		return azure_no("key %s is of type %s, not RSA, RSA-HSM or oct-HSM",
				key->name, key->kty);
	if (!key->unwraps)
		return azure_no("version %s of key %s may not unwrap; it needs the operation unwrapKey",
				key->version, key->name);
	return 0;
}

/* --- asking --- */

/* Of a key that is not there: is it deleted, and until when can it come back? */
static int tell_deleted(const char *name)
{
	struct azure_answer answer;
	json_int_t purged = 0;
	char path[300], when[32] = "it is purged";
	struct tm tm;
	time_t at;
	int err;

	snprintf(path, sizeof(path), "/deletedkeys/%s?api-version=" AZURE_API,
		 name);
	if (!azure_call(path, NULL, &answer) &&
	    !may_integer(answer.json, "scheduledPurgeDate", &purged)) {
		at = purged;
		if (purged && gmtime_r(&at, &tm))
			strftime(when, sizeof(when), "%Y-%m-%d %H:%M UTC", &tm);
		err = azure_no("key %s is deleted; until %s it can be recovered: az keyvault key recover --name %s",
			       name, when, name);
	} else {
		err = azure_no("%s has no key %s, or not that version of it; what it has deleted does not name it, or is not ours to see",
			       azure.host, name);
	}
	azure_answer_free(&answer);
	return err;
}

/* gone: the vault says that there is no such version. */
static int get_version(const char *name, const char *version, bool *gone,
		       struct azure_key **out)
{
	struct azure_key key = { .spki_len = 0 };
	struct azure_answer answer;
	char path[400];
	int err;

	copy_text(key.name, sizeof(key.name), name);
	snprintf(path, sizeof(path), "/keys/%s%s%s?api-version=" AZURE_API, name,
		 *version ? "/" : "", version);
	err = azure_call(path, NULL, &answer);
	if (!err)
		err = read_bundle(answer.json, &key);
	if (!err && *version && strcmp(key.version, version))
		err = vault_fail(-EKEYREJECTED, "asked for version %s of key %s, it answered with version %s",
				 version, name, key.version);
	if (!err)
		*out = remember(&key);
	*gone = err == -ENOKEY && answer.status == 404;
	azure_answer_free(&answer);
	return err;
}

static int get_named(const char *name, const char *version,
		     struct azure_key **out)
{
	bool gone;
	int err = get_version(name, version, &gone, out);

	return gone ? tell_deleted(name) : err;
}

static bool is_ours(const char *link)
{
	char host[sizeof(azure.host)], own[sizeof(azure.host)];
	size_t i;

	if (!http_host(link, host, sizeof(host)))
		return false;
	for (i = 0; i < azure.vault.n; i++)
		if (http_host(azure.vault.url[i], own, sizeof(own)) &&
		    !strcmp(host, own))
			return true;
	return false;
}

/* The path of a nextLink, which must lead back to the same vault. */
static int take_link(const json_t *page, char *path, size_t size)
{
	const char *link = NULL, *rest;
	int err = may_string(page, "nextLink", &link);

	*path = 0;
	if (err || !link || !*link)
		return err;
	rest = is_ours(link) ? strchr(link + strlen("https://"), '/') : NULL;
	/* RFC 3986, without a fragment */
	if (!rest || strncmp(rest, "/keys/", 6) ||
	    !azure_word_ok(rest, "-._~:/?@!$&'()*+,;=%") ||
	    !copy_text(path, size, rest))
		return vault_fail(-EKEYREJECTED, "its list of versions goes on elsewhere: %.200s",
				  link);
	return 0;
}

/*
 * Reads those of a page that are not known; stops at the one that is wanted.  What
 * is gone in the meantime is not it; any other no ends the search, which then says
 * nothing of the one that is wanted.
 */
static int search_page(const json_t *page, const char *name,
		       const uint8_t *fingerprint, struct azure_key **found)
{
	char version[AZURE_NAME_SIZE];
	const uint8_t *known;
	struct azure_key *key;
	json_t *list, *item;
	const char *kid;
	bool gone;
	size_t i;
	int err = need_array(page, "value", &list);

	if (err)
		return err;
	json_array_foreach(list, i, item) {
		err = need_string(item, "kid", &kid) ?:
		      azure_kid_check(kid, name, version);
		if (err)
			return err;
		known = fingerprint_of(name, version);
		if (known && memcmp(known, fingerprint, FINGERPRINT_SIZE))
			continue;
		err = get_version(name, version, &gone, &key);
		if (gone)
			continue;
		if (err)
			return err;
		if (!memcmp(key->fingerprint, fingerprint, FINGERPRINT_SIZE)) {
			*found = key;
			return 0;
		}
	}
	return 0;
}

/* A right of its own, which who has those to read and use a key may lack. */
static int get_list(const char *name, const char *path,
		    struct azure_answer *answer)
{
	int err = azure_call(path, NULL, answer);

	if (err == -ENOKEY && answer->status == 403)
		err = vault_fail_here("key %s was rotated; to find the version that the envelope names takes the right to list keys, which %s refuses",
				      name, azure.host);
	return err;
}

/* *found stays as it is when no version has that fingerprint. */
static int search_versions(const char *name, const uint8_t *fingerprint,
			   struct azure_key **found)
{
	struct azure_key *match = NULL;
	struct azure_answer answer;
	char path[1500];
	int err = 0, pages;

	snprintf(path, sizeof(path), "/keys/%s/versions?api-version=" AZURE_API,
		 name);
	for (pages = 0; !err && !match && *path; pages++) {
		if (pages == PAGES_MAX)
			return vault_fail(-EKEYREJECTED, "its list of versions of key %s does not end",
					  name);
		err = get_list(name, path, &answer);
		if (!err)
			err = search_page(answer.json, name, fingerprint, &match);
		if (!err)
			err = take_link(answer.json, path, sizeof(path));
		azure_answer_free(&answer);
	}
	if (match)
		*found = match;
	return err;
}

/* *asked: it comes from the vault, not from memory. */
static int find(const struct azure_ref *ref, bool fresh, bool *asked,
		struct azure_key **key)
{
	/* A sealed one has no fingerprint that we could know. */
	const uint8_t *wanted = azure.method == AZURE_SEALED ? NULL :
				vault_wanted();
	const char *name = ref->name, *version = ref->version;
	static struct azure_key newest;
	char known[AZURE_NAME_SIZE];
	int err;

	if (!*version && wanted)
		version = version_of(name, wanted) ?: "";
	*key = *version && !fresh ? remembered(name, version) : NULL;
	*asked = !*key;
	if (*key)
		return 0;
	copy_text(known, sizeof(known), version);
	err = get_named(name, known, key);
	/* A version that is named means no other. */
	if (err || !wanted || *ref->version ||
	    !memcmp((*key)->fingerprint, wanted, FINGERPRINT_SIZE))
		return err;
	/* The search may forget it. */
	newest = **key;
	*key = &newest;
	return search_versions(name, wanted, key);
}

int azure_key_find(const struct azure_ref *ref, bool fresh,
		   const struct azure_key **out)
{
	struct azure_key *key = NULL;
	bool asked;
	int err = find(ref, fresh, &asked, &key) ?: check(key);

	/* It may have been changed since, as may the clock have been wrong. */
	if (err && !asked)
		err = find(ref, true, &asked, &key) ?: check(key);
	*out = key;
	return err;
}
