/* SPDX-License-Identifier: Apache-2.0
 * Runs a fuzz target on its seed corpus, on 500 files made of it by a fixed sequence of changes to
 * bytes, and on 500 made by changes that know the format. Fails on a crash, and when a file makes the
 * target ask for more memory than the file has and 64 MB. TESSERA_FUZZ=N: N files of each sort. */
#include "fuzz.h"

#include "base/file.h"
#include "base/mem.h"
#include "fuzz_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHANGED = 500, LIMIT = 64 << 20, ROOM = 128 << 10 };

static uint8_t current[(1 << 20) + ROOM]; /* the file that is being read, for whoever looks at a core */

/* One file; 1 when it takes too much memory. */
static int try_one(const uint8_t *data, size_t size, const char *path, unsigned seed)
{
    fuzz_memory_begin();
    LLVMFuzzerTestOneInput(data, size);
    size_t most = fuzz_memory_most();
    if (most <= LIMIT + size)
        return 0;
    fprintf(stderr, "%s, change %u: %zu bytes of memory for a file of %zu\n", path, seed, most, size);
    return 1;
}

static int run_seed(const char *path, uint32_t number, int changed)
{
    char *data;
    size_t size;
    int failed;
    if (tsr_file_read(path, sizeof current - ROOM, &data, &size) != TSR_OK) {
        fprintf(stderr, "%s\n", tsr_error());
        return 1;
    }
    failed = try_one((const uint8_t *)data, size, path, 0);
    for (int i = 0; i < 2 * changed; i++) {
        uint32_t x = number * 65537u + (uint32_t)i, changes = 1 + fuzz_below(&x, 3);
        size_t n = size;
        memcpy(current, data, size);
        for (uint32_t k = 0; k < changes; k++)
            n = i % 2 ? fuzz_change_bytes(current, n, sizeof current, &x)
                      : LLVMFuzzerCustomMutator(current, n, sizeof current, x = x * 5 + 1);
        uint8_t *exact = malloc(n ? n : 1); /* so that reading beyond the end is seen */
        if (!exact)
            return 1;
        memcpy(exact, current, n);
        failed |= try_one(exact, n, path, (unsigned)i);
        free(exact);
    }
    tsr_free(data);
    return failed;
}

int main(int argc, char **argv)
{
    const char *source = getenv("TESSERA_SOURCE"), *name = strrchr(argv[0], '_');
    const char *asked = getenv("TESSERA_FUZZ");
    char folder[4096], path[8192];
    tsr_names files = {0};
    int failed = 0, changed = asked ? atoi(asked) : CHANGED;
    snprintf(folder, sizeof folder, "%s/tests/fuzz/%s", source ? source : ".",
             name ? name + 1 : "");
    if (argc > 1)
        snprintf(folder, sizeof folder, "%s", argv[1]);
    if (tsr_list_folder(folder, &files) != TSR_OK || files.count == 0) {
        fprintf(stderr, "no seeds in %s\n", folder);
        return 99;
    }
    int each = (changed + (int)files.count - 1) / (int)files.count;
    for (size_t i = 0; i < files.count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files.names[i]);
        failed |= run_seed(path, (uint32_t)i + 1, each);
    }
    printf("%zu seeds, %d changed files\n", files.count, 2 * each * (int)files.count);
    tsr_names_clear(&files);
    return failed;
}
