/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fixture of the tests about clear and sealed shares: a vault's side of
 * both methods, by OpenSSL, and its arithmetic for answers that are wrong.
 */
#ifndef SHARES_FIXTURE_H
#define SHARES_FIXTURE_H

#define OPENSSL_SUPPRESS_DEPRECATED
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "vr_test.h"

#define RSA_SIZE	384		/* of the transport key */
#define KEY_SIZE	32
#define WRAP_SIZE	(RSA_SIZE + KEY_SIZE + 8)
#define SECRET_SIZE	32
#define SHARES		VAULTRING_MAX_SHARES

/* What a share is made for. */
struct share_spec {
	uint32_t method, hash;
	uint8_t data[VAULTRING_MAX_PUBLIC_KEY];	/* or the answer */
	size_t len;
	uint8_t fingerprint[32];
	/* Of a symmetric vault key, or NULL; the answer is a secret then. */
	const char *identity;
	uint8_t wrapped[64];
	size_t wrapped_len;
};

/*
 * An RSA key of as many small primes as it takes: made in no time.  OpenSSL has
 * nothing to do with it but the numbers.
 */
struct rsa_vault {
	BIGNUM *n, *d;
	int bits;
	struct share_spec spec;
};

struct transport {
	EVP_PKEY *key;
	BIGNUM *n;
	uint8_t spki[VAULTRING_MAX_PUBLIC_KEY];
	size_t len;
};

/* --- the kernel --- */

static inline int transport_get(int nl, struct nl_reply *r)
{
	struct nl_msg m;

	nl_start(&m, VAULTRING_CMD_TRANSPORT_GET, 0);
	return nl_call(nl, &m, r);
}

/* Waits while it is made; in a guest, on a debug kernel, that is minutes. */
static inline int transport_wait(int nl, struct transport *t)
{
	const uint8_t *at = t->spki;
	int left = patience(120) * 10, err;
	struct nl_reply r;

	while ((err = transport_get(nl, &r)) == -EAGAIN && left--)
		usleep(100000);
	if (err)
		return err;
	t->len = r.attr_len[VAULTRING_A_TRANSPORT_KEY];
	if (!t->len || t->len > sizeof(t->spki))
		return -EMSGSIZE;
	memcpy(t->spki, r.attr[VAULTRING_A_TRANSPORT_KEY], t->len);
	t->key = d2i_PUBKEY(NULL, &at, t->len);
	t->n = NULL;
	return t->key && at == t->spki + t->len &&
	       EVP_PKEY_get_bn_param(t->key, OSSL_PKEY_PARAM_RSA_N, &t->n) ==
	       1 ? 0 : -EINVAL;
}

static inline void put_spec(struct nl_msg *m, const struct share_spec *s)
{
	size_t nest = nl_nest(m, VAULTRING_A_SHARE);

	nl_put_u32(m, VAULTRING_A_SHARE_METHOD, s->method);
	nl_put_text(m, VAULTRING_A_SHARE_VAULT, "test");
	nl_put(m, s->method == VAULTRING_METHOD_SEALED || s->identity ?
	       VAULTRING_A_SHARE_ANSWER : VAULTRING_A_SHARE_PUBLIC_KEY,
	       s->data, s->len);
	if (s->identity) {
		nl_put_text(m, VAULTRING_A_SHARE_IDENTITY, s->identity);
		nl_put(m, VAULTRING_A_SHARE_CHALLENGE, s->wrapped,
		       s->wrapped_len);
	}
	if (s->hash)
		nl_put_u32(m, VAULTRING_A_SHARE_HASH, s->hash);
	nl_nest_end(m, nest);
}

static inline int create(int nl, const struct share_spec *const *specs, int n,
			 int k, struct kek *kek, struct nl_reply *r)
{
	static unsigned int count;
	struct nl_msg m;
	int i, err;

	snprintf(kek->name, sizeof(kek->name), "s-%d-%u", getpid(), ++count);
	nl_start(&m, VAULTRING_CMD_KEK_CREATE, 0);
	nl_put_text(&m, VAULTRING_A_NAME, kek->name);
	nl_put_u32(&m, VAULTRING_A_THRESHOLD, k);
	for (i = 0; i < n; i++)
		put_spec(&m, specs[i]);
	err = nl_call(nl, &m, r);
	if (err)
		return err;
	kek->envelope_len = r->attr_len[VAULTRING_A_ENVELOPE];
	if (kek->envelope_len > sizeof(kek->envelope) ||
	    r->attr_len[VAULTRING_A_ID] != sizeof(kek->id))
		return -ENOMSG;
	memcpy(kek->envelope, r->attr[VAULTRING_A_ENVELOPE], kek->envelope_len);
	memcpy(kek->id, r->attr[VAULTRING_A_ID], sizeof(kek->id));
	return 0;
}

static inline int fingerprint_of(int nl, const void *data, size_t len,
				 uint32_t hash, struct nl_reply *r)
{
	struct nl_msg m;
	size_t nest;

	nl_start(&m, VAULTRING_CMD_SEALED_FINGERPRINT, 0);
	nest = nl_nest(&m, VAULTRING_A_SHARE);
	nl_put(&m, VAULTRING_A_SHARE_ANSWER, data, len);
	if (hash)
		nl_put_u32(&m, VAULTRING_A_SHARE_HASH, hash);
	nl_nest_end(&m, nest);
	return nl_call(nl, &m, r);
}

static inline int pin_specs(int nl, const struct share_spec *const *specs, int n)
{
	struct soft_vault pins[SHARES];
	int i;

	for (i = 0; i < n; i++)
		memcpy(pins[i].fingerprint, specs[i]->fingerprint, 32);
	return pins_set_all(nl, pins, n, NULL, NULL);
}

static inline int state_of(int err, const struct nl_reply *r)
{
	if (err)
		return err;
	if (nl_u32(r, VAULTRING_A_STATE) == VAULTRING_KEK_STATE_ACTIVE)
		return 0;
	return r->attr[VAULTRING_A_UNSEAL] ? 1 : -ENOMSG;
}

/* What the test that has these says to the kernel, by its nl, kek and r. */
#define CREATE(k, ...) ({						\
	const struct share_spec *specs[] = { __VA_ARGS__ };		\
	create(self->nl, specs, sizeof(specs) / sizeof(specs[0]), k,	\
	       &self->kek, &self->r); })
#define PIN(...) ({							\
	const struct share_spec *specs[] = { __VA_ARGS__ };		\
	pin_specs(self->nl, specs, sizeof(specs) / sizeof(specs[0])); })
#define START() unseal_start(self->nl, self->kek.envelope,		\
			     self->kek.envelope_len, 0, &self->r)
#define ID() nl_u64(&self->r, VAULTRING_A_UNSEAL)
#define HELD() kek_held(self->nl, self->kek.id)

/* --- sealed --- */

static inline const EVP_MD *md_of(uint32_t hash)
{
	return hash == VAULTRING_HASH_SHA384 ? EVP_sha384() : EVP_sha256();
}

static inline int hkdf(const uint8_t *key, const char *info, uint8_t *out)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string("digest", "SHA256", 0),
		OSSL_PARAM_construct_octet_string("key", (void *)key, KEY_SIZE),
		OSSL_PARAM_construct_octet_string("info", (void *)info,
						  strlen(info)),
		OSSL_PARAM_construct_end(),
	};
	int good = EVP_KDF_derive(ctx, out, 32, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return good ? 0 : -EINVAL;
}

/* RFC 5649; the size, or a negative errno */
static inline int kwp(const uint8_t *kek, const uint8_t *key, int len,
		      uint8_t *out)
{
	EVP_CIPHER *alg = EVP_CIPHER_fetch(NULL, "AES-256-WRAP-PAD", NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0, last = 0, good;

	EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	good = EVP_EncryptInit_ex2(ctx, alg, kek, NULL, NULL) == 1 &&
	       EVP_EncryptUpdate(ctx, out, &n, key, len) == 1 &&
	       EVP_EncryptFinal_ex(ctx, out + n, &last) == 1;
	EVP_CIPHER_CTX_free(ctx);
	EVP_CIPHER_free(alg);
	return good ? n + last : -EINVAL;
}

/* As any vault would: by OpenSSL's OAEP. */
static inline int oaep(EVP_PKEY *key, uint32_t hash, const uint8_t *message,
		       size_t len, uint8_t *out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	size_t size = RSA_SIZE;
	int good = EVP_PKEY_encrypt_init(ctx) == 1 &&
		   EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
		   EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md_of(hash)) == 1 &&
		   EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md_of(hash)) == 1 &&
		   EVP_PKEY_encrypt(ctx, out, &size, message, len) == 1 &&
		   size == RSA_SIZE;

	EVP_PKEY_CTX_free(ctx);
	return good ? 0 : -EINVAL;
}

/* What a vault answers that holds @key. */
static inline int release(const struct transport *t, uint32_t hash,
			  const uint8_t *key, struct share_spec *spec)
{
	uint8_t kek[32];

	RAND_bytes(kek, sizeof(kek));
	memset(spec, 0, sizeof(*spec));
	spec->method = VAULTRING_METHOD_SEALED;
	spec->hash = hash;
	spec->len = WRAP_SIZE;
	if (oaep(t->key, hash, kek, sizeof(kek), spec->data) ||
	    kwp(kek, key, KEY_SIZE, spec->data + RSA_SIZE) != KEY_SIZE + 8)
		return -EINVAL;
	return hkdf(key, "vaultring sealed fingerprint v1", spec->fingerprint);
}

/* @em ^ 65537 modulo the transport key's n, whatever @em is */
static inline int raw_rsa(const struct transport *t, const uint8_t *em,
			  uint8_t *out)
{
	BIGNUM *m = BN_bin2bn(em, RSA_SIZE, NULL), *e = BN_new(), *c = BN_new();
	BN_CTX *ctx = BN_CTX_new();
	int good;

	BN_set_word(e, 65537);
	good = BN_mod_exp(c, m, e, t->n, ctx) == 1 &&
	       BN_bn2binpad(c, out, RSA_SIZE) == RSA_SIZE;
	BN_free(m);
	BN_free(e);
	BN_free(c);
	BN_CTX_free(ctx);
	return good ? 0 : -EINVAL;
}

/*
 * An encoding of which every field is the caller's: lHash || PS || 01 || M as
 * @db, and the first byte.
 */
static inline void encode(uint32_t hash, uint8_t first, uint8_t *db, uint8_t *em)
{
	const EVP_MD *md = md_of(hash);
	int i, hlen = EVP_MD_get_size(md), dblen = RSA_SIZE - 1 - hlen;
	uint8_t mask[RSA_SIZE];

	em[0] = first;
	RAND_bytes(em + 1, hlen);
	PKCS1_MGF1(mask, dblen, em + 1, hlen, md);
	for (i = 0; i < dblen; i++)
		em[1 + hlen + i] = db[i] ^ mask[i];
	PKCS1_MGF1(mask, hlen, em + 1 + hlen, dblen, md);
	for (i = 0; i < hlen; i++)
		em[1 + i] ^= mask[i];
}

/* A right one, to be spoilt; where its message begins. */
static inline int data_block(uint32_t hash, const uint8_t *message, int len,
			     uint8_t *db)
{
	const EVP_MD *md = md_of(hash);
	int hlen = EVP_MD_get_size(md), at = RSA_SIZE - 1 - hlen - len;

	memset(db, 0, RSA_SIZE);
	EVP_Digest("", 0, db, NULL, md, NULL);
	db[at - 1] = 1;
	memcpy(db + at, message, len);
	return at;
}

/* --- clear --- */

static inline size_t der_int(uint8_t *out, const BIGNUM *v)
{
	int len = BN_num_bytes(v), zero = BN_num_bits(v) % 8 == 0;
	size_t at = 0, size = len + zero;

	out[at++] = 2;
	if (size > 127)
		out[at++] = size > 255 ? 0x82 : 0x81;
	if (size > 255)
		out[at++] = size >> 8;
	out[at++] = size;
	if (zero)
		out[at++] = 0;
	BN_bn2bin(v, out + at);
	return at + len;
}

static inline size_t der_wrap(uint8_t *out, uint8_t tag, int bits,
			      const uint8_t *in, size_t len)
{
	size_t at = 0, size = len + bits;

	out[at++] = tag;
	if (size > 127)
		out[at++] = size > 255 ? 0x82 : 0x81;
	if (size > 255)
		out[at++] = size >> 8;
	out[at++] = size;
	if (bits)
		out[at++] = 0;
	memcpy(out + at, in, len);
	return at + len;
}

/* By hand: OpenSSL refuses to write some of what is to be refused. */
static inline void rsa_spki(struct share_spec *spec, const BIGNUM *n,
			    const BIGNUM *e)
{
	static const uint8_t algorithm[] = {
		0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
		0x01, 0x01, 0x01, 0x05, 0x00,
	};
	uint8_t a[1200], b[1200];
	size_t len;

	len = der_int(a, n);
	len += der_int(a + len, e);
	len = der_wrap(b, 0x30, 0, a, len);
	memcpy(a, algorithm, sizeof(algorithm));
	len = sizeof(algorithm) + der_wrap(a + sizeof(algorithm), 3, 1, b, len);
	memset(spec, 0, sizeof(*spec));
	spec->method = VAULTRING_METHOD_CLEAR;
	spec->len = der_wrap(spec->data, 0x30, 0, a, len);
	SHA256(spec->data, spec->len, spec->fingerprint);
}

/* Brings @n to @bits bits, exactly: about three quarters of 2^bits. */
static inline void last_prime(BIGNUM *p, const BIGNUM *n, int bits, BN_CTX *ctx)
{
	BIGNUM *some = BN_new();

	BN_set_word(p, 3);
	BN_lshift(p, p, bits - 2);
	BN_div(p, NULL, p, n, ctx);
	BN_rand(some, BN_num_bits(p) - 5, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY);
	BN_add(p, p, some);
	BN_set_bit(p, 0);
	while (BN_check_prime(p, ctx, NULL) != 1)
		BN_add_word(p, 2);
	BN_free(some);
}

static inline int rsa_vault_make(struct rsa_vault *v, int bits, unsigned long e)
{
	BIGNUM *p = BN_new(), *phi = BN_new(), *exponent = BN_new();
	BN_CTX *ctx = BN_CTX_new();

	BN_set_word(exponent, e);
	v->n = BN_new();
	v->d = NULL;
	v->bits = bits;
	while (!v->d) {
		BN_one(v->n);
		BN_one(phi);
		do {
			if (bits - BN_num_bits(v->n) > 192)
				BN_generate_prime_ex2(p, 96, 0, NULL, NULL,
						      NULL, ctx);
			else
				last_prime(p, v->n, bits, ctx);
			BN_mul(v->n, v->n, p, ctx);
			BN_sub_word(p, 1);
			BN_mul(phi, phi, p, ctx);
		} while (BN_num_bits(v->n) < bits);
		v->d = BN_mod_inverse(NULL, exponent, phi, ctx);
	}
	rsa_spki(&v->spec, v->n, exponent);
	BN_free(p);
	BN_free(phi);
	BN_free(exponent);
	BN_CTX_free(ctx);
	return BN_num_bits(v->n) == bits ? 0 : -EINVAL;
}

static inline void rsa_vault_free(struct rsa_vault *v)
{
	BN_free(v->n);
	BN_free(v->d);
}

/* The vault's decryption; OpenSSL takes the encoding apart. */
static inline int rsa_vault_unwrap(const struct rsa_vault *v, const uint8_t *in,
				   size_t len, uint8_t *secret)
{
	BIGNUM *c = BN_bin2bn(in, len, NULL), *m = BN_new();
	BN_CTX *ctx = BN_CTX_new();
	uint8_t em[VAULTRING_CLEAR_DATA_MAX];
	int size = (v->bits + 7) / 8, good;

	good = (int)len == size && BN_mod_exp(m, c, v->d, v->n, ctx) == 1 &&
	       BN_bn2binpad(m, em, size) == size &&
	       RSA_padding_check_PKCS1_OAEP_mgf1(secret, SECRET_SIZE, em, size,
						 size, NULL, 0, EVP_sha256(),
						 EVP_sha256()) == SECRET_SIZE;
	BN_free(c);
	BN_free(m);
	BN_CTX_free(ctx);
	return good ? 0 : -EINVAL;
}

#endif /* SHARES_FIXTURE_H */
