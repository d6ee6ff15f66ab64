/* SPDX-License-Identifier: Apache-2.0
 * What a gzip stream holds, through libarchive, into memory of a bounded size. */
#include "codecs/format.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <archive.h>
#include <archive_entry.h>

#include <string.h>
#include <strings.h>

#define PIECE 65536

static tsr_status drain(struct archive *a, const char *name, size_t max_bytes, tsr_str *b)
{
    char *piece;
    TSR_TRY(tsr_alloc(&piece, PIECE, 1));
    tsr_status st = TSR_OK;
    for (;;) {
        la_ssize_t n = archive_read_data(a, piece, PIECE);
        if (n == 0)
            break;
        if (n < 0)
            TSR_GOFAIL(TSR_EFORMAT, "%s: gzip stream is damaged or truncated: %s", name,
                       archive_error_string(a));
        if ((size_t)n > max_bytes - b->len)
            TSR_GOFAIL(TSR_ELIMIT, "%s: holds more than the limit of %zu bytes once unpacked", name,
                       max_bytes);
        TSR_GO(tsr_str_add_bytes(b, piece, (size_t)n));
    }
out:
    tsr_free(piece);
    return st;
}

int tsr_is_gz(const char *name)
{
    return strcasecmp(tsr_path_extension(name), "gz") == 0;
}

tsr_status tsr_gunzip(tsr_blob *s, size_t max_bytes, tsr_blob *out)
{
    tsr_status st = TSR_OK;
    tsr_str b = {0};
    char *name = NULL;
    struct archive *a = NULL;
    struct archive_entry *entry;
    TSR_TRY(tsr_blob_load(s, max_bytes));
    if (s->bytes < 2 || s->data[0] != 0x1f || s->data[1] != 0x8b)
        TSR_FAIL(TSR_EFORMAT, "%s: is not a gzip file", s->name);
    TSR_GO(tsr_strndup(&name, s->name, strlen(s->name) - strlen(".gz")));
    a = archive_read_new();
    if (!a)
        TSR_GOFAIL(TSR_ENOMEM, "%s: out of memory", s->name);
    archive_read_support_filter_gzip(a);
    archive_read_support_format_raw(a);
    if (archive_read_open_memory(a, s->data, s->bytes) != ARCHIVE_OK ||
        archive_read_next_header(a, &entry) != ARCHIVE_OK)
        TSR_GOFAIL(TSR_EFORMAT, "%s: gzip stream cannot be read: %s", s->name,
                   archive_error_string(a));
    TSR_GO(drain(a, s->name, max_bytes, &b));
    TSR_GO(tsr_str_add(&b, ""));
    *out = tsr_blob_memory(name, b.s, b.len);
    out->loaded = b.s;
    out->own_name = name;
    b.s = name = NULL;
out:
    tsr_free(b.s);
    tsr_free(name);
    archive_read_free(a);
    return st;
}
