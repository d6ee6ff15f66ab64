/* SPDX-License-Identifier: Apache-2.0
 * A fuzz target: one function that takes the bytes of a file. Built with the plain driver it runs
 * in make check; clang -fsanitize=fuzzer with the target alone makes a libFuzzer program. */
#ifndef TSR_TESTS_FUZZ_H
#define TSR_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Reads the bytes; aborts when what it finds breaks a promise (a failure without a sentence).
 * Returns 0 always. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
