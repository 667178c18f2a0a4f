// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * xts(paes), cbc(paes) and ctr(paes) are the kernel's AES under the data key:
 * each is compared with its aes twin under the key that the oracle recovers.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "vr_test.h"

#define MAX 65536

FIXTURE(paes)
{
	struct soft_vault vault;
	struct kek kek;
	int nl, ours, twin;
	uint8_t blob[VAULTRING_BLOB_SIZE];
};

FIXTURE_VARIANT(paes)
{
	const char *use, *alg, *twin;
	int bits;
};

#define VARIANT(_name, _use, _bits) \
	FIXTURE_VARIANT_ADD(paes, _name) { \
		.use = _use, .alg = _use "(paes)", .twin = _use "(aes)", \
		.bits = _bits, \
	}

VARIANT(xts_256, "xts", 256);
VARIANT(xts_512, "xts", 512);
VARIANT(cbc_128, "cbc", 128);
VARIANT(cbc_256, "cbc", 256);
VARIANT(ctr_128, "ctr", 128);
VARIANT(ctr_256, "ctr", 256);

static int blob_for(const struct kek *kek, const char *use, int bits,
		    uint8_t *blob)
{
	char words[96];

	snprintf(words, sizeof(words), "new kek=%s use=%s bits=%d", kek->name,
		 use, bits);
	return dek_new(words, KEY_SPEC_PROCESS_KEYRING, blob, NULL);
}

FIXTURE_SETUP(paes)
{
	self->twin = -1;
	if (!alg_reachable(variant->alg))
		SKIP(return, "AF_ALG does not give out %s here; see sector_test",
		     variant->alg);
	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, own_session());
	ASSERT_EQ(0, soft_vault_make(&self->vault));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, NULL, NULL));
	ASSERT_EQ(0, kek_make(self->nl, &self->vault, NULL, &self->kek));
	ASSERT_EQ(0, blob_for(&self->kek, variant->use, variant->bits,
			      self->blob));
	self->ours = alg_open(variant->alg);
	ASSERT_GE(self->ours, 0);
	ASSERT_EQ(0, alg_setkey(self->ours, self->blob, sizeof(self->blob)));
}

FIXTURE_TEARDOWN(paes)
{
	close(self->ours);
	close(self->twin);
	kek_revoke(self->nl, &self->kek);
	pins_set(self->nl, NULL, NULL, NULL);
	soft_vault_free(&self->vault);
	close(self->nl);
}

/* The kernel's own AES under the key that the oracle recovers. */
static int open_twin(struct _test_data_paes *self,
		     const struct _fixture_variant_paes *variant)
{
	uint8_t dek[VAULTRING_DEK_MAX];

	if (oracle_dek(&self->vault, &self->kek, self->blob, dek) !=
	    variant->bits / 8)
		return -EBADMSG;
	self->twin = alg_open(variant->twin);
	if (self->twin < 0)
		return self->twin;
	return alg_setkey(self->twin, dek, variant->bits / 8);
}

static int crypt_once(int fd, int encrypt, uint8_t first, const void *in,
		      void *out, size_t len)
{
	const uint8_t iv[16] = { first, 1, 2, 3 };
	int op = alg_op(fd), err;

	if (op < 0)
		return op;
	err = alg_crypt(op, encrypt, iv, in, out, len);
	close(op);
	return err;
}

static void fill(uint8_t *data, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		data[i] = i * 131 + (i >> 8);
}

TEST_F(paes, gives_the_same_as_its_twin_at_every_length)
{
	static const size_t lengths[] = { 16, 32, 48, 512, 4096, 8192, MAX };
	static uint8_t in[MAX], ours[MAX], twin[MAX];
	size_t i;

	ASSERT_EQ(0, open_twin(self, variant));
	fill(in, sizeof(in));
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t len = lengths[i];

		ASSERT_EQ(0, crypt_once(self->ours, 1, i, in, ours, len))
			TH_LOG("%zu bytes", len);
		ASSERT_EQ(0, crypt_once(self->twin, 1, i, in, twin, len));
		EXPECT_EQ(0, memcmp(ours, twin, len))
			TH_LOG("%zu bytes differ", len);
		EXPECT_NE(0, memcmp(ours, in, len));
		ASSERT_EQ(0, crypt_once(self->ours, 0, i, twin, ours, len));
		EXPECT_EQ(0, memcmp(ours, in, len))
			TH_LOG("%zu bytes do not come back", len);
	}
}

TEST_F(paes, treats_lengths_that_are_no_multiple_of_a_block_as_its_twin)
{
	static const size_t lengths[] = { 1, 15, 17, 31, 513, 4095 };
	static uint8_t in[4096], ours[4096], twin[4096];
	size_t i;

	ASSERT_EQ(0, open_twin(self, variant));
	fill(in, sizeof(in));
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t len = lengths[i];
		int err = crypt_once(self->twin, 1, i, in, twin, len);

		EXPECT_EQ(err, crypt_once(self->ours, 1, i, in, ours, len))
			TH_LOG("%zu bytes", len);
		if (!err)
			EXPECT_EQ(0, memcmp(ours, twin, len))
				TH_LOG("%zu bytes differ", len);
	}
}

TEST_F(paes, takes_another_key_after_the_first)
{
	uint8_t in[512], first[512], second[512], blob[VAULTRING_BLOB_SIZE];

	fill(in, sizeof(in));
	ASSERT_EQ(0, crypt_once(self->ours, 1, 0, in, first, sizeof(in)));
	ASSERT_EQ(0, blob_for(&self->kek, variant->use, variant->bits, blob));
	ASSERT_EQ(0, alg_setkey(self->ours, blob, sizeof(blob)));
	ASSERT_EQ(0, crypt_once(self->ours, 1, 0, in, second, sizeof(in)));
	EXPECT_NE(0, memcmp(first, second, sizeof(first)));
	ASSERT_EQ(0, alg_setkey(self->ours, self->blob, sizeof(self->blob)));
	ASSERT_EQ(0, crypt_once(self->ours, 1, 0, in, second, sizeof(in)));
	EXPECT_EQ(0, memcmp(first, second, sizeof(first)));
}

TEST_F(paes, never_uses_the_old_key_after_a_refused_one)
{
	uint8_t in[512], good[512], out[512] = {}, bad[VAULTRING_BLOB_SIZE];
	int err;

	fill(in, sizeof(in));
	ASSERT_EQ(0, crypt_once(self->ours, 1, 0, in, good, sizeof(in)));
	memcpy(bad, self->blob, sizeof(bad));
	bad[100] ^= 1;
	ASSERT_EQ(-EKEYREJECTED, alg_setkey(self->ours, bad, sizeof(bad)));
	err = crypt_once(self->ours, 1, 0, in, out, sizeof(in));
	/* Either no key at all or still the good one; never a third thing. */
	if (!err) {
		EXPECT_EQ(0, memcmp(out, good, sizeof(out)));
	} else {
		EXPECT_TRUE(err == -ENOKEY || err == -EKEYREJECTED)
			TH_LOG("%s", strerror(-err));
	}
}

TEST_F(paes, without_a_key_encrypts_nothing)
{
	uint8_t in[512] = "x", out[512];
	int fd = alg_open(variant->alg), op;

	ASSERT_GE(fd, 0);
	op = alg_op(fd);
	if (op >= 0) {
		EXPECT_EQ(-ENOKEY, alg_crypt(op, 1, in, in, out, sizeof(in)));
		close(op);
	} else {
		EXPECT_EQ(-ENOKEY, op);
	}
	close(fd);
}

TEST(the_module_is_found_by_the_names_of_its_algorithms)
{
	static const char * const names[] = { "xts(paes)", "cbc(paes)",
					      "ctr(paes)", "gcm(paes)",
					      "phmac(sha256)" };
	char out[4096];
	size_t i;

	ASSERT_EQ(0, run(out, sizeof(out), "/usr/sbin/modinfo -F alias vaultring"));
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		EXPECT_NE(NULL, strstr(out, names[i]))
			TH_LOG("no alias %s", names[i]);
}

TEST_HARNESS_MAIN
