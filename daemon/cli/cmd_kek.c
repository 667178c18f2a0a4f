// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring kek: list, unseal and revoke the keys that wrap data keys
 *
 * Envelopes are the daemon's to keep and vaults its to ask; what is active, and
 * ending it, is the kernel's.  So revoke works with a dead daemon.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../config.h"
#include "freeze.h"

static const char *text(const json_t *object, const char *member)
{
	const char *value = json_string_value(json_object_get(object, member));

	return value ? value : "-";
}

/*
 * The store's KEKs with the kernel's word on each (state, lease_left,
 * transforms), and those that only the kernel holds.  NULL: neither answers.
 */
json_t *all_keks(bool say_why, bool *whole)
{
	struct daemon_error error;
	json_t *stored = daemon_keks(&error), *active, *kek, *mine;
	int err;
	size_t i;

	*whole = stored;
	active = kernel_keks(&err);
	if (!stored && say_why)
		say_error("%s", error.message);
	if (!active && say_why)
		say_error("%s", kernel_error());
	if (!stored && !active)
		return NULL;
	if (!stored)
		stored = json_array();
	json_array_foreach(stored, i, kek) {
		mine = find_kek(active, NULL, text(kek, "id"));
		json_object_set_new(kek, "state", json_string(
			json_object_get(kek, "damage") ? "damaged" :
			active ? "sealed" : "unknown"));
		if (mine)
			json_object_update(kek, mine);
	}
	json_array_foreach(active, i, kek)
		if (!find_kek(stored, NULL, text(kek, "id")))
			json_array_append(stored, kek);
	json_decref(active);
	return stored;
}

/* "a", or "2 of a, b, c"; to free */
static char *format_vaults(const json_t *kek)
{
	const json_t *vaults = json_object_get(kek, "vaults");
	char *list = format_list(vaults, "-"), *text;

	if (json_array_size(vaults) < 2 ||
	    asprintf(&text, "%lld of %s", (long long)json_integer_value(
			json_object_get(kek, "threshold")), list) < 0)
		return list;
	free(list);
	return text;
}

void print_keks(const json_t *keks, bool whole)
{
	struct table table = { 0 };
	json_t *kek;
	size_t i;

	if (!json_array_size(keks)) {
		printf(whole ? "no KEKs; make one: "
		       "vaultring kek create NAME --vault VAULT\n" :
		       "no active KEKs; of others only the daemon knows\n");
		return;
	}
	table_row(&table, "KEK", "VERSION", "STATE", "LEASE LEFT", "LIVE",
		  "VAULTS", "USES", "ID", NULL);
	json_array_foreach(keks, i, kek) {
		const json_t *live = json_object_get(kek, "transforms");
		char version[24], lease[32] = "-", count[24];
		char *vaults = format_vaults(kek);
		char *uses = format_list(json_object_get(kek, "uses"), "-");

		snprintf(version, sizeof(version), "%lld", (long long)
			 json_integer_value(json_object_get(kek, "version")));
		snprintf(count, sizeof(count), "%lld",
			 (long long)json_integer_value(live));
		if (!strcmp(text(kek, "state"), "active"))
			format_lease(lease, sizeof(lease),
				     json_object_get(kek, "lease_left"));
		table_row(&table, text(kek, "name"), version, text(kek, "state"),
			  lease, live ? count : "-", vaults, uses,
			  text(kek, "id"), NULL);
		free(vaults);
		free(uses);
	}
	table_print(&table);
}

static int kek_list(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	bool json = false, whole;
	int status = DONE;
	json_t *keks;
	int opt;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		if (opt != 'j')
			return verb_option_exit(verb, opt);
		json = true;
	}
	if (optind != argc)
		return verb_usage(verb, "takes no argument");
	if (!need_root(verb))
		return FAILED;
	keks = all_keks(true, &whole);
	if (!keks)
		return FAILED;
	if (json)
		status = print_json(json_pack("{s:O}", "keks", keks));
	else
		print_keks(keks, whole);
	json_decref(keks);
	return whole ? status : FAILED;
}

static void print_list(const char *label, const json_t *array, const char *empty)
{
	char *list = format_list(array, empty);

	printf("%-12s%s\n", label, list);
	free(list);
}

static void print_shares(const json_t *shares)
{
	const json_t *share;
	char label[24];
	size_t i;

	json_array_foreach(shares, i, share) {
		snprintf(label, sizeof(label), "share %lld", (long long)
			 json_integer_value(json_object_get(share, "index")));
		printf("%-12svault %s, %s, key %s\n", label,
		       text(share, "vault"), text(share, "method"),
		       text(share, "fingerprint"));
	}
}

static void print_kek(const json_t *kek, const char *pinned)
{
	const char *state = text(kek, "state");
	json_int_t lease = json_integer_value(json_object_get(kek, "lease"));
	char buf[32];

	printf("%-12s%s version %lld\n", "kek", text(kek, "name"), (long long)
	       json_integer_value(json_object_get(kek, "version")));
	printf("%-12s%s\n", "id", text(kek, "id"));
	printf("%-12s%s\n", "pinned", !pinned ? "no" :
	       !strcmp(pinned, text(kek, "id")) ? "yes" : pinned);
	printf("%-12s%s\n", "state", state);
	if (!strcmp(state, "active"))
		printf("%-12s%s\n", "lease left", format_lease(buf, sizeof(buf),
			json_object_get(kek, "lease_left")));
	if (json_object_get(kek, "damage")) {
		printf("%-12s%s: %s; restore it from a backup\n", "envelope",
		       text(kek, "envelope"), text(kek, "damage"));
		return;
	}
	printf("%-12s%lld keyed transforms\n", "live", (long long)
	       json_integer_value(json_object_get(kek, "transforms")));
	print_list("uses", json_object_get(kek, "uses"), "-");
	if (!json_object_get(kek, "envelope"))
		return;
	print_shares(json_object_get(kek, "shares"));
	printf("%-12s%lld of %zu\n", "threshold", (long long)
	       json_integer_value(json_object_get(kek, "threshold")),
	       json_array_size(json_object_get(kek, "vaults")));
	print_list("uids", json_object_get(kek, "uids"), "none but root");
	print_list("gids", json_object_get(kek, "gids"), "none");
	format_lease(buf, sizeof(buf), json_object_get(kek, "lease"));
	printf("%-12s%s%s%s\n", "lease", lease ? buf : "none",
	       lease ? ", then " : "", lease ? text(kek, "lease_end") : "");
	printf("%-12s%s\n", "not before", format_time(buf, sizeof(buf),
	       json_integer_value(json_object_get(kek, "not_before"))));
	printf("%-12s%s\n", "not after", format_time(buf, sizeof(buf),
	       json_integer_value(json_object_get(kek, "not_after"))));
	printf("%-12s%s\n", "envelope", text(kek, "envelope"));
}

static int show(const char *name, bool json)
{
	bool whole, pinned = false;
	json_t *keks = all_keks(true, &whole);
	json_t *kek = find_kek(keks, name, NULL);
	struct pins pins;
	char id[ID_HEX];

	if (!kek) {
		if (keks && !whole)
			say_error("kek %s: not active; of others only the "
				  "daemon knows", name);
		else if (keks)
			say_error("kek %s: no such KEK; see: vaultring kek list",
				  name);
		json_decref(keks);
		return FAILED;
	}
	if (!pins_read(&pins, false)) {
		pinned = pins_have_kek(&pins, name, id);
		pins_free(&pins);
	}
	if (json) {
		json_object_set_new(kek, "pinned_id",
				    pinned ? json_string(id) : json_null());
		json_incref(kek);
		json_decref(keks);
		return print_json(kek);
	}
	print_kek(kek, pinned ? id : NULL);
	json_decref(keks);
	return DONE;
}

static int kek_show(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	bool json = false;
	int opt;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		if (opt != 'j')
			return verb_option_exit(verb, opt);
		json = true;
	}
	if (optind + 1 != argc)
		return verb_usage(verb, "give one name");
	return need_root(verb) ? show(argv[optind], json) : FAILED;
}

/* One name and no option but --help: -1, or the exit status. */
static int one_name(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	int opt = verb_getopt(verb, argc, argv, options);

	if (opt)
		return verb_option_exit(verb, opt);
	if (optind + 1 != argc)
		return verb_usage(verb, "give one name");
	if (!name_ok(argv[optind]))
		return verb_usage(verb, "a name has 1 to 63 of A-Z a-z 0-9 . _ -");
	return need_root(verb) ? -1 : FAILED;
}

static int kek_unseal(const struct verb *verb, int argc, char *argv[])
{
	int status = one_name(verb, argc, argv);
	char lease[32];
	json_t *reply;

	if (status >= 0)
		return status;
	reply = daemon_call("vaultring.KekUnseal",
			    json_pack("{s:s}", "name", argv[optind]));
	if (!reply)
		return FAILED;
	printf("kek %s: active, lease left: %s\n", argv[optind],
	       format_lease(lease, sizeof(lease),
			    json_object_get(reply, "lease_left")));
	json_decref(reply);
	return DONE;
}

/*
 * What --on-loss or else the configuration says: how long a revoke waits for
 * volumes to be frozen, in ms; 0, and they see errors, also if that is unclear.
 */
static int freeze_timeout(const char *on_loss)
{
	bool wanted = on_loss && !strcmp(on_loss, "freeze");
	struct config config;
	int timeout;

	if (on_loss && !wanted)
		return 0;
	if (access(CONF_FILE, F_OK))
		return wanted ? FREEZE_TIMEOUT_DEFAULT : 0;
	if (config_load(CONF_FILE, &config)) {
		say_error(CONF_FILE " cannot be used, so %s", wanted ?
			  "its freeze-timeout is not known" :
			  "volumes are not frozen");
		return wanted ? FREEZE_TIMEOUT_DEFAULT : 0;
	}
	timeout = wanted || config.freeze ?
		  (int)(config.freeze_timeout_usec / 1000) ?: 1 : 0;
	config_free(&config);
	return timeout;
}

/* Before the revoke, which never waits longer for a disk than this. */
static void freeze_under(const char *name, int timeout_ms,
			 struct mappings *mappings)
{
	json_t *ids = json_array(), *keks, *kek;
	int err;
	size_t i;

	keks = kernel_keks(&err);
	json_array_foreach(keks, i, kek)
		if (!strcmp(text(kek, "name"), name))
			json_array_append(ids, json_object_get(kek, "id"));
	if (json_array_size(ids)) {
		freeze_volumes(ids, timeout_ms, mappings);
		freeze_report(mappings);
	}
	json_decref(keks);
	json_decref(ids);
}

static int end_kek(const char *name, int timeout_ms)
{
	struct mappings mappings = { 0 };
	uint32_t transforms;
	size_t i;
	int err;

	if (timeout_ms)
		freeze_under(name, timeout_ms, &mappings);
	err = kernel_revoke(name, &transforms);
	if (err == -ENOKEY)
		say_error("kek %s: not active, so there is nothing to revoke; "
			  "see: vaultring kek list", name);
	else if (err)
		say_error("kek %s: %s", name, kernel_error());
	else
		printf("kek %s: revoked; %u keyed transform%s ended and wiped\n",
		       name, transforms, transforms == 1 ? "" : "s");
	for (i = 0; i < mappings.n; i++)
		if (mappings.list[i].outcome == FROZEN_DONE)
			printf("next, to have it back: vaultring luks resume %s\n",
			       mappings.list[i].name);
	mappings_free(&mappings);
	return err ? FAILED : DONE;
}

static int kek_revoke(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "on-loss", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	const char *on_loss = NULL;
	int opt;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		if (opt != 'l')
			return verb_option_exit(verb, opt);
		on_loss = optarg;
	}
	if (on_loss && strcmp(on_loss, "error") && strcmp(on_loss, "freeze"))
		return verb_usage(verb, "--on-loss takes error or freeze");
	if (optind + 1 != argc)
		return verb_usage(verb, "give one name");
	if (!name_ok(argv[optind]))
		return verb_usage(verb, "a name has 1 to 63 of A-Z a-z 0-9 . _ -");
	return need_root(verb) ?
	       end_kek(argv[optind], freeze_timeout(on_loss)) : FAILED;
}

const struct verb verb_kek[] = {
	{ "create", kek_create, "NAME --vault VAULT[:KEY]... [OPTION...]",
	  "have the kernel make a KEK, pin its id, store and unseal it",
	  "      --vault VAULT[:KEY]     a vault that guards it; repeated, up to 8,\n"
	  "                              each with a key of its own\n"
	  "      --threshold K           how many of them an unseal needs; must be\n"
	  "                              said where there are several\n"
	  "      --use USE[,USE...]      xts, cbc, ctr, gcm, fscrypt, hmac (all of\n"
	  "                              these), transport\n"
	  "      --lease TIME            unsealed for at most that long\n"
	  "      --on-lease-end ACTION   keep or kill what is open (keep)\n"
	  "      --uid USER --gid GROUP  who besides root may use it; repeated\n"
	  "      --not-before DATE --not-after DATE\n"
	  "                              2030-01-31 or 2030-01-31T08:00:00, UTC\n",
	  NULL, NULL },
	{ "reseal", kek_reseal,
	  "NAME [--vault VAULT[:KEY]...] [--threshold K]|--newer [--pin]",
	  "make another envelope of it, for other vaults or new keys of theirs",
	  "      --vault VAULT[:KEY]  as for create; without, the same vaults as now\n"
	  "      --threshold K        how many of them an unseal needs\n"
	  "      --newer              each KEK of which a vault has a newer key\n"
	  "      --pin                trust what these vaults' keys are by now\n",
	  NULL, NULL },
	{ "list", kek_list, "[--json]", "KEKs, sealed and active",
	  "      --json  for programs\n", NULL, NULL },
	{ "show", kek_show, "NAME [--json]", "all about one KEK",
	  "      --json  for programs\n", NULL, NULL },
	{ "unseal", kek_unseal, "NAME", "ask its vaults and make it active",
	  NULL, NULL, NULL },
	{ "revoke", kek_revoke, "NAME [--on-loss error|freeze]",
	  "end it now; everything open under it fails, or waits, from here on",
	  "      --on-loss ACTION  freeze volumes first, or let them fail; what\n"
	  "                        vaultring.conf says by default\n", NULL, NULL },
	{ 0 }
};
