/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Freezing all volumes under a KEK, and resuming them, within a bounded time
 */
#ifndef VAULTRING_FREEZE_H
#define VAULTRING_FREEZE_H

#include <sys/types.h>

#include "luks.h"

#define MAPPING_SIZE	128	/* of a name, with its NUL; the kernel's bound */

/* What came of one mapping. */
enum frozen {
	FROZEN_FAILED,		/* also: its process died */
	FROZEN_OTHER,		/* under another KEK, or none */
	FROZEN_DONE,
	FROZEN_ALREADY,
	FROZEN_UNKNOWN,		/* ours, but its header does not name the KEK */
	FROZEN_NEEDED,		/* the running system stands on it */
	FROZEN_LATE,		/* not within the time */
};

struct mapping {
	char name[MAPPING_SIZE];
	enum frozen outcome;
	pid_t pid;		/* of the process at work on it */
	int fd;			/* on which that says the outcome, or -1 */
};

struct mappings {
	struct mapping *list;
	size_t n;
};

int mappings_add(struct mappings *mappings, const char *name);
void mappings_free(struct mappings *mappings);

/*
 * Freeze each open volume under one of these KEKs (an array of ids in hex).
 * All at once, each by a process of its own: one disk that hangs costs no other
 * its rest, and no longer than @timeout_ms.
 */
void freeze_volumes(const json_t *ids, int timeout_ms, struct mappings *out);
/* Resume each of these; FROZEN_DONE is one that goes on. */
void thaw_volumes(struct mappings *mappings, int timeout_ms);
/* Say what came of each; how many of them will see errors. */
unsigned int freeze_report(const struct mappings *mappings);

#endif /* VAULTRING_FREEZE_H */
