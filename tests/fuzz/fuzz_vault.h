/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the fuzzers of a worker's parts: in place of common.c
 */
#ifndef FUZZ_VAULT_H
#define FUZZ_VAULT_H

#include "fuzz.h"
#include "vault/http.h"
#include "vault/vault.h"

/* NAME, VALUE, ... and NULL: what vault_setting() gives. */
extern const char *fuzz_settings[64];
/* What vault_wanted() gives. */
extern const uint8_t *fuzz_wanted;
/* What vault_fail() said last. */
extern char fuzz_failure[512];

void fuzz_set(const char *name, const char *value);
/* Before an operation. */
void fuzz_begin(void);
/* After it: it is a result that the daemon knows, and the words are there. */
void fuzz_judge(int err);

/* A SubjectPublicKeyInfo of RSA-3072, as the kernel's transport key has it. */
#define FUZZ_TRANSPORT_SIZE 422
void fuzz_transport(uint8_t spki[FUZZ_TRANSPORT_SIZE]);
/* Whether it is one of RSA with 2048 to 4096 bits, and nothing after it. */
bool fuzz_is_rsa(const uint8_t *spki, size_t len);

/* --- fuzz_http.c: in place of http_call() --- */

/*
 * What servers answer, one after the other, until there is no more:
 *
 *	STATUS [RETRY-AFTER [ENDPOINT [DATE]]]
 *	WWW-Authenticate
 *	body
 *	%%
 */
extern struct fuzz_input fuzz_answers;
extern long fuzz_last_status;

/* The fuzzer's own look at each request. */
void fuzz_check_request(const struct http_endpoints *to,
			const struct http_request *rq);

#endif /* FUZZ_VAULT_H */
