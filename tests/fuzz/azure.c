// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The Azure worker: tokens, challenges and what the vault says of its keys
 *
 * Two bytes say what is set and what is asked, then come answers as fuzz_vault.h
 * has them.  A statement of a release is its JSON here, not signed; a member "hsm"
 * of its key stands for what "key_hsm" has in base64url.
 */

#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "fuzz_vault.h"
#include "vault/azure.h"
#include "vault/azure_jws.h"
#include "vault/json.h"

#define CLIENT_SECRET	"fuzz~client-secret.that_nobody-may.see"
#define NOW		1800000000L

/* The first byte. */
enum { SEALED = 4, TENANT = 8, ENDPOINTS = 16, SERVICE = 32, WANTED = 64 };

static uint8_t wanted[FINGERPRINT_SIZE];
static uint8_t ciphertext[CIPHERTEXT_MAX];

/* A credential goes to whom it is for, and to nobody else. */
void fuzz_check_request(const struct http_endpoints *to,
			const struct http_request *rq)
{
	const struct http_header *h;

	for (h = rq->headers; h && h->name; h++)
		if (!strcmp(h->name, "Authorization"))
			HOLDS(to == &azure.vault);
	if (rq->body && strstr(rq->body, "client_secret="))
		HOLDS(to == &azure.authority);
	if (rq->body && strstr(rq->body, "client_assertion="))
		HOLDS(to == &azure.authority);
	HOLDS(!rq->metadata || azure.credential == AZURE_MANAGED);
	HOLDS(!*azure.tenant || azure_tenant_ok(azure.tenant));
	if (to == &azure.authority)
		HOLDS(*azure.tenant && strstr(rq->path, azure.tenant));
}

static void put_hsm(json_t *payload)
{
	json_t *jwk = json_object_get(json_object_get(json_object_get(payload,
				      "response"), "key"), "key");
	json_t *hsm = json_object_get(jwk, "hsm");
	char *text = hsm ? json_dumps(hsm, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	char *base64;

	if (!text)
		return;
	base64 = malloc(BASE64_SIZE(strlen(text)));
	HOLDS(base64);
	base64_encode(BASE64_URL, text, strlen(text), base64);
	json_object_set_new(jwk, "key_hsm", json_string(base64));
	json_object_del(jwk, "hsm");
	free(base64);
	free(text);
}

int __wrap_jws_check(const char *text, const char *ca, time_t now, json_t **out)
{
	HOLDS(ca && *ca == '/' && now > 0);
	*out = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	if (!*out)
		return vault_fail(-EKEYREJECTED, "it is not signed");
	put_hsm(*out);
	return 0;
}

static void configure(uint8_t how)
{
	static int secret = -1, token = -1, evidence = -1, ca = -1;
	static const char *const kinds[] = {
		"secret", "managed-identity", "workload-identity",
		"managed-identity",
	};

	memset(fuzz_settings, 0, sizeof(fuzz_settings));
	fuzz_set("uri", how & 128 ?
		 "azure:https://fuzz.vault.azure.net/keys/root/0123456789abcdef" :
		 "azure:https://fuzz.vault.azure.net/keys/root");
	fuzz_set("credential", kinds[how & 3]);
	fuzz_set("client-id", "3d2d4b8a-0000-4000-8000-00000000f022");
	fuzz_set("client-secret-file",
		 fuzz_file(&secret, CLIENT_SECRET "\n",
			   strlen(CLIENT_SECRET) + 1));
	fuzz_set("federated-token-file", fuzz_file(&token, "head.body.sign", 14));
	fuzz_set("method", how & SEALED ? "sealed" : "clear");
	if (how & TENANT)
		fuzz_set("tenant", "fuzz.example");
	if (how & ENDPOINTS)
		fuzz_set("endpoints", "https://copy.vault.azure.net:8443");
	fuzz_set("attestation-file", fuzz_file(&evidence, "ev.id-en.ce\n", 12));
	fuzz_set("release-ca-file", fuzz_file(&ca, "none", 4));
	if (how & SERVICE)
		fuzz_set("attestation-endpoint",
			 "https://fuzz.attest.azure.net/attest/Fuzz?api-version=1");
	fuzz_begin();
	HOLDS(!vault_ops.configure());
	/* By the same clock each time. */
	azure_heard(&(struct http_reply){ .status = 200, .date = NOW });
	memset(wanted, 0, sizeof(wanted));
	fuzz_wanted = how & WANTED ? wanted : NULL;
}

static void check_key(const uint8_t *spki, size_t len)
{
	char text[SPKI_MAX + 1];

	if (azure.method == AZURE_SEALED) {
		HOLDS(!len);
		return;
	}
	HOLDS(len && len <= SPKI_MAX);
	/* That is the one that the next request is about. */
	HOLDS(!sha256(spki, len, wanted));
	if (!vault_ops.symmetric("")) {
		HOLDS(fuzz_is_rsa(spki, len));
		return;
	}
	memcpy(text, spki, len);
	text[len] = 0;
	HOLDS(len <= 512 && strlen(text) == len);
	HOLDS(!strncmp(text, "https://fuzz.vault.azure.net/keys/", 34));
	HOLDS(!strpbrk(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ \t\r\n"));
}

static int ask_token(void)
{
	struct secret token = { 0 };
	json_int_t lifetime = 0;
	int err = azure_credential_token(&token, &lifetime);

	if (!err) {
		HOLDS(lifetime > 0);
		HOLDS(token.data && token.data[token.size - 1] == 0);
		HOLDS(azure_word_ok((char *)token.data, "-._~+/="));
	} else {
		/* A server gone mad sends it back. */
		HOLDS(!strstr(fuzz_failure, CLIENT_SECRET));
	}
	secret_free(&token);
	return err;
}

static int ask_release(const char *key)
{
	struct release_request r = { .transport_len = FUZZ_TRANSPORT_SIZE };
	struct release *out = calloc(1, sizeof(*out));
	int err;

	HOLDS(out);
	fuzz_transport(r.transport);
	err = vault_ops.release(key, &r, out);
	if (!err) {
		HOLDS(azure.method == AZURE_SEALED && out->len == 384 + 40);
		HOLDS(!strcmp(out->hash, "sha256"));
	}
	free(out);
	return err;
}

static int ask(uint8_t what)
{
	const char *key = what & 8 ? "other/abcdef0123456789" : "";
	uint8_t spki[SPKI_MAX], secret[SHARE_SECRET_SIZE] = { 1 };
	uint8_t wrapped[SHARE_WRAPPED_SIZE];
	size_t len = sizeof(spki);
	int err;

	switch (what & 7) {
	case 0:
	case 1:
		err = vault_ops.public_key(key, what & 1, spki, &len);
		if (!err)
			check_key(spki, len);
		return err;
	case 2:
		err = vault_ops.poll(key, spki, &len);
		if (!err)
			check_key(spki, len);
		return err;
	case 3:
		return vault_ops.unwrap(key, ciphertext, 256, secret);
	case 4:
		return vault_ops.unwrap(key, ciphertext, SHARE_WRAPPED_SIZE,
					secret);
	case 5:
		return vault_ops.wrap(key, secret, wrapped);
	case 6:
		return ask_release(key);
	default:
		/* Without a tenant nobody is asked. */
		if (azure.credential != AZURE_MANAGED && !*azure.tenant)
			return 0;
		return ask_token();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, data + len };
	uint8_t what;

	configure(fuzz_byte(&in));
	what = fuzz_byte(&in);
	fuzz_answers = in;
	fuzz_begin();
	fuzz_judge(ask(what));
	/* What was remembered serves the second time, or is asked for anew. */
	fuzz_begin();
	fuzz_judge(ask(what >> 4));
	vault_ops.close();
	http_endpoints_free(&azure.vault);
	http_endpoints_free(&azure.authority);
	return 0;
}
