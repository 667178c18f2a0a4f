// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is in a vault's section, where it becomes part of something else: URIs, names
 * of keys, durations, hex
 *
 * Lines of name = value.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "openbao_conf.h"
#include "tpm2_uri.h"
#include "util.h"

#define LINES_MAX	16

static struct {
	char *name;
	const char *value;
} lines[LINES_MAX];
static size_t n_lines;

static const char *get(void *arg, const char *name)
{
	size_t i;

	HOLDS(arg == lines);
	for (i = 0; i < n_lines; i++)
		if (!strcmp(lines[i].name, name))
			return lines[i].value;
	return NULL;
}

/* Names between slashes: it goes into a URL as it is. */
static void check_path(const char *path)
{
	char *copy = strdup(path), *name, *save;

	HOLDS(copy && *path != '/' && !strstr(path, "//"));
	HOLDS(path[strlen(path) - 1] != '/');
	for (name = strtok_r(copy, "/", &save); name;
	     name = strtok_r(NULL, "/", &save))
		HOLDS(openbao_name_ok(name) && *name != '.');
	free(copy);
}

static void check_openbao(void)
{
	struct openbao_conf c;
	const char *wrong = openbao_conf_read(get, lines, &c);

	if (wrong) {
		HOLDS(*wrong);
		return;
	}
	HOLDS(!strncmp(c.server, "https://", 8) && !strpbrk(c.server + 8, "/@?# "));
	check_path(c.mount);
	check_path(c.auth_mount);
	HOLDS(openbao_name_ok(c.key) && !strchr(c.key, '/'));
	HOLDS(!*c.host_key || openbao_name_ok(c.host_key));
	if (*c.namespace)
		check_path(c.namespace);
	HOLDS(c.version <= 1000000);
	HOLDS(c.approle == !!get(lines, "role-id"));
}

static void check_tpm2(const char *text)
{
	struct tpm2_uri uri;
	const char *wrong = tpm2_uri_parse(text, &uri), *p;

	if (wrong) {
		HOLDS(*wrong);
		return;
	}
	HOLDS(!uri.handle == !!*uri.file);
	HOLDS(!uri.handle || (uri.handle >= TPM2_HANDLE_FIRST &&
			      uri.handle <= TPM2_HANDLE_LAST));
	HOLDS(!*uri.file || *uri.file == '/');
	/* Others start programs or load libraries. */
	HOLDS(!strncmp(uri.tcti, "device:/dev/", 12) ||
	      !strncmp(uri.tcti, "swtpm:", 6));
	for (p = uri.tcti; *p; p++)
		HOLDS(*p != '\n');
}

static void check_duration(const char *text)
{
	uint64_t usec = 42;
	int err = duration_parse(text, &usec);

	HOLDS(!err || err == -EINVAL || err == -ERANGE);
	HOLDS(!err || usec == 42);
}

static void check_names(const char *text)
{
	char name[64], *cut = malloc(8);
	const char *key;

	HOLDS(cut);
	if (name_ok(text))
		HOLDS(strlen(text) < sizeof(name) && !strpbrk(text, "/: \n"));
	if (!vault_ref_split(text, name, &key)) {
		HOLDS(name_ok(name) && vault_ref_ok(text));
		HOLDS(!strncmp(text, name, strlen(name)));
		HOLDS(!*key || (key > text && key[-1] == ':'));
	} else {
		HOLDS(!vault_ref_ok(text));
	}
	HOLDS(copy_text(cut, 8, text) == (strlen(text) < 8));
	HOLDS(!strncmp(cut, text, 7) && strlen(cut) < 8);
	free(cut);
}

static void check_hex(const char *text)
{
	size_t size = strlen(text) / 2, i;
	uint8_t *out = malloc(size ? size : 1);
	char *again = malloc(2 * size + 1);
	ssize_t n = hex_decode_any(text, out, size);

	HOLDS(out && again);
	HOLDS(n < 0 || (size_t)n == size);
	HOLDS(!hex_decode(text, out, size) == (n >= 0));
	if (n >= 0) {
		hex_encode(again, out, n);
		for (i = 0; text[i]; i++)
			HOLDS(again[i] == (text[i] | 32));
	}
	free(again);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, data + len };
	char *equals;
	size_t i;

	for (n_lines = 0; in.at < in.end && n_lines < LINES_MAX; n_lines++) {
		lines[n_lines].name = fuzz_text(&in, "\n", NULL);
		equals = strstr(lines[n_lines].name, " = ");
		if (equals)
			*equals = 0;
		lines[n_lines].value = equals ? equals + 3 : "";
	}
	check_openbao();
	for (i = 0; i < n_lines; i++) {
		check_tpm2(lines[i].value);
		check_duration(lines[i].value);
		check_names(lines[i].value);
		check_hex(lines[i].value);
		free(lines[i].name);
	}
	return 0;
}
