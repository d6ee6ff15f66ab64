/* SPDX-License-Identifier: Apache-2.0
 * The store of named tensors, and how new ones are filled. */
#include "nn/params.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "base/str.h"
#include "nn/packs.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

struct tsr_params {
    tsr_param **items;
    size_t count, cap;
    uint32_t *slots; /* open addressing; item index + 1, 0 = empty */
    size_t nslots;   /* power of two, at least twice count */
    int deferred;    /* new tensors have no values */
    tsr_param_source *source;
    pthread_mutex_t lock; /* of holding */
    struct tsr_packs packs;
};

tsr_status tsr_params_create(tsr_params **out)
{
    tsr_params *ps;
    TSR_TRY(tsr_alloc(&ps, 1, sizeof *ps));
    pthread_mutex_init(&ps->lock, NULL);
    tsr_packs_init(&ps->packs);
    *out = ps;
    return TSR_OK;
}

#define RESERVED 262144 /* values from which their pages cost nothing until they are written */
#define SLACK 64        /* bytes that kernels may read behind the last value */

static size_t reserved_bytes(const tsr_param *p)
{
    return p->count * sizeof *p->value + SLACK;
}

static tsr_status make_values(const tsr_param *p, float **out)
{
    if (p->count < RESERVED)
        return tsr_alloc(out, p->count, sizeof **out);
    if (p->count > (SIZE_MAX - SLACK) / sizeof **out)
        TSR_FAIL(TSR_ELIMIT, "tensor \"%s\" has %zu values", p->name, p->count);
    return tsr_reserve(out, reserved_bytes(p));
}

static void drop_values(const tsr_param *p, float *values)
{
    if (p->count < RESERVED)
        tsr_free(values);
    else
        tsr_unreserve(values, reserved_bytes(p));
}

static void param_destroy(tsr_param *p)
{
    if (!p)
        return;
    tsr_free(p->name);
    drop_values(p, p->value);
    tsr_free(p->grad);
    tsr_free(p->moment1);
    tsr_free(p->moment2);
    tsr_free(p->average);
    tsr_free(p);
}

static void detach(tsr_params *ps)
{
    for (size_t i = 0; i < ps->count; i++)
        ps->items[i]->source = NULL;
    if (ps->source)
        ps->source->close(ps->source->ctx);
    tsr_free(ps->source);
    ps->source = NULL;
}

void tsr_params_destroy(tsr_params *ps)
{
    if (!ps)
        return;
    tsr_packs_clear(&ps->packs);
    detach(ps);
    for (size_t i = 0; i < ps->count; i++)
        param_destroy(ps->items[i]);
    pthread_mutex_destroy(&ps->lock);
    tsr_free(ps->items);
    tsr_free(ps->slots);
    tsr_free(ps);
}

/* The slot that holds `name`, or the empty one where it belongs. */
static size_t slot_of(const tsr_params *ps, const char *name)
{
    size_t mask = ps->nslots - 1, at = (size_t)tsr_hash_name(name) & mask;
    while (ps->slots[at] && strcmp(ps->items[ps->slots[at] - 1]->name, name) != 0)
        at = (at + 1) & mask;
    return at;
}

static tsr_status widen(tsr_params *ps)
{
    size_t have = ps->nslots;
    if (have && 2 * (ps->count + 1) <= have)
        return TSR_OK;
    uint32_t *slots, *old = ps->slots;
    TSR_TRY(tsr_alloc(&slots, have ? 2 * have : 64, sizeof *slots));
    ps->slots = slots;
    ps->nslots = have ? 2 * have : 64;
    for (size_t i = 0; i < ps->count; i++)
        ps->slots[slot_of(ps, ps->items[i]->name)] = (uint32_t)i + 1;
    tsr_free(old);
    return TSR_OK;
}

tsr_param *tsr_params_find(const tsr_params *ps, const char *name)
{
    if (!ps->nslots)
        return NULL;
    uint32_t at = ps->slots[slot_of(ps, name)];
    return at ? ps->items[at - 1] : NULL;
}

tsr_status tsr_params_get(const tsr_params *ps, const char *name, tsr_param **out)
{
    tsr_param *p = tsr_params_find(ps, name);
    if (p) {
        *out = p;
        return TSR_OK;
    }
    const char *best = NULL;
    int least = 4;
    for (size_t i = 0; i < ps->count; i++) {
        int d = tsr_edit_distance(name, ps->items[i]->name);
        if (d < least) {
            least = d;
            best = ps->items[i]->name;
        }
    }
    if (best)
        TSR_FAIL(TSR_ENOENT, "there is no tensor \"%s\"; there is a \"%s\"", name, best);
    TSR_FAIL(TSR_ENOENT, "there is no tensor \"%s\" among %zu", name, ps->count);
}

tsr_status tsr_params_add(tsr_params *ps, const char *name, unsigned flags, int ndim,
                          const size_t *shape, tsr_param **out)
{
    tsr_status st = TSR_OK;
    tsr_param *p = NULL;
    if (!name || !name[0])
        TSR_FAIL(TSR_EARG, "a tensor needs a name");
    if (ndim < 0 || ndim > TSR_MAX_DIMS)
        TSR_FAIL(TSR_EARG, "tensor \"%s\": %d dimensions, at most %d", name, ndim, TSR_MAX_DIMS);
    if (tsr_params_find(ps, name))
        TSR_FAIL(TSR_EARG, "there is a tensor \"%s\" already", name);
    TSR_GO(tsr_room(&ps->items, ps->count, &ps->cap, sizeof *ps->items));
    TSR_GO(widen(ps));
    TSR_GO(tsr_alloc(&p, 1, sizeof *p));
    TSR_GO(tsr_strdup(&p->name, name));
    TSR_GO(tsr_shape_count(ndim, shape, &p->count));
    if (!ps->deferred)
        TSR_GO(make_values(p, &p->value));
    p->flags = flags;
    p->ndim = p->file_ndim = ndim;
    for (int i = 0; i < ndim; i++)
        p->shape[i] = p->file_shape[i] = shape[i];
    p->version = 1;
    ps->slots[slot_of(ps, name)] = (uint32_t)ps->count + 1;
    ps->items[ps->count++] = p;
    if (out)
        *out = p;
    p = NULL;
out:
    param_destroy(p);
    return st;
}

tsr_status tsr_param_file_shape(tsr_param *p, int ndim, const size_t *shape)
{
    size_t count;
    if (ndim < 0 || ndim > TSR_MAX_DIMS || tsr_shape_count(ndim, shape, &count) != TSR_OK ||
        count != p->count)
        TSR_FAIL(TSR_EARG, "tensor \"%s\": its shape in files must hold %zu values", p->name,
                 p->count);
    p->file_ndim = ndim;
    for (int i = 0; i < ndim; i++)
        p->file_shape[i] = shape[i];
    return TSR_OK;
}

size_t tsr_params_count(const tsr_params *ps)
{
    return ps->count;
}

tsr_param *tsr_params_at(const tsr_params *ps, size_t i)
{
    return ps->items[i];
}

size_t tsr_params_values(const tsr_params *ps, unsigned flags)
{
    size_t n = 0;
    for (size_t i = 0; i < ps->count; i++)
        if (!flags || (ps->items[i]->flags & flags))
            n += ps->items[i]->count;
    return n;
}

static tsr_status in_memory(const tsr_params *ps)
{
    if (ps->deferred)
        TSR_FAIL(TSR_EARG, "a model whose weights are still in its file cannot be trained");
    return TSR_OK;
}

tsr_status tsr_params_need_grads(tsr_params *ps)
{
    TSR_TRY(in_memory(ps));
    for (size_t i = 0; i < ps->count; i++) {
        tsr_param *p = ps->items[i];
        if ((p->flags & TSR_PARAM_TRAIN) && !p->grad)
            TSR_TRY(tsr_alloc(&p->grad, p->count, sizeof *p->grad));
    }
    return TSR_OK;
}

tsr_status tsr_params_need_moments(tsr_params *ps)
{
    TSR_TRY(in_memory(ps));
    for (size_t i = 0; i < ps->count; i++) {
        tsr_param *p = ps->items[i];
        if (!(p->flags & TSR_PARAM_TRAIN))
            continue;
        if (!p->moment1)
            TSR_TRY(tsr_alloc(&p->moment1, p->count, sizeof *p->moment1));
        if (!p->moment2)
            TSR_TRY(tsr_alloc(&p->moment2, p->count, sizeof *p->moment2));
    }
    return TSR_OK;
}

tsr_status tsr_params_need_averages(tsr_params *ps)
{
    TSR_TRY(in_memory(ps));
    for (size_t i = 0; i < ps->count; i++) {
        tsr_param *p = ps->items[i];
        if (p->average || !p->count)
            continue;
        TSR_TRY(tsr_alloc(&p->average, p->count, sizeof *p->average));
        memcpy(p->average, p->value, p->count * sizeof *p->value);
    }
    return TSR_OK;
}

void tsr_params_zero_grads(tsr_params *ps)
{
    for (size_t i = 0; i < ps->count; i++)
        if (ps->items[i]->grad)
            memset(ps->items[i]->grad, 0, ps->items[i]->count * sizeof(float));
}

void tsr_param_touch(tsr_param *p)
{
    p->version++;
}

int tsr_param_decays(const char *name)
{
    return !strstr(name, "norm.") && !strstr(name, ".norm") && !tsr_ends_with(name, ".bias") &&
           !tsr_ends_with(name, ".gamma") && !tsr_ends_with(name, ".lookup_table_weight");
}

/* --- values that are in a file --- */

void tsr_params_defer(tsr_params *ps)
{
    ps->deferred = 1;
}

int tsr_params_deferred(const tsr_params *ps)
{
    return ps->deferred;
}

struct tsr_packs *tsr_params_packs(tsr_params *ps)
{
    return &ps->packs;
}

tsr_status tsr_params_attach(tsr_params *ps, tsr_param_source source)
{
    tsr_status st = tsr_alloc(&ps->source, 1, sizeof *ps->source);
    if (st != TSR_OK) {
        source.close(source.ctx);
        return st;
    }
    *ps->source = source;
    for (size_t i = 0; i < ps->count; i++)
        ps->items[i]->source = ps->source;
    return TSR_OK;
}

/* All bits of an infinity's or NaN's exponent are set, and of nothing else's. */
int tsr_all_finite(const float *x, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

static tsr_status read_checked(const tsr_param *p, size_t first, size_t count, float *out)
{
    if (!p->source || !p->stored)
        TSR_FAIL(TSR_EARG, "tensor \"%.200s\" has no values", p->name);
    TSR_TRY(p->source->read(p->source->ctx, p->stored, first, count, out));
    if (!tsr_all_finite(out, count))
        TSR_FAIL(TSR_ENUMERIC, "%s: tensor \"%.200s\" holds a value that is not a finite number",
                 p->source->name, p->name);
    return TSR_OK;
}

tsr_status tsr_param_read(const tsr_param *p, size_t first, size_t count, float *out)
{
    int none = 0;
    if (p->value) {
        memcpy(out, p->value + first, count * sizeof *out);
        return TSR_OK;
    }
    tsr_status st = read_checked(p, first, count, out);
    if (st != TSR_OK)
        atomic_compare_exchange_strong((atomic_int *)(uintptr_t)&p->broken, &none, (int)st);
    return st;
}

#define PIECE 262144 /* values an item of holding many */

typedef struct holding {
    tsr_param **items; /* those to hold */
    float **values;
    size_t *first; /* [count + 1] items of the loop before each */
    size_t count;
} holding;

static tsr_status hold_piece(void *ctx, size_t i, int lane)
{
    const holding *h = ctx;
    size_t low = 0, high = h->count;
    (void)lane;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        *(h->first[middle] <= i ? &low : &high) = middle;
    }
    const tsr_param *p = h->items[low];
    size_t at = (i - h->first[low]) * PIECE, left = p->count - at;
    return tsr_param_read(p, at, left < PIECE ? left : PIECE, h->values[low] + at);
}

static tsr_status hold_these(holding *h)
{
    tsr_status st = TSR_OK;
    TSR_GO(tsr_alloc(&h->values, h->count, sizeof *h->values));
    TSR_GO(tsr_alloc(&h->first, h->count + 1, sizeof *h->first));
    for (size_t i = 0; i < h->count; i++) {
        TSR_GO(make_values(h->items[i], &h->values[i]));
        h->first[i + 1] = h->first[i] + (h->items[i]->count + PIECE - 1) / PIECE;
    }
    TSR_GO(tsr_par_for(h->first[h->count], hold_piece, h));
    for (size_t i = 0; i < h->count; i++) {
        h->items[i]->value = h->values[i];
        h->values[i] = NULL;
    }
out:
    for (size_t i = 0; h->values && i < h->count; i++)
        if (h->values[i])
            drop_values(h->items[i], h->values[i]);
    tsr_free(h->values);
    tsr_free(h->first);
    return st;
}

tsr_status tsr_params_hold(tsr_params *ps, const char *prefix)
{
    tsr_status st;
    holding h = {0};
    TSR_TRY(tsr_alloc(&h.items, ps->count, sizeof *h.items));
    pthread_mutex_lock(&ps->lock);
    for (size_t i = 0; i < ps->count; i++)
        if (!ps->items[i]->value && ps->items[i]->count && tsr_starts_with(ps->items[i]->name, prefix))
            h.items[h.count++] = ps->items[i];
    st = h.count ? hold_these(&h) : TSR_OK;
    pthread_mutex_unlock(&ps->lock);
    tsr_free(h.items);
    return st;
}

tsr_status tsr_param_hold(tsr_params *ps, tsr_param *p)
{
    tsr_status st = TSR_OK;
    holding h = {.items = &p, .count = 1};
    pthread_mutex_lock(&ps->lock);
    if (!p->value && p->count)
        st = hold_these(&h);
    pthread_mutex_unlock(&ps->lock);
    return st;
}

tsr_status tsr_params_hold_all(tsr_params *ps)
{
    TSR_TRY(tsr_params_hold(ps, ""));
    detach(ps);
    ps->deferred = 0;
    return TSR_OK;
}

/* --- first values --- */

static void fill_uniform(tsr_param *p, float bound, tsr_rng *r)
{
    for (size_t i = 0; i < p->count; i++)
        p->value[i] = tsr_rng_range(r, -bound, bound);
}

static void fill_normal(tsr_param *p, float sigma, float cut, tsr_rng *r)
{
    for (size_t i = 0; i < p->count; i++) {
        float x = tsr_rng_normal(r);
        while (fabsf(x) > cut)
            x = tsr_rng_normal(r);
        p->value[i] = sigma * x;
    }
}

static void fill_constant(tsr_param *p, float x)
{
    for (size_t i = 0; i < p->count; i++)
        p->value[i] = x;
}

void tsr_param_init(tsr_param *p, tsr_init rule, float arg, uint64_t seed)
{
    tsr_rng r;
    tsr_rng_init(&r, seed, TSR_RNG_INIT, tsr_hash_name(p->name));
    double rows = p->ndim ? (double)p->shape[0] : 1;
    double fan_in = rows > 0 ? (double)p->count / rows : 0;
    switch (rule) {
    case TSR_INIT_ZERO:
        fill_constant(p, 0);
        break;
    case TSR_INIT_CONST:
        fill_constant(p, arg);
        break;
    case TSR_INIT_UNIFORM:
        fill_uniform(p, arg, &r);
        break;
    case TSR_INIT_NORMAL:
        fill_normal(p, arg, INFINITY, &r);
        break;
    case TSR_INIT_TRUNC:
        fill_normal(p, arg, 2, &r);
        break;
    case TSR_INIT_XAVIER:
        fill_uniform(p, (float)sqrt(6 / (rows + fan_in)), &r);
        break;
    case TSR_INIT_QKV:
        fill_uniform(p, (float)sqrt(6 / (rows / (double)arg + fan_in)), &r);
        break;
    case TSR_INIT_FAN_IN:
        fill_uniform(p, (float)(1 / sqrt(arg > 0 ? (double)arg : fan_in)), &r);
        break;
    case TSR_INIT_KAIMING:
        fill_uniform(p, (float)sqrt(6 / fan_in), &r);
        break;
    }
    tsr_param_touch(p);
}
