// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A worker: what the daemon asks of it, line by line
 *
 * Each line has one answer, with its id, and a family's operations see only what
 * vault.h says that they may.  The first byte says in what pieces it is read.
 */

#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "fuzz.h"

/* The socket. */
static struct fuzz_input requests;
static size_t piece;
static char *answers;
static size_t answers_len, answers_room;

static ssize_t read_requests(void *out, size_t room)
{
	size_t n = requests.end - requests.at;

	if (n > room)
		n = room;
	if (n > piece)
		n = piece;
	memcpy(out, requests.at, n);
	requests.at += n;
	return n;
}

#define read(fd, out, room) read_requests(out, room)
#define main worker_main
#include "vault/common.c"
#undef main
#undef read

int __wrap_write_all(int fd, const void *data, size_t len)
{
	HOLDS(fd == daemon_fd);
	if (answers_room - answers_len < len) {
		answers_room = 2 * (answers_room + len);
		answers = realloc(answers, answers_room);
		HOLDS(answers);
	}
	memcpy(answers + answers_len, data, len);
	answers_len += len;
	return 0;
}

int sandbox_enter(void)
{
	return 0;
}

/* --- a family --- */

static int outcome;	/* of its operations: 0 to 3 */

static int done(void)
{
	HOLDS(configured);
	switch (outcome) {
	case 1:
		return vault_fail(-EAGAIN, "it is away");
	case 2:
		return vault_fail_here("it refuses \xff\xfe");
	case 3:
		return vault_fail(-EKEYREJECTED, "it is wrong");
	default:
		return 0;
	}
}

static int do_configure(void)
{
	HOLDS(vault_setting("uri") && !strncmp(vault_setting("uri"), "fuzz:", 5));
	HOLDS(patience && connect_ms > 0 && end_ms > 0);
	return 0;
}

static int do_public_key(const char *key, bool fresh, uint8_t *spki, size_t *len)
{
	(void)fresh;
	HOLDS(key && *len == SPKI_MAX);
	memset(spki, 'k', *key ? SPKI_MAX : 32);
	*len = *key ? SPKI_MAX : 32;
	return done();
}

static const char *do_method(const char *key)
{
	return *key ? "clear" : "oblivious";
}

static bool do_symmetric(const char *key)
{
	return *key == 's';
}

static int do_exchange(const char *key, const uint8_t point[POINT_SIZE],
		       uint8_t x[X_SIZE])
{
	HOLDS(key);
	memcpy(x, point, X_SIZE);
	return done();
}

static int do_unwrap(const char *key, const uint8_t *in, size_t len,
		     uint8_t secret[SHARE_SECRET_SIZE])
{
	HOLDS(key && len && len <= CIPHERTEXT_MAX);
	memset(secret, in[len - 1], SHARE_SECRET_SIZE);
	return done();
}

static int do_wrap(const char *key, const uint8_t secret[SHARE_SECRET_SIZE],
		   uint8_t wrapped[SHARE_WRAPPED_SIZE])
{
	HOLDS(*key == 's' && wants);
	memset(wrapped, 0, SHARE_WRAPPED_SIZE);
	/* In the clear, if its name says so: that must not get through. */
	memcpy(wrapped + 4, secret, key[1] == 'c' ? SHARE_SECRET_SIZE : 8);
	return done();
}

static int do_release(const char *key, const struct release_request *r,
		      struct release *out)
{
	HOLDS(key && r->transport_len && r->transport_len <= SPKI_MAX);
	out->len = *key ? WRAPPED_MAX : 1;
	out->hash = "sha256";
	return done();
}

static int do_init(struct vault_made *made)
{
	made->spki_len = SPKI_MAX;
	made->file_len = MADE_FILE_MAX;
	return done();
}

static void do_close(void)
{
}

static const char *const do_settings[] = { "uri", "pin-source", NULL };

const struct vault_ops vault_ops = {
	.scheme = "fuzz", .settings = do_settings, .configure = do_configure,
	.public_key = do_public_key, .method = do_method,
	.symmetric = do_symmetric, .exchange = do_exchange,
	.unwrap = do_unwrap, .wrap = do_wrap, .release = do_release,
	.init = do_init, .close = do_close,
};

/* --- the daemon --- */

static json_t *id_of(const char *line, size_t len)
{
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	json_t *id = json_incref(json_object_get(request, "id"));

	json_decref(request);
	return id ?: json_null();
}

static void check_answer(const char *line, size_t len, json_t *id)
{
	json_t *reply = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const char *error = json_string_value(json_object_get(reply, "error"));
	const char *message = json_string_value(json_object_get(reply,
								"message"));
	const char *secret, *wrapped;

	HOLDS(json_is_object(reply));
	HOLDS(json_equal(json_object_get(reply, "id"), id));
	HOLDS(!error == !message);
	if (error) {
		HOLDS(!strcmp(error, "refused") || !strcmp(error, "invalid") ||
		      !strcmp(error, "away"));
		HOLDS(*message);
		/* Nothing of what was half done. */
		HOLDS(!json_object_get(reply, "x") &&
		      !json_object_get(reply, "secret") &&
		      !json_object_get(reply, "wrapped"));
		HOLDS(strcmp(error, "away") ||
		      !json_object_get(reply, "here"));
	}
	/* What is wrapped does not show what it wraps. */
	secret = json_string_value(json_object_get(reply, "secret"));
	wrapped = json_string_value(json_object_get(reply, "ciphertext"));
	HOLDS(!wrapped || (secret && !strstr(wrapped, secret)));
	json_decref(reply);
}

/* Each line has its answer, in order. */
static void check_answers(struct fuzz_input in)
{
	const char *answer = answers, *line = (const char *)in.at, *end, *stop;
	json_t *id;

	while ((stop = memchr(line, '\n', (const char *)in.end - line))) {
		end = memchr(answer, '\n', answers + answers_len - answer);
		HOLDS(end);
		id = id_of(line, stop - line);
		check_answer(answer, end - answer, id);
		json_decref(id);
		line = stop + 1;
		answer = end + 1;
	}
	HOLDS(answer == answers + answers_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, data + len };
	uint8_t how = fuzz_byte(&in);

	daemon_fd = 1000;
	json_decref(settings);
	settings = NULL;
	configured = false;
	wants = false;
	here = false;
	patience = DEFAULT_PATIENCE;
	connect_ms = 3000;
	end_ms = 2000;
	outcome = how & 3;
	piece = how & 0x80 ? how & 0x7f : LINE_SIZE;
	piece = piece ?: 1;
	answers_len = 0;
	if (!answers)
		answers = malloc(answers_room = 4096);
	HOLDS(answers);
	requests = in;
	HOLDS(!loop());
	HOLDS(requests.at == requests.end);
	check_answers(in);
	return 0;
}
