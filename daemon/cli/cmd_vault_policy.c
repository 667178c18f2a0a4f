// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring vault policy: what an OpenBao server must permit, and no more
 *
 * Made from the vault's settings, in the server's own language, for an operator
 * to install as it is.
 */

#include <string.h>

#include "../config.h"
#include "../openbao_conf.h"
#include "cli.h"

static const char *get_setting(void *arg, const char *name)
{
	const struct vault_config *v = arg;
	size_t i;

	for (i = 0; i < v->n_settings; i++)
		if (!strcmp(v->settings[i].name, name))
			return v->settings[i].value;
	return NULL;
}

/* NULL, or what is wrong. */
static const char *read_settings(const char *file, const char *vault,
				 struct openbao_conf *conf)
{
	struct config config;
	const char *wrong = "it is not in the configuration";
	size_t i;

	if (config_load(file, &config))
		return "there is no configuration to go by";
	for (i = 0; i < config.n_vaults; i++) {
		const char *uri = config.vaults[i].uri;

		if (strcmp(config.vaults[i].name, vault))
			continue;
		wrong = strncmp(uri, OPENBAO_SCHEME ":",
				strlen(OPENBAO_SCHEME ":")) ?
			"only an openbao vault has a policy" :
			openbao_conf_read(get_setting, &config.vaults[i], conf);
		break;
	}
	config_free(&config);
	return wrong;
}

static void permit(const char *capability, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	printf("\npath \"");
	vprintf(format, ap);
	printf("\" {\n  capabilities = [\"%s\"]\n", capability);
	va_end(ap);
}

static void print_policy(const char *vault, const struct openbao_conf *c)
{
	char version[16] = "latest";

	printf("# For vault %s of vaultring: %s shares of %s/%s, and nothing else.\n",
	       vault, *c->host_key ? "sealed" : "clear", c->mount, c->key);
	if (*c->namespace)
		printf("# It belongs into namespace %s.\n", c->namespace);
	permit("read", "%s/keys/%s", c->mount, c->key);
	printf("}\n");
	if (*c->host_key) {
		if (c->version)
			snprintf(version, sizeof(version), "%u", c->version);
		permit("read", "%s/keys/%s", c->mount, c->host_key);
		printf("}\n");
		permit("read", "%s/byok-export/%s/%s/%s", c->mount, c->host_key,
		       c->key, version);
		printf("}\n");
	} else {
		permit("update", "%s/decrypt/%s", c->mount, c->key);
		printf("  allowed_parameters = {\n    \"ciphertext\" = []\n  }\n}\n");
	}
	if (!c->approle) {
		permit("read", "auth/token/lookup-self");
		printf("}\n");
	}
	permit("update", "auth/token/renew-self");
	printf("}\n");
	/* The tokens that it got by logging in it gives back. */
	if (c->approle) {
		permit("update", "auth/token/revoke-self");
		printf("}\n");
	}
}

int vault_policy(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	const char *file = CONF_FILE, *key, *wrong;
	char vault[VAULTRING_MAX_VAULT + 1];
	struct openbao_conf conf;
	int opt;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		if (opt != 'c')
			return verb_option_exit(verb, opt);
		file = optarg;
	}
	if (optind + 1 != argc || vault_ref_split(argv[optind], vault, &key))
		return verb_usage(verb, "give one vault");
	wrong = read_settings(file, vault, &conf);
	if (!wrong && *key && !openbao_name_ok(key))
		wrong = "that is not the name of a key";
	if (wrong) {
		say_error("vault %s: %s; see %s", argv[optind], wrong, file);
		return FAILED;
	}
	if (*key)
		copy_text(conf.key, sizeof(conf.key), key);
	print_policy(vault, &conf);
	return DONE;
}
