// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring vault init: have a vault make its key
 *
 * The vault's worker makes it, since it alone reaches the vault and its PIN.  If
 * something of the key is to be kept in a file we write that: neither daemon nor
 * worker may write to /etc, and where it goes is read from the settings here, not
 * taken from them.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../config.h"
#include "../tpm2_uri.h"
#include "cli.h"

#define FILE_MAX 2048

/* Where its key is to be kept, "" if that is no file of ours; -1: said why. */
static int read_settings(const char *vault, struct tpm2_uri *uri)
{
	struct config config;
	const char *wrong = "it is not in " CONF_FILE;
	size_t i;

	*uri = (struct tpm2_uri){ 0 };
	if (config_load(CONF_FILE, &config))
		return -1;
	for (i = 0; i < config.n_vaults; i++) {
		const char *text = config.vaults[i].uri;

		if (strcmp(config.vaults[i].name, vault))
			continue;
		wrong = strncmp(text, TPM2_SCHEME, strlen(TPM2_SCHEME)) ? NULL :
			tpm2_uri_parse(text, uri);
		break;
	}
	config_free(&config);
	if (wrong)
		say_error("vault %s: %s", vault, wrong);
	return wrong ? -1 : 0;
}

static int write_file(const char *vault, const char *path, const char *hex)
{
	uint8_t data[FILE_MAX];
	ssize_t len = hex_decode_any(hex, data, sizeof(data));
	char folder[sizeof(((struct tpm2_uri *)0)->file)], name[sizeof(folder)];
	int dir, err;

	if (len <= 0) {
		say_error("vault %s: the daemon's answer holds no key for %s",
			  vault, path);
		return -1;
	}
	copy_text(folder, sizeof(folder), path);
	copy_text(name, sizeof(name), path);
	dir = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Useless without the TPM: the daemon reads it as everybody may. */
	err = dir < 0 ? -errno :
	      file_write_atomic(dir, basename(name), data, (size_t)len, 0644,
				FILE_NEW);
	if (dir >= 0)
		close(dir);
	if (err)
		say_error("vault %s: cannot write %s: %s; the new key is lost, "
			  "and nothing else", vault, path, strerror(-err));
	return err;
}

static int make_key(const char *vault, const struct tpm2_uri *uri)
{
	json_t *reply = daemon_call("vaultring.VaultInit",
				    json_pack("{s:s}", "vault", vault));
	const char *file = json_string_value(json_object_get(reply, "file"));
	const char *fingerprint = json_string_value(
		json_object_get(reply, "fingerprint"));
	int err = -1;

	if (!reply)
		return -1;
	if (!fingerprint || !file != !*uri->file)
		say_error("vault %s: the daemon's answer is not about the uri in "
			  CONF_FILE "; if that has changed: systemctl restart "
			  "vaultringd", vault);
	else
		err = file ? write_file(vault, uri->file, file) : 0;
	if (!err)
		printf("vault %s: the key is made\nfingerprint %s\n"
		       "next: vaultring vault pin %s\n", vault, fingerprint,
		       vault);
	json_decref(reply);
	return err;
}

int vault_init(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	struct tpm2_uri uri;
	int opt = verb_getopt(verb, argc, argv, options);

	if (opt)
		return verb_option_exit(verb, opt);
	if (optind + 1 != argc || !name_ok(argv[optind]))
		return verb_usage(verb, "give one vault");
	if (!need_root(verb) || read_settings(argv[optind], &uri))
		return FAILED;
	/* The worker may see less of the files than we do. */
	if (*uri.file && !access(uri.file, F_OK)) {
		say_error("vault %s: %s exists already; what it guards would be "
			  "lost with it", argv[optind], uri.file);
		return FAILED;
	}
	return make_key(argv[optind], &uri) ? FAILED : DONE;
}
