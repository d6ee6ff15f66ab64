/* SPDX-License-Identifier: Apache-2.0
 * First values of a model for a short run. */
#include "trainer/fmstart.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "nn/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TENSOR_NAME   192
#define CODEBOOK      "quantize._codebook.embed"
#define HEAD_STD      0.04 /* of heads made of code vectors: small, so that the first loss is ln V */
#define LOOSE         0.25 /* part of an embedding that is random, not of its code */
#define VALUE_LINES   4    /* kinds of value tokens: v0 .. v3 */
#define VALUE_WIDTH   20   /* seven scales of sine and cosine, and the kind */
#define MAX_TEXT_FILE ((size_t)256 << 20)
#define PI            3.14159265358979323846
#define WHOLE         0.5 /* deviation of embeddings made of code vectors, unless given */

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

/* What the tokens of a modality look like: vectors [k, z], centred and of variance 1 over those
 * there are. */
typedef struct codes {
    float *v;      /* NULL: nothing is known */
    uint8_t *none; /* [k] 1: this token has no vector; NULL: all have one */
    size_t k, z;
} codes;

static void codes_clear(codes *c)
{
    tsr_free(c->v);
    tsr_free(c->none);
    *c = (codes){0};
}

/* The codebook of MODALITY.safetensors, where there is one. */
static tsr_status read_codebook(const char *folder, const char *modality, codes *out)
{
    char *path = NULL;
    tsr_safetensors *f = NULL;
    tsr_status st;
    TSR_TRY(tsr_format(&path, "%s/%s.safetensors", folder, modality));
    if (!tsr_file_exists(path))
        goto none;
    TSR_GO(tsr_safetensors_open(path, &f));
    const tsr_stored *e = tsr_safetensors_find(f, CODEBOOK);
    if (!e || e->ndim < 2 || e->count == 0 || e->dtype != TSR_F32)
        goto none;
    out->z = e->shape[e->ndim - 1];
    out->k = e->count / out->z;
    TSR_GO(tsr_alloc(&out->v, e->count, sizeof *out->v));
    TSR_GO(tsr_stored_floats(e, out->v));
none:
    st = TSR_OK;
out:
    tsr_safetensors_close(f);
    tsr_free(path);
    return st;
}

/* A number on scales from the whole range of values down to 32 of them, and which of the four
 * kinds of values it is. */
static void value_vector(unsigned line, unsigned value, float v[VALUE_WIDTH])
{
    double period = 2048.0;
    memset(v, 0, VALUE_WIDTH * sizeof *v);
    for (size_t i = 0; i + VALUE_LINES < VALUE_WIDTH; i += 2, period /= 2) {
        double weight = pow(period, 0.25); /* near numbers differ in the short scales only */
        v[i] = (float)(weight * sin(2.0 * PI * value / period));
        v[i + 1] = (float)(weight * cos(2.0 * PI * value / period));
    }
    v[VALUE_WIDTH - VALUE_LINES + line] = 1.0f;
}

/* The value tokens v0=0 .. v3=999 of RANGE.json, a tokenizer.json: near numbers look alike. */
static tsr_status read_values(const char *folder, const char *range, size_t k, codes *out)
{
    char *path = NULL;
    json_t *file = NULL;
    tsr_status st;
    TSR_TRY(tsr_format(&path, "%s/%s.json", folder, range));
    if (!tsr_file_exists(path))
        goto none;
    TSR_GO(tsr_json_read(path, MAX_TEXT_FILE, &file));
    out->k = k;
    out->z = VALUE_WIDTH;
    TSR_GO(tsr_alloc(&out->v, k * VALUE_WIDTH, sizeof *out->v));
    TSR_GO(tsr_alloc(&out->none, k, 1));
    memset(out->none, 1, k);
    const json_t *tokens = json_object_get(file, "added_tokens");
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *token = json_array_get(tokens, i);
        const char *text = json_string_value(json_object_get(token, "content"));
        json_int_t id = json_integer_value(json_object_get(token, "id"));
        unsigned line, value;
        char end;
        if (!text || id < 0 || (size_t)id >= k ||
            sscanf(text, "v%1u=%4u%c", &line, &value, &end) != 2 || line >= VALUE_LINES)
            continue;
        value_vector(line, value, out->v + (size_t)id * VALUE_WIDTH);
        out->none[id] = 0;
    }
none:
    st = TSR_OK;
out:
    json_decref(file);
    tsr_free(path);
    return st;
}

static int has(const codes *c, size_t i)
{
    return !c->none || !c->none[i];
}

static void standardise(codes *c)
{
    double square = 0.0, rows = 0.0;
    for (size_t i = 0; i < c->k; i++)
        rows += has(c, i);
    for (size_t d = 0; d < c->z; d++) {
        double mean = 0.0;
        for (size_t i = 0; i < c->k; i++)
            mean += has(c, i) ? c->v[i * c->z + d] / rows : 0.0;
        for (size_t i = 0; i < c->k; i++) {
            float *v = &c->v[i * c->z + d];
            *v = has(c, i) ? *v - (float)mean : 0.0f;
            square += (double)*v * *v;
        }
    }
    double scale = square > 0.0 ? sqrt(rows * (double)c->z / square) : 0.0;
    for (size_t i = 0; i < c->k * c->z; i++)
        c->v[i] = (float)(c->v[i] * scale);
}

/* Rows of p [K, D] = std (codes P + LOOSE noise), P [Z, D] normal of variance 1 / Z. */
static tsr_status project_codes(tsr_param *p, const codes *c, double std, uint64_t seed)
{
    size_t width = p->shape[1];
    float *map;
    tsr_rng r;
    TSR_TRY(tsr_alloc(&map, c->z * width, sizeof *map));
    tsr_rng_init(&r, seed, TSR_RNG_INIT, tsr_hash_name(p->name));
    for (size_t i = 0; i < c->z * width; i++)
        map[i] = tsr_rng_normal(&r) / sqrtf((float)c->z);
    for (size_t i = 0; i < c->k; i++)
        for (size_t d = 0; has(c, i) && d < width; d++) {
            double sum = LOOSE * tsr_rng_normal(&r);
            for (size_t j = 0; j < c->z; j++)
                sum += (double)c->v[i * c->z + j] * map[j * width + d];
            p->value[i * width + d] = (float)(std * sum);
        }
    tsr_param_touch(p);
    tsr_free(map);
    return TSR_OK;
}

static int fits(const tsr_param *p, size_t count)
{
    return p && p->ndim == 2 && p->shape[0] == count;
}

static tsr_status begin_codes(tsr_fm *m, const tsr_mod *mod, const tsr_fm_start *s, uint64_t seed,
                              size_t *done)
{
    codes c = {0};
    tsr_status st;
    if (mod->places)
        TSR_GO(read_codebook(s->codes, mod->name, &c));
    else
        TSR_GO(read_values(s->codes, mod->range, mod->vocabulary, &c));
    if (!c.v)
        return TSR_OK;
    tsr_param *in = embedding(m, "encoder", mod->name, "token_emb.weight");
    tsr_param *out = embedding(m, "decoder", mod->name, "to_logits.weight");
    *done += fits(in, c.k) || fits(out, c.k);
    standardise(&c);
    if (fits(in, c.k))
        TSR_GO(project_codes(in, &c, s->tokens > 0 ? s->tokens : WHOLE, seed));
    if (fits(out, c.k))
        TSR_GO(project_codes(out, &c, HEAD_STD, seed));
    st = TSR_OK;
out:
    codes_clear(&c);
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
        if (s->codes)
            TSR_TRY(begin_codes(m, &mods->items[i], s, seed, &done));
    }
    if (from_codes)
        *from_codes = done;
    return TSR_OK;
}
