/* SPDX-License-Identifier: Apache-2.0
 * The masked model as one graph over packed rows.
 *
 *   encoder rows   contents and addresses, sample by sample (registers in front), looked up in the
 *                  tables of their modalities; blocks; norm; context
 *   decoder rows   the same; self-attention inside (sample, modality), cross-attention inside a
 *                  sample; norm; rows of each modality gathered; head; loss of each row
 *
 * Everything is planned for the most rows and runs with those there are. */
#include "trainer/fmnet.h"

#include "base/mem.h"
#include "nn/layers.h"
#include "nn/ops.h"
#include "trainer/fmblocks.h"
#include "trainer/fmnet_priv.h"

#include <stdio.h>
#include <string.h>

#define OPERANDS 24                   /* of one concatenation */
#define TABLES   (TSR_MODALITIES + 1) /* of contents at most */

/* --- inputs ---------------------------------------------------------------------------------- */

static tsr_value vector_input(tsr_fmnet *n, const char *what, tsr_dtype type, size_t rows)
{
    return tsr_input(n->g, what, type, 1, &rows);
}

static void make_rows(tsr_fmnet *n, tsr_fm_rows *r, size_t rows)
{
    r->cap = rows;
    r->tables = vector_input(n, "tables", TSR_I32, rows);
    r->ids = vector_input(n, "ids", TSR_I32, rows);
    r->slots = vector_input(n, "modalities", TSR_I32, rows);
    r->positions = vector_input(n, "positions", TSR_I32, rows);
    r->samples = vector_input(n, "samples", TSR_I32, n->spec.samples + 1);
}

static void make_inputs(tsr_fmnet *n)
{
    size_t segments = 0;
    make_rows(n, &n->inputs, n->spec.in_rows + n->spec.samples * n->c->registers);
    if (n->spec.mode == TSR_FMNET_CONTEXT)
        return;
    for (size_t m = 0; m < n->c->mods.count; m++)
        segments += n->out[m].cap > 0 ? n->spec.samples : 0;
    make_rows(n, &n->targets, n->spec.out_rows);
    n->segments = vector_input(n, "segments", TSR_I32, segments + 1);
    n->causal = vector_input(n, "causal segments", TSR_I32, segments);
}

/* --- rows ------------------------------------------------------------------------------------ */

/* Tables that rows are looked up in. */
typedef struct bag {
    size_t count;
    tsr_value tables[TABLES];
    int padding[TABLES];
} bag;

static int put(bag *b, tsr_value table, int padding)
{
    b->tables[b->count] = table;
    b->padding[b->count] = padding;
    return (int)b->count++;
}

/* In groups where there are too many tables for one operation: each gives zeros for the others'. */
static tsr_value look_up(tsr_graph *g, const bag *b, tsr_value which, tsr_value ids)
{
    tsr_value sum = TSR_NONE;
    for (size_t i = 0; i < b->count; i += TSR_LOOKUP_TABLES) {
        tsr_tables t = {.first = (int)i};
        for (size_t k = i; k < b->count && t.count < TSR_LOOKUP_TABLES; k++, t.count++) {
            t.tables[t.count] = b->tables[k];
            t.padding[t.count] = b->padding[k];
        }
        tsr_value rows = tsr_lookup(g, &t, which, ids);
        sum = i ? tsr_add(g, sum, rows) : rows;
    }
    return sum;
}

/* One under the other, in groups where there are too many for one operation. */
static tsr_value stack(tsr_graph *g, tsr_value *parts, size_t count)
{
    while (count > 1) {
        size_t groups = 0;
        for (size_t i = 0; i < count; i += OPERANDS) {
            size_t n = count - i < OPERANDS ? count - i : OPERANDS;
            tsr_value all = n > 1 ? tsr_concat(g, (int)n, parts + i, 0) : parts[i];
            parts[groups++] = all;
        }
        count = groups;
    }
    return parts[0];
}

/* A vector as a table of one row. */
static tsr_value one_row(const tsr_fmnet *n, tsr_value v)
{
    return tsr_reshape(n->g, v, 2, (size_t[]){1, n->c->dim});
}

/* Position plus modality of each row. */
static tsr_value addresses(tsr_fmnet *n, tsr_fm_stack side, const tsr_fm_rows *r)
{
    bag positions = {.count = 0}, mods = {.count = 0};
    tsr_fm_part *parts = side == TSR_FM_ENCODER ? n->in : n->out;
    for (size_t m = 0; m < n->c->mods.count; m++) {
        if (!parts[m].cap)
            continue;
        parts[m].slot = put(&positions, tsr_fm_positions(n->g, n->c, side, m), -1);
        put(&mods, one_row(n, tsr_fm_mod_emb(n->g, n->c, side, m)), -1);
    }
    tsr_value e = look_up(n->g, &positions, r->slots, r->positions);
    return tsr_add(n->g, e, tsr_embedding(n->g, stack(n->g, mods.tables, mods.count), r->slots));
}

/* --- encoder --------------------------------------------------------------------------------- */

static tsr_value input_contents(tsr_fmnet *n)
{
    bag b = {.count = 0};
    if (n->c->registers)
        put(&b, tsr_weight(n->g, "register_tokens"), -1);
    for (size_t m = 0; m < n->c->mods.count; m++) {
        tsr_fm_part *p = &n->in[m];
        const tsr_mod *mod = &n->c->mods.items[m];
        p->patches = TSR_NONE;
        if (p->cap && mod->cls == TSR_CLASS_PIXELS) {
            p->patches =
                tsr_input(n->g, mod->name, TSR_F32, 2, (size_t[]){p->cap, mod->patch_values});
            p->table = put(&b, tsr_fm_patches(n->g, n->c, m, p->patches), -1);
        } else if (p->cap) {
            p->table =
                put(&b, tsr_fm_tokens(n->g, n->c, TSR_FM_ENCODER, m), tsr_fm_padding(n->c, m));
        }
    }
    tsr_graph_label(n->g, "input rows");
    return look_up(n->g, &b, n->inputs.tables, n->inputs.ids);
}

static tsr_value build_encoder(tsr_fmnet *n)
{
    tsr_attention_spec self = TSR_ATTENTION(1);
    self.q_offsets = n->inputs.samples;
    tsr_value x = input_contents(n), e = addresses(n, TSR_FM_ENCODER, &n->inputs);
    x = tsr_add(n->g, x, e);
    for (size_t i = 0; i < n->c->encoder_depth; i++)
        x = tsr_fm_encoder_block(n->g, n->c, i, x, &self);
    n->encoded = tsr_fm_end(n->g, TSR_FM_ENCODER, x);
    return tsr_fm_context(n->g, n->encoded, e);
}

/* --- decoder --------------------------------------------------------------------------------- */

/* mask_token at the places of grids, tokens of sequences. */
static tsr_value target_contents(tsr_fmnet *n)
{
    bag b = {.count = 0};
    put(&b, one_row(n, tsr_weight(n->g, "mask_token")), -1);
    for (size_t m = 0; m < n->c->mods.count; m++)
        if (n->out[m].cap && n->c->mods.items[m].cls == TSR_CLASS_SEQUENCE)
            n->out[m].table =
                put(&b, tsr_fm_tokens(n->g, n->c, TSR_FM_DECODER, m), tsr_fm_padding(n->c, m));
    return look_up(n->g, &b, n->targets.tables, n->targets.ids);
}

static tsr_value build_decoder(tsr_fmnet *n, tsr_value context)
{
    tsr_attention_spec self = TSR_ATTENTION(1), cross = TSR_ATTENTION(1);
    self.q_offsets = n->segments;
    self.causal_segments = n->causal;
    cross.q_offsets = n->targets.samples;
    cross.k_offsets = n->inputs.samples;
    tsr_graph_label(n->g, "target rows");
    tsr_value y = target_contents(n);
    y = tsr_add(n->g, y, addresses(n, TSR_FM_DECODER, &n->targets));
    for (size_t i = 0; i < n->c->decoder_depth; i++)
        y = tsr_fm_decoder_block(n->g, n->c, i, y, context, &self, &cross);
    return tsr_fm_end(n->g, TSR_FM_DECODER, y);
}

static tsr_status build_context(tsr_fmnet *n, tsr_value context)
{
    TSR_TRY(tsr_alloc(&n->context_kv, n->c->decoder_depth, sizeof *n->context_kv));
    for (size_t i = 0; i < n->c->decoder_depth; i++) {
        tsr_graph_label(n->g, "decoder.%zu", i);
        n->context_kv[i] = tsr_fm_cross_kv(n->g, n->c, i, context);
        tsr_graph_output(n->g, n->context_kv[i]);
    }
    return TSR_OK;
}

/* --- heads ----------------------------------------------------------------------------------- */

/* Logits of modality m alone; with a shared vocabulary its own ids are cut out of all. */
static tsr_value own_logits(tsr_fmnet *n, size_t m, tsr_value logits)
{
    if (!n->c->shared_vocabulary)
        return logits;
    return tsr_slice(n->g, logits, 1, n->c->mods.items[m].base, n->c->mods.items[m].vocabulary);
}

/* The sum of losses of modality m, or TSR_NONE in LOGITS mode. */
static tsr_value head(tsr_fmnet *n, size_t m)
{
    tsr_fm_part *p = &n->out[m];
    const char *name = n->c->mods.items[m].name;
    p->pick = vector_input(n, name, TSR_I32, p->cap);
    tsr_value rows = tsr_embedding(n->g, n->decoded, p->pick);
    tsr_value logits = tsr_fm_logits(n->g, n->c, m, rows);
    if (n->spec.mode == TSR_FMNET_LOGITS) {
        p->logits = own_logits(n, m, logits);
        tsr_graph_output(n->g, p->logits);
        return TSR_NONE;
    }
    p->labels = vector_input(n, name, TSR_I32, p->cap);
    p->weights = vector_input(n, name, TSR_F32, p->cap);
    tsr_value sum = tsr_softmax_nll(n->g, logits, p->labels, p->weights, &p->nll);
    tsr_graph_output(n->g, p->nll);
    if (n->spec.mode == TSR_FMNET_LOSS)
        tsr_graph_output(n->g, sum);
    return sum;
}

static void build_heads(tsr_fmnet *n)
{
    tsr_value total = TSR_NONE;
    for (size_t m = 0; m < n->c->mods.count; m++) {
        if (!n->out[m].cap)
            continue;
        tsr_value sum = head(n, m);
        total = total < 0 ? sum : tsr_add(n->g, total, sum);
    }
    if (n->spec.mode == TSR_FMNET_TRAIN)
        tsr_graph_backward(n->g, total);
}

/* --- making ---------------------------------------------------------------------------------- */

static tsr_status check_spec(const tsr_fm_config *c, const tsr_fmnet_spec *s)
{
    size_t in = 0, out = s->mode == TSR_FMNET_CONTEXT;
    if (!s->samples || !s->in_rows || (!s->out_rows && !out))
        TSR_FAIL(TSR_EARG, "a net needs room for samples, input rows and target rows");
    for (size_t m = 0; m < TSR_MODALITIES; m++) {
        int known = m < c->mods.count;
        if (s->in_of[m] && !(known && c->mods.items[m].input))
            TSR_FAIL(TSR_EARG, "modality %zu is no input of the model", m);
        if (s->out_of[m] && !(known && c->mods.items[m].output))
            TSR_FAIL(TSR_EARG, "modality %zu is no output of the model", m);
        in += s->in_of[m] > 0;
        out += s->out_of[m] > 0;
    }
    if (!in || !out)
        TSR_FAIL(TSR_EARG, "a net needs room for an input and a target modality");
    return TSR_OK;
}

/* Rows of one modality never exceed the rows of all. */
static void set_capacities(tsr_fmnet *n)
{
    const tsr_fmnet_spec *s = &n->spec;
    for (size_t m = 0; m < n->c->mods.count; m++) {
        n->in[m].cap = s->in_of[m] < s->in_rows ? s->in_of[m] : s->in_rows;
        n->out[m].cap = s->out_of[m] < s->out_rows ? s->out_of[m] : s->out_rows;
        n->weights[m] = s->weights ? s->weights[m] : 1.0f;
    }
    n->spec.weights = n->weights;
}

tsr_status tsr_fmnet_create(tsr_fm *m, const tsr_fmnet_spec *spec, tsr_fmnet **out)
{
    tsr_status st;
    tsr_fmnet *n = NULL;
    TSR_GO(check_spec(tsr_fm_get_config(m), spec));
    TSR_GO(tsr_alloc(&n, 1, sizeof *n));
    n->m = m;
    n->c = tsr_fm_get_config(m);
    n->spec = *spec;
    set_capacities(n);
    TSR_GO(tsr_graph_create(tsr_fm_params(m), spec->precision, &n->g));
    make_inputs(n);
    tsr_value context = build_encoder(n);
    n->decoded = TSR_NONE;
    if (spec->mode == TSR_FMNET_CONTEXT) {
        TSR_GO(build_context(n, context));
    } else {
        n->decoded = build_decoder(n, context);
        build_heads(n);
    }
    if (spec->keep_states) {
        tsr_graph_output(n->g, n->encoded);
        if (n->decoded >= 0)
            tsr_graph_output(n->g, n->decoded);
    }
    TSR_GO(tsr_graph_check(n->g));
    *out = n;
    n = NULL;
out:
    tsr_fmnet_destroy(n);
    return st;
}

void tsr_fmnet_destroy(tsr_fmnet *n)
{
    if (!n)
        return;
    tsr_exec_destroy(n->x);
    tsr_graph_destroy(n->g);
    tsr_free(n->context_kv);
    tsr_free(n);
}

tsr_status tsr_fmnet_plan(tsr_fmnet *n, tsr_plan *out)
{
    return tsr_graph_plan(n->g, out);
}

/* --- running --------------------------------------------------------------------------------- */

tsr_status tsr_fmnet_load(tsr_fmnet *n, const tsr_example *const *examples, size_t count,
                          double scale)
{
    if (!n->x)
        TSR_TRY(tsr_exec_create(n->g, &n->x));
    return tsr_fmnet_pack(n, examples, count, scale);
}

/* The loss as the spec defines it, in double from the losses of the rows. */
static double loss_of(const tsr_fmnet *n)
{
    double loss = 0.0, outputs = 0.0;
    for (size_t m = 0; m < n->c->mods.count; m++)
        outputs += n->c->mods.items[m].output;
    for (size_t m = 0; m < n->c->mods.count; m++) {
        size_t rows;
        const float *nll = tsr_fmnet_nll(n, m, &rows);
        double sum = 0.0;
        for (size_t r = 0; r < rows; r++)
            sum += (double)nll[r];
        if (!rows)
            continue;
        double by =
            n->spec.loss == TSR_FM_LOSS_MODALITY ? (double)rows * outputs : (double)n->targets.rows;
        loss += (double)n->weights[m] * sum / by;
    }
    return loss;
}

tsr_status tsr_fmnet_execute(tsr_fmnet *n)
{
    TSR_TRY(tsr_exec_run(n->x));
    n->loss = n->spec.mode >= TSR_FMNET_LOGITS ? 0.0 : loss_of(n);
    n->flops = 0.0;
    for (size_t i = 0; i < tsr_exec_nodes(n->x); i++) {
        tsr_node_report r;
        tsr_exec_report(n->x, i, &r);
        n->flops += r.flops;
    }
    return TSR_OK;
}

tsr_status tsr_fmnet_run(tsr_fmnet *n, const tsr_example *const *examples, size_t count,
                         double scale)
{
    TSR_TRY(tsr_fmnet_load(n, examples, count, scale));
    return tsr_fmnet_execute(n);
}

double tsr_fmnet_loss(const tsr_fmnet *n)
{
    return n->loss;
}

const float *tsr_fmnet_nll(const tsr_fmnet *n, size_t m, size_t *rows)
{
    const tsr_fm_part *p = &n->out[m];
    *rows = n->spec.mode == TSR_FMNET_LOGITS ? 0 : p->rows;
    return *rows ? tsr_exec_value(n->x, p->nll) : NULL;
}

const float *tsr_fmnet_logits(const tsr_fmnet *n, size_t m, size_t *rows)
{
    const tsr_fm_part *p = &n->out[m];
    *rows = n->spec.mode == TSR_FMNET_LOGITS ? p->rows : 0;
    return *rows ? tsr_exec_value(n->x, p->logits) : NULL;
}

const float *tsr_fmnet_context(const tsr_fmnet *n, size_t i, size_t *rows)
{
    *rows = n->spec.mode == TSR_FMNET_CONTEXT ? n->inputs.rows : 0;
    return *rows ? tsr_exec_value(n->x, n->context_kv[i]) : NULL;
}

const float *tsr_fmnet_encoder(const tsr_fmnet *n, size_t *rows)
{
    *rows = n->spec.keep_states ? n->inputs.rows : 0;
    return *rows ? tsr_exec_value(n->x, n->encoded) : NULL;
}

const float *tsr_fmnet_decoder(const tsr_fmnet *n, size_t *rows)
{
    *rows = n->spec.keep_states ? n->targets.rows : 0;
    return *rows ? tsr_exec_value(n->x, n->decoded) : NULL;
}

double tsr_fmnet_flops(const tsr_fmnet *n)
{
    return n->flops;
}
