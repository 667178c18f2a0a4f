/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the PKCS#11 worker: pkcs11.c holds the library and the session,
 * pkcs11_key.c what is done with keys in that session.
 */
#ifndef VAULTRING_PKCS11_H
#define VAULTRING_PKCS11_H

#include <stdbool.h>

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>

#include "pin.h"
#include "vault.h"

#define KEY_NAME_SIZE 128
#define MAX_KEYS 16

/* A key pair that was found; it is valid as long as the session. */
struct p11_key {
	char name[KEY_NAME_SIZE];
	CK_OBJECT_HANDLE private;
	uint8_t spki[SPKI_P256_SIZE];
};

struct p11 {
	P11KitUri *uri;
	const char *module_path;
	char token[33];			/* as the URI names it, for messages */

	void *library;
	CK_FUNCTION_LIST *f;		/* set while C_Initialize holds */
	CK_SESSION_HANDLE session;	/* valid while open */
	bool open;

	struct pin pin;

	struct p11_key keys[MAX_KEYS];
	size_t n_keys;
	enum { POINT_UNKNOWN, POINT_RAW, POINT_DER } encoding;
};

/* pkcs11.c */
int p11_fail(const char *what, CK_RV rv);

/* pkcs11_key.c; in an open session */
int p11_key_find(struct p11 *p, const char *name, struct p11_key **key);
int p11_key_derive(struct p11 *p, const struct p11_key *key,
		   const uint8_t point[POINT_SIZE], uint8_t x[X_SIZE]);

#endif /* VAULTRING_PKCS11_H */
