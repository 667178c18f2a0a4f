// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Many volumes under one KEK: what each one costs, the more there are
 *
 *	bench_volumes KEK DEVICE VOLUMES ROUNDS
 *
 * A volume is a mapping of dm-crypt of eight sectors with a key of its own, made
 * by the same calls that dmsetup and cryptsetup make, without what these do around
 * them.  In each round the KEK is revoked before the first one is opened, so that
 * the daemon is asked; then come as many with xts(aes).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "bench.h"
#include "vr_test.h"

#define MOST 10000
#define REMOVERS 16	/* each waits for grace periods */
#define WINDOW 10	/* volumes, whose median is the cost at a scale */
#define AES_KEY 64
#define COST_WINDOW 20

static const int scales[] = { 10, 20, 50, 100, 200, 500, 1000, 2000, 5000 };

struct request {
	struct dm_ioctl head;
	struct dm_target_spec spec;
	char table[1024];
};

struct many {
	const char *kek, *disk, *prefix;
	int control, volumes;
	uint8_t (*blobs)[VAULTRING_BLOB_SIZE];
	double *times;
};

static int dm_call(const struct many *m, unsigned long call, struct request *r,
		   int number)
{
	r->head.version[0] = DM_VERSION_MAJOR;
	r->head.data_size = sizeof(*r);
	r->head.data_start = offsetof(struct request, spec);
	snprintf(r->head.name, sizeof(r->head.name), "%s%d", m->prefix, number);
	return ioctl(m->control, call, r) ? -errno : 0;
}

static void fill_table(const struct many *m, struct request *r, int number)
{
	const int ours = !!m->blobs;
	char hex[2 * VAULTRING_BLOB_SIZE + 1];
	uint8_t key[AES_KEY];

	if (ours) {
		hex_of(m->blobs[number], VAULTRING_BLOB_SIZE, hex);
	} else {
		if (getrandom(key, sizeof(key), 0) != sizeof(key))
			die(-errno, "no key");
		hex_of(key, sizeof(key), hex);
	}
	r->head.target_count = 1;
	r->spec.length = 8;
	strcpy(r->spec.target_type, "crypt");
	r->spec.next = sizeof(r->spec) + sizeof(r->table);
	snprintf(r->table, sizeof(r->table), "capi:xts(%s)-plain64 %s 0 %s %d",
		 ours ? "paes" : "aes", hex, m->disk, 8 * number);
}

static double open_one(const struct many *m, int number)
{
	struct request create = {}, load = {}, resume = {};
	double start;
	int err;

	fill_table(m, &load, number);
	start = now_us();
	err = dm_call(m, DM_DEV_CREATE, &create, number);
	if (!err)
		err = dm_call(m, DM_TABLE_LOAD, &load, number);
	if (!err)
		err = dm_call(m, DM_DEV_SUSPEND, &resume, number);
	if (err)
		die(err, "volume %s%d", m->prefix, number);
	return now_us() - start;
}

struct remover {
	pthread_t thread;
	const struct many *m;
	int first, left;
};

static void *remove_some(void *arg)
{
	struct remover *r = arg;
	int i, tries;

	for (i = r->first; i < r->m->volumes; i += REMOVERS) {
		struct request request = {};

		for (tries = 100; tries; tries--) {
			if (dm_call(r->m, DM_DEV_REMOVE, &request, i) != -EBUSY)
				break;
			usleep(50000);
		}
		r->left += !tries;
	}
	return NULL;
}

static void remove_all(const struct many *m)
{
	struct remover r[REMOVERS] = {};
	int i, left = 0;

	for (i = 0; i < REMOVERS; i++) {
		r[i].m = m;
		r[i].first = i;
		if (pthread_create(&r[i].thread, NULL, remove_some, &r[i]))
			die(0, "no thread");
	}
	for (i = 0; i < REMOVERS; i++) {
		pthread_join(r[i].thread, NULL);
		left += r[i].left;
	}
	if (left)
		die(0, "%d volumes cannot be removed", left);
}

/* The median of those before the one of that number; without the first. */
static double cost_at(const struct many *m, int number, int window)
{
	double some[COST_WINDOW];
	int n = number - 1 < window ? number - 1 : window;

	memcpy(some, m->times + number - n, n * sizeof(*some));
	return median(some, n);
}

static void open_all(const struct many *m, const char *metric,
		     const char *series)
{
	size_t i;
	int k;

	for (k = 0; k < m->volumes; k++)
		m->times[k] = open_one(m, k);
	for (i = 0; i < sizeof(scales) / sizeof(scales[0]); i++)
		if (scales[i] <= m->volumes)
			point(series, scales[i], cost_at(m, scales[i], WINDOW));
	sample(metric, "few", cost_at(m, COST_WINDOW, COST_WINDOW));
	sample(metric, "many", cost_at(m, m->volumes, COST_WINDOW));
}

static void make_blobs(struct many *m)
{
	key_serial_t key;
	char words[128];
	int i, err;

	m->blobs = calloc(m->volumes, sizeof(*m->blobs));
	m->times = calloc(m->volumes, sizeof(*m->times));
	if (!m->blobs || !m->times)
		die(-ENOMEM, "no room for %d volumes", m->volumes);
	snprintf(words, sizeof(words), "new kek=%s use=xts bits=512", m->kek);
	for (i = 0; i < m->volumes; i++) {
		err = dek_new(words, KEY_SPEC_PROCESS_KEYRING, m->blobs[i], &key);
		if (err)
			die(err, "data key %d under kek %s", i, m->kek);
		keyctl_unlink(key, KEY_SPEC_PROCESS_KEYRING);
	}
}

/* How often the daemon has said that it unsealed the KEK. */
static int unseals(const struct many *m)
{
	char out[64] = "";

	run(out, sizeof(out), "journalctl --sync; "
	    "journalctl -q -b -u vaultringd -o cat | "
	    "grep -c 'kek %s: version 1 unsealed'", m->kek);
	return atoi(out);
}

static void round_of_ours(const struct many *m)
{
	char out[512];
	int before;

	if (run(out, sizeof(out), "vaultring kek revoke %s", m->kek))
		die(0, "kek %s is not revoked: %s", m->kek, out);
	before = unseals(m);
	open_all(m, "volumes.paes", "volume-paes");
	sample("volumes.unseals", "paes", unseals(m) - before);
	remove_all(m);
}

int main(int argc, char *argv[])
{
	struct many ours = { .prefix = "bench-p" }, theirs;
	int round, rounds;

	if (argc != 5) {
		fputs("usage: bench_volumes KEK DEVICE VOLUMES ROUNDS\n", stderr);
		return 2;
	}
	ours.kek = argv[1];
	ours.disk = argv[2];
	ours.volumes = atoi(argv[3]);
	rounds = atoi(argv[4]);
	if (ours.volumes <= COST_WINDOW || ours.volumes > MOST)
		die(0, "more than %d volumes, and %d at most", COST_WINDOW, MOST);
	ours.control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (ours.control < 0)
		die(-errno, "/dev/mapper/control");
	make_blobs(&ours);
	theirs = ours;
	theirs.prefix = "bench-a";
	theirs.blobs = NULL;
	for (round = 0; round < rounds; round++) {
		round_of_ours(&ours);
		open_all(&theirs, "volumes.aes", "volume-aes");
		remove_all(&theirs);
	}
	return 0;
}
