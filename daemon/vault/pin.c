// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The PIN of a vault, in a file that pin-source names
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../util.h"
#include "pin.h"
#include "vault.h"

int pin_configure(struct pin *pin, const char *source)
{
	if (source && !strncmp(source, "file:", 5))
		source += strncmp(source, "file://", 7) ? 5 : 7;
	if (source && *source != '/')
		return vault_fail_here("its %s is not a file's full path: %s",
				       pin->setting, source);
	pin->source = source;
	return 0;
}

void pin_refuse(struct pin *pin, const char *key, const char *why)
{
	snprintf(pin->why, sizeof(pin->why), "%s", why);
	if (pin_is_refused(pin, key))
		return;
	copy_text(pin->refused[pin->n_refused], PIN_KEY_SIZE, key);
	pin->n_refused++;
}

bool pin_is_refused(const struct pin *pin, const char *key)
{
	unsigned int i;

	if (pin->n_refused == PIN_KEYS_MAX)
		return true;
	for (i = 0; i < pin->n_refused; i++)
		if (!strcmp(pin->refused[i], key))
			return true;
	return false;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int check_file(struct pin *pin, const char *key, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return vault_fail_here("%s: %s", pin->source,
				  strerror(errno));
	if (!S_ISREG(st.st_mode))
		return vault_fail_here("%s is not a file", pin->source);
	if (st.st_mode & 07)
		return vault_fail_here("everybody may read or change %s; try: chmod o= %s",
				  pin->source, pin->source);
	if (!same_file(&st, &pin->file))
		pin->n_refused = 0;
	if (pin_is_refused(pin, key))
		return vault_fail(-ENOKEY, "%s refused the %s in %s, which has not changed since: %s",
				  pin->asker, pin->what, pin->source, pin->why);
	pin->file = st;
	return 0;
}

int pin_read(struct pin *pin, const char *key, size_t max, struct secret *out)
{
	int fd = open(pin->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;
	int err;

	if (fd < 0)
		return vault_fail_here("cannot read the %s from %s: %s",
				       pin->what, pin->source, strerror(errno));
	err = check_file(pin, key, fd);
	/* Room for the end of a line, and to see that it is too long. */
	if (!err && secret_alloc(out, max + 3))
		err = vault_fail(-EAGAIN, "cannot lock memory for the %s",
				 pin->what);
	if (err)
		goto out;
	n = read(fd, out->data, max + 3);
	while (n > 0 && (out->data[n - 1] == '\n' || out->data[n - 1] == '\r'))
		n--;
	if (n <= 0)
		err = vault_fail_here("%s does not hold a %s", pin->source,
				      pin->what);
	else if ((size_t)n > max)
		err = vault_fail_here("%s does not hold a %s: it is longer than %zu bytes",
				      pin->source, pin->what, max);
	else
		out->len = n;
	if (err)
		secret_free(out);
out:
	close(fd);
	return err;
}
