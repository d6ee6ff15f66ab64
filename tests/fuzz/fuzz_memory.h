/* SPDX-License-Identifier: Apache-2.0
 * How much memory a call asks for, whether or not it is touched. */
#ifndef TSR_TESTS_FUZZ_MEMORY_H
#define TSR_TESTS_FUZZ_MEMORY_H

#include <stddef.h>

/* Count from here on; then the largest sum of bytes that were allocated at one time since, beyond those
 * of the beginning. All allocations of the process count, those of libraries too. Where they cannot
 * be intercepted (sanitizers, other C libraries) it is 0. */
void fuzz_memory_begin(void);
size_t fuzz_memory_most(void);

#endif
