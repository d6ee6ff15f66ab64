/* SPDX-License-Identifier: Apache-2.0
 * First values for short runs: shared places, queries as keys, embeddings from code vectors. */
#include "testing.h"

#include "nn/safetensors.h"
#include "trainer/fmstart.h"

#include <math.h>
#include <unistd.h>

enum { WIDTH = 64, CODES = 48, CODE_WIDTH = 3 };

static void add_grid(tsr_mods *mods, const char *name, uint32_t side, uint32_t codes)
{
    tsr_token_space s = {.layout = TSR_LAYOUT_GRID,
                         .height = side,
                         .width = side,
                         .levels = 1,
                         .codebook_size = codes};
    tsr_mod m;
    snprintf(s.modality, sizeof s.modality, "%s", name);
    snprintf(s.vocabulary, sizeof s.vocabulary, "%s", name);
    tsr_mod_of_space(&s, &m);
    assert_ok(tsr_mods_add(mods, &m));
}

static tsr_fm *model(void)
{
    tsr_fm_config c = {0};
    tsr_fm *m;
    assert_ok(tsr_fm_preset("tiny", &c));
    c.dim = WIDTH;
    c.heads = 1;
    c.encoder_depth = c.decoder_depth = 2;
    add_grid(&c.mods, "depth", 2, CODES);
    add_grid(&c.mods, "rgb", 4, CODES);
    assert_ok(tsr_fm_create(&c, 3, &m));
    return m;
}

static const float *value(tsr_fm *m, const char *name)
{
    tsr_param *p;
    assert_ok(tsr_params_get(tsr_fm_params(m), name, &p));
    return p->value;
}

/* The middle of a coarse place lies between the four fine ones it covers. */
static void places_agree(void **state)
{
    (void)state;
    tsr_fm *m = model();
    tsr_fm_start s = {.places = 1};
    assert_ok(tsr_fm_begin(m, &s, 1, NULL));
    const float *fine = value(m, "encoder_embeddings.rgb.pos_emb");
    const float *coarse = value(m, "decoder_embeddings.depth.pos_emb");
    /* place (1, 0) of 2 x 2 is row 2.5, column 0.5 of 4 x 4; frequency 1, sine of the row */
    assert_true(fabs((double)coarse[2 * WIDTH] - sin(2.5)) < 1e-6);
    assert_true(fabs((double)coarse[2 * WIDTH + WIDTH / 2] - sin(0.5)) < 1e-6);
    assert_true(fabs((double)fine[(2 * 4 + 1) * WIDTH] - sin(2.0)) < 1e-6);
    assert_true(fabs((double)fine[(2 * 4 + 1) * WIDTH + WIDTH / 2] - sin(1.0)) < 1e-6);
    tsr_fm_destroy(m);
}

static void keys_are_queries(void **state)
{
    (void)state;
    tsr_fm *m = model();
    size_t bytes = (size_t)WIDTH * WIDTH * sizeof(float);
    const float *qkv = value(m, "encoder.1.attn.qkv.weight");
    const float *q = value(m, "decoder.1.cross_attn.q.weight");
    const float *kv = value(m, "decoder.1.cross_attn.kv.weight");
    const float *own = value(m, "decoder.1.self_attn.qkv.weight");
    tsr_fm_start s = {.attention = 1};
    assert_memory_not_equal(kv, q, bytes);
    assert_ok(tsr_fm_begin(m, &s, 1, NULL));
    assert_memory_equal(kv, q, bytes);
    assert_memory_equal(qkv + WIDTH * WIDTH, qkv, bytes);
    assert_memory_not_equal(qkv + 2 * WIDTH * WIDTH, qkv, bytes);
    assert_memory_equal(own + WIDTH * WIDTH, own, bytes);
    tsr_fm_destroy(m);
}

/* A tokenizer file with code vectors on a line: neighbours must start as neighbours. */
static void write_codebook(const char *path, size_t codes)
{
    float v[CODES * CODE_WIDTH];
    for (size_t i = 0; i < CODES * CODE_WIDTH; i++)
        v[i] = (float)(i / CODE_WIDTH) * (i % CODE_WIDTH == 1 ? -2.0f : 1.0f) + 100.0f;
    tsr_stored t = {.name = "quantize._codebook.embed",
                    .dtype = TSR_F32,
                    .ndim = 2,
                    .shape = {codes, CODE_WIDTH},
                    .count = codes * CODE_WIDTH,
                    .data = v};
    assert_ok(tsr_safetensors_write(path, &t, 1, NULL));
}

static double distance(const float *table, size_t a, size_t b)
{
    double sum = 0.0;
    for (size_t d = 0; d < WIDTH; d++)
        sum += pow((double)table[a * WIDTH + d] - (double)table[b * WIDTH + d], 2);
    return sqrt(sum);
}

static double deviation(const float *table)
{
    double sum = 0.0;
    for (size_t i = 0; i < (size_t)CODES * WIDTH; i++)
        sum += (double)table[i] * (double)table[i];
    return sqrt(sum / (CODES * WIDTH));
}

static void codes_alike_start_alike(void **state)
{
    (void)state;
    char path[300], folder[256];
    tsr_fm *m = model();
    size_t done;
    snprintf(folder, sizeof folder, "%s", build_folder());
    snprintf(path, sizeof path, "%s/rgb.safetensors", folder);
    write_codebook(path, CODES);
    tsr_fm_start s = {.codes = folder, .tokens = 0.5};
    assert_ok(tsr_fm_begin(m, &s, 1, &done));
    assert_int_equal(done, 1);
    const float *in = value(m, "encoder_embeddings.rgb.token_emb.weight");
    const float *depth = value(m, "encoder_embeddings.depth.token_emb.weight");
    assert_true(distance(in, 0, 1) < 0.5 * distance(in, 0, CODES - 1));
    assert_true(fabs(deviation(in) - 0.5) < 0.15);
    assert_true(fabs(deviation(depth) - 0.5) < 0.05);
    assert_true(deviation(value(m, "decoder_embeddings.rgb.to_logits.weight")) < 0.06);
    write_codebook(path, CODES - 1); /* of another size: passed over */
    assert_ok(tsr_fm_begin(m, &s, 1, &done));
    assert_int_equal(done, 0);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("no tensors", f);
    fclose(f);
    assert_fails(TSR_EFORMAT, tsr_fm_begin(m, &s, 1, &done));
    unlink(path);
    s = (tsr_fm_start){.tokens = NAN};
    assert_fails(TSR_ECONFIG, tsr_fm_begin(m, &s, 1, &done));
    tsr_fm_destroy(m);
}

/* Value tokens near in number start near each other; other tokens stay as they were. */
static void values_alike_start_alike(void **state)
{
    (void)state;
    char path[300], folder[256];
    tsr_fm_config c = {0};
    tsr_token_space s = {.layout = TSR_LAYOUT_SEQUENCE,
                         .height = 1,
                         .width = 1,
                         .levels = 1,
                         .codebook_size = CODES,
                         .modality = "palette",
                         .vocabulary = "values"};
    tsr_mod mod;
    tsr_fm *m, *plain;
    size_t done;
    assert_ok(tsr_fm_preset("tiny", &c));
    c.dim = WIDTH;
    c.heads = c.encoder_depth = c.decoder_depth = 1;
    tsr_mod_of_space(&s, &mod);
    assert_ok(tsr_mods_add(&c.mods, &mod));
    assert_ok(tsr_fm_create(&c, 3, &m));
    assert_ok(tsr_fm_create(&c, 3, &plain));
    snprintf(folder, sizeof folder, "%s", build_folder());
    snprintf(path, sizeof path, "%s/values.json", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("{\"added_tokens\": [{\"id\": 4, \"content\": \"[S_0]\"}, {\"id\": 99, \"content\": "
          "\"v0=1\"}, 7",
          f);
    for (int i = 0; i < 40; i++)
        fprintf(f, ", {\"id\": %d, \"content\": \"v0=%d\"}", 8 + i, 10 * i);
    fputs("]}", f);
    fclose(f);
    tsr_fm_start start = {.codes = folder};
    assert_ok(tsr_fm_begin(m, &start, 1, &done));
    assert_int_equal(done, 1);
    const float *in = value(m, "encoder_embeddings.palette.token_emb.weight");
    const float *before = value(plain, "encoder_embeddings.palette.token_emb.weight");
    assert_true(distance(in, 8, 9) < 0.6 * distance(in, 8, 40));
    assert_memory_equal(in, before, 8 * WIDTH * sizeof *in);
    assert_memory_not_equal(in + 8 * WIDTH, before + 8 * WIDTH, WIDTH * sizeof *in);
    unlink(path);
    tsr_fm_destroy(m);
    tsr_fm_destroy(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_agree),
        cmocka_unit_test(keys_are_queries),
        cmocka_unit_test(codes_alike_start_alike),
        cmocka_unit_test(values_alike_start_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
