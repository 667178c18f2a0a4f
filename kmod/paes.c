// SPDX-License-Identifier: GPL-2.0-only
/*
 * xts(paes), cbc(paes), ctr(paes): AES under a protected key
 *
 * The key that setkey() takes is a blob; "paes" is the kernel's name for that.
 * What is common to keyed transforms is in keyed.c.
 */

#include <crypto/internal/skcipher.h>
#include <linux/err.h>
#include <linux/module.h>

#include "vr.h"

/* A transform; owns @inner. */
struct vr_paes_ctx {
	struct vr_keyed keyed;
	struct crypto_skcipher *inner;
};

/* A request in flight; holds a user's reference on @kek. */
struct vr_paes_req {
	struct vr_kek *kek;
	struct skcipher_request inner;	/* has a context behind it */
};

static int vr_paes_set_inner(struct vr_keyed *keyed, const u8 *key,
			     unsigned int len)
{
	struct vr_paes_ctx *ctx = container_of(keyed, struct vr_paes_ctx, keyed);

	return crypto_skcipher_setkey(ctx->inner, key, len);
}

static int vr_paes_setkey(struct crypto_skcipher *tfm, const u8 *key,
			  unsigned int len)
{
	struct vr_paes_ctx *ctx = crypto_skcipher_ctx(tfm);

	return vr_keyed_setkey(&ctx->keyed, key, len);
}

static void vr_paes_done(vr_completion_t data, int err)
{
	struct skcipher_request *req = vr_completion_data(data);
	struct vr_paes_ctx *ctx = crypto_skcipher_ctx(crypto_skcipher_reqtfm(req));
	struct vr_paes_req *preq = skcipher_request_ctx(req);

	/* -EINPROGRESS: it left the backlog and is still to be done. */
	if (err != -EINPROGRESS)
		vr_keyed_leave(&ctx->keyed, preq->kek);
	skcipher_request_complete(req, err);
}

static int paes_crypt(struct skcipher_request *req,
		      int (*crypt)(struct skcipher_request *inner))
{
	struct crypto_skcipher *tfm = crypto_skcipher_reqtfm(req);
	struct vr_paes_ctx *ctx = crypto_skcipher_ctx(tfm);
	struct vr_paes_req *preq = skcipher_request_ctx(req);
	struct vr_kek *kek = vr_keyed_enter(&ctx->keyed);
	int err;

	if (IS_ERR(kek))
		return PTR_ERR(kek);
	preq->kek = kek;
	skcipher_request_set_tfm(&preq->inner, ctx->inner);
	skcipher_request_set_callback(&preq->inner, req->base.flags,
				      vr_paes_done, req);
	skcipher_request_set_crypt(&preq->inner, req->src, req->dst,
				   req->cryptlen, req->iv);
	err = crypt(&preq->inner);
	/* In the two cases that vr_paes_done() sees @preq may be gone. */
	if (err != -EINPROGRESS && err != -EBUSY)
		vr_keyed_leave(&ctx->keyed, kek);
	return err;
}

static int vr_paes_encrypt(struct skcipher_request *req)
{
	return paes_crypt(req, crypto_skcipher_encrypt);
}

static int vr_paes_decrypt(struct skcipher_request *req)
{
	return paes_crypt(req, crypto_skcipher_decrypt);
}

static const struct {
	const char *name, *driver, *inner;
	u8 use;
} vr_paes_modes[] = {
	{ "xts(paes)", "xts-paes-vaultring", "xts(aes)", VAULTRING_USE_XTS },
	{ "cbc(paes)", "cbc-paes-vaultring", "cbc(aes)", VAULTRING_USE_CBC },
	{ "ctr(paes)", "ctr-paes-vaultring", "ctr(aes)", VAULTRING_USE_CTR },
};

static struct skcipher_alg vr_paes_algs[ARRAY_SIZE(vr_paes_modes)];

static int vr_paes_init_tfm(struct crypto_skcipher *tfm)
{
	struct vr_paes_ctx *ctx = crypto_skcipher_ctx(tfm);
	size_t mode = crypto_skcipher_alg(tfm) - vr_paes_algs;
	u32 mask = CRYPTO_ALG_ALLOCATES_MEMORY;
	struct crypto_skcipher *inner;
	int err;

	/*
	 * dm-crypt asks for what does not allocate, and so do we.  AF_ALG of
	 * newer kernels takes synchronous transforms only: what we said we are
	 * when registered, the inner one has to be.
	 */
	if (!(vr_paes_algs[mode].base.cra_flags & CRYPTO_ALG_ASYNC))
		mask |= CRYPTO_ALG_ASYNC;
	inner = crypto_alloc_skcipher(vr_paes_modes[mode].inner, 0, mask);
	if (IS_ERR(inner))
		return PTR_ERR(inner);
	err = vr_keyed_init(&ctx->keyed, vr_paes_modes[mode].use,
			    vr_paes_set_inner);
	if (err) {
		crypto_free_skcipher(inner);
		return err;
	}
	ctx->inner = inner;
	crypto_skcipher_set_reqsize(tfm, sizeof(struct vr_paes_req) +
				    crypto_skcipher_reqsize(inner));
	return 0;
}

static void vr_paes_exit_tfm(struct crypto_skcipher *tfm)
{
	struct vr_paes_ctx *ctx = crypto_skcipher_ctx(tfm);

	vr_keyed_exit(&ctx->keyed);
	crypto_free_skcipher(ctx->inner);
}

/*
 * Block size, IV, chunk and whether it is asynchronous are the inner
 * algorithm's.
 */
static int paes_fill(size_t mode)
{
	struct skcipher_alg *alg = &vr_paes_algs[mode];
	struct crypto_skcipher *inner;

	inner = crypto_alloc_skcipher(vr_paes_modes[mode].inner, 0, 0);
	if (IS_ERR(inner))
		return PTR_ERR(inner);
	*alg = (struct skcipher_alg) {
		.setkey			= vr_paes_setkey,
		.encrypt		= vr_paes_encrypt,
		.decrypt		= vr_paes_decrypt,
		.init			= vr_paes_init_tfm,
		.exit			= vr_paes_exit_tfm,
		.min_keysize		= VAULTRING_BLOB_SIZE,
		.max_keysize		= VAULTRING_BLOB_SIZE,
		.ivsize			= crypto_skcipher_ivsize(inner),
		.chunksize		= crypto_skcipher_chunksize(inner),
		.base.cra_priority	= VR_ALG_PRIORITY,
		.base.cra_flags		= crypto_skcipher_alg(inner)->base.cra_flags &
					  CRYPTO_ALG_ASYNC,
		.base.cra_blocksize	= crypto_skcipher_blocksize(inner),
		.base.cra_ctxsize	= sizeof(struct vr_paes_ctx),
		.base.cra_module	= THIS_MODULE,
	};
	strscpy(alg->base.cra_name, vr_paes_modes[mode].name,
		sizeof(alg->base.cra_name));
	strscpy(alg->base.cra_driver_name, vr_paes_modes[mode].driver,
		sizeof(alg->base.cra_driver_name));
	crypto_free_skcipher(inner);
	return 0;
}

static void paes_unregister(size_t count)
{
	while (count--) {
		vr_alg_settle(&vr_paes_algs[count].base);
		crypto_unregister_skcipher(&vr_paes_algs[count]);
	}
}

int vr_paes_init(void)
{
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(vr_paes_modes); i++) {
		err = paes_fill(i);
		if (err)
			return err;
	}
	for (i = 0; i < ARRAY_SIZE(vr_paes_algs); i++) {
		err = crypto_register_skcipher(&vr_paes_algs[i]);
		if (err) {
			paes_unregister(i);
			return err;
		}
	}
	return 0;
}

void vr_paes_exit(void)
{
	paes_unregister(ARRAY_SIZE(vr_paes_algs));
}

MODULE_ALIAS_CRYPTO("xts(paes)");
MODULE_ALIAS_CRYPTO("cbc(paes)");
MODULE_ALIAS_CRYPTO("ctr(paes)");
