// SPDX-License-Identifier: GPL-2.0-only
/*
 * phmac(sha256): HMAC-SHA256 (RFC 2104) under a protected key
 *
 * The key that setkey() takes is a blob of use hmac; "phmac" is the kernel's
 * name for that.  authenc() makes of it and xts(paes) what dm-crypt needs for
 * authenticated sectors, and dm-integrity takes it as its internal hash.  What
 * is common to keyed transforms is in keyed.c.
 *
 * It is an shash: authenc() and AF_ALG take one as an ahash, while
 * dm-integrity of older kernels takes nothing else.  So each step is one
 * request, which enters the KEK and leaves it again.  Between two steps only
 * the hash's state is left, in the user's descriptor.  That depends on the key
 * and does not give it away, nor any MAC: the last step needs the inner key.
 * Hence it may be exported; it is wiped with the last step or the first one
 * that fails.
 */

#include <crypto/internal/hash.h>
#include <linux/err.h>
#include <linux/module.h>

#include "vr.h"

/* A transform; owns @inner. */
struct vr_phmac_ctx {
	struct vr_keyed keyed;
	struct crypto_shash *inner;
};

/*
 * A MAC in the making, in the user's descriptor.  @kek is set within a step
 * alone, which then holds a user's reference on it.
 */
struct vr_phmac_desc {
	struct vr_kek *kek;
	struct shash_desc inner;	/* has a context behind it */
};

/*
 * The inner algorithm by its driver's name, so that each transform's state has
 * the size that was registered.
 */
static char vr_phmac_inner[CRYPTO_MAX_ALG_NAME];

static int vr_phmac_set_inner(struct vr_keyed *keyed, const u8 *key,
			      unsigned int len)
{
	struct vr_phmac_ctx *ctx = container_of(keyed, struct vr_phmac_ctx,
						keyed);

	return crypto_shash_setkey(ctx->inner, key, len);
}

static int vr_phmac_setkey(struct crypto_shash *tfm, const u8 *key,
			   unsigned int len)
{
	struct vr_phmac_ctx *ctx = crypto_shash_ctx(tfm);

	return vr_keyed_setkey(&ctx->keyed, key, len);
}

/* Begin a step; since the one before, the descriptor may have been moved. */
static int phmac_begin(struct shash_desc *desc)
{
	struct vr_phmac_ctx *ctx = crypto_shash_ctx(desc->tfm);
	struct vr_phmac_desc *pdesc = shash_desc_ctx(desc);
	struct vr_kek *kek;

	pdesc->inner.tfm = ctx->inner;
	pdesc->kek = NULL;
	kek = vr_keyed_enter(&ctx->keyed);
	if (IS_ERR(kek))
		return PTR_ERR(kek);
	pdesc->kek = kek;
	return 0;
}

/* End a step; if it is the last one or failed, no state is left. */
static int phmac_end(struct shash_desc *desc, int err, bool last)
{
	struct vr_phmac_ctx *ctx = crypto_shash_ctx(desc->tfm);
	struct vr_phmac_desc *pdesc = shash_desc_ctx(desc);

	if (last || err)
		memzero_explicit(shash_desc_ctx(&pdesc->inner),
				 crypto_shash_descsize(pdesc->inner.tfm));
	if (pdesc->kek)
		vr_keyed_leave(&ctx->keyed, pdesc->kek);
	return err;
}

static struct shash_desc *inner_of(struct shash_desc *desc)
{
	struct vr_phmac_desc *pdesc = shash_desc_ctx(desc);

	return &pdesc->inner;
}

static int vr_phmac_init_desc(struct shash_desc *desc)
{
	int err = phmac_begin(desc) ?: crypto_shash_init(inner_of(desc));

	return phmac_end(desc, err, false);
}

static int vr_phmac_update(struct shash_desc *desc, const u8 *data,
			   unsigned int len)
{
	int err = phmac_begin(desc) ?:
		  crypto_shash_update(inner_of(desc), data, len);

	return phmac_end(desc, err, false);
}

static int vr_phmac_final(struct shash_desc *desc, u8 *out)
{
	int err = phmac_begin(desc) ?: crypto_shash_final(inner_of(desc), out);

	return phmac_end(desc, err, true);
}

static int vr_phmac_finup(struct shash_desc *desc, const u8 *data,
			  unsigned int len, u8 *out)
{
	int err = phmac_begin(desc) ?:
		  crypto_shash_finup(inner_of(desc), data, len, out);

	return phmac_end(desc, err, true);
}

static int vr_phmac_digest(struct shash_desc *desc, const u8 *data,
			   unsigned int len, u8 *out)
{
	int err = phmac_begin(desc) ?:
		  crypto_shash_digest(inner_of(desc), data, len, out);

	return phmac_end(desc, err, true);
}

static int vr_phmac_export(struct shash_desc *desc, void *out)
{
	int err = phmac_begin(desc) ?: crypto_shash_export(inner_of(desc), out);

	return phmac_end(desc, err, false);
}

static int vr_phmac_import(struct shash_desc *desc, const void *in)
{
	int err = phmac_begin(desc) ?: crypto_shash_import(inner_of(desc), in);

	return phmac_end(desc, err, false);
}

static int vr_phmac_init_tfm(struct crypto_shash *tfm)
{
	struct vr_phmac_ctx *ctx = crypto_shash_ctx(tfm);
	struct crypto_shash *inner;
	int err;

	inner = crypto_alloc_shash(vr_phmac_inner, 0,
				   CRYPTO_ALG_ALLOCATES_MEMORY);
	if (IS_ERR(inner))
		return PTR_ERR(inner);
	err = vr_keyed_init(&ctx->keyed, VAULTRING_USE_HMAC,
			    vr_phmac_set_inner);
	if (err) {
		crypto_free_shash(inner);
		return err;
	}
	ctx->inner = inner;
	return 0;
}

static void vr_phmac_exit_tfm(struct crypto_shash *tfm)
{
	struct vr_phmac_ctx *ctx = crypto_shash_ctx(tfm);

	vr_keyed_exit(&ctx->keyed);
	crypto_free_shash(ctx->inner);
}

/* The sizes are the inner algorithm's; see vr_phmac_init(). */
static struct shash_alg vr_phmac_alg = {
	.setkey			= vr_phmac_setkey,
	.init			= vr_phmac_init_desc,
	.update			= vr_phmac_update,
	.final			= vr_phmac_final,
	.finup			= vr_phmac_finup,
	.digest			= vr_phmac_digest,
	.export			= vr_phmac_export,
	.import			= vr_phmac_import,
	.init_tfm		= vr_phmac_init_tfm,
	.exit_tfm		= vr_phmac_exit_tfm,
	.base.cra_name		= "phmac(sha256)",
	.base.cra_driver_name	= "phmac-sha256-vaultring",
	.base.cra_priority	= VR_ALG_PRIORITY,
	.base.cra_ctxsize	= sizeof(struct vr_phmac_ctx),
	.base.cra_module	= THIS_MODULE,
};

int vr_phmac_init(void)
{
	struct shash_alg *alg = &vr_phmac_alg;
	struct crypto_shash *inner;

	inner = crypto_alloc_shash("hmac(sha256)", 0,
				   CRYPTO_ALG_ALLOCATES_MEMORY);
	if (IS_ERR(inner))
		return PTR_ERR(inner);
	strscpy(vr_phmac_inner,
		crypto_tfm_alg_driver_name(crypto_shash_tfm(inner)),
		sizeof(vr_phmac_inner));
	alg->digestsize = crypto_shash_digestsize(inner);
	alg->statesize = crypto_shash_statesize(inner);
	alg->descsize = sizeof(struct vr_phmac_desc) +
			crypto_shash_descsize(inner);
	alg->base.cra_blocksize = crypto_shash_blocksize(inner);
	crypto_free_shash(inner);
	return crypto_register_shash(alg);
}

void vr_phmac_exit(void)
{
	vr_alg_settle(&vr_phmac_alg.base);
	crypto_unregister_shash(&vr_phmac_alg);
}

MODULE_ALIAS_CRYPTO("phmac(sha256)");
