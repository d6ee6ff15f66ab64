/* SPDX-License-Identifier: Apache-2.0
 * Checked allocation. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGN 64
#define LARGE ((size_t)8 << 20) /* from here on in large pages: walks through big arrays miss fewer */
#define LARGE_ALIGN ((size_t)2 << 20)

/* Counts down to an injected failure; 0 means off. Only tests set it. */
static atomic_long fail_after;

tsr_status tsr_mul_size(size_t a, size_t b, size_t *out)
{
    if (__builtin_mul_overflow(a, b, out))
        TSR_FAIL(TSR_ELIMIT, "size %zu x %zu does not fit in memory addresses", a, b);
    return TSR_OK;
}

tsr_status tsr_add_size(size_t a, size_t b, size_t *out)
{
    if (__builtin_add_overflow(a, b, out))
        TSR_FAIL(TSR_ELIMIT, "size %zu + %zu does not fit in memory addresses", a, b);
    return TSR_OK;
}

void tsr_mem_fail_after(long n)
{
    atomic_store(&fail_after, n);
}

static int injected_failure(void)
{
    if (atomic_load_explicit(&fail_after, memory_order_relaxed) == 0)
        return 0;
    return atomic_fetch_sub(&fail_after, 1) == 1;
}

tsr_status tsr_alloc(void *out, size_t count, size_t size)
{
    void **slot = out;
    size_t bytes;
    TSR_TRY(tsr_mul_size(count, size, &bytes));
    if (bytes == 0) {
        *slot = NULL;
        return TSR_OK;
    }
    size_t padded, align = bytes >= LARGE ? LARGE_ALIGN : ALIGN;
    TSR_TRY(tsr_add_size(bytes, align - 1, &padded));
    padded &= ~(align - 1);
    void *p = injected_failure() ? NULL : aligned_alloc(align, padded);
    if (p && align == LARGE_ALIGN)
        (void)madvise(p, padded, MADV_HUGEPAGE); /* a wish; without it, it is slower */
    if (!p)
        TSR_FAIL(TSR_ENOMEM, "out of memory: %zu bytes were refused", bytes);
    memset(p, 0, padded);
    *slot = p;
    return TSR_OK;
}

tsr_status tsr_reserve(void *out, size_t bytes)
{
    void **slot = out;
    *slot = NULL;
    if (bytes == 0)
        return TSR_OK;
    if (bytes > PTRDIFF_MAX)
        TSR_FAIL(TSR_ELIMIT, "%zu bytes do not fit in memory addresses", bytes);
    void *p = injected_failure() ? MAP_FAILED
                                 : mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        TSR_FAIL(TSR_ENOMEM, "out of memory: %zu bytes were refused", bytes);
    if (bytes >= LARGE)
        (void)madvise(p, bytes, MADV_HUGEPAGE);
    *slot = p;
    return TSR_OK;
}

void tsr_unreserve(void *p, size_t bytes)
{
    if (p)
        (void)munmap(p, bytes);
}

tsr_status tsr_grow(void *p, size_t have, size_t count, size_t size)
{
    void **slot = p;
    void *fresh;
    TSR_TRY(tsr_alloc(&fresh, count, size));
    if (*slot && fresh)
        memcpy(fresh, *slot, (have < count ? have : count) * size);
    tsr_free(*slot);
    *slot = fresh;
    return TSR_OK;
}

tsr_status tsr_room(void *p, size_t have, size_t *cap, size_t size)
{
    if (have < *cap)
        return TSR_OK;
    size_t more;
    TSR_TRY(tsr_mul_size(*cap ? *cap : 4, 2, &more));
    TSR_TRY(tsr_grow(p, have, more, size));
    *cap = more;
    return TSR_OK;
}

tsr_status tsr_strndup(char **out, const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *copy;
    TSR_TRY(tsr_alloc(&copy, len + 1, 1));
    memcpy(copy, s, len);
    *out = copy;
    return TSR_OK;
}

tsr_status tsr_strdup(char **out, const char *s)
{
    return tsr_strndup(out, s, strlen(s));
}

void tsr_free(void *p)
{
    free(p);
}

tsr_status tsr_arena_init(tsr_arena *a, size_t bytes)
{
    TSR_TRY(tsr_alloc(&a->base, bytes, 1));
    a->size = bytes;
    a->used = 0;
    return TSR_OK;
}

tsr_status tsr_arena_take(tsr_arena *a, size_t bytes, void *out)
{
    size_t padded;
    TSR_TRY(tsr_add_size(bytes, ALIGN - 1, &padded));
    padded &= ~(size_t)(ALIGN - 1);
    if (padded > a->size - a->used)
        TSR_FAIL(TSR_ENOMEM, "arena of %zu bytes is full: %zu more were asked", a->size, bytes);
    *(void **)out = a->base + a->used;
    a->used += padded;
    return TSR_OK;
}

void tsr_arena_reset(tsr_arena *a)
{
    a->used = 0;
}

void tsr_arena_clear(tsr_arena *a)
{
    tsr_free(a->base);
    *a = (tsr_arena){0};
}
