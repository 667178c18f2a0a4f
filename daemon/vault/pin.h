/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PIN of a vault, or what else it wants to be shown, in a file that a
 * setting names
 *
 * Vaults lock themselves after some wrong PINs.  So one that was refused for a
 * key is not tried again for it before its file changes, or somebody asks for a
 * check.
 */
#ifndef VAULTRING_PIN_H
#define VAULTRING_PIN_H

#include <stdbool.h>
#include <sys/stat.h>

#include "../secret.h"

#define PIN_KEY_SIZE	64	/* of a key's name */
#define PIN_KEYS_MAX	8

struct pin {
	const char *source;	/* its file, or NULL */
	/* For messages: */
	const char *asker;	/* "the token" */
	const char *what;	/* "PIN" */
	const char *setting;	/* "pin-source" */
	/* For which keys, with the file as it was then; when full, for all. */
	char refused[PIN_KEYS_MAX][PIN_KEY_SIZE];
	unsigned int n_refused;
	char why[80];		/* the last time */
	struct stat file;
};

/* Takes the path out of the setting's value, which may be NULL. */
int pin_configure(struct pin *pin, const char *source);
/*
 * At least 1 byte and at most max, for that key ("": the vault's own); to be
 * freed.  pin has a source.
 */
int pin_read(struct pin *pin, const char *key, size_t max, struct secret *out);
void pin_refuse(struct pin *pin, const char *key, const char *why);
bool pin_is_refused(const struct pin *pin, const char *key);

#endif /* VAULTRING_PIN_H */
