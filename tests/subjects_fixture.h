/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fixture of the tests about users: two of them, a KEK of each, on one
 * machine.  vaultringd does not run; a test takes its place where one is asked.
 */
#ifndef SUBJECTS_FIXTURE_H
#define SUBJECTS_FIXTURE_H

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "vr_test.h"

#define ALICE 3001
#define BOB 3002
#define PATIENCE_MS 20000

/* A KEK and what its owner keeps in files that others can read. */
struct realm {
	uint32_t uid;
	struct kek kek;
	uint8_t blob[VAULTRING_BLOB_SIZE];
	uint8_t fscrypt[VAULTRING_BLOB_SIZE];
	/* of the one who tries; for rewraps */
	const struct realm *own;
};

FIXTURE(subjects)
{
	struct soft_vault vault;
	struct realm alice, bob;
	int nl;
};

__attribute__((constructor)) static void prepare(void)
{
	without_daemon();
}

static inline int new_blob(const struct kek *kek, const char *use,
			   uint8_t *blob)
{
	char words[128];

	snprintf(words, sizeof(words), "new kek=%.63s use=%s", kek->name, use);
	return dek_new(words, KEY_SPEC_PROCESS_KEYRING, blob, NULL);
}

static inline int make_realm(struct _test_data_subjects *self, struct realm *r,
			     uint32_t uid)
{
	struct kek_options o = { .uids = &uid, .n_uids = 1 };
	int err = kek_make(self->nl, &self->vault, &o, &r->kek);

	r->uid = uid;
	if (!err)
		err = new_blob(&r->kek, alg_mode()->use, r->blob);
	return err ? err : new_blob(&r->kek, "fscrypt", r->fscrypt);
}

FIXTURE_SETUP(subjects)
{
	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, own_session());
	ASSERT_EQ(0, soft_vault_make(&self->vault));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, NULL, NULL));
	ASSERT_EQ(0, make_realm(self, &self->alice, ALICE));
	ASSERT_EQ(0, make_realm(self, &self->bob, BOB));
}

FIXTURE_TEARDOWN(subjects)
{
	kek_revoke(self->nl, &self->alice.kek);
	kek_revoke(self->nl, &self->bob.kek);
	pins_set(self->nl, NULL, NULL, NULL);
	soft_vault_free(&self->vault);
	close(self->nl);
}

/*
 * What is tried in a child that is some user, with a session keyring of his own;
 * each returns 0 or a positive errno.
 */

static inline int enter(void)
{
	return keyctl_join_session_keyring(NULL) < 0 ? errno : 0;
}

static inline int ask(const char *desc)
{
	return request_key("vault-kek", desc, "",
			   KEY_SPEC_SESSION_KEYRING) < 0 ? errno : 0;
}

static inline int door_setkey(void *arg)
{
	const struct realm *r = arg;

	return enter() ?: -alg_try(alg_mode()->alg, r->blob, sizeof(r->blob));
}

static inline int door_load_raw(void *arg)
{
	const struct realm *r = arg;

	return enter() ?: add_key("vault-dek", "raw", r->blob, sizeof(r->blob),
				  KEY_SPEC_SESSION_KEYRING) < 0 ? errno : 0;
}

static inline key_serial_t provisioned(const struct realm *r)
{
	char words[32 + 2 * VAULTRING_BLOB_SIZE] = "load ";

	hex_of(r->fscrypt, sizeof(r->fscrypt), words + 5);
	strcat(words, " provision=photos");
	if (add_key("vault-dek", "photos", words, strlen(words),
		    KEY_SPEC_SESSION_KEYRING) < 0)
		return -1;
	return keyctl_search(KEY_SPEC_SESSION_KEYRING, "fscrypt-provisioning",
			     "photos", 0);
}

static inline int ask_with_a_name(void *arg)
{
	const char *name = arg;

	if (prctl(PR_SET_NAME, "t-subject"))
		return 125;
	return enter() ?: ask(name);
}

static inline pid_t start_as(uint32_t uid, int (*f)(void *), void *arg)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (setgroups(0, NULL) || setresgid(uid, uid + 100, uid) ||
	    setresuid(uid, uid, uid))
		_exit(126);
	_exit(f(arg));
}

#endif /* SUBJECTS_FIXTURE_H */
