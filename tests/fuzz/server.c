// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon's socket: each message has its answer, and only root's is heard
 *
 * The first byte says who asks and how, then come messages with a zero after each,
 * read in pieces of the second byte's size.
 */

#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "fuzz_event.h"

#include "../../daemon/server.c"

/* The first byte. */
enum { ROOT = 1, LATER = 2, PROGRESS = 4, FULL = 8, IDLE = 16 };

static uint8_t how;
static struct call *waiting;		/* to be answered later */
static size_t asked, answered, refused;
static bool cut_off;

static void answer(struct call *call, const char *method)
{
	if (how & PROGRESS)
		call_progress(call, "on the way");
	if (strlen(method) % 2)
		call_error(call, -EINVAL, "no: %.100s", method);
	else
		call_reply(call, json_pack("{s:s}", "method", method));
}

void method_run(struct daemon *d, struct call *call, const char *method,
		const json_t *params)
{
	(void)d;
	HOLDS(how & ROOT);
	HOLDS(!params || json_is_object(params));
	HOLDS(!waiting);
	asked++;
	if (how & LATER)
		waiting = call;
	else
		answer(call, method);
}

/* --- the client --- */

static void check_reply(const char *text, size_t len)
{
	json_t *reply = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	json_t *params = json_object_get(reply, "parameters");
	const char *name = json_string_value(json_object_get(params, "errno"));

	HOLDS(json_is_object(params));
	if (json_object_get(reply, "error")) {
		HOLDS(name && json_string_length(json_object_get(params,
								 "message")));
		cut_off |= !strcmp(name, "EMSGSIZE");
		refused += !strcmp(name, "EACCES");
	}
	if (!json_is_true(json_object_get(reply, "continues")))
		answered++;
	json_decref(reply);
}

static void read_replies(int fd)
{
	static char text[65536];
	static size_t have;
	ssize_t n;
	char *end;

	if (fd < 0) {
		have = 0;
		return;
	}
	while ((n = recv(fd, text + have, sizeof(text) - have,
			 MSG_DONTWAIT)) > 0) {
		have += n;
		while ((end = memchr(text, 0, have))) {
			check_reply(text, end - text);
			have -= end + 1 - text;
			memmove(text, end + 1, have);
		}
		HOLDS(have < sizeof(text));
		fuzz_event_run();
	}
}

static void settle(int fd)
{
	struct call *call;

	fuzz_event_run();
	read_replies(fd);
	while (waiting) {
		call = waiting;
		waiting = NULL;
		answer(call, "later");
		fuzz_event_run();
		read_replies(fd);
	}
}

static void say(int fd, const uint8_t *data, size_t len, size_t piece)
{
	size_t n;

	for (; len; data += n, len -= n) {
		n = len < piece ? len : piece;
		if (send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			return;
		settle(fd);
	}
}

/* More than a message may have. */
static void say_too_much(int fd)
{
	uint8_t *text = malloc(MAX_MESSAGE);

	HOLDS(text);
	memset(text, ' ', MAX_MESSAGE);
	say(fd, text, MAX_MESSAGE, MAX_MESSAGE);
	free(text);
}

static size_t count_messages(const uint8_t *data, size_t len)
{
	size_t n = 0;

	while (len--)
		n += !*data++;
	return n;
}

static void check(const uint8_t *data, size_t len)
{
	size_t messages = count_messages(data, len);

	HOLDS(asked <= messages);
	if (how & ROOT)
		HOLDS(!refused);
	else
		HOLDS(!asked && (cut_off || refused == messages));
	if (how & FULL)
		HOLDS(cut_off && answered == 1);
	else
		HOLDS(answered == messages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, data + len };
	struct daemon d = { .config.client_timeout_usec = 20000000 };
	struct server s = { .d = &d };
	size_t piece;
	int fds[2];

	how = fuzz_byte(&in);
	piece = fuzz_byte(&in) * 4 + 1;
	asked = answered = refused = 0;
	cut_off = false;
	read_replies(-1);
	fuzz_now = 1000000;
	HOLDS(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			  0, fds));
	HOLDS(!client_new(&s, fds[0], how & ROOT) && s.n_clients == 1);
	if (how & FULL)
		say_too_much(fds[1]);
	say(fds[1], in.at, in.end - in.at, piece);
	check(in.at, in.end - in.at);
	/* It goes when it is told to, or says nothing for a while. */
	if (how & IDLE)
		fuzz_now += 30000000;
	else
		shutdown(fds[1], SHUT_WR);
	settle(fds[1]);
	HOLDS(!s.clients && !s.n_clients && !s.n_strangers);
	HOLDS(!fuzz_event_count());
	close(fds[1]);
	return 0;
}
