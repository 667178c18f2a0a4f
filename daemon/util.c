// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Small helpers that daemon, workers and tools share
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "util.h"

#define NAME_MAX_LEN 63

static bool name_ok_len(const char *name, size_t len)
{
	size_t i;

	if (!len || len > NAME_MAX_LEN)
		return false;
	for (i = 0; i < len; i++)
		if (!(name[i] >= 'a' && name[i] <= 'z') &&
		    !(name[i] >= 'A' && name[i] <= 'Z') &&
		    !(name[i] >= '0' && name[i] <= '9') &&
		    name[i] != '.' && name[i] != '_' && name[i] != '-')
			return false;
	return true;
}

bool name_ok(const char *name)
{
	return name_ok_len(name, strlen(name));
}

/* How many bytes a character has; 0: it is not UTF-8 (RFC 3629), or a control. */
static size_t char_len(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t i, n = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 :
		      *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;

	for (i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Controls, what is longer than it has to be, surrogates, and no planes. */
	if (*p < ' ' || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0) ||
	    (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
	    (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

void text_tidy(char *text)
{
	size_t n;

	for (; *text; text += n ?: 1) {
		n = char_len(text);
		if (!n)
			*text = '?';
	}
}

int vault_ref_split(const char *ref, char *name, const char **key)
{
	size_t n, len = strcspn(ref, ":");
	const char *p;

	if (strlen(ref) > NAME_MAX_LEN || !name_ok_len(ref, len))
		return -EINVAL;
	memcpy(name, ref, len);
	name[len] = 0;
	*key = ref[len] ? ref + len + 1 : ref + len;
	if (ref[len] && !**key)
		return -EINVAL;
	for (p = *key; *p; p += n) {
		n = char_len(p);
		if (!n)
			return -EINVAL;
	}
	return 0;
}

bool vault_ref_ok(const char *ref)
{
	char name[NAME_MAX_LEN + 1];
	const char *key;

	return !vault_ref_split(ref, name, &key);
}

bool copy_text(char *out, size_t size, const char *text)
{
	size_t len = strlen(text);
	bool fits = len < size;

	if (!fits)
		len = size - 1;
	memcpy(out, text, len);
	out[len] = 0;
	return fits;
}

void hex_encode(char *out, const void *in, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = in;
	size_t i;

	for (i = 0; i < len; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

ssize_t hex_decode_any(const char *hex, void *out, size_t max)
{
	size_t i, len = strlen(hex);
	uint8_t *p = out;

	if (len % 2 || len / 2 > max)
		return -EINVAL;
	for (i = 0; i < len; i += 2) {
		int hi = hex_digit(hex[i]), lo = hex_digit(hex[i + 1]);

		if (hi < 0 || lo < 0)
			return -EINVAL;
		p[i / 2] = hi << 4 | lo;
	}
	return len / 2;
}

int hex_decode(const char *hex, void *out, size_t len)
{
	if (strlen(hex) != 2 * len)
		return -EINVAL;
	return hex_decode_any(hex, out, len) < 0 ? -EINVAL : 0;
}

static uint64_t duration_unit(const char *unit, size_t len)
{
	static const struct {
		const char *name;
		uint64_t usec;
	} units[] = {
		{ "", 1000000 }, { "ms", 1000 }, { "s", 1000000 },
		{ "m", 60 * 1000000ULL }, { "min", 60 * 1000000ULL },
		{ "h", 3600 * 1000000ULL }, { "d", 86400 * 1000000ULL },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(units); i++)
		if (strlen(units[i].name) == len &&
		    !strncmp(units[i].name, unit, len))
			return units[i].usec;
	return 0;
}

int duration_parse(const char *text, uint64_t *usec)
{
	uint64_t total = 0, part;
	const char *p = text;

	if (!*p)
		return -EINVAL;
	while (*p) {
		unsigned long long n;
		uint64_t unit;
		size_t len;
		char *end;

		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		errno = 0;
		n = strtoull(p, &end, 10);
		if (errno)
			return -ERANGE;
		len = strspn(end, "abcdefghijklmnopqrstuvwxyz");
		unit = duration_unit(end, len);
		/* A bare number is the whole text. */
		if (!unit || (!len && (p != text || *end)))
			return -EINVAL;
		if (__builtin_mul_overflow((uint64_t)n, unit, &part) ||
		    __builtin_add_overflow(total, part, &total))
			return -ERANGE;
		p = end + len;
	}
	*usec = total;
	return 0;
}

int sha256(const void *data, size_t len, uint8_t out[FINGERPRINT_SIZE])
{
	unsigned int n = 0;

	if (EVP_Digest(data, len, out, &n, EVP_sha256(), NULL) != 1 ||
	    n != FINGERPRINT_SIZE)
		return -EIO;
	return 0;
}

int write_all(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= n;
	}
	return 0;
}

static int read_fd(int fd, size_t max, uint8_t **data, size_t *len)
{
	uint8_t *buf = malloc(max + 2);
	size_t have = 0;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	do {
		n = read(fd, buf + have, max + 1 - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0)
			have += n;
	} while (n > 0 && have <= max);
	if (n < 0 || have > max) {
		int err = n < 0 ? -errno : -EFBIG;

		explicit_bzero(buf, have);
		free(buf);
		return err;
	}
	buf[have] = 0;
	*data = buf;
	*len = have;
	return 0;
}

int file_read(int dirfd, const char *path, size_t max, uint8_t **data,
	      size_t *len)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY |
			O_NONBLOCK);
	struct stat st;
	int err;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	else
		err = read_fd(fd, max, data, len);
	close(fd);
	return err;
}

static int temp_open(int dirfd, const char *name, mode_t mode, char *temp,
		     size_t size)
{
	int try, fd;

	for (try = 0; try < 100; try++) {
		uint64_t r;

		if (getrandom(&r, sizeof(r), 0) != sizeof(r))
			return -errno;
		snprintf(temp, size, ".%.100s.%016llx.tmp", name,
			 (unsigned long long)r);
		fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL |
			    O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0 && errno == EEXIST)
			continue;
		if (fd < 0)
			return -errno;
		if (fchmod(fd, mode)) {
			int err = -errno;

			close(fd);
			unlinkat(dirfd, temp, 0);
			return err;
		}
		return fd;
	}
	return -EEXIST;
}

int file_write_atomic(int dirfd, const char *name, const void *data, size_t len,
		      mode_t mode, enum file_write_how how)
{
	char temp[160];
	int fd, err;

	fd = temp_open(dirfd, name, mode, temp, sizeof(temp));
	if (fd < 0)
		return fd;
	err = write_all(fd, data, len);
	if (!err && fsync(fd))
		err = -errno;
	if (close(fd) && !err)
		err = -errno;
	if (err)
		goto err_unlink;
	/* link() refuses an existing name and so never replaces one. */
	if (how == FILE_NEW ? linkat(dirfd, temp, dirfd, name, 0) :
	    renameat(dirfd, temp, dirfd, name)) {
		err = -errno;
		goto err_unlink;
	}
	if (how == FILE_NEW)
		unlinkat(dirfd, temp, 0);
	/* A descriptor opened with O_PATH cannot be synced: open it anew. */
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd))
		err = -errno;
	close(fd);
	return err;

err_unlink:
	unlinkat(dirfd, temp, 0);
	return err;
}

uint64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

uint64_t part_of(uint64_t usec)
{
	uint32_t r = 0;

	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		r = (uint32_t)now_usec();
	return usec / 1024 * (r % 1025);
}

const char *errno_name(int err)
{
	const char *name = strerrorname_np(err < 0 ? -err : err);

	return name ? name : "EIO";
}

int errno_from_name(const char *name)
{
	int err;

	for (err = 1; err < 134; err++) {
		const char *n = strerrorname_np(err);

		if (n && !strcmp(n, name))
			return err;
	}
	return EIO;
}
