/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buffers for secrets: never swapped, dumped or inherited, wiped when freed
 *
 * A clear share passes through JSON, too, whose memory is not such a buffer but
 * is at least wiped when it is freed.
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

/* From here on jansson wipes what it frees; before it is used. */
void secret_wipe_json(void);
/* A text of json_dumps(), or NULL. */
void secret_free_text(char *text);

#endif /* VAULTRING_SECRET_H */
