// SPDX-License-Identifier: GPL-2.0-only
/* Keys, and what goes from one request to the next. */

#include <linux/slab.h>
#include <linux/string.h>

#include "conform.h"

static int set_ours(struct subject *s, unsigned int key)
{
	return cipher_setkey(&s->ours, s->key[key].blob, VAULTRING_BLOB_SIZE);
}

static bool expect_both(struct subject *s, int error)
{
	struct spec spec = { .len = 64 };
	bool good = try_expecting(s, &spec, error);

	spec.decrypt = true;
	spec.in_place = true;
	return try_expecting(s, &spec, error) && good;
}

static bool no_key(struct subject *s)
{
	struct cipher keyed = s->ours;
	bool good = false;

	if (!cipher_open(&s->ours, keyed.aead, s->alg, 0)) {
		good = expect_both(s, -ENOKEY);
		cipher_close(&s->ours);
	}
	s->ours = keyed;
	return good;
}

/*
 * That the crypto API itself uses no transform after a refused key is not
 * enough: the old one must have been overwritten, as our own inner cipher sees.
 */
static bool refused(struct subject *s, unsigned int at, u8 flip, int error)
{
	u8 blob[VAULTRING_BLOB_SIZE];
	int err, keys;

	if (set_ours(s, 0))
		return false;
	memcpy(blob, s->key[0].blob, sizeof(blob));
	blob[at] ^= flip;
	keys = atomic_read(&inner.keys);
	err = cipher_setkey(&s->ours, blob, sizeof(blob));
	if (conform_async && atomic_read(&inner.keys) == keys) {
		conform_complain(s, "byte %u changed: the old key is there", at);
		return false;
	}
	if (err != error) {
		conform_complain(s, "byte %u changed: %d instead of %d", at,
				 err, error);
		return false;
	}
	return expect_both(s, -ENOKEY);
}

static bool refused_keys(struct subject *s)
{
	/* Another use with keys of the same length. */
	const u8 use = s->key[0].blob[6];
	const u8 other = use == VAULTRING_USE_XTS ? VAULTRING_USE_FSCRYPT :
			 use == VAULTRING_USE_CBC ? VAULTRING_USE_CTR :
						    VAULTRING_USE_CBC;
	struct spec spec = { .len = 64 };
	bool good = true;

	good &= refused(s, 0, 1, -EINVAL);		/* no blob */
	good &= refused(s, 6, use ^ other, -EOPNOTSUPP);
	good &= refused(s, 60, 1, -EKEYREJECTED);	/* its ciphertext */
	good &= refused(s, 135, 0x80, -EKEYREJECTED);	/* its tag */
	good &= !set_ours(s, 0);
	return try(s, &spec) && good;
}

/* A key of AES itself, which the twin takes. */
static bool raw_key(struct subject *s)
{
	struct spec spec = { .len = 64 };
	bool good;

	good = cipher_setkey(&s->ours, s->key[0].dek, s->key[0].len) == -EINVAL;
	return good && !set_ours(s, 0) && try(s, &spec);
}

static bool under_second(struct subject *s, struct trial *t)
{
	const struct spec spec = { .len = 256 };

	if (trial_prepare(t, &spec))
		return false;
	trial_start(t);
	trial_wait(t);
	return trial_judge(t, BIT(1), NULL);
}

static bool another_key(struct subject *s)
{
	struct trial *t = trial_alloc(s, 512);
	struct spec spec = { .len = 256 };
	bool good = t;
	unsigned int i;

	for (i = 0; i < 4 && t; i++) {
		good &= !set_ours(s, 1) && under_second(s, t);
		good &= !set_ours(s, 0) && try(s, &spec);
	}
	trial_free(t);
	return good;
}

/* One transform's key is not another's. */
static bool two_transforms(struct subject *s)
{
	struct trial *t = trial_alloc(s, 512);
	struct cipher first = s->ours, second;
	struct spec spec = { .len = 256 };
	bool good = false;

	if (t && !cipher_open(&second, first.aead, s->alg, 0)) {
		s->ours = second;
		good = !set_ours(s, 1) && under_second(s, t);
		s->ours = first;
		good &= try(s, &spec);
		s->ours = second;
		good &= under_second(s, t);
		s->ours = first;
		cipher_close(&second);
		good &= try(s, &spec);
	}
	trial_free(t);
	return good;
}

/* In three parts, each with the IV that the one before left. */
static bool chained(struct subject *s)
{
	static const unsigned int part[] = { 32, 16, 48 };
	u8 *ours = kmalloc(3 * 96, GFP_KERNEL);
	u8 iv[2][CONFORM_IV];
	unsigned int i, at = 0;
	bool good = ours;

	if (!ours)
		return false;
	prandom_bytes_state(&s->random, ours, 96);
	prandom_bytes_state(&s->random, iv[0], CONFORM_IV);
	memcpy(iv[1], iv[0], CONFORM_IV);
	memcpy(ours + 96, ours, 96);
	for (i = 0; i < ARRAY_SIZE(part) && !s->ours.aead; i++) {
		good &= !cipher_once(&s->ours, ours + at, 0, part[i], iv[0],
				     false);
		good &= !cipher_once(&s->twin[0], ours + 96 + at, 0, part[i],
				     iv[1], false);
		atomic_inc(&s->compared);
		at += part[i];
	}
	good &= !memcmp(ours, ours + 96, 96) && !memcmp(iv[0], iv[1],
							 s->iv_size);
	kfree(ours);
	return good;
}

/* Known only when the inner cipher is our own. */
static bool same_flags(struct subject *s)
{
	const u32 all = CRYPTO_TFM_REQ_MAY_SLEEP | CRYPTO_TFM_REQ_MAY_BACKLOG;
	static const u32 some[] = { 0, CRYPTO_TFM_REQ_MAY_SLEEP,
				    CRYPTO_TFM_REQ_MAY_BACKLOG, all };
	struct spec spec = { .len = 64 };
	bool good = true;
	unsigned int i;

	for (i = 0; i < 2 * ARRAY_SIZE(some) && conform_async; i++) {
		spec.flags = some[i / 2];
		spec.decrypt = i & 1;
		good &= try(s, &spec);
		if ((READ_ONCE(inner.last_flags) & all) == spec.flags)
			continue;
		conform_complain(s, "flags %x became %x", spec.flags,
				 inner.last_flags);
		good = false;
	}
	return good;
}

const struct check key_checks[] = {
	{ no_key, "says ENOKEY without a key and writes nothing" },
	{ refused_keys, "has no usable key after a refused one" },
	{ raw_key, "takes no raw key" },
	{ another_key, "works on under another key and back under the first" },
	{ two_transforms, "keeps the keys of two transforms apart" },
	{ chained, "leaves the IV that its twin leaves, for the next part" },
	{ same_flags, "hands the request's flags on as they are" },
	{}
};
