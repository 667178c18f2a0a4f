// SPDX-License-Identifier: GPL-2.0-only
/*
 * Using a KEK that is held: what blobs and requests do between vr_kek_enter() and
 * vr_kek_leave(), and the ties of keyed transforms, which end with the KEK
 */

#include <crypto/aead.h>

#include "vr.h"

/* Does not sleep or allocate, in any context. */
int vr_kek_enter(struct vr_kek *kek)
{
	/* It looks twice without a mark; dead is dead with either look. */
	if (likely(data_race(percpu_ref_tryget_live(&kek->users))))
		return 0;
	return vr_kek_gone(kek);
}

void vr_kek_leave(struct vr_kek *kek)
{
	percpu_ref_put(&kek->users);
}

/*
 * Key a transform with the KEK itself, by one who holds a user's reference.  At
 * a lease's end there are users, and the key goes all the same.
 */
int vr_kek_key(struct vr_kek *kek, struct crypto_aead *aead)
{
	int err;

	mutex_lock(&kek->lock);
	if (kek->state == VAULTRING_KEK_STATE_EXPIRED)
		err = -EKEYEXPIRED;
	else
		err = crypto_aead_setkey(aead, kek->key, sizeof(kek->key));
	mutex_unlock(&kek->lock);
	return err;
}

/* Tie a transform that has just been keyed to its KEK, or say why not. */
int vr_live_attach(struct vr_live *live, struct vr_kek *kek)
{
	int err;

	mutex_lock(&kek->lock);
	err = vr_kek_check(kek);
	if (!err) {
		refcount_inc(&kek->refs);
		list_add(&live->list, &kek->lives);
		WRITE_ONCE(kek->live_count, kek->live_count + 1);
		rcu_assign_pointer(live->kek, kek);
	}
	mutex_unlock(&kek->lock);
	return err;
}

void vr_live_detach(struct vr_live *live)
{
	struct vr_kek *kek = rcu_dereference_protected(live->kek, true);

	if (!kek)
		return;
	mutex_lock(&kek->lock);
	/* A revoke that finds it gone must find its key gone, too. */
	live->wipe(live);
	RCU_INIT_POINTER(live->kek, NULL);
	list_del(&live->list);
	WRITE_ONCE(kek->live_count, kek->live_count - 1);
	mutex_unlock(&kek->lock);
	vr_kek_put(kek);
}
