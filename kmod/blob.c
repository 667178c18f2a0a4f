// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blobs: check, open, seal
 *
 * A blob is a DEK under AES-256-GCM, bound to its KEK and its
 * use; see linux/vaultring_format.h.  Everything that can be refused without
 * the key is refused before the key is touched.
 */

#include <linux/err.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "vr.h"

#define VR_BLOB_AAD	offsetof(struct vaultring_blob, ciphertext)

static const char * const vr_use_names[] = {
	[VAULTRING_USE_XTS]	= "xts",
	[VAULTRING_USE_CBC]	= "cbc",
	[VAULTRING_USE_CTR]	= "ctr",
	[VAULTRING_USE_GCM]	= "gcm",
	[VAULTRING_USE_FSCRYPT]	= "fscrypt",
	[VAULTRING_USE_HMAC]	= "hmac",
	[VAULTRING_USE_TRANSPORT] = "transport",
};

const char *vr_use_name(unsigned int use)
{
	return use < ARRAY_SIZE(vr_use_names) ? vr_use_names[use] : NULL;
}

int vr_use_parse(const char *name)
{
	unsigned int i;

	for (i = VAULTRING_USE_XTS; i < ARRAY_SIZE(vr_use_names); i++)
		if (!strcmp(name, vr_use_names[i]))
			return i;
	return -EINVAL;
}

/*
 * XTS takes two AES keys; fscrypt wants 256 bits of entropy or more, and so
 * does HMAC-SHA256, to which more than its block of 512 bits adds nothing.
 */
bool vr_use_bits_ok(unsigned int use, unsigned int bits)
{
	switch (use) {
	case VAULTRING_USE_XTS:
	case VAULTRING_USE_FSCRYPT:
	case VAULTRING_USE_HMAC:
		return bits == 256 || bits == 512;
	case VAULTRING_USE_TRANSPORT:
		return false;	/* of no blob */
	default:
		return bits == 128 || bits == 192 || bits == 256;
	}
}

/* Is this a blob that we know?  -EINVAL if not. */
const struct vaultring_blob *vr_blob_check(const void *data, size_t len)
{
	const struct vaultring_blob *blob = data;

	BUILD_BUG_ON(sizeof(*blob) != VAULTRING_BLOB_SIZE);
	if (len != sizeof(*blob) ||
	    memcmp(blob->magic, VAULTRING_BLOB_MAGIC, sizeof(blob->magic)) ||
	    blob->version != VAULTRING_BLOB_VERSION ||
	    blob->wrap != VAULTRING_WRAP_AES256_GCM ||
	    !vr_use_name(blob->use) ||
	    !vr_use_bits_ok(blob->use, blob->dek_len * 8) ||
	    memchr_inv(blob->reserved, 0, sizeof(blob->reserved)))
		return ERR_PTR(-EINVAL);
	return blob;
}

/* In place, in memory that kmalloc() gave, with a user's reference on the KEK. */
static int blob_crypt(struct vr_kek *kek, struct vaultring_blob *blob,
		      bool seal)
{
	return vr_kek_crypt(kek, blob, VR_BLOB_AAD, VAULTRING_DEK_MAX,
			    blob->nonce, seal);
}

/*
 * Open a checked blob.  -EKEYREJECTED: forged or corrupt; -EKEYREVOKED and
 * -EKEYEXPIRED: the KEK is over; -EOPNOTSUPP: the KEK is not for this use.
 */
int vr_blob_open(struct vr_kek *kek, const struct vaultring_blob *blob,
		 struct vr_secret *dek)
{
	struct vaultring_blob *copy;
	int err;

	err = vr_kek_check(kek);
	if (err)
		return err;
	if (!(kek->attrs.uses & BIT(blob->use)))
		return -EOPNOTSUPP;
	copy = kmemdup(blob, sizeof(*blob), GFP_NOIO);
	if (!copy)
		return -ENOMEM;

	err = vr_kek_enter(kek);
	if (err)
		goto out;
	err = blob_crypt(kek, copy, false);
	vr_kek_leave(kek);
	if (err == -EBADMSG ||
	    (!err && memchr_inv(copy->ciphertext + blob->dek_len, 0,
				VAULTRING_DEK_MAX - blob->dek_len)))
		err = -EKEYREJECTED;
	if (err)
		goto out;
	dek->len = blob->dek_len;
	memcpy(dek->data, copy->ciphertext, dek->len);
out:
	kfree_sensitive(copy);
	return err;
}

/*
 * Open a checked blob with what the caller may use; the daemon is asked for a
 * KEK that is not held.  *@kek is NULL if there is none to be had; otherwise
 * the caller has a reference and a user's reference on it, which he gives back by
 * vr_blob_lock(), after an error too: until then a revoke waits, for the DEK is
 * about.
 */
int vr_blob_unlock(const struct vaultring_blob *blob, struct vr_secret *dek,
		   struct vr_kek **kek)
{
	struct vr_kek *found = vr_kek_request_id(blob->kek_id);
	int err;

	*kek = NULL;
	if (IS_ERR(found))
		return PTR_ERR(found);
	err = vr_kek_enter(found);
	if (err) {
		vr_kek_put(found);
		return err;
	}
	*kek = found;
	return vr_blob_open(found, blob, dek);
}

/* The end of what vr_blob_unlock() began; wipes the DEK. */
void vr_blob_lock(struct vr_secret *dek, struct vr_kek *kek)
{
	vr_secret_wipe(dek);
	if (!kek)
		return;
	vr_kek_leave(kek);
	vr_kek_put(kek);
}

/* Wrap a DEK; without a @dek_id it gets a new one. */
int vr_blob_seal(struct vr_kek *kek, u8 use, const u8 *dek_id,
		 const struct vr_secret *dek, struct vaultring_blob *blob)
{
	struct vaultring_blob *work;
	int err;

	err = vr_kek_check(kek);
	if (err)
		return err;
	if (!(kek->attrs.uses & BIT(use)))
		return -EOPNOTSUPP;
	work = kzalloc(sizeof(*work), GFP_NOIO);
	if (!work)
		return -ENOMEM;

	memcpy(work->magic, VAULTRING_BLOB_MAGIC, sizeof(work->magic));
	work->version = VAULTRING_BLOB_VERSION;
	work->wrap = VAULTRING_WRAP_AES256_GCM;
	work->use = use;
	work->dek_len = dek->len;
	memcpy(work->kek_id, kek->id, sizeof(work->kek_id));
	if (dek_id)
		memcpy(work->dek_id, dek_id, sizeof(work->dek_id));
	else
		get_random_bytes(work->dek_id, sizeof(work->dek_id));
	get_random_bytes(work->nonce, sizeof(work->nonce));
	memcpy(work->ciphertext, dek->data, dek->len);

	err = vr_kek_enter(kek);
	if (err)
		goto out;
	err = blob_crypt(kek, work, true);
	vr_kek_leave(kek);
	if (!err)
		memcpy(blob, work, sizeof(*blob));
out:
	kfree_sensitive(work);
	return err;
}
