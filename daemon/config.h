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
	uint64_t connect_usec;		/* of it, for a connection */
	uint64_t end_usec;		/* for a worker that is told to end */
	uint64_t pause_usec;		/* the longest after a failure */
	uint64_t poll_usec;		/* between looks at its keys; 0: never */
	unsigned int limit;		/* of requests a minute; 0: none */
	struct vault_setting {
		char *name, *value;
	} *settings;			/* uri among them */
	size_t n_settings;
};

#define FREEZE_TIMEOUT_DEFAULT	5000	/* ms */

struct config {
	uint64_t unseal_timeout_usec;
	uint64_t kernel_timeout_usec;	/* of a call of the module */
	uint64_t client_timeout_usec;	/* for one that says nothing */
	uint64_t tools_timeout_usec;	/* of vaultring(1), for anything */
	bool revoke;			/* a KEK that its vaults refuse */
	bool renew;			/* leases, before they end */
	uint64_t grace_usec;		/* so long before; 0: by the lease */
	bool freeze;			/* volumes whose KEK goes */
	uint64_t freeze_timeout_usec;	/* how long a revoke waits for that */
	uint64_t resume_timeout_usec;	/* and the guard for the reverse */
	struct vault_config *vaults;
	size_t n_vaults;
};

/* Logs what is wrong, with file and line. */
int config_load(const char *path, struct config *config);
void config_free(struct config *config);

#endif /* VAULTRING_CONFIG_H */
