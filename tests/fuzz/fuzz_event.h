/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In place of sd-event: sources that go off when the fuzzer says so, by its clock
 */
#ifndef FUZZ_EVENT_H
#define FUZZ_EVENT_H

#include <stdint.h>

extern uint64_t fuzz_now;	/* microseconds */

/* All that is due, until nothing is. */
void fuzz_event_run(void);
/* The child ends, if somebody waits for one; it was killed by @number, or exited. */
void fuzz_event_child(int number);
/* How many sources there are. */
unsigned int fuzz_event_count(void);

#endif /* FUZZ_EVENT_H */
