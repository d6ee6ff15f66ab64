/* SPDX-License-Identifier: Apache-2.0
 * Reading a token file: HDF5 describes it once, rows come through pread. */
#include "shards/shard.h"

#include "base/file.h"
#include "base/mem.h"
#include "shards/h5.h"
#include "shards/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct tsr_shard {
    tsr_shard_info info;
    char *path;
    int fd;     /* rows of contiguous files, -1 otherwise */
    hid_t file; /* other files; -1 otherwise */
    tsr_h5_array tokens;
    unsigned char *present; /* [samples] */
    uint64_t *offsets;      /* sequences: [samples * crops + 1] */
    uint64_t failures;
};

/* The attribute that repeats what levels say has to agree with them. */
static tsr_status check_patch_size(hid_t tokens, const char *path, const tsr_token_space *s)
{
    uint32_t patch;
    TSR_TRY(tsr_h5_get_u32(tokens, "patch_size", path, &patch));
    if (patch != tsr_space_patch(s))
        TSR_FAIL(TSR_EFORMAT, "%s: \"patch_size\" %u does not fit %u levels", path, patch,
                 s->levels);
    return TSR_OK;
}

static tsr_status read_info(hid_t file, hid_t tokens, const char *path, tsr_shard_info *info)
{
    char text[TSR_NAME_CHARS];
    uint32_t grid[2];
    TSR_TRY(tsr_h5_check_kind(file, TSR_KIND_TOKENS, path));
    TSR_TRY(tsr_h5_get_u32(file, "shard", path, &info->shard));
    TSR_TRY(tsr_h5_get_u64(file, "samples", path, &info->samples));
    TSR_TRY(tsr_h5_get_u32(file, "crops", path, &info->crops));
    TSR_TRY(tsr_h5_get_text(file, "keys_digest", path, text, sizeof text));
    TSR_TRY(tsr_digest_parse(text, &info->keys));
    tsr_token_space *s = &info->space;
    TSR_TRY(tsr_h5_get_text(tokens, "modality", path, s->modality, sizeof s->modality));
    TSR_TRY(tsr_h5_get_text(tokens, "layout", path, text, sizeof text));
    TSR_TRY(tsr_layout_parse(text, path, &s->layout));
    TSR_TRY(tsr_h5_get_pair(tokens, "grid", path, grid));
    s->height = grid[0];
    s->width = grid[1];
    TSR_TRY(tsr_h5_get_u32(tokens, "levels", path, &s->levels));
    if (s->layout == TSR_LAYOUT_PATCHES)
        TSR_TRY(check_patch_size(tokens, path, s));
    TSR_TRY(tsr_h5_get_u32(tokens, "codebook_size", path, &s->codebook_size));
    TSR_TRY(tsr_h5_get_u32(tokens, "base", path, &s->base));
    TSR_TRY(tsr_h5_get_text(tokens, "vocabulary", path, s->vocabulary, sizeof s->vocabulary));
    TSR_TRY(tsr_h5_get_text(tokens, "tokenizer", path, text, sizeof text));
    TSR_TRY(tsr_digest_parse(text, &s->tokenizer));
    return tsr_shard_info_check(info, path);
}

/* A one-dimensional dataset of `count` integers, all of it, as `type`. */
static tsr_status read_list(tsr_shard *s, const char *name, uint64_t count, uint64_t file_bytes,
                            hid_t type, void *into)
{
    tsr_h5_array a;
    size_t size = H5Tget_size(type);
    void *data = NULL;
    TSR_TRY(tsr_h5_array_open(s->file, name, s->path, file_bytes, &a));
    tsr_status st = TSR_OK;
    if (a.ndim != 1 || a.kind != H5T_INTEGER || a.dims[0] != count)
        TSR_GOFAIL(TSR_EFORMAT, "%s: \"%s\" should have %llu integers, and has %llu", s->path, name,
                   (unsigned long long)count, (unsigned long long)a.count);
    TSR_GO(tsr_alloc(&data, count, size));
    TSR_GO(tsr_h5_array_read(&a, s->path, type, data));
    *(void **)into = data;
    data = NULL;
out:
    tsr_free(data);
    tsr_h5_array_close(&a);
    return st;
}

static tsr_status check_offsets(const tsr_shard *s)
{
    uint64_t rows = s->info.samples * s->info.crops;
    if (s->offsets[0] != 0 || s->offsets[rows] != s->tokens.count)
        TSR_FAIL(TSR_EFORMAT, "%s: offsets go from %llu to %llu, expected from 0 to %llu", s->path,
                 (unsigned long long)s->offsets[0], (unsigned long long)s->offsets[rows],
                 (unsigned long long)s->tokens.count);
    for (uint64_t i = 0; i < rows; i++)
        if (s->offsets[i] > s->offsets[i + 1])
            TSR_FAIL(TSR_EFORMAT, "%s: offsets decrease after row %llu", s->path,
                     (unsigned long long)i);
    for (uint64_t i = 0; i < rows; i++) {
        uint64_t n = s->offsets[i + 1] - s->offsets[i];
        if (n > TSR_SHARD_MAX_ROW)
            TSR_FAIL(TSR_ELIMIT, "%s: row %llu has %llu ids, at most %u are allowed", s->path,
                     (unsigned long long)i, (unsigned long long)n, TSR_SHARD_MAX_ROW);
        if (n && s->present[i / s->info.crops] != TSR_REAL)
            TSR_FAIL(TSR_EFORMAT, "%s: row %llu has tokens and is marked as absent", s->path,
                     (unsigned long long)i);
    }
    return TSR_OK;
}

static tsr_status check_tokens(const tsr_shard *s)
{
    uint64_t dims[4] = {s->tokens.count};
    int ndim = s->offsets ? 1 : tsr_grid_shape(&s->info, dims);
    size_t bytes = tsr_id_bytes(&s->info.space);
    if (s->tokens.kind != H5T_INTEGER || s->tokens.is_signed || s->tokens.item_bytes != bytes)
        TSR_FAIL(TSR_EFORMAT, "%s: \"tokens\" should be unsigned integers of %zu bits", s->path,
                 8 * bytes);
    if (s->tokens.ndim != ndim || memcmp(s->tokens.dims, dims, (size_t)ndim * sizeof dims[0]) != 0)
        TSR_FAIL(TSR_EFORMAT,
                 "%s: the shape of \"tokens\" does not fit %llu samples, %u crops, "
                 "a grid of %u x %u and %u levels",
                 s->path, (unsigned long long)s->info.samples, s->info.crops, s->info.space.height,
                 s->info.space.width, s->info.space.levels);
    return TSR_OK;
}

static tsr_status check_present(tsr_shard *s)
{
    uint64_t failed = 0;
    for (uint64_t i = 0; i < s->info.samples; i++) {
        if (s->present[i] > TSR_FAILED)
            TSR_FAIL(TSR_EFORMAT, "%s: sample %llu has present code %u, only 0, 1 and 2 are known",
                     s->path, (unsigned long long)i, s->present[i]);
        failed += s->present[i] == TSR_FAILED;
    }
    s->failures = failed;
    return TSR_OK;
}

/* Everything that needs HDF5; leaves s->file open. */
static tsr_status describe(tsr_shard *s, uint64_t bytes)
{
    TSR_TRY(tsr_h5_open(s->path, &s->file));
    TSR_TRY(tsr_h5_array_open(s->file, "tokens", s->path, bytes, &s->tokens));
    TSR_TRY(read_info(s->file, s->tokens.set, s->path, &s->info));
    TSR_TRY(read_list(s, "present", s->info.samples, bytes, H5T_NATIVE_UINT8, &s->present));
    TSR_TRY(check_present(s));
    if (s->info.space.layout == TSR_LAYOUT_SEQUENCE) {
        TSR_TRY(read_list(s, "offsets", s->info.samples * s->info.crops + 1, bytes,
                          H5T_NATIVE_UINT64, &s->offsets));
        TSR_TRY(check_offsets(s));
    }
    return check_tokens(s);
}

static void release_h5(tsr_shard *s)
{
    tsr_h5_array_close(&s->tokens);
    if (s->file >= 0)
        H5Fclose(s->file);
    s->file = -1;
}

static tsr_status open_here(const char *path, tsr_shard *s)
{
    uint64_t bytes;
    int64_t mtime;
    TSR_TRY(tsr_strdup(&s->path, path));
    TSR_TRY(tsr_file_stat(path, &bytes, &mtime));
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0)
        TSR_FAIL(errno == ENOENT ? TSR_ENOENT : TSR_EIO, "%s: cannot be opened: %s", path,
                 strerror(errno));
    tsr_h5_enter();
    tsr_status st = describe(s, bytes);
    if (st != TSR_OK || s->tokens.contiguous)
        release_h5(s);
    tsr_h5_leave();
    return st;
}

tsr_status tsr_shard_open(const char *path, tsr_shard **out)
{
    tsr_shard *s;
    TSR_TRY(tsr_alloc(&s, 1, sizeof *s));
    s->fd = -1;
    s->file = -1;
    s->tokens.set = -1;
    tsr_status st = open_here(path, s);
    if (st != TSR_OK) {
        tsr_shard_close(s);
        return st;
    }
    *out = s;
    return TSR_OK;
}

void tsr_shard_close(tsr_shard *s)
{
    if (!s)
        return;
    if (s->file >= 0) {
        tsr_h5_enter();
        release_h5(s);
        tsr_h5_leave();
    }
    if (s->fd >= 0)
        close(s->fd);
    tsr_free(s->path);
    tsr_free(s->present);
    tsr_free(s->offsets);
    tsr_free(s);
}

const tsr_shard_info *tsr_shard_get_info(const tsr_shard *s)
{
    return &s->info;
}

tsr_present tsr_shard_present(const tsr_shard *s, uint64_t row)
{
    return row < s->info.samples ? (tsr_present)s->present[row] : TSR_MISSING;
}

static uint64_t flat_row(const tsr_shard *s, uint64_t row, uint32_t crop)
{
    return row * s->info.crops + (s->info.crops > 1 ? crop : 0);
}

size_t tsr_shard_count(const tsr_shard *s, uint64_t row, uint32_t crop)
{
    if (tsr_shard_present(s, row) != TSR_REAL || (s->info.crops > 1 && crop >= s->info.crops))
        return 0;
    uint64_t at = flat_row(s, row, crop);
    return s->offsets ? (size_t)(s->offsets[at + 1] - s->offsets[at])
                      : tsr_grid_ids(&s->info.space);
}

static tsr_status read_bytes(const tsr_shard *s, uint64_t at, size_t bytes, char *into)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(s->fd, into + done, bytes - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            TSR_FAIL(TSR_EIO, "%s: reading failed: %s", s->path, strerror(errno));
        if (n == 0)
            TSR_FAIL(TSR_EIO, "%s: became shorter while it was open", s->path);
        done += (size_t)n;
    }
    return TSR_OK;
}

/* ids were read into the end of the array as u16 or u8; spread them from the front. Reading stays
 * ahead of writing: item i is read at byte 2n + 2i (3n + i) and written at byte 4i. */
static void widen(uint32_t *ids, size_t n, size_t size)
{
    const unsigned char *from = (const unsigned char *)ids + (sizeof *ids - size) * n;
    for (size_t i = 0; i < n && size == 1; i++)
        ids[i] = from[i];
    for (size_t i = 0; i < n && size == 2; i++) {
        uint16_t v;
        memcpy(&v, from + 2 * i, 2);
        ids[i] = v;
    }
}

/* Chunked files: whole samples for grids (the crop is picked out), items for sequences. `type` is
 * what items become in memory. */
static tsr_status read_slow(const tsr_shard *s, uint64_t row, uint32_t crop, size_t n, hid_t type,
                            void *into)
{
    char *sample = NULL;
    uint64_t at = flat_row(s, row, crop);
    size_t bytes = n * H5Tget_size(type);
    tsr_status st = TSR_OK;
    if (!s->offsets && s->info.crops > 1)
        TSR_TRY(tsr_alloc(&sample, bytes, s->info.crops));
    tsr_h5_enter();
    if (s->offsets)
        st = tsr_h5_array_rows(&s->tokens, s->path, type, s->offsets[at], n, into);
    else
        st = tsr_h5_array_rows(&s->tokens, s->path, type, row, 1, sample ? sample : into);
    tsr_h5_leave();
    if (st == TSR_OK && sample)
        memcpy(into, sample + crop * bytes, bytes);
    tsr_free(sample);
    return st;
}

/* The stored items as they are, [n] of tokens.item_bytes. */
static tsr_status read_stored(const tsr_shard *s, uint64_t row, uint32_t crop, size_t n, void *into)
{
    size_t size = s->tokens.item_bytes;
    uint64_t at = flat_row(s, row, crop), first = s->offsets ? s->offsets[at] : at * n;
    return read_bytes(s, s->tokens.file_offset + first * size, n * size, into);
}

static tsr_status read_fast(const tsr_shard *s, uint64_t row, uint32_t crop, size_t n,
                            uint32_t *ids)
{
    size_t size = s->tokens.item_bytes;
    TSR_TRY(read_stored(s, row, crop, n, (char *)ids + n * (sizeof *ids - size)));
    widen(ids, n, size);
    return TSR_OK;
}

static int is_fast(const tsr_shard *s)
{
    return s->fd >= 0 && s->tokens.contiguous;
}

static tsr_status check_place(const tsr_shard *s, uint64_t row, uint32_t crop)
{
    if (row >= s->info.samples || (s->info.crops > 1 && crop >= s->info.crops))
        TSR_FAIL(TSR_EARG, "%s: sample %llu, crop %u of a file of %llu samples with %u crops",
                 s->path, (unsigned long long)row, crop, (unsigned long long)s->info.samples,
                 s->info.crops);
    return TSR_OK;
}

tsr_status tsr_shard_read(const tsr_shard *s, uint64_t row, uint32_t crop, uint32_t *ids)
{
    TSR_TRY(check_place(s, row, crop));
    size_t n = tsr_shard_count(s, row, crop);
    if (n == 0)
        return TSR_OK;
    TSR_TRY(is_fast(s) ? read_fast(s, row, crop, n, ids)
                       : read_slow(s, row, crop, n, H5T_NATIVE_UINT32, ids));
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= s->info.space.codebook_size)
            TSR_FAIL(TSR_EFORMAT, "%s: sample %llu has id %u, the codebook has %u codes", s->path,
                     (unsigned long long)row, ids[i], s->info.space.codebook_size);
    return TSR_OK;
}

tsr_status tsr_shard_read_bytes(const tsr_shard *s, uint64_t row, uint32_t crop, uint8_t *bytes)
{
    TSR_TRY(check_place(s, row, crop));
    if (s->info.space.layout != TSR_LAYOUT_PATCHES)
        TSR_FAIL(TSR_EARG, "%s: holds tokens, not bytes of patches", s->path);
    size_t n = tsr_shard_count(s, row, crop);
    if (n == 0)
        return TSR_OK;
    return is_fast(s) ? read_stored(s, row, crop, n, bytes)
                      : read_slow(s, row, crop, n, H5T_NATIVE_UINT8, bytes);
}

tsr_status tsr_shard_take(const tsr_shard *s, uint64_t row, uint32_t crop, tsr_tokens *out)
{
    tsr_tokens t;
    TSR_TRY(tsr_tokens_init(&t, tsr_shard_count(s, row, crop)));
    tsr_status st = tsr_shard_read(s, row, crop, t.ids);
    if (st != TSR_OK) {
        tsr_tokens_clear(&t);
        return st;
    }
    *out = t;
    return TSR_OK;
}

/* rows, offsets and text of all failures, checked against each other. */
typedef struct failure_lists {
    uint64_t *rows, *offsets;
    unsigned char *text;
} failure_lists;

static tsr_status read_failures(tsr_shard *s, uint64_t bytes, failure_lists *f)
{
    TSR_TRY(read_list(s, "failures/rows", s->failures, bytes, H5T_NATIVE_UINT64, &f->rows));
    TSR_TRY(
        read_list(s, "failures/offsets", s->failures + 1, bytes, H5T_NATIVE_UINT64, &f->offsets));
    uint64_t total = f->offsets[s->failures];
    if (total > s->failures * 65536)
        TSR_FAIL(TSR_ELIMIT, "%s: %llu bytes of reasons for %llu failures", s->path,
                 (unsigned long long)total, (unsigned long long)s->failures);
    for (uint64_t i = 0; i < s->failures; i++)
        if (f->offsets[i] > f->offsets[i + 1] || f->offsets[0] != 0 ||
            (i && f->rows[i] <= f->rows[i - 1]) || tsr_shard_present(s, f->rows[i]) != TSR_FAILED)
            TSR_FAIL(TSR_EFORMAT, "%s: the list of failures is damaged at entry %llu", s->path,
                     (unsigned long long)i);
    return read_list(s, "failures/text", total, bytes, H5T_NATIVE_UINT8, &f->text);
}

static tsr_status take_failures(const tsr_shard *s, const failure_lists *f, tsr_failures *out)
{
    tsr_failures all = {0};
    tsr_status st = TSR_OK;
    TSR_GO(tsr_alloc(&all.items, s->failures, sizeof *all.items));
    for (; all.count < s->failures; all.count++) {
        size_t i = all.count;
        all.items[i].row = f->rows[i];
        TSR_GO(tsr_strndup(&all.items[i].reason, (const char *)f->text + f->offsets[i],
                           f->offsets[i + 1] - f->offsets[i]));
    }
    *out = all;
    return TSR_OK;
out:
    tsr_failures_clear(&all);
    return st;
}

tsr_status tsr_shard_failures(const tsr_shard *s, tsr_failures *out)
{
    failure_lists f = {0};
    tsr_shard again = *s;
    uint64_t bytes;
    int64_t mtime;
    TSR_TRY(tsr_file_stat(s->path, &bytes, &mtime));
    tsr_h5_enter();
    tsr_status st = tsr_h5_open(s->path, &again.file);
    if (st == TSR_OK) {
        st = read_failures(&again, bytes, &f);
        H5Fclose(again.file);
    }
    tsr_h5_leave();
    if (st == TSR_OK)
        st = take_failures(s, &f, out);
    tsr_free(f.rows);
    tsr_free(f.offsets);
    tsr_free(f.text);
    return st;
}

void tsr_failures_clear(tsr_failures *f)
{
    for (size_t i = 0; i < f->count; i++)
        tsr_free(f->items[i].reason);
    tsr_free(f->items);
    *f = (tsr_failures){0};
}
