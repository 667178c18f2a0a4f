// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The OpenBao worker: logins, tokens and what the server says of its keys
 *
 * Two bytes say what is set and what is asked, then come answers as fuzz_vault.h
 * has them.
 */

#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "fuzz_vault.h"
#include "util.h"

#define THE_TOKEN	"hvs.FuzzTokenThatNobodyMaySeeInAnyLog"
#define THE_SECRET_ID	"f022f022-5ec2-e71d-0000-fuzzfuzzfuzz"

/* The first byte. */
enum { SEALED = 1, APPROLE = 2, NUMBER = 4, ENDPOINTS = 8, NAMESPACE = 16,
       WANTED = 32 };

static uint8_t wanted[FINGERPRINT_SIZE];
static uint8_t ciphertext[CIPHERTEXT_MAX];
static bool login, approle;

/* Who logs in has no token yet, and sends what proves him nowhere else. */
void fuzz_check_request(const struct http_endpoints *to,
			const struct http_request *rq)
{
	const struct http_header *h;

	(void)to;
	login = strstr(rq->path, "/login");
	HOLDS(!rq->metadata && !strncmp(rq->path, "/v1/", 4));
	HOLDS(!strstr(rq->path, "..") && !strstr(rq->path, "//"));
	for (h = rq->headers; h && h->name; h++)
		if (!strcmp(h->name, "X-Vault-Token"))
			HOLDS(*h->value && !login);
	if (rq->body && strstr(rq->body, THE_SECRET_ID))
		HOLDS(login);
}

static void configure(uint8_t how)
{
	static int token = -1, id = -1;

	memset(fuzz_settings, 0, sizeof(fuzz_settings));
	approle = how & APPROLE;
	fuzz_set("uri", "openbao:https://fuzz.example:8200/transit/root");
	if (how & SEALED) {
		fuzz_set("method", "sealed");
		fuzz_set("host-key", "host");
	}
	if (how & APPROLE) {
		fuzz_set("role-id", "fuzzer");
		fuzz_set("secret-id-file", fuzz_file(&id, THE_SECRET_ID,
						     strlen(THE_SECRET_ID)));
	} else {
		fuzz_set("token-file", fuzz_file(&token, THE_TOKEN "\n",
						 strlen(THE_TOKEN) + 1));
	}
	if (how & NUMBER)
		fuzz_set("key-version", "2");
	if (how & ENDPOINTS)
		fuzz_set("endpoints", "https://copy.example");
	if (how & NAMESPACE)
		fuzz_set("namespace", "a/b");
	fuzz_begin();
	HOLDS(!vault_ops.configure());
	memset(wanted, 0, sizeof(wanted));
	fuzz_wanted = how & WANTED ? wanted : NULL;
}

static int ask_key(const char *key, int how, bool sealed)
{
	uint8_t spki[SPKI_MAX];
	size_t len = sizeof(spki);
	int err = how == 2 ? vault_ops.poll(key, spki, &len) :
		  vault_ops.public_key(key, how, spki, &len);

	if (!err)
		HOLDS(sealed ? !len : fuzz_is_rsa(spki, len));
	/* That is the one that the next request is about. */
	if (!err && len)
		HOLDS(!sha256(spki, len, wanted));
	return err;
}

static int ask_release(const char *key, bool sealed)
{
	struct release_request r = { .transport_len = FUZZ_TRANSPORT_SIZE };
	struct release *out = calloc(1, sizeof(*out));
	int err;

	HOLDS(out);
	fuzz_transport(r.transport);
	err = vault_ops.release(key, &r, out);
	if (!err)
		HOLDS(sealed && out->len == 384 + 40 &&
		      !strcmp(out->hash, "sha256"));
	free(out);
	return err;
}

static int ask(uint8_t what, bool sealed)
{
	const char *key = what & 8 ? "other" : "";
	uint8_t secret[SHARE_SECRET_SIZE];

	switch (what & 7) {
	case 0:
	case 1:
	case 2:
		return ask_key(key, what & 7, sealed);
	case 3:
	case 4:
		return vault_ops.unwrap(key, ciphertext, 256, secret);
	case 5:
		return vault_ops.unwrap(key, ciphertext, CIPHERTEXT_MAX, secret);
	default:
		return ask_release(key, sealed);
	}
}

static void judge(int err)
{
	fuzz_judge(err);
	/* It said no, and what it was sent with that. */
	if (!err || fuzz_last_status < 400)
		return;
	if (!approle)
		HOLDS(!strstr(fuzz_failure, THE_TOKEN));
	else if (login)
		HOLDS(!strstr(fuzz_failure, THE_SECRET_ID));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, data + len };
	uint8_t how = fuzz_byte(&in), what = fuzz_byte(&in);

	configure(how);
	fuzz_answers = in;
	fuzz_begin();
	judge(ask(what, how & SEALED));
	fuzz_begin();
	judge(ask(what >> 4, how & SEALED));
	vault_ops.close();
	return 0;
}
