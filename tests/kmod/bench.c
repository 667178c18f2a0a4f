// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a request and a blob cost, beside what the kernel's own ciphers take
 *
 * Userspace gives a blob of use xts, whose KEK is its own to use, by lines in
 * /sys/kernel/debug/bench/command:
 *
 *	requests ROUNDS COUNT HEX	to xts(paes) and to xts(aes), of two sizes
 *	blobs ROUNDS COUNT HEX		setkey of xts(paes), and gcm(aes) of the
 *					size of what a blob wraps
 *
 * and reads what tests/bench/report.py reads in /sys/kernel/debug/bench/tap: the
 * median of a round's COUNT, in ticks of the processor's counter.  In a guest of
 * scripts/vm --count these are instructions.
 */

#include <crypto/aead.h>
#include <crypto/skcipher.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/timex.h>
#include <linux/uaccess.h>
#include <linux/vaultring_format.h>

#include "tap.h"

#define COMMAND_MAX	512
#define COUNT_MAX	10000
#define AAD		offsetof(struct vaultring_blob, ciphertext)
#define WRAPPED		(VAULTRING_DEK_MAX + VAULTRING_TAG_SIZE)

static struct tap bench_tap;
static DEFINE_MUTEX(command_lock);	/* one command at a time */

/* What a command works with; each array has room for @count. */
struct bench {
	unsigned int rounds, count;
	u8 blob[VAULTRING_BLOB_SIZE];
	u64 *ours, *theirs, *fresh;
};

static int compare(const void *a, const void *b)
{
	const u64 *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void put_median(const struct bench *b, const char *metric,
		       const char *side, u64 *ticks)
{
	sort(ticks, b->count, sizeof(*ticks), compare, NULL);
	tap_text(&bench_tap, "bench sample %s %s %llu", metric, side,
		 ticks[b->count / 2]);
}

/*
 * Requests
 */

struct subject {
	struct crypto_skcipher *tfm;
	struct skcipher_request *req;
};

static void subject_close(struct subject *s)
{
	if (IS_ERR_OR_NULL(s->tfm))
		return;
	skcipher_request_free(s->req);
	crypto_free_skcipher(s->tfm);
}

/* As dm-crypt asks for it. */
static int subject_open(struct subject *s, const char *alg, const u8 *key,
			unsigned int len)
{
	s->req = NULL;
	s->tfm = crypto_alloc_skcipher(alg, 0, CRYPTO_ALG_ALLOCATES_MEMORY);
	if (IS_ERR(s->tfm))
		return PTR_ERR(s->tfm);
	s->req = skcipher_request_alloc(s->tfm, GFP_KERNEL);
	if (!s->req)
		return -ENOMEM;
	return crypto_skcipher_setkey(s->tfm, key, len);
}

/* One that is not done when the call returns says nothing, and is an error. */
static int encrypt_once(struct subject *s, u8 *buf, unsigned int len, u64 *ticks)
{
	DECLARE_CRYPTO_WAIT(wait);
	struct scatterlist sg;
	u8 iv[16] = {};
	u64 start;
	int err;

	sg_init_one(&sg, buf, len);
	skcipher_request_set_callback(s->req, CRYPTO_TFM_REQ_MAY_BACKLOG,
				      crypto_req_done, &wait);
	skcipher_request_set_crypt(s->req, &sg, &sg, len, iv);
	start = get_cycles();
	err = crypto_skcipher_encrypt(s->req);
	*ticks = get_cycles() - start;
	if (err != -EINPROGRESS && err != -EBUSY)
		return err;
	crypto_wait_req(err, &wait);
	return -EOPNOTSUPP;
}

static int requests_of(struct bench *b, struct subject *ours,
		       struct subject *theirs, u8 *buf, unsigned int len)
{
	unsigned int round, i;
	char metric[32];
	int err = 0;

	snprintf(metric, sizeof(metric), "request.%u", len);
	for (round = 0; round < b->rounds; round++) {
		for (i = 0; i < b->count && !err; i++)
			err = encrypt_once(theirs, buf, len, &b->theirs[i]) ?:
			      encrypt_once(ours, buf, len, &b->ours[i]);
		if (err)
			return err;
		put_median(b, metric, "paes", b->ours);
		put_median(b, metric, "aes", b->theirs);
	}
	return 0;
}

static int run_requests(struct bench *b)
{
	struct subject ours = {}, theirs = {};
	u8 *buf = kzalloc(PAGE_SIZE, GFP_KERNEL);
	u8 key[VAULTRING_DEK_MAX];
	int err;

	if (!buf)
		return -ENOMEM;
	get_random_bytes(key, sizeof(key));
	err = subject_open(&ours, "xts(paes)", b->blob, sizeof(b->blob)) ?:
	      subject_open(&theirs, "xts(aes)", key, sizeof(key)) ?:
	      requests_of(b, &ours, &theirs, buf, 512) ?:
	      requests_of(b, &ours, &theirs, buf, PAGE_SIZE);
	if (!err)
		tap_text(&bench_tap, "bench note requests: %s, inside of it %s",
			 crypto_skcipher_driver_name(ours.tfm),
			 crypto_skcipher_driver_name(theirs.tfm));
	subject_close(&ours);
	subject_close(&theirs);
	kfree(buf);
	return err;
}

/*
 * Blobs
 */

/* A wrapped key of a blob's size: its key, and what it was before it was opened. */
struct wrapped {
	u8 key[32];
	u8 sealed[AAD + WRAPPED], work[AAD + WRAPPED];
};

static int gcm_crypt(struct crypto_aead *tfm, struct aead_request *req,
		     u8 *data, bool seal)
{
	DECLARE_CRYPTO_WAIT(wait);
	u8 iv[VAULTRING_NONCE_SIZE] = {};
	struct scatterlist sg;

	sg_init_one(&sg, data, AAD + WRAPPED);
	aead_request_set_callback(req, CRYPTO_TFM_REQ_MAY_SLEEP |
				  CRYPTO_TFM_REQ_MAY_BACKLOG,
				  crypto_req_done, &wait);
	aead_request_set_ad(req, AAD);
	aead_request_set_crypt(req, &sg, &sg,
			       seal ? VAULTRING_DEK_MAX : WRAPPED, iv);
	return crypto_wait_req(seal ? crypto_aead_encrypt(req) :
			       crypto_aead_decrypt(req), &wait);
}

static struct crypto_aead *gcm_open(const u8 *key)
{
	struct crypto_aead *tfm = crypto_alloc_aead("gcm(aes)", 0, 0);
	int err;

	if (IS_ERR(tfm))
		return tfm;
	err = crypto_aead_setkey(tfm, key, 32) ?:
	      crypto_aead_setauthsize(tfm, VAULTRING_TAG_SIZE);
	if (!err)
		return tfm;
	crypto_free_aead(tfm);
	return ERR_PTR(err);
}

/* A blob is opened when a transform that had none gets its key. */
static int open_blob(const struct bench *b, u64 *ticks)
{
	struct crypto_skcipher *tfm;
	u64 start;
	int err;

	tfm = crypto_alloc_skcipher("xts(paes)", 0, CRYPTO_ALG_ALLOCATES_MEMORY);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	start = get_cycles();
	err = crypto_skcipher_setkey(tfm, b->blob, sizeof(b->blob));
	*ticks = get_cycles() - start;
	crypto_free_skcipher(tfm);
	return err;
}

/* With a transform that has its key, and nothing else around it. */
static int decrypt_raw(struct crypto_aead *tfm, struct aead_request *req,
		       struct wrapped *w, u64 *ticks)
{
	u64 start;
	int err;

	memcpy(w->work, w->sealed, sizeof(w->work));
	start = get_cycles();
	err = gcm_crypt(tfm, req, w->work, false);
	*ticks = get_cycles() - start;
	return err;
}

/* With a transform of its own, as for a key that is not kept expanded. */
static int decrypt_fresh(struct wrapped *w, u64 *ticks)
{
	struct aead_request *req;
	struct crypto_aead *tfm;
	u64 start;
	int err;

	memcpy(w->work, w->sealed, sizeof(w->work));
	start = get_cycles();
	tfm = gcm_open(w->key);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	req = aead_request_alloc(tfm, GFP_KERNEL);
	err = req ? gcm_crypt(tfm, req, w->work, false) : -ENOMEM;
	aead_request_free(req);
	crypto_free_aead(tfm);
	*ticks = get_cycles() - start;
	return err;
}

static int blob_rounds(struct bench *b, struct crypto_aead *tfm,
		       struct aead_request *req, struct wrapped *w)
{
	unsigned int round, i;
	int err = 0;

	for (round = 0; round < b->rounds; round++) {
		for (i = 0; i < b->count && !err; i++)
			err = decrypt_raw(tfm, req, w, &b->theirs[i]) ?:
			      open_blob(b, &b->ours[i]) ?:
			      decrypt_fresh(w, &b->fresh[i]);
		if (err)
			return err;
		put_median(b, "blob", "open", b->ours);
		put_median(b, "blob", "gcm", b->theirs);
		put_median(b, "blob", "gcm-fresh", b->fresh);
	}
	return 0;
}

static int run_blobs(struct bench *b)
{
	struct wrapped *w = kzalloc(sizeof(*w), GFP_KERNEL);
	struct aead_request *req = NULL;
	struct crypto_aead *tfm;
	int err = -ENOMEM;

	if (!w)
		return err;
	get_random_bytes(w->key, sizeof(w->key));
	tfm = gcm_open(w->key);
	if (IS_ERR(tfm)) {
		err = PTR_ERR(tfm);
		goto out_free;
	}
	req = aead_request_alloc(tfm, GFP_KERNEL);
	if (req)
		err = gcm_crypt(tfm, req, w->sealed, true) ?:
		      blob_rounds(b, tfm, req, w);
	aead_request_free(req);
	crypto_free_aead(tfm);
out_free:
	kfree_sensitive(w);
	return err;
}

/*
 * Commands
 */

static int parse(struct bench *b, char *text)
{
	const char *rounds = strsep(&text, " "), *count = strsep(&text, " ");

	if (!text || kstrtouint(rounds, 10, &b->rounds) ||
	    kstrtouint(count, 10, &b->count) || !b->count ||
	    b->count > COUNT_MAX || strlen(text) != 2 * sizeof(b->blob) ||
	    hex2bin(b->blob, text, sizeof(b->blob)))
		return -EINVAL;
	b->ours = kvcalloc(b->count, sizeof(u64), GFP_KERNEL);
	b->theirs = kvcalloc(b->count, sizeof(u64), GFP_KERNEL);
	b->fresh = kvcalloc(b->count, sizeof(u64), GFP_KERNEL);
	return b->ours && b->theirs && b->fresh ? 0 : -ENOMEM;
}

static int command(char *text)
{
	const char *verb = strsep(&text, " ");
	struct bench b = {};
	int err = -EINVAL;

	if (text)
		err = parse(&b, text);
	if (!err && !strcmp(verb, "requests"))
		err = run_requests(&b);
	else if (!err && !strcmp(verb, "blobs"))
		err = run_blobs(&b);
	else if (!err)
		err = -EINVAL;
	kvfree(b.ours);
	kvfree(b.theirs);
	kvfree(b.fresh);
	return err;
}

static ssize_t command_write(struct file *file, const char __user *from,
			     size_t count, loff_t *pos)
{
	char *text;
	int err;

	if (count > COMMAND_MAX)
		return -E2BIG;
	text = memdup_user_nul(from, count);
	if (IS_ERR(text))
		return PTR_ERR(text);
	mutex_lock(&command_lock);
	err = command(strim(text));
	mutex_unlock(&command_lock);
	kfree(text);
	return err ?: count;
}

static const struct file_operations command_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.write	= command_write,
	.llseek	= default_llseek,
};

static int __init bench_init(void)
{
	int err = tap_open(&bench_tap, KBUILD_MODNAME);

	if (err)
		return err;
	debugfs_create_file("command", 0200, bench_tap.dir, NULL, &command_fops);
	return 0;
}

static void __exit bench_exit(void)
{
	tap_close(&bench_tap);
}

module_init(bench_init);
module_exit(bench_exit);
MODULE_DESCRIPTION("What requests and blobs cost");
MODULE_LICENSE("GPL");
