// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The kill switch under load: a KEK ends while 1,000 transforms do I/O.
 *
 * Each request completes under the right key or fails; nothing succeeds once
 * the revoke has returned; and every sector of the raw disk holds its old
 * content or a correct encryption of the new, by the oracle's account.
 *
 * All of it once with the machine's own AES, where few requests are ever on
 * their way inside a cipher, and once with a slow asynchronous one below ours,
 * where at any time hundreds are.
 *
 *	storm_test [own|slow]	one of the two alone
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "storm.h"

#define LEASE 5	/* seconds */
#define BOUND 10.0	/* seconds, for a revoke and for the first error */
#define MAX_TIMES 64
#define DELAY_MS 40	/* of a request in the slow ciphers */
#define LEAK_KIB 16384	/* some 850 bytes for each transform there was */

struct trial {
	int nl;
	struct soft_vault vault;
	struct kek kek;
	struct volume v;
	struct storm storm;
	struct alg_user alg;
	bool filled;
	uint32_t counted;		/* transforms, by the kernel */
	/* sums of a trigger's rounds */
	int rounds;
	long sectors, bad, good, by_alg, failed;
	long foreign, late, revived, early;
	int other;
	double times[MAX_TIMES], slowest_error, began;
};

struct trigger {
	const char *sentence;
	int rounds;
	/* Ends the KEK and returns once that is done. */
	int (*pull)(struct trial *t);
};

static int cases, failures;
static long all_rounds, all_sectors, all_bad;

static int report(bool truth, const char *sentence)
{
	printf("%sok %d - %s\n", truth ? "" : "not ", ++cases, sentence);
	failures += !truth;
	fflush(stdout);
	return truth;
}

static int must(int err, const char *what)
{
	if (!err)
		return 0;
	printf("# %s: %s\n", what, strerror(-err));
	return err;
}

/*
 * What ends the KEK
 */

/* Revokes; and when that has returned, the KEK must be gone. */
static int revoke_kek(int nl, const struct kek *kek)
{
	struct nl_msg m;
	int err = kek_revoke(nl, kek);

	if (err)
		return err;
	nl_start(&m, VAULTRING_CMD_KEK_GET, 0);
	nl_put(&m, VAULTRING_A_ID, kek->id, VAULTRING_ID_SIZE);
	return nl_call(nl, &m, NULL) == -ENOKEY ? 0 : -EEXIST;
}

static int revoke_once(struct trial *t)
{
	return revoke_kek(t->nl, &t->kek);
}

struct second {
	const struct trial *t;
	struct storm *storm;
	int err;
};

static void *revoke_too(void *arg)
{
	struct second *s = arg;
	int nl = nl_open();

	s->err = nl < 0 ? nl : revoke_kek(nl, &s->t->kek);
	/* Whoever returns first, it is over. */
	atomic_store(&s->storm->over, 1);
	close(nl);
	return NULL;
}

static int revoke_twice(struct trial *t)
{
	struct second s[2] = { { t, &t->storm, 0 }, { t, &t->storm, 0 } };
	pthread_t threads[2];
	int i, good = 0;

	for (i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, revoke_too, &s[i]);
	for (i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		good += !s[i].err;
		if (s[i].err && s[i].err != -ENOKEY)
			return s[i].err;
	}
	return good ? 0 : -ENOKEY;
}

static void *map_again(void *arg)
{
	struct trial *t = arg;

	/* It works or fails, by when the revoke comes. */
	volume_map(&t->v, 0, "storm2");
	return NULL;
}

/* Reads that succeed on the device that was mapped meanwhile, if it was. */
static long reads_of_mapped(void)
{
	int fd = open("/dev/mapper/storm2", O_RDONLY | O_DIRECT | O_CLOEXEC);
	long good = 0;
	uint8_t *buf;
	off_t at;

	if (fd < 0 || posix_memalign((void **)&buf, SLOT, SLOT))
		return 0;
	for (at = 0; at < 256 * SLOT; at += SECTOR)
		good += pread(fd, buf, SECTOR, at) == SECTOR;
	free(buf);
	close(fd);
	run(NULL, 0, "dmsetup remove --retry storm2");
	return good;
}

static int revoke_during_map(struct trial *t)
{
	pthread_t thread;
	int err;

	pthread_create(&thread, NULL, map_again, t);
	nap(60 + 130 * (t->rounds % 4));
	err = revoke_kek(t->nl, &t->kek);
	atomic_store(&t->storm.over, 1);
	pthread_join(thread, NULL);
	t->late += reads_of_mapped();
	return err;
}

static int lease_ends(struct trial *t)
{
	int events = nl_open_events(), cmd, err = -ETIME;
	double end = now() + 2 * LEASE + BOUND;
	struct nl_reply r;

	while (events >= 0 && err && now() < end)
		if (!nl_wait(events, &r, 1000, &cmd) &&
		    cmd == VAULTRING_CMD_KEK_EVENT &&
		    nl_u32(&r, VAULTRING_A_STATE) ==
			VAULTRING_KEK_STATE_EXPIRED &&
		    r.attr[VAULTRING_A_NAME] &&
		    !strcmp(r.attr[VAULTRING_A_NAME], t->kek.name))
			err = 0;
	close(events);
	return err;
}

/*
 * A round
 */

/* On a slow machine it takes longer than a lease to prepare a round. */
struct renewal {
	struct trial *t;
	atomic_int stop;
	pthread_t thread;
	int err;
};

static void *renew_on(void *arg)
{
	struct renewal *r = arg;
	int nl = nl_open();

	r->err = nl < 0 ? nl : 0;
	while (!r->err && !atomic_load(&r->stop)) {
		r->err = kek_unseal(nl, &r->t->vault, r->t->kek.envelope,
				    r->t->kek.envelope_len);
		nap(LEASE * 100);
	}
	close(nl);
	return NULL;
}

static void renewal_start(struct renewal *r, struct trial *t)
{
	*r = (struct renewal) { .t = t };
	pthread_create(&r->thread, NULL, renew_on, r);
}

static int renewal_stop(struct renewal *r)
{
	atomic_store(&r->stop, 1);
	pthread_join(r->thread, NULL);
	return must(r->err, "renew");
}

static int count_transforms(struct trial *t)
{
	struct nl_reply r;
	struct nl_msg m;
	int err;

	nl_start(&m, VAULTRING_CMD_KEK_GET, 0);
	nl_put(&m, VAULTRING_A_ID, t->kek.id, VAULTRING_ID_SIZE);
	err = nl_call(t->nl, &m, &r);
	t->counted = nl_u32(&r, VAULTRING_A_TRANSFORMS);
	if (err || t->counted == TRANSFORMS + t->alg.count)
		return err;
	printf("# %u transforms\n", t->counted);
	return -ERANGE;
}

static int open_round(struct trial *t)
{
	int err = volume_open(&t->v);

	if (must(err, "map the volume"))
		return err;
	if (!t->filled && must(err = volume_fill(&t->v), "fill the volume"))
		return err;
	t->filled = true;
	if (must(err = alg_user_open(&t->alg, &t->v), "open AF_ALG's"))
		return err;
	return must(count_transforms(t), "count the transforms");
}

static int prepare_round(struct trial *t)
{
	struct renewal r;
	int err = kek_unseal(t->nl, &t->vault, t->kek.envelope,
			     t->kek.envelope_len);

	if (must(err, "unseal"))
		return err;
	renewal_start(&r, t);
	err = open_round(t);
	err = renewal_stop(&r) ?: err;
	if (err)
		volume_close(&t->v);
	return err;
}

static void add_up(struct trial *t, double returned)
{
	int i;

	t->by_alg += t->alg.good;
	t->foreign += t->alg.foreign;
	t->late += t->alg.late;
	t->early += t->alg.early;
	t->other = t->alg.other ?: t->other;
	for (i = 0; i < WRITERS; i++) {
		const struct writer *w = &t->storm.writers[i];
		double after = w->first_failure - returned;

		t->good += w->good;
		t->failed += w->failed;
		t->foreign += w->foreign;
		t->late += w->late;
		t->revived += w->revived;
		t->early += w->early;
		if (w->other)
			t->other = w->other;
		if (!w->failed || after > t->slowest_error)
			t->slowest_error = w->failed ? after : 1e9;
	}
}

static int run_round(struct trial *t, const struct trigger *trigger)
{
	double returned;
	int err, bad;

	err = prepare_round(t);
	if (err)
		return err;
	err = storm_start(&t->storm, &t->v, 1000 * all_rounds) ?:
	      alg_user_start(&t->alg, &t->storm);
	if (must(err, "start the writers"))
		return err;
	nap(200 + 70 * (t->rounds % 5));
	storm_call(&t->storm);
	err = trigger->pull(t);
	returned = now();
	atomic_store(&t->storm.over, 1);
	if (must(storm_join(&t->storm), "wait for the writers"))
		exit(1);	/* they still use our memory */
	alg_user_join(&t->alg);
	must(err, "end the KEK");
	add_up(t, returned);
	if (t->rounds < MAX_TIMES)
		t->times[t->rounds] = returned - t->storm.called_at;
	t->rounds++;
	if (must(volume_close(&t->v), "unmap the volume"))
		return -EBUSY;
	bad = volume_check(&t->v);
	if (bad < 0)
		return must(bad, "read the raw disk");
	t->bad += bad;
	t->sectors += t->v.sectors;
	all_rounds++;
	return err;
}

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void run_trigger(struct trial *t, const struct trigger *trigger,
			const char *cipher)
{
	char sentence[160];
	int err = 0;

	t->rounds = t->other = 0;
	t->sectors = t->bad = t->good = t->by_alg = t->failed = 0;
	t->foreign = t->late = t->revived = t->early = 0;
	t->slowest_error = -1e9;
	t->began = now();
	while (!err && t->rounds < trigger->rounds)
		err = run_round(t, trigger);
	qsort(t->times, t->rounds, sizeof(t->times[0]), by_size);
	if (t->rounds)
		printf("# %d rounds, %ld sectors checked, %ld bad; %ld requests"
		       " good and %ld by AF_ALG, %ld failed; ended in %.0f ms, at most %.0f;"
		       " last writer's first error %+.0f ms from then;"
		       " %.1f s in all\n",
		       t->rounds, t->sectors, t->bad, t->good, t->by_alg,
		       t->failed,
		       1e3 * t->times[t->rounds / 2],
		       1e3 * t->times[t->rounds - 1], 1e3 * t->slowest_error,
		       now() - t->began);
	if (t->foreign || t->late || t->revived || t->early || t->other)
		printf("# foreign content read %ld, late %ld, revived %ld,"
		       " early failures %ld, other error %d\n", t->foreign,
		       t->late, t->revived, t->early, t->other);
	all_sectors += t->sectors;
	all_bad += t->bad;
	snprintf(sentence, sizeof(sentence), "%s (%s)", trigger->sentence,
		 cipher);
	report(!err && t->rounds == trigger->rounds && t->sectors &&
	       !t->bad && !t->foreign && !t->late && !t->revived &&
	       !t->early && !t->other &&
	       t->good > t->rounds * 100L / patience(1) &&
	       t->slowest_error < BOUND &&
	       (trigger->pull == lease_ends ||
		t->times[t->rounds - 1] < BOUND), sentence);
}

/*
 * All of them
 */

static int set_up(struct trial *t, uint32_t lease)
{
	const struct kek_options o = {
		.lease = lease,
		.lease_end = lease ? VAULTRING_LEASE_END_KILL : 0,
	};
	struct renewal r;
	int err;

	t->nl = nl_open();
	if (must(err = t->nl < 0 ? t->nl : 0, "open netlink") ||
	    must(err = soft_vault_make(&t->vault), "make a vault") ||
	    must(err = pins_set(t->nl, &t->vault, NULL, NULL), "set pins") ||
	    must(err = kek_make(t->nl, &t->vault, &o, &t->kek), "make a KEK") ||
	    must(err = volume_lay_out(&t->v), "lay out the volume"))
		return err;
	renewal_start(&r, t);
	err = must(volume_make_keys(&t->v, &t->vault, &t->kek),
		   "make the data keys");
	return renewal_stop(&r) ?: err;
}

static void tear_down(struct trial *t)
{
	kek_revoke(t->nl, &t->kek);
	pins_set(t->nl, NULL, NULL, NULL);
	soft_vault_free(&t->vault);
	close(t->nl);
	volume_free(&t->v);
}

static void storm(const char *cipher, bool asynchronous, int times)
{
	const struct trigger triggers[] = {
		{ "a revoke under load leaves no bad sector", 3 * times,
		  revoke_once },
		{ "so does one by two at once", times, revoke_twice },
		{ "and one while a table is loaded", 2 * times,
		  revoke_during_map },
	};
	struct trial *t = calloc(1, sizeof(*t));
	unsigned int i;

	if (!report(t && !set_up(t, 0), "a volume of 1,000 transforms"))
		return;
	t->v.asynchronous = asynchronous;
	for (i = 0; i < sizeof(triggers) / sizeof(triggers[0]); i++)
		run_trigger(t, &triggers[i], cipher);
	tear_down(t);
	free(t);
}

static void storm_of_lease(const char *cipher)
{
	const struct trigger trigger = {
		"so does the end of a lease", 1, lease_ends,
	};
	struct trial *t = calloc(1, sizeof(*t));

	if (!report(t && !set_up(t, LEASE), "another, whose KEK has a lease"))
		return;
	run_trigger(t, &trigger, cipher);
	tear_down(t);
	free(t);
}

/* Keys of our types keep the module in until the collector has been. */
static int unload(void)
{
	int left = 20;

	while (run(NULL, 0, "rmmod vaultring") && --left)
		nap(500);
	return left ? 0 : -EBUSY;
}

static long unreclaimable_kib(void)
{
	char out[64] = "";

	run(out, sizeof(out), "awk '/^(SUnreclaim|KernelStack|Percpu):/ "
	    "{ sum += $2 } END { print sum }' /proc/meminfo");
	return atol(out);
}

/* The module goes and comes back on top of the slow ciphers. */
static void storm_in_slow_ciphers(void)
{
	int err;

	if (!report(!unload(), "the module unloads after the storm"))
		return;
	err = run(NULL, 0, "insmod $(dirname $(readlink /proc/%d/exe))/"
		  "slow_aes.ko", getpid());
	if (report(!err && !run(NULL, 0, "modprobe vaultring && echo %d > "
				"/sys/module/slow_aes/parameters/delay_ms",
				DELAY_MS),
		   "it loads on top of slow ciphers"))
		storm("slow ciphers", true, 1);
	report(!unload() && (err || !run(NULL, 0, "rmmod slow_aes")) &&
	       !run(NULL, 0, "modprobe vaultring"),
	       "both unload, and the module is back on the machine's own");
}

int main(int argc, char *argv[])
{
	const char *part = argc > 1 ? argv[1] : NULL;
	char out[512];
	long before;

	run(NULL, 0, "systemctl stop vaultringd");
	if (!report(!own_session() &&
		    !run(out, sizeof(out), "modprobe brd rd_nr=1 rd_size=8192"),
		    "the RAM disk is there"))
		goto out;
	before = unreclaimable_kib();
	if (!part || !strcmp(part, "own")) {
		storm("own AES", false, getenv("VAULTRING_SHORT") ? 1 : 2);
		storm_of_lease("own AES");
	}
	if (!part || !strcmp(part, "slow"))
		storm_in_slow_ciphers();
	nap(1000);
	printf("# %+ld KiB of unreclaimable memory\n",
	       unreclaimable_kib() - before);
	report(unreclaimable_kib() - before < LEAK_KIB,
	       "the memory has come back");
	printf("# %ld rounds, %ld sectors checked, %ld bad\n", all_rounds,
	       all_sectors, all_bad);
out:
	run(NULL, 0, "rmmod brd");
	run(NULL, 0, "systemctl reset-failed vaultringd; "
	    "systemctl start vaultringd");
	printf("1..%d\n", cases);
	return failures ? 1 : 0;
}
