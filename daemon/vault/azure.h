/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the worker for Azure Key Vault and Managed HSM: azure.c holds the
 * settings and the operations, azure_key.c the versions of a key, azure_token.c
 * tokens and what is asked with them, azure_credential.c how tokens are had,
 * azure_release.c sealed shares, and azure_attest.c what attests this host to them.
 */
#ifndef VAULTRING_AZURE_H
#define VAULTRING_AZURE_H

#include <stdbool.h>
#include <time.h>

#include <jansson.h>

#include "../util.h"
#include "http.h"
#include "vault.h"

#define AZURE_API	"7.4"
#define AZURE_NAME_SIZE	128	/* of keys, versions, tenants, client ids */
#define AZURE_TOKEN_MAX	(16 * 1024)

enum azure_method { AZURE_CLEAR, AZURE_SEALED };

enum azure_credential {
	AZURE_SECRET, AZURE_CERTIFICATE, AZURE_MANAGED, AZURE_WORKLOAD,
};

struct azure {
	struct http_endpoints vault;	/* the uri's host is the first */
	struct http_endpoints authority;
	char host[256];			/* of the uri */
	char resource[256];		/* what tokens are for: https://vault.azure.net */
	char key[AZURE_NAME_SIZE];
	char version[AZURE_NAME_SIZE];	/* "" unless the uri names one */
	char tenant[AZURE_NAME_SIZE];	/* "" until the vault has said */
	enum azure_method method;
	enum azure_credential credential;
	const char *client_id;		/* NULL: the machine's own identity */
	const char *file;		/* of the credential, or NULL */
	/*
	 * Of the vault's endpoints, the last in the list that this request had an
	 * answer of.  Unless it is the first, a no is not the vault's.
	 */
	size_t copy;
};

/* Which key: of the version "", the one that is wanted, or the newest. */
struct azure_ref {
	char name[AZURE_NAME_SIZE], version[AZURE_NAME_SIZE];
};

/*
 * One version of a key, as the vault last told it.  A symmetric one has its
 * identity in place of an SPKI: https://HOST/keys/NAME/VERSION, of the uri's host.
 */
struct azure_key {
	char name[AZURE_NAME_SIZE], version[AZURE_NAME_SIZE], kty[16];
	uint8_t spki[SPKI_MAX], fingerprint[FINGERPRINT_SIZE];
	size_t spki_len;
	bool symmetric, enabled, wraps, unwraps, releases;
	json_int_t not_before, expires;	/* 0: none */
};

/* An answer that is Azure's; to be freed. */
struct azure_answer {
	long status;
	json_t *json;
	char inner[64];			/* of an error: its second code */
	char message[200];
};

/* azure.c */
extern struct azure azure;

time_t azure_now(void);			/* by the servers' clock */
long azure_skew(void);			/* theirs less ours, seconds */
void azure_heard(const struct http_reply *reply);
/*
 * azure_no(FORMAT, ...): the vault's own no, -ENOKEY.  While the vault is away and
 * a copy of it answers, which may be older, that is not definite: -EAGAIN.
 */
void azure_say_no(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

static inline int azure_refusal(void)
{
	return azure.copy ? -EAGAIN : -ENOKEY;
}

#define azure_no(...)	(azure_say_no(__VA_ARGS__), azure_refusal())

/* azure_token.c */
/*
 * A request to the vault; body is NULL for GET.  0: the status is 200.  A no of
 * Azure's own is azure_no() with its status, and what it said is told.
 */
int azure_call(const char *path, const json_t *body, struct azure_answer *out);
void azure_answer_free(struct azure_answer *answer);
void azure_forget_token(void);
/* Is our token, or what we ask for one with, inside of this text? */
bool azure_shows_secret(const char *text);
/* Letters, digits and the others, at least one; it becomes part of a path. */
bool azure_word_ok(const char *word, const char *others);
bool azure_tenant_ok(const char *tenant);	/* an id or a domain */

/* azure_credential.c */
int azure_credential_configure(void);
/* Asks for a token.  lifetime is in seconds. */
int azure_credential_token(struct secret *token, json_int_t *lifetime);

bool azure_shows_proof(const char *text);

/* A file with a secret, without the end of its last line; a zero follows it. */
int azure_file_read(const char *path, struct secret *out);

/* azure_release.c */
int azure_release_configure(void);
int azure_release(const struct azure_key *key,
		  const struct release_request *request, struct release *out);
/* This one was released as the newest. */
void azure_release_note(const struct azure_key *key);
/* Is that key still the one that was released, or that was there at first? */
int azure_release_look(const struct azure_ref *ref);
void azure_release_forget(void);

/* azure_attest.c */
int azure_attest_configure(void);
/* What the vault wants to see before it releases; to be freed. */
int azure_attest_token(const struct release_request *request,
		       struct secret *token);

/* azure_try.c */
/* RSA-OAEP with SHA-256, as the kernel does it. */
int azure_try_encrypt(const struct azure_key *key,
		      const uint8_t value[SHARE_SECRET_SIZE],
		      uint8_t out[CIPHERTEXT_MAX], size_t *len);

/* azure_key.c */
/*
 * The version that ref names, or the one that vault_wanted() is about, or else the
 * newest, if its attributes let it be used; valid until the next call.  It is asked
 * anew with fresh, and before a no.
 */
int azure_key_find(const struct azure_ref *ref, bool fresh,
		   const struct azure_key **key);
/* The name and version in https://HOST/keys/NAME/VERSION; -EKEYREJECTED */
int azure_kid_check(const char *kid, const char *name, char *version);
void azure_key_forget(void);

#endif /* VAULTRING_AZURE_H */
