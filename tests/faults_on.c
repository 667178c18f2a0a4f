// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Loaded before a program by LD_PRELOAD: allocations that the kernel makes for
 * it, and for its children, may fail from here on.  Were they to before, it
 * would seldom be started.  A child that is to have peace is not to load this.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void faults_on(void)
{
	int fd = open("/proc/self/make-it-fail", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1)
		_exit(125);
	close(fd);
	unsetenv("LD_PRELOAD");
}
