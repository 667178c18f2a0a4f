// SPDX-License-Identifier: GPL-2.0-only
/*
 * The "vault-dek" key type
 *
 * A user adds a key by giving its blob, or has the kernel make a new one, and
 * may read the blob back.  The data key inside works through the crypto API but
 * has no way out, so a vault-dek is safe to keep in any keyring and any file.
 *
 *	new kek=NAME use=xts|cbc|ctr|gcm|fscrypt|hmac [bits=N]
 *	load HEX [provision=DESC]
 *	the blob itself, 136 bytes
 *	rewrap kek=NAME			(keyctl update)
 *
 * provision=DESC also hands a DEK for fscrypt to the file systems, as a key of
 * type fscrypt-provisioning in the session keyring, which cannot be read.
 */

#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/key-type.h>
#include <linux/keyctl.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <uapi/linux/fscrypt.h>

#include "vr.h"

#define VR_TEXT_MAX	1024

/* A key's payload; replaced as a whole, read under key->sem. */
struct vr_dek {
	struct vaultring_blob blob;
};

/* What a text payload asks for; pointers go into the text. */
struct vr_dek_args {
	const char *kek, *provision;
	unsigned int use, bits;
};

/*
 * Text payloads
 */

static int parse_option(struct vr_dek_args *args, char *word)
{
	char *value = strchr(word, '=');
	int use;

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	if (!strcmp(word, "kek") && !args->kek && vr_name_ok(value)) {
		args->kek = value;
		return 0;
	}
	if (!strcmp(word, "use") && !args->use) {
		use = vr_use_parse(value);
		args->use = max(use, 0);
		return min(use, 0);
	}
	if (!strcmp(word, "bits") && !args->bits)
		return kstrtouint(value, 10, &args->bits) || !args->bits ?
		       -EINVAL : 0;
	if (!strcmp(word, "provision") && !args->provision && *value) {
		args->provision = value;
		return 0;
	}
	return -EINVAL;
}

/* Take the next word off @text; NULL at its end. */
static char *next_word(char **text)
{
	char *word;

	do {
		word = strsep(text, " \t\n");
	} while (word && !*word);
	return word;
}

static int parse_options(struct vr_dek_args *args, char *text)
{
	char *word;
	int err;

	while ((word = next_word(&text))) {
		err = parse_option(args, word);
		if (err)
			return err;
	}
	if (!args->bits && args->use)
		args->bits = args->use == VAULTRING_USE_XTS ||
			     args->use == VAULTRING_USE_FSCRYPT ? 512 : 256;
	return 0;
}

/*
 * Provisioning
 */

/*
 * The type fscrypt-provisioning, NULL without CONFIG_FS_ENCRYPTION.  It is built
 * in and stays.
 *
 * key_create_or_update() would look it up by name each time, under a semaphore
 * that add_key(2) already holds for ->preparse: with a writer in between, for
 * ever.  So one key made at load tells.
 */
static struct key_type *vr_fscrypt_type;

static int find_fscrypt_type(void)
{
	struct {
		struct fscrypt_provisioning_key_payload head;
		u8 raw[VAULTRING_DEK_MAX];
	} dummy = { .head.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER };
	struct key *ring;
	key_ref_t key;

	ring = keyring_alloc(".vaultring", GLOBAL_ROOT_UID, GLOBAL_ROOT_GID,
			     current_cred(), KEY_POS_ALL,
			     KEY_ALLOC_NOT_IN_QUOTA, NULL, NULL);
	if (IS_ERR(ring))
		return PTR_ERR(ring);
	key = key_create_or_update(make_key_ref(ring, true),
				   "fscrypt-provisioning", "vaultring",
				   &dummy, sizeof(dummy), KEY_POS_ALL,
				   KEY_ALLOC_NOT_IN_QUOTA);
	key_put(ring);
	if (IS_ERR(key))
		return PTR_ERR(key) == -ENODEV ? 0 : PTR_ERR(key);
	vr_fscrypt_type = key_ref_to_ptr(key)->type;
	key_ref_put(key);
	return 0;
}

static int provision_in(struct key *ring, const char *desc, const void *payload,
			size_t len)
{
	const struct cred *cred = current_cred();
	struct key *key;
	int err;

	key = key_alloc(vr_fscrypt_type, desc, cred->fsuid, cred->fsgid, cred,
			KEY_POS_VIEW | KEY_POS_SEARCH | KEY_POS_LINK |
			KEY_POS_SETATTR | KEY_USR_VIEW,
			KEY_ALLOC_IN_QUOTA, NULL);
	if (IS_ERR(key))
		return PTR_ERR(key);
	err = key_instantiate_and_link(key, payload, len, ring, NULL);
	key_put(key);
	return err;
}

/*
 * Hand the DEK to fscrypt.  From here the key belongs to fscrypt: revoking the
 * KEK does not reach it, removing it from the file system does.
 *
 * -ENOKEY: the task has no session keyring of its own, and making one would
 * replace the credentials that add_key(2) goes on to use.
 */
static int provision(const char *desc, const struct vr_secret *dek)
{
	const struct key *session = current_cred()->session_keyring;
	struct fscrypt_provisioning_key_payload *payload;
	size_t len = sizeof(*payload) + dek->len;
	key_ref_t ring;
	int err;

	if (!vr_fscrypt_type)
		return -EOPNOTSUPP;
	if (!session || test_bit(KEY_FLAG_UID_KEYRING, &session->flags))
		return -ENOKEY;
	ring = lookup_user_key(KEY_SPEC_SESSION_KEYRING, 0, KEY_NEED_WRITE);
	if (IS_ERR(ring))
		return PTR_ERR(ring);
	payload = kzalloc(len, GFP_KERNEL);
	if (payload) {
		payload->type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER;
		memcpy(payload->raw, dek->data, dek->len);
		err = provision_in(key_ref_to_ptr(ring), desc, payload, len);
		kfree_sensitive(payload);
	} else {
		err = -ENOMEM;
	}
	key_ref_put(ring);
	return err;
}

/* Provision what is for fscrypt and for nothing else. */
static int maybe_provision(const struct vr_dek_args *args, unsigned int use,
			   const struct vr_secret *dek)
{
	if (!args->provision)
		return 0;
	if (use != VAULTRING_USE_FSCRYPT)
		return -EOPNOTSUPP;
	return provision(args->provision, dek);
}

/*
 * The payloads
 */

static int dek_new(const struct vr_dek_args *args, struct vaultring_blob *blob)
{
	struct vr_secret dek = { .len = args->bits / 8 };
	struct vr_kek *kek;
	int err;

	/* Not provisioned: its blob, not stored yet, could still be lost. */
	if (!args->kek || !args->use || args->provision || args->bits % 8 ||
	    !vr_use_bits_ok(args->use, args->bits))
		return -EINVAL;
	kek = vr_kek_request_name(args->kek);
	if (IS_ERR(kek))
		return PTR_ERR(kek);
	err = wait_for_random_bytes() ?: vr_kek_enter(kek);
	if (!err) {
		get_random_bytes(dek.data, dek.len);
		err = vr_blob_seal(kek, args->use, NULL, &dek, blob);
		vr_secret_wipe(&dek);
		vr_kek_leave(kek);
	}
	vr_kek_put(kek);
	return err;
}

/* Take a blob only if it opens: a damaged one is better noticed here. */
static int dek_load(const struct vr_dek_args *args, const void *data,
		    size_t len, struct vaultring_blob *out)
{
	const struct vaultring_blob *blob = vr_blob_check(data, len);
	struct vr_kek *kek = NULL;
	struct vr_secret dek;
	unsigned int noio;
	int err;

	if (IS_ERR(blob))
		return PTR_ERR(blob);
	/* A revoke waits for us, and a disk may wait for the revoke. */
	noio = memalloc_noio_save();
	err = vr_blob_unlock(blob, &dek, &kek) ?:
	      maybe_provision(args, blob->use, &dek);
	vr_blob_lock(&dek, kek);
	memalloc_noio_restore(noio);
	if (!err)
		memcpy(out, blob, sizeof(*out));
	return err;
}

static int dek_load_hex(struct vr_dek_args *args, char *text,
			struct vaultring_blob *blob)
{
	const char *hex = next_word(&text);
	u8 bytes[VAULTRING_BLOB_SIZE];
	int err;

	if (!hex || strlen(hex) != 2 * sizeof(bytes) ||
	    hex2bin(bytes, hex, sizeof(bytes)))
		return -EINVAL;
	err = parse_options(args, text);
	if (!err && (args->kek || args->use || args->bits))
		err = -EINVAL;
	return err ?: dek_load(args, bytes, sizeof(bytes), blob);
}

/* "rewrap" has no blob yet: it leaves the new KEK for vr_dek_update(). */
static int dek_rewrap(const struct vr_dek_args *args, struct vr_kek **kek)
{
	struct vr_kek *found;

	if (!args->kek || args->use || args->bits || args->provision)
		return -EINVAL;
	found = vr_kek_request_name(args->kek);
	if (IS_ERR(found))
		return PTR_ERR(found);
	*kek = found;
	return 0;
}

static int preparse_text(char *text, struct vaultring_blob *blob,
			 struct vr_kek **kek)
{
	struct vr_dek_args args = {};
	const char *verb = next_word(&text);
	int err;

	if (verb && !strcmp(verb, "load"))
		return dek_load_hex(&args, text, blob);
	err = parse_options(&args, text);
	if (err)
		return err;
	if (verb && !strcmp(verb, "new"))
		return dek_new(&args, blob);
	if (verb && !strcmp(verb, "rewrap"))
		return dek_rewrap(&args, kek);
	return -EINVAL;
}

static int preparse(const void *data, size_t len, struct vaultring_blob *blob,
		    struct vr_kek **kek)
{
	const struct vr_dek_args no_args = {};
	char *text;
	int err;

	if (len >= sizeof(blob->magic) &&
	    !memcmp(data, VAULTRING_BLOB_MAGIC, sizeof(blob->magic)))
		return dek_load(&no_args, data, len, blob);
	if (!len || len > VR_TEXT_MAX || memchr(data, '\0', len))
		return -EINVAL;
	text = kmemdup_nul(data, len, GFP_KERNEL);
	if (!text)
		return -ENOMEM;
	err = preparse_text(text, blob, kek);
	kfree(text);
	return err;
}

/*
 * Everything that may sleep for the daemon happens here, where no key and no
 * keyring is locked.  Leaves either a payload or, to rewrap, a KEK.
 *
 * keyctl_update() holds nothing that keeps the module, and calls ->update and
 * ->free_preparse later: until the latter, which follows each ->preparse, there
 * is a reference on the module.
 */
static int vr_dek_preparse(struct key_preparsed_payload *prep)
{
	struct vr_kek *kek = NULL;
	struct vr_dek *dek;
	int err;

	if (!try_module_get(THIS_MODULE))
		return -ENOKEY;
	prep->payload.data[2] = THIS_MODULE;
	dek = kzalloc(sizeof(*dek), GFP_KERNEL);
	if (!dek)
		return -ENOMEM;
	err = preparse(prep->data, prep->datalen, &dek->blob, &kek);
	if (err || kek) {
		kfree(dek);
		dek = NULL;
	}
	prep->payload.data[0] = dek;
	prep->payload.data[1] = kek;
	prep->quotalen = sizeof(*dek);
	return err;
}

static void vr_dek_free_preparse(struct key_preparsed_payload *prep)
{
	struct vr_kek *kek = prep->payload.data[1];

	kfree(prep->payload.data[0]);
	if (kek)
		vr_kek_put(kek);
	module_put(prep->payload.data[2]);
}

static int vr_dek_instantiate(struct key *key,
			      struct key_preparsed_payload *prep)
{
	int err;

	if (!prep->payload.data[0])
		return -EINVAL;	/* nothing here to rewrap */
	err = key_payload_reserve(key, prep->quotalen);
	if (err)
		return err;
	rcu_assign_keypointer(key, prep->payload.data[0]);
	prep->payload.data[0] = NULL;
	return 0;
}

/* Wrap the same DEK under another KEK; asks nobody, as key->sem is held. */
static struct vr_dek *rewrapped(const struct vr_dek *old, struct vr_kek *kek)
{
	struct vr_dek *new = kzalloc(sizeof(*new), GFP_KERNEL);
	struct vr_secret dek;
	struct vr_kek *from;
	int err;

	if (!new)
		return ERR_PTR(-ENOMEM);
	from = vr_kek_find_id(old->blob.kek_id);
	if (IS_ERR(from)) {
		kfree(new);
		return ERR_CAST(from);
	}
	/* While the DEK is about, a revoke waits. */
	err = vr_kek_enter(from);
	if (!err) {
		err = vr_blob_open(from, &old->blob, &dek) ?:
		      vr_blob_seal(kek, old->blob.use, old->blob.dek_id, &dek,
				   &new->blob);
		vr_secret_wipe(&dek);
		vr_kek_leave(from);
	}
	vr_kek_put(from);
	if (err) {
		kfree(new);
		return ERR_PTR(err);
	}
	return new;
}

/*
 * Rewrap, or take another blob of the same DEK.  One of another DEK is refused
 * with -EEXIST: it would silently replace a key that a disk may depend on.
 */
static int vr_dek_update(struct key *key, struct key_preparsed_payload *prep)
{
	struct vr_dek *old = dereference_key_locked(key);
	struct vr_dek *new = prep->payload.data[0];

	/* /sbin/request-key may have left a negative one of this type. */
	if (key_is_negative(key))
		return -ENOKEY;
	if (!new) {
		new = rewrapped(old, prep->payload.data[1]);
		if (IS_ERR(new))
			return PTR_ERR(new);
	} else if (memcmp(new->blob.dek_id, old->blob.dek_id,
			  sizeof(old->blob.dek_id))) {
		return -EEXIST;
	}
	prep->payload.data[0] = NULL;
	rcu_assign_keypointer(key, new);
	kfree(old);
	return 0;
}

static void vr_dek_destroy(struct key *key)
{
	kfree(key->payload.data[0]);
}

/* No look at the payload: a type that goes away overwrites it. */
static void vr_dek_describe(const struct key *key, struct seq_file *m)
{
	seq_puts(m, key->description);
}

/* Gives out the blob; there is no code path here that holds the key. */
static long vr_dek_read(const struct key *key, char *buffer, size_t size)
{
	const struct vr_dek *dek = dereference_key_locked(key);

	if (buffer && size >= sizeof(dek->blob))
		memcpy(buffer, &dek->blob, sizeof(dek->blob));
	return sizeof(dek->blob);
}

static struct key_type vr_dek_type = {
	.name		= "vault-dek",
	.preparse	= vr_dek_preparse,
	.free_preparse	= vr_dek_free_preparse,
	.instantiate	= vr_dek_instantiate,
	.update		= vr_dek_update,
	.destroy	= vr_dek_destroy,
	.describe	= vr_dek_describe,
	.read		= vr_dek_read,
};

int vr_dek_type_init(void)
{
	return find_fscrypt_type() ?: register_key_type(&vr_dek_type);
}

void vr_dek_type_exit(void)
{
	unregister_key_type(&vr_dek_type);
}
