// SPDX-License-Identifier: GPL-2.0-only
/*
 * The transport key: vaults release sealed shares for it
 *
 * Its private half is made here at first need and never leaves.  That takes a
 * while, during which no netlink operation may wait (it would hold up all of
 * generic netlink as soon as any family comes or goes), so a work item makes it and
 * who asks too early is told to ask again.  Nothing that becomes of a process
 * touches it; when the module goes it stops at the next candidate.
 */

#include <crypto/algapi.h>
#include <linux/err.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

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
 * Set once by the work item, which does not run twice at a time, and freed when
 * the module goes, after all that reads it.
 */
static struct vr_rsa *vr_transport;
static struct workqueue_struct *vr_transport_wq;
static DECLARE_WORK(vr_transport_work, vr_transport_make);
static bool vr_transport_stop;

static void vr_transport_make(struct work_struct *work)
{
	u64 start = ktime_get_ns();
	unsigned int noio, tried;
	struct vr_rsa *rsa;

	if (vr_transport)
		return;
	/* A disk that memory waits for may wait for it. */
	noio = memalloc_noio_save();
	rsa = vr_rsa_make(&vr_transport_stop, &tried);
	memalloc_noio_restore(noio);
	if (!IS_ERR(rsa)) {
		/* All of it is there for who sees it in made(). */
		smp_store_release(&vr_transport, rsa);
		pr_info("transport key made in %llu ms, %u candidates\n",
			div_u64(ktime_get_ns() - start, NSEC_PER_MSEC), tried);
	} else if (!READ_ONCE(vr_transport_stop)) {
		pr_err("cannot make the transport key: %pe\n", rsa);
	}
}

static const struct vr_rsa *made(void)
{
	/* Pairs with vr_transport_make(). */
	return smp_load_acquire(&vr_transport);
}

/* It is made from now on, again if that failed. */
void vr_transport_want(void)
{
	if (!made())
		queue_work(vr_transport_wq, &vr_transport_work);
}

/* NULL: not yet */
static const struct vr_rsa *get_key(void)
{
	vr_transport_want();
	return made();
}

/* Its public half.  -EAGAIN: it is being made. */
int vr_transport_spki(u8 spki[VR_TRANSPORT_SPKI_SIZE])
{
	const struct vr_rsa *rsa = get_key();

	BUILD_BUG_ON(sizeof(spki_head) + VR_RSA_SIZE + sizeof(spki_tail) !=
		     VR_TRANSPORT_SPKI_SIZE);
	if (!rsa)
		return -EAGAIN;
	memcpy(spki, spki_head, sizeof(spki_head));
	spki += sizeof(spki_head);
	vr_rsa_modulus(rsa, spki);
	memcpy(spki + VR_RSA_SIZE, spki_tail, sizeof(spki_tail));
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
	const struct vr_rsa *rsa = get_key();
	u8 *em;
	int err;

	if (!rsa || len != VR_RSA_SIZE + WRAPPED_KEY_SIZE)
		return -EKEYREJECTED;
	em = kmalloc(len, GFP_KERNEL);
	if (!em)
		return -ENOMEM;
	memcpy(em + VR_RSA_SIZE, answer + VR_RSA_SIZE, WRAPPED_KEY_SIZE);
	err = vr_rsa_private(rsa, answer, em) ?:
	      unwrap(hash, em, em + VR_RSA_SIZE, key, bad);
	kfree_sensitive(em);
	return err;
}

int vr_transport_init(void)
{
	vr_transport_wq = alloc_workqueue("vaultring-rsa", WQ_UNBOUND, 1);
	return vr_transport_wq ? 0 : -ENOMEM;
}

void vr_transport_exit(void)
{
	WRITE_ONCE(vr_transport_stop, true);
	destroy_workqueue(vr_transport_wq);
	vr_rsa_free(vr_transport);
}
