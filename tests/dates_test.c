// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From when and until when a KEK may be used, whatever is done to the clock.
 */
#include "lease_fixture.h"

/*
 * Dates
 */

/* time(2) is up to a tick behind the clock that the kernel goes by. */
static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec;
}

TEST_F_TIMEOUT(lease, before_its_first_day_it_is_refused_and_then_works, 60)
{
	struct kek_options o = { .not_before = time(NULL) + 4 };
	int64_t end = boot_ms() + PATIENCE_MS;
	int err, refusals = 0;

	ASSERT_EQ(0, kek_create(self->nl, &self->vault, &o, &self->kek));
	while ((err = unseal(self)) == -EKEYEXPIRED && boot_ms() < end) {
		refusals++;
		nap(50);
	}
	ASSERT_EQ(0, err);
	EXPECT_LE(o.not_before, now());
	EXPECT_LT(0, refusals);
	EXPECT_EQ(0, new_blob(&self->kek, self->blob, NULL));
	EXPECT_EQ(0, setkey(self->blob));
}

TEST_F_TIMEOUT(lease, after_its_last_day_nothing_new_is_opened, 60)
{
	struct kek_options o = { .not_after = time(NULL) + 4 };

	ASSERT_EQ(0, begin(self, &o));
	ASSERT_EQ(-EKEYEXPIRED, refusal_of_setkey(self->blob, PATIENCE_MS));
	EXPECT_LE(o.not_after, now());
	EXPECT_TRUE(told(self, VAULTRING_KEK_STATE_EXPIRED, PATIENCE_MS));
	expect_no_new_use(_metadata, self, -EKEYEXPIRED);
	EXPECT_EQ(0, io(self->live));
	EXPECT_EQ(-EKEYEXPIRED, unseal(self));
}

TEST_F_TIMEOUT(lease, after_its_last_day_kill_ends_what_is_open, 60)
{
	struct kek_options o = { .not_after = time(NULL) + 4,
				 .lease_end = VAULTRING_LEASE_END_KILL };

	ASSERT_EQ(0, begin(self, &o));
	EXPECT_EQ(-EKEYEXPIRED, death_of(self->live, PATIENCE_MS));
	EXPECT_LE(o.not_after, now());
	EXPECT_TRUE(told(self, VAULTRING_KEK_STATE_EXPIRED, PATIENCE_MS));
	EXPECT_EQ(-EKEYEXPIRED, unseal(self));
}

TEST_F_TIMEOUT(lease, the_earlier_of_lease_and_last_day_counts, 60)
{
	struct kek_options lease_first = { .not_after = time(NULL) + DAY,
					   .lease = 2 };
	struct kek_options day_first = { .not_after = time(NULL) + 6,
					 .lease = DAY };

	ASSERT_EQ(0, begin(self, &lease_first));
	EXPECT_EQ(-EKEYEXPIRED, refusal_of_setkey(self->blob, PATIENCE_MS));
	kek_revoke(self->nl, &self->kek);
	close(self->live);
	ASSERT_EQ(0, begin(self, &day_first));
	EXPECT_EQ(-EKEYEXPIRED, refusal_of_setkey(self->blob, PATIENCE_MS));
	EXPECT_EQ(-EKEYEXPIRED, unseal(self));
}

/*
 * Steps of the wall clock
 */

static uint64_t lease_left(struct _test_data_lease *self)
{
	struct nl_reply r;

	return kek_get(self->nl, self->kek.id, &r) ? 0 :
		nl_u64(&r, VAULTRING_A_LEASE_LEFT);
}

TEST_F(lease, no_step_of_the_clock_shortens_or_lengthens_a_lease)
{
	const time_t steps[] = { real_then.tv_sec + YEARS, 10 * DAY,
				 real_then.tv_sec - 3600 };
	struct kek_options o = { .lease = 600,
				 .lease_end = VAULTRING_LEASE_END_KILL };
	size_t i;

	ASSERT_EQ(0, begin(self, &o));
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		ASSERT_EQ(0, set_clock(steps[i]));
		EXPECT_EQ(0, setkey(self->blob));
		EXPECT_EQ(0, io(self->live));
		EXPECT_GE(600, lease_left(self));
		EXPECT_LE(560, lease_left(self));
	}
}

TEST_F_TIMEOUT(lease, a_clock_set_to_1970_does_not_keep_a_lease_alive, 60)
{
	struct kek_options o = { .lease = 3,
				 .lease_end = VAULTRING_LEASE_END_KILL };
	int64_t start;

	ASSERT_EQ(0, begin(self, &o));
	start = boot_ms();
	ASSERT_EQ(0, set_clock(10 * DAY));
	EXPECT_EQ(-EKEYEXPIRED, death_of(self->live, PATIENCE_MS));
	EXPECT_GT(10000, boot_ms() - start);
}

TEST_F_TIMEOUT(lease, the_last_day_is_the_wall_clocks, 60)
{
	struct kek_options o = { .not_after = time(NULL) + 3600 };

	ASSERT_EQ(0, begin(self, &o));
	ASSERT_EQ(0, set_clock(real_then.tv_sec + 7200));
	EXPECT_EQ(-EKEYEXPIRED, setkey(self->blob));
	expect_no_new_use(_metadata, self, -EKEYEXPIRED);
	EXPECT_EQ(-EKEYEXPIRED, unseal(self));
	EXPECT_EQ(0, io(self->live));
}

TEST_F_TIMEOUT(lease, a_kek_seen_past_its_last_day_is_over_until_an_unseal, 60)
{
	struct kek_options o = { .not_after = time(NULL) + 3600 };

	ASSERT_EQ(0, begin(self, &o));
	ASSERT_EQ(0, set_clock(real_then.tv_sec + YEARS));
	EXPECT_EQ(-EKEYEXPIRED, setkey(self->blob));
	ASSERT_EQ(0, put_clock_right());
	EXPECT_EQ(-EKEYEXPIRED, setkey(self->blob));
	expect_no_new_use(_metadata, self, -EKEYEXPIRED);
	EXPECT_TRUE(told(self, VAULTRING_KEK_STATE_EXPIRED, PATIENCE_MS));
	ASSERT_EQ(0, unseal(self));
	EXPECT_EQ(0, setkey(self->blob));
}

TEST_F_TIMEOUT(lease, a_step_past_the_last_day_kills_what_is_open, 60)
{
	struct kek_options o = { .not_after = time(NULL) + 3600,
				 .lease_end = VAULTRING_LEASE_END_KILL };

	ASSERT_EQ(0, begin(self, &o));
	ASSERT_EQ(0, set_clock(real_then.tv_sec + 7200));
	/* With nobody who asks for it. */
	EXPECT_EQ(-EKEYEXPIRED, death_of(self->live, PATIENCE_MS));
	ASSERT_EQ(0, put_clock_right());
	EXPECT_EQ(-EKEYEXPIRED, io(self->live));
}

TEST_F(lease, a_clock_set_before_the_first_day_refuses_what_is_new)
{
	struct kek_options o = { .not_before = real_then.tv_sec - 3600 };

	ASSERT_EQ(0, begin(self, &o));
	ASSERT_EQ(0, set_clock(10 * DAY));
	expect_no_new_use(_metadata, self, -EKEYEXPIRED);
	EXPECT_EQ(0, io(self->live));
	ASSERT_EQ(0, put_clock_right());
	EXPECT_EQ(0, unseal(self));
	EXPECT_EQ(0, setkey(self->blob));
}

TEST_HARNESS_MAIN
