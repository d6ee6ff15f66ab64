/* SPDX-License-Identifier: Apache-2.0
 * The table of operations, and what their shape rules share. */
#include "nn/op.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const tsr_op *const table[] = {
#define TSR_OP(name) &tsr_op_##name,
#include "nn/ops.def"
#undef TSR_OP
};

const tsr_op *const *tsr_ops(size_t *count)
{
    *count = sizeof table / sizeof table[0];
    return table;
}

tsr_status tsr_op_bad(const tsr_op_call *c, const char *fmt, ...)
{
    char text[512], shapes[480] = "";
    size_t at = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (int i = 0; i < c->n_in && at < sizeof shapes - 1; i++) {
        char one[96];
        tsr_shape_text(c->in[i].ndim, c->in[i].shape, one, sizeof one);
        at += (size_t)snprintf(shapes + at, sizeof shapes - at, "%s%s", i ? ", " : "",
                               c->in[i].ndim ? one : "none");
    }
    TSR_FAIL(TSR_EMISMATCH, "%s: %s; operands: %s", c->name, text, shapes);
}

tsr_status tsr_op_expect_dims(const tsr_op_call *c, int i, const char *role, tsr_dtype dtype,
                              int lo, int hi)
{
    const tsr_operand *o = &c->in[i];
    if (o->ndim == 0)
        return tsr_op_bad(c, "%s is missing", role);
    if (o->dtype != dtype)
        return tsr_op_bad(c, "%s is of type %s, expected %s", role, tsr_dtype_name(o->dtype),
                          tsr_dtype_name(dtype));
    if (o->ndim < lo || o->ndim > hi)
        return tsr_op_bad(c, "%s has %d dimensions, expected %d to %d", role, o->ndim, lo, hi);
    return TSR_OK;
}

tsr_status tsr_op_expect_shape(const tsr_op_call *c, int i, const char *role, int ndim,
                               const size_t *shape)
{
    const tsr_operand *o = &c->in[i];
    char have[160], want[160];
    if (o->ndim == 0)
        return tsr_op_bad(c, "%s is missing", role);
    if (o->ndim == ndim && memcmp(o->shape, shape, (size_t)ndim * sizeof *shape) == 0)
        return TSR_OK;
    tsr_shape_text(o->ndim, o->shape, have, sizeof have);
    tsr_shape_text(ndim, shape, want, sizeof want);
    return tsr_op_bad(c, "%s is %s, expected %s", role, have, want);
}

tsr_status tsr_op_expect_classes(const tsr_op_call *c)
{
    const size_t *rows = c->in[0].shape;
    TSR_TRY(tsr_op_expect_dims(c, 0, "logits", TSR_F32, 2, 2));
    TSR_TRY(tsr_op_expect_dims(c, 1, "ids", TSR_I32, 1, 1));
    TSR_TRY(tsr_op_expect_shape(c, 1, "ids", 1, rows));
    if (!c->in[2].ndim)
        return TSR_OK;
    TSR_TRY(tsr_op_expect_dims(c, 2, "weights", TSR_F32, 1, 1));
    return tsr_op_expect_shape(c, 2, "weights", 1, rows);
}

void tsr_op_row(const tsr_operand *t, int64_t row, float *out)
{
    size_t d = tsr_width(t);
    if (row < 0 || (uint64_t)row >= t->shape[0])
        memset(out, 0, d * sizeof *out);
    else if (t->data)
        memcpy(out, (const float *)t->data + (size_t)row * d, d * sizeof *out);
    else if (tsr_param_read(t->param, (size_t)row * d, d, out) != TSR_OK)
        for (size_t i = 0; i < d; i++)
            out[i] = NAN;
}

void tsr_op_out(tsr_op_call *c, int i, tsr_dtype dtype, int ndim, const size_t *shape)
{
    c->out[i] = (tsr_operand){.dtype = dtype, .ndim = ndim};
    memcpy(c->out[i].shape, shape, (size_t)ndim * sizeof *shape);
}

void tsr_op_like(tsr_op_call *c, int i, const tsr_operand *like)
{
    tsr_op_out(c, i, like->dtype, like->ndim, like->shape);
}
