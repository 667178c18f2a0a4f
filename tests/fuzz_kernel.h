/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What fuzz_kernel is made of: fuzz_message.c makes messages from the protocol's
 * tables, fuzz_kernel.c sends them, and keys, blobs and envelopes that are not what
 * they should be.
 */
#ifndef FUZZ_KERNEL_H
#define FUZZ_KERNEL_H

#include <linux/vaultring_format.h>

#include "vr_test.h"

enum attr_kind {
	KIND_NONE, KIND_U32, KIND_U64, KIND_STRING, KIND_BINARY, KIND_NEST,
	KIND_PAD,
};

/* One attribute of the specification, by its number in its set. */
struct attr_spec {
	const char *name;
	enum attr_kind kind;
	unsigned int max_len, exact_len;	/* 0: not said */
	const struct attr_spec *nested;		/* of a nest */
	unsigned int n_nested;
	int repeats;
};

struct op_spec {
	const char *name;
	uint8_t cmd;
	int dump;
	unsigned int n;
	uint8_t attrs[16];		/* of a request */
};

/*
 * What is good, for messages to begin with.  The guard is what must go on working,
 * and nothing names it where that would end it; the victim may be revoked.
 */
struct world {
	int nl;
	struct soft_vault vaults[3];
	struct kek guard, victim, several;	/* the last of 2 of 3 vaults */
	/* The guard's, the second for gcm. */
	uint8_t blob[VAULTRING_BLOB_SIZE], other_blob[VAULTRING_BLOB_SIZE];
	uint64_t unseal;		/* one that has begun */
	struct vaultring_transport kept;	/* if it is there */
	int has_kept;
};

/* --- chance; the same seed gives the same --- */

void rnd_seed(uint64_t seed);
unsigned int rnd(unsigned int n);	/* 0 to n - 1 */
int chance(unsigned int percent);
void rnd_fill(void *out, size_t len);
/* Changes a few bytes, or more or fewer of them; the new length, at most room. */
size_t mutate(uint8_t *data, size_t len, size_t room);

/* --- fuzz_kernel.c --- */

#define RING	KEY_SPEC_PROCESS_KEYRING

extern struct world w;
extern unsigned long round_now;

/* Says when that was, and ends. */
void bad(const char *what, int err) __attribute__((noreturn));
/* What came of a try: 0 or a negative errno. */
void count(int err);
/* A transform under that blob, for alg_crypt(); or a negative errno */
int keyed_op(const uint8_t *key);
int encrypts_as_ever(int op);

/* --- fuzz_message.c --- */

/* A request of that family, more or less; what it is. */
const struct op_spec *message_make(struct nl_msg *m);

/* --- fuzz_payload.c --- */

void try_payload(void);
void try_blob(void);
void try_envelope(void);
void try_transport(void);

#endif /* FUZZ_KERNEL_H */
