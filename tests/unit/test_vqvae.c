/* SPDX-License-Identifier: Apache-2.0
 * VQ-VAEs against the reference's outputs; settings; files; hostile files. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "nn/safetensors.h"
#include "vqvae/vqvae.h"

#include <math.h>

/* --- golden files -------------------------------------------------------------------------------
 * See tests/data/golden/README.md. TESSERA_GOLDEN names a folder with more of them. */

#define MARGIN 1e-5    /* two codes this close may be told apart differently */
#define RELATIVE 1e-4

typedef struct golden {
    tsr_safetensors *io;
    tsr_vqvae *m;
    tsr_vqvae_plan *plan;
    tsr_vqvae_work *work;
    const tsr_vqvae_sizes *sizes;
    size_t samples, heads, rows, z;
    float *latents, *decoded;
    int32_t *ids;
} golden;

static void golden_open(golden *g, const char *folder, const char *model, const char *name)
{
    char path[1024];
    const tsr_stored *in, *tokens, *latents;
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, model);
    assert_ok(tsr_vqvae_open(path, 0, &g->m));
    snprintf(path, sizeof path, "%s/%s.io.safetensors", folder, name);
    assert_ok(tsr_safetensors_open(path, &g->io));
    assert_ok(tsr_safetensors_get(g->io, "input", &in));
    assert_ok(tsr_safetensors_get(g->io, "tokens", &tokens));
    assert_ok(tsr_safetensors_get(g->io, "latents", &latents));
    size_t h = in->shape[in->ndim - 2], w = in->shape[in->ndim - 1];
    assert_ok(tsr_vqvae_plan_create(g->m, h, w, TSR_PRECISION_FP32, &g->plan));
    assert_ok(tsr_vqvae_work_create(g->plan, &g->work));
    g->sizes = tsr_vqvae_plan_sizes(g->plan);
    g->samples = tokens->shape[0];
    g->heads = tsr_vqvae_info_of(g->m)->heads;
    g->z = tsr_vqvae_info_of(g->m)->code_width;
    g->rows = g->sizes->latents / g->z;
    assert_int_equal(tokens->count, g->samples * g->sizes->ids);
    assert_int_equal(latents->count, g->samples * g->sizes->latents);
    assert_ok(tsr_alloc(&g->latents, g->sizes->latents, sizeof *g->latents));
    assert_ok(tsr_alloc(&g->ids, g->sizes->ids, sizeof *g->ids));
    assert_ok(tsr_alloc(&g->decoded, g->sizes->output, sizeof *g->decoded));
}

static void golden_close(golden *g)
{
    tsr_vqvae_work_destroy(g->work);
    tsr_vqvae_plan_destroy(g->plan);
    tsr_vqvae_destroy(g->m);
    tsr_safetensors_close(g->io);
    tsr_free(g->latents);
    tsr_free(g->ids);
    tsr_free(g->decoded);
}

static int64_t whole_at(const tsr_stored *t, size_t i)
{
    int32_t narrow;
    int64_t wide;
    memcpy(&narrow, (const char *)t->data + 4 * i, sizeof narrow);
    if (t->dtype == TSR_I32)
        return narrow;
    memcpy(&wide, (const char *)t->data + 8 * i, sizeof wide);
    return wide;
}

static float real_at(const tsr_stored *t, size_t i)
{
    float x;
    memcpy(&x, (const char *)t->data + 4 * i, sizeof x);
    return x;
}

static void golden_encode(golden *g, size_t n)
{
    const tsr_stored *in;
    assert_ok(tsr_safetensors_get(g->io, "input", &in));
    size_t each = in->count / g->samples;
    float *pixels;
    int32_t *labels;
    assert_ok(tsr_alloc(&pixels, each, sizeof *pixels));
    assert_ok(tsr_alloc(&labels, each, sizeof *labels));
    int is_label = tsr_vqvae_info_of(g->m)->labels > 0;
    for (size_t i = 0; i < each; i++) {
        if (is_label)
            labels[i] = (int32_t)whole_at(in, n * each + i);
        else
            pixels[i] = real_at(in, n * each + i);
    }
    const tsr_vqvae_input input = {.pixels = is_label ? NULL : pixels,
                                   .labels = is_label ? labels : NULL};
    assert_ok(tsr_vqvae_encode(g->work, &input, g->latents, g->ids));
    tsr_free(pixels);
    tsr_free(labels);
}

/* Largest |want|: "relative" is to the scale of the tensor. */
static double scale_of(const tsr_stored *t)
{
    double m = 0;
    for (size_t i = 0; i < t->count; i++)
        m = fmax(m, fabs((double)real_at(t, i)));
    return m;
}

static void check_latents(const golden *g, size_t n)
{
    const tsr_stored *want;
    assert_ok(tsr_safetensors_get(g->io, "latents", &want));
    double scale = scale_of(want), worst = 0;
    for (size_t r = 0; r < g->rows; r++)
        for (size_t d = 0; d < g->z; d++)
            worst = fmax(worst, fabs((double)g->latents[r * g->z + d] -
                                     (double)real_at(want, (n * g->z + d) * g->rows + r)));
    if (worst > RELATIVE * scale)
        fail_msg("latents are off by %g, %g of their scale", worst, worst / scale);
}

/* The reference's token for head h and row r of sample n, and its margin ([rows] or [heads, rows]). */
static void check_ids(golden *g, size_t n)
{
    const tsr_stored *want, *margin;
    size_t differ = 0;
    assert_ok(tsr_safetensors_get(g->io, "tokens", &want));
    assert_ok(tsr_safetensors_get(g->io, "margin", &margin));
    for (size_t h = 0; h < g->heads; h++) {
        for (size_t r = 0; r < g->rows; r++) {
            int64_t id = whole_at(want, (n * g->heads + h) * g->rows + r);
            size_t at = h * g->samples * g->rows + n * g->rows + r;
            if (g->ids[h * g->rows + r] == id)
                continue;
            if ((double)real_at(margin, at) >= MARGIN)
                fail_msg("token %zu of head %zu is %d, expected %lld (margin %g)", r, h,
                         g->ids[h * g->rows + r], (long long)id, (double)real_at(margin, at));
            differ++;
            g->ids[h * g->rows + r] = (int32_t)id; /* decode what the reference decoded */
        }
    }
    assert_true(differ <= 2);
}

static void check_decoded(const golden *g, size_t n)
{
    const tsr_stored *want = tsr_safetensors_find(g->io, "decoded");
    size_t stride = want ? 1 : 37;
    if (!want)
        assert_ok(tsr_safetensors_get(g->io, "decoded.37", &want));
    double scale = scale_of(want), worst = 0;
    size_t each = want->count / g->samples;
    assert_int_equal(each, (g->sizes->output + stride - 1) / stride);
    for (size_t i = 0; i < each; i++)
        worst = fmax(worst, fabs((double)g->decoded[i * stride] -
                                 (double)real_at(want, n * each + i)));
    if (worst > RELATIVE * scale)
        fail_msg("decoded values are off by %g, %g of their scale", worst, worst / scale);
}

static void check_golden(const char *folder, const char *model, const char *name)
{
    golden g = {0};
    golden_open(&g, folder, model, name);
    for (size_t n = 0; n < g.samples; n++) {
        golden_encode(&g, n);
        check_latents(&g, n);
        check_ids(&g, n);
        assert_ok(tsr_vqvae_decode(g.work, g.ids, g.decoded));
        check_decoded(&g, n);
    }
    golden_close(&g);
}

static const char *golden_folder(void)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/tests/data/golden", source_folder());
    return path;
}

static void rgb_of_another_resolution_matches_the_reference(void **state)
{
    (void)state;
    check_golden(golden_folder(), "rgb", "rgb-448x320");
}

static void rgb_matches_the_reference(void **state)
{
    (void)state;
    check_golden(golden_folder(), "rgb", "rgb");
}

static void euclidean_codes_match_the_reference(void **state)
{
    (void)state;
    check_golden(golden_folder(), "euclidean", "euclidean");
}

static void vectors_with_product_codes_match_the_reference(void **state)
{
    (void)state;
    check_golden(golden_folder(), "dinov2-global", "dinov2-global");
}

static void further_golden_files_match(void **state)
{
    (void)state;
    static const char *const names[] = {"rgb", "euclidean", "dinov2-global", "semseg",
                                        "clip-featuremap", "sam-instance", "depth-outconv"};
    const char *folder = getenv("TESSERA_GOLDEN");
    if (!folder)
        skip();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        print_message("%s\n", names[i]);
        check_golden(folder, names[i], names[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rgb_matches_the_reference),
        cmocka_unit_test(rgb_of_another_resolution_matches_the_reference),
        cmocka_unit_test(euclidean_codes_match_the_reference),
        cmocka_unit_test(vectors_with_product_codes_match_the_reference),
        cmocka_unit_test(further_golden_files_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
