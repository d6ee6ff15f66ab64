/* SPDX-License-Identifier: Apache-2.0
 * Prediction of one modality, on the parts of a generation. */
#include "tasks/predict.h"

#include "base/mem.h"
#include "trainer/genpresets.h"
#include "trainer/gensettings.h"

#include <string.h>

#define SIDE_BY_SIDE 32
#define VARIANTS     4 /* where draws differ: enough for a mean, and few enough for a corpus */

static tsr_status set_defaults(const tsr_mods *mods, tsr_target *t, size_t *variants)
{
    static const char none[TSR_MODALITIES];
    const tsr_preset *preset;
    TSR_TRY(tsr_preset_find("retrieval", &preset));
    if (tsr_preset_target(preset, mods, none, t->m, t))
        return TSR_OK;
    int global = mods->items[t->m].cls == TSR_CLASS_VECTOR; /* of a name of one's own */
    *variants = global ? 1 : VARIANTS;
    t->temperature = global ? 0.1 : 1.0;
    t->top_p = 0.0;
    if (t->scheme != TSR_SCHEME_AUTOREGRESSIVE) {
        t->scheme = TSR_SCHEME_ROAR;
        t->steps = 1;
    }
    return TSR_OK;
}

tsr_status tsr_predictor_init(tsr_predictor *p, const tsr_predictor_spec *spec)
{
    size_t usual = 1;
    p->to[0] = spec->to;
    if (spec->job)
        p->job = (tsr_job){.warn = spec->job->warn, .ctx = spec->job->ctx, .stop = spec->job->stop};
    p->generation = (tsr_generation){.model = spec->model,
                                     .tokenizers = spec->tokenizers,
                                     .corpus = spec->corpus,
                                     .from = spec->from,
                                     .to = {p->to, 1},
                                     .variants = spec->variants ? spec->variants : 1,
                                     .seed = spec->seed,
                                     .batch = spec->batch ? spec->batch : SIDE_BY_SIDE,
                                     .precision = spec->precision,
                                     .job = &p->job};
    TSR_TRY(tsr_gen_open(&p->generation, spec->corpus != NULL, &p->work));
    if (p->work->n_chain != 1)
        TSR_FAIL(TSR_ECONFIG, "one modality is predicted for an index, not %s", spec->to);
    TSR_TRY(set_defaults(p->work->mods, &p->work->chain[0], &usual));
    if (spec->variants == 0)
        p->generation.variants = usual;
    for (size_t i = 0; i < spec->set.count; i++)
        TSR_TRY(tsr_gen_set(p->work, spec->set.items[i]));
    p->m = p->work->chain[0].m;
    return tsr_gen_generator(p->work);
}

void tsr_predictor_clear(tsr_predictor *p)
{
    tsr_gen_close(p->work);
    *p = (tsr_predictor){0};
}

/* Results [first, first + n) of all items times variants. */
static tsr_status run_group(tsr_predictor *p, const tsr_gen_item *items, size_t first, size_t n,
                            tsr_tokens *tokens)
{
    const tsr_held **given = NULL;
    uint64_t *keys = NULL;
    size_t variants = p->generation.variants, count;
    tsr_status st;
    TSR_GO(tsr_alloc(&given, n, sizeof *given));
    TSR_GO(tsr_alloc(&keys, n, sizeof *keys));
    for (size_t i = 0; i < n; i++) {
        const tsr_gen_item *item = &items[(first + i) / variants];
        given[i] = item->held;
        keys[i] = tsr_gen_key(item, (first + i) % variants);
    }
    TSR_GO(tsr_generator_run(p->work->generator, given, keys, n, &p->job));
    for (size_t i = 0; i < n; i++) {
        const uint32_t *ids = tsr_generator_result(p->work->generator, i, p->m, &count);
        TSR_GO(tsr_tokens_init(&tokens[first + i], count));
        if (count)
            memcpy(tokens[first + i].ids, ids, count * sizeof *ids);
    }
out:
    tsr_free(given);
    tsr_free(keys);
    return st;
}

tsr_status tsr_predictor_run(tsr_predictor *p, const tsr_gen_item *items, size_t n,
                             tsr_tokens *tokens)
{
    size_t group = p->generation.batch, all;
    TSR_TRY(tsr_mul_size(n, p->generation.variants, &all));
    for (size_t i = 0; i < all; i += group)
        TSR_TRY(run_group(p, items, i, all - i < group ? all - i : group, tokens));
    return TSR_OK;
}

tsr_status tsr_predictor_json(const tsr_predictor *p, json_t **out)
{
    const tsr_generation *g = &p->generation;
    json_t *o = json_object(), *from = json_array(), *settings = NULL;
    tsr_status st;
    TSR_GO(tsr_json_set(o, "model", json_string(g->model)));
    TSR_GO(tsr_json_set(o, "from", json_incref(from)));
    for (size_t m = 0; m < p->work->mods->count; m++)
        if (p->work->conditions[m].origin != TSR_GEN_ABSENT)
            TSR_GO(tsr_json_append(from, json_string(p->work->mods->items[m].name)));
    TSR_GO(tsr_json_set(o, "variants", json_integer((json_int_t)g->variants)));
    TSR_GO(tsr_json_set(o, "seed", json_integer((json_int_t)g->seed)));
    TSR_GO(tsr_target_to_json(&p->work->chain[0], &settings));
    TSR_GO(tsr_json_set(o, "settings", settings));
    *out = o;
    o = NULL;
out:
    json_decref(from);
    json_decref(o);
    return st;
}
