/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signed statements of a vault: JWS (RFC 7515), compact, RS256, with the signer's
 * certificates in x5c
 */
#ifndef VAULTRING_AZURE_JWS_H
#define VAULTRING_AZURE_JWS_H

#include <time.h>

#include <jansson.h>

/*
 * 0 and the payload if it is signed by who has a certificate under one of those
 * in ca_file, as of now; or vault_fail(), and nothing of it counts.
 */
int jws_check(const char *text, const char *ca_file, time_t now, json_t **payload);

#endif /* VAULTRING_AZURE_JWS_H */
