/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kill switch's storm: a volume of 1,000 transforms, writers that know what
 * each of its sectors may hold, and the check of what the disk does hold.
 */
#ifndef STORM_H
#define STORM_H

#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "vr_test.h"

#define SECTOR 512
#define SLOT_SECTORS 8
#define SLOT (SLOT_SECTORS * SECTOR)
#define TRANSFORMS 1000
#define DEVICES 2
#define WRITERS 4
#define DEPTH 32
#define RAW "/dev/ram0"

/* Targets of dm-crypt that differ in nothing but their keys. */
struct kind {
	const char *cipher, *use;
	unsigned int bits;
	unsigned int keys;		/* of each target; sectors take turns */
	unsigned int targets, sectors, sector_size;
	unsigned int device;
};

struct extent {
	const struct kind *kind;
	unsigned int first;		/* sector of the raw disk */
	unsigned int key;		/* the first of its DEKs */
};

/* Numbers of writes that a sector may show, 0: none. */
struct may {
	uint64_t acked, flying;
};

struct volume {
	bool asynchronous;		/* are its ciphers */
	struct extent extents[64];
	unsigned int n_extents, n_keys, sectors, slots;
	unsigned int start[DEVICES];	/* raw sector where each begins */
	int fd[DEVICES];
	uint8_t blobs[TRANSFORMS][VAULTRING_BLOB_SIZE];
	uint8_t deks[TRANSFORMS][VAULTRING_DEK_MAX];
	struct may *may;
	unsigned char *extent_of;	/* of each slot */
	/* Of a slot's writer: a request is on its way; one has failed. */
	unsigned char *busy, *dead;
};

/* storm_volume.c: functions return 0 or a negative errno. */
int volume_lay_out(struct volume *v);
void volume_free(struct volume *v);
int volume_make_keys(struct volume *v, const struct soft_vault *vault,
		     const struct kek *kek);
int volume_map(const struct volume *v, unsigned int device, const char *name);
int volume_open(struct volume *v);
int volume_close(struct volume *v);
int volume_fill(struct volume *v);
/* How many sectors of the raw disk hold what they may not. */
int volume_check(struct volume *v);
void pattern_make(uint8_t *data, uint64_t gen, unsigned int sector);
/* The number of the write that the sector shows, or 0. */
uint64_t pattern_gen(const uint8_t *data, unsigned int sector);

/* storm_io.c */
struct op {
	struct iocb cb;
	struct iovec vec[2];
	uint8_t *buf;
	uint64_t gen;
	unsigned int slot, first, count;
	bool write, late, dead;
};

/*
 * One thread with DEPTH requests on their way.  The counts after `good` are of
 * what must not happen: reads of foreign content, requests that succeed after
 * the revoke's return or after one that failed, failures before the revoke, and
 * errors that are not EIO.
 */
struct writer {
	pthread_t thread;
	struct volume *v;
	const struct storm *storm;
	unsigned int index, seed, running, late_tries;
	aio_context_t aio;
	struct op ops[DEPTH];
	double first_failure;
	long good, failed;
	long foreign, late, revived, early;
	int other;
};

struct storm {
	/* The revoke is about to be called, at that time; it has returned. */
	atomic_int called, over;
	double called_at;
	struct writer writers[WRITERS];
};

/* storm_alg.c: counts as a writer's */
#define ALG_OPS 16

struct alg_user {
	pthread_t thread;
	const struct storm *storm;
	unsigned int count;
	int ops[ALG_OPS];
	uint8_t page[4096], expected[4096];
	long good, foreign, late, early;
	int other;
};

int alg_user_open(struct alg_user *u, const struct volume *v);
int alg_user_start(struct alg_user *u, const struct storm *storm);
/* Waits for the thread, whose transforms must all have failed, and closes. */
void alg_user_join(struct alg_user *u);

/* storm_io.c, too */
double now(void);
void nap(int ms);
int storm_start(struct storm *s, struct volume *v, unsigned int seed);
void storm_call(struct storm *s);
/*
 * Waits for the writers, who go on until over is set and a while longer, or
 * until the revoke has taken far too long.
 */
int storm_join(struct storm *s);

#endif /* STORM_H */
