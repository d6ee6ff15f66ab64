/* SPDX-License-Identifier: Apache-2.0
 * k-means on raw patches. */
#include "tokenizers/patchmeans.h"

#include "base/mem.h"
#include "dsp/kmeans.h"

struct tsr_patchmeans {
    const tsr_tokenizer *t;
    tsr_train_shape shape;
    size_t planes;  /* of a patch: channels, or one for each class */
    size_t columns; /* patches in a row */
    size_t per_item, dim, codes;
    float *centres; /* [codes, dim] */
};

tsr_status tsr_patchmeans_create(const tsr_tokenizer *t, tsr_patchmeans **out)
{
    tsr_train_shape shape;
    tsr_patchmeans *b;
    TSR_TRY(tsr_trainable_shape(t, &shape));
    TSR_TRY(tsr_alloc(&b, 1, sizeof *b));
    b->t = t;
    b->shape = shape;
    b->codes = tsr_tokenizer_space(t)->codebook_size;
    b->planes = shape.classes ? shape.classes : shape.channels;
    b->columns = shape.width / shape.patch;
    b->per_item = shape.height / shape.patch * b->columns;
    b->dim = b->planes * shape.patch * shape.patch;
    *out = b;
    return TSR_OK;
}

void tsr_patchmeans_destroy(tsr_patchmeans *b)
{
    if (!b)
        return;
    tsr_free(b->centres);
    tsr_free(b);
}

size_t tsr_patchmeans_dim(const tsr_patchmeans *b)
{
    return b->dim;
}

size_t tsr_patchmeans_per_item(const tsr_patchmeans *b)
{
    return b->per_item;
}

/* Index of pixel (y, x) of patch p in a plane. */
static size_t pixel_at(const tsr_patchmeans *b, size_t p, size_t y, size_t x)
{
    size_t side = b->shape.patch;
    return (p / b->columns * side + y) * b->shape.width + p % b->columns * side + x;
}

/* Patch p of prepared planes as one vector; class maps become one-hot. */
static void take(const tsr_patchmeans *b, const float *x, size_t p, float *v)
{
    size_t side = b->shape.patch, plane = b->shape.height * b->shape.width;
    for (size_t c = 0; c < b->planes; c++)
        for (size_t i = 0; i < side * side; i++) {
            size_t at = pixel_at(b, p, i / side, i % side);
            *v++ = b->shape.classes ? (float)((size_t)x[at] == c) : x[c * plane + at];
        }
}

static void put(const tsr_patchmeans *b, const float *v, size_t p, float *y)
{
    size_t side = b->shape.patch, plane = b->shape.height * b->shape.width;
    for (size_t c = 0; c < b->planes; c++)
        for (size_t i = 0; i < side * side; i++)
            y[c * plane + pixel_at(b, p, i / side, i % side)] = *v++;
}

/* Prepared planes of one item. */
typedef struct item {
    float *x;
    uint8_t *valid;
} item;

static tsr_status item_init(item *m, const tsr_patchmeans *b)
{
    size_t pixels = b->shape.height * b->shape.width;
    *m = (item){0};
    TSR_TRY(tsr_alloc(&m->x, b->shape.channels * pixels, sizeof *m->x));
    return tsr_alloc(&m->valid, pixels, 1);
}

static void item_clear(item *m)
{
    tsr_free(m->x);
    tsr_free(m->valid);
}

tsr_status tsr_patchmeans_draw(const tsr_patchmeans *b, const tsr_inputs *in, size_t n, tsr_rng *rng,
                               float *points)
{
    item m;
    size_t items;
    tsr_status st = TSR_OK;
    TSR_GO(item_init(&m, b));
    TSR_GO(tsr_trainable_items(b->t, in, &items));
    TSR_GO(tsr_trainable_prepare(b->t, in, tsr_rng_below(rng, (uint32_t)items), NULL, m.x, m.valid));
    for (size_t k = 0; k < n; k++)
        take(b, m.x, tsr_rng_below(rng, (uint32_t)b->per_item), points + k * b->dim);
out:
    item_clear(&m);
    return st;
}

tsr_status tsr_patchmeans_fit(tsr_patchmeans *b, const float *points, size_t n, int rounds,
                              uint64_t seed, const tsr_job *job)
{
    const tsr_kmeans_data data = {points, NULL, n, b->dim};
    const tsr_kmeans_spec how = {.k = b->codes, .rounds = rounds, .settle = 1e-4, .seed = seed,
                                 .sample = 4 * b->codes, .job = job};
    tsr_free(b->centres);
    TSR_TRY(tsr_alloc(&b->centres, b->codes * b->dim, sizeof *b->centres));
    return tsr_kmeans(&data, &how, b->centres, NULL, NULL);
}

tsr_status tsr_patchmeans_rebuild(const tsr_patchmeans *b, const tsr_inputs *in, tsr_media *out)
{
    size_t answer = b->planes * b->shape.height * b->shape.width, values, items;
    float *y = NULL, *patches = NULL;
    uint32_t *ids = NULL;
    item m;
    tsr_status st = TSR_OK;
    TSR_GO(item_init(&m, b));
    TSR_GO(tsr_trainable_items(b->t, in, &items));
    TSR_GO(tsr_mul_size(items, answer, &values));
    TSR_GO(tsr_alloc(&y, values, sizeof *y));
    TSR_GO(tsr_alloc(&patches, b->per_item * b->dim, sizeof *patches));
    TSR_GO(tsr_alloc(&ids, b->per_item, sizeof *ids));
    for (size_t k = 0; k < items; k++) {
        TSR_GO(tsr_trainable_prepare(b->t, in, k, NULL, m.x, m.valid));
        for (size_t p = 0; p < b->per_item; p++)
            take(b, m.x, p, patches + p * b->dim);
        TSR_GO(tsr_kmeans_assign(patches, b->per_item, b->centres, b->codes, b->dim, ids, NULL));
        for (size_t p = 0; p < b->per_item; p++)
            put(b, b->centres + ids[p] * b->dim, p, y + k * answer);
    }
    TSR_GO(tsr_trainable_finish(b->t, y, items, out));
out:
    item_clear(&m);
    tsr_free(y);
    tsr_free(patches);
    tsr_free(ids);
    return st;
}
