/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small helpers that daemon, workers and tools share
 */
#ifndef VAULTRING_UTIL_H
#define VAULTRING_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define FINGERPRINT_SIZE	32
#define FINGERPRINT_HEX		(2 * FINGERPRINT_SIZE + 1)

/* The rule of the uapi: 1 to 63 bytes of A-Z a-z 0-9 . _ - */
bool name_ok(const char *name);
/*
 * Others' words, for journals, terminals and JSON: what is no UTF-8, or a control
 * character, becomes '?'.
 */
void text_tidy(char *text);
/* VAULT or VAULT:KEY, 63 bytes at most of UTF-8; VAULT as name_ok(). */
bool vault_ref_ok(const char *ref);
/* Splits at the first colon; *key is "" without one.  name holds 64 bytes. */
int vault_ref_split(const char *ref, char *name, const char **key);

/* Always ends out with a zero; false if the text did not fit and is cut off. */
bool copy_text(char *out, size_t size, const char *text);

/* out holds 2 * len + 1 bytes. */
void hex_encode(char *out, const void *in, size_t len);
/* Exactly len bytes, upper or lower case; -EINVAL otherwise. */
int hex_decode(const char *hex, void *out, size_t len);
/* As many bytes as there are, up to max; returns how many or -EINVAL. */
ssize_t hex_decode_any(const char *hex, void *out, size_t max);

/* "500ms", "5s", "90", "1h30m", "24h", "7d"; a bare number is seconds. */
int duration_parse(const char *text, uint64_t *usec);

int sha256(const void *data, size_t len, uint8_t out[FINGERPRINT_SIZE]);

int write_all(int fd, const void *data, size_t len);
/* The whole file, -EFBIG beyond max bytes; the buffer has a zero appended. */
int file_read(int dirfd, const char *path, size_t max, uint8_t **data,
	      size_t *len);

enum file_write_how { FILE_REPLACE, FILE_NEW };

/*
 * Puts all of the data under that name in that folder, or nothing: written to
 * a temporary file, synced, put in place, and the folder synced.  FILE_NEW
 * never replaces a file (-EEXIST).
 */
int file_write_atomic(int dirfd, const char *name, const void *data, size_t len,
		      mode_t mode, enum file_write_how how);

uint64_t now_usec(void);	/* CLOCK_MONOTONIC */
/* From nothing to all of it, by chance: so that hosts do not come in step. */
uint64_t part_of(uint64_t usec);

/* The errno's symbol, such as "EAGAIN"; never NULL. */
const char *errno_name(int err);
/* The positive errno of such a symbol, or EIO. */
int errno_from_name(const char *name);

#endif /* VAULTRING_UTIL_H */
