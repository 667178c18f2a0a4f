// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring vault: which vaults there are, whether they answer, and which of
 * their public keys this machine trusts
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../share.h"
#include "cli.h"

static void age(char *buf, size_t size, const json_t *when)
{
	char since[32];
	json_t *seconds;

	if (!json_is_integer(when)) {
		snprintf(buf, size, "never");
		return;
	}
	seconds = json_integer(time(NULL) - json_integer_value(when));
	snprintf(buf, size, "%s ago", format_lease(since, sizeof(since), seconds));
	json_decref(seconds);
}

static const char *text(const json_t *object, const char *member)
{
	const char *value = json_string_value(json_object_get(object, member));

	return value ? value : "-";
}

/* What is wrong with one key that KEKs were made with, or to be done about it. */
static void print_key(const json_t *key)
{
	const char *name = text(key, "key"), *state = text(key, "state");

	if (!strcmp(state, "refused") || !strcmp(state, "doubted"))
		printf("%s: %s, key %.16s...: %s\n", name,
		       *state == 'r' ? "refused" : "refused once",
		       text(key, "fingerprint"), text(key, "message"));
	if (json_is_string(json_object_get(key, "newest")))
		printf("%s: has a new version, key %.16s...; KEKs have %.16s...; try: vaultring vault pin %s, then vaultring kek reseal --newer\n",
		       name, text(key, "newest"), text(key, "fingerprint"),
		       name);
}

/* Those it has, the last one it had, and those of its keys. */
static void print_troubles(const json_t *vault)
{
	const char *message = json_string_value(json_object_get(vault,
								"message"));
	const json_t *last = json_object_get(vault, "last_error");
	char when[48];
	json_t *key;
	size_t i;

	if (message && *message) {
		printf("%s: %s\n", text(vault, "name"), message);
	} else if (json_is_object(last)) {
		age(when, sizeof(when), json_object_get(last, "when"));
		printf("%s: last error %s: %s\n", text(vault, "name"), when,
		       text(last, "message"));
	}
	json_array_foreach(json_object_get(vault, "keys"), i, key)
		print_key(key);
}

void print_vaults(const json_t *vaults)
{
	struct table table = { 0 };
	json_t *vault;
	size_t i;

	if (!json_array_size(vaults)) {
		printf("no vaults; they are configured in " CONF_FILE "\n");
		return;
	}
	table_row(&table, "VAULT", "FAMILY", "STATE", "CONTACT", "LATENCY",
		  "URI", NULL);
	json_array_foreach(vaults, i, vault) {
		const json_t *ms = json_object_get(vault, "latency_ms");
		char contact[48], latency[32] = "-";

		age(contact, sizeof(contact),
		    json_object_get(vault, "last_contact"));
		if (json_is_number(ms))
			snprintf(latency, sizeof(latency), "%.0f ms",
				 json_number_value(ms));
		table_row(&table, text(vault, "name"), text(vault, "family"),
			  text(vault, "state"), contact, latency,
			  text(vault, "uri"), NULL);
	}
	table_print(&table);
	json_array_foreach(vaults, i, vault)
		print_troubles(vault);
}

static int vault_list(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	struct daemon_error error;
	bool json = false;
	json_t *vaults;
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
	vaults = daemon_vaults(&error);
	if (!vaults) {
		say_error("%s", error.message);
		return FAILED;
	}
	if (json)
		return print_json(json_pack("{s:o}", "vaults", vaults));
	print_vaults(vaults);
	json_decref(vaults);
	return DONE;
}

static const char *checked(uint32_t method)
{
	switch (method) {
	case VAULTRING_METHOD_SEALED:
		return "released its key for this kernel";
	case VAULTRING_METHOD_CLEAR:
		return "decrypted a throw-away secret correctly";
	default:
		return "answered a throw-away point correctly";
	}
}

/* What a sealed key is, the kernel tells root and not the daemon. */
int check_sealed(const char *vault, json_t *reply)
{
	struct public_key key = { .len = 0 };
	int err;

	if (method_of(reply) != VAULTRING_METHOD_SEALED)
		return 0;
	err = sealed_key(vault, &key);
	if (!err)
		json_object_set_new(reply, "fingerprint",
				    json_string(key.fingerprint));
	return err;
}

static int vault_check(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	bool json = false;
	json_t *reply;
	int opt;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		if (opt != 'j')
			return verb_option_exit(verb, opt);
		json = true;
	}
	if (optind + 1 != argc)
		return verb_usage(verb, "give one vault");
	if (!need_root(verb))
		return FAILED;
	reply = daemon_call("vaultring.VaultCheck",
			    json_pack("{s:s}", "vault", argv[optind]));
	if (!reply || check_sealed(argv[optind], reply)) {
		json_decref(reply);
		return FAILED;
	}
	if (json)
		return print_json(reply);
	printf("vault %s: %s in %.0f ms\nfingerprint %s\n", argv[optind],
	       checked(method_of(reply)),
	       json_number_value(json_object_get(reply, "latency_ms")),
	       text(reply, "fingerprint"));
	json_decref(reply);
	return DONE;
}

int vault_public_key(const char *vault, struct public_key *key)
{
	struct share_key known;
	json_t *reply;
	int err;

	memset(key, 0, sizeof(*key));
	reply = daemon_call("vaultring.VaultPublicKey",
			    json_pack("{s:s}", "vault", vault));
	if (!reply)
		return -1;
	key->method = method_of(reply);
	err = share_take_key(reply, &known);
	key->symmetric = !err && known.symmetric;
	json_decref(reply);
	if (key->method == VAULTRING_METHOD_SEALED)
		return sealed_key(vault, key);
	if (!key->method || err ||
	    (key->symmetric && key->method != VAULTRING_METHOD_CLEAR)) {
		say_error("vault %s: the daemon's answer holds no public key",
			  vault);
		return -1;
	}
	key->len = known.len;
	memcpy(key->data, known.data, known.len);
	copy_text(key->fingerprint, sizeof(key->fingerprint),
		  known.fingerprint);
	return 0;
}

int vault_wrap(const char *vault, struct public_key *key)
{
	json_t *reply = daemon_call("vaultring.VaultWrap",
				    json_pack("{s:s, s:s}", "vault", vault,
					      "fingerprint", key->fingerprint));
	int err;

	if (!reply)
		return -1;
	err = share_take_wrapped(reply, &key->given);
	json_decref(reply);
	if (err)
		say_error("vault %s: the daemon's answer holds no share",
			  vault);
	return err;
}

int vault_trust(const char *vault, const char *expected)
{
	struct public_key key;
	struct pins pins;
	bool known;
	int err;

	if (pins_read(&pins, true))
		return FAILED;
	err = vault_public_key(vault, &key);
	if (err)
		goto out;
	printf("vault %s\nfingerprint %s\n", vault, key.fingerprint);
	if (key.symmetric)
		printf("identity    %s\n", (char *)key.data);
	if (expected && strcasecmp(expected, key.fingerprint)) {
		say_error("vault %s: this is not the expected fingerprint; "
			  "somebody else's key?  Nothing was changed", vault);
		err = -1;
		goto out;
	}
	known = pins_have_vault(&pins, key.fingerprint);
	if (!known)
		err = pins_add(&pins, "vault", vault, key.fingerprint);
	if (!err)
		err = pins_load(&pins);
	if (!err)
		printf("%s\n", known ? "trusted already" :
		       "trusted from now on (" PINS_FILE ")");
out:
	pins_free(&pins);
	return err ? FAILED : DONE;
}

static int load_pins(void)
{
	struct pins pins;
	int err;

	if (pins_read(&pins, true))
		return FAILED;
	err = pins_load(&pins);
	if (!err)
		printf("loaded %zu vault and %zu KEK pins\n", pins.vaults,
		       pins.keks);
	pins_free(&pins);
	return err ? FAILED : DONE;
}

static int vault_pin(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "fingerprint", required_argument, NULL, 'f' },
		{ "load", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	uint8_t bytes[FINGERPRINT_SIZE];
	const char *expected = NULL;
	bool load = false;
	int opt;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		if (opt == 'f')
			expected = optarg;
		else if (opt == 'l')
			load = true;
		else
			return verb_option_exit(verb, opt);
	}
	if (load ? optind != argc || expected : optind + 1 != argc)
		return verb_usage(verb, "give one vault, or --load alone");
	if (expected && hex_decode(expected, bytes, sizeof(bytes)))
		return verb_usage(verb, "a fingerprint is 64 hexadecimal digits");
	if (!load && !vault_ref_ok(argv[optind]))
		return verb_usage(verb, "%s: not a vault's name", argv[optind]);
	if (!need_root(verb))
		return FAILED;
	return load ? load_pins() : vault_trust(argv[optind], expected);
}

const struct verb verb_vault[] = {
	{ "list", vault_list, "[--json]", "configured vaults and their state",
	  "      --json  for programs\n", NULL, NULL },
	{ "check", vault_check, "VAULT[:KEY] [--json]",
	  "one full exchange with a throw-away value",
	  "      --json  for programs\n", NULL, NULL },
	{ "init", vault_init, "VAULT", "make the key of a vault, if it is a TPM",
	  "\nThe key is made in the TPM, under the handle or for the file that the\n"
	  "vault's uri in " CONF_FILE "\n"
	  "names, and bound to its pcrs and to the PIN in its pin-source, if any.\n"
	  "A key that exists is kept: this refuses to make another one.  A new key\n"
	  "opens nothing that the old one guarded.\n", NULL, NULL },
	{ "pin", vault_pin, "VAULT[:KEY]|--load [OPTION...]",
	  "trust a vault's public key",
	  "      --fingerprint HEX  refuse any other key; the SHA-256 of its\n"
	  "                         DER SubjectPublicKeyInfo or, of a symmetric\n"
	  "                         key, of its identity\n"
	  "      --load             send " PINS_FILE " to the kernel as it is\n",
	  NULL, NULL },
	{ "policy", vault_policy, "VAULT[:KEY] [--config FILE]",
	  "what an OpenBao server must permit",
	  "      --config FILE  in place of " CONF_FILE "\n"
	  "\nPrints an ACL policy that permits what the vault's settings need and\n"
	  "nothing else, for: bao policy write NAME -\n", NULL, NULL },
	{ 0 }
};
