// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unseals: no answer but the right one, no envelope but the true one and no id
 * but the pinned one makes a KEK, and no challenge is asked twice.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "netlink_fixture.h"

/* P-256: p and the order n */
static const uint8_t prime[32] = {
	0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
};
static const uint8_t order[32] = {
	0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
	0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
};

TEST_F(netlink, the_right_answer_unseals)
{
	EXPECT_EQ(0, kek_held(self->nl, self->kek.id));
	EXPECT_EQ(0, kek_unseal(self->nl, &self->vault, self->kek.envelope,
				self->kek.envelope_len));
	EXPECT_EQ(1, kek_held(self->nl, self->kek.id));
}

TEST_F(netlink, an_answer_to_no_request_is_refused)
{
	uint8_t x[X_SIZE] = { 1 };

	EXPECT_EQ(-ENOENT, unseal_answer(self->nl, 1ULL << 60, 1, x, 32, NULL));
	EXPECT_EQ(-ENOENT, unseal_answer(self->nl, 0, 1, x, 32, NULL));
}

TEST_F(netlink, a_second_answer_is_refused)
{
	struct nl_share share;
	struct nl_reply r;
	uint8_t x[X_SIZE];
	uint64_t unseal;

	ASSERT_EQ(0, unseal_start(self->nl, self->kek.envelope,
				  self->kek.envelope_len, 0, &r));
	unseal = nl_u64(&r, VAULTRING_A_UNSEAL);
	ASSERT_EQ(0, nl_share_of(&r, &share));
	ASSERT_EQ(0, soft_vault_exchange(&self->vault, share.challenge, x));
	ASSERT_EQ(0, unseal_answer(self->nl, unseal, share.index, x, 32, NULL));
	EXPECT_EQ(-ENOENT, unseal_answer(self->nl, unseal, share.index, x, 32,
					 NULL));
}

TEST_F(netlink, the_right_answer_after_a_wrong_one_is_refused)
{
	struct nl_share share;
	struct nl_reply r;
	uint8_t x[X_SIZE];
	uint64_t unseal;

	ASSERT_EQ(0, unseal_start(self->nl, self->kek.envelope,
				  self->kek.envelope_len, 0, &r));
	unseal = nl_u64(&r, VAULTRING_A_UNSEAL);
	ASSERT_EQ(0, nl_share_of(&r, &share));
	ASSERT_EQ(0, soft_vault_exchange(&self->vault, share.challenge, x));
	/* A true answer, but to another challenge: x of the vault's key. */
	ASSERT_EQ(-EKEYREJECTED,
		  unseal_answer(self->nl, unseal, share.index,
				self->vault.spki + 27, 32, NULL));
	EXPECT_EQ(-ENOENT, unseal_answer(self->nl, unseal, share.index, x, 32,
					 NULL));
	EXPECT_EQ(0, kek_held(self->nl, self->kek.id));
}

TEST_F(netlink, a_late_answer_is_refused)
{
	const struct timespec nap = { .tv_nsec = 600 * 1000 * 1000 };
	struct nl_share share;
	struct nl_reply r;
	uint8_t x[X_SIZE];

	ASSERT_EQ(0, unseal_start(self->nl, self->kek.envelope,
				  self->kek.envelope_len, 100, &r));
	ASSERT_EQ(0, nl_share_of(&r, &share));
	ASSERT_EQ(0, soft_vault_exchange(&self->vault, share.challenge, x));
	nanosleep(&nap, NULL);
	EXPECT_EQ(-ENOENT, unseal_answer(self->nl,
					 nl_u64(&r, VAULTRING_A_UNSEAL),
					 share.index, x, 32, NULL));
	EXPECT_EQ(0, kek_held(self->nl, self->kek.id));
}

/* The smallest x at or above 1 that has no point: found by the oracle's way. */
static int x_without_point(uint8_t *x)
{
	char out[128];

	return run(out, sizeof(out), "python3 -c 'p=2**256-2**224+2**192+2**96-1;"
		   "b=0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e"
		   "27d2604b;print(\"%%064x\" %% next(x for x in range(1, 99) if "
		   "pow(x**3-3*x+b, (p-1)//2, p) == p-1))'") ||
	       hex_to(out, x, 32);
}

TEST_F(netlink, an_answer_that_is_no_x_of_the_curve_is_refused)
{
	uint8_t x[5][X_SIZE] = {};
	struct nl_share share;
	struct nl_reply r;
	int i, err;

	/* x[0] is zero, x[4] all ones. */
	ASSERT_EQ(0, x_without_point(x[1]));
	memcpy(x[2], prime, 32);
	memcpy(x[3], order, 32);
	memset(x[4], 0xff, 32);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, unseal_start(self->nl, self->kek.envelope,
					  self->kek.envelope_len, 0, &r));
		ASSERT_EQ(0, nl_share_of(&r, &share));
		err = unseal_answer(self->nl, nl_u64(&r, VAULTRING_A_UNSEAL),
				    share.index, x[i], 32, &r);
		EXPECT_EQ(-EKEYREJECTED, err)
			TH_LOG("value %d", i);
		/* The order is smaller than p: it may be a point's x. */
		if (i != 3)
			EXPECT_STREQ("the vault's answer is not the x coordinate of a point",
				     r.text);
	}
	EXPECT_EQ(0, kek_held(self->nl, self->kek.id));
}

TEST_F(netlink, an_answer_of_the_wrong_length_is_refused)
{
	static const size_t lengths[] = { 0, 1, 31, 33, 64, 65, 1024, 1025 };
	static const uint8_t bytes[1025];
	struct nl_share share;
	struct nl_reply r;
	size_t i;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		ASSERT_EQ(0, unseal_start(self->nl, self->kek.envelope,
					  self->kek.envelope_len, 0, &r));
		ASSERT_EQ(0, nl_share_of(&r, &share));
		EXPECT_NE(0, unseal_answer(self->nl,
					   nl_u64(&r, VAULTRING_A_UNSEAL),
					   share.index, bytes, lengths[i], NULL))
			TH_LOG("%zu bytes", lengths[i]);
	}
	EXPECT_EQ(0, kek_held(self->nl, self->kek.id));
}

TEST_F(netlink, an_answer_for_a_share_that_is_not_there_is_refused)
{
	struct nl_reply r;
	uint8_t x[X_SIZE] = { 1 };
	uint64_t unseal;

	ASSERT_EQ(0, unseal_start(self->nl, self->kek.envelope,
				  self->kek.envelope_len, 0, &r));
	unseal = nl_u64(&r, VAULTRING_A_UNSEAL);
	EXPECT_NE(0, unseal_answer(self->nl, unseal, 0, x, 32, NULL));
	EXPECT_NE(0, unseal_answer(self->nl, unseal, 2, x, 32, NULL));
	EXPECT_NE(0, unseal_answer(self->nl, unseal, 0xffffffff, x, 32, NULL));
	EXPECT_EQ(0, kek_held(self->nl, self->kek.id));
}

TEST_F(netlink, another_vault_key_unseals_nothing)
{
	struct soft_vault other;

	ASSERT_EQ(0, soft_vault_make(&other));
	EXPECT_EQ(-EKEYREJECTED, kek_unseal(self->nl, &other, self->kek.envelope,
					    self->kek.envelope_len));
	EXPECT_EQ(0, kek_held(self->nl, self->kek.id));
	soft_vault_free(&other);
}

/* 8 bits for each of about 448 bytes, each a whole exchange. */
TEST_F_TIMEOUT(netlink, every_flipped_bit_of_an_envelope_is_refused, 300)
{
	uint8_t bad[VAULTRING_MAX_ENVELOPE];
	size_t bit;
	int err;

	ASSERT_EQ(ENVELOPE_SIZE, self->kek.envelope_len);
	for (bit = 0; bit < 8 * self->kek.envelope_len; bit++) {
		memcpy(bad, self->kek.envelope, self->kek.envelope_len);
		bad[bit / 8] ^= 1 << (bit % 8);
		err = kek_unseal(self->nl, &self->vault, bad,
				 self->kek.envelope_len);
		EXPECT_TRUE(err == -EINVAL || err == -EKEYREJECTED ||
			    err == -EOPNOTSUPP || err == -EKEYEXPIRED)
			TH_LOG("bit %zu of byte %zu: %s", bit % 8, bit / 8,
			       err < 0 ? strerror(-err) : "accepted");
	}
	EXPECT_EQ(0, kek_held(self->nl, self->kek.id));
	EXPECT_EQ(0, kek_unseal(self->nl, &self->vault, self->kek.envelope,
				self->kek.envelope_len));
}

TEST_F(netlink, a_truncated_longer_or_empty_envelope_is_refused)
{
	uint8_t bad[ENVELOPE_SIZE + 8] = {};
	size_t len;

	memcpy(bad, self->kek.envelope, ENVELOPE_SIZE);
	for (len = 0; len < sizeof(bad); len++) {
		if (len == ENVELOPE_SIZE)
			continue;
		EXPECT_NE(0, unseal_start(self->nl, bad, len, 0, NULL))
			TH_LOG("%zu bytes", len);
	}
	memset(bad, 0, sizeof(bad));
	EXPECT_NE(0, unseal_start(self->nl, bad, ENVELOPE_SIZE, 0, NULL));
}

TEST_F(netlink, an_envelope_with_more_shares_is_refused_clearly)
{
	const size_t head = sizeof(struct vaultring_envelope);
	uint8_t two[2 * ENVELOPE_SIZE];
	size_t share = ENVELOPE_SIZE - head;
	struct nl_reply r;
	int threshold;

	memcpy(two, self->kek.envelope, ENVELOPE_SIZE);
	memcpy(two + ENVELOPE_SIZE, self->kek.envelope + head, share);
	two[ENVELOPE_SIZE] = 2;		/* index */
	two[6] = 2;			/* shares */
	for (threshold = 1; threshold <= 2; threshold++) {
		two[5] = threshold;
		EXPECT_NE(0, unseal_start(self->nl, two, ENVELOPE_SIZE + share,
					  0, &r));
		EXPECT_NE(0, r.text[0]);
	}
}

TEST_F(netlink, a_pinned_name_takes_no_other_id)
{
	struct kek_options o = { .name = self->kek.name };
	struct kek other;

	ASSERT_EQ(0, kek_create(self->nl, &self->vault, &o, &other));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, self->kek.name,
			      self->kek.id));
	EXPECT_EQ(-EKEYREJECTED, kek_unseal(self->nl, &self->vault,
					    other.envelope, other.envelope_len));
	EXPECT_EQ(0, kek_held(self->nl, other.id));
	EXPECT_EQ(0, kek_unseal(self->nl, &self->vault, self->kek.envelope,
				self->kek.envelope_len));
}

TEST_F(netlink, a_pin_ends_a_held_kek_of_another_id)
{
	struct kek_options o = { .name = self->kek.name, .version = 7 };
	struct kek other;

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &other));
	ASSERT_EQ(1, kek_held(self->nl, other.id));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, self->kek.name,
			      self->kek.id));
	EXPECT_EQ(0, kek_held(self->nl, other.id));
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, POINT_SIZE);
}

TEST_F(netlink, a_hundred_unseals_give_a_hundred_unlike_challenges)
{
	static uint8_t seen[100][POINT_SIZE];
	const uint8_t *c = self->kek.envelope + ENVELOPE_SIZE - POINT_SIZE;
	struct nl_share share;
	struct nl_reply r;
	uint8_t x[X_SIZE];
	int i;

	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, unseal_start(self->nl, self->kek.envelope,
					  self->kek.envelope_len, 0, &r));
		ASSERT_EQ(0, nl_share_of(&r, &share));
		memcpy(seen[i], share.challenge, POINT_SIZE);
		EXPECT_NE(0, memcmp(seen[i], c, X_SIZE));
		ASSERT_EQ(0, soft_vault_exchange(&self->vault, seen[i], x));
		ASSERT_EQ(0, unseal_answer(self->nl,
					   nl_u64(&r, VAULTRING_A_UNSEAL),
					   share.index, x, 32, NULL));
	}
	qsort(seen, 100, POINT_SIZE, compare);
	for (i = 1; i < 100; i++)
		EXPECT_NE(0, memcmp(seen[i - 1], seen[i], X_SIZE));
}

TEST_HARNESS_MAIN
