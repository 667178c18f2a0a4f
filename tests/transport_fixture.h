/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fixture of the test about keeping the transport key: what it says to the
 * kernel, the oracle, and a key of its own, sealed by OpenSSL.
 */
#ifndef TRANSPORT_FIXTURE_H
#define TRANSPORT_FIXTURE_H

#include <stddef.h>
#include <stdio.h>

#include "kselftest_harness.h"
#include "shares_fixture.h"

#define USE_BIT (1u << VAULTRING_USE_TRANSPORT)
#define AAD offsetof(struct vaultring_transport, primes)
#define PRIME_SIZE (RSA_SIZE / 2)

/* An RSA key of the test's, so that there are two. */
static const char other_p[] =
	"fd5dda30a84b8d6f54a0cdfbbf352bba8d2eb5c82c0289f45ae479db48b8a093"
	"4c79b1cd873fa6f1ada150894ec20e1cd2a06606a711cf4d448f2ebfaa48e705"
	"9c1375b52f2bbe746ffa349e7295017de40afeb9a7058716f14edd66915daa2c"
	"7e56b35430de3aa65104207a738711fd061d59e9fd71d3dc7273c7400f96b46c"
	"c72706aafbc3dea1ff6d1eeb253b2421c48568e369cff47f6ee04b70782cddb5"
	"16f59ba60e12d60bb73a9e778c4982ec3cd6539f6f4f6c9d87c68cb792e73bb3";

static const char other_q[] =
	"bb992cce713d6a814d60df10bd389195d4cc7f7050ae6e20e4063fa4d5d6f4be"
	"067f2ba079475a0ebc7a03c566a9c6de643984c9492d04f298ccb23f49c256ff"
	"2b70e9c01abe38363b61d12b23152ad73e0f4e32affab56d6a38eaa529cfdc97"
	"10c10871c2dec42e21b82f3bfd9703dc338e23777a31352659c9686964f6d4df"
	"e91e9fecb0986a46c2d7fcd458097702c091da663b830416c75bb41bfb91fd64"
	"66ec3db8812927d8024ae6f6d81c89a2d7145e246baca5be25edabf6dfb05347";

FIXTURE(transport)
{
	struct soft_vault vault;
	struct kek kek;
	struct transport t;
	struct vaultring_transport kept;
	struct nl_reply r;
	int nl;
};

static inline int save(int nl, const struct kek *kek,
		       struct vaultring_transport *kept, struct nl_reply *r)
{
	struct nl_msg m;
	int err;

	nl_start(&m, VAULTRING_CMD_TRANSPORT_SAVE, 0);
	nl_put(&m, VAULTRING_A_ID, kek->id, sizeof(kek->id));
	err = nl_call(nl, &m, r);
	if (err)
		return err;
	if (r->attr_len[VAULTRING_A_KEPT_TRANSPORT] != sizeof(*kept))
		return -ENOMSG;
	memcpy(kept, r->attr[VAULTRING_A_KEPT_TRANSPORT], sizeof(*kept));
	return 0;
}

static inline int load_bytes(int nl, const void *data, size_t len,
			     struct nl_reply *r)
{
	struct nl_msg m;

	nl_start(&m, VAULTRING_CMD_TRANSPORT_LOAD, 0);
	nl_put(&m, VAULTRING_A_KEPT_TRANSPORT, data, len);
	return nl_call(nl, &m, r);
}

#define SAVE(kek, out) save(self->nl, kek, out, &self->r)
#define LOAD(kept) load_bytes(self->nl, kept,				\
			      sizeof(struct vaultring_transport), &self->r)
#define UNSEAL() kek_unseal(self->nl, &self->vault, self->kek.envelope,	\
			    self->kek.envelope_len)

FIXTURE_SETUP(transport)
{
	struct kek_options o = { .uses = USE_BIT };

	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, own_session());
	ASSERT_EQ(0, soft_vault_make(&self->vault));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, NULL, NULL));
	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &self->kek));
	ASSERT_EQ(0, transport_wait(self->nl, &self->t));
	ASSERT_EQ(0, SAVE(&self->kek, &self->kept)) TH_LOG("%s", self->r.text);
}

/* The key is again what it was. */
FIXTURE_TEARDOWN(transport)
{
	if (!kek_held(self->nl, self->kek.id))
		EXPECT_EQ(0, UNSEAL());
	EXPECT_EQ(0, LOAD(&self->kept));
	kek_revoke(self->nl, &self->kek);
	pins_set(self->nl, NULL, NULL, NULL);
	soft_vault_free(&self->vault);
	EVP_PKEY_free(self->t.key);
	BN_free(self->t.n);
	close(self->nl);
}

/* Whether the kernel's key is that one. */
static inline int is_key(int nl, const BIGNUM *n)
{
	struct transport now;
	int same;

	if (transport_wait(nl, &now))
		return -1;
	same = !BN_cmp(now.n, n);
	EVP_PKEY_free(now.key);
	BN_free(now.n);
	return same;
}

/* What a vault with the key 1 released for that transport key opens. */
static inline int opens(int nl, const struct transport *t)
{
	struct share_spec spec;
	uint8_t key[KEY_SIZE] = { 1 };
	struct nl_reply r;

	if (release(t, 1, key, &spec))
		return 1;
	return fingerprint_of(nl, spec.data, spec.len, 1, &r);
}

/* --- the other side of the format --- */

static inline int put_file(const char *dir, const char *name, const void *data,
			   size_t len)
{
	char path[128];
	FILE *f;
	int bad;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	bad = !f || fwrite(data, 1, len, f) != len;
	return (f && fclose(f)) || bad;
}

/* A command of tests/oracle.py on the KEK and on what is kept, if it is. */
static inline int oracle(const struct soft_vault *v, const struct kek *kek,
			 const char *command,
			 const struct vaultring_transport *kept, char *out,
			 size_t size)
{
	char self[256], dir[] = "/tmp/transport-XXXXXX", key[64];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int status = -1;

	if (len < 0 || !mkdtemp(dir))
		return -1;
	self[len] = 0;
	*strrchr(self, '/') = 0;
	snprintf(key, sizeof(key), "%s/key", dir);
	if (!soft_vault_save(v, key) &&
	    !put_file(dir, "envelope", kek->envelope, kek->envelope_len) &&
	    (!kept || !put_file(dir, "kept", kept, sizeof(*kept))))
		status = run(out, size, "python3 %s/oracle.py %s %s/envelope %s %s%s",
			     self, command, dir, key, kept ? dir : "",
			     kept ? "/kept" : "");
	run(NULL, 0, "rm -r %s", dir);
	return status;
}

/* name=HEX of the oracle's output */
static inline int field(const char *out, const char *name, uint8_t *data,
			size_t len)
{
	const char *at = strstr(out, name);
	char hex[2 * RSA_SIZE + 1];

	if (!at || len > RSA_SIZE)
		return -1;
	memcpy(hex, at + strlen(name), 2 * len);
	hex[2 * len] = 0;
	return hex_to(hex, data, len);
}

static inline int key_of(const struct soft_vault *v, const struct kek *kek,
			 uint8_t key[32])
{
	char out[2048] = "";

	if (!oracle(v, kek, "verify", NULL, out, sizeof(out)) &&
	    !field(out, "\nkek=", key, 32))
		return 0;
	fprintf(stderr, "the oracle: %s\n", out);
	return -1;
}

/* By OpenSSL, as the kernel would. */
static inline int seal(const uint8_t key[32], const struct kek *kek,
		       const BIGNUM *n, const BIGNUM *p, const BIGNUM *q,
		       struct vaultring_transport *kept)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t plain[RSA_SIZE];
	int len, good;

	memset(kept, 0, sizeof(*kept));
	memcpy(kept->magic, "VRT1", 4);
	kept->version = 1;
	kept->wrap = 1;
	memcpy(kept->kek_id, kek->id, 16);
	RAND_bytes(kept->nonce, sizeof(kept->nonce));
	BN_bn2binpad(n, kept->modulus, RSA_SIZE);
	BN_bn2binpad(p, plain, PRIME_SIZE);
	BN_bn2binpad(q, plain + PRIME_SIZE, PRIME_SIZE);
	good = EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key,
				  kept->nonce) == 1 &&
	       EVP_EncryptUpdate(ctx, NULL, &len, (uint8_t *)kept, AAD) == 1 &&
	       EVP_EncryptUpdate(ctx, kept->primes, &len, plain,
				 RSA_SIZE) == 1 &&
	       EVP_EncryptFinal_ex(ctx, kept->primes + len, &len) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16,
				   kept->tag) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return good ? 0 : -1;
}

/* The test's own key, its product and what it is sealed. */
struct own {
	BIGNUM *p, *q, *n;
	uint8_t key[32];	/* the KEK */
	struct vaultring_transport kept;
};

static inline int own_make(const struct soft_vault *v, const struct kek *kek,
			   struct own *own)
{
	BN_CTX *ctx = BN_CTX_new();
	int err;

	own->p = own->q = NULL;
	own->n = BN_new();
	BN_hex2bn(&own->p, other_p);
	BN_hex2bn(&own->q, other_q);
	BN_mul(own->n, own->p, own->q, ctx);
	BN_CTX_free(ctx);
	err = key_of(v, kek, own->key);
	return err ? err : seal(own->key, kek, own->n, own->p, own->q,
				&own->kept);
}

static inline void own_free(struct own *own)
{
	BN_free(own->p);
	BN_free(own->q);
	BN_free(own->n);
}

#endif /* TRANSPORT_FIXTURE_H */
