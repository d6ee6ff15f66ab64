/* SPDX-License-Identifier: Apache-2.0
 * Kind "metadata": facts about a sample, two tokens each: v1=<field> v0=<bin> ... [EOS], by field.
 * A field without a value is absent, unless it is required. */
#include "base/mem.h"
#include "dsp/imagestats.h"
#include "tokenizers/metafields.h"
#include "tokenizers/seqkind.h"

#include <math.h>
#include <string.h>

static void own_destroy(void *own)
{
    if (own)
        tsr_metafields_clear(own);
    tsr_free(own);
}

static tsr_status init(tsr_tokenizer *t, const json_t *config, const char *origin, const char *file)
{
    static const char *const keys[] = {"preset", "fields"};
    tsr_metafields *m = NULL;
    json_t *list = NULL;
    uint32_t id;
    TSR_TRY(tsr_seq_init(t, config, origin, file, keys, 2));
    TSR_TRY(tsr_alloc(&m, 1, sizeof *m));
    tsr_seq_of(t)->own = m;
    tsr_seq_of(t)->own_destroy = own_destroy;
    TSR_TRY(tsr_metafields_read(m, config, origin));
    for (size_t i = 0; i < m->count; i++) {
        TSR_TRY(tsr_text_value(tsr_seq_of(t)->text, 1, m->fields[i].id, &id));
        TSR_TRY(tsr_text_value(tsr_seq_of(t)->text, 0, m->fields[i].bins - 1, &id));
    }
    TSR_TRY(tsr_metafields_to_json(m, &list));
    return tsr_seq_seal(t, json_pack("{s:s, s:o}", "preset", "none", "fields", list));
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
    TSR_TRY(tsr_json_set(into, "media", json_string("record, image, text: as fields need")));
    TSR_TRY(tsr_json_set(into, "input",
                         json_string("whole picture and whole text; crop and flip "
                                     "do not matter")));
    return tsr_seq_describe(t, into);
}

/* ---- values -----------------------------------------------------------------------------------*/

/* Measured facts of one sample, by field name. */
static tsr_status measure_image(const tsr_image *im, json_t *facts)
{
    tsr_imagestats s;
    TSR_TRY(tsr_json_set(facts, "original_width", json_integer((json_int_t)im->width)));
    TSR_TRY(tsr_json_set(facts, "original_height", json_integer((json_int_t)im->height)));
    if (im->pixel == TSR_PIXEL_F32)
        return TSR_OK;
    TSR_TRY(tsr_image_measure(im, &s));
    TSR_TRY(tsr_json_set(facts, "colorfulness", json_real(s.colorfulness)));
    TSR_TRY(tsr_json_set(facts, "brightness", json_real(s.brightness)));
    TSR_TRY(tsr_json_set(facts, "contrast", json_real(s.contrast)));
    TSR_TRY(tsr_json_set(facts, "saturation", json_real(s.saturation)));
    return tsr_json_set(facts, "entropy", json_real(s.entropy));
}

/* Characters, words between blanks, sentences that end in . ! or ? (a last one need not). */
static tsr_status measure_text(const char *s, size_t bytes, json_t *facts)
{
    json_int_t chars = 0, words = 0, sentences = 0;
    int in_word = 0, in_sentence = 0;
    for (size_t i = 0; i < bytes; i++) {
        int blank = strchr(" \t\r\n", s[i]) != NULL, stop = strchr(".!?", s[i]) != NULL;
        chars += ((unsigned char)s[i] & 0xC0) != 0x80;
        words += !blank && !in_word;
        in_word = !blank;
        sentences += stop && in_sentence;
        in_sentence = stop ? 0 : in_sentence || !blank;
    }
    TSR_TRY(tsr_json_set(facts, "caption_n_chars", json_integer(chars)));
    TSR_TRY(tsr_json_set(facts, "caption_n_words", json_integer(words)));
    return tsr_json_set(facts, "caption_n_sentences", json_integer(sentences + in_sentence));
}

/* record.a.b.c for the key "a.b.c"; a member with dots in its own name wins. */
static const json_t *look_up(const json_t *record, const char *key)
{
    const json_t *v = json_object_get(record, key);
    const char *dot = strchr(key, '.');
    char head[128];
    if (v || !dot || (size_t)(dot - key) >= sizeof head)
        return v;
    memcpy(head, key, (size_t)(dot - key));
    head[dot - key] = '\0';
    return look_up(json_object_get(record, head), dot + 1);
}

static tsr_status gather(const tsr_tokenizer *t, const tsr_inputs *in, json_t *facts,
                         const json_t **record)
{
    const tsr_media *r = tsr_inputs_find(in, TSR_MEDIA_RECORD);
    const tsr_media *i = tsr_inputs_find(in, TSR_MEDIA_IMAGE);
    const tsr_media *x = tsr_inputs_find(in, TSR_MEDIA_TEXT);
    if (!r && !i && !x)
        return tsr_inputs_need(t, in, TSR_MEDIA_RECORD, &r);
    if (r && !json_is_object(r->as.record))
        TSR_FAIL(TSR_EFORMAT, "%s: the record is not a JSON object", t->space.modality);
    if (i)
        TSR_TRY(measure_image(&i->as.image, facts));
    if (x)
        TSR_TRY(measure_text(x->as.text.s, x->as.text.bytes, facts));
    *record = r ? r->as.record : NULL;
    return TSR_OK;
}

/* The value of a field of this sample, or NULL. */
static const json_t *value_of(const tsr_metafield *f, const json_t *facts, const json_t *record)
{
    const json_t *v = NULL;
    if (f->source != TSR_META_RECORD)
        v = json_object_get(facts, f->key);
    if (!v)
        v = look_up(record, f->key);
    return json_is_null(v) ? NULL : v;
}

static tsr_status check_required(const tsr_metafield *f, const json_t *value)
{
    if (f->required && !value)
        TSR_FAIL(TSR_EFORMAT, "metadata field %s is missing (key \"%s\")", f->name, f->key);
    return TSR_OK;
}

/* Calls `use` for each field that has a value. */
static tsr_status each_value(const tsr_tokenizer *t, const tsr_inputs *in,
                             tsr_status (*use)(const tsr_tokenizer *t, const tsr_metafield *f,
                                               const json_t *value, void *out),
                             void *out)
{
    const tsr_metafields *m = tsr_seq_of(t)->own;
    const json_t *record = NULL;
    json_t *facts = json_object();
    tsr_status st = TSR_OK;
    if (!facts)
        TSR_FAIL(TSR_ENOMEM, "no memory for metadata");
    TSR_GO(gather(t, in, facts, &record));
    for (size_t i = 0; i < m->count; i++) {
        const json_t *v = value_of(&m->fields[i], facts, record);
        TSR_GO(check_required(&m->fields[i], v));
        if (v)
            TSR_GO(use(t, &m->fields[i], v, out));
    }
out:
    json_decref(facts);
    return st;
}

/* ---- tokens -----------------------------------------------------------------------------------*/

static tsr_status emit(const tsr_tokenizer *t, const tsr_metafield *f, const json_t *value,
                       void *out)
{
    unsigned bin;
    TSR_TRY(tsr_metafield_bin(f, value, &bin));
    TSR_TRY(tsr_seq_add_value(t, out, 1, f->id));
    return tsr_seq_add_value(t, out, 0, bin);
}

static tsr_status encode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_tokens *out)
{
    (void)w;
    TSR_TRY(each_value(t, in, emit, out));
    return tsr_seq_end(t, out);
}

static tsr_status decode_pair(const tsr_tokenizer *t, const uint32_t ids[2], json_t *record)
{
    const tsr_seq *s = tsr_seq_of(t);
    unsigned line, field, bin;
    json_t *value;
    if (!tsr_text_is_value(s->text, ids[0], &line, &field) || line != 1)
        TSR_FAIL(TSR_EFORMAT, "%s: token %u where v1=<field> was expected", t->space.modality,
                 ids[0]);
    const tsr_metafield *f = tsr_metafields_find(s->own, field);
    if (!f)
        TSR_FAIL(TSR_EFORMAT, "%s: there is no field v1=%u", t->space.modality, field);
    if (!tsr_text_is_value(s->text, ids[1], &line, &bin) || line != 0)
        TSR_FAIL(TSR_EFORMAT, "%s: field %s is not followed by v0=<bin>", t->space.modality,
                 f->name);
    if (json_object_get(record, f->name))
        TSR_FAIL(TSR_EFORMAT, "%s: field %s comes twice", t->space.modality, f->name);
    TSR_TRY(tsr_metafield_value(f, bin, &value));
    return tsr_json_set(record, f->name, value);
}

static tsr_status decode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_tokens *tokens,
                         tsr_media *out)
{
    size_t n = tsr_seq_length(t, tokens);
    (void)w;
    if (n % 2 != 0)
        TSR_FAIL(TSR_EFORMAT, "%s: %zu tokens; fields take two each", t->space.modality, n);
    *out = (tsr_media){.kind = TSR_MEDIA_RECORD};
    out->as.record = json_object();
    if (!out->as.record)
        TSR_FAIL(TSR_ENOMEM, "no memory for metadata");
    for (size_t i = 0; i < n; i += 2)
        TSR_TRY(decode_pair(t, tokens->ids + i, out->as.record));
    return TSR_OK;
}

static tsr_status keep(const tsr_tokenizer *t, const tsr_metafield *f, const json_t *value,
                       void *out)
{
    unsigned bin;
    (void)t;
    TSR_TRY(tsr_metafield_bin(f, value, &bin)); /* refuses what encode refuses */
    return tsr_json_set(out, f->name, json_deep_copy(value));
}

static tsr_status target(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_media *out)
{
    (void)w;
    *out = (tsr_media){.kind = TSR_MEDIA_RECORD};
    out->as.record = json_object();
    if (!out->as.record)
        TSR_FAIL(TSR_ENOMEM, "no memory for metadata");
    return each_value(t, in, keep, out->as.record);
}

/* exact: share of fields whose bin agrees, of those that either side has. error: mean distance of
 * numbers as a share of their range. */
static tsr_status quality(const tsr_tokenizer *t, const tsr_media *want, const tsr_media *got,
                          json_t *into)
{
    const tsr_metafields *m = tsr_seq_of(t)->own;
    size_t fields = 0, same = 0, numbers = 0;
    double error = 0;
    for (size_t i = 0; i < m->count; i++) {
        const tsr_metafield *f = &m->fields[i];
        const json_t *a = json_object_get(want->as.record, f->name);
        const json_t *b = json_object_get(got->as.record, f->name);
        unsigned x, y;
        fields += a || b;
        if (!a || !b)
            continue;
        TSR_TRY(tsr_metafield_bin(f, a, &x));
        TSR_TRY(tsr_metafield_bin(f, b, &y));
        same += x == y;
        if (f->type == TSR_META_BOOL || f->type == TSR_META_ENUM || !(f->high > f->low))
            continue;
        error += fabs(json_number_value(a) - json_number_value(b)) / (f->high - f->low);
        numbers++;
    }
    TSR_TRY(tsr_json_set(into, "exact", json_real(fields ? (double)same / (double)fields : 1)));
    return tsr_json_set(into, "error", json_real(numbers ? error / (double)numbers : 0));
}

const tsr_kind tsr_kind_metadata = {
    .name = "metadata",
    .summary = "facts about a sample, measured or from JSON",
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
