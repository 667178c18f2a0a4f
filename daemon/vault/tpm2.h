/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the TPM worker: tpm2.c holds the settings and the connection,
 * tpm2_key.c finds a key and judges it, tpm2_use.c uses it, tpm2_init.c makes it.
 */
#ifndef VAULTRING_TPM2_H
#define VAULTRING_TPM2_H

#include <stdbool.h>

#include <tss2/tss2_esys.h>

#include "../tpm2_uri.h"
#include "pin.h"
#include "vault.h"

/* What the TPM takes as the authorization of a key whose name is a SHA-256. */
#define TPM_PIN_MAX	32

/* A key that was found; it is valid until the connection is closed. */
struct tpm_key {
	char name[PIN_KEY_SIZE];
	char text[300];			/* for messages */
	ESYS_TR object;			/* ESYS_TR_NONE: there is none */
	bool transient;			/* to be flushed */
	TPMT_PUBLIC public;
};

struct tpm {
	struct tpm2_uri uri;
	struct pin pin;
	const char *pcrs_text;		/* NULL: not bound to any */
	TPML_PCR_SELECTION pcrs;

	TSS2_TCTI_CONTEXT *tcti;
	ESYS_CONTEXT *esys;		/* set while it is open */
	struct tpm_key key;
};

/* tpm2.c */
/* The TPM's own code, without the number of what it is about. */
TSS2_RC tpm_code(TSS2_RC rc);
int tpm_fail(const char *what, TSS2_RC rc);
int tpm_open(struct tpm *t);

/* tpm2_key.c */
int tpm_key_find(struct tpm *t, const char *name);
/* Is it safe to use, and made as the settings say? */
int tpm_key_judge(const struct tpm *t, const struct tpm_key *key);
void tpm_key_text(const struct tpm *t, struct tpm_key *key);
int tpm_key_spki(const struct tpm_key *key, uint8_t *spki, size_t *len);
/* The storage key under which keys are made; to be flushed. */
int tpm_storage_key(struct tpm *t, ESYS_TR *object);
void tpm_flush(struct tpm *t, ESYS_TR *object);

/* tpm2_use.c */
/*
 * A session that ends with the first command that succeeds.  Its keys come from
 * a secret encrypted to salt: nobody on the bus can guess the PIN with what
 * passes, or read it where it is sent.
 */
int tpm_session(struct tpm *t, TPM2_SE type, ESYS_TR salt, ESYS_TR *session);
/* What the key's policy is made of, in a session. */
int tpm_policy(struct tpm *t, ESYS_TR session);
/* The PIN as a TPM takes it for that key; size 0 without one.  To be wiped. */
int tpm_pin(struct tpm *t, const char *key, TPM2B_AUTH *auth);
int tpm_exchange(struct tpm *t, const uint8_t point[POINT_SIZE],
		 uint8_t x[X_SIZE]);

/* tpm2_init.c */
int tpm_init(struct tpm *t, struct vault_made *made);

#endif /* VAULTRING_TPM2_H */
