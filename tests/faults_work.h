/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of faults_work share. */
#ifndef FAULTS_WORK_H
#define FAULTS_WORK_H

#include "vr_test.h"

#define WRONG 1		/* beside the negative errnos: a wrong result */
#define STEPS_MAX 16

struct state {
	struct soft_vault vault;
	struct kek kek, fresh;
	int nl;
	uint8_t blob[VAULTRING_BLOB_SIZE], expected[4096];
	key_serial_t key;
};

/* 0, a negative errno or WRONG; begins with faults on. */
struct step {
	const char *name;
	int (*run)(struct state *s);
};

/* This task's allocations; the kernel decides which of them fail. */
void faults(int on);

/* faults_shares.c */
extern const struct step share_steps[];
extern const size_t n_share_steps;
int shares_prepare(struct state *s);
void shares_end(struct state *s);

#endif
