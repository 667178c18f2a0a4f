/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One exchange with a throw-away key, to see that a vault computes what it
 * should: it is sent E = e * G and must answer x(e * S), S being its public key.
 */
#ifndef VAULTRING_VAULT_CHECK_H
#define VAULTRING_VAULT_CHECK_H

#include <linux/vaultring_format.h>

struct vault_check;

/* point takes E in hex; -EINVAL if spki is not a key on P-256. */
int vault_check_new(const char *spki_hex,
		    char point[2 * VAULTRING_OBLIVIOUS_DATA + 1],
		    struct vault_check **check);
/* 0 if that is the right x, in hex */
int vault_check_answer(const struct vault_check *check, const char *x_hex);
void vault_check_free(struct vault_check *check);

#endif /* VAULTRING_VAULT_CHECK_H */
