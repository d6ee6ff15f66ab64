/* SPDX-License-Identifier: Apache-2.0
 * Kind "palette": 1 to 7 colours as v1=<count> v0=<R> v0=<G> v0=<B> ... [EOS], the form of 4M. */
#include "tokenizers/palette.h"

#include "base/mem.h"
#include "dsp/oklab.h"
#include "tokenizers/seqkind.h"

#include <string.h>

typedef struct settings {
    double least, most, tolerance;
} settings;

static tsr_status init(tsr_tokenizer *t, const json_t *config, const char *origin, const char *file)
{
    static const char *const keys[] = {"least", "most", "tolerance"};
    static const double counts[2] = {1, TSR_PALETTE_MAX}, distances[2] = {0, 1};
    settings *s = NULL;
    uint32_t id;
    TSR_TRY(tsr_seq_init(t, config, origin, file, keys, 3));
    TSR_TRY(tsr_alloc(&s, 1, sizeof *s));
    tsr_seq_of(t)->own = s;
    tsr_seq_of(t)->own_destroy = tsr_free;
    TSR_TRY(tsr_seq_number(config, origin, "least", 1, counts, &s->least));
    TSR_TRY(tsr_seq_number(config, origin, "most", TSR_PALETTE_MAX, counts, &s->most));
    TSR_TRY(tsr_seq_number(config, origin, "tolerance", 0.05, distances, &s->tolerance));
    if (s->least != (size_t)s->least || s->most != (size_t)s->most || s->least > s->most)
        TSR_FAIL(TSR_ECONFIG, "%s: a palette of %g to %g colours", origin, s->least, s->most);
    TSR_TRY(tsr_text_value(tsr_seq_of(t)->text, 0, 255, &id));
    TSR_TRY(tsr_text_value(tsr_seq_of(t)->text, 1, TSR_PALETTE_MAX, &id));
    return tsr_seq_seal(t, json_pack("{s:i, s:i, s:f}", "least", (int)s->least, "most",
                                     (int)s->most, "tolerance", s->tolerance));
}

static tsr_status open_file(tsr_tokenizer *t, const tsr_kind_file *file)
{
    return init(t, file->settings, file->path, file->path);
}

static tsr_status create(tsr_tokenizer *t, const json_t *config, const char *origin)
{
    return init(t, config, origin, NULL);
}

static tsr_status describe(const tsr_tokenizer *t, json_t *into)
{
    TSR_TRY(tsr_json_set(into, "media", json_string("image or record")));
    TSR_TRY(tsr_json_set(into, "input",
                         json_string("whole picture, 8-bit sRGB; crop and flip do "
                                     "not matter")));
    return tsr_seq_describe(t, into);
}

/* From the record when there is one, else from the whole picture. */
static tsr_status measure(const tsr_tokenizer *t, const tsr_inputs *in, tsr_palette *p)
{
    const settings *s = tsr_seq_of(t)->own;
    const tsr_media *record = tsr_inputs_find(in, TSR_MEDIA_RECORD), *image;
    if (record)
        return tsr_palette_from_record(record->as.record, (size_t)s->most, p);
    TSR_TRY(tsr_inputs_need(t, in, TSR_MEDIA_IMAGE, &image));
    return tsr_palette_measure(&image->as.image, (size_t)s->least, (size_t)s->most, s->tolerance,
                               p);
}

static tsr_status encode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_tokens *out)
{
    tsr_palette p;
    (void)w;
    TSR_TRY(measure(t, in, &p));
    TSR_TRY(tsr_seq_add_value(t, out, 1, (unsigned)p.count));
    for (size_t j = 0; j < p.count; j++)
        for (size_t k = 0; k < 3; k++)
            TSR_TRY(tsr_seq_add_value(t, out, 0, p.rgb[j][k]));
    return tsr_seq_end(t, out);
}

static tsr_status as_record(const tsr_palette *p, tsr_media *out)
{
    json_t *record;
    TSR_TRY(tsr_palette_to_record(p, &record));
    *out = (tsr_media){.kind = TSR_MEDIA_RECORD};
    out->as.record = record;
    return TSR_OK;
}

static tsr_status decode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_tokens *tokens,
                         tsr_media *out)
{
    const tsr_text *text = tsr_seq_of(t)->text;
    size_t n = tsr_seq_length(t, tokens);
    unsigned line, value;
    tsr_palette p = {0};
    (void)w;
    if (n < 1 || !tsr_text_is_value(text, tokens->ids[0], &line, &value) || line != 1 ||
        value < 1 || value > TSR_PALETTE_MAX || n != 1 + 3 * (size_t)value)
        TSR_FAIL(TSR_EFORMAT, "%s: not a palette: %zu tokens, expected v1=<colours> and three a colour",
                 t->space.modality, n);
    p.count = value;
    for (size_t i = 1; i < n; i++) {
        if (!tsr_text_is_value(text, tokens->ids[i], &line, &value) || line != 0 || value > 255)
            TSR_FAIL(TSR_EFORMAT, "%s: token %zu of a palette is not v0=0..255", t->space.modality,
                     i);
        p.rgb[(i - 1) / 3][(i - 1) % 3] = (uint8_t)value;
    }
    return as_record(&p, out);
}

static tsr_status target(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_media *out)
{
    tsr_palette p;
    (void)w;
    TSR_TRY(measure(t, in, &p));
    return as_record(&p, out);
}

static tsr_status quality(const tsr_tokenizer *t, const tsr_media *want, const tsr_media *got,
                          json_t *into)
{
    tsr_palette a, b;
    (void)t;
    TSR_TRY(tsr_palette_from_record(want->as.record, TSR_PALETTE_MAX, &a));
    TSR_TRY(tsr_palette_from_record(got->as.record, TSR_PALETTE_MAX, &b));
    double sum = 0;
    for (size_t i = 0; i < a.count; i++) { /* distance to the nearest colour that came back */
        double best = 1e9;
        for (size_t j = 0; j < b.count; j++) {
            double d = tsr_delta_e(a.rgb[i], b.rgb[j]);
            best = d < best ? d : best;
        }
        sum += best;
    }
    int exact = a.count == b.count && memcmp(a.rgb, b.rgb, sizeof a.rgb) == 0;
    TSR_TRY(tsr_json_set(into, "delta_e", json_real(sum / (double)a.count)));
    return tsr_json_set(into, "exact", json_real(exact));
}

const tsr_kind tsr_kind_palette = {
    .name = "palette",
    .summary = "1 to 7 colours of a picture",
    .open = open_file,
    .create = create,
    .write = tsr_seq_write,
    .destroy = tsr_seq_destroy,
    .describe = describe,
    .encode = encode,
    .decode = decode,
    .target = target,
    .quality = quality,
};
