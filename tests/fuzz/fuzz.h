/* SPDX-License-Identifier: Apache-2.0
 * Fuzz targets: what each of them has, and what they share. Built with the plain driver a target runs
 * in make check; clang -fsanitize=fuzzer with the target and fuzz_tools.c makes a libFuzzer program. */
#ifndef TSR_TESTS_FUZZ_H
#define TSR_TESTS_FUZZ_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Reads the bytes; aborts when what it finds breaks a promise (a failure without a sentence, or one
 * that does not name the file). Returns 0 always. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One change to data[0..size) that knows the format: lengths and checksums are set right again, so
 * that what lies behind them is reached. Returns the new size, at most max. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

/* --- shared by the targets (fuzz_tools.c) --- */

/* The next number below n of a fixed sequence; 0 for n = 0. */
uint32_t fuzz_below(uint32_t *x, uint32_t n);

/* One change that knows nothing: a bit, a cut, bytes taken out, put in or put over. */
size_t fuzz_change_bytes(uint8_t *data, size_t size, size_t max, uint32_t *x);

/* One change to text of names, numbers and brackets (JSON, YAML, a Python dict): another number, a
 * piece twice, a piece missing, two pieces exchanged, deep nesting, or a change of bytes. */
size_t fuzz_change_text(uint8_t *data, size_t size, size_t max, uint32_t *x);

/* A text change of data[at..at + n); the rest moves along. Returns the new size of all. */
size_t fuzz_change_inside(uint8_t *data, size_t size, size_t max, size_t at, size_t n, uint32_t *x);

/* A number of n bytes in either order. */
void fuzz_put(uint8_t *to, uint64_t value, int n, int big_endian);

/* A safetensors file: the header's text is changed and its length told again, or any bytes. */
size_t fuzz_change_safetensors(uint8_t *data, size_t size, size_t max, unsigned seed);

/* The bytes as a file in the build folder; its name stays the same for all of a run. */
const char *fuzz_file(const uint8_t *data, size_t size, const char *extension);

/* A failure must have a sentence with `name` in it; otherwise this aborts. */
void fuzz_need_sentence(tsr_status st, const char *name);

#endif
