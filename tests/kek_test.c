// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KEKs: who gets at one, by which key, and what a revoke does.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "vr_test.h"

static const uint8_t iv[16] = { 3 };

FIXTURE(kek)
{
	struct soft_vault vault;
	struct kek kek;
	int nl;
	uint8_t blob[VAULTRING_BLOB_SIZE];
};

static int a_blob(const struct kek *kek, uint8_t *blob)
{
	const struct mode *mode = alg_mode();
	char words[96];

	snprintf(words, sizeof(words), "new kek=%s use=%s bits=%d", kek->name,
		 mode->use, mode->bits);
	return dek_new(words, KEY_SPEC_PROCESS_KEYRING, blob, NULL);
}

FIXTURE_SETUP(kek)
{
	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, own_session());
	ASSERT_EQ(0, soft_vault_make(&self->vault));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, NULL, NULL));
	ASSERT_EQ(0, kek_make(self->nl, &self->vault, NULL, &self->kek));
	ASSERT_EQ(0, a_blob(&self->kek, self->blob));
}

FIXTURE_TEARDOWN(kek)
{
	kek_revoke(self->nl, &self->kek);
	pins_set(self->nl, NULL, NULL, NULL);
	soft_vault_free(&self->vault);
	close(self->nl);
}

static key_serial_t ask(const char *name)
{
	return request_key("vault-kek", name, "", KEY_SPEC_PROCESS_KEYRING);
}

/* What the children do; each returns 0 or a positive errno. */
static int try_setkey(void *blob)
{
	keyctl_join_session_keyring(NULL);
	return -alg_try(alg_mode()->alg, blob, VAULTRING_BLOB_SIZE);
}

static int try_load(void *blob)
{
	int err;

	keyctl_join_session_keyring(NULL);
	err = dek_load(blob, VAULTRING_BLOB_SIZE, KEY_SPEC_PROCESS_KEYRING);
	return err < 0 ? -err : 0;
}

static int try_request(void *name)
{
	keyctl_join_session_keyring(NULL);
	return ask(name) < 0 ? errno : 0;
}

static int try_new(void *name)
{
	char words[96];

	keyctl_join_session_keyring(NULL);
	snprintf(words, sizeof(words), "new kek=%s use=xts bits=512",
		 (char *)name);
	return -dek_new(words, KEY_SPEC_PROCESS_KEYRING, NULL, NULL);
}

static int try_dm(void *blob)
{
	char hex[2 * VAULTRING_BLOB_SIZE + 1];

	hex_of(blob, VAULTRING_BLOB_SIZE, hex);
	return run(NULL, 0, "/usr/sbin/dmsetup create t-nobody --table "
		   "'0 8 crypt capi:%s-plain64 %s 0 /dev/vda 0'",
		   alg_mode()->alg, hex);
}

static int means_refused(int err)
{
	return err == EACCES || err == ENOKEY || err == EPERM;
}

TEST_F(kek, add_key_is_refused)
{
	EXPECT_EQ(-1, add_key("vault-kek", "mine", "x", 1,
			      KEY_SPEC_PROCESS_KEYRING));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, add_key("vault-kek", self->kek.name, NULL, 0,
			      KEY_SPEC_PROCESS_KEYRING));
	EXPECT_EQ(EPERM, errno);
}

TEST_F(kek, request_gives_a_key_whose_read_is_one_line_of_state)
{
	char line[512], id[33];
	key_serial_t key = ask(self->kek.name);
	long len;

	ASSERT_GT(key, 0)
		TH_LOG("%s", strerror(errno));
	len = keyctl_read(key, line, sizeof(line) - 1);
	ASSERT_GT(len, 0);
	ASSERT_LT(len, (long)sizeof(line));
	line[len] = 0;
	hex_of(self->kek.id, 16, id);
	EXPECT_NE(NULL, strstr(line, self->kek.name));
	EXPECT_NE(NULL, strstr(line, "version=1"));
	EXPECT_NE(NULL, strstr(line, id));
	EXPECT_NE(NULL, strstr(line, "state=active"));
	EXPECT_NE(NULL, strstr(line, "lease=none"));
	EXPECT_NE(NULL, strstr(line, "uses=xts,cbc,ctr,gcm,fscrypt,hmac"))
		TH_LOG("%s", line);
	if (strchr(line, '\n'))
		EXPECT_EQ(line + len - 1, strchr(line, '\n'));
}

TEST_F(kek, a_requested_key_can_be_neither_updated_nor_forged)
{
	key_serial_t key = ask(self->kek.name);

	ASSERT_GT(key, 0);
	EXPECT_EQ(-1, keyctl_update(key, "x", 1));
	EXPECT_EQ(-1, keyctl_instantiate(key, "x", 1, 0));
}

TEST_F(kek, an_unknown_name_gives_enokey)
{
	EXPECT_EQ(-1, ask("t-nowhere"));
	EXPECT_EQ(ENOKEY, errno);
}

TEST_F(kek, a_name_that_cannot_be_one_is_refused)
{
	char name[128];

	memset(name, 'a', 100);
	name[100] = 0;
	EXPECT_EQ(-1, ask(name));
	EXPECT_EQ(-1, ask("../prod"));
	EXPECT_EQ(-1, ask("pr od"));
	EXPECT_EQ(-1, ask("id:zz"));
}

TEST_F(kek, a_stranger_with_the_blob_is_refused_by_setkey)
{
	int err = as_nobody(try_setkey, self->blob);

	EXPECT_TRUE(means_refused(err))
		TH_LOG("%s", err ? strerror(err) : "accepted");
	EXPECT_EQ(0, try_setkey(self->blob));
}

TEST_F(kek, a_stranger_with_the_blob_is_refused_by_load)
{
	int err = as_nobody(try_load, self->blob);

	EXPECT_TRUE(means_refused(err))
		TH_LOG("%s", err ? strerror(err) : "accepted");
	EXPECT_EQ(0, try_load(self->blob));
}

TEST_F(kek, a_stranger_gets_neither_the_kek_nor_a_new_data_key)
{
	EXPECT_TRUE(means_refused(as_nobody(try_request, self->kek.name)));
	EXPECT_TRUE(means_refused(as_nobody(try_new, self->kek.name)));
	EXPECT_EQ(0, try_request(self->kek.name));
}

TEST_F(kek, a_stranger_with_the_blob_is_refused_by_device_mapper)
{
	int status = as_nobody(try_dm, self->blob);

	EXPECT_NE(0, status);
	EXPECT_NE(0, access("/dev/mapper/t-nobody", F_OK));
}

TEST_F(kek, a_user_that_the_envelope_names_may_use_it)
{
	static const uint32_t uids[] = { 12345, NOBODY };
	struct kek_options o = { .uids = uids, .n_uids = 2 };
	uint8_t blob[VAULTRING_BLOB_SIZE];
	struct kek kek;

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &kek));
	ASSERT_EQ(0, a_blob(&kek, blob));
	EXPECT_EQ(0, as_nobody(try_setkey, blob));
	EXPECT_EQ(0, as_nobody(try_load, blob));
	EXPECT_EQ(0, as_nobody(try_request, kek.name));
	EXPECT_EQ(0, as_nobody(try_new, kek.name));
	kek_revoke(self->nl, &kek);
}

TEST_F(kek, a_user_that_the_envelope_does_not_name_may_not)
{
	static const uint32_t uids[] = { 12345 };
	struct kek_options o = { .uids = uids, .n_uids = 1 };
	uint8_t blob[VAULTRING_BLOB_SIZE];
	struct kek kek;

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &kek));
	ASSERT_EQ(0, a_blob(&kek, blob));
	EXPECT_TRUE(means_refused(as_nobody(try_setkey, blob)));
	EXPECT_TRUE(means_refused(as_nobody(try_request, kek.name)));
	kek_revoke(self->nl, &kek);
}

/* A KEK handed over in a keyring that the other one possesses. */
struct handed {
	key_serial_t ring;
	uint8_t *blob;
};

static int try_handed(void *arg)
{
	struct handed *h = arg;

	keyctl_join_session_keyring(NULL);
	if (keyctl_link(h->ring, KEY_SPEC_SESSION_KEYRING))
		return 125;
	return -alg_try(alg_mode()->alg, h->blob, VAULTRING_BLOB_SIZE);
}

static key_serial_t ring_with_kek(const char *name, uint32_t kek_perm)
{
	const uint32_t all = KEY_POS_ALL | KEY_USR_ALL;
	key_serial_t ring, key;

	ring = add_key("keyring", "t-handed", NULL, 0, KEY_SPEC_SESSION_KEYRING);
	if (ring < 0)
		return -1;
	key = request_key("vault-kek", name, "", ring);
	if (key < 0 || keyctl_link(key, ring) ||
	    keyctl_setperm(key, KEY_USR_ALL | kek_perm) ||
	    keyctl_setperm(ring, all | KEY_OTH_SEARCH | KEY_OTH_READ |
			   KEY_OTH_LINK | KEY_OTH_VIEW))
		return -1;
	return ring;
}

TEST_F(kek, possession_through_a_keyring_with_search_is_enough)
{
	struct handed h = { .blob = self->blob };

	h.ring = ring_with_kek(self->kek.name, KEY_POS_SEARCH | KEY_POS_VIEW |
			       KEY_OTH_SEARCH);
	ASSERT_GT(h.ring, 0)
		TH_LOG("%s", strerror(errno));
	EXPECT_EQ(0, as_nobody(try_handed, &h));
}

TEST_F(kek, possession_does_not_help_whom_the_envelope_does_not_name)
{
	static const uint32_t uids[] = { 12345 };
	struct kek_options o = { .uids = uids, .n_uids = 1 };
	uint8_t blob[VAULTRING_BLOB_SIZE];
	struct handed h = { .blob = blob };
	struct kek kek;

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &kek));
	ASSERT_EQ(0, a_blob(&kek, blob));
	h.ring = ring_with_kek(kek.name, KEY_POS_SEARCH | KEY_POS_VIEW |
			       KEY_OTH_SEARCH);
	ASSERT_GT(h.ring, 0);
	EXPECT_EQ(EACCES, as_nobody(try_handed, &h));
	kek_revoke(self->nl, &kek);
}

TEST_F(kek, possession_without_search_is_not_enough)
{
	struct handed h = { .blob = self->blob };

	h.ring = ring_with_kek(self->kek.name, KEY_POS_VIEW);
	ASSERT_GT(h.ring, 0)
		TH_LOG("%s", strerror(errno));
	EXPECT_TRUE(means_refused(as_nobody(try_handed, &h)));
}

TEST_F(kek, a_revoke_kills_open_transforms_for_good)
{
	uint8_t page[4096] = "before", out[4096], again[4096];
	int fd = alg_open(alg_mode()->alg), op, fresh;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, alg_setkey(fd, self->blob, sizeof(self->blob)));
	op = alg_op(fd);
	ASSERT_GE(op, 0);
	ASSERT_EQ(0, alg_crypt(op, 1, iv, page, out, sizeof(page)));
	close(op);
	/* A new one, since a failed request leaves its input in the socket. */
	op = alg_op(fd);

	ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	EXPECT_EQ(-EKEYREVOKED, alg_crypt(op, 1, iv, page, again, sizeof(page)));
	EXPECT_EQ(0, kek_held(self->nl, self->kek.id));

	ASSERT_EQ(0, kek_unseal(self->nl, &self->vault, self->kek.envelope,
				self->kek.envelope_len));
	close(op);
	op = alg_op(fd);
	EXPECT_EQ(-EKEYREVOKED, alg_crypt(op, 1, iv, page, again, sizeof(page)));
	close(op);

	/* The same key set anew is a new transform. */
	fresh = alg_open(alg_mode()->alg);
	ASSERT_EQ(0, alg_setkey(fresh, self->blob, sizeof(self->blob)));
	op = alg_op(fresh);
	ASSERT_EQ(0, alg_crypt(op, 1, iv, page, again, sizeof(page)));
	EXPECT_EQ(0, memcmp(out, again, sizeof(out)));
	close(op);
	close(fresh);
	close(fd);
}

/* Begun under the key, and its last step comes after the revoke or before. */
static int mac_over_revoke(struct _test_data_kek *self, int revoke, uint8_t *mac)
{
	int fd = alg_open_type("hash", "phmac(sha256)"), op, err;
	uint8_t blob[VAULTRING_BLOB_SIZE];
	char words[96];

	snprintf(words, sizeof(words), "new kek=%s use=hmac bits=256",
		 self->kek.name);
	err = dek_new(words, KEY_SPEC_PROCESS_KEYRING, blob, NULL);
	if (fd < 0 || err)
		return fd < 0 ? fd : err;
	err = alg_setkey(fd, blob, sizeof(blob));
	op = alg_op(fd);
	if (!err && send(op, iv, sizeof(iv), MSG_MORE) != sizeof(iv))
		err = -errno;
	if (!err && revoke)
		err = kek_revoke(self->nl, &self->kek);
	if (!err && recv(op, mac, 32, 0) != 32)
		err = -errno;
	close(op);
	close(fd);
	return err;
}

TEST_F(kek, a_mac_that_is_under_way_is_not_finished_after_a_revoke)
{
	uint8_t mac[32];

	EXPECT_EQ(0, mac_over_revoke(self, 0, mac));
	EXPECT_EQ(-EKEYREVOKED, mac_over_revoke(self, 1, mac));
}

TEST_F(kek, a_revoke_counts_the_transforms_that_it_killed)
{
	int fds[5], i;
	struct nl_reply r;
	struct nl_msg m;

	for (i = 0; i < 5; i++) {
		fds[i] = alg_open(alg_mode()->alg);
		ASSERT_GE(fds[i], 0);
		ASSERT_EQ(0, alg_setkey(fds[i], self->blob,
					sizeof(self->blob)));
	}
	nl_start(&m, VAULTRING_CMD_KEK_REVOKE, 0);
	nl_put_text(&m, VAULTRING_A_NAME, self->kek.name);
	ASSERT_EQ(0, nl_call(self->nl, &m, &r));
	EXPECT_EQ(5, nl_u32(&r, VAULTRING_A_TRANSFORMS));
	for (i = 0; i < 5; i++)
		close(fds[i]);
}

TEST_F(kek, a_key_requested_before_a_revoke_opens_nothing_after_it)
{
	key_serial_t key = ask(self->kek.name);
	int err;

	ASSERT_GT(key, 0);
	ASSERT_EQ(0, keyctl_link(key, KEY_SPEC_SESSION_KEYRING));
	ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	err = alg_try(alg_mode()->alg, self->blob, sizeof(self->blob));
	EXPECT_TRUE(err == -EKEYREVOKED || err == -ENOKEY)
		TH_LOG("%s", err ? strerror(-err) : "accepted");
}

TEST_F(kek, revoking_what_is_not_held_gives_enokey)
{
	struct kek nowhere = {};

	EXPECT_EQ(-ENOKEY, kek_revoke(self->nl, &nowhere));
}

TEST_F(kek, an_ended_lease_refuses_new_transforms)
{
	struct kek_options o = { .lease = 6 };
	uint8_t blob[VAULTRING_BLOB_SIZE];
	struct kek kek;
	int err;

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &kek));
	ASSERT_EQ(0, a_blob(&kek, blob));
	ASSERT_EQ(0, alg_try(alg_mode()->alg, blob, sizeof(blob)));
	sleep(8);
	err = alg_try(alg_mode()->alg, blob, sizeof(blob));
	EXPECT_TRUE(err == -EKEYEXPIRED || err == -ENOKEY)
		TH_LOG("%s", err ? strerror(-err) : "accepted");
	kek_revoke(self->nl, &kek);
}

TEST_HARNESS_MAIN
