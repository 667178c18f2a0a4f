// SPDX-License-Identifier: GPL-2.0-only
/*
 * Envelopes: parse, and what makes one a KEK
 *
 * An envelope is public and comes from a daemon that is not trusted.  What it
 * says counts only once its master secret has come about: then the id and the
 * HMAC over all of it must hold.  See linux/vaultring_format.h.
 */

#include <crypto/algapi.h>
#include <linux/err.h>
#include <linux/netlink.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "vr.h"

const struct vaultring_envelope *vr_envelope_head(const struct vr_envelope *env)
{
	return (const struct vaultring_envelope *)env->bytes;
}

void vr_envelope_free(struct vr_envelope *env)
{
	kfree_sensitive(env);
}

/*
 * Parse
 */

static bool padded_ok(const u8 *text, size_t size)
{
	size_t len = strnlen(text, size);

	return len && len < size && !memchr_inv(text + len, 0, size - len);
}

static int parse_attrs(const struct vaultring_envelope *head,
		       struct vr_attrs *attrs)
{
	unsigned int i;

	memset(attrs, 0, sizeof(*attrs));
	if (!padded_ok(head->name, sizeof(head->name)) ||
	    !vr_name_ok(head->name) ||
	    memchr_inv(head->reserved, 0, sizeof(head->reserved)) ||
	    head->uids > VAULTRING_MAX_SUBJECTS ||
	    head->gids > VAULTRING_MAX_SUBJECTS ||
	    head->lease_end > VAULTRING_LEASE_END_KILL)
		return -EINVAL;
	strscpy(attrs->name, head->name, sizeof(attrs->name));
	attrs->version = le32_to_cpu(head->version);
	attrs->uses = le32_to_cpu(head->uses);
	attrs->not_before = le64_to_cpu(head->not_before);
	attrs->not_after = le64_to_cpu(head->not_after);
	attrs->lease = le32_to_cpu(head->lease);
	attrs->lease_end = head->lease_end;
	attrs->uids = head->uids;
	attrs->gids = head->gids;
	for (i = 0; i < VAULTRING_MAX_SUBJECTS; i++) {
		attrs->uid[i] = le32_to_cpu(head->uid[i]);
		attrs->gid[i] = le32_to_cpu(head->gid[i]);
		if ((i >= attrs->uids && attrs->uid[i]) ||
		    (i >= attrs->gids && attrs->gid[i]))
			return -EINVAL;
	}
	if (!attrs->version || !attrs->uses || (attrs->uses & ~VR_USES_ALL))
		return -EINVAL;
	return 0;
}

static int parse_shares(struct vr_envelope *env)
{
	size_t at = sizeof(struct vaultring_envelope);
	unsigned int i;

	for (i = 0; i < env->count; i++) {
		struct vr_share *share = &env->share[i];
		const struct vaultring_share *head;

		if (env->len - at < sizeof(*head))
			return -EINVAL;
		head = (const struct vaultring_share *)(env->bytes + at);
		at += sizeof(*head);
		if (head->index != i + 1 ||
		    !padded_ok(head->vault, sizeof(head->vault)) ||
		    memchr_inv(head->reserved, 0, sizeof(head->reserved)) ||
		    env->len - at < le16_to_cpu(head->data_len))
			return -EINVAL;
		share->head = head;
		share->data = env->bytes + at;
		share->data_len = le16_to_cpu(head->data_len);
		at += share->data_len;
	}
	return at == env->len ? 0 : -EINVAL;
}

/* Two shares on one vault key would make one vault count as two. */
static bool same_vault_key(const struct vr_envelope *env)
{
	unsigned int i, j;

	for (i = 1; i < env->count; i++)
		for (j = 0; j < i; j++)
			if (!memcmp(env->share[i].head->fingerprint,
				    env->share[j].head->fingerprint,
				    VAULTRING_FINGERPRINT_SIZE))
				return true;
	return false;
}

/* What holds for every envelope, at creation and at each unseal. */
static int check_shares(const struct vr_envelope *env,
			struct netlink_ext_ack *extack)
{
	unsigned int i, clear = 0;
	int err = 0;

	for (i = 0; i < env->count; i++)
		if (env->share[i].head->method == VAULTRING_METHOD_CLEAR)
			clear++;
	if (clear >= env->threshold) {
		NL_SET_ERR_MSG(extack, "clear shares alone would reach the threshold");
		return -EKEYREJECTED;
	}
	if (same_vault_key(env)) {
		NL_SET_ERR_MSG(extack, "two shares are for the same vault key");
		return -EKEYREJECTED;
	}
	for (i = 0; !err && i < env->count; i++)
		err = vr_share_check(&env->share[i], extack);
	return err;
}

/* Room for an envelope of @len bytes, a copy of @data if there are any. */
struct vr_envelope *vr_envelope_alloc(const void *data, size_t len)
{
	struct vr_envelope *env = kzalloc(sizeof(*env) + len, GFP_KERNEL);

	if (!env)
		return NULL;
	env->len = len;
	if (data)
		memcpy(env->bytes, data, len);
	return env;
}

/* -EINVAL: not our format; -EKEYREJECTED: its shares are not for k vaults. */
struct vr_envelope *vr_envelope_parse(const void *data, size_t len,
				      struct netlink_ext_ack *extack)
{
	const struct vaultring_envelope *head = data;
	struct vr_envelope *env;
	int err = -EINVAL;

	BUILD_BUG_ON(sizeof(*head) != 248);
	BUILD_BUG_ON(sizeof(struct vaultring_share) != 136);
	if (len < sizeof(*head) || len > VAULTRING_MAX_ENVELOPE ||
	    memcmp(head->magic, VAULTRING_ENVELOPE_MAGIC, 4) ||
	    head->format != VAULTRING_ENVELOPE_VERSION) {
		NL_SET_ERR_MSG(extack, "not an envelope of a format that this module knows");
		return ERR_PTR(-EINVAL);
	}
	env = vr_envelope_alloc(data, len);
	if (!env)
		return ERR_PTR(-ENOMEM);
	head = vr_envelope_head(env);
	env->threshold = head->threshold;
	env->count = head->shares;
	if (!env->count || env->count > VAULTRING_MAX_SHARES ||
	    !env->threshold || env->threshold > env->count ||
	    parse_attrs(head, &env->attrs) || parse_shares(env)) {
		NL_SET_ERR_MSG(extack, "malformed envelope");
		goto err_free;
	}
	err = check_shares(env, extack);
	if (err)
		goto err_free;
	return env;

err_free:
	vr_envelope_free(env);
	return ERR_PTR(err);
}

/*
 * Unseal
 */

static int check_dates(const struct vr_attrs *attrs,
		       struct netlink_ext_ack *extack)
{
	u64 now = ktime_get_real_seconds();

	if ((attrs->not_before && now < attrs->not_before) ||
	    (attrs->not_after && now >= attrs->not_after)) {
		NL_SET_ERR_MSG(extack, "the KEK is outside its dates");
		return -EKEYEXPIRED;
	}
	return 0;
}

/* The part of share @i + 1, whose secret is known. */
int vr_envelope_part(const struct vr_envelope *env, unsigned int i,
		     const u8 secret[VR_SECRET_SIZE], struct vr_part *part)
{
	const struct vaultring_share *share = env->share[i].head;
	int err;

	err = vr_derive_mask(secret, share->index, vr_envelope_head(env)->salt,
			     part->bytes);
	if (!err)
		crypto_xor(part->bytes, share->masked, VR_SECRET_SIZE);
	return err;
}

/* Is this the envelope's master secret?  -EKEYREJECTED if not. */
static int check_id(const struct vr_envelope *env,
		    const u8 master[VR_SECRET_SIZE])
{
	u8 id[VAULTRING_ID_SIZE];
	int err = vr_derive_id(master, id);

	if (err)
		return err;
	return crypto_memneq(id, vr_envelope_head(env)->id, sizeof(id)) ?
	       -EKEYREJECTED : 0;
}

/*
 * The master secret from those parts, of which @have has bit i for parts[i]:
 * whichever as many of them as the threshold says give the envelope's id.  One
 * vault that lies is outvoted so if there are enough others.  Sets without a
 * part of @fresh have been tried before: in all an unseal tries at most 70, the
 * 4 of 8.  Which set is right is no secret.
 *
 * -EKEYREJECTED: none gives it.
 */
int vr_envelope_master(const struct vr_envelope *env,
		       const struct vr_part *parts, unsigned long have,
		       unsigned long fresh, u8 master[VR_SECRET_SIZE],
		       struct netlink_ext_ack *extack)
{
	unsigned long set;
	int err;

	for (set = 1; set < BIT(env->count); set++) {
		if ((set & ~have) || !(set & fresh) ||
		    hweight_long(set) != env->threshold)
			continue;
		vr_shamir_combine(parts, set, 0, master);
		err = check_id(env, master);
		if (err != -EKEYREJECTED)
			return err;
	}
	NL_SET_ERR_MSG(extack, "vault and envelope do not give the envelope's KEK");
	return -EKEYREJECTED;
}

static int check_hmac(const struct vr_envelope *env,
		      const u8 master[VR_SECRET_SIZE],
		      struct netlink_ext_ack *extack)
{
	u8 hmac[SHA256_DIGEST_SIZE];
	int err = vr_derive_hmac(master, env, hmac);

	if (!err && crypto_memneq(hmac, vr_envelope_head(env)->hmac,
				  sizeof(hmac))) {
		NL_SET_ERR_MSG(extack, "the envelope has been changed");
		err = -EKEYREJECTED;
	}
	memzero_explicit(hmac, sizeof(hmac));
	return err;
}

/*
 * Is all of it as it was made with the master secret that vr_envelope_master()
 * found, and is that the KEK that the name stands for?  -EKEYREJECTED if not.
 */
int vr_envelope_check(const struct vr_envelope *env,
		      const u8 master[VR_SECRET_SIZE],
		      struct netlink_ext_ack *extack)
{
	return check_id(env, master) ?: check_hmac(env, master, extack) ?:
	       vr_pins_check_kek(env->attrs.name, vr_envelope_head(env)->id,
				 extack);
}

/*
 * The KEK of an envelope, not registered.
 *
 * -EKEYREJECTED: see vr_envelope_check(); -EKEYEXPIRED: outside its dates.
 */
struct vr_kek *vr_envelope_unseal(const struct vr_envelope *env,
				  const u8 master[VR_SECRET_SIZE],
				  struct netlink_ext_ack *extack)
{
	u8 key[VR_KEY_SIZE];
	struct vr_kek *kek;
	int err;

	err = vr_envelope_check(env, master, extack) ?:
	      check_dates(&env->attrs, extack) ?:
	      vr_derive_kek(master, &env->attrs, key);
	kek = err ? ERR_PTR(err) :
	      vr_kek_alloc(&env->attrs, vr_envelope_head(env)->id, key);
	memzero_explicit(key, sizeof(key));
	return kek;
}
