/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages for the journal or a terminal
 *
 * They go to standard error.  Where the journal reads it, each line carries its
 * priority as <n> (sd-daemon(3)); elsewhere it begins with the program's name.
 * No secret is ever logged, at any priority.
 */
#ifndef VAULTRING_LOG_H
#define VAULTRING_LOG_H

#include <stdbool.h>
#include <syslog.h>

void log_init(const char *program, bool debug);
void log_msg(int priority, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_err(...)	log_msg(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_msg(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)	log_msg(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)	log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	log_msg(LOG_DEBUG, __VA_ARGS__)

#endif /* VAULTRING_LOG_H */
