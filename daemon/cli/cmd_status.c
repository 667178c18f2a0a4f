// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring status: one screen, whatever is missing
 */

#include <errno.h>
#include <unistd.h>

#include "cli.h"

static json_t *module_state(void)
{
	struct kernel_status status;
	int err = kernel_status(&status);

	/* What follows needs privilege, whether a module is there does not. */
	if (err)
		return json_pack("{s:b, s:s}", "loaded",
				 !access("/sys/module/vaultring", F_OK),
				 "message", kernel_error());
	return json_pack("{s:b, s:s, s:b, s:i, s:i}", "loaded", 1, "version",
			 status.version, "daemon_attached", status.attached,
			 "keks", status.keks, "unseals", status.unseals);
}

static json_t *daemon_state(json_t **vaults)
{
	struct daemon_error error;

	*vaults = daemon_vaults(&error);
	if (*vaults)
		return json_pack("{s:b}", "answering", 1);
	return json_pack("{s:b, s:s}", "answering", 0, "message",
			 error.message);
}

static json_t *pins_state(void)
{
	struct pins pins;
	json_t *state;

	if (pins_read(&pins, false))
		return json_null();
	state = json_pack("{s:I, s:I}", "vaults", (json_int_t)pins.vaults,
			  "keks", (json_int_t)pins.keks);
	pins_free(&pins);
	return state;
}

static void print_module(const json_t *module)
{
	const char *message = json_string_value(
		json_object_get(module, "message"));
	bool loaded = json_is_true(json_object_get(module, "loaded"));

	if (message)
		printf("module  %s%s\n", loaded ? "loaded; " : "", message);
	else
		printf("module  vaultring %s, %lld active KEKs, %lld unseals "
		       "under way\n", json_string_value(
				json_object_get(module, "version")),
		       (long long)json_integer_value(
				json_object_get(module, "keks")),
		       (long long)json_integer_value(
				json_object_get(module, "unseals")));
}

static void print_daemon(const json_t *daemon, const json_t *module)
{
	const char *message = json_string_value(
		json_object_get(daemon, "message"));
	const json_t *attached = json_object_get(module, "daemon_attached");

	printf("daemon  %s%s\n", message ? message : "running",
	       message || !json_is_boolean(attached) ? "" :
	       json_is_true(attached) ?
	       ", attached to the module" : ", not attached to the module");
}

int cmd_status(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	json_t *module, *daemon, *pins, *vaults, *keks;
	bool json = false, whole;
	int opt;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		if (opt != 'j')
			return verb_option_exit(verb, opt);
		json = true;
	}
	if (optind != argc)
		return verb_usage(verb, "takes no argument");
	module = module_state();
	daemon = daemon_state(&vaults);
	pins = pins_state();
	keks = all_keks(false, &whole);
	if (json)
		return print_json(json_pack("{s:o, s:o, s:o, s:o, s:o}",
			"module", module, "daemon", daemon, "pins", pins,
			"keks", keks ? keks : json_array(),
			"vaults", vaults ? vaults : json_array()));
	print_module(module);
	print_daemon(daemon, module);
	printf("pins    %lld vault keys, %lld KEKs\n",
	       (long long)json_integer_value(json_object_get(pins, "vaults")),
	       (long long)json_integer_value(json_object_get(pins, "keks")));
	if (keks) {
		printf("\n");
		print_keks(keks, whole);
	}
	if (vaults) {
		printf("\n");
		print_vaults(vaults);
	}
	json_decref(module);
	json_decref(daemon);
	json_decref(pins);
	json_decref(keks);
	json_decref(vaults);
	return DONE;
}
