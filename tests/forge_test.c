// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Forgeries by one who knows more than he should: a master secret or a KEK.
 * They pass every check but the one that is meant to stop them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <endian.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

#include "kselftest_harness.h"
#include "vr_test.h"

#define KEY_SIZE 32

/* HKDF-SHA256 without salt; returns 0 or -1. */
static int hkdf(const uint8_t *secret, const void *info, size_t info_len,
		uint8_t *out, size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM p[] = {
		OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret,
					KEY_SIZE),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, (void *)info,
					info_len),
		OSSL_PARAM_END
	};
	int ok = EVP_KDF_derive(ctx, out, len, p) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok ? 0 : -1;
}

/* The master secret of an envelope for a vault key that is ours. */
static int master_of(const struct soft_vault *v, const struct kek *kek,
		     uint8_t *master)
{
	const struct vaultring_envelope *head = (const void *)kek->envelope;
	const struct vaultring_share *share = (const void *)(head + 1);
	uint8_t info[18 + 1 + 32] = "vaultring share v1", secret[KEY_SIZE];
	int i;

	info[18] = share->index;
	memcpy(info + 19, head->salt, 32);
	if (soft_vault_exchange(v, (const uint8_t *)(share + 1), secret) ||
	    hkdf(secret, info, sizeof(info), master, KEY_SIZE))
		return -1;
	for (i = 0; i < KEY_SIZE; i++)
		master[i] ^= share->masked[i];
	return 0;
}

/* Make the HMAC right again. */
static int authenticate(struct kek *kek, const uint8_t *master)
{
	uint8_t key[KEY_SIZE];

	memset(kek->envelope + HMAC_OFFSET, 0, 32);
	if (hkdf(master, "vaultring envelope v1", 21, key, sizeof(key)))
		return -1;
	return HMAC(EVP_sha256(), key, sizeof(key), kek->envelope,
		    kek->envelope_len, kek->envelope + HMAC_OFFSET, NULL) ?
	       0 : -1;
}

/* A blob of a DEK of 32 bytes, sealed with the KEK itself. */
static int seal(const struct kek *kek, const uint8_t *master, uint8_t use,
		const uint8_t *plain, uint8_t *blob)
{
	struct vaultring_blob *b = (void *)blob;
	uint8_t info[16 + 64 + 4] = "vaultring kek v1", key[KEY_SIZE];
	const uint32_t version = htole32(1);
	size_t len = strlen(kek->name);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n, ok;

	memcpy(info + 16, kek->name, len);
	memcpy(info + 16 + len, &version, 4);
	if (hkdf(master, info, 16 + len + 4, key, sizeof(key)))
		return -1;
	memset(b, 0, sizeof(*b));
	memcpy(b->magic, VAULTRING_BLOB_MAGIC, 4);
	b->version = VAULTRING_BLOB_VERSION;
	b->wrap = VAULTRING_WRAP_AES256_GCM;
	b->use = use;
	b->dek_len = 32;
	memcpy(b->kek_id, kek->id, sizeof(b->kek_id));
	RAND_bytes(b->dek_id, sizeof(b->dek_id));
	RAND_bytes(b->nonce, sizeof(b->nonce));
	ok = EVP_EncryptInit_ex2(ctx, EVP_aes_256_gcm(), key, b->nonce,
				 NULL) == 1 &&
	     EVP_EncryptUpdate(ctx, NULL, &n, blob, 56) == 1 &&
	     EVP_EncryptUpdate(ctx, b->ciphertext, &n, plain, 64) == 1 &&
	     EVP_EncryptFinal_ex(ctx, b->tag, &n) == 1 &&
	     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, b->tag) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok ? 0 : -1;
}

FIXTURE(forge)
{
	struct soft_vault vault;
	struct kek kek;			/* for xts alone; created */
	uint8_t master[KEY_SIZE];
	struct vaultring_envelope *head;
	int nl;
};

FIXTURE_SETUP(forge)
{
	struct kek_options o = { .uses = 1 << VAULTRING_USE_XTS };

	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, own_session());
	ASSERT_EQ(0, soft_vault_make(&self->vault));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, NULL, NULL));
	ASSERT_EQ(0, kek_create(self->nl, &self->vault, &o, &self->kek));
	ASSERT_EQ(0, master_of(&self->vault, &self->kek, self->master));
	self->head = (void *)self->kek.envelope;
}

FIXTURE_TEARDOWN(forge)
{
	kek_revoke(self->nl, &self->kek);
	pins_set(self->nl, NULL, NULL, NULL);
	soft_vault_free(&self->vault);
	close(self->nl);
}

#define UNSEAL() kek_unseal(self->nl, &self->vault, self->kek.envelope, \
			    self->kek.envelope_len)

/* Control: what is authenticated with the right key is what the format says. */
TEST_F(forge, an_envelope_authenticated_anew_unseals)
{
	self->head->lease = htole32(3600);
	ASSERT_EQ(0, authenticate(&self->kek, self->master));
	EXPECT_EQ(0, UNSEAL());
}

TEST_F(forge, changed_attributes_are_refused)
{
	self->head->uses = htole32(ALL_USES);
	EXPECT_EQ(-EKEYREJECTED, UNSEAL());
	EXPECT_EQ(0, kek_held(self->nl, self->kek.id));
}

TEST_F(forge, an_own_kek_under_the_id_of_another_is_refused)
{
	struct kek other;

	ASSERT_EQ(0, kek_create(self->nl, &self->vault, NULL, &other));
	memcpy(self->head->id, other.id, sizeof(other.id));
	ASSERT_EQ(0, authenticate(&self->kek, self->master));
	EXPECT_EQ(-EKEYREJECTED, UNSEAL());
	EXPECT_EQ(0, kek_held(self->nl, other.id));
}

TEST_F(forge, a_clear_share_that_reaches_the_threshold_is_refused)
{
	struct vaultring_share *share = (void *)(self->head + 1);

	share->method = VAULTRING_METHOD_CLEAR;
	ASSERT_EQ(0, authenticate(&self->kek, self->master));
	EXPECT_EQ(-EKEYREJECTED, UNSEAL());
}

TEST_F(forge, an_envelope_outside_its_dates_is_refused)
{
	self->head->not_after = htole64(1);
	ASSERT_EQ(0, authenticate(&self->kek, self->master));
	EXPECT_EQ(-EKEYEXPIRED, UNSEAL());
	self->head->not_after = 0;
	self->head->not_before = htole64(1ULL << 40);
	ASSERT_EQ(0, authenticate(&self->kek, self->master));
	EXPECT_EQ(-EKEYEXPIRED, UNSEAL());
}

/* The first is the control: it is sealed as the kernel seals. */
TEST_F(forge, a_blob_for_a_use_that_its_kek_does_not_allow_is_refused)
{
	uint8_t plain[64] = "0123456789abcdefFEDCBA987654321",
		blob[VAULTRING_BLOB_SIZE];

	ASSERT_EQ(0, UNSEAL());
	ASSERT_EQ(0, seal(&self->kek, self->master, VAULTRING_USE_XTS, plain,
			  blob));
	EXPECT_LT(0, dek_load(blob, sizeof(blob), KEY_SPEC_PROCESS_KEYRING));
	ASSERT_EQ(0, seal(&self->kek, self->master, VAULTRING_USE_CBC, plain,
			  blob));
	EXPECT_EQ(-EOPNOTSUPP, dek_load(blob, sizeof(blob),
					KEY_SPEC_SESSION_KEYRING));
	EXPECT_EQ(-EOPNOTSUPP, alg_try("cbc(paes)", blob, sizeof(blob)));
}

TEST_F(forge, a_blob_padded_with_anything_but_zeros_is_refused)
{
	uint8_t plain[64] = "0123456789abcdefFEDCBA987654321",
		blob[VAULTRING_BLOB_SIZE];

	plain[63] = 1;
	ASSERT_EQ(0, UNSEAL());
	ASSERT_EQ(0, seal(&self->kek, self->master, VAULTRING_USE_XTS, plain,
			  blob));
	EXPECT_EQ(-EKEYREJECTED, dek_load(blob, sizeof(blob),
					  KEY_SPEC_PROCESS_KEYRING));
}

TEST_F(forge, a_repeated_attribute_is_refused)
{
	struct nl_reply r;
	struct nl_msg m;
	size_t nest;

	nl_start(&m, VAULTRING_CMD_UNSEAL_START, 0);
	nl_put(&m, VAULTRING_A_ENVELOPE, self->kek.envelope,
	       self->kek.envelope_len);
	nl_put(&m, VAULTRING_A_ENVELOPE, self->kek.envelope,
	       self->kek.envelope_len);
	EXPECT_EQ(-EINVAL, nl_call(self->nl, &m, &r));
	EXPECT_STREQ("this attribute is repeated", r.text);

	nl_start(&m, VAULTRING_CMD_UNSEAL_ANSWER, 0);
	nl_put_u64(&m, VAULTRING_A_UNSEAL, 1);
	nest = nl_nest(&m, VAULTRING_A_SHARE);
	nl_put_u32(&m, VAULTRING_A_SHARE_INDEX, 1);
	nl_put_u32(&m, VAULTRING_A_SHARE_INDEX, 1);
	nl_put(&m, VAULTRING_A_SHARE_ANSWER, self->master, KEY_SIZE);
	nl_nest_end(&m, nest);
	EXPECT_EQ(-EINVAL, nl_call(self->nl, &m, &r));
	EXPECT_STREQ("this attribute is repeated", r.text);
}

TEST_HARNESS_MAIN
