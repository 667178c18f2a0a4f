// SPDX-License-Identifier: GPL-2.0-only
/*
 * The transport key: vaults release sealed shares for it
 *
 * Its private half is made here at first need and never leaves.  That takes a
 * while, during which no netlink operation may wait (it would hold up all of
 * generic netlink as soon as any family comes or goes), so a work item makes it and
 * who asks too early is told to ask again.  Nothing that becomes of a process
 * touches it; when the module goes, the machine hibernates or another key is
 * loaded, it stops at the next candidate.  See transport_keep.c for loading.
 */

#include <crypto/algapi.h>
#include <linux/err.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "vr.h"

/* What the vault's key is wrapped under, and the wrap of the vault's key. */
#define WRAPPED_KEY_SIZE	VR_KWP_SIZE(VR_SECRET_SIZE)

/* Up to the modulus and behind it: a DER SubjectPublicKeyInfo (RFC 8017). */
static const u8 spki_head[] = {
	0x30, 0x82, 0x01, 0xa2, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
	0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x8f, 0x00,
	0x30, 0x82, 0x01, 0x8a, 0x02, 0x82, 0x01, 0x81, 0x00,
};

static const u8 spki_tail[] = { 0x02, 0x03, 0x01, 0x00, 0x01 };

static void vr_transport_make(struct work_struct *work);

/*
 * The key, with a reference.  Whoever works with it has one more, so that one that
 * is replaced goes with the last of them.
 *
 * @vr_transport_kept: it may be there again after a boot; @vr_transport_shut:
 * there must be none; @vr_transport_ended: how many are gone.
 */
static DEFINE_SPINLOCK(vr_transport_lock);
static struct vr_rsa *vr_transport;	/* vr_transport_lock */
static bool vr_transport_kept;		/* vr_transport_lock */
static bool vr_transport_shut;		/* vr_transport_lock */
static u64 vr_transport_ended;		/* vr_transport_lock */
static struct workqueue_struct *vr_transport_wq;
static DECLARE_WORK(vr_transport_work, vr_transport_make);
/* No key has to be made any more: there is one, or the module goes. */
static bool vr_transport_stop;

/*
 * Takes over the reference.  A key that is there stays, unless this one is loaded.
 */
static bool set_key(struct vr_rsa *rsa, bool loaded)
{
	bool set;

	spin_lock(&vr_transport_lock);
	WRITE_ONCE(vr_transport_stop, true);
	set = !vr_transport_shut && (loaded || !vr_transport);
	if (set) {
		swap(vr_transport, rsa);
		vr_transport_ended += !!rsa;
		vr_transport_kept = loaded;
	}
	spin_unlock(&vr_transport_lock);
	vr_rsa_put(rsa);
	return set;
}

static void vr_transport_make(struct work_struct *work)
{
	u64 start = ktime_get_ns();
	unsigned int noio, tried;
	struct vr_rsa *rsa;

	if (READ_ONCE(vr_transport_stop))
		return;
	/* A disk that memory waits for may wait for it. */
	noio = memalloc_noio_save();
	rsa = vr_rsa_make(&vr_transport_stop, &tried);
	memalloc_noio_restore(noio);
	if (IS_ERR(rsa)) {
		if (!READ_ONCE(vr_transport_stop))
			pr_err_ratelimited("cannot make the transport key: %pe\n",
					   rsa);
	} else if (set_key(rsa, false)) {
		pr_info("transport key made in %llu ms, %u candidates\n",
			div_u64(ktime_get_ns() - start, NSEC_PER_MSEC), tried);
	}
}

/*
 * With a reference.  NULL: there is none yet; it is made from now on, again if
 * that failed.
 */
struct vr_rsa *vr_transport_get(void)
{
	struct vr_rsa *rsa = NULL;

	spin_lock(&vr_transport_lock);
	if (vr_transport)
		rsa = vr_rsa_get(vr_transport);
	else if (!vr_transport_shut)
		queue_work(vr_transport_wq, &vr_transport_work);
	spin_unlock(&vr_transport_lock);
	return rsa;
}

void vr_transport_want(void)
{
	vr_rsa_put(vr_transport_get());
}

/*
 * Takes over the reference.  What is under way goes on with the key it has.
 * -EAGAIN: not while the machine hibernates.
 */
int vr_transport_replace(struct vr_rsa *rsa)
{
	if (!set_key(rsa, true))
		return -EAGAIN;
	pr_info("transport key loaded\n");
	return 0;
}

/* That key has been sealed for another boot.  False: it is not the key any more. */
bool vr_transport_is_kept(const struct vr_rsa *rsa)
{
	bool same;

	spin_lock(&vr_transport_lock);
	same = rsa == vr_transport;
	if (same)
		vr_transport_kept = true;
	spin_unlock(&vr_transport_lock);
	return same;
}

/* Another key is made when one is needed, if none knows this one by hand. */
bool vr_transport_retire(void)
{
	struct vr_rsa *rsa = NULL;
	bool gone;

	spin_lock(&vr_transport_lock);
	gone = vr_transport && !vr_transport_kept;
	if (gone) {
		swap(vr_transport, rsa);
		vr_transport_ended++;
		WRITE_ONCE(vr_transport_stop, false);
	}
	spin_unlock(&vr_transport_lock);
	vr_rsa_put(rsa);
	if (gone)
		pr_info("transport key used up; the next one is another\n");
	return gone;
}

/* How many keys are gone: where that has changed, an answer may be for one of them. */
u64 vr_transport_count(void)
{
	u64 count;

	spin_lock(&vr_transport_lock);
	count = vr_transport_ended;
	spin_unlock(&vr_transport_lock);
	return count;
}

/*
 * For a hibernation, which writes all memory to a disk: with an answer from
 * there, the key would be the vault's.  There is none until it is over.
 */
void vr_transport_forget(void)
{
	struct vr_rsa *rsa = NULL;

	spin_lock(&vr_transport_lock);
	vr_transport_shut = true;
	WRITE_ONCE(vr_transport_stop, true);
	swap(vr_transport, rsa);
	vr_transport_ended += !!rsa;
	spin_unlock(&vr_transport_lock);
	cancel_work_sync(&vr_transport_work);
	vr_rsa_put(rsa);
}

void vr_transport_allow(void)
{
	spin_lock(&vr_transport_lock);
	vr_transport_shut = false;
	WRITE_ONCE(vr_transport_stop, !!vr_transport);
	spin_unlock(&vr_transport_lock);
}

/* Its public half.  -EAGAIN: it is being made. */
int vr_transport_spki(u8 spki[VR_TRANSPORT_SPKI_SIZE])
{
	struct vr_rsa *rsa = vr_transport_get();

	BUILD_BUG_ON(sizeof(spki_head) + VR_RSA_SIZE + sizeof(spki_tail) !=
		     VR_TRANSPORT_SPKI_SIZE);
	if (!rsa)
		return -EAGAIN;
	memcpy(spki, spki_head, sizeof(spki_head));
	spki += sizeof(spki_head);
	vr_rsa_modulus(rsa, spki);
	memcpy(spki + VR_RSA_SIZE, spki_tail, sizeof(spki_tail));
	vr_rsa_put(rsa);
	return 0;
}

/*
 * Unwrap the vault's key with what @em says it is wrapped under, or with
 * whatever is there if @em is wrong, so that this takes the same time.
 */
static int unwrap(u32 hash, u8 *em, u8 *wrapped, u8 key[VR_SECRET_SIZE],
		  u32 *bad)
{
	struct aes_key kek;
	u8 kek_bytes[AES_KEYSIZE_256];
	int err, len;

	err = vr_oaep_decode(hash, em, VR_RSA_SIZE, kek_bytes,
			     sizeof(kek_bytes), bad) ?:
	      aes_preparekey(&kek, kek_bytes, sizeof(kek_bytes));
	if (!err) {
		/* -EBADMSG, and the buffer is zero, or a length */
		len = vr_kwp_unwrap(&kek, wrapped, WRAPPED_KEY_SIZE);
		*bad |= len ^ VR_SECRET_SIZE;
		memcpy(key, wrapped + VR_SEMIBLOCK, VR_SECRET_SIZE);
	}
	memzero_explicit(&kek, sizeof(kek));
	memzero_explicit(kek_bytes, sizeof(kek_bytes));
	return err;
}

/*
 * The vault's key from its answer.  @bad gets bits if that is not one, whatever
 * is wrong with it, and @key is not to be used then.  The return value tells of
 * nothing but this machine and, by -EKEYREJECTED, of what everybody can see: the
 * answer's length and that its number is too large, or that there is no key.
 */
int vr_transport_open(u32 hash, const u8 *answer, unsigned int len,
		      u8 key[VR_SECRET_SIZE], u32 *bad)
{
	struct vr_rsa *rsa = vr_transport_get();
	int err = -EKEYREJECTED;
	u8 *em = NULL;

	if (!rsa || len != VR_RSA_SIZE + WRAPPED_KEY_SIZE)
		goto out;
	em = kmalloc(len, GFP_KERNEL);
	if (!em) {
		err = -ENOMEM;
		goto out;
	}
	memcpy(em + VR_RSA_SIZE, answer + VR_RSA_SIZE, WRAPPED_KEY_SIZE);
	err = vr_rsa_private(rsa, answer, em) ?:
	      unwrap(hash, em, em + VR_RSA_SIZE, key, bad);
out:
	kfree_sensitive(em);
	vr_rsa_put(rsa);
	return err;
}

int vr_transport_init(void)
{
	vr_transport_wq = alloc_workqueue("vaultring-rsa",
					  WQ_UNBOUND | WQ_MEM_RECLAIM, 1);
	return vr_transport_wq ? 0 : -ENOMEM;
}

void vr_transport_exit(void)
{
	WRITE_ONCE(vr_transport_stop, true);
	destroy_workqueue(vr_transport_wq);
	vr_rsa_put(vr_transport);
}
