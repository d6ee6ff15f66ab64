/* SPDX-License-Identifier: Apache-2.0
 * Kind "pixels": a picture as patches of its own 8-bit pixels, which a model reads and never
 * predicts (4M's rgb@224). Nothing is learned; cutting and resizing are those of kind "image". */
#include "tokenizers/kind.h"

#include "base/mem.h"
#include "dsp/patches.h"
#include "dsp/quality.h"
#include "tokenizers/pixels.h"
#include "tokenizers/setting.h"

#include <string.h>

#define MAX_SIDE 4096

typedef struct pixels {
    json_t *settings; /* kind, modality and all that decides values, defaults filled in */
    size_t height, width, patch;
    tsr_filter filter;
    tsr_background background;
} pixels;

static tsr_status configure(const tsr_tokenizer *t, pixels *p, const tsr_settings *s)
{
    static const char *const others[] = {"kind", "modality", NULL};
    size_t size[2];
    long long patch;
    TSR_TRY(tsr_setting_size(s, "image_size", 224, 1, MAX_SIDE, size));
    TSR_TRY(tsr_setting_int(s, "patch_size", 16, 1, MAX_SIDE, &patch));
    TSR_TRY(tsr_setting_filter(s, "resize", TSR_FILTER_BICUBIC, &p->filter));
    TSR_TRY(tsr_setting_background(s, &p->background));
    TSR_TRY(tsr_settings_check(s, others));
    p->height = size[0];
    p->width = size[1];
    p->patch = (size_t)patch;
    if (p->height % p->patch || p->width % p->patch)
        TSR_FAIL(TSR_ECONFIG,
                 "%s: modality %s: a picture of %zu x %zu is not made of whole patches of %zu",
                 s->origin, t->space.modality, p->height, p->width, p->patch);
    return TSR_OK;
}

/* The hash says what decides values; the modality's name does not. */
static tsr_status seal(tsr_tokenizer *t, pixels *p)
{
    char *text;
    TSR_TRY(tsr_json_text(p->settings, 0, &text));
    t->space.tokenizer = tsr_hash(text, strlen(text));
    tsr_free(text);
    return tsr_json_set(p->settings, "modality", json_string(t->space.modality));
}

static tsr_status init(tsr_tokenizer *t, const json_t *config, const char *origin)
{
    pixels *p;
    TSR_TRY(tsr_kind_name_space(t, config, origin, NULL));
    TSR_TRY(tsr_alloc(&p, 1, sizeof *p));
    t->state = p; /* destroy() takes it from here, half-built or not */
    p->settings = json_pack("{ss}", "kind", t->kind->name);
    if (!p->settings)
        TSR_FAIL(TSR_ENOMEM, "no memory for a tokenizer's settings");
    tsr_settings s = {config, p->settings, origin};
    TSR_TRY(configure(t, p, &s));
    tsr_space_set_patches(&t->space, (uint32_t)(p->height / p->patch),
                          (uint32_t)(p->width / p->patch), (uint32_t)p->patch);
    return seal(t, p);
}

static tsr_status open_file(tsr_tokenizer *t, const tsr_kind_file *file)
{
    return init(t, file->settings, file->path);
}

static tsr_status create(tsr_tokenizer *t, const json_t *config, const char *origin)
{
    return init(t, config, origin);
}

static tsr_status write(const tsr_tokenizer *t, const char *path)
{
    const pixels *p = t->state;
    return tsr_json_write(path, p->settings, 2);
}

static void destroy(tsr_tokenizer *t)
{
    pixels *p = t->state;
    if (!p)
        return;
    json_decref(p->settings);
    tsr_free(p);
    t->state = NULL;
}

static tsr_status describe(const tsr_tokenizer *t, json_t *into)
{
    const pixels *p = t->state;
    json_t *copy = json_deep_copy(p->settings);
    json_object_del(copy, "kind");
    json_object_del(copy, "modality");
    TSR_TRY(tsr_json_set(into, "media", json_string("image")));
    TSR_TRY(tsr_json_set(into, "input",
                         json_pack("[iII]", 3, (json_int_t)p->height, (json_int_t)p->width)));
    TSR_TRY(tsr_json_set(into, "preprocessing", copy));
    TSR_TRY(tsr_json_set(into, "range",
                         json_string("8-bit sRGB values 0..255, normalised by the model that reads "
                                     "them; alpha over the background")));
    TSR_TRY(tsr_json_set(into, "encoder", json_true()));
    return tsr_json_set(into, "decoder", json_true());
}

static tsr_status prepare(const tsr_tokenizer *t, const tsr_inputs *in, tsr_image *out)
{
    const pixels *p = t->state;
    const tsr_media *m;
    tsr_image plain = {0};
    TSR_TRY(tsr_inputs_need(t, in, TSR_MEDIA_IMAGE, &m));
    TSR_TRY(tsr_pixels_8bit(&m->as.image, 3, &p->background, &plain));
    tsr_status st = tsr_pixels_cut(&plain, in->view, p->height, p->width, p->filter, out);
    tsr_image_clear(&plain);
    return st;
}

static tsr_status encode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_tokens *out)
{
    const pixels *p = t->state;
    tsr_image im = {0};
    tsr_status st;
    (void)w;
    TSR_GO(prepare(t, in, &im));
    TSR_GO(tsr_tokens_init(out, p->height * p->width * 3));
    TSR_GO(tsr_patches_from_image(&im, p->patch, out->ids));
out:
    tsr_image_clear(&im);
    return st;
}

static tsr_status decode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_tokens *tokens,
                         tsr_media *out)
{
    const pixels *p = t->state;
    (void)w;
    TSR_TRY(tsr_patches_to_image(tokens->ids, t->space.height, t->space.width, p->patch,
                                 &out->as.image));
    out->kind = TSR_MEDIA_IMAGE;
    return TSR_OK;
}

static tsr_status target(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_media *out)
{
    (void)w;
    TSR_TRY(prepare(t, in, &out->as.image));
    out->kind = TSR_MEDIA_IMAGE;
    return TSR_OK;
}

static tsr_status quality(const tsr_tokenizer *t, const tsr_media *want, const tsr_media *got,
                          json_t *into)
{
    double psnr, ssim;
    if (want->kind != TSR_MEDIA_IMAGE)
        TSR_FAIL(TSR_EARG, "modality %s compares pictures", t->space.modality);
    TSR_TRY(tsr_psnr(&want->as.image, &got->as.image, &psnr));
    TSR_TRY(tsr_ssim(&want->as.image, &got->as.image, &ssim));
    TSR_TRY(tsr_json_set(into, "psnr_db", json_real(psnr)));
    return tsr_json_set(into, "ssim", json_real(ssim));
}

const tsr_kind tsr_kind_pixels = {
    .name = "pixels",
    .summary = "patches of a picture's own pixels, for a model to read",
    .open = open_file,
    .create = create,
    .write = write,
    .destroy = destroy,
    .describe = describe,
    .encode = encode,
    .decode = decode,
    .target = target,
    .quality = quality,
};
