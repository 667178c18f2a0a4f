// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * HTTPS for vault workers, by libcurl with OpenSSL
 *
 * A server that cannot prove who it is, or somebody between us and it, is away:
 * neither may look like the vault's own no.  Tokens and key shares pass through
 * the memory of three libraries, which wipe what they free.
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/crypto.h>

#include "../util.h"
#include "http.h"
#include "vault.h"

#define METADATA_URL	"http://169.254.169.254"
#define SLOW_BYTES	64L	/* a second, for so long: */
#define SLOW_SECONDS	10L
#define FIRST_PAUSE_MS	250
#define LONGEST_PAUSE_MS 16000
#define LONGEST_WISH	3600L	/* seconds */
/* The shortest time that a try makes sense in. */
#define LEAST_MS	100

static bool started;
static CURL *curl;		/* and its connections */
static char curl_error[CURL_ERROR_SIZE];

/* --- memory that is wiped when it is freed --- */

static void wiping_free(void *p)
{
	secret_free_text(p);
}

static void *wiping_realloc(void *p, size_t size)
{
	size_t old = p ? malloc_usable_size(p) : 0;
	void *new = size ? malloc(size) : NULL;

	if (size && !new)
		return NULL;
	if (new && p)
		memcpy(new, p, old < size ? old : size);
	wiping_free(p);
	return new;
}

static void *openssl_malloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return malloc(size);
}

static void *openssl_realloc(void *p, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return wiping_realloc(p, size);
}

static void openssl_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	wiping_free(p);
}

static int libraries_start(void)
{
	/* Before OpenSSL has memory of its own, or never. */
	if (!CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc,
				      openssl_free))
		return -EBUSY;
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free,
				 wiping_realloc, strdup, calloc))
		return -ENOMEM;
	started = true;
	return 0;
}

/* --- settings --- */

int http_configure(void)
{
	const char *ca_file = vault_setting("ca-file");

	if (ca_file && (*ca_file != '/' || access(ca_file, R_OK)))
		return vault_fail_here("its ca-file is no file with a full path that can be read: %s",
				       ca_file);
	if (!started && libraries_start())
		return vault_fail(-EAGAIN, "cannot set up libcurl");
	return 0;
}

bool http_host(const char *url, char *host, size_t size)
{
	size_t i, len;

	if (strncmp(url, "https://", 8))
		return false;
	url += 8;
	len = strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
	if (!len || len >= size || !isalnum((unsigned char)*url))
		return false;
	for (i = 0; i < len; i++)
		host[i] = tolower((unsigned char)url[i]);
	host[len] = 0;
	url += len;
	if (*url == ':') {
		len = strspn(++url, "0123456789");
		if (!len || len > 5)
			return false;
		url += len;
	}
	return !*url || *url == '/';
}

int http_endpoints_parse(struct http_endpoints *to, const char *list)
{
	char host[256], *p, *save;

	http_endpoints_free(to);
	to->text = strdup(list);
	if (!to->text)
		return vault_fail(-EAGAIN, "out of memory");
	for (p = strtok_r(to->text, ", \t", &save); p;
	     p = strtok_r(NULL, ", \t", &save)) {
		size_t len = strlen(p);

		if (len && p[len - 1] == '/')
			p[len - 1] = 0;
		if (!http_host(p, host, sizeof(host)) || strchr(p + 8, '/'))
			return vault_fail_here("not https://HOST[:PORT]: %.200s",
					       p);
		if (to->n == HTTP_ENDPOINTS_MAX)
			return vault_fail_here("more than %d endpoints",
					       HTTP_ENDPOINTS_MAX);
		to->url[to->n++] = p;
	}
	return to->n ? 0 : vault_fail_here("endpoints names none");
}

void http_endpoints_free(struct http_endpoints *to)
{
	free(to->text);
	*to = (struct http_endpoints){ .n = 0 };
}

void http_escape(char *out, const char *in)
{
	for (; *in; in++) {
		unsigned char c = *in;

		if (isascii(c) && (isalnum(c) || strchr("-._~", c)))
			*out++ = c;
		else
			out += sprintf(out, "%%%02X", c);
	}
	*out = 0;
}

/* --- one try --- */

struct receiving {
	struct http_reply *reply;
	size_t headers;
	const char *too_much;
};

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct receiving *r = arg;
	struct secret *body = &r->reply->body;

	n *= size;
	if (n > HTTP_BODY_MAX - body->len) {
		r->too_much = "it sent a body of more than 64 KiB";
		return 0;
	}
	memcpy(body->data + body->len, data, n);
	body->len += n;
	return n;
}

static bool header_is(const char *line, size_t len, const char *name,
		      const char **value, size_t *value_len)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) || line[n] != ':')
		return false;
	for (n++; n < len && isspace((unsigned char)line[n]); n++)
		;
	while (len > n && isspace((unsigned char)line[len - 1]))
		len--;
	*value = line + n;
	*value_len = len - n;
	return true;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct receiving *r = arg;
	struct http_reply *reply = r->reply;
	const char *value;
	char date[64];
	size_t len;

	n *= size;
	r->headers += n;
	if (r->headers > HTTP_HEADERS_MAX) {
		r->too_much = "it sent headers of more than 32 KiB";
		return 0;
	}
	/* The first challenge counts, if it fits. */
	if (header_is(line, n, "WWW-Authenticate", &value, &len) &&
	    !*reply->challenge && len < sizeof(reply->challenge)) {
		memcpy(reply->challenge, value, len);
		reply->challenge[len] = 0;
	}
	if (header_is(line, n, "Date", &value, &len) && len < sizeof(date)) {
		memcpy(date, value, len);
		date[len] = 0;
		reply->date = curl_getdate(date, NULL);
		if (reply->date < 0)
			reply->date = 0;
	}
	return n;
}

static struct curl_slist *make_headers(const struct http_request *rq)
{
	const struct http_header *h;
	struct curl_slist *list, *longer;
	char *line;

	/* Nothing of ours is worth a round of asking first. */
	list = curl_slist_append(NULL, "Expect:");
	for (h = rq->headers; list && h && h->name; h++) {
		longer = NULL;
		if (asprintf(&line, "%s: %s", h->name, h->value) > 0) {
			longer = curl_slist_append(list, line);
			explicit_bzero(line, strlen(line));
			free(line);
		}
		if (!longer)
			curl_slist_free_all(list);
		list = longer;
	}
	return list;
}

static CURLcode set_tls(const struct http_request *rq)
{
	const char *ca_file = vault_setting("ca-file");
	CURLcode rv;

	if (rq->metadata)
		return curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http") ?:
		       curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	rv = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https") ?:
	     curl_easy_setopt(curl, CURLOPT_SSLVERSION,
			      (long)CURL_SSLVERSION_TLSv1_2) ?:
	     curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L) ?:
	     curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	/* In place of the system's authorities, not beside them. */
	if (!rv && ca_file)
		rv = curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file) ?:
		     curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	return rv;
}

static CURLcode set_limits(long ms)
{
	long connect_ms = vault_connect_ms();

	return curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ms) ?:
	       curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
				ms < connect_ms ? ms : connect_ms) ?:
	       curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES) ?:
	       curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SLOW_SECONDS) ?:
	       curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) ?:
	       curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) ?:
	       /* A proxy's come in plain text, from whoever likes. */
	       curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) ?:
	       /* A name server that hangs must not be waited for. */
	       curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L) ?:
	       curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
				(long)CURL_HTTP_VERSION_1_1);
}

static CURLcode set_request(const char *url, const struct http_request *rq,
			    struct curl_slist *headers, struct receiving *r)
{
	CURLcode rv;

	rv = curl_easy_setopt(curl, CURLOPT_URL, url) ?:
	     curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) ?:
	     curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, curl_error) ?:
	     curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body) ?:
	     curl_easy_setopt(curl, CURLOPT_WRITEDATA, r) ?:
	     curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header) ?:
	     curl_easy_setopt(curl, CURLOPT_HEADERDATA, r);
	if (!rv && rq->body)
		rv = curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE,
				      (long)rq->body_len) ?:
		     curl_easy_setopt(curl, CURLOPT_POSTFIELDS, rq->body);
	if (!rv)
		rv = curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, rq->method);
	return rv;
}

/* What libcurl could not do; host is for the message. */
static int tell_failure(CURLcode rv, const char *host,
			const struct receiving *r)
{
	const char *text = *curl_error ? curl_error : curl_easy_strerror(rv);

	if (r->too_much)
		return vault_fail(-EKEYREJECTED, "%s: %s", host, r->too_much);
	switch (rv) {
	case CURLE_SSL_CACERT_BADFILE:
		return vault_fail_here("cannot use ca-file %s: %s",
				       vault_setting("ca-file") ?: "", text);
	case CURLE_PEER_FAILED_VERIFICATION:
		return vault_fail(-EAGAIN, "%s does not prove who it is: %s; is ca-file right, and this machine's clock?",
				  host, text);
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
		return vault_fail_here("%s: %s", host, text);
	default:
		return vault_fail(-EAGAIN, "%s: %s", host, text);
	}
}

static bool is_away(const struct http_request *rq, long status)
{
	const long *more = rq->away;

	if (status == 408 || status == 429 || status >= 500)
		return true;
	while (more && *more)
		if (*more++ == status)
			return true;
	return false;
}

static int judge(const struct http_request *rq, const char *host,
		 struct http_reply *reply)
{
	curl_off_t wanted = 0;

	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply->status);
	/* Seconds, also where the header has a date. */
	curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &wanted);
	reply->retry_after = wanted < 0 || wanted > LONGEST_WISH ? LONGEST_WISH :
			     wanted;
	if (reply->status >= 300 && reply->status < 400)
		return vault_fail(-EAGAIN, "%s sends us elsewhere (HTTP status %ld), which is not followed",
				  host, reply->status);
	if (reply->status < 200 || is_away(rq, reply->status))
		return vault_fail(-EAGAIN, "%s answered with HTTP status %ld",
				  host, reply->status);
	return 0;
}

static int try_once(const char *base, const struct http_request *rq,
		    struct http_reply *reply, long ms)
{
	struct receiving r = { .reply = reply };
	struct curl_slist *headers;
	const char *host = strstr(base, "://") + 3;
	char url[2048];
	CURLcode rv = CURLE_OUT_OF_MEMORY;
	int len;

	*curl_error = 0;
	len = snprintf(url, sizeof(url), "%s%s", base, rq->path);
	if (len < 0 || (size_t)len >= sizeof(url))
		return vault_fail(-EKEYREJECTED, "%s: a path of %d bytes is too long",
				  host, len);
	if (secret_alloc(&reply->body, HTTP_BODY_MAX + 1))
		return vault_fail(-EAGAIN, "cannot lock memory for an answer");
	reply->body.len = 0;
	/* Connections are kept, all else is made anew. */
	curl_easy_reset(curl);
	headers = make_headers(rq);
	if (headers)
		rv = set_limits(ms) ?: set_tls(rq) ?:
		     set_request(url, rq, headers, &r);
	if (!rv)
		rv = curl_easy_perform(curl);
	if (rv) {
		len = tell_failure(rv, host, &r);
		*reply->challenge = 0;
		reply->date = 0;
	} else {
		len = judge(rq, host, reply);
	}
	curl_easy_reset(curl);
	curl_slist_free_all(headers);
	return len;
}

/* --- until it is decided --- */

/* What is left of the daemon's patience, less a bit to tell it in. */
static long time_left_ms(void)
{
	uint64_t deadline = vault_deadline(), now = now_usec();
	uint64_t left = deadline > now ? (deadline - now) / 1000 : 0;

	left -= left / 10;
	return left > 600000 ? 600000 : left;
}

/* Between half and all of it, so that hosts do not come in step. */
static long jittered(long ms)
{
	uint32_t r = 0;

	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		r = (uint32_t)now_usec();
	return ms - ms / 2 * (r % 1024) / 1024;
}

/* Waits as long as the server wants, or else longer each time. */
static bool pause_fits(unsigned int round, long wanted)
{
	long ms = FIRST_PAUSE_MS << (round < 8 ? round : 8);

	if (ms > LONGEST_PAUSE_MS)
		ms = LONGEST_PAUSE_MS;
	ms = jittered(ms);
	if (wanted)
		ms = wanted * 1000 + ms / 2;
	if (ms + LEAST_MS > time_left_ms())
		return false;
	usleep(ms * 1000);
	return true;
}

int http_call(const struct http_endpoints *to, const struct http_request *rq,
	      struct http_reply *reply)
{
	static const struct http_endpoints metadata = {
		.url = { METADATA_URL }, .n = 1,
	};
	long ms, most = time_left_ms() / 4;	/* of what is asked aside */
	unsigned int round;
	int err = 0;
	size_t i;

	*reply = (struct http_reply){ .status = 0 };
	if (!curl)
		curl = curl_easy_init();
	if (!curl)
		return vault_fail(-EAGAIN, "cannot set up libcurl");
	if (rq->metadata)
		to = &metadata;
	for (round = 0; ; round++) {
		for (i = 0; i < to->n; i++) {
			ms = time_left_ms() / (to->n - i);
			if (rq->aside && ms > most / (long)to->n)
				ms = most / (long)to->n;
			if (ms < LEAST_MS)
				return err ?: vault_fail(-EAGAIN, "%s: no time was left to ask it",
							 to->url[i]);
			http_reply_free(reply);
			err = try_once(to->url[i], rq, reply, ms);
			reply->endpoint = i;
			if (err != -EAGAIN)
				return err;
		}
		if (!rq->aside && is_away(rq, reply->status) &&
		    pause_fits(round, reply->retry_after))
			continue;
		if (!rq->aside)
			vault_rests(reply->retry_after);
		return err;
	}
}

void http_rest(void)
{
	curl_easy_cleanup(curl);
	curl = NULL;
}

void http_reply_free(struct http_reply *reply)
{
	secret_free(&reply->body);
	*reply = (struct http_reply){ .status = 0 };
}
