/* SPDX-License-Identifier: Apache-2.0
 * A table of tokenizer kinds for tests of the corpus job, linked instead of the real one: small
 * kinds with exact results that need neither training nor files.
 *   test-means  pictures: mean of each quarter of the crop, 0..255
 *   test-bytes  texts: their bytes; a text that holds "bad" fails
 *   test-depth  pictures of one channel: 1 when the first pixel is above 0; NaN fails
 *   test-sound  sounds: number of channels
 *   test-fields records: the number "n", 0..255 */
#include "tokenizers/kind.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static tsr_status create(tsr_tokenizer *t, const json_t *config, const char *origin)
{
    int means = strcmp(t->kind->name, "test-means") == 0;
    int bytes = strcmp(t->kind->name, "test-bytes") == 0;
    (void)origin;
    json_int_t salt = json_integer_value(json_object_get(config, "salt"));
    t->space = (tsr_token_space){.layout = bytes ? TSR_LAYOUT_SEQUENCE : TSR_LAYOUT_GRID,
                                 .height = means ? 2 : 1,
                                 .width = means ? 2 : 1,
                                 .levels = 1,
                                 .codebook_size = 256,
                                 .tokenizer = {(uint64_t)salt, 1}};
    snprintf(t->space.modality, sizeof t->space.modality, "%s",
             json_string_value(json_object_get(config, "modality")));
    snprintf(t->space.vocabulary, sizeof t->space.vocabulary, "%s",
             bytes ? "text" : t->space.modality);
    return TSR_OK;
}

static tsr_status write_file(const tsr_tokenizer *t, const char *path)
{
    (void)t;
    return tsr_file_write(path, "{}", 2);
}

static void destroy(tsr_tokenizer *t)
{
    (void)t;
}

static tsr_status describe(const tsr_tokenizer *t, json_t *into)
{
    (void)t;
    (void)into;
    return TSR_OK;
}

static uint32_t mean_of(const tsr_image *im, tsr_crop c, int quarter)
{
    int32_t top = c.top + quarter / 2 * (c.height / 2), left = c.left + quarter % 2 * (c.width / 2);
    uint64_t sum = 0, n = 0;
    for (int32_t y = top; y < top + (c.height + 1) / 2; y++) {
        const uint8_t *row = tsr_image_row(im, (size_t)y);
        for (int32_t x = left; x < left + (c.width + 1) / 2; x++, n++)
            sum += row[(size_t)x * im->channels];
    }
    return (uint32_t)(sum / n);
}

static tsr_status encode_means(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                               tsr_tokens *out)
{
    (void)t;
    (void)w;
    if (in->media[0]->kind != TSR_MEDIA_IMAGE || in->media[0]->as.image.pixel != TSR_PIXEL_U8)
        TSR_FAIL(TSR_EARG, "a picture of bytes was expected");
    const tsr_image *im = &in->media[0]->as.image;
    tsr_crop c = in->view ? in->view->crop : tsr_crop_centre(im->height, im->width);
    TSR_TRY(tsr_tokens_init(out, 4));
    for (int q = 0; q < 4; q++)
        out->ids[c.flip ? q ^ 1 : q] = mean_of(im, c, q);
    return TSR_OK;
}

static tsr_status encode_bytes(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                               tsr_tokens *out)
{
    (void)t;
    (void)w;
    if (in->media[0]->kind != TSR_MEDIA_TEXT)
        TSR_FAIL(TSR_EARG, "a text was expected");
    if (strstr(in->media[0]->as.text.s, "bad"))
        TSR_FAIL(TSR_EFORMAT, "the text is bad");
    TSR_TRY(tsr_tokens_init(out, in->media[0]->as.text.bytes));
    for (size_t i = 0; i < out->count; i++)
        out->ids[i] = (unsigned char)in->media[0]->as.text.s[i];
    return TSR_OK;
}

static tsr_status one(tsr_tokens *out, uint32_t id)
{
    TSR_TRY(tsr_tokens_init(out, 1));
    out->ids[0] = id;
    return TSR_OK;
}

static tsr_status encode_depth(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                               tsr_tokens *out)
{
    (void)t;
    (void)w;
    const tsr_image *im = &in->media[0]->as.image;
    if (in->media[0]->kind != TSR_MEDIA_IMAGE || im->channels != 1)
        TSR_FAIL(TSR_EARG, "a picture of one channel was expected");
    double d = im->pixel == TSR_PIXEL_F32   ? *(const float *)im->data
               : im->pixel == TSR_PIXEL_U16 ? *(const uint16_t *)im->data
                                            : *(const uint8_t *)im->data;
    if (isnan(d))
        TSR_FAIL(TSR_ENUMERIC, "the depth is not a number");
    return one(out, d > 0);
}

static tsr_status encode_sound(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                               tsr_tokens *out)
{
    (void)t;
    (void)w;
    if (in->media[0]->kind != TSR_MEDIA_SOUND || in->media[0]->as.sound.frames == 0)
        TSR_FAIL(TSR_EARG, "a sound of some length was expected");
    return one(out, (uint32_t)in->media[0]->as.sound.channels);
}

static tsr_status encode_fields(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                                tsr_tokens *out)
{
    (void)t;
    (void)w;
    long long n;
    if (in->media[0]->kind != TSR_MEDIA_RECORD)
        TSR_FAIL(TSR_EARG, "a record was expected");
    TSR_TRY(tsr_json_int(in->media[0]->as.record, "n", "the record", &n));
    if (n < 0 || n > 255)
        TSR_FAIL(TSR_EFORMAT, "\"n\" is %lld, outside 0 to 255", n);
    return one(out, (uint32_t)n);
}

#define KIND(word, function)                                                                       \
    {                                                                                              \
        .name = word, .create = create, .destroy = destroy, .describe = describe,                  \
        .write = write_file, .encode = function                                                    \
    }
static const tsr_kind kinds[] = {KIND("test-means", encode_means), KIND("test-bytes", encode_bytes),
                                 KIND("test-depth", encode_depth), KIND("test-sound", encode_sound),
                                 KIND("test-fields", encode_fields)};

const tsr_kind *const tsr_kinds[] = {&kinds[0], &kinds[1], &kinds[2], &kinds[3], &kinds[4], NULL};

tsr_status tsr_kind_find(const char *name, const char *origin, const tsr_kind **out)
{
    for (size_t i = 0; tsr_kinds[i]; i++) {
        if (strcmp(tsr_kinds[i]->name, name) == 0) {
            *out = tsr_kinds[i];
            return TSR_OK;
        }
    }
    TSR_FAIL(TSR_EUNSUPPORTED, "%s: no kind \"%s\"", origin, name);
}
