// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * In place of http_call(): what is asked is looked at, and answered from the
 * input by http.h's rules
 */

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_vault.h"
#include "util.h"

#define URL_MAX		2048

struct fuzz_input fuzz_answers;
long fuzz_last_status;

int __wrap_http_configure(void)
{
	return 0;
}

void __wrap_http_rest(void)
{
}

/*
 * Nothing that ends a line or a word, or it would be another request; libcurl refuses
 * other control characters.
 */
static void check_path(const char *path)
{
	HOLDS(*path == '/' && !strpbrk(path, " \t\r\n#"));
}

static void check_headers(const struct http_header *h)
{
	const char *p;

	for (; h && h->name; h++) {
		HOLDS(h->value);
		for (p = h->value; *p; p++)
			HOLDS((*p >= ' ' && *p < 0x7f) || (unsigned char)*p > 0x7f);
	}
}

static void check_request(const struct http_endpoints *to,
			  const struct http_request *rq)
{
	char host[256];
	size_t i;

	check_path(rq->path);
	check_headers(rq->headers);
	HOLDS(!strcmp(rq->method, rq->body ? "POST" : "GET"));
	HOLDS(!rq->body || strnlen(rq->body, rq->body_len + 1) == rq->body_len);
	HOLDS(rq->metadata || (to && to->n && to->n <= HTTP_ENDPOINTS_MAX));
	for (i = 0; !rq->metadata && i < to->n; i++)
		HOLDS(http_host(to->url[i], host, sizeof(host)));
	fuzz_check_request(to, rq);
}

static bool is_away(const struct http_request *rq, long status)
{
	const long *more = rq->away;

	for (; more && *more; more++)
		if (*more == status)
			return true;
	return status == 408 || status == 429 || status >= 500;
}

static void take_first_line(const char *line, size_t n, struct http_reply *reply)
{
	long retry = 0, date = 0;
	unsigned long endpoint = 0;

	sscanf(line, "%3ld %4ld %1lu %10ld", &reply->status, &retry, &endpoint,
	       &date);
	if (reply->status < 0)
		reply->status = 0;
	reply->retry_after = retry < 0 || retry > 3600 ? 3600 : retry;
	reply->endpoint = endpoint < n ? endpoint : 0;
	reply->date = date > 0 ? date : 0;
}

static void take_answer(size_t n, struct http_reply *reply)
{
	char *text, *line;
	struct fuzz_input in;
	size_t len;

	text = fuzz_text(&fuzz_answers, "\n%%\n", &len);
	in = (struct fuzz_input){ (uint8_t *)text, (uint8_t *)text + len };
	line = fuzz_text(&in, "\n", NULL);
	take_first_line(line, n, reply);
	free(line);
	line = fuzz_text(&in, "\n", NULL);
	copy_text(reply->challenge, sizeof(reply->challenge), line);
	free(line);
	len = in.end - in.at;
	if (len > HTTP_BODY_MAX)
		len = HTTP_BODY_MAX;
	HOLDS(!secret_alloc(&reply->body, len + 1));
	memcpy(reply->body.data, in.at, len);
	reply->body.len = len;
	free(text);
}

int __wrap_http_call(const struct http_endpoints *to,
		     const struct http_request *rq, struct http_reply *reply)
{
	const char *base = rq->metadata ? "http://169.254.169.254" : to->url[0];

	check_request(to, rq);
	*reply = (struct http_reply){ .status = 0 };
	fuzz_last_status = 0;
	if (strlen(base) + strlen(rq->path) >= URL_MAX)
		return vault_fail(-EKEYREJECTED, "the path is too long");
	if (fuzz_answers.at == fuzz_answers.end)
		return vault_fail(-EAGAIN, "it does not answer");
	take_answer(rq->metadata ? 1 : to->n, reply);
	fuzz_last_status = reply->status;
	if (reply->status >= 300 && reply->status < 400)
		return vault_fail(-EAGAIN, "it sends us elsewhere");
	if (reply->status < 200 || is_away(rq, reply->status))
		return vault_fail(-EAGAIN, "it answered with HTTP status %ld",
				  reply->status);
	return 0;
}
