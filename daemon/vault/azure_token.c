// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Azure: tokens, and what is asked with them
 *
 * A vault answers 401 with a challenge that says who gives tokens for it.  It is
 * believed as far as it says what the settings say, or names the tenant where
 * they do not: a hostile server must not have us ask somebody else for a token,
 * or for one that is good elsewhere.
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "azure.h"
#include "json.h"

#define EARLY	120	/* seconds that a token is renewed before its end */

static struct secret token;
static uint64_t token_end;

bool azure_word_ok(const char *word, const char *others)
{
	if (!*word)
		return false;
	for (; *word; word++)
		if (!isascii(*word) || (!isalnum((unsigned char)*word) &&
					!strchr(others, *word)))
			return false;
	return true;
}

bool azure_tenant_ok(const char *tenant)
{
	return azure_word_ok(tenant, ".-") && *tenant != '.' &&
	       !strstr(tenant, "..");
}

void azure_forget_token(void)
{
	secret_free(&token);
}

/*
 * What the vault said of the tenant holds until there is trouble with it: the vault
 * may have moved.
 */
static void forget_tenant(void)
{
	if (!vault_setting("tenant"))
		azure.tenant[0] = 0;
}

static int token_need(bool *is_new)
{
	json_int_t lifetime = 0;
	int err;

	if (token.data && now_usec() < token_end)
		return 0;
	azure_forget_token();
	err = azure_credential_token(&token, &lifetime);
	if (err) {
		azure_forget_token();
		forget_tenant();
		return err;
	}
	if (lifetime > 365 * 86400)
		lifetime = 365 * 86400;
	/* One that is short-lived is used for half of its life. */
	lifetime -= lifetime > 2 * EARLY ? EARLY : lifetime / 2;
	token_end = now_usec() + lifetime * 1000000ULL;
	*is_new = true;
	return 0;
}

/* --- the challenge --- */

struct challenge {
	char authority[256], resource[256], scope[256];
};

static bool take_word(const char **p, const char *stop, char *out, size_t size)
{
	size_t len = strcspn(*p, stop);

	if (!len || len >= size)
		return false;
	memcpy(out, *p, len);
	out[len] = 0;
	*p += len;
	return true;
}

static bool keep_parameter(struct challenge *c, const char *name,
			   const char *value)
{
	char *into = NULL;

	if (!strcasecmp(name, "authorization") ||
	    !strcasecmp(name, "authorization_uri"))
		into = c->authority;
	else if (!strcasecmp(name, "resource"))
		into = c->resource;
	else if (!strcasecmp(name, "scope"))
		into = c->scope;
	/* Said twice, it could mean either. */
	if (into && *into && strcmp(into, value))
		return false;
	return !into || copy_text(into, sizeof(c->authority), value);
}

/* Bearer NAME="VALUE", ... (RFC 9110, section 11.6.1) */
static bool parse_challenge(const char *p, struct challenge *c)
{
	char name[32], value[1024];
	bool quoted;

	*c = (struct challenge){ .authority = "" };
	if (strncasecmp(p, "Bearer ", 7))
		return false;
	for (p += 7; *p; ) {
		p += strspn(p, " ,\t");
		if (!*p)
			break;
		if (!take_word(&p, " =,\"\t", name, sizeof(name)) || *p != '=')
			return false;
		p++;
		quoted = *p == '"';
		p += quoted;
		if (!take_word(&p, quoted ? "\"" : " ,\t", value, sizeof(value)))
			return false;
		if (quoted && *p != '"')
			return false;
		p += quoted;
		if (!keep_parameter(c, name, value))
			return false;
	}
	return *c->authority && (*c->resource || *c->scope);
}

/* The host that was asked must be under the one that the token is for. */
static bool is_ours(const char *resource)
{
	char host[256];

	return !*resource || (http_host(resource, host, sizeof(host)) &&
			      !strcmp(host, azure.resource + strlen("https://")));
}

bool azure_shows_secret(const char *text)
{
	return (token.data && strstr(text, (char *)token.data)) ||
	       azure_shows_proof(text);
}

/* *moved: it names another tenant than the one that was asked. */
static int check_challenge(const char *text, bool *moved)
{
	const char *authority = azure.authority.url[0], *tenant;
	char word[AZURE_NAME_SIZE];
	size_t len = strlen(authority);
	struct challenge c;

	*moved = false;
	if (azure_shows_secret(text))
		return vault_fail(-EKEYREJECTED, "it wants a token, and shows one of ours");
	if (!parse_challenge(text, &c))
		return vault_fail(-EKEYREJECTED, "it wants a token, and its challenge is not understood");
	if (strncasecmp(c.authority, authority, len) || c.authority[len] != '/')
		return vault_fail(-EKEYREJECTED, "it wants a token of %.120s, and authority is %s; nothing was sent there",
				  c.authority, authority);
	if (!is_ours(c.resource) || !is_ours(c.scope))
		return vault_fail(-EKEYREJECTED, "it wants a token for %.120s, and its own are for %s; none was sent",
				  is_ours(c.resource) ? c.scope : c.resource,
				  azure.resource);
	tenant = c.authority + len + 1;
	if (!take_word(&tenant, "/?#", word, sizeof(word)) ||
	    !azure_tenant_ok(word))
		return vault_fail(-EKEYREJECTED, "it wants a token, and its challenge names no tenant");
	/* The setting may be a domain where the challenge has its id. */
	if (!vault_setting("tenant")) {
		*moved = *azure.tenant && strcmp(azure.tenant, word);
		copy_text(azure.tenant, sizeof(azure.tenant), word);
	}
	return 0;
}

/* --- what the vault says --- */

/* {"error": {"code", "message", "innererror": {"code"}}} */
struct azure_error {
	const char *code, *message, *inner;
};

/* A server gone mad must not have us log what we sent.  NULL: it is no text. */
static const char *clean(const json_t *json, const char *instead)
{
	const char *text = json_string_value(json);

	return text && azure_shows_secret(text) ? instead : text;
}

static bool read_error(const json_t *json, struct azure_error *e)
{
	json_t *error = json_object_get(json, "error");
	json_t *inner = json_object_get(error, "innererror") ?:
			json_object_get(error, "innerError");

	e->code = clean(json_object_get(error, "code"), "error");
	e->message = clean(json_object_get(error, "message"),
			   "its text is left out: it shows our token") ?: "";
	e->inner = clean(json_object_get(inner, "code"), "") ?: "";
	return e->code;
}

/*
 * The words for a no that is one.  Gateways and proxies on the way have the same
 * form for errors of their own.
 */
static bool is_no(long status, const char *code)
{
	static const struct {
		long status;
		const char *code;
	} words[] = {
		{ 401, "Unauthorized" }, { 403, "Forbidden" },
		{ 403, "AccessDenied" }, { 404, "KeyNotFound" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].status == status && !strcmp(words[i].code, code))
			return true;
	return false;
}

static int status_error(long status, const struct azure_error *e)
{
	switch (status) {
	case 403:
		/* Where we are, not who: another network may be let in. */
		if (!strcmp(e->inner, "ForbiddenByFirewall") ||
		    !strcmp(e->inner, "ForbiddenByConnection"))
			return -EAGAIN;
		/* fall through */
	case 401:
	case 404:
		return is_no(status, e->code) ? -ENOKEY : -EKEYREJECTED;
	case 409:
		/* It is being deleted, recovered or restored. */
	case 429:
		return -EAGAIN;
	default:
		return status >= 500 ? -EAGAIN : -EKEYREJECTED;
	}
}

/* A no that is not in Azure's words is nobody's. */
static int tell_status(const struct http_reply *reply, struct azure_answer *out)
{
	struct azure_error e = { .code = NULL };
	const char *host = azure.vault.url[reply->endpoint] + strlen("https://");
	char wish[40] = "", text[450];
	json_t *json = NULL;
	int err;

	if (body_parse(&reply->body, &json) || !read_error(json, &e)) {
		err = reply->status == 429 || reply->status >= 500 ? -EAGAIN :
		      -EKEYREJECTED;
		vault_fail(err, "%s answered with HTTP status %ld, and not as Azure does",
			   host, reply->status);
	} else {
		err = status_error(reply->status, &e);
		copy_text(out->inner, sizeof(out->inner), e.inner);
		copy_text(out->message, sizeof(out->message), e.message);
		if (reply->retry_after)
			snprintf(wish, sizeof(wish), "; ask again in %ld s",
				 reply->retry_after);
		snprintf(text, sizeof(text), "%.60s says %.60s%s%.60s (%ld): %.200s%s",
			 host, e.code, *e.inner ? ", " : "", e.inner,
			 reply->status, e.message, wish);
		err = err == -ENOKEY ? azure_no("%s", text) :
		      vault_fail(err, "%s", text);
	}
	json_decref(json);
	return err;
}

static int send_once(const char *path, const char *text, bool *is_new,
		     struct http_reply *reply)
{
	char bearer[AZURE_TOKEN_MAX + 16];
	struct http_header headers[] = {
		{ "Accept", "application/json" },
		{ "Content-Type", "application/json" },
		{ NULL, NULL }, { NULL, NULL },
	};
	struct http_request rq = {
		.method = text ? "POST" : "GET", .path = path,
		.headers = headers, .body = text,
		.body_len = text ? strlen(text) : 0,
	};
	int err;

	/* Without a tenant the vault is asked for its challenge first. */
	if (*azure.tenant || azure.credential == AZURE_MANAGED) {
		err = token_need(is_new);
		if (err)
			return err;
		snprintf(bearer, sizeof(bearer), "Bearer %s",
			 (char *)token.data);
		headers[2] = (struct http_header){ "Authorization", bearer };
	}
	err = http_call(&azure.vault, &rq, reply);
	explicit_bzero(bearer, sizeof(bearer));
	azure_heard(reply);
	if (!err && reply->endpoint > azure.copy)
		azure.copy = reply->endpoint;
	return err;
}

/* Until it is no 401 that a token, or a new one, could help. */
static int send_with_token(const char *path, const char *text,
			   struct http_reply *reply)
{
	bool is_new = false, moved, followed = false;
	int err;

	for (;;) {
		err = send_once(path, text, &is_new, reply);
		if (err || reply->status != 401)
			return err;
		err = check_challenge(reply->challenge, &moved);
		/* Once: one that moves and moves is not followed. */
		if (err || (is_new && (!moved || followed)))
			return err;
		followed = is_new;
		is_new = false;
		azure_forget_token();
		http_reply_free(reply);
	}
}

int azure_call(const char *path, const json_t *body, struct azure_answer *out)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct http_reply reply = { .status = 0 };
	int err;

	*out = (struct azure_answer){ .status = 0 };
	if (body && !text)
		return vault_fail(-EAGAIN, "out of memory");
	err = send_with_token(path, text, &reply);
	out->status = reply.status;
	/* Its own words for being busy are better than ours. */
	if (err == -EAGAIN && (reply.status == 429 || reply.status >= 500))
		err = tell_status(&reply, out);
	else if (!err && reply.status != 200)
		err = tell_status(&reply, out);
	else if (!err)
		err = body_parse(&reply.body, &out->json);
	http_reply_free(&reply);
	secret_free_text(text);
	return err;
}

void azure_answer_free(struct azure_answer *answer)
{
	json_decref(answer->json);
	*answer = (struct azure_answer){ .status = 0 };
}
