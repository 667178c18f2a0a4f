/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A command of the settings, for a worker that may start no program
 *
 * A process of its own starts it, which is there before the worker's sandbox and
 * takes one command, once, before the worker speaks with any server: whoever takes
 * over the worker later can have that command run and no other.
 */
#ifndef VAULTRING_AZURE_RUN_H
#define VAULTRING_AZURE_RUN_H

#include "../secret.h"

#define AZURE_RUN_MAX	(32 * 1024)	/* bytes that a command may write */

/* For vault_ops.prepare. */
int azure_run_prepare(void);
/* A full path and arguments between spaces; NULL: none is wanted. */
int azure_run_configure(const char *command);
/*
 * Runs it with that text as its standard input.  out is its standard output without
 * the end of the last line, a zero follows it, and it is to be freed.  0 or
 * vault_fail(): status 75 (EX_TEMPFAIL) and being late are -EAGAIN, all else is this
 * machine's.
 */
int azure_run(const char *input, struct secret *out);

#endif /* VAULTRING_AZURE_RUN_H */
