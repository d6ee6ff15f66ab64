/* SPDX-License-Identifier: Apache-2.0
 * Writes a corpus of made-up tokens: write_tokens FOLDER TRAIN VAL [TOKENIZER [WITHOUT [FIRST]]].
 * Used by the tests of training. */
#include "tokencorpus.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 7) {
        fprintf(stderr, "write_tokens FOLDER TRAIN VAL [TOKENIZER [WITHOUT [FIRST]]]\n");
        return 2;
    }
    const tc_spec s = {
        .folder = argv[1],
        .train = (uint32_t)atoi(argv[2]),
        .val = (uint32_t)atoi(argv[3]),
        .shard = 64,
        .crops = 1,
        .tokenizer = argc > 4 ? (uint64_t)atoi(argv[4]) : 7,
        .without = argc > 5 ? (unsigned)atoi(argv[5]) : 0,
        .first = argc > 6 ? (uint64_t)atoi(argv[6]) : 0,
    };
    if (tc_write(&s) != TSR_OK) {
        fprintf(stderr, "write_tokens: %s\n", tsr_error());
        return 1;
    }
    return 0;
}
