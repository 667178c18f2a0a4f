// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the fuzzers share
 */

#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "log.h"
#include "secret.h"

char fuzz_said[4096];

void fuzz_broken(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

/* --- input --- */

uint8_t fuzz_byte(struct fuzz_input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

void *fuzz_copy(const void *data, size_t len)
{
	void *copy = malloc(len ? len : 1);

	HOLDS(copy);
	if (len)
		memcpy(copy, data, len);
	return copy;
}

char *fuzz_text(struct fuzz_input *in, const char *stop, size_t *len)
{
	size_t left = in->end - in->at, n;
	const uint8_t *found = memmem(in->at, left, stop, strlen(stop));
	char *text;

	n = found ? (size_t)(found - in->at) : left;
	text = malloc(n + 1);
	HOLDS(text);
	memcpy(text, in->at, n);
	text[n] = 0;
	in->at = found ? found + strlen(stop) : in->end;
	if (len) {
		*len = n;
	} else if (strlen(text) < n) {
		char *shorter = strdup(text);

		free(text);
		text = shorter;
	}
	return text;
}

const char *fuzz_file(int *fd, const void *data, size_t len)
{
	static char path[8][32];
	static unsigned int next;
	char *p = path[next++ % 8];

	if (*fd < 0)
		*fd = memfd_create("fuzz", MFD_CLOEXEC);
	HOLDS(*fd >= 0 && !ftruncate(*fd, 0) && !fchmod(*fd, 0600) &&
	      pwrite(*fd, data, len, 0) == (ssize_t)len);
	snprintf(p, sizeof(path[0]), "/proc/self/fd/%d", *fd);
	return p;
}

/* --- messages: made, so that what goes into them is read, and dropped --- */

static void say(const char *format, va_list ap)
{
	vsnprintf(fuzz_said, sizeof(fuzz_said), format, ap);
}

void log_init(const char *program, bool debug)
{
	(void)program;
	(void)debug;
}

void log_msg(int priority, const char *format, ...)
{
	va_list ap;

	(void)priority;
	va_start(ap, format);
	say(format, ap);
	va_end(ap);
}

/* Those of cli.h. */
void __wrap_say_error(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(format, ap);
	va_end(ap);
}

void __wrap_say_note(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(format, ap);
	va_end(ap);
}

/* --- in place of secret.c: no more room than was asked for --- */

int secret_alloc(struct secret *secret, size_t len)
{
	uint8_t *p = calloc(1, len ? len : 1);

	HOLDS(p);
	*secret = (struct secret){ .data = p, .len = len, .size = len };
	return 0;
}

void secret_free(struct secret *secret)
{
	free(secret->data);
	*secret = (struct secret){ 0 };
}

void secret_wipe_json(void)
{
}

void secret_free_text(char *text)
{
	free(text);
}
