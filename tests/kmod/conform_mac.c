// SPDX-License-Identifier: GPL-2.0-only
/* phmac(sha256) beside hmac(sha256): a shash, and over scatterlists an ahash. */

#include <crypto/hash.h>
#include <linux/bottom_half.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/slab.h>

#include "conform.h"

#define MAC_MAX		8192	/* bytes of a message */
#define MAC_SIZE	32
#define GUARD		32
#define GUARD_BYTE	0x5c
#define REKEYS		24

/* Room for a message, MACs and two descriptors, each with a guard behind it. */
struct desk {
	u8 data[MAC_MAX + 16];
	u8 out[16 + MAC_SIZE + GUARD];
	u8 want[2][MAC_SIZE];
	struct shash_desc *desc[2];
};

static void desk_free(struct desk *d)
{
	if (!d)
		return;
	kfree(d->desc[0]);
	kfree(d->desc[1]);
	kfree(d);
}

static struct desk *desk_alloc(struct subject *s)
{
	const unsigned int size = sizeof(struct shash_desc) +
				  crypto_shash_descsize(s->mac);
	struct desk *d = kzalloc(sizeof(*d), GFP_KERNEL);
	unsigned int i;

	if (!d)
		return NULL;
	for (i = 0; i < 2; i++) {
		d->desc[i] = kmalloc(size + GUARD, GFP_KERNEL);
		if (!d->desc[i]) {
			desk_free(d);
			return NULL;
		}
		memset(d->desc[i], GUARD_BYTE, size + GUARD);
		d->desc[i]->tfm = s->mac;
	}
	prandom_bytes_state(&s->random, d->data, sizeof(d->data));
	return d;
}

static bool guarded(struct subject *s, const struct desk *d)
{
	const unsigned int size = sizeof(struct shash_desc) +
				  crypto_shash_descsize(s->mac);

	return !memchr_inv((u8 *)d->desc[0] + size, GUARD_BYTE, GUARD) &&
	       !memchr_inv((u8 *)d->desc[1] + size, GUARD_BYTE, GUARD);
}

/* What the twins say of the message. */
static bool ask(struct subject *s, struct desk *d, const u8 *data,
		unsigned int len)
{
	return !crypto_shash_tfm_digest(s->mac_twin[0], data, len, d->want[0]) &&
	       !crypto_shash_tfm_digest(s->mac_twin[1], data, len, d->want[1]);
}

static bool judge(struct subject *s, struct desk *d, int err,
		  unsigned int offset, const char *how, unsigned int len)
{
	const u8 *out = d->out + offset;

	atomic_inc(&s->compared);
	if (!err && !memcmp(out, d->want[0], MAC_SIZE) && guarded(s, d) &&
	    !memchr_inv(d->out, GUARD_BYTE, offset) &&
	    !memchr_inv(out + MAC_SIZE, GUARD_BYTE, GUARD))
		return true;
	conform_complain(s, "%s of %u bytes: %d", how, len, err);
	return false;
}

static bool digest(struct subject *s, struct desk *d, unsigned int len,
		   unsigned int offset, bool atomic)
{
	int err;

	memset(d->out, GUARD_BYTE, sizeof(d->out));
	if (!ask(s, d, d->data + offset, len))
		return false;
	if (atomic)
		local_bh_disable();
	err = crypto_shash_digest(d->desc[0], d->data + offset, len,
				  d->out + offset);
	if (atomic)
		local_bh_enable();
	return judge(s, d, err, offset, "digest", len);
}

static bool mac_lengths(struct subject *s)
{
	struct desk *d = desk_alloc(s);
	bool good = d;
	unsigned int i;

	for (i = 0; i <= 260 && d; i++)
		good &= digest(s, d, i, i % 16, i & 1);
	for (i = 512; i <= MAC_MAX && d; i *= 2)
		good &= digest(s, d, i, 0, false) & digest(s, d, i - 1, 1, true);
	desk_free(d);
	return good;
}

/* The first @first bytes, the next, and the rest with or before the end. */
static int by_steps(struct desk *d, unsigned int len, unsigned int first,
		    unsigned int second, bool finup)
{
	struct shash_desc *desc = d->desc[0];
	const u8 *rest = d->data + first + second;
	int err;

	err = crypto_shash_init(desc) ?:
	      crypto_shash_update(desc, d->data, first) ?:
	      crypto_shash_update(desc, d->data + first, second);
	if (err)
		return err;
	len -= first + second;
	if (finup)
		return crypto_shash_finup(desc, rest, len, d->out);
	return crypto_shash_update(desc, rest, len) ?:
	       crypto_shash_final(desc, d->out);
}

static bool mac_steps(struct subject *s)
{
	struct desk *d = desk_alloc(s);
	bool good = d;
	unsigned int len, i, k;

	for (len = 1; len <= 200 && d; len += 33) {
		good &= ask(s, d, d->data, len);
		for (i = 0; i <= len; i++) {
			k = conform_below(s, len - i + 1);
			memset(d->out, GUARD_BYTE, sizeof(d->out));
			good &= judge(s, d, by_steps(d, len, i, k, i & 1), 0,
				      "steps", len);
		}
	}
	desk_free(d);
	return good;
}

/* Exported after @first bytes and finished in another descriptor. */
static int moved(struct subject *s, struct desk *d, u8 *state,
		 unsigned int len, unsigned int first)
{
	int err;

	err = crypto_shash_init(d->desc[0]) ?:
	      crypto_shash_update(d->desc[0], d->data, first) ?:
	      crypto_shash_export(d->desc[0], state);
	/* The one left behind goes another way. */
	err = err ?: crypto_shash_update(d->desc[0], d->data, len);
	return err ?: crypto_shash_import(d->desc[1], state) ?:
	       crypto_shash_finup(d->desc[1], d->data + first, len - first,
				  d->out);
}

static bool mac_moves(struct subject *s)
{
	u8 *state = kmalloc(crypto_shash_statesize(s->mac), GFP_KERNEL);
	struct desk *d = desk_alloc(s);
	bool good = d && state;
	unsigned int i;

	for (i = 0; i <= 150 && d && state; i++) {
		good &= ask(s, d, d->data, 150);
		memset(d->out, GUARD_BYTE, sizeof(d->out));
		good &= judge(s, d, moved(s, d, state, 150, i), 0, "export",
			      150);
	}
	desk_free(d);
	kfree(state);
	return good;
}

static int over_list(struct ahash_request *req, struct desk *d,
		     struct scatterlist *sg, unsigned int len)
{
	DECLARE_CRYPTO_WAIT(wait);

	ahash_request_set_callback(req, CRYPTO_TFM_REQ_MAY_SLEEP |
				   CRYPTO_TFM_REQ_MAY_BACKLOG, crypto_req_done,
				   &wait);
	ahash_request_set_crypt(req, sg, d->out, len);
	return crypto_wait_req(crypto_ahash_digest(req), &wait);
}

static bool mac_lists(struct subject *s)
{
	struct crypto_ahash *tfm = crypto_alloc_ahash(s->alg, 0, 0);
	struct ahash_request *req = NULL;
	struct desk *d = desk_alloc(s);
	struct scatterlist sg[3];
	unsigned int i, len;
	bool good = false;

	if (!IS_ERR(tfm) && d)
		req = ahash_request_alloc(tfm, GFP_KERNEL);
	if (req)
		good = !crypto_ahash_setkey(tfm, s->key[0].blob,
					    VAULTRING_BLOB_SIZE);
	for (i = 0; i < 200 && good; i++) {
		unsigned int first = 1 + conform_below(s, 2000);
		unsigned int second = 1 + conform_below(s, 80);

		len = first + second + 1 + conform_below(s, 5000);
		sg_init_table(sg, 3);
		sg_set_buf(&sg[0], d->data, first);
		sg_set_buf(&sg[1], d->data + first, second);
		sg_set_buf(&sg[2], d->data + first + second,
			   len - first - second);
		memset(d->out, GUARD_BYTE, sizeof(d->out));
		good &= ask(s, d, d->data, len);
		good &= judge(s, d, over_list(req, d, sg, len), 0, "list", len);
	}
	ahash_request_free(req);
	if (!IS_ERR(tfm))
		crypto_free_ahash(tfm);
	desk_free(d);
	return good;
}

/* Each step is refused, and gives no MAC. */
static bool refuses(struct subject *s, int error)
{
	struct desk *d = desk_alloc(s);
	bool good = false;
	int err[3];

	if (d) {
		memset(d->out, GUARD_BYTE, sizeof(d->out));
		err[0] = crypto_shash_digest(d->desc[0], d->data, 64, d->out);
		err[1] = crypto_shash_init(d->desc[0]);
		err[2] = crypto_shash_tfm_digest(s->mac, d->data, 64, d->out);
		good = err[0] == error && err[1] == error && err[2] == error &&
		       !memchr_inv(d->out, GUARD_BYTE, sizeof(d->out));
		if (!good)
			conform_complain(s, "%d %d %d instead of %d", err[0],
					 err[1], err[2], error);
		atomic_add(3, &s->compared);
	}
	desk_free(d);
	return good;
}

static int rekey(struct subject *s, unsigned int key)
{
	return crypto_shash_setkey(s->mac, s->key[key].blob,
				   VAULTRING_BLOB_SIZE);
}

static bool mac_no_key(struct subject *s)
{
	struct crypto_shash *keyed = s->mac;
	bool good = false;

	s->mac = crypto_alloc_shash(s->alg, 0, 0);
	if (!IS_ERR(s->mac)) {
		good = refuses(s, -ENOKEY);
		crypto_free_shash(s->mac);
	}
	s->mac = keyed;
	return good;
}

static bool mac_keys(struct subject *s)
{
	struct desk *d = desk_alloc(s);
	u8 blob[VAULTRING_BLOB_SIZE];
	bool good;

	if (!d)
		return false;
	memcpy(blob, s->key[0].blob, sizeof(blob));
	blob[60] ^= 1;
	good = crypto_shash_setkey(s->mac, blob, sizeof(blob)) == -EKEYREJECTED;
	good &= refuses(s, -ENOKEY);
	good &= crypto_shash_setkey(s->mac, s->key[0].dek, s->key[0].len) ==
		-EINVAL;
	good &= refuses(s, -ENOKEY);
	good &= !rekey(s, 1) && ask(s, d, d->data, 100);
	good &= !crypto_shash_digest(d->desc[0], d->data, 100, d->out) &&
		!memcmp(d->out, d->want[1], MAC_SIZE);
	good &= !rekey(s, 0) && digest(s, d, 100, 0, false);
	desk_free(d);
	return good;
}

/* One who computes all the time, and what came of it. */
struct mac_flight {
	struct subject *s;
	struct desk *desk[2];
	struct task_struct *task[2];
	int error;		/* that is right as well */
	atomic_t good, refused, wrong, next;
};

static int compute(void *data)
{
	struct mac_flight *f = data;
	struct desk *d = f->desk[atomic_inc_return(&f->next) - 1];
	int err;

	while (!kthread_should_stop()) {
		memset(d->out, 0, MAC_SIZE);
		err = crypto_shash_digest(d->desc[0], d->data, 700, d->out);
		if (err == f->error)
			atomic_inc(&f->refused);
		else if (!err && (!memcmp(d->out, d->want[0], MAC_SIZE) ||
				  (f->error == -ENOKEY &&
				   !memcmp(d->out, d->want[1], MAC_SIZE))))
			atomic_inc(&f->good);
		else
			atomic_inc(&f->wrong);
		atomic_inc(&f->s->compared);
		usleep_range(20, 100);
	}
	return 0;
}

static void stop(struct mac_flight *f)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		if (f->task[i])
			kthread_stop(f->task[i]);
	desk_free(f->desk[0]);
	desk_free(f->desk[1]);
}

static int start(struct subject *s, struct mac_flight *f, int error)
{
	struct task_struct *task;
	unsigned int i;

	f->s = s;
	f->error = error;
	for (i = 0; i < 2; i++) {
		f->desk[i] = desk_alloc(s);
		if (!f->desk[i] || !ask(s, f->desk[i], f->desk[i]->data, 700))
			goto err_stop;
	}
	for (i = 0; i < 2; i++) {
		task = kthread_run(compute, f, "conform/%u", i);
		if (IS_ERR(task))
			goto err_stop;
		f->task[i] = task;
	}
	return 0;

err_stop:
	stop(f);
	return -ENOMEM;
}

static bool mac_rekeyed(struct subject *s)
{
	struct mac_flight f = {};
	bool good = !start(s, &f, -ENOKEY);
	unsigned int i;

	for (i = 0; i < REKEYS && good; i++) {
		good &= !rekey(s, !(i & 1));
		usleep_range(2000, 4000);
	}
	if (!f.task[0])
		return false;
	stop(&f);
	tap_note(&conform_tap, "%d right, %d ENOKEY, %d wrong",
		 atomic_read(&f.good), atomic_read(&f.refused),
		 atomic_read(&f.wrong));
	return good && atomic_read(&f.good) && !atomic_read(&f.wrong) &&
	       !rekey(s, 0);
}

const struct check mac_checks[] = {
	{ mac_lengths, "is its twin at every length and offset" },
	{ mac_steps, "is its twin in every division into steps" },
	{ mac_moves, "is its twin when its state is exported and imported" },
	{ mac_lists, "is its twin over scatterlists" },
	{ mac_no_key, "says ENOKEY without a key and writes nothing" },
	{ mac_keys, "has no usable key after a refused one, and takes another" },
	{ mac_rekeyed, "is right under the old or the new key while setkey runs" },
	{}
};

int mac_begin(struct subject *s)
{
	int err;

	s->mac_flight = kzalloc(sizeof(*s->mac_flight), GFP_KERNEL);
	if (!s->mac_flight)
		return -ENOMEM;
	err = start(s, s->mac_flight, -EKEYREVOKED);
	if (err) {
		kfree(s->mac_flight);
		s->mac_flight = NULL;
	}
	return err;
}

void mac_end(struct subject *s)
{
	struct mac_flight *f = s->mac_flight;
	const int good = atomic_read(&f->good), wrong = atomic_read(&f->wrong);

	stop(f);
	tap_note(&conform_tap, "%d right, %d refused, %d wrong", good,
		 atomic_read(&f->refused), wrong);
	tap_ok(&conform_tap, good && atomic_read(&f->refused) && !wrong,
	       "%s is right or says EKEYREVOKED while it is revoked", s->alg);
	tap_ok(&conform_tap, refuses(s, -EKEYREVOKED),
	       "%s says EKEYREVOKED and writes nothing from then on", s->alg);
	kfree(f);
	s->mac_flight = NULL;
}

int mac_open(struct subject *s)
{
	unsigned int i;
	int err;

	s->mac = crypto_alloc_shash(s->alg, 0, 0);
	if (IS_ERR(s->mac)) {
		err = PTR_ERR(s->mac);
		s->mac = NULL;
		return err;
	}
	for (i = 0; i < 2; i++) {
		s->mac_twin[i] = crypto_alloc_shash(s->twin_alg, 0, 0);
		if (IS_ERR(s->mac_twin[i])) {
			err = PTR_ERR(s->mac_twin[i]);
			s->mac_twin[i] = NULL;
			return err;
		}
		err = crypto_shash_setkey(s->mac_twin[i], s->key[i].dek,
					  s->key[i].len);
		if (err)
			return err;
	}
	if (crypto_shash_digestsize(s->mac) != MAC_SIZE ||
	    crypto_shash_blocksize(s->mac) !=
	    crypto_shash_blocksize(s->mac_twin[0]))
		return -EDOM;
	return rekey(s, 0);
}

void mac_close(struct subject *s)
{
	unsigned int i;

	if (s->mac_flight)
		mac_end(s);
	if (s->mac)
		crypto_free_shash(s->mac);
	for (i = 0; i < 2; i++)
		if (s->mac_twin[i])
			crypto_free_shash(s->mac_twin[i]);
}
