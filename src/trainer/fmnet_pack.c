/* SPDX-License-Identifier: Apache-2.0
 * From examples to the inputs of the graph: rows of each modality one under the other, and the
 * indices that order them sample by sample. */
#include "trainer/fmblocks.h"
#include "trainer/fmnet_priv.h"

#include <string.h>

/* ImageNet statistics of red, green, blue in [0, 1]: what the published models take.
 * Source   apple/ml-4m, fourm/utils/data_constants.py. */
static const float pixel_mean[] = {0.485f, 0.456f, 0.406f};
static const float pixel_std[] = {0.229f, 0.224f, 0.225f};

/* One modality of one sample on one side, on its way into a part. */
typedef struct place {
    const tsr_fmnet *n;
    const tsr_fm_part *part;
    const tsr_mod *mod;
    const tsr_rows *rows;
    size_t m, at; /* modality; first row in the part */
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
        p->first = total;
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

/* Inputs of one part get its rows. */
static tsr_status size_part(const tsr_fmnet *n, const tsr_fm_part *p, int target)
{
    const tsr_value all[] = {p->ids, p->positions, p->pick, p->labels, p->weights};
    size_t used = !target ? 2 : n->spec.mode == TSR_FMNET_LOGITS ? 3 : 5;
    for (size_t i = 0; p->cap && i < used; i++)
        if (all[i] >= 0)
            TSR_TRY(tsr_exec_set_rows(n->x, all[i], p->rows));
    return TSR_OK;
}

static tsr_status size_parts(const tsr_fmnet *n)
{
    for (size_t m = 0; m < n->c->mods.count; m++) {
        TSR_TRY(size_part(n, &n->in[m], 0));
        TSR_TRY(size_part(n, &n->out[m], 1));
    }
    return TSR_OK;
}

/* --- one modality of one sample -------------------------------------------------------------- */

/* Copy count ids, each below `limit`, plus `first`. */
static tsr_status put_ids(const place *p, const char *what, const int32_t *from, tsr_value to,
                          uint32_t limit, size_t first)
{
    int32_t *out = ints(p->n, to) + p->at;
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

static tsr_status put_positions(const place *p)
{
    int32_t *out = ints(p->n, p->part->positions) + p->at;
    TSR_TRY(put_ids(p, "position", p->rows->positions, p->part->positions, p->mod->positions, 0));
    for (size_t r = 0; p->target && p->mod->wrap && r < p->rows->count; r++)
        if ((uint32_t)out[r] >= p->mod->wrap)
            out[r] = 0;
    return TSR_OK;
}

static tsr_status put_patches(const place *p)
{
    size_t values = p->mod->patch_values;
    float *out = (float *)tsr_exec_input(p->n->x, p->part->ids) + p->at * values;
    float table[3][256];
    if (!p->rows->patches)
        TSR_FAIL(TSR_EARG, "sample %llu: modality '%s' has no patches", p->sample, p->mod->name);
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++)
            table[c][v] = ((float)v / 255.0f - pixel_mean[c]) / pixel_std[c];
    for (size_t i = 0; i < p->rows->count * values; i++)
        out[i] = table[i % 3][p->rows->patches[i]];
    return TSR_OK;
}

/* Contents, positions and labels of one modality of one sample. */
static tsr_status put_rows(const place *p)
{
    size_t first = tsr_fm_first_id(p->n->c, p->m);
    uint32_t limit = p->mod->vocabulary;
    int wanted = p->target && p->n->spec.mode != TSR_FMNET_LOGITS;
    TSR_TRY(put_positions(p));
    if (p->mod->cls == TSR_CLASS_PIXELS)
        return put_patches(p);
    if (!p->target || p->mod->cls == TSR_CLASS_SEQUENCE)
        TSR_TRY(put_ids(p, "id", p->rows->ids, p->part->ids, limit, first));
    if (wanted)
        return put_ids(p, "label", p->rows->labels, p->part->labels, limit, first);
    return TSR_OK;
}

/* --- both sides ------------------------------------------------------------------------------ */

static tsr_status pack_inputs(tsr_fmnet *n, const tsr_example *const *examples, size_t count)
{
    size_t filled[TSR_MODALITIES] = {0}, registers = n->c->registers, row = 0;
    int32_t *order = ints(n, n->in_order), *addresses = ints(n, n->in_addresses);
    int32_t *samples = ints(n, n->in_segments);
    for (size_t i = 0; i < count; i++) {
        samples[i] = (int32_t)row;
        for (size_t r = 0; r < registers; r++, row++) {
            order[row] = (int32_t)r;
            addresses[row] = -1;
        }
        for (size_t m = 0; m < n->c->mods.count; m++) {
            const tsr_rows *rows = &examples[i]->in[m];
            const place p = {n, &n->in[m], &n->c->mods.items[m], rows,
                             m, filled[m], examples[i]->sample,  0};
            if (!rows->count)
                continue;
            TSR_TRY(put_rows(&p));
            for (size_t r = 0; r < rows->count; r++, row++) {
                addresses[row] = (int32_t)(n->in[m].first + filled[m]++);
                order[row] = addresses[row] + (int32_t)registers;
            }
        }
    }
    samples[count] = (int32_t)row;
    n->in_rows = row;
    TSR_TRY(tsr_exec_set_rows(n->x, n->in_order, row));
    TSR_TRY(tsr_exec_set_rows(n->x, n->in_addresses, row));
    return tsr_exec_set_rows(n->x, n->in_segments, count + 1);
}

static tsr_status pack_targets(tsr_fmnet *n, const tsr_example *const *examples, size_t count)
{
    size_t filled[TSR_MODALITIES] = {0}, row = 0, segments = 0;
    int32_t *order = ints(n, n->out_order), *starts = ints(n, n->out_segments);
    int32_t *causal = ints(n, n->out_causal), *samples = ints(n, n->out_samples);
    for (size_t i = 0; i < count; i++) {
        samples[i] = (int32_t)row;
        for (size_t m = 0; m < n->c->mods.count; m++) {
            const tsr_rows *rows = &examples[i]->out[m];
            const place p = {n, &n->out[m], &n->c->mods.items[m], rows,
                             m, filled[m],  examples[i]->sample,  1};
            if (!rows->count)
                continue;
            TSR_TRY(put_rows(&p));
            int32_t *pick = ints(n, n->out[m].pick) + filled[m];
            starts[segments] = (int32_t)row;
            causal[segments++] = p.mod->cls == TSR_CLASS_SEQUENCE;
            for (size_t r = 0; r < rows->count; r++, row++) {
                order[row] = (int32_t)(n->out[m].first + filled[m]++);
                pick[r] = (int32_t)row;
            }
        }
    }
    samples[count] = starts[segments] = (int32_t)row;
    n->out_rows = row;
    TSR_TRY(tsr_exec_set_rows(n->x, n->out_order, row));
    TSR_TRY(tsr_exec_set_rows(n->x, n->out_segments, segments + 1));
    TSR_TRY(tsr_exec_set_rows(n->x, n->out_causal, segments));
    return tsr_exec_set_rows(n->x, n->out_samples, count + 1);
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
        double by =
            n->spec.loss == TSR_FM_LOSS_MODALITY ? (double)p->rows * outputs : (double)n->out_rows;
        float *w = tsr_exec_input(n->x, p->weights), weight = (float)(scale * n->weights[m] / by);
        for (size_t r = 0; r < p->rows; r++)
            w[r] = weight;
    }
}

tsr_status tsr_fmnet_pack(tsr_fmnet *n, const tsr_example *const *examples, size_t count,
                          double scale)
{
    TSR_TRY(count_rows(n, examples, count));
    TSR_TRY(size_parts(n));
    TSR_TRY(pack_inputs(n, examples, count));
    if (n->spec.mode == TSR_FMNET_CONTEXT)
        return TSR_OK;
    TSR_TRY(pack_targets(n, examples, count));
    if (n->spec.mode != TSR_FMNET_LOGITS)
        put_weights(n, scale);
    return TSR_OK;
}
