/* SPDX-License-Identifier: Apache-2.0
 * First values of a model for a short run. */
#include "trainer/fmstart.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "nn/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TENSOR_NAME 192
#define CODES       "quantize._codebook.embed"
#define HEAD_STD    0.04 /* of heads made of code vectors: small, so that the first loss is ln V */
#define LOOSE       0.25 /* part of an embedding that is random, not of its code */
#define WHOLE       0.5  /* deviation of embeddings made of code vectors, unless given */

static tsr_param *embedding(tsr_fm *m, const char *side, const char *modality, const char *what)
{
    char name[TENSOR_NAME];
    snprintf(name, sizeof name, "%s_embeddings.%s.%s", side, modality, what);
    return tsr_params_find(tsr_fm_params(m), name);
}

/* --- places --- */

/* Rows of the table [places, D]: sine and cosine of the row, then of the column, both as the middle
 * of the place in units of 1 / side of the picture. */
static void table_scaled(tsr_param *p, const tsr_mod *mod, double side)
{
    size_t width = p->shape[p->ndim - 1], quarter = width / 4;
    double down = side / mod->height, right = side / mod->width;
    for (size_t i = 0; i < mod->places; i++) {
        double row = ((double)(i / mod->width) + 0.5) * down - 0.5;
        double column = ((double)(i % mod->width) + 0.5) * right - 0.5;
        float *out = p->value + i * width;
        for (size_t k = 0; k < quarter; k++) {
            double omega = pow(10000.0, -(double)k / (double)quarter);
            out[k] = (float)sin(row * omega);
            out[quarter + k] = (float)cos(row * omega);
            out[2 * quarter + k] = (float)sin(column * omega);
            out[3 * quarter + k] = (float)cos(column * omega);
        }
    }
    tsr_param_touch(p);
}

static int is_grid(const tsr_mod *m)
{
    return m->cls == TSR_CLASS_IMAGE || m->cls == TSR_CLASS_PIXELS;
}

static void scale_places(tsr_fm *m)
{
    static const char *const sides[] = {"encoder", "decoder"};
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    uint32_t side = 1;
    for (size_t i = 0; i < mods->count; i++) {
        const tsr_mod *mod = &mods->items[i];
        uint32_t longest = mod->height > mod->width ? mod->height : mod->width;
        if (is_grid(mod) && longest > side)
            side = longest;
    }
    for (size_t i = 0; i < 2 * mods->count; i++) {
        const tsr_mod *mod = &mods->items[i / 2];
        tsr_param *p = embedding(m, sides[i % 2], mod->name, "pos_emb");
        if (p && is_grid(mod) && p->count == (size_t)mod->places * p->shape[p->ndim - 1])
            table_scaled(p, mod, side);
    }
}

/* --- attention --- */

static tsr_param *layer_weight(tsr_fm *m, const char *side, size_t layer, const char *what)
{
    char name[TENSOR_NAME];
    snprintf(name, sizeof name, "%s.%zu.%s.weight", side, layer, what);
    return tsr_params_find(tsr_fm_params(m), name);
}

/* The [D, D] rows of keys from `row` on become those of the queries. */
static void copy_queries(const tsr_param *q, tsr_param *k, size_t row)
{
    if (!q || !k)
        return;
    size_t width = q->shape[1];
    memmove(k->value + row * width, q->value, width * width * sizeof *q->value);
    tsr_param_touch(k);
}

static void align_attention(tsr_fm *m)
{
    const tsr_fm_config *c = tsr_fm_get_config(m);
    for (size_t i = 0; i < c->encoder_depth; i++) {
        tsr_param *qkv = layer_weight(m, "encoder", i, "attn.qkv");
        copy_queries(qkv, qkv, c->dim);
    }
    for (size_t i = 0; i < c->decoder_depth; i++) {
        tsr_param *qkv = layer_weight(m, "decoder", i, "self_attn.qkv");
        copy_queries(qkv, qkv, c->dim);
        copy_queries(layer_weight(m, "decoder", i, "cross_attn.q"),
                     layer_weight(m, "decoder", i, "cross_attn.kv"), 0);
    }
}

/* --- token embeddings --- */

/* Code vectors of a tokenizer file, [K, Z] centred and of variance 1 over all; NULL where the file
 * is not there or has none. Release with tsr_free. */
static tsr_status read_codes(const char *folder, const char *modality, float **out, size_t *k,
                             size_t *z)
{
    char *path = NULL;
    tsr_safetensors *f = NULL;
    tsr_status st;
    *out = NULL;
    *k = *z = 0;
    TSR_TRY(tsr_format(&path, "%s/%s.safetensors", folder, modality));
    if (!tsr_file_exists(path))
        goto none;
    TSR_GO(tsr_safetensors_open(path, &f));
    const tsr_stored *e = tsr_safetensors_find(f, CODES);
    if (!e || e->ndim < 2 || e->count == 0 || e->dtype != TSR_F32)
        goto none;
    *z = e->shape[e->ndim - 1];
    *k = e->count / *z;
    TSR_GO(tsr_alloc(out, e->count, sizeof **out));
    TSR_GO(tsr_stored_floats(e, *out));
none:
    st = TSR_OK;
out:
    tsr_safetensors_close(f);
    tsr_free(path);
    return st;
}

static void standardise(float *codes, size_t k, size_t z)
{
    double square = 0.0;
    for (size_t d = 0; d < z; d++) {
        double mean = 0.0;
        for (size_t i = 0; i < k; i++)
            mean += codes[i * z + d] / (double)k;
        for (size_t i = 0; i < k; i++) {
            codes[i * z + d] -= (float)mean;
            square += (double)codes[i * z + d] * codes[i * z + d];
        }
    }
    double scale = square > 0.0 ? sqrt((double)(k * z) / square) : 0.0;
    for (size_t i = 0; i < k * z; i++)
        codes[i] = (float)(codes[i] * scale);
}

/* p [K, D] = std (codes P + LOOSE noise), P [Z, D] normal of variance 1 / Z. */
static tsr_status project_codes(tsr_param *p, const float *codes, size_t k, size_t z, double std,
                                uint64_t seed)
{
    size_t width = p->shape[1];
    float *map;
    tsr_rng r;
    TSR_TRY(tsr_alloc(&map, z * width, sizeof *map));
    tsr_rng_init(&r, seed, TSR_RNG_INIT, tsr_hash_name(p->name));
    for (size_t i = 0; i < z * width; i++)
        map[i] = tsr_rng_normal(&r) / sqrtf((float)z);
    for (size_t i = 0; i < k; i++)
        for (size_t d = 0; d < width; d++) {
            double sum = LOOSE * tsr_rng_normal(&r);
            for (size_t j = 0; j < z; j++)
                sum += (double)codes[i * z + j] * map[j * width + d];
            p->value[i * width + d] = (float)(std * sum);
        }
    tsr_param_touch(p);
    tsr_free(map);
    return TSR_OK;
}

static int fits(const tsr_param *p, size_t codes)
{
    return p && p->ndim == 2 && p->shape[0] == codes;
}

static tsr_status begin_codes(tsr_fm *m, const tsr_mod *mod, const tsr_fm_start *s, uint64_t seed,
                              size_t *done)
{
    float *codes;
    size_t k, z;
    tsr_status st;
    TSR_TRY(read_codes(s->codes, mod->name, &codes, &k, &z));
    if (!codes)
        return TSR_OK;
    tsr_param *in = embedding(m, "encoder", mod->name, "token_emb.weight");
    tsr_param *out = embedding(m, "decoder", mod->name, "to_logits.weight");
    *done += fits(in, k) || fits(out, k);
    standardise(codes, k, z);
    if (fits(in, k))
        TSR_GO(project_codes(in, codes, k, z, s->tokens > 0 ? s->tokens : WHOLE, seed));
    if (fits(out, k))
        TSR_GO(project_codes(out, codes, k, z, HEAD_STD, seed));
    st = TSR_OK;
out:
    tsr_free(codes);
    return st;
}

tsr_status tsr_fm_begin(tsr_fm *m, const tsr_fm_start *s, uint64_t seed, size_t *from_codes)
{
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    size_t done = 0;
    if (!(s->tokens >= 0 && s->tokens <= 10))
        TSR_FAIL(TSR_ECONFIG, "token embeddings cannot start with a deviation of %g", s->tokens);
    if (s->places)
        scale_places(m);
    if (s->attention)
        align_attention(m);
    for (size_t i = 0; i < mods->count; i++) {
        tsr_param *p = embedding(m, "encoder", mods->items[i].name, "token_emb.weight");
        if (p && s->tokens > 0)
            tsr_param_init(p, TSR_INIT_NORMAL, (float)s->tokens, seed);
        if (s->codes && mods->items[i].places)
            TSR_TRY(begin_codes(m, &mods->items[i], s, seed, &done));
    }
    if (from_codes)
        *from_codes = done;
    return TSR_OK;
}
