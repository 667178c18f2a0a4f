// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Preloaded into a worker: a file that is emptied stays so for a while, as on a
 * disk that is busy.  SoftHSM empties its token's file at each login, and fills
 * it again.
 */

#include <dlfcn.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

int ftruncate(int fd, off_t length)
{
	int (*real)(int, off_t) = dlsym(RTLD_NEXT, "ftruncate");
	int result = real(fd, length);

	fprintf(stderr, "a file is emptied, in %d\n", getpid());
	usleep(1200000);
	return result;
}
