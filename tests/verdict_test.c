// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What an unseal by several vaults comes to when some of them lie, refuse, are
 * away or answer at the same time.
 */
#include <pthread.h>
#include <time.h>

#include "threshold_fixture.h"

TEST_F(threshold, one_answer_given_for_two_shares_does_not_do)
{
	ASSERT_EQ(0, MAKE(2, 2));
	ASSERT_EQ(0, BEGIN());
	EXPECT_EQ(GOES_ON, RIGHT(0));
	EXPECT_EQ(-EKEYREJECTED, answer(&self->u, 1, self->u.x[0]));
	EXPECT_EQ(0, HELD());
	EXPECT_EQ(-ENOENT, RIGHT(1));
}

TEST_F(threshold, a_share_is_answered_once)
{
	ASSERT_EQ(0, MAKE(3, 2));
	ASSERT_EQ(0, BEGIN());
	EXPECT_EQ(GOES_ON, RIGHT(0));
	EXPECT_EQ(-ENOENT, RIGHT(0));
	EXPECT_EQ(-ENOENT, NONE(0, EAGAIN));
	EXPECT_EQ(-ENOENT, answer(&self->u, 3, self->u.x[0]));
	/* Of share 0, which there never is. */
	EXPECT_EQ(-EINVAL, answer(&self->u, -1, self->u.x[0]));
	EXPECT_EQ(0, HELD());
	EXPECT_EQ(GOES_ON, NONE(1, EAGAIN));
	EXPECT_EQ(-ENOENT, RIGHT(1));
	EXPECT_EQ(0, RIGHT(2));
	EXPECT_EQ(1, HELD());
}

TEST_F(threshold, a_wrong_answer_is_outvoted_by_a_spare_one)
{
	ASSERT_EQ(0, MAKE(3, 2));
	ASSERT_EQ(0, BEGIN());
	EXPECT_EQ(GOES_ON, WRONG(0));
	EXPECT_EQ(0, nl_u32(&self->u.r, VAULTRING_A_ERROR));
	/* One of the two is wrong, and it is not known which. */
	EXPECT_EQ(GOES_ON, RIGHT(1));
	EXPECT_EQ(EKEYREJECTED, nl_u32(&self->u.r, VAULTRING_A_ERROR));
	EXPECT_EQ(0, HELD());
	EXPECT_EQ(0, RIGHT(2));
	EXPECT_EQ(1, HELD());
}

TEST_F(threshold, an_answer_that_is_no_point_leaves_the_others_their_chance)
{
	static const uint8_t zeros[X_SIZE];

	ASSERT_EQ(0, MAKE(2, 1));
	ASSERT_EQ(0, BEGIN());
	EXPECT_EQ(GOES_ON, answer(&self->u, 0, zeros));
	EXPECT_EQ(EKEYREJECTED, nl_u32(&self->u.r, VAULTRING_A_ERROR));
	EXPECT_EQ(-ENOENT, RIGHT(0));
	EXPECT_EQ(0, RIGHT(1));
}

/* 4 of 8 with 4 liars: each of the 70 sets is tried. */
TEST_F(threshold, as_many_liars_as_there_are_spares_do_not_keep_it_away)
{
	int i;

	ASSERT_EQ(0, MAKE(VAULTS, 4));
	ASSERT_EQ(0, BEGIN());
	for (i = 0; i < 4; i++)
		EXPECT_EQ(GOES_ON, WRONG(2 * i));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(GOES_ON, RIGHT(2 * i + 1));
	EXPECT_EQ(0, HELD());
	EXPECT_EQ(0, RIGHT(7));
	EXPECT_EQ(1, HELD());
}

TEST_F(threshold, more_liars_than_spares_are_refused_and_keep_nobody_waiting)
{
	int i;

	ASSERT_EQ(0, MAKE(VAULTS, 4));
	ASSERT_EQ(0, BEGIN());
	for (i = 0; i < 3; i++)
		EXPECT_EQ(GOES_ON, RIGHT(i));
	for (i = 3; i < 7; i++)
		EXPECT_EQ(GOES_ON, WRONG(i));
	EXPECT_EQ(-EKEYREJECTED, WRONG(7));
	EXPECT_EQ(0, HELD());
	EXPECT_EQ(-ENOENT, RIGHT(0));
}

static uint32_t unseals_under_way(int nl)
{
	struct nl_reply r;
	struct nl_msg m;

	nl_start(&m, VAULTRING_CMD_STATUS_GET, 0);
	return nl_call(nl, &m, &r) ? ~0U : nl_u32(&r, VAULTRING_A_UNSEALS);
}

TEST_F(threshold, a_vault_that_never_answers_ends_at_the_deadline)
{
	const struct timespec nap = { .tv_sec = patience(4) };
	uint32_t before = unseals_under_way(self->nl);

	ASSERT_EQ(0, MAKE(2, 2));
	ASSERT_EQ(0, begin(&self->u, self->nl, self->vaults, &self->kek,
			   patience(2000)));
	EXPECT_EQ(before + 1, unseals_under_way(self->nl));
	EXPECT_EQ(GOES_ON, RIGHT(0));
	nanosleep(&nap, NULL);
	EXPECT_EQ(-ENOENT, RIGHT(1));
	EXPECT_EQ(0, HELD());
	EXPECT_EQ(before, unseals_under_way(self->nl));
}

TEST_F(threshold, it_succeeds_after_it_has_failed)
{
	ASSERT_EQ(0, MAKE(2, 2));
	ASSERT_EQ(0, BEGIN());
	EXPECT_EQ(GOES_ON, RIGHT(1));
	EXPECT_EQ(-ENOKEY, NONE(0, ENOKEY));
	EXPECT_EQ(0, HELD());
	/* Nothing of that one is of use for another. */
	EXPECT_EQ(-ENOENT, RIGHT(0));
	ASSERT_EQ(0, BEGIN());
	EXPECT_EQ(GOES_ON, RIGHT(0));
	EXPECT_EQ(0, RIGHT(1));
	EXPECT_EQ(1, HELD());
}

/*
 * What each vault does, from the first on: R right, W wrong, P no point, A away,
 * N no such key, C refused, X an errno that means something to the kernel alone.
 * It goes on until the last one, which ends it.
 */
static const struct {
	int n, k;
	const char *course;
	int result;
} courses[] = {
	{ 1, 1, "A", -EAGAIN }, { 1, 1, "N", -ENOKEY },
	{ 1, 1, "C", -EACCES }, { 1, 1, "W", -EKEYREJECTED },
	{ 1, 1, "P", -EKEYREJECTED }, { 1, 1, "X", -EINPROGRESS },
	/* All must say no, and one that is away has not. */
	{ 2, 1, "AR", 0 }, { 2, 1, "NR", 0 }, { 2, 1, "WR", 0 },
	{ 2, 1, "AA", -EAGAIN }, { 2, 1, "NA", -EAGAIN },
	{ 2, 1, "AN", -EAGAIN }, { 2, 1, "WA", -EAGAIN },
	{ 2, 1, "AP", -EAGAIN }, { 2, 1, "NC", -ENOKEY },
	{ 2, 1, "CN", -EACCES }, { 2, 1, "NW", -EKEYREJECTED },
	{ 2, 1, "PN", -EKEYREJECTED },
	/* One no is enough, and is not waited for. */
	{ 2, 2, "A", -EAGAIN }, { 2, 2, "N", -ENOKEY },
	{ 2, 2, "P", -EKEYREJECTED }, { 2, 2, "RA", -EAGAIN },
	{ 2, 2, "RC", -EACCES }, { 2, 2, "RW", -EKEYREJECTED },
	{ 2, 2, "WA", -EAGAIN }, { 2, 2, "WR", -EKEYREJECTED },
	/* The away one is enough for it, or not. */
	{ 3, 2, "RNA", -EAGAIN }, { 3, 2, "RNN", -ENOKEY },
	{ 3, 2, "NN", -ENOKEY }, { 3, 2, "AN", -EAGAIN },
	{ 3, 2, "RWA", -EAGAIN }, { 3, 2, "RWN", -EKEYREJECTED },
	{ 3, 2, "WWR", -EKEYREJECTED }, { 3, 2, "WRR", 0 },
	{ 3, 2, "ARR", 0 }, { 3, 2, "RAR", 0 }, { 3, 2, "NRR", 0 },
	{ 3, 3, "RRA", -EAGAIN }, { 3, 3, "RRW", -EKEYREJECTED },
	{ 3, 3, "RRR", 0 }, { 4, 2, "NNRA", -EAGAIN },
	{ 4, 2, "NWRN", -EKEYREJECTED }, { 4, 3, "NA", -EAGAIN },
	{ 4, 3, "NN", -ENOKEY }, { 3, 2, "RXX", -EINPROGRESS },
	{ 3, 2, "XX", -EINPROGRESS }, { 3, 2, "XRR", 0 },
};

static int step(struct unseal *u, int i, char what,
		const struct soft_vault *vaults)
{
	static const uint8_t zeros[X_SIZE];

	switch (what) {
	case 'R':
		return right(u, i);
	case 'W':
		return wrong(u, i, vaults);
	case 'P':
		return answer(u, i, zeros);
	case 'A':
		return none(u, i, EAGAIN);
	case 'N':
		return none(u, i, ENOKEY);
	case 'X':
		return none(u, i, EINPROGRESS);
	default:
		return none(u, i, EACCES);
	}
}

TEST_F(threshold, each_course_ends_when_it_is_decided_and_with_its_errno)
{
	const char *course;
	unsigned int c;
	int i, got;

	for (c = 0; c < sizeof(courses) / sizeof(courses[0]); c++) {
		course = courses[c].course;
		ASSERT_EQ(0, MAKE(courses[c].n, courses[c].k));
		ASSERT_EQ(0, BEGIN());
		for (i = 0; course[i]; i++) {
			got = step(&self->u, i, course[i], self->vaults);
			EXPECT_EQ(course[i + 1] ? GOES_ON : courses[c].result,
				  got)
				TH_LOG("%d of %d: step %d of %s",
				       courses[c].k, courses[c].n, i + 1,
				       course);
		}
		EXPECT_EQ(!courses[c].result, HELD());
		/* Over is over. */
		for (i = 0; i < courses[c].n; i++)
			EXPECT_EQ(-ENOENT, RIGHT(i));
		kek_revoke(self->nl, &self->kek);
	}
}

struct answering {
	pthread_t thread;
	pthread_barrier_t *start;
	struct unseal u;
	int i, err;
};

static void *answer_at_once(void *arg)
{
	struct answering *a = arg;

	pthread_barrier_wait(a->start);
	a->err = right(&a->u, a->i);
	return NULL;
}

/* 3 of 8, all at once: one makes the KEK, and it is made once. */
TEST_F(threshold, answers_may_come_at_the_same_time)
{
	static struct answering all[VAULTS];
	pthread_barrier_t start;
	int i, round, made, went_on, late;

	ASSERT_EQ(0, pthread_barrier_init(&start, NULL, VAULTS));
	for (round = 0; round < 10; round++) {
		ASSERT_EQ(0, MAKE(VAULTS, 3));
		ASSERT_EQ(0, BEGIN());
		made = went_on = late = 0;
		for (i = 0; i < VAULTS; i++) {
			all[i].start = &start;
			all[i].u = self->u;
			all[i].u.nl = nl_open();
			all[i].i = i;
			ASSERT_EQ(0, pthread_create(&all[i].thread, NULL,
						    answer_at_once, &all[i]));
		}
		for (i = 0; i < VAULTS; i++) {
			pthread_join(all[i].thread, NULL);
			close(all[i].u.nl);
			made += all[i].err == 0;
			went_on += all[i].err == GOES_ON;
			late += all[i].err == -ENOENT;
		}
		EXPECT_EQ(1, made);
		EXPECT_EQ(2, went_on);
		EXPECT_EQ(5, late);
		EXPECT_EQ(1, HELD());
		ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	}
	pthread_barrier_destroy(&start);
}

static int start_for(struct unseal *u, const struct kek *kek,
		     const struct soft_vault *vaults, uint64_t request)
{
	struct nl_share shares[VAULTS];
	struct nl_msg m;
	int i;

	nl_start(&m, VAULTRING_CMD_UNSEAL_START, 0);
	nl_put(&m, VAULTRING_A_ENVELOPE, kek->envelope, kek->envelope_len);
	nl_put_u64(&m, VAULTRING_A_REQUEST, request);
	if (nl_call(u->nl, &m, &u->r))
		return -1;
	u->id = nl_u64(&u->r, VAULTRING_A_UNSEAL);
	u->n = nl_shares_of(&u->r, shares, VAULTS);
	for (i = 0; i < u->n; i++)
		soft_vault_exchange(&vaults[i], shares[i].challenge, u->x[i]);
	return u->n < 0 ? -1 : 0;
}

/* A task gets the errno of the whole, or the KEK, and not before it is known. */
TEST_F(threshold, a_task_that_asks_waits_for_the_whole)
{
	static const struct {
		const char *course;
		int outcome;
	} cases[] = {
		{ "NRR", 0 }, { "WRR", 0 }, { "NA", EAGAIN }, { "NN", ENOKEY },
		{ "RWN", EKEYREJECTED },
	};
	struct nl_reply request;
	unsigned int c;
	int daemon, i;
	pid_t child;

	without_daemon();
	daemon = daemon_attach();
	ASSERT_GE(daemon, 0);
	ASSERT_EQ(0, MAKE(3, 2));
	self->u.nl = self->nl;
	for (c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		child = ask_in_child(self->kek.name);
		ASSERT_LT(0, child);
		ASSERT_EQ(0, daemon_next(daemon, &request, 5000));
		ASSERT_EQ(0, start_for(&self->u, &self->kek, self->vaults,
				       nl_u64(&request, VAULTRING_A_REQUEST)));
		for (i = 0; cases[c].course[i]; i++)
			step(&self->u, i, cases[c].course[i], self->vaults);
		EXPECT_EQ(cases[c].outcome, outcome(child))
			TH_LOG("%s", cases[c].course);
		kek_revoke(self->nl, &self->kek);
	}
	close(daemon);
}

TEST_HARNESS_MAIN
