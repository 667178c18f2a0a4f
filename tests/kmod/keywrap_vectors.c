// SPDX-License-Identifier: GPL-2.0-only
/*
 * kw(aes) and kwp(aes) against all published vectors, and as AEADs
 *
 * The tables come from scripts/vectors.  Each vector runs with scatterlists
 * cut in other places, every second one in place, and with bytes around the
 * output that must not change.
 */

#include <crypto/aead.h>
#include <crypto/skcipher.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "tap.h"

#define SEMIBLOCK	8
#define MAX_PLAIN	4096
#define PIECES		3
#define GUARD		0xa5
/* The largest request, and a guard behind it. */
#define BUF_SIZE	(MAX_PLAIN + 8 * SEMIBLOCK)

/* What a vector must come to. */
enum keywrap_want {
	KEYWRAP_NOT_ASKED,
	KEYWRAP_SAME,		/* what the vector says */
	KEYWRAP_OTHER,		/* it works and gives something else */
	KEYWRAP_BADMSG,		/* -EBADMSG, and the output is zero */
	KEYWRAP_INVAL,		/* -EINVAL, and the output is as it was */
};

/* @bytes are the KEK, the plaintext and the wrapped key. */
struct keywrap_vector {
	unsigned int id;
	u8 encrypt, decrypt;	/* enum keywrap_want */
	u16 kek_len, key_len, wrapped_len;
	const char *bytes;
};

struct keywrap_file {
	const char *name, *alg;
	const struct keywrap_vector *vectors;
	unsigned int count;
};

/* Files that are of no use here. */
struct keywrap_other {
	const char *name;
	unsigned int count;
};

#include "keywrap_table.h"

static bool brief;
module_param(brief, bool, 0444);
MODULE_PARM_DESC(brief, "leave the vectors out");

static struct tap tap;
static u8 *in, *out;	/* BUF_SIZE each */

/* @len bytes at @buf in PIECES pieces, cut where @seed says. */
static void cut(struct scatterlist *sg, u8 *buf, unsigned int len,
		unsigned int seed)
{
	unsigned int first = len ? 1 + seed % len : 0;
	unsigned int second = len - first ? 1 + (seed / 3) % (len - first) : 0;

	sg_init_table(sg, PIECES);
	sg_set_buf(&sg[0], buf, first);
	sg_set_buf(&sg[1], buf + first, second);
	sg_set_buf(&sg[2], buf + first + second, len - first - second);
	if (!second)
		sg_mark_end(&sg[0]);
	else if (first + second == len)
		sg_mark_end(&sg[1]);
}

static unsigned int padded(unsigned int len)
{
	return round_up(len, SEMIBLOCK);
}

/*
 * One request.  @from, @len bytes, becomes @out, which has room for @room; or
 * both are @out, with an odd @seed.
 */
static int crypt(struct crypto_aead *tfm, bool encrypt, const u8 *from,
		 unsigned int len, unsigned int room, unsigned int seed)
{
	struct aead_request *req = aead_request_alloc(tfm, GFP_KERNEL);
	struct scatterlist src[PIECES], dst[PIECES];
	u8 *source = seed & 1 ? out : in;
	DECLARE_CRYPTO_WAIT(wait);
	int err;

	if (!req)
		return -ENOMEM;
	memset(out, GUARD, BUF_SIZE);
	if (len)
		memmove(source, from, len);
	cut(src, source, seed & 1 ? max(len, room) : len, seed);
	cut(dst, out, room, seed / 2);
	aead_request_set_callback(req, CRYPTO_TFM_REQ_MAY_SLEEP,
				  crypto_req_done, &wait);
	aead_request_set_ad(req, 0);
	aead_request_set_crypt(req, src, seed & 1 ? src : dst, len, NULL);
	err = crypto_wait_req(encrypt ? crypto_aead_encrypt(req) :
			      crypto_aead_decrypt(req), &wait);
	aead_request_free(req);
	return err;
}

/* Is the rest of @out what it was? */
static bool guarded(const u8 *from, unsigned int len, unsigned int written,
		    unsigned int seed)
{
	/* In place, more may have gone in than came out. */
	if (seed & 1 && len > written) {
		if (memcmp(out + written, from + written, len - written))
			return false;
		written = len;
	}
	return !memchr_inv(out + written, GUARD, BUF_SIZE - written);
}

/* Did a request of @len bytes at @from come to @want, which is @to? */
static bool came_to(enum keywrap_want want, int err, const u8 *from,
		    unsigned int len, const u8 *to, unsigned int to_len,
		    unsigned int room, unsigned int seed)
{
	switch (want) {
	case KEYWRAP_SAME:
		return !err && !memcmp(out, to, to_len) &&
		       !memchr_inv(out + to_len, 0, room - to_len) &&
		       guarded(from, len, room, seed);
	case KEYWRAP_OTHER:
		return !err && (room != to_len || memcmp(out, to, to_len)) &&
		       guarded(from, len, room, seed);
	case KEYWRAP_BADMSG:
		return err == -EBADMSG && !memchr_inv(out, 0, room) &&
		       guarded(from, len, room, seed);
	case KEYWRAP_INVAL:
		return err == -EINVAL && guarded(from, len, 0, seed);
	default:
		return false;
	}
}

/* How many of the two directions are not as they should be. */
static unsigned int run_vector(struct crypto_aead *tfm, const char *file,
			       const struct keywrap_vector *v)
{
	const u8 *kek = v->bytes, *key = kek + v->kek_len;
	const u8 *wrapped = key + v->key_len;
	unsigned int room = padded(v->key_len) + SEMIBLOCK, bad = 0;
	unsigned int seed = v->id * 7 + v->key_len;
	int err = crypto_aead_setkey(tfm, kek, v->kek_len);

	if (err) {
		tap_note(&tap, "%s: %u: setkey: %d", file, v->id, err);
		return 1;
	}
	if (v->encrypt) {
		err = crypt(tfm, true, key, v->key_len, room, seed);
		if (!came_to(v->encrypt, err, key, v->key_len, wrapped,
			     v->wrapped_len, room, seed)) {
			tap_note(&tap, "%s: %u: encrypt: %d", file, v->id, err);
			bad++;
		}
	}
	if (v->decrypt) {
		room = v->wrapped_len > SEMIBLOCK ?
		       v->wrapped_len - SEMIBLOCK : 0;
		seed++;
		err = crypt(tfm, false, wrapped, v->wrapped_len, room, seed);
		if (!came_to(v->decrypt, err, wrapped, v->wrapped_len, key,
			     v->key_len, room, seed)) {
			tap_note(&tap, "%s: %u: decrypt: %d", file, v->id, err);
			bad++;
		}
	}
	return bad;
}

static void run_file(const struct keywrap_file *file)
{
	struct crypto_aead *tfm = crypto_alloc_aead(file->alg, 0, 0);
	unsigned int i, good = 0;

	for (i = 0; !IS_ERR(tfm) && i < file->count; i++) {
		good += !run_vector(tfm, file->name, &file->vectors[i]);
		cond_resched();
	}
	if (!IS_ERR(tfm))
		crypto_free_aead(tfm);
	tap_ok(&tap, good == file->count, "%s: %s: %u of %u vectors",
	       file->alg, file->name, good, file->count);
}

/* RFC 3394 section 4.1 */
static const u8 rfc_kek[] = {
	0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
	0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f
};

static const u8 rfc_key[] = {
	0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
	0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff
};

static const u8 rfc_wrapped[] = {
	0x1f, 0xa6, 0x8b, 0x0a, 0x81, 0x12, 0xb4, 0x47,
	0xae, 0xf3, 0x4b, 0xd8, 0xfb, 0x5a, 0x7b, 0x82,
	0x9d, 0x3e, 0x86, 0x23, 0x71, 0xd2, 0xcf, 0xe5
};

static bool wraps_as_rfc(struct crypto_aead *tfm)
{
	return !crypto_aead_setkey(tfm, rfc_kek, sizeof(rfc_kek)) &&
	       !crypt(tfm, true, rfc_key, sizeof(rfc_key),
		      sizeof(rfc_wrapped), 0) &&
	       !memcmp(out, rfc_wrapped, sizeof(rfc_wrapped));
}

/* The kernel's own kw(aes): the check is what becomes of the IV. */
static int own_wraps_as_rfc(struct crypto_skcipher *tfm)
{
	struct skcipher_request *req = skcipher_request_alloc(tfm, GFP_KERNEL);
	DECLARE_CRYPTO_WAIT(wait);
	struct scatterlist sg;
	int err;

	if (!req)
		return -ENOMEM;
	memset(out, 0, SEMIBLOCK);
	memcpy(out + SEMIBLOCK, rfc_key, sizeof(rfc_key));
	sg_init_one(&sg, out + SEMIBLOCK, sizeof(rfc_key));
	skcipher_request_set_callback(req, CRYPTO_TFM_REQ_MAY_SLEEP,
				      crypto_req_done, &wait);
	skcipher_request_set_crypt(req, &sg, &sg, sizeof(rfc_key), out);
	err = crypto_skcipher_setkey(tfm, rfc_kek, sizeof(rfc_kek)) ?:
	      crypto_wait_req(crypto_skcipher_encrypt(req), &wait);
	skcipher_request_free(req);
	return err ?: memcmp(out, rfc_wrapped, sizeof(rfc_wrapped)) ? -EIO : 0;
}

static void check_own(struct crypto_skcipher *own)
{
	if (!IS_ENABLED(CONFIG_CRYPTO_KEYWRAP)) {
		tap_ok(&tap, PTR_ERR_OR_ZERO(own) == -ENOENT,
		       "this kernel has no kw(aes) of its own, and does not take ours for one (%d)",
		       PTR_ERR_OR_ZERO(own));
		return;
	}
	if (!tap_ok(&tap, !IS_ERR(own),
		    "the kernel's own kw(aes) is found as a skcipher (%d)",
		    PTR_ERR_OR_ZERO(own)))
		return;
	tap_ok(&tap, !own_wraps_as_rfc(own),
	       "the kernel's own kw(aes), %s, wraps as RFC 3394 says",
	       crypto_skcipher_driver_name(own));
}

/* Both of one name at once, each found by its type alone. */
static void check_side_by_side(void)
{
	struct crypto_aead *first = crypto_alloc_aead("kw(aes)", 0, 0);
	struct crypto_skcipher *own = crypto_alloc_skcipher("kw(aes)", 0, 0);
	struct crypto_aead *second = crypto_alloc_aead("kw(aes)", 0, 0);

	check_own(own);
	if (tap_ok(&tap, !IS_ERR(first) && !IS_ERR(second),
		   "kw(aes) is found as an AEAD before and after (%d, %d)",
		   PTR_ERR_OR_ZERO(first), PTR_ERR_OR_ZERO(second)))
		tap_ok(&tap, wraps_as_rfc(first) && wraps_as_rfc(second) &&
		       !strcmp(crypto_tfm_alg_driver_name(crypto_aead_tfm(second)),
			       "kw-aes-vaultring"),
		       "both are kw-aes-vaultring and wrap as RFC 3394 says");
	if (!IS_ERR(own))
		crypto_free_skcipher(own);
	if (!IS_ERR(second))
		crypto_free_aead(second);
	if (!IS_ERR(first))
		crypto_free_aead(first);
}

static void check_keys(struct crypto_aead *tfm, const char *alg)
{
	unsigned int len, right = 0;
	u8 key[33] = {};

	tap_ok(&tap, crypt(tfm, true, rfc_key, 16, 24, 0) == -ENOKEY,
	       "%s without a KEK wraps nothing and says ENOKEY", alg);
	for (len = 0; len <= sizeof(key); len++) {
		int want = len == 16 || len == 24 || len == 32 ? 0 : -EINVAL;

		right += crypto_aead_setkey(tfm, key, len) == want;
	}
	tap_ok(&tap, right == len,
	       "%s takes KEKs of 16, 24 and 32 bytes and no others", alg);
}

static void check_tags(struct crypto_aead *tfm, const char *alg)
{
	unsigned int size, right = 0;

	for (size = 0; size <= 16; size++)
		right += crypto_aead_setauthsize(tfm, size) ==
			 (size == 8 ? 0 : -EINVAL);
	tap_ok(&tap, right == 17 && crypto_aead_authsize(tfm) == 8 &&
	       crypto_aead_ivsize(tfm) == 0,
	       "%s has no IV and a tag of 8 bytes, no other", alg);
}

static int with_assoc(struct crypto_aead *tfm, bool encrypt)
{
	struct aead_request *req = aead_request_alloc(tfm, GFP_KERNEL);
	struct scatterlist sg;
	int err;

	if (!req)
		return -ENOMEM;
	sg_init_one(&sg, out, 64);
	aead_request_set_callback(req, 0, NULL, NULL);
	aead_request_set_ad(req, 8);
	aead_request_set_crypt(req, &sg, &sg, 24, NULL);
	err = encrypt ? crypto_aead_encrypt(req) : crypto_aead_decrypt(req);
	aead_request_free(req);
	return err;
}

/* What goes in comes out, @len bytes; and how the longest is refused. */
static void check_length(struct crypto_aead *tfm, const char *alg,
			 unsigned int len)
{
	unsigned int room = padded(len) + SEMIBLOCK;
	u8 *wrapped = kmalloc(room, GFP_KERNEL);
	bool good = false;

	if (wrapped) {
		memset(in, 0x5a, BUF_SIZE);
		good = !crypt(tfm, true, in, len, room, 0);
		memcpy(wrapped, out, room);
		good = good && !crypt(tfm, false, wrapped, room,
				      room - SEMIBLOCK, 1) &&
		       !memchr_inv(out, 0x5a, len) &&
		       !memchr_inv(out + len, 0, padded(len) - len);
		kfree(wrapped);
	}
	tap_ok(&tap, good, "%s wraps and unwraps %u bytes", alg, len);
}

static void check_lengths(struct crypto_aead *tfm, const char *alg)
{
	bool pads = !strcmp(alg, "kwp(aes)");
	unsigned int shortest = pads ? 1 : 16;

	check_length(tfm, alg, shortest);
	check_length(tfm, alg, pads ? 4095 : 4088);
	check_length(tfm, alg, MAX_PLAIN);
	memset(in, 0, BUF_SIZE);
	tap_ok(&tap, crypt(tfm, true, in, MAX_PLAIN + 8, MAX_PLAIN + 16, 0) ==
	       -EINVAL && crypt(tfm, false, in, MAX_PLAIN + 16,
				MAX_PLAIN + 8, 0) == -EINVAL,
	       "%s refuses more than %u bytes", alg, MAX_PLAIN);
	tap_ok(&tap, crypt(tfm, true, in, shortest, SEMIBLOCK + shortest - 1,
			   0) == -EINVAL && guarded(in, shortest, 0, 0),
	       "%s refuses a destination without room and leaves it alone",
	       alg);
}

static void check_aead(const char *alg)
{
	struct crypto_aead *tfm = crypto_alloc_aead(alg, 0, 0);

	if (!tap_ok(&tap, !IS_ERR(tfm), "%s can be had (%d)", alg,
		    PTR_ERR_OR_ZERO(tfm)))
		return;
	check_keys(tfm, alg);
	check_tags(tfm, alg);
	if (crypto_aead_setkey(tfm, rfc_kek, sizeof(rfc_kek)))
		tap_ok(&tap, false, "%s takes a KEK", alg);
	tap_ok(&tap, with_assoc(tfm, true) == -EINVAL &&
	       with_assoc(tfm, false) == -EINVAL,
	       "%s refuses associated data", alg);
	check_lengths(tfm, alg);
	crypto_free_aead(tfm);
}

static void run_all(void)
{
	unsigned int i;

	check_side_by_side();
	check_aead("kw(aes)");
	check_aead("kwp(aes)");
	for (i = 0; !brief && i < ARRAY_SIZE(keywrap_files); i++)
		run_file(&keywrap_files[i]);
	for (i = 0; !brief && i < ARRAY_SIZE(keywrap_others); i++)
		tap_ok(&tap, true, "%s: %u vectors # SKIP Triple DES, not AES",
		       keywrap_others[i].name, keywrap_others[i].count);
	tap_plan(&tap);
}

static int __init keywrap_vectors_init(void)
{
	int err = tap_open(&tap, KBUILD_MODNAME);

	if (err)
		return err;
	in = kmalloc(BUF_SIZE, GFP_KERNEL);
	out = kmalloc(BUF_SIZE, GFP_KERNEL);
	if (in && out)
		run_all();
	else
		tap_ok(&tap, false, "there is memory for the vectors");
	kfree(in);
	kfree(out);
	return 0;
}

static void __exit keywrap_vectors_exit(void)
{
	tap_close(&tap);
}

module_init(keywrap_vectors_init);
module_exit(keywrap_vectors_exit);
MODULE_DESCRIPTION("Published key-wrap vectors, for kw(aes) and kwp(aes)");
MODULE_LICENSE("GPL");
