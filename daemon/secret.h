/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buffers for secrets: never swapped, dumped or inherited, wiped when freed
 */
#ifndef VAULTRING_SECRET_H
#define VAULTRING_SECRET_H

#include <stddef.h>
#include <stdint.h>

struct secret {
	uint8_t *data;
	size_t len;	/* bytes that count */
	size_t size;	/* bytes mapped */
};

/* 0 or a negative errno; len is the room, and what len says at first. */
int secret_alloc(struct secret *secret, size_t len);
void secret_free(struct secret *secret);

#endif /* VAULTRING_SECRET_H */
