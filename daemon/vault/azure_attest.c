// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Azure: what attests this host, for secure key release
 *
 * A token, in which a service says which transport key this host's kernel has, and
 * what the host is.  It comes from a file that others keep fresh, or from a command.
 * Where an endpoint of Azure Attestation is set, what these give is evidence, and
 * the token is its answer.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "azure.h"
#include "azure_run.h"
#include "json.h"

#define RSA_MAX	512	/* bytes */

static struct http_endpoints service;
static char service_path[1024];	/* "": none is set */

static int parse_endpoint(const char *url)
{
	char host[256], *base;
	const char *path;
	int err;

	service_path[0] = 0;
	if (!url)
		return 0;
	path = http_host(url, host, sizeof(host)) ?
	       strchr(url + strlen("https://"), '/') : NULL;
	if (!path || strpbrk(url, " \t,#") ||
	    !copy_text(service_path, sizeof(service_path), path))
		return vault_fail_here("its attestation-endpoint is not like https://NAME.attest.azure.net/attest/SevSnpVm?api-version=2022-08-01: %.150s",
				       url);
	base = strndup(url, path - url);
	err = base ? http_endpoints_parse(&service, base) :
	      vault_fail(-EAGAIN, "out of memory");
	free(base);
	return err;
}

int azure_attest_configure(void)
{
	const char *file = vault_setting("attestation-file");
	const char *command = vault_setting("attestation-command");

	if (!file == !command)
		return vault_fail_here("method = sealed needs either attestation-file or attestation-command");
	if (file && *file != '/')
		return vault_fail_here("attestation-file needs a full path");
	return parse_endpoint(vault_setting("attestation-endpoint"));
}

/* --- the evidence --- */

static json_t *jwk_of(const struct release_request *r)
{
	const uint8_t *p = r->transport;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &p, r->transport_len);
	uint8_t n[RSA_MAX] = { 0 }, e[8] = { 0 };
	char text_n[BASE64_SIZE(RSA_MAX)], text_e[BASE64_SIZE(8)];
	BIGNUM *bn_n = NULL, *bn_e = NULL;
	bool ok = key && EVP_PKEY_is_a(key, "RSA") &&
		  EVP_PKEY_get_size(key) <= RSA_MAX &&
		  EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &bn_n) &&
		  EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &bn_e) &&
		  BN_num_bytes(bn_e) <= (int)sizeof(e);

	if (ok) {
		base64_encode(BASE64_URL, n, BN_bn2bin(bn_n, n), text_n);
		base64_encode(BASE64_URL, e, BN_bn2bin(bn_e, e), text_e);
	}
	BN_free(bn_e);
	BN_free(bn_n);
	EVP_PKEY_free(key);
	return ok ? json_pack("{s:s, s:s, s:s}", "kty", "RSA", "n", text_n,
			      "e", text_e) : NULL;
}

/* {"transport": JWK, "nonce": base64url}: both are public. */
static int run_command(const struct release_request *r, struct secret *out)
{
	char nonce[BASE64_SIZE(NONCE_SIZE)], *text;
	json_t *jwk = jwk_of(r), *input;
	int err;

	if (!jwk)
		return vault_fail(-EKEYREJECTED, "transport is no RSA public key");
	base64_encode(BASE64_URL, r->nonce, sizeof(r->nonce), nonce);
	input = json_pack("{s:o, s:s}", "transport", jwk, "nonce", nonce);
	text = input ? json_dumps(input, JSON_COMPACT) : NULL;
	err = text ? azure_run(text, out) : vault_fail(-EAGAIN, "out of memory");
	free(text);
	json_decref(input);
	return err;
}

static int take_evidence(const struct release_request *r, struct secret *out)
{
	const char *file = vault_setting("attestation-file");

	return file ? azure_file_read(file, out) : run_command(r, out);
}

/* --- the service --- */

/* {"error": {"code", "message"}}; what it thinks of this host is no word of the vault's. */
static int tell_no(const struct http_reply *reply)
{
	json_t *json = NULL, *error;
	const char *code = NULL, *message = NULL;
	int err;

	if (!body_parse(&reply->body, &json)) {
		error = json_object_get(json, "error");
		code = json_string_value(json_object_get(error, "code"));
		message = json_string_value(json_object_get(error, "message"));
	}
	err = vault_fail_here("%.100s does not attest this host (%ld): %.60s%s%.200s",
			      service.url[0] + strlen("https://"), reply->status,
			      code ?: "it does not say why", message ? ": " : "",
			      message ?: "");
	json_decref(json);
	return err;
}

static int take_token(const struct http_reply *reply, struct secret *token)
{
	json_t *json = NULL;
	const char *text;
	int err = body_parse(&reply->body, &json) ?:
		  need_string(json, "token", &text);

	if (!err && secret_alloc(token, strlen(text) + 1))
		err = vault_fail(-EAGAIN, "cannot lock memory for a token");
	if (!err) {
		token->len = strlen(text);
		memcpy(token->data, text, token->len + 1);
	}
	json_decref(json);
	return err;
}

/* Azure Attestation takes such requests from anybody: no token of ours goes there. */
static int ask_service(const struct secret *evidence, struct secret *token)
{
	static const struct http_header headers[] = {
		{ "Accept", "application/json" },
		{ "Content-Type", "application/json" },
		{ NULL, NULL },
	};
	struct http_request rq = {
		.method = "POST", .path = service_path, .headers = headers,
		.body = evidence->data, .body_len = evidence->len,
	};
	struct http_reply reply = { .status = 0 };
	int err = http_call(&service, &rq, &reply);

	if (!err)
		err = reply.status == 200 ? take_token(&reply, token) :
		      tell_no(&reply);
	http_reply_free(&reply);
	return err;
}

int azure_attest_token(const struct release_request *r, struct secret *token)
{
	struct secret evidence = { 0 };
	int err;

	if (*service_path) {
		err = take_evidence(r, &evidence);
		if (!err)
			err = ask_service(&evidence, token);
		secret_free(&evidence);
	} else {
		err = take_evidence(r, token);
	}
	if (!err && !azure_word_ok((char *)token->data, "-._")) {
		secret_free(token);
		err = vault_fail_here("what attests this host gives no token (JWT)");
	}
	return err;
}
