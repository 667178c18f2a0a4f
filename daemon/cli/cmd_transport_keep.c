// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring transport keep, load: the same transport key after each boot
 *
 * The kernel seals it under a KEK and takes it back; the file is root's.  Were it
 * the daemon's, a hostile one could have a key of its own loaded.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

/* --- keep --- */

static bool has_word(const json_t *list, const char *word)
{
	const char *text;
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		text = json_string_value(item);
		if (text && !strcmp(text, word))
			return true;
	}
	return false;
}

static json_int_t count_oblivious(const json_t *shares)
{
	json_int_t n = 0;
	json_t *share;
	const char *method;
	size_t i;

	json_array_foreach(shares, i, share) {
		method = json_string_value(json_object_get(share, "method"));
		n += method && !strcmp(method, "oblivious");
	}
	return n;
}

/* A sealed share of its own would wait for the transport key. */
static int check_kek(const char *name, const json_t *kek)
{
	json_int_t needed = json_integer_value(json_object_get(kek, "threshold"));
	json_int_t have = count_oblivious(json_object_get(kek, "shares"));

	if (json_object_get(kek, "damage")) {
		say_error("kek %s: its envelope is damaged; restore it from a backup",
			  name);
	} else if (!has_word(json_object_get(kek, "uses"), "transport")) {
		say_error("kek %s: has not the use transport; make one that has: "
			  "vaultring kek create NAME --vault VAULT --use "
			  "transport", name);
	} else if (have < needed) {
		say_error("kek %s: an unseal needs %lld vaults and %lld of its are "
			  "oblivious: it could wait for the transport key itself; "
			  "take a KEK that oblivious vaults alone can unseal",
			  name, (long long)needed, (long long)have);
	} else {
		return 0;
	}
	return -EINVAL;
}

/* What is there already may be the key that vaults know. */
static int check_former(const uint8_t *spki, size_t len, bool force,
			enum file_write_how *how)
{
	struct vaultring_transport former;
	int err = kept_read(&former);

	*how = err == -ENOENT ? FILE_NEW : FILE_REPLACE;
	if (force || err == -ENOENT || (!err && kept_is(&former, spki, len)))
		return 0;
	if (err)
		say_error(KEPT_FILE ": is there, and no kept transport key; "
			  "restore it from a backup, or give it up with --force");
	else
		say_error(KEPT_FILE ": keeps another transport key, which vaults "
			  "may know; try: vaultring transport load; or give it "
			  "up with --force");
	return -EEXIST;
}

static int store(const struct vaultring_transport *kept,
		 enum file_write_how how)
{
	int dir = open(KEPT_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* No secret: the daemon reads its public half as everybody may. */
	int err = dir < 0 ? -errno :
		  file_write_atomic(dir, KEPT_NAME, kept, sizeof(*kept), 0644,
				    how);

	if (dir >= 0)
		close(dir);
	if (err)
		say_error(KEPT_FILE ": %s", strerror(-err));
	return err;
}

static int keep(const char *name, const json_t *kek, bool force)
{
	const char *id = json_string_value(json_object_get(kek, "id"));
	uint8_t spki[VAULTRING_MAX_PUBLIC_KEY];
	struct vaultring_transport kept;
	enum file_write_how how;
	size_t len;

	if (check_kek(name, kek) || transport_key(spki, &len) ||
	    check_former(spki, len, force, &how) || kek_ensure(name))
		return FAILED;
	if (kernel_transport_save(id ? id : "", &kept)) {
		say_error("kek %s: the kernel does not seal the transport key "
			  "under it: %s", name, kernel_error());
		return FAILED;
	}
	if (store(&kept, how))
		return FAILED;
	printf("transport key: kept in " KEPT_FILE ", under kek %s\n", name);
	say_note("an answer that a vault gives for it serves once per boot, not "
		 "once: see vaultring(1)");
	return DONE;
}

int transport_keep(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "kek", required_argument, NULL, 'k' },
		{ "force", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	const char *name = NULL;
	bool force = false;
	json_t *kek;
	int opt, status;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		if (opt == 'k')
			name = optarg;
		else if (opt == 'f')
			force = true;
		else
			return verb_option_exit(verb, opt);
	}
	if (optind != argc || !name)
		return verb_usage(verb, "give one KEK with --kek");
	if (!need_root(verb))
		return FAILED;
	kek = kek_describe(name);
	if (!kek)
		return FAILED;
	status = keep(name, kek, force);
	json_decref(kek);
	return status;
}

/* --- load --- */

static int read_kept(struct vaultring_transport *kept)
{
	int err = kept_read(kept);
	struct stat st;

	if (err == -ENOENT) {
		say_error(KEPT_FILE ": no transport key is kept; see: vaultring "
			  "transport keep --help");
	} else if (err) {
		say_error(KEPT_FILE ": %s; restore it from a backup, or have "
			  "another one kept", err == -EINVAL ?
			  "no kept transport key" : strerror(-err));
	} else if (stat(KEPT_FILE, &st) || st.st_uid || st.st_mode & 022) {
		say_error(KEPT_FILE ": others than root can change it, and have a "
			  "key of their own loaded; if it is still the right one: "
			  "chown root:root " KEPT_FILE " && chmod 0644 " KEPT_FILE);
		err = -EACCES;
	}
	return err;
}

/* Through the daemon; says why not. */
static int unseal_its_kek(const struct vaultring_transport *kept)
{
	struct daemon_error error;
	json_t *keks = daemon_keks(&error), *kek, *reply = NULL;
	char id[ID_HEX];

	hex_encode(id, kept->kek_id, sizeof(kept->kek_id));
	kek = find_kek(keks, NULL, id);
	if (keks && !kek)
		snprintf(error.message, sizeof(error.message), "there is no envelope "
			 "of its KEK, id %s; restore it from a backup", id);
	else if (kek)
		reply = daemon_try("vaultring.KekUnseal",
				   json_pack("{s:O, s:O}", "name",
					     json_object_get(kek, "name"),
					     "version",
					     json_object_get(kek, "version")),
				   &error);
	if (!reply)
		say_error("transport key: not loaded: %s", error.message);
	json_decref(keks);
	json_decref(reply);
	return reply ? 0 : -1;
}

static int load(const struct vaultring_transport *kept)
{
	int err = kernel_transport_load(kept);

	if (err == -ENOKEY || err == -EKEYEXPIRED || err == -EKEYREVOKED) {
		if (unseal_its_kek(kept))
			return FAILED;
		err = kernel_transport_load(kept);
	}
	if (err) {
		say_error("transport key: not loaded: %s%s", kernel_error(),
			  err == -EKEYREJECTED ? "; restore " KEPT_FILE
			  " from a backup, or have another one kept" : "");
		return FAILED;
	}
	printf("transport key: loaded from " KEPT_FILE "\n");
	return DONE;
}

int transport_load(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	struct vaultring_transport kept;
	int opt = verb_getopt(verb, argc, argv, options);

	if (opt)
		return verb_option_exit(verb, opt);
	if (optind != argc)
		return verb_usage(verb, "takes no argument");
	return need_root(verb) && !read_kept(&kept) ? load(&kept) : FAILED;
}
