/* SPDX-License-Identifier: Apache-2.0
 * Rows of what is held; room for nets and examples. */
#include "trainer/showrows.h"

#include "base/mem.h"

/* --- rows --- */

static tsr_status check_ids(const tsr_mod *mod, const tsr_held *h, uint32_t n, size_t sample)
{
    if (n > 0 && !h->ids)
        TSR_FAIL(TSR_EARG, "sample %zu: %s has no tokens", sample, mod->name);
    for (uint32_t i = 0; i < n; i++)
        if (h->ids[i] >= mod->vocabulary)
            TSR_FAIL(TSR_EFORMAT, "sample %zu: token %u of %s is %u, its vocabulary has %u", sample,
                     i, mod->name, h->ids[i], mod->vocabulary);
    return TSR_OK;
}

tsr_status tsr_show_check(const tsr_mod *mod, const tsr_held *h, size_t sample)
{
    uint32_t n = h->count;
    if (h->known && mod->cls == TSR_CLASS_SEQUENCE)
        TSR_FAIL(TSR_EARG, "sample %zu: %s has no places of which some could be known", sample,
                 mod->name);
    if (mod->cls == TSR_CLASS_SEQUENCE)
        return check_ids(mod, h, n < mod->max_tokens ? n : mod->max_tokens, sample);
    if (n != mod->places)
        TSR_FAIL(TSR_EFORMAT, "sample %zu: %s has %u tokens, expected %u", sample, mod->name, n,
                 mod->places);
    if (mod->cls != TSR_CLASS_PIXELS)
        return check_ids(mod, h, n, sample);
    if (!h->patches)
        TSR_FAIL(TSR_EARG, "sample %zu: %s has no pixels", sample, mod->name);
    return TSR_OK;
}

uint32_t tsr_show_count(const tsr_mod *mod, const tsr_held *h)
{
    uint32_t n = 0, most = h->count < mod->max_tokens ? h->count : mod->max_tokens;
    while (n < most && h->ids[n] != TSR_ID_EOS)
        n++;
    return n < most ? n + 1 : n;
}

/* Places of a grid whose ids count. */
static uint32_t known_of(const tsr_held *h)
{
    uint32_t n = 0;
    if (!h->known)
        return h->count;
    for (uint32_t i = 0; i < h->count; i++)
        n += h->known[i] != 0;
    return n;
}

tsr_status tsr_show_sequence(tsr_example *e, size_t m, const uint32_t *ids, uint32_t n)
{
    tsr_rows *r = &e->in[m];
    TSR_TRY(tsr_example_rows(e, r, n));
    for (uint32_t i = 0; i < n; i++) {
        r->ids[i] = (int32_t)ids[i];
        r->positions[i] = (int32_t)i;
    }
    return TSR_OK;
}

tsr_status tsr_show_places(tsr_example *e, size_t m, const uint32_t *ids, const uint8_t *filled,
                           uint32_t count)
{
    tsr_rows *r = &e->in[m];
    TSR_TRY(tsr_example_rows(e, r, count));
    for (uint32_t at = 0, i = 0; at < count; i++) {
        if (filled && !filled[i])
            continue;
        r->ids[at] = (int32_t)(ids ? ids[i] : 0);
        r->positions[at++] = (int32_t)i;
    }
    return TSR_OK;
}

tsr_status tsr_show_held(tsr_example *e, const tsr_mods *mods, size_t m, const tsr_held *h)
{
    const tsr_mod *mod = &mods->items[m];
    if (mod->cls == TSR_CLASS_SEQUENCE)
        return tsr_show_sequence(e, m, h->ids, tsr_show_count(mod, h));
    TSR_TRY(tsr_show_places(e, m, h->ids, h->known, known_of(h)));
    e->in[m].patches = h->patches;
    return TSR_OK;
}

tsr_status tsr_show_sentinel(tsr_example *e, size_t m)
{
    static const uint32_t first = TSR_ID_SENTINEL + 1;
    return tsr_show_sequence(e, m, &first, 1);
}

/* --- room --- */

int tsr_grow_to(size_t *have, size_t need)
{
    int larger = need > *have;
    if (larger)
        *have = need;
    return larger;
}

void tsr_least_room(const tsr_mods *mods, size_t *in_rows, size_t *in_of)
{
    if (*in_rows > 0)
        return;
    *in_rows = 1;
    for (size_t m = 0; m < mods->count; m++)
        if (mods->items[m].input) {
            in_of[m] = 1;
            return;
        }
}

tsr_status tsr_net_room_net(tsr_net_room *r, const tsr_fmnet_spec *need)
{
    const tsr_mods *mods = &tsr_fm_get_config(r->model)->mods;
    tsr_fmnet_spec *h = &r->have;
    int larger = r->net == NULL;
    larger |= tsr_grow_to(&h->samples, need->samples);
    larger |= tsr_grow_to(&h->in_rows, need->in_rows);
    larger |= tsr_grow_to(&h->out_rows, need->out_rows);
    for (size_t m = 0; m < mods->count; m++) {
        larger |= tsr_grow_to(&h->in_of[m], need->in_of[m]);
        larger |= tsr_grow_to(&h->out_of[m], need->out_of[m]);
    }
    if (!larger)
        return TSR_OK;
    tsr_least_room(mods, &h->in_rows, h->in_of);
    tsr_fmnet_destroy(r->net);
    r->net = NULL;
    return tsr_fmnet_create(r->model, h, &r->net);
}

static void drop_examples(tsr_net_room *r)
{
    for (size_t i = 0; i < r->n_examples; i++)
        tsr_example_clear(&r->examples[i]);
    tsr_free(r->examples);
    tsr_free(r->list);
    r->examples = NULL;
    r->list = NULL;
    r->n_examples = r->rows = 0;
}

tsr_status tsr_net_room_examples(tsr_net_room *r, size_t n, size_t rows)
{
    const tsr_mods *mods = &tsr_fm_get_config(r->model)->mods;
    size_t most = r->rows;
    if (n <= r->n_examples && rows <= r->rows)
        return TSR_OK;
    n = n > r->n_examples ? n : r->n_examples;
    most = rows > most ? rows : most;
    drop_examples(r);
    TSR_TRY(tsr_alloc(&r->examples, n, sizeof *r->examples));
    TSR_TRY(tsr_alloc(&r->list, n, sizeof *r->list));
    for (size_t i = 0; i < n; i++) {
        TSR_TRY(tsr_example_init(&r->examples[i], mods, most, 0));
        r->list[i] = &r->examples[i];
        r->n_examples = i + 1;
    }
    r->rows = most;
    return TSR_OK;
}

void tsr_net_room_clear(tsr_net_room *r)
{
    drop_examples(r);
    tsr_fmnet_destroy(r->net);
    r->net = NULL;
}
