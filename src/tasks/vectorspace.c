/* SPDX-License-Identifier: Apache-2.0
 * Vectors from tokens: decoded, means of code vectors, weighted counts. */
#include "tasks/vectorspace.h"

#include "base/mem.h"
#include "tokenizers/trainable.h"
#include "vqvae/vqvae.h"

#include <math.h>
#include <string.h>

struct tsr_vectors {
    tsr_vectors_spec spec;
    size_t width;
    tsr_tokenizer_work **works;      /* [lanes] decoded */
    float *table;                    /* codes: [codes, code_width] */
    size_t code_width, down, across; /* and cells of the raster */
};

static const char *const names[] = {"decoded", "codes", "counts", "features"};

const char *tsr_vector_kind_name(tsr_vector_kind k)
{
    return names[k];
}

tsr_status tsr_vector_kind_parse(const char *name, const char *origin, tsr_vector_kind *out)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (tsr_vector_kind)i;
            return TSR_OK;
        }
    TSR_FAIL(TSR_ECONFIG, "%s: no vectors \"%.40s\" (there are decoded, codes, counts, features)",
             origin, name);
}

/* 1 when each place of the grid has one code of one codebook, whose vectors can be looked up. */
static int has_codes(const tsr_token_space *space, tsr_tokenizer *t)
{
    tsr_vqvae *model = t ? tsr_trainable_model(t) : NULL;
    return model && space->layout == TSR_LAYOUT_GRID && space->levels == 1 &&
           tsr_vqvae_info_of(model)->heads == 1;
}

static int is_vector(tsr_tokenizer *t)
{
    return t && strcmp(tsr_tokenizer_kind_name(t), "vector") == 0;
}

tsr_vector_kind tsr_vector_kind_of(const tsr_token_space *space, tsr_tokenizer *t)
{
    if (is_vector(t))
        return TSR_VECTORS_DECODED;
    return has_codes(space, t) ? TSR_VECTORS_CODES : TSR_VECTORS_COUNTS;
}

/* ---- decoded ----------------------------------------------------------------------------------*/

static tsr_status decode(tsr_vectors *v, int lane, const uint32_t *ids, size_t count,
                         tsr_media *out)
{
    const tsr_tokens tokens = {.ids = (uint32_t *)(uintptr_t)ids, .count = count};
    if (!v->works[lane])
        TSR_TRY(tsr_tokenizer_work_create(v->spec.tokenizer, &v->works[lane]));
    return tsr_tokenizer_decode(v->spec.tokenizer, v->works[lane], &tokens, out);
}

/* The width is that of any result. */
static tsr_status prepare_decoded(tsr_vectors *v)
{
    const char *name = v->spec.space->modality;
    const tsr_token_space *s;
    tsr_tokens zeros = {0};
    tsr_media media = {0};
    tsr_status st;
    if (!is_vector(v->spec.tokenizer))
        TSR_FAIL(TSR_ECONFIG, "%s: no tokenizer that decodes it to vectors was found", name);
    s = tsr_tokenizer_space(v->spec.tokenizer);
    TSR_TRY(tsr_alloc(&v->works, (size_t)v->spec.lanes, sizeof *v->works));
    TSR_GO(tsr_tokens_init(&zeros, (size_t)s->height * s->width * s->levels));
    TSR_GO(decode(v, 0, zeros.ids, zeros.count, &media));
    v->width = media.as.vector.count;
out:
    tsr_media_clear(&media);
    tsr_tokens_clear(&zeros);
    return st;
}

static tsr_status make_decoded(tsr_vectors *v, int lane, const uint32_t *ids, size_t count,
                               float *out)
{
    tsr_media media = {0};
    TSR_TRY(decode(v, lane, ids, count, &media));
    memcpy(out, media.as.vector.data, v->width * sizeof *out);
    tsr_media_clear(&media);
    return TSR_OK;
}

/* ---- codes ------------------------------------------------------------------------------------*/

/* The code vectors of all ids, looked up a grid at a time. */
static tsr_status fill_table(tsr_vectors *v, const tsr_vqvae *model, size_t codes)
{
    tsr_vqvae_plan *plan = NULL;
    tsr_vqvae_work *work = NULL;
    int32_t *ids = NULL;
    float *found = NULL;
    size_t width = v->code_width;
    tsr_status st;
    TSR_GO(tsr_vqvae_plan_create(model, 0, 0, TSR_PRECISION_FP32, &plan));
    const tsr_vqvae_sizes *sizes = tsr_vqvae_plan_sizes(plan);
    TSR_GO(tsr_vqvae_work_create(plan, &work));
    TSR_GO(tsr_alloc(&ids, sizes->ids, sizeof *ids));
    TSR_GO(tsr_alloc(&found, sizes->latents, sizeof *found));
    for (size_t first = 0; first < codes; first += sizes->ids) {
        size_t n = codes - first < sizes->ids ? codes - first : sizes->ids;
        for (size_t i = 0; i < sizes->ids; i++)
            ids[i] = (int32_t)(i < n ? first + i : 0);
        TSR_GO(tsr_vqvae_lookup(work, ids, found));
        memcpy(v->table + first * width, found, n * width * sizeof *found);
    }
out:
    tsr_free(ids);
    tsr_free(found);
    tsr_vqvae_work_destroy(work);
    tsr_vqvae_plan_destroy(plan);
    return st;
}

static tsr_status prepare_codes(tsr_vectors *v)
{
    const tsr_token_space *s = v->spec.space;
    size_t cells = v->spec.cells, values;
    if (!has_codes(s, v->spec.tokenizer))
        TSR_FAIL(TSR_ECONFIG,
                 "%s: vectors of codes need its tokenizer, and one code of a codebook a place",
                 s->modality);
    if (cells < 1 || cells > TSR_VECTOR_CELLS)
        TSR_FAIL(TSR_ECONFIG, "%zu cells a side; there are 1 to %d", cells, TSR_VECTOR_CELLS);
    tsr_vqvae *model = tsr_trainable_model(v->spec.tokenizer);
    const tsr_vqvae_info *info = tsr_vqvae_info_of(model);
    if (info->codes != s->codebook_size)
        TSR_FAIL(TSR_EMISMATCH, "%s: %u codes, its tokenizer has %zu", s->modality,
                 s->codebook_size, info->codes);
    v->down = cells < s->height ? cells : s->height;
    v->across = cells < s->width ? cells : s->width;
    v->code_width = info->code_width;
    v->width = v->down * v->across * v->code_width;
    TSR_TRY(tsr_mul_size(info->codes, v->code_width, &values));
    TSR_TRY(tsr_alloc(&v->table, values, sizeof *v->table));
    return fill_table(v, model, info->codes);
}

static tsr_status make_codes(const tsr_vectors *v, const uint32_t *ids, size_t count, float *out)
{
    const tsr_token_space *s = v->spec.space;
    size_t width = v->code_width;
    uint32_t places[TSR_VECTOR_CELLS * TSR_VECTOR_CELLS] = {0};
    if (count != (size_t)s->height * s->width)
        TSR_FAIL(TSR_EFORMAT, "%s: %zu tokens, it has %u x %u", s->modality, count, s->height,
                 s->width);
    memset(out, 0, v->width * sizeof *out);
    for (size_t p = 0; p < count; p++) {
        size_t y = p / s->width * v->down / s->height, x = p % s->width * v->across / s->width;
        if (ids[p] >= s->codebook_size)
            TSR_FAIL(TSR_EFORMAT, "%s: id %u, it has %u codes", s->modality, ids[p],
                     s->codebook_size);
        const float *code = v->table + ids[p] * width;
        float *cell = out + (y * v->across + x) * width;
        places[y * v->across + x]++;
        for (size_t i = 0; i < width; i++)
            cell[i] += code[i];
    }
    for (size_t i = 0; i < v->width; i++)
        out[i] /= (float)places[i / width];
    return TSR_OK;
}

/* ---- counts -----------------------------------------------------------------------------------*/

static tsr_status prepare_counts(tsr_vectors *v)
{
    if (v->spec.space->layout == TSR_LAYOUT_PATCHES)
        TSR_FAIL(TSR_ECONFIG, "%s: patches of pixels are no codes that could be counted",
                 v->spec.space->modality);
    if (v->spec.n_terms == 0)
        TSR_FAIL(TSR_ECONFIG, "%s: no id is in two rows or more, and in not all of them",
                 v->spec.space->modality);
    v->width = v->spec.n_terms;
    return TSR_OK;
}

static void make_counts(const tsr_vectors *v, const uint32_t *ids, size_t count, float *out)
{
    memset(out, 0, v->width * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        size_t lo = 0, hi = v->width;
        while (lo < hi) {
            size_t middle = lo + (hi - lo) / 2;
            if (v->spec.terms[middle] < ids[i])
                lo = middle + 1;
            else
                hi = middle;
        }
        if (lo < v->width && v->spec.terms[lo] == ids[i])
            out[lo] += 1.0f;
    }
    for (size_t i = 0; i < v->width; i++)
        out[i] = sqrtf(out[i]) * v->spec.weights[i];
}

/* ---- all --------------------------------------------------------------------------------------*/

tsr_status tsr_vectors_create(const tsr_vectors_spec *spec, tsr_vectors **out)
{
    tsr_vectors *v;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_alloc(&v, 1, sizeof *v));
    v->spec = *spec;
    switch (spec->kind) {
    case TSR_VECTORS_DECODED:
        TSR_GO(prepare_decoded(v));
        break;
    case TSR_VECTORS_CODES:
        TSR_GO(prepare_codes(v));
        break;
    case TSR_VECTORS_COUNTS:
        TSR_GO(prepare_counts(v));
        break;
    case TSR_VECTORS_FEATURES:
        TSR_GOFAIL(TSR_ECONFIG, "%s: features are read from files, tokens do not give them",
                   spec->space->modality);
    }
    *out = v;
    v = NULL;
out:
    tsr_vectors_destroy(v);
    return st;
}

void tsr_vectors_destroy(tsr_vectors *v)
{
    if (!v)
        return;
    for (int i = 0; v->works && i < v->spec.lanes; i++)
        tsr_tokenizer_work_destroy(v->works[i]);
    tsr_free(v->works);
    tsr_free(v->table);
    tsr_free(v);
}

size_t tsr_vectors_width(const tsr_vectors *v)
{
    return v->width;
}

tsr_status tsr_vectors_make(tsr_vectors *v, int lane, const uint32_t *ids, size_t count, float *out)
{
    if (v->spec.kind == TSR_VECTORS_DECODED)
        return make_decoded(v, lane, ids, count, out);
    if (v->spec.kind == TSR_VECTORS_CODES)
        return make_codes(v, ids, count, out);
    make_counts(v, ids, count, out);
    return TSR_OK;
}
