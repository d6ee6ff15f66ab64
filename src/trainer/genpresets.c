/* SPDX-License-Identifier: Apache-2.0
 * The table of published settings. Source   Mizrahi et al. 2023, arXiv:2312.06647; Bachmann et al.
 * 2024, arXiv:2406.09406, and the 4M repository: the names of its configurations are beside the
 * presets. */
#include "trainer/genpresets.h"

#include "base/str.h"

#include <string.h>

#define ONEX_TO    0.5 /* last temperature and exponent of all schedules "onex" */
#define ONEX_POWER 0.5

/* When a rule holds. */
typedef enum tsr_rule_when {
    ALWAYS,
    WITH_RGB,    /* a picture is given, as pixels or as tokens */
    WITHOUT_RGB, /* none is */
} tsr_rule_when;

/* One target. Grids: scheme, steps, temperature, cooling; sequences: temperature, max_tokens. */
typedef struct tsr_rule {
    const char *of; /* stem */
    tsr_rule_when when;
    tsr_scheme scheme;
    size_t steps;
    double temperature;
    tsr_temperature_schedule cooling;
    double guidance;
    size_t max_tokens;
} tsr_rule;

#define RULES 32

struct tsr_preset {
    const char *name;
    int grow;
    double top_p;
    size_t decoder_steps;
    tsr_rule base[RULES], larger[8]; /* of super-resolution; both end with a rule of no stem */
};

#define MASKGIT TSR_SCHEME_MASKGIT
#define ROAR    TSR_SCHEME_ROAR
#define AUTO    TSR_SCHEME_AUTOREGRESSIVE
#define FLAT    TSR_TEMPERATURE_CONSTANT
#define LINEAR  TSR_TEMPERATURE_LINEAR
#define ONEX    TSR_TEMPERATURE_ONEX

/* MaskGIT takes a cosine number of tokens a step, random order the same of each: in all of them. */
static const tsr_preset presets[] = {
    /* 4M-7 and 4M-21, one to all: defaults of the demonstration sampler */
    {.name = "any",
     .grow = 1,
     .top_p = 0.8,
     .decoder_steps = 50,
     .base = {{"clip", WITH_RGB, ROAR, 1, 0.01, FLAT, 2.0, 0},
              {"clip", WITHOUT_RGB, ROAR, 50, 5.0, ONEX, 3.0, 0},
              {"dinov2", WITH_RGB, ROAR, 1, 0.01, FLAT, 2.0, 0},
              {"dinov2", WITHOUT_RGB, ROAR, 8, 0.01, FLAT, 2.0, 0},
              {"imagebind", WITH_RGB, ROAR, 1, 0.01, FLAT, 2.0, 0},
              {"imagebind", WITHOUT_RGB, ROAR, 8, 0.01, FLAT, 2.0, 0},
              {"depth", WITH_RGB, ROAR, 1, 0.01, FLAT, 2.0, 0},
              {"depth", WITHOUT_RGB, ROAR, 8, 3.0, ONEX, 2.0, 0},
              {"normal", WITH_RGB, ROAR, 1, 0.01, FLAT, 2.0, 0},
              {"normal", WITHOUT_RGB, ROAR, 8, 3.0, ONEX, 2.0, 0},
              {"semseg", WITH_RGB, ROAR, 1, 0.01, FLAT, 2.0, 0},
              {"semseg", WITHOUT_RGB, ROAR, 8, 3.0, ONEX, 2.0, 0},
              {"canny_edge", WITH_RGB, ROAR, 1, 0.01, FLAT, 2.0, 0},
              {"canny_edge", WITHOUT_RGB, ROAR, 8, 3.0, ONEX, 2.0, 0},
              {"sam_edge", WITH_RGB, ROAR, 1, 0.01, FLAT, 2.0, 0},
              {"sam_edge", WITHOUT_RGB, ROAR, 8, 3.0, ONEX, 2.0, 0},
              {"rgb", WITHOUT_RGB, ROAR, 25, 3.0, ONEX, 2.0, 0},
              {"caption", ALWAYS, AUTO, 0, 0.3, FLAT, 1.0, 256},
              {"det", ALWAYS, AUTO, 0, 0.3, FLAT, 1.0, 256},
              {"human_poses", ALWAYS, AUTO, 0, 0.1, FLAT, 1.0, 275},
              {"sam_instance", ALWAYS, AUTO, 0, 0.01, FLAT, 1.0, 256},
              {"palette", ALWAYS, AUTO, 0, 0.1, FLAT, 1.0, 23},
              {"metadata", ALWAYS, AUTO, 0, 0.1, FLAT, 1.0, 40}},
     .larger = {{"clip", ALWAYS, MASKGIT, 8, 1.0, FLAT, 2.0, 0},
                {"depth", ALWAYS, MASKGIT, 8, 1.0, FLAT, 2.0, 0},
                {"normal", ALWAYS, MASKGIT, 8, 1.0, FLAT, 2.0, 0},
                {"semseg", ALWAYS, MASKGIT, 8, 1.0, FLAT, 2.0, 0},
                {"rgb", ALWAYS, MASKGIT, 8, 1.0, FLAT, 2.0, 0}}},
    /* settings_base/T2CR_roar49-25_cfg3_t6-0.5 with settings_sr/x2CR_mg8_cfg3_t1const, the same for
     * models of all sizes */
    {.name = "t2i",
     .grow = 1,
     .top_p = 0.9,
     .decoder_steps = 50,
     .base = {{"clip", ALWAYS, ROAR, 49, 6.0, ONEX, 3.0, 0},
              {"rgb", ALWAYS, ROAR, 25, 0.5, FLAT, 3.0, 0}},
     .larger = {{"clip", ALWAYS, MASKGIT, 8, 1.0, FLAT, 3.0, 0},
                {"rgb", ALWAYS, MASKGIT, 8, 1.0, FLAT, 3.0, 0}}},
    /* settings_sr/x2CR_mg8_cfg3_t1const alone */
    {.name = "sr",
     .grow = 1,
     .top_p = 0.9,
     .decoder_steps = 50,
     .larger = {{"clip", ALWAYS, MASKGIT, 8, 1.0, FLAT, 3.0, 0},
                {"rgb", ALWAYS, MASKGIT, 8, 1.0, FLAT, 3.0, 0}}},
    /* what the generation script does without a configuration */
    {.name = "script",
     .grow = 1,
     .top_p = 0.0,
     .decoder_steps = 25,
     .base = {{"clip", ALWAYS, MASKGIT, 25, 5.0, LINEAR, 4.0, 0},
              {"normal", ALWAYS, MASKGIT, 25, 1.0, LINEAR, 4.0, 0},
              {"rgb", ALWAYS, MASKGIT, 25, 1.0, LINEAR, 4.0, 0}},
     .larger = {{"clip", ALWAYS, MASKGIT, 8, 1.0, LINEAR, 4.0, 0},
                {"rgb", ALWAYS, MASKGIT, 8, 1.0, LINEAR, 4.0, 0}}},
    /* 4M-21: the feature of a whole picture, to search with */
    {.name = "retrieval",
     .grow = 1,
     .top_p = 0.8,
     .base = {{"dinov2_global", ALWAYS, ROAR, 1, 0.1, FLAT, 1.0, 0},
              {"imagebind_global", ALWAYS, ROAR, 1, 0.1, FLAT, 1.0, 0}}},
};
#define PRESETS (sizeof presets / sizeof *presets)

tsr_status tsr_preset_find(const char *name, const tsr_preset **out)
{
    const char *names[PRESETS], *near;
    for (size_t i = 0; i < PRESETS; i++) {
        names[i] = presets[i].name;
        if (strcmp(name, presets[i].name) == 0) {
            *out = &presets[i];
            return TSR_OK;
        }
    }
    near = tsr_suggest(name, names, PRESETS);
    TSR_FAIL(TSR_ECONFIG, "no preset of generation is called \"%s\"%s%s%s: there are %s", name,
             near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "",
             strchr(TSR_PRESET_CHOICES, '|') + 1);
}

const char *tsr_preset_name(size_t i)
{
    return i < PRESETS ? presets[i].name : NULL;
}

int tsr_preset_grows(const tsr_preset *p)
{
    return p->grow;
}

size_t tsr_preset_decoder_steps(const tsr_preset *p)
{
    return p->decoder_steps;
}

/* --- names --- */

static const char *without(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(name, prefix, n) == 0 ? name + n : name;
}

/* Borrowed from name, *length characters. */
static const char *stem_of(const char *name, size_t *length)
{
    name = without(without(name, "tok_"), "color_");
    *length = strcspn(name, "@");
    return name;
}

int tsr_modality_same(const char *a, const char *b)
{
    size_t n, m;
    a = stem_of(a, &n);
    b = stem_of(b, &m);
    return n == m && memcmp(a, b, n) == 0;
}

int tsr_mods_smaller(const tsr_mods *mods, size_t m)
{
    const tsr_mod *large = &mods->items[m];
    int found = -1;
    for (size_t k = 0; large->cls == TSR_CLASS_IMAGE && k < mods->count; k++) {
        const tsr_mod *mod = &mods->items[k];
        if (mod->cls == TSR_CLASS_IMAGE && mod->input && mod->places < large->places &&
            tsr_modality_same(mod->name, large->name) &&
            (found < 0 || mod->places > mods->items[found].places))
            found = (int)k;
    }
    return found;
}

/* --- rules --- */

/* 1 when something of this stem is given. */
static int is_given(const tsr_mods *mods, const char *given, const char *name)
{
    for (size_t m = 0; m < mods->count; m++)
        if (given[m] && tsr_modality_same(mods->items[m].name, name))
            return 1;
    return 0;
}

static int holds(const tsr_rule *r, int with_rgb)
{
    return r->when == ALWAYS || (r->when == WITH_RGB) == with_rgb;
}

static void apply(const tsr_preset *p, const tsr_rule *r, tsr_target *t)
{
    t->scheme = r->scheme;
    t->steps = r->steps ? r->steps : t->steps;
    t->tokens = r->scheme == MASKGIT ? TSR_TOKENS_COSINE : TSR_TOKENS_LINEAR;
    t->temperature = r->temperature;
    t->cooling = r->cooling;
    t->cool_to = ONEX_TO;
    t->power = ONEX_POWER;
    t->top_k = 0.0;
    t->top_p = p->top_p;
    t->guidance = r->guidance;
    t->max_tokens = r->max_tokens;
}

/* 1 when the rule is for modality m. */
static int fits(const tsr_rule *r, const tsr_mod *mod)
{
    return tsr_modality_same(r->of, mod->name) &&
           (r->scheme == AUTO) == (mod->cls == TSR_CLASS_SEQUENCE);
}

int tsr_preset_target(const tsr_preset *p, const tsr_mods *mods, const char *given, size_t m,
                      tsr_target *out)
{
    const tsr_rule *r = tsr_mods_smaller(mods, m) >= 0 ? p->larger : p->base;
    int with_rgb = is_given(mods, given, "rgb");
    *out = tsr_target_defaults(mods, m);
    for (; r->of; r++)
        if (holds(r, with_rgb) && fits(r, &mods->items[m])) {
            apply(p, r, out);
            return 1;
        }
    return 0;
}

/* 1 when a rule may have modality m as a target: at the first size what is not given in any form,
 * larger what is known smaller. */
static int is_open(const tsr_mods *mods, const char *given, const char *known, size_t m, int larger)
{
    int smaller = tsr_mods_smaller(mods, m);
    if (!mods->items[m].output || (smaller >= 0) != larger)
        return 0;
    return larger ? known[smaller] && !known[m] : !is_given(mods, given, mods->items[m].name);
}

/* What the rules find in the model, in their order; it counts as known from then on. */
static size_t collect(const tsr_rule *r, const tsr_mods *mods, const char *given, char *known,
                      int larger, size_t *found)
{
    int with_rgb = is_given(mods, given, "rgb");
    size_t n = 0;
    for (; r->of; r++)
        for (size_t m = 0; holds(r, with_rgb) && m < mods->count; m++)
            if (fits(r, &mods->items[m]) && is_open(mods, given, known, m, larger)) {
                known[m] = 1;
                found[n++] = m;
            }
    return n;
}

size_t tsr_preset_chain(const tsr_preset *p, const tsr_mods *mods, const char *given, int stages,
                        tsr_target *chain)
{
    char known[TSR_MODALITIES];
    size_t found[TSR_MODALITIES], n = 0;
    memcpy(known, given, mods->count);
    if (stages & TSR_STAGE_BASE)
        n += collect(p->base, mods, given, known, 0, found);
    if (stages & TSR_STAGE_LARGER)
        n += collect(p->larger, mods, given, known, 1, found + n);
    for (size_t i = 0; i < n; i++)
        tsr_preset_target(p, mods, given, found[i], &chain[i]);
    return n;
}
