/* SPDX-License-Identifier: Apache-2.0
 * Writing a token file: rows are kept in memory, the file is written in one go and renamed. */
#include "shards/shard.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "shards/h5.h"
#include "shards/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SPOOL_BYTES ((size_t)16 << 20) /* read back at once */

struct tsr_shard_writer {
    tsr_shard_info info;
    size_t row_ids, id_bytes;
    unsigned char *present;
    char **reason;      /* [samples] */
    int fixed;          /* 1: every row has row_ids ids: grids, patches */
    char *grid;         /* fixed rows: [samples, crops, row_ids], stored type; NULL when spooled */
    int spool;          /* file with the same contents, or -1 */
    tsr_tokens *ragged; /* sequences: [samples * crops] */
};

/* Bytes of all crops of a sample. */
static size_t row_bytes(const tsr_shard_writer *w)
{
    return w->info.crops * w->row_ids * w->id_bytes;
}

static tsr_status spool_failure(const tsr_shard_writer *w, const char *what)
{
    TSR_FAIL(TSR_EIO, "modality %s: rows set aside could not be %s: %s", w->info.space.modality,
             what, strerror(errno));
}

static tsr_status open_spool(tsr_shard_writer *w, const char *folder)
{
    char *name = NULL, *path = NULL, *temp = NULL;
    tsr_status st = TSR_OK;
    if (!w->fixed)
        TSR_FAIL(TSR_EARG, "modality %s: rows of a sequence cannot be set aside",
                 w->info.space.modality);
    TSR_GO(tsr_shard_name(w->info.space.modality, w->info.shard, &name));
    TSR_GO(tsr_path_join(&path, folder, name));
    TSR_GO(tsr_file_temp_name(path, &temp));
    w->spool = open(temp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (w->spool < 0)
        TSR_GOFAIL(TSR_EIO, "%s: cannot be made: %s", temp, strerror(errno));
    unlink(temp);
    /* Rows that nobody writes read as 0. */
    if (ftruncate(w->spool, (off_t)(w->info.samples * row_bytes(w))) != 0)
        TSR_GO(spool_failure(w, "given room"));
out:
    tsr_free(name);
    tsr_free(path);
    tsr_free(temp);
    return st;
}

/* `folder` NULL: rows in memory. */
static tsr_status create(const tsr_shard_info *info, const char *folder, tsr_shard_writer **out)
{
    TSR_TRY(tsr_shard_info_check(info, info->space.modality));
    tsr_status st = TSR_OK;
    tsr_shard_writer *w;
    size_t rows = info->samples * info->crops, ids;
    TSR_TRY(tsr_alloc(&w, 1, sizeof *w));
    w->info = *info;
    w->spool = -1;
    w->fixed = info->space.layout != TSR_LAYOUT_SEQUENCE;
    w->row_ids = tsr_grid_ids(&info->space);
    w->id_bytes = tsr_id_bytes(&info->space);
    TSR_GO(tsr_mul_size(rows, w->row_ids, &ids));
    TSR_GO(tsr_alloc(&w->present, info->samples, 1));
    TSR_GO(tsr_alloc(&w->reason, info->samples, sizeof *w->reason));
    if (folder)
        TSR_GO(open_spool(w, folder));
    else if (w->fixed)
        TSR_GO(tsr_alloc(&w->grid, ids, w->id_bytes));
    else
        TSR_GO(tsr_alloc(&w->ragged, rows, sizeof *w->ragged));
    *out = w;
    w = NULL;
out:
    tsr_shard_writer_destroy(w);
    return st;
}

tsr_status tsr_shard_writer_create(const tsr_shard_info *info, tsr_shard_writer **out)
{
    return create(info, NULL, out);
}

tsr_status tsr_shard_writer_create_aside(const tsr_shard_info *info, const char *folder,
                                         tsr_shard_writer **out)
{
    return create(info, folder, out);
}

void tsr_shard_writer_destroy(tsr_shard_writer *w)
{
    if (!w)
        return;
    for (size_t i = 0; w->reason && i < w->info.samples; i++)
        tsr_free(w->reason[i]);
    for (size_t i = 0; w->ragged && i < w->info.samples * w->info.crops; i++)
        tsr_tokens_clear(&w->ragged[i]);
    if (w->spool >= 0)
        close(w->spool);
    tsr_free(w->present);
    tsr_free(w->reason);
    tsr_free(w->grid);
    tsr_free(w->ragged);
    tsr_free(w);
}

/* Store ids in the file's type. */
static void narrow(const uint32_t *ids, size_t n, size_t id_bytes, char *into)
{
    if (id_bytes == 4) {
        memcpy(into, ids, n * 4);
        return;
    }
    for (size_t i = 0; i < n && id_bytes == 1; i++)
        into[i] = (char)ids[i];
    for (size_t i = 0; i < n && id_bytes == 2; i++) {
        uint16_t v = (uint16_t)ids[i];
        memcpy(into + 2 * i, &v, 2);
    }
}

static tsr_status check_row(const tsr_shard_writer *w, uint64_t row, const tsr_tokens *t)
{
    const tsr_token_space *s = &w->info.space;
    size_t limit = w->fixed ? w->row_ids : TSR_SHARD_MAX_ROW;
    if (t->count > limit || (w->fixed && t->count != limit))
        TSR_FAIL(TSR_EARG, "modality %s: row %llu has %zu ids where %zu are %s", s->modality,
                 (unsigned long long)row, t->count, limit,
                 w->fixed ? "expected" : "the most");
    for (size_t i = 0; i < t->count; i++)
        if (t->ids[i] >= s->codebook_size)
            TSR_FAIL(TSR_EARG, "modality %s: row %llu has id %u, the codebook has %u codes",
                     s->modality, (unsigned long long)row, t->ids[i], s->codebook_size);
    return TSR_OK;
}

static tsr_status check_free(const tsr_shard_writer *w, uint64_t row)
{
    if (row >= w->info.samples)
        TSR_FAIL(TSR_EARG, "modality %s: row %llu of a shard of %llu samples",
                 w->info.space.modality, (unsigned long long)row,
                 (unsigned long long)w->info.samples);
    if (w->present[row] != TSR_MISSING)
        TSR_FAIL(TSR_EARG, "modality %s: row %llu was given twice", w->info.space.modality,
                 (unsigned long long)row);
    return TSR_OK;
}

static tsr_status put_fixed(tsr_shard_writer *w, uint64_t row, const tsr_tokens *tokens)
{
    size_t bytes = row_bytes(w), one = w->row_ids * w->id_bytes, done = 0;
    char *to = NULL;
    tsr_status st = TSR_OK;
    if (w->grid)
        to = w->grid + row * bytes;
    else
        TSR_TRY(tsr_alloc(&to, bytes, 1));
    for (uint32_t c = 0; c < w->info.crops; c++)
        narrow(tokens[c].ids, w->row_ids, w->id_bytes, to + c * one);
    while (!w->grid && done < bytes) {
        ssize_t n = pwrite(w->spool, to + done, bytes - done, (off_t)(row * bytes + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            TSR_GO(spool_failure(w, "written"));
        done += (size_t)n;
    }
out:
    if (!w->grid)
        tsr_free(to);
    return st;
}

static tsr_status put_ragged(tsr_shard_writer *w, uint64_t row, const tsr_tokens *tokens)
{
    for (uint32_t c = 0; c < w->info.crops; c++) {
        tsr_tokens *to = &w->ragged[(size_t)row * w->info.crops + c];
        TSR_TRY(tsr_tokens_init(to, tokens[c].count));
        if (tokens[c].count)
            memcpy(to->ids, tokens[c].ids, tokens[c].count * sizeof *tokens[c].ids);
    }
    return TSR_OK;
}

tsr_status tsr_shard_writer_put(tsr_shard_writer *w, uint64_t row, const tsr_tokens *tokens)
{
    TSR_TRY(check_free(w, row));
    for (uint32_t c = 0; c < w->info.crops; c++)
        TSR_TRY(check_row(w, row, &tokens[c]));
    TSR_TRY(w->fixed ? put_fixed(w, row, tokens) : put_ragged(w, row, tokens));
    w->present[row] = TSR_REAL;
    return TSR_OK;
}

tsr_status tsr_shard_writer_fail(tsr_shard_writer *w, uint64_t row, const char *reason)
{
    TSR_TRY(check_free(w, row));
    size_t n = strlen(reason);
    n = tsr_utf8_valid(reason, n < 1023 ? n : 1023);
    TSR_TRY(tsr_strndup(&w->reason[row], reason, n));
    w->present[row] = TSR_FAILED;
    return TSR_OK;
}

void tsr_shard_writer_align(tsr_shard_writer *w, tsr_digest keys)
{
    w->info.keys = keys;
}

const char *tsr_shard_writer_reason(const tsr_shard_writer *w, uint64_t row)
{
    return row < w->info.samples ? w->reason[row] : NULL;
}

static tsr_status put_root(hid_t file, const tsr_shard_info *info, const char *path)
{
    char digest[TSR_DIGEST_CHARS];
    tsr_digest_text(info->keys, digest);
    TSR_TRY(tsr_h5_put_text(file, "format", TSR_FORMAT_SHARD, path));
    TSR_TRY(tsr_h5_put_u32(file, "format_version", TSR_SHARD_VERSION, path));
    TSR_TRY(tsr_h5_put_text(file, "kind", TSR_KIND_TOKENS, path));
    TSR_TRY(tsr_h5_put_u32(file, "shard", info->shard, path));
    TSR_TRY(tsr_h5_put_number(file, "samples", H5T_NATIVE_UINT64, &info->samples, path));
    TSR_TRY(tsr_h5_put_u32(file, "crops", info->crops, path));
    return tsr_h5_put_text(file, "keys_digest", digest, path);
}

hid_t tsr_h5_token_type(const tsr_token_space *s)
{
    size_t bytes = tsr_id_bytes(s);
    return bytes == 1 ? H5T_STD_U8LE : bytes == 2 ? H5T_STD_U16LE : H5T_STD_U32LE;
}

tsr_status tsr_h5_put_space(hid_t set, const tsr_token_space *s, const char *path)
{
    char digest[TSR_DIGEST_CHARS];
    tsr_digest_text(s->tokenizer, digest);
    TSR_TRY(tsr_h5_put_text(set, "modality", s->modality, path));
    TSR_TRY(tsr_h5_put_text(set, "layout", tsr_layout_name(s->layout), path));
    TSR_TRY(tsr_h5_put_pair(set, "grid", s->height, s->width, path));
    TSR_TRY(tsr_h5_put_u32(set, "levels", s->levels, path));
    if (s->layout == TSR_LAYOUT_PATCHES)
        TSR_TRY(tsr_h5_put_u32(set, "patch_size", tsr_space_patch(s), path));
    TSR_TRY(tsr_h5_put_u32(set, "codebook_size", s->codebook_size, path));
    TSR_TRY(tsr_h5_put_u32(set, "base", s->base, path));
    TSR_TRY(tsr_h5_put_text(set, "vocabulary", s->vocabulary, path));
    return tsr_h5_put_text(set, "tokenizer", digest, path);
}

/* Sequences: one flat array and where each row begins. */
static tsr_status flatten(const tsr_shard_writer *w, char **flat, uint64_t **offsets)
{
    size_t rows = w->info.samples * w->info.crops;
    uint64_t *at = NULL;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_alloc(&at, rows + 1, sizeof *at));
    for (size_t i = 0; i < rows; i++)
        at[i + 1] = at[i] + w->ragged[i].count;
    TSR_GO(tsr_alloc(flat, at[rows], w->id_bytes));
    for (size_t i = 0; i < rows; i++)
        if (w->ragged[i].count)
            narrow(w->ragged[i].ids, w->ragged[i].count, w->id_bytes, *flat + at[i] * w->id_bytes);
    *offsets = at;
    at = NULL;
out:
    tsr_free(at);
    return st;
}

static tsr_status read_spool(const tsr_shard_writer *w, uint64_t at, size_t bytes, char *into)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(w->spool, into + done, bytes - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return spool_failure(w, "read");
        done += (size_t)n;
    }
    return TSR_OK;
}

/* Rows that were set aside, some at a time, into a dataset of their shape. */
static tsr_status copy_spool(hid_t set, const tsr_shard_writer *w, hid_t type, const char *path)
{
    size_t bytes = row_bytes(w), step = SPOOL_BYTES / bytes;
    uint64_t dims[TSR_H5_DIMS], samples = w->info.samples;
    int ndim = tsr_grid_shape(&w->info, dims);
    char *rows;
    tsr_status st = TSR_OK;
    step = step ? step : 1;
    TSR_TRY(tsr_alloc(&rows, step, bytes));
    for (uint64_t at = 0; at < samples; at += step) {
        const uint64_t range[2] = {at, samples - at < step ? samples - at : step};
        TSR_GO(read_spool(w, at * bytes, range[1] * bytes, rows));
        TSR_GO(tsr_h5_put_rows(set, type, ndim, dims, range, rows, path));
    }
out:
    tsr_free(rows);
    return st;
}

static tsr_status put_tokens(hid_t file, const tsr_shard_writer *w, const char *path)
{
    hid_t set, type = tsr_h5_token_type(&w->info.space);
    tsr_status st = TSR_OK;
    uint64_t dims[TSR_H5_DIMS], *offsets = NULL;
    char *flat = NULL;
    int ndim = 1;
    if (w->fixed) {
        ndim = tsr_grid_shape(&w->info, dims);
    } else {
        uint64_t rows = w->info.samples * w->info.crops + 1;
        TSR_GO(flatten(w, &flat, &offsets));
        TSR_GO(tsr_h5_put(file, "offsets", H5T_STD_U64LE, 1, &rows, offsets, path, NULL));
        dims[0] = offsets[rows - 1];
    }
    TSR_GO(tsr_h5_put(file, "tokens", type, ndim, dims, w->fixed ? w->grid : flat, path, &set));
    if (w->spool >= 0)
        st = copy_spool(set, w, type, path);
    if (st == TSR_OK)
        st = tsr_h5_put_space(set, &w->info.space, path);
    H5Dclose(set);
out:
    tsr_free(flat);
    tsr_free(offsets);
    return st;
}

static tsr_status put_failures(hid_t file, const tsr_shard_writer *w, const char *path)
{
    tsr_status st = TSR_OK;
    uint64_t *rows = NULL, *offsets = NULL, n = 0, ends, bytes;
    tsr_str text = {0};
    TSR_GO(tsr_alloc(&rows, w->info.samples, sizeof *rows));
    TSR_GO(tsr_alloc(&offsets, w->info.samples + 1, sizeof *offsets));
    for (uint64_t i = 0; i < w->info.samples; i++) {
        if (!w->reason[i])
            continue;
        TSR_GO(tsr_str_add(&text, w->reason[i]));
        rows[n++] = i;
        offsets[n] = text.len;
    }
    ends = n + 1;
    bytes = text.len;
    TSR_GO(tsr_h5_group(file, "failures", path));
    TSR_GO(tsr_h5_put(file, "failures/rows", H5T_STD_U64LE, 1, &n, rows, path, NULL));
    TSR_GO(tsr_h5_put(file, "failures/offsets", H5T_STD_U64LE, 1, &ends, offsets, path, NULL));
    TSR_GO(tsr_h5_put(file, "failures/text", H5T_STD_U8LE, 1, &bytes, text.s, path, NULL));
out:
    tsr_free(rows);
    tsr_free(offsets);
    tsr_str_clear(&text);
    return st;
}

static tsr_status write_file(const tsr_shard_writer *w, const char *path)
{
    hid_t file;
    TSR_TRY(tsr_h5_create(path, 0, &file));
    tsr_status st = put_root(file, &w->info, path);
    if (st == TSR_OK)
        st = tsr_h5_put(file, "present", H5T_STD_U8LE, 1, &w->info.samples, w->present, path, NULL);
    if (st == TSR_OK)
        st = put_tokens(file, w, path);
    if (st == TSR_OK)
        st = put_failures(file, w, path);
    if (st != TSR_OK) {
        H5Fclose(file);
        return st;
    }
    return tsr_h5_close(file, path);
}

static void count_rows(const tsr_shard_writer *w, tsr_shard_stats *s)
{
    uint64_t *by_code[] = {&s->missing, &s->present, &s->failed};
    for (uint64_t i = 0; i < w->info.samples; i++)
        ++*by_code[w->present[i]];
    if (w->fixed)
        s->tokens = s->present * w->info.crops * w->row_ids;
    for (uint64_t i = 0; w->ragged && i < w->info.samples * w->info.crops; i++)
        s->tokens += w->ragged[i].count;
}

/* Digest of the finished temporary file, then its final name. */
tsr_status tsr_h5_publish(const char *temp, const char *path, tsr_shard_stats *stats)
{
    int64_t mtime;
    TSR_TRY(tsr_file_stat(temp, &stats->bytes, &mtime));
    TSR_TRY(tsr_hash_file(temp, &stats->digest));
    return tsr_file_publish(temp, path);
}

tsr_status tsr_shard_writer_seal(tsr_shard_writer *w, const char *path, tsr_shard_stats *out)
{
    tsr_shard_stats stats = {0};
    char *temp;
    TSR_TRY(tsr_file_temp_name(path, &temp));
    tsr_h5_enter();
    tsr_status st = write_file(w, temp);
    tsr_h5_leave();
    if (st == TSR_OK)
        st = tsr_h5_publish(temp, path, &stats);
    if (st != TSR_OK)
        unlink(temp);
    tsr_free(temp);
    if (st != TSR_OK)
        return st;
    count_rows(w, &stats);
    *out = stats;
    return TSR_OK;
}
