// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is on a device, asked before it is overwritten
 */

#define _GNU_SOURCE
#include <blkid/blkid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

/* libcryptsetup writes a header that leaves no room for data, if told to. */
#define MIN_SIZE	(17 << 20)

/* The loop device whose backing file this is. */
static bool looped(const char *file, char *loop, size_t size)
{
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		char path[PATH_MAX], backing[PATH_MAX];
		uint8_t *text;
		size_t len;

		if (strncmp(entry->d_name, "loop", 4))
			continue;
		snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file",
			 entry->d_name);
		if (file_read(AT_FDCWD, path, sizeof(backing), &text, &len))
			continue;
		text[strcspn((char *)text, "\n")] = 0;
		if (realpath(file, backing) && !strcmp(backing, (char *)text)) {
			snprintf(loop, size, "/dev/%.24s", entry->d_name);
			found = true;
		}
		free(text);
	}
	if (dir)
		closedir(dir);
	return found;
}

static int check_size(const char *device, off_t size, uint32_t sector_size)
{
	if (size < MIN_SIZE) {
		say_error("%s: too small: a LUKS2 header takes 16 MiB, so it "
			  "needs 17 at least", device);
		return -1;
	}
	if (sector_size && size % sector_size) {
		say_error("%s: its size, %lld bytes, is no multiple of "
			  "--sector-size %u; leave that out", device,
			  (long long)size, sector_size);
		return -1;
	}
	return 0;
}

int device_check_free(const char *device, uint32_t sector_size)
{
	struct stat st;
	char loop[64];
	int fd, flags = O_RDWR | O_CLOEXEC;

	if (stat(device, &st)) {
		say_error("%s: %s", device, strerror(errno));
		return -1;
	}
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode)) {
		say_error("%s: neither a block device nor an image file", device);
		return -1;
	}
	if (S_ISREG(st.st_mode) && looped(device, loop, sizeof(loop))) {
		say_error("%s: in use by %s; see: losetup -j %s", device, loop,
			  device);
		return -1;
	}
	/* The kernel's own claim: whoever mounts or maps it holds it this way. */
	if (S_ISBLK(st.st_mode))
		flags |= O_EXCL;
	fd = open(device, flags);
	if (fd >= 0) {
		off_t size = lseek(fd, 0, SEEK_END);

		close(fd);
		return check_size(device, size, sector_size);
	}
	if (errno == EBUSY)
		say_error("%s: in use (mounted or mapped); see: lsblk %s",
			  device, device);
	else
		say_error("%s: %s", device, strerror(errno));
	return -1;
}

static blkid_probe new_probe(const char *device, int flags, int *fd)
{
	blkid_probe probe = NULL;

	*fd = open(device, flags | O_CLOEXEC);
	if (*fd >= 0)
		probe = blkid_new_probe();
	if (probe && blkid_probe_set_device(probe, *fd, 0, 0)) {
		blkid_free_probe(probe);
		probe = NULL;
	}
	if (!probe) {
		say_error("%s: cannot look for what is on it: %s", device,
			  strerror(errno));
		if (*fd >= 0)
			close(*fd);
		return NULL;
	}
	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE |
					  BLKID_SUBLKS_LABEL |
					  BLKID_SUBLKS_MAGIC);
	blkid_probe_enable_partitions(probe, 1);
	blkid_probe_set_partitions_flags(probe, BLKID_PARTS_MAGIC);
	return probe;
}

/* Says each signature; how many, or -1. */
static int say_signatures(const char *device)
{
	int fd, err, found = 0;
	blkid_probe probe = new_probe(device, O_RDONLY, &fd);

	if (!probe)
		return -1;
	while (!(err = blkid_do_probe(probe))) {
		const char *type = NULL, *label = NULL;

		if (!blkid_probe_lookup_value(probe, "TYPE", &type, NULL)) {
			blkid_probe_lookup_value(probe, "LABEL", &label, NULL);
			say_note("%s: there is a %s%s%s%s on it", device, type,
				 label ? " labelled \"" : "", label ? label : "",
				 label ? "\"" : "");
			found++;
		} else if (!blkid_probe_lookup_value(probe, "PTTYPE", &type,
						     NULL)) {
			say_note("%s: there is a %s partition table on it",
				 device, type);
			found++;
		}
	}
	blkid_free_probe(probe);
	close(fd);
	if (err < 0) {
		say_error("%s: cannot look for what is on it", device);
		return -1;
	}
	return found;
}

int device_confirm_wipe(const char *device, bool yes)
{
	int found = say_signatures(device);
	char answer[16] = "";

	if (found < 0)
		return -1;
	if (yes)
		return 0;
	if (!isatty(STDIN_FILENO)) {
		say_error("%s: %s; without a terminal to ask on, --yes is needed "
			  "to overwrite it", device,
			  found ? "has data" : "all that is on it would be lost");
		return -1;
	}
	fprintf(stderr, "All data on %s will be lost.  "
		"Type YES in capitals to go on: ", device);
	if (fgets(answer, sizeof(answer), stdin) && !strcmp(answer, "YES\n"))
		return 0;
	say_error("%s: left as it is", device);
	return -1;
}

/* Also those that a LUKS2 header does not overwrite, as at a device's end. */
int device_wipe_signatures(const char *device)
{
	int fd, err;
	blkid_probe probe = new_probe(device, O_RDWR, &fd);

	if (!probe)
		return -1;
	while (!(err = blkid_do_probe(probe)))
		if (blkid_do_wipe(probe, 0))
			break;
	blkid_free_probe(probe);
	if (err >= 0 && fsync(fd))
		err = -1;
	close(fd);
	if (err == 1)
		return 0;
	say_error("%s: cannot remove the old signatures", device);
	return -1;
}
