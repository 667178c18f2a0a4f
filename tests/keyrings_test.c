// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What one user has in his keyrings is nothing to another, unless he passes it
 * on; and what a KEK's envelope lists counts then, too.
 */
#include <fcntl.h>
#include <sys/ioctl.h>

#include "subjects_fixture.h"

#include <linux/fscrypt.h>

/*
 * What the other one has in his keyrings
 */

#define N_KEYS 3

/* Bob's process, which stays while somebody tries its keys. */
struct owner {
	pid_t pid;
	int go, keys_fd;
	key_serial_t key[N_KEYS];	/* vault-kek, vault-dek, provisioned */
};

static int still_good(const struct realm *r, const key_serial_t *key)
{
	char line[512];
	uint8_t blob[VAULTRING_BLOB_SIZE];

	if (keyctl_read(key[0], line, sizeof(line)) <= 0 ||
	    blob_of(key[1], blob) || memcmp(blob, r->fscrypt, sizeof(blob)) ||
	    keyctl_search(KEY_SPEC_SESSION_KEYRING, "fscrypt-provisioning",
			  "photos", 0) != key[2])
		return 1;
	return -alg_try(alg_mode()->alg, r->blob, sizeof(r->blob));
}

static void be_owner(const struct realm *r, int go, int out)
{
	key_serial_t key[N_KEYS];
	char c;

	if (setgroups(0, NULL) || setresgid(r->uid, r->uid, r->uid) ||
	    setresuid(r->uid, r->uid, r->uid) || enter())
		_exit(126);
	key[0] = request_key("vault-kek", r->kek.name, "",
			     KEY_SPEC_SESSION_KEYRING);
	key[2] = provisioned(r);
	key[1] = keyctl_search(KEY_SPEC_SESSION_KEYRING, "vault-dek", "photos",
			       0);
	if (key[0] < 0 || key[1] < 0 || key[2] < 0 ||
	    write(out, key, sizeof(key)) != sizeof(key) ||
	    read(go, &c, 1) < 0)
		_exit(125);
	_exit(still_good(r, key));
}

static int start_owner(const struct realm *r, struct owner *o)
{
	int go[2], out[2];

	if (pipe(go) || pipe(out))
		return -1;
	o->pid = fork();
	if (!o->pid) {
		close(go[1]);
		be_owner(r, go[0], out[1]);
	}
	close(go[0]);
	close(out[1]);
	o->go = go[1];
	return read(out[0], o->key, sizeof(o->key)) == sizeof(o->key) ? 0 : -1;
}

/* What the owner says of his keys now: 0 if all of them serve as before. */
static int end_owner(struct owner *o)
{
	int status;

	if (write(o->go, "", 1) != 1 || waitpid(o->pid, &status, 0) != o->pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Returns the number of the first thing that could be done, or 0. */
static int meddle_with(key_serial_t key)
{
	char buf[512];

	if (keyctl_read(key, buf, sizeof(buf)) >= 0)
		return 1;
	if (keyctl_describe(key, buf, sizeof(buf)) >= 0)
		return 2;
	if (!keyctl_link(key, KEY_SPEC_SESSION_KEYRING))
		return 3;
	if (!keyctl_setperm(key, KEY_POS_ALL | KEY_USR_ALL | KEY_OTH_ALL))
		return 4;
	if (!keyctl_chown(key, getuid(), -1))
		return 5;
	if (!keyctl_set_timeout(key, 1))
		return 6;
	if (!keyctl_update(key, "x", 1))
		return 7;
	if (!keyctl_revoke(key))
		return 8;
	if (!keyctl_invalidate(key))
		return 9;
	if (!keyctl_instantiate(key, "x", 1, 0))
		return 10;
	return 0;
}

static int meddle(void *arg)
{
	const struct owner *o = arg;
	int i, what;

	if (enter())
		return 125;
	for (i = 0; i < N_KEYS; i++) {
		what = meddle_with(o->key[i]);
		if (what)
			return 10 * i + what;
	}
	return 0;
}

static int listed(void *arg)
{
	const struct owner *o = arg;
	char serial[16], all[65536];
	FILE *f = fopen("/proc/keys", "re");
	size_t n;
	int i;

	if (!f)
		return 125;
	n = fread(all, 1, sizeof(all) - 1, f);
	fclose(f);
	all[n] = 0;
	for (i = 0; i < N_KEYS; i++) {
		snprintf(serial, sizeof(serial), "%08x ", o->key[i]);
		if (strstr(all, serial))
			return i + 1;
	}
	return 0;
}

TEST_F(subjects, neither_can_touch_see_or_end_the_others_keys)
{
	struct owner bob;

	ASSERT_EQ(0, start_owner(&self->bob, &bob));
	EXPECT_EQ(0, as_uid(ALICE, meddle, &bob));
	EXPECT_EQ(0, as_uid(ALICE, listed, &bob));
	EXPECT_NE(0, as_uid(BOB, listed, &bob));
	EXPECT_EQ(0, end_owner(&bob));
	EXPECT_EQ(1, kek_held(self->nl, self->bob.kek.id));
}

static int revoke_over_netlink(void *arg)
{
	const struct realm *r = arg;
	int nl = nl_open();

	return nl < 0 ? 125 : -kek_revoke(nl, &r->kek);
}

static int revoke_own_handle(void *arg)
{
	const struct realm *r = arg;
	key_serial_t key;

	if (enter())
		return 125;
	key = request_key("vault-kek", r->kek.name, "",
			  KEY_SPEC_SESSION_KEYRING);
	return key < 0 || keyctl_revoke(key) ? errno : 0;
}

TEST_F(subjects, no_user_ends_a_kek_not_even_his_own)
{
	EXPECT_EQ(EPERM, as_uid(ALICE, revoke_over_netlink, &self->bob));
	EXPECT_EQ(EPERM, as_uid(ALICE, revoke_over_netlink, &self->alice));
	/* That is his handle and no more. */
	EXPECT_EQ(0, as_uid(ALICE, revoke_own_handle, &self->alice));
	EXPECT_EQ(1, kek_held(self->nl, self->alice.kek.id));
	EXPECT_EQ(1, kek_held(self->nl, self->bob.kek.id));
	EXPECT_EQ(0, as_uid(ALICE, door_setkey, &self->alice));
}

/* A file system with encryption on a loop device. */
static int mount_at(char *dir)
{
	return run(NULL, 0, "truncate -s 16M %s.img && "
		   "mkfs.ext4 -q -O encrypt %s.img && "
		   "mount -o loop %s.img %s", dir, dir, dir, dir);
}

struct enckey {
	const char *dir;
	key_serial_t key;
	const struct realm *realm;
};

static int add_enckey(const char *dir, key_serial_t key)
{
	struct fscrypt_add_key_arg arg = {
		.key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER,
		.key_id = key,
	};
	int fd = open(dir, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return 125;
	err = ioctl(fd, FS_IOC_ADD_ENCRYPTION_KEY, &arg) ? errno : 0;
	close(fd);
	return err;
}

static int add_others_enckey(void *arg)
{
	const struct enckey *e = arg;

	return enter() ?: add_enckey(e->dir, e->key);
}

static int add_own_enckey(void *arg)
{
	const struct enckey *e = arg;
	key_serial_t key;

	if (enter())
		return 125;
	key = provisioned(e->realm);
	return key < 0 ? 124 : add_enckey(e->dir, key);
}

TEST_F(subjects, a_provisioned_key_serves_nobody_but_its_owner)
{
	char dir[] = "/tmp/subjects-XXXXXX";
	struct enckey e = { dir, 0, &self->bob };
	struct owner bob;

	ASSERT_NE(NULL, mkdtemp(dir));
	ASSERT_EQ(0, mount_at(dir));
	ASSERT_EQ(0, start_owner(&self->bob, &bob));
	e.key = bob.key[2];
	EXPECT_EQ(EACCES, as_uid(ALICE, add_others_enckey, &e));
	EXPECT_EQ(0, as_uid(BOB, add_own_enckey, &e));
	EXPECT_EQ(0, end_owner(&bob));
	EXPECT_EQ(0, run(NULL, 0, "umount %s; rmdir %s; rm %s.img", dir, dir,
			 dir));
}

/*
 * Handles that are passed on
 */

struct passed {
	const struct realm *realm;
	key_serial_t key;
};

static int use_passed(void *arg)
{
	const struct passed *p = arg;

	if (enter())
		return 125;
	if (keyctl_link(p->key, KEY_SPEC_SESSION_KEYRING))
		return 124;
	return -alg_try(alg_mode()->alg, p->realm->blob, VAULTRING_BLOB_SIZE);
}

/* A handle of root's, given to that user by chown. */
static key_serial_t give(const struct kek *kek, uint32_t uid)
{
	key_serial_t key = request_key("vault-kek", kek->name, "",
				       KEY_SPEC_SESSION_KEYRING);

	if (key < 0 || keyctl_setperm(key, KEY_POS_ALL | KEY_USR_ALL) ||
	    keyctl_chown(key, uid, -1))
		return -1;
	return key;
}

TEST_F(subjects, a_handle_given_to_a_user_serves_him_where_nobody_is_listed)
{
	struct realm r = {};
	struct passed p = { &r, 0 };

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, NULL, &r.kek));
	ASSERT_EQ(0, new_blob(&r.kek, alg_mode()->use, r.blob));
	EXPECT_EQ(EACCES, as_uid(BOB, door_setkey, &r));
	p.key = give(&r.kek, BOB);
	ASSERT_GT(p.key, 0);
	EXPECT_EQ(0, as_uid(BOB, use_passed, &p));
	EXPECT_EQ(124, as_uid(ALICE, use_passed, &p));
	kek_revoke(self->nl, &r.kek);
}

TEST_F(subjects, a_handle_does_not_help_whom_the_list_leaves_out)
{
	struct passed p = { &self->alice, 0 };
	key_serial_t key;

	key = give(&self->alice.kek, BOB);
	ASSERT_GT(key, 0);
	p.key = key;
	EXPECT_EQ(EACCES, as_uid(BOB, use_passed, &p));
}

TEST_HARNESS_MAIN
