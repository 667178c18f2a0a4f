/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The formats that people store: the blob, the envelope and the kept transport
 * key.
 *
 * None holds a secret.  All integers are little-endian, all reserved bytes
 * are zero and are refused if they are not.
 */
#ifndef _UAPI_LINUX_VAULTRING_FORMAT_H
#define _UAPI_LINUX_VAULTRING_FORMAT_H

#include <linux/types.h>

/* What a blob's DEK may be used for or, last, what else a KEK may wrap. */
enum vaultring_use {
	VAULTRING_USE_XTS = 1,
	VAULTRING_USE_CBC,
	VAULTRING_USE_CTR,
	VAULTRING_USE_GCM,
	VAULTRING_USE_FSCRYPT,
	VAULTRING_USE_HMAC,
	VAULTRING_USE_TRANSPORT,	/* never a blob's */
};

/*
 * The blob: a DEK of 16 to 64 bytes wrapped under a KEK by AES-256-GCM (NIST
 * SP 800-38D) with a random 96-bit nonce and a 128-bit tag.  The plaintext is
 * the DEK padded with zeros to 64 bytes; bytes 0 to 55 are the AAD.
 */
#define VAULTRING_BLOB_SIZE	136
#define VAULTRING_BLOB_MAGIC	"VRK1"
#define VAULTRING_BLOB_VERSION	1
#define VAULTRING_WRAP_AES256_GCM	1
#define VAULTRING_DEK_MIN	16
#define VAULTRING_DEK_MAX	64
#define VAULTRING_NONCE_SIZE	12
#define VAULTRING_TAG_SIZE	16

struct vaultring_blob {
	__u8 magic[4];
	__u8 version;
	__u8 wrap;
	__u8 use;		/* enum vaultring_use */
	__u8 dek_len;		/* bytes */
	__u8 kek_id[16];
	__u8 dek_id[16];	/* random */
	__u8 nonce[VAULTRING_NONCE_SIZE];
	__u8 reserved[4];
	__u8 ciphertext[VAULTRING_DEK_MAX];
	__u8 tag[VAULTRING_TAG_SIZE];
};

/*
 * The envelope: a header and then @shares share records, each followed by its
 * data.  With the master secret M (32 bytes) and HKDF-SHA256 (RFC 5869, no
 * salt):
 *
 *	KEK = HKDF(M, "vaultring kek v1" || name || le32 version), 32 bytes
 *	id  = HKDF(M, "vaultring id v1"), 16 bytes
 *	mac = HKDF(M, "vaultring envelope v1"), 32 bytes
 *	hmac = HMAC-SHA256(mac, the whole envelope with its hmac set to zeros)
 *
 * where name goes without its padding.  M is split @threshold-of-@shares by
 * Shamir's scheme over GF(2^8) with the polynomial 0x11b, byte by byte, share i
 * at x = its index; with a threshold of 1 every share is M itself.  No two shares
 * are for the same vault key.  Share i is stored as
 *
 *	masked = share_i XOR HKDF(secret_i, "vaultring share v1" || u8 index ||
 *				  salt), 32 bytes
 *
 * secret_i is, by the share's method,
 *
 *	oblivious	the x coordinate, 32 bytes big-endian, of c * S on NIST
 *			P-256, S being the vault key's public half and the
 *			share's data C = c * G as x || y, 64 bytes big-endian
 *	clear		32 random bytes; the data are their RSA-OAEP (RFC 8017)
 *			for the vault key, with SHA-256, MGF1 with SHA-256 and
 *			no label, as long as the modulus; or, of a symmetric
 *			vault key, what that made of them, 40 bytes (RFC 3394
 *			or alike)
 *	sealed		the vault key itself, 32 bytes, without data
 *
 * There are fewer clear shares than @threshold: whoever sees the secrets of all
 * of them, as the daemon does, knows nothing of M.
 */
#define VAULTRING_ENVELOPE_MAGIC	"VRE1"
#define VAULTRING_ENVELOPE_VERSION	1
#define VAULTRING_OBLIVIOUS_DATA	64
#define VAULTRING_CLEAR_DATA_MIN	256	/* RSA */
#define VAULTRING_CLEAR_DATA_MAX	512
#define VAULTRING_CLEAR_DATA_KEYWRAP	40	/* of a symmetric vault key */

struct vaultring_envelope {		/* at byte */
	__u8 magic[4];			/* 0 */
	__u8 format;			/* 4, VAULTRING_ENVELOPE_VERSION */
	__u8 threshold;			/* 5 */
	__u8 shares;			/* 6 */
	__u8 lease_end;			/* 7, enum vaultring_lease_end */
	__le32 version;			/* 8, the KEK's */
	__le32 uses;			/* 12, bit 1 << enum vaultring_use */
	__le64 not_before;		/* 16, seconds since the epoch or 0 */
	__le64 not_after;		/* 24 */
	__le32 lease;			/* 32, seconds or 0 */
	__u8 uids;			/* 36, how many of uid[] count */
	__u8 gids;			/* 37 */
	__u8 reserved[2];		/* 38 */
	__le32 uid[8];			/* 40, the rest zero */
	__le32 gid[8];			/* 72 */
	__u8 name[64];			/* 104, padded with at least one zero */
	__u8 salt[32];			/* 168 */
	__u8 id[16];			/* 200 */
	__u8 hmac[32];			/* 216 */
};					/* 248 bytes */

struct vaultring_share {
	__u8 index;			/* 0, from 1, ascending by 1 */
	__u8 method;			/* 1, enum vaultring_method */
	__le16 data_len;		/* 2, of the data that follow */
	__u8 reserved[4];		/* 4 */
	__u8 vault[64];			/* 8, padded with at least one zero */
	__u8 fingerprint[32];		/* 72, see fingerprint in vaultring.h */
	__u8 masked[32];		/* 104 */
};					/* 136 bytes, then the data */

/*
 * The kept transport key: its two primes, 192 bytes each and big-endian, wrapped
 * like a blob's DEK under a KEK with the use transport; bytes 0 to 419 are the
 * AAD.  The primes' product is @modulus, and the public exponent 65537.
 */
#define VAULTRING_TRANSPORT_MAGIC	"VRT1"
#define VAULTRING_TRANSPORT_VERSION	1
#define VAULTRING_TRANSPORT_MODULUS	384

struct vaultring_transport {		/* at byte */
	__u8 magic[4];			/* 0 */
	__u8 version;			/* 4 */
	__u8 wrap;			/* 5, VAULTRING_WRAP_AES256_GCM */
	__u8 reserved[2];		/* 6 */
	__u8 kek_id[16];		/* 8 */
	__u8 nonce[VAULTRING_NONCE_SIZE];		/* 24 */
	__u8 modulus[VAULTRING_TRANSPORT_MODULUS];	/* 36, big-endian */
	__u8 primes[VAULTRING_TRANSPORT_MODULUS];	/* 420 */
	__u8 tag[VAULTRING_TAG_SIZE];			/* 804 */
};					/* 820 bytes */

#endif /* _UAPI_LINUX_VAULTRING_FORMAT_H */
