// SPDX-License-Identifier: GPL-2.0-only
/* skciphers and AEADs behind one interface: a skcipher has no AD and no tag. */

#include <linux/err.h>
#include <linux/slab.h>

#include "conform.h"

int cipher_open(struct cipher *c, bool aead, const char *alg, u32 mask)
{
	c->aead = aead;
	if (aead)
		c->ae = crypto_alloc_aead(alg, 0, mask);
	else
		c->sk = crypto_alloc_skcipher(alg, 0, mask);
	if (!IS_ERR(c->sk))
		return 0;
	mask = PTR_ERR(c->sk);
	c->sk = NULL;
	return mask;
}

void cipher_close(struct cipher *c)
{
	if (c->aead)
		crypto_free_aead(c->ae);
	else
		crypto_free_skcipher(c->sk);
	c->sk = NULL;
}

int cipher_setkey(const struct cipher *c, const u8 *key, unsigned int len)
{
	return c->aead ? crypto_aead_setkey(c->ae, key, len) :
			 crypto_skcipher_setkey(c->sk, key, len);
}

int cipher_set_tag(const struct cipher *c, unsigned int len)
{
	return c->aead ? crypto_aead_setauthsize(c->ae, len) : 0;
}

unsigned int cipher_request_size(const struct cipher *c)
{
	return c->aead ?
	       sizeof(struct aead_request) + crypto_aead_reqsize(c->ae) :
	       sizeof(struct skcipher_request) + crypto_skcipher_reqsize(c->sk);
}

void cipher_prepare(const struct cipher *c, void *request, u32 flags,
		    crypto_completion_t done, void *data,
		    struct scatterlist *src, struct scatterlist *dst,
		    unsigned int assoc, unsigned int len, u8 *iv)
{
	if (c->aead) {
		aead_request_set_tfm(request, c->ae);
		aead_request_set_callback(request, flags, done, data);
		aead_request_set_crypt(request, src, dst, len, iv);
		aead_request_set_ad(request, assoc);
	} else {
		skcipher_request_set_tfm(request, c->sk);
		skcipher_request_set_callback(request, flags, done, data);
		skcipher_request_set_crypt(request, src, dst, len, iv);
	}
}

int cipher_crypt(const struct cipher *c, void *request, bool decrypt)
{
	if (c->aead)
		return decrypt ? crypto_aead_decrypt(request) :
				 crypto_aead_encrypt(request);
	return decrypt ? crypto_skcipher_decrypt(request) :
			 crypto_skcipher_encrypt(request);
}

/* In place and in one piece: what nobody gets wrong. */
int cipher_once(const struct cipher *c, u8 *data, unsigned int assoc,
		unsigned int len, u8 *iv, bool decrypt)
{
	void *request = kzalloc(cipher_request_size(c), GFP_KERNEL);
	unsigned int tag = c->aead ? crypto_aead_authsize(c->ae) : 0;
	DECLARE_CRYPTO_WAIT(wait);
	struct scatterlist sg;
	int err;

	if (!request)
		return -ENOMEM;
	sg_init_one(&sg, data, max(assoc + len + (decrypt ? 0 : tag), 1U));
	cipher_prepare(c, request, CRYPTO_TFM_REQ_MAY_SLEEP |
		       CRYPTO_TFM_REQ_MAY_BACKLOG, crypto_req_done, &wait, &sg,
		       &sg, assoc, len, iv);
	err = crypto_wait_req(cipher_crypt(c, request, decrypt), &wait);
	kfree_sensitive(request);
	return err;
}
