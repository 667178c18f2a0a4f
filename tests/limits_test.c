// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What one user can use up: requests, keys, transforms.  The daemon learns who
 * it is.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "subjects_fixture.h"

#define PER_USER 32		/* requests that may wait */
#define SUBUID 200000		/* of uid 1 in a namespace, and those after it */

/*
 * What the daemon is told
 */

#define CGROUP "/sys/fs/cgroup/t-subjects"

/* Moves this process; a child begins where its parent is. */
static int enter_cgroup(const char *dir)
{
	return run(NULL, 0, "echo %d > %s/cgroup.procs", getpid(), dir);
}

TEST_F(subjects, the_daemon_learns_who_asks)
{
	struct nl_reply r;
	int daemon = daemon_attach();
	struct stat st;
	pid_t pid;

	ASSERT_GE(daemon, 0);
	ASSERT_EQ(0, mkdir(CGROUP, 0755));
	ASSERT_EQ(0, stat(CGROUP, &st));
	ASSERT_EQ(0, enter_cgroup(CGROUP));
	pid = start_as(ALICE, ask_with_a_name, "t-who");
	ASSERT_EQ(0, daemon_next(daemon, &r, PATIENCE_MS));
	EXPECT_STREQ("t-who", r.attr[VAULTRING_A_NAME]);
	EXPECT_EQ(ALICE, nl_u32(&r, VAULTRING_A_UID_ASKING));
	EXPECT_EQ(ALICE + 100, nl_u32(&r, VAULTRING_A_GID_ASKING));
	EXPECT_EQ(pid, (pid_t)nl_u32(&r, VAULTRING_A_PID));
	EXPECT_STREQ("t-subject", r.attr[VAULTRING_A_COMM]);
	EXPECT_EQ(st.st_ino, nl_u64(&r, VAULTRING_A_CGROUP));
	EXPECT_EQ(0, daemon_fail(daemon, &r, ENOENT));
	EXPECT_EQ(ENOKEY, outcome(pid));
	EXPECT_EQ(0, enter_cgroup("/sys/fs/cgroup"));
	EXPECT_EQ(0, rmdir(CGROUP));
	close(daemon);
}

/*
 * Limits
 */

static pid_t ask_many(uint32_t uid, int nth)
{
	char name[32];

	snprintf(name, sizeof(name), "t-%u-%d", uid, nth);
	return start_as(uid, ask_with_a_name, name);
}

static void refuse_all(struct __test_metadata *_metadata, int daemon,
		       const struct nl_reply *requests, const pid_t *asking)
{
	int i;

	for (i = 0; i < PER_USER; i++) {
		EXPECT_EQ(0, daemon_fail(daemon, &requests[i], ENOENT));
		EXPECT_EQ(ENOKEY, outcome(asking[i]));
	}
}

TEST_F_TIMEOUT(subjects, a_user_with_too_many_requests_holds_up_no_other, 90)
{
	struct nl_reply r[PER_USER], other;
	pid_t pid[PER_USER], bob, root;
	int daemon = daemon_attach(), i;

	ASSERT_GE(daemon, 0);
	for (i = 0; i < PER_USER; i++) {
		pid[i] = ask_many(ALICE, i);
		ASSERT_EQ(0, daemon_next(daemon, &r[i], PATIENCE_MS));
	}
	EXPECT_EQ(EAGAIN, outcome(ask_many(ALICE, PER_USER)));
	EXPECT_EQ(-EAGAIN, daemon_next(daemon, &other, 200));

	bob = ask_many(BOB, 0);
	ASSERT_EQ(0, daemon_next(daemon, &other, PATIENCE_MS));
	EXPECT_EQ(BOB, nl_u32(&other, VAULTRING_A_UID_ASKING));
	EXPECT_EQ(0, daemon_fail(daemon, &other, ENOENT));
	EXPECT_EQ(ENOKEY, outcome(bob));
	root = ask_many(0, 0);
	ASSERT_EQ(0, daemon_next(daemon, &other, PATIENCE_MS));
	EXPECT_EQ(0, daemon_fail(daemon, &other, ENOENT));
	EXPECT_EQ(ENOKEY, outcome(root));

	/* One that ends makes room for one. */
	EXPECT_EQ(0, daemon_fail(daemon, &r[0], ENOENT));
	EXPECT_EQ(ENOKEY, outcome(pid[0]));
	pid[0] = ask_many(ALICE, PER_USER + 1);
	ASSERT_EQ(0, daemon_next(daemon, &r[0], PATIENCE_MS));
	refuse_all(_metadata, daemon, r, pid);
	close(daemon);
}

static int put(pid_t pid, const char *file, const char *text)
{
	char path[64];
	ssize_t len = strlen(text);
	int fd, good;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	good = write(fd, text, len) == len;
	close(fd);
	return good ? 0 : -1;
}

/* A user namespace that this user has made, with subordinate uids; an fd. */
static int namespace_of(uint32_t uid)
{
	char map[64], path[64], c;
	int ready[2], fd = -1;
	pid_t pid;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (!pid) {
		if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid) ||
		    unshare(CLONE_NEWUSER) || write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	close(ready[1]);
	snprintf(map, sizeof(map), "0 %u 1\n1 %u 9\n", uid, SUBUID);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	if (pid > 0 && read(ready[0], &c, 1) == 1 && !put(pid, "uid_map", map) &&
	    !put(pid, "gid_map", map))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	close(ready[0]);
	if (pid > 0 && !kill(pid, SIGKILL))
		waitpid(pid, NULL, 0);
	return fd;
}

struct inside {
	int ns;
	uint32_t uid;
	int deeper;	/* in a namespace which that uid has made there */
	char name[32];
};

static int ask_inside(void *arg)
{
	struct inside *in = arg;

	if (setns(in->ns, CLONE_NEWUSER) ||
	    setresgid(in->uid, in->uid, in->uid) ||
	    setresuid(in->uid, in->uid, in->uid) ||
	    (in->deeper && unshare(CLONE_NEWUSER)))
		return 124;
	return ask_with_a_name(in->name);
}

static pid_t start_inside(int ns, uint32_t uid, int deeper, int nth)
{
	struct inside in = { .ns = ns, .uid = uid, .deeper = deeper };

	snprintf(in.name, sizeof(in.name), "t-inside-%d", nth);
	return start_as(0, ask_inside, &in);
}

TEST_F_TIMEOUT(subjects, uids_of_a_namespace_count_as_the_user_who_made_it, 90)
{
	int daemon = daemon_attach(), ns = namespace_of(ALICE), i;
	struct nl_reply r[PER_USER], other;
	pid_t pid[PER_USER], bob;

	ASSERT_GE(daemon, 0);
	ASSERT_GE(ns, 0);
	for (i = 0; i < PER_USER; i++) {
		pid[i] = start_inside(ns, 1 + i % 3, 0, i);
		ASSERT_EQ(0, daemon_next(daemon, &r[i], PATIENCE_MS));
		EXPECT_EQ(SUBUID + i % 3, nl_u32(&r[i], VAULTRING_A_UID_ASKING));
	}
	EXPECT_EQ(EAGAIN, outcome(start_inside(ns, 1, 0, PER_USER)));
	EXPECT_EQ(EAGAIN, outcome(start_inside(ns, 4, 0, PER_USER)));
	EXPECT_EQ(EAGAIN, outcome(start_inside(ns, 5, 1, PER_USER)));
	EXPECT_EQ(EAGAIN, outcome(ask_many(ALICE, 0)));
	EXPECT_EQ(-EAGAIN, daemon_next(daemon, &other, 200));
	bob = ask_many(BOB, 0);
	ASSERT_EQ(0, daemon_next(daemon, &other, PATIENCE_MS));
	EXPECT_EQ(0, daemon_fail(daemon, &other, ENOENT));
	EXPECT_EQ(ENOKEY, outcome(bob));
	refuse_all(_metadata, daemon, r, pid);
	close(ns);
	close(daemon);
}

/* As in a container of root's, whose users are not one user. */
TEST_F_TIMEOUT(subjects, uids_of_a_namespace_of_roots_count_each_for_itself, 90)
{
	int daemon = daemon_attach(), ns = namespace_of(0), i;
	struct nl_reply r[PER_USER], other;
	pid_t pid[PER_USER], second;

	ASSERT_GE(daemon, 0);
	ASSERT_GE(ns, 0);
	for (i = 0; i < PER_USER; i++) {
		pid[i] = start_inside(ns, 1, 0, i);
		ASSERT_EQ(0, daemon_next(daemon, &r[i], PATIENCE_MS));
	}
	EXPECT_EQ(EAGAIN, outcome(start_inside(ns, 1, 0, PER_USER)));
	second = start_inside(ns, 2, 0, PER_USER);
	ASSERT_EQ(0, daemon_next(daemon, &other, PATIENCE_MS));
	EXPECT_EQ(0, daemon_fail(daemon, &other, ENOENT));
	EXPECT_EQ(ENOKEY, outcome(second));
	refuse_all(_metadata, daemon, r, pid);
	close(ns);
	close(daemon);
}

/* Keys and bytes that /proc/key-users charges the user with. */
static int quota(uint32_t uid, int *keys, int *bytes)
{
	FILE *f = fopen("/proc/key-users", "re");
	unsigned int who;
	char line[256];
	int found = 0;

	*keys = *bytes = 0;
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%u: %*d %*d/%*d %d/%*d %d/%*d", &who, keys,
			   bytes) == 3 && who == uid) {
			found = 1;
			break;
		}
	if (f)
		fclose(f);
	if (!found)
		*keys = *bytes = 0;
	return f ? 0 : -1;
}

/* As much as one key of type user with that payload. */
static int charge(void *arg)
{
	const struct realm *r = arg;
	int keys[4], bytes[4];

	if (enter() || quota(r->uid, &keys[0], &bytes[0]) ||
	    add_key("user", "same", r->blob, sizeof(r->blob),
		    KEY_SPEC_SESSION_KEYRING) < 0 ||
	    quota(r->uid, &keys[1], &bytes[1]) ||
	    add_key("vault-dek", "same", r->blob, sizeof(r->blob),
		    KEY_SPEC_SESSION_KEYRING) < 0 ||
	    quota(r->uid, &keys[2], &bytes[2]))
		return 125;
	if (ask(r->kek.name) || quota(r->uid, &keys[3], &bytes[3]))
		return 124;
	if (keys[2] - keys[1] != 1 || keys[3] - keys[2] != 1)
		return 1;
	if (bytes[2] - bytes[1] < bytes[1] - bytes[0])
		return 2;
	return bytes[3] - bytes[2] > (int)strlen(r->kek.name) ? 0 : 3;
}

TEST_F(subjects, vault_keys_are_charged_as_keys_of_type_user)
{
	EXPECT_EQ(0, as_uid(ALICE, charge, &self->alice));
}

/* Adds until refused; the errno. */
static int fill(const struct realm *r, int most)
{
	char name[32];
	int i;

	for (i = 0; i < most; i++) {
		snprintf(name, sizeof(name), "fill-%d", i);
		if (add_key("vault-dek", name, r->blob, sizeof(r->blob),
			    KEY_SPEC_SESSION_KEYRING) < 0)
			return errno;
	}
	return 0;
}

static int fill_up(void *arg)
{
	const struct realm *r = arg;
	char name[] = "A";
	int keys, bytes, err;

	if (enter())
		return 125;
	err = fill(r, 250);
	if (err != EDQUOT)
		return err ? err : 124;
	if (quota(r->uid, &keys, &bytes) || bytes < 19000 || keys < 100)
		return 123;
	/* Up to the last byte: a handle costs as well. */
	while (add_key("user", name, "x", 1, KEY_SPEC_SESSION_KEYRING) >= 0)
		name[0]++;
	return errno != EDQUOT ? 122 : ask(r->kek.name);
}

TEST_F_TIMEOUT(subjects, a_full_quota_refuses_its_user_alone_and_is_given_back, 60)
{
	int keys, bytes, before, i;

	ASSERT_EQ(0, quota(ALICE, &before, &bytes));
	EXPECT_EQ(EDQUOT, as_uid(ALICE, fill_up, &self->alice));
	EXPECT_EQ(0, fill(&self->alice, 250));
	EXPECT_EQ(0, as_uid(BOB, door_load_raw, &self->bob));
	/* The keys go with their keyring, a moment later. */
	for (i = 0; i < 200; i++) {
		ASSERT_EQ(0, quota(ALICE, &keys, &bytes));
		if (keys <= before)
			break;
		usleep(50000);
	}
	EXPECT_LE(keys, before);
	EXPECT_EQ(0, as_uid(ALICE, door_load_raw, &self->alice));
}

#define FILES 48

static int many_transforms(void *arg)
{
	const struct rlimit files = { FILES, FILES };
	const struct realm *r = arg;
	int fd, i, count = 0;

	if (enter() || setrlimit(RLIMIT_NOFILE, &files))
		return 125;
	for (;;) {
		fd = alg_open(alg_mode()->alg);
		if (fd < 0)
			break;
		/* Over and over: a transform has one key. */
		for (i = 0; i < 20; i++)
			if (alg_setkey(fd, r->blob, sizeof(r->blob)))
				return 124;
		count++;
	}
	return fd == -EMFILE ? count : 123;
}

static uint32_t transforms(int nl, const struct kek *kek)
{
	struct nl_reply r;

	return kek_get(nl, kek->id, &r) ? 999 :
		nl_u32(&r, VAULTRING_A_TRANSFORMS);
}

static int one_transform_over_and_over(void *arg)
{
	struct _test_data_subjects *self = arg;
	int fd = alg_open(alg_mode()->alg), i;

	for (i = 0; i < 100; i++)
		if (alg_setkey(fd, self->alice.blob, VAULTRING_BLOB_SIZE))
			return 125;
	return transforms(self->nl, &self->alice.kek);
}

TEST_F_TIMEOUT(subjects, transforms_are_bounded_by_open_files, 60)
{
	int count = as_uid(ALICE, many_transforms, &self->alice);

	EXPECT_LE(1, count);
	EXPECT_GE(FILES, count);
	EXPECT_EQ(0, transforms(self->nl, &self->alice.kek));
	EXPECT_EQ(1, as_uid(0, one_transform_over_and_over, self));
}

TEST_HARNESS_MAIN
