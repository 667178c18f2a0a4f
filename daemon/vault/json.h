/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What vaults send: JSON, base64
 *
 * All return 0 or a failure made by vault_fail() that names the member: what is
 * missing, of another type or not base64 is -EKEYREJECTED.
 */
#ifndef VAULTRING_JSON_H
#define VAULTRING_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "../secret.h"

/* One object, and no member twice in any. */
int body_parse(const struct secret *body, json_t **out);

int need_object(const json_t *in, const char *name, json_t **out);
int need_array(const json_t *in, const char *name, json_t **out);
int need_string(const json_t *in, const char *name, const char **out);
int need_integer(const json_t *in, const char *name, json_int_t *out);
/* *out stays as it is where there is no such member, or null. */
int may_object(const json_t *in, const char *name, json_t **out);
int may_string(const json_t *in, const char *name, const char **out);
int may_integer(const json_t *in, const char *name, json_int_t *out);
int may_bool(const json_t *in, const char *name, bool *out);

enum base64 {
	BASE64_STD,	/* RFC 4648 section 4, padded */
	BASE64_URL,	/* section 5, without padding */
};

/* A string in base64, at most max bytes of it; how many, or as above. */
ssize_t need_bytes(const json_t *in, const char *name, enum base64 how,
		   void *out, size_t max);

/*
 * Nothing but the alphabet, no bits left over.  How many bytes or -EINVAL; the
 * time it takes tells the length only.
 */
ssize_t base64_decode(enum base64 how, const char *in, size_t len, void *out,
		      size_t max);
#define BASE64_SIZE(len) (((len) + 2) / 3 * 4 + 1)
/* Writes BASE64_SIZE(len) bytes at most; returns the length. */
size_t base64_encode(enum base64 how, const void *in, size_t len, char *out);

#endif /* VAULTRING_JSON_H */
