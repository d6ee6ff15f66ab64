/* SPDX-License-Identifier: Apache-2.0
 * Starting from principal components and k-means: the new model is k-means before its first step. */
#include "testing.h"

#include "base/mem.h"
#include "base/rng.h"
#include "vqvae/vqstart.h"

#include <math.h>

enum { SIDE = 16, PATCH = 4, CELLS = 16, PIXELS = SIDE * SIDE, PATCHES = 4000 };

static tsr_vqvae *make(const char *more)
{
    char text[512];
    json_t *section;
    tsr_vqvae_config c;
    tsr_vqvae *m;
    snprintf(text, sizeof text,
             "{\"image_size\": %d, \"patch_size\": %d, \"enc_dim\": 64, \"enc_depth\": 2, "
             "\"enc_heads\": 2, \"dec_dim\": 64, \"dec_depth\": 2, \"dec_heads\": 2, "
             "\"codebook_size\": 32, \"latent_dim\": 4, \"post_mlp\": true, \"norm_codes\": false, %s}",
             SIDE, PATCH, more);
    assert_ok(tsr_json_parse(text, strlen(text), "test", &section));
    assert_ok(tsr_vqvae_config_read(section, "test", &c));
    json_decref(section);
    assert_ok(tsr_vqvae_create(&c, 5, &m));
    return m;
}

/* One of eight templates, brighter or darker. */
static void template(tsr_rng *r, float *patch, size_t dim)
{
    unsigned which = tsr_rng_below(r, 8);
    float level = tsr_rng_range(r, 0.5f, 1.0f);
    for (size_t i = 0; i < dim; i++)
        patch[i] = level * sinf((float)(which + 1) * (float)i * 0.1f);
}

static void the_model_begins_as_kmeans(void **state)
{
    (void)state;
    enum { DIM = PATCH * PATCH };
    tsr_vqvae *m = make("\"n_channels\": 1");
    float *patches, image[PIXELS], got[PIXELS];
    tsr_rng r;
    tsr_rng_init(&r, 2, TSR_RNG_TEST, 0);
    assert_ok(tsr_alloc(&patches, PATCHES * DIM, sizeof *patches));
    for (size_t i = 0; i < PATCHES; i++)
        template(&r, patches + i * DIM, DIM);
    assert_ok(tsr_vqvae_start(m, patches, PATCHES, 512, 9, NULL));
    for (size_t cell = 0; cell < CELLS; cell++)
        for (size_t i = 0; i < DIM; i++)
            image[(cell / 4 * PATCH + i / PATCH) * SIDE + cell % 4 * PATCH + i % PATCH] =
                patches[cell * DIM + i];
    tsr_vqvae_plan *plan;
    tsr_vqvae_work *w;
    int32_t ids[CELLS];
    assert_ok(tsr_vqvae_plan_create(m, 0, 0, TSR_PRECISION_FP32, &plan));
    assert_ok(tsr_vqvae_work_create(plan, &w));
    const tsr_vqvae_input in = {.pixels = image};
    assert_ok(tsr_vqvae_encode(w, &in, NULL, ids));
    assert_ok(tsr_vqvae_decode(w, ids, got));
    double error = 0, power = 0;
    for (int i = 0; i < PIXELS; i++) {
        error += (double)(got[i] - image[i]) * (got[i] - image[i]);
        power += (double)image[i] * image[i];
    }
    /* Four components and 32 codes hold nearly all of eight templates; random weights give noise. */
    assert_true(error < 0.1 * power);
    tsr_vqvae_work_destroy(w);
    tsr_vqvae_plan_destroy(plan);
    tsr_free(patches);
    tsr_vqvae_destroy(m);
}

static void labels_begin_as_kmeans(void **state)
{
    (void)state;
    enum { CLASSES = 3, DIM = CLASSES * PATCH * PATCH };
    tsr_vqvae *m = make("\"n_labels\": 3, \"n_channels\": 6");
    float *patches, logits[CLASSES * PIXELS];
    int32_t labels[PIXELS], ids[CELLS];
    tsr_rng r;
    tsr_rng_init(&r, 2, TSR_RNG_TEST, 1);
    assert_ok(tsr_alloc(&patches, PATCHES * DIM, sizeof *patches));
    /* Two classes on either side of a column. */
    for (size_t i = 0; i < PATCHES; i++) {
        unsigned left = tsr_rng_below(&r, 3), right = tsr_rng_below(&r, 3);
        unsigned edge = tsr_rng_below(&r, 2) * 2 + 1;
        for (size_t p = 0; p < PATCH * PATCH; p++) {
            unsigned c = p % PATCH < edge ? left : right;
            patches[i * DIM + c * PATCH * PATCH + p] = 1;
            if (i < CELLS)
                labels[(i / 4 * PATCH + p / PATCH) * SIDE + i % 4 * PATCH + p % PATCH] = (int32_t)c;
        }
    }
    assert_ok(tsr_vqvae_start(m, patches, PATCHES, 512, 9, NULL));
    tsr_vqvae_plan *plan;
    tsr_vqvae_work *w;
    assert_ok(tsr_vqvae_plan_create(m, 0, 0, TSR_PRECISION_FP32, &plan));
    assert_ok(tsr_vqvae_work_create(plan, &w));
    const tsr_vqvae_input in = {.labels = labels};
    assert_ok(tsr_vqvae_encode(w, &in, NULL, ids));
    assert_ok(tsr_vqvae_decode(w, ids, logits));
    int right = 0;
    for (int p = 0; p < PIXELS; p++) {
        int best = 0;
        for (int c = 1; c < CLASSES; c++)
            best = logits[c * PIXELS + p] > logits[best * PIXELS + p] ? c : best;
        right += best == labels[p];
    }
    assert_true(right > 0.9 * PIXELS);
    tsr_vqvae_work_destroy(w);
    tsr_vqvae_plan_destroy(plan);
    tsr_free(patches);
    tsr_vqvae_destroy(m);
}

static void models_that_cannot_start_so_are_refused(void **state)
{
    (void)state;
    float *patches;
    assert_ok(tsr_alloc(&patches, 4000 * 48, sizeof *patches));
    tsr_vqvae *few = make("\"n_labels\": 3, \"n_channels\": 2");
    assert_fails(TSR_ECONFIG, tsr_vqvae_start(few, patches, 1000, 512, 0, NULL));
    tsr_vqvae_destroy(few);
    tsr_vqvae *fsq = make("\"n_channels\": 1, \"quant_type\": \"fsq\", \"levels\": \"8x8\"");
    assert_fails(TSR_ECONFIG, tsr_vqvae_start(fsq, patches, 1000, 512, 0, NULL));
    tsr_vqvae_destroy(fsq);
    tsr_vqvae *plain = make("\"n_channels\": 1");
    assert_fails(TSR_EARG, tsr_vqvae_start(plain, patches, 3, 512, 0, NULL));
    patches[0] = 1; /* fewer patches than codes are enough */
    assert_ok(tsr_vqvae_start(plain, patches, 31, 512, 0, NULL));
    tsr_vqvae_destroy(plain);
    tsr_free(patches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_begins_as_kmeans),
        cmocka_unit_test(labels_begin_as_kmeans),
        cmocka_unit_test(models_that_cannot_start_so_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
