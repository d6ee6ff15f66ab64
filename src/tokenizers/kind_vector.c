/* SPDX-License-Identifier: Apache-2.0
 * Vectors (global features of a picture, poses): an MLP and product codes, one token a codebook. */
#include "base/mem.h"
#include "tokenizers/grid.h"
#include "tokenizers/seqwords.h"

#include <math.h>
#include <string.h>

#define MAX_VALUES 65536
#define N_POSE     207 /* 23 joints, 3 x 3 */

typedef struct vector {
    tsr_grid_net net;
    size_t values; /* numbers of one sample */
} vector;

/* ---- settings ---------------------------------------------------------------------------------*/

static tsr_status start(tsr_tokenizer *t, vector **out)
{
    TSR_TRY(tsr_grid_start(t, sizeof **out));
    *out = t->state;
    return TSR_OK;
}

static tsr_status configure(vector *v, const tsr_settings *s, size_t values)
{
    long long n;
    TSR_TRY(tsr_setting_int(s, "values", (long long)values, 1, MAX_VALUES, &n));
    v->values = (size_t)n;
    TSR_TRY(tsr_grid_precision(s, &v->net.precision));
    return tsr_settings_check(s, tsr_grid_recipe_keys);
}

static tsr_status complete(tsr_tokenizer *t, vector *v, const char *origin)
{
    const tsr_vqvae_info *info = tsr_vqvae_info_of(v->net.model);
    if (!info->is_vector || info->labels || info->in_channels != v->values)
        TSR_FAIL(TSR_EMISMATCH,
                 "%s: its network is no MLP over vectors of %zu numbers (enc_type "
                 "\"BottleneckMLP/...\", dec_type likewise)",
                 origin, v->values);
    TSR_TRY(tsr_vqvae_plan_create(v->net.model, 0, 0, v->net.precision, &v->net.plan));
    t->space.layout = TSR_LAYOUT_GRID;
    t->space.height = 1;
    t->space.width = (uint32_t)tsr_vqvae_plan_sizes(v->net.plan)->ids;
    t->space.levels = 1;
    t->space.codebook_size = (uint32_t)info->codes;
    return TSR_OK;
}

/* The recipe's section with a network for vectors where it does not name one. */
static tsr_status with_network(const json_t *config, json_t **out)
{
    static const char *const words[][2] = {{"enc_type", "BottleneckMLP/B_6-Wi_1024"},
                                           {"dec_type", "BottleneckMLP/B_6-Wi_1024"},
                                           {"quant_type", "memcodes"}};
    json_t *copy = json_deep_copy(config);
    json_t *model = json_object_get(copy, "model");
    tsr_status st = TSR_OK;
    if (copy && !model) {
        model = json_object();
        TSR_GO(tsr_json_set(copy, "model", model));
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (json_is_object(model) && !json_object_get(model, words[i][0]))
            TSR_GO(tsr_json_set(model, words[i][0], json_string(words[i][1])));
    if (json_is_object(model))
        TSR_GO(tsr_json_set(model, "patch_size", json_integer(1)));
    *out = copy;
    copy = NULL;
out:
    json_decref(copy);
    return st;
}

static tsr_status create(tsr_tokenizer *t, const json_t *config, const char *origin, uint64_t seed)
{
    vector *v;
    json_t *full = NULL;
    TSR_TRY(start(t, &v));
    const tsr_settings s = {config, v->net.settings, origin};
    if (!json_object_get(config, "values"))
        TSR_FAIL(TSR_ECONFIG, "%s: values: how many numbers a vector has is needed", origin);
    TSR_TRY(configure(v, &s, 0));
    TSR_TRY(with_network(config, &full));
    const tsr_train_shape shape = {v->values, 1, 1, 0, 1};
    tsr_status st = tsr_grid_model(full, origin, seed, &shape, &v->net.model);
    json_decref(full);
    return st == TSR_OK ? complete(t, v, origin) : st;
}

/* Published files: "DINOv2-B14-global", "human_poses"; what they are for only the hint tells. */
static int claims(const tsr_kind_file *file)
{
    const json_t *enc = file->metadata ? json_object_get(file->metadata, "enc_type") : NULL;
    return file->hint && json_is_string(enc) &&
           strncmp(json_string_value(enc), "BottleneckMLP", 13) == 0;
}

static tsr_status open_vector(tsr_tokenizer *t, const tsr_kind_file *file)
{
    vector *v;
    json_t *none = json_object();
    tsr_status st;
    TSR_GO(tsr_grid_name(t, file));
    TSR_GO(start(t, &v));
    TSR_GO(tsr_vqvae_open(file->path, TSR_VQVAE_RUN, &v->net.model));
    const tsr_settings s = {file->settings ? file->settings : none, v->net.settings, file->path};
    TSR_GO(configure(v, &s, tsr_vqvae_info_of(v->net.model)->in_channels));
    TSR_GO(complete(t, v, file->path));
    if (!file->quick)
        TSR_GO(tsr_hash_file(file->path, &t->space.tokenizer));
out:
    json_decref(none);
    return st;
}

static tsr_status describe(const tsr_tokenizer *t, json_t *into)
{
    const vector *v = t->state;
    TSR_TRY(tsr_json_set(into, "media", json_string("vector")));
    TSR_TRY(tsr_json_set(into, "input", json_pack("[I]", (json_int_t)v->values)));
    return tsr_grid_describe(t, "numbers as they are, all finite", into);
}

/* ---- work -------------------------------------------------------------------------------------*/

typedef struct vector_work {
    tsr_vqvae_work *net;
    float *x, *y; /* [values] */
    int32_t *ids;
} vector_work;

static tsr_status work_create(const tsr_tokenizer *t, tsr_tokenizer_work *w)
{
    const vector *v = t->state;
    vector_work *k;
    TSR_TRY(tsr_alloc(&k, 1, sizeof *k));
    w->state = k;
    TSR_TRY(tsr_vqvae_work_create(v->net.plan, &k->net));
    TSR_TRY(tsr_alloc(&k->x, v->values, sizeof *k->x));
    TSR_TRY(tsr_alloc(&k->y, v->values, sizeof *k->y));
    return tsr_alloc(&k->ids, t->space.width, sizeof *k->ids);
}

static void work_destroy(tsr_tokenizer_work *w)
{
    vector_work *k = w->state;
    if (!k)
        return;
    tsr_vqvae_work_destroy(k->net);
    tsr_free(k->x);
    tsr_free(k->y);
    tsr_free(k->ids);
    tsr_free(k);
}

/* 4M's human poses: body_pose of the first person of a record, zeros for nobody. */
static tsr_status prepare_pose(const tsr_tokenizer *t, const json_t *record, float *x)
{
    const json_t *all = json_object_get(json_object_get(record, "pred_smpl_params"), "body_pose");
    double v[N_POSE] = {0};
    if (((const vector *)t->state)->values != N_POSE)
        TSR_FAIL(TSR_EARG, "modality %s: only poses are read from records", t->space.modality);
    if (json_array_size(all) > 0 && !tsr_json_numbers(json_array_get(all, 0), v, N_POSE))
        TSR_FAIL(TSR_EFORMAT, "body_pose of the first person is not %d numbers", N_POSE);
    for (size_t i = 0; i < N_POSE; i++)
        x[i] = (float)v[i];
    return TSR_OK;
}

static tsr_status prepare(const tsr_tokenizer *t, const tsr_inputs *in, float *x)
{
    const vector *v = t->state;
    const tsr_media *m = tsr_inputs_find(in, TSR_MEDIA_RECORD);
    if (m)
        return prepare_pose(t, m->as.record, x);
    TSR_TRY(tsr_inputs_need(t, in, TSR_MEDIA_VECTOR, &m));
    if (m->as.vector.count != v->values)
        TSR_FAIL(TSR_EFORMAT, "%zu numbers, this tokenizer reads vectors of %zu",
                 m->as.vector.count, v->values);
    for (size_t i = 0; i < v->values; i++) {
        if (!isfinite(m->as.vector.data[i]))
            TSR_FAIL(TSR_ENUMERIC, "number %zu of the vector is not finite", i);
        x[i] = m->as.vector.data[i];
    }
    return TSR_OK;
}

static tsr_status finish(const tsr_tokenizer *t, const float *y, tsr_media *out)
{
    const vector *v = t->state;
    float *data;
    TSR_TRY(tsr_alloc(&data, v->values, sizeof *data));
    memcpy(data, y, v->values * sizeof *data);
    *out = (tsr_media){.kind = TSR_MEDIA_VECTOR, .as.vector = {data, v->values}};
    return TSR_OK;
}

static tsr_status encode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_tokens *out)
{
    vector_work *k = w->state;
    TSR_TRY(prepare(t, in, k->x));
    TSR_TRY(tsr_vqvae_encode(k->net, &(tsr_vqvae_input){.pixels = k->x}, NULL, k->ids));
    TSR_TRY(tsr_tokens_init(out, t->space.width));
    for (size_t i = 0; i < out->count; i++)
        out->ids[i] = (uint32_t)k->ids[i];
    return TSR_OK;
}

static tsr_status decode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_tokens *tokens,
                         tsr_media *out)
{
    const vector *v = t->state;
    vector_work *k = w->state;
    if (!tsr_vqvae_info_of(v->net.model)->has_decoder)
        TSR_FAIL(TSR_EUNSUPPORTED, "modality %s: its tokenizer's file has no decoder",
                 t->space.modality);
    for (size_t i = 0; i < tokens->count; i++)
        k->ids[i] = (int32_t)tokens->ids[i];
    TSR_TRY(tsr_vqvae_decode(k->net, k->ids, k->y));
    return finish(t, k->y, out);
}

static tsr_status target(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_media *out)
{
    vector_work *k = w->state;
    TSR_TRY(prepare(t, in, k->x));
    return finish(t, k->x, out);
}

/* cosine: of the angle between the two, 0 where one has no length; mse. */
static tsr_status quality(const tsr_tokenizer *t, const tsr_media *want, const tsr_media *got,
                          json_t *into)
{
    double ab = 0, aa = 0, bb = 0, square = 0;
    size_t n = want->as.vector.count;
    if (want->kind != TSR_MEDIA_VECTOR || got->kind != TSR_MEDIA_VECTOR ||
        got->as.vector.count != n)
        TSR_FAIL(TSR_EARG, "modality %s compares vectors of equal length", t->space.modality);
    for (size_t i = 0; i < n; i++) {
        double a = want->as.vector.data[i], b = got->as.vector.data[i];
        ab += a * b;
        aa += a * a;
        bb += b * b;
        square += (a - b) * (a - b);
    }
    double cosine = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
    TSR_TRY(tsr_json_set(into, "cosine", json_real(cosine)));
    return tsr_json_set(into, "mse", json_real(square / (double)n));
}

/* ---- training ---------------------------------------------------------------------------------*/

static void train_shape(const tsr_tokenizer *t, tsr_train_shape *out)
{
    *out = (tsr_train_shape){((const vector *)t->state)->values, 1, 1, 0, 1};
}

static tsr_vq_loss train_loss(const tsr_tokenizer *t)
{
    (void)t;
    return TSR_VQ_SMOOTH_L1;
}

static tsr_status train_items(const tsr_tokenizer *t, const tsr_inputs *in, size_t *items)
{
    const tsr_media *m;
    TSR_TRY(tsr_inputs_need(t, in, TSR_MEDIA_VECTOR, &m));
    *items = 1;
    return TSR_OK;
}

static tsr_status train_prepare(const tsr_tokenizer *t, const tsr_inputs *in, size_t item,
                                tsr_rng *augment, float *x, uint8_t *valid)
{
    (void)item;
    (void)augment;
    *valid = 1;
    return prepare(t, in, x);
}

static tsr_status train_finish(const tsr_tokenizer *t, const float *y, size_t items, tsr_media *out)
{
    (void)items;
    return finish(t, y, out);
}

static const tsr_trainable train = {
    .create = create,
    .shape = train_shape,
    .model = tsr_grid_model_of,
    .loss = train_loss,
    .items = train_items,
    .prepare = train_prepare,
    .finish = train_finish,
};

const tsr_kind tsr_kind_vector = {
    .name = "vector",
    .summary = "vectors of numbers: an MLP and product codes",
    .claims = claims,
    .open = open_vector,
    .write = tsr_grid_write,
    .destroy = tsr_grid_destroy,
    .describe = describe,
    .work_create = work_create,
    .work_destroy = work_destroy,
    .encode = encode,
    .decode = decode,
    .target = target,
    .quality = quality,
    .train = &train,
};
