// SPDX-License-Identifier: GPL-2.0-only
/*
 * A conformance suite for the transforms, in the manner of the kernel's testmgr
 */

#include <crypto/skcipher.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/scatterlist.h>

#include "tap.h"

static struct tap tap;

static int encrypt_without_key(struct crypto_skcipher *tfm)
{
	struct skcipher_request *req = skcipher_request_alloc(tfm, GFP_KERNEL);
	DECLARE_CRYPTO_WAIT(wait);
	struct scatterlist sg;
	u8 *block;
	int err;

	if (!req)
		return -ENOMEM;
	block = kzalloc(32, GFP_KERNEL);
	if (!block) {
		skcipher_request_free(req);
		return -ENOMEM;
	}
	sg_init_one(&sg, block, 16);
	skcipher_request_set_callback(req, CRYPTO_TFM_REQ_MAY_SLEEP,
				      crypto_req_done, &wait);
	skcipher_request_set_crypt(req, &sg, &sg, 16, block + 16);
	err = crypto_wait_req(crypto_skcipher_encrypt(req), &wait);
	kfree(block);
	skcipher_request_free(req);
	return err;
}

static void check_without_key(const char *alg)
{
	struct crypto_skcipher *tfm = crypto_alloc_skcipher(alg, 0, 0);
	int err;

	if (IS_ERR(tfm)) {
		tap_ok(&tap, false, "%s can be had (%ld)", alg, PTR_ERR(tfm));
		return;
	}
	err = encrypt_without_key(tfm);
	tap_ok(&tap, err == -ENOKEY,
	       "%s without a key encrypts nothing and says ENOKEY", alg);
	crypto_free_skcipher(tfm);
}

static int __init conform_init(void)
{
	int err = tap_open(&tap, KBUILD_MODNAME);

	if (err)
		return err;
	check_without_key("xts(paes)");
	check_without_key("cbc(paes)");
	check_without_key("ctr(paes)");
	tap_plan(&tap);
	return 0;
}

static void __exit conform_exit(void)
{
	tap_close(&tap);
}

module_init(conform_init);
module_exit(conform_exit);
MODULE_DESCRIPTION("Conformance tests for vaultring's transforms");
MODULE_LICENSE("GPL");
