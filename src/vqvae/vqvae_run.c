/* SPDX-License-Identifier: Apache-2.0
 * Running VQ-VAEs: graphs of one input size, and workers that encode and decode with them. */
#include "vqvae/vqvae.h"

#include "base/mem.h"
#include "nn/layers.h"
#include "nn/ops.h"
#include "vqvae/diffdecode.h"
#include "vqvae/vqvae_model.h"

#include <string.h>

#define MAX_SIDE 65536 /* pixels */

struct tsr_vqvae_plan {
    const tsr_vqvae *m;
    tsr_vqvae_sizes sizes;
    tsr_graph *enc, *dec;
    tsr_diffuser *diff; /* instead of dec */
    tsr_value in, latents, vectors, out;
};

struct tsr_vqvae_work {
    const tsr_vqvae_plan *plan;
    tsr_exec *enc, *dec;
    tsr_diffuse_work *diff;
    float *scratch; /* [N, Z] */
};

/* --- graphs ------------------------------------------------------------------------------------
 */

tsr_value tsr_vqvae_graph_input(tsr_graph *g, const tsr_vqvae *m, size_t batch, size_t height,
                                size_t width)
{
    const size_t pixels[] = {batch, m->config.n_channels, height, width};
    const size_t labels[] = {batch, height * width};
    if (m->info.labels)
        return tsr_input(g, "labels", TSR_I32, 2, labels);
    return tsr_input(g, "pixels", TSR_F32, 4, pixels);
}

tsr_value tsr_vqvae_features_graph(tsr_graph *g, const tsr_vqvae *m, tsr_value x, size_t height,
                                   size_t width)
{
    if (m->info.labels) {
        tsr_graph_label(g, "cls_emb");
        x = tsr_embedding(g, tsr_weight(g, "cls_emb.weight"), x);
        x = tsr_unpatchify(g, x, (int)height, (int)width, 1);
    }
    if (m->enc.kind == TSR_NET_VIT)
        return tsr_vit_encode(g, &m->enc, x);
    return tsr_mlp_graph(g, &m->enc, tsr_patchify(g, x, 1));
}

tsr_value tsr_vqvae_encoder_graph(tsr_graph *g, const tsr_vqvae *m, tsr_value x, size_t height,
                                  size_t width)
{
    x = tsr_vqvae_features_graph(g, m, x, height, width);
    tsr_precision precision = tsr_graph_precision(g);
    tsr_graph_label(g, "quant_proj");
    tsr_graph_set_precision(g, TSR_PRECISION_FP32);
    x = tsr_net_linear(g, "quant_proj", x, TSR_ACT_NONE);
    tsr_graph_set_precision(g, precision);
    return x;
}

tsr_value tsr_vqvae_decoder_graph(tsr_graph *g, const tsr_vqvae *m, tsr_value x, size_t rows,
                                  size_t columns)
{
    tsr_graph_label(g, "post_quant_proj");
    x = tsr_net_linear(g, "post_quant_proj", x, TSR_ACT_NONE);
    if (m->dec.kind == TSR_NET_VIT)
        return tsr_vit_decode(g, &m->dec, x, rows, columns);
    return tsr_unpatchify(g, tsr_mlp_graph(g, &m->dec, x), (int)rows, (int)columns, 1);
}

tsr_status tsr_vqvae_settle_size(const tsr_vqvae *m, size_t *height, size_t *width)
{
    if (!*height && !*width) {
        *height = m->info.height;
        *width = m->info.width;
    }
    if (!*height || !*width || *height > MAX_SIDE || *width > MAX_SIDE || *height % m->enc.patch ||
        *width % m->enc.patch)
        TSR_FAIL(TSR_EARG, "an input of %zux%zu pixels: sides must be multiples of %zu up to %d",
                 *height, *width, m->enc.patch, MAX_SIDE);
    return TSR_OK;
}

/* --- plans -------------------------------------------------------------------------------------
 */

static void fill_sizes(tsr_vqvae_plan *p, size_t height, size_t width)
{
    const tsr_vqvae *m = p->m;
    tsr_vqvae_sizes *s = &p->sizes;
    s->height = height;
    s->width = width;
    s->grid_height = height / m->enc.patch;
    s->grid_width = width / m->enc.patch;
    s->latents = s->grid_height * s->grid_width * m->info.code_width;
    s->ids = s->grid_height * s->grid_width * m->info.heads;
    if (!m->info.has_decoder)
        return;
    s->out_height = m->diff.kind ? height : s->grid_height * m->dec.patch;
    s->out_width = m->diff.kind ? width : s->grid_width * m->dec.patch;
    s->output = m->info.out_channels * s->out_height * s->out_width;
}

static tsr_status plan_encoder(tsr_vqvae_plan *p, tsr_precision precision)
{
    tsr_plan needs;
    size_t h = p->sizes.height, w = p->sizes.width;
    TSR_TRY(tsr_graph_create(p->m->ps, precision, &p->enc));
    p->in = tsr_vqvae_graph_input(p->enc, p->m, 1, h, w);
    p->latents = tsr_vqvae_encoder_graph(p->enc, p->m, p->in, h, w);
    tsr_graph_output(p->enc, p->latents);
    TSR_TRY(tsr_graph_plan(p->enc, &needs));
    p->sizes.work_bytes += needs.values_bytes;
    p->sizes.encode_flops = needs.forward_flops;
    return TSR_OK;
}

static tsr_status plan_decoder(tsr_vqvae_plan *p, tsr_precision precision)
{
    tsr_plan needs;
    size_t rows = p->sizes.grid_height, columns = p->sizes.grid_width;
    const size_t shape[] = {1, rows * columns, p->m->info.code_width};
    TSR_TRY(tsr_graph_create(p->m->ps, precision, &p->dec));
    p->vectors = tsr_input(p->dec, "code vectors", TSR_F32, 3, shape);
    p->out = tsr_vqvae_decoder_graph(p->dec, p->m, p->vectors, rows, columns);
    tsr_graph_output(p->dec, p->out);
    TSR_TRY(tsr_graph_plan(p->dec, &needs));
    p->sizes.work_bytes += needs.values_bytes;
    p->sizes.decode_flops = needs.forward_flops;
    return TSR_OK;
}

tsr_status tsr_vqvae_plan_create(const tsr_vqvae *m, size_t height, size_t width,
                                 tsr_precision precision, tsr_vqvae_plan **out)
{
    tsr_status st = TSR_OK;
    tsr_vqvae_plan *p;
    TSR_TRY(tsr_vqvae_settle_size(m, &height, &width));
    TSR_TRY(tsr_alloc(&p, 1, sizeof *p));
    p->m = m;
    fill_sizes(p, height, width);
    TSR_GO(plan_encoder(p, precision));
    if (m->diff.kind)
        TSR_GO(tsr_diffuser_create(m, &p->sizes, precision, &p->diff));
    else if (m->info.has_decoder)
        TSR_GO(plan_decoder(p, precision));
    p->sizes.work_bytes += p->sizes.latents * sizeof(float);
    *out = p;
    p = NULL;
out:
    tsr_vqvae_plan_destroy(p);
    return st;
}

void tsr_vqvae_plan_destroy(tsr_vqvae_plan *p)
{
    if (!p)
        return;
    tsr_graph_destroy(p->enc);
    tsr_graph_destroy(p->dec);
    tsr_diffuser_destroy(p->diff);
    tsr_free(p);
}

const tsr_vqvae_sizes *tsr_vqvae_plan_sizes(const tsr_vqvae_plan *p)
{
    return &p->sizes;
}

/* --- workers -----------------------------------------------------------------------------------
 */

tsr_status tsr_vqvae_work_create(const tsr_vqvae_plan *p, tsr_vqvae_work **out)
{
    tsr_status st = TSR_OK;
    tsr_vqvae_work *w;
    TSR_TRY(tsr_alloc(&w, 1, sizeof *w));
    w->plan = p;
    TSR_GO(tsr_alloc(&w->scratch, p->sizes.latents, sizeof *w->scratch));
    TSR_GO(tsr_exec_create(p->enc, &w->enc));
    if (p->dec)
        TSR_GO(tsr_exec_create(p->dec, &w->dec));
    if (p->diff)
        TSR_GO(tsr_diffuse_work_create(p->diff, &w->diff));
    *out = w;
    w = NULL;
out:
    tsr_vqvae_work_destroy(w);
    return st;
}

void tsr_vqvae_work_destroy(tsr_vqvae_work *w)
{
    if (!w)
        return;
    tsr_exec_destroy(w->enc);
    tsr_exec_destroy(w->dec);
    tsr_diffuse_work_destroy(w->diff);
    tsr_free(w->scratch);
    tsr_free(w);
}

tsr_status tsr_vqvae_check_labels(const tsr_vqvae *m, const int32_t *labels, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (labels[i] < 0 || (size_t)labels[i] >= m->info.labels)
            TSR_FAIL(TSR_EARG, "label %d at pixel %zu is not in [0, %zu)", labels[i], i,
                     m->info.labels);
    return TSR_OK;
}

static tsr_status fill_input(tsr_vqvae_work *w, const tsr_vqvae_input *in)
{
    const tsr_vqvae *m = w->plan->m;
    size_t pixels = w->plan->sizes.height * w->plan->sizes.width;
    void *to = tsr_exec_input(w->enc, w->plan->in);
    if ((m->info.labels ? (const void *)in->labels : (const void *)in->pixels) == NULL)
        TSR_FAIL(TSR_EARG, "this model takes %s", m->info.labels ? "labels" : "pixels");
    if (m->info.labels) {
        TSR_TRY(tsr_vqvae_check_labels(m, in->labels, pixels));
        memcpy(to, in->labels, pixels * sizeof *in->labels);
    } else {
        memcpy(to, in->pixels, m->info.in_channels * pixels * sizeof *in->pixels);
    }
    return TSR_OK;
}

tsr_status tsr_vqvae_encode(tsr_vqvae_work *w, const tsr_vqvae_input *in, float *latents,
                            int32_t *ids)
{
    const tsr_quantizer *q = w->plan->m->q;
    size_t count = w->plan->sizes.latents;
    TSR_TRY(fill_input(w, in));
    TSR_TRY(tsr_exec_run(w->enc));
    const float *z = tsr_exec_value(w->enc, w->plan->latents);
    if (!tsr_all_finite(z, count))
        TSR_FAIL(TSR_ENUMERIC, "the encoder gives values that are not finite; does the input "
                               "hold some?");
    if (latents)
        memcpy(latents, z, count * sizeof *z);
    if (ids)
        TSR_TRY(q->kind->encode(q, z, count / q->width, w->scratch, ids));
    return TSR_OK;
}

tsr_status tsr_vqvae_lookup(tsr_vqvae_work *w, const int32_t *ids, float *vectors)
{
    const tsr_quantizer *q = w->plan->m->q;
    TSR_TRY(tsr_quantizer_check_ids(q, ids, w->plan->sizes.ids));
    q->kind->decode(q, ids, w->plan->sizes.latents / q->width, vectors);
    return TSR_OK;
}

tsr_status tsr_vqvae_decode(tsr_vqvae_work *w, const int32_t *ids, float *output)
{
    const tsr_vqvae_decoding usual = {0};
    return tsr_vqvae_decode_with(w, ids, &usual, output);
}

tsr_status tsr_vqvae_decode_with(tsr_vqvae_work *w, const int32_t *ids,
                                 const tsr_vqvae_decoding *how, float *output)
{
    if (w->diff) {
        TSR_TRY(tsr_vqvae_lookup(w, ids, w->scratch));
        return tsr_diffuse(w->diff, w->scratch, how, output);
    }
    if (!w->dec)
        TSR_FAIL(TSR_EARG, "this model was opened without its decoder");
    TSR_TRY(tsr_vqvae_lookup(w, ids, tsr_exec_input(w->dec, w->plan->vectors)));
    TSR_TRY(tsr_exec_run(w->dec));
    memcpy(output, tsr_exec_value(w->dec, w->plan->out), w->plan->sizes.output * sizeof *output);
    return TSR_OK;
}
