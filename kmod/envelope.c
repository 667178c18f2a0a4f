// SPDX-License-Identifier: GPL-2.0-only
/*
 * Envelopes: parse, create, and what makes one a KEK
 *
 * An envelope is public and comes from a daemon that is not trusted.  What it
 * says counts only once its master secret has come about: then the id and the
 * HMAC over all of it must hold.  See linux/vaultring_format.h.
 */

#include <crypto/algapi.h>
#include <linux/err.h>
#include <linux/netlink.h>
#include <linux/random.h>
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
 * Derivations
 */

static int derive_kek(const u8 *master, const struct vr_attrs *attrs, u8 *kek)
{
	__le32 version = cpu_to_le32(attrs->version);
	const struct vr_piece info[] = {
		{ "vaultring kek v1", 16 },
		{ attrs->name, strlen(attrs->name) },
		{ &version, sizeof(version) },
	};

	return vr_hkdf(master, info, ARRAY_SIZE(info), kek, VR_KEY_SIZE);
}

static int derive_id(const u8 *master, u8 *id)
{
	const struct vr_piece info = { "vaultring id v1", 15 };

	return vr_hkdf(master, &info, 1, id, VAULTRING_ID_SIZE);
}

static int derive_mask(const u8 *secret, u8 index, const u8 *salt, u8 *mask)
{
	const struct vr_piece info[] = {
		{ "vaultring share v1", 18 },
		{ &index, 1 },
		{ salt, 32 },
	};

	return vr_hkdf(secret, info, ARRAY_SIZE(info), mask, VR_SECRET_SIZE);
}

/* The HMAC of the whole envelope, its hmac taken as zeros. */
static int envelope_hmac(const u8 *master, const struct vr_envelope *env,
			 u8 out[SHA256_DIGEST_SIZE])
{
	static const u8 zeros[SHA256_DIGEST_SIZE];
	const size_t at = offsetof(struct vaultring_envelope, hmac);
	const size_t behind = sizeof(struct vaultring_envelope);
	const struct vr_piece info = { "vaultring envelope v1", 21 };
	const struct vr_piece msg[] = {
		{ env->bytes, at },
		{ zeros, sizeof(zeros) },
		{ env->bytes + behind, env->len - behind },
	};
	u8 key[VR_SECRET_SIZE];
	int err;

	err = vr_hkdf(master, &info, 1, key, sizeof(key)) ?:
	      vr_hmac(key, msg, ARRAY_SIZE(msg), out);
	memzero_explicit(key, sizeof(key));
	return err;
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

/*
 * What holds for every envelope, at creation and at each unseal.
 *
 * One share is all this version combines.  The formats are final for more.
 */
static int check_shares(const struct vr_envelope *env,
			struct netlink_ext_ack *extack)
{
	unsigned int i, clear = 0;

	for (i = 0; i < env->count; i++)
		if (env->share[i].head->method == VAULTRING_METHOD_CLEAR)
			clear++;
	if (clear >= env->threshold) {
		NL_SET_ERR_MSG(extack, "clear shares alone would reach the threshold");
		return -EKEYREJECTED;
	}
	if (env->threshold != 1 || env->count != 1) {
		NL_SET_ERR_MSG(extack, "this module combines one share only (1 of 1)");
		return -EINVAL;
	}
	for (i = 0; i < env->count; i++) {
		if (env->share[i].head->method != VAULTRING_METHOD_OBLIVIOUS) {
			NL_SET_ERR_MSG(extack, "this module knows the oblivious method only");
			return -EINVAL;
		}
		if (env->share[i].data_len != VAULTRING_OBLIVIOUS_DATA) {
			NL_SET_ERR_MSG(extack, "an oblivious share has one point of 64 bytes");
			return -EINVAL;
		}
	}
	return 0;
}

static struct vr_envelope *envelope_alloc(const void *data, size_t len)
{
	struct vr_envelope *env = kzalloc(sizeof(*env) + len, GFP_KERNEL);

	if (!env)
		return NULL;
	env->len = len;
	if (data)
		memcpy(env->bytes, data, len);
	return env;
}

/* -EINVAL: not our format; -EKEYREJECTED: clear shares reach the threshold. */
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
	env = envelope_alloc(data, len);
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
 * Create
 */

static int check_request(const struct vr_share_request *req,
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

/* Mask @part, this share's part of the master secret, for one vault key. */
static int create_share(struct vaultring_share *share, u8 index,
			const u8 *part, const u8 *salt,
			const struct vr_share_request *req,
			struct netlink_ext_ack *extack)
{
	u8 secret[VR_SECRET_SIZE], mask[VR_SECRET_SIZE];
	int err;

	share->index = index;
	share->method = req->method;
	share->data_len = cpu_to_le16(VAULTRING_OBLIVIOUS_DATA);
	strscpy(share->vault, req->vault, sizeof(share->vault));
	err = check_request(req, share->fingerprint, extack);
	if (err)
		return err;

	err = vr_oblivious_create(req->public_key, req->public_key_len,
				  (u8 *)(share + 1), secret);
	if (err == -EKEYREJECTED) {
		NL_SET_ERR_MSG(extack, "not a P-256 public key in DER (SPKI, uncompressed)");
		goto out;
	}
	err = err ?: derive_mask(secret, index, salt, mask);
	if (!err)
		crypto_xor_cpy(share->masked, part, mask, VR_SECRET_SIZE);
out:
	memzero_explicit(secret, sizeof(secret));
	memzero_explicit(mask, sizeof(mask));
	return err;
}

static void build_head(struct vaultring_envelope *head,
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
 * Make an envelope for a new KEK.  No vault is asked; the KEK is forgotten and
 * has to be unsealed.  -EACCES: a public key is not pinned.
 */
struct vr_envelope *vr_envelope_create(const struct vr_attrs *attrs,
				       unsigned int threshold,
				       const struct vr_share_request *reqs,
				       unsigned int count,
				       struct netlink_ext_ack *extack)
{
	struct vaultring_envelope *head;
	struct vr_envelope *env, *made;
	u8 master[VR_SECRET_SIZE];
	int err;

	/* One share, as check_shares() says of the result. */
	if (threshold != 1 || count != 1 ||
	    reqs[0].method != VAULTRING_METHOD_OBLIVIOUS) {
		NL_SET_ERR_MSG(extack, "this module makes one oblivious share only");
		return ERR_PTR(-EINVAL);
	}
	env = envelope_alloc(NULL, sizeof(*head) +
			     sizeof(struct vaultring_share) +
			     VAULTRING_OBLIVIOUS_DATA);
	if (!env)
		return ERR_PTR(-ENOMEM);
	err = get_random_bytes_wait(master, sizeof(master));
	if (err)
		goto out;
	head = (struct vaultring_envelope *)env->bytes;
	build_head(head, attrs, threshold, count);
	err = create_share((struct vaultring_share *)(head + 1), 1, master,
			   head->salt, &reqs[0], extack) ?:
	      derive_id(master, head->id) ?:
	      envelope_hmac(master, env, head->hmac);
out:
	memzero_explicit(master, sizeof(master));
	/* Whatever we would refuse to unseal we refuse to make. */
	made = err ? ERR_PTR(err) :
	       vr_envelope_parse(env->bytes, env->len, extack);
	vr_envelope_free(env);
	return made;
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

static int check_commitment(const u8 *master, const struct vr_envelope *env,
			    struct netlink_ext_ack *extack)
{
	const struct vaultring_envelope *head = vr_envelope_head(env);
	u8 id[VAULTRING_ID_SIZE], hmac[SHA256_DIGEST_SIZE];
	int err;

	err = derive_id(master, id) ?: envelope_hmac(master, env, hmac);
	if (!err && crypto_memneq(id, head->id, sizeof(id))) {
		NL_SET_ERR_MSG(extack, "vault and envelope do not give the envelope's KEK");
		err = -EKEYREJECTED;
	} else if (!err && crypto_memneq(hmac, head->hmac, sizeof(hmac))) {
		NL_SET_ERR_MSG(extack, "the envelope has been changed");
		err = -EKEYREJECTED;
	}
	memzero_explicit(hmac, sizeof(hmac));
	return err;
}

/*
 * The KEK of an envelope whose one share's secret is known, not registered.
 *
 * -EKEYREJECTED: forged or corrupt, or the name is pinned to another id;
 * -EKEYEXPIRED: outside its dates.
 */
struct vr_kek *vr_envelope_unseal(const struct vr_envelope *env,
				  const u8 secret[VR_SECRET_SIZE],
				  struct netlink_ext_ack *extack)
{
	const struct vaultring_envelope *head = vr_envelope_head(env);
	u8 master[VR_SECRET_SIZE], key[VR_KEY_SIZE];
	struct vr_kek *kek;
	int err;

	err = derive_mask(secret, 1, head->salt, master);
	if (err)
		goto out;
	crypto_xor(master, env->share[0].head->masked, sizeof(master));

	err = check_commitment(master, env, extack) ?:
	      check_dates(&env->attrs, extack) ?:
	      vr_pins_check_kek(env->attrs.name, head->id, extack) ?:
	      derive_kek(master, &env->attrs, key);
out:
	kek = err ? ERR_PTR(err) : vr_kek_alloc(&env->attrs, head->id, key);
	memzero_explicit(master, sizeof(master));
	memzero_explicit(key, sizeof(key));
	return kek;
}
