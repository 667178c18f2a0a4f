// SPDX-License-Identifier: GPL-2.0-only
/*
 * SHA-256, HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869)
 *
 * Key derivation happens when a KEK is made or unsealed, never on the I/O path,
 * so a transform is allocated for each use and nothing secret outlives it.
 */

#include <crypto/hash.h>
#include <linux/err.h>
#include <linux/slab.h>

#include "vr.h"

int vr_hmac(const u8 *key, const struct vr_piece *msg, unsigned int pieces,
	    u8 out[SHA256_DIGEST_SIZE])
{
	struct crypto_shash *tfm;
	struct shash_desc *desc;
	unsigned int i;
	int err;

	tfm = crypto_alloc_shash("hmac(sha256)", 0, 0);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	desc = kzalloc(sizeof(*desc) + crypto_shash_descsize(tfm), GFP_KERNEL);
	if (!desc) {
		err = -ENOMEM;
		goto out_free_tfm;
	}
	desc->tfm = tfm;

	err = crypto_shash_setkey(tfm, key, VR_SECRET_SIZE) ?:
	      crypto_shash_init(desc);
	for (i = 0; !err && i < pieces; i++)
		err = crypto_shash_update(desc, msg[i].data, msg[i].len);
	if (!err)
		err = crypto_shash_final(desc, out);
	kfree_sensitive(desc);
out_free_tfm:
	crypto_free_shash(tfm);
	return err;
}

/*
 * Derive @len bytes, at most 32 and so one block of the expansion, from a
 * 32-byte secret without salt.
 */
int vr_hkdf(const u8 secret[VR_SECRET_SIZE], const struct vr_piece *info,
	    unsigned int pieces, u8 *out, size_t len)
{
	static const u8 no_salt[SHA256_DIGEST_SIZE];
	static const u8 block = 1;
	struct vr_piece msg[5] = { { secret, VR_SECRET_SIZE } };
	u8 prk[SHA256_DIGEST_SIZE], okm[SHA256_DIGEST_SIZE];
	unsigned int i;
	int err;

	if (WARN_ON_ONCE(len > sizeof(okm) || pieces >= ARRAY_SIZE(msg)))
		return -EINVAL;

	err = vr_hmac(no_salt, msg, 1, prk);
	if (err)
		goto out;
	for (i = 0; i < pieces; i++)
		msg[i] = info[i];
	msg[i] = (struct vr_piece){ &block, 1 };
	err = vr_hmac(prk, msg, pieces + 1, okm);
	if (!err)
		memcpy(out, okm, len);
out:
	memzero_explicit(prk, sizeof(prk));
	memzero_explicit(okm, sizeof(okm));
	return err;
}

int vr_sha256(const void *data, size_t len, u8 out[SHA256_DIGEST_SIZE])
{
	struct crypto_shash *tfm = crypto_alloc_shash("sha256", 0, 0);
	int err;

	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	err = crypto_shash_tfm_digest(tfm, data, len, out);
	crypto_free_shash(tfm);
	return err;
}
