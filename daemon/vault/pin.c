// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The PIN of a vault, in a file that pin-source names
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "pin.h"
#include "vault.h"

int pin_configure(struct pin *pin, const char *source)
{
	if (source && !strncmp(source, "file:", 5))
		source += strncmp(source, "file://", 7) ? 5 : 7;
	if (source && *source != '/')
		return vault_fail_here("its pin-source is not a file's full path: %s",
				       source);
	pin->source = source;
	return 0;
}

static int check_file(struct pin *pin, int fd)
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
	if (pin->refused && st.st_ino == pin->file.st_ino &&
	    st.st_size == pin->file.st_size &&
	    st.st_mtim.tv_sec == pin->file.st_mtim.tv_sec &&
	    st.st_mtim.tv_nsec == pin->file.st_mtim.tv_nsec)
		return vault_fail(-ENOKEY, "%s refused the PIN in %s, which has not changed since",
				  pin->asker, pin->source);
	pin->refused = false;
	pin->file = st;
	return 0;
}

int pin_read(struct pin *pin, size_t max, struct secret *out)
{
	int fd = open(pin->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;
	int err;

	if (fd < 0)
		return vault_fail_here("cannot read the PIN from %s: %s",
				  pin->source, strerror(errno));
	err = check_file(pin, fd);
	/* Room for the end of a line, and to see that it is too long. */
	if (!err && secret_alloc(out, max + 3))
		err = vault_fail(-EAGAIN, "cannot lock memory for the PIN");
	if (err)
		goto out;
	n = read(fd, out->data, max + 3);
	while (n > 0 && (out->data[n - 1] == '\n' || out->data[n - 1] == '\r'))
		n--;
	if (n <= 0)
		err = vault_fail_here("%s does not hold a PIN", pin->source);
	else if ((size_t)n > max)
		err = vault_fail_here("%s does not hold a PIN: it is longer than %zu bytes",
				 pin->source, max);
	else
		out->len = n;
	if (err)
		secret_free(out);
out:
	close(fd);
	return err;
}
