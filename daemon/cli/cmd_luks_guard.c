// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring luks guard: freeze volumes shortly before their KEK's lease kills
 * them, and resume them when it has been unsealed again
 *
 * The module says when a KEK comes near its end and when one is unsealed.  What
 * is to be done follows from the KEKs as they are then, so an event that was lost
 * costs nothing but time.  Without the guard, or when it is late, volumes fail
 * as they would have: the kernel does not wait for it.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "../config.h"
#include "freeze.h"

#ifndef GUARD_DIR
#define GUARD_DIR	"/run/vaultring-guard"
#endif
#define MARGIN		6	/* seconds before the end, of a long lease */
#define MAX_STATE	(1 << 20)

/*
 * What the guard has frozen, {NAME: KEK-ID}; also in GUARD_DIR/frozen, for a
 * guard that is started anew.
 */
static json_t *frozen;
static int freeze_timeout, resume_timeout;	/* ms */

static void load_state(void)
{
	uint8_t *text;
	size_t len;

	if (!file_read(AT_FDCWD, GUARD_DIR "/frozen", MAX_STATE, &text, &len)) {
		frozen = json_loads((char *)text, JSON_REJECT_DUPLICATES, NULL);
		free(text);
	}
	if (json_is_object(frozen))
		return;
	json_decref(frozen);
	frozen = json_object();
}

static void save_state(void)
{
	int dir = open(GUARD_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *text = json_dumps(frozen, JSON_COMPACT);

	if (dir < 0 || !text ||
	    file_write_atomic(dir, "frozen", text, strlen(text), 0600,
			      FILE_REPLACE))
		say_error(GUARD_DIR "/frozen: cannot be written; guard must not "
			  "be started anew before these volumes are resumed");
	free(text);
	if (dir >= 0)
		close(dir);
}

static void freeze_under(const json_t *kek, json_int_t left)
{
	const char *name = json_string_value(json_object_get(kek, "name"));
	json_t *ids = json_pack("[O]", json_object_get(kek, "id"));
	int timeout = left * 1000 < freeze_timeout ? (int)left * 1000 :
						     freeze_timeout;
	struct mappings mappings;
	size_t i;

	freeze_volumes(ids, timeout, &mappings);
	for (i = 0; i < mappings.n; i++)
		if (mappings.list[i].outcome == FROZEN_DONE)
			json_object_set(frozen, mappings.list[i].name,
					json_array_get(ids, 0));
	save_state();
	say_note("kek %s: its lease ends in %lld s", name, (long long)left);
	freeze_report(&mappings);
	mappings_free(&mappings);
	json_decref(ids);
}

static void thaw_under(const json_t *kek)
{
	const char *id = json_string_value(json_object_get(kek, "id")), *name;
	struct mappings mappings = { 0 };
	json_t *one;
	size_t i;

	json_object_foreach(frozen, name, one)
		if (!strcmp(json_string_value(one), id))
			mappings_add(&mappings, name);
	if (!mappings.n)
		return;
	thaw_volumes(&mappings, resume_timeout);
	for (i = 0; i < mappings.n; i++) {
		name = mappings.list[i].name;
		if (mappings.list[i].outcome == FROZEN_DONE)
			say_note("%s: resumed", name);
		else if (mappings.list[i].outcome != FROZEN_OTHER)
			say_error("%s: cannot be resumed and stays frozen; try: "
				  "vaultring luks resume %s", name, name);
		json_object_del(frozen, name);
	}
	save_state();
	mappings_free(&mappings);
}

/* Milliseconds until this KEK's volumes are to be frozen; -1: not by now. */
static int64_t look_at(const json_t *kek)
{
	const char *end = json_string_value(json_object_get(kek, "lease_end"));
	const char *state = json_string_value(json_object_get(kek, "state"));
	json_t *lease_left = json_object_get(kek, "lease_left");
	json_int_t lease = json_integer_value(json_object_get(kek, "lease"));
	json_int_t left = json_integer_value(lease_left), margin = MARGIN;

	if (!state || strcmp(state, "active"))
		return -1;
	if (!json_is_integer(lease_left) || !end || strcmp(end, "kill")) {
		thaw_under(kek);
		return -1;
	}
	if (lease && lease / 4 < margin)
		margin = lease < 4 ? 1 : lease / 4;
	if (left > margin) {
		thaw_under(kek);
		return (left - margin) * 1000;
	}
	freeze_under(kek, left);
	return -1;
}

/* All KEKs; returns when to look again, in milliseconds, or -1. */
static int look(void)
{
	int64_t next = -1, at;
	json_t *keks, *kek;
	int err;
	size_t i;

	keks = kernel_keks(&err);
	if (!keks && err != -ENODEV)
		say_error("%s", kernel_error());
	json_array_foreach(keks, i, kek) {
		at = look_at(kek);
		if (at >= 0 && (next < 0 || at < next))
			next = at;
	}
	json_decref(keks);
	return next > INT32_MAX ? INT32_MAX : (int)next;
}

static int guard(void)
{
	struct events *events = events_open();
	struct pollfd fd = { .events = POLLIN };
	int timeout;

	if (!events) {
		say_error("luks guard: no netlink socket");
		return FAILED;
	}
	mlockall(MCL_CURRENT | MCL_FUTURE);
	load_state();
	fd.fd = events_fd(events);
	sd_notify(0, "READY=1");
	for (timeout = 0;;) {
		int ready = poll(&fd, 1, timeout);

		if (ready < 0 && errno != EINTR)
			break;
		if (events_any(events) || !ready)
			timeout = look();
		/* Those that were left behind with a disk that hangs. */
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	events_close(events);
	return FAILED;
}

int luks_guard(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	int opt = verb_getopt(verb, argc, argv, options);
	struct config config;
	bool freeze;

	if (opt)
		return verb_option_exit(verb, opt);
	if (optind != argc)
		return verb_usage(verb, "takes no argument");
	if (!need_root(verb) || config_load(CONF_FILE, &config))
		return FAILED;
	freeze = config.freeze;
	freeze_timeout = (int)(config.freeze_timeout_usec / 1000) ?: 1;
	resume_timeout = (int)(config.resume_timeout_usec / 1000) ?: 1;
	config_free(&config);
	if (freeze)
		return guard();
	say_note("luks guard: nothing to do: on-kek-loss in " CONF_FILE
		 " is not freeze");
	sd_notify(0, "READY=1");
	return DONE;
}
