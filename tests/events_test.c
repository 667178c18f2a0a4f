// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the kernel tells of KEKs: events over netlink, audit records, and
 * tracepoints.  Each unseal, refusal, revoke, lease end and keyed transform.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <linux/audit.h>
#include <linux/netlink.h>

#include "kselftest_harness.h"
#include "vr_test.h"

#define TRACING "/sys/kernel/tracing/"
#define NO_ID "00000000000000000000000000000000"
#define WAIT_MS 10000
#define STRANGER 3003
#define OTHER_UID " uid=3004 "

FIXTURE(events)
{
	struct soft_vault vault;
	struct kek kek;
	int nl, events, audit;
	uint8_t blob[VAULTRING_BLOB_SIZE];
};

/* All records, as journald gets them, whether or not there is an auditd. */
static int audit_open(void)
{
	struct sockaddr_nl group = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);

	if (fd >= 0 && !bind(fd, (struct sockaddr *)&group, sizeof(group)))
		return fd;
	close(fd);
	return -1;
}

/* The next record of ours that says this; in out. */
static int audit_says(int fd, const char *text, char *out, size_t size)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[8192];
	ssize_t len;

	while (poll(&p, 1, WAIT_MS) > 0) {
		len = recv(fd, buf, sizeof(buf) - 1, 0);
		if (len <= (ssize_t)sizeof(struct nlmsghdr))
			continue;
		buf[len] = 0;
		snprintf(out, size, "%.*s", (int)size - 1,
			 buf + sizeof(struct nlmsghdr));
		if (strstr(out, "module=vaultring") && strstr(out, text))
			return 1;
	}
	return 0;
}

static int same_id(const struct nl_reply *r, const uint8_t *id)
{
	return r->attr[VAULTRING_A_ID] && !memcmp(r->attr[VAULTRING_A_ID], id, 16);
}

/* The next event of that kind about the KEK, or without an id. */
static int event_comes(int fd, int want, const struct kek *kek,
		       struct nl_reply *r)
{
	int cmd;

	while (!nl_wait(fd, r, WAIT_MS, &cmd))
		if (cmd == want && (same_id(r, kek->id) ||
				    !r->attr[VAULTRING_A_ID]))
			return 1;
	return 0;
}

static int state_comes(int fd, const struct kek *kek, uint32_t state)
{
	struct nl_reply r;

	while (event_comes(fd, VAULTRING_CMD_KEK_EVENT, kek, &r))
		if (nl_u32(&r, VAULTRING_A_STATE) == state)
			return 1;
	return 0;
}

FIXTURE_SETUP(events)
{
	char words[96];

	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, own_session());
	ASSERT_EQ(0, soft_vault_make(&self->vault));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, NULL, NULL));
	self->events = nl_open_events();
	ASSERT_GE(self->events, 0);
	self->audit = audit_open();
	ASSERT_GE(self->audit, 0);
	ASSERT_EQ(0, kek_make(self->nl, &self->vault, NULL, &self->kek));
	snprintf(words, sizeof(words), "new kek=%s use=%s bits=%d",
		 self->kek.name, alg_mode()->use, alg_mode()->bits);
	ASSERT_EQ(0, dek_new(words, KEY_SPEC_PROCESS_KEYRING, self->blob, NULL));
}

FIXTURE_TEARDOWN(events)
{
	kek_revoke(self->nl, &self->kek);
	pins_set(self->nl, NULL, NULL, NULL);
	soft_vault_free(&self->vault);
	close(self->nl);
	close(self->events);
	close(self->audit);
}

TEST_F(events, an_unseal_is_told)
{
	char record[1024], want[128];

	EXPECT_TRUE(state_comes(self->events, &self->kek,
				VAULTRING_KEK_STATE_ACTIVE));
	snprintf(want, sizeof(want), "op=unseal kek=\"%s\"", self->kek.name);
	ASSERT_TRUE(audit_says(self->audit, want, record, sizeof(record)));
	EXPECT_NE(NULL, strstr(record, "errno=0 res=1")) TH_LOG("%s", record);
	snprintf(want, sizeof(want), "pid=%d uid=%d comm=\"", getpid(), getuid());
	EXPECT_NE(NULL, strstr(record, want)) TH_LOG("%s", record);
}

TEST_F(events, a_refused_unseal_is_told_with_its_reason)
{
	struct nl_reply r;
	char record[1024];
	uint8_t wrong[X_SIZE] = { 1 };

	ASSERT_EQ(0, unseal_start(self->nl, self->kek.envelope,
				  self->kek.envelope_len, 0, &r));
	ASSERT_EQ(-EKEYREJECTED,
		  unseal_answer(self->nl, nl_u64(&r, VAULTRING_A_UNSEAL), 1,
				wrong, sizeof(wrong), &r));
	ASSERT_TRUE(event_comes(self->events, VAULTRING_CMD_REFUSED_EVENT,
				&self->kek, &r));
	EXPECT_EQ(EKEYREJECTED, nl_u32(&r, VAULTRING_A_ERROR));
	EXPECT_STREQ(self->kek.name, r.attr[VAULTRING_A_NAME]);
	ASSERT_TRUE(audit_says(self->audit, "res=0", record, sizeof(record)));
	EXPECT_NE(NULL, strstr(record, "op=unseal")) TH_LOG("%s", record);
}

TEST_F(events, a_revoke_is_told)
{
	char record[1024], want[128];

	ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	EXPECT_TRUE(state_comes(self->events, &self->kek,
				VAULTRING_KEK_STATE_REVOKED));
	snprintf(want, sizeof(want), "op=revoke kek=\"%s\"", self->kek.name);
	EXPECT_TRUE(audit_says(self->audit, want, record, sizeof(record)));
}

TEST_F(events, the_end_of_a_lease_is_told_before_and_when_it_comes)
{
	struct kek_options options = { .lease = 4, .name = "t-lease-event" };
	char record[1024];
	struct kek kek;

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &options, &kek));
	EXPECT_TRUE(state_comes(self->events, &kek, VAULTRING_KEK_STATE_ACTIVE));
	EXPECT_TRUE(state_comes(self->events, &kek, VAULTRING_KEK_STATE_ENDING));
	EXPECT_TRUE(state_comes(self->events, &kek, VAULTRING_KEK_STATE_EXPIRED));
	EXPECT_TRUE(audit_says(self->audit, "op=expire kek=\"t-lease-event\"",
			       record, sizeof(record)));
	kek_revoke(self->nl, &kek);
}

TEST_F(events, each_keyed_transform_is_told)
{
	char record[1024], want[128];
	struct nl_reply r;

	ASSERT_EQ(0, alg_try(alg_mode()->alg, self->blob, sizeof(self->blob)));
	ASSERT_TRUE(event_comes(self->events, VAULTRING_CMD_KEYED_EVENT,
				&self->kek, &r));
	EXPECT_EQ(0, nl_u32(&r, VAULTRING_A_ERROR));
	EXPECT_EQ(self->blob[6], nl_u32(&r, VAULTRING_A_USE));
	EXPECT_EQ((uint32_t)getpid(), nl_u32(&r, VAULTRING_A_PID));
	EXPECT_EQ(getuid(), nl_u32(&r, VAULTRING_A_UID_ASKING));
	EXPECT_STREQ(self->kek.name, r.attr[VAULTRING_A_NAME]);
	snprintf(want, sizeof(want), "op=setkey kek=\"%s\"", self->kek.name);
	ASSERT_TRUE(audit_says(self->audit, want, record, sizeof(record)));
	EXPECT_NE(NULL, strstr(record, "res=1")) TH_LOG("%s", record);
}

TEST_F(events, a_transform_that_was_refused_its_key_is_told)
{
	struct nl_reply r;
	char record[1024];

	self->blob[100] ^= 1;
	ASSERT_EQ(-EKEYREJECTED,
		  alg_try(alg_mode()->alg, self->blob, sizeof(self->blob)));
	ASSERT_TRUE(event_comes(self->events, VAULTRING_CMD_KEYED_EVENT,
				&self->kek, &r));
	EXPECT_EQ(EKEYREJECTED, nl_u32(&r, VAULTRING_A_ERROR));
	ASSERT_TRUE(audit_says(self->audit, "op=setkey", record, sizeof(record)));
	EXPECT_NE(NULL, strstr(record, "res=0")) TH_LOG("%s", record);
}

/*
 * Refusals of a KEK as such, in the asker's context: he is named
 */

static int stranger_asks(void *name)
{
	return own_session() ?: request_key("vault-kek", name, "",
					    KEY_SPEC_SESSION_KEYRING) < 0 ?
				errno : 0;
}

static int stranger_keys(void *blob)
{
	return own_session() ?: -alg_try(alg_mode()->alg, blob,
					 VAULTRING_BLOB_SIZE);
}

/* A record that has all of these. */
static void expect_record(struct __test_metadata *_metadata, int audit,
			  const char *op, const char *what, uint32_t uid,
			  int error)
{
	char record[1024], want[128];

	ASSERT_TRUE(audit_says(audit, op, record, sizeof(record)));
	EXPECT_NE(NULL, strstr(record, what)) TH_LOG("%s", record);
	snprintf(want, sizeof(want), " uid=%u ", uid);
	EXPECT_NE(NULL, strstr(record, want)) TH_LOG("%s", record);
	snprintf(want, sizeof(want), " errno=%d res=0", error);
	EXPECT_NE(NULL, strstr(record, want)) TH_LOG("%s", record);
}

static void expect_event(struct __test_metadata *_metadata, int events, int cmd,
			 const struct kek *kek, uint32_t uid, uint32_t error)
{
	struct nl_reply r;

	ASSERT_TRUE(event_comes(events, cmd, kek, &r));
	EXPECT_EQ(error, nl_u32(&r, VAULTRING_A_ERROR));
	EXPECT_EQ(uid, nl_u32(&r, VAULTRING_A_UID_ASKING));
	EXPECT_NE(NULL, r.attr[VAULTRING_A_COMM]);
}

TEST_F(events, a_stranger_who_asks_for_a_kek_is_told)
{
	char what[96];

	ASSERT_EQ(EACCES, as_uid(STRANGER, stranger_asks, self->kek.name));
	expect_event(_metadata, self->events, VAULTRING_CMD_REFUSED_EVENT,
		     &self->kek, STRANGER, EACCES);
	snprintf(what, sizeof(what), "kek=\"%s\"", self->kek.name);
	expect_record(_metadata, self->audit, "op=request", what, STRANGER,
		      EACCES);
}

TEST_F(events, a_stranger_who_has_a_blob_is_told)
{
	char what[40] = "id=";

	hex_of(self->kek.id, sizeof(self->kek.id), what + 3);
	ASSERT_EQ(EACCES, as_uid(STRANGER, stranger_keys, self->blob));
	expect_event(_metadata, self->events, VAULTRING_CMD_REFUSED_EVENT,
		     &self->kek, STRANGER, EACCES);
	expect_event(_metadata, self->events, VAULTRING_CMD_KEYED_EVENT,
		     &self->kek, STRANGER, EACCES);
	expect_record(_metadata, self->audit, "op=request", what, STRANGER,
		      EACCES);
	expect_record(_metadata, self->audit, "op=setkey", what, STRANGER,
		      EACCES);
}

TEST_F(events, who_comes_after_the_lease_is_told)
{
	struct kek_options o = { .lease = 2, .name = "t-late" };
	uint8_t blob[VAULTRING_BLOB_SIZE];
	char words[96];
	struct kek kek;

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &kek));
	snprintf(words, sizeof(words), "new kek=t-late use=%s bits=%d",
		 alg_mode()->use, alg_mode()->bits);
	ASSERT_EQ(0, dek_new(words, KEY_SPEC_PROCESS_KEYRING, blob, NULL));
	ASSERT_TRUE(state_comes(self->events, &kek,
				VAULTRING_KEK_STATE_EXPIRED));
	ASSERT_EQ(EKEYEXPIRED, stranger_asks("t-late"));
	expect_event(_metadata, self->events, VAULTRING_CMD_REFUSED_EVENT, &kek,
		     getuid(), EKEYEXPIRED);
	expect_record(_metadata, self->audit, "op=request", "kek=\"t-late\"",
		      getuid(), EKEYEXPIRED);
	ASSERT_EQ(EKEYEXPIRED, stranger_keys(blob));
	expect_event(_metadata, self->events, VAULTRING_CMD_KEYED_EVENT, &kek,
		     getuid(), EKEYEXPIRED);
	expect_record(_metadata, self->audit, "op=setkey", " dek=", getuid(),
		      EKEYEXPIRED);
	kek_revoke(self->nl, &kek);
}

TEST_F(events, a_blob_for_another_use_is_told)
{
	uint8_t blob[VAULTRING_BLOB_SIZE];
	char words[96];

	snprintf(words, sizeof(words), "new kek=%s use=hmac", self->kek.name);
	ASSERT_EQ(0, dek_new(words, KEY_SPEC_PROCESS_KEYRING, blob, NULL));
	ASSERT_EQ(EOPNOTSUPP, stranger_keys(blob));
	expect_event(_metadata, self->events, VAULTRING_CMD_KEYED_EVENT,
		     &self->kek, getuid(), EOPNOTSUPP);
	expect_record(_metadata, self->audit, "op=setkey", "use=hmac", getuid(),
		      EOPNOTSUPP);
}

/* Lest they fill the log, and hide what others are refused. */
TEST_F_TIMEOUT(events, one_users_refusals_hide_no_others, 60)
{
	int i;

	for (i = 0; i < 60; i++)
		ASSERT_EQ(EACCES, as_uid(STRANGER, stranger_asks,
					 self->kek.name));
	ASSERT_EQ(EACCES, as_uid(STRANGER + 1, stranger_asks, self->kek.name));
	expect_record(_metadata, self->audit, OTHER_UID, "op=request",
		      STRANGER + 1, EACCES);
}

static int join_events(void *arg)
{
	int fd = nl_open_events();

	(void)arg;
	close(fd);
	return fd >= 0;
}

TEST_F(events, others_than_administrators_cannot_listen)
{
	/* What they would hear: which KEKs others have, and when they use them. */
	EXPECT_EQ(0, as_nobody(join_events, NULL));
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC), ok;

	if (fd < 0)
		return -errno;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok ? 0 : -EIO;
}

static unsigned long long ns_of(const char *trace, const char *event,
				const char *field)
{
	const char *at = strstr(trace, event);

	at = at ? strstr(at, field) : NULL;
	return at ? strtoull(at + strlen(field), NULL, 10) : 0;
}

TEST_F(events, tracepoints_say_how_long_it_took)
{
	static char trace[65536];
	size_t len = 0;
	ssize_t n;
	int fd;

	run(trace, sizeof(trace), "mount -t tracefs tracefs " TRACING " 2>/dev/null");
	ASSERT_EQ(0, write_file(TRACING "trace", ""));
	ASSERT_EQ(0, write_file(TRACING "events/vaultring/enable", "1"));
	EXPECT_EQ(0, alg_try(alg_mode()->alg, self->blob, sizeof(self->blob)));
	EXPECT_EQ(0, run(NULL, 0, "systemctl start vaultringd"));
	EXPECT_EQ(ENOKEY, stranger_asks("t-nowhere"));
	EXPECT_EQ(0, kek_revoke(self->nl, &self->kek));
	EXPECT_EQ(0, kek_unseal(self->nl, &self->vault, self->kek.envelope,
				self->kek.envelope_len));
	EXPECT_EQ(0, write_file(TRACING "events/vaultring/enable", "0"));
	fd = open(TRACING "trace", O_RDONLY);
	ASSERT_GE(fd, 0);
	while ((n = read(fd, trace + len, sizeof(trace) - 1 - len)) > 0)
		len += n;
	close(fd);
	trace[len] = 0;
	/* Asked for by name: there is no id, nor anything else in its place. */
	EXPECT_GT(ns_of(trace, "vr_upcall: kek=t-nowhere id=" NO_ID " ",
			" result=-126 ns="), 0) TH_LOG("%s", trace);
	EXPECT_GT(ns_of(trace, "vr_setkey:", "ns="), 0) TH_LOG("%s", trace);
	EXPECT_GT(ns_of(trace, "vr_end:", "wipe_ns="), 0) TH_LOG("%s", trace);
	EXPECT_GT(ns_of(trace, "vr_unseal:", "ns="), 0) TH_LOG("%s", trace);
}

TEST_HARNESS_MAIN
