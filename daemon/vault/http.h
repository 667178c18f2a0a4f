/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HTTPS for vault workers
 *
 * One call at a time.  Whatever a server does, a call ends before the daemon
 * loses patience, and what was sent and received is wiped.  HTTPS_PROXY in the
 * environment counts; a proxy sees names and sizes, and nothing that it says
 * itself is taken for the server's.
 */
#ifndef VAULTRING_HTTP_H
#define VAULTRING_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "../secret.h"

#define HTTP_ENDPOINTS_MAX	8
#define HTTP_BODY_MAX		(64 * 1024)
#define HTTP_HEADERS_MAX	(32 * 1024)

/* Where one and the same vault is, the best first. */
struct http_endpoints {
	char *text;
	const char *url[HTTP_ENDPOINTS_MAX];	/* https://HOST[:PORT] */
	size_t n;
};

struct http_header {
	const char *name, *value;	/* the value may be a secret */
};

struct http_request {
	const char *method;		/* "GET" or "POST" */
	const char *path;		/* and query; begins with / */
	const struct http_header *headers;	/* ends with no name, or NULL */
	const void *body;		/* of a POST */
	size_t body_len;
	const long *away;		/* more statuses that say so, then 0 */
	/*
	 * One try, in a quarter of the time at most: what could wait must not
	 * cost the request that is to be answered.
	 */
	bool aside;
	/*
	 * Plain HTTP, never through a proxy, and to the one address where a
	 * cloud's own machine answers: http://169.254.169.254.
	 */
	bool metadata;
};

struct http_reply {
	long status;			/* 0: none came */
	struct secret body;		/* a zero follows it */
	/* Of a whole answer alone: */
	char challenge[1024];		/* WWW-Authenticate, or "" */
	time_t date;			/* the server's clock, or 0 */
	long retry_after;		/* seconds that it wants, or 0 */
	size_t endpoint;		/* whose it is; those before are away */
};

/* Reads the setting ca-file.  Before all else here; 0 or vault_fail(). */
int http_configure(void);
/* Between commas or spaces; no path, no user.  To be freed. */
int http_endpoints_parse(struct http_endpoints *to, const char *list);
void http_endpoints_free(struct http_endpoints *to);

/*
 * 0: there is an answer, whose status says yes or no.  -EAGAIN: all endpoints
 * are away, which 429 and 5xx say too; it was tried again if there was time.
 * Then the reply has the last status and body, if any.  -EKEYREJECTED: what came
 * is no answer.  All but 0 are vault_fail(), and the reply is to be freed always.
 */
int http_call(const struct http_endpoints *to, const struct http_request *request,
	      struct http_reply *reply);
void http_reply_free(struct http_reply *reply);

/*
 * Ends the connections and wipes their buffers, which hold what came last: for
 * vault_ops.rest.
 */
void http_rest(void);

/* The host of https://HOST[:PORT][/...], in lower case; false if it is none. */
bool http_host(const char *url, char *host, size_t size);
/* %XX for all but letters, digits and -._~; out holds 3 * strlen(in) + 1. */
void http_escape(char *out, const char *in);

/* What libcurl, OpenSSL and libc's resolver need, for vault_ops.calls. */
#define HTTP_CALLS \
	"openat", "open", "read", "pread64", "readv", "write", "writev", \
	"lseek", "close", "fcntl", "fstat", "newfstatat", "stat", "statx", \
	"access", "faccessat", "faccessat2", "poll", "ppoll", "readlink", \
	"getdents64", "ioctl", "uname", "sysinfo", "prctl", \
	"mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "mlock", \
	"mlock2", "munlock", "futex", "getrandom", "getpid", "gettid", \
	"getuid", "geteuid", "getgid", "getegid", "alarm", "setitimer", \
	"clock_gettime", "clock_nanosleep", "nanosleep", "sched_yield", \
	"sched_getaffinity", "gettimeofday", "time", \
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", \
	"restart_syscall", "exit", "exit_group", "clone", "clone3", \
	"set_robust_list", "rseq", "pipe", "pipe2", "eventfd2", \
	"socket", "socketpair", "connect", "bind", "getsockname", \
	"getpeername", "getsockopt", "setsockopt", "sendto", "sendmsg", \
	"sendmmsg", "recvfrom", "recvmsg", "shutdown"

#endif /* VAULTRING_HTTP_H */
