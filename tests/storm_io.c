// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The storm's writers: many small requests past the page cache, of which each
 * is accounted for.
 *
 * A slot of eight sectors belongs to one writer, which has one request in it at
 * a time; so what a sector may hold is the last write that was acknowledged
 * or, after a failure, the one that failed.  Once a request in a slot has
 * failed its transforms are dead: later writes there must fail and leave
 * nothing, and their numbers are not noted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "storm.h"

#define LATE_TRIES 64
#define PATIENCE 30.0	/* seconds for which a revoke may find us writing */

/* Each write's own number; what the volume is filled with has number 1. */
static atomic_ullong generation = 1;

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

void nap(int ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

static void choose(struct writer *w, struct op *op)
{
	struct volume *v = w->v;
	const struct extent *e;

	do {
		op->slot = rand_r(&w->seed) % (v->slots / WRITERS) * WRITERS +
			   w->index;
	} while (v->busy[op->slot]);
	e = &v->extents[v->extent_of[op->slot]];
	op->first = 0;
	op->count = SLOT_SECTORS;
	if (e->kind->sector_size == SECTOR && rand_r(&w->seed) % 2) {
		op->first = rand_r(&w->seed) % SLOT_SECTORS;
		op->count = 1 + rand_r(&w->seed) % (SLOT_SECTORS - op->first);
	}
	op->write = rand_r(&w->seed) % 4;
	op->dead = v->dead[op->slot];
	v->busy[op->slot] = 1;
}

static void prepare_write(struct volume *v, struct op *op)
{
	unsigned int sector = op->slot * SLOT_SECTORS + op->first, i;

	op->gen = atomic_fetch_add(&generation, 1) + 1;
	for (i = 0; i < op->count; i++) {
		pattern_make(op->buf + i * SECTOR, op->gen, sector + i);
		if (!op->dead)
			v->may[sector + i].flying = op->gen;
	}
}

static int submit(struct writer *w, struct op *op)
{
	unsigned int sector = op->slot * SLOT_SECTORS + op->first;
	unsigned int device =
		w->v->extents[w->v->extent_of[op->slot]].kind->device;
	struct iocb *list[1] = { &op->cb };
	size_t len = op->count * SECTOR;

	memset(&op->cb, 0, sizeof(op->cb));
	op->cb.aio_data = (uintptr_t)op;
	op->cb.aio_fildes = w->v->fd[device];
	op->cb.aio_offset = (int64_t)(sector - w->v->start[device]) * SECTOR;
	op->cb.aio_lio_opcode = op->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
	op->cb.aio_buf = (uintptr_t)op->buf;
	op->cb.aio_nbytes = len;
	if (op->write && !device && op->count > 1) {
		/* As a vector of two. */
		op->vec[0] = (struct iovec) { op->buf, SECTOR };
		op->vec[1] = (struct iovec) { op->buf + SECTOR, len - SECTOR };
		op->cb.aio_lio_opcode = IOCB_CMD_PWRITEV;
		op->cb.aio_buf = (uintptr_t)op->vec;
		op->cb.aio_nbytes = 2;
	}
	return syscall(SYS_io_submit, w->aio, 1, list) == 1 ? 0 : -errno;
}

static void start_op(struct writer *w, struct op *op)
{
	int err;

	/* Before the choice: later is more lenient. */
	op->late = atomic_load(&w->storm->over);
	w->late_tries += op->late;
	choose(w, op);
	if (op->write)
		prepare_write(w->v, op);
	err = submit(w, op);
	if (!err) {
		w->running++;
		return;
	}
	w->other = err;
	w->v->busy[op->slot] = 0;
}

static void acknowledge(struct writer *w, const struct op *op)
{
	struct may *may = &w->v->may[op->slot * SLOT_SECTORS + op->first];
	unsigned int i;

	w->good++;
	w->late += op->late;
	w->revived += op->dead;
	for (i = 0; i < op->count && op->write; i++)
		may[i] = (struct may) { .acked = op->gen };
	for (i = 0; i < op->count && !op->write; i++)
		if (pattern_gen(op->buf + i * SECTOR, op->slot * SLOT_SECTORS +
				op->first + i) != may[i].acked)
			w->foreign++;
}

static void finish_op(struct writer *w, const struct io_event *event)
{
	struct op *op = (void *)(uintptr_t)event->data;

	if (event->res == (int64_t)op->count * SECTOR) {
		acknowledge(w, op);
	} else {
		if (!w->failed++)
			w->first_failure = now();
		if (!atomic_load(&w->storm->called))
			w->early++;
		if (event->res != -EIO)
			w->other = event->res;
		w->v->dead[op->slot] = 1;
	}
	w->v->busy[op->slot] = 0;
	w->running--;
}

static bool goes_on(const struct writer *w)
{
	return w->late_tries < LATE_TRIES &&
	       (!atomic_load(&w->storm->called) ||
		now() < w->storm->called_at + PATIENCE);
}

static void *write_on(void *arg)
{
	struct writer *w = arg;
	struct io_event events[DEPTH];
	long failed, n, i;

	for (i = 0; i < DEPTH; i++)
		start_op(w, &w->ops[i]);
	while (w->running) {
		n = syscall(SYS_io_getevents, w->aio, 1, DEPTH, events, NULL);
		failed = w->failed;
		for (i = 0; i < n; i++)
			finish_op(w, &events[i]);
		/* What fails does so at once: leave the processor to others. */
		if (failed != w->failed)
			nap(1);
		for (i = 0; i < n && goes_on(w); i++)
			start_op(w, (void *)(uintptr_t)events[i].data);
	}
	return NULL;
}

static int writer_start(struct writer *w)
{
	uint8_t *bufs;
	int i;

	if (posix_memalign((void **)&bufs, SLOT, DEPTH * SLOT))
		return -ENOMEM;
	for (i = 0; i < DEPTH; i++)
		w->ops[i].buf = bufs + i * SLOT;
	if (syscall(SYS_io_setup, DEPTH, &w->aio))
		return -errno;
	return -pthread_create(&w->thread, NULL, write_on, w);
}

int storm_start(struct storm *s, struct volume *v, unsigned int seed)
{
	int i, err = 0;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < WRITERS && !err; i++) {
		s->writers[i].v = v;
		s->writers[i].storm = s;
		s->writers[i].index = i;
		s->writers[i].seed = seed + i;
		err = writer_start(&s->writers[i]);
	}
	return err;
}

void storm_call(struct storm *s)
{
	s->called_at = now();
	atomic_store(&s->called, 1);
}

int storm_join(struct storm *s)
{
	struct timespec until;
	int i, err;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	for (i = 0; i < WRITERS; i++) {
		err = pthread_timedjoin_np(s->writers[i].thread, NULL, &until);
		if (err)
			return -err;
		syscall(SYS_io_destroy, s->writers[i].aio);
		free(s->writers[i].ops[0].buf);
	}
	return 0;
}
