// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's RSA-OAEP encoding against Wycheproof's vectors
 *
 * The transport key is the module's own, so no vector can be put to it: its
 * source is taken in here, and the table has what the vectors' own keys give.
 */

#include <linux/err.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "tap.h"

#include "../../kmod/rsa_oaep.c"

#define SIZE_MAX_EM	512

struct oaep_vector {
	unsigned int id;
	bool valid;
	u16 len, size;
	const char *bytes;	/* what is encoded, then the message */
};

struct oaep_file {
	const char *name;
	u32 hash;
	const struct oaep_vector *vectors;
	unsigned int count;
};

#include "oaep_table.h"

static struct tap tap;

static bool run_one(u32 hash, const struct oaep_vector *v, u8 *em, u8 *message)
{
	u32 bad = 0;
	int err;

	memcpy(em, v->bytes, v->size);
	err = vr_oaep_decode(hash, em, v->size, message, v->len, &bad);
	if (err)
		tap_note(&tap, "vector %u: %d", v->id, err);
	if (!v->valid)
		return !err && bad;
	return !err && !bad && !memcmp(message, v->bytes + v->size, v->len);
}

/* A message that is said to be shorter or longer is another encoding. */
static bool length_counts(u32 hash, const struct oaep_vector *v, u8 *em,
			  u8 *message)
{
	u32 longer = 0, shorter = 0;
	int err = 0;

	if (!v->valid || v->len < 4 || v->len > 32)
		return true;
	memcpy(em, v->bytes, v->size);
	err |= vr_oaep_decode(hash, em, v->size, message, v->len + 1, &longer);
	memcpy(em, v->bytes, v->size);
	err |= vr_oaep_decode(hash, em, v->size, message, v->len - 1, &shorter);
	return !err && longer && shorter;
}

static void run_file(const struct oaep_file *file, u8 *em, u8 *message)
{
	unsigned int i, valid = 0, failed = 0;

	for (i = 0; i < file->count; i++) {
		const struct oaep_vector *v = &file->vectors[i];

		valid += v->valid;
		if (run_one(file->hash, v, em, message) &&
		    length_counts(file->hash, v, em, message))
			continue;
		failed++;
		tap_note(&tap, "vector %u of %s", v->id, file->name);
	}
	tap_ok(&tap, valid && valid < file->count && !failed,
	       "%s: %u vectors, %u of them valid", file->name, file->count,
	       valid);
}

/* What is encoded decodes, each time to another encoding, and no bit is idle. */
static void check_encode(u32 hash, u8 *em, u8 *message)
{
	static const u8 text[] = "a secret of thirty-two bytes ...";
	u8 *copy = kmalloc(VR_RSA_SIZE, GFP_KERNEL);
	unsigned int i, deaf = 0;
	bool good = false;
	u32 bad = 0;

	if (copy && !vr_oaep_encode(hash, text, 32, copy, VR_RSA_SIZE) &&
	    !vr_oaep_encode(hash, text, 32, em, VR_RSA_SIZE))
		good = memcmp(em, copy, VR_RSA_SIZE) && !em[0] && !copy[0] &&
		       !vr_oaep_decode(hash, em, VR_RSA_SIZE, message, 32, &bad) &&
		       !bad && !memcmp(message, text, 32);
	tap_ok(&tap, good, "an encoding is random and decodes");
	for (i = 0; good && i < 8 * VR_RSA_SIZE; i++) {
		memcpy(em, copy, VR_RSA_SIZE);
		em[i / 8] ^= 1 << i % 8;
		bad = 0;
		if (vr_oaep_decode(hash, em, VR_RSA_SIZE, message, 32, &bad) ||
		    !bad)
			deaf++;
	}
	tap_ok(&tap, good && !deaf, "an encoding with any bit flipped is bad");
	kfree(copy);
}

static int __init oaep_vectors_init(void)
{
	int err = tap_open(&tap, KBUILD_MODNAME);
	u8 *em, *message;
	unsigned int i;

	if (err)
		return err;
	em = kmalloc(SIZE_MAX_EM, GFP_KERNEL);
	message = kmalloc(SIZE_MAX_EM, GFP_KERNEL);
	if (em && message) {
		for (i = 0; i < ARRAY_SIZE(oaep_files); i++)
			run_file(&oaep_files[i], em, message);
		check_encode(VAULTRING_HASH_SHA256, em, message);
		check_encode(VAULTRING_HASH_SHA384, em, message);
		tap_plan(&tap);
	}
	kfree(em);
	kfree(message);
	return 0;
}

static void __exit oaep_vectors_exit(void)
{
	tap_close(&tap);
}

module_init(oaep_vectors_init);
module_exit(oaep_vectors_exit);
MODULE_DESCRIPTION("RSA-OAEP against published vectors");
MODULE_LICENSE("GPL");
