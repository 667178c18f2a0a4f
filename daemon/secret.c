// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Buffers for secrets: never swapped, dumped or inherited, wiped when freed
 */

#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <jansson.h>

#include "secret.h"

int secret_alloc(struct secret *secret, size_t len)
{
	size_t page = sysconf(_SC_PAGESIZE);
	size_t size = (len + page) / page * page;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (p == MAP_FAILED)
		return -errno;
	if (mlock(p, size) || madvise(p, size, MADV_DONTDUMP) ||
	    madvise(p, size, MADV_WIPEONFORK)) {
		err = -errno;
		munmap(p, size);
		return err;
	}
	*secret = (struct secret){ .data = p, .len = len, .size = size };
	return 0;
}

void secret_free(struct secret *secret)
{
	if (!secret->data)
		return;
	explicit_bzero(secret->data, secret->size);
	munmap(secret->data, secret->size);
	*secret = (struct secret){ 0 };
}

static void wipe_and_free(void *p)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

void secret_wipe_json(void)
{
	json_set_alloc_funcs(malloc, wipe_and_free);
}

void secret_free_text(char *text)
{
	wipe_and_free(text);
}
