// SPDX-License-Identifier: GPL-2.0-only
/*
 * gcm(paes): AES-GCM (NIST SP 800-38D) under a protected key
 *
 * The key that setkey() takes is a blob of use gcm.  With dm-crypt over
 * dm-integrity it gives volumes whose every sector is authenticated.  What is
 * common to keyed transforms is in keyed.c.
 */

#include <crypto/internal/aead.h>
#include <linux/err.h>
#include <linux/module.h>

#include "vr.h"

/* A transform; owns @inner. */
struct vr_paes_aead_ctx {
	struct vr_keyed keyed;
	struct crypto_aead *inner;
};

/* A request in flight; holds a user's reference on @kek. */
struct vr_paes_aead_req {
	struct vr_kek *kek;
	struct aead_request inner;	/* has a context behind it */
};

static int vr_paes_aead_set_inner(struct vr_keyed *keyed, const u8 *key,
				  unsigned int len)
{
	struct vr_paes_aead_ctx *ctx = container_of(keyed,
						    struct vr_paes_aead_ctx,
						    keyed);

	return crypto_aead_setkey(ctx->inner, key, len);
}

static int vr_paes_aead_setkey(struct crypto_aead *tfm, const u8 *key,
			       unsigned int len)
{
	struct vr_paes_aead_ctx *ctx = crypto_aead_ctx(tfm);

	return vr_keyed_setkey(&ctx->keyed, key, len);
}

static int vr_paes_aead_setauthsize(struct crypto_aead *tfm, unsigned int size)
{
	struct vr_paes_aead_ctx *ctx = crypto_aead_ctx(tfm);

	return crypto_aead_setauthsize(ctx->inner, size);
}

static void vr_paes_aead_done(vr_completion_t data, int err)
{
	struct aead_request *req = vr_completion_data(data);
	struct vr_paes_aead_ctx *ctx = crypto_aead_ctx(crypto_aead_reqtfm(req));
	struct vr_paes_aead_req *preq = aead_request_ctx(req);

	/* -EINPROGRESS: it left the backlog and is still to be done. */
	if (err != -EINPROGRESS)
		vr_keyed_leave(&ctx->keyed, preq->kek);
	aead_request_complete(req, err);
}

static int aead_crypt(struct aead_request *req,
		      int (*crypt)(struct aead_request *inner))
{
	struct crypto_aead *tfm = crypto_aead_reqtfm(req);
	struct vr_paes_aead_ctx *ctx = crypto_aead_ctx(tfm);
	struct vr_paes_aead_req *preq = aead_request_ctx(req);
	struct vr_kek *kek = vr_keyed_enter(&ctx->keyed);
	int err;

	if (IS_ERR(kek))
		return PTR_ERR(kek);
	preq->kek = kek;
	aead_request_set_tfm(&preq->inner, ctx->inner);
	aead_request_set_callback(&preq->inner, req->base.flags,
				  vr_paes_aead_done, req);
	aead_request_set_ad(&preq->inner, req->assoclen);
	aead_request_set_crypt(&preq->inner, req->src, req->dst, req->cryptlen,
			       req->iv);
	err = crypt(&preq->inner);
	/* In the two cases that vr_paes_aead_done() sees @preq may be gone. */
	if (err != -EINPROGRESS && err != -EBUSY)
		vr_keyed_leave(&ctx->keyed, kek);
	return err;
}

static int vr_paes_aead_encrypt(struct aead_request *req)
{
	return aead_crypt(req, crypto_aead_encrypt);
}

static int vr_paes_aead_decrypt(struct aead_request *req)
{
	return aead_crypt(req, crypto_aead_decrypt);
}

static int vr_paes_aead_init_tfm(struct crypto_aead *tfm)
{
	struct vr_paes_aead_ctx *ctx = crypto_aead_ctx(tfm);
	u32 mask = CRYPTO_ALG_ALLOCATES_MEMORY;
	struct crypto_aead *inner;
	int err;

	/* The same promises as those of xts(paes); see paes.c. */
	if (!(crypto_aead_alg(tfm)->base.cra_flags & CRYPTO_ALG_ASYNC))
		mask |= CRYPTO_ALG_ASYNC;
	inner = crypto_alloc_aead("gcm(aes)", 0, mask);
	if (IS_ERR(inner))
		return PTR_ERR(inner);
	err = vr_keyed_init(&ctx->keyed, VAULTRING_USE_GCM,
			    vr_paes_aead_set_inner);
	if (err) {
		crypto_free_aead(inner);
		return err;
	}
	ctx->inner = inner;
	crypto_aead_set_reqsize(tfm, sizeof(struct vr_paes_aead_req) +
				crypto_aead_reqsize(inner));
	return 0;
}

static void vr_paes_aead_exit_tfm(struct crypto_aead *tfm)
{
	struct vr_paes_aead_ctx *ctx = crypto_aead_ctx(tfm);

	vr_keyed_exit(&ctx->keyed);
	crypto_free_aead(ctx->inner);
}

/* The rest is the inner algorithm's; see vr_paes_aead_init(). */
static struct aead_alg vr_paes_aead_alg = {
	.setkey			= vr_paes_aead_setkey,
	.setauthsize		= vr_paes_aead_setauthsize,
	.encrypt		= vr_paes_aead_encrypt,
	.decrypt		= vr_paes_aead_decrypt,
	.init			= vr_paes_aead_init_tfm,
	.exit			= vr_paes_aead_exit_tfm,
	.base.cra_name		= "gcm(paes)",
	.base.cra_driver_name	= "gcm-paes-vaultring",
	.base.cra_priority	= VR_ALG_PRIORITY,
	.base.cra_ctxsize	= sizeof(struct vr_paes_aead_ctx),
	.base.cra_module	= THIS_MODULE,
};

int vr_paes_aead_init(void)
{
	struct aead_alg *alg = &vr_paes_aead_alg;
	struct crypto_aead *inner = crypto_alloc_aead("gcm(aes)", 0, 0);

	if (IS_ERR(inner))
		return PTR_ERR(inner);
	alg->ivsize = crypto_aead_ivsize(inner);
	alg->maxauthsize = crypto_aead_maxauthsize(inner);
	alg->chunksize = crypto_aead_chunksize(inner);
	alg->base.cra_blocksize = crypto_aead_blocksize(inner);
	alg->base.cra_flags = crypto_aead_alg(inner)->base.cra_flags &
			      CRYPTO_ALG_ASYNC;
	crypto_free_aead(inner);
	return crypto_register_aead(alg);
}

void vr_paes_aead_exit(void)
{
	vr_alg_settle(&vr_paes_aead_alg.base);
	crypto_unregister_aead(&vr_paes_aead_alg);
}

MODULE_ALIAS_CRYPTO("gcm(paes)");
