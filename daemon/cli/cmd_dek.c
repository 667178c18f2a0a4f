// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring dek: wrapped data keys in files
 */

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

/* What a use needs: the sizes that its cipher takes, the first by default. */
static const struct {
	const char *use;
	int bits[4];
} sizes[] = {
	{ "xts", { 512, 256 } },
	{ "cbc", { 256, 192, 128 } },
	{ "ctr", { 256, 192, 128 } },
	{ "gcm", { 256, 192, 128 } },
	{ "fscrypt", { 512, 256 } },
	{ "hmac", { 256, 512 } },
};

/* 0: not a size of this use. */
static int check_bits(const char *use, int bits)
{
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (strcmp(sizes[i].use, use))
			continue;
		if (!bits)
			return sizes[i].bits[0];
		for (j = 0; j < ARRAY_SIZE(sizes[i].bits); j++)
			if (sizes[i].bits[j] == bits)
				return bits;
	}
	return 0;
}

static void say_exists(const char *path)
{
	say_error("%s: exists; --force replaces it, and what was encrypted with "
		  "its key is then lost", path);
}

/* --force is for files: /dev/stdout, or a disk, must not become one. */
static int check_target(const char *path, bool force)
{
	struct stat st;

	if (lstat(path, &st))
		return 0;
	if (!force) {
		say_exists(path);
		return -EEXIST;
	}
	if (S_ISREG(st.st_mode))
		return 0;
	say_error("%s: not a regular file; give another name", path);
	return -EINVAL;
}

static int write_blob(const char *path, const uint8_t *blob, bool force)
{
	char *folder = strdup(path), *file = strdup(path);
	int err = -ENOMEM, dir = -1;

	if (!folder || !file)
		goto out;
	dir = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = dir < 0 ? -errno :
	      file_write_atomic(dir, basename(file), blob, VAULTRING_BLOB_SIZE,
				0600, force ? FILE_REPLACE : FILE_NEW);
out:
	if (dir >= 0)
		close(dir);
	free(folder);
	free(file);
	if (err == -EEXIST)
		say_exists(path);
	else if (err)
		say_error("%s: %s", path, strerror(-err));
	return err;
}

struct new_options {
	const char *kek, *use, *file;
	int bits;
	bool force;
};

static const char *new_check(struct new_options *o, const char *bits)
{
	char *end = NULL;
	long n = bits ? strtol(bits, &end, 10) : 0;

	if (!o->kek || !o->use || !o->file)
		return "--kek, --use and -o are needed";
	if (!name_ok(o->kek))
		return "a KEK's name has 1 to 63 of A-Z a-z 0-9 . _ -";
	if (!use_number(o->use) ||
	    use_number(o->use) == VAULTRING_USE_TRANSPORT)
		return "--use takes one of xts, cbc, ctr, gcm, fscrypt, hmac";
	if (bits && (*end || n <= 0 || n > 8 * VAULTRING_DEK_MAX))
		return "--bits takes a number from 128 to 512";
	o->bits = check_bits(o->use, (int)n);
	return o->bits ? NULL : "--bits: xts, fscrypt and hmac take 256 or 512, "
				"the others 128, 192 or 256";
}

static int dek_new_file(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "kek", required_argument, NULL, 'k' },
		{ "use", required_argument, NULL, 'u' },
		{ "bits", required_argument, NULL, 'b' },
		{ "output", required_argument, NULL, 'o' },
		{ "force", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	uint8_t blob[VAULTRING_BLOB_SIZE];
	const char *bits = NULL, *why;
	struct new_options o = { 0 };
	int opt;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		switch (opt) {
		case 'k': o.kek = optarg; break;
		case 'u': o.use = optarg; break;
		case 'b': bits = optarg; break;
		case 'o': o.file = optarg; break;
		case 'f': o.force = true; break;
		default: return verb_option_exit(verb, opt);
		}
	}
	why = optind != argc ? "takes no argument" : new_check(&o, bits);
	if (why)
		return verb_usage(verb, "%s", why);
	/* Before a vault is asked; the write itself never replaces either. */
	if (check_target(o.file, o.force))
		return FAILED;
	if (dek_new(o.kek, o.use, o.bits, blob) ||
	    write_blob(o.file, blob, o.force))
		return FAILED;
	printf("%s: %d bits for %s under kek %s\n", o.file, o.bits, o.use, o.kek);
	return DONE;
}

/* The name of the KEK with that id, as far as anybody here knows it. */
static json_t *kek_name(const char *id)
{
	struct daemon_error error;
	json_t *keks, *name;
	int err;

	if (geteuid())
		return json_null();
	keks = kernel_keks(&err);
	if (!find_kek(keks, NULL, id)) {
		json_decref(keks);
		keks = daemon_keks(&error);
	}
	name = json_object_get(find_kek(keks, NULL, id), "name");
	json_incref(name);
	json_decref(keks);
	return name ? name : json_null();
}

static int dek_show(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	uint8_t blob[VAULTRING_BLOB_SIZE];
	struct dek_info info;
	bool json = false;
	json_t *name;
	int opt;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		if (opt != 'j')
			return verb_option_exit(verb, opt);
		json = true;
	}
	if (optind + 1 != argc)
		return verb_usage(verb, "give one file");
	if (dek_read_file(argv[optind], blob, &info))
		return FAILED;
	name = kek_name(info.kek_id);
	if (json)
		return print_json(json_pack("{s:s, s:s, s:i, s:o, s:s, s:s}",
			"file", argv[optind], "use", info.use, "bits", info.bits,
			"kek", name, "kek_id", info.kek_id,
			"dek_id", info.dek_id));
	printf("file    %s\nuse     %s\nbits    %d\nkek     %s\nkek id  %s\n"
	       "dek id  %s\n", argv[optind], info.use, info.bits,
	       json_is_string(name) ? json_string_value(name) : "-",
	       info.kek_id, info.dek_id);
	json_decref(name);
	return DONE;
}

const struct verb verb_dek[] = {
	{ "new", dek_new_file, "--kek NAME --use USE [--bits N] -o FILE",
	  "have the kernel make a data key, and store its blob",
	  "      --kek NAME   the KEK that wraps it\n"
	  "      --use USE    xts, cbc, ctr, gcm, fscrypt or hmac; good for\n"
	  "                   no other\n"
	  "      --bits N     size of the data key (512 for xts and fscrypt,\n"
	  "                   256 for the others)\n"
	  "  -o, --output FILE\n"
	  "      --force      replace FILE\n", NULL, NULL },
	{ "show", dek_show, "FILE [--json]", "what a blob is for",
	  "      --json  for programs\n", NULL, NULL },
	{ 0 }
};
