/* SPDX-License-Identifier: Apache-2.0
 * One masked example: check, draw budgets, mask sequences, then grids with what is left. */
#include "trainer/mask.h"

#include "base/mem.h"
#include "trainer/budget.h"
#include "trainer/policy.h"
#include "trainer/spanmask.h"

#include <math.h>
#include <string.h>

#define ID_UNKNOWN 1 /* stands for a sentinel inside a stored text */

/* Scratch of one sequence. */
typedef struct sequence {
    uint32_t *ids;
    uint8_t *starts;
    tsr_span_spec spec;
    tsr_span span;
} sequence;

struct tsr_mask_work {
    const tsr_policy *policy;
    sequence *sequences;    /* [modalities]; storage for sequences only */
    uint8_t *place;         /* [largest grid] */
    uint32_t *order;        /* [largest grid] */
    const tsr_component *c; /* of the sample at hand, and the rest too */
    const tsr_held *held;
    int here[TSR_MODALITIES]; /* present, known to the model and not dropped */
    uint32_t total[TSR_SIDES];
    double log_g[TSR_SIDES][TSR_MODALITIES];
    uint32_t b[TSR_SIDES][TSR_MODALITIES]; /* budgets, in rows */
};

static int is_sequence(const tsr_mod *m)
{
    return m->cls == TSR_CLASS_SEQUENCE;
}

/* --- sizes --- */

/* Rows of one modality on one side can be at most. */
static uint32_t rows_most(const tsr_policy *p, size_t m, int side)
{
    const tsr_mod *mod = &p->mods.items[m];
    uint32_t all = mod->places;
    if (side == TSR_SIDE_OUT ? !mod->output || mod->cls == TSR_CLASS_PIXELS : !mod->input)
        return 0;
    if (is_sequence(mod)) {
        all = mod->max_tokens + (side == TSR_SIDE_OUT);
        all = all < mod->positions ? all : mod->positions;
    }
    return all < p->cap[side][m] ? all : p->cap[side][m];
}

static size_t rows_of(const tsr_policy *p, size_t m, int side)
{
    size_t most = 0;
    for (size_t k = 0; k < p->n_components; k++) {
        const tsr_component *c = &p->components[k];
        size_t all = rows_most(p, m, side), total = c->most[side];
        if (c->alpha[side][m] <= 0 && !p->compat)
            continue;
        all = total < all && !(side == TSR_SIDE_OUT && c->rest) ? total : all;
        most = all > most ? all : most;
    }
    return most;
}

size_t tsr_policy_inputs_of(const tsr_policy *p, size_t m)
{
    return rows_of(p, m, TSR_SIDE_IN);
}

size_t tsr_policy_targets_of(const tsr_policy *p, size_t m)
{
    return rows_of(p, m, TSR_SIDE_OUT);
}

static size_t rows_all(const tsr_policy *p, int side)
{
    size_t sum = 0, total = 0;
    for (size_t m = 0; m < p->mods.count; m++)
        sum += rows_of(p, m, side);
    for (size_t k = 0; k < p->n_components; k++) {
        const tsr_component *c = &p->components[k];
        size_t most = side == TSR_SIDE_OUT && c->rest ? sum : c->most[side];
        total = most > total ? most : total;
    }
    return sum < total ? sum : total;
}

size_t tsr_policy_inputs(const tsr_policy *p)
{
    return rows_all(p, TSR_SIDE_IN);
}

size_t tsr_policy_targets(const tsr_policy *p)
{
    return rows_all(p, TSR_SIDE_OUT);
}

size_t tsr_policy_rows(const tsr_policy *p)
{
    return tsr_policy_inputs(p) + tsr_policy_targets(p);
}

size_t tsr_policy_patch_bytes(const tsr_policy *p)
{
    size_t sum = 0, widest = 0, rows = tsr_policy_inputs(p);
    for (size_t m = 0; m < p->mods.count; m++) {
        size_t width = p->mods.items[m].patch_values;
        if (p->mods.items[m].cls != TSR_CLASS_PIXELS)
            continue;
        sum += tsr_policy_inputs_of(p, m) * width;
        widest = width > widest ? width : widest;
    }
    return sum < rows * widest ? sum : rows * widest;
}

/* --- scratch --- */

/* The reference cuts targets anywhere: no marks of chunks are wanted then. */
static tsr_status sequence_init(sequence *s, const tsr_mod *mod, int compat)
{
    size_t n = mod->max_tokens;
    s->spec.sentinels = TSR_ID_SENTINELS;
    TSR_TRY(tsr_alloc(&s->ids, n, sizeof *s->ids));
    TSR_TRY(tsr_alloc(&s->starts, n, 1));
    TSR_TRY(tsr_alloc(&s->span.input, n + 1, sizeof *s->span.input));
    TSR_TRY(tsr_alloc(&s->span.target, TSR_SPAN_TARGET(n), sizeof *s->span.target));
    return tsr_alloc(&s->span.target_starts, compat ? 0 : TSR_SPAN_TARGET(n), 1);
}

tsr_status tsr_mask_work_create(const tsr_policy *p, tsr_mask_work **out)
{
    tsr_mask_work *w = NULL;
    tsr_status st;
    size_t places = 0;
    TSR_TRY(tsr_alloc(&w, 1, sizeof *w));
    w->policy = p;
    TSR_GO(tsr_alloc(&w->sequences, p->mods.count, sizeof *w->sequences));
    for (size_t m = 0; m < p->mods.count; m++) {
        const tsr_mod *mod = &p->mods.items[m];
        if (is_sequence(mod))
            TSR_GO(sequence_init(&w->sequences[m], mod, p->compat));
        else
            places = mod->places > places ? mod->places : places;
    }
    TSR_GO(tsr_alloc(&w->place, places, 1));
    TSR_GO(tsr_alloc(&w->order, places, sizeof *w->order));
    *out = w;
    return TSR_OK;
out:
    tsr_mask_work_destroy(w);
    return st;
}

void tsr_mask_work_destroy(tsr_mask_work *w)
{
    if (!w)
        return;
    for (size_t m = 0; w->sequences && m < w->policy->mods.count; m++) {
        sequence *s = &w->sequences[m];
        tsr_free(s->ids);
        tsr_free(s->starts);
        tsr_free(s->span.input);
        tsr_free(s->span.target);
        tsr_free(s->span.target_starts);
    }
    tsr_free(w->sequences);
    tsr_free(w->place);
    tsr_free(w->order);
    tsr_free(w);
}

/* --- what the sample holds --- */

static tsr_status check_ids(const tsr_mod *mod, const uint32_t *ids, uint32_t n)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < n; i++)
        largest = ids[i] > largest ? ids[i] : largest;
    if (n && largest >= mod->vocabulary)
        TSR_FAIL(TSR_EFORMAT, "'%s' has token %u, but its vocabulary has %u", mod->name, largest,
                 mod->vocabulary);
    return TSR_OK;
}

static int begins_chunk(tsr_chunks c, uint32_t i, uint32_t id)
{
    if (id == TSR_ID_EOS || i == 0)
        return 1;
    if (c.every)
        return i >= c.after && (i - c.after) % c.every == 0;
    return !c.high || (id >= c.low && id <= c.high);
}

/* Copy what fits of a sequence, whole chunks of it, and mark where chunks begin. */
static tsr_status take_sequence(tsr_mask_work *w, size_t m, const tsr_held *h)
{
    const tsr_mod *mod = &w->policy->mods.items[m];
    tsr_chunks chunks = w->policy->chunks[m];
    int chunked = chunks.every || chunks.high;
    sequence *s = &w->sequences[m];
    uint32_t most = mod->max_tokens < mod->positions ? mod->max_tokens : mod->positions;
    uint32_t n = h->count < most ? h->count : most;
    TSR_TRY(check_ids(mod, h->ids, n));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t id = h->ids[i];
        s->ids[i] = id - TSR_ID_SENTINEL < TSR_ID_SENTINELS ? ID_UNKNOWN : id;
        s->starts[i] = (uint8_t)begins_chunk(chunks, i, id);
    }
    while (chunked && n && n < h->count && !begins_chunk(chunks, n, h->ids[n]))
        n--;
    s->spec.ids = s->ids;
    s->spec.starts = chunked ? s->starts : NULL;
    s->spec.count = n;
    return TSR_OK;
}

static tsr_status check_held(tsr_mask_work *w, size_t m, const tsr_held *h)
{
    const tsr_mod *mod = &w->policy->mods.items[m];
    if (!h->present)
        return TSR_OK;
    if (h->count && !(mod->cls == TSR_CLASS_PIXELS ? (const void *)h->patches : h->ids))
        TSR_FAIL(TSR_EFORMAT, "'%s' has %u tokens without values", mod->name, h->count);
    if (is_sequence(mod))
        return take_sequence(w, m, h);
    if (h->count != mod->places)
        TSR_FAIL(TSR_EFORMAT, "'%s' has %u tokens, but its grid has %u places", mod->name, h->count,
                 mod->places);
    return mod->cls == TSR_CLASS_PIXELS ? TSR_OK : check_ids(mod, h->ids, h->count);
}

/* --- draws that concern the whole sample --- */

static const tsr_component *draw_component(const tsr_policy *p, tsr_rng *rng)
{
    double at = p->n_components > 1 ? tsr_rng_double(rng) * p->weights : 0;
    size_t k = 0;
    while (k + 1 < p->n_components && at >= p->components[k].weight)
        at -= p->components[k++].weight;
    return &p->components[k];
}

static uint32_t draw_total(const tsr_component *c, int side, tsr_rng *rng)
{
    return c->least[side] + tsr_rng_below(rng, c->most[side] - c->least[side] + 1);
}

/* Who takes part; never nobody because of drops alone. */
static void draw_presence(tsr_mask_work *w, tsr_rng *rng)
{
    const tsr_policy *p = w->policy;
    size_t kept = 0;
    int present[TSR_MODALITIES] = {0};
    for (size_t m = 0; m < p->mods.count; m++) {
        present[m] = w->held[m].present != 0;
        int dropped = p->drop[m] > 0 && tsr_rng_double(rng) < p->drop[m];
        w->here[m] = present[m] && !dropped;
        kept += w->here[m] != 0;
    }
    if (!kept)
        memcpy(w->here, present, sizeof present);
}

/* Keep `count` of those that have a concentration, uniformly. */
static void draw_subset(const tsr_component *c, int side, size_t n, tsr_rng *rng, double *alpha)
{
    size_t of[TSR_MODALITIES], count = 0;
    for (size_t m = 0; m < n; m++)
        if (alpha[m] > 0)
            of[count++] = m;
    uint32_t least = c->subset_least[side], most = c->subset_most[side];
    if (!most || !count)
        return;
    most = most < count ? most : (uint32_t)count;
    least = least < most ? least : most;
    size_t take = least + tsr_rng_below(rng, most - least + 1);
    for (size_t i = 0; i < take; i++) {
        size_t j = i + tsr_rng_below(rng, (uint32_t)(count - i)), m = of[j];
        of[j] = of[i];
        of[i] = m;
    }
    for (size_t i = take; i < count; i++)
        alpha[of[i]] = 0;
}

static void draw_shares(tsr_mask_work *w, int side, tsr_rng *rng)
{
    size_t n = w->policy->mods.count;
    double alpha[TSR_MODALITIES] = {0};
    for (size_t m = 0; m < n; m++)
        alpha[m] = w->here[m] && rows_most(w->policy, m, side) ? w->c->alpha[side][m] : 0;
    draw_subset(w->c, side, n, rng, alpha);
    tsr_log_gammas(alpha, n, rng, w->log_g[side]);
}

/* --- budgets --- */

/* Rows modality m could take on this side. Targets: after its inputs are known. */
static uint32_t room_of(const tsr_mask_work *w, size_t m, int side)
{
    const tsr_policy *p = w->policy;
    uint32_t most = rows_most(p, m, side), has;
    if (!w->here[m])
        return 0;
    if (is_sequence(&p->mods.items[m])) {
        const sequence *s = &w->sequences[m];
        has = side == TSR_SIDE_IN ? s->spec.count : s->span.n_target - 1;
    } else
        has = p->mods.items[m].places - (side == TSR_SIDE_OUT ? w->b[TSR_SIDE_IN][m] : 0);
    return has < most ? has : most;
}

/* Whole grids: all rows with a probability that makes their mean the mean of the share, if they
 * fit. They leave the sharing either way. Returns the rows given. */
static uint32_t give_whole(tsr_mask_work *w, int side, const uint32_t *high, const uint32_t *low,
                           tsr_rng *rng)
{
    const tsr_policy *p = w->policy;
    double share[TSR_MODALITIES];
    uint32_t total = w->total[side], given = 0, floors = 0;
    tsr_proportions(w->log_g[side], p->mods.count, share);
    for (size_t m = 0; m < p->mods.count; m++)
        floors += p->grid[m] != TSR_GRID_WHOLE ? low[m] : 0;
    for (size_t m = 0; m < p->mods.count; m++) {
        if (p->grid[m] != TSR_GRID_WHOLE || is_sequence(&p->mods.items[m]))
            continue;
        uint32_t places = p->mods.items[m].places;
        int open = w->log_g[side][m] > -INFINITY && high[m] == places;
        int want = open && tsr_rng_double(rng) * places < share[m] * total;
        w->log_g[side][m] = -INFINITY;
        if (!want || (uint64_t)given + floors + places > total)
            continue;
        w->b[side][m] = places;
        given += places;
    }
    return given;
}

static void draw_budgets(tsr_mask_work *w, int side, tsr_rng *rng)
{
    const tsr_policy *p = w->policy;
    size_t n = p->mods.count;
    uint32_t high[TSR_MODALITIES] = {0}, low[TSR_MODALITIES] = {0}, share[TSR_MODALITIES];
    memset(w->b[side], 0, sizeof w->b[side]);
    for (size_t m = 0; m < n; m++) {
        high[m] = w->log_g[side][m] > -INFINITY ? room_of(w, m, side) : 0;
        low[m] = p->floor[side][m] < high[m] ? p->floor[side][m] : high[m];
    }
    uint32_t given = give_whole(w, side, high, low, rng);
    (void)tsr_budget_share(w->log_g[side], low, high, n, w->total[side] - given, rng, share);
    for (size_t m = 0; m < n; m++)
        w->b[side][m] += share[m];
}

/* Hand what the sequences did not use to the grids. */
static void give_rest(tsr_mask_work *w, int side, uint32_t left, tsr_rng *rng)
{
    const tsr_policy *p = w->policy;
    size_t n = p->mods.count;
    uint32_t room[TSR_MODALITIES] = {0}, more[TSR_MODALITIES];
    if (!left)
        return;
    for (size_t m = 0; m < n; m++)
        room[m] = is_sequence(&p->mods.items[m]) ? 0 : room_of(w, m, side) - w->b[side][m];
    (void)tsr_budget_share(w->log_g[side], NULL, room, n, left, rng, more);
    for (size_t m = 0; m < n; m++)
        w->b[side][m] += more[m];
}

/* The reference's budgets: absent modalities take their part too, and what does not fit is lost. */
static void published_budgets(tsr_mask_work *w, int side, tsr_rng *rng)
{
    const tsr_policy *p = w->policy;
    uint32_t cap[TSR_MODALITIES] = {0};
    for (size_t m = 0; m < p->mods.count; m++) {
        const tsr_mod *mod = &p->mods.items[m];
        int image = !is_sequence(mod) && side == TSR_SIDE_OUT;
        cap[m] = mod->max_tokens - (image ? w->b[TSR_SIDE_IN][m] : 0);
    }
    (void)tsr_budget_published(w->c->alpha[side], cap, p->mods.count, w->total[side], rng,
                               w->b[side]);
    for (size_t m = 0; m < p->mods.count; m++)
        if (!w->here[m] || !rows_most(p, m, side))
            w->b[side][m] = 0;
}

/* --- sequences --- */

static double draw_keep(tsr_keep keep, tsr_rng *rng)
{
    if (keep == TSR_KEEP_ALL)
        return 1;
    return keep == TSR_KEEP_BINARY ? (double)tsr_rng_below(rng, 2) : tsr_rng_double(rng);
}

/* Input and full target of every sequence. Returns the budget they did not use. */
static uint32_t mask_sequences(tsr_mask_work *w, tsr_rng *rng)
{
    uint32_t left = 0;
    for (size_t m = 0; m < w->policy->mods.count; m++) {
        sequence *s = &w->sequences[m];
        uint32_t budget = w->b[TSR_SIDE_IN][m];
        if (!w->here[m] || !is_sequence(&w->policy->mods.items[m]))
            continue;
        s->spec.most = budget;
        s->spec.keep = budget ? draw_keep(w->c->keep[m], rng) : 0;
        tsr_span_mask(&s->spec, rng, &s->span);
        w->b[TSR_SIDE_IN][m] = s->span.n_input;
        left += budget - s->span.n_input;
    }
    return left;
}

/* Cut targets to their budgets. Returns the rows they did not use. */
static uint32_t cut_sequences(tsr_mask_work *w, tsr_rng *rng)
{
    uint32_t left = 0, terminator = w->policy->compat && !w->c->rest ? 0 : 1;
    for (size_t m = 0; m < w->policy->mods.count; m++) {
        sequence *s = &w->sequences[m];
        uint32_t budget = w->b[TSR_SIDE_OUT][m];
        if (!w->here[m] || !is_sequence(&w->policy->mods.items[m]))
            continue;
        uint32_t n = tsr_span_truncate(&s->spec, budget ? budget + terminator : 0, rng, &s->span);
        uint32_t rows = n ? n - 1 : 0;
        w->b[TSR_SIDE_OUT][m] = rows;
        left += budget > rows ? budget - rows : 0;
    }
    return left;
}

/* --- rows --- */

static tsr_status write_sequence(const tsr_mask_work *w, size_t m, tsr_example *out)
{
    const tsr_span *span = &w->sequences[m].span;
    uint32_t n_in = w->b[TSR_SIDE_IN][m], n_out = w->b[TSR_SIDE_OUT][m];
    if (n_in)
        TSR_TRY(tsr_example_rows(out, &out->in[m], n_in));
    for (uint32_t i = 0; i < n_in; i++) {
        out->in[m].ids[i] = (int32_t)span->input[i];
        out->in[m].positions[i] = (int32_t)i;
    }
    if (n_out)
        TSR_TRY(tsr_example_rows(out, &out->out[m], n_out));
    for (uint32_t i = 0; i < n_out; i++) {
        out->out[m].ids[i] = (int32_t)span->target[i];
        out->out[m].positions[i] = (int32_t)i;
        out->out[m].labels[i] = (int32_t)span->target[i + 1];
    }
    out->in[m].labels = NULL;
    return TSR_OK;
}

static tsr_status write_patches(const tsr_mod *mod, const tsr_held *h, tsr_rows *r,
                                tsr_example *out)
{
    size_t width = mod->patch_values, bytes = r->count * width;
    uint8_t *to = out->bytes + out->bytes_used;
    if (bytes > out->bytes_cap - out->bytes_used)
        TSR_FAIL(TSR_ELIMIT, "%u more patches of '%s' do not fit the example", r->count, mod->name);
    for (uint32_t i = 0; i < r->count; i++)
        memcpy(to + i * width, h->patches + (size_t)r->positions[i] * width, width);
    out->bytes_used += bytes;
    r->patches = to;
    r->ids = NULL;
    return TSR_OK;
}

static tsr_status write_grid(tsr_mask_work *w, size_t m, tsr_rng *rng, tsr_example *out)
{
    const tsr_mod *mod = &w->policy->mods.items[m];
    const tsr_held *h = &w->held[m];
    tsr_rows *in = &out->in[m], *target = &out->out[m];
    uint32_t n_in = w->b[TSR_SIDE_IN][m], n_out = w->b[TSR_SIDE_OUT][m], i = 0, j = 0;
    tsr_grid_shape shape = {mod->height, mod->width, mod->places / (mod->height * mod->width)};
    if (!n_in && !n_out)
        return TSR_OK;
    if (n_in)
        TSR_TRY(tsr_example_rows(out, in, n_in));
    if (n_out)
        TSR_TRY(tsr_example_rows(out, target, n_out));
    tsr_grid_mask(w->policy->grid[m], shape, n_in, n_out, rng, w->place, w->order);
    for (uint32_t at = 0; at < mod->places; at++) {
        if (w->place[at] == TSR_PLACE_INPUT) {
            in->ids[i] = h->ids ? (int32_t)h->ids[at] : 0;
            in->positions[i++] = (int32_t)at;
        } else if (w->place[at] == TSR_PLACE_TARGET) {
            target->labels[j] = (int32_t)h->ids[at];
            target->positions[j++] = (int32_t)at;
        }
    }
    in->labels = NULL;
    target->ids = NULL;
    return mod->cls == TSR_CLASS_PIXELS && n_in ? write_patches(mod, h, in, out) : TSR_OK;
}

/* --- one sample --- */

/* All that is hidden becomes target, of whoever takes part. */
static void draw_rest(tsr_mask_work *w)
{
    for (size_t m = 0; m < w->policy->mods.count; m++)
        w->b[TSR_SIDE_OUT][m] = w->policy->compat || w->log_g[TSR_SIDE_OUT][m] > -INFINITY
                                    ? room_of(w, m, TSR_SIDE_OUT)
                                    : 0;
}

static void mask_published(tsr_mask_work *w, tsr_rng *rng)
{
    published_budgets(w, TSR_SIDE_IN, rng);
    if (!w->c->rest)
        published_budgets(w, TSR_SIDE_OUT, rng);
    (void)mask_sequences(w, rng);
    if (w->c->rest)
        draw_rest(w);
    (void)cut_sequences(w, rng);
}

static void mask_exact(tsr_mask_work *w, tsr_rng *rng)
{
    draw_shares(w, TSR_SIDE_IN, rng);
    draw_budgets(w, TSR_SIDE_IN, rng);
    give_rest(w, TSR_SIDE_IN, mask_sequences(w, rng), rng);
    draw_shares(w, TSR_SIDE_OUT, rng);
    if (w->c->rest)
        draw_rest(w);
    else
        draw_budgets(w, TSR_SIDE_OUT, rng);
    give_rest(w, TSR_SIDE_OUT, cut_sequences(w, rng), rng);
}

tsr_status tsr_mask_sample(const tsr_policy *p, const tsr_held *held, tsr_rng *rng,
                           tsr_mask_work *w, tsr_example *out)
{
    tsr_example_reset(out);
    if (out->modalities != p->mods.count || w->policy != p)
        TSR_FAIL(TSR_EARG, "example, scratch and policy are of different modalities");
    for (size_t m = 0; m < p->mods.count; m++)
        TSR_TRY(check_held(w, m, &held[m]));
    w->held = held;
    w->c = draw_component(p, rng);
    w->total[TSR_SIDE_IN] = draw_total(w->c, TSR_SIDE_IN, rng);
    w->total[TSR_SIDE_OUT] = w->c->rest ? 0 : draw_total(w->c, TSR_SIDE_OUT, rng);
    draw_presence(w, rng);
    if (p->compat)
        mask_published(w, rng);
    else
        mask_exact(w, rng);
    for (size_t m = 0; m < p->mods.count; m++) {
        if (!w->here[m])
            continue;
        if (is_sequence(&p->mods.items[m]))
            TSR_TRY(write_sequence(w, m, out));
        else
            TSR_TRY(write_grid(w, m, rng, out));
    }
    return TSR_OK;
}
