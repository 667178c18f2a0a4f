// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a LUKS2 volume of ours says about itself: its header's token, and the
 * mapping that is open
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "luks.h"

void luks_say(int level, const char *message, void *device)
{
	int len = (int)strcspn(message, "\n");

	if (level == CRYPT_LOG_ERROR)
		say_error("%s: %.*s", (const char *)device, len, message);
}

void luks_quiet(int level, const char *message, void *device)
{
	(void)level;
	(void)message;
	(void)device;
}

struct crypt_device *luks_device(const char *device, luks_log_fn *log)
{
	struct crypt_device *cd;
	int err;

	crypt_set_log_callback(NULL, luks_quiet, NULL);
	err = crypt_init(&cd, device);
	if (err) {
		say_error("%s: %s", device, access(device, R_OK) ?
			  strerror(errno) : strerror(-err));
		return NULL;
	}
	crypt_set_log_callback(cd, log, (void *)device);
	return cd;
}

struct crypt_device *luks_mapping(const char *name, char *why, size_t size)
{
	struct crypt_device *cd = NULL;
	const char *type, *cipher;

	crypt_set_log_callback(NULL, luks_quiet, NULL);
	if (crypt_status(NULL, name) < CRYPT_ACTIVE) {
		snprintf(why, size, "there is no mapping /dev/mapper/%s", name);
		return NULL;
	}
	if (crypt_init_by_name(&cd, name)) {
		snprintf(why, size, "%s: a mapping, but not an encrypted volume",
			 name);
		return NULL;
	}
	crypt_set_log_callback(cd, luks_quiet, NULL);
	type = crypt_get_type(cd);
	cipher = crypt_get_cipher(cd);
	if (type && !strcmp(type, CRYPT_LUKS2) && cipher &&
	    !strcmp(cipher, LUKS_CIPHER))
		return cd;
	if (type && cipher)
		snprintf(why, size, "%s: %s, encrypted with %s; this is for "
			 "LUKS2 volumes under a vault's key", name, type, cipher);
	else
		snprintf(why, size, "%s: no LUKS2 volume, or its header cannot "
			 "be read", name);
	crypt_free(cd);
	return NULL;
}

bool luks_is_frozen(struct crypt_device *cd, const char *name)
{
	struct crypt_active_device active;

	return !crypt_get_active_device(cd, name, &active) &&
	       active.flags & CRYPT_ACTIVATE_SUSPENDED;
}

char *luks_make_token(const char *kek, const struct volume *volume)
{
	char base64[(VAULTRING_BLOB_SIZE + 2) / 3 * 4 + 1];
	json_t *token;
	char *text;

	EVP_EncodeBlock((uint8_t *)base64, volume->blob, VAULTRING_BLOB_SIZE);
	token = json_pack("{s:s, s:[], s:s, s:s, s:s}", "type", LUKS_TOKEN_TYPE,
			  "keyslots", "kek", kek, "kek_id", volume->info.kek_id,
			  "blob", base64);
	text = token ? json_dumps(token, JSON_COMPACT) : NULL;
	json_decref(token);
	return text;
}

/* 1: this token is ours and well-formed; 0: not ours; -1: ours, but broken. */
static int parse_token(const char *device, const char *text,
		       struct volume *volume)
{
	uint8_t data[4 * (VAULTRING_BLOB_SIZE / 3 + 2)];
	json_t *token = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	const char *type, *blob, *id;
	size_t len;
	int ok = -1;

	type = json_string_value(json_object_get(token, "type"));
	if (!type || strcmp(type, LUKS_TOKEN_TYPE)) {
		json_decref(token);
		return 0;
	}
	blob = json_string_value(json_object_get(token, "blob"));
	id = json_string_value(json_object_get(token, "kek_id"));
	len = blob ? strlen(blob) : 0;
	/*
	 * 136 bytes are 46 groups of four, of which the last holds one byte.
	 * OpenSSL passes over blanks at the ends, and gives less then.
	 */
	if (len == (VAULTRING_BLOB_SIZE + 2) / 3 * 4 &&
	    EVP_DecodeBlock(data, (const uint8_t *)blob, (int)len) ==
	    (int)len / 4 * 3 &&
	    !dek_parse(device, data, VAULTRING_BLOB_SIZE, &volume->info) &&
	    id && !strcmp(id, volume->info.kek_id)) {
		memcpy(volume->blob, data, VAULTRING_BLOB_SIZE);
		ok = 1;
	} else {
		say_error("%s: the vaultring token in its header is damaged; "
			  "restore the header from a backup "
			  "(cryptsetup luksHeaderRestore)", device);
	}
	json_decref(token);
	return ok;
}

int luks_find_token(struct crypt_device *cd, const char *device,
		    struct volume *volume)
{
	int i, found = 0, max = crypt_token_max(CRYPT_LUKS2);
	const char *text;

	for (i = 0; i < max && !found; i++) {
		if (crypt_token_status(cd, i, NULL) <= CRYPT_TOKEN_INACTIVE ||
		    crypt_token_json_get(cd, i, &text) < 0)
			continue;
		found = parse_token(device, text, volume);
	}
	return found;
}
