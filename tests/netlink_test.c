// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The netlink family: who may speak, and what the kernel makes of wrong
 * messages.
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

#include "netlink_fixture.h"

/* P-256's p */
static const uint8_t prime[32] = {
	0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
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
