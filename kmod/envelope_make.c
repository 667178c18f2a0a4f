// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making envelopes
 *
 * The kernel picks the master secret, splits it and masks each part for one
 * vault key.  No vault is asked for that, and the secret is forgotten.
 */

#include <crypto/algapi.h>
#include <linux/err.h>
#include <linux/netlink.h>
#include <linux/random.h>

#include "vr.h"

#define VR_SHARE_SIZE	(sizeof(struct vaultring_share) + \
			 VAULTRING_OBLIVIOUS_DATA)

/* What can be told before any key is looked at. */
static int check_request(unsigned int threshold,
			 const struct vr_share_request *reqs,
			 unsigned int count, struct netlink_ext_ack *extack)
{
	unsigned int i;

	if (!count || count > VAULTRING_MAX_SHARES) {
		NL_SET_ERR_MSG(extack, "a KEK has 1 to 8 shares");
		return -EINVAL;
	}
	if (!threshold || threshold > count) {
		NL_SET_ERR_MSG(extack, "the threshold is 1 to the number of shares");
		return -EINVAL;
	}
	for (i = 0; i < count; i++) {
		if (reqs[i].method != VAULTRING_METHOD_OBLIVIOUS) {
			NL_SET_ERR_MSG(extack, "this module makes oblivious shares only");
			return -EINVAL;
		}
	}
	return 0;
}

static int check_key(const struct vr_share_request *req,
		     u8 fingerprint[VAULTRING_FINGERPRINT_SIZE],
		     struct netlink_ext_ack *extack)
{
	int err = vr_sha256(req->public_key, req->public_key_len, fingerprint);

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

/* Mask @part for one vault key. */
static int make_share(struct vaultring_share *share, u8 index,
		      const struct vr_part *part, const u8 *salt,
		      const struct vr_share_request *req,
		      struct netlink_ext_ack *extack)
{
	u8 secret[VR_SECRET_SIZE], mask[VR_SECRET_SIZE];
	int err;

	share->index = index;
	share->method = req->method;
	share->data_len = cpu_to_le16(VAULTRING_OBLIVIOUS_DATA);
	strscpy(share->vault, req->vault, sizeof(share->vault));
	err = vr_oblivious_create(req->public_key, req->public_key_len,
				  (u8 *)(share + 1), secret);
	if (err == -EKEYREJECTED)
		NL_SET_ERR_MSG(extack, "not a P-256 public key in DER (SPKI, uncompressed)");
	err = err ?: vr_derive_mask(secret, index, salt, mask);
	if (!err)
		crypto_xor_cpy(share->masked, part->bytes, mask,
			       VR_SECRET_SIZE);
	memzero_explicit(secret, sizeof(secret));
	memzero_explicit(mask, sizeof(mask));
	return err;
}

static int make_shares(struct vaultring_envelope *head, const u8 *master,
		       const struct vr_share_request *reqs,
		       u8 (*fingerprints)[VAULTRING_FINGERPRINT_SIZE],
		       struct netlink_ext_ack *extack)
{
	struct vr_part parts[VAULTRING_MAX_SHARES];
	u8 *at = (u8 *)(head + 1);
	unsigned int i;
	int err = 0;

	vr_shamir_split(master, head->threshold, head->shares, parts);
	for (i = 0; !err && i < head->shares; i++, at += VR_SHARE_SIZE) {
		struct vaultring_share *share = (struct vaultring_share *)at;

		memcpy(share->fingerprint, fingerprints[i],
		       sizeof(share->fingerprint));
		err = make_share(share, i + 1, &parts[i], head->salt, &reqs[i],
				 extack);
	}
	memzero_explicit(parts, sizeof(parts));
	return err;
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

/*
 * Make an envelope for a new KEK, which has to be unsealed to be of use.
 *
 * -EINVAL: there can be no such envelope; -EACCES: a public key is not pinned;
 * -EKEYREJECTED: it is none.
 */
struct vr_envelope *vr_envelope_make(const struct vr_attrs *attrs,
				     unsigned int threshold,
				     const struct vr_share_request *reqs,
				     unsigned int count,
				     struct netlink_ext_ack *extack)
{
	u8 fingerprints[VAULTRING_MAX_SHARES][VAULTRING_FINGERPRINT_SIZE];
	struct vaultring_envelope *head;
	struct vr_envelope *env, *made;
	u8 master[VR_SECRET_SIZE];
	int err;

	err = check_request(threshold, reqs, count, extack) ?:
	      check_keys(reqs, count, fingerprints, extack);
	if (err)
		return ERR_PTR(err);
	env = vr_envelope_alloc(NULL, sizeof(*head) + count * VR_SHARE_SIZE);
	if (!env)
		return ERR_PTR(-ENOMEM);
	err = get_random_bytes_wait(master, sizeof(master));
	if (err)
		goto out;
	head = (struct vaultring_envelope *)env->bytes;
	make_head(head, attrs, threshold, count);
	err = make_shares(head, master, reqs, fingerprints, extack) ?:
	      vr_derive_id(master, head->id) ?:
	      vr_derive_hmac(master, env, head->hmac);
out:
	memzero_explicit(master, sizeof(master));
	/* Whatever we would refuse to unseal we refuse to make. */
	made = err ? ERR_PTR(err) :
	       vr_envelope_parse(env->bytes, env->len, extack);
	vr_envelope_free(env);
	return made;
}
