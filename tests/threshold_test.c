// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * k of n: as many vaults as the threshold says make the KEK, whichever and in
 * any order, and fewer do not, whatever the others answer.
 */
#include <stddef.h>
#include <stdio.h>

#include "threshold_fixture.h"

TEST_F(threshold, either_of_two_makes_it_alone)
{
	int i;

	ASSERT_EQ(0, MAKE(2, 1));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, BEGIN());
		ASSERT_EQ(2, self->u.n);
		EXPECT_EQ(0, HELD());
		EXPECT_EQ(0, RIGHT(i));
		EXPECT_EQ(1, HELD());
		/* The other exchange has ended with it. */
		EXPECT_EQ(-ENOENT, RIGHT(1 - i));
		EXPECT_EQ(-ENOENT, NONE(1 - i, EAGAIN));
		ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	}
}

TEST_F(threshold, two_of_two_needs_both_in_either_order)
{
	int i;

	ASSERT_EQ(0, MAKE(2, 2));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, BEGIN());
		EXPECT_EQ(GOES_ON, RIGHT(i));
		EXPECT_EQ(0, HELD());
		EXPECT_EQ(0, RIGHT(1 - i));
		EXPECT_EQ(1, HELD());
		ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	}
}

TEST_F(threshold, each_pair_of_three_makes_it)
{
	int i, j;

	ASSERT_EQ(0, MAKE(3, 2));
	for (i = 0; i < 3; i++) {
		for (j = 0; j < 3; j++) {
			if (i == j)
				continue;
			ASSERT_EQ(0, BEGIN());
			EXPECT_EQ(GOES_ON, RIGHT(i));
			EXPECT_EQ(0, HELD());
			EXPECT_EQ(0, RIGHT(j));
			EXPECT_EQ(1, HELD());
			EXPECT_EQ(-ENOENT, RIGHT(3 - i - j));
			ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
		}
	}
}

TEST_F(threshold, eight_shares_with_each_threshold)
{
	int i, k;

	for (k = 1; k <= VAULTS; k++) {
		ASSERT_EQ(0, MAKE(VAULTS, k));
		ASSERT_EQ(0, BEGIN());
		ASSERT_EQ(VAULTS, self->u.n);
		/* The last ones, from the end. */
		for (i = 1; i < k; i++)
			EXPECT_EQ(GOES_ON, RIGHT(VAULTS - i));
		EXPECT_EQ(0, HELD());
		EXPECT_EQ(0, RIGHT(VAULTS - k))
			TH_LOG("%d of 8", k);
		EXPECT_EQ(1, HELD());
		ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	}
}

/* tests/oracle.py gets M from the formats alone, from any k vaults' keys. */
/* Python under emulation, a dozen times. */
TEST_F_TIMEOUT(threshold, the_oracle_gets_the_same_from_any_shares, 180)
{
	static const struct {
		int n, k, set[3];
	} cases[] = {
		{ 2, 1, { 0 } }, { 2, 1, { 1 } }, { 2, 2, { 0, 1 } },
		{ 3, 2, { 0, 1 } }, { 3, 2, { 0, 2 } }, { 3, 2, { 1, 2 } },
		{ 8, 3, { 1, 4, 7 } },
	};
	uint8_t blob[VAULTRING_BLOB_SIZE], dek[VAULTRING_DEK_MAX];
	const struct soft_vault *set[3];
	char words[96];
	unsigned int c;
	int i;

	for (c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		ASSERT_EQ(0, MAKE(cases[c].n, cases[c].k));
		ASSERT_EQ(0, BEGIN());
		for (i = 0; i < cases[c].k; i++)
			set[i] = &self->vaults[cases[c].set[i]];
		for (i = cases[c].k - 1; i >= 0; i--)
			ASSERT_EQ(i ? GOES_ON : 0, RIGHT(i));
		snprintf(words, sizeof(words), "new kek=%s use=xts bits=512",
			 self->kek.name);
		ASSERT_EQ(0, dek_new(words, KEY_SPEC_SESSION_KEYRING, blob, NULL));
		EXPECT_EQ(64, oracle_dek_of(set, cases[c].k, &self->kek, blob,
					    dek))
			TH_LOG("case %u", c);
		if (cases[c].k > 1)
			EXPECT_GT(0, oracle_dek_of(set, cases[c].k - 1,
						   &self->kek, blob, dek));
		ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	}
}

TEST_F(threshold, no_share_comes_twice)
{
	struct kek again;
	const size_t masked = sizeof(struct vaultring_envelope) +
			      offsetof(struct vaultring_share, masked);

	/* Not even for the same vaults. */
	ASSERT_EQ(0, MAKE(2, 2));
	ASSERT_EQ(0, make_kek(self->nl, self->vaults, 2, 2, &again));
	EXPECT_NE(0, memcmp(self->kek.envelope + masked, again.envelope + masked,
			    32));
	EXPECT_NE(0, memcmp(self->kek.id, again.id, sizeof(again.id)));
}

TEST_F(threshold, thresholds_and_numbers_of_shares_that_cannot_be_are_refused)
{
	static const struct {
		int n, k;
	} bad[] = {
		{ 1, -1 }, { 2, -1 }, { 1, 2 }, { 2, 3 }, { 8, 9 }, { 2, 258 },
		{ 0, 0 }, { 0, 1 }, { 9, 1 }, { 9, 9 },
	};
	struct soft_vault nine[VAULTS + 1];
	char text[256];
	struct kek_options o = { .vaults = nine, .text = text };
	unsigned int i;

	memcpy(nine, self->vaults, sizeof(self->vaults));
	ASSERT_EQ(0, soft_vault_make(&nine[VAULTS]));
	ASSERT_EQ(0, pins_set_all(self->nl, nine, VAULTS + 1, NULL, NULL));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		o.n_vaults = bad[i].n;
		o.threshold = bad[i].k;
		text[0] = 0;
		EXPECT_EQ(-EINVAL, kek_create(self->nl, NULL, &o, &self->kek))
			TH_LOG("%d of %d", bad[i].k, bad[i].n);
		EXPECT_NE(0, text[0]);
	}
	/* The control: without a threshold it is one. */
	o.n_vaults = 2;
	o.threshold = 0;
	ASSERT_EQ(0, kek_create(self->nl, NULL, &o, &self->kek));
	EXPECT_EQ(1, self->kek.envelope[5]);
	soft_vault_free(&nine[VAULTS]);
}

TEST_F(threshold, each_vault_key_must_be_pinned)
{
	char text[256] = "";
	struct kek_options o = {
		.vaults = self->vaults, .n_vaults = 3, .threshold = 2,
		.text = text,
	};

	ASSERT_EQ(0, pins_set_all(self->nl, self->vaults, 2, NULL, NULL));
	EXPECT_EQ(-EACCES, kek_create(self->nl, NULL, &o, &self->kek));
	EXPECT_NE(NULL, strstr(text, "not pinned"));
}

TEST_F(threshold, one_vault_key_for_two_shares_is_refused)
{
	struct vaultring_share *first, *second;
	struct soft_vault same[3];
	char text[256] = "";
	struct kek_options o = {
		.vaults = same, .n_vaults = 3, .threshold = 2, .text = text,
	};

	same[0] = same[2] = self->vaults[0];
	same[1] = self->vaults[1];
	EXPECT_EQ(-EINVAL, kek_create(self->nl, NULL, &o, &self->kek));
	EXPECT_STREQ("two shares are for the same vault key", text);

	/* And in an envelope, before any vault is asked. */
	ASSERT_EQ(0, MAKE(2, 2));
	first = (void *)(self->kek.envelope + sizeof(struct vaultring_envelope));
	second = (void *)((uint8_t *)(first + 1) + VAULTRING_OBLIVIOUS_DATA);
	memcpy(second->fingerprint, first->fingerprint, 32);
	EXPECT_EQ(-EKEYREJECTED, BEGIN());
	EXPECT_STREQ("two shares are for the same vault key", self->u.r.text);
}

/* An envelope's bytes by share: the head, then records of one size. */
#define SHARE_AT(kek, i) ((struct vaultring_share *)((kek)->envelope + \
	sizeof(struct vaultring_envelope) + (i) * \
	(sizeof(struct vaultring_share) + VAULTRING_OBLIVIOUS_DATA)))

TEST_F(threshold, share_numbers_that_are_not_in_order_are_refused)
{
	static const uint8_t bad[][2] = {
		{ 1, 1 }, { 2, 2 }, { 2, 1 }, { 0, 1 }, { 1, 3 }, { 1, 0 },
	};
	unsigned int i;

	ASSERT_EQ(0, MAKE(2, 2));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		SHARE_AT(&self->kek, 0)->index = bad[i][0];
		SHARE_AT(&self->kek, 1)->index = bad[i][1];
		EXPECT_EQ(-EINVAL, BEGIN())
			TH_LOG("%d, %d", bad[i][0], bad[i][1]);
	}
}

TEST_F(threshold, clear_shares_that_reach_the_threshold_are_refused)
{
	ASSERT_EQ(0, MAKE(3, 2));
	SHARE_AT(&self->kek, 0)->method = VAULTRING_METHOD_CLEAR;
	/* One is below it, but has no ciphertext. */
	EXPECT_EQ(-EINVAL, BEGIN());
	SHARE_AT(&self->kek, 1)->method = VAULTRING_METHOD_CLEAR;
	EXPECT_EQ(-EKEYREJECTED, BEGIN());
}

/* A lower threshold than the envelope was made for, and shares taken out. */
TEST_F(threshold, fewer_shares_than_it_was_made_for_do_not_do)
{
	ASSERT_EQ(0, MAKE(3, 2));
	self->kek.envelope[5] = 1;
	ASSERT_EQ(0, BEGIN());
	EXPECT_EQ(GOES_ON, RIGHT(0));
	EXPECT_EQ(GOES_ON, RIGHT(1));
	EXPECT_EQ(-EKEYREJECTED, RIGHT(2));
	EXPECT_EQ(0, HELD());

	/* Both shares that are left are right, but the HMAC is of all three. */
	self->kek.envelope[5] = 2;
	self->kek.envelope[6] = 2;
	self->kek.envelope_len -= sizeof(struct vaultring_share) +
				  VAULTRING_OBLIVIOUS_DATA;
	ASSERT_EQ(0, BEGIN());
	EXPECT_EQ(GOES_ON, RIGHT(0));
	EXPECT_EQ(-EKEYREJECTED, RIGHT(1));
	EXPECT_STREQ("the envelope has been changed", self->u.r.text);
	EXPECT_EQ(0, HELD());
}

/* Two exchanges for each byte of it, with one bit flipped. */
TEST_F_TIMEOUT(threshold, a_flipped_bit_of_any_byte_is_refused, 300)
{
	struct kek good;
	size_t at;
	int err;

	ASSERT_EQ(0, MAKE(2, 2));
	good = self->kek;
	for (at = 0; at < good.envelope_len; at++) {
		self->kek.envelope[at] ^= 1 << at % 8;
		err = begin(&self->u, self->nl, self->vaults, &self->kek, 0);
		/* A point that is not on the curve, or a share too many. */
		if (!err && self->u.n == 2)
			err = RIGHT(0);
		if (err == GOES_ON)
			err = RIGHT(1);
		EXPECT_TRUE(err == -EINVAL || err == -EKEYREJECTED)
			TH_LOG("byte %zu: %d", at, err);
		self->kek.envelope[at] = good.envelope[at];
	}
	EXPECT_EQ(0, HELD());
}

TEST_HARNESS_MAIN
