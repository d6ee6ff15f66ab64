/* SPDX-License-Identifier: Apache-2.0
 * Members of a tar in the order of the file, through libarchive. */
#include "codecs/tar.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "codecs/blob.h"
#include "codecs/tar_stream.h"

#include <archive_entry.h>

#include <string.h>

#define BLOCK_BYTES  65536
#define MEMBER_BYTES ((size_t)1 << 30)
#define MAX_WINDOW   (32 << 20) /* of zstd up to --long=25, of xz up to -8 */

struct tsr_tar {
    tsr_tar_stream stream;
    size_t max_bytes;
    char *data; /* of the current member, NUL-terminated */
    size_t cap;
};

/* ---- compression: what the first bytes say ---- */

/* zstd, RFC 8878, 3.1.1.1: the window descriptor, or the size of a single segment. */
static uint64_t zstd_window(const uint8_t *p)
{
    static const uint8_t id_bytes[] = {0, 1, 2, 4}, size_bytes[] = {1, 2, 4, 8};
    if (!(p[4] & 0x20))
        return ((uint64_t)(8 + (p[5] & 7)) << (p[5] >> 3)) << 7;
    const uint8_t *size = p + 5 + id_bytes[p[4] & 3];
    uint64_t n = 0;
    for (int i = size_bytes[p[4] >> 6] - 1; i >= 0; i--)
        n = n << 8 | size[i];
    return n;
}

/* The variable-length number at p[*at]; *at goes behind it. */
static uint64_t xz_number(const uint8_t *p, size_t n, size_t *at)
{
    uint64_t v = 0;
    for (int shift = 0; *at < n && shift < 63; shift += 7) {
        v |= (uint64_t)(p[*at] & 127) << shift;
        if (p[(*at)++] < 128)
            return v;
    }
    return UINT64_MAX;
}

/* xz, "The .xz File Format" 1.1.0, 3.1 and 5.3.1: the dictionary of the first block's last filter,
 * which is LZMA2 (0x21, one byte of properties). */
static uint64_t xz_window(const uint8_t *p, size_t n)
{
    size_t at = 14;
    for (int sizes = p[13] >> 6; sizes; sizes &= sizes - 1)
        (void)xz_number(p, n, &at);
    for (int i = 0; i <= (p[13] & 3); i++) {
        uint64_t id = xz_number(p, n, &at), bytes = xz_number(p, n, &at);
        if (id == 0x21 && at < n && p[at] <= 40)
            return (uint64_t)(2 | (p[at] & 1)) << (p[at] / 2 + 11);
        at = bytes < n - at ? at + (size_t)bytes : n;
    }
    return UINT64_MAX;
}

/* Decompressors take as much memory as a header of a few bytes asks for. */
static tsr_status check_window(const tsr_blob *s)
{
    uint8_t p[64] = {0};
    size_t n;
    uint64_t window = 0;
    TSR_TRY(tsr_blob_read(s, 0, p, sizeof p, &n));
    if (n >= 18 && memcmp(p, "\x28\xb5\x2f\xfd", 4) == 0)
        window = zstd_window(p);
    else if (n >= 18 && memcmp(p, "\xfd" "7zXZ\0", 6) == 0)
        window = xz_window(p, n);
    if (window > MAX_WINDOW)
        TSR_FAIL(TSR_ELIMIT, "%s: to be decompressed it needs a window of %llu bytes, more than %d",
                 s->name, (unsigned long long)window, MAX_WINDOW);
    return TSR_OK;
}

/* Formats whose decompressors are libraries; libarchive would start programs for some others. */
static void allow_filters(struct archive *a)
{
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_bzip2(a);
    archive_read_support_filter_xz(a);
    archive_read_support_filter_zstd(a);
}

/* ---- headers: shared with tar_set.c ---- */

tsr_status tsr_tar_stream_open(const char *path, tsr_tar_stream *s)
{
    *s = (tsr_tar_stream){.source.fd = -1};
    TSR_TRY(tsr_blob_open(path, &s->source));
    TSR_TRY(check_window(&s->source));
    s->a = archive_read_new();
    if (!s->a)
        TSR_FAIL(TSR_ENOMEM, "%s: out of memory", path);
    allow_filters(s->a);
    archive_read_support_format_tar(s->a);
    if (archive_read_open_fd(s->a, s->source.fd, BLOCK_BYTES) != ARCHIVE_OK)
        TSR_FAIL(TSR_EFORMAT, "%s: cannot be read as a tar: %s", path, archive_error_string(s->a));
    return TSR_OK;
}

void tsr_tar_stream_close(tsr_tar_stream *s)
{
    archive_read_free(s->a);
    tsr_blob_close(&s->source);
    s->a = NULL;
}

tsr_status tsr_tar_stream_next(tsr_tar_stream *s, const char **name, uint64_t *bytes, int *more)
{
    for (;;) {
        struct archive_entry *e;
        int code = archive_read_next_header(s->a, &e);
        if (code == ARCHIVE_EOF) {
            *more = 0;
            return TSR_OK;
        }
        if (code != ARCHIVE_OK)
            TSR_FAIL(TSR_EFORMAT, "%s: tar is damaged or truncated: %s", s->source.name,
                     archive_error_string(s->a));
        if (archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e))
            continue;
        const char *raw = archive_entry_pathname(e);
        if (!raw || !raw[0] || tsr_utf8_valid(raw, strlen(raw)) != strlen(raw))
            TSR_FAIL(TSR_EFORMAT, "%s: a member's name is empty or not UTF-8", s->source.name);
        if (archive_entry_sparse_count(e) > 0)
            TSR_FAIL(TSR_EUNSUPPORTED, "%s: member %s is sparse", s->source.name, raw);
        while (tsr_starts_with(raw, "./"))
            raw += 2;
        *name = raw;
        *bytes = (uint64_t)archive_entry_size(e);
        *more = 1;
        return TSR_OK;
    }
}

size_t tsr_tar_key_chars(const char *name)
{
    const char *last = tsr_path_name(name);
    return (size_t)(last - name) + strcspn(last, ".");
}

/* ---- members with their bytes ---- */

tsr_status tsr_tar_open(const char *path, size_t max_member_bytes, tsr_tar **out)
{
    tsr_tar *t;
    TSR_TRY(tsr_alloc(&t, 1, sizeof *t));
    t->max_bytes = max_member_bytes ? max_member_bytes : MEMBER_BYTES;
    tsr_status st = tsr_tar_stream_open(path, &t->stream);
    if (st != TSR_OK) {
        tsr_tar_close(t);
        return st;
    }
    *out = t;
    return TSR_OK;
}

/* What a header promises is believed only as far as bytes arrive. */
static tsr_status read_member(tsr_tar *t, const char *name, size_t bytes)
{
    const char *path = t->stream.source.name;
    size_t done = 0;
    while (done < bytes) {
        size_t want = bytes - done < ((size_t)1 << 20) ? bytes - done : (size_t)1 << 20;
        if (done + want + 1 > t->cap) {
            size_t cap = done + want + 1 + done;
            TSR_TRY(tsr_grow(&t->data, done, cap, 1));
            t->cap = cap;
        }
        la_ssize_t n = archive_read_data(t->stream.a, t->data + done, want);
        if (n <= 0)
            TSR_FAIL(TSR_EFORMAT, "%s: tar is damaged or truncated in member %s: %s", path, name,
                     n < 0 ? archive_error_string(t->stream.a) : "it ends early");
        done += (size_t)n;
    }
    if (!t->data) {
        TSR_TRY(tsr_alloc(&t->data, 1, 1));
        t->cap = 1;
    }
    t->data[bytes] = '\0';
    return TSR_OK;
}

tsr_status tsr_tar_next(tsr_tar *t, tsr_tar_member *out, int *more)
{
    const char *name;
    uint64_t bytes;
    TSR_TRY(tsr_tar_stream_next(&t->stream, &name, &bytes, more));
    if (!*more)
        return TSR_OK;
    if (bytes > t->max_bytes)
        TSR_FAIL(TSR_ELIMIT, "%s: member %s has %llu bytes, more than the limit of %zu",
                 t->stream.source.name, name, (unsigned long long)bytes, t->max_bytes);
    TSR_TRY(read_member(t, name, (size_t)bytes));
    *out = (tsr_tar_member){name, t->data, (size_t)bytes};
    return TSR_OK;
}

void tsr_tar_close(tsr_tar *t)
{
    if (!t)
        return;
    tsr_tar_stream_close(&t->stream);
    tsr_free(t->data);
    tsr_free(t);
}
