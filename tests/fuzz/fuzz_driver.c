/* SPDX-License-Identifier: Apache-2.0
 * Runs a fuzz target on its seed corpus and on 500 files made of it by a fixed sequence of random
 * changes. Fails on a crash, and when memory grew by more than 64 MB and a file. */
#include "fuzz.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MUTATIONS = 500, LIMIT_KB = 64 * 1024 };

static uint32_t below(uint32_t *x, uint32_t n)
{
    *x = *x * 1664525u + 1013904223u;
    return n ? (*x >> 8) % n : 0;
}

/* Things that parsers stumble over; the last two are lengths of safetensors headers. */
static const struct {
    const char *s;
    size_t n;
} words[] = {{"99999999999999999999", 20},
             {"-1", 2},
             {"4294967295", 10},
             {"1e308", 5},
             {"4194303", 7},
             {"null", 4},
             {"[[[[[[[[[[[[[[[[", 16},
             {"{\"a\":", 5},
             {"\\ud800", 6},
             {"\xFF", 1},
             {"\"", 1},
             {"\\\\p{L}", 6},
             {"(?:", 3},
             {")*", 2},
             {"{9999}", 6},
             {"", 0},
             {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", 8},
             {"\0\0\0\0\2\0\0\0", 8}};

/* One change to buf[0..size), room for 64 bytes more; the new size. */
static size_t mutate(uint8_t *buf, size_t size, uint32_t *x)
{
    size_t at = below(x, (uint32_t)size + 1), left = size - at;
    size_t w = below(x, sizeof words / sizeof words[0]), n = words[w].n;
    switch (below(x, 5)) {
    case 0: /* a bit */
        if (left)
            buf[at] ^= (uint8_t)(1u << below(x, 8));
        return size;
    case 1: /* cut short */
        return at;
    case 2: /* take out */
        n = below(x, 24);
        n = n < left ? n : left;
        memmove(buf + at, buf + at + n, left - n);
        return size - n;
    case 3: /* put in */
        memmove(buf + at + n, buf + at, left);
        memcpy(buf + at, words[w].s, n);
        return size + n;
    default: /* put over, often at the start, where lengths are */
        at = below(x, 3) ? at : 0;
        n = n < size - at ? n : size - at;
        memcpy(buf + at, words[w].s, n);
        return size;
    }
}

static long peak_kb(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

static int run_seed(const char *path, uint32_t seed, int mutations)
{
    char *data;
    size_t size;
    if (tsr_file_read(path, 1 << 20, &data, &size) != TSR_OK) {
        fprintf(stderr, "%s\n", tsr_error());
        return 1;
    }
    LLVMFuzzerTestOneInput((const uint8_t *)data, size);
    const long before = peak_kb();
    for (int i = 0; i < mutations; i++) {
        uint32_t x = seed * 65537u + (uint32_t)i, changes = 1 + below(&x, 3);
        size_t n = size;
        uint8_t *buf = calloc(1, size + 256);
        if (!buf)
            return 1;
        memcpy(buf, data, size);
        for (uint32_t k = 0; k < changes; k++)
            n = mutate(buf, n, &x);
        LLVMFuzzerTestOneInput(buf, n);
        free(buf);
    }
    tsr_free(data);
    if (peak_kb() - before > LIMIT_KB + (long)(size >> 10)) {
        fprintf(stderr, "%s: memory grew by %ld KB\n", path, peak_kb() - before);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *source = getenv("TESSERA_SOURCE"), *name = strrchr(argv[0], '_');
    char folder[4096], path[8192];
    tsr_names files = {0};
    int failed = 0;
    snprintf(folder, sizeof folder, "%s/tests/fuzz/%s", source ? source : ".",
             name ? name + 1 : "");
    if (argc > 1)
        snprintf(folder, sizeof folder, "%s", argv[1]);
    if (tsr_list_folder(folder, &files) != TSR_OK || files.count == 0) {
        fprintf(stderr, "no seeds in %s\n", folder);
        return 99;
    }
    int each = (MUTATIONS + (int)files.count - 1) / (int)files.count;
    for (size_t i = 0; i < files.count && !failed; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files.names[i]);
        failed = run_seed(path, (uint32_t)i + 1, each);
    }
    printf("%zu seeds, %d changed files\n", files.count, each * (int)files.count);
    tsr_names_clear(&files);
    return failed;
}
