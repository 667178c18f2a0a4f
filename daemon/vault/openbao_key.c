// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Keys of OpenBao's transit engine
 *
 * For clear shares they are RSA keys with versions, each with a public key of its
 * own: an envelope is bound to one of them by its fingerprint, and goes on to
 * open after the key was rotated, until the server no longer decrypts with that
 * version.  For sealed shares they are symmetric keys of 32 bytes, which the
 * server wraps for the kernel's transport key.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "../log.h"
#include "json.h"
#include "openbao.h"

/* RSA-OAEP of an AES key for RSA-3072, and 32 bytes in RFC 5649's wrap */
#define TRANSPORT_SIZE	384
#define WRAPPED_SIZE	(TRANSPORT_SIZE + 32 + 8)
#define PLAIN_MAX	64	/* what is as short is nothing wrapped */

static int read_data(struct bao *b, const char *path, json_t **body,
		     json_t **data)
{
	int err = bao_get(b, path, body);

	if (!err && !*body)
		err = vault_fail(-EKEYREJECTED, "%s: an answer without a body",
				 path);
	return err ?: need_object(*body, "data", data);
}

/* --- what the server says of a key --- */

static int read_key(struct bao *b, const char *name, json_t **body,
		    json_t **data)
{
	char path[BAO_PATH_SIZE];
	bool deleted = false;
	int err;

	snprintf(path, sizeof(path), "%s/keys/%s", b->conf.mount, name);
	err = read_data(b, path, body, data);
	if (!err)
		err = may_bool(*data, "soft_deleted", &deleted);
	if (!err && deleted)
		err = vault_fail(-ENOKEY, "key %s is deleted", name);
	return err;
}

static EVP_PKEY *read_pem(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	if (key && EVP_PKEY_is_a(key, "RSA") &&
	    EVP_PKEY_get_bits(key) >= 2048 && EVP_PKEY_get_bits(key) <= 4096)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

/* The public key of one version, as SubjectPublicKeyInfo and fingerprint. */
static int read_version(const json_t *versions, unsigned int version,
			struct bao_key *key)
{
	char number[16];
	json_t *entry = NULL;
	const char *pem = NULL;
	EVP_PKEY *pkey;
	uint8_t *out = key->spki;
	int len, err;

	snprintf(number, sizeof(number), "%u", version);
	err = need_object(versions, number, &entry) ?:
	      need_string(entry, "public_key", &pem);
	if (err)
		return err;
	pkey = read_pem(pem);
	len = pkey ? i2d_PUBKEY(pkey, NULL) : 0;
	if (len > 0 && (size_t)len <= sizeof(key->spki))
		len = i2d_PUBKEY(pkey, &out);
	else
		len = 0;
	EVP_PKEY_free(pkey);
	if (len <= 0)
		return vault_fail(-EKEYREJECTED, "key %s: the public key of version %u is not RSA of 2048 to 4096 bits in PEM",
				  key->name, version);
	key->version = version;
	key->spki_len = len;
	return sha256(key->spki, len, key->fingerprint) ?
	       vault_fail(-EAGAIN, "cannot compute SHA-256") : 0;
}

/* Goes by what is there: the numbers are the server's, and may be any. */
static int find_version(json_t *versions, unsigned int least,
			unsigned int latest, const uint8_t *fingerprint,
			struct bao_key *key)
{
	char hex[FINGERPRINT_HEX], *end;
	const char *number;
	json_t *entry;
	int err;

	json_object_foreach(versions, number, entry) {
		unsigned long version = strtoul(number, &end, 10);

		if (*end || version < least || version > latest)
			continue;
		err = read_version(versions, version, key);
		if (err || !memcmp(key->fingerprint, fingerprint,
				   sizeof(key->fingerprint)))
			return err;
	}
	hex_encode(hex, fingerprint, FINGERPRINT_SIZE);
	return vault_fail(-ENOKEY, "key %s: none of its versions that may decrypt, from %u to %u, is the one that the envelope names, %s",
			  key->name, least, latest, hex);
}

static int read_rsa_key(struct bao *b, const json_t *data,
			const uint8_t *fingerprint, struct bao_key *key)
{
	json_t *versions = NULL;
	json_int_t latest = 0, least = 0;
	const char *type = NULL;
	unsigned int version = b->conf.version;
	int err = need_string(data, "type", &type);

	if (!err && strncmp(type, "rsa-", 4))
		return vault_fail_here("key %s is of the type %.40s; a clear share needs rsa-2048, rsa-3072 or rsa-4096",
				       key->name, type);
	if (!err)
		err = need_object(data, "keys", &versions) ?:
		      need_integer(data, "latest_version", &latest) ?:
		      need_integer(data, "min_decryption_version", &least);
	if (err)
		return err;
	if (least < 1)
		least = 1;
	if (latest < least || latest > INT32_MAX)
		return vault_fail(-EKEYREJECTED, "key %s has no version",
				  key->name);
	if (fingerprint)
		return find_version(versions, least, latest, fingerprint, key);
	version = version ?: latest;
	if (version > latest)
		return vault_fail_here("key %s has no version %u",
				       key->name, version);
	if (version < least)
		return vault_fail(-ENOKEY, "key %s may not decrypt with version %u, only from %u on",
				  key->name, version, (unsigned int)least);
	return read_version(versions, version, key);
}

static int read_symmetric_key(const struct bao *b, const json_t *data,
			      struct bao_key *key)
{
	static const char *const types[] = {
		"aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305",
	};
	const char *type = NULL;
	bool exportable = false;
	size_t i;
	int err = need_string(data, "type", &type) ?:
		  may_bool(data, "exportable", &exportable);

	if (err)
		return err;
	for (i = 0; i < ARRAY_SIZE(types) && strcmp(type, types[i]); i++)
		;
	if (i == ARRAY_SIZE(types))
		return vault_fail_here("key %s is of the type %.40s; a sealed share needs aes256-gcm96",
				       key->name, type);
	if (!exportable)
		return vault_fail(-ENOKEY, "key %s is not exportable",
				  key->name);
	key->version = b->conf.version;
	return 0;
}

int bao_key_find(struct bao *b, const char *name, const uint8_t *fingerprint,
		 bool fresh)
{
	struct bao_key key = { .version = 0 };
	json_t *body = NULL, *data;
	int err;

	name = *name ? name : b->conf.key;
	if (!fresh && !strcmp(b->key.name, name) &&
	    (!b->key.spki_len || (fingerprint &&
	     !memcmp(fingerprint, b->key.fingerprint, FINGERPRINT_SIZE))))
		return 0;
	b->key = key;
	if (!openbao_name_ok(name))
		return vault_fail_here("not the name of a key: %.80s", name);
	copy_text(key.name, sizeof(key.name), name);
	err = read_key(b, name, &body, &data);
	if (!err)
		err = *b->conf.host_key ? read_symmetric_key(b, data, &key) :
		      read_rsa_key(b, data, fingerprint, &key);
	if (!err)
		b->key = key;
	json_decref(body);
	return err;
}

/* --- clear --- */

static json_t *decrypt_body(const struct bao_key *key, const uint8_t *in,
			    size_t len)
{
	char text[BASE64_SIZE(CIPHERTEXT_MAX)];

	base64_encode(BASE64_STD, in, len, text);
	return json_pack("{s:o}", "ciphertext",
			 json_sprintf("vault:v%u:%s", key->version, text));
}

int bao_key_decrypt(struct bao *b, const uint8_t *in, size_t len,
		    uint8_t secret[SHARE_SECRET_SIZE])
{
	char path[BAO_PATH_SIZE];
	json_t *body = NULL, *data = NULL;
	ssize_t got = 0;
	int err;

	snprintf(path, sizeof(path), "%s/decrypt/%s", b->conf.mount,
		 b->key.name);
	err = bao_post(b, path, decrypt_body(&b->key, in, len), &body) ?:
	      need_object(body, "data", &data);
	if (!err)
		got = need_bytes(data, "plaintext", BASE64_STD, secret,
				 SHARE_SECRET_SIZE);
	if (!err && got < 0)
		err = got;
	if (!err && got != SHARE_SECRET_SIZE)
		err = vault_fail(-EKEYREJECTED, "%s gave %zd bytes and not %d",
				 path, got, SHARE_SECRET_SIZE);
	json_decref(body);
	/* What was remembered of the key may be what was wrong. */
	if (err)
		b->key = (struct bao_key){ .version = 0 };
	return err;
}

static int encrypt(const struct bao_key *key, const uint8_t *in, size_t in_len,
		   uint8_t *out, size_t *len)
{
	const uint8_t *p = key->spki;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &p, key->spki_len);
	EVP_PKEY_CTX *ctx = pkey ? EVP_PKEY_CTX_new(pkey, NULL) : NULL;
	int ok = ctx && EVP_PKEY_encrypt_init(ctx) == 1 &&
		 EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
		 EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
		 EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 &&
		 EVP_PKEY_encrypt(ctx, out, len, in, in_len) == 1;

	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return ok ? 0 : vault_fail(-EAGAIN, "cannot encrypt a value to try the key with");
}

int bao_key_try(struct bao *b)
{
	uint8_t value[SHARE_SECRET_SIZE], back[SHARE_SECRET_SIZE];
	uint8_t in[CIPHERTEXT_MAX];
	size_t len = sizeof(in);
	int err;

	if (RAND_bytes(value, sizeof(value)) != 1)
		return vault_fail(-EAGAIN, "cannot make a value to try the key with");
	err = encrypt(&b->key, value, sizeof(value), in, &len);
	if (!err)
		err = bao_key_decrypt(b, in, len, back);
	if (!err && memcmp(value, back, sizeof(value)))
		err = vault_fail(-EKEYREJECTED, "it decrypts to another value");
	return err;
}

/* --- sealed --- */

int bao_host_key_check(struct bao *b, const struct release_request *request)
{
	struct bao_key host = { .version = 0 };
	json_t *body = NULL, *data, *versions = NULL;
	json_int_t latest = 0;
	int err;

	copy_text(host.name, sizeof(host.name), b->conf.host_key);
	err = read_key(b, host.name, &body, &data) ?:
	      need_object(data, "keys", &versions) ?:
	      need_integer(data, "latest_version", &latest);
	if (!err)
		err = read_version(versions, latest, &host);
	json_decref(body);
	if (err)
		return err;
	if (!request || (host.spki_len == request->transport_len &&
			 !memcmp(host.spki, request->transport, host.spki_len)))
		return 0;
	return vault_fail_here("host key %s is not this kernel's transport key, which is made anew at each boot unless it is kept; have it imported: see \"vaultring transport show\"",
			       host.name);
}

/* One version, and a ciphertext: anything else is not what was asked for. */
static int take_wrapped(const struct bao *b, const char *path,
			const json_t *data, struct release *out)
{
	json_t *keys = NULL;
	const char *version;
	ssize_t len;
	int err = need_object(data, "keys", &keys);

	if (err)
		return err;
	version = json_object_iter_key(json_object_iter(keys));
	if (json_object_size(keys) != 1)
		return vault_fail(-EKEYREJECTED, "%s gave %zu keys and not one",
				  path, json_object_size(keys));
	len = need_bytes(keys, version, BASE64_STD, out->wrapped,
			 sizeof(out->wrapped));
	if (len < 0)
		return len;
	if (len && len <= PLAIN_MAX)
		log_err("%s gave key %s in the clear: do not use it any more",
			b->conf.server, b->key.name);
	if (len != WRAPPED_SIZE) {
		explicit_bzero(out->wrapped, sizeof(out->wrapped));
		return vault_fail(-EKEYREJECTED, "%s gave %zd bytes, where a key of 32 bytes wrapped for RSA-3072 has %d",
				  path, len, WRAPPED_SIZE);
	}
	out->len = len;
	out->hash = "sha256";
	return 0;
}

int bao_key_export(struct bao *b, struct release *out)
{
	char path[BAO_PATH_SIZE], version[16] = "latest";
	json_t *body = NULL, *data;
	int err;

	if (b->key.version)
		snprintf(version, sizeof(version), "%u", b->key.version);
	snprintf(path, sizeof(path), "%s/byok-export/%s/%s/%s?hash=SHA256",
		 b->conf.mount, b->conf.host_key, b->key.name, version);
	err = read_data(b, path, &body, &data);
	*strchr(path, '?') = 0;
	if (!err)
		err = take_wrapped(b, path, data, out);
	json_decref(body);
	return err;
}
