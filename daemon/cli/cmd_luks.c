// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring luks: LUKS2 volumes whose volume key is a blob
 *
 * To LUKS2 the blob is the volume key, and paes-xts-plain64 a cipher that takes
 * wrapped keys.  The header has no keyslot: a token of type "vaultring" carries
 * the blob, which is safe where everybody can read it.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "luks.h"

#define CIPHER_MODE	"xts-plain64"
#define MAX_MAPPING	127	/* DM_NAME_LEN with its NUL is 128 */
#define MAX_LABEL	47	/* libcryptsetup checks after all is wiped */

/* From here on the old content is gone. */
static int write_header(const char *device, struct crypt_params_luks2 *params,
			const char *kek, const struct volume *volume)
{
	struct crypt_device *cd = luks_device(device, luks_say);
	char *token = luks_make_token(kek, volume);
	int err = -ENOMEM;

	if (cd && token)
		err = crypt_format(cd, CRYPT_LUKS2, LUKS_CIPHER, CIPHER_MODE, NULL,
				   (const char *)volume->blob,
				   VAULTRING_BLOB_SIZE, params);
	if (cd && token && !err) {
		err = crypt_token_json_set(cd, CRYPT_ANY_TOKEN, token);
		err = err < 0 ? err : 0;
	}
	free(token);
	crypt_free(cd);
	if (err)
		say_error("%s: formatting stopped half-way (%s): what was there "
			  "is gone, and no usable volume is; run it again",
			  device, strerror(-err));
	return err;
}

struct format_options {
	const char *device, *kek;
	struct crypt_params_luks2 params;
	bool yes;
};

/* All that can fail without harm comes first; the question comes last. */
static int format(struct format_options *o)
{
	struct volume volume;

	if (device_check_free(o->device, o->params.sector_size) ||
	    dek_new(o->kek, "xts", 512, volume.blob) ||
	    dek_parse(o->device, volume.blob, sizeof(volume.blob),
		      &volume.info) ||
	    device_confirm_wipe(o->device, o->yes) ||
	    device_check_free(o->device, o->params.sector_size) ||
	    device_wipe_signatures(o->device) ||
	    write_header(o->device, &o->params, o->kek, &volume))
		return FAILED;
	printf("%s: LUKS2, AES-256-XTS, under kek %s\n"
	       "next: vaultring luks open %s NAME\n", o->device, o->kek,
	       o->device);
	return DONE;
}

static int luks_format(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "kek", required_argument, NULL, 'k' },
		{ "label", required_argument, NULL, 'l' },
		{ "sector-size", required_argument, NULL, 's' },
		{ "yes", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	struct format_options o = { 0 };
	const char *sector = NULL;
	char *end;
	int opt;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		switch (opt) {
		case 'k': o.kek = optarg; break;
		case 'l': o.params.label = optarg; break;
		case 's': sector = optarg; break;
		case 'q': o.yes = true; break;
		default: return verb_option_exit(verb, opt);
		}
	}
	if (optind + 1 != argc || !o.kek)
		return verb_usage(verb, "give one device, and --kek");
	if (!name_ok(o.kek))
		return verb_usage(verb, "a KEK's name has 1 to 63 of "
				  "A-Z a-z 0-9 . _ -");
	if (o.params.label && strlen(o.params.label) > MAX_LABEL)
		return verb_usage(verb, "--label takes up to %d bytes", MAX_LABEL);
	if (sector) {
		o.params.sector_size = (uint32_t)strtoul(sector, &end, 10);
		if (*end || (o.params.sector_size != 512 &&
			     o.params.sector_size != 1024 &&
			     o.params.sector_size != 2048 &&
			     o.params.sector_size != 4096))
			return verb_usage(verb, "--sector-size takes 512, 1024, "
					  "2048 or 4096");
	}
	o.device = argv[optind];
	return need_root(verb) ? format(&o) : FAILED;
}

static int read_token(struct crypt_device *cd, const char *device,
		      struct volume *volume)
{
	int found = luks_find_token(cd, device, volume);

	if (!found)
		say_error("%s: a LUKS2 volume without a vaultring token; with "
			  "its blob in a file, try: cryptsetup open --key-size "
			  "1088 --volume-key-file FILE %s NAME", device, device);
	return found > 0 ? 0 : -1;
}

static int activate(struct crypt_device *cd, const char *device,
		    const char *name, const struct volume *volume, uint32_t flags)
{
	int err = crypt_activate_by_volume_key(cd, name,
					       (const char *)volume->blob,
					       VAULTRING_BLOB_SIZE, flags);

	switch (err) {
	case 0:
		break;
	case -EPERM:
		say_error("%s: its header was tampered with: the token's blob is "
			  "not this volume's key; restore the header from a "
			  "backup", device);
		break;
	case -EEXIST:
		say_error("%s: there is already a mapping /dev/mapper/%s", device,
			  name);
		break;
	case -EBUSY:
		say_error("%s: in use; see: lsblk %s", device, device);
		break;
	default:
		say_error("%s: cannot be mapped as %s: %s; the kernel's reason "
			  "is in: dmesg", device, name, strerror(-err));
	}
	return err;
}

static int open_volume(const char *device, const char *name, uint32_t flags)
{
	struct crypt_device *cd = NULL;
	struct volume volume;
	const char *cipher;
	int err = -1;

	crypt_set_log_callback(NULL, luks_quiet, NULL);
	if (crypt_status(NULL, name) >= CRYPT_ACTIVE) {
		say_error("there is already a mapping /dev/mapper/%s", name);
		return FAILED;
	}
	cd = luks_device(device, luks_quiet);
	if (!cd)
		return FAILED;
	if (crypt_load(cd, CRYPT_LUKS2, NULL)) {
		say_error("%s: not a LUKS2 volume; "
			  "make one: vaultring luks format", device);
		goto out;
	}
	cipher = crypt_get_cipher(cd);
	if (!cipher || strcmp(cipher, LUKS_CIPHER)) {
		say_error("%s: encrypted with %s, not under a vault's key; "
			  "try: cryptsetup open", device, cipher ?: "nothing known");
		goto out;
	}
	/* dm-crypt would only say EINVAL, so ask the kernel about the blob. */
	if (read_token(cd, device, &volume) ||
	    dek_load(device, volume.blob, &volume.info, NULL))
		goto out;
	err = activate(cd, device, name, &volume, flags);
	if (!err)
		printf("/dev/mapper/%s\n", name);
out:
	crypt_free(cd);
	return err ? FAILED : DONE;
}

static int luks_open(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "readonly", no_argument, NULL, 'r' },
		{ "allow-discards", no_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	uint32_t flags = 0;
	int opt;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		if (opt == 'r')
			flags |= CRYPT_ACTIVATE_READONLY;
		else if (opt == 'd')
			flags |= CRYPT_ACTIVATE_ALLOW_DISCARDS;
		else
			return verb_option_exit(verb, opt);
	}
	if (optind + 2 != argc)
		return verb_usage(verb, "give a device and a name for it");
	if (!*argv[optind + 1] || strlen(argv[optind + 1]) > MAX_MAPPING ||
	    strchr(argv[optind + 1], '/'))
		return verb_usage(verb, "a mapping's name has 1 to %d bytes and "
				  "no slash", MAX_MAPPING);
	if (!need_root(verb))
		return FAILED;
	return open_volume(argv[optind], argv[optind + 1], flags);
}

static int luks_close(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	int opt = verb_getopt(verb, argc, argv, options), err;
	const char *name;

	if (opt)
		return verb_option_exit(verb, opt);
	if (optind + 1 != argc)
		return verb_usage(verb, "give the name of one mapping");
	if (!need_root(verb))
		return FAILED;
	name = argv[optind];
	crypt_set_log_callback(NULL, luks_quiet, NULL);
	if (crypt_status(NULL, name) < CRYPT_ACTIVE) {
		say_error("there is no mapping /dev/mapper/%s", name);
		return FAILED;
	}
	err = crypt_deactivate(NULL, name);
	if (err == -EBUSY)
		say_error("%s: still in use; unmount it first, see: "
			  "lsblk /dev/mapper/%s", name, name);
	else if (err)
		say_error("%s: %s", name, strerror(-err));
	return err ? FAILED : DONE;
}

const struct verb verb_luks[] = {
	{ "format", luks_format, "DEV --kek NAME [OPTION...]",
	  "make a LUKS2 volume; destroys what is on it",
	  "      --kek NAME         the KEK that wraps its key\n"
	  "      --label TEXT       LUKS2 label\n"
	  "      --sector-size N    512, 1024, 2048 or 4096\n"
	  "  -q, --yes              do not ask\n", NULL, NULL },
	{ "open", luks_open, "DEV NAME [OPTION...]",
	  "map it as /dev/mapper/NAME, asking the vaults if need be",
	  "      --readonly\n"
	  "      --allow-discards   TRIM reaches DEV\n", NULL, NULL },
	{ "close", luks_close, "NAME", "remove the mapping", NULL, NULL, NULL },
	{ "suspend", luks_suspend, "NAME [--force]",
	  "freeze it: I/O to it waits until it is resumed",
	  "      --force  even if the running system stands on it\n", NULL, NULL },
	{ "resume", luks_resume, "NAME [--blob FILE]",
	  "key a frozen volume anew, asking the vaults if need be",
	  "      --blob FILE  its wrapped key, if its header has no token\n",
	  NULL, NULL },
	{ "guard", luks_guard, "",
	  "freeze volumes before a lease kills them, resume them when renewed",
	  NULL, NULL, NULL },
	{ 0 }
};
