/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a vault worker is made of
 *
 * common.c holds main(): it gives up every privilege, then answers the daemon's
 * JSON lines one at a time by calling the one family that is linked with it.
 */
#ifndef VAULTRING_VAULT_H
#define VAULTRING_VAULT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POINT_SIZE	64	/* x || y on P-256 */
#define X_SIZE		32
#define SPKI_MAX	1024
#define SPKI_P256_SIZE	91
#define SHARE_SECRET_SIZE 32	/* of a clear share */
#define CIPHERTEXT_MAX	512	/* RSA-4096 */
#define SHARE_WRAPPED_SIZE 40	/* one of a symmetric key, RFC 3394 or alike */
#define NONCE_SIZE	32
#define WRAPPED_MAX	1024

/* The largest file that a vault can want to be kept with its key's blob. */
#define MADE_FILE_MAX	2048

/* A key that was made, and what of it is for a file, if anything. */
struct vault_made {
	uint8_t spki[SPKI_MAX];
	size_t spki_len;
	uint8_t file[MADE_FILE_MAX];
	size_t file_len;	/* 0: the vault keeps it */
};

/* What a key is released for: the kernel's transport key, RSA-3072. */
struct release_request {
	uint8_t transport[SPKI_MAX];	/* its SubjectPublicKeyInfo, DER */
	size_t transport_len;
	uint8_t nonce[NONCE_SIZE];	/* fresh; for what attests the host */
};

/*
 * A released key: RSA-OAEP of an AES-256 key for the transport key, then that
 * key's RFC 5649 wrap of the vault's, 32 bytes (CKM_RSA_AES_KEY_WRAP).
 */
struct release {
	uint8_t wrapped[WRAPPED_MAX];
	size_t len;
	const char *hash;	/* of OAEP and its MGF1: "sha256" or "sha384" */
};

/*
 * All return 0 or a negative errno made by vault_fail(): -EAGAIN, the vault is
 * away; -ENOKEY, it refused and asking again is useless until a person acts;
 * -EKEYREJECTED, what it gave cannot be right.
 *
 * Of these only -ENOKEY can cost KEKs their lives: where vaults refuse, the daemon
 * may revoke them.  So whatever may be an outage is -EAGAIN, and what is wrong on
 * this machine, such as a PIN file that cannot be read, is vault_fail_here().
 */
struct vault_ops {
	const char *scheme;	/* of the URIs this family serves */
	const char *const *settings;	/* it knows; the last one is NULL */

	/*
	 * The system calls that it needs, the last one NULL.  Without a list it
	 * may do what does not reach other processes or the kernel.
	 */
	const char *const *calls;

	/*
	 * What cannot be done any more in the sandbox; 0 or a negative errno.
	 * NULL: nothing.
	 */
	int (*prepare)(void);
	/* Reads the settings; talks to nobody. */
	int (*configure)(void);
	/*
	 * key names another key than the URI does, or is "".  With fresh, forget
	 * what was remembered of it, including that a PIN was refused.
	 */
	int (*public_key)(const char *key, bool fresh, uint8_t *spki,
			  size_t *len);
	/*
	 * The method that the key serves, asked after public_key() has given it:
	 * "oblivious", "clear" or "sealed".  NULL: oblivious.  The public key of
	 * a sealed one is its own affair: len is 0 then.
	 */
	const char *(*method)(const char *key);
	/*
	 * Whether a clear one is symmetric, asked likewise.  public_key() gives
	 * what the world calls it then, its version included: printable ASCII
	 * without blanks, 1 to 512 characters.  NULL: none is.
	 */
	bool (*symmetric)(const char *key);
	/* Of a family without a method these are NULL. */
	/* x(s * point); the point is on the curve or the vault says no. */
	int (*exchange)(const char *key, const uint8_t point[POINT_SIZE],
			uint8_t x[X_SIZE]);
	/*
	 * Clear: RSA-OAEP, SHA-256 and MGF1 with SHA-256, without a label; of a
	 * symmetric key what wrap() has made of such a secret.
	 */
	int (*unwrap)(const char *key, const uint8_t *ciphertext, size_t len,
		      uint8_t secret[SHARE_SECRET_SIZE]);
	int (*wrap)(const char *key, const uint8_t secret[SHARE_SECRET_SIZE],
		    uint8_t wrapped[SHARE_WRAPPED_SIZE]);
	/* Sealed. */
	int (*release)(const char *key, const struct release_request *request,
		       struct release *out);
	/*
	 * The daemon's look now and then: asks the vault anew, as who has just
	 * come, and does not try again a PIN that was refused.  NULL:
	 * public_key with fresh does that.
	 */
	int (*poll)(const char *key, uint8_t *spki, size_t *len);
	/* Makes the key of the URI unless there is one.  NULL: others do. */
	int (*init)(struct vault_made *made);
	/*
	 * Does a text that came show a secret of ours, which must not get into a
	 * message?  NULL: none is sent.
	 */
	bool (*shows_secret)(const char *text);
	/* The request has been answered.  NULL: it does not matter. */
	void (*rest)(void);
	/* Before the process ends; the daemon does not wait for long. */
	void (*close)(void);
};

/* Defined by each family. */
extern const struct vault_ops vault_ops;

/* common.c */
const char *vault_setting(const char *name);	/* NULL if it is not set */
/* Whether the daemon still waits: ask before what must not be interrupted. */
bool vault_awaited(void);
/* When the daemon stops waiting for this reply; CLOCK_MONOTONIC, in microseconds */
uint64_t vault_deadline(void);
/* How long a connection may take to be made, as vaultring.conf says. */
long vault_connect_ms(void);
/* With -EAGAIN: the vault wants to be asked again after so long, and not before. */
void vault_rests(long seconds);
/*
 * The fingerprint of the public key that the request is about, or NULL: the newest.
 * Where keys have versions, public_key(), poll() and unwrap() find the one.
 */
const uint8_t *vault_wanted(void);
/* SubjectPublicKeyInfo (DER, RFC 5480) of a point on P-256 */
void spki_p256(uint8_t spki[SPKI_P256_SIZE], const uint8_t point[POINT_SIZE]);
/* Keeps the words for the answer; here: they are this machine's, not the vault's. */
void vault_say(bool here, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * vault_fail(err, FORMAT, ...) returns err, and is seen to: whoever reads the code,
 * a compiler too, knows that it is not 0.
 */
static inline int vault_failed(int err)
{
	return err;
}

#define vault_fail(err, ...)	\
	(vault_say(false, __VA_ARGS__), vault_failed(err))

/* -ENOKEY that is not the vault's own word */
#define vault_fail_here(...)	\
	(vault_say(true, __VA_ARGS__), vault_failed(-ENOKEY))

/* sandbox.c; 0 or a negative errno */
int sandbox_enter(void);
/* The same, but it may start programs, which are held in, too. */
int sandbox_enter_runner(void);
/* From here on no sockets; for a family with a list of system calls. */
int sandbox_end_sockets(void);

#endif /* VAULTRING_VAULT_H */
