// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The storm's part that comes through AF_ALG: transforms that one thread uses
 * in turn, with what they give compared to OpenSSL's under the oracle's DEK.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "storm.h"

static const uint8_t iv[16] = { 7 };

/* The first key of that use is the sockets' too. */
static const struct extent *extent_for(const struct volume *v, const char *use)
{
	unsigned int i;

	for (i = 0; i < v->n_extents; i++)
		if (!strcmp(v->extents[i].kind->use, use))
			return &v->extents[i];
	return NULL;
}

static int expect(struct alg_user *u, const uint8_t *dek, const char *use)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int len = 0, good;

	memset(u->page, 0x5a, sizeof(u->page));
	good = ctx && EVP_EncryptInit_ex(ctx, strcmp(use, "xts") ?
					 EVP_aes_256_cbc() : EVP_aes_256_xts(),
					 NULL, dek, iv) == 1 &&
	       EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
	       EVP_EncryptUpdate(ctx, u->expected, &len, u->page,
				 sizeof(u->page)) == 1 &&
	       len == sizeof(u->page);
	EVP_CIPHER_CTX_free(ctx);
	return good ? 0 : -EINVAL;
}

static int open_one(const struct mode *mode, const uint8_t *blob)
{
	int fd = alg_open(mode->alg), err, op;

	if (fd < 0)
		return fd;
	err = alg_setkey(fd, blob, VAULTRING_BLOB_SIZE);
	op = err ? err : alg_op(fd);
	close(fd);
	return op;
}

/*
 * Where AF_ALG does not give the transforms out, as asynchronous ones on newer
 * kernels, there is nothing to use, which is no failure.
 */
int alg_user_open(struct alg_user *u, const struct volume *v)
{
	const struct mode *mode = alg_mode();
	const struct extent *e = extent_for(v, mode->use);
	int fd = alg_open(mode->alg), op;

	memset(u, 0, sizeof(*u));
	if (fd == -ENOENT)
		return 0;
	if (fd < 0 || !e)
		return fd < 0 ? fd : -EINVAL;
	close(fd);
	while (u->count < ALG_OPS) {
		op = open_one(mode, v->blobs[e->key]);
		if (op < 0)
			return op;
		u->ops[u->count++] = op;
	}
	return expect(u, v->deks[e->key], mode->use);
}

static void *use_them(void *arg)
{
	struct alg_user *u = arg;
	bool dead[ALG_OPS] = {};
	uint8_t out[4096];
	unsigned int i, left = u->count;
	int err, late;

	for (i = 0; left; i = (i + 1) % u->count) {
		if (dead[i])
			continue;	/* its input stays in the socket */
		late = atomic_load(&u->storm->over);
		err = alg_crypt(u->ops[i], 1, iv, u->page, out, sizeof(out));
		if (!err) {
			u->good++;
			u->late += late;
			u->foreign += !!memcmp(out, u->expected, sizeof(out));
			if (late)
				left--;
			dead[i] = late;
			continue;
		}
		if (err != -EKEYREVOKED && err != -EKEYEXPIRED)
			u->other = err;
		u->early += !atomic_load(&u->storm->called);
		dead[i] = true;
		left--;
	}
	return NULL;
}

int alg_user_start(struct alg_user *u, const struct storm *storm)
{
	u->storm = storm;
	return u->count ? -pthread_create(&u->thread, NULL, use_them, u) : 0;
}

void alg_user_join(struct alg_user *u)
{
	unsigned int i;

	if (u->count)
		pthread_join(u->thread, NULL);
	for (i = 0; i < u->count; i++)
		close(u->ops[i]);
}
