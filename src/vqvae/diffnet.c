/* SPDX-License-Identifier: Apache-2.0
 * What the networks of diffusion decoders share. */
#include "vqvae/diffnet.h"

#include "nn/ops.h"
#include "nn/rowimage.h"

#include <string.h>

#define GROUPS 32
#define EPS 1e-5f

/* --- files -------------------------------------------------------------------------------------- */

tsr_status tsr_diffnet_look(const tsr_safetensors *f, const char *name, int ndim,
                            const size_t **shape)
{
    char full[TSR_NAME_MAX];
    const tsr_stored *t;
    TSR_TRY(tsr_safetensors_get(f, tsr_name(full, TSR_DIFFNET_PREFIX, "%s", name), &t));
    if (t->ndim != ndim || !t->count)
        TSR_FAIL(TSR_EMISMATCH, "%s: tensor \"%s\" does not have %d dimensions",
                 tsr_safetensors_path(f), full, ndim);
    *shape = t->shape;
    return TSR_OK;
}

int tsr_diffnet_has(const tsr_safetensors *f, const char *name)
{
    char full[TSR_NAME_MAX];
    return tsr_safetensors_find(f, tsr_name(full, TSR_DIFFNET_PREFIX, "%s", name)) != NULL;
}

static tsr_status check(const tsr_safetensors *f, const tsr_diffnet *n)
{
    int bad = n->base % 2 || n->levels < 1 || n->levels > TSR_DIFFNET_LEVELS || n->blocks < 1 ||
              n->blocks > 64;
    for (size_t i = 0; !bad && i < n->levels; i++)
        bad = n->width[i] % GROUPS || n->width[i] > 65536;
    if (bad)
        TSR_FAIL(TSR_EMISMATCH, "%s: a diffusion decoder of %zu levels of %zu blocks that cannot be",
                 tsr_safetensors_path(f), n->levels, n->blocks);
    return TSR_OK;
}

tsr_status tsr_diffnet_from_file(const tsr_safetensors *f, size_t heads, tsr_diffnet *n)
{
    *n = (tsr_diffnet){.kind = tsr_diffnet_has(f, "time_embed.0.weight") ? TSR_DIFFNET_UNET
                                                                         : TSR_DIFFNET_UVIT};
    if (n->kind == TSR_DIFFNET_UNET)
        TSR_TRY(tsr_unet_from_file(f, n));
    else
        TSR_TRY(tsr_uvit_from_file(f, heads, n));
    return check(f, n);
}

void tsr_diffnet_make(tsr_maker *m, const tsr_diffnet *n)
{
    if (n->kind == TSR_DIFFNET_UNET)
        tsr_unet_make(m, n);
    else
        tsr_uvit_make(m, n);
}

size_t tsr_diffnet_multiple(const tsr_diffnet *n)
{
    return n->patch << (n->levels - 1 + (n->mid_down ? 1 : 0));
}

/* --- parts -------------------------------------------------------------------------------------- */

void tsr_conv3_make(tsr_maker *m, const char *at, size_t in, size_t out)
{
    char name[TSR_NAME_MAX];
    const size_t shape[] = {out, in, 3, 3};
    tsr_make(m, tsr_name(name, at, ".weight"), TSR_INIT_FAN_IN, 0, 4, shape);
    tsr_make(m, tsr_name(name, at, ".bias"), TSR_INIT_FAN_IN, (float)(9 * in), 1, &out);
}

void tsr_one_make(tsr_maker *m, const char *at, size_t in, size_t out, int ones)
{
    char name[TSR_NAME_MAX];
    const size_t shape[] = {out, in, 1, 1};
    tsr_make_linear(m, at, TSR_INIT_FAN_IN, 0, out, in);
    if (m->st == TSR_OK)
        m->st = tsr_param_file_shape(tsr_params_find(m->ps, tsr_name(name, at, ".weight")),
                                     2 + ones, shape);
}

/* bias: instead of the layer's own, or TSR_NONE; add: added to the result, or TSR_NONE. */
static tsr_rows conv3(tsr_graph *g, const char *at, tsr_rows x, size_t stride, tsr_value bias,
                      tsr_value add)
{
    char name[TSR_NAME_MAX];
    tsr_value w = tsr_weight(g, tsr_name(name, at, ".weight"));
    const size_t *shape = tsr_value_shape(g, w);
    size_t out = shape ? shape[0] : 0;
    if (bias == TSR_NONE)
        bias = tsr_weight(g, tsr_name(name, at, ".bias"));
    x.x = tsr_conv_rows(g, x.x, w, bias, add, (tsr_row_conv){x.h, x.w, stride, 1});
    return (tsr_rows){x.x, (x.h - 1) / stride + 1, (x.w - 1) / stride + 1, out};
}

tsr_rows tsr_conv3_graph(tsr_graph *g, const char *at, tsr_rows x, size_t stride)
{
    return conv3(g, at, x, stride, TSR_NONE, TSR_NONE);
}

tsr_rows tsr_up_graph(tsr_graph *g, const char *at, tsr_rows x)
{
    x.x = tsr_nearest_rows(g, x.x, (tsr_row_resize){x.h, x.w, 2 * x.h, 2 * x.w});
    x.h *= 2;
    x.w *= 2;
    return tsr_conv3_graph(g, at, x, 1);
}

tsr_value tsr_group_graph(tsr_graph *g, const char *at, tsr_value x, tsr_act act)
{
    char name[TSR_NAME_MAX];
    tsr_value w = tsr_weight(g, tsr_name(name, at, ".weight"));
    return tsr_group_norm(g, x, w, tsr_weight(g, tsr_name(name, at, ".bias")),
                          (tsr_group_norm_spec){GROUPS, EPS, act});
}

tsr_rows tsr_beside(tsr_graph *g, tsr_rows a, tsr_rows b)
{
    const tsr_value both[] = {a.x, b.x};
    return (tsr_rows){tsr_concat(g, 2, both, 2), a.h, a.w, a.c + b.c};
}

void tsr_res_make(tsr_maker *m, const tsr_diffnet *n, const char *at, const tsr_res_names *names,
                  size_t in, size_t out)
{
    char name[TSR_NAME_MAX];
    tsr_make_norm(m, tsr_name(name, at, "%s", names->norm1), in);
    tsr_conv3_make(m, tsr_name(name, at, "%s", names->conv1), in, out);
    tsr_make_linear(m, tsr_name(name, at, "%s", names->emb), TSR_INIT_FAN_IN, 0, out, n->emb);
    tsr_make_norm(m, tsr_name(name, at, "%s", names->norm2), out);
    tsr_conv3_make(m, tsr_name(name, at, "%s", names->conv2), out, out);
    if (in != out)
        tsr_one_make(m, tsr_name(name, at, "%s", names->skip), in, out, 2);
}

tsr_rows tsr_res_graph(tsr_graph *g, const char *at, const tsr_res_names *names, tsr_rows x,
                       tsr_value emb)
{
    char name[TSR_NAME_MAX], bias[TSR_NAME_MAX];
    tsr_rows y = x;
    tsr_graph_label(g, "%s", at);
    /* The step moves all pixels alike: it is part of the first convolution's bias. */
    tsr_value move = tsr_net_linear(g, tsr_name(name, at, "%s", names->emb), emb, TSR_ACT_NONE);
    size_t c = tsr_value_count(g, move);
    tsr_name(name, at, "%s", names->conv1);
    move = tsr_add(g, tsr_reshape(g, move, 1, &c), tsr_weight(g, tsr_name(bias, name, ".bias")));
    y.x = tsr_group_graph(g, tsr_name(name, at, "%s", names->norm1), x.x, TSR_ACT_SILU);
    y = conv3(g, tsr_name(name, at, "%s", names->conv1), y, 1, move, TSR_NONE);
    y.x = tsr_group_graph(g, tsr_name(name, at, "%s", names->norm2), y.x, TSR_ACT_SILU);
    tsr_value skip = x.x;
    if (y.c != x.c)
        skip = tsr_net_linear(g, tsr_name(name, at, "%s", names->skip), x.x, TSR_ACT_NONE);
    return conv3(g, tsr_name(name, at, "%s", names->conv2), y, 1, TSR_NONE, skip);
}

/* --- graph -------------------------------------------------------------------------------------- */

/* Code vectors are looked up for every row that is told one: by UNet for all rows at the start, by
 * UViT for those in the middle; for cross-attention they only change order. */
static void place_grid(const tsr_diffnet *n, const tsr_diffnet_io *io, size_t *h, size_t *w)
{
    size_t step = n->kind == TSR_DIFFNET_UNET ? n->patch : tsr_diffnet_multiple(n);
    *h = n->cross ? io->rows : io->height / step;
    *w = n->cross ? io->columns : io->width / step;
}

void tsr_diffnet_graph(tsr_graph *g, const tsr_diffnet *n, tsr_diffnet_io *io)
{
    size_t h, w;
    place_grid(n, io, &h, &w);
    const size_t picture[] = {1, n->channels, io->height, io->width}, time[] = {1, n->base};
    const size_t vectors[] = {io->rows * io->columns, n->cond}, places = h * w;
    io->picture = tsr_input(g, "picture", TSR_F32, 4, picture);
    io->time = tsr_input(g, "time", TSR_F32, 2, time);
    io->vectors = tsr_input(g, "code vectors", TSR_F32, 2, vectors);
    io->places = tsr_input(g, "places", TSR_I32, 1, &places);
    for (size_t i = 0; i < 3; i++)
        io->spans[i] = n->cross ? tsr_input(g, "spans", TSR_I32, 1, &(size_t){i ? 1 : 2}) : TSR_NONE;
    if (n->kind == TSR_DIFFNET_UNET)
        tsr_unet_graph(g, n, io);
    else
        tsr_uvit_graph(g, n, io);
    tsr_graph_output(g, io->out);
}

/* Kept vectors first; spans: queries [0, rows in the middle), keys [0, kept). When nothing is kept
 * the reference attends to all alike; here they are seen as they are. */
static void place_keys(const tsr_diffnet *n, const tsr_diffnet_io *io, const uint8_t *dropped,
                       int32_t *places, int32_t *spans)
{
    size_t count = io->rows * io->columns, kept = 0, step = tsr_diffnet_multiple(n);
    for (size_t i = 0; i < count; i++)
        if (!dropped || !dropped[i])
            places[kept++] = (int32_t)i;
    size_t end = kept;
    for (size_t i = 0; i < count; i++)
        if (dropped && dropped[i])
            places[end++] = (int32_t)i;
    spans[0] = 0;
    spans[1] = (int32_t)(io->height / step * (io->width / step));
    spans[2] = 0;
    spans[3] = (int32_t)(kept ? kept : count);
}

void tsr_diffnet_place(const tsr_diffnet *n, const tsr_diffnet_io *io, const uint8_t *dropped,
                       int32_t *places, int32_t *spans)
{
    size_t h, w, count = io->rows * io->columns;
    if (n->cross) {
        place_keys(n, io, dropped, places, spans);
        return;
    }
    /* UNet has a row of zeros for what is dropped, UViT a vector of its own behind the others. */
    int32_t nothing = n->kind == TSR_DIFFNET_UNET ? -1 : (int32_t)count;
    place_grid(n, io, &h, &w);
    for (size_t y = 0; y < h; y++)
        for (size_t x = 0; x < w; x++) {
            size_t at = y * io->rows / h * io->columns + x * io->columns / w;
            places[y * w + x] = dropped && dropped[at] ? nothing : (int32_t)at;
        }
}
