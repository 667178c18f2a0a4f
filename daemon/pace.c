// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How often a vault is asked
 */

#include "pace.h"

#define MINUTE		(60 * 1000000ULL)
/* A vault that wants more than that is asked all the same. */
#define LONGEST_REST	(60 * MINUTE)

void pace_init(struct pace *p, unsigned int limit)
{
	*p = (struct pace){ .cost = limit ? MINUTE / limit : 0 };
}

void pace_count(struct pace *p, uint64_t now)
{
	if (p->paid < now)
		p->paid = now;
	p->paid += p->cost;
}

void pace_rest(struct pace *p, uint64_t now, uint64_t usec, uint64_t brief)
{
	if (usec > LONGEST_REST)
		usec = LONGEST_REST;
	p->rest_end = now + usec;
	p->brief_end = now + (usec < brief ? usec : brief);
}

void pace_rested(struct pace *p)
{
	p->rest_end = 0;
	p->brief_end = 0;
}

uint64_t pace_next(const struct pace *p, bool look)
{
	uint64_t at = look ? p->rest_end : p->brief_end;
	uint64_t room = look ? MINUTE / 2 : MINUTE;

	if (room < p->cost)
		room = p->cost;
	if (p->cost && p->paid + p->cost > room + at)
		at = p->paid + p->cost - room;
	return at;
}
