// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A machine that goes to sleep: nobody who waits for a vault keeps it awake, and
 * no memory that holds a KEK is written to a disk.
 *
 * Opening /dev/snapshot to read is the first step of a hibernation: all parts of
 * the kernel are told, and nothing is frozen yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "shares_fixture.h"
#include "vr_test.h"

#define SNAPSHOT "/dev/snapshot"
#define PATIENCE_MS 20000

__attribute__((constructor)) static void prepare(void)
{
	without_daemon();
}

FIXTURE(sleep)
{
	struct soft_vault vault;
	int nl, daemon;
};

FIXTURE_SETUP(sleep)
{
	if (access(SNAPSHOT, F_OK))
		SKIP(return, "this kernel does not hibernate");
	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, own_session());
	ASSERT_EQ(0, soft_vault_make(&self->vault));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, NULL, NULL));
	self->daemon = daemon_attach();
	ASSERT_GE(self->daemon, 0);
}

FIXTURE_TEARDOWN(sleep)
{
	close(self->daemon);
	pins_set(self->nl, NULL, NULL, NULL);
	soft_vault_free(&self->vault);
	close(self->nl);
}

TEST_F(sleep, who_waits_for_a_vault_waits_no_more)
{
	time_t start = time(NULL);
	struct nl_reply r;
	int snapshot;
	pid_t pid;

	pid = ask_in_child("t-before");
	ASSERT_EQ(0, daemon_next(self->daemon, &r, PATIENCE_MS));
	snapshot = open(SNAPSHOT, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(snapshot, 0);
	EXPECT_EQ(EAGAIN, outcome(pid));
	/* Not because its time was up. */
	EXPECT_LT(time(NULL) - start, 10);

	EXPECT_EQ(EAGAIN, outcome(ask_in_child("t-meanwhile")));
	EXPECT_EQ(-EAGAIN, daemon_next(self->daemon, &r, 200));

	close(snapshot);
	pid = ask_in_child("t-after");
	ASSERT_EQ(0, daemon_next(self->daemon, &r, PATIENCE_MS));
	EXPECT_STREQ("t-after", r.attr[VAULTRING_A_NAME]);
	EXPECT_EQ(0, daemon_fail(self->daemon, &r, ENOENT));
	EXPECT_EQ(ENOKEY, outcome(pid));
}

TEST_F(sleep, no_hibernation_while_a_kek_is_held)
{
	struct kek kek;
	int snapshot;

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, NULL, &kek));
	EXPECT_EQ(-1, open(SNAPSHOT, O_RDONLY | O_CLOEXEC));
	EXPECT_EQ(EPERM, errno);
	ASSERT_EQ(0, kek_revoke(self->nl, &kek));
	snapshot = open(SNAPSHOT, O_RDONLY | O_CLOEXEC);
	EXPECT_GE(snapshot, 0);
	close(snapshot);
}

TEST_F(sleep, no_kek_comes_once_hibernation_is_prepared)
{
	struct kek kek;
	struct nl_reply r;
	struct nl_share share;
	uint8_t x[X_SIZE];
	uint64_t unseal;
	int snapshot;

	ASSERT_EQ(0, kek_create(self->nl, &self->vault, NULL, &kek));
	ASSERT_EQ(0, unseal_start(self->nl, kek.envelope, kek.envelope_len, 0,
				  &r));
	unseal = nl_u64(&r, VAULTRING_A_UNSEAL);
	ASSERT_EQ(0, nl_share_of(&r, &share));
	ASSERT_EQ(0, soft_vault_exchange(&self->vault, share.challenge, x));

	snapshot = open(SNAPSHOT, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(snapshot, 0);
	/* One that had begun is over, and none begins. */
	EXPECT_EQ(-ENOENT, unseal_answer(self->nl, unseal, 1, x, sizeof(x), &r));
	EXPECT_EQ(-EAGAIN, kek_unseal(self->nl, &self->vault, kek.envelope,
				      kek.envelope_len));
	EXPECT_EQ(0, kek_held(self->nl, kek.id));
	close(snapshot);

	EXPECT_EQ(0, kek_unseal(self->nl, &self->vault, kek.envelope,
				kek.envelope_len));
	EXPECT_EQ(0, kek_revoke(self->nl, &kek));
}

/* With an answer that somebody kept, it would be a vault's key. */
TEST_F_TIMEOUT(sleep, the_transport_key_is_forgotten_for_a_hibernation, 300)
{
	struct transport before, after;
	struct nl_reply r;
	int snapshot, i;

	ASSERT_EQ(0, transport_wait(self->nl, &before));
	snapshot = open(SNAPSHOT, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(snapshot, 0);
	for (i = 0; i < 50; i++) {
		EXPECT_EQ(-EAGAIN, transport_get(self->nl, &r));
		usleep(100000);
	}
	close(snapshot);
	ASSERT_EQ(0, transport_wait(self->nl, &after));
	EXPECT_NE(0, memcmp(before.spki, after.spki, after.len));
}

TEST_HARNESS_MAIN
