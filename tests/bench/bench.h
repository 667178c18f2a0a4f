/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the bench's programs share: the clock, and the lines that report.py
 * reads from among whatever else is printed.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

/* One round's figure of one side; sides that take turns are compared in turn. */
static inline void sample(const char *metric, const char *side, double value)
{
	printf("bench sample %s %s %.3f\n", metric, side, value);
	fflush(stdout);
}

/* Of the plot. */
static inline void point(const char *series, int x, double y)
{
	printf("bench point %s %d %.3f\n", series, x, y);
	fflush(stdout);
}

/* What cannot be measured has failed; say why, if err, by a negative errno. */
__attribute__((format(printf, 2, 3), noreturn))
static inline void die(int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("bench failed ", stdout);
	vprintf(format, args);
	va_end(args);
	printf(err ? ": %s\n" : "%s\n", err ? strerror(-err) : "");
	exit(1);
}

static inline int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts them. */
static inline double median(double *values, int n)
{
	qsort(values, n, sizeof(*values), by_size);
	return values[n / 2];
}

#endif /* BENCH_H */
