/* SPDX-License-Identifier: Apache-2.0
 * Tokenizers with a network over a fixed grid of patches: opening, encoding, decoding. */
#include "tokenizers/grid.h"

#include "base/mem.h"
#include "tokenizers/trainable.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SIDE 4096

const char *const tsr_grid_recipe_keys[] = {"kind", "modality", "vocabulary", "model", NULL};

/* ---- settings ---------------------------------------------------------------------------------*/

tsr_status tsr_grid_precision(const tsr_settings *s, tsr_precision *out)
{
    static const char *const words[] = {"auto", "fp32", "bf16", NULL};
    int word;
    TSR_TRY(tsr_setting_word(s, "precision", words, 0, &word));
    *out = word == 0   ? tsr_precision_default()
           : word == 1 ? TSR_PRECISION_FP32
                       : TSR_PRECISION_BF16;
    return TSR_OK;
}

tsr_status tsr_grid_start(tsr_tokenizer *t, size_t bytes)
{
    tsr_grid_net *net;
    TSR_TRY(tsr_alloc(&net, 1, bytes));
    t->state = net; /* tsr_grid_destroy() takes it from here, half-built or not */
    net->settings = json_pack("{ssssss}", "kind", t->kind->name, "modality", t->space.modality,
                              "vocabulary", t->space.vocabulary);
    if (!net->settings)
        TSR_FAIL(TSR_ENOMEM, "no memory for a tokenizer's settings");
    return TSR_OK;
}

/* Everything but the model. */
static tsr_status configure(tsr_grid *g, const tsr_settings *s, size_t side)
{
    int nearest = g->rules == &tsr_depth_rules || g->rules == &tsr_label_rules;
    size_t size[2];
    const char *key = g->rules->size_key ? g->rules->size_key : "image_size";
    TSR_TRY(tsr_setting_size(s, key, (long long)side, g->rules->size_key ? 1 : 8, MAX_SIDE, size));
    g->height = size[0];
    g->width = size[1];
    TSR_TRY(tsr_setting_filter(s, "resize", nearest ? TSR_FILTER_NEAREST : TSR_FILTER_BICUBIC,
                               &g->filter));
    TSR_TRY(tsr_grid_precision(s, &g->net.precision));
    TSR_TRY(tsr_setting_background(s, &g->background));
    TSR_TRY(tsr_derive_read(s, &g->derive));
    return g->rules->configure(g, s);
}

static tsr_status start(tsr_tokenizer *t, tsr_grid **out)
{
    TSR_TRY(tsr_grid_start(t, sizeof **out));
    tsr_grid *g = t->state;
    g->rules = t->kind->rules;
    *out = g;
    return TSR_OK;
}

/* The model is there: its place in the vocabulary, and a check that it fits the settings. */
static tsr_status complete(tsr_tokenizer *t, tsr_grid *g, const char *origin)
{
    const tsr_vqvae_info *info = tsr_vqvae_info_of(g->net.model);
    size_t in = info->labels ? 1 : info->in_channels;
    if (info->is_vector || in != g->channels || info->labels != g->classes)
        TSR_FAIL(TSR_EMISMATCH,
                 "%s: not a tokenizer of %s: it reads %zu channels and %zu classes, where those of "
                 "kind %s read %zu and %zu",
                 origin, t->space.modality, info->in_channels, info->labels, t->kind->name,
                 g->channels, g->classes);
    TSR_TRY(tsr_vqvae_plan_create(g->net.model, g->height, g->width, g->net.precision,
                                  &g->net.plan));
    const tsr_vqvae_sizes *sizes = tsr_vqvae_plan_sizes(g->net.plan);
    t->space.layout = TSR_LAYOUT_GRID;
    t->space.height = (uint32_t)sizes->grid_height;
    t->space.width = (uint32_t)sizes->grid_width;
    t->space.levels = (uint32_t)info->heads;
    t->space.codebook_size = (uint32_t)info->codes;
    return TSR_OK;
}

/* ---- creating, opening, writing ---------------------------------------------------------------*/

tsr_status tsr_grid_model(const json_t *config, const char *origin, uint64_t seed,
                          const tsr_train_shape *shape, tsr_vqvae **out)
{
    tsr_vqvae_config c;
    const json_t *section = json_object_get(config, "model");
    json_t *model = section ? json_deep_copy(section) : json_object();
    const char *planes = shape->classes ? "n_labels" : "n_channels";
    size_t count = shape->classes ? shape->classes : shape->channels;
    if (!model)
        TSR_FAIL(TSR_ENOMEM, "no memory for a model's settings");
    tsr_status st = TSR_OK;
    TSR_GO(tsr_json_set(model, "image_height", json_integer((json_int_t)shape->height)));
    TSR_GO(tsr_json_set(model, "image_width", json_integer((json_int_t)shape->width)));
    TSR_GO(tsr_json_set(model, planes, json_integer((json_int_t)count)));
    TSR_GO(tsr_vqvae_config_read(model, origin, &c));
    TSR_GO(tsr_vqvae_create(&c, seed, out));
out:
    json_decref(model);
    return st;
}

/* Features are not cut into patches; the model's section says so without being told. */
static tsr_status model_of_features(const json_t *config, const char *origin, uint64_t seed,
                                    const tsr_train_shape *shape, tsr_vqvae **out)
{
    json_t *copy = json_deep_copy(config), *model = json_object_get(copy, "model");
    tsr_status st = TSR_OK;
    if (copy && !model) {
        model = json_object();
        TSR_GO(tsr_json_set(copy, "model", model));
    }
    if (json_is_object(model))
        TSR_GO(tsr_json_set(model, "patch_proj", json_false()));
    TSR_GO(tsr_grid_model(copy, origin, seed, shape, out));
out:
    json_decref(copy);
    return st;
}

static tsr_status create(tsr_tokenizer *t, const json_t *config, const char *origin, uint64_t seed)
{
    tsr_grid *g;
    TSR_TRY(start(t, &g));
    tsr_settings s = {config, g->net.settings, origin};
    TSR_TRY(configure(g, &s, 128));
    TSR_TRY(tsr_settings_check(&s, tsr_grid_recipe_keys));
    const tsr_train_shape shape = {g->channels, g->height, g->width, g->classes, 0};
    TSR_TRY((g->rules->prepare_array ? model_of_features : tsr_grid_model)(config, origin, seed, &shape,
                                                                           &g->net.model));
    return complete(t, g, origin);
}

/* Pixels a side of a modality named as in 4M, "rgb@224"; 0 when the name does not say. */
static long long side_of(const char *hint)
{
    const char *at = hint ? strchr(hint, '@') : NULL;
    return at && strspn(at + 1, "0123456789") == strlen(at + 1) ? strtoll(at + 1, NULL, 10) : 0;
}

static tsr_status check_side(const char *path, const char *hint)
{
    if (hint && strchr(hint, '@') && side_of(hint) == 0)
        TSR_FAIL(TSR_EARG,
                 "%s: modality \"%s\": behind the @ stands one number, pixels a side, as in "
                 "rgb@224",
                 path, hint);
    return TSR_OK;
}

/* Pixels a side that stand for one feature: 14 of DINOv2 and ImageBind, 16 of CLIP. */
static long long side_of_feature(const char *hint)
{
    return strstr(hint, "dino") || strstr(hint, "DINO") || strstr(hint, "imagebind") ||
                   strstr(hint, "ImageBind")
               ? 14
               : 16;
}

/* Settings that published 4M files leave out, by kind. */
static tsr_status published_settings(const tsr_tokenizer *t, const tsr_vqvae_info *info,
                                     const char *hint, json_t **out)
{
    json_t *s = json_object();
    if (!s)
        TSR_FAIL(TSR_ENOMEM, "no memory for a tokenizer's settings");
    tsr_status st = TSR_OK;
    if (t->kind->rules == &tsr_features_rules) {
        TSR_GO(tsr_json_set(s, "channels", json_integer((json_int_t)info->in_channels)));
        if (side_of(hint))
            TSR_GO(tsr_json_set(s, "grid", json_integer(side_of(hint) / side_of_feature(hint))));
        *out = s;
        return TSR_OK;
    }
    if (side_of(hint))
        TSR_GO(tsr_json_set(s, "image_size", json_integer(side_of(hint))));
    if (t->kind->rules == &tsr_mask_rules)
        TSR_GO(tsr_json_set(s, "answers", json_string("logits")));
    if (t->kind->rules == &tsr_image_rules)
        TSR_GO(tsr_json_set(s, "channels", json_integer((json_int_t)info->in_channels)));
    if (hint && tsr_derive_of(hint))
        TSR_GO(tsr_json_set(s, "derive", json_string(tsr_derive_of(hint))));
    if (t->kind->rules == &tsr_depth_rules) {
        TSR_GO(tsr_json_set(s, "normalisation", json_string("standardize")));
        TSR_GO(tsr_json_set(s, "resize", json_string("bicubic")));
        TSR_GO(tsr_json_set(s, "resize_16bit", json_string("pillow-9")));
    }
    if (t->kind->rules == &tsr_normal_rules)
        TSR_GO(tsr_json_set(s, "vectors", json_string("stored")));
    TSR_GO(tsr_json_set(s, "background", json_string("none")));
    if (t->kind->rules == &tsr_label_rules) {
        TSR_GO(tsr_json_set(s, "classes", json_integer((json_int_t)info->labels)));
        TSR_GO(tsr_json_set(s, "shift", json_integer(1)));
    }
    *out = s;
    s = NULL;
out:
    json_decref(s);
    return st;
}

tsr_status tsr_grid_name(tsr_tokenizer *t, const tsr_kind_file *file)
{
    if (file->settings)
        return tsr_kind_name_space(t, file->settings, file->path, NULL);
    json_t *named = json_pack("{ss}", "modality", file->hint ? file->hint : t->kind->name);
    if (!named)
        TSR_FAIL(TSR_ENOMEM, "no memory for a tokenizer's name");
    tsr_status st = tsr_kind_name_space(t, named, file->path, NULL);
    json_decref(named);
    return st;
}

static tsr_status open_grid(tsr_tokenizer *t, const tsr_kind_file *file)
{
    tsr_grid *g;
    tsr_vqvae *model = NULL;
    json_t *published = NULL;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_grid_name(t, file));
    if (!file->settings)
        TSR_TRY(check_side(file->path, file->hint));
    TSR_TRY(start(t, &g));
    TSR_GO(tsr_vqvae_open(file->path, TSR_VQVAE_RUN, &model));
    g->net.model = model;
    if (!file->settings)
        TSR_GO(published_settings(t, tsr_vqvae_info_of(model), file->hint, &published));
    tsr_settings s = {file->settings ? file->settings : published, g->net.settings, file->path};
    TSR_GO(configure(g, &s, tsr_vqvae_info_of(model)->height));
    TSR_GO(tsr_settings_check(&s, tsr_grid_recipe_keys)); /* of a later version, perhaps */
    TSR_GO(complete(t, g, file->path));
    if (!file->quick)
        TSR_GO(tsr_hash_file(file->path, &t->space.tokenizer));
out:
    json_decref(published);
    return st;
}

static int claims(const tsr_kind_file *file, const char *word)
{
    return file->hint && file->metadata && json_object_get(file->metadata, "enc_type") &&
           strncmp(file->hint, word, strlen(word)) == 0;
}

static int claims_image(const tsr_kind_file *file)
{
    return claims(file, "rgb") || claims(file, "canny") || claims(file, "edge") ||
           claims(file, "sam_edge");
}

static int claims_depth(const tsr_kind_file *file)
{
    return claims(file, "depth");
}

static int claims_normal(const tsr_kind_file *file)
{
    return claims(file, "normal");
}

static int claims_label(const tsr_kind_file *file)
{
    return claims(file, "semseg");
}

static int claims_mask(const tsr_kind_file *file)
{
    return claims(file, "sam_mask") || claims(file, "sam_instance");
}

/* Features come on a grid already: nothing is cut into patches. */
static int claims_features(const tsr_kind_file *file)
{
    const json_t *enc = file->metadata ? json_object_get(file->metadata, "enc_type") : NULL;
    const json_t *patches = file->metadata ? json_object_get(file->metadata, "patch_proj") : NULL;
    return file->hint && json_is_string(enc) && strncmp(json_string_value(enc), "vit", 3) == 0 &&
           json_is_string(patches) && strcmp(json_string_value(patches), "False") == 0;
}

tsr_status tsr_grid_write(const tsr_tokenizer *t, const char *path)
{
    const tsr_grid_net *net = t->state;
    char *text = NULL;
    json_t *extra = json_object();
    tsr_status st = TSR_OK;
    if (!extra)
        TSR_FAIL(TSR_ENOMEM, "no memory for a tokenizer's metadata");
    TSR_GO(tsr_json_text(net->settings, 0, &text));
    TSR_GO(tsr_json_set(extra, "tessera", json_string(text)));
    TSR_GO(tsr_vqvae_write(net->model, path, 0, extra));
out:
    tsr_free(text);
    json_decref(extra);
    return st;
}

void tsr_grid_destroy(tsr_tokenizer *t)
{
    tsr_grid_net *net = t->state;
    if (!net)
        return;
    tsr_vqvae_plan_destroy(net->plan);
    tsr_vqvae_destroy(net->model);
    json_decref(net->settings);
    tsr_free(net);
    t->state = NULL;
}

/* What a diffusion decoder was trained with, and how it decodes unless told otherwise. */
static tsr_status describe_diffusion(const tsr_vqvae *model, json_t *into)
{
    const tsr_vqvae_config *c = tsr_vqvae_config_of(model);
    return tsr_json_set(
        into, "diffusion",
        json_pack("{s:s, s:I, s:I, s:s, s:b, s:s, s:b}", "sampler", "ddim", "steps",
                  (json_int_t)tsr_vqvae_info_of(model)->steps, "trained_steps",
                  (json_int_t)c->num_train_timesteps, "schedule", c->beta_schedule,
                  "zero_terminal_snr", c->zero_terminal_snr, "prediction", c->prediction_type, "clip",
                  c->clip_sample || c->thresholding));
}

tsr_status tsr_grid_describe(const tsr_tokenizer *t, const char *range, json_t *into)
{
    const tsr_grid_net *net = t->state;
    const tsr_vqvae_info *info = tsr_vqvae_info_of(net->model);
    TSR_TRY(tsr_json_set(into, "precision", json_string(tsr_precision_name(net->precision))));
    json_t *copy = json_deep_copy(net->settings);
    json_object_del(copy, "kind");
    json_object_del(copy, "modality");
    json_object_del(copy, "vocabulary");
    TSR_TRY(tsr_json_set(into, "preprocessing", copy));
    TSR_TRY(tsr_json_set(into, "range", json_string(range)));
    TSR_TRY(tsr_json_set(into, "quantizer", json_string(info->quantizer)));
    TSR_TRY(tsr_json_set(into, "code_width", json_integer((json_int_t)info->code_width)));
    TSR_TRY(tsr_json_set(into, "patch", json_integer((json_int_t)info->patch)));
    TSR_TRY(tsr_json_set(into, "encoder", json_true()));
    TSR_TRY(tsr_json_set(into, "decoder", json_boolean(info->has_decoder)));
    TSR_TRY(tsr_json_set(into, "decoder_kind", json_string(info->decoder)));
    if (info->steps)
        TSR_TRY(describe_diffusion(net->model, into));
    return tsr_json_set(into, "parameters", json_integer((json_int_t)info->values));
}

static tsr_status describe(const tsr_tokenizer *t, json_t *into)
{
    const tsr_grid *g = t->state;
    json_int_t planes = (json_int_t)(g->classes ? 1 : g->channels);
    TSR_TRY(tsr_json_set(into, "media",
                         json_string(g->rules->prepare_array ? "vector" : "image")));
    TSR_TRY(tsr_json_set(into, "input", json_pack("[III]", planes, (json_int_t)g->height,
                                                  (json_int_t)g->width)));
    return tsr_grid_describe(t, g->rules->range, into);
}

/* ---- work -------------------------------------------------------------------------------------*/

typedef struct grid_work {
    tsr_vqvae_work *net;
    float *x, *y;
    uint8_t *valid;
    int32_t *labels, *ids;
} grid_work;

static tsr_status work_create(const tsr_tokenizer *t, tsr_tokenizer_work *w)
{
    const tsr_grid *g = t->state;
    const tsr_vqvae_sizes *sizes = tsr_vqvae_plan_sizes(g->net.plan);
    size_t pixels = g->height * g->width;
    grid_work *k;
    TSR_TRY(tsr_alloc(&k, 1, sizeof *k));
    w->state = k;
    TSR_TRY(tsr_vqvae_work_create(g->net.plan, &k->net));
    TSR_TRY(tsr_alloc(&k->x, g->channels * pixels, sizeof *k->x));
    TSR_TRY(tsr_alloc(&k->y, sizes->output, sizeof *k->y));
    TSR_TRY(tsr_alloc(&k->valid, pixels, 1));
    TSR_TRY(tsr_alloc(&k->labels, g->classes ? pixels : 0, sizeof *k->labels));
    return tsr_alloc(&k->ids, sizes->ids, sizeof *k->ids);
}

static void work_destroy(tsr_tokenizer_work *w)
{
    grid_work *k = w->state;
    if (!k)
        return;
    tsr_vqvae_work_destroy(k->net);
    tsr_free(k->x);
    tsr_free(k->y);
    tsr_free(k->valid);
    tsr_free(k->labels);
    tsr_free(k->ids);
    tsr_free(k);
}

static tsr_media_kind media_of(const tsr_grid *g)
{
    return g->rules->prepare_array ? TSR_MEDIA_VECTOR : TSR_MEDIA_IMAGE;
}

static tsr_status prepare_input(const tsr_tokenizer *t, const tsr_inputs *in, float *x,
                                uint8_t *valid)
{
    const tsr_grid *g = t->state;
    const tsr_media *m;
    TSR_TRY(tsr_inputs_need(t, in, media_of(g), &m));
    if (g->rules->prepare_array)
        return g->rules->prepare_array(g, m, in, x, valid);
    if (!tsr_derives(&g->derive, in->from))
        return g->rules->prepare(g, &m->as.image, in->view, x, valid);
    tsr_image own = {0};
    TSR_TRY(tsr_derive_image(&g->derive, &m->as.image, &own));
    tsr_status st = g->rules->prepare(g, &own, in->view, x, valid);
    tsr_image_clear(&own);
    return st;
}

static tsr_status encode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_tokens *out)
{
    const tsr_grid *g = t->state;
    grid_work *k = w->state;
    TSR_TRY(prepare_input(t, in, k->x, k->valid));
    tsr_vqvae_input input = {.pixels = k->x};
    if (g->classes) {
        for (size_t p = 0; p < g->height * g->width; p++)
            k->labels[p] = (int32_t)k->x[p];
        input = (tsr_vqvae_input){.labels = k->labels};
    }
    TSR_TRY(tsr_vqvae_encode(k->net, &input, NULL, k->ids));
    size_t places = (size_t)t->space.height * t->space.width, heads = t->space.levels;
    TSR_TRY(tsr_tokens_init(out, places * heads));
    /* The network has the codes of one codebook together; tokens have those of one place together. */
    for (size_t p = 0; p < places; p++)
        for (size_t h = 0; h < heads; h++)
            out->ids[p * heads + h] = (uint32_t)k->ids[h * places + p];
    return TSR_OK;
}

static tsr_status decode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_tokens *tokens,
                         const tsr_decoding *how, tsr_media *out)
{
    const tsr_vqvae_decoding with = {.steps = how->steps, .seed = how->seed, .sample = how->sample,
                                     .sampler = how->sampler, .eta = how->eta,
                                     .guidance = how->guidance, .compatible = how->compatible,
                                     .job = how->job};
    const tsr_grid *g = t->state;
    grid_work *k = w->state;
    size_t places = (size_t)t->space.height * t->space.width, heads = t->space.levels;
    if (!tsr_vqvae_info_of(g->net.model)->has_decoder)
        TSR_FAIL(TSR_EUNSUPPORTED, "modality %s: its tokenizer's file has no decoder",
                 t->space.modality);
    for (size_t p = 0; p < places; p++)
        for (size_t h = 0; h < heads; h++)
            k->ids[h * places + p] = (int32_t)tokens->ids[p * heads + h];
    TSR_TRY(tsr_vqvae_decode_with(k->net, k->ids, &with, k->y));
    return g->rules->finish(g, k->y, out);
}

static tsr_status target(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_media *out)
{
    const tsr_grid *g = t->state;
    grid_work *k = w->state;
    TSR_TRY(prepare_input(t, in, k->x, k->valid));
    return g->rules->restore(g, k->x, k->valid, out);
}

static tsr_status quality(const tsr_tokenizer *t, const tsr_media *want, const tsr_media *got,
                          json_t *into)
{
    const tsr_grid *g = t->state;
    if (want->kind != media_of(g) || got->kind != media_of(g))
        TSR_FAIL(TSR_EARG, "modality %s compares media of kind %s", t->space.modality,
                 tsr_media_name(media_of(g)));
    return g->rules->quality(g, want, got, into);
}

/* ---- training ---------------------------------------------------------------------------------*/

static void train_shape(const tsr_tokenizer *t, tsr_train_shape *out)
{
    const tsr_grid *g = t->state;
    *out = (tsr_train_shape){g->channels, g->height, g->width, g->classes,
                             tsr_vqvae_info_of(g->net.model)->patch};
}

tsr_vqvae *tsr_grid_model_of(tsr_tokenizer *t)
{
    return ((tsr_grid_net *)t->state)->model;
}

static tsr_vq_loss train_loss(const tsr_tokenizer *t)
{
    return ((const tsr_grid *)t->state)->rules->loss;
}

static tsr_status train_items(const tsr_tokenizer *t, const tsr_inputs *in, size_t *items)
{
    const tsr_media *m;
    TSR_TRY(tsr_inputs_need(t, in, media_of(t->state), &m));
    *items = 1;
    return TSR_OK;
}

static tsr_status train_prepare(const tsr_tokenizer *t, const tsr_inputs *in, size_t item,
                                tsr_rng *augment, float *x, uint8_t *valid)
{
    (void)item;
    (void)augment;
    return prepare_input(t, in, x, valid);
}

static tsr_status train_finish(const tsr_tokenizer *t, const float *y, size_t items, tsr_media *out)
{
    const tsr_grid *g = t->state;
    (void)items;
    return g->rules->finish(g, y, out);
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

#define GRID_KIND(name_, summary_, claims_, rules_)                                                \
    {                                                                                              \
        .name = name_, .summary = summary_, .claims = claims_, .open = open_grid,                  \
        .write = tsr_grid_write, .destroy = tsr_grid_destroy, .describe = describe,                \
        .work_create = work_create, .work_destroy = work_destroy, .encode = encode,                \
        .decode_with = decode, .target = target, .quality = quality, .train = &train, .rules = rules_,  \
    }

const tsr_kind tsr_kind_image =
    GRID_KIND("image", "pictures: a VQ-VAE over patches", claims_image, &tsr_image_rules);
const tsr_kind tsr_kind_depth =
    GRID_KIND("depth", "depth maps: a VQ-VAE over log metres", claims_depth, &tsr_depth_rules);
const tsr_kind tsr_kind_normal =
    GRID_KIND("normal", "surface normals: a VQ-VAE", claims_normal, &tsr_normal_rules);
const tsr_kind tsr_kind_label =
    GRID_KIND("label", "label maps and masks: a VQ-VAE over classes", claims_label,
              &tsr_label_rules);
const tsr_kind tsr_kind_mask =
    GRID_KIND("mask", "masks of single things: a VQ-VAE", claims_mask, &tsr_mask_rules);
const tsr_kind tsr_kind_features = GRID_KIND(
    "features", "feature maps of other networks: a VQ-VAE", claims_features, &tsr_features_rules);
