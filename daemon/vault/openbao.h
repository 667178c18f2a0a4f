/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the OpenBao worker: openbao.c answers the daemon, openbao_key.c reads
 * and uses the transit engine's keys, openbao_call.c asks the server and judges
 * what it says, openbao_auth.c keeps a token.
 */
#ifndef VAULTRING_OPENBAO_H
#define VAULTRING_OPENBAO_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "../openbao_conf.h"
#include "../secret.h"
#include "../util.h"
#include "http.h"
#include "pin.h"
#include "vault.h"

#define BAO_TOKEN_MAX	2048	/* batch tokens are long */
#define BAO_PATH_SIZE	512

/*
 * A token, and when it has to be seen to.  Times are of CLOCK_BOOTTIME, in
 * microseconds: a token gets older while this machine sleeps, too.
 */
struct bao_token {
	struct secret text;	/* no data: there is none; a zero follows it */
	uint64_t since;		/* we have it */
	bool asked;		/* the server how long it lasts; no is an answer */
	bool timed;		/* it has said so */
	bool unknown;		/* it seems to know no such token */
	bool renewable;
	uint64_t granted;	/* how long it was good for at first, 0: ever */
	uint64_t renew_at;	/* 0: never */
	uint64_t ends_at;	/* 0: never */
	uint64_t not_before;	/* this has to be tried again */
};

/* A key of the transit engine, as the server last described it. */
struct bao_key {
	char name[OPENBAO_NAME_SIZE];	/* "": nothing is known */
	unsigned int version;		/* the one that is meant */
	uint8_t spki[SPKI_MAX];		/* its public key; len 0: it has none */
	size_t spki_len;
	uint8_t fingerprint[FINGERPRINT_SIZE];
};

struct bao {
	struct openbao_conf conf;
	struct http_endpoints endpoints;
	struct pin credential;		/* the token, or AppRole's secret ID */
	struct bao_token token;
	/* Of the secret ID that we logged in with, which is not kept. */
	uint8_t id_hash[FINGERPRINT_SIZE];
	size_t id_len;
	struct bao_key key;
};

/* All of these return 0 or are vault_fail(). */

/* openbao_call.c; path is what comes after /v1/, and without a body it is NULL */
int bao_get(struct bao *b, const char *path, json_t **body);
/* Takes the reference of what is sent. */
int bao_post(struct bao *b, const char *path, json_t *send, json_t **body);

struct bao_question {
	const char *path;
	bool with_token;	/* the one that we have */
	json_t *send;		/* a reference that is taken; NULL: a GET */
	bool aside;		/* as struct http_request has it */
};

/*
 * Without asking for another token.  status, which may be NULL, is 0 unless there
 * was an answer.
 */
int bao_ask(struct bao *b, const struct bao_question *q, json_t **body,
	    long *status);

/* Is our token, or the secret ID, inside of this text? */
bool bao_shows_secret(const struct bao *b, const char *text);

/* openbao_auth.c */
int bao_auth_configure(struct bao *b);
/* Sees to it that there is a token. */
int bao_auth_get(struct bao *b);
/*
 * The server denied something, by err.  true: another token may be better.  If not,
 * err may be another one: what is wrong with the token may be ours.
 */
bool bao_auth_denied(struct bao *b, int *err);
void bao_auth_close(struct bao *b);

/*
 * openbao_key.c; the rest works on the key that was found.  name "": the one in
 * the URI.  With a fingerprint the version that has it, without one that of the
 * settings.
 */
int bao_key_find(struct bao *b, const char *name, const uint8_t *fingerprint,
		 bool fresh);
int bao_key_decrypt(struct bao *b, const uint8_t *in, size_t len,
		    uint8_t secret[SHARE_SECRET_SIZE]);
/* One with a value of our own. */
int bao_key_try(struct bao *b);
int bao_key_export(struct bao *b, struct release *out);
/*
 * The host key must be there and, with a request, be the transport key, or the
 * kernel could not open what is released.
 */
int bao_host_key_check(struct bao *b, const struct release_request *request);

#endif /* VAULTRING_OPENBAO_H */
