/* SPDX-License-Identifier: Apache-2.0
 * What is asked for: conditions, targets, settings, by the model's modalities. */
#include "base/mem.h"
#include "base/str.h"
#include "tasks/genwork.h"
#include "trainer/genpresets.h"
#include "trainer/gensettings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- names --- */

static tsr_status unknown(const tsr_gen_work *w, const char *name)
{
    const char *names[2 * TSR_MODALITIES], *near;
    const tsr_gen_work *both[2] = {w, w->larger};
    size_t n = 0;
    tsr_str all = {0};
    tsr_status st = TSR_OK;
    for (size_t i = 0; i < 2; i++)
        for (size_t m = 0; both[i] && m < both[i]->mods->count; m++) {
            names[n] = both[i]->mods->items[m].name;
            if (st == TSR_OK && (i == 0 || tsr_mods_find(w->mods, names[n]) < 0))
                st = tsr_str_addf(&all, "%s%s", n ? ", " : "", names[n]);
            n++;
        }
    near = tsr_suggest(name, names, n);
    if (st == TSR_OK && near)
        st = tsr_fail_at(TSR_ECONFIG, __FILE__, __LINE__,
                         "the model has no modality \"%s\"; did you mean \"%s\"?", name, near);
    else if (st == TSR_OK)
        st = tsr_fail_at(TSR_ECONFIG, __FILE__, __LINE__,
                         "the model has no modality \"%s\": it has %s", name, all.s);
    tsr_str_clear(&all);
    return st;
}

static tsr_status find(const tsr_gen_work *w, const char *name, size_t n, size_t *m)
{
    char text[TSR_NAME_CHARS];
    snprintf(text, sizeof text, "%.*s", (int)(n < sizeof text ? n : sizeof text - 1), name);
    int at = tsr_mods_find(w->mods, text);
    *m = at < 0 ? 0 : (size_t)at;
    return at < 0 ? unknown(w, text) : TSR_OK;
}

/* Whose modality it is: the first model's, or else that of the second. */
static tsr_status find_owner(tsr_gen_work *w, const char *name, size_t n, tsr_gen_work **owner,
                             size_t *m)
{
    char text[TSR_NAME_CHARS];
    snprintf(text, sizeof text, "%.*s", (int)(n < sizeof text ? n : sizeof text - 1), name);
    *owner =
        w->larger && tsr_mods_find(w->mods, text) < 0 && tsr_mods_find(w->larger->mods, text) >= 0
            ? w->larger
            : w;
    return find(*owner, name, n, m);
}

/* Call body for every piece of a list with commas. */
typedef tsr_status (*piece_body)(tsr_gen_work *w, const char *piece, size_t n, void *ctx);

static tsr_status each_piece(tsr_gen_work *w, const char *list, piece_body body, void *ctx)
{
    while (*list) {
        size_t n = strcspn(list, ",");
        if (n > 0)
            TSR_TRY(body(w, list, n, ctx));
        list += n + (list[n] == ',');
    }
    return TSR_OK;
}

/* --- conditions --- */

static tsr_status condition(tsr_gen_work *w, size_t m, tsr_gen_origin origin, const char *value)
{
    tsr_gen_condition *c = &w->conditions[m];
    const char *name = w->mods->items[m].name;
    if (!w->mods->items[m].input)
        TSR_FAIL(TSR_ECONFIG, "%s cannot be given: the model does not read it", name);
    if (c->origin != TSR_GEN_ABSENT && (c->origin != TSR_GEN_FILE || origin != TSR_GEN_FILE))
        TSR_FAIL(TSR_EARG, "%s is given twice", name);
    if (c->n == TSR_GEN_FILES)
        TSR_FAIL(TSR_EARG, "%s: at most %d files for one sample", name, TSR_GEN_FILES);
    c->origin = origin;
    c->values[c->n++] = value;
    return TSR_OK;
}

static tsr_status from_sample(tsr_gen_work *w, const char *piece, size_t n, void *ctx)
{
    size_t m;
    (void)ctx;
    TSR_TRY(find(w, piece, n, &m));
    if (w->spec->samples.count == 0 && !w->walks)
        TSR_FAIL(TSR_EARG,
                 "%.*s: say which file (%.*s=FILE), what text (%.*s:=TEXT), or which sample "
                 "of a corpus",
                 (int)n, piece, (int)n, piece, (int)n, piece);
    return condition(w, m, TSR_GEN_SAMPLE, NULL);
}

static tsr_status read_from(tsr_gen_work *w, const char *text)
{
    const char *equals = strchr(text, '=');
    size_t m;
    if (!equals)
        return each_piece(w, text, from_sample, NULL);
    int literal = equals > text && equals[-1] == ':';
    TSR_TRY(find(w, text, (size_t)(equals - text) - (size_t)literal, &m));
    return condition(w, m, literal ? TSR_GEN_LITERAL : TSR_GEN_FILE, equals + 1);
}

static tsr_status read_mask(tsr_gen_work *w, const char *text, int hide)
{
    const char *equals = strchr(text, '='), *option = hide ? "--hide" : "--keep";
    size_t m;
    if (!equals || !equals[1])
        TSR_FAIL(TSR_EARG,
                 "%s %s: expected MODALITY=SHARE, MODALITY=X0,Y0,X1,Y1 or MODALITY=PICTURE", option,
                 text);
    TSR_TRY(find(w, text, (size_t)(equals - text), &m));
    const tsr_mod *mod = &w->mods->items[m];
    if (w->conditions[m].origin == TSR_GEN_ABSENT)
        TSR_FAIL(TSR_EARG, "%s %s: %s is not given; give it with --from", option, text, mod->name);
    if (mod->cls == TSR_CLASS_SEQUENCE)
        TSR_FAIL(TSR_EARG, "%s %s: %s is text: write [MASK] where something is missing", option,
                 text, mod->name);
    if (w->masks[m].text)
        TSR_FAIL(TSR_EARG, "%s %s: %s has a mask already", option, text, mod->name);
    w->masks[m] = (tsr_gen_mask_words){equals + 1, hide};
    return TSR_OK;
}

/* --- targets --- */

int tsr_gen_target_of(const tsr_gen_work *w, size_t m)
{
    for (size_t t = 0; t < w->n_chain; t++)
        if (w->chain[t].m == m)
            return (int)t;
    return -1;
}

/* 1 when something of a given modality is missing. */
static int is_partial(const tsr_gen_work *w, size_t m)
{
    const tsr_gen_condition *c = &w->conditions[m];
    return w->masks[m].text || (c->origin == TSR_GEN_LITERAL && tsr_gen_has_holes(c->values[0]));
}

static tsr_status add_target(tsr_gen_work *w, size_t m)
{
    const tsr_mod *mod = &w->mods->items[m];
    if (w->conditions[m].origin != TSR_GEN_ABSENT && !is_partial(w, m))
        TSR_FAIL(TSR_ECONFIG, "%s is given and a target, too: %s", mod->name,
                 mod->cls == TSR_CLASS_SEQUENCE
                     ? "to have something in it written, give it as text with [MASK] there"
                     : "to have a part of it generated, say which with --keep or --hide");
    if (tsr_gen_target_of(w, m) >= 0)
        TSR_FAIL(TSR_ECONFIG, "%s is a target twice", mod->name);
    w->chain[w->n_chain++] = tsr_target_defaults(w->mods, m);
    return TSR_OK;
}

/* 1 when the modality, or the same at another size or as pixels, is given; larger than one the
 * model reads: when it is given itself. */
static int is_given(const tsr_gen_work *w, size_t m)
{
    if (tsr_mods_smaller(w->mods, m) >= 0)
        return w->conditions[m].origin != TSR_GEN_ABSENT;
    for (size_t k = 0; k < w->mods->count; k++)
        if (w->conditions[k].origin != TSR_GEN_ABSENT &&
            tsr_modality_same(w->mods->items[m].name, w->mods->items[k].name))
            return 1;
    return 0;
}

static tsr_status add_all(tsr_gen_work *w)
{
    for (int sequences = 0; sequences < 2; sequences++)
        for (size_t m = 0; m < w->mods->count; m++) {
            const tsr_mod *mod = &w->mods->items[m];
            if (mod->output && (mod->cls == TSR_CLASS_SEQUENCE) == sequences && !is_given(w, m))
                TSR_TRY(add_target(w, m));
        }
    return TSR_OK;
}

static tsr_status to_piece(tsr_gen_work *w, const char *piece, size_t n, void *ctx)
{
    tsr_gen_work *owner;
    size_t m;
    (void)ctx;
    if (n == 3 && strncmp(piece, "all", 3) == 0 && tsr_mods_find(w->mods, "all") < 0)
        return add_all(w);
    TSR_TRY(find_owner(w, piece, n, &owner, &m));
    return add_target(owner, m);
}

/* --- settings --- */

/* A setting that only some targets have. */
static int applies(const tsr_gen_work *w, const tsr_target *t, const char *key)
{
    static const char *const grids[] = {"scheme", "steps", "tokens", "cooling", "cool_to", "power"};
    int sequence = w->mods->items[t->m].cls == TSR_CLASS_SEQUENCE;
    if (strcmp(key, "max_tokens") == 0)
        return sequence;
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++)
        if (strcmp(key, grids[i]) == 0)
            return !sequence;
    return 1;
}

/* Set the targets of one model that a setting is for; *used when there are such. `chosen`: its
 * name,
 * "" for all that the setting applies to. */
static tsr_status set_targets(tsr_gen_work *w, const char *chosen, const char *key,
                              const char *value, int *used)
{
    for (size_t t = 0; w && t < w->n_chain; t++) {
        const char *name = w->mods->items[w->chain[t].m].name;
        if (chosen[0] ? strcmp(name, chosen) != 0 : !applies(w, &w->chain[t], key))
            continue;
        TSR_TRY(tsr_target_set(&w->chain[t], key, value));
        *used = 1;
    }
    return TSR_OK;
}

/* `chosen`: the modality that the pieces of this --set belong to, or "". */
static tsr_status set_piece(tsr_gen_work *w, const char *piece, size_t n, void *ctx)
{
    char *chosen = ctx;
    char text[256], *key = text, *value, *dot;
    if (n >= sizeof text)
        TSR_FAIL(TSR_EARG, "\"%.40s...\": longer than a setting can be", piece);
    memcpy(text, piece, n);
    text[n] = '\0';
    value = strchr(text, '=');
    if (!value)
        TSR_FAIL(TSR_EARG, "\"%s\": expected [MODALITY.]KEY=VALUE", text);
    *value++ = '\0';
    dot = strchr(text, '.');
    if (dot) {
        tsr_gen_work *owner;
        size_t m;
        TSR_TRY(find_owner(w, text, (size_t)(dot - text), &owner, &m));
        memcpy(chosen, owner->mods->items[m].name, TSR_NAME_CHARS);
        key = dot + 1;
    }
    int used = 0;
    TSR_TRY(set_targets(w, chosen, key, value, &used));
    TSR_TRY(set_targets(w->larger, chosen, key, value, &used));
    if (used)
        return TSR_OK;
    if (chosen[0])
        TSR_FAIL(TSR_ECONFIG, "%s.%s: %s is no target", chosen, key, chosen);
    tsr_target nobody = {0};
    return tsr_target_set(&nobody, key, value); /* right or wrong, nobody takes it */
}

static tsr_status read_weight(tsr_gen_work *w, const char *text)
{
    const char *equals = strchr(text, '=');
    char *end;
    size_t m;
    if (!equals)
        TSR_FAIL(TSR_EARG, "--weight %s: expected MODALITY=NUMBER", text);
    TSR_TRY(find(w, text, (size_t)(equals - text), &m));
    w->weights[m] = strtod(equals + 1, &end);
    if (end == equals + 1 || *end || !isfinite(w->weights[m]))
        TSR_FAIL(TSR_EARG, "--weight %s: \"%s\" is no number", text, equals + 1);
    return TSR_OK;
}

/* The preset's targets unless others were named, and its settings. */
static tsr_status apply_preset(tsr_gen_work *w)
{
    const tsr_generation *s = w->spec;
    const tsr_preset *p;
    char given[TSR_MODALITIES];
    TSR_TRY(tsr_preset_find(s->preset, &p));
    for (size_t m = 0; m < w->mods->count; m++)
        given[m] = w->conditions[m].origin != TSR_GEN_ABSENT && tsr_gen_target_of(w, m) < 0;
    for (size_t t = 0; t < w->n_chain; t++)
        tsr_preset_target(p, w->mods, given, w->chain[t].m, &w->chain[t]);
    if (w->n_chain == 0)
        w->n_chain = tsr_preset_chain(
            p, w->mods, given, TSR_STAGE_BASE | (w->larger ? 0 : TSR_STAGE_LARGER), w->chain);
    if (w->n_chain == 0)
        TSR_FAIL(TSR_ECONFIG,
                 "the preset %s has no target that the model can predict and that was not given; "
                 "name targets with --to",
                 s->preset);
    w->grow |= tsr_preset_grows(p) && !s->no_grow;
    if (w->decoder_steps == 0)
        w->decoder_steps = tsr_preset_decoder_steps(p);
    return TSR_OK;
}

static tsr_status plan_chain(tsr_gen_work *w)
{
    const tsr_generation *s = w->spec;
    w->grow = s->grow;
    w->decoder_steps = s->decoder_steps;
    for (size_t i = 0; i < s->to.count; i++)
        TSR_TRY(each_piece(w, s->to.items[i], to_piece, NULL));
    if (s->preset)
        TSR_TRY(apply_preset(w));
    if (w->n_chain == 0)
        TSR_FAIL(TSR_EARG, "name what %sto generate with --to MODALITY, or --to all",
                 w->larger ? "of the first model " : "");
    return tsr_gen_larger_plan(w);
}

tsr_status tsr_gen_set(tsr_gen_work *w, const char *text)
{
    char chosen[TSR_NAME_CHARS] = "";
    return each_piece(w, text, set_piece, chosen);
}

static tsr_status read_settings(tsr_gen_work *w)
{
    const tsr_generation *s = w->spec;
    tsr_gen_work *both[2] = {w, w->larger};
    for (size_t i = 0; s->guidance && i < 2; i++)
        for (size_t t = 0; both[i] && t < both[i]->n_chain; t++)
            TSR_TRY(tsr_target_set(&both[i]->chain[t], "guidance", s->guidance));
    for (size_t i = 0; i < s->set.count; i++)
        TSR_TRY(tsr_gen_set(w, s->set.items[i]));
    return TSR_OK;
}

tsr_status tsr_gen_plan(tsr_gen_work *w)
{
    const tsr_generation *s = w->spec;
    if (s->samples.count && !s->corpus)
        TSR_FAIL(TSR_EARG, "--sample: name the corpus it is in with --corpus");
    if (s->grow && s->no_grow)
        TSR_FAIL(TSR_EARG, "--grow and --no-grow: which?");
    for (size_t i = 0; i < s->from.count; i++)
        TSR_TRY(read_from(w, s->from.items[i]));
    for (size_t i = 0; i < s->keep.count; i++)
        TSR_TRY(read_mask(w, s->keep.items[i], 0));
    for (size_t i = 0; i < s->hide.count; i++)
        TSR_TRY(read_mask(w, s->hide.items[i], 1));
    TSR_TRY(plan_chain(w));
    TSR_TRY(read_settings(w));
    for (size_t m = 0; m < w->mods->count; m++)
        w->weights[m] = 1.0;
    for (size_t i = 0; i < s->weights.count; i++)
        TSR_TRY(read_weight(w, s->weights.items[i]));
    return TSR_OK;
}
