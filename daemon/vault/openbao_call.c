// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Asking an OpenBao server
 *
 * A no counts as the vault's only when it comes as the server says no: with a
 * list of errors.  What stands between us and it says no in other ways, and may
 * be an outage.
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "openbao.h"

#define ERROR_SIZE 200

/* The first of {"errors":[...]} in one line, without the list's decoration. */
static bool read_errors(const struct http_reply *reply, char text[ERROR_SIZE])
{
	json_t *body = json_loadb((char *)reply->body.data, reply->body.len,
				  JSON_REJECT_DUPLICATES, NULL);
	json_t *errors = json_object_get(body, "errors");
	const char *first = json_string_value(json_array_get(errors, 0));
	bool found = json_is_array(errors);
	const char *star = first ? strstr(first, "* ") : NULL;
	size_t i;

	copy_text(text, ERROR_SIZE, star ? star + 2 : first ?: "");
	for (i = 0; text[i]; i++)
		if (iscntrl((unsigned char)text[i]))
			text[i] = ' ';
	while (i && text[i - 1] == ' ')
		text[--i] = 0;
	json_decref(body);
	return found;
}

/* What is wrong with the ciphertext is no matter of the server or the key. */
static bool is_about_input(const char *text)
{
	return strstr(text, "failed to RSA decrypt") ||
	       strstr(text, "invalid ciphertext") ||
	       strstr(text, "could not decode") ||
	       strstr(text, "failed to base64");
}

static int judge_no(const struct bao *b, const char *path,
		    const struct http_reply *reply)
{
	char text[ERROR_SIZE];

	if (!read_errors(reply, text))
		return vault_fail(-EAGAIN, "%s answered with HTTP status %ld, and not in the way of an OpenBao server",
				  b->conf.server, reply->status);
	if (is_about_input(text))
		return vault_fail(-EKEYREJECTED, "%s: %s", path, text);
	switch (reply->status) {
	case 400:
		return vault_fail(-ENOKEY, "%s: %s", path, text);
	case 403:
		return vault_fail(-ENOKEY, "%s: %s%s", path,
				  *text ? text : "permission denied",
				  strncmp(path, "auth/", 5) ?
				  "; what it must be permitted: vaultring vault policy" : "");
	case 404:
		return vault_fail(-ENOKEY, "%s is not there%s%s", path,
				  *text ? ": " : "", text);
	default:
		return vault_fail_here("%s: HTTP status %ld: %s", path,
				       reply->status, text);
	}
}

/* It was tried for as long as there was time. */
static int judge_away(const struct bao *b, const char *path,
		      const struct http_reply *reply)
{
	char text[ERROR_SIZE];

	/* No status: http_call() has said why. */
	if (!reply->status || !read_errors(reply, text))
		return -EAGAIN;
	if (is_about_input(text))
		return vault_fail(-EKEYREJECTED, "%s: %s", path, text);
	return vault_fail(-EAGAIN, "%s: HTTP status %ld: %s", b->conf.server,
			  reply->status, text);
}

static int take_yes(const struct http_reply *reply, json_t **body)
{
	*body = NULL;
	return reply->status == 204 ? 0 : body_parse(&reply->body, body);
}

int bao_ask(struct bao *b, const char *token, const char *path, json_t *send,
	    json_t **body, long *status)
{
	struct http_header headers[5] = {
		{ "X-Vault-Request", "true" },
		{ "Content-Type", "application/json" },
	};
	size_t n = 2;
	char *text = send ? json_dumps(send, JSON_COMPACT) : NULL;
	char full[BAO_PATH_SIZE + 8];
	struct http_request request = {
		.method = send ? "POST" : "GET", .path = full,
		.headers = headers, .body = text,
		.body_len = text ? strlen(text) : 0,
	};
	struct http_reply reply;
	int err;

	json_decref(send);
	if (send && !text)
		return vault_fail(-EAGAIN, "out of memory");
	if (token)
		headers[n++] = (struct http_header){ "X-Vault-Token", token };
	if (*b->conf.namespace)
		headers[n++] = (struct http_header){ "X-Vault-Namespace",
						     b->conf.namespace };
	snprintf(full, sizeof(full), "/v1/%s", path);
	err = http_call(&b->endpoints, &request, &reply);
	if (status)
		*status = err ? 0 : reply.status;
	if (err == -EAGAIN)
		err = judge_away(b, path, &reply);
	else if (!err && reply.status >= 400)
		err = judge_no(b, path, &reply);
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
	const char *token;
	long status = 0;
	int err = bao_auth_get(b, &token);

	if (!err)
		err = bao_ask(b, token, path, json_incref(send), body, &status);
	if (status == 403 && bao_auth_denied(b)) {
		err = bao_auth_get(b, &token);
		if (!err)
			err = bao_ask(b, token, path, json_incref(send), body,
				      NULL);
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
