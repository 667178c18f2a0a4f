// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The kernel's memory before and after many rounds: objects in each slab cache,
 * and pages by their use.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vr_test.h"

#define CACHES_MAX 512

/* Says what is wrong; every function that fails returns -1. */
#define fail(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), -1)

struct usage {
	struct {
		char name[64];
		long objects;
	} cache[CACHES_MAX];
	int caches;
	/* KiB; not_kernel: available, or a program's, or in a tmpfs */
	long not_kernel, vmalloc, percpu;
};

static struct usage u[MEMORY_QUARTERS + 1];

static void write_one(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0 && errno != EINVAL)
		fprintf(stderr, "%s: %m\n", path);
	close(fd);
}

/* Give back what only caches hold: free objects count as used till then. */
static void settle(void)
{
	glob_t found;
	size_t i;

	sleep(1);
	sync();	/* what is dirty is not dropped */
	write_one("/proc/sys/vm/drop_caches", "3");
	if (glob("/sys/kernel/slab/*/shrink", 0, NULL, &found))
		return;
	for (i = 0; i < found.gl_pathc; i++)
		write_one(found.gl_pathv[i], "1");
	globfree(&found);
}

static void read_meminfo(struct usage *now)
{
	FILE *f = fopen("/proc/meminfo", "re");
	long available = 0, anon = 0, shmem = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "MemAvailable: %ld", &available);
		sscanf(line, "AnonPages: %ld", &anon);
		sscanf(line, "Shmem: %ld", &shmem);
		sscanf(line, "VmallocUsed: %ld", &now->vmalloc);
		sscanf(line, "Percpu: %ld", &now->percpu);
	}
	if (f)
		fclose(f);
	/* The journal, in a tmpfs, tells of each round. */
	if (available && anon)
		now->not_kernel = available + anon + shmem;
}

static int read_usage(struct usage *now)
{
	FILE *f;
	char line[256];

	memset(now, 0, sizeof(*now));
	settle();
	f = fopen("/proc/slabinfo", "re");
	while (f && now->caches < CACHES_MAX && fgets(line, sizeof(line), f))
		now->caches += sscanf(line, "%63s %ld", now->cache[now->caches].name,
				    &now->cache[now->caches].objects) == 2;
	if (f)
		fclose(f);
	read_meminfo(now);
	return now->caches && now->not_kernel && now->percpu ? 0 :
	       fail("cannot read /proc/slabinfo or /proc/meminfo");
}

static long objects_of(const struct usage *at, const char *name)
{
	int i;

	for (i = 0; i < at->caches; i++)
		if (!strcmp(at->cache[i].name, name))
			return at->cache[i].objects;
	return 0;
}

static long least(long a, long b)
{
	return a < b ? a : b;
}

/*
 * A leak grows in each quarter, and by an object or a page a round; noise does
 * neither.
 */
static int judge_pages(int rounds)
{
	long pages = __LONG_MAX__, vmalloc = __LONG_MAX__;
	long percpu = __LONG_MAX__;
	int q;

	for (q = 0; q < MEMORY_QUARTERS; q++) {
		pages = least(pages, u[q].not_kernel - u[q + 1].not_kernel);
		vmalloc = least(vmalloc, u[q + 1].vmalloc - u[q].vmalloc);
		percpu = least(percpu, u[q + 1].percpu - u[q].percpu);
	}
	printf("least growth of %d rounds, KiB: %ld of pages, %ld vmalloc, %ld percpu\n",
	       rounds, pages, vmalloc, percpu);
	printf("not the kernel's at the beginning and the end, KiB: %ld %ld\n",
	       u[0].not_kernel, u[MEMORY_QUARTERS].not_kernel);
	if (pages >= 4L * rounds || vmalloc >= 4L * rounds ||
	    percpu * 1024 >= 8L * rounds)
		return fail("the kernel's memory grows with each round");
	return 0;
}

static int judge_caches(int rounds)
{
	const char *worst_name = "-";
	long worst = -1, growth;
	int i, q, err = 0;

	for (i = 0; i < u[0].caches; i++) {
		const char *name = u[0].cache[i].name;

		growth = __LONG_MAX__;
		for (q = 0; q < MEMORY_QUARTERS; q++)
			growth = least(growth, objects_of(&u[q + 1], name) -
				       objects_of(&u[q], name));
		if (growth > worst) {
			worst = growth;
			worst_name = name;
		}
		if (growth >= rounds * 9L / 10)
			err = fail("%s: %ld more objects in each %d rounds",
				   name, growth, rounds);
	}
	printf("least growth of %d rounds, objects: %ld, of %s\n", rounds,
	       worst, worst_name);
	return err;
}

/* Quarter 0 is the state before the first round. */
int memory_note(int quarter)
{
	return read_usage(&u[quarter]);
}

int memory_judge(int rounds)
{
	return judge_pages(rounds) | judge_caches(rounds);
}
