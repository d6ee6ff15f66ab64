/* SPDX-License-Identifier: Apache-2.0
 * Files of masked models: ours and published ones, there and back, and files that are wrong. */
#include "fmtest.h"

#include "nn/safetensors.h"

#include <math.h>
#include <unistd.h>

#define FILE_NAME "test_fmfile.safetensors"
#define CHANGED   "test_fmfile_changed.safetensors"

static tsr_fm *create(int biased, int shared)
{
    tsr_fm_config c = fmtest_config(biased, 30);
    tsr_fm *m;
    c.shared_vocabulary = shared;
    c.mods.items[DEPTH].tokenizer = (tsr_digest){5, 6};
    c.mlp_ratio = biased ? 2.5 : 4.0;
    assert_ok(tsr_fm_create(&c, 7, &m));
    return m;
}

/* All of a are in b. */
static void has_values(const tsr_fm *a, const tsr_fm *b)
{
    const tsr_params *x = tsr_fm_params(a), *y = tsr_fm_params(b);
    for (size_t i = 0; i < tsr_params_count(x); i++) {
        const tsr_param *p = tsr_params_at(x, i), *q = tsr_params_find(y, p->name);
        assert_non_null(q);
        assert_int_equal(p->flags, q->flags);
        assert_memory_equal(p->value, q->value, p->count * sizeof *p->value);
    }
}

/* The model tells what its writer added to the file; NULL: nothing. */
static void tells_provenance(const tsr_fm *m, const json_t *expected)
{
    json_t *o;
    assert_ok(tsr_fm_describe(m, &o));
    const json_t *got = json_object_get(o, "provenance");
    assert_true(expected ? json_equal(got, expected) : !got);
    json_decref(o);
}

static void same_values(const tsr_fm *a, const tsr_fm *b)
{
    assert_int_equal(tsr_params_count(tsr_fm_params(a)), tsr_params_count(tsr_fm_params(b)));
    has_values(a, b);
}

static void keeps_everything(void **state)
{
    (void)state;
    for (int form = 0; form < 4; form++) {
        tsr_fm *a = create(form % 2, form / 2), *b, *c;
        json_t *extra = json_pack("{s:s}", "from", "here");
        assert_ok(tsr_fm_write(a, FILE_NAME, 0, extra));
        assert_ok(tsr_fm_open(FILE_NAME, &b));
        assert_memory_equal(tsr_fm_get_config(a), tsr_fm_get_config(b), sizeof(tsr_fm_config));
        tells_provenance(b, extra);
        tells_provenance(a, NULL);
        same_values(a, b);
        /* once more: what the caller added stays */
        assert_ok(tsr_fm_write(b, FILE_NAME, 0, NULL));
        assert_ok(tsr_fm_open(FILE_NAME, &c));
        tells_provenance(c, extra);
        json_decref(extra);
        tsr_fm_destroy(a);
        tsr_fm_destroy(b);
        tsr_fm_destroy(c);
    }
}

static void writes_averages(void **state)
{
    (void)state;
    tsr_fm *a = create(0, 0), *b;
    tsr_param *p = tsr_params_find(tsr_fm_params(a), "mask_token");
    assert_ok(tsr_params_need_averages(tsr_fm_params(a)));
    p->average[3] = 42.0f;
    assert_ok(tsr_fm_write(a, FILE_NAME, 1, NULL));
    assert_ok(tsr_fm_open(FILE_NAME, &b));
    assert_true(tsr_params_find(tsr_fm_params(b), "mask_token")->value[3] == 42.0f);
    assert_fails(TSR_EIO, tsr_fm_write(a, "no/such/folder/x.safetensors", 0, NULL));
    tsr_fm_destroy(a);
    tsr_fm_destroy(b);
}

/* --- changed copies -------------------------------------------------------------------------- */

typedef struct change {
    const char *drop, *retype; /* a tensor to leave out; to claim another shape of */
    const char *add;           /* a tensor of 4 values to add */
    const char *untie;         /* a tensor to fill with other values */
    const char *key, *value;   /* metadata to set; value NULL: to remove */
} change;

static void write_changed(const change *c)
{
    tsr_safetensors *f;
    static const float four[4] = {1, 2, 3, 4};
    assert_ok(tsr_safetensors_open(FILE_NAME, &f));
    size_t n = 0, count = tsr_safetensors_count(f);
    tsr_stored *items = calloc(count + 1, sizeof *items);
    float *other = NULL;
    json_t *metadata = json_deep_copy(tsr_safetensors_metadata(f));
    for (size_t i = 0; i < count; i++) {
        tsr_stored t = *tsr_safetensors_at(f, i);
        if (c->drop && strcmp(t.name, c->drop) == 0)
            continue;
        if (c->retype && strcmp(t.name, c->retype) == 0) {
            t.ndim = 1;
            t.shape[0] = t.count;
        }
        if (c->untie && strcmp(t.name, c->untie) == 0) {
            t.data = other = calloc(t.count, sizeof *other);
            other[1] = 5.0f;
        }
        items[n++] = t;
    }
    if (c->add)
        items[n++] = (tsr_stored){
            .name = c->add, .dtype = TSR_F32, .ndim = 1, .shape = {4}, .count = 4, .data = four};
    if (c->key && c->value)
        json_object_set_new(metadata, c->key, json_string(c->value));
    else if (c->key)
        json_object_del(metadata, c->key);
    assert_ok(tsr_safetensors_write(CHANGED, items, n, metadata));
    json_decref(metadata);
    free(other);
    free(items);
    tsr_safetensors_close(f);
}

static void refused(tsr_status code, const char *word, const change *c)
{
    tsr_fm *m = NULL;
    write_changed(c);
    assert_fails(code, tsr_fm_open(CHANGED, &m));
    if (!strstr(tsr_error(), word))
        fail_msg("the message does not say \"%s\": %s", word, tsr_error());
}

static void refuses_other_tensors(void **state)
{
    (void)state;
    tsr_fm *a = create(0, 0);
    assert_ok(tsr_fm_write(a, FILE_NAME, 0, NULL));
    refused(TSR_EMISMATCH, "encoder.1.norm2.weight",
            &(change){.drop = "encoder.1.norm2.weight", .add = "surplus"});
    refused(TSR_EMISMATCH, "surplus",
            &(change){.drop = "encoder.1.norm2.weight", .add = "surplus"});
    refused(TSR_EMISMATCH, "decoder.0.mlp.fc1.weight",
            &(change){.retype = "decoder.0.mlp.fc1.weight"});
    refused(TSR_EFORMAT, "not a masked model", &(change){.drop = "mask_token"});
    tsr_fm_destroy(a);
}

static void refuses_other_metadata(void **state)
{
    (void)state;
    tsr_fm *a = create(0, 0);
    assert_ok(tsr_fm_write(a, FILE_NAME, 0, NULL));
    refused(TSR_EFORMAT, "act_layer", &(change){.key = "act_layer", .value = "Mish"});
    refused(TSR_EFORMAT, "domains_in", &(change){.key = "domains_in"});
    refused(TSR_EFORMAT, "qkv_bias", &(change){.key = "qkv_bias", .value = "3"});
    refused(TSR_EFORMAT, "num_heads", &(change){.key = "num_heads", .value = "-3"});
    refused(TSR_EMISMATCH, "encoder_depth", &(change){.key = "encoder_depth", .value = "99999999"});
    refused(TSR_EMISMATCH, "missing", &(change){.key = "encoder_depth", .value = "3"});
    refused(TSR_EMISMATCH, "instead of [1, 1, 384]", &(change){.key = "dim", .value = "384"});
    refused(TSR_EMISMATCH, "mlp_ratio", &(change){.key = "mlp_ratio", .value = "1.0e+30"});
    refused(TSR_EFORMAT, "mlp_ratio", &(change){.key = "mlp_ratio", .value = "wide"});
    refused(TSR_EMISMATCH, "heads", &(change){.key = "num_heads", .value = "7"});
    refused(TSR_EFORMAT, "decoder_sep_mask",
            &(change){.key = "decoder_sep_mask", .value = "False"});
    refused(TSR_EFORMAT, "", &(change){.key = "tessera", .value = "{\"version\": 1"});
    refused(TSR_EUNSUPPORTED, "later", &(change){.key = "tessera", .value = "{\"version\": 9}"});
    refused(TSR_EFORMAT, "modalities", &(change){.key = "tessera", .value = "{\"version\": 1}"});
    tsr_fm_destroy(a);
}

/* Without our key the file is one of the reference's: names and shapes have to do. */
static void reads_published_files(void **state)
{
    (void)state;
    tsr_fm *a = create(1, 0), *b;
    assert_ok(tsr_fm_write(a, FILE_NAME, 0, NULL));
    refused(TSR_EUNSUPPORTED, "no square grid", &(change){.key = "tessera"});
    tsr_fm_destroy(a);
    tsr_fm_config c = fmtest_config(1, 30);
    for (size_t i = 0; i < c.mods.count; i++)
        if (c.mods.items[i].cls != TSR_CLASS_SEQUENCE) {
            tsr_mod *m = &c.mods.items[i];
            m->cls = m->cls == TSR_CLASS_VECTOR ? TSR_CLASS_IMAGE : m->cls;
            m->height = m->width = 3;
            m->places = m->positions = m->max_tokens = 9;
        }
    assert_ok(tsr_fm_create(&c, 7, &a));
    assert_ok(tsr_fm_write(a, FILE_NAME, 0, NULL));
    write_changed(&(change){.key = "tessera"});
    assert_ok(tsr_fm_open(CHANGED, &b));
    const tsr_mods *mods = &tsr_fm_get_config(b)->mods;
    assert_int_equal(mods->count, TEST_MODS);
    assert_int_equal(mods->items[CAPTION].cls, TSR_CLASS_SEQUENCE);
    assert_int_equal(mods->items[CAPTION].max_tokens, 256);
    assert_int_equal(mods->items[DEPTH].cls, TSR_CLASS_IMAGE);
    assert_int_equal(mods->items[DEPTH].base, 300);
    assert_int_equal(mods->items[LABEL].base, 360);
    assert_int_equal(mods->items[PIXELS].patch_values, 12);
    assert_true(mods->items[LABEL].output && !mods->items[LABEL].input);
    same_values(a, b);
    tsr_fm_destroy(b);
    /* names as Python writes them */
    write_changed(&(change){.key = "tessera", .drop = "?"});
    assert_ok(tsr_fm_open(CHANGED, &b));
    tsr_fm_destroy(b);
    tsr_fm_destroy(a);
}

/* Second names that differ are parameters of their own, and come back so. */
static void keeps_what_is_not_tied(void **state)
{
    (void)state;
    const char *names[] = {"decoder_embeddings.depth.mod_emb",
                           "decoder_embeddings.caption.token_emb.weight"};
    for (size_t i = 0; i < 2; i++) {
        tsr_fm *a = create(0, 0), *b;
        assert_ok(tsr_fm_write(a, FILE_NAME, 0, NULL));
        write_changed(&(change){.untie = names[i]});
        tsr_fm_destroy(a);
        assert_ok(tsr_fm_open(CHANGED, &a));
        assert_non_null(tsr_params_find(tsr_fm_params(a), names[i]));
        assert_ok(tsr_fm_write(a, FILE_NAME, 0, NULL));
        assert_ok(tsr_fm_open(FILE_NAME, &b));
        same_values(a, b);
        assert_true(tsr_params_find(tsr_fm_params(b), names[i])->value[1] == 5.0f);
        tsr_fm_destroy(a);
        tsr_fm_destroy(b);
    }
}

/* Embedded sentences are left out, and said to be; their tensors are not lost. */
static void leaves_vectors_out(void **state)
{
    (void)state;
    tsr_fm *a = create(0, 0), *b;
    json_t *text;
    tsr_mods none = {.count = 0};
    tsr_fm_config c = *tsr_fm_get_config(a);
    tsr_fm_destroy(a);
    none = c.mods;
    c.mods.count = 0;
    fmtest_add(&c.mods, none.items[CAPTION], "caption");
    assert_ok(tsr_fm_create(&c, 1, &a));
    assert_ok(tsr_fm_write(a, FILE_NAME, 0, NULL));
    write_changed(
        &(change){.add = "encoder_embeddings.t5_caption.emb_proj.weight", .key = "tessera"});
    rename(CHANGED, FILE_NAME);
    write_changed(&(change){.key = "domains_in", .value = "['caption', \"t5_caption\"]"});
    assert_ok(tsr_fm_open(CHANGED, &b));
    assert_int_equal(tsr_fm_get_config(b)->mods.count, 1);
    assert_ok(tsr_fm_describe(b, &text));
    assert_string_equal(json_string_value(json_array_get(json_object_get(text, "left_out"), 0)),
                        "t5_caption");
    json_decref(text);
    tsr_fm_destroy(a);
    /* files written from it have them, as our own and as the reference's */
    for (int published = 0; published < 2; published++) {
        const char *name = "encoder_embeddings.t5_caption.emb_proj.weight";
        assert_ok(tsr_fm_write(b, FILE_NAME, 0, NULL));
        tsr_fm_destroy(b);
        write_changed(&(change){.key = published ? "tessera" : NULL});
        assert_ok(tsr_fm_open(CHANGED, &b));
        const tsr_param *p = tsr_params_find(tsr_fm_params(b), name);
        assert_true(p && p->count == 4 && p->value[3] == 4.0f && p->flags == 0);
        assert_int_equal(tsr_fm_get_config(b)->mods.count, 1);
    }
    /* and so has a model of other modalities that goes on from it */
    assert_ok(tsr_fm_create(&c, 3, &a));
    assert_ok(tsr_fm_keep_left_out(b, a));
    tsr_fm_destroy(b);
    assert_ok(tsr_fm_write(a, FILE_NAME, 0, NULL));
    assert_ok(tsr_fm_open(FILE_NAME, &b));
    has_values(a, b);
    assert_non_null(
        tsr_params_find(tsr_fm_params(b), "encoder_embeddings.t5_caption.emb_proj.weight"));
    tsr_fm_destroy(a);
    tsr_fm_destroy(b);
}

/* Half-precision files open. */
static void reads_halves(void **state)
{
    (void)state;
    tsr_fm *a = create(0, 0), *b;
    tsr_safetensors *f;
    assert_ok(tsr_fm_write(a, FILE_NAME, 0, NULL));
    assert_ok(tsr_safetensors_open(FILE_NAME, &f));
    size_t n = tsr_safetensors_count(f);
    tsr_stored *items = calloc(n, sizeof *items);
    for (size_t i = 0; i < n; i++) {
        items[i] = *tsr_safetensors_at(f, i);
        uint16_t *half = malloc(items[i].count * sizeof *half);
        for (size_t k = 0; k < items[i].count; k++)
            memcpy(half + k, (const char *)items[i].data + 4 * k + 2, 2); /* bf16, cut */
        items[i].dtype = TSR_BF16;
        items[i].data = half;
    }
    assert_ok(tsr_safetensors_write(CHANGED, items, n, tsr_safetensors_metadata(f)));
    assert_ok(tsr_fm_open(CHANGED, &b));
    const tsr_param *x = tsr_params_find(tsr_fm_params(a), "decoder.1.mlp.fc2.weight");
    const tsr_param *y = tsr_params_find(tsr_fm_params(b), x->name);
    for (size_t k = 0; k < x->count; k++)
        assert_float_equal(x->value[k], y->value[k],
                           0.01f * (x->value[k] < 0 ? -x->value[k] : x->value[k]));
    for (size_t i = 0; i < n; i++)
        free((void *)(uintptr_t)items[i].data);
    free(items);
    tsr_safetensors_close(f);
    tsr_fm_destroy(a);
    tsr_fm_destroy(b);
}

/* Cut anywhere, a file gives an error; so does memory that runs out. */
static void survives_failures(void **state)
{
    (void)state;
    tsr_fm *a = create(1, 0), *b = NULL;
    assert_ok(tsr_fm_write(a, FILE_NAME, 0, NULL));
    tsr_fm_destroy(a);
    FILE *f = fopen(FILE_NAME, "rb"), *out;
    char *bytes = malloc(1 << 22);
    size_t n = fread(bytes, 1, 1 << 22, f);
    fclose(f);
    for (size_t cut = 0; cut < n; cut += n / 23 + 1) {
        out = fopen(CHANGED, "wb");
        fwrite(bytes, 1, cut, out);
        fclose(out);
        assert_fails(TSR_EFORMAT, tsr_fm_open(CHANGED, &b));
    }
    free(bytes);
    for (long i = 1; i < 40; i++) {
        tsr_mem_fail_after(i);
        tsr_status st = tsr_fm_open(FILE_NAME, &b);
        tsr_mem_fail_after(0);
        assert_true(st != TSR_OK);
    }
    assert_ok(tsr_fm_open(FILE_NAME, &b));
    tsr_fm_destroy(b);
    assert_fails(TSR_ENOENT, tsr_fm_open("no_such_model.safetensors", &b));
}

static void is_described(void **state)
{
    (void)state;
    tsr_fm *m = create(0, 0);
    json_t *o;
    assert_ok(tsr_fm_describe(m, &o));
    const json_t *values = json_object_get(o, "parameters");
    /* Le (4 D^2 + 3 D H) + Ld (8 D^2 + 3 D H) */
    assert_int_equal(json_integer_value(json_object_get(values, "blocks")),
                     2 * (4 * 48 * 48 + 3 * 48 * 128) + 2 * (8 * 48 * 48 + 3 * 48 * 128));
    assert_int_equal(json_integer_value(json_object_get(values, "trained")),
                     tsr_params_values(tsr_fm_params(m), TSR_PARAM_TRAIN));
    assert_int_equal(json_object_size(json_object_get(o, "modalities")), TEST_MODS);
    assert_int_equal(json_array_size(json_object_get(o, "untied")), 0);
    json_decref(o);
    tsr_fm_destroy(m);
}

/* --- opened to run, to look at --------------------------------------------------------------- */

static tsr_fmnet *net_of(tsr_fm *m, tsr_precision precision)
{
    tsr_fmnet_spec s =
        fmtest_spec(tsr_fm_get_config(m), TSR_FMNET_LOGITS, precision, FMTEST_EXAMPLES);
    tsr_fmnet *n;
    assert_ok(tsr_fmnet_create(m, &s, &n));
    return n;
}

/* Weights that stay in the file give the bytes that those in memory give, and none is held that is
 * multiplied. */
static void runs_from_the_file(void **state)
{
    (void)state;
    for (int form = 0; form < 6; form++) {
        tsr_fm *a = create(form % 2, 0), *b;
        tsr_precision precision = form < 4 ? TSR_PRECISION_FP32 : TSR_PRECISION_BF16;
        fmtest_batch batch;
        assert_ok(tsr_fm_write(a, FILE_NAME, 0, NULL));
        write_changed(&(change){
            .untie = form / 2 % 2 ? "decoder_embeddings.caption.token_emb.weight" : NULL});
        tsr_fm_destroy(a);
        assert_ok(tsr_fm_open(CHANGED, &a));
        assert_ok(tsr_fm_open_for(CHANGED, TSR_FM_RUN, &b));
        tsr_fmnet *x = net_of(a, precision), *y = net_of(b, precision);
        fmtest_batch_init(&batch, &tsr_fm_get_config(a)->mods, 5, 12);
        assert_ok(tsr_fmnet_run(x, batch.list, FMTEST_EXAMPLES, 1.0));
        assert_ok(tsr_fmnet_run(y, batch.list, FMTEST_EXAMPLES, 1.0));
        for (size_t m = 0; m < TEST_MODS; m++) {
            size_t n, k;
            const float *p = tsr_fmnet_logits(x, m, &n), *q = tsr_fmnet_logits(y, m, &k);
            assert_int_equal(n, k);
            if (n)
                assert_memory_equal(
                    p, q, n * tsr_fm_get_config(a)->mods.items[m].vocabulary * sizeof *p);
        }
        const tsr_params *ps = tsr_fm_params(b);
        assert_null(tsr_params_find(ps, "encoder.0.attn.qkv.weight")->value);
        assert_null(tsr_params_find(ps, "decoder_embeddings.depth.to_logits.weight")->value);
        assert_non_null(tsr_params_find(ps, "encoder_norm.weight")->value);
        tsr_fmnet_destroy(x);
        tsr_fmnet_destroy(y);
        fmtest_batch_clear(&batch);
        tsr_fm_destroy(a);
        assert_ok(tsr_fm_write(b, FILE_NAME, 0, NULL)); /* holds the rest first */
        assert_ok(tsr_fm_open(FILE_NAME, &a));
        has_values(a, b); /* which has what is tied twice */
        tsr_fm_destroy(a);
        tsr_fm_destroy(b);
    }
}

/* What is no number, or no longer there, is an error of the run that reads it, with names. */
static void runs_fail_when_reading_does(void **state)
{
    (void)state;
    static const char *const names[] = {"encoder.1.mlp.fc2.weight",
                                        "encoder_embeddings.caption.token_emb.weight",
                                        "decoder_norm.weight", NULL};
    for (int i = 0; i < 4; i++) {
        tsr_fm *m = create(0, 0);
        fmtest_batch batch;
        fmtest_batch_init(&batch, &tsr_fm_get_config(m)->mods, 5, 12);
        tsr_param *p = names[i] ? tsr_params_find(tsr_fm_params(m), names[i]) : NULL;
        for (size_t k = 0; p && k < p->count; k++)
            p->value[k] = INFINITY;
        assert_ok(tsr_fm_write(m, FILE_NAME, 0, NULL));
        tsr_fm_destroy(m);
        if (p)
            assert_fails(TSR_ENUMERIC, tsr_fm_open(FILE_NAME, &m));
        assert_ok(tsr_fm_open_for(FILE_NAME, TSR_FM_RUN, &m));
        if (!p)
            assert_int_equal(truncate(FILE_NAME, 100000), 0);
        tsr_fmnet *n = net_of(m, TSR_PRECISION_FP32);
        assert_fails(p ? TSR_ENUMERIC : TSR_EIO,
                     tsr_fmnet_run(n, batch.list, FMTEST_EXAMPLES, 1.0));
        assert_non_null(strstr(tsr_error(), FILE_NAME));
        if (p)
            assert_non_null(strstr(tsr_error(), names[i]));
        tsr_fmnet_destroy(n);
        tsr_fm_destroy(m);
        fmtest_batch_clear(&batch);
    }
}

/* Everything that is wrong with tensors is listed; messages name some and count the rest. */
static void wrong_tensors_are_all_listed(void **state)
{
    (void)state;
    tsr_fm *a = create(0, 0), *b;
    json_t *o;
    assert_ok(tsr_fm_write(a, FILE_NAME, 0, NULL));
    tsr_fm_destroy(a);
    write_changed(&(change){.drop = "encoder.1.norm2.weight",
                            .retype = "decoder.0.mlp.fc1.weight",
                            .add = "surplus",
                            .key = "encoder_depth",
                            .value = "3"});
    assert_fails(TSR_EMISMATCH, tsr_fm_open_for(CHANGED, TSR_FM_RUN, &b));
    assert_ok(tsr_fm_open_for(CHANGED, TSR_FM_LOOK, &b));
    assert_ok(tsr_fm_describe(b, &o));
    assert_int_equal(json_array_size(json_object_get(o, "missing")), 1 + 9);
    assert_int_equal(json_array_size(json_object_get(o, "misshapen")), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(o, "not_expected"), 0)),
                        "surplus");
    assert_fails(TSR_EMISMATCH, tsr_fm_problems(b, CHANGED));
    assert_non_null(strstr(tsr_error(), "10 tensors missing, 1 of wrong shape or type, 1 not"));
    assert_non_null(strstr(tsr_error(), "encoder.1.norm2.weight"));
    assert_non_null(strstr(tsr_error(), " and 5 more; wrong: decoder.0.mlp.fc1.weight"));
    assert_non_null(strstr(tsr_error(), "not expected: surplus"));
    json_decref(o);
    tsr_fm_destroy(b);
    assert_ok(tsr_fm_open_for(FILE_NAME, TSR_FM_LOOK, &b));
    assert_ok(tsr_fm_problems(b, FILE_NAME));
    assert_ok(tsr_fm_describe(b, &o));
    assert_null(json_object_get(o, "missing"));
    json_decref(o);
    tsr_fm_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_everything),      cmocka_unit_test(writes_averages),
        cmocka_unit_test(refuses_other_tensors), cmocka_unit_test(refuses_other_metadata),
        cmocka_unit_test(reads_published_files), cmocka_unit_test(keeps_what_is_not_tied),
        cmocka_unit_test(leaves_vectors_out),    cmocka_unit_test(reads_halves),
        cmocka_unit_test(survives_failures),     cmocka_unit_test(is_described),
        cmocka_unit_test(runs_from_the_file),    cmocka_unit_test(runs_fail_when_reading_does),
        cmocka_unit_test(wrong_tensors_are_all_listed),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove(FILE_NAME);
    remove(CHANGED);
    return failed;
}
