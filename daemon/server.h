/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's socket
 *
 * One JSON object ended by a NUL byte each way, in the manner of varlink.  A
 * client has one call under way; its next one is read when that is answered.
 * Only uid 0 may call anything.
 */
#ifndef VAULTRING_SERVER_H
#define VAULTRING_SERVER_H

#include <jansson.h>

#include "daemon.h"

struct call;

int server_open(struct daemon *d, const char *path, struct server **server);
void server_close(struct server *server);

/* Each call ends with one of these two; both take call, reply takes params. */
void call_reply(struct call *call, json_t *params);
void call_error(struct call *call, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void call_progress(struct call *call, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* methods.c; replies now or later */
void method_run(struct daemon *d, struct call *call, const char *method,
		const json_t *params);

#endif /* VAULTRING_SERVER_H */
