// SPDX-License-Identifier: GPL-2.0-only
/*
 * Using a KEK that is held: what blobs and requests do between vr_kek_enter() and
 * vr_kek_leave(), and the ties of keyed transforms, which end with the KEK
 */

#include <crypto/aead.h>
#include <linux/err.h>
#include <linux/sched/mm.h>
#include <linux/scatterlist.h>

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

/* At a lease's end there are users, and the key goes all the same. */
static int kek_key(struct vr_kek *kek, struct crypto_aead *aead)
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

static int aead_crypt(struct crypto_aead *aead, u8 *buf, unsigned int ad,
		      unsigned int len, const u8 *nonce, bool seal)
{
	struct aead_request *req;
	DECLARE_CRYPTO_WAIT(wait);
	u8 iv[VAULTRING_NONCE_SIZE];
	struct scatterlist sg;
	int err;

	req = aead_request_alloc(aead, GFP_NOIO);
	if (!req)
		return -ENOMEM;
	memcpy(iv, nonce, sizeof(iv));
	sg_init_one(&sg, buf, ad + len + VAULTRING_TAG_SIZE);
	aead_request_set_callback(req, CRYPTO_TFM_REQ_MAY_SLEEP |
				  CRYPTO_TFM_REQ_MAY_BACKLOG,
				  crypto_req_done, &wait);
	aead_request_set_ad(req, ad);
	aead_request_set_crypt(req, &sg, &sg,
			       len + (seal ? 0 : VAULTRING_TAG_SIZE), iv);
	err = crypto_wait_req(seal ? crypto_aead_encrypt(req) :
			      crypto_aead_decrypt(req), &wait);
	aead_request_free(req);
	return err;
}

/*
 * Seal or open what a KEK wraps, by AES-256-GCM (NIST SP 800-38D), in place: @ad
 * bytes that are authenticated alone, @len that are encrypted as well, and the
 * tag.  The scatterlist needs it in memory that kmalloc() gave.  The caller holds
 * a user's reference on the KEK.
 *
 * The transform is of this call only: it is larger than the KEK itself, and two
 * users' KEKs do not wait for each other.  No memory waits for I/O, as a disk may
 * wait for this very key.
 */
int vr_kek_crypt(struct vr_kek *kek, void *buf, unsigned int ad,
		 unsigned int len, const u8 nonce[VAULTRING_NONCE_SIZE],
		 bool seal)
{
	unsigned int noio = memalloc_noio_save();
	struct crypto_aead *aead;
	int err;

	aead = crypto_alloc_aead("gcm(aes)", 0, 0);
	err = PTR_ERR_OR_ZERO(aead);
	if (!err) {
		err = kek_key(kek, aead) ?:
		      crypto_aead_setauthsize(aead, VAULTRING_TAG_SIZE) ?:
		      aead_crypt(aead, buf, ad, len, nonce, seal);
		crypto_free_aead(aead);
	}
	memalloc_noio_restore(noio);
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
