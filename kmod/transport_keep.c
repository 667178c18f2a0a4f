// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeping the transport key across boots, sealed under a KEK
 *
 * A vault may know the key by an operator's hand, and one made anew at each boot
 * would have to be brought there anew.  The primes leave the kernel under a KEK
 * alone, one that has this use: who may open data keys under a KEK has not for
 * that reason the transport key.  See linux/vaultring_format.h.
 */

#include <linux/err.h>
#include <linux/netlink.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "vr.h"

#define VR_TRANSPORT_AAD	offsetof(struct vaultring_transport, primes)

/* A reference; NULL: there is none, and that has been said. */
static struct vr_kek *find_kek(const u8 *id, struct netlink_ext_ack *extack)
{
	struct vr_kek *kek = vr_kek_get_id(id);

	if (!kek)
		NL_SET_ERR_MSG(extack, "its KEK is not held; have it unsealed");
	return kek;
}

/*
 * In place, in memory that kmalloc() gave.  -EKEYREJECTED: forged or corrupt;
 * -EKEYREVOKED and -EKEYEXPIRED: the KEK is over; -EOPNOTSUPP: it is not for
 * this use.
 */
static int transport_crypt(struct vr_kek *kek, struct vaultring_transport *kept,
			   bool seal, struct netlink_ext_ack *extack)
{
	int err = vr_kek_check(kek);

	if (err)
		NL_SET_ERR_MSG(extack, "its KEK is over or outside its dates; have it unsealed");
	if (!err && !(kek->attrs.uses & BIT(VAULTRING_USE_TRANSPORT))) {
		NL_SET_ERR_MSG(extack, "the KEK has not the use transport");
		err = -EOPNOTSUPP;
	}
	err = err ?: vr_kek_enter(kek);
	if (err)
		return err;
	err = vr_kek_crypt(kek, kept, VR_TRANSPORT_AAD, sizeof(kept->primes),
			   kept->nonce, seal);
	vr_kek_leave(kek);
	return err == -EBADMSG ? -EKEYREJECTED : err;
}

/* For kfree().  Wiped if it could not be sealed: it has the primes. */
static struct vaultring_transport *seal(struct vr_kek *kek,
					const struct vr_rsa *rsa,
					struct netlink_ext_ack *extack)
{
	struct vaultring_transport *kept = kzalloc(sizeof(*kept), GFP_KERNEL);
	int err;

	BUILD_BUG_ON(sizeof(*kept) != 820);
	BUILD_BUG_ON(sizeof(kept->modulus) != VR_RSA_SIZE);
	if (!kept)
		return ERR_PTR(-ENOMEM);
	memcpy(kept->magic, VAULTRING_TRANSPORT_MAGIC, sizeof(kept->magic));
	kept->version = VAULTRING_TRANSPORT_VERSION;
	kept->wrap = VAULTRING_WRAP_AES256_GCM;
	memcpy(kept->kek_id, kek->id, sizeof(kept->kek_id));
	get_random_bytes(kept->nonce, sizeof(kept->nonce));
	vr_rsa_modulus(rsa, kept->modulus);
	vr_rsa_primes(rsa, kept->primes, kept->primes + VR_RSA_PRIME_SIZE);
	err = transport_crypt(kek, kept, true, extack);
	if (!err)
		return kept;
	kfree_sensitive(kept);
	return ERR_PTR(err);
}

/*
 * The key under the KEK of that id, for kfree().  -EAGAIN: it is being made, or gone;
 * -ENOKEY: no such KEK is held; see also transport_crypt().
 */
struct vaultring_transport *vr_transport_save(const u8 *kek_id,
					      struct netlink_ext_ack *extack)
{
	struct vaultring_transport *kept;
	struct vr_kek *kek = find_kek(kek_id, extack);
	struct vr_rsa *rsa;

	if (!kek)
		return ERR_PTR(-ENOKEY);
	rsa = vr_transport_get();
	if (rsa) {
		kept = seal(kek, rsa, extack);
		if (!IS_ERR(kept) && !vr_transport_is_kept(rsa)) {
			kfree(kept);
			NL_SET_ERR_MSG(extack, "the transport key is another one by now");
			kept = ERR_PTR(-EAGAIN);
		}
		vr_report_transport("transport-save", kek,
				    PTR_ERR_OR_ZERO(kept));
	} else {
		NL_SET_ERR_MSG(extack, "the transport key is being made; ask again");
		kept = ERR_PTR(-EAGAIN);
	}
	vr_rsa_put(rsa);
	vr_kek_put(kek);
	return kept;
}

static bool known_format(const struct vaultring_transport *kept, size_t len)
{
	return len == sizeof(*kept) &&
	       !memcmp(kept->magic, VAULTRING_TRANSPORT_MAGIC,
		       sizeof(kept->magic)) &&
	       kept->version == VAULTRING_TRANSPORT_VERSION &&
	       kept->wrap == VAULTRING_WRAP_AES256_GCM &&
	       !memchr_inv(kept->reserved, 0, sizeof(kept->reserved));
}

static int unseal(struct vr_kek *kek, const struct vaultring_transport *kept,
		  struct netlink_ext_ack *extack)
{
	struct vaultring_transport *open;
	struct vr_rsa *rsa;
	int err;

	open = kmemdup(kept, sizeof(*kept), GFP_KERNEL);
	if (!open)
		return -ENOMEM;
	err = transport_crypt(kek, open, false, extack);
	if (!err) {
		rsa = vr_rsa_load(open->primes,
				  open->primes + VR_RSA_PRIME_SIZE,
				  open->modulus);
		err = PTR_ERR_OR_ZERO(rsa);
	}
	kfree_sensitive(open);
	if (!err)
		err = vr_transport_replace(rsa);
	if (err == -EKEYREJECTED)
		NL_SET_ERR_MSG(extack, "the kept transport key is forged or corrupt");
	return err;
}

/*
 * The key is that one from now on.  -EINVAL: not our format; -ENOKEY: its KEK is
 * not held; -EAGAIN: the machine hibernates; see also transport_crypt().
 */
int vr_transport_load(const void *data, size_t len,
		      struct netlink_ext_ack *extack)
{
	const struct vaultring_transport *kept = data;
	struct vr_kek *kek;
	int err;

	if (!known_format(kept, len)) {
		NL_SET_ERR_MSG(extack, "not a kept transport key that this module knows");
		return -EINVAL;
	}
	kek = find_kek(kept->kek_id, extack);
	if (!kek)
		return -ENOKEY;
	err = unseal(kek, kept, extack);
	vr_report_transport("transport-load", kek, err);
	vr_kek_put(kek);
	return err;
}
