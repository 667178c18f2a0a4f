// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What happens at the same time: I/O and a revoke, many that ask for one KEK,
 * a daemon that dies before, in and after an unseal.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "vr_test.h"

#define THREADS 4
#define ROUNDS 10
#define ASKING 50

static const uint8_t iv[16] = { 9 };
static uint8_t page[4096] = "in flight", expected[4096];

struct worker {
	pthread_t thread;
	const uint8_t *blob;
	int op;
	atomic_int *stop;
	/* Set when a revoke has returned: from then on nothing may succeed. */
	atomic_int *revoked;
	int good, revoked_ops, wrong, late, other;
};

struct revoker {
	pthread_t thread;
	pthread_barrier_t *start;
	const struct kek *kek;
	int err, still_there;
};

FIXTURE(race)
{
	struct soft_vault vault;
	struct kek kek;
	int nl;
	uint8_t blob[VAULTRING_BLOB_SIZE];
	struct worker workers[THREADS];
	atomic_int stop, revoked;
};

FIXTURE_SETUP(race)
{
	char words[96];

	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, own_session());
	ASSERT_EQ(0, soft_vault_make(&self->vault));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, NULL, NULL));
	ASSERT_EQ(0, kek_make(self->nl, &self->vault, NULL, &self->kek));
	snprintf(words, sizeof(words), "new kek=%s use=%s bits=%d",
		 self->kek.name, alg_mode()->use, alg_mode()->bits);
	ASSERT_EQ(0, dek_new(words, KEY_SPEC_PROCESS_KEYRING, self->blob, NULL));
}

FIXTURE_TEARDOWN(race)
{
	kek_revoke(self->nl, &self->kek);
	pins_set(self->nl, NULL, NULL, NULL);
	soft_vault_free(&self->vault);
	close(self->nl);
}

static int keyed_op(const uint8_t *blob)
{
	int fd = alg_open(alg_mode()->alg), op, err;

	if (fd < 0)
		return fd;
	err = alg_setkey(fd, blob, VAULTRING_BLOB_SIZE);
	op = err ? err : alg_op(fd);
	close(fd);
	return op;
}

static void nap(int ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

static void judge(struct worker *w, int err, int was_revoked,
		  const uint8_t *out)
{
	if (!err && memcmp(out, expected, sizeof(expected)))
		w->wrong++;
	else if (!err && was_revoked)
		w->late++;
	else if (!err)
		w->good++;
	else if (err == -EKEYREVOKED)
		w->revoked_ops++;
	else
		w->other = err;
}

static void *encrypt_on(void *arg)
{
	struct worker *w = arg;
	uint8_t out[4096];
	int err, was;

	while (!atomic_load(w->stop)) {
		was = atomic_load(w->revoked);
		err = alg_crypt(w->op, 1, iv, page, out, sizeof(page));
		judge(w, err, was, out);
		if (err)
			break;	/* its input stays in the socket */
	}
	return NULL;
}

static void *setkey_on(void *arg)
{
	struct worker *w = arg;
	uint8_t out[4096];
	int op, err;

	while (!atomic_load(w->stop)) {
		op = keyed_op(w->blob);
		if (op < 0) {
			if (op == -EKEYREVOKED || op == -ENOKEY)
				w->revoked_ops++;
			else
				w->other = op;
			continue;
		}
		err = alg_crypt(op, 1, iv, page, out, sizeof(page));
		judge(w, err, 0, out);
		close(op);
	}
	return NULL;
}

static void learn_expected(struct __test_metadata *_metadata,
			   const uint8_t *blob)
{
	int op = keyed_op(blob);

	ASSERT_GE(op, 0);
	ASSERT_EQ(0, alg_crypt(op, 1, iv, page, expected, sizeof(page)));
	close(op);
}

static void start_thread(pthread_t *thread, void *(*f)(void *), void *arg)
{
	int err = pthread_create(thread, NULL, f, arg);

	if (!err)
		return;
	/* Others may wait for this one already. */
	fprintf(stderr, "# no thread: %s\n", strerror(err));
	_exit(KSFT_FAIL);
}

static void start_workers(struct _test_data_race *self, void *(*f)(void *))
{
	int i;

	atomic_store(&self->stop, 0);
	atomic_store(&self->revoked, 0);
	for (i = 0; i < THREADS; i++) {
		self->workers[i].blob = self->blob;
		self->workers[i].stop = &self->stop;
		self->workers[i].revoked = &self->revoked;
		start_thread(&self->workers[i].thread, f, &self->workers[i]);
	}
}

static void join_workers(struct _test_data_race *self)
{
	int i;

	atomic_store(&self->stop, 1);
	for (i = 0; i < THREADS; i++)
		pthread_join(self->workers[i].thread, NULL);
}

TEST_F_TIMEOUT(race, requests_during_a_revoke_are_right_or_refused, 120)
{
	int round, i, good = 0;

	learn_expected(_metadata, self->blob);
	for (round = 0; round < ROUNDS; round++) {
		memset(self->workers, 0, sizeof(self->workers));
		for (i = 0; i < THREADS; i++) {
			self->workers[i].op = keyed_op(self->blob);
			ASSERT_GE(self->workers[i].op, 0);
		}
		start_workers(self, encrypt_on);
		nap(50 + 7 * round);
		ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
		atomic_store(&self->revoked, 1);
		nap(30);
		join_workers(self);
		for (i = 0; i < THREADS; i++) {
			struct worker *w = &self->workers[i];

			EXPECT_EQ(0, w->wrong);
			EXPECT_EQ(0, w->late);
			EXPECT_EQ(0, w->other)
				TH_LOG("%s", strerror(-w->other));
			EXPECT_EQ(1, w->revoked_ops);
			good += w->good;
			close(w->op);
		}
		ASSERT_EQ(0, kek_unseal(self->nl, &self->vault,
					self->kek.envelope,
					self->kek.envelope_len));
	}
	EXPECT_GT(good, ROUNDS * THREADS);
}

TEST_F_TIMEOUT(race, setkey_during_revokes_and_unseals_is_right_or_refused, 120)
{
	int i, good = 0;

	learn_expected(_metadata, self->blob);
	memset(self->workers, 0, sizeof(self->workers));
	start_workers(self, setkey_on);
	for (i = 0; i < 3 * ROUNDS; i++) {
		nap(20);
		kek_revoke(self->nl, &self->kek);
		ASSERT_EQ(0, kek_unseal(self->nl, &self->vault,
					self->kek.envelope,
					self->kek.envelope_len));
	}
	join_workers(self);
	for (i = 0; i < THREADS; i++) {
		EXPECT_EQ(0, self->workers[i].wrong);
		EXPECT_EQ(0, self->workers[i].other)
			TH_LOG("%s", strerror(-self->workers[i].other));
		good += self->workers[i].good;
	}
	EXPECT_GT(good, 0);
}

/* Revokes with a socket of its own, then looks at once whether it is over. */
static void *revoke_and_look(void *arg)
{
	struct revoker *r = arg;
	struct nl_reply reply;
	int nl = nl_open();

	pthread_barrier_wait(r->start);
	r->err = kek_revoke(nl, r->kek);
	r->still_there = !kek_get(nl, r->kek->id, &reply) && reply.messages;
	close(nl);
	return NULL;
}

TEST_F_TIMEOUT(race, who_comes_second_waits_until_all_is_wiped_too, 120)
{
	struct revoker r[THREADS];
	pthread_barrier_t start;
	int round, i;

	pthread_barrier_init(&start, NULL, THREADS);
	for (round = 0; round < 2 * ROUNDS; round++) {
		for (i = 0; i < THREADS; i++) {
			r[i] = (struct revoker){ .kek = &self->kek,
						 .start = &start };
			start_thread(&r[i].thread, revoke_and_look, &r[i]);
		}
		for (i = 0; i < THREADS; i++) {
			pthread_join(r[i].thread, NULL);
			EXPECT_EQ(0, r[i].still_there);
			if (r[i].err != -ENOKEY)	/* it was over already */
				EXPECT_EQ(0, r[i].err);
		}
		ASSERT_EQ(0, kek_unseal(self->nl, &self->vault,
					self->kek.envelope,
					self->kek.envelope_len));
	}
	pthread_barrier_destroy(&start);
}

TEST_F(race, an_unseal_that_its_process_abandons_leaves_nothing)
{
	struct nl_reply r;
	struct nl_msg m;
	pid_t pid;
	int i, fd;

	ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	for (i = 0; i < 20; i++) {
		pid = fork();
		if (!pid) {
			fd = nl_open();
			_exit(!!unseal_start(fd, self->kek.envelope,
					     self->kek.envelope_len, 500, &r));
		}
		waitpid(pid, &fd, 0);
		ASSERT_EQ(0, fd);
	}
	nap(1200);
	nl_start(&m, VAULTRING_CMD_STATUS_GET, 0);
	ASSERT_EQ(0, nl_call(self->nl, &m, &r));
	EXPECT_EQ(0, nl_u32(&r, VAULTRING_A_UNSEALS));
	EXPECT_EQ(0, kek_held(self->nl, self->kek.id));
	EXPECT_EQ(0, kek_unseal(self->nl, &self->vault, self->kek.envelope,
				self->kek.envelope_len));
}

/* With the daemon and its HSM. */
FIXTURE(daemon)
{
	char name[32], out[1024];
	int nl, events;
};

FIXTURE_SETUP(daemon)
{
	static int count;

	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, own_session());
	ASSERT_EQ(0, run(NULL, 0, "systemctl reset-failed vaultringd;"
			 "systemctl is-active vaultringd || "
			 "systemctl start vaultringd"));
	snprintf(self->name, sizeof(self->name), "d%d-%d", getpid(), ++count);
	ASSERT_EQ(0, run(self->out, sizeof(self->out),
			 "vaultring kek create %s --vault hsm", self->name))
		TH_LOG("%s", self->out);
	ASSERT_EQ(0, run(self->out, sizeof(self->out),
			 "vaultring kek revoke %s", self->name))
		TH_LOG("%s", self->out);
	self->events = nl_open_events();
	ASSERT_GE(self->events, 0);
}

FIXTURE_TEARDOWN(daemon)
{
	run(NULL, 0, "vaultring kek revoke %s; rm -f "
	    "/var/lib/vaultring/keks/%s@*; systemctl reset-failed vaultringd",
	    self->name, self->name);
	close(self->events);
	close(self->nl);
}

/* How often the KEK became active, from events within ms. */
static int activations(struct _test_data_daemon *self, int ms)
{
	struct nl_reply r;
	int cmd, count = 0;

	while (!nl_wait(self->events, &r, ms, &cmd))
		if (cmd == VAULTRING_CMD_KEK_EVENT &&
		    nl_u32(&r, VAULTRING_A_STATE) ==
			VAULTRING_KEK_STATE_ACTIVE &&
		    r.attr[VAULTRING_A_NAME] &&
		    !strcmp(r.attr[VAULTRING_A_NAME], self->name))
			count++;
	return count;
}

TEST_F_TIMEOUT(daemon, fifty_that_ask_at_once_cause_one_unseal, 90)
{
	pid_t asking[ASKING];
	int i;

	for (i = 0; i < ASKING; i++)
		asking[i] = ask_in_child(self->name);
	for (i = 0; i < ASKING; i++)
		EXPECT_EQ(0, outcome(asking[i]));
	EXPECT_EQ(1, activations(self, 1000));
}

TEST_F_TIMEOUT(daemon, a_daemon_killed_before_a_request_is_back_for_the_next, 90)
{
	int i, err = -1;

	ASSERT_EQ(0, run(NULL, 0, "systemctl kill -s KILL vaultringd"));
	/* With nobody to ask a request fails at once, and clearly. */
	err = outcome(ask_in_child(self->name));
	EXPECT_TRUE(!err || err == ENOKEY || err == EAGAIN)
		TH_LOG("%s", strerror(err));
	for (i = 0; i < 60 && err; i++) {
		nap(500);
		err = outcome(ask_in_child(self->name));
	}
	EXPECT_EQ(0, err);
}

TEST_F_TIMEOUT(daemon, a_request_outlives_a_daemon_killed_in_it, 90)
{
	pid_t pid;

	ASSERT_EQ(0, run(NULL, 0, "systemctl kill -s STOP vaultringd"));
	pid = ask_in_child(self->name);
	nap(500);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	ASSERT_EQ(0, run(NULL, 0, "systemctl kill -s KILL vaultringd"));
	EXPECT_EQ(0, outcome(pid));
}

TEST_F_TIMEOUT(daemon, a_kek_and_its_transforms_outlive_the_daemon, 90)
{
	uint8_t blob[VAULTRING_BLOB_SIZE], first[4096], second[4096];
	char words[96];
	int op;

	snprintf(words, sizeof(words), "new kek=%s use=%s bits=%d",
		 self->name, alg_mode()->use, alg_mode()->bits);
	ASSERT_EQ(0, dek_new(words, KEY_SPEC_PROCESS_KEYRING, blob, NULL));
	op = keyed_op(blob);
	ASSERT_GE(op, 0);
	ASSERT_EQ(0, alg_crypt(op, 1, iv, page, first, sizeof(page)));
	ASSERT_EQ(0, run(NULL, 0, "systemctl stop vaultringd"));
	EXPECT_EQ(0, alg_crypt(op, 1, iv, page, second, sizeof(page)));
	EXPECT_EQ(0, memcmp(first, second, sizeof(first)));
	close(op);
	/* Even a new transform needs no daemon while the KEK is held. */
	op = keyed_op(blob);
	EXPECT_GE(op, 0);
	close(op);
	ASSERT_EQ(0, run(NULL, 0, "systemctl start vaultringd"));
}

TEST_HARNESS_MAIN
