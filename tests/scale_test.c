// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * 10,000 KEKs and 100,000 vault-dek keys: what they cost, in time and memory
 *
 * The machine under the test does other things, too, and not the same at the
 * test's beginning and end.  Times are therefore the lower quartile of many, and
 * said in calls of another command that knows of no KEK, taken in turn with them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "vr_test.h"

#define FEW_KEKS 10
#define KEKS 10000
#define KEKS_SHORT 2000	/* when the whole suite runs */
#define DEKS 100000
#define MAKERS 2
#define LOOKUPS 3000
#define MAX_RATIO 1.3
#define KEK_BYTES 1024
#define DEK_BYTES 512

/* Shared with the processes that make them. */
struct shared {
	uint8_t id[KEKS][VAULTRING_ID_SIZE];
	int made[MAKERS];
};

struct costs {
	double call;			/* STATUS_GET, in microseconds */
	double by_id, by_name, load;	/* in such calls */
};

FIXTURE(scale)
{
	struct soft_vault vault;
	struct shared *shared;
	uint8_t blob[VAULTRING_BLOB_SIZE];
	int nl;
};

FIXTURE_SETUP(scale)
{
	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, own_session());
	ASSERT_EQ(0, soft_vault_make(&self->vault));
	ASSERT_EQ(0, pins_set(self->nl, &self->vault, NULL, NULL));
	self->shared = mmap(NULL, sizeof(*self->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
}

FIXTURE_TEARDOWN(scale)
{
	pins_set(self->nl, NULL, NULL, NULL);
	soft_vault_free(&self->vault);
	munmap(self->shared, sizeof(*self->shared));
	close(self->nl);
}

static void name_of(int i, char *name, size_t size)
{
	snprintf(name, size, "scale%05d", i);
}

/* A field of /proc/meminfo in bytes. */
static long long meminfo(const char *field)
{
	char line[128];
	long long kb = -1;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && kb < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)))
			kb = atoll(line + strlen(field));
	if (f)
		fclose(f);
	return kb * 1024;
}

/* What of the kernel's memory is not a cache of files. */
static long long kernel_memory(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	sync();
	/* Caches that shrink would hide what grew; and what RCU frees is late. */
	if (fd < 0 || write(fd, "3", 1) != 1)
		return -1;
	close(fd);
	sleep(2);
	return meminfo("Slab:") + meminfo("Percpu:") +
	       meminfo("VmallocUsed:");
}

static int make_keks(struct shared *shared, const struct soft_vault *vault,
		     int maker, int first, int last)
{
	struct kek_options options = { .uses = ALL_USES };
	char name[64];
	struct kek kek;
	int nl = nl_open(), i, err = nl < 0 ? nl : 0;

	for (i = first + maker; !err && i < last; i += MAKERS) {
		name_of(i, name, sizeof(name));
		options.name = name;
		err = kek_make(nl, vault, &options, &kek);
		memcpy(shared->id[i], kek.id, sizeof(kek.id));
		shared->made[maker] += !err;
	}
	return err;
}

/* Run f in MAKERS processes; 0 if each returned 0. */
static int in_parallel(int (*f)(void *arg, int maker), void *arg)
{
	int maker, status, err = 0;

	for (maker = 0; maker < MAKERS; maker++)
		if (!fork())
			_exit(f(arg, maker) ? 1 : 0);
	while (wait(&status) > 0)
		err |= status;
	return err;
}

struct span {
	struct shared *shared;
	const struct soft_vault *vault;
	int first, last;
};

static int make_span(void *arg, int maker)
{
	struct span *s = arg;

	return make_keks(s->shared, s->vault, maker, s->first, s->last);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static double quartile(double *times, int n)
{
	qsort(times, n, sizeof(*times), compare);
	return times[n / 4];
}

/* KEKs all over the range, each in turn; the first KEK's blob for loading. */
static int measure(int nl, const struct shared *shared, const uint8_t *blob,
		   int keks, struct costs *costs)
{
	static double call[LOOKUPS], id[LOOKUPS], name[LOOKUPS], load[LOOKUPS];
	char text[64];
	int i;

	for (i = 0; i < LOOKUPS; i++) {
		int which = (long long)i * 7919 % keks;
		double start = now_us();
		struct nl_msg m;

		nl_start(&m, VAULTRING_CMD_STATUS_GET, 0);
		if (nl_call(nl, &m, NULL))
			return -EIO;
		call[i] = now_us() - start;

		start = now_us();
		nl_start(&m, VAULTRING_CMD_KEK_GET, 0);
		nl_put(&m, VAULTRING_A_ID, shared->id[which], VAULTRING_ID_SIZE);
		if (nl_call(nl, &m, NULL))
			return -EIO;
		id[i] = now_us() - start;

		name_of(which, text, sizeof(text));
		start = now_us();
		nl_start(&m, VAULTRING_CMD_KEK_GET, 0);
		nl_put_text(&m, VAULTRING_A_NAME, text);
		if (nl_call(nl, &m, NULL))
			return -EIO;
		name[i] = now_us() - start;

		start = now_us();
		if (add_key("vault-dek", "t-load", blob, VAULTRING_BLOB_SIZE,
			    KEY_SPEC_PROCESS_KEYRING) < 0)
			return -errno;
		load[i] = now_us() - start;
	}
	costs->call = quartile(call, LOOKUPS);
	costs->by_id = quartile(id, LOOKUPS) / costs->call;
	costs->by_name = quartile(name, LOOKUPS) / costs->call;
	costs->load = quartile(load, LOOKUPS) / costs->call;
	return 0;
}

static int count_dump(int nl)
{
	struct nl_reply r;
	struct nl_msg m;

	nl_start(&m, VAULTRING_CMD_KEK_GET, 0x300 /* NLM_F_DUMP */);
	return nl_call(nl, &m, &r) ? -1 : r.messages;
}

TEST_F_TIMEOUT(scale, many_keks_cost_no_more_to_find_than_ten, 600)
{
	const int keks = getenv("VAULTRING_SHORT") ? KEKS_SHORT : KEKS;
	struct span few = { self->shared, &self->vault, 0, FEW_KEKS };
	struct span many = { self->shared, &self->vault, FEW_KEKS, keks };
	struct costs ten, all;
	long long before, bytes;
	double start;

	ASSERT_EQ(0, in_parallel(make_span, &few));
	ASSERT_EQ(0, dek_new("new kek=scale00000 use=xts bits=512",
			     KEY_SPEC_PROCESS_KEYRING, self->blob, NULL));
	ASSERT_EQ(0, measure(self->nl, self->shared, self->blob, FEW_KEKS, &ten));

	before = kernel_memory();
	start = now_us();
	ASSERT_EQ(0, in_parallel(make_span, &many));
	printf("# %d KEKs unsealed in %.0f s\n", keks - FEW_KEKS,
	       (now_us() - start) / 1e6);
	ASSERT_EQ(keks, self->shared->made[0] + self->shared->made[1]);
	bytes = (kernel_memory() - before) / (keks - FEW_KEKS);
	printf("# %lld bytes of memory for each KEK\n", bytes);
	EXPECT_GT(bytes, 0);
	EXPECT_LE(bytes, KEK_BYTES);

	ASSERT_EQ(0, measure(self->nl, self->shared, self->blob, keks, &all));
	printf("# calls of %.1f us at %d and of %.1f us at %d KEKs: by id %.2f %.2f, by name %.2f %.2f, load of a blob %.2f %.2f\n",
	       ten.call, FEW_KEKS, all.call, keks, ten.by_id, all.by_id,
	       ten.by_name, all.by_name, ten.load, all.load);
	EXPECT_LT(all.by_id / ten.by_id, MAX_RATIO);
	EXPECT_LT(all.by_name / ten.by_name, MAX_RATIO);
	EXPECT_LT(all.load / ten.load, MAX_RATIO);

	EXPECT_EQ(keks, count_dump(self->nl));
	/* Grace periods that run side by side: not minutes, one after another. */
	start = now_us();
	EXPECT_EQ(0, run(NULL, 0, "systemctl -q stop vaultringd; rmmod vaultring && modprobe vaultring"));
	printf("# all of them ended in %.1f s\n", (now_us() - start) / 1e6);
	EXPECT_LT(now_us() - start, 60e6);
	run(NULL, 0, "systemctl start vaultringd");
}

/* What a struct key takes. */
static long long key_size(void)
{
	char text[32] = "";
	int fd = open("/sys/kernel/slab/key_jar/slab_size", O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		text[0] = 0;
	close(fd);
	return atoll(text);
}

static int load_deks(void *arg, int maker)
{
	const uint8_t *blob = arg;
	char name[32];
	int i;

	for (i = maker; i < DEKS; i += MAKERS) {
		snprintf(name, sizeof(name), "d%06d", i);
		if (add_key("vault-dek", name, blob, VAULTRING_BLOB_SIZE,
			    KEY_SPEC_SESSION_KEYRING) < 0)
			return -errno;
	}
	return 0;
}

TEST_F_TIMEOUT(scale, a_hundred_thousand_deks_cost_half_a_kibibyte_each, 600)
{
	long long before, bytes;
	struct kek_options options = { .name = "scale-dek", .uses = ALL_USES };
	struct kek kek;
	double start;

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &options, &kek));
	ASSERT_EQ(0, dek_new("new kek=scale-dek use=xts bits=512",
			     KEY_SPEC_PROCESS_KEYRING, self->blob, NULL));
	ASSERT_GT(key_size(), 0);
	before = kernel_memory();
	start = now_us();
	ASSERT_EQ(0, in_parallel(load_deks, self->blob));
	printf("# %d vault-dek keys loaded in %.0f s\n", DEKS,
	       (now_us() - start) / 1e6);
	bytes = (kernel_memory() - before) / DEKS - key_size();
	printf("# %lld bytes of memory for each vault-dek above struct key\n",
	       bytes);
	EXPECT_GT(bytes, 0);
	EXPECT_LE(bytes, DEK_BYTES);
	keyctl_clear(KEY_SPEC_SESSION_KEYRING);
	kek_revoke(self->nl, &kek);
}

TEST_HARNESS_MAIN
