// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon's socket: one JSON object ended by a NUL byte each way
 *
 * Every call is bounded: by vaultring.conf's timeout for tools, or by its
 * unseal-timeout and BEYOND_UNSEAL if that is longer.  That time begins anew when
 * the daemon says that it has come to another step, STEPS times at most.  Once it
 * takes longer than PATIENCE the person in front of the terminal is told what we
 * are waiting for.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../config.h"
#include "cli.h"

#define TOOLS_TIMEOUT	25000	/* milliseconds, if the file does not say */
#define BEYOND_UNSEAL	5000
#define PATIENCE	1000
#define STEPS		2	/* a reseal asks vaults twice */
#define MAX_REPLY	(4 << 20)

struct call {
	int fd;
	int64_t start, timeout;	/* of the step under way */
	int steps;
	const char *method;
	char doing[256];	/* the daemon's last word on its progress */
	bool said;		/* and whether it is on the screen */
	char *buf;
	size_t len, size;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static json_t *fail(struct daemon_error *error, int err, const char *fmt, ...)
{
	va_list args;

	error->err = err;
	va_start(args, fmt);
	vsnprintf(error->message, sizeof(error->message), fmt, args);
	va_end(args);
	text_tidy(error->message);
	return NULL;
}

/* In milliseconds; read once. */
static const struct timeouts {
	uint32_t tools, unseal;
} *timeouts(void)
{
	static struct timeouts t;
	struct config config;

	if (t.tools)
		return &t;
	t.tools = TOOLS_TIMEOUT;
	/* One that cannot be read is the daemon's to complain about. */
	if (access(CONF_FILE, R_OK) || config_load(CONF_FILE, &config))
		return &t;
	t.tools = config.tools_timeout_usec / 1000 ?: 1;
	t.unseal = config.unseal_timeout_usec / 1000;
	config_free(&config);
	return &t;
}

uint32_t tools_timeout(void)
{
	return timeouts()->tools;
}

/* The daemon's own word on an unseal must come first. */
uint32_t daemon_timeout(void)
{
	const struct timeouts *t = timeouts();

	return t->unseal + BEYOND_UNSEAL > t->tools ?
	       t->unseal + BEYOND_UNSEAL : t->tools;
}

/* A daemon that hangs takes no more connections at some point. */
static int connect_daemon(int64_t timeout, struct daemon_error *error)
{
	struct timeval t = { .tv_sec = timeout / 1000 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	copy_text(addr.sun_path, sizeof(addr.sun_path), VAULTRING_SOCKET);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	if (errno == ENOENT || errno == ECONNREFUSED)
		fail(error, errno, "the daemon is not running; "
		     "try: systemctl start vaultringd");
	else if (errno == EAGAIN)
		fail(error, ETIMEDOUT, "the daemon took no connection within "
		     "%d s; see: journalctl -u vaultringd",
		     (int)(timeout / 1000));
	else
		fail(error, errno, VAULTRING_SOCKET ": %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Wait until the socket is ready: 1; the deadline has passed: 0. */
static int wait_for(struct call *call, short events)
{
	struct pollfd poll_fd = { .fd = call->fd, .events = events };

	for (;;) {
		int64_t waited = now_ms() - call->start;
		int64_t left = call->timeout - waited;
		int ready;

		if (left <= 0)
			return 0;
		if (waited >= PATIENCE && !call->said) {
			say_note("... %s", call->doing);
			call->said = true;
		}
		if (waited < PATIENCE && left > PATIENCE - waited)
			left = PATIENCE - waited;
		ready = poll(&poll_fd, 1, (int)left);
		if (ready > 0)
			return 1;
		if (ready < 0 && errno != EINTR)
			return 0;
	}
}

static bool send_all(struct call *call, const char *text, size_t len)
{
	while (len) {
		ssize_t n;

		if (!wait_for(call, POLLOUT))
			return false;
		n = send(call->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return true;
}

/* The next message of the daemon, or NULL: gone, late or garbled. */
static json_t *receive(struct call *call, struct daemon_error *error)
{
	json_t *message;
	size_t len;
	char *end;

	while (!(end = memchr(call->buf, 0, call->len))) {
		ssize_t n;

		if (call->len == call->size)
			return fail(error, EMSGSIZE,
				    "the daemon's answer is too long");
		if (!wait_for(call, POLLIN))
			return fail(error, ETIMEDOUT,
				    "no answer from the daemon within %d s; "
				    "see: journalctl -u vaultringd",
				    (int)(call->timeout / 1000));
		n = recv(call->fd, call->buf + call->len,
			 call->size - call->len, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return fail(error, ECONNRESET,
				    "the daemon closed the connection; "
				    "see: journalctl -u vaultringd");
		call->len += (size_t)n;
	}
	message = json_loads(call->buf, JSON_REJECT_DUPLICATES, NULL);
	end++;
	len = (size_t)(end - call->buf);
	call->len -= len;
	memmove(call->buf, end, call->len);
	/* It may have held a clear share. */
	explicit_bzero(call->buf + call->len, len);
	if (!json_is_object(message)) {
		json_decref(message);
		return fail(error, EPROTO, "the daemon's answer is garbled");
	}
	return message;
}

static json_t *refused(const json_t *message, struct daemon_error *error)
{
	json_t *params = json_object_get(message, "parameters");
	const char *name = json_string_value(json_object_get(params, "errno"));
	const char *why = json_string_value(json_object_get(params, "message"));

	return fail(error, name ? errno_from_name(name) : EIO, "%s",
		    why ? why : "the daemon refused without saying why");
}

static void progress(struct call *call, const json_t *params)
{
	const char *text = json_string_value(json_object_get(params, "progress"));

	if (!text || !strcmp(text, call->doing))
		return;
	if (call->steps < STEPS) {
		call->steps++;
		call->start = now_ms();
	}
	snprintf(call->doing, sizeof(call->doing), "%s", text);
	call->said = false;
}

static json_t *exchange(struct call *call, const json_t *params,
			struct daemon_error *error)
{
	json_t *request = json_pack("{s:s, s:O}", "method", call->method,
				    "parameters", params);
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	json_t *message, *reply;
	bool sent;

	json_decref(request);
	sent = text && send_all(call, text, strlen(text) + 1);
	free(text);
	/* A daemon that refuses this user says so before it reads. */
	for (;;) {
		message = receive(call, error);
		if (!message)
			return NULL;
		reply = json_object_get(message, "parameters");
		if (json_object_get(message, "error")) {
			refused(message, error);
			json_decref(message);
			return NULL;
		}
		if (!json_is_true(json_object_get(message, "continues")))
			break;
		progress(call, reply);
		json_decref(message);
	}
	json_incref(reply);
	json_decref(message);
	if (sent && json_is_object(reply))
		return reply;
	json_decref(reply);
	return fail(error, EPROTO, "the daemon's answer is garbled");
}

json_t *daemon_try(const char *method, json_t *stolen_params,
		   struct daemon_error *error)
{
	struct call call = {
		.method = method, .start = now_ms(), .size = MAX_REPLY,
		.doing = "waiting for the daemon",
		.timeout = daemon_timeout(),
	};
	json_t *reply = NULL;

	memset(error, 0, sizeof(*error));
	call.fd = connect_daemon(call.timeout, error);
	if (call.fd < 0)
		goto out_params;
	call.buf = malloc(call.size);
	if (call.buf)
		reply = exchange(&call, stolen_params, error);
	else
		fail(error, ENOMEM, "out of memory");
	if (call.buf)
		explicit_bzero(call.buf, call.len);
	free(call.buf);
	close(call.fd);
out_params:
	json_decref(stolen_params);
	return reply;
}

json_t *daemon_call(const char *method, json_t *stolen_params)
{
	struct daemon_error error;
	json_t *reply = daemon_try(method, stolen_params, &error);

	if (!reply)
		say_error("%s", error.message);
	return reply;
}

/* An array out of a reply, as a reference of the caller's own. */
static json_t *list(const char *method, const char *member,
		    struct daemon_error *error)
{
	json_t *reply = daemon_try(method, json_object(), error);
	json_t *array = json_object_get(reply, member);

	if (reply && !json_is_array(array))
		fail(error, EPROTO, "the daemon's answer has no \"%s\"", member);
	json_incref(array);
	json_decref(reply);
	return array;
}

json_t *daemon_vaults(struct daemon_error *error)
{
	return list("vaultring.VaultList", "vaults", error);
}

json_t *daemon_keks(struct daemon_error *error)
{
	return list("vaultring.KekList", "keks", error);
}

int daemon_kek_unseal(const char *name, json_int_t version)
{
	json_t *params = json_pack("{s:s}", "name", name);
	json_t *reply;

	if (version)
		json_object_set_new(params, "version", json_integer(version));
	reply = daemon_call("vaultring.KekUnseal", params);
	json_decref(reply);
	return reply ? 0 : -1;
}
