/* SPDX-License-Identifier: Apache-2.0
 * Kind "boxes": objects of a picture, 4M's "det": v0=<xmin> v1=<ymin> v2=<xmax> v3=<ymax> <class>,
 * one after another by distance of the corner from the origin, then [EOS].
 *
 * The record is {"instances": [{"boxes": [xmin, ymin, xmax, ymax], "class_name": s, "score": x}]},
 * coordinates 0..1 of the whole picture. They are cut to the sample's crop. The crop needs the
 * picture's size: from the view, else from the picture, else from "width" and "height" of the
 * record; without any of them the whole picture is the crop. */
#include "base/mem.h"
#include "tokenizers/place.h"
#include "tokenizers/seqkind.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COORDINATE_MAX 999 /* value = round_half_even(999 c) */
#define MAX_BOXES      10000

typedef struct settings {
    double min_score, most; /* most 0: all */
} settings;

/* One object after the crop; name is borrowed. */
typedef struct box {
    double xmin, ymin, xmax, ymax, score;
    const char *name;
    size_t place; /* in the file, to keep equal ones in order */
} box;

typedef struct boxes {
    box *list;
    size_t count, cap;
} boxes;

/* ---- settings ---------------------------------------------------------------------------------*/

static tsr_status init(tsr_tokenizer *t, const json_t *config, const char *origin, const char *file)
{
    static const char *const keys[] = {"min_score", "most"};
    static const double scores[2] = {0, 1}, counts[2] = {0, MAX_BOXES};
    settings *s = NULL;
    uint32_t id;
    TSR_TRY(tsr_seq_init(t, config, origin, file, keys, 2));
    TSR_TRY(tsr_alloc(&s, 1, sizeof *s));
    tsr_seq_of(t)->own = s;
    tsr_seq_of(t)->own_destroy = tsr_free;
    TSR_TRY(tsr_seq_number(config, origin, "min_score", 0.6, scores, &s->min_score));
    TSR_TRY(tsr_seq_number(config, origin, "most", 0, counts, &s->most));
    if (s->most != floor(s->most))
        TSR_FAIL(TSR_ECONFIG, "%s: \"most\" is %g", origin, s->most);
    for (unsigned line = 0; line < TSR_TEXT_LINES; line++)
        TSR_TRY(tsr_text_value(tsr_seq_of(t)->text, line, COORDINATE_MAX, &id));
    return tsr_seq_seal(t,
                        json_pack("{s:f, s:i}", "min_score", s->min_score, "most", (int)s->most));
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
    TSR_TRY(tsr_json_set(into, "input",
                         json_string("boxes as shares of the picture, cut to the "
                                     "crop; 1000 steps a coordinate")));
    return tsr_seq_describe(t, into);
}

/* ---- reading ----------------------------------------------------------------------------------*/

static tsr_status read_box(const tsr_tokenizer *t, const json_t *entry, size_t place, box *b)
{
    const json_t *c = json_object_get(entry, "boxes"), *score = json_object_get(entry, "score");
    double v[4];
    b->place = place;
    b->name = json_string_value(json_object_get(entry, "class_name"));
    b->score = json_is_number(score) ? json_number_value(score) : 1;
    if (!b->name || b->name[0] == '\0')
        TSR_FAIL(TSR_EFORMAT, "%s: box %zu has no class_name", t->space.modality, place + 1);
    if (json_array_size(c) != 4)
        TSR_FAIL(TSR_EFORMAT, "%s: box %zu has no four coordinates", t->space.modality, place + 1);
    for (size_t k = 0; k < 4; k++) {
        v[k] = json_number_value(json_array_get(c, k));
        if (!json_is_number(json_array_get(c, k)) || !(fabs(v[k]) <= 1e6))
            TSR_FAIL(TSR_EFORMAT, "%s: coordinate %zu of box %zu is not a number of the picture",
                     t->space.modality, k + 1, place + 1);
    }
    b->xmin = v[0], b->ymin = v[1], b->xmax = v[2], b->ymax = v[3];
    return TSR_OK;
}

/* To coordinates of the crop; 0 when nothing is left of the box. */
static int cut(box *b, const tsr_place *p)
{
    const double whole[4] = {b->xmin, b->ymin, b->xmax, b->ymax};
    double c[4];
    tsr_place_box(p, whole, c);
    b->xmin = tsr_place_clip(c[0]);
    b->ymin = tsr_place_clip(c[1]);
    b->xmax = tsr_place_clip(c[2]);
    b->ymax = tsr_place_clip(c[3]);
    if (p->crop.flip) {
        double swap = 1 - b->xmin;
        b->xmin = 1 - b->xmax;
        b->xmax = swap;
    }
    return b->xmax > b->xmin && b->ymax > b->ymin;
}

static int by_score(const void *a, const void *b)
{
    const box *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->place > y->place) - (x->place < y->place);
}

static int by_corner(const void *a, const void *b)
{
    const box *x = a, *y = b;
    double p = x->xmin * x->xmin + x->ymin * x->ymin, q = y->xmin * y->xmin + y->ymin * y->ymin;
    if (p != q)
        return p > q ? 1 : -1;
    return (x->place > y->place) - (x->place < y->place);
}

/* The boxes of a sample as they are tokenized; out->list is released by the caller. */
static tsr_status gather(const tsr_tokenizer *t, const tsr_inputs *in, boxes *out)
{
    const settings *s = tsr_seq_of(t)->own;
    const tsr_media *m;
    tsr_place place;
    TSR_TRY(tsr_inputs_need(t, in, TSR_MEDIA_RECORD, &m));
    const json_t *list = json_object_get(m->as.record, "instances");
    if (!json_is_array(list) || json_array_size(list) > MAX_BOXES)
        TSR_FAIL(TSR_EFORMAT, "%s: the record has no list \"instances\" of at most %d",
                 t->space.modality, MAX_BOXES);
    TSR_TRY(tsr_place_find(in, m->as.record, &place));
    for (size_t i = 0; i < json_array_size(list); i++) {
        box b;
        TSR_TRY(read_box(t, json_array_get(list, i), i, &b));
        if (b.score < s->min_score || !cut(&b, &place))
            continue;
        TSR_TRY(tsr_room(&out->list, out->count, &out->cap, sizeof *out->list));
        out->list[out->count++] = b;
    }
    if (s->most > 0 && (double)out->count > s->most) {
        qsort(out->list, out->count, sizeof *out->list, by_score);
        out->count = (size_t)s->most;
    }
    if (out->count > 0)
        qsort(out->list, out->count, sizeof *out->list, by_corner);
    return TSR_OK;
}

/* ---- tokens -----------------------------------------------------------------------------------*/

static tsr_status add_box(const tsr_tokenizer *t, const box *b, tsr_tokens *out)
{
    const double c[4] = {b->xmin, b->ymin, b->xmax, b->ymax};
    tsr_tokens name = {0};
    for (unsigned line = 0; line < TSR_TEXT_LINES; line++)
        TSR_TRY(tsr_seq_add_value(t, out, line, (unsigned)rint(c[line] * COORDINATE_MAX)));
    tsr_status st = TSR_OK;
    TSR_GO(tsr_text_encode(tsr_seq_of(t)->text, b->name, strlen(b->name), &name));
    for (size_t i = 0; i < name.count; i++)
        TSR_GO(tsr_seq_add(out, name.ids[i]));
out:
    tsr_tokens_clear(&name);
    return st;
}

static tsr_status encode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_tokens *out)
{
    boxes b = {0};
    tsr_status st = TSR_OK;
    (void)w;
    TSR_GO(gather(t, in, &b));
    for (size_t i = 0; i < b.count; i++)
        TSR_GO(add_box(t, &b.list[i], out));
    TSR_GO(tsr_seq_end(t, out));
out:
    tsr_free(b.list);
    return st;
}

static tsr_status add_instance(json_t *list, const double c[4], const char *name)
{
    json_t *entry = json_object(), *four = json_array();
    TSR_TRY(tsr_json_append(list, entry));
    TSR_TRY(tsr_json_set(entry, "boxes", four));
    for (size_t k = 0; k < 4; k++)
        TSR_TRY(tsr_json_append(four, json_real(c[k])));
    return tsr_json_set(entry, "class_name", json_string(name));
}

static tsr_status new_record(tsr_media *out, json_t **list)
{
    *out = (tsr_media){.kind = TSR_MEDIA_RECORD};
    out->as.record = json_object();
    if (!out->as.record)
        TSR_FAIL(TSR_ENOMEM, "no memory for boxes");
    *list = json_array();
    return tsr_json_set(out->as.record, "instances", *list);
}

/* A v0 starts a box and what follows up to the next v0 belongs to it; a box without its four
 * coordinates in order and a name is left out (as generated sequences need it). */
static tsr_status decode_box(const tsr_text *text, const uint32_t *ids, size_t n, json_t *list)
{
    double c[4];
    unsigned line, value;
    char *name = NULL;
    for (size_t k = 0; k < 4; k++) {
        if (k >= n || !tsr_text_is_value(text, ids[k], &line, &value) || line != k ||
            value > COORDINATE_MAX)
            return TSR_OK;
        c[k] = (double)value / COORDINATE_MAX;
    }
    if (n == 4)
        return TSR_OK;
    TSR_TRY(tsr_text_decode(text, ids + 4, n - 4, &name, NULL));
    tsr_status st = add_instance(list, c, name);
    tsr_free(name);
    return st;
}

static tsr_status decode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_tokens *tokens,
                         tsr_media *out)
{
    const tsr_text *text = tsr_seq_of(t)->text;
    size_t n = tsr_seq_length(t, tokens), from = 0;
    unsigned line, value;
    json_t *list;
    (void)w;
    TSR_TRY(new_record(out, &list));
    for (size_t i = 1; i <= n; i++) {
        int starts = i < n && tsr_text_is_value(text, tokens->ids[i], &line, &value) && line == 0;
        if (!starts && i < n)
            continue;
        TSR_TRY(decode_box(text, tokens->ids + from, i - from, list));
        from = i;
    }
    return TSR_OK;
}

static tsr_status target(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_media *out)
{
    boxes b = {0};
    json_t *list;
    tsr_status st = TSR_OK;
    (void)w;
    TSR_GO(gather(t, in, &b));
    TSR_GO(new_record(out, &list));
    for (size_t i = 0; i < b.count; i++) {
        const double c[4] = {b.list[i].xmin, b.list[i].ymin, b.list[i].xmax, b.list[i].ymax};
        TSR_GO(add_instance(list, c, b.list[i].name));
    }
out:
    tsr_free(b.list);
    return st;
}

/* ---- quality ----------------------------------------------------------------------------------*/

static double overlap(const json_t *a, const json_t *b)
{
    const json_t *p = json_object_get(a, "boxes"), *q = json_object_get(b, "boxes");
    double u[4], v[4];
    for (size_t k = 0; k < 4; k++) {
        u[k] = json_number_value(json_array_get(p, k));
        v[k] = json_number_value(json_array_get(q, k));
    }
    double w = fmin(u[2], v[2]) - fmax(u[0], v[0]), h = fmin(u[3], v[3]) - fmax(u[1], v[1]);
    double both = w > 0 && h > 0 ? w * h : 0;
    double either = (u[2] - u[0]) * (u[3] - u[1]) + (v[2] - v[0]) * (v[3] - v[1]) - both;
    return either > 0 ? both / either : 0;
}

static int same_class(const json_t *a, const json_t *b)
{
    const char *p = json_string_value(json_object_get(a, "class_name"));
    const char *q = json_string_value(json_object_get(b, "class_name"));
    return p && q && strcmp(p, q) == 0;
}

/* iou: mean over the target's boxes (and those that came back in excess, as 0) of the best overlap
 * with a box of the same class, each used once, in order. */
static tsr_status quality(const tsr_tokenizer *t, const tsr_media *want, const tsr_media *got,
                          json_t *into)
{
    const json_t *a = json_object_get(want->as.record, "instances");
    const json_t *b = json_object_get(got->as.record, "instances");
    size_t n = json_array_size(a), m = json_array_size(b), most = n > m ? n : m;
    char *used = NULL;
    double sum = 0;
    (void)t;
    TSR_TRY(tsr_alloc(&used, m, 1));
    for (size_t i = 0; i < n; i++) {
        double best = 0;
        size_t at = m;
        for (size_t j = 0; j < m; j++) {
            double iou = overlap(json_array_get(a, i), json_array_get(b, j));
            if (used[j] || iou <= best || !same_class(json_array_get(a, i), json_array_get(b, j)))
                continue;
            best = iou;
            at = j;
        }
        if (at < m)
            used[at] = 1;
        sum += best;
    }
    tsr_free(used);
    TSR_TRY(tsr_json_set(into, "iou", json_real(most ? sum / (double)most : 1)));
    return tsr_json_set(into, "count_error", json_integer((json_int_t)(most - (n < m ? n : m))));
}

const tsr_kind tsr_kind_boxes = {
    .name = "boxes",
    .summary = "boxes and classes of objects",
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
