// SPDX-License-Identifier: GPL-2.0-or-later
/* AF_ALG, keys, other users, the daemon's socket and the oracle. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/if_alg.h>

#include "vr_test.h"

#define SOCKET "/run/vaultring/vaultringd.sock"
#define IV_SIZE 16

/*
 * From 7.3 on AF_ALG serves a list of algorithms unless an administrator lifts
 * that; the tests use it as a way to the transforms and so have it lifted.
 */
static void lift_restriction(void)
{
	static int done;
	glob_t found;
	size_t i;
	int fd;

	if (done++ || glob("/proc/sys/*/af_alg_restrict", 0, NULL, &found))
		return;
	for (i = 0; i < found.gl_pathc; i++) {
		fd = open(found.gl_pathv[i], O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (write(fd, "0", 1) != 1)
			fprintf(stderr, "# %s: %m\n", found.gl_pathv[i]);
		close(fd);
	}
	globfree(&found);
}

int alg_open_type(const char *type, const char *name)
{
	struct sockaddr_alg sa = { .salg_family = AF_ALG };
	int fd, err;

	snprintf((char *)sa.salg_type, sizeof(sa.salg_type), "%s", type);
	snprintf((char *)sa.salg_name, sizeof(sa.salg_name), "%s", name);
	fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	lift_restriction();
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int alg_open(const char *name)
{
	return alg_open_type("skcipher", name);
}

int alg_reachable(const char *name)
{
	int fd = alg_open(name);

	if (fd >= 0)
		close(fd);
	return fd != -ENOENT || access("/proc/sys/crypto/af_alg_restrict", F_OK);
}

const struct mode *alg_mode(void)
{
	static const struct mode xts = { "xts", "xts(paes)", 512 };
	static const struct mode cbc = { "cbc", "cbc(paes)", 256 };

	return alg_reachable(xts.alg) ? &xts : &cbc;
}

int alg_setkey(int fd, const void *key, size_t len)
{
	return setsockopt(fd, SOL_ALG, ALG_SET_KEY, key, len) ? -errno : 0;
}

int alg_op(int fd)
{
	int op = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	return op < 0 ? -errno : op;
}

int alg_crypt(int op, int encrypt, const uint8_t *iv, const void *in, void *out,
	      size_t len)
{
	union {
		char buf[CMSG_SPACE(4) + CMSG_SPACE(4 + IV_SIZE)];
		struct cmsghdr align;
	} control = {};
	struct iovec vec = { (void *)in, len };
	struct msghdr msg = { .msg_iov = &vec, .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	struct af_alg_iv *alg_iv;
	size_t done = 0;
	ssize_t n;

	c->cmsg_level = SOL_ALG;
	c->cmsg_type = ALG_SET_OP;
	c->cmsg_len = CMSG_LEN(4);
	*(uint32_t *)CMSG_DATA(c) = encrypt ? ALG_OP_ENCRYPT : ALG_OP_DECRYPT;
	c = CMSG_NXTHDR(&msg, c);
	c->cmsg_level = SOL_ALG;
	c->cmsg_type = ALG_SET_IV;
	c->cmsg_len = CMSG_LEN(4 + IV_SIZE);
	alg_iv = (void *)CMSG_DATA(c);
	alg_iv->ivlen = IV_SIZE;
	memcpy(alg_iv->iv, iv, IV_SIZE);

	n = sendmsg(op, &msg, 0);
	if (n != (ssize_t)len)
		return n < 0 ? -errno : -EMSGSIZE;
	while (done < len) {
		n = read(op, (uint8_t *)out + done, len - done);
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		done += n;
	}
	return 0;
}

int alg_try(const char *name, const void *key, size_t len)
{
	int err, fd = alg_open(name);

	if (fd < 0)
		return fd;
	err = alg_setkey(fd, key, len);
	close(fd);
	return err;
}

void hex_of(const void *data, size_t len, char *text)
{
	const uint8_t *bytes = data;
	size_t i;

	for (i = 0; i < len; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	text[2 * len] = 0;
}

int hex_to(const char *text, uint8_t *data, size_t len)
{
	unsigned int byte;
	size_t i;

	if (strspn(text, "0123456789abcdefABCDEF") < 2 * len)
		return -EINVAL;
	for (i = 0; i < len; i++) {
		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return -EINVAL;
		data[i] = byte;
	}
	return 0;
}

int blob_of(key_serial_t key, uint8_t *blob)
{
	uint8_t buf[2 * VAULTRING_BLOB_SIZE];
	long len = keyctl_read(key, (char *)buf, sizeof(buf));

	if (len < 0)
		return -errno;
	if (len != VAULTRING_BLOB_SIZE)
		return -EMSGSIZE;
	memcpy(blob, buf, VAULTRING_BLOB_SIZE);
	return 0;
}

int dek_new(const char *words, key_serial_t ring, uint8_t *blob,
	    key_serial_t *key)
{
	static unsigned int count;
	char name[32];
	key_serial_t id;

	snprintf(name, sizeof(name), "new-%u", ++count);
	id = add_key("vault-dek", name, words, strlen(words), ring);
	if (id < 0)
		return -errno;
	if (key)
		*key = id;
	return blob ? blob_of(id, blob) : 0;
}

/* By `load HEX`; returns the key or a negative errno. */
int dek_load(const void *blob, size_t len, key_serial_t ring)
{
	char words[16 + 4 * VAULTRING_BLOB_SIZE] = "load ";
	key_serial_t key;

	if (len > 2 * VAULTRING_BLOB_SIZE)
		return -E2BIG;
	hex_of(blob, len, words + 5);
	key = add_key("vault-dek", "loaded", words, strlen(words), ring);
	return key < 0 ? -errno : key;
}

static int save(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int good;

	if (fd < 0)
		return -errno;
	good = write(fd, data, len) == (ssize_t)len;
	close(fd);
	return good ? 0 : -EIO;
}

/* deks gets count DEKs from lines of dek=HEX; returns the size of each. */
static int read_deks(const char *lines, unsigned int count,
		     uint8_t (*deks)[VAULTRING_DEK_MAX])
{
	const char *hex = lines;
	unsigned int i;
	int len = -1;

	for (i = 0; i < count; i++, hex += 4) {
		hex = strstr(hex, "dek=");
		if (!hex)
			return -1;
		len = strspn(hex + 4, "0123456789abcdef") / 2;
		if (len > VAULTRING_DEK_MAX || hex_to(hex + 4, deks[i], len))
			return -1;
	}
	return len;
}

/* Writes the keys into dir; keys gets their paths, as oracle.py takes them. */
static int save_keys(const struct soft_vault *const *vaults, int n,
		     const char *dir, char *keys, size_t size)
{
	char path[64];
	int i;

	*keys = 0;
	for (i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/key%d", dir, i);
		if (soft_vault_save(vaults[i], path) ||
		    strlen(keys) + strlen(path) + 2 > size)
			return -1;
		sprintf(keys + strlen(keys), "%s%s", i ? "," : "", path);
	}
	return 0;
}

static int oracle_open(const struct soft_vault *const *vaults, int n,
		       const struct kek *kek,
		       const uint8_t (*blobs)[VAULTRING_BLOB_SIZE],
		       unsigned int count, uint8_t (*deks)[VAULTRING_DEK_MAX])
{
	const size_t size = 1024 + count * (2 * VAULTRING_DEK_MAX + 8);
	char self[256], dir[] = "/tmp/oracle-XXXXXX", path[64], keys[512];
	ssize_t len_self = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *out = malloc(size);
	int len = -1;

	if (!out || len_self < 0 || !mkdtemp(dir))
		goto out_free;
	self[len_self] = 0;
	*strrchr(self, '/') = 0;
	if (save_keys(vaults, n, dir, keys, sizeof(keys)))
		goto out_remove;
	snprintf(path, sizeof(path), "%s/envelope", dir);
	if (save(path, kek->envelope, kek->envelope_len))
		goto out_remove;
	snprintf(path, sizeof(path), "%s/blob", dir);
	if (save(path, blobs, count * sizeof(*blobs)))
		goto out_remove;
	if (!run(out, size, "python3 %s/oracle.py open %s/envelope "
		 "%s %s/blob", self, dir, keys, dir))
		len = read_deks(out, count, deks);
	else
		fprintf(stderr, "# %s\n", out);
out_remove:
	run(NULL, 0, "rm -r %s", dir);
out_free:
	free(out);
	return len;
}

int oracle_deks(const struct soft_vault *v, const struct kek *kek,
		const uint8_t (*blobs)[VAULTRING_BLOB_SIZE], unsigned int count,
		uint8_t (*deks)[VAULTRING_DEK_MAX])
{
	return oracle_open(&v, 1, kek, blobs, count, deks);
}

int oracle_dek_of(const struct soft_vault *const *vaults, int n,
		  const struct kek *kek, const uint8_t *blob, uint8_t *dek)
{
	uint8_t found[1][VAULTRING_DEK_MAX];
	int len = oracle_open(vaults, n, kek, (const void *)blob, 1, found);

	if (len > 0)
		memcpy(dek, found[0], len);
	return len;
}

int oracle_dek(const struct soft_vault *v, const struct kek *kek,
	       const uint8_t *blob, uint8_t *dek)
{
	return oracle_dek_of(&v, 1, kek, blob, dek);
}

/* Whether this task's allocations may fail, which is so in faults_test. */
static int make_it_fail(int on)
{
	int fd = open("/proc/self/make-it-fail", O_RDWR | O_CLOEXEC);
	char was = '0';

	/* To open it may fail, too. */
	while (fd < 0 && (errno == ENOMEM || errno == ENFILE))
		fd = open("/proc/self/make-it-fail", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (read(fd, &was, 1) != 1 || pwrite(fd, on ? "1" : "0", 1, 0) != 1)
		was = '0';
	close(fd);
	return was == '1';
}

static int run_command(char *out, size_t size, const char *command)
{
	FILE *f = popen(command, "re");
	char rest[512];
	size_t got = 0;
	int status;

	if (!f)
		return -1;
	if (size)
		got = fread(out, 1, size - 1, f);
	if (size)
		out[got] = 0;
	while (fread(rest, 1, sizeof(rest), f) > 0)
		;
	status = pclose(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* A shell whose allocations fail would not get far: what is run is spared. */
int run(char *out, size_t size, const char *format, ...)
{
	char command[1024];
	int n, failing, status;
	va_list args;

	va_start(args, format);
	n = vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (n < 0 || (size_t)n + 6 > sizeof(command))
		return -1;
	strcat(command, " 2>&1");
	failing = make_it_fail(0);
	status = run_command(out, size, command);
	if (failing)
		make_it_fail(1);
	return status;
}

int outcome(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

pid_t ask_in_child(const char *name)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	keyctl_join_session_keyring(NULL);
	_exit(request_key("vault-kek", name, "", KEY_SPEC_PROCESS_KEYRING) < 0 ?
	      errno : 0);
}

int as_uid(uid_t uid, int (*f)(void *), void *arg)
{
	pid_t pid = fork();

	if (pid < 0)
		return -1;
	if (!pid) {
		if (setgroups(0, NULL) || setresgid(uid, uid, uid) ||
		    setresuid(uid, uid, uid))
			_exit(126);
		_exit(f(arg));
	}
	return outcome(pid);
}

int as_nobody(int (*f)(void *), void *arg)
{
	return as_uid(NOBODY, f, arg);
}

static pid_t stopper;

static void start_daemon(void)
{
	if (getpid() == stopper)
		run(NULL, 0, "systemctl reset-failed vaultringd;"
		    "systemctl start vaultringd");
}

void without_daemon(void)
{
	stopper = getpid();
	if (run(NULL, 0, "systemctl stop vaultringd") || atexit(start_daemon))
		exit(1);
}

int daemon_call(const char *json, char *reply, size_t size)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = SOCKET };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t got = 0, len = strlen(json) + 1;
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) ||
	    write(fd, json, len) != (ssize_t)len)
		goto err_close;
	for (;;) {
		n = read(fd, reply + got, 1);
		if (n <= 0)
			goto err_close;
		if (reply[got]) {
			if (++got == size)
				goto err_close;
			continue;
		}
		if (!strstr(reply, "\"continues\""))
			break;
		got = 0;
	}
	close(fd);
	return strstr(reply, "\"error\"") ? 1 : 0;

err_close:
	close(fd);
	return -EIO;
}

int patience(int t)
{
	const char *slow = getenv("VAULTRING_SLOW");
	int factor = slow ? atoi(slow) : 1;

	return factor > 1 ? t * factor : t;
}

/* What the linker puts in alarm()'s place, for the harness's timeouts. */
unsigned int __real_alarm(unsigned int seconds);
unsigned int __wrap_alarm(unsigned int seconds);

unsigned int __wrap_alarm(unsigned int seconds)
{
	return __real_alarm(patience(seconds));
}

/* A session keyring of the test's own, with the user's linked into it. */
int own_session(void)
{
	if (keyctl_join_session_keyring(NULL) < 0)
		return -errno;
	return keyctl_link(KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING) ?
		-errno : 0;
}
