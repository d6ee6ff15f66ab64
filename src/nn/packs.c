/* SPDX-License-Identifier: Apache-2.0
 * Packed weights of a store. */
#include "nn/packs.h"

#include "base/mem.h"
#include "base/par.h"
#include "nn/op.h"

#include <string.h>

/* --- the list ---------------------------------------------------------------------------------- */

void tsr_packs_init(tsr_packs *k)
{
    *k = (tsr_packs){0};
    pthread_mutex_init(&k->lock, NULL);
}

static void destroy(tsr_packed *p)
{
    if (!p)
        return;
    for (size_t i = 0; p->req && p->blocks && i < p->req->blocks; i++)
        tsr_pack_destroy(p->blocks[i]);
    tsr_free(p->blocks);
    tsr_free(p->req);
    tsr_free(p);
}

void tsr_packs_clear(tsr_packs *k)
{
    for (size_t i = 0; i < k->count; i++)
        destroy(k->items[i]);
    tsr_free(k->items);
    pthread_mutex_destroy(&k->lock);
}

static int same_request(const tsr_pack_request *a, const tsr_pack_request *b)
{
    return a->param == b->param && a->gemm == b->gemm && a->row == b->row && a->col == b->col &&
           a->blocks == b->blocks && a->step == b->step && a->offset == b->offset &&
           a->group == b->group && a->group_step == b->group_step;
}

static tsr_status take_locked(tsr_packs *k, const tsr_pack_request *req, tsr_packed **out)
{
    tsr_status st;
    tsr_packed *p = NULL;
    for (size_t i = 0; i < k->count; i++)
        if (same_request(k->items[i]->req, req)) {
            *out = k->items[i];
            (*out)->users++;
            return TSR_OK;
        }
    TSR_GO(tsr_room(&k->items, k->count, &k->cap, sizeof(tsr_packed *)));
    TSR_GO(tsr_alloc(&p, 1, sizeof *p));
    TSR_GO(tsr_alloc(&p->req, 1, sizeof *p->req));
    *p->req = *req;
    TSR_GO(tsr_alloc(&p->blocks, req->blocks, sizeof *p->blocks));
    p->users = 1;
    k->items[k->count++] = p;
    *out = p;
    p = NULL;
out:
    destroy(p);
    return st;
}

tsr_status tsr_packs_take(tsr_params *ps, const tsr_pack_request *req, tsr_packed **out)
{
    tsr_packs *k = tsr_params_packs(ps);
    pthread_mutex_lock(&k->lock);
    tsr_status st = take_locked(k, req, out);
    pthread_mutex_unlock(&k->lock);
    return st;
}

void tsr_packs_drop(tsr_params *ps, tsr_packed *p)
{
    tsr_packs *k = tsr_params_packs(ps);
    size_t i = 0;
    pthread_mutex_lock(&k->lock);
    if (--p->users == 0 && !tsr_params_deferred(ps)) {
        while (k->items[i] != p)
            i++;
        k->items[i] = k->items[--k->count];
        destroy(p);
    }
    pthread_mutex_unlock(&k->lock);
}

/* --- filling ----------------------------------------------------------------------------------- */

/* Blocks that are cut from the same values (the taps of a convolution) are filled together. */
static size_t unit_blocks(const tsr_pack_request *r)
{
    return r->group ? r->group : 1;
}

static size_t units(const tsr_pack_request *r)
{
    return tsr_pieces(r->blocks, unit_blocks(r));
}

/* Values that unit i is cut from: [first, first + the result). */
static size_t span_of(const tsr_pack_request *r, size_t i, size_t *first)
{
    const tsr_gemm_spec *s = tsr_gemm_spec_of(r->gemm);
    size_t at = i * unit_blocks(r), end = at + unit_blocks(r);
    size_t last = tsr_pack_start(r, (end < r->blocks ? end : r->blocks) - 1);
    *first = tsr_pack_start(r, at);
    return last + (s->k - 1) * r->row + (s->n - 1) * r->col + 1 - *first;
}

typedef struct refresh {
    tsr_packed **stale;
    size_t *first; /* [n + 1] units before each */
    size_t n;
    float *room; /* for each lane the values of a unit that are not in memory */
    size_t room_values;
} refresh;

static tsr_status fill_block(tsr_packed *p, size_t j, const float *values)
{
    if (!p->blocks[j])
        TSR_TRY(tsr_pack_create(p->req->gemm, &p->blocks[j]));
    return tsr_pack_fill(p->blocks[j], values, p->req->row, p->req->col);
}

static tsr_status refresh_unit(void *ctx, size_t i, int lane)
{
    refresh *r = ctx;
    size_t at = 0, first;
    while (r->first[at + 1] <= i)
        at++;
    tsr_packed *p = r->stale[at];
    const tsr_pack_request *req = p->req;
    size_t unit = i - r->first[at], span = span_of(req, unit, &first);
    const float *values = req->param->value ? req->param->value + first : NULL;
    if (!values) {
        float *room = r->room + (size_t)lane * r->room_values;
        TSR_TRY(tsr_param_read(req->param, first, span, room));
        values = room;
    }
    for (size_t j = unit * unit_blocks(req); j < (unit + 1) * unit_blocks(req); j++)
        if (j < req->blocks)
            TSR_TRY(fill_block(p, j, values + (tsr_pack_start(req, j) - first)));
    return TSR_OK;
}

/* Which are stale, and how much room a lane needs. */
static void look(refresh *r, tsr_packed *const *list, size_t n)
{
    size_t first;
    for (size_t i = 0; i < n; i++) {
        const tsr_pack_request *req = list[i]->req;
        if (list[i]->version == req->param->version)
            continue;
        r->first[r->n + 1] = r->first[r->n] + units(req);
        r->stale[r->n++] = list[i];
        for (size_t u = 0; !req->param->value && u < units(req); u++) {
            size_t span = span_of(req, u, &first);
            r->room_values = span > r->room_values ? span : r->room_values;
        }
    }
}

static tsr_status refresh_locked(tsr_packed *const *list, size_t n)
{
    tsr_status st;
    refresh r = {0};
    size_t room;
    TSR_GO(tsr_alloc(&r.stale, n, sizeof *r.stale));
    TSR_GO(tsr_alloc(&r.first, n + 1, sizeof *r.first));
    look(&r, list, n);
    r.room_values = (r.room_values + 15) / 16 * 16;
    TSR_GO(tsr_mul_size((size_t)tsr_par_team(), r.room_values, &room));
    TSR_GO(tsr_alloc(&r.room, room, sizeof *r.room));
    TSR_GO(tsr_par_for(r.first[r.n], refresh_unit, &r));
    for (size_t i = 0; i < r.n; i++)
        r.stale[i]->version = r.stale[i]->req->param->version;
out:
    tsr_free(r.room);
    tsr_free(r.stale);
    tsr_free(r.first);
    return st;
}

tsr_status tsr_packs_refresh(tsr_params *ps, tsr_packed *const *list, size_t n)
{
    tsr_packs *k = tsr_params_packs(ps);
    pthread_mutex_lock(&k->lock);
    tsr_status st = refresh_locked(list, n);
    pthread_mutex_unlock(&k->lock);
    return st;
}
