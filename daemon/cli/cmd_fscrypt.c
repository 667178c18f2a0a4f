// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring fscrypt: directories encrypted by the file system
 *
 * The kernel opens the blob into an fscrypt-provisioning key, which userspace
 * can name but not read; the file system takes it by its number.
 */

#include <errno.h>
#include <fcntl.h>
#include <keyutils.h>
#include <linux/fscrypt.h>
#include <mntent.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/random.h>
#include <unistd.h>

#include "cli.h"

static int open_mount(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		say_error("%s: %s", path, strerror(errno));
	return fd;
}

/* The device under a path, for advice only. */
static const char *device_of(const char *path, char *buf, size_t size)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct stat there, here;
	struct mntent *mount;

	snprintf(buf, size, "DEVICE");
	while (mounts && (mount = getmntent(mounts)))
		if (!stat(path, &there) && !stat(mount->mnt_dir, &here) &&
		    there.st_dev == here.st_dev && mount->mnt_fsname[0] == '/')
			snprintf(buf, size, "%s", mount->mnt_fsname);
	if (mounts)
		endmntent(mounts);
	return buf;
}

static int fs_error(const char *mount, const char *what, int err)
{
	char device[256];

	switch (err) {
	case EOPNOTSUPP:
		say_error("%s: this file system is not prepared for encryption; "
			  "unmount it and run: tune2fs -O encrypt %s", mount,
			  device_of(mount, device, sizeof(device)));
		break;
	case ENOTTY:
		say_error("%s: this kind of file system has no encryption; ext4, "
			  "f2fs and ubifs have", mount);
		break;
	case EACCES:
	case EPERM:
		say_error("%s: %s: only root may do this", mount, what);
		break;
	default:
		say_error("%s: %s: %s", mount, what, strerror(err));
	}
	return FAILED;
}

/*
 * A session keyring of our own, so that the provisioning key ends with this
 * program.  What the caller's session possesses stays within reach.
 */
static int own_session(void)
{
	key_serial_t old = keyctl_get_keyring_ID(KEY_SPEC_SESSION_KEYRING, 0);

	if (old > 0)
		keyctl_link(old, KEY_SPEC_PROCESS_KEYRING);
	if (keyctl_join_session_keyring(NULL) >= 0)
		return 0;
	say_error("no session keyring of our own: %s", strerror(errno));
	return -1;
}

static key_serial_t provision(const char *file)
{
	char options[64], hex[2 * 16 + 1], *name = options + strlen("provision=");
	uint8_t blob[VAULTRING_BLOB_SIZE], random[16];
	struct dek_info info;
	key_serial_t key;

	if (dek_read_file(file, blob, &info))
		return -1;
	if (strcmp(info.use, "fscrypt")) {
		say_error("%s: wrapped for %s, not for fscrypt", file, info.use);
		return -1;
	}
	if (getrandom(random, sizeof(random), 0) != sizeof(random) ||
	    own_session())
		return -1;
	hex_encode(hex, random, sizeof(random));
	snprintf(options, sizeof(options), "provision=vaultring:%s", hex);
	if (dek_load(file, blob, &info, options))
		return -1;
	key = (key_serial_t)keyctl_search(KEY_SPEC_SESSION_KEYRING,
					  "fscrypt-provisioning", name, 0);
	if (key < 0)
		say_error("%s: the kernel made no fscrypt key of it: %s", file,
			  strerror(errno));
	return key;
}

static int fscrypt_add(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	struct fscrypt_add_key_arg arg = {
		.key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER,
	};
	char id[2 * FSCRYPT_KEY_IDENTIFIER_SIZE + 1];
	int opt = verb_getopt(verb, argc, argv, options), fd, status;
	key_serial_t key;

	if (opt)
		return verb_option_exit(verb, opt);
	if (optind + 2 != argc)
		return verb_usage(verb, "give a mount point and a blob file");
	fd = open_mount(argv[optind]);
	if (fd < 0)
		return FAILED;
	key = provision(argv[optind + 1]);
	if (key < 0) {
		close(fd);
		return FAILED;
	}
	arg.key_id = (uint32_t)key;
	status = ioctl(fd, FS_IOC_ADD_ENCRYPTION_KEY, &arg) ?
		 fs_error(argv[optind], "add key", errno) : DONE;
	close(fd);
	if (status != DONE)
		return status;
	hex_encode(id, arg.key_spec.u.identifier, FSCRYPT_KEY_IDENTIFIER_SIZE);
	printf("%s\n", id);
	say_note("next, for a new empty directory: "
		 "xfs_io -c \"set_encpolicy -v 2 %s\" DIR", id);
	return DONE;
}

static int fscrypt_remove(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	struct fscrypt_remove_key_arg arg = {
		.key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER,
	};
	int opt = verb_getopt(verb, argc, argv, options), fd, err;
	const char *mount, *id;

	if (opt)
		return verb_option_exit(verb, opt);
	if (optind + 2 != argc)
		return verb_usage(verb, "give a mount point and a key's identifier");
	mount = argv[optind];
	id = argv[optind + 1];
	if (hex_decode(id, arg.key_spec.u.identifier,
		       FSCRYPT_KEY_IDENTIFIER_SIZE))
		return verb_usage(verb, "an identifier is 32 hexadecimal digits");
	fd = open_mount(mount);
	if (fd < 0)
		return FAILED;
	err = ioctl(fd, FS_IOC_REMOVE_ENCRYPTION_KEY, &arg) ? errno : 0;
	close(fd);
	if (err == ENOKEY) {
		say_error("%s: key %s is not there", mount, id);
		return FAILED;
	}
	if (err)
		return fs_error(mount, "remove key", err);
	if (arg.removal_status_flags & FSCRYPT_KEY_REMOVAL_STATUS_FLAG_OTHER_USERS) {
		say_error("%s: key %s: other users have added it too, so it stays",
			  mount, id);
		return FAILED;
	}
	if (arg.removal_status_flags & FSCRYPT_KEY_REMOVAL_STATUS_FLAG_FILES_BUSY) {
		say_error("%s: key %s: removed, but some of its files are still "
			  "open and readable; close them and run this again",
			  mount, id);
		return FAILED;
	}
	return DONE;
}

const struct verb verb_fscrypt[] = {
	{ "add", fscrypt_add, "MNT FILE",
	  "unlock what MNT has encrypted under the blob in FILE; prints its ID",
	  NULL, NULL, NULL },
	{ "remove", fscrypt_remove, "MNT ID", "lock it again", NULL, NULL, NULL },
	{ 0 }
};
