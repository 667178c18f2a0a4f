// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Resealing: another envelope for the same KEK, for whoever has the vaults that
 * the first one needs, and for root alone.
 */
#include <stddef.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <linux/capability.h>

#include "threshold_fixture.h"

#define SALT offsetof(struct vaultring_envelope, salt)

/* No threshold is said. */
#define AS_IT_WAS -1

/* What it takes of the vaults of @kek to have @k of the @n at @to guard it. */
static int reseal(struct unseal *u, int nl, const struct soft_vault *from,
		  const struct kek *kek, const struct soft_vault *to, int n,
		  int k, char *text)
{
	struct nl_share shares[VAULTS];
	struct nl_msg m;
	int i, err;

	u->nl = nl;
	nl_start(&m, VAULTRING_CMD_RESEAL_START, 0);
	nl_put(&m, VAULTRING_A_ENVELOPE, kek->envelope, kek->envelope_len);
	nl_put_text(&m, VAULTRING_A_NAME, kek->name);
	nl_put_u32(&m, VAULTRING_A_VERSION, 1);
	if (k != AS_IT_WAS)
		nl_put_u32(&m, VAULTRING_A_THRESHOLD, k);
	for (i = 0; i < n; i++)
		nl_put_vault(&m, &to[i]);
	err = nl_call(nl, &m, &u->r);
	if (err && text)
		strcpy(text, u->r.text);
	if (err)
		return err;
	u->id = nl_u64(&u->r, VAULTRING_A_UNSEAL);
	u->n = nl_shares_of(&u->r, shares, VAULTS);
	for (i = 0; i < u->n && !err; i++)
		err = soft_vault_exchange(&from[i], shares[i].challenge,
					  u->x[i]);
	return err;
}

/* The last answer brought the new envelope; it is @made's from now on. */
static int take(const struct unseal *u, const struct kek *kek, struct kek *made)
{
	const struct nl_reply *r = &u->r;

	if (!r->attr[VAULTRING_A_ENVELOPE] || r->attr[VAULTRING_A_STATE] ||
	    r->attr[VAULTRING_A_UNSEAL])
		return -ENOMSG;
	*made = *kek;
	made->envelope_len = r->attr_len[VAULTRING_A_ENVELOPE];
	memcpy(made->envelope, r->attr[VAULTRING_A_ENVELOPE],
	       made->envelope_len);
	return 0;
}

/* Of an answer that must not have brought one. */
static int last_of(const struct unseal *u, int err)
{
	return !err && u->r.attr[VAULTRING_A_ENVELOPE] ? 0 :
	       outcome_of(err, &u->r);
}

static int answer_last(struct unseal *u, int i)
{
	return last_of(u, unseal_answer(u->nl, u->id, i + 1, u->x[i], X_SIZE,
					&u->r));
}

#define RESEAL(to, n, k) \
	reseal(&self->u, self->nl, self->vaults, &self->kek, to, n, k, NULL)

static int new_blob(const struct kek *kek, uint8_t *blob)
{
	char words[96];

	snprintf(words, sizeof(words), "new kek=%s use=xts bits=512",
		 kek->name);
	return dek_new(words, KEY_SPEC_SESSION_KEYRING, blob, NULL);
}

TEST_F_TIMEOUT(threshold, another_vault_opens_the_same_blobs, 120)
{
	uint8_t blob[VAULTRING_BLOB_SIZE], old[VAULTRING_DEK_MAX];
	uint8_t dek[VAULTRING_DEK_MAX];
	const struct soft_vault *first = &self->vaults[0];
	const struct soft_vault *second = &self->vaults[1];
	struct kek made;

	ASSERT_EQ(0, kek_make(self->nl, first, NULL, &self->kek));
	ASSERT_EQ(0, new_blob(&self->kek, blob));
	ASSERT_EQ(64, oracle_dek_of(&first, 1, &self->kek, blob, old));
	ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));

	ASSERT_EQ(0, RESEAL(second, 1, 1));
	ASSERT_EQ(0, answer_last(&self->u, 0));
	ASSERT_EQ(0, take(&self->u, &self->kek, &made));
	/* Nothing is held because of it. */
	EXPECT_EQ(0, HELD());
	/* All but salt, HMAC and shares is as it was. */
	EXPECT_EQ(0, memcmp(made.envelope, self->kek.envelope, SALT));
	EXPECT_NE(0, memcmp(made.envelope + SALT, self->kek.envelope + SALT,
			    32));

	ASSERT_EQ(0, kek_unseal(self->nl, second, made.envelope,
				made.envelope_len));
	EXPECT_EQ(1, HELD());
	EXPECT_LT(0, dek_load(blob, sizeof(blob), KEY_SPEC_SESSION_KEYRING));
	EXPECT_EQ(64, oracle_dek_of(&second, 1, &made, blob, dek));
	EXPECT_EQ(0, memcmp(dek, old, 64));
	ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));

	/* The first vault has no part in the new one, and the old one goes on. */
	EXPECT_EQ(-EKEYREJECTED, kek_unseal(self->nl, first, made.envelope,
					    made.envelope_len));
	EXPECT_EQ(0, kek_unseal(self->nl, first, self->kek.envelope,
				self->kek.envelope_len));
}

TEST_F(threshold, one_vault_becomes_two_of_three_and_these_one_again)
{
	struct kek three, one;
	struct unseal u;
	int i;

	ASSERT_EQ(0, MAKE(1, 1));
	ASSERT_EQ(0, RESEAL(self->vaults + 1, 3, 2));
	ASSERT_EQ(0, answer_last(&self->u, 0));
	ASSERT_EQ(0, take(&self->u, &self->kek, &three));
	ASSERT_EQ(0, begin(&u, self->nl, self->vaults + 1, &three, 0));
	ASSERT_EQ(3, u.n);
	EXPECT_EQ(GOES_ON, right(&u, 2));
	EXPECT_EQ(0, HELD());
	EXPECT_EQ(0, right(&u, 0));
	EXPECT_EQ(1, HELD());

	/* While it is held, too. */
	ASSERT_EQ(0, reseal(&u, self->nl, self->vaults + 1, &three,
			    self->vaults + 5, 1, 1, NULL));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(i ? 0 : GOES_ON, answer_last(&u, i));
	ASSERT_EQ(0, take(&u, &three, &one));
	EXPECT_EQ(1, HELD());
	ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	EXPECT_EQ(0, kek_unseal(self->nl, &self->vaults[5], one.envelope,
				one.envelope_len));
	EXPECT_EQ(1, HELD());
}

TEST_F(threshold, too_few_or_wrong_answers_bring_no_envelope)
{
	ASSERT_EQ(0, MAKE(2, 2));
	ASSERT_EQ(0, RESEAL(self->vaults + 2, 1, 1));
	EXPECT_EQ(GOES_ON, RIGHT(0));
	EXPECT_EQ(NULL, self->u.r.attr[VAULTRING_A_ENVELOPE]);
	EXPECT_EQ(-EKEYREJECTED, WRONG(1));
	EXPECT_EQ(-ENOENT, RIGHT(1));

	ASSERT_EQ(0, RESEAL(self->vaults + 2, 1, 1));
	EXPECT_EQ(GOES_ON, RIGHT(0));
	EXPECT_EQ(-EACCES, NONE(1, EACCES));
	EXPECT_EQ(NULL, self->u.r.attr[VAULTRING_A_ENVELOPE]);
}

TEST_F(threshold, a_changed_envelope_is_not_resealed)
{
	/* A use more: the vault's answer is right, the HMAC is not. */
	ASSERT_EQ(0, MAKE(1, 1));
	self->kek.envelope[offsetof(struct vaultring_envelope, uses)] ^= 2;
	ASSERT_EQ(0, RESEAL(self->vaults + 1, 1, 1));
	EXPECT_EQ(-EKEYREJECTED, RIGHT(0));
	EXPECT_EQ(NULL, self->u.r.attr[VAULTRING_A_ENVELOPE]);
}

TEST_F(threshold, a_name_pinned_to_another_kek_is_not_resealed)
{
	uint8_t id[VAULTRING_ID_SIZE] = { 1 };

	ASSERT_EQ(0, MAKE(1, 1));
	ASSERT_EQ(0, pins_set_all(self->nl, self->vaults, VAULTS,
				  self->kek.name, id));
	EXPECT_EQ(-EKEYREJECTED, RESEAL(self->vaults + 1, 1, 1));
	/* Nor if the pin comes while the vault is asked. */
	ASSERT_EQ(0, pins_set_all(self->nl, self->vaults, VAULTS, NULL, NULL));
	ASSERT_EQ(0, RESEAL(self->vaults + 1, 1, 1));
	ASSERT_EQ(0, pins_set_all(self->nl, self->vaults, VAULTS,
				  self->kek.name, id));
	EXPECT_EQ(-EKEYREJECTED, RIGHT(0));
	EXPECT_EQ(NULL, self->u.r.attr[VAULTRING_A_ENVELOPE]);
}

/* Who hands root the envelope may have another KEK in mind. */
TEST_F(threshold, another_keks_envelope_is_not_resealed)
{
	struct kek other;

	ASSERT_EQ(0, MAKE(1, 1));
	other = self->kek;
	strcat(other.name, "2");
	EXPECT_EQ(-EKEYREJECTED, reseal(&self->u, self->nl, self->vaults, &other,
					self->vaults + 1, 1, 1, NULL));
	EXPECT_EQ(0, RESEAL(self->vaults + 1, 1, 1));
}

TEST_F(threshold, the_threshold_stays_unless_another_is_said)
{
	struct kek made;

	ASSERT_EQ(0, MAKE(2, 2));
	EXPECT_EQ(-EINVAL, RESEAL(self->vaults + 2, 1, AS_IT_WAS));
	ASSERT_EQ(0, RESEAL(self->vaults + 2, 3, AS_IT_WAS));
	ASSERT_EQ(GOES_ON, answer_last(&self->u, 0));
	ASSERT_EQ(0, answer_last(&self->u, 1));
	ASSERT_EQ(0, take(&self->u, &self->kek, &made));
	EXPECT_EQ(2, made.envelope[offsetof(struct vaultring_envelope,
					    threshold)]);
}

TEST_F(threshold, a_vault_that_root_trusts_no_more_gets_none)
{
	ASSERT_EQ(0, MAKE(1, 1));
	ASSERT_EQ(0, RESEAL(self->vaults + 1, 1, 1));
	ASSERT_EQ(0, pins_set_all(self->nl, self->vaults, 1, NULL, NULL));
	EXPECT_EQ(-EACCES, RIGHT(0));
	EXPECT_EQ(NULL, self->u.r.attr[VAULTRING_A_ENVELOPE]);
}

TEST_F(threshold, what_cannot_be_created_cannot_be_resealed_either)
{
	struct soft_vault same[2] = { self->vaults[1], self->vaults[1] };
	char text[256] = "";

	ASSERT_EQ(0, MAKE(1, 1));
	EXPECT_EQ(-EINVAL, RESEAL(self->vaults + 1, 2, 3));
	EXPECT_EQ(-EINVAL, RESEAL(self->vaults + 1, 2, 0));
	EXPECT_EQ(-EINVAL, RESEAL(same, 2, 1));
	ASSERT_EQ(0, pins_set_all(self->nl, self->vaults, 1, NULL, NULL));
	EXPECT_EQ(-EACCES, reseal(&self->u, self->nl, self->vaults, &self->kek,
				  self->vaults + 1, 1, 1, text));
	EXPECT_NE(NULL, strstr(text, "not pinned"));
}

/* As the daemon is: CAP_NET_ADMIN is not enough. */
static int try_without_sys_admin(void *arg)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[2] = {
		{ .effective = 1 << CAP_NET_ADMIN,
		  .permitted = 1 << CAP_NET_ADMIN },
	};
	struct { struct kek *kek; struct soft_vault *vaults; } *a = arg;
	struct unseal u;
	int nl, err;

	if (syscall(SYS_capset, &head, caps))
		return 120;
	nl = nl_open();
	if (nl < 0)
		return 121;
	err = reseal(&u, nl, a->vaults, a->kek, a->vaults + 1, 1, 1, NULL);
	if (err != -EPERM)
		return 122;
	/* It is not all that is refused there. */
	return begin(&u, nl, a->vaults, a->kek, 0) ? 123 : 0;
}

TEST_F(threshold, the_daemon_cannot_have_a_kek_resealed)
{
	struct { struct kek *kek; struct soft_vault *vaults; } arg = {
		&self->kek, self->vaults,
	};
	pid_t child;

	ASSERT_EQ(0, MAKE(1, 1));
	child = fork();
	if (!child)
		_exit(try_without_sys_admin(&arg));
	EXPECT_EQ(0, outcome(child));
	ASSERT_EQ(0, RESEAL(self->vaults + 1, 1, 1));
	EXPECT_EQ(0, answer_last(&self->u, 0));
}

TEST_HARNESS_MAIN
