/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PIN of a vault, in a file that pin-source names
 *
 * Vaults lock themselves after some wrong PINs.  So one that was refused is not
 * tried again before its file changes, or somebody asks for a check.
 */
#ifndef VAULTRING_PIN_H
#define VAULTRING_PIN_H

#include <stdbool.h>
#include <sys/stat.h>

#include "../secret.h"

struct pin {
	const char *source;	/* its file, or NULL */
	const char *asker;	/* "the token", for messages */
	bool refused;		/* with the file as it was then */
	struct stat file;
};

/* Takes the path out of pin-source's value, which may be NULL. */
int pin_configure(struct pin *pin, const char *source);
/* At least 1 byte and at most max; to be freed.  pin has a source. */
int pin_read(struct pin *pin, size_t max, struct secret *out);

#endif /* VAULTRING_PIN_H */
