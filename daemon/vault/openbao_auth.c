// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The token that an OpenBao server wants
 *
 * Either it is in a file, which is read each time, since whoever keeps it may
 * put another one there; or we log in by AppRole.  A token is renewed when a
 * quarter of its time is over, by whatever request comes then: the daemon's looks
 * at the keys keep it alive.  One that has come to its end, as after an outage
 * that was longer than it lasts, is no word of the server's on our keys; one that
 * should have lasted was revoked, and that is.
 *
 * A secret ID that was refused is not tried again before its file changes or
 * somebody asks for a check: the server locks roles out.
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../log.h"
#include "json.h"
#include "openbao.h"

#define SECOND		1000000ULL
#define MINUTE		(60 * SECOND)
#define FIRST_PAUSE	(5 * SECOND)

/* Going on while this machine sleeps, as the server's does. */
static uint64_t boot_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec / 1000;
}

static void forget(struct bao *b)
{
	secret_free(&b->token.text);
	b->token = (struct bao_token){ .granted = 0 };
}

int bao_auth_configure(struct bao *b)
{
	bool approle = b->conf.approle;

	forget(b);
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
	uint64_t now = boot_usec(), left = seconds > 0 ? seconds * SECOND : 0;

	token->asked = true;
	token->timed = true;
	token->renewable = renewable;
	token->ends_at = left ? now + left : 0;
	token->renew_at = left ? now + left / 4 : 0;
	token->not_before = 0;
	if (!token->granted)
		token->granted = left;
}

static uint64_t time_left(const struct bao_token *token)
{
	uint64_t now = boot_usec();

	return token->ends_at > now ? token->ends_at - now : 0;
}

/* What has failed is tried again in a while, and before it is too late. */
static void pause_for(struct bao_token *token)
{
	uint64_t pause = token->timed ? time_left(token) / 8 : FIRST_PAUSE;

	token->not_before = boot_usec() + (pause < MINUTE ? pause : MINUTE);
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
	b->token.since = boot_usec();
	set_times(&b->token, seconds, renewable);
	return 0;
}

/* The server keeps one that nobody uses any more until it ends: give it back. */
static void drop(struct bao *b, bool aside)
{
	struct bao_token *token = &b->token;
	const struct bao_question q = {
		.path = "auth/token/revoke-self", .with_token = true,
		.send = json_object(), .aside = aside,
	};
	json_t *body = NULL;

	if (token->text.data && !token->unknown &&
	    (!token->ends_at || time_left(token)))
		(void)!bao_ask(b, &q, &body, NULL);
	else
		json_decref(q.send);
	json_decref(body);
	forget(b);
}

static int log_in(struct bao *b)
{
	char path[BAO_PATH_SIZE];
	struct bao_question q = { .path = path };
	struct secret id = { 0 };
	json_t *body = NULL;
	long status = 0;
	int err;

	forget(b);
	err = pin_read(&b->credential, "", BAO_TOKEN_MAX, &id);
	if (err)
		return err;
	id.data[id.len] = 0;
	b->id_len = id.len;
	if (sha256(id.data, id.len, b->id_hash)) {
		secret_free(&id);
		return vault_fail(-EAGAIN, "cannot compute SHA-256");
	}
	q.send = json_pack("{s:s, s:s%}", "role_id", vault_setting("role-id"),
			   "secret_id", (char *)id.data, id.len);
	snprintf(path, sizeof(path), "auth/%s/login", b->conf.auth_mount);
	if (q.send)
		err = bao_ask(b, &q, &body, &status);
	else
		err = vault_fail_here("%s does not hold a secret ID",
				      b->credential.source);
	secret_free(&id);
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
	const struct bao_question q = {
		.path = "auth/token/lookup-self", .with_token = true,
		.aside = true,
	};
	json_t *body = NULL, *data = NULL;
	json_int_t ttl = 0;
	bool renewable = false;
	long status = 0;
	int err;

	err = bao_ask(b, &q, &body, &status);
	if (!err)
		err = need_object(body, "data", &data) ?:
		      need_integer(data, "ttl", &ttl) ?:
		      may_bool(data, "renewable", &renewable);
	json_decref(body);
	if (!err) {
		set_times(&b->token, ttl, renewable);
	} else if (err == -ENOKEY && (status == 403 || status == 404)) {
		b->token.asked = true;
		if (!b->token.unknown)
			log_warning("the token in %s may not look itself up, and so is not renewed",
				    b->credential.source);
	} else {
		pause_for(&b->token);
	}
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
	forget(b);
	b->token.text = text;
	b->token.since = boot_usec();
	return 0;
}

/* --- both --- */

static int renew(struct bao *b)
{
	const struct bao_question q = {
		.path = "auth/token/renew-self", .with_token = true,
		.send = json_object(), .aside = true,
	};
	json_t *body = NULL, *auth = NULL;
	json_int_t seconds = 0;
	bool renewable = true;
	int err;

	err = bao_ask(b, &q, &body, NULL);
	if (!err)
		err = need_object(body, "auth", &auth) ?:
		      need_integer(auth, "lease_duration", &seconds) ?:
		      may_bool(auth, "renewable", &renewable);
	json_decref(body);
	if (err)
		pause_for(&b->token);
	else if (seconds > 0)
		set_times(&b->token, seconds, renewable);
	else	/* nothing was added, and 0 would be for ever */
		b->token.renewable = false;
	return err;
}

/* Renewing ends where the server says that a token is old enough. */
static bool is_used_up(const struct bao_token *token)
{
	return token->ends_at && time_left(token) < token->granted / 2;
}

static void renew_in_time(struct bao *b)
{
	struct bao_token *token = &b->token;
	int err = 0;

	if (token->renewable)
		err = renew(b);
	/* An outage, or nonsense, may be over soon. */
	if (err && err != -ENOKEY)
		return;
	if (b->conf.approle) {
		if (err || is_used_up(token))
			drop(b, true);
		return;
	}
	/* Not at each request. */
	if (err || !token->renewable || is_used_up(token)) {
		log_warning("the token in %s cannot be renewed any more, and ends in %u s",
			    b->credential.source,
			    (unsigned int)(time_left(token) / SECOND));
		token->renew_at = 0;
	}
}

/*
 * Before the request that is to be answered: after it, what goes wrong here would
 * be told in place of the answer.
 */
static void keep_alive(struct bao *b)
{
	struct bao_token *token = &b->token;
	uint64_t now = boot_usec();

	if (!token->text.data || now < token->not_before)
		return;
	if (!token->asked)
		look_up(b);
	else if (token->renew_at && now >= token->renew_at)
		renew_in_time(b);
}

int bao_auth_get(struct bao *b)
{
	const struct bao_token *token = &b->token;

	if (!b->conf.approle) {
		int err = read_token(b);

		if (err)
			return err;
	}
	/* One that is about to end may end on its way. */
	if (b->conf.approle && token->ends_at &&
	    time_left(token) < token->granted / 10)
		drop(b, true);
	keep_alive(b);
	return token->text.data ? 0 : log_in(b);
}

/* One that should have lasted was revoked, and that is the server's word. */
static int tell_end(const struct bao *b, int err)
{
	const struct bao_token *token = &b->token;

	if (token->timed ? !token->ends_at || time_left(token) :
			   !token->unknown)
		return err;
	if (token->timed)
		return vault_fail_here("the token in %s has ended; put a new one there",
				       b->credential.source);
	return vault_fail_here("the server does not know the token in %s, which has ended or was revoked; put a new one there",
			       b->credential.source);
}

bool bao_auth_denied(struct bao *b, int *err)
{
	if (!b->conf.approle) {
		*err = tell_end(b, *err);
		return false;
	}
	/* What a fresh one may not do, the next one may not either. */
	if (!b->token.unknown && boot_usec() < b->token.since + MINUTE)
		return false;
	drop(b, true);
	return true;
}

void bao_auth_close(struct bao *b)
{
	if (b->conf.approle)
		drop(b, false);
	else
		forget(b);
}
