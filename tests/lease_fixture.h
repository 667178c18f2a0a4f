/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fixture of the tests about leases and dates.  The kernel enforces them
 * alone: vaultringd does not run.
 */
#ifndef LEASE_FIXTURE_H
#define LEASE_FIXTURE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "vr_test.h"

#define DAY 86400
#define YEARS (10 * 365 * DAY)
/* What the slowest emulated machine gets; nothing waits that long by itself. */
#define PATIENCE_MS 20000

static const uint8_t iv[16] = { 7 };
static struct timespec real_then, boot_then;

static inline int64_t ms_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static inline int64_t boot_ms(void)
{
	return ms_of(CLOCK_BOOTTIME);
}

static inline void nap(int ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/* The wall clock, and where it would be had nobody touched it. */
static inline int set_clock(time_t seconds)
{
	const struct timespec t = { .tv_sec = seconds };

	return clock_settime(CLOCK_REALTIME, &t);
}

static inline int put_clock_right(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	t.tv_sec += real_then.tv_sec - boot_then.tv_sec;
	t.tv_nsec += real_then.tv_nsec - boot_then.tv_nsec;
	if (t.tv_nsec >= 1000000000)
		t.tv_sec++, t.tv_nsec -= 1000000000;
	if (t.tv_nsec < 0)
		t.tv_sec--, t.tv_nsec += 1000000000;
	return clock_settime(CLOCK_REALTIME, &t);
}

__attribute__((constructor)) static void prepare(void)
{
	clock_gettime(CLOCK_BOOTTIME, &boot_then);
	clock_gettime(CLOCK_REALTIME, &real_then);
	without_daemon();
}

FIXTURE(lease)
{
	struct soft_vault vault;
	struct kek kek;
	uint8_t blob[VAULTRING_BLOB_SIZE];
	key_serial_t dek;
	int nl, events;
	int live;		/* a keyed transform */
};

FIXTURE_SETUP(lease)
{
	ASSERT_EQ(0, put_clock_right());
	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	self->events = nl_open_events();
	ASSERT_GE(self->events, 0);
	ASSERT_EQ(0, own_session());
	ASSERT_EQ(0, soft_vault_make(&self->vault));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, NULL, NULL));
	self->live = -1;
}

FIXTURE_TEARDOWN(lease)
{
	EXPECT_EQ(0, put_clock_right());
	if (self->live >= 0)
		close(self->live);
	kek_revoke(self->nl, &self->kek);
	pins_set(self->nl, NULL, NULL, NULL);
	soft_vault_free(&self->vault);
	close(self->events);
	close(self->nl);
}

static inline int unseal(struct _test_data_lease *self)
{
	return kek_unseal(self->nl, &self->vault, self->kek.envelope,
			  self->kek.envelope_len);
}

static inline int new_blob(const struct kek *kek, uint8_t *blob,
			   key_serial_t *key)
{
	const struct mode *mode = alg_mode();
	char words[128];

	snprintf(words, sizeof(words), "new kek=%.63s use=%s bits=%d", kek->name,
		 mode->use, mode->bits);
	return dek_new(words, KEY_SPEC_PROCESS_KEYRING, blob, key);
}

static inline int setkey(const uint8_t *blob)
{
	return alg_try(alg_mode()->alg, blob, VAULTRING_BLOB_SIZE);
}

static inline int keyed(const uint8_t *blob)
{
	int fd = alg_open(alg_mode()->alg), err;

	if (fd < 0)
		return fd;
	err = alg_setkey(fd, blob, VAULTRING_BLOB_SIZE);
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* A socket of its own each time: what was refused would stay in it. */
static inline int io(int fd)
{
	uint8_t in[512] = "data", out[512];
	int op = alg_op(fd), err;

	if (op < 0)
		return op;
	err = alg_crypt(op, 1, iv, in, out, sizeof(in));
	close(op);
	return err;
}

/* A KEK that is held, a blob under it and a transform that is keyed with it. */
static inline int begin(struct _test_data_lease *self, const struct kek_options *o)
{
	int err = kek_make(self->nl, &self->vault, o, &self->kek);

	if (!err)
		err = new_blob(&self->kek, self->blob, &self->dek);
	if (err)
		return err;
	self->live = keyed(self->blob);
	return self->live < 0 ? self->live : io(self->live);
}

/* What f() returns once that is no more 0, or 0 after ms. */
static inline int refusal_of_setkey(const uint8_t *blob, int ms)
{
	int64_t end = boot_ms() + ms;
	int err;

	while (!(err = setkey(blob)) && boot_ms() < end)
		nap(20);
	return err;
}

static inline int death_of(int live, int ms)
{
	int64_t end = boot_ms() + ms;
	int err;

	while (!(err = io(live)) && boot_ms() < end)
		nap(20);
	return err;
}

/* Whether an event tells of that state within ms. */
static inline int told(struct _test_data_lease *self, uint32_t state, int ms)
{
	int64_t end = boot_ms() + ms;
	struct nl_reply r;
	int cmd;

	while (boot_ms() < end) {
		if (nl_wait(self->events, &r, 200, &cmd) ||
		    cmd != VAULTRING_CMD_KEK_EVENT || !r.attr[VAULTRING_A_ID])
			continue;
		if (nl_u32(&r, VAULTRING_A_STATE) == state &&
		    !memcmp(r.attr[VAULTRING_A_ID], self->kek.id, 16))
			return 1;
	}
	return 0;
}

/* Each door to a new use, once the KEK is over but still held. */
static inline void expect_no_new_use(struct __test_metadata *_metadata,
				     struct _test_data_lease *self, int want)
{
	char words[128];

	EXPECT_EQ(want, setkey(self->blob));
	EXPECT_EQ(want, dek_load(self->blob, VAULTRING_BLOB_SIZE,
				 KEY_SPEC_PROCESS_KEYRING));
	EXPECT_EQ(want, new_blob(&self->kek, NULL, NULL));
	snprintf(words, sizeof(words), "rewrap kek=%.63s", self->kek.name);
	EXPECT_EQ(-1, keyctl_update(self->dek, words, strlen(words)));
	EXPECT_EQ(-want, errno);
	EXPECT_EQ(-1, request_key("vault-kek", self->kek.name, "",
				  KEY_SPEC_PROCESS_KEYRING));
	EXPECT_EQ(-want, errno);
	EXPECT_EQ(0, kek_held(self->nl, self->kek.id));
}

#endif /* LEASE_FIXTURE_H */
