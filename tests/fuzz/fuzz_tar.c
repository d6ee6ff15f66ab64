/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: tars of corpora, in the order of the file and as a table of samples. */
#include "fuzz.h"

#include "base/mem.h"
#include "codecs/tar.h"

#include <string.h>

#define BLOCK 512
#define MEMBER_BYTES ((size_t)4 << 20)

static volatile unsigned sink;

static void in_order(const char *name)
{
    tsr_tar *t = NULL;
    tsr_tar_member m;
    int more = 1;
    tsr_status st = tsr_tar_open(name, MEMBER_BYTES, &t);
    while (st == TSR_OK && more) {
        st = tsr_tar_next(t, &m, &more);
        for (size_t i = 0; st == TSR_OK && more && i < m.bytes; i++)
            sink += (unsigned char)m.data[i];
    }
    fuzz_need_sentence(st, name);
    tsr_tar_close(t);
}

static void as_table(const char *name, const char *modality)
{
    const tsr_tar_source source = {name, modality};
    tsr_tar_set *s = NULL;
    tsr_status st = tsr_tar_set_open(&source, 1, &s);
    fuzz_need_sentence(st, name);
    if (st != TSR_OK)
        return;
    for (size_t i = 0; i < tsr_tar_set_count(s); i++) {
        char *data = NULL;
        size_t bytes;
        const char *which = modality ? modality : "rgb";
        if (!tsr_tar_set_name(s, i, which))
            continue;
        st = tsr_tar_set_read(s, i, which, MEMBER_BYTES, &data, &bytes);
        fuzz_need_sentence(st, name);
        tsr_free(data);
    }
    tsr_tar_set_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *name = fuzz_file(data, size, "tar");
    in_order(name);
    as_table(name, NULL);
    as_table(name, "rgb");
    return 0;
}

/* Fields of a header: offset and bytes. */
static const struct {
    size_t at, n;
} fields[] = {{0, 100}, {100, 8}, {124, 12}, {124, 12}, {136, 12}, {156, 1}, {157, 100}, {257, 8}, {345, 155}};

static void sign(uint8_t *block)
{
    unsigned sum = 0;
    memset(block + 148, ' ', 8);
    for (int i = 0; i < BLOCK; i++)
        sum += block[i];
    for (int i = 5; i >= 0; i--, sum >>= 3)
        block[148 + i] = (uint8_t)('0' + (sum & 7));
    block[154] = 0;
}

static void change_field(uint8_t *f, size_t n, uint32_t *x)
{
    static const char types[] = "0157KLSVgxDM", digits[] = "77777777777";
    uint64_t sizes[] = {0, 1, 511, 513, 10737418240u, INT64_MAX, UINT64_MAX, 4096};
    if (n == 1) {
        *f = (uint8_t)types[fuzz_below(x, sizeof types - 1)];
        return;
    }
    switch (fuzz_below(x, 4)) {
    case 0: /* octal digits, as many as there is room for */
        memcpy(f, digits, n < sizeof digits ? n : sizeof digits);
        break;
    case 1: /* a number in base 256 */
        memset(f, 0, n);
        fuzz_put(f + n - 8, sizes[fuzz_below(x, 8)], 8, 1);
        f[0] |= 0x80;
        break;
    case 2: /* not closed by a zero */
        memset(f, 'x', n);
        break;
    default:
        f[fuzz_below(x, (uint32_t)n)] ^= (uint8_t)(1u << fuzz_below(x, 8));
    }
}

/* A field of one of the headers, or the records of an extended one; the checksum is made right. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    uint32_t x = seed;
    size_t blocks = size / BLOCK, field = fuzz_below(&x, sizeof fields / sizeof fields[0]);
    uint8_t *block = data + BLOCK * fuzz_below(&x, (uint32_t)blocks);
    if (blocks == 0 || memcmp(block + 257, "ustar", 5) != 0)
        return fuzz_change_bytes(data, size, max, &x);
    if ((block[156] == 'x' || block[156] == 'g') && fuzz_below(&x, 2)) {
        size_t at = (size_t)(block - data) + BLOCK, n = size - at < 64 ? size - at : 64;
        uint8_t text[256];
        memcpy(text, data + at, n);
        size_t now = fuzz_change_text(text, n, sizeof text, &x);
        memcpy(data + at, text, now < n ? now : n);
        return size;
    }
    change_field(block + fields[field].at, fields[field].n, &x);
    sign(block);
    return size;
}
