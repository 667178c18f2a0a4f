// SPDX-License-Identifier: GPL-2.0-only
/*
 * What comes of an envelope's master secret, and the masks of its shares
 *
 * All by HKDF, as linux/vaultring_format.h says.
 */

#include "vr.h"

int vr_derive_kek(const u8 master[VR_SECRET_SIZE], const struct vr_attrs *attrs,
		  u8 kek[VR_KEY_SIZE])
{
	__le32 version = cpu_to_le32(attrs->version);
	const struct vr_piece info[] = {
		{ "vaultring kek v1", 16 },
		{ attrs->name, strlen(attrs->name) },
		{ &version, sizeof(version) },
	};

	return vr_hkdf(master, info, ARRAY_SIZE(info), kek, VR_KEY_SIZE);
}

int vr_derive_id(const u8 master[VR_SECRET_SIZE], u8 id[VAULTRING_ID_SIZE])
{
	const struct vr_piece info = { "vaultring id v1", 15 };

	return vr_hkdf(master, &info, 1, id, VAULTRING_ID_SIZE);
}

/* What masks share @index of an envelope with that salt. */
int vr_derive_mask(const u8 secret[VR_SECRET_SIZE], u8 index, const u8 salt[32],
		   u8 mask[VR_SECRET_SIZE])
{
	const struct vr_piece info[] = {
		{ "vaultring share v1", 18 },
		{ &index, 1 },
		{ salt, 32 },
	};

	return vr_hkdf(secret, info, ARRAY_SIZE(info), mask, VR_SECRET_SIZE);
}

/* The HMAC of the whole envelope, its hmac taken as zeros. */
int vr_derive_hmac(const u8 master[VR_SECRET_SIZE],
		   const struct vr_envelope *env, u8 out[SHA256_DIGEST_SIZE])
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
