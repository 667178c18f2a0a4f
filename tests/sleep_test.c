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

TEST_HARNESS_MAIN
