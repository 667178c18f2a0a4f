/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's methods: methods.c has the vaults' and the table, methods_kek.c
 * those that store and unseal KEKs
 */
#ifndef VAULTRING_METHODS_H
#define VAULTRING_METHODS_H

#include "server.h"

/* methods_kek.c */
void kek_store(struct daemon *d, struct call *call, const json_t *params);
void kek_unseal(struct daemon *d, struct call *call, const json_t *params);

#endif /* VAULTRING_METHODS_H */
