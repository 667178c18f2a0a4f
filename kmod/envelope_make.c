// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making envelopes
 *
 * The kernel picks the master secret, splits it and masks each part for one
 * vault key.  No vault is asked for that, and the secret is forgotten.  To reseal
 * a KEK is the same with its own master secret, once an unseal has found it.
 */

#include <crypto/algapi.h>
#include <linux/err.h>
#include <linux/netlink.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "vr.h"

#define VR_SHARE_MAX	(sizeof(struct vaultring_share) + VR_SHARE_DATA_MAX)

/* What can be told before any key is looked at. */
static int check_request(unsigned int threshold,
			 const struct vr_share_request *reqs,
			 unsigned int count, struct netlink_ext_ack *extack)
{
	unsigned int i, clear = 0;

	if (!count || count > VAULTRING_MAX_SHARES) {
		NL_SET_ERR_MSG(extack, "a KEK has 1 to 8 shares");
		return -EINVAL;
	}
	if (!threshold || threshold > count) {
		NL_SET_ERR_MSG(extack, "the threshold is 1 to the number of shares");
		return -EINVAL;
	}
	for (i = 0; i < count; i++)
		if (reqs[i].method == VAULTRING_METHOD_CLEAR)
			clear++;
	/* The daemon sees their secrets. */
	if (clear >= threshold) {
		NL_SET_ERR_MSG(extack, "clear shares alone would reach the threshold");
		return -EINVAL;
	}
	return 0;
}

static int check_key(const struct vr_share_request *req,
		     u8 fingerprint[VAULTRING_FINGERPRINT_SIZE],
		     struct netlink_ext_ack *extack)
{
	int err = vr_share_fingerprint(req, fingerprint, extack);

	if (err)
		return err;
	if (!vr_pins_allow_vault(fingerprint)) {
		NL_SET_ERR_MSG(extack, "vault key not pinned; try: vaultring vault pin NAME");
		return -EACCES;
	}
	return 0;
}

/* Each vault key must be pinned, and serve for one share only. */
static int check_keys(const struct vr_share_request *reqs, unsigned int count,
		      u8 (*fingerprints)[VAULTRING_FINGERPRINT_SIZE],
		      struct netlink_ext_ack *extack)
{
	unsigned int i, j;
	int err;

	for (i = 0; i < count; i++) {
		err = check_key(&reqs[i], fingerprints[i], extack);
		if (err)
			return err;
		for (j = 0; j < i; j++) {
			if (memcmp(fingerprints[i], fingerprints[j],
				   sizeof(*fingerprints)))
				continue;
			NL_SET_ERR_MSG(extack, "two shares are for the same vault key");
			return -EINVAL;
		}
	}
	return 0;
}

/* One vault key's share, but for the part, and what masks that; its length. */
static int make_share(struct vaultring_share *share, u8 index, const u8 *salt,
		      const struct vr_share_request *req,
		      u8 mask[VR_SECRET_SIZE], struct netlink_ext_ack *extack)
{
	u8 secret[VR_SECRET_SIZE];
	int len, err;

	share->index = index;
	share->method = req->method;
	strscpy(share->vault, req->vault, sizeof(share->vault));
	len = vr_share_make(req, share->fingerprint, (u8 *)(share + 1), secret,
			    extack);
	err = len < 0 ? len : vr_derive_mask(secret, index, salt, mask);
	if (!err)
		share->data_len = cpu_to_le16(len);
	memzero_explicit(secret, sizeof(secret));
	return err ?: sizeof(*share) + len;
}

/* Behind the head; all of them make the envelope's length. */
static int make_shares(struct vr_sealing *sealing,
		       const struct vr_share_request *reqs,
		       u8 (*fingerprints)[VAULTRING_FINGERPRINT_SIZE],
		       struct netlink_ext_ack *extack)
{
	struct vr_envelope *env = sealing->env;
	const struct vaultring_envelope *head = vr_envelope_head(env);
	unsigned int i;
	int len;

	env->len = sizeof(*head);
	for (i = 0; i < head->shares; i++) {
		struct vaultring_share *share;

		share = (struct vaultring_share *)(env->bytes + env->len);
		memcpy(share->fingerprint, fingerprints[i],
		       sizeof(share->fingerprint));
		len = make_share(share, i + 1, head->salt, &reqs[i],
				 sealing->masks[i], extack);
		if (len < 0)
			return len;
		env->len += len;
	}
	return 0;
}

static void make_head(struct vaultring_envelope *head,
		      const struct vr_attrs *attrs, unsigned int threshold,
		      unsigned int count)
{
	unsigned int i;

	memcpy(head->magic, VAULTRING_ENVELOPE_MAGIC, sizeof(head->magic));
	head->format = VAULTRING_ENVELOPE_VERSION;
	head->threshold = threshold;
	head->shares = count;
	head->lease_end = attrs->lease_end;
	head->version = cpu_to_le32(attrs->version);
	head->uses = cpu_to_le32(attrs->uses);
	head->not_before = cpu_to_le64(attrs->not_before);
	head->not_after = cpu_to_le64(attrs->not_after);
	head->lease = cpu_to_le32(attrs->lease);
	head->uids = attrs->uids;
	head->gids = attrs->gids;
	for (i = 0; i < VAULTRING_MAX_SUBJECTS; i++) {
		head->uid[i] = cpu_to_le32(attrs->uid[i]);
		head->gid[i] = cpu_to_le32(attrs->gid[i]);
	}
	strscpy(head->name, attrs->name, sizeof(head->name));
	get_random_bytes(head->salt, sizeof(head->salt));
}

void vr_sealing_free(struct vr_sealing *sealing)
{
	if (!sealing)
		return;
	vr_envelope_free(sealing->env);
	kfree_sensitive(sealing);
}

/*
 * All of an envelope that does not depend on the master secret.
 *
 * -EINVAL: there can be no such envelope; -EACCES: a vault key is not pinned;
 * -EKEYREJECTED: it is none.
 */
struct vr_sealing *vr_sealing_begin(const struct vr_attrs *attrs,
				    unsigned int threshold,
				    const struct vr_share_request *reqs,
				    unsigned int count,
				    struct netlink_ext_ack *extack)
{
	u8 fingerprints[VAULTRING_MAX_SHARES][VAULTRING_FINGERPRINT_SIZE];
	struct vaultring_envelope *head;
	struct vr_sealing *sealing;
	int err;

	err = check_request(threshold, reqs, count, extack) ?:
	      check_keys(reqs, count, fingerprints, extack);
	if (err)
		return ERR_PTR(err);
	sealing = kzalloc(sizeof(*sealing), GFP_KERNEL);
	if (!sealing)
		return ERR_PTR(-ENOMEM);
	err = -ENOMEM;
	sealing->env = vr_envelope_alloc(NULL, sizeof(*head) +
					 count * VR_SHARE_MAX);
	if (!sealing->env)
		goto err_free;
	head = (struct vaultring_envelope *)sealing->env->bytes;
	make_head(head, attrs, threshold, count);
	err = make_shares(sealing, reqs, fingerprints, extack);
	if (err)
		goto err_free;
	return sealing;

err_free:
	vr_sealing_free(sealing);
	return ERR_PTR(err);
}

/* The shares' places for their parts; the shares follow each other. */
static void mask_parts(struct vr_sealing *sealing, const u8 *master)
{
	const struct vaultring_envelope *head = vr_envelope_head(sealing->env);
	u8 *at = sealing->env->bytes + sizeof(*head);
	struct vr_part parts[VAULTRING_MAX_SHARES];
	unsigned int i;

	vr_shamir_split(master, head->threshold, head->shares, parts);
	for (i = 0; i < head->shares; i++) {
		struct vaultring_share *share = (struct vaultring_share *)at;

		crypto_xor_cpy(share->masked, parts[i].bytes,
			       sealing->masks[i], VR_SECRET_SIZE);
		at += sizeof(*share) + le16_to_cpu(share->data_len);
	}
	memzero_explicit(parts, sizeof(parts));
}

/* The whole envelope; a sealing is good for one. */
struct vr_envelope *vr_sealing_finish(struct vr_sealing *sealing,
				      const u8 master[VR_SECRET_SIZE],
				      struct netlink_ext_ack *extack)
{
	struct vr_envelope *env = sealing->env;
	struct vaultring_envelope *head;
	int err;

	head = (struct vaultring_envelope *)env->bytes;
	mask_parts(sealing, master);
	err = vr_derive_id(master, head->id) ?:
	      vr_derive_hmac(master, env, head->hmac);
	if (err)
		return ERR_PTR(err);
	/* Whatever we would refuse to unseal we refuse to make. */
	return vr_envelope_parse(env->bytes, env->len, extack);
}

/*
 * Make an envelope for a new KEK, which has to be unsealed to be of use.  Errors
 * are those of vr_sealing_begin().
 */
struct vr_envelope *vr_envelope_make(const struct vr_attrs *attrs,
				     unsigned int threshold,
				     const struct vr_share_request *reqs,
				     unsigned int count,
				     struct netlink_ext_ack *extack)
{
	u8 master[VR_SECRET_SIZE];
	struct vr_sealing *sealing;
	struct vr_envelope *env;
	int err;

	sealing = vr_sealing_begin(attrs, threshold, reqs, count, extack);
	if (IS_ERR(sealing))
		return ERR_CAST(sealing);
	err = get_random_bytes_wait(master, sizeof(master));
	env = err ? ERR_PTR(err) : vr_sealing_finish(sealing, master, extack);
	memzero_explicit(master, sizeof(master));
	vr_sealing_free(sealing);
	return env;
}
