/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's methods: methods.c has the lists and the table, methods_vault.c
 * those that ask vaults, methods_kek.c those that store and unseal KEKs,
 * methods_reseal.c the one that reseals them
 */
#ifndef VAULTRING_METHODS_H
#define VAULTRING_METHODS_H

#include "server.h"

/* methods.c */
double to_ms(uint64_t usec);

/* methods_vault.c */
void vault_public_key(struct daemon *d, struct call *call, const json_t *params);
void vault_check(struct daemon *d, struct call *call, const json_t *params);
void vault_release(struct daemon *d, struct call *call, const json_t *params);
void vault_wrap(struct daemon *d, struct call *call, const json_t *params);
void vault_init(struct daemon *d, struct call *call, const json_t *params);

/* methods_kek.c */
void kek_store(struct daemon *d, struct call *call, const json_t *params);
void kek_unseal(struct daemon *d, struct call *call, const json_t *params);
/* NULL: there is none, or it cannot serve, and the caller has been told. */
const struct envelope *kek_param(struct daemon *d, struct call *call,
				 const json_t *params);

/* methods_reseal.c */
void kek_reseal(struct daemon *d, struct call *call, const json_t *params);

#endif /* VAULTRING_METHODS_H */
