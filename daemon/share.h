/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shares: what each method asks of a vault's worker, and what comes back
 */
#ifndef VAULTRING_SHARE_H
#define VAULTRING_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <linux/vaultring.h>
#include <linux/vaultring_format.h>

#include "util.h"

#define SHARE_X_SIZE		32
#define SHARE_SECRET_SIZE	32
#define SHARE_NONCE_SIZE	32
#define SHARE_WRAPPED_SIZE	VAULTRING_CLEAR_DATA_KEYWRAP
#define CHALLENGE_MAX		VAULTRING_CLEAR_DATA_MAX

/* What is asked of one vault key. */
struct share_question {
	uint32_t method;	/* enum vaultring_method */
	const char *key;	/* of the vault; "": the one of its uri */
	const uint8_t *fingerprint;
	const uint8_t *challenge;
	size_t challenge_len;
	/* If it is sealed: the kernel's transport key. */
	const uint8_t *transport;
	size_t transport_len;
};

/*
 * What a vault key is known by: its public half or, of a symmetric one, a name that
 * no other has, and the SHA-256 of that.
 */
struct share_key {
	bool symmetric;
	uint8_t data[VAULTRING_MAX_PUBLIC_KEY];
	size_t len;
	char fingerprint[FINGERPRINT_HEX];
};

/* A clear share of a symmetric key, as the vault made it; to be wiped. */
struct share_wrapped {
	uint8_t secret[SHARE_SECRET_SIZE];
	uint8_t wrapped[SHARE_WRAPPED_SIZE];
};

/* A clear share's is a secret: whoever has one wipes it. */
struct share_answer {
	uint8_t data[VAULTRING_MAX_ANSWER];
	size_t len;
	uint32_t hash;		/* enum vaultring_hash; 0 unless sealed */
};

/* NULL: no such method */
const char *method_name(uint32_t method);
/* That of a worker's reply; oblivious if it names none, 0 if it is unknown. */
uint32_t method_of(const json_t *body);

/* -EKEYREJECTED: a worker's reply, or the daemon's, holds none. */
int share_take_key(const json_t *body, struct share_key *key);
/* The same of a secret and what the vault made of it */
int share_take_wrapped(const json_t *body, struct share_wrapped *share);

/* The worker's request; NULL: out of memory, or no such method */
json_t *share_request(const struct share_question *q);
/* NULL, or what is wrong with the worker's reply */
const char *share_take(uint32_t method, const json_t *body,
		       struct share_answer *answer);

#endif /* VAULTRING_SHARE_H */
