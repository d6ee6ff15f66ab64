/* SPDX-License-Identifier: Apache-2.0
 * Toy networks of every published layout, as files: names and shapes from selfcheck.json, weights from
 * a generator. */
#ifndef TSR_TESTS_TINYNET_H
#define TSR_TESTS_TINYNET_H

#include "testing.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "nn/safetensors.h"
#include "vqvae/vqvae_model.h"

#include <unistd.h>

#define TENSORS 600

static inline double next(uint32_t *state)
{
    *state = 1664525u * *state + 1013904223u;
    return (double)*state / 4294967296.0;
}

static inline void numbers(float *x, uint32_t state, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((next(&state) - 0.5) * 2);
}

/* Member `key` of part `part` of the list of self-checks; all of the part for NULL. Owned. */
static inline json_t *selfcheck(const char *part, const char *key)
{
    char path[512];
    json_t *all, *found;
    snprintf(path, sizeof path, "%s/tests/data/vqvae/selfcheck.json", source_folder());
    assert_ok(tsr_json_read(path, 1 << 20, &all));
    found = json_object_get(all, part);
    if (key)
        found = json_object_get(found, key);
    if (!found)
        fail_msg("%s: no %s of %s", path, part, key ? key : "all");
    json_incref(found);
    json_decref(all);
    return found;
}

/* Tensors of one file, in the order of the reference. */
typedef struct net_file {
    tsr_stored tensors[TENSORS];
    float *values[TENSORS]; /* owned */
    char names[TENSORS][96];
    size_t count;
} net_file;

static inline double weight_value(const tsr_stored *t, double u)
{
    if (tsr_ends_with(t->name, ".embed") || tsr_ends_with(t->name, ".embed_avg") ||
        tsr_ends_with(t->name, ".codes"))
        return (u - 0.5) * 2;
    if (t->ndim >= 2)
        return (u - 0.5) * 0.5;
    if (tsr_ends_with(t->name, ".weight") || tsr_ends_with(t->name, ".gamma"))
        return 1 + (u - 0.5) * 0.5;
    return (u - 0.5) * 0.2;
}

/* Positions [1, D, h, w]. */
static inline void fill_positions(const tsr_stored *t, float *to)
{
    tsr_params *ps;
    tsr_param *p;
    assert_ok(tsr_params_create(&ps));
    assert_ok(tsr_params_add(ps, "pos", 0, 4, t->shape, &p));
    tsr_vit_sincos(p);
    memcpy(to, p->value, t->count * sizeof *to);
    tsr_params_destroy(ps);
}

static inline void fill_tensor(net_file *f, size_t i, uint32_t *state)
{
    const tsr_stored *t = &f->tensors[i];
    float *to = f->values[i];
    if (tsr_starts_with(t->name, "decoder.downsample_mid.conv.")) {
        assert_int_equal(t->count, f->tensors[i - 2].count); /* the other name of the same layer */
        memcpy(to, f->values[i - 2], t->count * sizeof *to);
    } else if (tsr_ends_with(t->name, "pos_emb")) {
        fill_positions(t, to);
    } else if (tsr_ends_with(t->name, "initted")) {
        to[0] = 1;
    } else if (!tsr_ends_with(t->name, "cluster_size")) {
        for (size_t k = 0; k < t->count; k++)
            to[k] = (float)weight_value(t, next(state));
    }
}

/* "name 3x4;..." */
static inline void make_file(net_file *f, const char *net)
{
    json_t *list = selfcheck("tensors", net);
    uint32_t state = 12345;
    *f = (net_file){0};
    for (const char *p = json_string_value(list); *p; p++) {
        tsr_stored *t = &f->tensors[f->count];
        size_t n = strcspn(p, " ");
        assert_true(f->count < TENSORS && n < sizeof f->names[0]);
        memcpy(f->names[f->count], p, n);
        *t = (tsr_stored){.name = f->names[f->count], .dtype = TSR_F32, .count = 1};
        for (p += n; *p == ' ' || *p == 'x'; t->ndim++) {
            char *end;
            t->count *= t->shape[t->ndim] = strtoul(p + 1, &end, 10);
            p = end;
        }
        assert_true(*p == ';');
        assert_ok(tsr_alloc(&f->values[f->count], t->count, sizeof(float)));
        t->data = f->values[f->count];
        fill_tensor(f, f->count++, &state);
    }
    json_decref(list);
}

static inline void clear_file(net_file *f)
{
    for (size_t i = 0; i < f->count; i++)
        tsr_free(f->values[i]);
}

/* How a diffusion decoder was trained; what is NULL is as usual. */
typedef struct net_settings {
    const char *net, *prediction, *schedule;
    int clip;
} net_settings;

static inline void set(json_t *m, const char *key, const char *value)
{
    assert_int_equal(json_object_set_new(m, key, json_string(value)), 0);
}

static inline void write_file(const net_file *f, const net_settings *s, const char *path)
{
    json_t *m = selfcheck("settings", s->net);
    int epsilon = s->prediction && strcmp(s->prediction, "epsilon") == 0;
    if (tsr_starts_with(s->net, "divae")) {
        set(m, "prediction_type", s->prediction ? s->prediction : "sample");
        set(m, "beta_schedule", s->schedule ? s->schedule : "linear");
        set(m, "thresholding", s->clip ? "True" : "False");
        set(m, "zero_terminal_snr", epsilon ? "False" : "True");
    }
    assert_ok(tsr_safetensors_write(path, f->tensors, f->count, m));
    json_decref(m);
}

static inline const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/test_tinynet_%ld_%s.safetensors", build_folder(), (long)getpid(),
             name);
    return path;
}

/* Write, open, remove. */
static inline tsr_vqvae *open_file(const net_settings *s)
{
    net_file f;
    tsr_vqvae *m;
    make_file(&f, s->net);
    write_file(&f, s, path_of("open"));
    clear_file(&f);
    assert_ok(tsr_vqvae_open(path_of("open"), 0, &m));
    remove(path_of("open"));
    return m;
}

#endif
