/* SPDX-License-Identifier: Apache-2.0
 * Products on oneDNN, 2.x and 3.x API. The only file that names it. */
#include "nn/gemm.h"

#include "base/mem.h"
#include "nn/kernels.h"

#include <math.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* --- what differs between the versions: memory descriptors and how products are described --- */

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t desc;          /* owned */
typedef const_dnnl_memory_desc_t desc_in; /* as an argument */

static desc_in in(const desc *d)
{
    return *d;
}

static dnnl_status_t desc_strided(desc *d, const dnnl_dims_t dims, dnnl_data_type_t type,
                                  const dnnl_dims_t strides)
{
    return dnnl_memory_desc_create_with_strides(d, 2, dims, type, strides);
}

static dnnl_status_t desc_any(desc *d, const dnnl_dims_t dims, dnnl_data_type_t type)
{
    return dnnl_memory_desc_create_with_tag(d, 2, dims, type, dnnl_format_tag_any);
}

static dnnl_status_t desc_copy(desc *d, desc_in from)
{
    return dnnl_memory_desc_clone(d, from);
}

static void desc_clear(desc *d)
{
    if (*d)
        dnnl_memory_desc_destroy(*d);
    *d = NULL;
}

static dnnl_status_t matmul_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const desc *a,
                                 const desc *b, const desc *bias, const desc *c,
                                 dnnl_primitive_attr_t attr)
{
    return dnnl_matmul_primitive_desc_create(pd, engine, *a, *b, bias ? *bias : NULL, *c, attr);
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_f32);
}

#else

typedef dnnl_memory_desc_t desc;
typedef const dnnl_memory_desc_t *desc_in;

static desc_in in(const desc *d)
{
    return d;
}

static dnnl_status_t desc_strided(desc *d, const dnnl_dims_t dims, dnnl_data_type_t type,
                                  const dnnl_dims_t strides)
{
    return dnnl_memory_desc_init_by_strides(d, 2, dims, type, strides);
}

static dnnl_status_t desc_any(desc *d, const dnnl_dims_t dims, dnnl_data_type_t type)
{
    return dnnl_memory_desc_init_by_tag(d, 2, dims, type, dnnl_format_tag_any);
}

static dnnl_status_t desc_copy(desc *d, desc_in from)
{
    *d = *from;
    return dnnl_success;
}

static void desc_clear(desc *d)
{
    (void)d;
}

static dnnl_status_t matmul_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const desc *a,
                                 const desc *b, const desc *bias, const desc *c,
                                 dnnl_primitive_attr_t attr)
{
    dnnl_matmul_desc_t d;
    dnnl_status_t st = dnnl_matmul_desc_init(&d, a, b, bias, c);
    return st == dnnl_success ? dnnl_primitive_desc_create(pd, &d, attr, engine, NULL) : st;
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0f);
}

#endif

/* --- the library's engine, and its threads --- */

struct tsr_gemm {
    tsr_gemm_spec spec;
    dnnl_primitive_t primitive;
    desc a, b, c, bias, work;
    size_t work_bytes, b_bytes;
    struct tsr_gemm *next;
};

struct tsr_pack {
    const tsr_gemm *gemm;
    void *data;
    dnnl_memory_t memory;
};

/* Everything compiled so far. Only grows; entries are immutable once listed. */
static struct {
    pthread_mutex_t lock;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    tsr_gemm *list;
} library = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The library reads OpenMP's thread setting of the calling thread both when it compiles and when it
 * runs; with 1 it starts none and splits nothing among them. */
static int alone_begin(void)
{
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    return threads;
}

static void alone_end(int threads)
{
    omp_set_num_threads(threads);
}

static tsr_status checked(dnnl_status_t st, const char *doing)
{
    if (st == dnnl_success)
        return TSR_OK;
    TSR_FAIL(st == dnnl_out_of_memory ? TSR_ENOMEM : TSR_EUNSUPPORTED,
             "the product library failed while %s (code %d)", doing, (int)st);
}

static tsr_status start_library(void)
{
    if (!library.engine)
        TSR_TRY(checked(dnnl_engine_create(&library.engine, dnnl_cpu, 0), "starting"));
    if (!library.stream)
        TSR_TRY(checked(dnnl_stream_create(&library.stream, library.engine,
                                           dnnl_stream_default_flags),
                        "starting"));
    return TSR_OK;
}

const char *tsr_gemm_library(void)
{
    static _Thread_local char text[48];
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, sizeof text, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

/* --- compiling --- */

static dnnl_data_type_t type_of(tsr_dtype t)
{
    return t == TSR_BF16 ? dnnl_bf16 : dnnl_f32;
}

static dnnl_status_t describe(tsr_gemm *p)
{
    const tsr_gemm_spec *s = &p->spec;
    dnnl_dims_t mk = {(dnnl_dim_t)s->m, (dnnl_dim_t)s->k}, kn = {(dnnl_dim_t)s->k, (dnnl_dim_t)s->n};
    dnnl_dims_t mn = {(dnnl_dim_t)s->m, (dnnl_dim_t)s->n}, one = {1, (dnnl_dim_t)s->n};
    dnnl_dims_t sa = {(dnnl_dim_t)s->a_row, (dnnl_dim_t)s->a_col};
    dnnl_dims_t sb = {(dnnl_dim_t)s->b_row, (dnnl_dim_t)s->b_col};
    dnnl_dims_t sc = {(dnnl_dim_t)s->c_row, 1}, sn = {(dnnl_dim_t)s->n, 1};
    dnnl_status_t st = desc_strided(&p->a, mk, type_of(s->ab), sa);
    if (st == dnnl_success)
        st = s->b_row || s->b_col ? desc_strided(&p->b, kn, type_of(s->ab), sb)
                                  : desc_any(&p->b, kn, type_of(s->ab));
    if (st == dnnl_success)
        st = desc_strided(&p->c, mn, type_of(s->c), sc);
    if (st == dnnl_success && s->bias)
        st = desc_strided(&p->bias, one, dnnl_f32, sn);
    return st;
}

static dnnl_status_t settings(const tsr_gemm_spec *s, dnnl_primitive_attr_t *attr)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t st = dnnl_primitive_attr_create(attr);
    if (st == dnnl_success)
        st = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (st == dnnl_success)
        st = dnnl_primitive_attr_set_fpmath_mode(*attr, dnnl_fpmath_mode_strict);
    if (st != dnnl_success || !s->accumulate)
        return st;
    st = dnnl_post_ops_create(&ops);
    if (st == dnnl_success)
        st = append_sum(ops);
    if (st == dnnl_success)
        st = dnnl_primitive_attr_set_post_ops(*attr, ops);
    dnnl_post_ops_destroy(ops);
    return st;
}

static dnnl_status_t compile(tsr_gemm *p)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    desc b = {0};
    dnnl_status_t st = settings(&p->spec, &attr);
    if (st == dnnl_success)
        st = matmul_desc(&pd, library.engine, &p->a, &p->b, p->spec.bias ? &p->bias : NULL, &p->c,
                         attr);
    if (st == dnnl_success)
        st = dnnl_primitive_create(&p->primitive, pd);
    if (st == dnnl_success)
        st = desc_copy(&p->work, dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0));
    if (st == dnnl_success)
        st = desc_copy(&b, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0));
    if (st == dnnl_success) {
        desc_clear(&p->b);
        p->b = b;
        p->work_bytes = dnnl_memory_desc_get_size(in(&p->work));
        p->b_bytes = dnnl_memory_desc_get_size(in(&p->b));
    }
    dnnl_primitive_desc_destroy(pd);
    dnnl_primitive_attr_destroy(attr);
    return st;
}

static void gemm_destroy(tsr_gemm *p)
{
    if (p->primitive)
        dnnl_primitive_destroy(p->primitive);
    desc_clear(&p->a);
    desc_clear(&p->b);
    desc_clear(&p->c);
    desc_clear(&p->bias);
    desc_clear(&p->work);
    tsr_free(p);
}

static tsr_status check_spec(const tsr_gemm_spec *s)
{
    size_t max = (size_t)1 << 31;
    if (s->m == 0 || s->n == 0 || s->k == 0 || s->m > max || s->n > max || s->k > max)
        TSR_FAIL(TSR_EARG, "a product of %zu x %zu x %zu", s->m, s->n, s->k);
    if ((s->ab != TSR_F32 && s->ab != TSR_BF16) || (s->c != TSR_F32 && s->c != TSR_BF16) ||
        (s->ab == TSR_F32 && s->c == TSR_BF16) || (s->accumulate && s->c != TSR_F32))
        TSR_FAIL(TSR_EARG, "a product of %s operands into %s%s", tsr_dtype_name(s->ab),
                 tsr_dtype_name(s->c), s->accumulate ? ", accumulated" : "");
    if (s->tiles && (s->ab != TSR_BF16 || !tsr_kernels_get_bf16()->layer))
        TSR_FAIL(TSR_EARG, "tiles of %zu terms of %s", s->k, tsr_dtype_name(s->ab));
    if ((s->a_row != 1 && s->a_col != 1) || (s->b_row > 1 && s->b_col > 1) || s->c_row < s->n)
        TSR_FAIL(TSR_EARG, "a product of matrices with strides %zu,%zu %zu,%zu and %zu", s->a_row,
                 s->a_col, s->b_row, s->b_col, s->c_row);
    return TSR_OK;
}

static int same_spec(const tsr_gemm_spec *x, const tsr_gemm_spec *y)
{
    return x->m == y->m && x->n == y->n && x->k == y->k && x->ab == y->ab && x->c == y->c &&
           x->a_row == y->a_row && x->a_col == y->a_col && x->b_row == y->b_row &&
           x->b_col == y->b_col && x->c_row == y->c_row && x->accumulate == y->accumulate &&
           x->bias == y->bias && x->tiles == y->tiles;
}

static tsr_status get_locked(const tsr_gemm_spec *spec, const tsr_gemm **out)
{
    for (tsr_gemm *p = library.list; p; p = p->next) {
        if (same_spec(&p->spec, spec)) {
            *out = p;
            return TSR_OK;
        }
    }
    tsr_gemm *fresh;
    TSR_TRY(start_library());
    TSR_TRY(tsr_alloc(&fresh, 1, sizeof *fresh));
    fresh->spec = *spec;
    fresh->b_bytes = (spec->n + 31) / 32 * 32 * ((spec->k + 31) / 32 * 32) * sizeof(uint16_t);
    int threads = alone_begin();
    dnnl_status_t st = spec->tiles ? dnnl_success : describe(fresh);
    if (st == dnnl_success && !spec->tiles)
        st = compile(fresh);
    alone_end(threads);
    if (st != dnnl_success) {
        gemm_destroy(fresh);
        return checked(st, "compiling a product");
    }
    fresh->next = library.list;
    library.list = fresh;
    *out = fresh;
    return TSR_OK;
}

tsr_status tsr_gemm_get(const tsr_gemm_spec *spec, const tsr_gemm **out)
{
    TSR_TRY(check_spec(spec));
    pthread_mutex_lock(&library.lock);
    tsr_status st = get_locked(spec, out);
    pthread_mutex_unlock(&library.lock);
    return st;
}

const tsr_gemm_spec *tsr_gemm_spec_of(const tsr_gemm *p)
{
    return &p->spec;
}

size_t tsr_gemm_scratch(const tsr_gemm *p)
{
    return p->work_bytes;
}

/* --- running --- */

static void fill_nan(const tsr_gemm *p, void *c)
{
    for (size_t i = 0; i < p->spec.m; i++)
        for (size_t j = 0; j < p->spec.n; j++) {
            size_t at = i * p->spec.c_row + j;
            if (p->spec.c == TSR_F32)
                ((float *)c)[at] = NAN;
            else
                ((uint16_t *)c)[at] = 0x7fc0;
        }
}

typedef struct arguments {
    dnnl_exec_arg_t list[5];
    int n, owned; /* the first `owned` memories are released after the run */
} arguments;

static dnnl_status_t argument(arguments *v, int role, const desc *d, const void *data)
{
    dnnl_memory_t m = NULL;
    /* The library takes every buffer as writable; it writes C and the work space only. */
    dnnl_status_t st = dnnl_memory_create(&m, in(d), library.engine, (void *)(uintptr_t)data);
    if (st != dnnl_success)
        return st;
    v->list[v->n++] = (dnnl_exec_arg_t){role, m};
    v->owned = v->n;
    return st;
}

void tsr_gemm_run(const tsr_gemm *p, const void *a, const void *b, const tsr_pack *pack,
                  const float *bias, void *c, void *scratch)
{
    arguments v = {.n = 0};
    int threads = alone_begin();
    dnnl_status_t st = argument(&v, DNNL_ARG_SRC, &p->a, a);
    if (st == dnnl_success)
        st = argument(&v, DNNL_ARG_DST, &p->c, c);
    if (st == dnnl_success && p->spec.bias)
        st = argument(&v, DNNL_ARG_BIAS, &p->bias, bias);
    if (st == dnnl_success && p->work_bytes)
        st = argument(&v, DNNL_ARG_SCRATCHPAD, &p->work, scratch);
    if (st == dnnl_success && !pack)
        st = argument(&v, DNNL_ARG_WEIGHTS, &p->b, b);
    if (pack)
        v.list[v.n++] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, pack->memory};
    if (st == dnnl_success)
        st = dnnl_primitive_execute(p->primitive, library.stream, v.n, v.list);
    if (st == dnnl_success)
        st = dnnl_stream_wait(library.stream);
    for (int i = 0; i < v.owned; i++)
        dnnl_memory_destroy(v.list[i].memory);
    alone_end(threads);
    if (st != dnnl_success)
        fill_nan(p, c);
}

/* --- packed B --- */

size_t tsr_pack_bytes(const tsr_gemm *p)
{
    return p->b_bytes;
}

const tsr_gemm *tsr_pack_gemm(const tsr_pack *k)
{
    return k->gemm;
}

tsr_status tsr_pack_create(const tsr_gemm *p, tsr_pack **out)
{
    tsr_status st;
    tsr_pack *k;
    TSR_TRY(tsr_alloc(&k, 1, sizeof *k));
    k->gemm = p;
    TSR_GO(tsr_alloc(&k->data, p->b_bytes, 1));
    if (!p->spec.tiles)
        TSR_GO(checked(dnnl_memory_create(&k->memory, in(&p->b), library.engine, k->data),
                       "making room for a weight"));
    *out = k;
    k = NULL;
out:
    tsr_pack_destroy(k);
    return st;
}

void tsr_pack_destroy(tsr_pack *k)
{
    if (!k)
        return;
    if (k->memory)
        dnnl_memory_destroy(k->memory);
    tsr_free(k->data);
    tsr_free(k);
}

static dnnl_status_t reorder(dnnl_memory_t from, const desc *from_desc, tsr_pack *k)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t r = NULL;
    dnnl_status_t st = dnnl_reorder_primitive_desc_create(&pd, in(from_desc), library.engine,
                                                          in(&k->gemm->b), library.engine, NULL);
    if (st == dnnl_success)
        st = dnnl_primitive_create(&r, pd);
    if (st == dnnl_success) {
        dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, k->memory}};
        st = dnnl_primitive_execute(r, library.stream, 2, args);
    }
    if (st == dnnl_success)
        st = dnnl_stream_wait(library.stream);
    if (r)
        dnnl_primitive_destroy(r);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    return st;
}

const void *tsr_pack_data(const tsr_pack *k)
{
    return k->data;
}

tsr_status tsr_pack_fill(tsr_pack *k, const float *src, size_t row, size_t col)
{
    const tsr_gemm_spec *s = &k->gemm->spec;
    dnnl_dims_t dims = {(dnnl_dim_t)s->k, (dnnl_dim_t)s->n};
    dnnl_dims_t strides = {(dnnl_dim_t)row, (dnnl_dim_t)col};
    if (s->tiles) {
        tsr_kernels_get_bf16()->layer_pack(&(tsr_layer_weight){src, row, col, s->k, s->n}, k->data);
        return TSR_OK;
    }
    desc plain = {0};
    dnnl_memory_t from = NULL;
    int threads = alone_begin();
    dnnl_status_t st = desc_strided(&plain, dims, dnnl_f32, strides);
    if (st == dnnl_success)
        st = dnnl_memory_create(&from, in(&plain), library.engine, (void *)(uintptr_t)src);
    if (st == dnnl_success)
        st = reorder(from, &plain, k);
    if (from)
        dnnl_memory_destroy(from);
    desc_clear(&plain);
    alone_end(threads);
    return checked(st, "packing a weight");
}
