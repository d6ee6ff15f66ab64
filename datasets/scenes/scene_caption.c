/* SPDX-License-Identifier: Apache-2.0
 * Says what is in a picture: a small grammar with paraphrases, of visible objects and of relations
 * that hold in this picture. */
#include "scenes/scene.h"

#include <ctype.h>
#include <string.h>

enum { WAYS = 3, RELATIONS_SAID = 2 };

/* Ways to say the same; NULL ends a shorter list. Every word belongs to one meaning only. */
static const char *const shape_words[TSR_SHAPES][WAYS] = {
    {"sphere", "ball"}, {"box", "block"}, {"cylinder", "can"}, {"cone"}, {"torus", "ring", "donut"},
};
static const char *const stuff_words[TSR_STUFFS][WAYS] = {
    {"rubber", "matte"},
    {"metal", "metallic", "shiny metal"},
    {"glass", "see-through"},
};
static const char *const bulk_words[TSR_BULKS][WAYS] = {
    {"small", "little"},
    {"medium-sized", "mid-sized"},
    {"large", "big"},
};
static const char *const texture_words[TSR_TEXTURES][WAYS] = {
    {NULL},
    {"checkered", "checked"},
    {"striped", "banded"},
};
static const char *const ground_words[TSR_SCENE_GROUNDS][WAYS] = {
    {"on grass", "on a lawn"},           {"on sand", "on sandy ground"},
    {"on concrete", "on bare concrete"}, {"on tiles", "on tiled ground"},
    {"on planks", "on a wooden floor"},  {"on a carpet", "on carpet"},
};
static const char *const numbers[] = {"no", "one", "two", "three", "four", "five", "six"};

/* '<' stands for the first object, '>' for the second. */
static const char *const relation_words[TSR_RELATIONS][WAYS] = {
    [TSR_RELATION_LEFT] = {"< is to the left of >", "< stands left of >", "to the left of > is <"},
    [TSR_RELATION_RIGHT] = {"< is to the right of >", "< stands right of >",
                            "to the right of > is <"},
    [TSR_RELATION_FRONT] = {"< is in front of >", "in front of > is <",
                            "< is closer to the camera than >"},
    [TSR_RELATION_BEHIND] = {"< is behind >", "behind > is <", "< is farther away than >"},
    [TSR_RELATION_BIGGER] = {"< is bigger than >", "< is larger than >"},
    [TSR_RELATION_SMALLER] = {"< is smaller than >"},
    [TSR_RELATION_NEAR] = {"< is next to >", "< and > are close together"},
};

int tsr_sample_relation(const tsr_sample *m, tsr_relation relation, int a, int b)
{
    const tsr_object *p = &m->scene.objects[a], *q = &m->scene.objects[b];
    double side = (double)m->rgb.width;
    double across = m->seen[b].column - m->seen[a].column;
    double deeper = m->seen[b].depth_m - m->seen[a].depth_m;
    switch (relation) {
    case TSR_RELATION_LEFT:
        return across >= 0.06 * side;
    case TSR_RELATION_RIGHT:
        return -across >= 0.06 * side;
    case TSR_RELATION_FRONT:
        return deeper >= 0.3 && fabs(across) <= 0.35 * side;
    case TSR_RELATION_BEHIND:
        return -deeper >= 0.3 && fabs(across) <= 0.35 * side;
    case TSR_RELATION_BIGGER:
        return p->bulk > q->bulk;
    case TSR_RELATION_SMALLER:
        return p->bulk < q->bulk;
    default:
        return hypot(p->centre.x - q->centre.x, p->centre.y - q->centre.y) <=
               p->footprint + q->footprint + 0.35;
    }
}

/* The text under way and what it is made from. */
typedef struct teller {
    const tsr_sample *m;
    tsr_rng rng;
    tsr_str *out;
    int who[TSR_SCENE_OBJECTS]; /* visible objects in the order they are told */
    int n;
} teller;

static int chance(teller *t, uint32_t percent)
{
    return tsr_rng_below(&t->rng, 100) < percent;
}

static const char *one_of(teller *t, const char *const ways[WAYS])
{
    uint32_t n = 0;
    while (n < WAYS && ways[n])
        n++;
    return ways[tsr_rng_below(&t->rng, n)];
}

static tsr_status word(teller *t, const char *w)
{
    return tsr_str_addf(t->out, " %s", w);
}

/* " a large striped blue metal ball"; colour and shape together are unique in a scene. */
static tsr_status phrase(teller *t, int object, int definite)
{
    const tsr_object *o = &t->m->scene.objects[object];
    const char *words[5];
    int n = 0;
    if (chance(t, 50))
        words[n++] = one_of(t, bulk_words[o->bulk]);
    if (o->texture != TSR_TEXTURE_PLAIN && chance(t, 75))
        words[n++] = one_of(t, texture_words[o->texture]);
    words[n++] = tsr_scene_paints[o->colour].name;
    if (chance(t, 60))
        words[n++] = one_of(t, stuff_words[o->stuff]);
    words[n++] = one_of(t, shape_words[o->shape]);
    TSR_TRY(word(t, definite ? "the" : strchr("aeiou", words[0][0]) ? "an" : "a"));
    for (int i = 0; i < n; i++)
        TSR_TRY(word(t, words[i]));
    return TSR_OK;
}

/* The first n of the visible objects: " a, b and c". */
static tsr_status listing(teller *t, int n)
{
    for (int i = 0; i < n; i++) {
        if (i > 0)
            TSR_TRY(tsr_str_add(t->out, i == n - 1 ? " and" : ","));
        TSR_TRY(phrase(t, t->who[i], 0));
    }
    return TSR_OK;
}

/* " on grass under a hazy sky" */
static tsr_status place(teller *t)
{
    const tsr_scene *s = &t->m->scene;
    double area = (double)t->m->rgb.width * (double)t->m->rgb.width;
    TSR_TRY(word(t, one_of(t, ground_words[s->ground])));
    if (t->m->class_pixels[TSR_CLASS_WALL] > 0.02 * area && chance(t, 50))
        TSR_TRY(
            word(t, s->n_walls == 2 && chance(t, 50) ? "in the corner of a room" : "in a room"));
    if (t->m->class_pixels[TSR_CLASS_SKY] > 0.04 * area && chance(t, 55)) {
        const char *name = tsr_scene_skies[s->sky].name;
        TSR_TRY(
            tsr_str_addf(t->out, " under %s %s sky", strchr("aeiou", name[0]) ? "an" : "a", name));
    }
    return TSR_OK;
}

/* Ends the sentence that starts at byte `start` with a blank: capital letter, full stop. */
static tsr_status finish(teller *t, size_t start)
{
    char *first = t->out->s + start + 1;
    *first = (char)toupper((unsigned char)*first);
    return tsr_str_add(t->out, ".");
}

static tsr_status opening(teller *t)
{
    size_t start = t->out->len;
    int told = t->n <= 3 ? t->n : 2 + (int)tsr_rng_below(&t->rng, 2);
    const char *all = numbers[t->n];
    if (t->n == 0) {
        TSR_TRY(word(t, "nothing stands"));
        TSR_TRY(place(t));
    } else if (t->n == told && chance(t, 50)) {
        TSR_TRY(word(t, chance(t, 50) ? "a picture of" : "the picture shows"));
        TSR_TRY(listing(t, told));
        TSR_TRY(place(t));
    } else if (t->n == 1) {
        TSR_TRY(word(t, "there is"));
        TSR_TRY(listing(t, 1));
        TSR_TRY(place(t));
    } else {
        TSR_TRY(tsr_str_addf(t->out, chance(t, 50) ? " there are %s objects" : " %s things stand",
                             all));
        TSR_TRY(place(t));
        TSR_TRY(tsr_str_add(t->out, t->n == told ? ":" : ", among them"));
        TSR_TRY(listing(t, told));
    }
    return finish(t, start);
}

static tsr_status tell_relation(teller *t, tsr_relation relation, int a, int b)
{
    size_t start = t->out->len;
    const char *way = one_of(t, relation_words[relation]);
    TSR_TRY(tsr_str_add(t->out, " "));
    for (const char *c = way; *c; c++) {
        if (*c != '<' && *c != '>') {
            TSR_TRY(tsr_str_add_bytes(t->out, c, 1));
            continue;
        }
        /* A phrase brings its own blank. */
        t->out->s[--t->out->len] = '\0';
        TSR_TRY(phrase(t, *c == '<' ? a : b, 1));
    }
    return finish(t, start);
}

/* Up to two relations of different pairs, drawn from all that hold. */
static tsr_status relations(teller *t)
{
    struct {
        tsr_relation relation;
        int a, b;
    } holds[TSR_RELATIONS * TSR_SCENE_OBJECTS * TSR_SCENE_OBJECTS];
    uint32_t n = 0;
    for (int i = 0; i < t->n; i++)
        for (int j = 0; j < t->n; j++)
            for (int k = 0; k < TSR_RELATIONS && i != j; k++) {
                if (!tsr_sample_relation(t->m, (tsr_relation)k, t->who[i], t->who[j]))
                    continue;
                holds[n].relation = (tsr_relation)k;
                holds[n].a = t->who[i];
                holds[n++].b = t->who[j];
            }
    int wanted = 1 + (int)tsr_rng_below(&t->rng, RELATIONS_SAID);
    for (int told = 0, last_sum = -1, last_product = -1; told < wanted && n > 0;) {
        uint32_t k = tsr_rng_below(&t->rng, n);
        int sum = holds[k].a + holds[k].b, product = holds[k].a * holds[k].b;
        int fresh = sum != last_sum || product != last_product;
        if (fresh)
            TSR_TRY(tell_relation(t, holds[k].relation, holds[k].a, holds[k].b));
        told += fresh;
        last_sum = sum;
        last_product = product;
        holds[k] = holds[--n];
    }
    return TSR_OK;
}

/* "Two of them are made of metal." */
static tsr_status counting(teller *t)
{
    int stuff = (int)tsr_rng_below(&t->rng, TSR_STUFFS), n = 0;
    size_t start = t->out->len;
    for (int i = 0; i < t->n; i++)
        n += (int)t->m->scene.objects[t->who[i]].stuff == stuff;
    TSR_TRY(tsr_str_addf(t->out, " %s of them %s made of %s",
                         n == 0      ? "none"
                         : n == t->n ? "all"
                                     : numbers[n],
                         n < 2 ? "is" : "are", tsr_stuff_names[stuff]));
    return finish(t, start);
}

tsr_status tsr_sample_caption(tsr_sample *m)
{
    tsr_str text = {0};
    teller t = {.m = m, .out = &text};
    tsr_status st;
    tsr_scene_rng(&t.rng, &m->scene, TSR_PART_CAPTION);
    for (int i = 0; i < m->scene.n_objects; i++)
        if (m->seen[i].visible)
            t.who[t.n++] = i;
    for (int i = t.n - 1; i > 0; i--) {
        int j = (int)tsr_rng_below(&t.rng, (uint32_t)i + 1), keep = t.who[i];
        t.who[i] = t.who[j];
        t.who[j] = keep;
    }
    TSR_GO(opening(&t));
    if (t.n >= 2)
        TSR_GO(relations(&t));
    if (t.n >= 2 && chance(&t, 35))
        TSR_GO(counting(&t));
    tsr_str_clear(&m->caption);
    TSR_GO(tsr_str_add(&m->caption, text.s + 1));
out:
    tsr_str_clear(&text);
    return st;
}
