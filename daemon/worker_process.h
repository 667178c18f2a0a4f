/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker's process and the socket to it
 */
#ifndef VAULTRING_WORKER_PROCESS_H
#define VAULTRING_WORKER_PROCESS_H

#include <jansson.h>
#include <systemd/sd-event.h>

#include "config.h"

enum process_status {
	PROCESS_NONE, PROCESS_RUNNING,
	PROCESS_DYING,		/* its socket is closed, it is not yet gone */
};

struct process;

typedef void (*process_line_fn)(void *arg, const json_t *body);
/* The process is gone; how is part of a sentence. */
typedef void (*process_died_fn)(void *arg, const char *how);

/* Does not start it. */
int process_new(sd_event *event, const struct vault_config *config,
		const char *folder, process_line_fn on_line,
		process_died_fn on_died, void *arg, struct process **process);
/* Waits for its end, which begins here if it has not yet. */
void process_free(struct process *process);

int process_start(struct process *process);
/* Asks it to end, and sees to it that it does; what it still says is lost. */
void process_end(struct process *process);
int process_send(struct process *process, const json_t *request);
enum process_status process_status(const struct process *process);
const char *process_program(const struct process *process);

#endif /* VAULTRING_WORKER_PROCESS_H */
