// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Blobs, and the vault-dek keys that make and check them
 *
 * Keys live in the process keyring, so they go away with this program.
 */

#include <errno.h>
#include <fcntl.h>
#include <keyutils.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

int dek_parse(const char *object, const uint8_t *data, size_t len,
	      struct dek_info *info)
{
	const struct vaultring_blob *blob = (const void *)data;

	if (len != VAULTRING_BLOB_SIZE) {
		say_error("%s: %zu bytes; a blob has %d", object, len,
			  VAULTRING_BLOB_SIZE);
		return -EINVAL;
	}
	if (memcmp(blob->magic, VAULTRING_BLOB_MAGIC, sizeof(blob->magic))) {
		say_error("%s: not a blob: it does not begin with "
			  VAULTRING_BLOB_MAGIC, object);
		return -EINVAL;
	}
	if (blob->version != VAULTRING_BLOB_VERSION ||
	    blob->wrap != VAULTRING_WRAP_AES256_GCM || !use_name(blob->use) ||
	    blob->use == VAULTRING_USE_TRANSPORT ||
	    blob->dek_len < VAULTRING_DEK_MIN ||
	    blob->dek_len > VAULTRING_DEK_MAX) {
		say_error("%s: a blob of a kind that this program does not know",
			  object);
		return -EINVAL;
	}
	info->use = use_name(blob->use);
	info->bits = blob->dek_len * 8;
	hex_encode(info->kek_id, blob->kek_id, sizeof(blob->kek_id));
	hex_encode(info->dek_id, blob->dek_id, sizeof(blob->dek_id));
	return 0;
}

int dek_read_file(const char *path, uint8_t blob[VAULTRING_BLOB_SIZE],
		  struct dek_info *info)
{
	uint8_t *data;
	size_t len;
	int err = file_read(AT_FDCWD, path, 4096, &data, &len);

	if (err) {
		say_error("%s: %s", path, err == -EFBIG ?
			  "too long for a blob" : strerror(-err));
		return err;
	}
	err = dek_parse(path, data, len, info);
	if (!err)
		memcpy(blob, data, VAULTRING_BLOB_SIZE);
	free(data);
	return err;
}

/* One errno, one meaning; @kek is a name or NULL, then @id says which. */
static int explain(const char *object, const char *kek, const char *id, int err)
{
	const char *name = kek ? kek : id;

	switch (err) {
	case ENODEV:
		say_error("%s: no \"vault-dek\" keys here; is the vaultring "
			  "module loaded?  Try: modprobe vaultring", object);
		break;
	case ENOKEY:
		say_error("%s: kek %s is not here and the daemon could not get "
			  "it; see: vaultring kek list", object, name);
		break;
	case EAGAIN:
	case ETIMEDOUT:
		say_error("%s: a vault of kek %s is away; worth trying again, "
			  "see: vaultring vault list", object, name);
		break;
	case EACCES:
	case EPERM:
		say_error("%s: you may not use kek %s", object, name);
		break;
	case EKEYREJECTED:
		say_error("%s: forged or corrupt: it does not open under kek %s; "
			  "restore it from a backup", object, name);
		break;
	case EKEYEXPIRED:
		say_error("%s: kek %s is outside its dates or its lease has "
			  "ended; see: vaultring kek list", object, name);
		break;
	case EKEYREVOKED:
		say_error("%s: kek %s was revoked", object, name);
		break;
	case EOPNOTSUPP:
		say_error("%s: kek %s does not allow this use; see: vaultring kek list",
			  object, name);
		break;
	case EDQUOT:
		say_error("%s: your quota of keys is used up; see "
			  "/proc/key-users", object);
		break;
	default:
		say_error("%s: the kernel refused it: %s", object,
			  strerror(err));
	}
	return -err;
}

static int add(const char *payload, key_serial_t *key)
{
	*key = add_key("vault-dek", "vaultring", payload, strlen(payload),
		       KEY_SPEC_PROCESS_KEYRING);
	return *key < 0 ? errno : 0;
}

int dek_new(const char *kek, const char *use, int bits,
	    uint8_t blob[VAULTRING_BLOB_SIZE])
{
	char payload[256], object[128];
	key_serial_t key;
	long len;
	int err;

	snprintf(object, sizeof(object), "new key under kek %s", kek);
	if (kek_ensure(kek))
		return -ENOKEY;
	snprintf(payload, sizeof(payload), "new kek=%s use=%s bits=%d", kek, use,
		 bits);
	err = add(payload, &key);
	if (err)
		return explain(object, kek, NULL, err);
	len = keyctl_read(key, (char *)blob, VAULTRING_BLOB_SIZE);
	err = len < 0 ? errno : len != VAULTRING_BLOB_SIZE ? EPROTO : 0;
	keyctl_unlink(key, KEY_SPEC_PROCESS_KEYRING);
	return err ? explain(object, kek, NULL, err) : 0;
}

/*
 * Have the KEK of that id active; *name is its name if that is known, to free.
 * What can be known is said here, the rest is left to the kernel.
 */
static int ensure_id(const char *object, const char *id, char **name)
{
	struct daemon_error error;
	json_t *keks, *kek;
	const char *state;
	int err;

	*name = NULL;
	keks = kernel_keks(&err);
	if (!keks)
		return err == -EPERM ? 0 : explain(object, NULL, id, ENODEV);
	kek = find_kek(keks, NULL, id);
	state = json_string_value(json_object_get(kek, "state"));
	if (state && !strcmp(state, "active")) {
		*name = strdup(json_string_value(json_object_get(kek, "name")));
		json_decref(keks);
		return 0;
	}
	json_decref(keks);

	keks = daemon_keks(&error);
	if (!keks) {
		say_error("%s: kek %s is not active: %s", object, id,
			  error.message);
		return -ENOKEY;
	}
	kek = find_kek(keks, NULL, id);
	if (!kek) {
		say_error("%s: it is wrapped by kek %s, of which there is no "
			  "usable envelope here; restore NAME@VERSION.env "
			  "to /var/lib/vaultring/keks, owned by vaultring",
			  object, id);
		err = -ENOKEY;
	} else {
		*name = strdup(json_string_value(json_object_get(kek, "name")));
		err = daemon_kek_unseal(*name, json_integer_value(
			json_object_get(kek, "version"))) ? -ENOKEY : 0;
	}
	json_decref(keks);
	return err;
}

int dek_load(const char *object, const uint8_t blob[VAULTRING_BLOB_SIZE],
	     const struct dek_info *info, const char *options)
{
	char payload[1024], hex[2 * VAULTRING_BLOB_SIZE + 1];
	key_serial_t key;
	char *name;
	int err;

	err = ensure_id(object, info->kek_id, &name);
	if (err)
		goto out;
	hex_encode(hex, blob, VAULTRING_BLOB_SIZE);
	snprintf(payload, sizeof(payload), "load %s%s%s", hex,
		 options ? " " : "", options ? options : "");
	err = add(payload, &key);
	if (err)
		err = explain(object, name, info->kek_id, err);
out:
	free(name);
	return err;
}
