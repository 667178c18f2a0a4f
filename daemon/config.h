/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vaultring.conf
 */
#ifndef VAULTRING_CONFIG_H
#define VAULTRING_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "util.h"

/* One [vault NAME] section; what a worker needs to know is in settings. */
struct vault_config {
	char name[64];
	char *uri;
	char *environment;		/* "A=b C=d" for the worker, or NULL */
	uint64_t timeout_usec;		/* of one exchange */
	uint64_t poll_usec;		/* between looks at its keys; 0: never */
	struct vault_setting {
		char *name, *value;
	} *settings;			/* uri among them */
	size_t n_settings;
};

#define FREEZE_TIMEOUT_DEFAULT	5000	/* ms */

struct config {
	uint64_t unseal_timeout_usec;
	bool revoke;			/* a KEK that its vaults refuse */
	bool renew;			/* leases, before they end */
	bool freeze;			/* volumes whose KEK goes */
	uint64_t freeze_timeout_usec;	/* how long a revoke waits for that */
	struct vault_config *vaults;
	size_t n_vaults;
};

/* Logs what is wrong, with file and line. */
int config_load(const char *path, struct config *config);
void config_free(struct config *config);

#endif /* VAULTRING_CONFIG_H */
