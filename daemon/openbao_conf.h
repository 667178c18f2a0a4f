/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An OpenBao vault's section in vaultring.conf: which key, and what for
 *
 *	uri = openbao:https://HOST[:PORT]/[MOUNT/]KEY
 *	method = clear | sealed
 *	host-key = NAME			for sealed
 *	key-version = N
 *
 * The worker acts on it, and the tool prints the policy that goes with it.
 */
#ifndef VAULTRING_OPENBAO_CONF_H
#define VAULTRING_OPENBAO_CONF_H

#include <stdbool.h>

#define OPENBAO_SCHEME		"openbao"
#define OPENBAO_SERVER_SIZE	300
#define OPENBAO_NAME_SIZE	128

struct openbao_conf {
	char server[OPENBAO_SERVER_SIZE];	/* https://HOST[:PORT] */
	char mount[OPENBAO_NAME_SIZE];		/* of the transit engine */
	char key[OPENBAO_NAME_SIZE];
	char host_key[OPENBAO_NAME_SIZE];	/* "": the method is clear */
	unsigned int version;			/* 0: the latest */
	char namespace[OPENBAO_NAME_SIZE];	/* "": the root namespace */
	char auth_mount[OPENBAO_NAME_SIZE];	/* of AppRole */
	bool approle;				/* or else a token */
};

/* setting() gives the value of a setting, or NULL. */
typedef const char *(*openbao_setting)(void *arg, const char *name);

/* Returns NULL, or what is wrong with it. */
const char *openbao_conf_read(openbao_setting setting, void *arg,
			      struct openbao_conf *conf);
/* A key's name, which becomes part of a path. */
bool openbao_name_ok(const char *name);

#endif /* VAULTRING_OPENBAO_CONF_H */
