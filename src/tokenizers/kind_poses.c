/* SPDX-License-Identifier: Apache-2.0
 * Kind "poses": the people of a picture, 4M-21's "human_poses", as words, then [EOS]:
 *
 *   human v0=<xmin> v1=<ymin> v2=<xmax> v3=<ymax>
 *       pose <8 codes> global <9 values> camera <3 values> shape <10 values>
 *
 * for each person; "none" for nobody. The record is what HMR 2.0 writes: bbox_xyxy [n][4] in pixels
 * of the whole picture, pred_cam [n][3], pred_smpl_params {global_orient [n] of 9 numbers, betas
 * [n][10], body_pose [n] of 207}, and pose_tokenized [n][8], or body_pose and the tokenizer "codes"
 * that makes them. Mirroring is not applied, as in 4M. Decoded boxes are pixels of a crop of
 * 224 x 224.
 *
 * Source   apple/ml-4m, human pose transform. */
#include "base/mem.h"
#include "tokenizers/place.h"
#include "tokenizers/seqwords.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PEOPLE 1000
#define CROP_SIDE  224 /* pixels a side, of decoded boxes */

enum { N_BODY = 207, N_CODES = 8, N_GLOBAL = 9, N_CAMERA = 3, N_SHAPE = 10, N_GROUPS = 4 };

typedef struct settings {
    int clip; /* values beyond their range; 4M lets them become words that are no values */
    tsr_seq_order order;
} settings;

typedef struct person {
    double box[4]; /* shares of the crop */
    unsigned codes[N_CODES];
    double global[N_GLOBAL], camera[N_CAMERA], shape[N_SHAPE];
    float body[N_BODY];
    int has_body;
} person;

typedef struct people {
    person *list;
    size_t count, cap;
} people;

/* Groups of numbers after the box. */
enum { POSE, GLOBAL, CAMERA, SHAPE };

static const struct {
    const char *word;
    size_t count;
    double scale, middle, low, high; /* value = round(scale x + middle), x in low..high */
    int always;                      /* clipped whatever the setting says */
} groups[N_GROUPS] = {
    {"pose", N_CODES, 0, 0, 0, 0, 0},
    {"global", N_GLOBAL, 499.5, 499.5, -1, 1, 0},
    {"camera", N_CAMERA, 49.95, 49.95, -1, 19, 1},
    {"shape", N_SHAPE, 166.5, 499.5, -3, 3, 0},
};

static double *numbers_of(person *p, size_t group)
{
    double *const all[N_GROUPS] = {NULL, p->global, p->camera, p->shape};
    return all[group];
}

/* ---- settings ---------------------------------------------------------------------------------*/

static tsr_status init(tsr_tokenizer *t, const json_t *config, const char *origin, const char *file)
{
    static const char *const keys[] = {"codes", "clip", "order", "seed"};
    const json_t *clip = json_object_get(config, "clip");
    settings *s = NULL;
    uint32_t id;
    TSR_TRY(tsr_seq_init(t, config, origin, file, keys, 4));
    TSR_TRY(tsr_alloc(&s, 1, sizeof *s));
    tsr_seq_of(t)->own = s;
    tsr_seq_of(t)->own_destroy = tsr_free;
    if (clip && !json_is_boolean(clip))
        TSR_FAIL(TSR_ECONFIG, "%s: \"clip\" is true or false", origin);
    s->clip = clip ? json_is_true(clip) : 1;
    TSR_TRY(tsr_seq_order_read(config, origin, &s->order));
    TSR_TRY(tsr_seq_codes_open(t, config, origin, file, "human_poses", N_CODES));
    for (unsigned line = 0; line < TSR_TEXT_LINES; line++)
        TSR_TRY(tsr_text_value(tsr_seq_of(t)->text, line, 999, &id));
    return tsr_seq_seal(t,
                        json_pack("{s:b, s:s, s:f}", "clip", s->clip, "order",
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
    TSR_TRY(tsr_json_set(
        into, "input",
        json_string("people as HMR 2.0 writes them, boxes in pixels of the picture, cut "
                    "to the crop and not mirrored")));
    return tsr_seq_describe(t, into);
}

/* ---- reading ----------------------------------------------------------------------------------*/

/* Member i of a list of the record. */
static const json_t *nth(const json_t *record, const char *key, size_t i)
{
    return json_array_get(json_object_get(record, key), i);
}

static tsr_status read_codes(const tsr_tokenizer *t, tsr_tokenizer_work *w, const json_t *record,
                             size_t i, person *p)
{
    double v[N_CODES];
    const tsr_media body = {.kind = TSR_MEDIA_VECTOR, .as.vector = {p->body, N_BODY, 0, {0}}};
    const tsr_inputs in = {.media = {&body}, .count = 1};
    if (!json_object_get(record, "pose_tokenized"))
        return p->has_body || !tsr_seq_of(t)->codes
                   ? tsr_seq_codes_make(t, w, &in, "pose_tokenized", p->codes)
                   : tsr_fail_at(TSR_EFORMAT, __FILE__, __LINE__,
                                 "%s: person %zu has neither pose_tokenized nor body_pose",
                                 t->space.modality, i + 1);
    if (!tsr_json_numbers(nth(record, "pose_tokenized", i), v, N_CODES))
        TSR_FAIL(TSR_EFORMAT, "%s: pose_tokenized of person %zu is not %d codes", t->space.modality,
                 i + 1, N_CODES);
    for (size_t k = 0; k < N_CODES; k++) {
        if (!(v[k] >= 0 && v[k] < TSR_CODES_MAX) || v[k] != floor(v[k]))
            TSR_FAIL(TSR_EFORMAT, "%s: pose_tokenized of person %zu holds %g, which is no code",
                     t->space.modality, i + 1, v[k]);
        p->codes[k] = (unsigned)v[k];
    }
    return TSR_OK;
}

static tsr_status read_person(const tsr_tokenizer *t, tsr_tokenizer_work *w, const json_t *record,
                              size_t i, person *p)
{
    const json_t *smpl = json_object_get(record, "pred_smpl_params");
    const json_t *body = nth(smpl, "body_pose", i);
    double v[N_BODY];
    *p = (person){.has_body = body && tsr_json_numbers(body, v, N_BODY)};
    for (size_t k = 0; p->has_body && k < N_BODY; k++)
        p->body[k] = (float)v[k];
    if (!tsr_json_numbers(nth(record, "bbox_xyxy", i), p->box, 4) ||
        !tsr_json_numbers(nth(smpl, "global_orient", i), p->global, N_GLOBAL) ||
        !tsr_json_numbers(nth(record, "pred_cam", i), p->camera, N_CAMERA) ||
        !tsr_json_numbers(nth(smpl, "betas", i), p->shape, N_SHAPE))
        TSR_FAIL(TSR_EFORMAT,
                 "%s: person %zu lacks one of bbox_xyxy (4 numbers), pred_cam (3), and in "
                 "pred_smpl_params global_orient (9) and betas (10)",
                 t->space.modality, i + 1);
    return read_codes(t, w, record, i, p);
}

/* Pixels to shares of the crop; 0 when the person is outside. */
static int cut(person *p, const tsr_place *place)
{
    const double whole[4] = {p->box[0] / place->width, p->box[1] / place->height,
                             p->box[2] / place->width, p->box[3] / place->height};
    double c[4];
    tsr_place_box(place, whole, c);
    for (size_t k = 0; k < 4; k++)
        p->box[k] = tsr_place_clip(c[k]);
    return !((c[0] < 0 && c[2] < 0) || (c[1] < 0 && c[3] < 0) || (c[0] > 1 && c[2] > 1) ||
             (c[1] > 1 && c[3] > 1));
}

/* The people of a record. `in` NULL: of a decoded one. out->list is released by the caller. */
static tsr_status gather(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         const json_t *record, people *out)
{
    const json_t *list = json_object_get(record, "bbox_xyxy");
    tsr_place place;
    if (!list && (json_is_null(record) || json_object_size(record) == 0) &&
        json_array_size(record) == 0)
        return TSR_OK;
    if (!json_is_array(list) || json_array_size(list) > MAX_PEOPLE)
        TSR_FAIL(TSR_EFORMAT, "%s: the record has no list \"bbox_xyxy\" of at most %d people",
                 t->space.modality, MAX_PEOPLE);
    TSR_TRY(tsr_place_find(in, record, &place));
    if (!place.sized && json_array_size(list) > 0)
        TSR_FAIL(
            TSR_EFORMAT,
            "%s: boxes in pixels need the picture's size: give the picture, too, or \"width\" and "
            "\"height\" in the record",
            t->space.modality);
    for (size_t i = 0; i < json_array_size(list); i++) {
        person p;
        TSR_TRY(read_person(t, w, record, i, &p));
        if (!cut(&p, &place))
            continue;
        TSR_TRY(tsr_room(&out->list, out->count, &out->cap, sizeof *out->list));
        out->list[out->count++] = p;
    }
    return TSR_OK;
}

static tsr_status gather_inputs(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                                people *out, const json_t **record)
{
    const tsr_media *m;
    TSR_TRY(tsr_inputs_need(t, in, TSR_MEDIA_RECORD, &m));
    *record = m->as.record;
    return gather(t, w, in, *record, out);
}

/* ---- words ------------------------------------------------------------------------------------*/

static tsr_status say_group(const settings *s, person *p, size_t g, tsr_str *b)
{
    TSR_TRY(tsr_str_addf(b, " %s", groups[g].word));
    for (size_t k = 0; k < groups[g].count; k++) {
        if (g == POSE) {
            TSR_TRY(tsr_seq_say_code(b, p->codes[k]));
            continue;
        }
        double x = numbers_of(p, g)[k];
        if (s->clip || groups[g].always)
            x = x < groups[g].low ? groups[g].low : x > groups[g].high ? groups[g].high : x;
        TSR_TRY(tsr_str_addf(b, " v0=%.0f", rint(groups[g].scale * x + groups[g].middle) + 0.0));
    }
    return TSR_OK;
}

static tsr_status say(const settings *s, const people *all, tsr_rng *r, tsr_str *b)
{
    if (all->count == 0)
        return tsr_str_add(b, "none");
    for (size_t i = 0; i < all->count; i++) {
        person *p = &all->list[i];
        size_t order[N_GROUPS];
        TSR_TRY(tsr_str_addf(b, "%shuman", i ? " " : ""));
        for (int k = 0; k < 4; k++)
            TSR_TRY(tsr_str_addf(b, " v%d=%.0f", k, rint(p->box[k] * 999)));
        tsr_seq_permute(&s->order, r, order, N_GROUPS);
        for (size_t g = 0; g < N_GROUPS; g++)
            TSR_TRY(say_group(s, p, order[g], b));
    }
    return TSR_OK;
}

static tsr_status encode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_tokens *out)
{
    const settings *s = tsr_seq_of(t)->own;
    const json_t *record = NULL;
    people all = {0};
    tsr_str text = {0};
    tsr_rng r;
    tsr_status st = TSR_OK;
    TSR_GO(gather_inputs(t, w, in, &all, &record));
    TSR_GO(tsr_seq_stream(&s->order, record, in->crop, &r));
    TSR_GO(say(s, &all, &r, &text));
    TSR_GO(tsr_seq_say(t, text.s, out));
out:
    tsr_str_clear(&text);
    tsr_free(all.list);
    return st;
}

/* One group at words[at]; its number of words, or 0. */
static size_t read_group(const tsr_words *w, size_t at, person *p, unsigned *seen)
{
    for (size_t g = 0; g < N_GROUPS; g++) {
        unsigned v[N_SHAPE];
        if (!tsr_word_is(w, at, groups[g].word) || (*seen & 1u << g))
            continue;
        int good = g == POSE ? tsr_words_codes(w, at + 1, N_CODES, p->codes)
                             : tsr_words_values(w, at + 1, groups[g].count, 0, v);
        for (size_t k = 0; good && g != POSE && k < groups[g].count; k++)
            numbers_of(p, g)[k] = (v[k] - groups[g].middle) / groups[g].scale;
        *seen |= 1u << g;
        return good ? groups[g].count + 1 : 0;
    }
    return 0;
}

/* A whole person at words[at]; its number of words, or 0. */
static size_t hear_person(const tsr_words *w, size_t at, person *p)
{
    size_t from = at++;
    unsigned seen = 0, v;
    *p = (person){0};
    for (int k = 0; k < 4; k++, at++) {
        if (!tsr_words_values(w, at, 1, k, &v))
            return 0;
        p->box[k] = v / 999.0;
    }
    for (int g = 0; g < N_GROUPS; g++) {
        size_t n = read_group(w, at, p, &seen);
        if (n == 0)
            return 0;
        at += n;
    }
    return at - from;
}

/* People whose words are not complete are left out, as generated sequences need it. */
static tsr_status hear(const tsr_words *w, people *out)
{
    for (size_t i = 0; i < w->count;) {
        person p;
        size_t n = tsr_word_is(w, i, "human") ? hear_person(w, i, &p) : 0;
        i += n ? n : 1;
        if (n == 0)
            continue;
        TSR_TRY(tsr_room(&out->list, out->count, &out->cap, sizeof *out->list));
        out->list[out->count++] = p;
    }
    return TSR_OK;
}

/* ---- records ----------------------------------------------------------------------------------*/

static tsr_status add_numbers(json_t *list, const double *v, size_t n)
{
    json_t *row = json_array();
    TSR_TRY(tsr_json_append(list, row));
    for (size_t k = 0; k < n; k++)
        TSR_TRY(tsr_json_append(row, json_real(v[k])));
    return TSR_OK;
}

/* Square matrices of 3, row by row. */
static tsr_status add_matrices(json_t *list, const double *v, size_t n)
{
    json_t *all = json_array();
    TSR_TRY(tsr_json_append(list, all));
    for (size_t m = 0; m < n; m++) {
        json_t *matrix = json_array();
        TSR_TRY(tsr_json_append(all, matrix));
        for (size_t k = 0; k < 3; k++)
            TSR_TRY(add_numbers(matrix, v + 9 * m + 3 * k, 3));
    }
    return TSR_OK;
}

static tsr_status add_codes(json_t *list, const unsigned *codes)
{
    json_t *row = json_array();
    TSR_TRY(tsr_json_append(list, row));
    for (size_t k = 0; k < N_CODES; k++)
        TSR_TRY(tsr_json_append(row, json_integer(codes[k])));
    return TSR_OK;
}

static tsr_status add_person(const person *p, json_t *record, json_t *smpl)
{
    double box[4], body[N_BODY];
    for (size_t k = 0; k < 4; k++)
        box[k] = p->box[k] * CROP_SIDE;
    TSR_TRY(add_numbers(json_object_get(record, "bbox_xyxy"), box, 4));
    TSR_TRY(add_numbers(json_object_get(record, "pred_cam"), p->camera, N_CAMERA));
    TSR_TRY(add_codes(json_object_get(record, "pose_tokenized"), p->codes));
    TSR_TRY(add_matrices(json_object_get(smpl, "global_orient"), p->global, 1));
    TSR_TRY(add_numbers(json_object_get(smpl, "betas"), p->shape, N_SHAPE));
    for (size_t k = 0; k < N_BODY; k++)
        body[k] = (double)p->body[k];
    json_t *bodies = json_object_get(smpl, "body_pose");
    return bodies ? add_matrices(bodies, body, N_BODY / 9) : TSR_OK;
}

static tsr_status as_record(const people *all, tsr_media *out)
{
    json_t *record = json_pack("{s:i, s:i, s:[], s:[], s:[]}", "width", CROP_SIDE, "height",
                               CROP_SIDE, "bbox_xyxy", "pose_tokenized", "pred_cam");
    json_t *smpl = json_pack("{s:[], s:[]}", "global_orient", "betas");
    *out = (tsr_media){.kind = TSR_MEDIA_RECORD, .as.record = record};
    if (!record || !smpl) {
        json_decref(smpl);
        TSR_FAIL(TSR_ENOMEM, "no memory for poses");
    }
    TSR_TRY(tsr_json_set(record, "pred_smpl_params", smpl));
    int bodies = all->count > 0; /* a row for each person, or no rows */
    for (size_t i = 0; i < all->count; i++)
        bodies = bodies && all->list[i].has_body;
    if (bodies)
        TSR_TRY(tsr_json_set(smpl, "body_pose", json_array()));
    for (size_t i = 0; i < all->count; i++)
        TSR_TRY(add_person(&all->list[i], record, smpl));
    return TSR_OK;
}

/* Joints' rotations from codes, where there is a tokenizer for them. */
static tsr_status decode_bodies(const tsr_tokenizer *t, tsr_tokenizer_work *w, people *all)
{
    for (size_t i = 0; tsr_seq_of(t)->codes && i < all->count; i++) {
        person *p = &all->list[i];
        uint32_t ids[N_CODES];
        tsr_media body = {0};
        for (size_t k = 0; k < N_CODES; k++)
            ids[k] = p->codes[k];
        const tsr_tokens tokens = {ids, N_CODES};
        TSR_TRY(tsr_tokenizer_decode(tsr_seq_of(t)->codes, w->state, &tokens, &body));
        p->has_body = body.kind == TSR_MEDIA_VECTOR && body.as.vector.count == N_BODY;
        if (p->has_body)
            memcpy(p->body, body.as.vector.data, sizeof p->body);
        tsr_media_clear(&body);
    }
    return TSR_OK;
}

static tsr_status decode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_tokens *tokens,
                         tsr_media *out)
{
    tsr_words words = {0};
    people all = {0};
    tsr_status st = TSR_OK;
    TSR_GO(tsr_seq_words(t, tokens, &words));
    TSR_GO(hear(&words, &all));
    TSR_GO(decode_bodies(t, w, &all));
    TSR_GO(as_record(&all, out));
out:
    tsr_words_clear(&words);
    tsr_free(all.list);
    return st;
}

static tsr_status target(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_media *out)
{
    const json_t *record = NULL;
    people all = {0};
    tsr_status st = gather_inputs(t, w, in, &all, &record);
    if (st == TSR_OK)
        st = as_record(&all, out);
    tsr_free(all.list);
    return st;
}

/* exact: share of words that agree. count_error: people too many or too few. */
static tsr_status quality(const tsr_tokenizer *t, const tsr_media *want, const tsr_media *got,
                          json_t *into)
{
    static const settings plain = {.clip = 1};
    people a = {0}, b = {0};
    tsr_str x = {0}, y = {0};
    tsr_status st = TSR_OK;
    TSR_GO(gather(t, NULL, NULL, want->as.record, &a));
    TSR_GO(gather(t, NULL, NULL, got->as.record, &b));
    TSR_GO(say(&plain, &a, NULL, &x));
    TSR_GO(say(&plain, &b, NULL, &y));
    TSR_GO(tsr_words_quality(x.s, a.count, y.s, b.count, into));
out:
    tsr_str_clear(&x);
    tsr_str_clear(&y);
    tsr_free(a.list);
    tsr_free(b.list);
    return st;
}

const tsr_kind tsr_kind_poses = {
    .name = "poses",
    .summary = "people: boxes, joints, cameras and shapes as words",
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
