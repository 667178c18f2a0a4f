// SPDX-License-Identifier: GPL-2.0-only
/*
 * RSA-OAEP's encoding (RFC 8017, 7.1) without a label, its MGF1 with the same
 * hash
 *
 * Whoever sees why a decoding failed, or how long it took, can decrypt what he
 * likes by asking often enough: see "A chosen ciphertext attack on RSA optimal
 * asymmetric encryption padding (OAEP) as standardized in PKCS #1 v2.0", CRYPTO
 * 2001.  So all of an encoding is always worked through, all that is wrong
 * is gathered in the bits of one word, and the caller learns whether that is 0.
 * He knows how long the message is, so that there is no looking for its start.
 */

#include <crypto/algapi.h>
#include <crypto/hash.h>
#include <linux/err.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "vr.h"

/* A hash that is in use; RSA-OAEP wants no other than these. */
struct oaep {
	struct crypto_shash *tfm;
	struct shash_desc *desc;
	unsigned int hash_len;
	unsigned int padding;	/* bytes that are neither seed, hash nor message */
	u8 label_hash[SHA384_DIGEST_SIZE];
	u8 block[SHA384_DIGEST_SIZE];
};

static void oaep_free(struct oaep *oaep)
{
	kfree_sensitive(oaep->desc);
	crypto_free_shash(oaep->tfm);
	kfree_sensitive(oaep);
}

/* For a message of @len bytes under a modulus of @size; -EINVAL: it does not fit. */
static struct oaep *oaep_alloc(u32 hash, unsigned int size, unsigned int len)
{
	struct oaep *oaep = kzalloc(sizeof(*oaep), GFP_KERNEL);
	unsigned int taken;
	int err;

	if (!oaep)
		return ERR_PTR(-ENOMEM);
	oaep->tfm = crypto_alloc_shash(hash == VAULTRING_HASH_SHA384 ?
				       "sha384" : "sha256", 0, 0);
	if (IS_ERR(oaep->tfm)) {
		err = PTR_ERR(oaep->tfm);
		kfree(oaep);
		/* -ENOENT means other things to our callers'. */
		return ERR_PTR(err == -ENOENT ? -ENOPKG : err);
	}
	oaep->hash_len = crypto_shash_digestsize(oaep->tfm);
	oaep->desc = kzalloc(sizeof(*oaep->desc) +
			     crypto_shash_descsize(oaep->tfm), GFP_KERNEL);
	err = -ENOMEM;
	if (oaep->desc) {
		oaep->desc->tfm = oaep->tfm;
		err = crypto_shash_digest(oaep->desc, "", 0, oaep->label_hash);
	}
	taken = 2 * oaep->hash_len + 2 + len;
	if (!err && size < taken)
		err = -EINVAL;
	if (err) {
		oaep_free(oaep);
		return ERR_PTR(err);
	}
	oaep->padding = size - taken;
	return oaep;
}

/* @out ^= MGF1(@seed) */
static int mask(struct oaep *oaep, const u8 *seed, unsigned int seed_len,
		u8 *out, unsigned int len)
{
	unsigned int at, n;
	__be32 counter;
	int err = 0;

	for (at = 0; !err && at < len; at += n) {
		n = min(oaep->hash_len, len - at);
		counter = cpu_to_be32(at / oaep->hash_len);
		err = crypto_shash_init(oaep->desc) ?:
		      crypto_shash_update(oaep->desc, seed, seed_len) ?:
		      crypto_shash_finup(oaep->desc, (u8 *)&counter,
					 sizeof(counter), oaep->block);
		if (!err)
			crypto_xor(out + at, oaep->block, n);
	}
	return err;
}

/* @em, as long as the modulus, gets the encoding of a message. */
int vr_oaep_encode(u32 hash, const u8 *message, unsigned int len, u8 *em,
		   unsigned int size)
{
	struct oaep *oaep = oaep_alloc(hash, size, len);
	unsigned int hash_len, padding;
	u8 *db;
	int err;

	if (IS_ERR(oaep))
		return PTR_ERR(oaep);
	hash_len = oaep->hash_len;
	padding = oaep->padding;
	db = em + 1 + hash_len;
	em[0] = 0;
	get_random_bytes(em + 1, hash_len);
	memcpy(db, oaep->label_hash, hash_len);
	memset(db + hash_len, 0, padding);
	db[hash_len + padding] = 1;
	memcpy(db + hash_len + padding + 1, message, len);
	err = mask(oaep, em + 1, hash_len, db, size - 1 - hash_len) ?:
	      mask(oaep, db, size - 1 - hash_len, em + 1, hash_len);
	oaep_free(oaep);
	return err;
}

/*
 * The message of @len bytes that @em, which is used up, encodes.  @bad gets bits
 * if it does not, and @message what happens to be there.  The return value says
 * nothing of the encoding.
 */
int vr_oaep_decode(u32 hash, u8 *em, unsigned int size, u8 *message,
		   unsigned int len, u32 *bad)
{
	struct oaep *oaep = oaep_alloc(hash, size, len);
	unsigned int hash_len, padding, i;
	u32 wrong;
	u8 *db;
	int err;

	if (IS_ERR(oaep))
		return PTR_ERR(oaep);
	hash_len = oaep->hash_len;
	padding = oaep->padding;
	db = em + 1 + hash_len;
	err = mask(oaep, db, size - 1 - hash_len, em + 1, hash_len) ?:
	      mask(oaep, em + 1, hash_len, db, size - 1 - hash_len);
	if (err)
		goto out;
	wrong = em[0];
	for (i = 0; i < hash_len; i++)
		wrong |= db[i] ^ oaep->label_hash[i];
	for (i = 0; i < padding; i++)
		wrong |= db[hash_len + i];
	wrong |= db[hash_len + padding] ^ 1;
	OPTIMIZER_HIDE_VAR(wrong);
	*bad |= wrong;
	memcpy(message, db + hash_len + padding + 1, len);
out:
	oaep_free(oaep);
	return err;
}
