// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The netlink family: who may speak, what the kernel makes of wrong messages,
 * and that no answer but the right one unseals a KEK.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <openssl/sha.h>

#include "kselftest_harness.h"
#include "vr_test.h"

FIXTURE(netlink)
{
	struct soft_vault vault;
	struct kek kek;		/* created, not unsealed */
	int nl;
};

FIXTURE_SETUP(netlink)
{
	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, soft_vault_make(&self->vault));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, NULL, NULL));
	ASSERT_EQ(0, kek_create(self->nl, &self->vault, NULL, &self->kek));
}

FIXTURE_TEARDOWN(netlink)
{
	kek_revoke(self->nl, &self->kek);
	pins_set(self->nl, NULL, NULL, NULL);
	soft_vault_free(&self->vault);
	close(self->nl);
}

/* P-256: p, the order n, and the generator. */
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

/* Each command, empty: the refusal must come before any parsing. */
static int refused_everywhere(int nl, int want)
{
	static const uint8_t cmds[] = {
		VAULTRING_CMD_STATUS_GET, VAULTRING_CMD_ATTACH,
		VAULTRING_CMD_KEK_CREATE, VAULTRING_CMD_UNSEAL_START,
		VAULTRING_CMD_UNSEAL_ANSWER, VAULTRING_CMD_REQUEST_FAIL,
		VAULTRING_CMD_KEK_GET, VAULTRING_CMD_KEK_REVOKE,
		VAULTRING_CMD_PINS_SET,
	};
	struct nl_msg m;
	size_t i;

	for (i = 0; i < sizeof(cmds); i++) {
		nl_start(&m, cmds[i], 0);
		if (nl_call(nl, &m, NULL) != want)
			return cmds[i];
	}
	nl_start(&m, VAULTRING_CMD_KEK_GET, NLM_F_DUMP);
	if (nl_call(nl, &m, NULL) != want)
		return 100;
	return 0;
}

static int as_user(void *arg)
{
	int nl = nl_open();

	(void)arg;
	return nl < 0 ? 101 : refused_everywhere(nl, -EPERM);
}

static int as_namespace_root(void *arg)
{
	(void)arg;
	if (unshare(CLONE_NEWUSER))
		return 102;
	return as_user(NULL);
}

static int in_new_netns(void *arg)
{
	(void)arg;
	if (unshare(CLONE_NEWNET))
		return 102;
	return nl_open() == -ENOENT ? 0 : 103;
}

TEST_F(netlink, an_unprivileged_user_is_refused_every_command)
{
	EXPECT_EQ(0, as_nobody(as_user, NULL));
}

TEST_F(netlink, the_root_of_a_user_namespace_is_refused_every_command)
{
	EXPECT_EQ(0, as_nobody(as_namespace_root, NULL));
}

TEST_F(netlink, the_family_is_absent_in_another_network_namespace)
{
	EXPECT_EQ(0, in_new_netns(NULL));
}

static int drop_to(const int *keep)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = {};

	d[0].effective = d[0].permitted = 1u << *keep;
	return syscall(SYS_capset, &h, d);
}

TEST_F(netlink, net_admin_alone_may_ask_but_not_set_pins)
{
	const int keep = CAP_NET_ADMIN;
	struct nl_msg m;
	pid_t pid = fork();
	int status;

	if (!pid) {
		int nl = nl_open();

		if (nl < 0 || drop_to(&keep))
			_exit(100);
		nl_start(&m, VAULTRING_CMD_STATUS_GET, 0);
		if (nl_call(nl, &m, NULL))
			_exit(1);
		nl_start(&m, VAULTRING_CMD_PINS_SET, 0);
		_exit(nl_call(nl, &m, NULL) == -EPERM ? 0 : 2);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(netlink, every_refusal_says_why)
{
	struct nl_reply r;
	struct nl_msg m;

	nl_start(&m, VAULTRING_CMD_UNSEAL_START, 0);
	nl_put(&m, VAULTRING_A_ENVELOPE, "garbage", 7);
	EXPECT_NE(0, nl_call(self->nl, &m, &r));
	EXPECT_NE(0, r.text[0]);
	nl_start(&m, VAULTRING_CMD_KEK_CREATE, 0);
	nl_put_text(&m, VAULTRING_A_NAME, "no/name");
	EXPECT_NE(0, nl_call(self->nl, &m, &r));
	EXPECT_NE(0, r.text[0]);
	EXPECT_NE(0, unseal_answer(self->nl, 1ULL << 60, 1, "x", 1, &r));
	EXPECT_NE(0, r.text[0]);
}

TEST_F(netlink, overlong_and_short_attributes_are_refused)
{
	static const uint8_t bytes[8000];
	static const struct {
		int cmd, attr;
		size_t len;
	} wrong[] = {
		{ VAULTRING_CMD_KEK_CREATE, VAULTRING_A_NAME, 64 },
		{ VAULTRING_CMD_KEK_CREATE, VAULTRING_A_NAME, 4000 },
		{ VAULTRING_CMD_KEK_CREATE, VAULTRING_A_NAME, 0 },
		{ VAULTRING_CMD_KEK_CREATE, VAULTRING_A_VERSION, 3 },
		{ VAULTRING_CMD_UNSEAL_START, VAULTRING_A_ENVELOPE, 0 },
		{ VAULTRING_CMD_UNSEAL_START, VAULTRING_A_ENVELOPE, 6145 },
		{ VAULTRING_CMD_UNSEAL_START, VAULTRING_A_ENVELOPE, 8000 },
		{ VAULTRING_CMD_UNSEAL_ANSWER, VAULTRING_A_UNSEAL, 4 },
		{ VAULTRING_CMD_UNSEAL_ANSWER, VAULTRING_A_SHARE, 2 },
		{ VAULTRING_CMD_KEK_GET, VAULTRING_A_ID, 15 },
		{ VAULTRING_CMD_KEK_REVOKE, VAULTRING_A_ID, 17 },
		{ VAULTRING_CMD_PINS_SET, VAULTRING_A_VAULT_PIN, 31 },
		{ VAULTRING_CMD_PINS_SET, VAULTRING_A_VAULT_PIN, 33 },
		{ VAULTRING_CMD_PINS_SET, VAULTRING_A_KEK_PIN, 8 },
		{ VAULTRING_CMD_REQUEST_FAIL, VAULTRING_A_REQUEST, 7 },
	};
	struct nl_msg m;
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		nl_start(&m, wrong[i].cmd, 0);
		nl_put(&m, wrong[i].attr, bytes, wrong[i].len);
		EXPECT_NE(0, nl_call(self->nl, &m, NULL))
			TH_LOG("case %zu", i);
	}
}

TEST_F(netlink, missing_attributes_are_refused)
{
	static const int cmds[] = {
		VAULTRING_CMD_KEK_CREATE, VAULTRING_CMD_UNSEAL_START,
		VAULTRING_CMD_UNSEAL_ANSWER, VAULTRING_CMD_REQUEST_FAIL,
		VAULTRING_CMD_KEK_GET, VAULTRING_CMD_KEK_REVOKE,
	};
	struct nl_msg m;
	size_t i;

	for (i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		nl_start(&m, cmds[i], 0);
		EXPECT_EQ(-EINVAL, nl_call(self->nl, &m, NULL))
			TH_LOG("command %d", cmds[i]);
	}
	nl_start(&m, 99, 0);
	EXPECT_EQ(-EOPNOTSUPP, nl_call(self->nl, &m, NULL));
}

static void put_share(struct nl_msg *m, const void *spki, size_t len, int method)
{
	size_t nest = nl_nest(m, VAULTRING_A_SHARE);

	nl_put_u32(m, VAULTRING_A_SHARE_METHOD, method);
	nl_put_text(m, VAULTRING_A_SHARE_VAULT, "test");
	nl_put(m, VAULTRING_A_SHARE_PUBLIC_KEY, spki, len);
	nl_nest_end(m, nest);
}

static int create(int nl, const void *spki, size_t len, int method)
{
	struct nl_msg m;

	nl_start(&m, VAULTRING_CMD_KEK_CREATE, 0);
	nl_put_text(&m, VAULTRING_A_NAME, "t-create");
	nl_put_u32(&m, VAULTRING_A_VERSION, 1);
	nl_put_u32(&m, VAULTRING_A_USES, ALL_USES);
	put_share(&m, spki, len, method);
	return nl_call(nl, &m, NULL);
}

/* Pinned first, so that the key itself is what gets refused. */
static int create_pinned(int nl, const uint8_t *spki, size_t len)
{
	struct soft_vault v = {};

	SHA256(spki, len, v.fingerprint);
	if (pins_set(nl, &v, NULL, NULL))
		return 1;
	return create(nl, spki, len, VAULTRING_METHOD_OBLIVIOUS);
}

TEST_F(netlink, an_unpinned_vault_key_is_refused)
{
	struct soft_vault other;

	ASSERT_EQ(0, soft_vault_make(&other));
	EXPECT_EQ(-EACCES, create(self->nl, other.spki, SPKI_SIZE,
				  VAULTRING_METHOD_OBLIVIOUS));
	EXPECT_EQ(0, create(self->nl, self->vault.spki, SPKI_SIZE,
			    VAULTRING_METHOD_OBLIVIOUS));
	soft_vault_free(&other);
}

TEST_F(netlink, a_public_key_that_is_no_point_of_the_curve_is_refused)
{
	uint8_t spki[SPKI_SIZE];
	int err;

	/* x || y are the last 64 bytes. */
	memcpy(spki, self->vault.spki, sizeof(spki));
	spki[90] ^= 1;
	err = create_pinned(self->nl, spki, sizeof(spki));
	EXPECT_TRUE(err == -EINVAL || err == -EKEYREJECTED)
		TH_LOG("off the curve: %d", err);
	memset(spki + 27, 0, 64);
	err = create_pinned(self->nl, spki, sizeof(spki));
	EXPECT_TRUE(err == -EINVAL || err == -EKEYREJECTED)
		TH_LOG("zero: %d", err);
	memcpy(spki + 27, prime, 32);
	memcpy(spki + 59, prime, 32);
	err = create_pinned(self->nl, spki, sizeof(spki));
	EXPECT_TRUE(err == -EINVAL || err == -EKEYREJECTED)
		TH_LOG("(p, p): %d", err);
	memset(spki + 27, 0xff, 64);
	err = create_pinned(self->nl, spki, sizeof(spki));
	EXPECT_TRUE(err == -EINVAL || err == -EKEYREJECTED)
		TH_LOG("all ones: %d", err);
}

TEST_F(netlink, a_public_key_in_the_wrong_der_is_refused)
{
	uint8_t spki[SPKI_SIZE];
	int i, err;

	for (i = 0; i < 27; i++) {	/* all that comes before the point */
		memcpy(spki, self->vault.spki, sizeof(spki));
		spki[i] ^= 1;
		err = create_pinned(self->nl, spki, sizeof(spki));
		EXPECT_TRUE(err == -EINVAL || err == -EKEYREJECTED ||
			    err == -EOPNOTSUPP)
			TH_LOG("byte %d: %d", i, err);
	}
	EXPECT_NE(0, create_pinned(self->nl, self->vault.spki, 90));
	EXPECT_NE(0, create_pinned(self->nl, self->vault.spki + 26, 65));
}

TEST_F(netlink, more_shares_or_another_method_are_refused_clearly)
{
	struct nl_reply r;
	struct nl_msg m;
	int i, err;

	for (i = 2; i <= 3; i++)	/* sealed, clear */
		EXPECT_NE(0, create(self->nl, self->vault.spki, SPKI_SIZE, i));
	for (i = 2; i < 12; i += 7) {
		int j;

		nl_start(&m, VAULTRING_CMD_KEK_CREATE, 0);
		nl_put_text(&m, VAULTRING_A_NAME, "t-more");
		nl_put_u32(&m, VAULTRING_A_VERSION, 1);
		nl_put_u32(&m, VAULTRING_A_USES, ALL_USES);
		nl_put_u32(&m, VAULTRING_A_THRESHOLD, 2);
		for (j = 0; j < i; j++)
			put_share(&m, self->vault.spki, SPKI_SIZE,
				  VAULTRING_METHOD_OBLIVIOUS);
		err = nl_call(self->nl, &m, &r);
		EXPECT_TRUE(err == -EOPNOTSUPP || err == -EINVAL)
			TH_LOG("%d shares: %d", i, err);
		EXPECT_NE(0, r.text[0]);
	}
	/* A threshold that one share cannot meet. */
	nl_start(&m, VAULTRING_CMD_KEK_CREATE, 0);
	nl_put_text(&m, VAULTRING_A_NAME, "t-more");
	nl_put_u32(&m, VAULTRING_A_VERSION, 1);
	nl_put_u32(&m, VAULTRING_A_USES, ALL_USES);
	nl_put_u32(&m, VAULTRING_A_THRESHOLD, 2);
	put_share(&m, self->vault.spki, SPKI_SIZE, VAULTRING_METHOD_OBLIVIOUS);
	EXPECT_NE(0, nl_call(self->nl, &m, &r));
	EXPECT_NE(0, r.text[0]);
}

TEST_F(netlink, wrong_attributes_of_a_new_kek_are_refused)
{
	struct nl_msg m;
	int i;

	for (i = 0; i < 5; i++) {
		nl_start(&m, VAULTRING_CMD_KEK_CREATE, 0);
		nl_put_text(&m, VAULTRING_A_NAME, i == 0 ? "a b" :
			    i == 1 ? "" : "t-wrong");
		nl_put_u32(&m, VAULTRING_A_VERSION, i == 2 ? 0 : 1);
		nl_put_u32(&m, VAULTRING_A_USES, i == 3 ? 0 :
			   i == 4 ? 0x80000000 : ALL_USES);
		put_share(&m, self->vault.spki, SPKI_SIZE,
			  VAULTRING_METHOD_OBLIVIOUS);
		EXPECT_EQ(-EINVAL, nl_call(self->nl, &m, NULL))
			TH_LOG("case %d", i);
	}
	nl_start(&m, VAULTRING_CMD_KEK_CREATE, 0);
	nl_put_text(&m, VAULTRING_A_NAME, "t-wrong");
	nl_put_u32(&m, VAULTRING_A_VERSION, 1);
	nl_put_u32(&m, VAULTRING_A_USES, ALL_USES);
	for (i = 0; i < 9; i++)		/* one more than an envelope holds */
		nl_put_u32(&m, VAULTRING_A_UID, 1000 + i);
	put_share(&m, self->vault.spki, SPKI_SIZE, VAULTRING_METHOD_OBLIVIOUS);
	EXPECT_NE(0, nl_call(self->nl, &m, NULL));
}

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

TEST_F(netlink, a_second_daemon_cannot_attach)
{
	struct nl_msg m;

	/* vaultringd is attached. */
	nl_start(&m, VAULTRING_CMD_ATTACH, 0);
	EXPECT_EQ(-EBUSY, nl_call(self->nl, &m, NULL));
}

static uint32_t state;

static uint32_t dice(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % n;
}

static void put_garbage(struct nl_msg *m, int depth, const struct kek *kek)
{
	uint8_t bytes[512];
	size_t i, len, nest;
	int n = dice(6);

	while (n-- && m->len < 12000) {
		int type = dice(VAULTRING_A_MAX + 3);

		switch (dice(8)) {
		case 0:
			nl_put_u32(m, type, dice(4) ? dice(8) : state);
			break;
		case 1:
			nl_put_u64(m, type, dice(4) ? dice(100) : state);
			break;
		case 2:
			nl_put_text(m, type, dice(2) ? "t-garbage" : "../x\n");
			break;
		case 3:
			nl_put(m, VAULTRING_A_ENVELOPE, kek->envelope,
			       dice(kek->envelope_len + 1));
			break;
		case 4:
		case 5:
			nest = nl_nest(m, type);
			if (depth)
				put_garbage(m, depth - 1, kek);
			nl_nest_end(m, nest);
			if (!dice(6))	/* a length that lies */
				((struct nlattr *)(m->buf + nest))->nla_len =
					dice(70000);
			break;
		default:
			len = dice(sizeof(bytes));
			for (i = 0; i < len; i++)
				bytes[i] = dice(256);
			nl_put(m, dice(9) ? type : (int)dice(65536), bytes, len);
		}
	}
}

TEST_F_TIMEOUT(netlink, thousands_of_random_messages_do_no_harm, 120)
{
	struct nl_msg m;
	size_t cut;
	int i, ok = 0;

	state = 20260711;
	TH_LOG("seed %u", state);
	for (i = 0; i < 4000; i++) {
		int cmd = dice(14);

		/* Pins and revokes of others would disturb the system. */
		if (cmd == VAULTRING_CMD_PINS_SET ||
		    cmd == VAULTRING_CMD_ATTACH)
			continue;
		nl_start(&m, cmd, dice(4) ? 0 : NLM_F_DUMP);
		put_garbage(&m, 4, &self->kek);
		if (!dice(5)) {
			cut = dice(m.len);
			m.len = cut < 20 ? 20 : cut;
		}
		ok += !nl_call(self->nl, &m, NULL);
	}
	TH_LOG("%d of them were valid", ok);
	/* The kernel is alive and its state is sound. */
	EXPECT_EQ(0, kek_unseal(self->nl, &self->vault, self->kek.envelope,
				self->kek.envelope_len));
	EXPECT_EQ(1, kek_held(self->nl, self->kek.id));
}

TEST_HARNESS_MAIN
