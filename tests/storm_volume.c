// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The storm's volume on a RAM disk: its layout, its keys, and what OpenSSL
 * finds in its sectors with the DEKs that the oracle recovers.
 *
 * A cipher with a key count makes dm-crypt use a transform for each, in turn,
 * so that neighbouring sectors are under different keys.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "storm.h"

#define TABLE "/tmp/storm.table"
#define WORDS (SECTOR / sizeof(uint64_t))
#define CHUNK (1 << 20)

static const struct kind kinds[] = {
	{ "paes:64-xts-plain64", "xts", 512, 64, 14, 512, 512, 0 },
	{ "paes:32-cbc-plain64", "cbc", 256, 32, 1, 512, 512, 0 },
	{ "paes:32-ctr-plain64", "ctr", 256, 32, 1, 512, 512, 0 },
	/* On a device of its own, whose sectors all become large. */
	{ "capi:xts(paes)-plain64", "xts", 512, 1, 40, 64, 4096, 1 },
};

static char name_of[DEVICES][16] = { "storm0", "storm1" };

int volume_lay_out(struct volume *v)
{
	unsigned int i, j, slot;
	struct extent *e;

	memset(v, 0, sizeof(*v));
	for (i = 0; i < DEVICES; i++)
		v->fd[i] = -1;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct kind *k = &kinds[i];

		if (i && k->device != kinds[i - 1].device)
			v->start[k->device] = v->sectors;
		for (j = 0; j < k->targets; j++) {
			e = &v->extents[v->n_extents++];
			*e = (struct extent) { k, v->sectors, v->n_keys };
			v->sectors += k->sectors;
			v->n_keys += k->keys;
		}
	}
	if (v->n_keys != TRANSFORMS)
		return -EINVAL;
	v->slots = v->sectors / SLOT_SECTORS;
	v->may = calloc(v->sectors, sizeof(*v->may));
	v->extent_of = calloc(v->slots, 1);
	v->busy = calloc(v->slots, 1);
	v->dead = calloc(v->slots, 1);
	if (!v->may || !v->extent_of || !v->busy || !v->dead)
		return -ENOMEM;
	for (i = 0; i < v->n_extents; i++) {
		e = &v->extents[i];
		slot = e->first / SLOT_SECTORS;
		memset(v->extent_of + slot, i, e->kind->sectors / SLOT_SECTORS);
	}
	return 0;
}

void volume_free(struct volume *v)
{
	free(v->may);
	free(v->extent_of);
	free(v->busy);
	free(v->dead);
}

int volume_make_keys(struct volume *v, const struct soft_vault *vault,
		     const struct kek *kek)
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
				return err;
			keyctl_unlink(key, KEY_SPEC_PROCESS_KEYRING);
		}
	}
	return oracle_deks(vault, kek, (const void *)v->blobs, TRANSFORMS,
			   v->deks) < 0 ? -EBADMSG : 0;
}

static void put_target(FILE *f, const struct volume *v, const struct extent *e,
		       unsigned int number)
{
	/*
	 * Every other one encrypts in the caller's own context.  Where a cipher
	 * ends in a softirq dm-crypt would with no_write_workqueue submit the write
	 * from there, which may sleep: with any cipher, and not ours to mend.
	 */
	const char *inline_io[] = {
		"", v->asynchronous ? " 1 no_read_workqueue" :
		    " 2 no_read_workqueue no_write_workqueue"
	};
	char hex[2 * VAULTRING_BLOB_SIZE + 1];
	unsigned int i;

	fprintf(f, "%u %u crypt %s ", e->first - v->start[e->kind->device],
		e->kind->sectors, e->kind->cipher);
	for (i = 0; i < e->kind->keys; i++) {
		hex_of(v->blobs[e->key + i], VAULTRING_BLOB_SIZE, hex);
		fputs(hex, f);
	}
	fprintf(f, " 0 %s %u%s\n", RAW, e->first,
		e->kind->sector_size > SECTOR ? " 1 sector_size:4096" :
		inline_io[number % 2]);
}

int volume_map(const struct volume *v, unsigned int device, const char *name)
{
	char path[64], out[512];
	unsigned int i;
	FILE *f;

	snprintf(path, sizeof(path), "%s.%s", TABLE, name);
	f = fopen(path, "we");
	if (!f)
		return -errno;
	for (i = 0; i < v->n_extents; i++)
		if (v->extents[i].kind->device == device)
			put_target(f, v, &v->extents[i], i);
	if (fclose(f))
		return -EIO;
	if (run(out, sizeof(out), "dmsetup create %s %s", name, path))
		return -EIO;
	return 0;
}

int volume_open(struct volume *v)
{
	unsigned int i;
	char path[64];
	int err;

	memset(v->busy, 0, v->slots);
	memset(v->dead, 0, v->slots);
	for (i = 0; i < DEVICES; i++) {
		err = volume_map(v, i, name_of[i]);
		if (err)
			return err;
		snprintf(path, sizeof(path), "/dev/mapper/%s", name_of[i]);
		v->fd[i] = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
		if (v->fd[i] < 0)
			return -errno;
	}
	return 0;
}

int volume_close(struct volume *v)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < DEVICES; i++) {
		if (v->fd[i] < 0)
			continue;
		close(v->fd[i]);
		v->fd[i] = -1;
		if (run(NULL, 0, "dmsetup remove --retry %s", name_of[i]))
			err = -EBUSY;
	}
	return err;
}

/*
 * Content: the number of the write, the sector, and words that follow from
 * both, so that no part of a sector can be anything else unnoticed.
 */

static uint64_t pattern_word(uint64_t gen, unsigned int sector, unsigned int i)
{
	uint64_t x = gen * 0x9e3779b97f4a7c15 + ((uint64_t)sector << 20) + i;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	return x ^ (x >> 27);
}

void pattern_make(uint8_t *data, uint64_t gen, unsigned int sector)
{
	uint64_t words[WORDS] = { gen, sector };
	unsigned int i;

	for (i = 2; i < WORDS; i++)
		words[i] = pattern_word(gen, sector, i);
	memcpy(data, words, sizeof(words));
}

uint64_t pattern_gen(const uint8_t *data, unsigned int sector)
{
	uint8_t expected[SECTOR];
	uint64_t gen;

	memcpy(&gen, data, sizeof(gen));
	pattern_make(expected, gen, sector);
	return memcmp(data, expected, SECTOR) ? 0 : gen;
}

static int fill_extent(struct volume *v, const struct extent *e)
{
	const ssize_t size = (ssize_t)e->kind->sectors * SECTOR;
	const unsigned int device = e->kind->device;
	unsigned int i;
	uint8_t *buf;
	ssize_t n;

	if (posix_memalign((void **)&buf, SLOT, size))
		return -ENOMEM;
	for (i = 0; i < e->kind->sectors; i++) {
		pattern_make(buf + i * SECTOR, 1, e->first + i);
		v->may[e->first + i] = (struct may) { .acked = 1 };
	}
	n = pwrite(v->fd[device], buf, size,
		   (off_t)(e->first - v->start[device]) * SECTOR);
	free(buf);
	return n == size ? 0 : -EIO;
}

int volume_fill(struct volume *v)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < v->n_extents && !err; i++)
		err = fill_extent(v, &v->extents[i]);
	return err;
}

/* Sector number `at` of the extent, at its own sector size. */
static int decrypt(EVP_CIPHER_CTX *ctx, const struct volume *v,
		   const struct extent *e, unsigned int at, const uint8_t *in,
		   uint8_t *out)
{
	const char *use = e->kind->use;
	const EVP_CIPHER *cipher =
		!strcmp(use, "xts") ? EVP_aes_256_xts() :
		!strcmp(use, "cbc") ? EVP_aes_256_cbc() : EVP_aes_256_ctr();
	uint64_t iv[2] = { at, 0 };		/* plain64 */
	int size = e->kind->sector_size, len = 0;

	if (EVP_DecryptInit_ex(ctx, cipher, NULL,
			       v->deks[e->key + at % e->kind->keys],
			       (uint8_t *)iv) != 1 ||
	    EVP_CIPHER_CTX_set_padding(ctx, 0) != 1 ||
	    EVP_DecryptUpdate(ctx, out, &len, in, size) != 1 || len != size)
		return -EINVAL;
	return 0;
}

/* Compares, reports, and takes what is there as the next round's old content. */
static int judge(struct volume *v, const struct extent *e, unsigned int sector,
		 const uint8_t *data)
{
	struct may *may = &v->may[sector];
	uint64_t gen = pattern_gen(data, sector);
	static int told;

	if (gen && (gen == may->acked || gen == may->flying)) {
		*may = (struct may) { .acked = gen };
		return 0;
	}
	if (told++ < 10)
		printf("# bad sector %u (%s, key %u): %s %llu, not %llu or %llu\n",
		       sector, e->kind->cipher, e->key +
		       (sector - e->first) % e->kind->keys,
		       gen ? "shows write" : "is garbage",
		       (unsigned long long)gen,
		       (unsigned long long)may->acked,
		       (unsigned long long)may->flying);
	may->flying = 0;
	return 1;
}

static int check_extent(struct volume *v, const struct extent *e,
			const uint8_t *raw)
{
	unsigned int step = e->kind->sector_size / SECTOR, at, i;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t plain[4096];
	int bad = 0;

	for (at = 0; at < e->kind->sectors; at += step) {
		if (!ctx || decrypt(ctx, v, e, at, raw + at * SECTOR, plain)) {
			bad += step;
			continue;
		}
		for (i = 0; i < step; i++)
			bad += judge(v, e, e->first + at + i,
				     plain + i * SECTOR);
	}
	EVP_CIPHER_CTX_free(ctx);
	return bad;
}

int volume_check(struct volume *v)
{
	size_t size = (size_t)v->sectors * SECTOR, got = 0;
	int fd = open(RAW, O_RDONLY | O_DIRECT | O_CLOEXEC), bad = 0;
	uint8_t *raw = NULL;
	unsigned int i;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	if (posix_memalign((void **)&raw, SLOT, size)) {
		close(fd);
		return -ENOMEM;
	}
	while (got < size && n > 0) {
		n = pread(fd, raw + got,
			  size - got < CHUNK ? size - got : CHUNK, got);
		if (n > 0)
			got += n;
	}
	for (i = 0; got == size && i < v->n_extents; i++)
		bad += check_extent(v, &v->extents[i],
				    raw + (size_t)v->extents[i].first * SECTOR);
	free(raw);
	close(fd);
	return got == size ? bad : -EIO;
}
