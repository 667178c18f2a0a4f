// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The pins file: which vault keys, and which ids for KEK names, root trusts
 *
 *	vault NAME SHA256	shares may be made for this public key
 *	kek NAME ID		this name accepts no other KEK
 *
 * The kernel takes pins only as a whole, so each change rewrites the file and
 * then sends all of it.  A line that is not a pin stops everything: guessing
 * what root meant to trust is not ours to do.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli.h"

#define PINS_LOCK	"/run/vaultring-pins.lock"
#define MAX_FILE	(256 << 10)

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* KIND NAME HEX; a vault's NAME may hold blanks. */
static int parse_line(char *line, struct pin *pin)
{
	char *kind, *name, *hex, *end = line + strlen(line);
	uint8_t bytes[FINGERPRINT_SIZE];
	size_t i, size;

	while (end > line && blank(end[-1]))
		*--end = 0;
	for (kind = line; blank(*kind); kind++)
		;
	if (!*kind || *kind == '#')
		return 0;
	for (hex = end; hex > kind && !blank(hex[-1]); hex--)
		;
	if (hex == kind)
		return -1;
	for (end = hex; end > kind && blank(end[-1]); )
		*--end = 0;
	for (name = kind; *name && !blank(*name); name++)
		;
	if (!*name)
		return -1;
	*name++ = 0;
	while (blank(*name))
		name++;

	pin->is_kek = !strcmp(kind, "kek");
	if (!pin->is_kek && strcmp(kind, "vault"))
		return -1;
	size = pin->is_kek ? VAULTRING_ID_SIZE : FINGERPRINT_SIZE;
	if (!(pin->is_kek ? name_ok(name) : vault_ref_ok(name)) ||
	    hex_decode(hex, bytes, size))
		return -1;
	copy_text(pin->name, sizeof(pin->name), name);
	for (i = 0; hex[i]; i++)
		pin->hex[i] = hex[i] | ('A' <= hex[i] && hex[i] <= 'F' ? 32 : 0);
	pin->hex[i] = 0;
	return 1;
}

int pins_next(const char **at, struct pin *pin)
{
	char line[512];

	while (**at) {
		size_t len = strcspn(*at, "\n");
		int found = -1;

		pin->start = *at;
		pin->line++;
		if (len < sizeof(line)) {
			memcpy(line, *at, len);
			line[len] = 0;
			found = parse_line(line, pin);
		}
		*at += len + ((*at)[len] == '\n');
		if (found)
			return found;
	}
	return 0;
}

/* Only root can open the lock, so nobody else can hold root up with it. */
static int take_lock(void)
{
	int fd = open(PINS_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
		      0600);

	if (fd < 0 || flock(fd, LOCK_EX)) {
		say_error(PINS_LOCK ": %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

int pins_read(struct pins *pins, bool edit)
{
	struct pin pin = { 0 };
	const char *at;
	uint8_t *data;
	size_t len;
	int err;

	memset(pins, 0, sizeof(*pins));
	pins->lock = edit ? take_lock() : -1;
	if (edit && pins->lock < 0)
		return -EACCES;
	err = file_read(AT_FDCWD, PINS_FILE, MAX_FILE, &data, &len);
	if (err == -ENOENT) {
		pins->text = strdup("");
		return pins->text ? 0 : -ENOMEM;
	}
	if (err) {
		say_error(PINS_FILE ": %s", strerror(-err));
		pins_free(pins);
		return err;
	}
	pins->text = (char *)data;
	if (strlen(pins->text) != len) {
		say_error(PINS_FILE ": not a text file");
		goto bad;
	}
	for (at = pins->text; (err = pins_next(&at, &pin)) > 0; ) {
		if (pin.is_kek)
			pins->keks++;
		else
			pins->vaults++;
	}
	if (!err)
		return 0;
	say_error(PINS_FILE ": line %d is neither `vault NAME SHA256` nor "
		  "`kek NAME ID`; correct or remove it", pin.line);
bad:
	pins_free(pins);
	return -EINVAL;
}

void pins_free(struct pins *pins)
{
	free(pins->text);
	if (pins->lock >= 0)
		close(pins->lock);
	memset(pins, 0, sizeof(*pins));
	pins->lock = -1;
}

bool pins_have_vault(const struct pins *pins, const char *fingerprint)
{
	const char *at = pins->text;
	struct pin pin = { 0 };

	while (pins_next(&at, &pin) > 0)
		if (!pin.is_kek && !strcmp(pin.hex, fingerprint))
			return true;
	return false;
}

bool pins_have_kek(const struct pins *pins, const char *name, char id[ID_HEX])
{
	const char *at = pins->text;
	struct pin pin = { 0 };

	while (pins_next(&at, &pin) > 0) {
		if (!pin.is_kek || strcmp(pin.name, name))
			continue;
		memcpy(id, pin.hex, ID_HEX);
		return true;
	}
	return false;
}

static int write_file(const char *text)
{
	int err, dir = open(VAULTRING_CONF_DIR,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return -errno;
	err = file_write_atomic(dir, "pins", text, strlen(text), 0644,
				FILE_REPLACE);
	close(dir);
	return err;
}

/* The file is that text from now on, or as before; takes the text. */
static int replace(struct pins *pins, char *text)
{
	int err = write_file(text);

	if (err) {
		say_error(PINS_FILE ": %s", strerror(-err));
		free(text);
		return err;
	}
	free(pins->text);
	pins->text = text;
	return 0;
}

int pins_add(struct pins *pins, const char *kind, const char *name,
	     const char *hex)
{
	size_t len = strlen(pins->text);
	char *text;
	int err;

	if (asprintf(&text, "%s%s%s %s %s\n", pins->text,
		     len && pins->text[len - 1] != '\n' ? "\n" : "", kind, name,
		     hex) < 0)
		return -ENOMEM;
	err = replace(pins, text);
	if (err)
		return err;
	if (!strcmp(kind, "kek"))
		pins->keks++;
	else
		pins->vaults++;
	return 0;
}

int pins_remove_kek(struct pins *pins, const char *name, const char *id)
{
	const char *at = pins->text, *from = at;
	size_t len, kept = 0, removed = 0;
	struct pin pin = { 0 };
	char *text = malloc(strlen(at) + 1);
	int err;

	if (!text)
		return -ENOMEM;
	while (pins_next(&at, &pin) > 0) {
		if (!pin.is_kek || strcmp(pin.name, name) || strcmp(pin.hex, id))
			continue;
		len = (size_t)(pin.start - from);
		memcpy(text + kept, from, len);
		kept += len;
		from = at;
		removed++;
	}
	copy_text(text + kept, strlen(from) + 1, from);
	err = replace(pins, text);
	if (!err)
		pins->keks -= removed;
	return err;
}

int pins_load(const struct pins *pins)
{
	int err = kernel_pins_set(pins);

	if (err)
		say_error("pins: the kernel did not take them: %s",
			  kernel_error());
	return err;
}
