// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each keyed transform is, whatever it computes
 *
 * The key that setkey() takes is a blob.  Its KEK is looked up with the
 * caller's credentials and, if it is not held, asked for.  From then on a
 * request costs two references and the inner transform: nothing is allocated and
 * nobody is asked.
 *
 * Revoking the KEK makes each later request fail with -EKEYREVOKED.  Those in
 * flight finish; then the inner key is overwritten with a random one.
 */

#include <linux/delay.h>
#include <linux/err.h>
#include <linux/random.h>
#include <linux/sched/mm.h>

#include "trace.h"
#include "vr.h"

#define VR_WIPE_TRIES	20

/*
 * No request uses the inner key any more, nor will one.  Some transforms
 * allocate when they are keyed; there is a try again for want of memory, as no
 * key may stay.
 */
static void vr_keyed_wipe(struct vr_live *live)
{
	struct vr_keyed *keyed = container_of(live, struct vr_keyed, live);
	unsigned int noio = memalloc_noio_save();
	unsigned int tries = VR_WIPE_TRIES;
	u8 key[VAULTRING_DEK_MAX] __aligned(16);
	int err;

	get_random_bytes(key, sizeof(key));
	while ((err = keyed->set_inner(keyed, key, keyed->key_len)) && --tries)
		msleep(20);
	WARN_ON(err);
	memzero_explicit(key, sizeof(key));
	memalloc_noio_restore(noio);
}

static void vr_keyed_idle(struct percpu_ref *busy)
{
	complete(&container_of(busy, struct vr_keyed, busy)->idle);
}

int vr_keyed_init(struct vr_keyed *keyed, u8 use,
		  int (*set_inner)(struct vr_keyed *keyed, const u8 *key,
				   unsigned int len))
{
	int err = percpu_ref_init(&keyed->busy, vr_keyed_idle,
				  PERCPU_REF_INIT_DEAD, GFP_KERNEL);

	if (err)
		return err;
	init_completion(&keyed->idle);
	keyed->keyed = false;
	RCU_INIT_POINTER(keyed->live.kek, NULL);
	keyed->live.wipe = vr_keyed_wipe;
	mutex_init(&keyed->lock);
	keyed->set_inner = set_inner;
	keyed->key_len = 0;
	keyed->use = use;
	return 0;
}

/* The owner then frees the inner transform, and with it the inner key. */
void vr_keyed_exit(struct vr_keyed *keyed)
{
	vr_live_detach(&keyed->live);
	percpu_ref_exit(&keyed->busy);
}

/*
 * Let no request in, wait for those in flight and leave the KEK: not before,
 * for a revoke must find the transform while the inner key may be in use.
 */
static void keyed_stop(struct vr_keyed *keyed)
{
	if (keyed->keyed) {
		reinit_completion(&keyed->idle);
		percpu_ref_kill(&keyed->busy);
		wait_for_completion(&keyed->idle);
		keyed->keyed = false;
	}
	vr_live_detach(&keyed->live);
}

/* Forget the key there was, if any. */
static void keyed_unkey(struct vr_keyed *keyed)
{
	mutex_lock(&keyed->lock);
	keyed_stop(keyed);
	if (keyed->key_len)
		vr_keyed_wipe(&keyed->live);
	keyed->key_len = 0;
	mutex_unlock(&keyed->lock);
}

static int keyed_rekey(struct vr_keyed *keyed, struct vr_kek *kek,
		       const struct vr_secret *dek)
{
	int err;

	mutex_lock(&keyed->lock);
	keyed_stop(keyed);
	keyed->key_len = dek->len;
	err = keyed->set_inner(keyed, dek->data, dek->len) ?:
	      vr_live_attach(&keyed->live, kek);
	if (!err) {
		/* It is alive again before percpu_ref_reinit() orders anything. */
		smp_wmb();
		percpu_ref_reinit(&keyed->busy);
		keyed->keyed = true;
	} else {
		vr_keyed_wipe(&keyed->live);
		keyed->key_len = 0;
	}
	mutex_unlock(&keyed->lock);
	return err;
}

static int keyed_setkey(struct vr_keyed *keyed, const u8 *key, unsigned int len)
{
	const struct vaultring_blob *blob = vr_blob_check(key, len);
	struct vr_kek *kek = NULL;
	u64 start = ktime_get_ns();
	struct vr_secret dek;
	int err;

	if (IS_ERR(blob))
		return PTR_ERR(blob);
	if (blob->use != keyed->use) {
		err = -EOPNOTSUPP;
	} else {
		err = vr_blob_unlock(blob, &dek, &kek) ?:
		      keyed_rekey(keyed, kek, &dek);
		/* A report may have to wait, and a revoke must not. */
		if (kek)
			refcount_inc(&kek->refs);
		vr_blob_lock(&dek, kek);
	}
	trace_vr_setkey(blob, err, ktime_get_ns() - start);
	vr_report_keyed(blob, kek, err);
	if (kek)
		vr_kek_put(kek);
	return err;
}

/*
 * -EINVAL: not a blob; -EOPNOTSUPP: for another use; -ENOKEY, -EAGAIN,
 * -EACCES: no KEK for this caller; -EKEYREJECTED: forged or corrupt;
 * -EKEYREVOKED, -EKEYEXPIRED: the KEK is over.  May sleep for the daemon.
 * After an error there is no key: the old one has been wiped.
 *
 * Requests in flight finish under the key that they began with, and setkey()
 * waits for them; one that comes meanwhile finds no key.
 */
int vr_keyed_setkey(struct vr_keyed *keyed, const u8 *key, unsigned int len)
{
	unsigned int noio;
	int err;

	/* It can run for a suspended device: no memory must wait for I/O. */
	noio = memalloc_noio_save();
	err = keyed_setkey(keyed, key, len);
	if (err)
		keyed_unkey(keyed);
	memalloc_noio_restore(noio);
	return err;
}

/*
 * Begin a request, which holds the inner key and a user's reference on the
 * transform's KEK until vr_keyed_leave().  -ENOKEY: no key is set;
 * -EKEYREVOKED or -EKEYEXPIRED: the KEK has ended.
 */
struct vr_kek *vr_keyed_enter(struct vr_keyed *keyed)
{
	struct vr_kek *kek;
	int err = -ENOKEY;

	/* It looks twice without a mark; dead is dead with either look. */
	if (!data_race(percpu_ref_tryget_live(&keyed->busy)))
		return ERR_PTR(-ENOKEY);
	/* Pairs with smp_wmb() in keyed_rekey(): what setkey() wrote. */
	smp_rmb();
	rcu_read_lock();
	kek = rcu_dereference(keyed->live.kek);
	if (kek)
		err = vr_kek_enter(kek);
	rcu_read_unlock();
	if (!err)
		return kek;
	percpu_ref_put(&keyed->busy);
	return ERR_PTR(err);
}

void vr_keyed_leave(struct vr_keyed *keyed, struct vr_kek *kek)
{
	vr_kek_leave(kek);
	percpu_ref_put(&keyed->busy);
}
