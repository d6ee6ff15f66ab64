/* SPDX-License-Identifier: Apache-2.0
 * Images whose pixels are rows of channels at another size, by the nearest pixel. */
#include "nn/op.h"
#include "nn/rowimage.h"

#include <string.h>

static tsr_status nearest_shape(tsr_op_call *c)
{
    const tsr_row_resize *s = c->attr;
    size_t most = 65536;
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 3, 3));
    const size_t *x = c->in[0].shape;
    if (s->h < 1 || s->w < 1 || s->height < 1 || s->width < 1 || s->h > most || s->w > most ||
        s->height > most || s->width > most || x[1] != s->h * s->w)
        return tsr_op_bad(c, "x is no image of %zu by %zu pixels for one of %zu by %zu", s->h, s->w,
                          s->height, s->width);
    tsr_op_out(c, 0, TSR_F32, 3, (size_t[]){x[0], s->height * s->width, x[2]});
    return TSR_OK;
}

static size_t nearest_items(const tsr_op_call *c)
{
    const tsr_row_resize *s = c->attr;
    return c->in[0].shape[0] * s->height;
}

static void nearest_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const tsr_row_resize *s = c->attr;
    size_t width = c->in[0].shape[2], b = item / s->height, y = item % s->height * s->h / s->height;
    const float *line = (const float *)c->in[0].data + (b * s->h + y) * s->w * width;
    float *out = (float *)c->out[0].data + item * s->width * width;
    for (size_t x = 0; x < s->width; x++)
        memcpy(out + x * width, line + x * s->w / s->width * width, width * sizeof *out);
}

const tsr_op tsr_op_nearest_rows = {
    .name = "nearest_rows",
    .shape = nearest_shape,
    .items = nearest_items,
    .run = nearest_item,
};

tsr_value tsr_nearest_rows(tsr_graph *g, tsr_value x, tsr_row_resize spec)
{
    return tsr_node1(g, &tsr_op_nearest_rows, x, &spec, sizeof spec);
}
