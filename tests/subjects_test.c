// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two users, a KEK of each, one machine: neither gets at the other's through
 * any door, in no namespace, and does not even learn what is held.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include "subjects_fixture.h"

#define STAFF 3100

/*
 * The doors.  Each is tried in a child that is some user with a session keyring
 * of his own, and returns 0 or a positive errno.
 */

static int door_load_hex(void *arg)
{
	const struct realm *r = arg;
	int err = enter() ?: dek_load(r->blob, sizeof(r->blob),
				      KEY_SPEC_SESSION_KEYRING);

	return err < 0 ? -err : 0;
}

static int door_new(void *arg)
{
	const struct realm *r = arg;

	return enter() ?: -new_blob(&r->kek, "xts", NULL);
}

static int door_request_name(void *arg)
{
	const struct realm *r = arg;

	return enter() ?: ask(r->kek.name);
}

static void id_desc(const struct kek *kek, char *desc)
{
	strcpy(desc, "id:");
	hex_of(kek->id, sizeof(kek->id), desc + 3);
}

static int door_request_id(void *arg)
{
	const struct realm *r = arg;
	char desc[40];

	id_desc(&r->kek, desc);
	return enter() ?: ask(desc);
}

static int door_provision(void *arg)
{
	return enter() ?: provisioned(arg) < 0 ? errno : 0;
}

/* One's own data key, to be wrapped under that KEK. */
static int door_rewrap(void *arg)
{
	const struct realm *r = arg;
	char words[128];
	key_serial_t key;
	int err = enter();

	if (err)
		return err;
	key = add_key("vault-dek", "own", r->own->blob, sizeof(r->own->blob),
		      KEY_SPEC_SESSION_KEYRING);
	if (key < 0)
		return 125;
	snprintf(words, sizeof(words), "rewrap kek=%.63s", r->kek.name);
	return keyctl_update(key, words, strlen(words)) ? errno : 0;
}

static const struct door {
	const char *name;
	int (*f)(void *realm);
} doors[] = {
	{ "setkey", door_setkey },
	{ "load HEX", door_load_hex },
	{ "the raw blob", door_load_raw },
	{ "new", door_new },
	{ "request by name", door_request_name },
	{ "request by id", door_request_id },
	{ "provision", door_provision },
	{ "rewrap", door_rewrap },
};

#define N_DOORS (sizeof(doors) / sizeof(doors[0]))

static void expect_doors(struct __test_metadata *_metadata, struct realm *r,
			 uint32_t who, const struct realm *own, int want)
{
	size_t i;
	int err;

	r->own = own;
	for (i = 0; i < N_DOORS; i++) {
		err = as_uid(who, doors[i].f, r);
		EXPECT_EQ(want, err)
			TH_LOG("%s: uid %u at the KEK of %u: %s", doors[i].name,
			       who, r->uid, strerror(err));
	}
}

TEST_F_TIMEOUT(subjects, each_uses_his_own_kek_and_not_the_others, 60)
{
	expect_doors(_metadata, &self->alice, ALICE, &self->alice, 0);
	expect_doors(_metadata, &self->bob, BOB, &self->bob, 0);
	expect_doors(_metadata, &self->bob, ALICE, &self->alice, EACCES);
	expect_doors(_metadata, &self->alice, BOB, &self->bob, EACCES);
}

struct member {
	const struct realm *realm;
	gid_t gid;
	int supplementary;
};

static int as_member(void *arg)
{
	const struct member *m = arg;
	gid_t gid = m->gid;
	int err = enter();

	if (err || setgroups(m->supplementary, &gid) ||
	    (!m->supplementary && setresgid(gid, gid, gid)) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return 125;
	return -alg_try(alg_mode()->alg, m->realm->blob,
			VAULTRING_BLOB_SIZE);
}

TEST_F(subjects, a_group_that_is_listed_lets_its_members_in)
{
	const uint32_t gid = STAFF;
	struct kek_options o = { .gids = &gid, .n_gids = 1 };
	struct realm r;
	struct member m = { &r, STAFF, 0 };

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &r.kek));
	ASSERT_EQ(0, new_blob(&r.kek, alg_mode()->use, r.blob));
	EXPECT_EQ(0, as_uid(0, as_member, &m));
	m.supplementary = 1;
	EXPECT_EQ(0, as_uid(0, as_member, &m));
	m.gid = STAFF + 1;
	EXPECT_EQ(EACCES, as_uid(0, as_member, &m));
	m.supplementary = 0;
	EXPECT_EQ(EACCES, as_uid(0, as_member, &m));
	kek_revoke(self->nl, &r.kek);
}

/*
 * User namespaces
 */

struct mapped {
	const struct realm *realm;
	uint32_t inside, outside;
	int (*f)(void *realm);
};

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int good;

	if (fd < 0)
		return -1;
	good = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return good ? 0 : -1;
}

static int in_namespace(void *arg)
{
	const struct mapped *m = arg;
	char map[64];

	/* /proc/self is root's after a change of ids, unless one may dump. */
	prctl(PR_SET_DUMPABLE, 1);
	if (unshare(CLONE_NEWUSER) || put("/proc/self/setgroups", "deny"))
		return 123;
	snprintf(map, sizeof(map), "%u %u 1", m->inside, m->outside);
	if (put("/proc/self/uid_map", map) || put("/proc/self/gid_map", map) ||
	    getuid() != m->inside)
		return 122;
	return m->f((void *)m->realm);
}

TEST_F(subjects, root_of_a_user_namespace_is_not_root_to_a_kek)
{
	const uint32_t zero = 0;
	struct kek_options o = { .uids = &zero, .n_uids = 1 };
	struct realm nobodys = {}, roots = {};
	struct mapped m = { &nobodys, 0, ALICE, door_setkey };

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, NULL, &nobodys.kek));
	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &roots.kek));
	ASSERT_EQ(0, new_blob(&nobodys.kek, alg_mode()->use, nobodys.blob));
	ASSERT_EQ(0, new_blob(&roots.kek, alg_mode()->use, roots.blob));
	EXPECT_EQ(EACCES, as_uid(ALICE, in_namespace, &m));
	m.realm = &roots;
	EXPECT_EQ(EACCES, as_uid(ALICE, in_namespace, &m));
	m.realm = &self->bob;
	EXPECT_EQ(EACCES, as_uid(ALICE, in_namespace, &m));
	m.realm = &self->alice;
	EXPECT_EQ(0, as_uid(ALICE, in_namespace, &m));
	kek_revoke(self->nl, &nobodys.kek);
	kek_revoke(self->nl, &roots.kek);
}

TEST_F(subjects, a_list_means_the_initial_namespaces_users)
{
	struct mapped m = { &self->bob, BOB, ALICE, door_setkey };

	EXPECT_EQ(EACCES, as_uid(ALICE, in_namespace, &m));
	m.realm = &self->alice;
	EXPECT_EQ(0, as_uid(ALICE, in_namespace, &m));
	m.f = door_request_name;
	EXPECT_EQ(0, as_uid(ALICE, in_namespace, &m));
	m.realm = &self->bob;
	EXPECT_EQ(EACCES, as_uid(ALICE, in_namespace, &m));
}

/* The two must differ in nothing but type, serial and description. */
static int owner_and_permissions(key_serial_t key, char *text, size_t size)
{
	char buf[256], type[64];
	unsigned int uid, gid;

	if (keyctl_describe(key, buf, sizeof(buf)) < 0 ||
	    sscanf(buf, "%63[^;];%u;%u", type, &uid, &gid) != 3)
		return -1;
	snprintf(text, size, "%u %u", uid, gid);
	return 0;
}

/* A vault-dek and a key of type user, looked at inside and from outside. */
static int compare_keys(void *arg)
{
	const struct realm *r = arg;
	struct mapped m = { r, 0, ALICE, door_setkey };
	char dek[64], user[64];
	key_serial_t a, b;
	int i;

	if (enter())
		return 125;
	for (i = 0; i < 2; i++) {
		a = add_key("vault-dek", i ? "in" : "out", r->blob,
			    sizeof(r->blob), KEY_SPEC_SESSION_KEYRING);
		b = add_key("user", i ? "in" : "out", r->blob, sizeof(r->blob),
			    KEY_SPEC_SESSION_KEYRING);
		if (a < 0 || b < 0 ||
		    owner_and_permissions(a, dek, sizeof(dek)) ||
		    owner_and_permissions(b, user, sizeof(user)))
			return 124;
		if (strcmp(dek, user) || strcmp(dek, i ? "0 0" : "3001 3001"))
			return i + 1;
		/* The second time round as root of a namespace. */
		if (!i && in_namespace(&m))
			return 121;
	}
	return 0;
}

TEST_F(subjects, keys_in_a_namespace_are_mapped_as_those_of_type_user)
{
	EXPECT_EQ(0, as_uid(ALICE, compare_keys, &self->alice));
}

static int ask_from_namespace(void *arg)
{
	struct mapped m = { arg, 0, ALICE, ask_with_a_name };

	return in_namespace(&m);
}

TEST_F(subjects, the_daemon_learns_the_true_user_behind_a_namespace)
{
	struct nl_reply r;
	int daemon = daemon_attach();
	pid_t pid;

	ASSERT_GE(daemon, 0);
	pid = fork();
	if (!pid)
		_exit(as_uid(ALICE, ask_from_namespace, "t-inside"));
	ASSERT_EQ(0, daemon_next(daemon, &r, PATIENCE_MS));
	EXPECT_EQ(ALICE, nl_u32(&r, VAULTRING_A_UID_ASKING));
	EXPECT_EQ(ALICE, nl_u32(&r, VAULTRING_A_GID_ASKING));
	EXPECT_EQ(0, daemon_fail(daemon, &r, ENOENT));
	EXPECT_EQ(ENOKEY, outcome(pid));
	close(daemon);
}

/* unseal-start for a request: what the kernel says. */
static int start_for(int daemon, const struct nl_reply *request,
		     const struct kek *kek, struct nl_reply *r)
{
	struct nl_msg m;

	nl_start(&m, VAULTRING_CMD_UNSEAL_START, 0);
	nl_put(&m, VAULTRING_A_ENVELOPE, kek->envelope, kek->envelope_len);
	nl_put_u64(&m, VAULTRING_A_REQUEST,
		   nl_u64(request, VAULTRING_A_REQUEST));
	return nl_call(daemon, &m, r);
}

TEST_F(subjects, for_a_stranger_no_vault_is_asked)
{
	struct nl_reply request, r;
	struct nl_share share;
	int daemon = daemon_attach();
	uint8_t x[X_SIZE];
	pid_t pid;

	ASSERT_GE(daemon, 0);
	ASSERT_EQ(0, kek_revoke(self->nl, &self->bob.kek));
	pid = start_as(ALICE, door_setkey, &self->bob);
	ASSERT_EQ(0, daemon_next(daemon, &request, PATIENCE_MS));
	EXPECT_EQ(-EACCES, start_for(daemon, &request, &self->bob.kek, &r));
	EXPECT_EQ(NULL, r.attr[VAULTRING_A_SHARE]);
	EXPECT_EQ(0, daemon_fail(daemon, &request, EACCES));
	EXPECT_EQ(EACCES, outcome(pid));
	EXPECT_EQ(0, kek_held(self->nl, self->bob.kek.id));

	/* Its owner has it unsealed. */
	pid = start_as(BOB, door_setkey, &self->bob);
	ASSERT_EQ(0, daemon_next(daemon, &request, PATIENCE_MS));
	ASSERT_EQ(0, start_for(daemon, &request, &self->bob.kek, &r));
	ASSERT_EQ(0, nl_share_of(&r, &share));
	ASSERT_EQ(0, soft_vault_exchange(&self->vault, share.challenge, x));
	EXPECT_EQ(0, unseal_answer(daemon, nl_u64(&r, VAULTRING_A_UNSEAL),
				   share.index, x, sizeof(x), &r));
	EXPECT_EQ(0, outcome(pid));
	close(daemon);
}

/* An unseal that another user has begun gives the stranger nothing either. */
TEST_F(subjects, a_stranger_who_waits_gets_nothing_from_anothers_unseal)
{
	struct nl_reply request;
	int daemon = daemon_attach();
	pid_t pid;

	ASSERT_GE(daemon, 0);
	ASSERT_EQ(0, kek_revoke(self->nl, &self->bob.kek));
	pid = start_as(ALICE, door_setkey, &self->bob);
	ASSERT_EQ(0, daemon_next(daemon, &request, PATIENCE_MS));
	ASSERT_EQ(0, kek_unseal(self->nl, &self->vault, self->bob.kek.envelope,
				self->bob.kek.envelope_len));
	EXPECT_EQ(EACCES, outcome(pid));
	close(daemon);
}

/*
 * Whether a KEK that is not his is held is not a stranger's business: he goes
 * the same way, to the daemon, and hears the same.
 */
TEST_F(subjects, a_stranger_cannot_tell_whether_a_kek_is_held)
{
	struct nl_reply request, r;
	int daemon = daemon_attach(), held, i;
	pid_t pid;

	ASSERT_GE(daemon, 0);
	for (held = 1; held >= 0; held--) {
		for (i = 0; i < (int)N_DOORS; i++) {
			self->bob.own = &self->alice;
			pid = start_as(ALICE, doors[i].f, &self->bob);
			ASSERT_EQ(0, daemon_next(daemon, &request, PATIENCE_MS))
				TH_LOG("%s, held: %d", doors[i].name, held);
			EXPECT_EQ(-EACCES, start_for(daemon, &request,
						     &self->bob.kek, &r));
			EXPECT_EQ(0, daemon_fail(daemon, &request, EACCES));
			EXPECT_EQ(EACCES, outcome(pid));
		}
		if (held)
			ASSERT_EQ(0, kek_revoke(self->nl, &self->bob.kek));
	}
	/* Those who may use it ask nobody. */
	pid = start_as(ALICE, door_setkey, &self->alice);
	EXPECT_EQ(-EAGAIN, daemon_next(daemon, &r, 500));
	EXPECT_EQ(0, outcome(pid));
	close(daemon);
}

/*
 * Time, with vaultringd and its HSM
 */

#define ASKS 31
#define TRIES 5

enum { HELD, NOT_HELD, KEKS };

static const struct door timed_doors[] = {
	{ "request by name", door_request_name },
	{ "setkey", door_setkey },
	{ "the raw blob", door_load_raw },
};

#define N_TIMED (sizeof(timed_doors) / sizeof(timed_doors[0]))

/* Shared with the child that asks. */
struct times {
	struct realm realm[KEKS];
	int64_t us[N_TIMED][KEKS][ASKS];
};

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

/*
 * Each one after the other, and first as often.  A door takes a keyring of its
 * own each time: a refusal stays in one for a second.
 */
static int ask_in_turn(void *arg)
{
	struct times *t = arg;
	int64_t start;
	size_t door;
	int i, n, k;

	for (i = 0; i < ASKS; i++)
		for (door = 0; door < N_TIMED; door++)
			for (n = 0; n < KEKS; n++) {
				k = (i + n) % KEKS;
				start = now_us();
				if (timed_doors[door].f(&t->realm[k]) != EACCES)
					return 1 + door * KEKS + k;
				t->us[door][k][i] = now_us() - start;
			}
	return 0;
}

static int by_size(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/*
 * Do the medians differ by less than half of what each of them is spread over,
 * from quartile to quartile?  That of the two which is spread less.
 */
static int alike(struct __test_metadata *_metadata, const char *door,
		 int64_t us[KEKS][ASKS])
{
	int64_t spread[KEKS], apart;
	int k;

	for (k = 0; k < KEKS; k++) {
		qsort(us[k], ASKS, sizeof(us[k][0]), by_size);
		spread[k] = us[k][ASKS * 3 / 4] - us[k][ASKS / 4];
	}
	apart = llabs(us[HELD][ASKS / 2] - us[NOT_HELD][ASKS / 2]);
	TH_LOG("%s: medians of %d us held, %d not held; spread over %d, %d",
	       door, (int)us[HELD][ASKS / 2], (int)us[NOT_HELD][ASKS / 2],
	       (int)spread[HELD], (int)spread[NOT_HELD]);
	return 2 * apart <= (spread[HELD] < spread[NOT_HELD] ? spread[HELD] :
							       spread[NOT_HELD]);
}

static int make_timed(struct realm *r, int k)
{
	snprintf(r->kek.name, sizeof(r->kek.name), "timed-%d-%d", getpid(), k);
	return run(NULL, 0, "vaultring kek create %s --vault hsm --uid %d",
		   r->kek.name, BOB) ?:
	       new_blob(&r->kek, alg_mode()->use, r->blob);
}

static void remove_timed(const struct realm *r)
{
	run(NULL, 0, "vaultring kek revoke %s; "
	    "rm /var/lib/vaultring/keks/%s@*; "
	    "sed -i '/^kek %s /d' /etc/vaultring/pins", r->kek.name,
	    r->kek.name, r->kek.name);
}

/* What a loaded machine does to the times it does not do each time. */
TEST_F_TIMEOUT(subjects, neither_error_nor_time_tells_what_is_held, 180)
{
	struct times *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct realm nowhere = { .kek.name = "timed-nowhere" };
	int seen[N_TIMED] = {}, left = N_TIMED, try, k;
	size_t door;

	ASSERT_NE(MAP_FAILED, t);
	ASSERT_EQ(0, run(NULL, 0, "systemctl start vaultringd"));
	for (k = 0; k < KEKS; k++)
		ASSERT_EQ(0, make_timed(&t->realm[k], k));
	ASSERT_EQ(0, run(NULL, 0, "vaultring kek revoke %s",
			 t->realm[NOT_HELD].kek.name));
	EXPECT_EQ(ENOKEY, as_uid(ALICE, door_request_name, &nowhere));
	for (try = 0; try < TRIES && left; try++) {
		ASSERT_EQ(0, as_uid(ALICE, ask_in_turn, t));
		for (door = 0; door < N_TIMED; door++)
			if (!seen[door] && alike(_metadata, timed_doors[door].name,
						 t->us[door])) {
				seen[door] = 1;
				left--;
			}
	}
	for (door = 0; door < N_TIMED; door++)
		EXPECT_TRUE(seen[door])
			TH_LOG("the time of door %zu tells it", door);
	for (k = 0; k < KEKS; k++)
		remove_timed(&t->realm[k]);
	EXPECT_EQ(0, run(NULL, 0, "systemctl stop vaultringd"));
	munmap(t, sizeof(*t));
}

TEST_HARNESS_MAIN
