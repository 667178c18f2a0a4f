// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slow, asynchronous AES: xts(aes), cbc(aes), ctr(aes) and gcm(aes)
 *
 * Registered with the highest priority before the product is loaded, these are
 * what it then has inside.  Each computes in a workqueue what the kernel's own
 * does at once.  A gate keeps as many requests in flight as a test asks for, for
 * as long as it needs, and each third request that allows it goes through a
 * backlog.
 */

#include <crypto/internal/aead.h>
#include <crypto/internal/skcipher.h>
#include <linux/err.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "conform.h"

#define PRIORITY 20000

struct inner_state inner;

static DEFINE_SPINLOCK(gate_lock);	/* the two below */
static LIST_HEAD(gate_queue);
static unsigned int gate_places;

/* @busy: requests in flight. */
struct inner_ctx {
	struct cipher real;
	atomic_t busy;
};

/* Part of a request's context, with the real cipher's request behind it. */
struct inner_request {
	struct list_head list;		/* gate_lock */
	struct work_struct work;
	struct crypto_async_request *base;
	struct inner_ctx *ctx;
	bool decrypt, backlogged;
	u8 real[] CRYPTO_MINALIGN_ATTR;
};

static void finish(struct inner_request *r, int err)
{
	struct crypto_async_request *base = r->base;

	atomic_dec(&r->ctx->busy);
	/* As from an interrupt; @r may be gone with it. */
	local_bh_disable();
	crypto_request_complete(base, err);
	local_bh_enable();
}

static void work(struct work_struct *work)
{
	struct inner_request *r = container_of(work, struct inner_request, work);

	if (r->backlogged) {
		local_bh_disable();
		crypto_request_complete(r->base, -EINPROGRESS);
		local_bh_enable();
	}
	finish(r, cipher_crypt(&r->ctx->real, r->real, r->decrypt));
}

static int submit(struct inner_request *r, struct inner_ctx *ctx,
		  struct crypto_async_request *base, bool decrypt)
{
	const unsigned int n = atomic_inc_return(&inner.requests);
	const bool backlog = base->flags & CRYPTO_TFM_REQ_MAY_BACKLOG && !(n % 3);

	WRITE_ONCE(inner.last_flags, base->flags);
	atomic_inc(&ctx->busy);
	INIT_WORK(&r->work, work);
	r->base = base;
	r->ctx = ctx;
	r->decrypt = decrypt;
	r->backlogged = backlog;
	spin_lock_bh(&gate_lock);
	if (gate_places) {
		gate_places--;
		list_add(&r->list, &gate_queue);	/* let go in reverse */
		atomic_inc(&inner.held);
	} else {
		queue_work(system_unbound_wq, &r->work);
	}
	spin_unlock_bh(&gate_lock);
	/* @r may be gone. */
	return backlog ? -EBUSY : -EINPROGRESS;
}

/* The next @n requests stay in flight; others go on. */
void inner_hold(unsigned int n)
{
	spin_lock_bh(&gate_lock);
	gate_places = n;
	spin_unlock_bh(&gate_lock);
}

void inner_release(void)
{
	struct inner_request *r, *next;

	spin_lock_bh(&gate_lock);
	gate_places = 0;
	list_for_each_entry_safe(r, next, &gate_queue, list) {
		list_del(&r->list);
		atomic_dec(&inner.held);
		queue_work(system_unbound_wq, &r->work);
	}
	spin_unlock_bh(&gate_lock);
}

static int set_key(struct inner_ctx *ctx, const u8 *key, unsigned int len)
{
	atomic_inc(&inner.keys);
	if (atomic_read(&ctx->busy))
		atomic_inc(&inner.early_keys);
	return cipher_setkey(&ctx->real, key, len);
}

/*
 * skciphers
 */

static int sk_setkey(struct crypto_skcipher *tfm, const u8 *key,
		     unsigned int len)
{
	return set_key(crypto_skcipher_ctx(tfm), key, len);
}

static int sk_crypt(struct skcipher_request *req, bool decrypt)
{
	struct crypto_skcipher *tfm = crypto_skcipher_reqtfm(req);
	struct inner_request *r = skcipher_request_ctx(req);
	struct inner_ctx *ctx = crypto_skcipher_ctx(tfm);

	cipher_prepare(&ctx->real, r->real, 0, NULL, NULL, req->src, req->dst,
		       0, req->cryptlen, req->iv);
	return submit(r, ctx, &req->base, decrypt);
}

static int sk_encrypt(struct skcipher_request *req)
{
	return sk_crypt(req, false);
}

static int sk_decrypt(struct skcipher_request *req)
{
	return sk_crypt(req, true);
}

static struct {
	const char *name, *driver;
	char real[CRYPTO_MAX_ALG_NAME];
	struct skcipher_alg alg;
} sk_algs[] = {
	{ "xts(aes)", "xts-aes-conform" },
	{ "cbc(aes)", "cbc-aes-conform" },
	{ "ctr(aes)", "ctr-aes-conform" },
};

static int sk_init(struct crypto_skcipher *tfm)
{
	struct inner_ctx *ctx = crypto_skcipher_ctx(tfm);
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(sk_algs); i++)
		if (crypto_skcipher_alg(tfm) == &sk_algs[i].alg)
			break;
	err = cipher_open(&ctx->real, false, sk_algs[i].real, 0);
	if (err)
		return err;
	atomic_set(&ctx->busy, 0);
	crypto_skcipher_set_reqsize(tfm, sizeof(struct inner_request) +
				    cipher_request_size(&ctx->real));
	return 0;
}

static void sk_exit(struct crypto_skcipher *tfm)
{
	struct inner_ctx *ctx = crypto_skcipher_ctx(tfm);

	cipher_close(&ctx->real);
}

static int sk_register(unsigned int i)
{
	struct skcipher_alg *alg = &sk_algs[i].alg;
	struct crypto_skcipher *real;
	int err;

	real = crypto_alloc_skcipher(sk_algs[i].name, 0, CRYPTO_ALG_ASYNC);
	if (IS_ERR(real))
		return PTR_ERR(real);
	strscpy(sk_algs[i].real, crypto_skcipher_driver_name(real),
		sizeof(sk_algs[i].real));
	*alg = (struct skcipher_alg) {
		.setkey			= sk_setkey,
		.encrypt		= sk_encrypt,
		.decrypt		= sk_decrypt,
		.init			= sk_init,
		.exit			= sk_exit,
		.min_keysize		= crypto_skcipher_min_keysize(real),
		.max_keysize		= crypto_skcipher_max_keysize(real),
		.ivsize			= crypto_skcipher_ivsize(real),
		.chunksize		= crypto_skcipher_chunksize(real),
		.base.cra_blocksize	= crypto_skcipher_blocksize(real),
		.base.cra_priority	= PRIORITY,
		.base.cra_flags		= CRYPTO_ALG_ASYNC,
		.base.cra_ctxsize	= sizeof(struct inner_ctx),
		.base.cra_module	= THIS_MODULE,
	};
	strscpy(alg->base.cra_name, sk_algs[i].name, CRYPTO_MAX_ALG_NAME);
	strscpy(alg->base.cra_driver_name, sk_algs[i].driver,
		CRYPTO_MAX_ALG_NAME);
	crypto_free_skcipher(real);
	err = crypto_register_skcipher(alg);
	return err;
}

/*
 * The AEAD
 */

static char gcm_real[CRYPTO_MAX_ALG_NAME];

static int gcm_setkey(struct crypto_aead *tfm, const u8 *key, unsigned int len)
{
	return set_key(crypto_aead_ctx(tfm), key, len);
}

static int gcm_setauthsize(struct crypto_aead *tfm, unsigned int len)
{
	struct inner_ctx *ctx = crypto_aead_ctx(tfm);

	return cipher_set_tag(&ctx->real, len);
}

static int gcm_crypt(struct aead_request *req, bool decrypt)
{
	struct crypto_aead *tfm = crypto_aead_reqtfm(req);
	struct inner_request *r = aead_request_ctx(req);
	struct inner_ctx *ctx = crypto_aead_ctx(tfm);

	cipher_prepare(&ctx->real, r->real, 0, NULL, NULL, req->src, req->dst,
		       req->assoclen, req->cryptlen, req->iv);
	return submit(r, ctx, &req->base, decrypt);
}

static int gcm_encrypt(struct aead_request *req)
{
	return gcm_crypt(req, false);
}

static int gcm_decrypt(struct aead_request *req)
{
	return gcm_crypt(req, true);
}

static int gcm_init(struct crypto_aead *tfm)
{
	struct inner_ctx *ctx = crypto_aead_ctx(tfm);
	int err;

	err = cipher_open(&ctx->real, true, gcm_real, 0);
	if (err)
		return err;
	atomic_set(&ctx->busy, 0);
	crypto_aead_set_reqsize(tfm, sizeof(struct inner_request) +
				cipher_request_size(&ctx->real));
	return 0;
}

static void gcm_exit(struct crypto_aead *tfm)
{
	struct inner_ctx *ctx = crypto_aead_ctx(tfm);

	cipher_close(&ctx->real);
}

static struct aead_alg gcm_alg = {
	.setkey			= gcm_setkey,
	.setauthsize		= gcm_setauthsize,
	.encrypt		= gcm_encrypt,
	.decrypt		= gcm_decrypt,
	.init			= gcm_init,
	.exit			= gcm_exit,
	.ivsize			= 12,
	.maxauthsize		= 16,
	.chunksize		= 16,
	.base.cra_name		= "gcm(aes)",
	.base.cra_driver_name	= "gcm-aes-conform",
	.base.cra_blocksize	= 1,
	.base.cra_priority	= PRIORITY,
	.base.cra_flags		= CRYPTO_ALG_ASYNC,
	.base.cra_ctxsize	= sizeof(struct inner_ctx),
	.base.cra_module	= THIS_MODULE,
};

static int gcm_register(void)
{
	struct crypto_aead *real;

	real = crypto_alloc_aead("gcm(aes)", 0, CRYPTO_ALG_ASYNC);
	if (IS_ERR(real))
		return PTR_ERR(real);
	strscpy(gcm_real, crypto_aead_driver_name(real), sizeof(gcm_real));
	crypto_free_aead(real);
	return crypto_register_aead(&gcm_alg);
}

int inner_register(void)
{
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(sk_algs); i++) {
		err = sk_register(i);
		if (err)
			goto err_unregister;
	}
	err = gcm_register();
	if (err)
		goto err_unregister;
	return 0;

err_unregister:
	while (i--)
		crypto_unregister_skcipher(&sk_algs[i].alg);
	return err;
}

void inner_unregister(void)
{
	unsigned int i;

	crypto_unregister_aead(&gcm_alg);
	for (i = 0; i < ARRAY_SIZE(sk_algs); i++)
		crypto_unregister_skcipher(&sk_algs[i].alg);
}
