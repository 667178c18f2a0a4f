// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The same requests to two devices, in turn: what one takes, in microseconds
 *
 *	bench_io METRIC PATTERN DEPTH ROUNDS MS SIDE=DEVICE SIDE=DEVICE
 *
 * PATTERN is randread or randwrite, of 4 KiB, or read or write, of 128 KiB.
 * Each device gets a slice of MS milliseconds a round, and the other one comes
 * first in the next round: what drifts meanwhile is the same for both.  A program
 * of our own because fio starts for longer than such a slice takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define MAX_DEPTH 64
#define PAGE 4096

static const struct pattern {
	const char *name;
	bool write, random;
	size_t size;
} patterns[] = {
	{ "randread", false, true, 4096 },
	{ "randwrite", true, true, 4096 },
	{ "read", false, false, 128 * 1024 },
	{ "write", true, false, 128 * 1024 },
};

struct device {
	const char *side;
	int fd;
	uint64_t blocks;	/* of the pattern's size */
	uint64_t next;
	unsigned int seed;
};

struct bench {
	const struct pattern *pattern;
	unsigned int depth;
	aio_context_t aio;
	struct iocb cb[MAX_DEPTH];
	uint8_t *buf;
};

static void submit(struct bench *b, struct device *d, unsigned int slot)
{
	const struct pattern *p = b->pattern;
	struct iocb *cb = &b->cb[slot], *list[1] = { cb };
	uint64_t block = p->random ? (unsigned int)rand_r(&d->seed) : d->next++;

	*cb = (struct iocb) {
		.aio_data = slot,
		.aio_fildes = d->fd,
		.aio_lio_opcode = p->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
		.aio_buf = (uintptr_t)(b->buf + slot * p->size),
		.aio_nbytes = p->size,
		.aio_offset = (int64_t)(block % d->blocks * p->size),
	};
	if (syscall(SYS_io_submit, b->aio, 1, list) != 1)
		die(-errno, "io_submit to %s", d->side);
}

/* The time of that many requests, @depth of them on their way. */
static double slice(struct bench *b, struct device *d, unsigned long requests)
{
	struct io_event events[MAX_DEPTH];
	unsigned long begun = 0, done = 0;
	double start = now_us();
	long n, i;

	while (begun < b->depth && begun < requests)
		submit(b, d, begun++);
	while (done < requests) {
		n = syscall(SYS_io_getevents, b->aio, 1, MAX_DEPTH, events, NULL);
		if (n < 1)
			die(-errno, "io_getevents of %s", d->side);
		for (i = 0; i < n; i++) {
			if (events[i].res != (int64_t)b->pattern->size)
				die(events[i].res < 0 ? events[i].res : -EIO,
				    "a request to %s", d->side);
			done++;
			if (begun++ < requests)
				submit(b, d, events[i].data);
		}
	}
	return now_us() - start;
}

static void open_device(struct device *d, char *text, const struct pattern *p)
{
	char *path = strchr(text, '=');
	uint64_t size;

	if (!path)
		die(0, "%s is not SIDE=DEVICE", text);
	*path++ = 0;
	d->side = text;
	d->seed = 1;
	d->fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (d->fd < 0 || ioctl(d->fd, BLKGETSIZE64, &size))
		die(-errno, "%s", path);
	d->blocks = size / p->size;
	if (!d->blocks)
		die(0, "%s is too small", path);
}

static void prepare(struct bench *b)
{
	size_t i, size = b->depth * b->pattern->size;

	if (posix_memalign((void **)&b->buf, PAGE, size))
		die(-ENOMEM, "no buffers");
	for (i = 0; i < size; i++)
		b->buf[i] = rand();
	if (syscall(SYS_io_setup, MAX_DEPTH, &b->aio))
		die(-errno, "io_setup");
}

/* How many requests make a slice; both devices are warm after that. */
static unsigned long calibrate(struct bench *b, struct device d[2], double us)
{
	unsigned long requests = 4 * b->depth;
	double took;

	for (;; requests *= 2) {
		took = (slice(b, &d[0], requests) + slice(b, &d[1], requests)) / 2;
		if (took > us / 2)
			break;
	}
	requests = requests * us / took;
	return requests > b->depth ? requests : b->depth;
}

static const struct pattern *pattern_of(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		if (!strcmp(patterns[i].name, name))
			return &patterns[i];
	die(0, "no such pattern: %s", name);
}

int main(int argc, char *argv[])
{
	static struct bench b;
	struct device d[2] = {};
	unsigned long requests;
	int round, rounds, turn;

	if (argc != 8) {
		fputs("usage: bench_io METRIC PATTERN DEPTH ROUNDS MS SIDE=DEVICE SIDE=DEVICE\n",
		      stderr);
		return 2;
	}
	b.pattern = pattern_of(argv[2]);
	b.depth = atoi(argv[3]);
	rounds = atoi(argv[4]);
	if (b.depth < 1 || b.depth > MAX_DEPTH)
		die(0, "depth is 1 to %d", MAX_DEPTH);
	open_device(&d[0], argv[6], b.pattern);
	open_device(&d[1], argv[7], b.pattern);
	prepare(&b);
	requests = calibrate(&b, d, 1e3 * atoi(argv[5]));
	for (round = 0; round < rounds; round++) {
		for (turn = 0; turn < 2; turn++) {
			struct device *one = &d[(round + turn) % 2];

			sample(argv[1], one->side,
			       slice(&b, one, requests) / requests);
		}
	}
	return 0;
}
