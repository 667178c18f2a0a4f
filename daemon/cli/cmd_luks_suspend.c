// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring luks: freeze a volume and bring it back
 *
 * A frozen volume loses nothing when its KEK goes: its file system has been
 * brought to rest, what was in flight has ended, and what comes later waits.
 * To freeze it wipes no key, the module does when the KEK is revoked.  A dead
 * transform does not come back with its KEK, so to resume is to set the key anew,
 * even where dm-crypt thinks that it has one.
 */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "luks.h"

static int one_mapping(const struct verb *verb, int argc)
{
	return optind + 1 == argc ? 0 :
	       verb_usage(verb, "give the name of one mapping");
}

static int suspend(const char *name, bool force)
{
	struct crypt_device *cd;
	char why[512] = "";
	const char *top;
	int err = -1;

	cd = luks_mapping(name, why, sizeof(why));
	if (!cd) {
		say_error("%s", why);
		return FAILED;
	}
	top = force ? NULL : stack_on_top(name);
	if (luks_is_frozen(cd, name)) {
		say_error("%s: frozen already; next: vaultring luks resume %s",
			  name, name);
	} else if (top) {
		say_error("%s: %s is on it: the system would stand still and "
			  "could not resume it; --force does it all the same",
			  name, top);
	} else {
		/* From here on no page of this may have to be read from it. */
		mlockall(MCL_CURRENT | MCL_FUTURE);
		err = crypt_suspend(cd, name);
		if (err)
			say_error("%s: cannot be frozen: %s", name,
				  strerror(-err));
		else
			printf("%s: frozen; I/O to it waits\n"
			       "next: vaultring luks resume %s\n", name, name);
	}
	crypt_free(cd);
	return err ? FAILED : DONE;
}

int luks_suspend(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "force", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	bool force = false;
	int opt;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		if (opt != 'f')
			return verb_option_exit(verb, opt);
		force = true;
	}
	if (one_mapping(verb, argc))
		return USAGE;
	return need_root(verb) ? suspend(argv[optind], force) : FAILED;
}

int luks_thaw(struct crypt_device *cd, const char *name,
	      const struct volume *volume)
{
	int err;

	/* dm-crypt would only say EINVAL, so ask the kernel about the blob. */
	if (dek_load(name, volume->blob, &volume->info, NULL))
		return -1;
	err = crypt_resume_by_volume_key(cd, name, (const char *)volume->blob,
					 VAULTRING_BLOB_SIZE);
	if (err == -EPERM)
		say_error("%s: this blob is not its key; was its header "
			  "tampered with?", name);
	else if (err)
		say_error("%s: cannot be resumed: %s; the kernel's reason is in: "
			  "dmesg", name, strerror(-err));
	return err;
}

/* From a file, if one is given, or from the header's token. */
static int get_blob(struct crypt_device *cd, const char *name, const char *file,
		    struct volume *volume)
{
	int found;

	if (file)
		return dek_read_file(file, volume->blob, &volume->info);
	found = luks_find_token(cd, name, volume);
	if (!found)
		say_error("%s: its header has no vaultring token; give its "
			  "wrapped key: --blob FILE", name);
	return found > 0 ? 0 : -1;
}

static int resume(const char *name, const char *file)
{
	struct crypt_device *cd;
	struct volume volume;
	char why[512] = "";
	int err = -1;

	cd = luks_mapping(name, why, sizeof(why));
	if (!cd) {
		say_error("%s", why);
		return FAILED;
	}
	if (!luks_is_frozen(cd, name)) {
		say_error("%s: not frozen; if its KEK was revoked it is dead: "
			  "unmount it, vaultring luks close %s, and open it "
			  "again", name, name);
	} else {
		err = get_blob(cd, name, file, &volume) ?:
		      luks_thaw(cd, name, &volume);
		if (err)
			say_error("%s: stays frozen, nothing is lost; once that "
				  "is mended: vaultring luks resume %s", name,
				  name);
		else
			printf("%s: resumed\n", name);
	}
	crypt_free(cd);
	return err ? FAILED : DONE;
}

int luks_resume(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "blob", required_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	const char *file = NULL;
	int opt;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		if (opt != 'b')
			return verb_option_exit(verb, opt);
		file = optarg;
	}
	if (one_mapping(verb, argc))
		return USAGE;
	return need_root(verb) ? resume(argv[optind], file) : FAILED;
}
