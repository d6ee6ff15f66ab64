/* SPDX-License-Identifier: Apache-2.0
 * The file of an index: writing, opening, rows by key. */
#include "tasks/vectorindex.h"

#include "base/mem.h"
#include "base/str.h"
#include "shards/keys.h"
#include "tasks/vectorindex_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ABOUT  "tessera_index"
#define DIGEST "tessera_index_digest"

static size_t blocks_of(size_t rows)
{
    return (rows + TSR_INDEX_BLOCK - 1) / TSR_INDEX_BLOCK;
}

tsr_digest tsr_index_block_digest(const float *vectors, size_t rows, size_t width, size_t block)
{
    size_t first = block * TSR_INDEX_BLOCK;
    size_t n = rows - first < TSR_INDEX_BLOCK ? rows - first : TSR_INDEX_BLOCK;
    return tsr_hash(vectors + first * width, n * width * sizeof *vectors);
}

/* What is checked when the file is opened: the description and every tensor but the vectors, each
 * with its name and size in front. tensors [n]. */
static tsr_status small_digest(const char *about, const tsr_stored *const *tensors, size_t n,
                               tsr_digest *out)
{
    tsr_hasher *h;
    TSR_TRY(tsr_hasher_create(&h));
    tsr_hasher_add(h, about, strlen(about));
    for (size_t i = 0; i < n; i++) {
        const uint64_t bytes = tensors[i]->count * tsr_dtype_bytes(tensors[i]->dtype);
        tsr_hasher_add(h, tensors[i]->name, strlen(tensors[i]->name) + 1);
        tsr_hasher_add(h, &bytes, sizeof bytes);
        tsr_hasher_add(h, tensors[i]->data, (size_t)bytes);
    }
    *out = tsr_hasher_finish(h);
    tsr_hasher_destroy(h);
    return TSR_OK;
}

/* ---- writing ----------------------------------------------------------------------------------*/

enum { KEYS, OFFSETS, SAMPLES, DIGESTS, CENTRE, TERMS, WEIGHTS, SMALL };

static const char *const small_names[SMALL] = {"keys",   "key_offsets", "samples", "block_digests",
                                               "centre", "terms",       "weights"};

static tsr_status join_keys(const tsr_index_content *c, tsr_str *keys, uint64_t *offsets)
{
    for (size_t i = 0; i < c->rows; i++) {
        if (!tsr_key_ok(c->keys[i]))
            TSR_FAIL(TSR_EARG, "row %zu of an index: a text that cannot be a key", i);
        TSR_TRY(tsr_str_add_bytes(keys, c->keys[i], strlen(c->keys[i]) + 1));
        offsets[i + 1] = keys->len;
    }
    return TSR_OK;
}

static tsr_stored tensor(const char *name, tsr_dtype type, size_t rows, size_t columns,
                         const void *data)
{
    return (tsr_stored){.name = name,
                        .dtype = type,
                        .ndim = columns ? 2 : 1,
                        .shape = {rows, columns},
                        .count = rows * (columns ? columns : 1),
                        .data = data};
}

static tsr_status write_file(const char *path, const tsr_index_content *c, const tsr_str *keys,
                             const uint64_t *offsets, const uint64_t *digests)
{
    const tsr_stored small[SMALL] = {
        tensor(small_names[KEYS], TSR_U8, keys->len, 0, keys->s),
        tensor(small_names[OFFSETS], TSR_U64, c->rows + 1, 0, offsets),
        tensor(small_names[SAMPLES], TSR_U64, c->rows, 0, c->samples),
        tensor(small_names[DIGESTS], TSR_U64, blocks_of(c->rows), 2, digests),
        tensor(small_names[CENTRE], TSR_F32, c->width, 0, c->centre),
        tensor(small_names[TERMS], TSR_U32, c->width, 0, c->terms),
        tensor(small_names[WEIGHTS], TSR_F32, c->width, 0, c->weights),
    };
    const tsr_stored *used[SMALL];
    tsr_stored all[SMALL + 1];
    size_t n = 0;
    char *about = NULL, text[TSR_DIGEST_CHARS];
    json_t *metadata = NULL;
    tsr_digest digest;
    tsr_status st;
    for (size_t i = 0; i < SMALL; i++)
        if (small[i].data) {
            used[n] = &small[i];
            all[n++] = small[i];
        }
    all[n] = tensor("vectors", TSR_F32, c->rows, c->width, c->vectors);
    TSR_GO(tsr_json_text(c->about, 0, &about));
    TSR_GO(small_digest(about, used, n, &digest));
    tsr_digest_text(digest, text);
    metadata = json_pack("{ss ss}", ABOUT, about, DIGEST, text);
    if (!metadata)
        TSR_GOFAIL(TSR_EFORMAT, "%s: the description of the index is not UTF-8", path);
    st = tsr_safetensors_write(path, all, n + 1, metadata);
out:
    tsr_free(about);
    json_decref(metadata);
    return st;
}

tsr_status tsr_index_write(const char *path, const tsr_index_content *c)
{
    tsr_str keys = {0};
    uint64_t *offsets = NULL, *digests = NULL;
    size_t blocks = blocks_of(c->rows);
    tsr_status st;
    TSR_GO(tsr_alloc(&offsets, c->rows + 1, sizeof *offsets));
    TSR_GO(tsr_alloc(&digests, blocks, 2 * sizeof *digests));
    TSR_GO(join_keys(c, &keys, offsets));
    for (size_t b = 0; b < blocks; b++) {
        tsr_digest d = tsr_index_block_digest(c->vectors, c->rows, c->width, b);
        digests[2 * b] = d.hi;
        digests[2 * b + 1] = d.lo;
    }
    st = write_file(path, c, &keys, offsets, digests);
out:
    tsr_str_clear(&keys);
    tsr_free(offsets);
    tsr_free(digests);
    return st;
}

/* ---- opening ----------------------------------------------------------------------------------*/

static tsr_status no_index(const tsr_safetensors *f, const char *what)
{
    TSR_FAIL(TSR_EFORMAT, "%s: %s; make an index with tessera index", tsr_safetensors_path(f),
             what);
}

/* A tensor of this type and shape (columns 0: one dimension), aligned to its type. */
static tsr_status take(const tsr_safetensors *f, const tsr_stored *like, const tsr_stored **out)
{
    const tsr_stored *t;
    TSR_TRY(tsr_safetensors_get(f, like->name, &t));
    int same = t->dtype == like->dtype && t->ndim == like->ndim && t->shape[0] == like->shape[0] &&
               (t->ndim == 1 || t->shape[1] == like->shape[1]);
    if (!same || (uintptr_t)t->data % tsr_dtype_bytes(t->dtype) != 0)
        TSR_FAIL(TSR_EFORMAT, "%s: tensor %s has another type, shape or place than its index needs",
                 tsr_safetensors_path(f), like->name);
    *out = t;
    return TSR_OK;
}

/* Description, version and digest, which is compared when all small tensors are found. */
static tsr_status read_about(tsr_index *x, const char **about, tsr_digest *digest)
{
    const json_t *metadata = tsr_safetensors_metadata(x->file);
    const json_t *text = json_object_get(metadata, ABOUT), *sum = json_object_get(metadata, DIGEST);
    const char *path = tsr_safetensors_path(x->file);
    long long version;
    if (!json_is_string(text) || !json_is_string(sum))
        return no_index(x->file, "no index: it has no description of one");
    *about = json_string_value(text);
    TSR_TRY(tsr_digest_parse(json_string_value(sum), digest));
    TSR_TRY(tsr_json_parse(*about, strlen(*about), path, &x->about));
    if (!json_is_object(x->about))
        return no_index(x->file, "no index: its description is no object");
    TSR_TRY(tsr_json_int(x->about, "version", path, &version));
    if (version != TSR_INDEX_VERSION)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: an index of version %lld; this program reads version %d",
                 path, version, TSR_INDEX_VERSION);
    return TSR_OK;
}

static tsr_status check_keys(const tsr_index *x, size_t bytes)
{
    int good = x->offsets[0] == 0 && x->offsets[x->rows] == bytes;
    for (size_t i = 0; good && i < x->rows; i++) {
        uint64_t from = x->offsets[i], to = x->offsets[i + 1];
        good = from < to && to <= bytes && to - from <= TSR_KEY_MAX + 1 && !x->keys[to - 1] &&
               !memchr(x->keys + from, 0, (size_t)(to - from - 1)) && tsr_key_ok(x->keys + from);
    }
    return good ? TSR_OK : no_index(x->file, "its keys are damaged");
}

static tsr_status read_tensors(tsr_index *x, const char *about, tsr_digest want)
{
    const tsr_stored *vectors, *keys, *used[SMALL];
    size_t n = 0;
    tsr_digest got;
    TSR_TRY(tsr_safetensors_get(x->file, "vectors", &vectors));
    TSR_TRY(tsr_safetensors_get(x->file, small_names[KEYS], &keys));
    if (vectors->ndim != 2 || vectors->count == 0 || keys->ndim != 1)
        return no_index(x->file, "its vectors are no rows of numbers");
    x->rows = vectors->shape[0];
    x->width = vectors->shape[1];
    const tsr_stored like[SMALL] = {
        tensor(small_names[KEYS], TSR_U8, keys->count, 0, NULL),
        tensor(small_names[OFFSETS], TSR_U64, x->rows + 1, 0, NULL),
        tensor(small_names[SAMPLES], TSR_U64, x->rows, 0, NULL),
        tensor(small_names[DIGESTS], TSR_U64, blocks_of(x->rows), 2, NULL),
        tensor(small_names[CENTRE], TSR_F32, x->width, 0, NULL),
        tensor(small_names[TERMS], TSR_U32, x->width, 0, NULL),
        tensor(small_names[WEIGHTS], TSR_F32, x->width, 0, NULL),
    };
    const void *data[SMALL] = {0};
    for (size_t i = 0; i < SMALL; i++)
        if (i < CENTRE || tsr_safetensors_find(x->file, small_names[i])) {
            TSR_TRY(take(x->file, &like[i], &used[n]));
            data[i] = used[n++]->data;
        }
    const tsr_stored rows = tensor("vectors", TSR_F32, x->rows, x->width, NULL);
    TSR_TRY(take(x->file, &rows, &vectors));
    TSR_TRY(small_digest(about, used, n, &got));
    if (!tsr_digest_equal(got, want))
        TSR_FAIL(TSR_EMISMATCH,
                 "%s: the index was changed since it was written (its digest differs); make it "
                 "again",
                 tsr_safetensors_path(x->file));
    if (!data[TERMS] != !data[WEIGHTS])
        return no_index(x->file, "terms and weights belong together");
    x->vectors = vectors->data;
    x->keys = data[KEYS];
    x->offsets = data[OFFSETS];
    x->samples = data[SAMPLES];
    x->digests = data[DIGESTS];
    x->centre = data[CENTRE];
    x->terms = data[TERMS];
    x->weights = data[WEIGHTS];
    return check_keys(x, keys->count);
}

int tsr_index_is_file(const tsr_safetensors *f)
{
    return json_object_get(tsr_safetensors_metadata(f), ABOUT) != NULL;
}

tsr_status tsr_index_open(const char *path, tsr_index **out)
{
    tsr_index *x;
    const char *about = NULL;
    tsr_digest digest = {0, 0};
    tsr_status st;
    TSR_TRY(tsr_alloc(&x, 1, sizeof *x));
    TSR_GO(tsr_safetensors_open(path, &x->file));
    TSR_GO(read_about(x, &about, &digest));
    TSR_GO(read_tensors(x, about, digest));
    *out = x;
    x = NULL;
out:
    tsr_index_close(x);
    return st;
}

void tsr_index_close(tsr_index *x)
{
    if (!x)
        return;
    tsr_safetensors_close(x->file);
    json_decref(x->about);
    tsr_free(x);
}

/* ---- rows -------------------------------------------------------------------------------------*/

const char *tsr_index_path(const tsr_index *x)
{
    return tsr_safetensors_path(x->file);
}

const json_t *tsr_index_about(const tsr_index *x)
{
    return x->about;
}

size_t tsr_index_rows(const tsr_index *x)
{
    return x->rows;
}

size_t tsr_index_width(const tsr_index *x)
{
    return x->width;
}

const char *tsr_index_key(const tsr_index *x, size_t row)
{
    return x->keys + x->offsets[row];
}

uint64_t tsr_index_sample(const tsr_index *x, size_t row)
{
    return x->samples[row];
}

const float *tsr_index_centre(const tsr_index *x)
{
    return x->centre;
}

const uint32_t *tsr_index_terms(const tsr_index *x)
{
    return x->terms;
}

const float *tsr_index_weights(const tsr_index *x)
{
    return x->weights;
}

tsr_status tsr_index_find(const tsr_index *x, const char *name, size_t *row)
{
    for (size_t i = 0; i < x->rows; i++)
        if (strcmp(tsr_index_key(x, i), name) == 0) {
            *row = i;
            return TSR_OK;
        }
    char *end;
    unsigned long long number = strtoull(name, &end, 10);
    if (!*name || name[strspn(name, "0123456789")] || number >= x->rows)
        TSR_FAIL(TSR_ENOENT, "%s: no row has the key or number %s; there are %zu",
                 tsr_index_path(x), name, x->rows);
    *row = (size_t)number;
    return TSR_OK;
}

tsr_status tsr_index_check_block(const tsr_index *x, size_t block)
{
    tsr_digest d = tsr_index_block_digest(x->vectors, x->rows, x->width, block);
    if (d.hi == x->digests[2 * block] && d.lo == x->digests[2 * block + 1])
        return TSR_OK;
    TSR_FAIL(TSR_EMISMATCH,
             "%s: vectors from row %zu on were changed since they were written (their digest "
             "differs); make the index again",
             tsr_index_path(x), block * TSR_INDEX_BLOCK);
}

tsr_status tsr_index_vector(const tsr_index *x, size_t row, float *out)
{
    TSR_TRY(tsr_index_check_block(x, row / TSR_INDEX_BLOCK));
    memcpy(out, x->vectors + row * x->width, x->width * sizeof *out);
    return TSR_OK;
}

void tsr_index_unit(float *v, size_t width)
{
    double sum = 0.0;
    for (size_t i = 0; i < width; i++)
        sum += (double)v[i] * v[i];
    double scale = sum > 0.0 && isfinite(sum) ? 1.0 / sqrt(sum) : 0.0;
    for (size_t i = 0; i < width; i++)
        v[i] = scale > 0.0 ? (float)(v[i] * scale) : 0.0f;
}

void tsr_index_adapt(const tsr_index *x, float *v)
{
    for (size_t i = 0; x->centre && i < x->width; i++)
        v[i] -= x->centre[i];
    tsr_index_unit(v, x->width);
}
