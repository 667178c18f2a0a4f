// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The pins file: what is added is found, what is removed is not, nothing else
 * changes, and what was written can be read
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* It must be there, and is not written to. */
#define VAULTRING_CONF_DIR "/tmp"
#include "cli/pins.c"

#define NAME	"fuzzed"
#define ID	"00112233445566778899aabbccddeeff"
#define PRINT	ID ID

/* The file. */
static uint8_t *file;
static size_t file_len;

int __wrap_file_read(int dirfd, const char *path, size_t max, uint8_t **data,
		     size_t *len)
{
	(void)dirfd;
	HOLDS(!strcmp(path, PINS_FILE));
	if (file_len > max)
		return -EFBIG;
	*data = malloc(file_len + 1);
	HOLDS(*data);
	memcpy(*data, file, file_len);
	(*data)[file_len] = 0;
	*len = file_len;
	return 0;
}

int __wrap_file_write_atomic(int dirfd, const char *name, const void *data,
			     size_t len, mode_t mode, enum file_write_how how)
{
	(void)dirfd;
	(void)mode;
	HOLDS(!strcmp(name, "pins") && how == FILE_REPLACE);
	free(file);
	file = fuzz_copy(data, len);
	file_len = len;
	return 0;
}

int kernel_pins_set(const struct pins *pins)
{
	(void)pins;
	return -ENOTSUP;
}

const char *kernel_error(void)
{
	return "";
}

/* What is in the file is what is in memory, and good. */
static void check_written(const struct pins *pins)
{
	struct pins again;

	HOLDS(!pins_read(&again, false));
	HOLDS(!strcmp(again.text, pins->text));
	HOLDS(again.vaults == pins->vaults && again.keks == pins->keks);
	pins_free(&again);
}

static void check_lines(const struct pins *pins)
{
	const char *at = pins->text;
	struct pin pin = { 0 };
	size_t vaults = 0, keks = 0;
	char id[ID_HEX];

	while (pins_next(&at, &pin) > 0) {
		HOLDS(pin.start >= pins->text && pin.start < at);
		HOLDS(strspn(pin.hex, "0123456789abcdef") ==
		      (pin.is_kek ? 32 : 64) && strlen(pin.hex) ==
		      (pin.is_kek ? 32 : 64));
		HOLDS(pin.is_kek ? name_ok(pin.name) : vault_ref_ok(pin.name));
		if (pin.is_kek)
			HOLDS(pins_have_kek(pins, pin.name, id));
		else
			HOLDS(pins_have_vault(pins, pin.hex));
		*(pin.is_kek ? &keks : &vaults) += 1;
	}
	HOLDS(vaults == pins->vaults && keks == pins->keks);
	/* Each line is a pin, a remark or empty. */
	HOLDS(!*at);
}

static void add_and_remove(struct pins *pins)
{
	char *before = strdup(pins->text), id[ID_HEX];
	size_t len = strlen(before), keks = pins->keks, vaults = pins->vaults;
	bool had = pins_have_kek(pins, NAME, id);

	HOLDS(!pins_add(pins, "vault", "hsm:a key", PRINT) &&
	      pins_have_vault(pins, PRINT) && pins->vaults == vaults + 1);
	check_written(pins);
	HOLDS(!pins_add(pins, "kek", NAME, ID) && pins->keks == keks + 1);
	check_written(pins);
	HOLDS(pins_have_kek(pins, NAME, id) && (had || !strcmp(id, ID)));
	HOLDS(!pins_remove_kek(pins, NAME, ID) && pins->keks <= keks);
	check_written(pins);
	HOLDS(!pins_have_kek(pins, NAME, id) || strcmp(id, ID));
	if (!had)
		HOLDS(pins->keks == keks && !memcmp(pins->text, before, len));
	free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct pins pins;

	*fuzz_said = 0;
	free(file);
	file = fuzz_copy(data, len);
	file_len = len;
	if (pins_read(&pins, false)) {
		HOLDS(*fuzz_said && !pins.text);
		return 0;
	}
	check_lines(&pins);
	add_and_remove(&pins);
	pins_free(&pins);
	return 0;
}
