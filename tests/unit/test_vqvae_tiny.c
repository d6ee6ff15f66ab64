/* SPDX-License-Identifier: Apache-2.0
 * Settings and files of toy networks of every kind. What they compute is test_selfcheck's. */
#include "tinynet.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/str.h"
#include "nn/safetensors.h"
#include "vqvae/vqvae.h"

#include <math.h>

static tsr_vqvae_config small(void)
{
    tsr_vqvae_config c = tsr_vqvae_config_defaults();
    c.image_size = 16;
    c.patch_size = 4;
    c.enc_dim = c.dec_dim = 16;
    c.enc_depth = c.dec_depth = 2;
    c.enc_heads = c.dec_heads = 4;
    c.latent_dim = 8;
    c.codebook_size = 24;
    c.post_mlp = 1;
    return c;
}

static void use_vectors(tsr_vqvae_config *c, const char *type)
{
    strcpy(c->enc_type, type);
    strcpy(c->dec_type, type);
    strcpy(c->quant_type, "memcodes");
    c->num_codebooks = 4;
    c->n_channels = 10;
}

static tsr_vqvae_config config_of(const char *what)
{
    tsr_vqvae_config c = small();
    if (strcmp(what, "rgb") == 0)
        c.post_mlp = 0;
    if (strcmp(what, "labels") == 0) {
        c.n_channels = 6;
        c.n_labels = 5;
    }
    if (strcmp(what, "feature map") == 0) {
        c.n_channels = 12;
        c.patch_proj = 0;
        c.image_size = 4;
    }
    if (strncmp(what, "mask", 4) == 0) {
        c.n_channels = 1;
        c.out_conv = 1;
    }
    if (strcmp(what, "euclidean") == 0)
        c.norm_codes = 0;
    if (strncmp(what, "bottleneck", 10) == 0)
        use_vectors(&c, "BottleneckMLP/B_2-Wi_8");
    if (strncmp(what, "plain", 5) == 0)
        use_vectors(&c, "MLP/B_3-Wi_8");
    return c;
}

/* --- settings ---------------------------------------------------------------------------------- */

static tsr_status read_text(const char *text, tsr_vqvae_config *c)
{
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    tsr_status st = tsr_vqvae_config_read(j, "recipe.yaml", c);
    json_decref(j);
    return st;
}

static void recipes_are_strict(void **state)
{
    (void)state;
    tsr_vqvae_config c;
    assert_ok(read_text("{\"image_size\": 64, \"patch_size\": 8, \"ema_decay\": 1, \"post_mlp\": true,"
                        "\"enc_type\": \"vit_s_enc\", \"image_size_enc\": null}", &c));
    assert_int_equal(c.image_size, 64);
    assert_true(c.ema_decay == 1 && c.post_mlp == 1 && c.image_size_enc == 0);
    assert_int_equal(c.codebook_size, 16384);
    assert_fails(TSR_ECONFIG, read_text("{\"codebok_size\": 5}", &c));
    assert_non_null(strstr(tsr_error(), "codebook_size"));
    assert_non_null(strstr(tsr_error(), "recipe.yaml"));
    static const char *const bad[] = {
        "{\"codebook_size\": 0}", "{\"codebook_size\": 1.5}", "{\"codebook_size\": \"8\"}",
        "{\"post_mlp\": 1}", "{\"ema_decay\": 2}", "{\"enc_type\": 3}", "{\"image_size\": null}",
        "{\"image_size\": 100}", "{\"quant_type\": \"fsq\"}", "{\"num_codebooks\": 2}",
        "{\"quant_type\": \"memcodes\", \"num_codebooks\": 3}", "{\"undo_std\": true}", "[]",
        "{\"quant_type\": \"fsq\", \"levels\": \"65535x65535\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(TSR_ECONFIG, read_text(bad[i], &c));
}

static void models_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const char *const types[] = {"vit_x_enc", "BottleneckMLP/B_0-Wi_8", "BottleneckMLP/",
                                        "unet_patched", "MLP/B_3-Wi_99999999"};
    tsr_vqvae *m;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        tsr_vqvae_config c = small();
        strcpy(c.enc_type, types[i]);
        assert_fails(TSR_EUNSUPPORTED, tsr_vqvae_create(&c, 0, &m));
    }
    tsr_vqvae_config c = small();
    c.enc_heads = 3;
    assert_fails(TSR_ECONFIG, tsr_vqvae_create(&c, 0, &m));
    c = small();
    strcpy(c.quant_type, "vq-next");
    assert_fails(TSR_EUNSUPPORTED, tsr_vqvae_create(&c, 0, &m));
    c = small();
    strcpy(c.dec_type, "BottleneckMLP/B_1-Wi_8");
    assert_fails(TSR_ECONFIG, tsr_vqvae_create(&c, 0, &m));
}

/* --- files ------------------------------------------------------------------------------------- */

static char path[512];

static const char *scratch(const char *name)
{
    snprintf(path, sizeof path, "%s/test_vqvae_%s.safetensors", build_folder(), name);
    return path;
}

static void same_bytes(const char *a, const char *b)
{
    char *x, *y;
    size_t nx, ny;
    assert_ok(tsr_file_read(a, 1 << 28, &x, &nx));
    assert_ok(tsr_file_read(b, 1 << 28, &y, &ny));
    assert_int_equal(nx, ny);
    assert_memory_equal(x, y, nx);
    tsr_free(x);
    tsr_free(y);
}

static void files_round_trip(void **state)
{
    (void)state;
    static const char *const kinds[] = {"rgb", "labels", "feature map", "mask", "euclidean",
                                        "bottleneck", "plain", "fsq", "wide"};
    char first[512];
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        tsr_vqvae_config c = config_of(kinds[i]);
        tsr_vqvae *m, *back;
        if (strcmp(kinds[i], "fsq") == 0) {
            strcpy(c.quant_type, "fsq");
            strcpy(c.levels, "8x5x3");
        }
        if (strcmp(kinds[i], "wide") == 0) {
            c.image_height = 8;
            c.image_width = 32;
        }
        json_t *extra = json_pack("{s:s}", "tessera.range", "[-1.0, 1.0]");
        assert_ok(tsr_vqvae_create(&c, 5, &m));
        assert_ok(tsr_vqvae_write(m, scratch("first"), 0, extra));
        strcpy(first, path);
        assert_ok(tsr_vqvae_open(first, 0, &back));
        const tsr_vqvae_info *a = tsr_vqvae_info_of(m), *b = tsr_vqvae_info_of(back);
        assert_int_equal(a->height, b->height);
        assert_int_equal(a->width, b->width);
        assert_int_equal(a->codes, b->codes);
        assert_int_equal(a->heads, b->heads);
        assert_int_equal(a->values, b->values);
        assert_int_equal(a->is_vector, b->is_vector);
        assert_string_equal(a->quantizer, b->quantizer);
        assert_string_equal(
            json_string_value(json_object_get(tsr_vqvae_metadata(back), "tessera.range")),
            "[-1.0, 1.0]");
        assert_ok(tsr_vqvae_write(back, scratch("second"), 0, extra));
        same_bytes(first, path);
        json_decref(extra);
        tsr_vqvae_destroy(m);
        tsr_vqvae_destroy(back);
    }
}

static void published_settings_are_written_as_published(void **state)
{
    (void)state;
    const tsr_vqvae_config c = small();
    json_t *m;
    tsr_vqvae_config back;
    assert_ok(tsr_vqvae_config_to_metadata(&c, &m));
    static const struct {
        const char *key, *text;
    } want[] = {{"image_size", "16"}, {"image_size_enc", "None"}, {"n_labels", "None"},
                {"patch_proj", "True"}, {"norm_latents", "False"}, {"ema_decay", "0.99"},
                {"commitment_weight", "1.0"}, {"enc_type", "vit_b_enc"}, {"tessera.enc_dim", "16"}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        assert_string_equal(json_string_value(json_object_get(m, want[i].key)), want[i].text);
    assert_null(json_object_get(m, "tessera.levels"));
    json_object_set_new(m, "format", json_string("pt"));
    json_object_set_new(m, "commitment_weight", json_string("1e-1"));
    assert_ok(tsr_vqvae_config_from_metadata(m, "x", &back));
    assert_int_equal(back.enc_dim, 16);
    assert_true(back.commitment_weight == 0.1);
    json_object_set_new(m, "codebook_size", json_string("many"));
    assert_fails(TSR_EFORMAT, tsr_vqvae_config_from_metadata(m, "x", &back));
    json_decref(m);
}

static void an_encoder_alone_gives_the_same_tokens(void **state)
{
    (void)state;
    const tsr_vqvae_config c = small();
    tsr_vqvae *m[3];
    static float pixels[3 * 256], out[768];
    int32_t ids[3][16];
    char full[512];
    for (size_t i = 0; i < 768; i++)
        pixels[i] = sinf((float)i);
    assert_ok(tsr_vqvae_create(&c, 5, &m[0]));
    assert_ok(tsr_vqvae_write(m[0], scratch("full"), 0, NULL));
    strcpy(full, path);
    assert_ok(tsr_vqvae_write(m[0], scratch("encoder"), TSR_VQVAE_ENCODER_ONLY, NULL));
    assert_ok(tsr_vqvae_open(path, 0, &m[1]));
    assert_ok(tsr_vqvae_open(full, TSR_VQVAE_ENCODER_ONLY, &m[2]));
    for (int i = 0; i < 3; i++) {
        tsr_vqvae_plan *plan;
        tsr_vqvae_work *w;
        assert_ok(tsr_vqvae_plan_create(m[i], 0, 0, TSR_PRECISION_FP32, &plan));
        assert_ok(tsr_vqvae_work_create(plan, &w));
        assert_ok(tsr_vqvae_encode(w, &(tsr_vqvae_input){.pixels = pixels}, NULL, ids[i]));
        assert_memory_equal(ids[0], ids[i], sizeof ids[0]);
        assert_int_equal(tsr_vqvae_info_of(m[i])->has_decoder, i == 0);
        if (i > 0)
            assert_fails(TSR_EARG, tsr_vqvae_decode(w, ids[i], out));
        tsr_vqvae_work_destroy(w);
        tsr_vqvae_plan_destroy(plan);
    }
    for (int i = 0; i < 3; i++)
        tsr_vqvae_destroy(m[i]);
}

/* Bad pixels, labels, ids, sizes. */
static void bad_input_is_refused(void **state)
{
    (void)state;
    tsr_vqvae_config c = config_of("labels");
    tsr_vqvae *m;
    tsr_vqvae_plan *plan;
    tsr_vqvae_work *w;
    static float pixels[3 * 256], out[5 * 256];
    static int32_t labels[256];
    int32_t ids[16] = {0};
    assert_ok(tsr_vqvae_create(&c, 5, &m));
    assert_fails(TSR_EARG, tsr_vqvae_plan_create(m, 15, 16, TSR_PRECISION_FP32, &plan));
    assert_fails(TSR_EARG, tsr_vqvae_plan_create(m, 16, 0, TSR_PRECISION_FP32, &plan));
    assert_fails(TSR_EARG, tsr_vqvae_plan_create(m, 1 << 20, 16, TSR_PRECISION_FP32, &plan));
    assert_ok(tsr_vqvae_plan_create(m, 0, 0, TSR_PRECISION_FP32, &plan));
    assert_ok(tsr_vqvae_work_create(plan, &w));
    assert_fails(TSR_EARG, tsr_vqvae_encode(w, &(tsr_vqvae_input){.pixels = pixels}, NULL, ids));
    labels[100] = 5;
    assert_fails(TSR_EARG, tsr_vqvae_encode(w, &(tsr_vqvae_input){.labels = labels}, NULL, ids));
    labels[100] = -1;
    assert_fails(TSR_EARG, tsr_vqvae_encode(w, &(tsr_vqvae_input){.labels = labels}, NULL, ids));
    labels[100] = 4;
    assert_ok(tsr_vqvae_encode(w, &(tsr_vqvae_input){.labels = labels}, NULL, ids));
    ids[3] = 24;
    assert_fails(TSR_EFORMAT, tsr_vqvae_decode(w, ids, out));
    ids[3] = -1;
    assert_fails(TSR_EFORMAT, tsr_vqvae_decode(w, ids, out));
    tsr_vqvae_work_destroy(w);
    tsr_vqvae_plan_destroy(plan);
    tsr_vqvae_destroy(m);

    c = config_of("rgb");
    assert_ok(tsr_vqvae_create(&c, 5, &m));
    assert_ok(tsr_vqvae_plan_create(m, 0, 0, TSR_PRECISION_FP32, &plan));
    assert_ok(tsr_vqvae_work_create(plan, &w));
    pixels[5] = INFINITY;
    assert_fails(TSR_ENUMERIC, tsr_vqvae_encode(w, &(tsr_vqvae_input){.pixels = pixels}, NULL, ids));
    tsr_vqvae_work_destroy(w);
    tsr_vqvae_plan_destroy(plan);
    tsr_vqvae_destroy(m);
}

/* Tensors dropped, added, turned or shrunk, one after the other: always a clear error. */
static void hostile_models_are_refused(void **state)
{
    (void)state;
    static const char *const kinds[] = {"labels", "bottleneck", "mask"};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        const tsr_vqvae_config c = config_of(kinds[k]);
        tsr_vqvae *m, *back;
        tsr_safetensors *f;
        tsr_stored items[128];
        assert_ok(tsr_vqvae_create(&c, 5, &m));
        assert_ok(tsr_vqvae_write(m, scratch("victim"), 0, NULL));
        assert_ok(tsr_safetensors_open(path, &f));
        size_t n = tsr_safetensors_count(f);
        assert_true(n < 128);
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++)
                items[j] = *tsr_safetensors_at(f, j);
            items[i] = items[n - 1]; /* dropped */
            assert_ok(tsr_safetensors_write(scratch("hostile"), items, n - 1,
                                            tsr_safetensors_metadata(f)));
            if (tsr_vqvae_open(path, 0, &back) == TSR_OK)
                fail_msg("%s is not missed", tsr_safetensors_at(f, i)->name);
            items[i] = *tsr_safetensors_at(f, i); /* claims to be huge in one direction */
            items[i].ndim = 2;
            items[i].shape[0] = items[i].count;
            items[i].shape[1] = 1;
            assert_ok(tsr_safetensors_write(scratch("hostile"), items, n,
                                            tsr_safetensors_metadata(f)));
            if (tsr_vqvae_open(path, 0, &back) == TSR_OK)
                tsr_vqvae_destroy(back);
        }
        tsr_safetensors_close(f);
        tsr_vqvae_destroy(m);
    }
}

/* Sizes of the maps around a codebook of several heads come from the file; they must fit it. */
static void heads_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const size_t shapes[][2] = {{16, 7}, {15, 8}, {8, 16}, {128, 1}};
    const net_settings s = {.net = "vqvae_vit_lucid_2heads"};
    net_file f;
    tsr_vqvae *m;
    make_file(&f, s.net);
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < f.count; k++) {
            tsr_stored *t = &f.tensors[k];
            if (strcmp(t->name, "quantize.project_in.weight") != 0)
                continue;
            memcpy(t->shape, shapes[i], sizeof shapes[i]);
            t->count = shapes[i][0] * shapes[i][1];
        }
        write_file(&f, &s, path_of("heads"));
        assert_fails(TSR_EMISMATCH, tsr_vqvae_open(path_of("heads"), 0, &m));
        assert_non_null(strstr(tsr_error(), path_of("heads")));
    }
    remove(path_of("heads"));
    clear_file(&f);
}

/* --- independence ------------------------------------------------------------------------------ */

typedef struct many {
    const tsr_vqvae_plan *plan;
    const float *pixels;
    int32_t *ids;
    tsr_vqvae_work *w[8];
} many;

static tsr_status encode_one(void *ctx, size_t i, int lane)
{
    const many *j = ctx;
    return tsr_vqvae_encode(j->w[lane], &(tsr_vqvae_input){.pixels = j->pixels + i * 768}, NULL,
                            j->ids + i * 16);
}

static void tokens_do_not_depend_on_threads(void **state)
{
    (void)state;
    const tsr_vqvae_config c = small();
    tsr_vqvae *m;
    tsr_vqvae_plan *plan;
    static float pixels[32 * 768];
    int32_t ids[3][32 * 16];
    for (size_t i = 0; i < 32 * 768; i++)
        pixels[i] = sinf((float)i * 0.37f);
    assert_ok(tsr_vqvae_create(&c, 5, &m));
    assert_ok(tsr_vqvae_plan_create(m, 0, 0, tsr_precision_default(), &plan));
    many job = {.plan = plan, .pixels = pixels};
    for (int i = 0; i < 8; i++)
        assert_ok(tsr_vqvae_work_create(plan, &job.w[i]));
    for (int threads = 1; threads <= 3; threads++) {
        job.ids = ids[threads - 1];
        tsr_par_set_threads(threads);
        assert_ok(tsr_par_for(32, encode_one, &job));
        assert_memory_equal(ids[0], ids[threads - 1], sizeof ids[0]);
    }
    tsr_par_set_threads(0);
    for (int i = 0; i < 8; i++)
        tsr_vqvae_work_destroy(job.w[i]);
    tsr_vqvae_plan_destroy(plan);
    tsr_vqvae_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recipes_are_strict),
        cmocka_unit_test(models_that_cannot_be_are_refused),
        cmocka_unit_test(files_round_trip),
        cmocka_unit_test(published_settings_are_written_as_published),
        cmocka_unit_test(an_encoder_alone_gives_the_same_tokens),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(hostile_models_are_refused),
        cmocka_unit_test(heads_that_do_not_fit_are_refused),
        cmocka_unit_test(tokens_do_not_depend_on_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
