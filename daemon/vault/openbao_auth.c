// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The token that an OpenBao server wants
 *
 * Either it is in a file, which is read each time, since whoever keeps it may
 * put another one there; or we log in by AppRole.  A token is renewed when half
 * of its time is over, by whatever request comes then: the daemon's looks at the
 * keys keep it alive.  A secret ID that was refused is not tried again before
 * its file changes or somebody asks for a check: the server locks roles out.
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../log.h"
#include "json.h"
#include "openbao.h"

#define SECOND		1000000ULL

void bao_auth_forget(struct bao *b)
{
	secret_free(&b->token.text);
	b->token = (struct bao_token){ .granted = 0 };
}

int bao_auth_configure(struct bao *b)
{
	bool approle = b->conf.approle;

	bao_auth_forget(b);
	b->credential = (struct pin){
		.asker = "the server",
		.what = approle ? "secret ID" : "token",
		.setting = approle ? "secret-id-file" : "token-file",
	};
	return pin_configure(&b->credential,
			     vault_setting(b->credential.setting));
}

/* It goes into a header, where a line's end would begin another one. */
static int check_token(const struct bao *b, const uint8_t *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!isgraph(text[i]))
			return vault_fail_here("%s does not hold a %s: there is something in it that is no part of one",
					       b->credential.source,
					       b->credential.what);
	return 0;
}

static void set_times(struct bao_token *token, json_int_t seconds,
		      bool renewable)
{
	uint64_t now = now_usec(), left = seconds * SECOND;

	token->renewable = renewable;
	token->ends_at = seconds > 0 ? now + left : 0;
	token->renew_at = seconds > 0 ? now + left / 2 : 0;
	if (!token->granted)
		token->granted = seconds > 0 ? left : 0;
}

/* --- AppRole --- */

static int take_login(struct bao *b, const json_t *body)
{
	json_t *auth = NULL;
	const char *text = NULL;
	json_int_t seconds = 0;
	bool renewable = false;
	size_t len;
	int err = need_object(body, "auth", &auth);

	if (!err)
		err = need_string(auth, "client_token", &text);
	if (!err)
		err = need_integer(auth, "lease_duration", &seconds);
	if (!err)
		err = may_bool(auth, "renewable", &renewable);
	if (err)
		return err;
	len = strlen(text);
	if (!len || len > BAO_TOKEN_MAX)
		return vault_fail(-EKEYREJECTED, "a login gave no token");
	if (check_token(b, (const uint8_t *)text, len))
		return vault_fail(-EKEYREJECTED, "a login gave a token that is none");
	if (secret_alloc(&b->token.text, len + 1))
		return vault_fail(-EAGAIN, "cannot lock memory for a token");
	memcpy(b->token.text.data, text, len + 1);
	b->token.text.len = len;
	set_times(&b->token, seconds, renewable);
	return 0;
}

static int log_in(struct bao *b)
{
	char path[BAO_PATH_SIZE];
	struct secret id = { 0 };
	json_t *send, *body = NULL;
	long status = 0;
	int err;

	bao_auth_forget(b);
	err = pin_read(&b->credential, "", BAO_TOKEN_MAX, &id);
	if (err)
		return err;
	send = json_pack("{s:s, s:s%}", "role_id", vault_setting("role-id"),
			 "secret_id", (char *)id.data, id.len);
	secret_free(&id);
	if (!send)
		return vault_fail_here("%s does not hold a secret ID",
				       b->credential.source);
	snprintf(path, sizeof(path), "auth/%s/login", b->conf.auth_mount);
	err = bao_ask(b, NULL, path, send, &body, &status);
	if (!err)
		err = take_login(b, body);
	else if (status == 400)
		pin_refuse(&b->credential, "", "it is wrong");
	json_decref(body);
	return err;
}

/* --- a token in a file --- */

/* How long it lasts: what it may not ask for itself it need not know. */
static void look_up(struct bao *b)
{
	json_t *body = NULL, *data = NULL;
	json_int_t ttl = 0;
	bool renewable = false;

	if (bao_ask(b, (char *)b->token.text.data, "auth/token/lookup-self",
		    NULL, &body, NULL) ||
	    need_object(body, "data", &data) ||
	    need_integer(data, "ttl", &ttl) ||
	    may_bool(data, "renewable", &renewable))
		ttl = 0;
	set_times(&b->token, ttl, renewable);
	json_decref(body);
}

static int read_token(struct bao *b)
{
	struct secret text = { 0 };
	int err = pin_read(&b->credential, "", BAO_TOKEN_MAX, &text);

	if (!err)
		err = check_token(b, text.data, text.len);
	if (err) {
		secret_free(&text);
		return err;
	}
	text.data[text.len] = 0;
	if (b->token.text.data && b->token.text.len == text.len &&
	    !memcmp(b->token.text.data, text.data, text.len)) {
		secret_free(&text);
		return 0;
	}
	bao_auth_forget(b);
	b->token.text = text;
	look_up(b);
	return 0;
}

/* --- both --- */

static int renew(struct bao *b)
{
	json_t *body = NULL, *auth = NULL;
	json_int_t seconds = 0;
	bool renewable = true;
	int err;

	err = bao_ask(b, (char *)b->token.text.data, "auth/token/renew-self",
		      json_object(), &body, NULL);
	if (!err)
		err = need_object(body, "auth", &auth) ?:
		      need_integer(auth, "lease_duration", &seconds) ?:
		      may_bool(auth, "renewable", &renewable);
	if (!err)
		set_times(&b->token, seconds, renewable);
	json_decref(body);
	return err;
}

/* Renewing ends where the server says that a token is old enough. */
static bool is_used_up(const struct bao_token *token)
{
	return token->ends_at && token->granted &&
	       token->ends_at - now_usec() < token->granted / 2;
}

static void keep_alive(struct bao *b)
{
	struct bao_token *token = &b->token;
	uint64_t now = now_usec();
	int err = 0;

	if (!token->text.data || !token->renew_at || now < token->renew_at)
		return;
	if (token->renewable)
		err = renew(b);
	if (err == -EAGAIN)
		return;
	if (b->conf.approle) {
		if (err || is_used_up(token))
			bao_auth_forget(b);
		return;
	}
	if (err)
		log_warning("the token in %s cannot be renewed, and ends",
			    b->credential.source);
	/* Not at each request. */
	if (err || !token->renewable)
		token->renew_at = 0;
}

int bao_auth_get(struct bao *b, const char **token)
{
	int err = 0;

	if (!b->conf.approle)
		err = read_token(b);
	if (err)
		return err;
	/* One that is about to end may end on its way. */
	if (b->conf.approle && b->token.ends_at &&
	    now_usec() + b->token.granted / 10 > b->token.ends_at)
		bao_auth_forget(b);
	keep_alive(b);
	if (!b->token.text.data)
		err = log_in(b);
	*token = (char *)b->token.text.data;
	return err;
}

bool bao_auth_denied(struct bao *b)
{
	bao_auth_forget(b);
	return b->conf.approle;
}
