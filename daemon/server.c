// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon's socket: connections and messages
 *
 * Nothing blocks: what a client does not read is kept, up to a limit, and a
 * client that neither reads nor says anything for a while is dropped.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "secret.h"
#include "server.h"

#define MAX_MESSAGE	(64 * 1024)
#define MAX_OUTPUT	(8 * 1024 * 1024)
#define MAX_CLIENTS	512	/* fewer than the file descriptors */
#define MAX_STRANGERS	16	/* of them not root: they only get refusals */

struct client {
	struct client *next;
	struct server *server;
	int fd;
	bool root, closing;
	sd_event_source *io, *timer;
	struct call *call;		/* under way */
	char *in, *out;
	size_t in_len, out_len, out_size;
};

struct call {
	struct client *client;		/* NULL: it has gone */
};

struct server {
	struct daemon *d;
	int fd;
	sd_event_source *io;
	char path[108];
	struct client *clients;
	unsigned int n_clients, n_strangers;
};

/* What was said may have been a clear share. */
static void client_drop_out(struct client *c)
{
	if (c->out)
		explicit_bzero(c->out, c->out_size);
	free(c->out);
	c->out = NULL;
	c->out_size = 0;
}

static void client_free(struct client *c)
{
	struct client **p = &c->server->clients;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	c->server->n_clients--;
	c->server->n_strangers -= !c->root;
	if (c->call)
		c->call->client = NULL;
	sd_event_source_disable_unref(c->io);
	sd_event_source_disable_unref(c->timer);
	close(c->fd);
	free(c->in);
	client_drop_out(c);
	free(c);
}

/* What to wait for next; the idle clock runs while it is the client's turn. */
static void client_arm(struct client *c)
{
	uint32_t events = c->out_len ? EPOLLOUT : 0;

	if (!c->call && !c->closing)
		events |= EPOLLIN;
	sd_event_source_set_io_events(c->io, events);
	if (c->call && !c->out_len) {
		sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time_relative(c->timer,
				  c->server->d->config.client_timeout_usec);
	sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static bool client_put(struct client *c, const char *text, size_t len)
{
	size_t size = c->out_len + len;
	char *out;

	if (size > MAX_OUTPUT)
		return false;
	if (size > c->out_size) {
		out = malloc(size);
		if (!out)
			return false;
		if (c->out_len)
			memcpy(out, c->out, c->out_len);
		client_drop_out(c);
		c->out = out;
		c->out_size = size;
	}
	memcpy(c->out + c->out_len, text, len);
	c->out_len += len;
	return true;
}

/* Takes the reference.  Sent from the event loop. */
static void client_send(struct client *c, json_t *message)
{
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;

	json_decref(message);
	if (!text || !client_put(c, text, strlen(text) + 1))
		c->closing = true;
	secret_free_text(text);
	client_arm(c);
}

static json_t *error_message(int err, const char *text)
{
	return json_pack("{s:s, s:{s:s, s:s}}", "error", "vaultring.Error",
			 "parameters", "errno", errno_name(err), "message",
			 text);
}

void call_reply(struct call *call, json_t *params)
{
	struct client *c = call->client;

	if (!params) {
		call_error(call, -ENOMEM, "out of memory");
		return;
	}
	if (c) {
		c->call = NULL;
		client_send(c, json_pack("{s:o}", "parameters", params));
	} else {
		json_decref(params);
	}
	free(call);
}

void call_error(struct call *call, int err, const char *format, ...)
{
	struct client *c = call->client;
	char text[4096];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	text_tidy(text);
	if (c) {
		c->call = NULL;
		client_send(c, error_message(err, text));
	}
	free(call);
}

void call_progress(struct call *call, const char *format, ...)
{
	char text[256];
	va_list ap;

	if (!call->client)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	client_send(call->client, json_pack("{s:{s:s}, s:b}", "parameters",
					    "progress", text, "continues", 1));
}

static void handle_message(struct client *c, const char *text, size_t len)
{
	json_t *message = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *method = json_string_value(json_object_get(message, "method"));
	json_t *params = json_object_get(message, "parameters");
	struct call *call = calloc(1, sizeof(*call));

	if (!call) {
		c->closing = true;
		goto out;
	}
	call->client = c;
	c->call = call;
	if (!c->root) {
		call_error(call, -EACCES, "only root may ask vaultringd for anything");
		goto out;
	}
	if (!method || (params && !json_is_object(params))) {
		call_error(call, -EINVAL, "not a call: {\"method\": ..., \"parameters\": {...}}");
		goto out;
	}
	method_run(c->server->d, call, method, params);
out:
	json_decref(message);
}

/* Stops after one call that is not answered yet. */
static void handle_input(struct client *c)
{
	char *end;

	while (!c->call && !c->closing &&
	       (end = memchr(c->in, 0, c->in_len))) {
		size_t len = end - c->in;

		handle_message(c, c->in, len);
		c->in_len -= len + 1;
		memmove(c->in, end + 1, c->in_len);
	}
	if (!c->call && !c->closing && c->in_len == MAX_MESSAGE) {
		client_send(c, error_message(-EMSGSIZE, "the message is longer than 64 KiB"));
		c->closing = true;
	}
}

static int client_write(struct client *c)
{
	ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	c->out_len -= n;
	memmove(c->out, c->out + n, c->out_len);
	if (!c->out_len)
		client_drop_out(c);
	return 0;
}

static int client_read(struct client *c)
{
	ssize_t n;

	if (!c->in)
		c->in = malloc(MAX_MESSAGE);
	if (!c->in)
		return -ENOMEM;
	n = recv(c->fd, c->in + c->in_len, MAX_MESSAGE - c->in_len,
		 MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!n)
		return -ECONNRESET;
	c->in_len += n;
	return 0;
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct client *c = arg;
	int err = 0;

	(void)source;
	(void)fd;
	if (events & EPOLLOUT)
		err = client_write(c);
	if (!err && events & EPOLLIN && !c->call)
		err = client_read(c);
	else if (events & (EPOLLHUP | EPOLLERR))
		err = -ECONNRESET;
	if (!err)
		handle_input(c);
	/* A message that was answered may have left room for the next. */
	if (err || (c->closing && !c->out_len)) {
		client_free(c);
		return 0;
	}
	client_arm(c);
	return 0;
}

static int on_idle(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)source;
	(void)usec;
	client_free(arg);
	return 0;
}

static int client_new(struct server *s, int fd, bool root)
{
	struct client *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	*c = (struct client){ .server = s, .fd = fd, .root = root,
			      .next = s->clients };
	s->clients = c;
	s->n_clients++;
	s->n_strangers += !root;
	err = sd_event_add_io(s->d->event, &c->io, fd, EPOLLIN, on_client, c);
	if (err >= 0)
		err = sd_event_add_time_relative(s->d->event, &c->timer,
						 CLOCK_MONOTONIC,
						 s->d->config.client_timeout_usec,
						 1000000, on_idle, c);
	/* It closes the descriptor, so for the caller that is no error. */
	if (err < 0)
		client_free(c);
	return 0;
}

static int on_connect(sd_event_source *source, int listening, uint32_t events,
		      void *arg)
{
	struct server *s = arg;
	struct ucred peer = { .uid = -1 };
	socklen_t len = sizeof(peer);
	int fd;

	(void)source;
	(void)events;
	fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			log_warning("%s: cannot accept: %m", s->path);
		return 0;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) ||
	    s->n_clients >= MAX_CLIENTS ||
	    (peer.uid && s->n_strangers >= MAX_STRANGERS) ||
	    client_new(s, fd, !peer.uid))
		close(fd);
	return 0;
}

int server_open(struct daemon *d, const char *path, struct server **out)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct server *s;
	int err;

	if (!copy_text(a.sun_path, sizeof(a.sun_path), path)) {
		log_err("%s: too long for a socket's name", path);
		return -ENAMETOOLONG;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->d = d;
	copy_text(s->path, sizeof(s->path), path);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(path);
	/* Everybody may connect; who it is decides. */
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&a, sizeof(a)) ||
	    chmod(path, 0666) || listen(s->fd, MAX_CLIENTS)) {
		err = -errno;
		goto err;
	}
	err = sd_event_add_io(d->event, &s->io, s->fd, EPOLLIN, on_connect, s);
	if (err < 0)
		goto err;
	*out = s;
	return 0;

err:
	log_err("%s: %s", path, strerror(-err));
	if (s->fd >= 0)
		close(s->fd);
	free(s);
	return err;
}

void server_close(struct server *s)
{
	struct client *c, *next;

	if (!s)
		return;
	for (c = s->clients; c; c = next) {
		next = c->next;
		client_free(c);
	}
	sd_event_source_disable_unref(s->io);
	close(s->fd);
	unlink(s->path);
	free(s);
}
