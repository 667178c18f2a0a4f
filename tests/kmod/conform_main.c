// SPDX-License-Identifier: GPL-2.0-only
/*
 * A conformance suite for the transforms, in the manner of the kernel's testmgr
 *
 * Userspace, which knows the data key of each blob that it has made, says what
 * to do by lines in /sys/kernel/debug/conform/command:
 *
 *	add skcipher|aead|shash ALG TWIN DEK BLOB DEK BLOB	(hex, two keys)
 *	check		all that one subject can show, of each
 *	fly, land	requests all the time, while userspace revokes the KEK
 *	hold, release	requests that stay in flight while userspace revokes
 *	wiped		the revoke is done: is each inner key overwritten?
 *	drop		all subjects
 *	done		writes the plan
 *
 * With async=1, before the product is loaded, the product's inner ciphers are
 * slow and asynchronous ones of conform_inner.c.
 */

#include <linux/err.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "conform.h"

#define COMMAND_MAX	2048
#define COMPLAINTS	4	/* notes of one check */

struct tap conform_tap;
bool conform_async;
module_param_named(async, conform_async, bool, 0444);
MODULE_PARM_DESC(async, "give the product slow and asynchronous inner ciphers");
static unsigned long long seed;
module_param(seed, ullong, 0444);
MODULE_PARM_DESC(seed, "of what is random, to have it once more");

static DEFINE_MUTEX(command_lock);	/* the subjects */
static LIST_HEAD(subjects);
static int keys_before, early_before;	/* of inner, before a revoke */

/* The same numbers on each kernel; not evenly distributed, and need not be. */
u32 conform_below(struct subject *s, u32 ceil)
{
	return prandom_u32_state(&s->random) % ceil;
}

void conform_complain(struct subject *s, const char *format, ...)
{
	char text[TAP_LINE_MAX];
	va_list args;

	if (atomic_inc_return(&s->complaints) > COMPLAINTS)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	tap_note(&conform_tap, "seed %llu: %s", s->seed, text);
}

static void subject_free(struct subject *s)
{
	mac_close(s);
	if (s->flight)
		flight_end(s);
	if (s->ours.sk)
		cipher_close(&s->ours);
	if (s->twin[0].sk)
		cipher_close(&s->twin[0]);
	if (s->twin[1].sk)
		cipher_close(&s->twin[1]);
	kfree_sensitive(s);
}

static void drop_subjects(void)
{
	struct subject *s, *next;

	list_for_each_entry_safe(s, next, &subjects, list) {
		list_del(&s->list);
		subject_free(s);
	}
}

static u32 is_async(const struct cipher *c)
{
	return CRYPTO_ALG_ASYNC &
	       (c->aead ? crypto_aead_tfm(c->ae)->__crt_alg->cra_flags :
			  crypto_skcipher_tfm(c->sk)->__crt_alg->cra_flags);
}

/*
 * The twin is what the product has inside as well, or with async=1 what its
 * inner cipher has.
 */
static int open_ciphers(struct subject *s)
{
	u32 mask = CRYPTO_ALG_ALLOCATES_MEMORY;
	unsigned int i;
	int err;

	err = cipher_open(&s->ours, s->ours.aead, s->alg, 0) ?:
	      cipher_setkey(&s->ours, s->key[0].blob, VAULTRING_BLOB_SIZE);
	if (err)
		return err;
	if (conform_async || !is_async(&s->ours))
		mask |= CRYPTO_ALG_ASYNC;
	for (i = 0; i < 2; i++) {
		err = cipher_open(&s->twin[i], s->ours.aead, s->twin_alg,
				  mask) ?:
		      cipher_setkey(&s->twin[i], s->key[i].dek, s->key[i].len);
		if (err)
			return err;
	}
	return 0;
}

/* What a user sees of the transform is what its twin shows. */
static bool same_measures(struct subject *s)
{
	if (s->ours.aead) {
		struct crypto_aead *ours = s->ours.ae, *twin = s->twin[0].ae;

		s->block = 1;
		s->iv_size = crypto_aead_ivsize(twin);
		s->tag = crypto_aead_maxauthsize(twin);
		return s->iv_size == crypto_aead_ivsize(ours) &&
		       s->tag == crypto_aead_maxauthsize(ours) &&
		       crypto_aead_blocksize(twin) ==
				crypto_aead_blocksize(ours) &&
		       !cipher_set_tag(&s->ours, s->tag) &&
		       !cipher_set_tag(&s->twin[0], s->tag) &&
		       !cipher_set_tag(&s->twin[1], s->tag);
	} else {
		struct crypto_skcipher *ours = s->ours.sk;
		struct crypto_skcipher *twin = s->twin[0].sk;

		s->iv_size = crypto_skcipher_ivsize(twin);
		s->block = crypto_skcipher_blocksize(twin);
		return s->iv_size == crypto_skcipher_ivsize(ours) &&
		       s->block == crypto_skcipher_blocksize(ours) &&
		       crypto_skcipher_chunksize(twin) ==
				crypto_skcipher_chunksize(ours);
	}
}

static int parse_key(struct conform_key *key, char **text)
{
	const char *dek = strsep(text, " "), *blob = strsep(text, " ");

	if (!dek || !blob || strlen(dek) > 2 * sizeof(key->dek) ||
	    strlen(blob) != 2 * sizeof(key->blob))
		return -EINVAL;
	key->len = strlen(dek) / 2;
	return hex2bin(key->dek, dek, key->len) ?:
	       hex2bin(key->blob, blob, sizeof(key->blob));
}

static int parse_subject(struct subject *s, char *text)
{
	const char *type = strsep(&text, " "), *alg = strsep(&text, " ");
	const char *twin = strsep(&text, " ");

	if (!twin || strscpy(s->alg, alg, sizeof(s->alg)) < 0 ||
	    strscpy(s->twin_alg, twin, sizeof(s->twin_alg)) < 0)
		return -EINVAL;
	s->ours.aead = !strcmp(type, "aead");
	s->is_mac = !strcmp(type, "shash");
	return parse_key(&s->key[0], &text) ?: parse_key(&s->key[1], &text);
}

static int add(char *text)
{
	struct subject *s = kzalloc(sizeof(*s), GFP_KERNEL);
	int err;

	if (!s)
		return -ENOMEM;
	s->seed = seed;
	prandom_seed_state(&s->random, seed);
	err = parse_subject(s, text);
	if (!err) {
		err = s->is_mac ? mac_open(s) : open_ciphers(s);
		tap_ok(&conform_tap, !err && (s->is_mac || same_measures(s)),
		       "%s under a blob of %u bits has its twin's measures (%d)",
		       s->alg, 8 * s->key[0].len, err);
	}
	if (err) {
		subject_free(s);
		return err;
	}
	list_add_tail(&s->list, &subjects);
	return 0;
}

static void run_checks(struct subject *s, const struct check *check)
{
	for (; check->run; check++) {
		if (check->aead_only && !s->ours.aead)
			continue;
		atomic_set(&s->complaints, 0);
		tap_ok(&conform_tap, check->run(s), "%s, %u bits, %s", s->alg,
		       8 * s->key[0].len, check->sentence);
	}
}

static void check_all(void)
{
	struct subject *s;

	list_for_each_entry(s, &subjects, list) {
		if (s->is_mac) {
			run_checks(s, mac_checks);
		} else {
			run_checks(s, shape_checks);
			run_checks(s, key_checks);
			run_checks(s, flight_checks);
		}
		tap_ok(&conform_tap, atomic_read(&s->compared) > 1500,
		       "%s, %u bits: %d comparisons", s->alg,
		       8 * s->key[0].len, atomic_read(&s->compared));
	}
}

static int begin(struct subject *s)
{
	return s->is_mac ? mac_begin(s) : flight_begin(s);
}

/* What is synchronous cannot be held. */
static int hold(struct subject *s)
{
	return s->is_mac ? 0 : flight_hold(s);
}

static int for_each(int (*f)(struct subject *s))
{
	struct subject *s;
	int err = 0;

	list_for_each_entry(s, &subjects, list)
		err = err ?: f(s);
	return err;
}

/*
 * Only of our own inner ciphers it can be told; a blob that is opened has one
 * of them keyed as well, but none is between fly or hold and this.
 */
static void check_wiped(void)
{
	const int early = atomic_read(&inner.early_keys) - early_before;
	const int wiped = atomic_read(&inner.keys) - keys_before;
	struct subject *s;
	int count = 0;

	if (!conform_async)
		return;
	list_for_each_entry(s, &subjects, list)
		count += !s->is_mac;
	tap_ok(&conform_tap, count && wiped == count && !early,
	       "the revoke overwrites each inner key (%d of %d) and none in use (%d)",
	       wiped, count, early);
}

static void land(void)
{
	struct subject *s;

	list_for_each_entry(s, &subjects, list) {
		atomic_set(&s->complaints, 0);
		if (s->flight)
			flight_end(s);
		if (s->mac_flight)
			mac_end(s);
	}
}

static int command(char *text)
{
	const char *verb = strsep(&text, " ");

	if (!strcmp(verb, "add") && text)
		return add(text);
	if (!strcmp(verb, "fly") || !strcmp(verb, "hold")) {
		keys_before = atomic_read(&inner.keys);
		early_before = atomic_read(&inner.early_keys);
	}
	if (!strcmp(verb, "fly"))
		return for_each(begin);
	if (!strcmp(verb, "hold"))
		return conform_async ? for_each(hold) : -EINVAL;
	if (!strcmp(verb, "check"))
		check_all();
	else if (!strcmp(verb, "land") || !strcmp(verb, "release"))
		land();
	else if (!strcmp(verb, "wiped"))
		check_wiped();
	else if (!strcmp(verb, "drop"))
		drop_subjects();
	else if (!strcmp(verb, "done"))
		tap_plan(&conform_tap);
	else
		return -EINVAL;
	return 0;
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
	kfree_sensitive(text);
	return err ?: count;
}

static const struct file_operations command_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.write	= command_write,
	.llseek	= default_llseek,
};

static int __init conform_init(void)
{
	int err;

	if (!seed)
		seed = get_random_u32();
	err = conform_async ? inner_register() : 0;
	if (err)
		return err;
	err = tap_open(&conform_tap, KBUILD_MODNAME);
	if (err) {
		if (conform_async)
			inner_unregister();
		return err;
	}
	debugfs_create_file("command", 0200, conform_tap.dir, NULL,
			    &command_fops);
	return 0;
}

static void __exit conform_exit(void)
{
	drop_subjects();
	tap_close(&conform_tap);
	if (conform_async)
		inner_unregister();
}

module_init(conform_init);
module_exit(conform_exit);
MODULE_DESCRIPTION("Conformance tests for vaultring's transforms");
MODULE_LICENSE("GPL");
