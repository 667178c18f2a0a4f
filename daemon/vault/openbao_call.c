// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Asking an OpenBao server
 *
 * A no counts as the vault's only when it comes as the server says no: with a
 * list of errors, of texts, and a denial with the words that it has for one.
 * What stands between us and it says no in other ways, and may be an outage.
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "openbao.h"

#define ERROR_SIZE 200

/* The list in {"errors":[...]}, of texts alone, or NULL; to be freed. */
static json_t *read_errors(const struct http_reply *reply)
{
	json_t *body = json_loadb((char *)reply->body.data, reply->body.len,
				  JSON_REJECT_DUPLICATES, NULL);
	json_t *errors = json_incref(json_object_get(body, "errors")), *text;
	bool good = json_is_array(errors);
	size_t i;

	json_decref(body);
	json_array_foreach(errors, i, text)
		good = good && json_is_string(text);
	if (good)
		return errors;
	json_decref(errors);
	return NULL;
}

static bool has_error(const json_t *errors, const char *part)
{
	json_t *text;
	size_t i;

	json_array_foreach(errors, i, text)
		if (strstr(json_string_value(text), part))
			return true;
	return false;
}

static bool shows_id(const struct bao *b, const char *text)
{
	uint8_t hash[FINGERPRINT_SIZE];
	size_t i, len = strlen(text);

	/* Of what begins later, no message shows anything. */
	for (i = 0; b->id_len && i + b->id_len <= len && i < ERROR_SIZE; i++)
		if (sha256(text + i, b->id_len, hash) ||
		    !memcmp(hash, b->id_hash, sizeof(hash)))
			return true;
	return false;
}

bool bao_shows_secret(const struct bao *b, const char *text)
{
	const char *token = (const char *)b->token.text.data;

	return (token && strstr(text, token)) || shows_id(b, text);
}

/*
 * The first of them in one line, without the list's decoration.  A server gone mad
 * must not have us log what we sent.
 */
static void first_error(const struct bao *b, const json_t *errors,
			char text[ERROR_SIZE])
{
	const char *first = json_string_value(json_array_get(errors, 0)) ?: "";
	const char *star = strstr(first, "* ");
	size_t i;

	if (star)
		first = star + 2;
	if (bao_shows_secret(b, first))
		first = "its text is left out: it shows our token or secret ID";
	copy_text(text, ERROR_SIZE, first);
	for (i = 0; text[i]; i++)
		if (iscntrl((unsigned char)text[i]))
			text[i] = ' ';
	while (i && text[i - 1] == ' ')
		text[--i] = 0;
}

/* What is wrong with the ciphertext is no matter of the server or the key. */
static bool is_about_input(const char *text)
{
	return strstr(text, "failed to RSA decrypt") ||
	       strstr(text, "invalid ciphertext") ||
	       strstr(text, "could not decode") ||
	       strstr(text, "failed to base64");
}

/* What is not there may be all that it says. */
static bool is_its_own(long status, const json_t *errors)
{
	if (status == 403)
		return has_error(errors, "permission denied");
	return status == 404 || json_array_size(errors);
}

/* What a policy denies comes as "1 error occurred: ...", this as it is, or named. */
static bool is_unknown_token(const json_t *errors)
{
	const char *first = json_string_value(json_array_get(errors, 0));

	return has_error(errors, "invalid token") ||
	       (first && !strcmp(first, "permission denied"));
}

static int tell_no(const struct bao_question *q, long status, const char *text)
{
	switch (status) {
	case 400:
		return vault_fail(-ENOKEY, "%s: %s", q->path, text);
	case 403:
		return vault_fail(-ENOKEY, "%s: %s%s", q->path, text,
				  q->with_token ?
				  "; what it must be permitted: vaultring vault policy VAULT" : "");
	case 404:
		return vault_fail(-ENOKEY, "%s is not there%s%s", q->path,
				  *text ? ": " : "", text);
	default:
		return vault_fail_here("%s: HTTP status %ld: %s", q->path,
				       status, text);
	}
}

static int judge_no(struct bao *b, const struct bao_question *q,
		    const struct http_reply *reply)
{
	json_t *errors = read_errors(reply);
	char text[ERROR_SIZE];
	int err;

	if (!errors || !is_its_own(reply->status, errors)) {
		json_decref(errors);
		return vault_fail(-EAGAIN, "%s answered with HTTP status %ld, and not in the way of an OpenBao server",
				  b->conf.server, reply->status);
	}
	first_error(b, errors, text);
	if (q->with_token && reply->status == 403)
		b->token.unknown = is_unknown_token(errors);
	if (is_about_input(text))
		err = vault_fail(-EKEYREJECTED, "%s: %s", q->path, text);
	else
		err = tell_no(q, reply->status, text);
	json_decref(errors);
	return err;
}

/* It was tried for as long as there was time. */
static int judge_away(const struct bao *b, const struct bao_question *q,
		      const struct http_reply *reply)
{
	/* No status: http_call() has said why. */
	json_t *errors = reply->status ? read_errors(reply) : NULL;
	char text[ERROR_SIZE];
	int err = -EAGAIN;

	if (!errors)
		return err;
	first_error(b, errors, text);
	if (is_about_input(text))
		err = vault_fail(-EKEYREJECTED, "%s: %s", q->path, text);
	else
		vault_fail(err, "%s: HTTP status %ld: %s", b->conf.server,
			   reply->status, text);
	json_decref(errors);
	return err;
}

static int take_yes(const struct http_reply *reply, json_t **body)
{
	*body = NULL;
	return reply->status == 204 ? 0 : body_parse(&reply->body, body);
}

int bao_ask(struct bao *b, const struct bao_question *q, json_t **body,
	    long *status)
{
	struct http_header headers[5] = {
		{ "X-Vault-Request", "true" },
		{ "Content-Type", "application/json" },
	};
	size_t n = 2;
	char *text = q->send ? json_dumps(q->send, JSON_COMPACT) : NULL;
	char full[BAO_PATH_SIZE + 8];
	struct http_request request = {
		.method = q->send ? "POST" : "GET", .path = full,
		.headers = headers, .body = text,
		.body_len = text ? strlen(text) : 0, .aside = q->aside,
	};
	struct http_reply reply;
	int err;

	json_decref(q->send);
	if (q->send && !text)
		return vault_fail(-EAGAIN, "out of memory");
	if (q->with_token)
		headers[n++] = (struct http_header){
			"X-Vault-Token", (char *)b->token.text.data,
		};
	if (*b->conf.namespace)
		headers[n++] = (struct http_header){ "X-Vault-Namespace",
						     b->conf.namespace };
	snprintf(full, sizeof(full), "/v1/%s", q->path);
	err = http_call(&b->endpoints, &request, &reply);
	if (status)
		*status = err ? 0 : reply.status;
	if (err == -EAGAIN)
		err = judge_away(b, q, &reply);
	else if (!err && reply.status >= 400)
		err = judge_no(b, q, &reply);
	else if (!err)
		err = take_yes(&reply, body);
	http_reply_free(&reply);
	secret_free_text(text);
	return err;
}

/* A token may have ended, or been revoked, without our knowing. */
static int ask_twice(struct bao *b, const char *path, json_t *send,
		     json_t **body)
{
	struct bao_question q = { .path = path, .with_token = true };
	long status = 0;
	int err = bao_auth_get(b);

	if (!err) {
		q.send = json_incref(send);
		err = bao_ask(b, &q, body, &status);
	}
	if (err == -ENOKEY && status == 403 && bao_auth_denied(b, &err)) {
		err = bao_auth_get(b);
		if (!err) {
			q.send = json_incref(send);
			err = bao_ask(b, &q, body, NULL);
		}
	}
	json_decref(send);
	return err;
}

int bao_get(struct bao *b, const char *path, json_t **body)
{
	return ask_twice(b, path, NULL, body);
}

int bao_post(struct bao *b, const char *path, json_t *send, json_t **body)
{
	if (!send)
		return vault_fail(-EAGAIN, "out of memory");
	return ask_twice(b, path, send, body);
}
