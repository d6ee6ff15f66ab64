/* SPDX-License-Identifier: Apache-2.0
 * From examples to the inputs of the graph: for each row, sample by sample, where its content and
 * its address are looked up; for each modality its rows of the decoder, labels and weights. */
#include "trainer/fmblocks.h"
#include "trainer/fmnet_priv.h"

#include <string.h>

/* ImageNet statistics of red, green, blue in [0, 1]: what the published models take.
 * Source   apple/ml-4m, fourm/utils/data_constants.py. */
static const float pixel_mean[] = {0.485f, 0.456f, 0.406f};
static const float pixel_std[] = {0.229f, 0.224f, 0.225f};

/* One modality of one sample on one side, and where its rows go. */
typedef struct place {
    const tsr_fmnet *n;
    const tsr_fm_rows *side;
    const tsr_fm_part *part;
    const tsr_mod *mod;
    const tsr_rows *rows;
    size_t m, at, row; /* modality; first row in the part and on the side */
    unsigned long long sample;
    int target;
} place;

static int32_t *ints(const tsr_fmnet *n, tsr_value v)
{
    return tsr_exec_input(n->x, v);
}

/* --- counting -------------------------------------------------------------------------------- */

static tsr_status count_side(tsr_fm_part *parts, const tsr_fmnet *n,
                             const tsr_example *const *examples, size_t count, int target)
{
    size_t total = 0, most = target ? n->spec.out_rows : n->spec.in_rows;
    const char *side = target ? "target" : "input";
    for (size_t m = 0; m < n->c->mods.count; m++) {
        tsr_fm_part *p = &parts[m];
        p->rows = 0;
        for (size_t i = 0; i < count; i++)
            p->rows += (target ? examples[i]->out : examples[i]->in)[m].count;
        if (p->rows > p->cap)
            TSR_FAIL(TSR_EARG, "%zu %s rows of modality '%s' in a batch, room for %zu", p->rows,
                     side, n->c->mods.items[m].name, p->cap);
        total += p->rows;
    }
    if (total > most)
        TSR_FAIL(TSR_EARG, "%zu %s rows in a batch, room for %zu", total, side, most);
    return TSR_OK;
}

static tsr_status count_rows(tsr_fmnet *n, const tsr_example *const *examples, size_t count)
{
    if (count > n->spec.samples)
        TSR_FAIL(TSR_EARG, "%zu samples in a batch, room for %zu", count, n->spec.samples);
    for (size_t i = 0; i < count; i++)
        if (examples[i]->modalities != n->c->mods.count)
            TSR_FAIL(TSR_EARG, "an example of %zu modalities, the model has %zu",
                     examples[i]->modalities, n->c->mods.count);
    TSR_TRY(count_side(n->in, n, examples, count, 0));
    if (n->spec.mode == TSR_FMNET_CONTEXT)
        return TSR_OK;
    return count_side(n->out, n, examples, count, 1);
}

/* Inputs get as many rows as there are. */
static tsr_status size_side(const tsr_fmnet *n, const tsr_fm_rows *r, size_t rows, size_t samples)
{
    TSR_TRY(tsr_exec_set_rows(n->x, r->tables, rows));
    TSR_TRY(tsr_exec_set_rows(n->x, r->ids, rows));
    TSR_TRY(tsr_exec_set_rows(n->x, r->slots, rows));
    TSR_TRY(tsr_exec_set_rows(n->x, r->positions, rows));
    return tsr_exec_set_rows(n->x, r->samples, samples + 1);
}

static tsr_status size_targets(const tsr_fmnet *n)
{
    for (size_t m = 0; m < n->c->mods.count; m++) {
        const tsr_fm_part *p = &n->out[m];
        if (!p->cap)
            continue;
        TSR_TRY(tsr_exec_set_rows(n->x, p->pick, p->rows));
        if (n->spec.mode == TSR_FMNET_LOGITS)
            continue;
        TSR_TRY(tsr_exec_set_rows(n->x, p->labels, p->rows));
        TSR_TRY(tsr_exec_set_rows(n->x, p->weights, p->rows));
    }
    return TSR_OK;
}

static tsr_status size_patches(const tsr_fmnet *n)
{
    for (size_t m = 0; m < n->c->mods.count; m++)
        if (n->in[m].patches >= 0)
            TSR_TRY(tsr_exec_set_rows(n->x, n->in[m].patches, n->in[m].rows));
    return TSR_OK;
}

/* --- one modality of one sample -------------------------------------------------------------- */

static void fill(int32_t *out, size_t count, int32_t value)
{
    for (size_t i = 0; i < count; i++)
        out[i] = value;
}

/* Copy the rows' ids, each below `limit`, plus `first`. */
static tsr_status put_ids(const place *p, const char *what, const int32_t *from, int32_t *out,
                          uint32_t limit, size_t first)
{
    if (!from)
        TSR_FAIL(TSR_EARG, "sample %llu: modality '%s' has no %ss", p->sample, p->mod->name, what);
    for (size_t r = 0; r < p->rows->count; r++) {
        if (from[r] < 0 || (uint32_t)from[r] >= limit)
            TSR_FAIL(TSR_EARG, "sample %llu: modality '%s' has %s %d in row %zu, expected 0 to %u",
                     p->sample, p->mod->name, what, from[r], r, limit - 1);
        out[r] = from[r] + (int32_t)first;
    }
    return TSR_OK;
}

static tsr_status put_address(const place *p)
{
    size_t count = p->rows->count;
    int32_t *out = ints(p->n, p->side->positions) + p->row;
    fill(ints(p->n, p->side->slots) + p->row, count, p->part->slot);
    TSR_TRY(put_ids(p, "position", p->rows->positions, out, p->mod->positions, 0));
    for (size_t r = 0; p->target && p->mod->wrap && r < count; r++)
        if ((uint32_t)out[r] >= p->mod->wrap)
            out[r] = 0;
    return TSR_OK;
}

static tsr_status put_patches(const place *p)
{
    size_t values = p->mod->patch_values;
    float *out = (float *)tsr_exec_input(p->n->x, p->part->patches) + p->at * values;
    int32_t *ids = ints(p->n, p->side->ids) + p->row;
    float table[3][256];
    if (!p->rows->patches)
        TSR_FAIL(TSR_EARG, "sample %llu: modality '%s' has no patches", p->sample, p->mod->name);
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++)
            table[c][v] = ((float)v / 255.0f - pixel_mean[c]) / pixel_std[c];
    for (size_t i = 0; i < p->rows->count * values; i++)
        out[i] = table[i % 3][p->rows->patches[i]];
    for (size_t r = 0; r < p->rows->count; r++)
        ids[r] = (int32_t)(p->at + r);
    return TSR_OK;
}

/* What the rows hold: patches, tokens, or mask_token, the decoder's table 0, where a grid is
 * wanted. */
static tsr_status put_content(const place *p)
{
    int masked = p->target && p->mod->cls != TSR_CLASS_SEQUENCE;
    int32_t *ids = ints(p->n, p->side->ids) + p->row;
    fill(ints(p->n, p->side->tables) + p->row, p->rows->count, masked ? 0 : p->part->table);
    if (p->mod->cls == TSR_CLASS_PIXELS)
        return put_patches(p);
    if (!masked)
        return put_ids(p, "id", p->rows->ids, ids, p->mod->vocabulary,
                       tsr_fm_first_id(p->n->c, p->m));
    fill(ids, p->rows->count, 0);
    return TSR_OK;
}

/* Where the rows are in the decoder, and what is to be predicted. */
static tsr_status put_goal(const place *p)
{
    int32_t *pick = ints(p->n, p->part->pick) + p->at;
    for (size_t r = 0; r < p->rows->count; r++)
        pick[r] = (int32_t)(p->row + r);
    if (p->n->spec.mode == TSR_FMNET_LOGITS)
        return TSR_OK;
    return put_ids(p, "label", p->rows->labels, ints(p->n, p->part->labels) + p->at,
                   p->mod->vocabulary, tsr_fm_first_id(p->n->c, p->m));
}

/* --- both sides ------------------------------------------------------------------------------ */

static size_t put_registers(const tsr_fmnet *n, size_t row)
{
    size_t count = n->c->registers;
    for (size_t r = 0; r < count; r++)
        ints(n, n->inputs.ids)[row + r] = (int32_t)r;
    fill(ints(n, n->inputs.tables) + row, count, 0);
    fill(ints(n, n->inputs.slots) + row, count, -1);
    fill(ints(n, n->inputs.positions) + row, count, 0);
    return row + count;
}

static tsr_status pack_inputs(tsr_fmnet *n, const tsr_example *const *examples, size_t count)
{
    size_t filled[TSR_MODALITIES] = {0}, row = 0;
    int32_t *samples = ints(n, n->inputs.samples);
    for (size_t i = 0; i < count; i++) {
        samples[i] = (int32_t)row;
        row = put_registers(n, row);
        for (size_t m = 0; m < n->c->mods.count; m++) {
            const tsr_rows *rows = &examples[i]->in[m];
            const place p = {n, &n->inputs, &n->in[m], &n->c->mods.items[m], rows,
                             m, filled[m],  row,       examples[i]->sample,  0};
            if (!rows->count)
                continue;
            TSR_TRY(put_address(&p));
            TSR_TRY(put_content(&p));
            filled[m] += rows->count;
            row += rows->count;
        }
    }
    samples[count] = (int32_t)row;
    n->inputs.rows = row;
    TSR_TRY(size_patches(n));
    return size_side(n, &n->inputs, row, count);
}

static tsr_status pack_targets(tsr_fmnet *n, const tsr_example *const *examples, size_t count)
{
    size_t filled[TSR_MODALITIES] = {0}, row = 0, segments = 0;
    int32_t *starts = ints(n, n->segments), *causal = ints(n, n->causal);
    int32_t *samples = ints(n, n->targets.samples);
    for (size_t i = 0; i < count; i++) {
        samples[i] = (int32_t)row;
        for (size_t m = 0; m < n->c->mods.count; m++) {
            const tsr_rows *rows = &examples[i]->out[m];
            const place p = {n, &n->targets, &n->out[m], &n->c->mods.items[m], rows,
                             m, filled[m],   row,        examples[i]->sample,  1};
            if (!rows->count)
                continue;
            TSR_TRY(put_address(&p));
            TSR_TRY(put_content(&p));
            TSR_TRY(put_goal(&p));
            starts[segments] = (int32_t)row;
            causal[segments++] = p.mod->cls == TSR_CLASS_SEQUENCE;
            filled[m] += rows->count;
            row += rows->count;
        }
    }
    samples[count] = starts[segments] = (int32_t)row;
    n->targets.rows = row;
    TSR_TRY(tsr_exec_set_rows(n->x, n->segments, segments + 1));
    TSR_TRY(tsr_exec_set_rows(n->x, n->causal, segments));
    TSR_TRY(size_targets(n));
    return size_side(n, &n->targets, row, count);
}

/* What each row's loss counts. */
static void put_weights(const tsr_fmnet *n, double scale)
{
    double outputs = 0.0;
    for (size_t m = 0; m < n->c->mods.count; m++)
        outputs += n->c->mods.items[m].output;
    for (size_t m = 0; m < n->c->mods.count; m++) {
        const tsr_fm_part *p = &n->out[m];
        if (!p->rows)
            continue;
        double by = n->spec.loss == TSR_FM_LOSS_MODALITY ? (double)p->rows * outputs
                                                         : (double)n->targets.rows;
        float *w = tsr_exec_input(n->x, p->weights), weight = (float)(scale * n->weights[m] / by);
        for (size_t r = 0; r < p->rows; r++)
            w[r] = weight;
    }
}

tsr_status tsr_fmnet_pack(tsr_fmnet *n, const tsr_example *const *examples, size_t count,
                          double scale)
{
    TSR_TRY(count_rows(n, examples, count));
    TSR_TRY(pack_inputs(n, examples, count));
    if (n->spec.mode == TSR_FMNET_CONTEXT)
        return TSR_OK;
    TSR_TRY(pack_targets(n, examples, count));
    if (n->spec.mode != TSR_FMNET_LOGITS)
        put_weights(n, scale);
    return TSR_OK;
}
