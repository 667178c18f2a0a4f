/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Staying in sync with the vaults
 *
 * sync.c looks at the vault keys of the store's envelopes now and then and
 * remembers each one's last definite word, whoever asked for it.  sync_keks.c
 * draws the conclusions: for KEKs that too many vaults refuse, and for leases.
 */
#ifndef VAULTRING_SYNC_H
#define VAULTRING_SYNC_H

#include "daemon.h"

enum key_word {
	KEY_UNHEARD, KEY_AGREES,
	KEY_DOUBTED,	/* refused once, and has never agreed since we started */
	KEY_REFUSED,
};

/* One key that envelopes name: a vault's reference and a fingerprint. */
struct sync_key {
	struct sync_key *next;
	char ref[VAULTRING_MAX_VAULT + 1];
	const char *name;		/* of the key, in ref; may be "" */
	uint8_t fingerprint[FINGERPRINT_SIZE];
	uint32_t method;		/* of the shares; 0: not known yet */
	enum key_word word;		/* an outage leaves it as it was */
	char reason[512];		/* of a refusal; whole, as the worker gave it */
	uint64_t heard_at;		/* seconds since the epoch; 0: never */
	uint64_t doubted_at;		/* CLOCK_MONOTONIC */
	bool other_method;		/* and the journal knows */
	bool has_newest;		/* another version of it, with: */
	uint8_t newest[FINGERPRINT_SIZE];
	uint64_t newest_at;		/* in which round that was asked */
	bool used;
};

int sync_new(struct daemon *d, struct sync **sync);
void sync_free(struct sync *sync);

/* An envelope came, a KEK was unsealed, or a key has changed its mind. */
void sync_look(struct daemon *d);
/*
 * What became of a request for that key: err as in struct worker_reply.  Nothing
 * is done about it before this returns.
 */
void sync_heard(struct daemon *d, const char *ref, const uint8_t *fingerprint,
		int err, bool here, const char *message);
/*
 * A person has had that vault checked, and err is what came of it: if it refuses, or
 * has refused, all its keys are looked at now.  A vault that rests may be asked again.
 */
void sync_checked(struct daemon *d, const char *ref, int err);
/* NULL: nothing has been asked of it yet */
const struct sync_key *sync_find(const struct sync *sync, const char *ref,
				 const uint8_t *fingerprint);
/* NULL after the last one; any vault's, see ref */
const struct sync_key *sync_next(const struct sync *sync,
				 const struct sync_key *key);

/* sync_keks.c */
struct sync_keks;

int sync_keks_new(struct daemon *d, struct sync_keks **keks);
void sync_keks_free(struct sync_keks *keks);
/* Judges all KEKs by what is known of their vaults' keys, and acts. */
void sync_keks_look(struct sync_keks *keks, const struct sync *sync);
/* Whether too many vaults refuse it for an unseal. */
bool sync_refused(const struct sync *sync, const struct envelope *e);
/* Whether a vault has a newer version of its key than the one it was made with. */
bool sync_newer(const struct sync *sync, const struct envelope *e);
/* The names of the KEKs that were made with that key, as far as there is room. */
void sync_names(struct daemon *d, const struct sync_key *key, char *text,
		size_t size);

#endif /* VAULTRING_SYNC_H */
