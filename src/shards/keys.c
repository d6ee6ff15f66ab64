/* SPDX-License-Identifier: Apache-2.0
 * The keys file: names, picture sizes and crops. */
#include "shards/keys.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "shards/h5.h"
#include "shards/layout.h"

#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(tsr_crop) == 5 * sizeof(int32_t), "a crop is stored as five i32");

tsr_status tsr_keys_init(tsr_keys *k, uint64_t samples, uint32_t crops)
{
    if (samples < 1 || samples > TSR_SHARD_MAX_ROWS || crops < 1 || crops > TSR_SHARD_MAX_CROPS ||
        samples * crops > TSR_SHARD_MAX_ROWS)
        TSR_FAIL(TSR_ELIMIT,
                 "%llu samples of %u crops; 1 to %u rows and at most %u crops are "
                 "allowed in a shard",
                 (unsigned long long)samples, crops, TSR_SHARD_MAX_ROWS, TSR_SHARD_MAX_CROPS);
    tsr_keys fresh = {.samples = samples, .crops = crops};
    tsr_status st = TSR_OK;
    TSR_GO(tsr_alloc(&fresh.key, samples, sizeof *fresh.key));
    TSR_GO(tsr_alloc(&fresh.size, 2 * samples, sizeof *fresh.size));
    TSR_GO(tsr_alloc(&fresh.crop, samples * crops, sizeof *fresh.crop));
    *k = fresh;
    return TSR_OK;
out:
    tsr_keys_clear(&fresh);
    return st;
}

void tsr_keys_clear(tsr_keys *k)
{
    for (uint64_t i = 0; k->key && i < k->samples; i++)
        tsr_free(k->key[i]);
    tsr_free(k->key);
    tsr_free(k->size);
    tsr_free(k->crop);
    *k = (tsr_keys){0};
}

int tsr_key_ok(const char *key)
{
    size_t n = strlen(key);
    if (n < 1 || n > TSR_KEY_MAX || tsr_utf8_valid(key, n) != n)
        return 0;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)key[i] < 0x20 || key[i] == 0x7f)
            return 0;
    return 1;
}

static void little_endian(uint32_t v, unsigned char out[4])
{
    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char)(v >> 8 * i);
}

tsr_status tsr_keys_digest(const tsr_keys *k, tsr_digest *out)
{
    tsr_hasher *h;
    TSR_TRY(tsr_hasher_create(&h));
    unsigned char word[4];
    for (uint64_t i = 0; i < k->samples; i++) {
        tsr_hasher_add(h, k->key[i], strlen(k->key[i]) + 1);
        for (int j = 0; j < 2; j++) {
            little_endian(k->size[2 * i + (uint64_t)j], word);
            tsr_hasher_add(h, word, 4);
        }
        const int32_t *crop = (const int32_t *)&k->crop[i * k->crops];
        for (uint32_t j = 0; j < 5 * k->crops; j++) {
            little_endian((uint32_t)crop[j], word);
            tsr_hasher_add(h, word, 4);
        }
    }
    *out = tsr_hasher_finish(h);
    tsr_hasher_destroy(h);
    return TSR_OK;
}

tsr_view tsr_keys_view(const tsr_keys *k, uint64_t row, uint32_t c)
{
    return (tsr_view){k->crop[row * k->crops + c], k->size[2 * row], k->size[2 * row + 1]};
}

/* --- writing --- */

static tsr_status put_attributes(hid_t file, const tsr_keys *k, const char *path)
{
    char text[TSR_DIGEST_CHARS];
    tsr_digest digest;
    TSR_TRY(tsr_keys_digest(k, &digest));
    tsr_digest_text(digest, text);
    TSR_TRY(tsr_h5_put_text(file, "format", TSR_FORMAT_SHARD, path));
    TSR_TRY(tsr_h5_put_u32(file, "format_version", TSR_SHARD_VERSION, path));
    TSR_TRY(tsr_h5_put_text(file, "kind", TSR_KIND_KEYS, path));
    TSR_TRY(tsr_h5_put_u32(file, "shard", k->shard, path));
    TSR_TRY(tsr_h5_put_number(file, "samples", H5T_NATIVE_UINT64, &k->samples, path));
    TSR_TRY(tsr_h5_put_u32(file, "crops", k->crops, path));
    TSR_TRY(tsr_h5_put_text(file, "split", k->split, path));
    TSR_TRY(tsr_h5_put_text(file, "source", k->source, path));
    return tsr_h5_put_text(file, "keys_digest", text, path);
}

/* A fixed-length text type; H5Tclose. */
static tsr_status text_type(size_t bytes, const char *path, hid_t *out)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type < 0 || H5Tset_size(type, bytes) < 0 || H5Tset_strpad(type, H5T_STR_NULLPAD) < 0 ||
        H5Tset_cset(type, H5T_CSET_UTF8) < 0) {
        if (type >= 0)
            H5Tclose(type);
        return tsr_h5_fail(TSR_ENOMEM, path, "a text type could not be made");
    }
    *out = type;
    return TSR_OK;
}

static tsr_status put_names(hid_t file, const tsr_keys *k, const char *path)
{
    size_t longest = 1;
    for (uint64_t i = 0; i < k->samples; i++)
        longest = strlen(k->key[i]) > longest ? strlen(k->key[i]) : longest;
    char *table;
    hid_t type;
    TSR_TRY(tsr_alloc(&table, k->samples, longest));
    for (uint64_t i = 0; i < k->samples; i++)
        memcpy(table + i * longest, k->key[i], strlen(k->key[i]));
    tsr_status st = text_type(longest, path, &type);
    if (st == TSR_OK) {
        st = tsr_h5_put(file, "keys", type, 1, &k->samples, table, path, NULL);
        H5Tclose(type);
    }
    tsr_free(table);
    return st;
}

static tsr_status write_file(const tsr_keys *k, const char *path)
{
    hid_t file;
    uint64_t dims[3] = {k->samples, 2, 0};
    TSR_TRY(tsr_h5_create(path, 0, &file));
    tsr_status st = put_attributes(file, k, path);
    if (st == TSR_OK)
        st = put_names(file, k, path);
    if (st == TSR_OK)
        st = tsr_h5_put(file, "sizes", H5T_STD_U32LE, 2, dims, k->size, path, NULL);
    dims[1] = k->crops;
    dims[2] = 5;
    if (st == TSR_OK)
        st = tsr_h5_put(file, "crops", H5T_STD_I32LE, 3, dims, k->crop, path, NULL);
    if (st != TSR_OK) {
        H5Fclose(file);
        return st;
    }
    return tsr_h5_close(file, path);
}

/* Every crop inside its picture, or all zero where there is none. */
static tsr_status check_rows(const tsr_keys *k, const char *path)
{
    for (uint64_t i = 0; i < k->samples; i++) {
        if (!k->key[i] || !tsr_key_ok(k->key[i]))
            TSR_FAIL(TSR_EFORMAT,
                     "%s: sample %llu has no key of 1 to %d bytes of UTF-8 without "
                     "control characters",
                     path, (unsigned long long)i, TSR_KEY_MAX);
        int64_t h = k->size[2 * i], w = k->size[2 * i + 1];
        for (uint32_t c = 0; c < k->crops; c++) {
            const tsr_crop *r = &k->crop[i * k->crops + c];
            int empty = h == 0 && w == 0;
            int ok = empty ? !r->top && !r->left && !r->height && !r->width && !r->flip
                           : r->top >= 0 && r->left >= 0 && r->height >= 1 && r->width >= 1 &&
                                 (int64_t)r->top + r->height <= h &&
                                 (int64_t)r->left + r->width <= w && (r->flip == 0 || r->flip == 1);
            if (!ok)
                TSR_FAIL(TSR_EFORMAT,
                         "%s: crop %u of sample %llu is not inside its picture of "
                         "%lld x %lld pixels",
                         path, c, (unsigned long long)i, (long long)h, (long long)w);
        }
    }
    return TSR_OK;
}

tsr_status tsr_keys_write(const tsr_keys *k, const char *path, tsr_shard_stats *stats)
{
    char *temp;
    tsr_shard_stats sealed = {0};
    TSR_TRY(check_rows(k, path));
    TSR_TRY(tsr_file_temp_name(path, &temp));
    tsr_h5_enter();
    tsr_status st = write_file(k, temp);
    tsr_h5_leave();
    if (st == TSR_OK)
        st = tsr_h5_publish(temp, path, &sealed);
    if (st != TSR_OK)
        unlink(temp);
    tsr_free(temp);
    if (st == TSR_OK)
        *stats = sealed;
    return st;
}

/* --- reading --- */

typedef struct keys_header {
    uint32_t shard, crops;
    uint64_t samples;
    char split[TSR_NAME_CHARS], source[TSR_NAME_CHARS];
    tsr_digest digest;
} keys_header;

static tsr_status read_header(hid_t file, const char *path, keys_header *h)
{
    char text[TSR_NAME_CHARS];
    TSR_TRY(tsr_h5_check_kind(file, TSR_KIND_KEYS, path));
    TSR_TRY(tsr_h5_get_u32(file, "shard", path, &h->shard));
    TSR_TRY(tsr_h5_get_u64(file, "samples", path, &h->samples));
    TSR_TRY(tsr_h5_get_u32(file, "crops", path, &h->crops));
    TSR_TRY(tsr_h5_get_text(file, "split", path, h->split, sizeof h->split));
    TSR_TRY(tsr_h5_get_text(file, "source", path, h->source, sizeof h->source));
    TSR_TRY(tsr_h5_get_text(file, "keys_digest", path, text, sizeof text));
    return tsr_digest_parse(text, &h->digest);
}

static tsr_status read_table(hid_t file, const char *path, uint64_t bytes, tsr_keys *k)
{
    tsr_h5_array a;
    hid_t type = -1;
    char *table = NULL;
    TSR_TRY(tsr_h5_array_open(file, "keys", path, bytes, &a));
    tsr_status st = TSR_OK;
    if (a.kind != H5T_STRING || a.ndim != 1 || a.dims[0] != k->samples ||
        a.item_bytes > TSR_KEY_MAX)
        TSR_GOFAIL(TSR_EFORMAT, "%s: \"keys\" should be %llu texts of at most %d bytes", path,
                   (unsigned long long)k->samples, TSR_KEY_MAX);
    TSR_GO(tsr_alloc(&table, k->samples, a.item_bytes));
    TSR_GO(text_type(a.item_bytes, path, &type));
    TSR_GO(tsr_h5_array_read(&a, path, type, table));
    for (uint64_t i = 0; i < k->samples; i++)
        TSR_GO(tsr_strndup(&k->key[i], table + i * a.item_bytes, a.item_bytes));
out:
    if (type >= 0)
        H5Tclose(type);
    tsr_free(table);
    tsr_h5_array_close(&a);
    return st;
}

static tsr_status read_numbers(hid_t file, const char *name, const char *path, uint64_t bytes,
                               hid_t type, const uint64_t *dims, int ndim, void *into)
{
    tsr_h5_array a;
    TSR_TRY(tsr_h5_array_open(file, name, path, bytes, &a));
    tsr_status st = TSR_OK;
    if (a.kind != H5T_INTEGER || a.ndim != ndim ||
        memcmp(a.dims, dims, (size_t)ndim * sizeof *dims) != 0)
        TSR_GOFAIL(TSR_EFORMAT, "%s: \"%s\" has not the shape that the attributes ask for", path,
                   name);
    TSR_GO(tsr_h5_array_read(&a, path, type, into));
out:
    tsr_h5_array_close(&a);
    return st;
}

static tsr_status read_body(hid_t file, const char *path, uint64_t bytes, tsr_keys *k)
{
    uint64_t sizes[2] = {k->samples, 2}, crops[3] = {k->samples, k->crops, 5};
    TSR_TRY(read_table(file, path, bytes, k));
    TSR_TRY(read_numbers(file, "sizes", path, bytes, H5T_NATIVE_UINT32, sizes, 2, k->size));
    return read_numbers(file, "crops", path, bytes, H5T_NATIVE_INT32, crops, 3, k->crop);
}

static tsr_status read_file(const char *path, tsr_keys *k, tsr_digest *digest)
{
    keys_header h;
    hid_t file;
    uint64_t bytes;
    int64_t mtime;
    TSR_TRY(tsr_file_stat(path, &bytes, &mtime));
    TSR_TRY(tsr_h5_open(path, &file));
    tsr_status st = read_header(file, path, &h);
    if (st == TSR_OK && (st = tsr_keys_init(k, h.samples, h.crops)) != TSR_OK)
        st = tsr_context(st, "%s", path);
    if (st == TSR_OK) {
        k->shard = h.shard;
        memcpy(k->split, h.split, sizeof k->split);
        memcpy(k->source, h.source, sizeof k->source);
        *digest = h.digest;
        st = read_body(file, path, bytes, k);
    }
    H5Fclose(file);
    return st;
}

tsr_status tsr_keys_read(const char *path, tsr_keys *out)
{
    tsr_keys k = {0};
    tsr_digest stored, found;
    tsr_h5_enter();
    tsr_status st = read_file(path, &k, &stored);
    tsr_h5_leave();
    TSR_GO(st);
    TSR_GO(check_rows(&k, path));
    TSR_GO(tsr_keys_digest(&k, &found));
    if (!tsr_digest_equal(stored, found))
        TSR_GOFAIL(TSR_EMISMATCH, "%s: keys and crops are not those its digest was taken of", path);
    *out = k;
    return TSR_OK;
out:
    tsr_keys_clear(&k);
    return st;
}
