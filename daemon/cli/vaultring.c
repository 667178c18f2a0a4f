// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring: LUKS2 and fscrypt under keys that vaults hold
 *
 * One table of verbs, one file a verb.  Exit status: 0 done, 1 failed, 2 usage.
 */

#include <string.h>
#include <unistd.h>

#include "../secret.h"
#include "cli.h"

static const struct verb verbs[] = {
	{ "status", cmd_status, "[--json]",
	  "module, daemon, KEKs and vaults on one screen",
	  "      --json  for programs\n", NULL, NULL },
	{ "doctor", cmd_doctor, "[--json]",
	  "check the set-up and say what to do",
	  "      --json  for programs\n", NULL, NULL },
	{ "vault", verb_group, "list|check|init|pin|policy",
	  "vaults and trust in them", NULL, verb_vault, NULL },
	{ "kek", verb_group, "create|reseal|list|show|unseal|revoke",
	  "keys that wrap data keys", NULL, verb_kek, NULL },
	{ "transport", verb_group, "show|keep|load",
	  "the kernel's key that vaults release keys for", NULL,
	  verb_transport, NULL },
	{ "dek", verb_group, "new|show", "wrapped data keys in files",
	  NULL, verb_dek, NULL },
	{ "luks", verb_group, "format|open|close|suspend|resume|guard", "LUKS2 volumes",
	  NULL, verb_luks, NULL },
	{ "fscrypt", verb_group, "add|remove", "encrypted directories",
	  NULL, verb_fscrypt, NULL },
	{ 0 }
};

static void print_verbs(FILE *out, const struct verb *table)
{
	for (; table->name; table++)
		fprintf(out, "  %s %s\n        %s\n", table->name, table->args,
			table->help);
}

static int usage(FILE *out)
{
	fprintf(out, "Usage: vaultring VERB [OPTION...]\n\n");
	print_verbs(out, verbs);
	fprintf(out, "\nMore: vaultring VERB --help, man vaultring\n");
	return out == stdout ? DONE : USAGE;
}

static void print_usage(FILE *out, const struct verb *verb)
{
	fprintf(out, "Usage: vaultring %s%s%s %s\n\n%s\n",
		verb->group ? verb->group : "", verb->group ? " " : "",
		verb->name, verb->args, verb->help);
	if (verb->options)
		fprintf(out, "\n%s", verb->options);
	if (verb->sub) {
		fprintf(out, "\n");
		print_verbs(out, verb->sub);
	}
}

int verb_usage(const struct verb *verb, const char *why, ...)
{
	va_list args;

	fprintf(stderr, "vaultring: %s%s%s: ", verb->group ? verb->group : "",
		verb->group ? " " : "", verb->name);
	va_start(args, why);
	vfprintf(stderr, why, args);
	va_end(args);
	fprintf(stderr, "\n");
	print_usage(stderr, verb);
	return USAGE;
}

int verb_getopt(const struct verb *verb, int argc, char *argv[],
		const struct option *options)
{
	static char program[64];
	int opt;

	/* getopt's own messages begin with argv[0]. */
	snprintf(program, sizeof(program), "vaultring: %s%s%s",
		 verb->group ? verb->group : "", verb->group ? " " : "",
		 verb->name);
	argv[0] = program;
	opt = getopt_long(argc, argv, "ho:q", options, NULL);
	return opt == -1 ? 0 : opt;
}

int verb_option_exit(const struct verb *verb, int opt)
{
	print_usage(opt == 'h' ? stdout : stderr, verb);
	return opt == 'h' ? DONE : USAGE;
}

bool need_root(const struct verb *verb)
{
	if (!geteuid())
		return true;
	say_error("%s%s%s: only root may do this", verb->group ? verb->group : "",
		  verb->group ? " " : "", verb->name);
	return false;
}

static int dispatch(const struct verb *table, const char *group, int argc,
		    char *argv[])
{
	struct verb verb;

	for (; table->name; table++) {
		if (strcmp(argv[1], table->name))
			continue;
		verb = *table;
		verb.group = group;
		return verb.run(&verb, argc - 1, argv + 1);
	}
	return -1;
}

/* A verb that only has verbs of its own. */
int verb_group(const struct verb *verb, int argc, char *argv[])
{
	int status;

	if (argc < 2)
		return verb_usage(verb, "what shall be done?");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return verb_option_exit(verb, 'h');
	status = dispatch(verb->sub, verb->name, argc, argv);
	if (status < 0)
		return verb_usage(verb, "no such verb: %s", argv[1]);
	return status;
}

int main(int argc, char *argv[])
{
	int status;

	secret_wipe_json();
	if (argc < 2)
		return usage(stderr);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    !strcmp(argv[1], "help"))
		return usage(stdout);
	if (!strcmp(argv[1], "--version")) {
		printf("vaultring %s\n", VERSION);
		return DONE;
	}
	status = dispatch(verbs, NULL, argc, argv);
	if (status < 0) {
		say_error("no such verb: %s", argv[1]);
		return usage(stderr);
	}
	if (status == DONE && (fflush(stdout) || ferror(stdout))) {
		say_error("standard output: cannot write all of it");
		return FAILED;
	}
	return status;
}
