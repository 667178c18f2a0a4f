// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long a KEK may be used, and for what: lease, renewal, uses.
 */
#include <endian.h>

#include "lease_fixture.h"

#define RACES 6
#define ROUNDS 4

/*
 * The lease
 */

TEST_F_TIMEOUT(lease, keep_leaves_what_is_open_and_refuses_what_is_new, 60)
{
	struct kek_options o = { .lease = 2 };

	ASSERT_EQ(0, begin(self, &o));
	EXPECT_EQ(-EKEYEXPIRED, refusal_of_setkey(self->blob, PATIENCE_MS));
	EXPECT_TRUE(told(self, VAULTRING_KEK_STATE_EXPIRED, PATIENCE_MS));
	expect_no_new_use(_metadata, self, -EKEYEXPIRED);
	EXPECT_EQ(0, io(self->live));
	/* Once is enough. */
	EXPECT_FALSE(told(self, VAULTRING_KEK_STATE_EXPIRED, 1200));
	EXPECT_EQ(0, io(self->live));
}

TEST_F_TIMEOUT(lease, an_unseal_renews_what_keep_has_left, 60)
{
	struct kek_options o = { .lease = 2 };

	ASSERT_EQ(0, begin(self, &o));
	ASSERT_EQ(-EKEYEXPIRED, refusal_of_setkey(self->blob, PATIENCE_MS));
	ASSERT_TRUE(told(self, VAULTRING_KEK_STATE_EXPIRED, PATIENCE_MS));
	ASSERT_EQ(0, unseal(self));
	EXPECT_EQ(0, setkey(self->blob));
	EXPECT_EQ(0, io(self->live));
	EXPECT_TRUE(told(self, VAULTRING_KEK_STATE_ACTIVE, PATIENCE_MS));
	/* For one lease more, which ends as the first did. */
	EXPECT_EQ(-EKEYEXPIRED, refusal_of_setkey(self->blob, PATIENCE_MS));
	EXPECT_TRUE(told(self, VAULTRING_KEK_STATE_EXPIRED, PATIENCE_MS));
	EXPECT_EQ(0, io(self->live));
}

TEST_F_TIMEOUT(lease, kill_ends_what_is_open_for_good, 60)
{
	struct kek_options o = { .lease = 2,
				 .lease_end = VAULTRING_LEASE_END_KILL };

	ASSERT_EQ(0, begin(self, &o));
	EXPECT_EQ(-EKEYEXPIRED, death_of(self->live, PATIENCE_MS));
	EXPECT_TRUE(told(self, VAULTRING_KEK_STATE_EXPIRED, PATIENCE_MS));
	EXPECT_EQ(-ENOKEY, setkey(self->blob));
	ASSERT_EQ(0, unseal(self));
	EXPECT_EQ(0, setkey(self->blob));
	EXPECT_EQ(-EKEYEXPIRED, io(self->live));
}

TEST_F_TIMEOUT(lease, an_unseal_in_time_goes_on_as_if_nothing_had_been, 60)
{
	struct kek_options o = { .lease = 3,
				 .lease_end = VAULTRING_LEASE_END_KILL };
	int64_t start;

	ASSERT_EQ(0, begin(self, &o));
	start = boot_ms();
	while (boot_ms() < start + 7000) {
		ASSERT_EQ(0, unseal(self));
		EXPECT_EQ(0, setkey(self->blob));
		ASSERT_EQ(0, io(self->live));
		nap(700);
	}
	EXPECT_EQ(-EKEYEXPIRED, death_of(self->live, PATIENCE_MS));
}

TEST_F(lease, no_lease_and_no_dates_are_no_limit)
{
	struct nl_reply r;

	ASSERT_EQ(0, begin(self, NULL));
	ASSERT_EQ(0, kek_get(self->nl, self->kek.id, &r));
	EXPECT_EQ(NULL, r.attr[VAULTRING_A_LEASE_LEFT]);
	ASSERT_EQ(0, set_clock(real_then.tv_sec + YEARS));
	EXPECT_EQ(0, setkey(self->blob));
	EXPECT_EQ(0, io(self->live));
}

TEST_F(lease, the_largest_lease_and_date_do_not_overflow)
{
	struct kek_options o = { .lease = UINT32_MAX, .not_after = UINT64_MAX,
				 .lease_end = VAULTRING_LEASE_END_KILL };
	struct nl_reply r;

	ASSERT_EQ(0, begin(self, &o));
	ASSERT_EQ(0, kek_get(self->nl, self->kek.id, &r));
	EXPECT_GE((uint64_t)UINT32_MAX, nl_u64(&r, VAULTRING_A_LEASE_LEFT));
	EXPECT_LE((uint64_t)UINT32_MAX - 60, nl_u64(&r, VAULTRING_A_LEASE_LEFT));
	ASSERT_EQ(0, set_clock(real_then.tv_sec + YEARS));
	EXPECT_EQ(0, setkey(self->blob));
	nap(1500);
	EXPECT_EQ(0, io(self->live));
}

/*
 * Renewal and end at once
 */

struct racer {
	struct kek kek;
	uint8_t blob[VAULTRING_BLOB_SIZE];
	int live;
	int64_t end;		/* boot time in ms at which the lease's timer goes */
};

static int ready(struct _test_data_lease *self, struct racer *r,
		 const struct kek_options *o)
{
	int err = kek_make(self->nl, &self->vault, o, &r->kek);

	r->end = boot_ms() + 1000 * o->lease;
	r->live = -1;
	if (!err)
		err = new_blob(&r->kek, r->blob, NULL);
	if (!err) {
		r->live = keyed(r->blob);
		err = r->live < 0 ? r->live : 0;
	}
	return err;
}

static void done(struct _test_data_lease *self, struct racer *r)
{
	close(r->live);
	kek_revoke(self->nl, &r->kek);
}

/* Unseals just when the lease ends; -EAGAIN says to try again. */
static int renew(struct _test_data_lease *self, struct racer *r, int off_ms)
{
	int64_t now = boot_ms(), at = r->end + off_ms;
	int err, tries = 0;

	if (at > now)
		nap(at - now);
	do {
		err = kek_unseal(self->nl, &self->vault, r->kek.envelope,
				 r->kek.envelope_len);
	} while (err == -EAGAIN && tries++ < 100);
	return err;
}

TEST_F_TIMEOUT(lease, a_renewal_that_races_the_end_leaves_a_good_kek, 120)
{
	static const int off[RACES] = { -400, -60, -30, -10, 20, 300 };
	struct kek_options o = { .lease = 2,
				 .lease_end = VAULTRING_LEASE_END_KILL };
	int round, i, err, survived = 0, died = 0;
	struct racer r[RACES];

	for (round = 0; round < 2 * ROUNDS; round++) {
		/* Odd rounds: keep, under which nothing ever dies. */
		o.lease_end = round & 1 ? VAULTRING_LEASE_END_KEEP :
					  VAULTRING_LEASE_END_KILL;
		for (i = 0; i < RACES; i++)
			ASSERT_EQ(0, ready(self, &r[i], &o));
		for (i = 0; i < RACES; i++) {
			ASSERT_EQ(0, renew(self, &r[i], off[i]));
			ASSERT_EQ(0, setkey(r[i].blob));
			err = io(r[i].live);
			EXPECT_TRUE(!err ||
				    (err == -EKEYEXPIRED && !(round & 1)))
				TH_LOG("%s", strerror(-err));
			survived += !(round & 1) && !err;
			died += !(round & 1) && err;
		}
		for (i = 0; i < RACES; i++)
			done(self, &r[i]);
	}
	TH_LOG("kill: %d renewed in time, %d too late", survived, died);
	EXPECT_LT(0, survived);
	EXPECT_LT(0, died);
}

/*
 * An upcall that waits.  The test is the daemon.
 */

static pid_t setkey_in_child(const uint8_t *blob)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	keyctl_join_session_keyring(NULL);
	_exit(-setkey(blob));
}

TEST_F_TIMEOUT(lease, who_waits_for_a_renewal_gets_it_or_learns_why_not, 60)
{
	struct kek_options o = { .lease = 2 };
	struct nl_reply request;
	int daemon;
	pid_t pid;

	ASSERT_EQ(0, begin(self, &o));
	ASSERT_EQ(-EKEYEXPIRED, refusal_of_setkey(self->blob, PATIENCE_MS));
	daemon = daemon_attach();
	ASSERT_GE(daemon, 0);

	pid = setkey_in_child(self->blob);
	ASSERT_EQ(0, daemon_next(daemon, &request, PATIENCE_MS));
	EXPECT_EQ(0, daemon_fail(daemon, &request, ENOENT));
	EXPECT_EQ(EKEYEXPIRED, outcome(pid));

	pid = setkey_in_child(self->blob);
	ASSERT_EQ(0, daemon_next(daemon, &request, PATIENCE_MS));
	EXPECT_EQ(0, daemon_fail(daemon, &request, EAGAIN));
	EXPECT_EQ(EAGAIN, outcome(pid));

	pid = setkey_in_child(self->blob);
	ASSERT_EQ(0, daemon_next(daemon, &request, PATIENCE_MS));
	ASSERT_EQ(0, unseal(self));
	EXPECT_EQ(0, outcome(pid));
	close(daemon);
}

TEST_F_TIMEOUT(lease, who_waits_for_what_kill_has_ended_gets_a_new_one, 60)
{
	struct kek_options o = { .lease = 2,
				 .lease_end = VAULTRING_LEASE_END_KILL };
	struct nl_reply request;
	int daemon;
	pid_t pid;

	ASSERT_EQ(0, begin(self, &o));
	daemon = daemon_attach();
	ASSERT_GE(daemon, 0);
	ASSERT_EQ(-EKEYEXPIRED, death_of(self->live, PATIENCE_MS));
	pid = setkey_in_child(self->blob);
	ASSERT_EQ(0, daemon_next(daemon, &request, PATIENCE_MS));
	ASSERT_EQ(0, unseal(self));
	EXPECT_EQ(0, outcome(pid));
	EXPECT_EQ(-EKEYEXPIRED, io(self->live));
	close(daemon);
}

/*
 * Uses, and that nothing of all this can be changed
 */

TEST_F(lease, each_use_that_is_not_allowed_is_refused_for_new_keys)
{
	static const char *const use[] = { "xts", "cbc", "ctr", "gcm",
					   "fscrypt" };
	char words[128];
	int i, j;

	for (i = 0; i < 5; i++) {
		struct kek_options o = { .uses = 2u << i };

		ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &self->kek));
		for (j = 0; j < 5; j++) {
			snprintf(words, sizeof(words), "new kek=%.63s use=%s",
				 self->kek.name, use[j]);
			EXPECT_EQ(i == j ? 0 : -EOPNOTSUPP,
				  dek_new(words, KEY_SPEC_PROCESS_KEYRING, NULL,
					  NULL))
				TH_LOG("%s under a KEK for %s", use[j], use[i]);
		}
		EXPECT_EQ(0, kek_revoke(self->nl, &self->kek));
	}
}

TEST_F(lease, a_rewrap_does_not_widen_the_uses)
{
	struct kek_options o = { .uses = 1 << VAULTRING_USE_FSCRYPT,
				 .version = 2 };
	uint8_t after[VAULTRING_BLOB_SIZE];
	struct kek second;
	char words[128];

	ASSERT_EQ(0, begin(self, NULL));
	o.name = self->kek.name;
	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &second));
	snprintf(words, sizeof(words), "rewrap kek=%.63s", second.name);
	EXPECT_EQ(-1, keyctl_update(self->dek, words, strlen(words)));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(0, blob_of(self->dek, after));
	EXPECT_EQ(0, memcmp(self->blob, after, sizeof(after)));
	kek_revoke(self->nl, &second);
}

TEST_F(lease, no_limit_can_be_taken_off_an_envelope)
{
	static const uint32_t ids[] = { 1000, 1001 };
	static const struct {
		const char *what;
		size_t at, len;
	} limits[] = {
		{ "lease_end", 7, 1 }, { "not_before", 16, 8 },
		{ "not_after", 24, 8 }, { "lease", 32, 4 },
	};
	struct kek_options o = {
		.uids = ids, .n_uids = 2, .gids = ids, .n_gids = 2,
		.uses = 1 << VAULTRING_USE_XTS, .lease = 60,
		.lease_end = VAULTRING_LEASE_END_KILL,
		.not_before = real_then.tv_sec - DAY,
		.not_after = real_then.tv_sec + DAY,
	};
	struct vaultring_envelope *head = (void *)self->kek.envelope;
	uint8_t good[VAULTRING_MAX_ENVELOPE];
	size_t i;

	ASSERT_EQ(0, kek_create(self->nl, &self->vault, &o, &self->kek));
	memcpy(good, self->kek.envelope, sizeof(good));
	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		memset(self->kek.envelope + limits[i].at, 0, limits[i].len);
		EXPECT_EQ(-EKEYREJECTED, unseal(self))
			TH_LOG("without %s", limits[i].what);
		memcpy(self->kek.envelope, good, sizeof(good));
	}
	head->uses = htole32(ALL_USES);
	EXPECT_EQ(-EKEYREJECTED, unseal(self));
	memcpy(self->kek.envelope, good, sizeof(good));
	head->uid[1] = htole32(NOBODY);
	EXPECT_EQ(-EKEYREJECTED, unseal(self));
	memcpy(self->kek.envelope, good, sizeof(good));
	head->gids = 0;
	memset(head->gid, 0, sizeof(head->gid));
	EXPECT_EQ(-EKEYREJECTED, unseal(self));
	memcpy(self->kek.envelope, good, sizeof(good));
	EXPECT_EQ(0, unseal(self));
}

TEST_HARNESS_MAIN
