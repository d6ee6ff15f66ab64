/* SPDX-License-Identifier: Apache-2.0
 * Sizes of masked models, and making them. */
#include "trainer/fm.h"

#include "base/mem.h"
#include "base/str.h"
#include "trainer/fm_priv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define HEAD_WIDTH_MAX 128 /* of the attention kernels */
#define DEPTH_MAX      1024
#define DIM_MAX        65536
#define POSITIONS_MAX  (1u << 20)

/* Source   apple/ml-4m, fourm/models/fm.py, the registered families. */
static const struct {
    const char *name;
    size_t dim, depth, heads;
} sizes[] = {
    {"tiny", 384, 6, 6},     {"small", 512, 8, 8},     {"base", 768, 12, 12},
    {"large", 1024, 24, 16}, {"xlarge", 2048, 24, 32},
};
#define SIZES (sizeof sizes / sizeof sizes[0])

/* What follows the sizes in the names of families. */
static const struct {
    const char *name;
    int gated, biases, qk_norm;
} families[] = {{"gelu", 0, 1, 0}, {"swiglu_nobias", 1, 0, 0}, {"swiglu_qknorm_nobias", 1, 0, 1}};
#define FAMILIES (sizeof families / sizeof families[0])

static void take_preset(size_t size, size_t family, tsr_fm_config *c)
{
    int biases = families[family].biases;
    c->dim = sizes[size].dim;
    c->encoder_depth = c->decoder_depth = sizes[size].depth;
    c->heads = sizes[size].heads;
    c->mlp_ratio = 4.0;
    c->gated_mlp = families[family].gated;
    c->gelu = !c->gated_mlp;
    c->qkv_bias = c->proj_bias = c->mlp_bias = c->norm_bias = biases;
    c->qk_norm = families[family].qk_norm;
    c->registers = 0;
    c->shared_vocabulary = 0;
    c->image_size = 224;
    c->patch_size = 16;
}

tsr_status tsr_fm_preset(const char *name, tsr_fm_config *c)
{
    char full[64];
    for (size_t i = 0; i < SIZES; i++)
        for (size_t j = 0; j < FAMILIES; j++) {
            snprintf(full, sizeof full, "fm_%s_%zue_%zud_%s", sizes[i].name, sizes[i].depth,
                     sizes[i].depth, families[j].name);
            if (strcmp(name, full) == 0 || (j == 1 && strcmp(name, sizes[i].name) == 0)) {
                take_preset(i, j, c);
                return TSR_OK;
            }
        }
    TSR_FAIL(TSR_ECONFIG,
             "model \"%.80s\" is not known: tiny, small, base, large, xlarge, or a published name "
             "such as fm_base_12e_12d_swiglu_nobias (also _gelu, _swiglu_qknorm_nobias)",
             name);
}

size_t tsr_fm_hidden(const tsr_fm_config *c)
{
    size_t plain = (size_t)((double)c->dim * c->mlp_ratio);
    return c->gated_mlp ? (size_t)(2.0 * (double)plain / 3.0) : plain;
}

size_t tsr_fm_vocabulary(const tsr_fm_config *c)
{
    size_t all = 0;
    for (size_t i = 0; i < c->mods.count; i++) {
        size_t end = (size_t)c->mods.items[i].base + c->mods.items[i].vocabulary;
        all = c->mods.items[i].vocabulary && end > all ? end : all;
    }
    return all;
}

/* --- checks ---------------------------------------------------------------------------------- */

static tsr_status in_range(const char *what, size_t v, size_t lo, size_t hi)
{
    if (v < lo || v > hi)
        TSR_FAIL(TSR_ECONFIG, "%s is %zu, expected %zu to %zu", what, v, lo, hi);
    return TSR_OK;
}

static tsr_status check_grid(const tsr_mod *m)
{
    uint64_t places = (uint64_t)m->height * m->width;
    int fits = m->cls == TSR_CLASS_VECTOR ? m->places >= 1 : m->places == places;
    if (!m->height || !m->width || !fits || m->positions < m->places)
        TSR_FAIL(TSR_ECONFIG, "modality '%s' has %u places and %u positions on a grid of %u x %u",
                 m->name, m->places, m->positions, m->height, m->width);
    return TSR_OK;
}

static tsr_status check_mod(const tsr_mod *m)
{
    if (!tsr_modality_name_ok(m->name))
        TSR_FAIL(TSR_ECONFIG, "'%s' is not a modality's name", m->name);
    if (!m->input && !m->output)
        TSR_FAIL(TSR_ECONFIG, "modality '%s' is neither input nor output", m->name);
    if (m->positions < 1 || m->positions > POSITIONS_MAX)
        TSR_FAIL(TSR_ECONFIG, "modality '%s' has %u positions, expected 1 to %u", m->name,
                 m->positions, POSITIONS_MAX);
    if (m->cls != TSR_CLASS_SEQUENCE)
        TSR_TRY(check_grid(m));
    if (m->cls == TSR_CLASS_PIXELS &&
        (m->output || m->patch_values < 3 || m->patch_values % 3 || m->patch_values > DIM_MAX))
        TSR_FAIL(TSR_ECONFIG, "modality '%s': pixels are inputs only, of 3 to %d values a patch",
                 m->name, DIM_MAX);
    if (m->cls != TSR_CLASS_PIXELS &&
        (m->vocabulary < 1 || (uint64_t)m->base + m->vocabulary > INT32_MAX))
        TSR_FAIL(TSR_ECONFIG,
                 "modality '%s' has %u ids from %u on, expected at least 1, and all "
                 "below 2^31",
                 m->name, m->vocabulary, m->base);
    return TSR_OK;
}

static tsr_status check_mods(const tsr_mods *mods)
{
    size_t in = 0, out = 0;
    TSR_TRY(in_range("the number of modalities", mods->count, 1, TSR_MODALITIES));
    for (size_t i = 0; i < mods->count; i++) {
        TSR_TRY(check_mod(&mods->items[i]));
        if (i && strcmp(mods->items[i - 1].name, mods->items[i].name) >= 0)
            TSR_FAIL(TSR_ECONFIG, "modalities '%s' and '%s' are not in order",
                     mods->items[i - 1].name, mods->items[i].name);
        in += mods->items[i].input != 0;
        out += mods->items[i].output != 0;
    }
    if (!in || !out)
        TSR_FAIL(TSR_ECONFIG, "the model has no %s modality", in ? "output" : "input");
    return TSR_OK;
}

tsr_status tsr_fm_config_check(const tsr_fm_config *c)
{
    TSR_TRY(in_range("dim", c->dim, 4, DIM_MAX));
    TSR_TRY(in_range("encoder_depth", c->encoder_depth, 1, DEPTH_MAX));
    TSR_TRY(in_range("decoder_depth", c->decoder_depth, 1, DEPTH_MAX));
    TSR_TRY(in_range("heads", c->heads, 1, c->dim));
    TSR_TRY(in_range("registers", c->registers, 0, 4096));
    if (c->dim % 4 || c->dim % c->heads || c->dim / c->heads > HEAD_WIDTH_MAX)
        TSR_FAIL(TSR_ECONFIG,
                 "dim %zu must be a multiple of 4 and of its %zu heads, each at most %d wide",
                 c->dim, c->heads, HEAD_WIDTH_MAX);
    if (!(c->mlp_ratio > 0.0 && c->mlp_ratio <= 64.0) || tsr_fm_hidden(c) < 1)
        TSR_FAIL(TSR_ECONFIG, "mlp_ratio %g is out of range: above 0, at most 64", c->mlp_ratio);
    return check_mods(&c->mods);
}

/* --- making ---------------------------------------------------------------------------------- */

tsr_status tsr_fm_create(const tsr_fm_config *c, uint64_t seed, tsr_fm **out)
{
    tsr_status st;
    tsr_fm *m = NULL;
    const tsr_fm_fill how = {.seed = seed, .fill = 1};
    TSR_GO(tsr_fm_config_check(c));
    TSR_GO(tsr_alloc(&m, 1, sizeof *m));
    m->config = *c;
    TSR_GO(tsr_fm_make_tensors(m, &how));
    *out = m;
    m = NULL;
out:
    tsr_fm_destroy(m);
    return st;
}

void tsr_fm_destroy(tsr_fm *m)
{
    if (!m)
        return;
    tsr_params_destroy(m->ps);
    json_decref(m->extra);
    json_decref(m->left_out);
    json_decref(m->problems);
    tsr_free(m);
}

const tsr_fm_config *tsr_fm_get_config(const tsr_fm *m)
{
    return &m->config;
}

tsr_params *tsr_fm_params(const tsr_fm *m)
{
    return m->ps;
}
