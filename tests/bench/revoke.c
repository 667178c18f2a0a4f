// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A revoke with 1,000 live transforms: when the last request was let in, and when
 * all is wiped
 *
 *	bench_revoke ROUNDS
 *
 * The volume is that of tests/storm_volume.c.  Readers never pause until they are
 * refused; each notes when the last read that succeeded was begun.  That the revoke
 * returns once all keys are overwritten is for tests/storm_test.c to show.
 */
#include <errno.h>
#include <unistd.h>

#include "bench.h"
#include "storm.h"

#define READERS 4
#define BEFORE 200000	/* microseconds of reading before the revoke, and after */

struct reader {
	pthread_t thread;
	struct volume *v;
	atomic_bool *stop;
	unsigned int seed;
	long good, refused;
	double last_begun;	/* of those that succeeded */
	double first_refused;
	int other;
};

static void make_keys(struct volume *v, const struct kek *kek)
{
	unsigned int i, j;
	key_serial_t key;
	char words[128];
	int err;

	for (i = 0; i < v->n_extents; i++) {
		const struct extent *e = &v->extents[i];

		snprintf(words, sizeof(words), "new kek=%s use=%s bits=%u",
			 kek->name, e->kind->use, e->kind->bits);
		for (j = 0; j < e->kind->keys; j++) {
			err = dek_new(words, KEY_SPEC_PROCESS_KEYRING,
				      v->blobs[e->key + j], &key);
			if (err)
				die(err, "a data key of use %s", e->kind->use);
			keyctl_unlink(key, KEY_SPEC_PROCESS_KEYRING);
		}
	}
}

static int read_slot(const struct volume *v, unsigned int slot, uint8_t *buf)
{
	unsigned int device = v->extents[v->extent_of[slot]].kind->device;
	off_t at = (off_t)(slot * SLOT_SECTORS - v->start[device]) * SECTOR;
	ssize_t n = pread(v->fd[device], buf, SLOT, at);

	return n == SLOT ? 0 : n < 0 ? -errno : -EIO;
}

static void *read_on(void *arg)
{
	struct reader *r = arg;
	double begun;
	uint8_t *buf;
	int err;

	if (posix_memalign((void **)&buf, SLOT, SLOT))
		return NULL;
	while (!atomic_load(r->stop)) {
		begun = now_us();
		err = read_slot(r->v, rand_r(&r->seed) % r->v->slots, buf);
		if (!err) {
			r->good++;
			r->last_begun = begun;
			continue;
		}
		if (!r->refused++)
			r->first_refused = begun;
		if (err != -EIO)
			r->other = err;
		/* What fails does so at once: leave the processor to others. */
		usleep(500);
	}
	free(buf);
	return NULL;
}

/* Each transform has a request to refuse: all sectors of each slot are tried. */
static void check_all_refused(const struct volume *v)
{
	unsigned int sector, device;
	uint8_t *buf;

	if (posix_memalign((void **)&buf, SLOT, SLOT))
		die(-ENOMEM, "no buffer");
	for (sector = 0; sector < v->sectors; sector++) {
		const struct kind *k =
			v->extents[v->extent_of[sector / SLOT_SECTORS]].kind;

		device = k->device;
		if (k->sector_size > SECTOR && sector % SLOT_SECTORS)
			continue;
		if (pread(v->fd[device], buf, k->sector_size,
			  (off_t)(sector - v->start[device]) * SECTOR) >= 0)
			die(0, "sector %u can be read after the revoke", sector);
	}
	free(buf);
}

static void run_round(struct volume *v, int nl, const struct kek *kek)
{
	struct reader readers[READERS] = {};
	double called, returned, last = 0;
	atomic_bool stop = false;
	long good = 0;
	int i, err;

	for (i = 0; i < READERS; i++) {
		readers[i].v = v;
		readers[i].stop = &stop;
		readers[i].seed = i + 1;
		if (pthread_create(&readers[i].thread, NULL, read_on, &readers[i]))
			die(0, "no thread");
	}
	usleep(BEFORE);
	called = now_us();
	err = kek_revoke(nl, kek);
	returned = now_us();
	if (err)
		die(err, "the revoke fails");
	usleep(BEFORE);
	atomic_store(&stop, true);
	for (i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		good += readers[i].good;
		if (!readers[i].good || !readers[i].refused || readers[i].other)
			die(readers[i].other, "a reader: %ld reads good, %ld refused",
			    readers[i].good, readers[i].refused);
		if (readers[i].first_refused < called - BEFORE / 2)
			die(0, "a read was refused long before the revoke");
		if (readers[i].last_begun > last)
			last = readers[i].last_begun;
	}
	check_all_refused(v);
	sample("revoke.refused", "ms", last > called ? (last - called) / 1e3 : 0);
	sample("revoke.wiped", "ms", (returned - called) / 1e3);
	printf("bench note revoke: %ld reads within %.0f ms before it\n", good,
	       BEFORE / 1e3);
}

static void check_transforms(int nl, const struct kek *kek)
{
	struct nl_reply r;

	if (kek_get(nl, kek->id, &r) ||
	    nl_u32(&r, VAULTRING_A_TRANSFORMS) != TRANSFORMS)
		die(0, "%u transforms, not %d",
		    nl_u32(&r, VAULTRING_A_TRANSFORMS), TRANSFORMS);
}

int main(int argc, char *argv[])
{
	static struct soft_vault vault;
	static struct volume v;
	static struct kek kek;
	int round, nl, err;

	if (argc != 2) {
		fputs("usage: bench_revoke ROUNDS\n", stderr);
		return 2;
	}
	nl = nl_open();
	err = nl < 0 ? nl : own_session();
	if (!err)
		err = soft_vault_make(&vault);
	if (!err)
		err = pins_set(nl, &vault, NULL, NULL);
	if (!err)
		err = kek_make(nl, &vault, NULL, &kek);
	if (!err)
		err = volume_lay_out(&v);
	if (err)
		die(err, "no KEK");
	make_keys(&v, &kek);
	for (round = 0; round < atoi(argv[1]); round++) {
		err = kek_unseal(nl, &vault, kek.envelope, kek.envelope_len);
		if (!err)
			err = volume_open(&v);
		if (!err)
			err = volume_fill(&v);
		if (err)
			die(err, "no volume");
		check_transforms(nl, &kek);
		run_round(&v, nl, &kek);
		if (volume_close(&v))
			die(0, "the volume cannot be closed");
	}
	pins_set(nl, NULL, NULL, NULL);
	soft_vault_free(&vault);
	volume_free(&v);
	close(nl);
	return 0;
}
