/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fixture of the tests about several vaults: eight of them, pinned, with
 * their keys in this process, and an unseal with what each would answer.
 */
#ifndef THRESHOLD_FIXTURE_H
#define THRESHOLD_FIXTURE_H

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "vr_test.h"

#define VAULTS VAULTRING_MAX_SHARES
#define GOES_ON 1

/* An unseal under way: x[i] is the right answer for share i + 1. */
struct unseal {
	int nl, n;
	uint64_t id;
	uint8_t x[VAULTS][X_SIZE];
	struct nl_reply r;	/* to the last message */
};

/* A KEK that @k of the first @n vaults guard. */
static inline int make_kek(int nl, const struct soft_vault *vaults, int n,
			   int k, struct kek *kek)
{
	struct kek_options o = {
		.vaults = vaults, .n_vaults = n, .threshold = k,
	};

	return kek_create(nl, NULL, &o, kek);
}

static inline int begin(struct unseal *u, int nl,
			const struct soft_vault *vaults, const struct kek *kek,
			uint32_t ms)
{
	struct nl_share shares[VAULTS];
	int i, err;

	u->nl = nl;
	err = unseal_start(nl, kek->envelope, kek->envelope_len, ms, &u->r);
	if (err)
		return err;
	u->id = nl_u64(&u->r, VAULTRING_A_UNSEAL);
	u->n = nl_shares_of(&u->r, shares, VAULTS);
	for (i = 0; i < u->n && !err; i++)
		err = shares[i].index != (uint32_t)i + 1 ? -EBADMSG :
		      soft_vault_exchange(&vaults[i], shares[i].challenge,
					  u->x[i]);
	return u->n < 0 ? u->n : err;
}

/*
 * What became of the unseal: GOES_ON, 0 if the KEK is there, or a negative
 * errno, by whichever way the kernel said so.
 */
static inline int outcome_of(int err, const struct nl_reply *r)
{
	if (err)
		return err;
	if (nl_u32(r, VAULTRING_A_STATE) == VAULTRING_KEK_STATE_ACTIVE)
		return 0;
	if (r->attr[VAULTRING_A_UNSEAL])
		return GOES_ON;
	return r->attr[VAULTRING_A_ERROR] ?
	       -(int)nl_u32(r, VAULTRING_A_ERROR) : -ENOMSG;
}

/* Vault @i answers @x. */
static inline int answer(struct unseal *u, int i, const uint8_t *x)
{
	return outcome_of(unseal_answer(u->nl, u->id, i + 1, x, X_SIZE, &u->r),
			  &u->r);
}

static inline int right(struct unseal *u, int i)
{
	return answer(u, i, u->x[i]);
}

/* Of a point, but not of the right one: that of another vault's key. */
static inline int wrong(struct unseal *u, int i, const struct soft_vault *vaults)
{
	return answer(u, i, vaults[(i + 1) % VAULTS].spki + 27);
}

/* There is no answer of vault @i. */
static inline int none(struct unseal *u, int i, int error)
{
	return outcome_of(unseal_error(u->nl, u->id, i + 1, error, &u->r),
			  &u->r);
}

FIXTURE(threshold)
{
	struct soft_vault vaults[VAULTS];
	struct kek kek;
	struct unseal u;
	int nl;
};

FIXTURE_SETUP(threshold)
{
	int i;

	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, own_session());
	for (i = 0; i < VAULTS; i++)
		ASSERT_EQ(0, soft_vault_make(&self->vaults[i]));
	ASSERT_EQ(0, pins_set_all(self->nl, self->vaults, VAULTS, NULL, NULL));
}

FIXTURE_TEARDOWN(threshold)
{
	int i;

	kek_revoke(self->nl, &self->kek);
	pins_set(self->nl, NULL, NULL, NULL);
	for (i = 0; i < VAULTS; i++)
		soft_vault_free(&self->vaults[i]);
	close(self->nl);
}

#define MAKE(n, k) make_kek(self->nl, self->vaults, n, k, &self->kek)
#define BEGIN() begin(&self->u, self->nl, self->vaults, &self->kek, 0)
#define RIGHT(i) right(&self->u, i)
#define WRONG(i) wrong(&self->u, i, self->vaults)
#define NONE(i, error) none(&self->u, i, error)
#define HELD() kek_held(self->nl, self->kek.id)

#endif /* THRESHOLD_FIXTURE_H */
