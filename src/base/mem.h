/* SPDX-License-Identifier: Apache-2.0
 * Memory: checked sizes, one allocator for everything, and arenas. */
#ifndef TSR_BASE_MEM_H
#define TSR_BASE_MEM_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* *out = a * b, or TSR_ELIMIT when the product does not fit in size_t. */
TSR_USE tsr_status tsr_mul_size(size_t a, size_t b, size_t *out);

/* *out = a + b, or TSR_ELIMIT. */
TSR_USE tsr_status tsr_add_size(size_t a, size_t b, size_t *out);

/* Zeroed storage for `count` items of `size` bytes, aligned to 64 bytes (a cache line and the
 * widest vector). count 0 gives NULL and TSR_OK. Release with tsr_free.
 * Errors   TSR_ELIMIT on overflow, TSR_ENOMEM. */
TSR_USE tsr_status tsr_alloc(void *out, size_t count, size_t size);

/* Grow an array made by tsr_alloc to `count` items, keeping its first `have` items; the rest is
 * zero. `p` is the address of the pointer, which is unchanged on failure. */
TSR_USE tsr_status tsr_grow(void *p, size_t have, size_t count, size_t size);

/* Make room for at least one more item in a growing array: doubles *cap when have == *cap. */
TSR_USE tsr_status tsr_room(void *p, size_t have, size_t *cap, size_t size);

/* Copy of a string (or of its first n bytes); release with tsr_free. */
TSR_USE tsr_status tsr_strdup(char **out, const char *s);
TSR_USE tsr_status tsr_strndup(char **out, const char *s, size_t n);

/* Release; NULL is fine. Storage must come from this file. */
void tsr_free(void *p);

/* Zeroed storage whose pages cost nothing until they are written: for what is planned for the worst
 * case and seldom filled. bytes 0 gives NULL. Release with tsr_unreserve and the same size.
 * Errors   TSR_ELIMIT on overflow, TSR_ENOMEM. */
TSR_USE tsr_status tsr_reserve(void *out, size_t bytes);
void tsr_unreserve(void *p, size_t bytes);

/* A bump arena: allocate many, release at once. Life: model, step or call, as its owner states. */
typedef struct tsr_arena {
    char *base;
    size_t size;
    size_t used;
} tsr_arena;

/* One block of `bytes`. */
TSR_USE tsr_status tsr_arena_init(tsr_arena *a, size_t bytes);

/* 64-byte aligned piece; TSR_ENOMEM when the plan was too small (a bug of the planner). */
TSR_USE tsr_status tsr_arena_take(tsr_arena *a, size_t bytes, void *out);

/* Everything taken becomes free again; the block stays. */
void tsr_arena_reset(tsr_arena *a);
void tsr_arena_clear(tsr_arena *a);

/* For tests: let the n-th allocation from now on fail (1 = the next; 0 = never again). */
void tsr_mem_fail_after(long n);

#endif
