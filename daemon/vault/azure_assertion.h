/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The assertion by which a certificate's owner asks for a token: a JWT (RFC 7519,
 * RFC 7523), signed with PS256
 */
#ifndef VAULTRING_AZURE_ASSERTION_H
#define VAULTRING_AZURE_ASSERTION_H

#include <time.h>

#include "../secret.h"

/*
 * pem holds the certificate and its RSA key, in any order; path is for messages.
 * 0 or vault_fail(); out ends with a zero and is to be freed.
 */
int assertion_make(const struct secret *pem, const char *path,
		   const char *client_id, const char *audience, time_t now,
		   struct secret *out);

#endif /* VAULTRING_AZURE_ASSERTION_H */
