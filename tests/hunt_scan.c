// SPDX-License-Identifier: GPL-2.0-or-later
/* The inner loop of hunt.py: many patterns in one pass over the bytes. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct pattern {
	const uint8_t *bytes;
	size_t len;		/* at least 2 */
};

static uint16_t pair(const uint8_t *at)
{
	return at[0] | at[1] << 8;
}

/*
 * The first place at or after @from where a pattern stands, or -1; which one is
 * put into @which.
 */
long hunt_scan(const uint8_t *data, size_t len, size_t from,
	       const struct pattern *patterns, size_t count, size_t *which)
{
	uint8_t starts[65536 / 8] = { 0 };
	size_t i, p;

	for (p = 0; p < count; p++)
		starts[pair(patterns[p].bytes) / 8] |=
			1 << (pair(patterns[p].bytes) % 8);
	for (i = from; i + 1 < len; i++) {
		uint16_t here = pair(data + i);

		if (!(starts[here / 8] & 1 << (here % 8)))
			continue;
		for (p = 0; p < count; p++) {
			if (pair(patterns[p].bytes) != here ||
			    patterns[p].len > len - i ||
			    memcmp(data + i, patterns[p].bytes, patterns[p].len))
				continue;
			*which = p;
			return i;
		}
	}
	return -1;
}
