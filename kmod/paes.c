// SPDX-License-Identifier: GPL-2.0-only
/*
 * xts(paes), cbc(paes), ctr(paes): AES under a protected key
 *
 * The key that setkey() takes is a blob; "paes" is the kernel's name for that.
 * The blob's KEK is looked up with the caller's credentials and, if it is not
 * held, asked for.  From then on a request costs one reference on the KEK and
 * the inner transform: nothing is allocated and nobody is asked.
 *
 * Revoking the KEK makes each later request fail with -EKEYREVOKED.  Those in
 * flight finish; then the inner key is overwritten with a random one.
 */

#include <crypto/internal/skcipher.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sched/mm.h>

#include "vr.h"

#define VR_PAES_PRIORITY	300

/*
 * A transform.  @lock serialises changes of the key; requests do not take it.
 * @inner is keyed while @live is attached to a KEK that is not gone.
 */
struct vr_paes_ctx {
	struct vr_live live;
	struct mutex lock;		/* see above */
	struct crypto_skcipher *inner;
	unsigned int key_len;		/* of the inner key, to overwrite it */
	u8 use;				/* enum vaultring_use */
};

/* A request in flight; holds a user's reference on @kek. */
struct vr_paes_req {
	struct vr_kek *kek;
	struct skcipher_request inner;	/* has a context behind it */
};

/* No request uses the inner key any more, nor will one. */
static void vr_paes_wipe(struct vr_live *live)
{
	struct vr_paes_ctx *ctx = container_of(live, struct vr_paes_ctx, live);
	u8 key[VAULTRING_DEK_MAX];

	get_random_bytes(key, sizeof(key));
	WARN_ON(crypto_skcipher_setkey(ctx->inner, key, ctx->key_len));
	memzero_explicit(key, sizeof(key));
}

/* Forget the key there was, if any. */
static void paes_unkey(struct vr_paes_ctx *ctx)
{
	vr_live_detach(&ctx->live);
	if (ctx->key_len)
		vr_paes_wipe(&ctx->live);
	ctx->key_len = 0;
}

static int paes_rekey(struct vr_paes_ctx *ctx, struct vr_kek *kek,
		      const struct vr_secret *dek)
{
	int err;

	vr_live_detach(&ctx->live);
	ctx->key_len = dek->len;
	err = crypto_skcipher_setkey(ctx->inner, dek->data, dek->len);
	return err ?: vr_live_attach(&ctx->live, kek);
}

static int paes_setkey(struct vr_paes_ctx *ctx, const u8 *key, unsigned int len)
{
	const struct vaultring_blob *blob = vr_blob_check(key, len, ctx->use);
	struct vr_secret dek;
	struct vr_kek *kek;
	int err;

	if (IS_ERR(blob))
		return PTR_ERR(blob);
	kek = vr_kek_request_id(blob->kek_id);
	if (IS_ERR(kek))
		return PTR_ERR(kek);
	err = vr_blob_open(kek, blob, &dek);
	if (!err) {
		mutex_lock(&ctx->lock);
		err = paes_rekey(ctx, kek, &dek);
		mutex_unlock(&ctx->lock);
	}
	vr_secret_wipe(&dek);
	vr_kek_put(kek);
	return err;
}

/*
 * -EINVAL: not a blob; -EOPNOTSUPP: for another use; -ENOKEY, -EAGAIN,
 * -EACCES: no KEK for this caller; -EKEYREJECTED: forged or corrupt;
 * -EKEYREVOKED, -EKEYEXPIRED: the KEK is over.  May sleep for the daemon.
 * After an error there is no key: the old one has been wiped.
 */
static int vr_paes_setkey(struct crypto_skcipher *tfm, const u8 *key,
			  unsigned int len)
{
	struct vr_paes_ctx *ctx = crypto_skcipher_ctx(tfm);
	unsigned int noio;
	int err;

	/* It can run for a suspended device: no memory must wait for I/O. */
	noio = memalloc_noio_save();
	err = paes_setkey(ctx, key, len);
	if (err) {
		mutex_lock(&ctx->lock);
		paes_unkey(ctx);
		mutex_unlock(&ctx->lock);
	}
	memalloc_noio_restore(noio);
	return err;
}

/* A user's reference on the transform's KEK. */
static struct vr_kek *paes_enter(struct vr_paes_ctx *ctx)
{
	struct vr_kek *kek;
	int err = -ENOKEY;

	rcu_read_lock();
	kek = rcu_dereference(ctx->live.kek);
	if (kek)
		err = vr_kek_enter(kek);
	rcu_read_unlock();
	return err ? ERR_PTR(err) : kek;
}

static void vr_paes_done(vr_completion_t data, int err)
{
	struct skcipher_request *req = vr_completion_data(data);
	struct vr_paes_req *preq = skcipher_request_ctx(req);

	/* -EINPROGRESS: it left the backlog and is still to be done. */
	if (err != -EINPROGRESS)
		vr_kek_leave(preq->kek);
	skcipher_request_complete(req, err);
}

static int paes_crypt(struct skcipher_request *req,
		      int (*crypt)(struct skcipher_request *inner))
{
	struct crypto_skcipher *tfm = crypto_skcipher_reqtfm(req);
	struct vr_paes_ctx *ctx = crypto_skcipher_ctx(tfm);
	struct vr_paes_req *preq = skcipher_request_ctx(req);
	struct vr_kek *kek = paes_enter(ctx);
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
		vr_kek_leave(kek);
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
	mutex_init(&ctx->lock);
	RCU_INIT_POINTER(ctx->live.kek, NULL);
	ctx->live.wipe = vr_paes_wipe;
	ctx->inner = inner;
	ctx->use = vr_paes_modes[mode].use;
	crypto_skcipher_set_reqsize(tfm, sizeof(struct vr_paes_req) +
				    crypto_skcipher_reqsize(inner));
	return 0;
}

static void vr_paes_exit_tfm(struct crypto_skcipher *tfm)
{
	struct vr_paes_ctx *ctx = crypto_skcipher_ctx(tfm);

	vr_live_detach(&ctx->live);
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
		.base.cra_priority	= VR_PAES_PRIORITY,
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

int vr_paes_init(void)
{
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(vr_paes_modes); i++) {
		err = paes_fill(i);
		if (err)
			return err;
	}
	return crypto_register_skciphers(vr_paes_algs,
					 ARRAY_SIZE(vr_paes_algs));
}

void vr_paes_exit(void)
{
	crypto_unregister_skciphers(vr_paes_algs, ARRAY_SIZE(vr_paes_algs));
}

MODULE_ALIAS_CRYPTO("xts(paes)");
MODULE_ALIAS_CRYPTO("cbc(paes)");
MODULE_ALIAS_CRYPTO("ctr(paes)");
