// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring doctor: what a newcomer gets wrong, and what to do about it
 *
 * Each check adds one line: ok, note (worth knowing), or wrong.  Exit status 1
 * if anything is wrong.
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../config.h"
#include "../tpm2_uri.h"
#include "cli.h"

static void add(json_t *report, const char *state, const char *check,
		const char *next, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

static void add(json_t *report, const char *state, const char *check,
		const char *next, const char *fmt, ...)
{
	char message[1200];
	va_list args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	json_array_append_new(report, json_pack("{s:s, s:s, s:s, s:s?}",
		"check", check, "state", state, "message", message,
		"next", next));
}

#define ok(check, ...)		add(report, "ok", check, NULL, __VA_ARGS__)
#define note(check, next, ...)	add(report, "note", check, next, __VA_ARGS__)
#define wrong(check, next, ...)	add(report, "wrong", check, next, __VA_ARGS__)

/* The first line of a small file, or "" without one. */
static const char *first_line(const char *path, char *buf, size_t size)
{
	FILE *file = fopen(path, "re");

	if (!file || !fgets(buf, (int)size, file))
		*buf = 0;
	buf[strcspn(buf, "\n")] = 0;
	if (file)
		fclose(file);
	return buf;
}

static void check_kernel(json_t *report)
{
	struct utsname name;
	int major = 0, minor = 0;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	if (major < 6 || (major == 6 && minor < 1))
		wrong("kernel", "use Linux 6.1 or later",
		      "%s is too old", name.release);
	else
		ok("kernel", "%s", name.release);
}

static bool locked_down(void)
{
	char line[128];

	first_line("/sys/kernel/security/lockdown", line, sizeof(line));
	return *line && !strstr(line, "[none]");
}

/* Installed for the running kernel, going by depmod's list. */
static bool module_installed(void)
{
	char path[512], line[4096];
	struct utsname name;
	bool found = false;
	FILE *file;

	uname(&name);
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", name.release);
	file = fopen(path, "re");
	while (file && !found && fgets(line, sizeof(line), file)) {
		line[strcspn(line, ":")] = 0;
		found = strstr(line, "/vaultring.ko");
	}
	if (file)
		fclose(file);
	return found;
}

static void check_module(json_t *report)
{
	struct kernel_status status;
	int err = kernel_status(&status);

	if (!err) {
		ok("module", "vaultring %s is loaded", status.version);
		if (status.attached)
			ok("attached", "the daemon listens to the module");
		else
			wrong("attached", "systemctl restart vaultringd",
			      "no daemon listens to the module: KEKs that are "
			      "not active cannot be had");
	} else if (!access("/sys/module/vaultring", F_OK)) {
		wrong("module", "run this as root",
		      "loaded, but does not answer: %s", kernel_error());
	} else if (!module_installed()) {
		wrong("module", "make install KVER=$(uname -r) && depmod, or: "
		      "dkms autoinstall",
		      "not installed for the running kernel");
	} else if (locked_down()) {
		wrong("module", "sign it with a key that the machine trusts "
		      "(mokutil --import), or let DKMS do so",
		      "not loaded; this kernel is locked down and refuses "
		      "unsigned modules");
	} else {
		wrong("module", "modprobe vaultring; if that fails: dmesg",
		      "installed but not loaded");
	}
}

static void check_lockdown(json_t *report)
{
	char line[128];

	first_line("/sys/kernel/security/lockdown", line, sizeof(line));
	if (strstr(line, "[confidentiality]"))
		ok("lockdown", "confidentiality: root cannot read the kernel's "
		   "memory");
	else
		note("lockdown", "boot with lockdown=confidentiality to close that",
		     "%s: root can read the kernel's memory and the keys in it",
		     strstr(line, "[integrity]") ? "integrity" : "none");
}

/* Crypt devices have a uuid that begins with CRYPT-. */
static bool swap_encrypted(const char *device)
{
	char path[512], uuid[128], real[4096];
	const char *name;

	if (!strncmp(device, "/dev/zram", 9))
		return true;
	if (!realpath(device, real))
		return false;
	name = strrchr(real, '/') + 1;
	snprintf(path, sizeof(path), "/sys/block/%.64s/dm/uuid", name);
	return !strncmp(first_line(path, uuid, sizeof(uuid)), "CRYPT-", 6);
}

/*
 * Kernel memory is never swapped and the cache of an encrypted file goes back
 * to its file; but what a program has read, or put into a tmpfs, can be swapped.
 */
static void check_swap(json_t *report)
{
	FILE *file = fopen("/proc/swaps", "re");
	char line[4200], device[4096];
	bool plain = false, any = false;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%4095s", device) != 1 || device[0] != '/')
			continue;
		any = true;
		if (!swap_encrypted(device)) {
			note("swap", "encrypt the swap (crypttab(5), option swap)",
			     "%s: no vaultring key ever gets there, but what "
			     "programs read from your files can", device);
			plain = true;
		}
	}
	if (file)
		fclose(file);
	if (!plain)
		ok("swap", any ? "encrypted, or in memory" : "none");
}

/* These write kernel memory, with the keys in it, to a disk. */
static void check_memory_images(json_t *report)
{
	char line[256];

	if (strstr(first_line("/sys/power/state", line, sizeof(line)), "disk") &&
	    !strstr(first_line("/sys/power/disk", line, sizeof(line)),
		    "[disabled]") && *line)
		note("hibernation", "boot with nohibernate, or never hibernate",
		     "possible: its image would hold every active key");
	else
		ok("hibernation", "not possible");
	if (*first_line("/sys/kernel/kexec_crash_loaded", line, sizeof(line)) == '1')
		note("kdump", "systemctl disable --now kdump-tools",
		     "a crash dump would hold every active key");
	else
		ok("kdump", "not armed");
}

static void check_cores(json_t *report)
{
	char line[256];

	first_line("/proc/sys/kernel/core_pattern", line, sizeof(line));
	ok("core files", "daemon and workers make none; those of others go to "
	   "`%s` and hold no vaultring key", line);
}

/* Whoever can change these decides which vaults are trusted. */
static void check_root_only(json_t *report, const char *path, bool required)
{
	struct stat st;
	char next[600];

	if (stat(path, &st)) {
		if (required || errno != ENOENT)
			wrong("settings", "make install puts one there",
			      "%s: %s", path, strerror(errno));
		return;
	}
	snprintf(next, sizeof(next), "chown root:root %s && chmod go-w %s", path,
		 path);
	if (st.st_uid || st.st_mode & 022)
		wrong("settings", next, "%s: others than root can change it",
		      path);
	else
		ok("settings", "%s: only root can change it", path);
}

static void check_secret_file(json_t *report, const char *path)
{
	const struct passwd *user = getpwnam("vaultring");
	struct stat st;
	char next[1200];

	snprintf(next, sizeof(next), "chown vaultring: %.500s && chmod 0400 %.500s",
		 path, path);
	if (stat(path, &st))
		wrong("secret file", "write the PIN, token or other secret into it, "
		      "for the daemon's user alone", "%s: %s", path,
		      strerror(errno));
	else if (st.st_mode & 077)
		wrong("secret file", next,
		      "%s: others than its owner can read it", path);
	else if (user && st.st_uid != user->pw_uid)
		wrong("secret file", next, "%s: the daemon cannot read it", path);
	else
		ok("secret file", "%s: for the daemon alone", path);
}

/* Settings that name a file with a secret of the daemon's. */
static bool names_secret(const char *setting)
{
	static const char *const names[] = {
		"pin-source", "token-file", "secret-id-file",
		"client-secret-file", "client-certificate-file",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(setting, names[i]))
			return true;
	return false;
}

static void check_settings(json_t *report)
{
	FILE *file = fopen(CONF_FILE, "re");
	char line[4096], setting[64], path[4096];

	check_root_only(report, VAULTRING_CONF_DIR, true);
	check_root_only(report, CONF_FILE, true);
	check_root_only(report, PINS_FILE, false);
	check_root_only(report, KEPT_FILE, false);
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, " %63[a-z-] = %4095s", setting, path) == 2 &&
		    names_secret(setting))
			check_secret_file(report, path);
	if (file)
		fclose(file);
}

static void check_trust(json_t *report, const struct pins *pins,
			const char *name)
{
	struct daemon_error error;
	json_t *reply = daemon_try("vaultring.VaultCheck",
				   json_pack("{s:s}", "vault", name), &error);
	const char *fingerprint;
	char next[128];

	if (reply && check_sealed(name, reply)) {
		json_decref(reply);
		reply = NULL;
		snprintf(error.message, sizeof(error.message), "%s: its key "
			 "cannot be released for this kernel", name);
	}
	fingerprint = json_string_value(json_object_get(reply, "fingerprint"));
	snprintf(next, sizeof(next), "vaultring vault pin %.64s", name);
	if (!reply)
		wrong("vault", NULL, "%s", error.message);
	else if (!fingerprint || !pins_have_vault(pins, fingerprint))
		wrong("vault", next, "%s: answers, but its public key is not "
		      "trusted yet", name);
	else
		ok("vault", "%s: answers in %.0f ms, and is trusted", name,
		   json_number_value(json_object_get(reply, "latency_ms")));
	json_decref(reply);
}

/*
 * A vault that refused is not asked again: each try with a wrong PIN brings a
 * token closer to locking itself, and who looks for a fault tries often.
 */
static void check_vault(json_t *report, const struct pins *pins,
			const json_t *vault)
{
	const char *name = json_string_value(json_object_get(vault, "name"));
	const char *state = json_string_value(json_object_get(vault, "state"));
	const char *why = json_string_value(json_object_get(vault, "message"));
	char next[128];

	if (!name)
		return;
	if (!state || strcmp(state, "refused")) {
		check_trust(report, pins, name);
		return;
	}
	snprintf(next, sizeof(next), "set this right, then: vaultring vault "
		 "check %.64s", name);
	wrong("vault", next, "%s: refused when it was last asked: %s", name,
	      why ? why : "it did not say why");
}

static void check_envelopes(json_t *report)
{
	struct daemon_error error;
	json_t *keks = daemon_keks(&error), *kek;
	size_t i;

	json_array_foreach(keks, i, kek) {
		const char *damage = json_string_value(
			json_object_get(kek, "damage"));
		const char *path = json_string_value(
			json_object_get(kek, "envelope"));

		if (damage && path)
			wrong("envelope", "restore it from a backup",
			      "%s is damaged: %s", path, damage);
	}
	json_decref(keks);
}

static void check_daemon(json_t *report)
{
	struct daemon_error error;
	json_t *vaults = daemon_vaults(&error), *vault;
	struct pins pins;
	size_t i;

	if (!vaults) {
		wrong("daemon", error.err == ENOENT || error.err == ECONNREFUSED ?
		      "systemctl enable --now vaultringd; if that fails: "
		      "journalctl -u vaultringd" : "journalctl -u vaultringd",
		      "%s", error.message);
		return;
	}
	ok("daemon", "answers on " VAULTRING_SOCKET);
	if (!json_array_size(vaults))
		wrong("vault", "describe one in " CONF_FILE " and: "
		      "systemctl restart vaultringd", "none is configured");
	if (pins_read(&pins, false)) {
		wrong("pins", "correct " PINS_FILE, "unreadable");
	} else {
		json_array_foreach(vaults, i, vault)
			check_vault(report, &pins, vault);
		pins_free(&pins);
	}
	json_decref(vaults);
	check_envelopes(report);
}

/* Not to be waited for: then it is not the one that is kept. */
static void check_kept(json_t *report)
{
	struct vaultring_transport kept;
	struct public_key key = { .len = 0 };
	int err = kept_read(&kept);

	if (err == -ENOENT)
		return;
	if (err)
		wrong("transport key", "restore it from a backup, or have another "
		      "one kept", KEPT_FILE ": no kept transport key");
	else if (kernel_transport_get(&key) || !kept_is(&kept, key.data, key.len))
		wrong("transport key", "vaultring transport load", "the one that "
		      "is kept in " KEPT_FILE " is not loaded: no sealed vault "
		      "is asked");
	else
		ok("transport key", "kept in " KEPT_FILE ", and loaded");
}

/* Whether the service may use it shows when the vault is asked. */
static void check_device(json_t *report, const char *vault, const char *path)
{
	const struct group *group;
	struct stat st;

	if (stat(path, &st)) {
		wrong("tpm", "switch the TPM on in the firmware's settings; see: "
		      "ls /sys/class/tpmrm", "vault %s: %s: %s", vault, path,
		      strerror(errno));
		return;
	}
	group = getgrgid(st.st_gid);
	if (!st.st_gid || (st.st_mode & 060) != 060)
		wrong("tpm", "apt-get install tpm-udev && udevadm trigger "
		      "--subsystem-match=tpmrm", "vault %s: %s is for root alone, "
		      "there is no group to let vaultringd into", vault, path);
	else
		ok("tpm", "vault %s: %s is there, for the group %s", vault, path,
		   group ? group->gr_name : "of no name");
}

static void check_tpms(json_t *report)
{
	struct config config;
	struct tpm2_uri uri;
	size_t i;

	if (config_load(CONF_FILE, &config))
		return;
	for (i = 0; i < config.n_vaults; i++)
		if (!tpm2_uri_parse(config.vaults[i].uri, &uri) &&
		    !strncmp(uri.tcti, TPM2_DEVICE, strlen(TPM2_DEVICE)))
			check_device(report, config.vaults[i].name,
				     uri.tcti + strlen(TPM2_DEVICE));
	config_free(&config);
}

static void check_cryptsetup(json_t *report)
{
	FILE *pipe = popen("cryptsetup --version 2>/dev/null", "re");
	int major = 0, minor = 0;

	if (pipe && fscanf(pipe, "cryptsetup %d.%d", &major, &minor) != 2)
		major = 0;
	if (pipe)
		pclose(pipe);
	if (!major)
		note("cryptsetup", "apt-get install cryptsetup-bin",
		     "not installed; vaultring luks does without it");
	else if (major < 2 || (major == 2 && minor < 6))
		note("cryptsetup", "use 2.6 or later",
		     "%d.%d is older than any this was tried with", major, minor);
	else if (major == 2 && minor < 7)
		ok("cryptsetup", "%d.%d; opens blobs with --volume-key-file, and "
		   "from 2.7 on with --volume-key-keyring too", major, minor);
	else
		ok("cryptsetup", "%d.%d", major, minor);
}

static void print_report(json_t *report)
{
	json_t *line;
	size_t i;

	json_array_foreach(report, i, line) {
		const char *next = json_string_value(json_object_get(line, "next"));

		printf("%-6s %s: %s\n",
		       json_string_value(json_object_get(line, "state")),
		       json_string_value(json_object_get(line, "check")),
		       json_string_value(json_object_get(line, "message")));
		if (next)
			printf("       -> %s\n", next);
	}
	json_decref(report);
}

int cmd_doctor(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	json_t *report = json_array(), *line;
	bool json = false, sick = false;
	size_t i;
	int opt;

	while ((opt = verb_getopt(verb, argc, argv, options))) {
		if (opt != 'j') {
			json_decref(report);
			return verb_option_exit(verb, opt);
		}
		json = true;
	}
	if (optind != argc || !need_root(verb)) {
		json_decref(report);
		return optind != argc ? verb_usage(verb, "takes no argument") :
					FAILED;
	}
	check_kernel(report);
	check_module(report);
	check_daemon(report);
	check_settings(report);
	check_kept(report);
	check_tpms(report);
	check_cryptsetup(report);
	check_lockdown(report);
	check_swap(report);
	check_memory_images(report);
	check_cores(report);
	json_array_foreach(report, i, line)
		sick |= !strcmp("wrong", json_string_value(
					json_object_get(line, "state")));
	if (json)
		print_json(json_pack("{s:b, s:o}", "healthy", !sick, "checks",
				     report));
	else
		print_report(report);
	return sick ? FAILED : DONE;
}
