/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a vault worker is made of
 *
 * common.c holds main(): it gives up every privilege, then answers the daemon's
 * JSON lines one at a time by calling the one family that is linked with it.
 */
#ifndef VAULTRING_VAULT_H
#define VAULTRING_VAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POINT_SIZE	64	/* x || y on P-256 */
#define X_SIZE		32
#define SPKI_MAX	1024
#define SPKI_P256_SIZE	91

/*
 * All return 0 or a negative errno made by vault_fail(): -EAGAIN, the vault is
 * away; -ENOKEY, it refused and asking again is useless until a person acts;
 * -EKEYREJECTED, what it gave cannot be right.
 */
struct vault_ops {
	const char *scheme;	/* of the URIs this family serves */
	const char *const *settings;	/* it knows; the last one is NULL */

	/* Reads the settings; talks to nobody. */
	int (*configure)(void);
	/*
	 * key names another key than the URI does, or is "".  With fresh, forget
	 * what was remembered of it, including that a PIN was refused.
	 */
	int (*public_key)(const char *key, bool fresh, uint8_t *spki,
			  size_t *len);
	/* x(s * point); the point is on the curve or the vault says no. */
	int (*exchange)(const char *key, const uint8_t point[POINT_SIZE],
			uint8_t x[X_SIZE]);
	void (*close)(void);
};

/* Defined by each family. */
extern const struct vault_ops vault_ops;

/* common.c */
const char *vault_setting(const char *name);	/* NULL if it is not set */
/* SubjectPublicKeyInfo (DER, RFC 5480) of a point on P-256 */
void spki_p256(uint8_t spki[SPKI_P256_SIZE], const uint8_t point[POINT_SIZE]);
int vault_fail(int err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* sandbox.c; 0 or a negative errno */
int sandbox_enter(void);

#endif /* VAULTRING_VAULT_H */
