/* SPDX-License-Identifier: Apache-2.0
 * The decoder of sequences, one row at a time.
 *
 * A net in CONTEXT mode gives the keys and values of every decoder block. One graph takes one new
 * row of each sequence through all blocks, beside caches that stay in its executor's inputs; two
 * small ones for each modality are its embedding and its head. */
#include "trainer/fmcache.h"

#include "base/mem.h"
#include "nn/ops.h"
#include "trainer/fmblocks.h"
#include "trainer/fmnet.h"

#include <string.h>

/* A graph and its one executor. */
typedef struct part {
    tsr_graph *g;
    tsr_exec *x;
    double flops;
} part;

/* Embedding and head of one sequence modality; made when it is first asked for. */
typedef struct ends {
    part embed, head;
    tsr_value ids, positions, embedded, rows, logits;
} ends;

struct tsr_fmcache {
    tsr_fm *model;
    const tsr_fm_config *c;
    tsr_fmcache_spec spec;
    tsr_fmnet *net;
    part step;
    tsr_value y, out;              /* [passes, D] */
    tsr_value places;              /* [passes] row of the caches that each new row takes */
    tsr_value offsets;             /* [passes + 1] 0, 1, 2, ... */
    tsr_value self[2], cross[2];   /* [passes] first key and the one after the last */
    tsr_value *self_kv, *cross_kv; /* [decoder_depth] caches [passes longest, 2D], [in_rows, 2D] */
    ends ends[TSR_MODALITIES];
    size_t m, n;         /* modality and number of the sequences begun */
    size_t *length;      /* [passes] tokens of each so far */
    size_t *first;       /* [passes + 1] context rows of pass p: [first[p], first[p + 1]) */
    size_t context_rows; /* room for them, registers included */
    double flops;
};

static void part_clear(part *p)
{
    tsr_exec_destroy(p->x);
    tsr_graph_destroy(p->g);
    *p = (part){0};
}

static tsr_status part_begin(tsr_fmcache *c, part *p)
{
    return tsr_graph_create(tsr_fm_params(c->model), c->spec.precision, &p->g);
}

static tsr_status part_finish(part *p)
{
    tsr_plan plan;
    TSR_TRY(tsr_graph_check(p->g));
    TSR_TRY(tsr_graph_plan(p->g, &plan));
    return tsr_exec_create(p->g, &p->x);
}

/* Run, and count the work. */
static tsr_status part_run(tsr_fmcache *c, part *p)
{
    TSR_TRY(tsr_exec_run(p->x));
    for (size_t i = 0; i < tsr_exec_nodes(p->x); i++) {
        tsr_node_report r;
        tsr_exec_report(p->x, i, &r);
        c->flops += r.flops;
    }
    return TSR_OK;
}

void tsr_fmcache_destroy(tsr_fmcache *c)
{
    if (!c)
        return;
    for (size_t m = 0; m < TSR_MODALITIES; m++) {
        part_clear(&c->ends[m].embed);
        part_clear(&c->ends[m].head);
    }
    part_clear(&c->step);
    tsr_fmnet_destroy(c->net);
    tsr_free(c->self_kv);
    tsr_free(c->cross_kv);
    tsr_free(c->length);
    tsr_free(c->first);
    tsr_free(c);
}

/* --- graphs --- */

/* Attention of one query a segment: float32 kernels read the cache as it is, those of bf16 would
 * convert all of it first. */
static tsr_value attend(tsr_fmcache *c, tsr_graph *g, tsr_value q, tsr_value kv,
                        const tsr_attention_spec *spec)
{
    tsr_graph_set_precision(g, TSR_PRECISION_FP32);
    tsr_value y = tsr_cross_attention(g, q, kv, spec);
    tsr_graph_set_precision(g, c->spec.precision);
    return y;
}

/* Decoder block i on one new row of each sequence. */
static tsr_value build_block(tsr_fmcache *c, tsr_graph *g, size_t i, tsr_value y)
{
    size_t d = c->c->dim;
    tsr_attention_spec self = TSR_ATTENTION((int)c->c->heads), cross = self;
    self.q_offsets = cross.q_offsets = c->offsets;
    self.k_begin = c->self[0];
    self.k_end = c->self[1];
    cross.k_begin = c->cross[0];
    cross.k_end = c->cross[1];
    tsr_graph_label(g, "decoder.%zu", i);
    tsr_value qkv = tsr_fm_self_qkv(g, c->c, TSR_FM_DECODER, i, y);
    tsr_value q = tsr_slice(g, qkv, 1, 0, d), kv = tsr_slice(g, qkv, 1, d, 2 * d);
    tsr_value all = tsr_put_rows(g, c->self_kv[i], kv, c->places);
    y = tsr_fm_self_add(g, c->c, TSR_FM_DECODER, i, y, attend(c, g, q, all, &self));
    q = tsr_fm_cross_q(g, c->c, i, y);
    y = tsr_fm_cross_add(g, c->c, i, y, attend(c, g, q, c->cross_kv[i], &cross));
    return tsr_fm_mlp_add(g, c->c, TSR_FM_DECODER, i, y);
}

static tsr_status build_step(tsr_fmcache *c)
{
    size_t n = c->spec.passes, d = c->c->dim, cells;
    TSR_TRY(tsr_mul_size(n, c->spec.longest, &cells));
    TSR_TRY(part_begin(c, &c->step));
    tsr_graph *g = c->step.g;
    c->y = tsr_input(g, "rows", TSR_F32, 2, (size_t[]){n, d});
    c->places = tsr_input(g, "places", TSR_I32, 1, &n);
    c->offsets = tsr_input(g, "offsets", TSR_I32, 1, (size_t[]){n + 1});
    for (int i = 0; i < 2; i++) {
        c->self[i] = tsr_input(g, i ? "self ends" : "self begins", TSR_I32, 1, &n);
        c->cross[i] = tsr_input(g, i ? "cross ends" : "cross begins", TSR_I32, 1, &n);
    }
    tsr_value y = c->y;
    for (size_t i = 0; i < c->c->decoder_depth; i++) {
        c->self_kv[i] = tsr_input(g, "self cache", TSR_F32, 2, (size_t[]){cells, 2 * d});
        c->cross_kv[i] =
            tsr_input(g, "cross cache", TSR_F32, 2, (size_t[]){c->context_rows, 2 * d});
        y = build_block(c, g, i, y);
    }
    c->out = tsr_fm_end(g, TSR_FM_DECODER, y);
    tsr_graph_output(g, c->out);
    return part_finish(&c->step);
}

static tsr_status build_ends(tsr_fmcache *c, size_t m)
{
    ends *e = &c->ends[m];
    size_t n = c->spec.passes;
    if (e->head.x)
        return TSR_OK;
    part_clear(&e->embed);
    part_clear(&e->head);
    TSR_TRY(part_begin(c, &e->embed));
    e->ids = tsr_input(e->embed.g, "ids", TSR_I32, 1, &n);
    e->positions = tsr_input(e->embed.g, "positions", TSR_I32, 1, &n);
    e->embedded = tsr_fm_target(e->embed.g, c->c, m, e->ids, e->positions);
    tsr_graph_output(e->embed.g, e->embedded);
    TSR_TRY(part_finish(&e->embed));
    TSR_TRY(part_begin(c, &e->head));
    e->rows = tsr_input(e->head.g, "rows", TSR_F32, 2, (size_t[]){n, c->c->dim});
    e->logits = tsr_fm_logits(e->head.g, c->c, m, e->rows);
    if (c->c->shared_vocabulary)
        e->logits = tsr_slice(e->head.g, e->logits, 1, tsr_fm_first_id(c->c, m),
                              c->c->mods.items[m].vocabulary);
    tsr_graph_output(e->head.g, e->logits);
    return part_finish(&e->head);
}

static tsr_status build_net(tsr_fmcache *c)
{
    tsr_fmnet_spec s = {.mode = TSR_FMNET_CONTEXT,
                        .precision = c->spec.precision,
                        .samples = c->spec.passes,
                        .in_rows = c->spec.in_rows};
    memcpy(s.in_of, c->spec.in_of, sizeof s.in_of);
    return tsr_fmnet_create(c->model, &s, &c->net);
}

tsr_status tsr_fmcache_create(tsr_fm *m, const tsr_fmcache_spec *spec, tsr_fmcache **out)
{
    tsr_fmcache *c = NULL;
    tsr_status st;
    if (spec->passes == 0 || spec->longest == 0)
        TSR_FAIL(TSR_EARG, "a cache for %zu sequences of %zu tokens", spec->passes, spec->longest);
    TSR_TRY(tsr_alloc(&c, 1, sizeof *c));
    c->model = m;
    c->c = tsr_fm_get_config(m);
    c->spec = *spec;
    c->context_rows = spec->in_rows + spec->passes * c->c->registers;
    TSR_GO(tsr_alloc(&c->self_kv, c->c->decoder_depth, sizeof *c->self_kv));
    TSR_GO(tsr_alloc(&c->cross_kv, c->c->decoder_depth, sizeof *c->cross_kv));
    TSR_GO(tsr_alloc(&c->length, spec->passes, sizeof *c->length));
    TSR_GO(tsr_alloc(&c->first, spec->passes + 1, sizeof *c->first));
    TSR_GO(build_net(c));
    TSR_GO(build_step(c));
    *out = c;
    c = NULL;
out:
    tsr_fmcache_destroy(c);
    return st;
}

/* --- running --- */

tsr_status tsr_fmcache_start(tsr_fmcache *c, size_t m, const tsr_example *const *examples, size_t n)
{
    if (m >= c->c->mods.count || c->c->mods.items[m].cls != TSR_CLASS_SEQUENCE ||
        !c->c->mods.items[m].output)
        TSR_FAIL(TSR_EARG, "modality %zu is no sequence that the model writes", m);
    c->n = 0;
    TSR_TRY(tsr_fmnet_run(c->net, examples, n, 1.0));
    c->flops += tsr_fmnet_flops(c->net);
    for (size_t p = 0; p < n; p++) {
        c->length[p] = 0;
        c->first[p + 1] = c->first[p] + c->c->registers + tsr_example_inputs(examples[p]);
    }
    for (size_t i = 0; i < c->c->decoder_depth; i++) {
        size_t rows;
        const float *kv = tsr_fmnet_context(c->net, i, &rows);
        if (rows != c->first[n])
            TSR_FAIL(TSR_EARG, "%zu rows of context, expected %zu", rows, c->first[n]);
        TSR_TRY(tsr_exec_set_rows(c->step.x, c->cross_kv[i], rows));
        if (rows)
            memcpy(tsr_exec_input(c->step.x, c->cross_kv[i]), kv,
                   rows * 2 * c->c->dim * sizeof *kv);
    }
    TSR_TRY(build_ends(c, m));
    c->m = m;
    c->n = n;
    return TSR_OK;
}

/* Ids and positions of the new rows, and which keys each sees. */
static tsr_status place_rows(tsr_fmcache *c, const size_t *passes, const int32_t *ids, size_t count)
{
    const ends *e = &c->ends[c->m];
    const tsr_mod *mod = &c->c->mods.items[c->m];
    int32_t *to = tsr_exec_input(e->embed.x, e->ids);
    int32_t *position = tsr_exec_input(e->embed.x, e->positions);
    int32_t *place = tsr_exec_input(c->step.x, c->places);
    int32_t *offset = tsr_exec_input(c->step.x, c->offsets);
    int32_t *self[2], *cross[2];
    for (int i = 0; i < 2; i++) {
        self[i] = tsr_exec_input(c->step.x, c->self[i]);
        cross[i] = tsr_exec_input(c->step.x, c->cross[i]);
    }
    for (size_t r = 0; r < count; r++) {
        size_t p = passes[r], at = p < c->n ? c->length[p] : 0;
        if (p >= c->n || (r > 0 && p <= passes[r - 1]))
            TSR_FAIL(TSR_EARG, "row %zu belongs to sequence %zu of %zu", r, p, c->n);
        if (at >= c->spec.longest || at >= mod->positions)
            TSR_FAIL(TSR_EARG, "a sequence of %s with more than %zu tokens", mod->name, at);
        if (ids[r] < 0 || (uint32_t)ids[r] >= mod->vocabulary)
            TSR_FAIL(TSR_EARG, "token %d of %s, its vocabulary has %u", ids[r], mod->name,
                     mod->vocabulary);
        to[r] = ids[r] + (int32_t)tsr_fm_first_id(c->c, c->m);
        position[r] = mod->wrap && at >= mod->wrap ? 0 : (int32_t)at;
        offset[r] = (int32_t)r;
        self[0][r] = (int32_t)(p * c->spec.longest);
        place[r] = self[0][r] + (int32_t)at;
        self[1][r] = place[r] + 1;
        cross[0][r] = (int32_t)c->first[p];
        cross[1][r] = (int32_t)c->first[p + 1];
    }
    offset[count] = (int32_t)count;
    return TSR_OK;
}

static tsr_status size_rows(tsr_fmcache *c, size_t count)
{
    const ends *e = &c->ends[c->m];
    const tsr_value rows[] = {c->y, c->places, c->self[0], c->self[1], c->cross[0], c->cross[1]};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        TSR_TRY(tsr_exec_set_rows(c->step.x, rows[i], count));
    TSR_TRY(tsr_exec_set_rows(c->step.x, c->offsets, count + 1));
    TSR_TRY(tsr_exec_set_rows(e->embed.x, e->ids, count));
    TSR_TRY(tsr_exec_set_rows(e->embed.x, e->positions, count));
    return tsr_exec_set_rows(e->head.x, e->rows, count);
}

tsr_status tsr_fmcache_step(tsr_fmcache *c, const size_t *passes, const int32_t *ids, size_t count,
                            const float **logits)
{
    ends *e = &c->ends[c->m];
    size_t bytes = count * c->c->dim * sizeof(float);
    if (count == 0 || count > c->n)
        TSR_FAIL(TSR_EARG, "%zu rows for %zu sequences", count, c->n);
    TSR_TRY(place_rows(c, passes, ids, count));
    TSR_TRY(size_rows(c, count));
    TSR_TRY(part_run(c, &e->embed));
    memcpy(tsr_exec_input(c->step.x, c->y), tsr_exec_value(e->embed.x, e->embedded), bytes);
    TSR_TRY(part_run(c, &c->step));
    memcpy(tsr_exec_input(e->head.x, e->rows), tsr_exec_value(c->step.x, c->out), bytes);
    TSR_TRY(part_run(c, &e->head));
    for (size_t r = 0; r < count; r++)
        c->length[passes[r]]++;
    *logits = tsr_exec_value(e->head.x, e->logits);
    return TSR_OK;
}

double tsr_fmcache_flops(const tsr_fmcache *c)
{
    return c->flops;
}
