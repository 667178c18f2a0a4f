// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * HTTP: header lines and bodies as libcurl hands them on, and the texts that
 * become part of a request
 *
 * Lines up to an empty one are headers, what follows is the body.
 */

#define _GNU_SOURCE
#include "fuzz_vault.h"

#include "vault/http.c"

static void check_reply(const struct http_reply *reply)
{
	size_t len = strnlen(reply->challenge, sizeof(reply->challenge));

	HOLDS(len < sizeof(reply->challenge));
	HOLDS(!len || (!isspace((unsigned char)reply->challenge[0]) &&
		       !isspace((unsigned char)reply->challenge[len - 1])));
	HOLDS(reply->date >= 0);
	HOLDS(reply->body.len <= HTTP_BODY_MAX);
}

/* What it refuses, it says why; a piece is taken whole. */
static bool hand_on(size_t (*to)(char *, size_t, size_t, void *),
		    struct receiving *r, const char *text, size_t len)
{
	char *piece = fuzz_copy(text, len);
	size_t n = to(piece, 1, len, r);

	free(piece);
	HOLDS(n == len ? !r->too_much : !n && r->too_much);
	return n == len;
}

static void check_receiving(struct fuzz_input in)
{
	struct http_reply reply = { .status = 0 };
	struct receiving r = { .reply = &reply };
	const char *text = (const char *)in.at, *end = (const char *)in.end;
	uint8_t how = fuzz_byte(&in);
	size_t step = how * 8 + 1, len;
	bool goes_on = true, head = true;

	HOLDS(!secret_alloc(&reply.body, HTTP_BODY_MAX + 1));
	reply.body.len = 0;
	/* Near the end of what is allowed. */
	if (how & 1) {
		r.headers = HTTP_HEADERS_MAX - 256;
		reply.body.len = HTTP_BODY_MAX - 256;
	}
	while (goes_on && head && text < end) {
		const char *stop = memchr(text, '\n', end - text) ?: end - 1;

		len = stop - text + 1;
		/* libcurl takes no such line. */
		if (memchr(text, 0, len))
			break;
		goes_on = hand_on(on_header, &r, text, len);
		text += len;
		head = len > 2;
		check_reply(&reply);
	}
	while (goes_on && !head && text < end) {
		len = step < (size_t)(end - text) ? step : (size_t)(end - text);
		goes_on = hand_on(on_body, &r, text, len);
		text += len;
	}
	check_reply(&reply);
	if (!goes_on) {
		fuzz_begin();
		fuzz_judge(tell_failure(CURLE_WRITE_ERROR, "host", &r));
	}
	http_reply_free(&reply);
}

static unsigned char unescaped(const char **p)
{
	unsigned int c = (unsigned char)*(*p)++;

	if (c == '%') {
		HOLDS(sscanf(*p, "%2X", &c) == 1);
		*p += 2;
	}
	return c;
}

static void check_escape(const char *text)
{
	char *out = malloc(3 * strlen(text) + 1);
	const char *p = out;

	HOLDS(out);
	http_escape(out, text);
	HOLDS(strspn(out, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%") ==
	      strlen(out));
	while (*text)
		HOLDS(unescaped(&p) == (unsigned char)*text++);
	HOLDS(!*p);
	free(out);
}

static void check_endpoints(const char *text)
{
	struct http_endpoints to = { .n = 0 };
	char host[64];
	size_t i;
	int err;

	fuzz_begin();
	err = http_endpoints_parse(&to, text);
	fuzz_judge(err);
	HOLDS(to.n <= HTTP_ENDPOINTS_MAX && (err || to.n));
	for (i = 0; i < to.n; i++) {
		HOLDS(!strncmp(to.url[i], "https://", 8));
		HOLDS(!strpbrk(to.url[i] + 8, "/@?# ,"));
	}
	http_endpoints_free(&to);
	/* Into less room, too. */
	if (http_host(text, host, sizeof(host)))
		HOLDS(strnlen(host, sizeof(host)) < sizeof(host) && *host &&
		      !strpbrk(host, "ABCDEFGHIJKLMNOPQRSTUVWXYZ/:@"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, data + len };
	char *text = fuzz_text(&in, "\n", NULL);

	check_escape(text);
	check_endpoints(text);
	free(text);
	check_receiving((struct fuzz_input){ data, data + len });
	return 0;
}
