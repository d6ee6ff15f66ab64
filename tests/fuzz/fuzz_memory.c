/* SPDX-License-Identifier: Apache-2.0
 * Memory by the allocator's own entry points, which a program may define itself. */
#include "fuzz_memory.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);
extern void __libc_free(void *p);

static atomic_size_t live, most;
static size_t first;

static void see(size_t now)
{
    size_t seen = atomic_load(&most);
    while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
        ;
}

/* n bytes are asked for: they count also when they are refused. */
static void ask(size_t n)
{
    size_t now = atomic_load(&live);
    see(n > SIZE_MAX - now ? SIZE_MAX : now + n);
}

static void *count_in(void *p)
{
    atomic_fetch_add(&live, malloc_usable_size(p));
    return p;
}

static void count_out(void *p)
{
    atomic_fetch_sub(&live, malloc_usable_size(p));
}

void *malloc(size_t n)
{
    ask(n);
    return count_in(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    ask(size && n > SIZE_MAX / size ? SIZE_MAX : n * size);
    return count_in(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
    size_t before = malloc_usable_size(p);
    ask(n > before ? n - before : 0);
    void *q = __libc_realloc(p, n);
    if (q || n == 0)
        atomic_fetch_sub(&live, before);
    return count_in(q);
}

void *memalign(size_t align, size_t n)
{
    ask(n);
    return count_in(__libc_memalign(align, n));
}

void *aligned_alloc(size_t align, size_t n)
{
    return memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
    void *p = memalign(align, n);
    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

void free(void *p)
{
    count_out(p);
    __libc_free(p);
}

void fuzz_memory_begin(void)
{
    first = atomic_load(&live);
    atomic_store(&most, first);
}

size_t fuzz_memory_most(void)
{
    return atomic_load(&most) - first;
}

#else /* sanitizers have done so already, and keep what was freed */

void fuzz_memory_begin(void)
{
}

size_t fuzz_memory_most(void)
{
    return 0;
}

#endif
