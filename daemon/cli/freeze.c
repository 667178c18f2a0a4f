// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Freezing all volumes under a KEK, and resuming them, within a bounded time
 *
 * Everything that reads a disk is left to a child for each mapping: a header
 * can be on a disk that hangs, and to freeze is to sync.  The parent waits until
 * its time is over, and no signal ends a child that waits for a disk: then the
 * child is left behind, killed, to end when it can.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "freeze.h"

#define LUKS2_UUID	"CRYPT-LUKS2-"

int mappings_add(struct mappings *mappings, const char *name)
{
	struct mapping *longer;

	longer = realloc(mappings->list, (mappings->n + 1) * sizeof(*longer));
	if (!longer)
		return -ENOMEM;
	mappings->list = longer;
	longer += mappings->n;
	*longer = (struct mapping){ .fd = -1 };
	if (!copy_text(longer->name, sizeof(longer->name), name))
		return -EINVAL;
	mappings->n++;
	return 0;
}

void mappings_free(struct mappings *mappings)
{
	free(mappings->list);
	*mappings = (struct mappings){ 0 };
}

/* One line of sysfs, which answers without asking a disk. */
static bool attribute(const char *block, const char *name, char *out, size_t size)
{
	char path[512];
	uint8_t *text;
	size_t len;

	snprintf(path, sizeof(path), "/sys/block/%.200s/dm/%s", block, name);
	if (file_read(AT_FDCWD, path, 4096, &text, &len))
		return false;
	text[strcspn((char *)text, "\n")] = 0;
	copy_text(out, size, (char *)text);
	free(text);
	return true;
}

static void find_mappings(struct mappings *out)
{
	char uuid[256], name[MAPPING_SIZE];
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, "dm-", 3) &&
		    attribute(entry->d_name, "uuid", uuid, sizeof(uuid)) &&
		    !strncmp(uuid, LUKS2_UUID, strlen(LUKS2_UUID)) &&
		    attribute(entry->d_name, "name", name, sizeof(name)))
			mappings_add(out, name);
	if (dir)
		closedir(dir);
}

static bool has_id(const json_t *ids, const char *id)
{
	json_t *one;
	size_t i;

	json_array_foreach(ids, i, one)
		if (!strcmp(json_string_value(one), id))
			return true;
	return false;
}

/* Who reads what this program says must not wait for a child left behind. */
static void be_silent(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		_exit(1);
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
}

static enum frozen freeze_one(const char *name, const json_t *ids)
{
	struct crypt_device *cd;
	struct volume volume;
	char why[512];
	int found;

	be_silent();
	cd = luks_mapping(name, why, sizeof(why));
	if (!cd)
		return FROZEN_OTHER;
	found = luks_find_token(cd, name, &volume);
	if (found <= 0)
		return FROZEN_UNKNOWN;
	if (!has_id(ids, volume.info.kek_id))
		return FROZEN_OTHER;
	if (luks_is_frozen(cd, name))
		return FROZEN_ALREADY;
	if (stack_on_top(name))
		return FROZEN_NEEDED;
	return crypt_suspend(cd, name) ? FROZEN_FAILED : FROZEN_DONE;
}

static enum frozen thaw_one(const char *name, const json_t *unused)
{
	struct volume volume;
	char why[512];
	struct crypt_device *cd = luks_mapping(name, why, sizeof(why));

	(void)unused;
	if (!cd || !luks_is_frozen(cd, name))
		return FROZEN_OTHER;
	if (luks_find_token(cd, name, &volume) <= 0)
		return FROZEN_UNKNOWN;
	return luks_thaw(cd, name, &volume) ? FROZEN_FAILED : FROZEN_DONE;
}

typedef enum frozen work_fn(const char *name, const json_t *ids);

static void start(struct mapping *mapping, work_fn *work, const json_t *ids)
{
	int fds[2];

	mapping->outcome = FROZEN_FAILED;
	mapping->fd = -1;
	if (pipe2(fds, O_CLOEXEC))
		return;
	mapping->pid = fork();
	if (!mapping->pid) {
		uint8_t outcome = (uint8_t)work(mapping->name, ids);

		_exit(write(fds[1], &outcome, 1) != 1);
	}
	close(fds[1]);
	if (mapping->pid > 0)
		mapping->fd = fds[0];
	else
		close(fds[0]);
}

/* The child has said its word, has died, or (@late) is not waited for. */
static void finish(struct mapping *mapping, bool late)
{
	uint8_t outcome;

	if (late) {
		mapping->outcome = FROZEN_LATE;
		kill(mapping->pid, SIGKILL);
	} else if (read(mapping->fd, &outcome, 1) == 1) {
		mapping->outcome = outcome;
	}
	close(mapping->fd);
	mapping->fd = -1;
	waitpid(mapping->pid, NULL, late ? WNOHANG : 0);
}

static void run(struct mappings *mappings, work_fn *work, const json_t *ids,
		int timeout_ms)
{
	uint64_t end = now_usec() + (uint64_t)timeout_ms * 1000;
	struct pollfd *fds = calloc(mappings->n + 1, sizeof(*fds));
	size_t i, left = fds ? mappings->n : 0;

	fflush(NULL);	/* or each child has a copy of what is to be said */
	for (i = 0; i < left; i++)
		start(&mappings->list[i], work, ids);
	while (left) {
		uint64_t now = now_usec();

		left = 0;
		for (i = 0; i < mappings->n; i++) {
			fds[i] = (struct pollfd){ .fd = mappings->list[i].fd,
						  .events = POLLIN };
			left += fds[i].fd >= 0;
		}
		if (!left || now >= end)
			break;
		if (poll(fds, mappings->n, (int)((end - now) / 1000 + 1)) <= 0)
			continue;
		for (i = 0; i < mappings->n; i++)
			if (fds[i].revents)
				finish(&mappings->list[i], false);
	}
	for (i = 0; i < mappings->n; i++)
		if (mappings->list[i].fd >= 0)
			finish(&mappings->list[i], true);
	free(fds);
}

void freeze_volumes(const json_t *ids, int timeout_ms, struct mappings *out)
{
	*out = (struct mappings){ 0 };
	find_mappings(out);
	run(out, freeze_one, ids, timeout_ms);
}

void thaw_volumes(struct mappings *mappings, int timeout_ms)
{
	run(mappings, thaw_one, NULL, timeout_ms);
}

unsigned int freeze_report(const struct mappings *mappings)
{
	unsigned int errors = 0;
	size_t i;

	for (i = 0; i < mappings->n; i++) {
		const char *name = mappings->list[i].name;

		switch (mappings->list[i].outcome) {
		case FROZEN_OTHER:
			continue;
		case FROZEN_DONE:
			say_note("%s: frozen; I/O to it waits", name);
			continue;
		case FROZEN_ALREADY:
			say_note("%s: frozen already", name);
			continue;
		case FROZEN_UNKNOWN:
			say_note("%s: not frozen: its header has no vaultring "
				 "token that tells its KEK; if it is this one, "
				 "I/O to it fails", name);
			continue;
		case FROZEN_NEEDED:
			say_error("%s: not frozen, because the running system "
				  "stands on it: I/O to it fails", name);
			break;
		case FROZEN_LATE:
			say_error("%s: not frozen in time: I/O to it fails, and "
				  "its last writes may be lost", name);
			break;
		default:
			say_error("%s: cannot be frozen: I/O to it fails", name);
		}
		errors++;
	}
	return errors;
}
