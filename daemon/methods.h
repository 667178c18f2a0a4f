/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's methods: methods.c has the vaults' and the table, methods_kek.c
 * those that make and unseal KEKs
 */
#ifndef VAULTRING_METHODS_H
#define VAULTRING_METHODS_H

#include "server.h"

/* methods.c */
uint32_t uses_bit(const char *name);	/* 0: no such use */
uint32_t uses_all(void);
struct worker *find_vault(struct daemon *d, const char *ref, const char **key);

/* methods_kek.c */
void kek_create(struct daemon *d, struct call *call, const json_t *params);
void kek_unseal(struct daemon *d, struct call *call, const json_t *params);

#endif /* VAULTRING_METHODS_H */
