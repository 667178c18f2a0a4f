// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Blobs: what `vault-dek` makes, gives back and refuses, and what the
 * transforms refuse as a key.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "vr_test.h"

#define BITS (VAULTRING_BLOB_SIZE * 8)

static const uint8_t iv[16] = { 7 };

FIXTURE(blob)
{
	struct soft_vault vault;
	struct kek kek;
	const struct mode *mode;
	int nl;
	uint8_t good[VAULTRING_BLOB_SIZE];
	char words[96];
};

static const char *words_for(struct _test_data_blob *self, const char *use,
			     int bits)
{
	snprintf(self->words, sizeof(self->words), "new kek=%s use=%s bits=%d",
		 self->kek.name, use, bits);
	return self->words;
}

FIXTURE_SETUP(blob)
{
	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, own_session());
	ASSERT_EQ(0, soft_vault_make(&self->vault));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, NULL, NULL));
	ASSERT_EQ(0, kek_make(self->nl, &self->vault, NULL, &self->kek));
	self->mode = alg_mode();
	ASSERT_EQ(0, dek_new(words_for(self, self->mode->use, self->mode->bits),
			     KEY_SPEC_PROCESS_KEYRING, self->good, NULL));
}

FIXTURE_TEARDOWN(blob)
{
	kek_revoke(self->nl, &self->kek);
	pins_set(self->nl, NULL, NULL, NULL);
	soft_vault_free(&self->vault);
	close(self->nl);
}

/* The one errno, or few, that a flipped bit in this byte may give. */
static bool fits(int byte, int err)
{
	if (byte >= 8 && byte < 24)		/* the KEK's id */
		return err == -ENOKEY;
	if (byte < 8 || (byte >= 52 && byte < 56))	/* format */
		return err == -EINVAL || err == -EKEYREJECTED ||
		       err == -EOPNOTSUPP;
	return err == -EKEYREJECTED;
}

/* Encrypts a page under a blob, through AF_ALG. */
static int encrypt_under(const char *alg, const void *blob, uint8_t *out)
{
	static const uint8_t page[4096] = "the same plaintext each time";
	int fd = alg_open(alg), op, err;

	if (fd < 0)
		return fd;
	err = alg_setkey(fd, blob, VAULTRING_BLOB_SIZE);
	op = err ? err : alg_op(fd);
	if (op >= 0) {
		err = alg_crypt(op, 1, iv, page, out, sizeof(page));
		close(op);
	}
	close(fd);
	return err;
}

TEST_F(blob, new_makes_136_bytes_in_the_documented_layout)
{
	const struct vaultring_blob *b = (const void *)self->good;
	static const uint8_t zeros[16];

	ASSERT_EQ(136, sizeof(*b));
	EXPECT_EQ(0, memcmp(b->magic, VAULTRING_BLOB_MAGIC, 4));
	EXPECT_EQ(VAULTRING_BLOB_VERSION, b->version);
	EXPECT_EQ(VAULTRING_WRAP_AES256_GCM, b->wrap);
	EXPECT_EQ(self->mode->bits == 512 ? VAULTRING_USE_XTS :
		  VAULTRING_USE_CBC, b->use);
	EXPECT_EQ(self->mode->bits / 8, b->dek_len);
	EXPECT_EQ(0, memcmp(b->kek_id, self->kek.id, 16));
	EXPECT_EQ(0, memcmp(b->reserved, zeros, 4));
	EXPECT_NE(0, memcmp(b->dek_id, zeros, 16));
	EXPECT_NE(0, memcmp(b->nonce, zeros, 12));
}

TEST_F(blob, two_new_ones_share_no_id_nonce_or_ciphertext)
{
	const struct vaultring_blob *a = (const void *)self->good;
	uint8_t other[VAULTRING_BLOB_SIZE];
	const struct vaultring_blob *b = (const void *)other;

	ASSERT_EQ(0, dek_new(words_for(self, "xts", 512),
			     KEY_SPEC_PROCESS_KEYRING, other, NULL));
	EXPECT_NE(0, memcmp(a->dek_id, b->dek_id, 16));
	EXPECT_NE(0, memcmp(a->nonce, b->nonce, 12));
	EXPECT_NE(0, memcmp(a->ciphertext, b->ciphertext, 64));
}

TEST_F_TIMEOUT(blob, every_flipped_bit_is_refused_by_setkey, 180)
{
	uint8_t bad[VAULTRING_BLOB_SIZE], before[4096], after[4096];
	int fd, bit, err;

	ASSERT_EQ(0, encrypt_under(self->mode->alg, self->good, before));
	fd = alg_open(self->mode->alg);
	ASSERT_GE(fd, 0);
	for (bit = 0; bit < BITS; bit++) {
		memcpy(bad, self->good, sizeof(bad));
		bad[bit / 8] ^= 1 << (bit % 8);
		err = alg_setkey(fd, bad, sizeof(bad));
		EXPECT_TRUE(fits(bit / 8, err))
			TH_LOG("bit %d of byte %d: %s", bit % 8, bit / 8,
			       err ? strerror(-err) : "accepted");
	}
	close(fd);
	ASSERT_EQ(0, encrypt_under(self->mode->alg, self->good, after));
	EXPECT_EQ(0, memcmp(before, after, sizeof(after)));
}

TEST_F_TIMEOUT(blob, every_flipped_bit_is_refused_by_load, 180)
{
	uint8_t bad[VAULTRING_BLOB_SIZE], back[VAULTRING_BLOB_SIZE];
	int bit, err;

	for (bit = 0; bit < BITS; bit++) {
		memcpy(bad, self->good, sizeof(bad));
		bad[bit / 8] ^= 1 << (bit % 8);
		err = dek_load(bad, sizeof(bad), KEY_SPEC_PROCESS_KEYRING);
		EXPECT_TRUE(fits(bit / 8, err))
			TH_LOG("bit %d of byte %d: %s", bit % 8, bit / 8,
			       err < 0 ? strerror(-err) : "accepted");
	}
	err = dek_load(self->good, sizeof(self->good), KEY_SPEC_PROCESS_KEYRING);
	ASSERT_GT(err, 0);
	ASSERT_EQ(0, blob_of(err, back));
	EXPECT_EQ(0, memcmp(back, self->good, sizeof(back)));
}

TEST_F(blob, read_returns_the_blob_that_was_loaded_raw)
{
	uint8_t back[VAULTRING_BLOB_SIZE];
	key_serial_t key;

	key = add_key("vault-dek", "raw", self->good, sizeof(self->good),
		      KEY_SPEC_PROCESS_KEYRING);
	ASSERT_GT(key, 0);
	ASSERT_EQ(0, blob_of(key, back));
	EXPECT_EQ(0, memcmp(back, self->good, sizeof(back)));
}

TEST_F(blob, wrong_lengths_are_refused_as_not_our_format)
{
	static const size_t lengths[] = { 1, 15, 16, 32, 64, 120, 135, 137,
					  140, 200, 272 };
	uint8_t longer[272] = {};
	size_t i;
	int fd;

	memcpy(longer, self->good, sizeof(self->good));
	fd = alg_open(self->mode->alg);
	ASSERT_GE(fd, 0);
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		EXPECT_EQ(-EINVAL, alg_setkey(fd, longer, lengths[i]))
			TH_LOG("setkey with %zu bytes", lengths[i]);
		EXPECT_EQ(-EINVAL, dek_load(longer, lengths[i],
					    KEY_SPEC_PROCESS_KEYRING))
			TH_LOG("load of %zu bytes", lengths[i]);
	}
	close(fd);
}

TEST_F(blob, an_empty_payload_is_refused)
{
	EXPECT_EQ(-1, add_key("vault-dek", "empty", "", 0,
			      KEY_SPEC_PROCESS_KEYRING));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-EINVAL, dek_load("", 0, KEY_SPEC_PROCESS_KEYRING));
}

TEST_F(blob, all_zeros_and_all_ones_are_refused)
{
	uint8_t bytes[VAULTRING_BLOB_SIZE];

	memset(bytes, 0, sizeof(bytes));
	EXPECT_EQ(-EINVAL, alg_try(self->mode->alg, bytes, sizeof(bytes)));
	EXPECT_EQ(-EINVAL, dek_load(bytes, sizeof(bytes),
				    KEY_SPEC_PROCESS_KEYRING));
	memset(bytes, 0xff, sizeof(bytes));
	EXPECT_EQ(-EINVAL, alg_try(self->mode->alg, bytes, sizeof(bytes)));
	EXPECT_EQ(-EINVAL, dek_load(bytes, sizeof(bytes),
				    KEY_SPEC_PROCESS_KEYRING));
}

TEST_F(blob, wrong_magic_version_wrapping_and_reserved_bytes_are_refused)
{
	static const int bytes[] = { 0, 1, 2, 3, 4, 5, 52, 53, 54, 55 };
	uint8_t bad[VAULTRING_BLOB_SIZE];
	size_t i;

	for (i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		memcpy(bad, self->good, sizeof(bad));
		bad[bytes[i]] += 1;
		EXPECT_EQ(-EINVAL, alg_try(self->mode->alg, bad, sizeof(bad)))
			TH_LOG("byte %d", bytes[i]);
	}
}

TEST_F(blob, a_raw_key_is_not_taken_for_a_blob)
{
	uint8_t raw[64];
	int i;

	for (i = 0; i < 64; i++)
		raw[i] = i * 7 + 1;
	for (i = 16; i <= 64; i *= 2) {
		EXPECT_EQ(-EINVAL, alg_try(self->mode->alg, raw, i));
		EXPECT_EQ(-EINVAL, alg_try("cbc(paes)", raw, i));
	}
	EXPECT_EQ(-EINVAL, dek_load(raw, 64, KEY_SPEC_PROCESS_KEYRING));
	EXPECT_EQ(-1, add_key("vault-dek", "raw", raw, 64,
			      KEY_SPEC_PROCESS_KEYRING));
}

TEST_F(blob, a_blob_opens_for_its_own_use_only)
{
	static const struct {
		const char *use;
		int bits;
		const char *alg;
	} uses[] = {
		{ "xts", 512, "xts(paes)" },
		{ "cbc", 256, "cbc(paes)" },
		{ "ctr", 256, "ctr(paes)" },
		{ "gcm", 256, "none" },
		{ "fscrypt", 512, "none" },
	};
	uint8_t blob[VAULTRING_BLOB_SIZE];
	int i, j;

	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, dek_new(words_for(self, uses[i].use, uses[i].bits),
				     KEY_SPEC_PROCESS_KEYRING, blob, NULL))
			TH_LOG("use %s", uses[i].use);
		for (j = 0; j < 3; j++) {
			if (!alg_reachable(uses[j].alg))
				continue;
			EXPECT_EQ(i == j ? 0 : -EOPNOTSUPP,
				  alg_try(uses[j].alg, blob, sizeof(blob)))
				TH_LOG("a %s blob with %s", uses[i].use,
				       uses[j].alg);
		}
	}
}

TEST_F(blob, only_an_fscrypt_blob_can_be_provisioned)
{
	char words[24 + 2 * VAULTRING_BLOB_SIZE + 32] = "load ";

	hex_of(self->good, sizeof(self->good), words + 5);
	strcat(words, " provision=t-not-fscrypt");
	EXPECT_EQ(-1, add_key("vault-dek", "p", words, strlen(words),
			      KEY_SPEC_PROCESS_KEYRING));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(-1, keyctl_search(KEY_SPEC_SESSION_KEYRING,
				    "fscrypt-provisioning", "t-not-fscrypt", 0));
}

TEST_F(blob, provision_makes_a_key_that_cannot_be_read_back)
{
	char words[24 + 2 * VAULTRING_BLOB_SIZE + 32] = "load ", back[128];
	uint8_t blob[VAULTRING_BLOB_SIZE];
	long key;

	snprintf(words, sizeof(words), "new kek=%s use=fscrypt bits=512",
		 self->kek.name);
	ASSERT_EQ(0, dek_new(words, KEY_SPEC_PROCESS_KEYRING, blob, NULL));
	strcpy(words, "load ");
	hex_of(blob, sizeof(blob), words + 5);
	strcat(words, " provision=t-photos");
	ASSERT_LT(0, add_key("vault-dek", "p", words, strlen(words),
			     KEY_SPEC_PROCESS_KEYRING));
	key = keyctl_search(KEY_SPEC_SESSION_KEYRING, "fscrypt-provisioning",
			    "t-photos", 0);
	ASSERT_GT(key, 0);
	EXPECT_EQ(-1, keyctl_read(key, back, sizeof(back)));
}

/* Its blob is not stored yet: what is encrypted under it could be lost. */
TEST_F(blob, a_new_key_cannot_be_provisioned)
{
	char words[160];

	snprintf(words, sizeof(words),
		 "new kek=%s use=fscrypt bits=512 provision=t-new",
		 self->kek.name);
	EXPECT_EQ(-1, add_key("vault-dek", "p", words, strlen(words),
			      KEY_SPEC_PROCESS_KEYRING));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, keyctl_search(KEY_SPEC_SESSION_KEYRING,
				    "fscrypt-provisioning", "t-new", 0));
}

TEST_F(blob, another_data_key_does_not_replace_one)
{
	uint8_t blob[VAULTRING_BLOB_SIZE];
	char words[96];
	key_serial_t key;

	key = add_key("vault-dek", "r", self->good, sizeof(self->good),
		      KEY_SPEC_PROCESS_KEYRING);
	ASSERT_GT(key, 0);
	snprintf(words, sizeof(words), "new kek=%s use=xts", self->kek.name);
	EXPECT_EQ(-1, add_key("vault-dek", "r", words, strlen(words),
			      KEY_SPEC_PROCESS_KEYRING));
	EXPECT_EQ(EEXIST, errno);
	ASSERT_EQ(0, blob_of(key, blob));
	EXPECT_EQ(0, memcmp(blob, self->good, sizeof(blob)));
	/* The same one again does no harm. */
	EXPECT_EQ(key, add_key("vault-dek", "r", self->good,
			       sizeof(self->good), KEY_SPEC_PROCESS_KEYRING));
}

/* What request_key(2) leaves of a type that nobody can construct. */
TEST_F(blob, a_negative_key_is_not_updated)
{
	char words[96];

	EXPECT_EQ(-1, request_key("vault-dek", "t-negative", "x",
				  KEY_SPEC_SESSION_KEYRING));
	snprintf(words, sizeof(words), "new kek=%s use=xts", self->kek.name);
	EXPECT_EQ(-1, add_key("vault-dek", "t-negative", words, strlen(words),
			      KEY_SPEC_SESSION_KEYRING));
	EXPECT_EQ(ENOKEY, errno);
}

TEST_F(blob, rewrap_changes_the_nonce_and_not_the_data_key)
{
	uint8_t first[4096], second[4096], blob[VAULTRING_BLOB_SIZE];
	const struct vaultring_blob *a = (const void *)self->good;
	const struct vaultring_blob *b = (const void *)blob;
	char words[96];
	key_serial_t key;

	key = add_key("vault-dek", "w", self->good, sizeof(self->good),
		      KEY_SPEC_PROCESS_KEYRING);
	ASSERT_GT(key, 0);
	snprintf(words, sizeof(words), "rewrap kek=%s", self->kek.name);
	ASSERT_EQ(0, keyctl_update(key, words, strlen(words)));
	ASSERT_EQ(0, blob_of(key, blob));
	EXPECT_NE(0, memcmp(a->nonce, b->nonce, sizeof(a->nonce)));
	EXPECT_NE(0, memcmp(a->ciphertext, b->ciphertext, 64));
	EXPECT_EQ(0, memcmp(a->dek_id, b->dek_id, sizeof(a->dek_id)));
	ASSERT_EQ(0, encrypt_under(self->mode->alg, self->good, first));
	ASSERT_EQ(0, encrypt_under(self->mode->alg, blob, second));
	EXPECT_EQ(0, memcmp(first, second, sizeof(first)));
}

TEST_F(blob, rewrap_moves_to_the_newest_version_of_the_kek)
{
	struct kek_options o = { .name = self->kek.name, .version = 2 };
	uint8_t first[4096], second[4096], blob[VAULTRING_BLOB_SIZE];
	const struct vaultring_blob *b = (const void *)blob;
	struct kek next;
	char words[96];
	key_serial_t key;

	ASSERT_EQ(0, encrypt_under(self->mode->alg, self->good, first));
	key = add_key("vault-dek", "w", self->good, sizeof(self->good),
		      KEY_SPEC_PROCESS_KEYRING);
	ASSERT_GT(key, 0);
	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &next));
	snprintf(words, sizeof(words), "rewrap kek=%s", self->kek.name);
	ASSERT_EQ(0, keyctl_update(key, words, strlen(words)));
	ASSERT_EQ(0, blob_of(key, blob));
	EXPECT_EQ(0, memcmp(b->kek_id, next.id, sizeof(next.id)));
	ASSERT_EQ(0, encrypt_under(self->mode->alg, blob, second));
	EXPECT_EQ(0, memcmp(first, second, sizeof(first)));
	kek_revoke(self->nl, &next);
}

TEST_F(blob, each_size_of_data_key_is_made_for_its_use)
{
	static const struct {
		const char *use;
		int bits;
	} good[] = {
		{ "xts", 256 }, { "xts", 512 }, { "cbc", 128 }, { "cbc", 192 },
		{ "cbc", 256 }, { "ctr", 128 }, { "ctr", 192 }, { "ctr", 256 },
		{ "gcm", 128 }, { "gcm", 256 }, { "fscrypt", 256 },
		{ "fscrypt", 512 }, { "hmac", 256 }, { "hmac", 512 },
	};
	uint8_t blob[VAULTRING_BLOB_SIZE];
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ASSERT_EQ(0, dek_new(words_for(self, good[i].use, good[i].bits),
				     KEY_SPEC_PROCESS_KEYRING, blob, NULL))
			TH_LOG("%s of %d bits", good[i].use, good[i].bits);
		EXPECT_EQ(good[i].bits / 8,
			  ((struct vaultring_blob *)blob)->dek_len);
	}
}

TEST_F(blob, wrong_words_are_refused)
{
	static const char * const words[] = {
		"",
		"new",
		"bogus",
		"new use=xts bits=512",
		"new kek=%s bits=512",
		"new kek=%s use=xts bits=7",
		"new kek=%s use=xts bits=0",
		"new kek=%s use=xts bits=-512",
		"new kek=%s use=xts bits=99999999999999999999",
		"new kek=%s use=xts bits=128",
		"new kek=%s use=gcm bits=512",
		"new kek=%s use=ctr bits=512",
		"new kek=%s use=cbc bits=512",
		"new kek=%s use=hmac bits=128",
		"new kek=%s use=ecb bits=256",
		"new kek=%s use=xts bits=512 color=red",
		"new kek=%s kek=%s use=xts bits=512",
		"new kek= use=xts bits=512",
		"new kek=../%s use=xts bits=512",
		"load",
		"load zz",
		"load 5652",
		"rewrap kek=%s",
	};
	char text[256];
	key_serial_t key;
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof(text), words[i], self->kek.name,
			 self->kek.name);
#pragma GCC diagnostic pop
		key = add_key("vault-dek", "words", text, strlen(text),
			      KEY_SPEC_PROCESS_KEYRING);
		EXPECT_EQ(-1, key)
			TH_LOG("accepted: %s", text);
		EXPECT_TRUE(errno == EINVAL || errno == EOPNOTSUPP)
			TH_LOG("%s: %s", text, strerror(errno));
	}
}

TEST_F(blob, a_kek_that_nobody_knows_gives_enokey)
{
	EXPECT_EQ(-ENOKEY, dek_new("new kek=t-nowhere use=xts bits=512",
				   KEY_SPEC_PROCESS_KEYRING, NULL, NULL));
}

TEST_F(blob, a_use_that_the_kek_does_not_allow_is_refused)
{
	struct kek_options o = { .uses = 1 << VAULTRING_USE_XTS };
	struct kek xts_only;
	char words[96];
	int err;

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &xts_only));
	snprintf(words, sizeof(words), "new kek=%s use=xts bits=512",
		 xts_only.name);
	EXPECT_EQ(0, dek_new(words, KEY_SPEC_PROCESS_KEYRING, NULL, NULL));
	snprintf(words, sizeof(words), "new kek=%s use=ctr bits=256",
		 xts_only.name);
	err = dek_new(words, KEY_SPEC_PROCESS_KEYRING, NULL, NULL);
	EXPECT_EQ(-EOPNOTSUPP, err)
		TH_LOG("%s", strerror(-err));
	kek_revoke(self->nl, &xts_only);
}

TEST_HARNESS_MAIN
