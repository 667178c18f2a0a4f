// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sealed method: a vault releases a key of its own, 32 bytes, for the
 * transport key, and that is the share's secret
 *
 * Whoever wraps a key for the transport key, which is public, could be anybody.
 * So the key has a fingerprint, which root pins and which each answer's must be.
 */

#include <crypto/algapi.h>
#include <linux/err.h>
#include <linux/list.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "vr.h"

/*
 * Each answer serves once.  So many are remembered; then there is another
 * transport key, which none of them is for.  One that is kept stays, and lets the
 * oldest be forgotten, as a boot lets all of them.
 */
#define SERVED_MAX	1000

struct served {
	struct list_head list;
	u8 hash[SHA256_DIGEST_SIZE];
};

static DEFINE_MUTEX(vr_served_lock);
static LIST_HEAD(vr_served);		/* vr_served_lock; the newest is first */
static unsigned int vr_served_count;	/* vr_served_lock */

static bool served_before(const u8 *hash)
{
	const struct served *s;

	lockdep_assert_held(&vr_served_lock);
	list_for_each_entry(s, &vr_served, list)
		if (!memcmp(s->hash, hash, sizeof(s->hash)))
			return true;
	return false;
}

static void forget_all(struct list_head *list)
{
	struct served *s, *tmp;

	list_for_each_entry_safe(s, tmp, list, list)
		kfree(s);
}

/*
 * An answer that was right is used up: the daemon may have kept it, and the
 * vault's word today is not its word tomorrow.  RSA-OAEP and key wrap do not let
 * him turn one into another.
 */
static int use_up(const u8 *answer, unsigned int len, u64 count)
{
	struct served *s = kmalloc(sizeof(*s), GFP_KERNEL);
	int err = s ? vr_sha256(answer, len, s->hash) : -ENOMEM;
	LIST_HEAD(gone);

	mutex_lock(&vr_served_lock);
	/* With its key went what is known of its answers. */
	if (!err && count != vr_transport_count())
		err = -EAGAIN;
	if (!err && served_before(s->hash))
		err = -EKEYREJECTED;
	if (!err) {
		list_add(&s->list, &vr_served);
		s = NULL;
		vr_served_count++;
	}
	if (!err && vr_served_count >= SERVED_MAX) {
		if (vr_transport_retire()) {
			list_splice_init(&vr_served, &gone);
			vr_served_count = 0;
		} else {
			list_move(vr_served.prev, &gone);
			vr_served_count--;
		}
	}
	mutex_unlock(&vr_served_lock);
	kfree(s);
	forget_all(&gone);
	return err;
}

static int fingerprint_of(const u8 key[VR_SECRET_SIZE],
			  u8 out[VAULTRING_FINGERPRINT_SIZE])
{
	const struct vr_piece info = { "vaultring sealed fingerprint v1", 31 };

	return vr_hkdf(key, &info, 1, out, VAULTRING_FINGERPRINT_SIZE);
}

/*
 * The key in a vault's answer, and its fingerprint.  -EKEYREJECTED: there is
 * none.  Which of its many checks an answer does not pass, nobody is told.
 */
static int open(u32 hash, const u8 *answer, unsigned int len,
		u8 key[VR_SECRET_SIZE], u8 *fingerprint, const u8 *expected)
{
	u32 bad = 0;
	int err;

	err = vr_transport_open(hash, answer, len, key, &bad) ?:
	      fingerprint_of(key, fingerprint);
	if (err)
		return err;
	if (expected)
		bad |= crypto_memneq(fingerprint, expected,
				     VAULTRING_FINGERPRINT_SIZE);
	return bad ? -EKEYREJECTED : 0;
}

int vr_sealed_fingerprint(u32 hash, const u8 *answer, unsigned int len,
			  u8 fingerprint[VAULTRING_FINGERPRINT_SIZE])
{
	u8 key[VR_SECRET_SIZE];
	int err = open(hash, answer, len, key, fingerprint, NULL);

	memzero_explicit(key, sizeof(key));
	if (err)
		memzero_explicit(fingerprint, VAULTRING_FINGERPRINT_SIZE);
	return err;
}

/*
 * The secret of a share with that fingerprint.  -EAGAIN: the key that the answer
 * may have been for went meanwhile.
 */
int vr_sealed_finish(u32 hash, const u8 *answer, unsigned int len,
		     const u8 fingerprint[VAULTRING_FINGERPRINT_SIZE],
		     u8 secret[VR_SECRET_SIZE])
{
	u8 have[VAULTRING_FINGERPRINT_SIZE];
	u64 count = vr_transport_count();
	int err = open(hash, answer, len, secret, have, fingerprint) ?:
		  use_up(answer, len, count);

	if (err)
		memzero_explicit(secret, VR_SECRET_SIZE);
	memzero_explicit(have, sizeof(have));
	return err;
}

void vr_sealed_exit(void)
{
	forget_all(&vr_served);
}
