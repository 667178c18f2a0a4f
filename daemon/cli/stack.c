// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What stands on a mapping that the running system cannot do without
 *
 * To freeze that would stop the very programs that could resume it: the root
 * file system, where the tools and the envelopes are, and swap.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "luks.h"

#define MAX_DEPTH	16

static bool stands_on(dev_t top, dev_t bottom, int depth);

static bool any_slave(const char *folder, dev_t bottom, int depth)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	bool found = false;
	struct stat st;

	while (dir && !found && (entry = readdir(dir))) {
		char node[PATH_MAX];

		/* In sysfs a slash of a device's name is a '!'. */
		snprintf(node, sizeof(node), "/dev/%s", entry->d_name);
		for (char *p = strchr(node, '!'); p; p = strchr(p, '!'))
			*p = '/';
		if (entry->d_name[0] != '.' && !stat(node, &st) &&
		    S_ISBLK(st.st_mode))
			found = stands_on(st.st_rdev, bottom, depth);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* A file system without a device of its own is looked up by its source. */
static dev_t device_of(const char *path)
{
	char *line = NULL, *source, wanted[32];
	size_t room = 0;
	struct stat st;
	dev_t dev = 0;
	FILE *mounts;

	if (stat(path, &st))
		return 0;
	if (S_ISBLK(st.st_mode))
		return st.st_rdev;
	if (major(st.st_dev))
		return st.st_dev;
	snprintf(wanted, sizeof(wanted), " %u:%u ", major(st.st_dev),
		 minor(st.st_dev));
	mounts = fopen("/proc/self/mountinfo", "re");
	while (mounts && !dev && getline(&line, &room, mounts) > 0) {
		source = strstr(line, wanted) ? strstr(line, " - ") : NULL;
		source = source ? strchr(source + 3, ' ') : NULL;
		if (!source)
			continue;
		source++;
		source[strcspn(source, " \n")] = 0;
		if (!stat(source, &st) && S_ISBLK(st.st_mode))
			dev = st.st_rdev;
	}
	free(line);
	if (mounts)
		fclose(mounts);
	return dev;
}

static bool stands_on(dev_t top, dev_t bottom, int depth)
{
	char path[PATH_MAX];
	uint8_t *file;
	size_t len;
	bool found;

	if (!top || !depth)
		return false;
	if (top == bottom)
		return true;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/loop/backing_file",
		 major(top), minor(top));
	if (!file_read(AT_FDCWD, path, PATH_MAX, &file, &len)) {
		file[strcspn((char *)file, "\n")] = 0;
		found = stands_on(device_of((char *)file), bottom, depth - 1);
		free(file);
		return found;
	}
	/* A partition stands on what its disk stands on. */
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/slaves", major(top),
		 minor(top));
	if (any_slave(path, bottom, depth - 1))
		return true;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../slaves",
		 major(top), minor(top));
	return any_slave(path, bottom, depth - 1);
}

static bool swaps_on(dev_t bottom)
{
	FILE *swaps = fopen("/proc/swaps", "re");
	bool found = false;
	char *line = NULL;
	size_t room = 0;

	while (swaps && !found && getline(&line, &room, swaps) > 0) {
		line[strcspn(line, " \t\n")] = 0;
		found = line[0] == '/' &&
			stands_on(device_of(line), bottom, MAX_DEPTH);
	}
	free(line);
	if (swaps)
		fclose(swaps);
	return found;
}

const char *stack_on_top(const char *name)
{
	static const char *const needed[] = {
		"/", "/usr", "/etc", "/run", "/var/lib/vaultring"
	};
	char node[PATH_MAX];
	struct stat st;
	size_t i;

	snprintf(node, sizeof(node), "/dev/mapper/%s", name);
	if (stat(node, &st))
		return NULL;
	for (i = 0; i < ARRAY_SIZE(needed); i++)
		if (stands_on(device_of(needed[i]), st.st_rdev, MAX_DEPTH))
			return needed[i];
	return swaps_on(st.st_rdev) ? "swap" : NULL;
}
