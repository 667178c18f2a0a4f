/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How often a vault is asked
 *
 * So many requests a minute at most, which may come all at once if it was quiet
 * before; looks leave half of them to whoever needs a KEK.  And when the vault
 * itself wants to be left alone.  Times are CLOCK_MONOTONIC, in microseconds.
 */
#ifndef VAULTRING_PACE_H
#define VAULTRING_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
	uint64_t cost;		/* a request's part of the minute; 0: no limit */
	uint64_t paid;		/* until when the requests so far have paid for */
	uint64_t rest_end;	/* looks wait until then, */
	uint64_t brief_end;	/* and an unseal, which is waited for, until then */
};

void pace_init(struct pace *pace, unsigned int limit);
/* A request is sent now. */
void pace_count(struct pace *pace, uint64_t now);
/* It said so; an unseal is not held up for longer than brief. */
void pace_rest(struct pace *pace, uint64_t now, uint64_t usec, uint64_t brief);
void pace_rested(struct pace *pace);
/* When the next request may be sent: in the past, if it may. */
uint64_t pace_next(const struct pace *pace, bool look);

#endif /* VAULTRING_PACE_H */
