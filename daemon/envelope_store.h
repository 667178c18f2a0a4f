/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The envelopes on disk: keks/NAME@VERSION.env in the state folder
 *
 * Each file is one raw envelope.  The store looks at the folder again when it
 * has changed, so that envelopes may be restored from a backup at any time.
 * Files that are damaged are reported, skipped and never touched.
 */
#ifndef VAULTRING_ENVELOPE_STORE_H
#define VAULTRING_ENVELOPE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vaultring.h>
#include <linux/vaultring_format.h>

#include "util.h"

#define ENVELOPE_FILE_MAX 96	/* NAME@VERSION.env and its zero */

struct envelope {
	char name[VAULTRING_MAX_NAME + 1];
	uint32_t version;
	uint8_t id[VAULTRING_ID_SIZE];
	uint32_t uses, lease;
	enum vaultring_lease_end lease_end;
	uint64_t not_before, not_after;
	uint32_t uids[VAULTRING_MAX_SUBJECTS], gids[VAULTRING_MAX_SUBJECTS];
	unsigned int n_uids, n_gids, threshold, n_shares;
	struct {
		char vault[VAULTRING_MAX_VAULT + 1];
		uint32_t method;	/* enum vaultring_method */
		uint8_t fingerprint[FINGERPRINT_SIZE];
	} shares[VAULTRING_MAX_SHARES];
	/* Why the file is of no use; name and version are the file name's. */
	const char *damage;
	char file[ENVELOPE_FILE_MAX];
};

struct store;

int store_open(const char *state_folder, struct store **store);
void store_close(struct store *store);

/* Valid until the next call on the store. */
size_t store_list(struct store *store, const struct envelope **list);
/* version 0: the newest */
const struct envelope *store_find(struct store *store, const char *name,
				  uint32_t version);
const struct envelope *store_find_id(struct store *store,
				     const uint8_t id[VAULTRING_ID_SIZE]);
/* The file's bytes as they are now; the caller frees them. */
int store_read(struct store *store, const struct envelope *e, uint8_t **data,
	       size_t *len);
/* -EEXIST if that name and version is there; leaves nothing if it fails. */
int store_add(struct store *store, const char *name, uint32_t version,
	      const void *data, size_t len);
/*
 * Puts another envelope of the same KEK in the place of e's, at once; if it
 * fails either of them is there, whole.
 */
int store_replace(struct store *store, const struct envelope *e,
		  const void *data, size_t len);
const char *store_path(struct store *store);

/* NULL, or what is wrong with it; fills all but file. */
const char *envelope_parse(const void *data, size_t len, struct envelope *e);
/*
 * Whether that user might be one who may have it unsealed.  Only the kernel
 * knows all the groups of a task: if any group is listed, it has to decide.
 */
bool envelope_may_allow(const struct envelope *e, uint32_t uid);

#endif /* VAULTRING_ENVELOPE_STORE_H */
