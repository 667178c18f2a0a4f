// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Messages for the journal or a terminal
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"

static const char *log_program = "vaultring";
static bool log_to_journal;
static int log_max = LOG_INFO;

void log_init(const char *program, bool debug)
{
	log_program = program;
	log_to_journal = getenv("JOURNAL_STREAM") && !isatty(STDERR_FILENO);
	if (debug)
		log_max = LOG_DEBUG;
}

void log_msg(int priority, const char *format, ...)
{
	char text[3600], line[3776], *p;
	va_list ap;
	int len;

	if (priority > log_max)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	/* What others wrote must not forge a line of its own. */
	for (p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	if (log_to_journal)
		len = snprintf(line, sizeof(line), "<%d>%s: %s\n", priority,
			       log_program, text);
	else
		len = snprintf(line, sizeof(line), "%s: %s\n", log_program,
			       text);
	/* One write, so that lines of several processes do not mix. */
	if (len > 0 && write(STDERR_FILENO, line, len) < 0)
		return;
}
