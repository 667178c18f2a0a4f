// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring.conf
 *
 *	[daemon]
 *	on-refusal = keep
 *	renew = no
 *	grace = 8h
 *
 *	[volumes]
 *	on-kek-loss = error
 *
 *	[vault NAME]
 *	uri = pkcs11:token=...;object=...?module-path=...
 *	poll = 5m
 *	requests-per-minute = 600
 *	environment = NAME=VALUE ...
 *
 * and what waits[] below has for each.  All else in a vault's section is for its
 * worker.  A line that begins with space goes on with the value of the line before.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ini.h>

#include "config.h"
#include "log.h"

#define SECOND			1000000ULL
#define MAX_TIMEOUT		(600 * SECOND)
#define DEFAULT_POLL		(300 * SECOND)
#define MIN_POLL		(1 * SECOND)
#define MAX_POLL		(86400 * SECOND)
#define DEFAULT_LIMIT		600
#define MAX_LIMIT		1000000
/* inih cuts longer lines without a word. */
#define LINE_MAX_LEN		(INI_MAX_LINE - 2)
#define SECTION_MAX_LEN		48

/* All that somebody waits for, and how long by default: never half a minute. */
static const struct wait {
	const char *section, *name;
	size_t at;		/* in struct config; a vault's in struct vault_config */
	unsigned int seconds;
} waits[] = {
	{ "daemon", "unseal-timeout",
	  offsetof(struct config, unseal_timeout_usec), 20 },
	{ "daemon", "kernel-timeout",
	  offsetof(struct config, kernel_timeout_usec), 10 },
	{ "daemon", "client-timeout",
	  offsetof(struct config, client_timeout_usec), 20 },
	{ "tools", "timeout", offsetof(struct config, tools_timeout_usec), 25 },
	{ "volumes", "freeze-timeout",
	  offsetof(struct config, freeze_timeout_usec), 5 },
	{ "volumes", "resume-timeout",
	  offsetof(struct config, resume_timeout_usec), 10 },
	{ "vault", "timeout", offsetof(struct vault_config, timeout_usec), 5 },
	{ "vault", "connect-timeout",
	  offsetof(struct vault_config, connect_usec), 3 },
	{ "vault", "end-timeout", offsetof(struct vault_config, end_usec), 2 },
	{ "vault", "longest-pause",
	  offsetof(struct vault_config, pause_usec), 10 },
};

struct loading {
	struct config *config;
	const char *path;
	FILE *file;
	int line;
	int err;
};

static int bad(struct loading *l, const char *what, const char *detail)
{
	log_err("%s:%d: %s: %s", l->path, l->line, what, detail);
	l->err = -EINVAL;
	return 0;
}

static char *read_line(char *out, int size, void *stream)
{
	struct loading *l = stream;
	char *line = NULL;
	size_t room = 0;
	ssize_t len = getline(&line, &room, l->file);

	l->line++;
	if (len < 0) {
		free(line);
		return NULL;
	}
	if (len > LINE_MAX_LEN || len >= size) {
		bad(l, "this line is too long",
		    "go on in the next line, begun with a space");
		len = 0;
	}
	memcpy(out, line, len);
	out[len] = 0;
	free(line);
	return out;
}

/* Of a struct config, or of a vault's. */
static uint64_t *wait_of(void *config, const struct wait *w)
{
	return (uint64_t *)((char *)config + w->at);
}

static void set_waits(const char *section, void *config)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(waits); i++)
		if (!strcmp(waits[i].section, section))
			*wait_of(config, &waits[i]) = waits[i].seconds * SECOND;
}

static const struct wait *find_wait(const char *section, const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(waits); i++)
		if (!strcmp(waits[i].section, section) &&
		    !strcmp(waits[i].name, name))
			return &waits[i];
	return NULL;
}

static struct vault_config *find_vault(struct config *config, const char *name)
{
	struct vault_config *v;
	size_t i;

	for (i = 0; i < config->n_vaults; i++)
		if (!strcmp(config->vaults[i].name, name))
			return &config->vaults[i];
	v = realloc(config->vaults, (config->n_vaults + 1) * sizeof(*v));
	if (!v)
		return NULL;
	config->vaults = v;
	v += config->n_vaults++;
	memset(v, 0, sizeof(*v));
	snprintf(v->name, sizeof(v->name), "%s", name);
	set_waits("vault", v);
	v->poll_usec = DEFAULT_POLL;
	v->limit = DEFAULT_LIMIT;
	return v;
}

static int parse_timeout(struct loading *l, const char *value, uint64_t *usec)
{
	if (duration_parse(value, usec) || !*usec || *usec > MAX_TIMEOUT)
		return bad(l, "not a duration of 10m at most, such as 5s", value);
	return 1;
}

static int parse_poll(struct loading *l, const char *value, uint64_t *usec)
{
	if (duration_parse(value, usec) ||
	    (*usec && (*usec < MIN_POLL || *usec > MAX_POLL)))
		return bad(l, "poll is 0 or a duration from 1s to 24h, not",
			   value);
	return 1;
}

static int parse_grace(struct loading *l, const char *value, uint64_t *usec)
{
	if (duration_parse(value, usec) || !*usec)
		return bad(l, "grace is a duration such as 8h, not", value);
	return 1;
}

static int parse_limit(struct loading *l, const char *value, unsigned int *limit)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || n > MAX_LIMIT)
		return bad(l, "requests-per-minute is a number up to 1000000, and 0 no limit, not",
			   value);
	*limit = n;
	return 1;
}

/* One of two words. */
static int parse_choice(struct loading *l, const char *name, const char *value,
			const char *const words[2], bool *second)
{
	char text[64];

	*second = !strcmp(value, words[1]);
	if (*second || !strcmp(value, words[0]))
		return 1;
	snprintf(text, sizeof(text), "%s is %s or %s, not", name, words[0],
		 words[1]);
	return bad(l, text, value);
}

/* A second value under the same name continues the first. */
static int add_setting(struct loading *l, struct vault_config *v,
		       const char *name, const char *value)
{
	struct vault_setting *s = v->settings, *longer;
	size_t i;
	char *joined;

	for (i = 0; i < v->n_settings; i++) {
		if (strcmp(s[i].name, name))
			continue;
		if (i + 1 != v->n_settings)
			return bad(l, "given twice", name);
		/* An URI has no spaces; a list of variables needs them. */
		if (asprintf(&joined, "%s%s%s", s[i].value,
			     strcmp(name, "environment") ? "" : " ", value) < 0)
			return bad(l, "out of memory", name);
		free(s[i].value);
		s[i].value = joined;
		return 1;
	}
	longer = realloc(s, (v->n_settings + 1) * sizeof(*s));
	if (!longer)
		return bad(l, "out of memory", name);
	v->settings = longer;
	s = longer + v->n_settings++;
	s->name = strdup(name);
	s->value = strdup(value);
	if (!s->name || !s->value)
		return bad(l, "out of memory", name);
	return 1;
}

/* For the tools: the daemon has no say in it. */
static int parse_volumes(struct loading *l, const char *name, const char *value)
{
	if (strcmp(name, "on-kek-loss"))
		return bad(l, "no such setting in [volumes]", name);
	return parse_choice(l, name, value,
			    (const char *const[]){ "error", "freeze" },
			    &l->config->freeze);
}

static int parse_daemon(struct loading *l, const char *name, const char *value)
{
	if (!strcmp(name, "on-refusal"))
		return parse_choice(l, name, value,
				    (const char *const[]){ "keep", "revoke" },
				    &l->config->revoke);
	if (!strcmp(name, "renew"))
		return parse_choice(l, name, value,
				    (const char *const[]){ "no", "yes" },
				    &l->config->renew);
	if (!strcmp(name, "grace"))
		return parse_grace(l, value, &l->config->grace_usec);
	return bad(l, "no such setting in [daemon]", name);
}

static int on_setting(void *arg, const char *section, const char *name,
		      const char *value)
{
	const struct wait *wait = find_wait(section, name);
	struct loading *l = arg;
	struct vault_config *v;

	if (!*name)
		return bad(l, "there is no name before the =", value);
	if (wait && strcmp(section, "vault"))
		return parse_timeout(l, value, wait_of(l->config, wait));
	if (!strcmp(section, "daemon"))
		return parse_daemon(l, name, value);
	if (!strcmp(section, "volumes"))
		return parse_volumes(l, name, value);
	if (!strcmp(section, "tools"))
		return bad(l, "no such setting in [tools]", name);
	if (strncmp(section, "vault ", 6) || !name_ok(section + 6))
		return bad(l, "not [daemon], [tools], [volumes] or [vault NAME]", section);
	if (strlen(section) > SECTION_MAX_LEN)
		return bad(l, "the vault's name is too long", section);
	v = find_vault(l->config, section + 6);
	if (!v)
		return bad(l, "out of memory", section);
	wait = find_wait("vault", name);
	if (wait)
		return parse_timeout(l, value, wait_of(v, wait));
	if (!strcmp(name, "poll"))
		return parse_poll(l, value, &v->poll_usec);
	if (!strcmp(name, "requests-per-minute"))
		return parse_limit(l, value, &v->limit);
	return add_setting(l, v, name, value);
}

static const char *take_setting(struct vault_config *v, const char *name)
{
	size_t i;

	for (i = 0; i < v->n_settings; i++)
		if (!strcmp(v->settings[i].name, name))
			return v->settings[i].value;
	return NULL;
}

static int check_vault(const char *path, struct vault_config *v)
{
	const char *uri = take_setting(v, "uri");
	const char *environment = take_setting(v, "environment");
	size_t len;

	if (!uri) {
		log_err("%s: [vault %s] has no uri", path, v->name);
		return -EINVAL;
	}
	/* The scheme becomes part of a program's name. */
	len = strspn(uri, "abcdefghijklmnopqrstuvwxyz0123456789");
	if (!len || uri[len] != ':' || len > 20) {
		log_err("%s: [vault %s]: not a URI: %s", path, v->name, uri);
		return -EINVAL;
	}
	if (strcasestr(uri, "pin-value")) {
		log_err("%s: [vault %s]: its uri holds a PIN; put the PIN into a file of its own and name that in pin-source",
			path, v->name);
		return -EINVAL;
	}
	v->uri = strdup(uri);
	v->environment = environment ? strdup(environment) : NULL;
	return v->uri && (!environment || v->environment) ? 0 : -ENOMEM;
}

int config_load(const char *path, struct config *config)
{
	struct loading l = { .config = config, .path = path };
	size_t i;
	int line;

	*config = (struct config){ 0 };
	set_waits("daemon", config);
	set_waits("tools", config);
	set_waits("volumes", config);
	l.file = fopen(path, "re");
	if (!l.file) {
		l.err = -errno;
		log_err("%s: %m", path);
		return l.err;
	}
	line = ini_parse_stream(read_line, &l, on_setting, &l);
	if (ferror(l.file))
		bad(&l, "cannot read", strerror(errno));
	fclose(l.file);
	/* Without a message yet, the line is not of the form "name = value". */
	if (line && !l.err) {
		l.line = line;
		bad(&l, "not understood", "neither [section] nor name = value");
	}
	for (i = 0; !l.err && i < config->n_vaults; i++)
		l.err = check_vault(path, &config->vaults[i]);
	if (l.err)
		config_free(config);
	return l.err;
}

void config_free(struct config *config)
{
	size_t i, j;

	for (i = 0; i < config->n_vaults; i++) {
		struct vault_config *v = &config->vaults[i];

		for (j = 0; j < v->n_settings; j++) {
			free(v->settings[j].name);
			free(v->settings[j].value);
		}
		free(v->settings);
		free(v->uri);
		free(v->environment);
	}
	free(config->vaults);
	*config = (struct config){ 0 };
}
