// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Blobs, and the token in a LUKS2 header that carries one
 *
 * The input is a token's JSON, and again a blob with changes to its token: a place,
 * in two bytes, and what is there then.
 */

#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#include "cli/dek.c"
#include "cli/luks_header.c"

#define TEXT_SIZE	((VAULTRING_BLOB_SIZE + 2) / 3 * 4)

/* Of the kernel and the daemon there is nothing here. */
json_t *kernel_keks(int *err)
{
	*err = -ENODEV;
	return NULL;
}

json_t *daemon_keks(struct daemon_error *error)
{
	(void)error;
	return NULL;
}

json_t *find_kek(json_t *keks, const char *name, const char *id_hex)
{
	(void)keks;
	(void)name;
	(void)id_hex;
	return NULL;
}

int daemon_kek_unseal(const char *name, json_int_t version)
{
	(void)name;
	(void)version;
	return -1;
}

int kek_ensure(const char *name)
{
	(void)name;
	return -1;
}

static void check_info(const struct dek_info *info, const uint8_t *blob)
{
	uint8_t id[16];

	HOLDS(use_number(info->use) == blob[6] &&
	      blob[6] != VAULTRING_USE_TRANSPORT);
	HOLDS(info->bits == 8 * blob[7] && info->bits >= 128 &&
	      info->bits <= 512);
	HOLDS(!hex_decode(info->kek_id, id, 16) && !memcmp(id, blob + 8, 16));
	HOLDS(!hex_decode(info->dek_id, id, 16) && !memcmp(id, blob + 24, 16));
}

/* The bytes that were taken are those that the text has, all of them. */
static void check_token(const char *text, const struct volume *v)
{
	json_t *token = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	const char *blob = json_string_value(json_object_get(token, "blob"));
	char again[TEXT_SIZE + 1];
	size_t i;

	HOLDS(blob && strlen(blob) == TEXT_SIZE);
	EVP_EncodeBlock((uint8_t *)again, v->blob, VAULTRING_BLOB_SIZE);
	/* 45 whole groups; OpenSSL takes = for 0 in them. */
	for (i = 0; i < 180; i++)
		HOLDS(again[i] == (blob[i] == '=' ? 'A' : blob[i]));
	check_info(&v->info, v->blob);
	json_decref(token);
}

static void try_token(const char *text)
{
	struct volume v;
	int found;

	/* What was not read shows. */
	memset(&v, 0xee, sizeof(v));
	*fuzz_said = 0;
	found = parse_token("device", text, &v);
	HOLDS(found == 0 || found == 1 || (found == -1 && *fuzz_said));
	if (found == 1)
		check_token(text, &v);
}

static void try_blob(struct fuzz_input in)
{
	uint8_t *blob = fuzz_copy(in.at, in.end - in.at);
	size_t len = in.end - in.at, at;
	struct volume v, back;
	char *text;

	*fuzz_said = 0;
	if (len >= VAULTRING_BLOB_SIZE)
		len = VAULTRING_BLOB_SIZE;
	if (dek_parse("file", blob, len, &v.info)) {
		HOLDS(*fuzz_said);
		free(blob);
		return;
	}
	HOLDS(len == VAULTRING_BLOB_SIZE);
	check_info(&v.info, blob);
	memcpy(v.blob, blob, len);
	free(blob);
	text = luks_make_token("kek", &v);
	HOLDS(text && parse_token("device", text, &back) == 1 &&
	      !memcmp(back.blob, v.blob, len));
	for (in.at += len; in.end - in.at >= 3; ) {
		at = fuzz_byte(&in) * 256;
		at += fuzz_byte(&in);
		text[at % strlen(text)] = fuzz_byte(&in) ?: ' ';
		try_token(text);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, data + len };
	char *text = fuzz_text(&in, "\377\377\377\377", NULL);

	try_token(text);
	free(text);
	try_blob((struct fuzz_input){ data, data + len });
	return 0;
}
