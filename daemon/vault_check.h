/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One exchange with something to throw away, to see that a vault computes what
 * it should: asked with E = e * G it must answer x(e * S), S being its public
 * key; asked with the ciphertext of 32 random bytes it must answer these.
 */
#ifndef VAULTRING_VAULT_CHECK_H
#define VAULTRING_VAULT_CHECK_H

#include "share.h"

struct vault_check;

/* For oblivious and clear; -EINVAL if spki is no key for that method. */
int vault_check_new(uint32_t method, const uint8_t *spki, size_t spki_len,
		    uint8_t challenge[CHALLENGE_MAX], size_t *len,
		    struct vault_check **check);
/* Of a symmetric key: the vault has made the ciphertext, and this is of what. */
int vault_check_given(const uint8_t secret[SHARE_SECRET_SIZE],
		      struct vault_check **check);
/* 0 if that is the right one */
int vault_check_answer(const struct vault_check *check,
		       const struct share_answer *answer);
void vault_check_free(struct vault_check *check);

#endif /* VAULTRING_VAULT_CHECK_H */
