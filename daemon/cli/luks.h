/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LUKS2 volumes under a blob: what the files of `vaultring luks` share
 */
#ifndef VAULTRING_LUKS_H
#define VAULTRING_LUKS_H

#include <libcryptsetup.h>

#include "cli.h"

#define LUKS_TOKEN_TYPE		"vaultring"
#define LUKS_CIPHER		"paes"

/* luks_header.c */
struct volume {
	uint8_t blob[VAULTRING_BLOB_SIZE];
	struct dek_info info;
};

typedef void luks_log_fn(int level, const char *message, void *device);

/* libcryptsetup's own words in our form, and none where ours are clearer. */
void luks_say(int level, const char *message, void *device);
void luks_quiet(int level, const char *message, void *device);

struct crypt_device *luks_device(const char *device, luks_log_fn *log);
/* The open volume of that name, of our kind; NULL and @why not. */
struct crypt_device *luks_mapping(const char *name, char *why, size_t size);
bool luks_is_frozen(struct crypt_device *cd, const char *name);
char *luks_make_token(const char *kek, const struct volume *volume);
/* 1: found; 0: there is none; -1: damaged, and that has been said. */
int luks_find_token(struct crypt_device *cd, const char *device,
		    struct volume *volume);

/* cmd_luks_suspend.c */
int luks_suspend(const struct verb *verb, int argc, char *argv[]);
int luks_resume(const struct verb *verb, int argc, char *argv[]);
/* Key a frozen volume anew and let its I/O go on; 0, or says why not. */
int luks_thaw(struct crypt_device *cd, const char *name,
	      const struct volume *volume);

/* cmd_luks_guard.c */
int luks_guard(const struct verb *verb, int argc, char *argv[]);

/* stack.c: what of the running system stands on a mapping; NULL: nothing */
const char *stack_on_top(const char *name);

#endif /* VAULTRING_LUKS_H */
