/* SPDX-License-Identifier: Apache-2.0
 * The trainer's door to tokenizers with a network. */
#include "tokenizers/trainable.h"

#include "base/mem.h"
#include "tokenizers/kind.h"

static tsr_status need(const tsr_tokenizer *t)
{
    if (!t->kind->train)
        TSR_FAIL(TSR_EUNSUPPORTED, "modality %s: a tokenizer of kind \"%s\" has no network to train",
                 t->space.modality, t->kind->name);
    return TSR_OK;
}

tsr_status tsr_trainable_create(const json_t *config, const char *origin, uint64_t seed,
                                tsr_tokenizer **out)
{
    const char *name;
    tsr_tokenizer *t = NULL;
    tsr_status st = TSR_OK;
    if (!json_is_object(config))
        TSR_FAIL(TSR_ECONFIG, "%s: a tokenizer's section must be a mapping", origin);
    TSR_TRY(tsr_json_string(config, "kind", origin, &name));
    TSR_GO(tsr_alloc(&t, 1, sizeof *t));
    TSR_GO(tsr_kind_find(name, origin, &t->kind));
    TSR_GO(tsr_kind_name_space(t, config, origin, NULL));
    TSR_GO(need(t));
    TSR_GO(t->kind->train->create(t, config, origin, seed));
    *out = t;
    t = NULL;
out:
    tsr_tokenizer_destroy(t);
    return st;
}

tsr_status tsr_trainable_shape(const tsr_tokenizer *t, tsr_train_shape *out)
{
    TSR_TRY(need(t));
    t->kind->train->shape(t, out);
    return TSR_OK;
}

tsr_vqvae *tsr_trainable_model(tsr_tokenizer *t)
{
    return t->kind->train ? t->kind->train->model(t) : NULL;
}

tsr_status tsr_trainable_refresh(tsr_tokenizer *t)
{
    TSR_TRY(need(t));
    return tsr_vqvae_refresh(t->kind->train->model(t));
}

tsr_vq_loss tsr_trainable_loss(const tsr_tokenizer *t)
{
    return t->kind->train->loss(t);
}

tsr_status tsr_trainable_items(const tsr_tokenizer *t, const tsr_inputs *in, size_t *items)
{
    TSR_TRY(need(t));
    return t->kind->train->items(t, in, items);
}

tsr_status tsr_trainable_prepare(const tsr_tokenizer *t, const tsr_inputs *in, size_t item,
                                 tsr_rng *augment, float *x, uint8_t *valid)
{
    TSR_TRY(need(t));
    return t->kind->train->prepare(t, in, item, augment, x, valid);
}

tsr_status tsr_trainable_finish(const tsr_tokenizer *t, const float *y, size_t items,
                                tsr_media *out)
{
    tsr_media media = {0};
    TSR_TRY(need(t));
    tsr_status st = t->kind->train->finish(t, y, items, &media);
    if (st != TSR_OK) {
        tsr_media_clear(&media);
        return st;
    }
    *out = media;
    return TSR_OK;
}
