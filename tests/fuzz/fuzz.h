/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fuzzers share
 *
 * A fuzzer is one file: LLVMFuzzerTestOneInput() hands what it is given to one of
 * the daemon's parsers and says with HOLDS() what must be true afterwards.  Around
 * the parser are stand-ins: nothing reaches the network, a disk or the kernel, and
 * memory that is locked elsewhere comes from malloc() here, in which
 * AddressSanitizer sees each byte too many.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Ends the run, and so keeps the input, unless it is true. */
#define HOLDS(truth) \
	((truth) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #truth))

void fuzz_broken(const char *file, int line, const char *what)
	__attribute__((noreturn));

/* --- taking an input apart --- */

struct fuzz_input {
	const uint8_t *at, *end;
};

/* 0 at the end. */
uint8_t fuzz_byte(struct fuzz_input *in);
/*
 * What comes before the next @stop, which is passed over, or all that is left: in
 * memory of its own, to be freed, with a zero behind it.  @len may be NULL: what
 * is behind a zero inside does not count then.
 */
char *fuzz_text(struct fuzz_input *in, const char *stop, size_t *len);
/* A copy that ends where its memory ends. */
void *fuzz_copy(const void *data, size_t len);

/*
 * A file with these bytes and the path that it is read by.  @fd is -1 at first, and
 * the file is used anew the next time.
 */
const char *fuzz_file(int *fd, const void *data, size_t len);

/* --- in place of log.c and of the tool's messages --- */

/* The last message. */
extern char fuzz_said[4096];

#endif /* FUZZ_H */
