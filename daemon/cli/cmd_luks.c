// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring luks: LUKS2 volumes whose volume key is a blob
 *
 * To LUKS2 the blob is the volume key, and paes-xts-plain64 a cipher that takes
 * wrapped keys.  The header has no keyslot: a token of type "vaultring" carries
 * the blob, which is safe where everybody can read it.
 */

#include <errno.h>
#include <libcryptsetup.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "cli.h"

#define TOKEN_TYPE	"vaultring"
#define CIPHER		"paes"
#define CIPHER_MODE	"xts-plain64"
#define MAX_MAPPING	127	/* DM_NAME_LEN with its NUL is 128 */
#define MAX_LABEL	47	/* libcryptsetup checks after all is wiped */

struct volume {
	uint8_t blob[VAULTRING_BLOB_SIZE];
	struct dek_info info;
};

/* libcryptsetup's own words, in our form. */
static void on_log(int level, const char *message, void *device)
{
	int len = (int)strcspn(message, "\n");

	if (level == CRYPT_LOG_ERROR)
		say_error("%s: %.*s", (const char *)device, len, message);
}

/* Where our own words are clearer. */
static void no_log(int level, const char *message, void *device)
{
	(void)level;
	(void)message;
	(void)device;
}

typedef void log_fn(int level, const char *message, void *device);

static struct crypt_device *open_device(const char *device, log_fn *log)
{
	struct crypt_device *cd;
	int err;

	crypt_set_log_callback(NULL, no_log, NULL);
	err = crypt_init(&cd, device);
	if (err) {
		say_error("%s: %s", device, access(device, R_OK) ?
			  strerror(errno) : strerror(-err));
		return NULL;
	}
	crypt_set_log_callback(cd, log, (void *)device);
	return cd;
}

static char *make_token(const char *kek, const struct volume *volume)
{
	char base64[(VAULTRING_BLOB_SIZE + 2) / 3 * 4 + 1];
	json_t *token;
	char *text;

	EVP_EncodeBlock((uint8_t *)base64, volume->blob, VAULTRING_BLOB_SIZE);
	token = json_pack("{s:s, s:[], s:s, s:s, s:s}", "type", TOKEN_TYPE,
			  "keyslots", "kek", kek, "kek_id", volume->info.kek_id,
			  "blob", base64);
	text = token ? json_dumps(token, JSON_COMPACT) : NULL;
	json_decref(token);
	return text;
}

/* From here on the old content is gone. */
static int write_header(const char *device, struct crypt_params_luks2 *params,
			const char *kek, const struct volume *volume)
{
	struct crypt_device *cd = open_device(device, on_log);
	char *token = make_token(kek, volume);
	int err = -ENOMEM;

	if (cd && token)
		err = crypt_format(cd, CRYPT_LUKS2, CIPHER, CIPHER_MODE, NULL,
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

/* 1: this token is ours and well-formed; 0: not ours; -1: ours, but broken. */
static int parse_token(const char *device, const char *text,
		       struct volume *volume)
{
	uint8_t data[4 * (VAULTRING_BLOB_SIZE / 3 + 2)];
	json_t *token = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	const char *type, *blob, *id;
	size_t len;
	int ok = -1;

	type = json_string_value(json_object_get(token, "type"));
	if (!type || strcmp(type, TOKEN_TYPE)) {
		json_decref(token);
		return 0;
	}
	blob = json_string_value(json_object_get(token, "blob"));
	id = json_string_value(json_object_get(token, "kek_id"));
	len = blob ? strlen(blob) : 0;
	/* 136 bytes are 46 groups of four, of which the last holds one byte. */
	if (len == (VAULTRING_BLOB_SIZE + 2) / 3 * 4 &&
	    EVP_DecodeBlock(data, (const uint8_t *)blob, (int)len) > 0 &&
	    !dek_parse(device, data, VAULTRING_BLOB_SIZE, &volume->info) &&
	    id && !strcmp(id, volume->info.kek_id)) {
		memcpy(volume->blob, data, VAULTRING_BLOB_SIZE);
		ok = 1;
	} else {
		say_error("%s: the vaultring token in its header is damaged; "
			  "restore the header from a backup "
			  "(cryptsetup luksHeaderRestore)", device);
	}
	json_decref(token);
	return ok;
}

static int read_token(struct crypt_device *cd, const char *device,
		      struct volume *volume)
{
	int i, found = 0, max = crypt_token_max(CRYPT_LUKS2);
	const char *text;

	for (i = 0; i < max && !found; i++) {
		if (crypt_token_status(cd, i, NULL) <= CRYPT_TOKEN_INACTIVE ||
		    crypt_token_json_get(cd, i, &text) < 0)
			continue;
		found = parse_token(device, text, volume);
	}
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

	crypt_set_log_callback(NULL, no_log, NULL);
	if (crypt_status(NULL, name) >= CRYPT_ACTIVE) {
		say_error("there is already a mapping /dev/mapper/%s", name);
		return FAILED;
	}
	cd = open_device(device, no_log);
	if (!cd)
		return FAILED;
	if (crypt_load(cd, CRYPT_LUKS2, NULL)) {
		say_error("%s: not a LUKS2 volume; "
			  "make one: vaultring luks format", device);
		goto out;
	}
	cipher = crypt_get_cipher(cd);
	if (!cipher || strcmp(cipher, CIPHER)) {
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
	crypt_set_log_callback(NULL, no_log, NULL);
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
	{ 0 }
};
