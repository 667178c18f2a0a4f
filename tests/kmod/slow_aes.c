// SPDX-License-Identifier: GPL-2.0-only
/*
 * xts(aes), cbc(aes), ctr(aes) that take their time
 *
 * Each request is done by a worker, some random while later, as by a device
 * with a long queue.  Loaded before the product, which then builds on it, so
 * that a revoke finds hundreds of requests inside the cipher: a key that is
 * overwritten too early shows in what they write.
 */

#include <crypto/internal/skcipher.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/workqueue.h>

#define SLOW_PRIORITY	10000

static unsigned int delay_ms;
module_param(delay_ms, uint, 0644);
MODULE_PARM_DESC(delay_ms, "at most so long does a request wait");

static struct workqueue_struct *slow_wq;

static const char * const slow_names[] = { "xts(aes)", "cbc(aes)", "ctr(aes)" };
static struct skcipher_alg slow_algs[ARRAY_SIZE(slow_names)];
/* What does the work. */
static char slow_inner[ARRAY_SIZE(slow_names)][CRYPTO_MAX_ALG_NAME];

struct slow_ctx {
	struct crypto_skcipher *inner;
};

struct slow_req {
	struct delayed_work work;
	struct skcipher_request *req;
	bool encrypt;
	struct skcipher_request inner;	/* has a context behind it */
};

static int slow_setkey(struct crypto_skcipher *tfm, const u8 *key,
		       unsigned int len)
{
	struct slow_ctx *ctx = crypto_skcipher_ctx(tfm);

	return crypto_skcipher_setkey(ctx->inner, key, len);
}

static void slow_work(struct work_struct *work)
{
	struct slow_req *sreq = container_of(to_delayed_work(work),
					     struct slow_req, work);
	struct skcipher_request *req = sreq->req;
	struct slow_ctx *ctx = crypto_skcipher_ctx(crypto_skcipher_reqtfm(req));
	int err;

	skcipher_request_set_tfm(&sreq->inner, ctx->inner);
	skcipher_request_set_callback(&sreq->inner, 0, NULL, NULL);
	skcipher_request_set_crypt(&sreq->inner, req->src, req->dst,
				   req->cryptlen, req->iv);
	err = sreq->encrypt ? crypto_skcipher_encrypt(&sreq->inner) :
	      crypto_skcipher_decrypt(&sreq->inner);
	local_bh_disable();
	skcipher_request_complete(req, err);
	local_bh_enable();
}

static int slow_crypt(struct skcipher_request *req, bool encrypt)
{
	struct slow_req *sreq = skcipher_request_ctx(req);
	unsigned int ms = get_random_u32() % (READ_ONCE(delay_ms) + 1);

	INIT_DELAYED_WORK(&sreq->work, slow_work);
	sreq->req = req;
	sreq->encrypt = encrypt;
	queue_delayed_work(slow_wq, &sreq->work, msecs_to_jiffies(ms));
	return -EINPROGRESS;
}

static int slow_encrypt(struct skcipher_request *req)
{
	return slow_crypt(req, true);
}

static int slow_decrypt(struct skcipher_request *req)
{
	return slow_crypt(req, false);
}

static int slow_init_tfm(struct crypto_skcipher *tfm)
{
	size_t i = crypto_skcipher_alg(tfm) - slow_algs;
	struct slow_ctx *ctx = crypto_skcipher_ctx(tfm);

	ctx->inner = crypto_alloc_skcipher(slow_inner[i], 0, CRYPTO_ALG_ASYNC);
	if (IS_ERR(ctx->inner))
		return PTR_ERR(ctx->inner);
	crypto_skcipher_set_reqsize(tfm, sizeof(struct slow_req) +
				    crypto_skcipher_reqsize(ctx->inner));
	return 0;
}

static void slow_exit_tfm(struct crypto_skcipher *tfm)
{
	struct slow_ctx *ctx = crypto_skcipher_ctx(tfm);

	crypto_free_skcipher(ctx->inner);
}

static int slow_fill(size_t i)
{
	struct skcipher_alg *alg = &slow_algs[i];
	struct crypto_skcipher *inner;

	inner = crypto_alloc_skcipher(slow_names[i], 0, CRYPTO_ALG_ASYNC);
	if (IS_ERR(inner))
		return PTR_ERR(inner);
	strscpy(slow_inner[i],
		crypto_tfm_alg_driver_name(crypto_skcipher_tfm(inner)),
		sizeof(slow_inner[i]));
	*alg = (struct skcipher_alg) {
		.setkey			= slow_setkey,
		.encrypt		= slow_encrypt,
		.decrypt		= slow_decrypt,
		.init			= slow_init_tfm,
		.exit			= slow_exit_tfm,
		.min_keysize		= crypto_skcipher_min_keysize(inner),
		.max_keysize		= crypto_skcipher_max_keysize(inner),
		.ivsize			= crypto_skcipher_ivsize(inner),
		.chunksize		= crypto_skcipher_chunksize(inner),
		.base.cra_priority	= SLOW_PRIORITY,
		.base.cra_flags		= CRYPTO_ALG_ASYNC,
		.base.cra_blocksize	= crypto_skcipher_blocksize(inner),
		.base.cra_ctxsize	= sizeof(struct slow_ctx),
		.base.cra_module	= THIS_MODULE,
	};
	strscpy(alg->base.cra_name, slow_names[i], sizeof(alg->base.cra_name));
	snprintf(alg->base.cra_driver_name, sizeof(alg->base.cra_driver_name),
		 "slow-%.3s-aes", slow_names[i]);
	crypto_free_skcipher(inner);
	return 0;
}

static int __init slow_init(void)
{
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(slow_algs); i++) {
		err = slow_fill(i);
		if (err)
			return err;
	}
	slow_wq = alloc_workqueue("slow_aes", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!slow_wq)
		return -ENOMEM;
	err = crypto_register_skciphers(slow_algs, ARRAY_SIZE(slow_algs));
	if (err)
		destroy_workqueue(slow_wq);
	return err;
}

static void __exit slow_exit(void)
{
	crypto_unregister_skciphers(slow_algs, ARRAY_SIZE(slow_algs));
	destroy_workqueue(slow_wq);
}

module_init(slow_init);
module_exit(slow_exit);
MODULE_DESCRIPTION("AES modes with a long queue, for tests");
MODULE_LICENSE("GPL");
