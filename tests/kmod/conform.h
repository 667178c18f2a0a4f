/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The conformance suite's own header, grouped by file
 *
 * A subject is a transform of the product beside its twin, the kernel's own
 * one.  A trial is one request to the subject: what it is given, what the twin
 * makes of that, and everything around it that must stay as it was.
 */
#ifndef _VAULTRING_TESTS_CONFORM_H
#define _VAULTRING_TESTS_CONFORM_H

#include <crypto/aead.h>
#include <crypto/skcipher.h>
#include <linux/completion.h>
#include <linux/list.h>
#include <linux/prandom.h>
#include <linux/scatterlist.h>
#include <linux/vaultring_format.h>

#include "tap.h"

#define CONFORM_PIECES	80	/* of a scatterlist */
#define CONFORM_IV	16
#define CONFORM_NAME	32
#define CONFORM_ANY	~0U	/* each piece somewhere else */
#define CONFORM_FLYING	64

/* A transform of either type. */
struct cipher {
	bool aead;
	union {
		struct crypto_skcipher *sk;
		struct crypto_aead *ae;
	};
};

struct conform_key {
	unsigned int len;
	u8 dek[VAULTRING_DEK_MAX];
	u8 blob[VAULTRING_BLOB_SIZE];
};

/*
 * @ours has the first of the keys while no check says otherwise, and each of
 * @twin has the DEK of one.
 */
struct subject {
	struct list_head list;
	char alg[CONFORM_NAME], twin_alg[CONFORM_NAME];
	struct conform_key key[2];
	struct cipher ours, twin[2];
	unsigned int block, iv_size, tag;
	struct rnd_state random;
	u64 seed;
	atomic_t compared;
	atomic_t complaints;	/* notes of the check that runs */
	struct flight *flight;
	/* Instead of ciphers. */
	bool is_mac;
	struct crypto_shash *mac, *mac_twin[2];
	struct mac_flight *mac_flight;
};

/* How a message is divided; @offset of each piece modulo 16. */
struct cut {
	unsigned int n, offset;
	unsigned int len[CONFORM_PIECES];
};

/* What a trial does; what is zero is the plainest there is. */
struct spec {
	unsigned int len;	/* of the text; the tag comes on top of it */
	unsigned int assoc;
	bool decrypt, in_place;
	bool forged;		/* the tag is wrong */
	bool atomic;		/* with bottom halves off, no sleeping */
	u32 flags;		/* CRYPTO_TFM_REQ_* */
	unsigned int iv_offset;
	struct cut src, dst;	/* n == 0: one piece */
};

struct trial {
	struct subject *subject;
	struct spec spec;
	unsigned int max;	/* longest message, with AD and tag */
	unsigned int arena;
	/* Where the pieces lie, and what the same memory has to look like. */
	u8 *src, *dst, *src_image, *dst_image;
	struct scatterlist src_sg[CONFORM_PIECES], dst_sg[CONFORM_PIECES];
	u8 *in, *want[2];
	int want_err[2];
	unsigned int in_len, out_len;
	u8 iv[CONFORM_IV], want_iv[2][CONFORM_IV];
	u8 *iv_room;
	u8 *request;
	unsigned int request_size;
	struct completion done;
	bool backlogged;
	int err;
};

/* conform_main.c */
extern struct tap conform_tap;
extern bool conform_async;
u32 conform_below(struct subject *s, u32 ceil);
void __printf(2, 3) conform_complain(struct subject *s, const char *format, ...);

/* conform_cipher.c */
int cipher_open(struct cipher *c, bool aead, const char *alg, u32 mask);
void cipher_close(struct cipher *c);
int cipher_setkey(const struct cipher *c, const u8 *key, unsigned int len);
int cipher_set_tag(const struct cipher *c, unsigned int len);
unsigned int cipher_request_size(const struct cipher *c);
void cipher_prepare(const struct cipher *c, void *request, u32 flags,
		    crypto_completion_t done, void *data,
		    struct scatterlist *src, struct scatterlist *dst,
		    unsigned int assoc, unsigned int len, u8 *iv);
int cipher_crypt(const struct cipher *c, void *request, bool decrypt);
int cipher_once(const struct cipher *c, u8 *data, unsigned int assoc,
		unsigned int len, u8 *iv, bool decrypt);

/* conform_trial.c */
struct trial *trial_alloc(struct subject *s, unsigned int max);
void trial_free(struct trial *t);
int trial_prepare(struct trial *t, const struct spec *spec);
void trial_reset(struct trial *t);
int trial_start(struct trial *t);
void trial_wait(struct trial *t);
bool trial_judge(struct trial *t, unsigned int keys, const int *errors);
bool try(struct subject *s, const struct spec *spec);
bool try_expecting(struct subject *s, const struct spec *spec, int error);

/* conform_shape.c, conform_key.c, conform_flight.c: checks of a subject */
struct check {
	bool (*run)(struct subject *s);
	const char *sentence;
	bool aead_only;
};

extern const struct check shape_checks[], key_checks[], flight_checks[];
int flight_begin(struct subject *s);
int flight_hold(struct subject *s);
void flight_end(struct subject *s);

/* conform_mac.c */
extern const struct check mac_checks[];
int mac_open(struct subject *s);
void mac_close(struct subject *s);
int mac_begin(struct subject *s);
void mac_end(struct subject *s);

/* conform_inner.c: slow asynchronous ciphers that the product then uses */
struct inner_state {
	atomic_t held;		/* requests that wait for the gate */
	atomic_t requests;
	atomic_t keys;		/* that were set */
	atomic_t early_keys;	/* ... while requests were in flight */
	u32 last_flags;
};

extern struct inner_state inner;
int inner_register(void);
void inner_unregister(void);
void inner_hold(unsigned int n);
void inner_release(void);

#endif /* _VAULTRING_TESTS_CONFORM_H */
