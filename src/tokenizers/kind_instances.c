/* SPDX-License-Identifier: Apache-2.0
 * Kind "instances": things of a picture around query points, 4M-21's "sam_instance", as words, then
 * [EOS]:
 *
 *   point v0=<y> v1=<x> and for each thing there
 *       polygon v0=<xmin> v1=<ymin> v2=<xmax> v3=<ymax> <16 codes of its mask>; or "none"
 *
 * in pixels of a crop of 224 x 224. Query points are drawn, or a grid. The record is one of
 *
 *   4M's      [{points: [outline], token_ids: [16 codes], bbox: [ymin, xmin, ymax, xmax]}], an entry
 *             for each crop
 *   outlines  [{points: outline in pixels of the picture}] or {instances: [the same]}; the setting
 *             "codes" names the tokenizer that makes the codes of masks
 *   decoded   {queries: [{point: [x, y], instances: [numbers]}], token_ids, bbox}, what decode gives
 *
 * Source   apple/ml-4m, instance transforms. */
#include "base/mem.h"
#include "tokenizers/outline.h"
#include "tokenizers/place.h"
#include "tokenizers/seqwords.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 224, MASK_SIDE = 64, N_CODES = 16, GRID = 7, MAX_QUERIES = 64, MAX_THINGS = 1000 };

typedef struct settings {
    int grid; /* 7 x 7 points instead of drawn ones */
    double points, most, smallest;
    tsr_seq_order order;
} settings;

typedef struct thing {
    int32_t box[4]; /* xmin, ymin, xmax, ymax */
    unsigned codes[N_CODES];
} thing;

/* A point and the things there, numbers of the list. */
typedef struct query {
    tsr_point at;
    size_t *things, count, cap;
} query;

typedef struct scene {
    thing *things;
    size_t n_things, cap_things;
    query *queries;
    size_t n_queries, cap_queries;
} scene;

static void scene_clear(scene *s)
{
    for (size_t i = 0; i < s->n_queries; i++)
        tsr_free(s->queries[i].things);
    tsr_free(s->things);
    tsr_free(s->queries);
    *s = (scene){0};
}

/* ---- settings ---------------------------------------------------------------------------------*/

static tsr_status init(tsr_tokenizer *t, const json_t *config, const char *origin, const char *file)
{
    static const char *const keys[] = {"codes",    "queries", "points", "most",
                                       "smallest", "order",   "seed"};
    static const double counts[2] = {1, MAX_QUERIES}, most[2] = {0, MAX_THINGS}, areas[2] = {0, 1};
    const json_t *how = json_object_get(config, "queries");
    const char *word = how ? json_string_value(how) : "drawn";
    settings *s = NULL;
    uint32_t id;
    TSR_TRY(tsr_seq_init(t, config, origin, file, keys, 7));
    TSR_TRY(tsr_alloc(&s, 1, sizeof *s));
    tsr_seq_of(t)->own = s;
    tsr_seq_of(t)->own_destroy = tsr_free;
    if (!word || (strcmp(word, "drawn") != 0 && strcmp(word, "grid") != 0))
        TSR_FAIL(TSR_ECONFIG, "%s: \"queries\" are drawn, or grid", origin);
    s->grid = word[0] == 'g';
    TSR_TRY(tsr_seq_number(config, origin, "points", 7, counts, &s->points));
    TSR_TRY(tsr_seq_number(config, origin, "most", 200, most, &s->most));
    TSR_TRY(tsr_seq_number(config, origin, "smallest", 0.0005, areas, &s->smallest));
    if (s->points != floor(s->points) || s->most != floor(s->most))
        TSR_FAIL(TSR_ECONFIG, "%s: \"points\" and \"most\" are whole numbers", origin);
    TSR_TRY(tsr_seq_order_read(config, origin, &s->order));
    TSR_TRY(tsr_seq_codes_open(t, config, origin, file, "sam_mask", N_CODES));
    for (unsigned line = 0; line < TSR_TEXT_LINES; line++)
        TSR_TRY(tsr_text_value(tsr_seq_of(t)->text, line, 511, &id));
    return tsr_seq_seal(t,
                        json_pack("{s:s, s:f, s:f, s:f, s:s, s:f}", "queries", word, "points",
                                  s->points, "most", s->most, "smallest", s->smallest, "order",
                                  s->order.shuffle ? "shuffle" : "fixed", "seed", s->order.seed));
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
    TSR_TRY(tsr_json_set(into, "media", json_string("record")));
    TSR_TRY(
        tsr_json_set(into, "input",
                     json_string("outlines of things in pixels of the picture, cut to the crop, or "
                                 "4M's records of their codes")));
    return tsr_seq_describe(t, into);
}

/* ---- building a scene -------------------------------------------------------------------------*/

static tsr_status add_thing(scene *s, const thing *one)
{
    TSR_TRY(tsr_room(&s->things, s->n_things, &s->cap_things, sizeof *s->things));
    s->things[s->n_things++] = *one;
    return TSR_OK;
}

static tsr_status add_query(scene *s, tsr_point at)
{
    TSR_TRY(tsr_room(&s->queries, s->n_queries, &s->cap_queries, sizeof *s->queries));
    s->queries[s->n_queries++] = (query){.at = at};
    return TSR_OK;
}

static tsr_status add_to_query(query *q, size_t number)
{
    TSR_TRY(tsr_room(&q->things, q->count, &q->cap, sizeof *q->things));
    q->things[q->count++] = number;
    return TSR_OK;
}

/* Codes and box of thing i from lists; the box there is ymin, xmin, ymax, xmax, and loses its
 * fractions. */
static tsr_status read_thing(const tsr_tokenizer *t, const json_t *entry, size_t i, thing *out)
{
    double codes[N_CODES], box[4];
    static const int order[4] = {1, 0, 3, 2};
    if (!tsr_json_numbers(json_array_get(json_object_get(entry, "token_ids"), i), codes, N_CODES) ||
        !tsr_json_numbers(json_array_get(json_object_get(entry, "bbox"), i), box, 4))
        TSR_FAIL(TSR_EFORMAT, "%s: instance %zu has no token_ids (%d codes) or no bbox (4 numbers)",
                 t->space.modality, i + 1, N_CODES);
    for (size_t k = 0; k < N_CODES; k++) {
        if (!(codes[k] >= 0 && codes[k] < TSR_CODES_MAX) || codes[k] != floor(codes[k]))
            TSR_FAIL(TSR_EFORMAT, "%s: token_ids of instance %zu hold %g, which is no code",
                     t->space.modality, i + 1, codes[k]);
        out->codes[k] = (unsigned)codes[k];
    }
    for (size_t k = 0; k < 4; k++) {
        if (!(box[order[k]] >= 0 && box[order[k]] <= SIDE))
            TSR_FAIL(TSR_EFORMAT, "%s: bbox of instance %zu is not within 0..%d", t->space.modality,
                     i + 1, SIDE);
        out->box[k] = (int32_t)box[order[k]];
    }
    return TSR_OK;
}

/* Points at which a scene is asked; the same one twice counts once. */
static tsr_status add_queries(const settings *o, tsr_rng *r, scene *s)
{
    size_t n = o->grid ? GRID * GRID : (size_t)o->points;
    for (size_t i = 0; i < n; i++) {
        tsr_point at = {(int32_t)(i % GRID + 1) * SIDE / (GRID + 1),
                        (int32_t)(i / GRID + 1) * SIDE / (GRID + 1)};
        int again = 0;
        if (!o->grid) {
            at.x = (int32_t)tsr_rng_below(r, SIDE);
            at.y = (int32_t)tsr_rng_below(r, SIDE);
        }
        for (size_t k = 0; k < s->n_queries; k++)
            again |= s->queries[k].at.x == at.x && s->queries[k].at.y == at.y;
        if (!again)
            TSR_TRY(add_query(s, at));
    }
    return TSR_OK;
}

/* Thing number i is where its outline is. */
static tsr_status find_queries(scene *s, size_t i, const tsr_outline *o)
{
    for (size_t k = 0; k < s->n_queries; k++)
        if (tsr_polygon_side(o->p, o->n, s->queries[k].at) >= 0)
            TSR_TRY(add_to_query(&s->queries[k], i));
    return TSR_OK;
}

static tsr_status read_ready(const tsr_tokenizer *t, const json_t *entry, scene *s)
{
    const json_t *points = json_object_get(entry, "points");
    size_t n = json_array_size(json_object_get(entry, "token_ids"));
    if (n > MAX_THINGS || json_array_size(points) != n)
        TSR_FAIL(TSR_EFORMAT,
                 "%s: %zu outlines and %zu rows of token_ids; expected as many, at most %d",
                 t->space.modality, json_array_size(points), n, MAX_THINGS);
    for (size_t i = 0; i < n; i++) {
        thing one;
        tsr_outline o;
        TSR_TRY(read_thing(t, entry, i, &one));
        TSR_TRY(tsr_outline_read(json_array_get(points, i), &o));
        tsr_status st = add_thing(s, &one);
        if (st == TSR_OK)
            st = find_queries(s, i, &o);
        tsr_outline_clear(&o);
        TSR_TRY(st);
    }
    return TSR_OK;
}

static tsr_status make_codes(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_outline *o,
                             unsigned *codes)
{
    tsr_media mask = {.kind = TSR_MEDIA_IMAGE};
    const tsr_inputs in = {.media = {&mask}, .count = 1};
    TSR_TRY(tsr_outline_mask(o, MASK_SIDE, &mask.as.image));
    tsr_status st = tsr_seq_codes_make(t, w, &in, "token_ids", codes);
    tsr_image_clear(&mask.as.image);
    return st;
}

/* One outline of the whole picture; nothing is added when it is not in the crop. */
static tsr_status add_outline(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_crop *crop,
                              const json_t *v, scene *s)
{
    const settings *set = tsr_seq_of(t)->own;
    tsr_outline o = {0};
    thing one;
    int kept;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_outline_read(v, &o));
    TSR_GO(tsr_outline_place(&o, crop, SIDE, set->smallest, &kept));
    if (!kept)
        goto out;
    one.box[0] = o.low.x;
    one.box[1] = o.low.y;
    one.box[2] = o.high.x;
    one.box[3] = o.high.y;
    TSR_GO(make_codes(t, w, &o, one.codes));
    TSR_GO(add_thing(s, &one));
    TSR_GO(find_queries(s, s->n_things - 1, &o));
out:
    tsr_outline_clear(&o);
    return st;
}

static tsr_status find_crop(const tsr_tokenizer *t, const tsr_inputs *in, const json_t *record,
                            tsr_crop *out)
{
    tsr_place place;
    if (in->view && in->view->height == 0) { /* pixels as they are */
        *out = in->view->crop;
        return TSR_OK;
    }
    TSR_TRY(tsr_place_find(in, record, &place));
    if (!place.sized)
        TSR_FAIL(TSR_EFORMAT,
                 "%s: outlines in pixels need the picture's size: give the picture, too, or "
                 "\"width\" and "
                 "\"height\" beside \"instances\"",
                 t->space.modality);
    *out = place.crop;
    return TSR_OK;
}

static tsr_status read_outlines(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                                const json_t *record, scene *s)
{
    const settings *set = tsr_seq_of(t)->own;
    const json_t *list = json_is_array(record) ? record : json_object_get(record, "instances");
    size_t n = json_array_size(list);
    tsr_crop crop;
    if (!json_is_array(list))
        TSR_FAIL(TSR_EFORMAT,
                 "%s: the record is neither a list nor has it \"instances\", \"token_ids\" or "
                 "\"queries\"",
                 t->space.modality);
    n = (double)n > set->most ? (size_t)set->most : n;
    if (n == 0)
        return TSR_OK;
    TSR_TRY(find_crop(t, in, record, &crop));
    for (size_t i = 0; i < n; i++) {
        tsr_status st =
            add_outline(t, w, &crop, json_object_get(json_array_get(list, i), "points"), s);
        if (st != TSR_OK)
            return tsr_context(st, "%s: instance %zu", t->space.modality, i + 1);
    }
    return TSR_OK;
}

/* What decode gave. */
static tsr_status read_decoded(const tsr_tokenizer *t, const json_t *record, scene *s)
{
    const json_t *list = json_object_get(record, "queries");
    size_t n = json_array_size(json_object_get(record, "token_ids"));
    if (n > MAX_THINGS * MAX_QUERIES || json_array_size(list) > MAX_THINGS)
        TSR_FAIL(TSR_EFORMAT, "%s: %zu instances at %zu points are too many", t->space.modality, n,
                 json_array_size(list));
    for (size_t i = 0; i < n; i++) {
        thing one;
        TSR_TRY(read_thing(t, record, i, &one));
        TSR_TRY(add_thing(s, &one));
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *at = json_object_get(json_array_get(list, i), "point");
        const json_t *there = json_object_get(json_array_get(list, i), "instances");
        double xy[2];
        if (!tsr_json_numbers(at, xy, 2) ||
            !(xy[0] >= 0 && xy[0] < 1000 && xy[1] >= 0 && xy[1] < 1000))
            TSR_FAIL(TSR_EFORMAT, "%s: query %zu has no point [x, y]", t->space.modality, i + 1);
        TSR_TRY(add_query(s, (tsr_point){(int32_t)xy[0], (int32_t)xy[1]}));
        for (size_t k = 0; k < json_array_size(there); k++) {
            json_int_t number = json_integer_value(json_array_get(there, k));
            if (!json_is_integer(json_array_get(there, k)) || number < 0 || (size_t)number >= n)
                TSR_FAIL(TSR_EFORMAT, "%s: query %zu names an instance that is not there",
                         t->space.modality, i + 1);
            TSR_TRY(add_to_query(&s->queries[i], (size_t)number));
        }
    }
    return TSR_OK;
}

/* 4M's record of this crop, or NULL when it is another kind of record. */
static tsr_status find_ready(const tsr_tokenizer *t, const json_t *record, size_t crop,
                             const json_t **out)
{
    size_t n = json_array_size(record);
    *out = json_object_get(record, "token_ids") ? record : NULL;
    if (!json_object_get(json_array_get(record, 0), "token_ids"))
        return TSR_OK;
    if (crop >= n)
        TSR_FAIL(TSR_EFORMAT, "%s: a record of %zu crops, and crop %zu is asked for",
                 t->space.modality, n, crop);
    *out = json_array_get(record, crop);
    return TSR_OK;
}

static tsr_status gather(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_rng *r, scene *s)
{
    const settings *o = tsr_seq_of(t)->own;
    const tsr_media *m;
    const json_t *ready;
    TSR_TRY(tsr_inputs_need(t, in, TSR_MEDIA_RECORD, &m));
    TSR_TRY(tsr_seq_stream(&o->order, m->as.record, in->crop, r));
    if (json_object_get(m->as.record, "queries"))
        return read_decoded(t, m->as.record, s);
    TSR_TRY(find_ready(t, m->as.record, in->crop, &ready));
    TSR_TRY(add_queries(o, r, s));
    return ready ? read_ready(t, ready, s) : read_outlines(t, w, in, m->as.record, s);
}

/* ---- words ------------------------------------------------------------------------------------*/

static tsr_status say_thing(const thing *one, tsr_str *b)
{
    TSR_TRY(tsr_str_add(b, " polygon"));
    for (int k = 0; k < 4; k++)
        TSR_TRY(tsr_str_addf(b, " v%d=%d", k, one->box[k]));
    for (size_t k = 0; k < N_CODES; k++)
        TSR_TRY(tsr_seq_say_code(b, one->codes[k]));
    return TSR_OK;
}

static tsr_status say_query(const tsr_seq_order *order, tsr_rng *r, const scene *s, const query *q,
                            tsr_str *b)
{
    size_t *places;
    TSR_TRY(tsr_str_addf(b, "%spoint v0=%d v1=%d", b->len ? " " : "", q->at.y, q->at.x));
    if (q->count == 0)
        return tsr_str_add(b, " none");
    TSR_TRY(tsr_alloc(&places, q->count, sizeof *places));
    tsr_seq_permute(order, r, places, q->count);
    tsr_status st = TSR_OK;
    for (size_t i = 0; st == TSR_OK && i < q->count; i++)
        st = say_thing(&s->things[q->things[places[i]]], b);
    tsr_free(places);
    return st;
}

static tsr_status say(const tsr_seq_order *order, tsr_rng *r, const scene *s, tsr_str *b)
{
    size_t *places;
    TSR_TRY(tsr_str_add(b, ""));
    TSR_TRY(tsr_alloc(&places, s->n_queries, sizeof *places));
    tsr_seq_permute(order, r, places, s->n_queries);
    tsr_status st = TSR_OK;
    for (size_t i = 0; st == TSR_OK && i < s->n_queries; i++)
        st = say_query(order, r, s, &s->queries[places[i]], b);
    tsr_free(places);
    return st;
}

static tsr_status encode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_tokens *out)
{
    const settings *o = tsr_seq_of(t)->own;
    scene s = {0};
    tsr_str text = {0};
    tsr_rng r;
    tsr_status st = TSR_OK;
    TSR_GO(gather(t, w, in, &r, &s));
    TSR_GO(say(&o->order, &r, &s, &text));
    TSR_GO(tsr_seq_say(t, text.s, out));
out:
    tsr_str_clear(&text);
    scene_clear(&s);
    return st;
}

static tsr_status hear_thing(const tsr_words *w, size_t at, scene *s, size_t *number, int *good)
{
    thing one;
    unsigned v;
    *good = 1;
    for (size_t k = 0; k < 4; k++) {
        *good = *good && tsr_words_values(w, at + k, 1, (int)k, &v) && v <= SIDE;
        one.box[k] = *good ? (int32_t)v : 0;
    }
    *good = *good && one.box[0] < one.box[2] && one.box[1] < one.box[3] &&
            tsr_words_codes(w, at + 4, N_CODES, one.codes);
    for (*number = 0; *good && *number < s->n_things; ++*number)
        if (memcmp(&s->things[*number], &one, sizeof one) == 0)
            return TSR_OK;
    return *good ? add_thing(s, &one) : TSR_OK;
}

/* Points, and the things after each; what is not complete is left out, as generated sequences need
 * it. */
static tsr_status hear(const tsr_words *w, scene *s)
{
    int open = 0; /* a point came, and what follows belongs to it */
    for (size_t i = 0; i < w->count; i++) {
        unsigned y, x;
        size_t number;
        int good;
        if (tsr_word_is(w, i, "point")) {
            open = tsr_words_values(w, i + 1, 1, 0, &y) && tsr_words_values(w, i + 2, 1, 1, &x);
            if (open)
                TSR_TRY(add_query(s, (tsr_point){(int32_t)x, (int32_t)y}));
        }
        if (!open || !tsr_word_is(w, i, "polygon"))
            continue;
        TSR_TRY(hear_thing(w, i + 1, s, &number, &good));
        if (good)
            TSR_TRY(add_to_query(&s->queries[s->n_queries - 1], number));
    }
    return TSR_OK;
}

/* ---- records ----------------------------------------------------------------------------------*/

static tsr_status add_thing_json(const thing *one, json_t *record)
{
    json_t *codes = json_array();
    TSR_TRY(tsr_json_append(json_object_get(record, "token_ids"), codes));
    for (size_t k = 0; k < N_CODES; k++)
        TSR_TRY(tsr_json_append(codes, json_integer(one->codes[k])));
    return tsr_json_append(json_object_get(record, "bbox"),
                           json_pack("[iiii]", one->box[1], one->box[0], one->box[3], one->box[2]));
}

static tsr_status add_query_json(const query *q, json_t *record)
{
    json_t *there = json_array();
    json_t *entry = json_pack("{s:[ii], s:o}", "point", q->at.x, q->at.y, "instances", there);
    TSR_TRY(tsr_json_append(json_object_get(record, "queries"), entry));
    for (size_t k = 0; k < q->count; k++)
        TSR_TRY(tsr_json_append(there, json_integer((json_int_t)q->things[k])));
    return TSR_OK;
}

static tsr_status as_record(const scene *s, tsr_media *out)
{
    json_t *record = json_pack("{s:i, s:i, s:[], s:[], s:[]}", "width", SIDE, "height", SIDE,
                               "queries", "token_ids", "bbox");
    *out = (tsr_media){.kind = TSR_MEDIA_RECORD, .as.record = record};
    if (!record)
        TSR_FAIL(TSR_ENOMEM, "no memory for instances");
    for (size_t i = 0; i < s->n_queries; i++)
        TSR_TRY(add_query_json(&s->queries[i], record));
    for (size_t i = 0; i < s->n_things; i++)
        TSR_TRY(add_thing_json(&s->things[i], record));
    return TSR_OK;
}

static tsr_status decode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_tokens *tokens,
                         tsr_media *out)
{
    tsr_words words = {0};
    scene s = {0};
    tsr_status st = TSR_OK;
    (void)w;
    TSR_GO(tsr_seq_words(t, tokens, &words));
    TSR_GO(hear(&words, &s));
    TSR_GO(as_record(&s, out));
out:
    tsr_words_clear(&words);
    scene_clear(&s);
    return st;
}

static tsr_status target(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_media *out)
{
    scene s = {0};
    tsr_rng r;
    tsr_status st = gather(t, w, in, &r, &s);
    if (st == TSR_OK)
        st = as_record(&s, out);
    scene_clear(&s);
    return st;
}

/* exact: share of words that agree. count_error: points too many or too few. */
static tsr_status quality(const tsr_tokenizer *t, const tsr_media *want, const tsr_media *got,
                          json_t *into)
{
    static const tsr_seq_order fixed = {0};
    scene a = {0}, b = {0};
    tsr_str x = {0}, y = {0};
    tsr_status st = TSR_OK;
    TSR_GO(read_decoded(t, want->as.record, &a));
    TSR_GO(read_decoded(t, got->as.record, &b));
    TSR_GO(say(&fixed, NULL, &a, &x));
    TSR_GO(say(&fixed, NULL, &b, &y));
    TSR_GO(tsr_words_quality(x.s, a.n_queries, y.s, b.n_queries, into));
out:
    tsr_str_clear(&x);
    tsr_str_clear(&y);
    scene_clear(&a);
    scene_clear(&b);
    return st;
}

const tsr_kind tsr_kind_instances = {
    .name = "instances",
    .summary = "things around points: boxes and codes of masks as words",
    .open = open_file,
    .create = create,
    .write = tsr_seq_write,
    .destroy = tsr_seq_destroy,
    .describe = describe,
    .work_create = tsr_seq_codes_work,
    .work_destroy = tsr_seq_codes_end,
    .encode = encode,
    .decode = decode,
    .target = target,
    .quality = quality,
};
