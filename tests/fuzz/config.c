// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring.conf: what is taken keeps to its bounds, and what is refused is said
 */

#define _GNU_SOURCE
#include <string.h>

#include "config.h"
#include "fuzz.h"

#define SECOND	1000000ULL
#define LONGEST	(600 * SECOND)

static bool wait_ok(uint64_t usec)
{
	return usec && usec <= LONGEST;
}

static void check_vault(const struct config *c, size_t at)
{
	const struct vault_config *v = &c->vaults[at];
	const struct vault_setting *s = v->settings;
	size_t i, j;

	HOLDS(name_ok(v->name));
	for (i = 0; i < at; i++)
		HOLDS(strcmp(c->vaults[i].name, v->name));
	HOLDS(v->uri && strchr(v->uri, ':') && !strcasestr(v->uri, "pin-value"));
	/* It becomes part of a program's name. */
	HOLDS(!memchr(v->uri, '/', strcspn(v->uri, ":")) && *v->uri != '.');
	HOLDS(wait_ok(v->timeout_usec) && wait_ok(v->connect_usec) &&
	      wait_ok(v->end_usec) && wait_ok(v->pause_usec));
	HOLDS(!v->poll_usec || (v->poll_usec >= SECOND &&
				v->poll_usec <= 86400 * SECOND));
	HOLDS(v->limit <= 1000000);
	for (i = 0; i < v->n_settings; i++) {
		HOLDS(s[i].name && s[i].value);
		for (j = 0; j < i; j++)
			HOLDS(strcmp(s[i].name, s[j].name));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static int fd = -1;
	const char *path = fuzz_file(&fd, data, len);
	struct config c;
	size_t i;

	*fuzz_said = 0;
	if (config_load(path, &c)) {
		HOLDS(*fuzz_said);
		HOLDS(!c.vaults && !c.n_vaults);
		return 0;
	}
	HOLDS(wait_ok(c.unseal_timeout_usec) && wait_ok(c.kernel_timeout_usec) &&
	      wait_ok(c.client_timeout_usec) && wait_ok(c.tools_timeout_usec) &&
	      wait_ok(c.freeze_timeout_usec) && wait_ok(c.resume_timeout_usec));
	for (i = 0; i < c.n_vaults; i++)
		check_vault(&c, i);
	config_free(&c);
	return 0;
}
