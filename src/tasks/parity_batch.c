/* SPDX-License-Identifier: Apache-2.0
 * Parity of masked models: the stored batch, padded and masked, as examples without padding. */
#include "base/mem.h"
#include "tasks/parity_work.h"

#include <string.h>

/* Tensors of one modality; the shape is [samples, places]. */
typedef struct source {
    const tsr_stored *ids, *patches, *masks[2]; /* masks: inputs, targets */
    size_t places;
} source;

/* A mask of [samples, n] or NULL in *out. */
static tsr_status find_mask(const tsr_parity_batch *b, const char *name, const char *suffix,
                            const tsr_stored **out)
{
    const tsr_stored *t = tsr_parity_stored(b->io, "in.", name, suffix);
    if (t && (t->ndim != 2 || t->shape[0] != b->samples || !tsr_parity_is_whole(t)))
        TSR_FAIL(TSR_EMISMATCH, "%s: '%s' is not [%zu samples, places] of truths",
                 tsr_safetensors_path(b->io), t->name, b->samples);
    *out = t;
    return TSR_OK;
}

static tsr_status find_source(const tsr_parity_batch *b, const tsr_mod *mod, source *s)
{
    const char *path = tsr_safetensors_path(b->io);
    *s = (source){.ids = tsr_parity_stored(b->io, "in.", mod->name, ".tensor"),
                  .patches = tsr_parity_stored(b->io, "in.", mod->name, ".patches")};
    TSR_TRY(find_mask(b, mod->name, ".input_mask", &s->masks[0]));
    TSR_TRY(find_mask(b, mod->name, ".target_mask", &s->masks[1]));
    const tsr_stored *any = s->masks[0] ? s->masks[0] : s->masks[1];
    if (!any)
        return TSR_OK;
    s->places = any->shape[1];
    if (s->masks[1] && s->masks[1]->count != any->count)
        TSR_FAIL(TSR_EMISMATCH, "%s: masks of modality '%s' differ in size", path, mod->name);
    if (mod->cls == TSR_CLASS_PIXELS) {
        if (s->places > mod->positions)
            TSR_FAIL(TSR_EMISMATCH, "%s: modality '%s' has %zu places, the model %u positions",
                     path, mod->name, s->places, mod->positions);
        if (!s->ids && !s->patches)
            TSR_FAIL(TSR_ENOENT, "%s: 'in.%s.tensor' is missing", path, mod->name);
        return TSR_OK;
    }
    if (!s->ids || !tsr_parity_is_whole(s->ids) || s->ids->count != any->count)
        TSR_FAIL(TSR_EMISMATCH, "%s: 'in.%s.tensor' is not %zu whole numbers", path, mod->name,
                 any->count);
    return TSR_OK;
}

static int hidden(const tsr_stored *mask, size_t i)
{
    return tsr_parity_whole_at(mask, i) != 0;
}

/* Rows that a mask leaves; of texts on the target side pairs of one token and the next. */
static tsr_status take_rows(const tsr_parity_batch *b, const source *s, size_t sample, size_t m,
                            int target)
{
    const tsr_stored *mask = s->masks[target];
    const tsr_mod *mod = &b->mods->items[m];
    size_t n = s->places, first = sample * n;
    int text = mod->cls == TSR_CLASS_SEQUENCE, pixels = mod->cls == TSR_CLASS_PIXELS;
    tsr_example *e = &b->items[sample];
    tsr_rows rows = {0};
    uint32_t count = 0;
    if (!mask || n == 0)
        return TSR_OK;
    TSR_TRY(tsr_example_rows(e, &rows, (uint32_t)n));
    for (size_t j = 0; j < n; j++) {
        if (hidden(mask, first + j) ||
            (target && text && (j + 1 == n || hidden(mask, first + j + 1))))
            continue;
        rows.positions[count] = text ? (int32_t)count : (int32_t)j;
        rows.ids[count] = pixels ? 0 : tsr_parity_id_at(s->ids, first + j);
        rows.labels[count] =
            text && target ? tsr_parity_id_at(s->ids, first + j + 1) : rows.ids[count];
        count++;
    }
    rows.count = count;
    rows.patches = pixels ? e->bytes : NULL; /* overwritten by the stored values */
    if (count)
        *(target ? &e->out[m] : &e->in[m]) = rows;
    return TSR_OK;
}

/* Patches of a picture [B, C, H, W] that are shown: rows of (y, x, channel), channel fastest. */
static tsr_status cut_patches(tsr_parity_batch *b, const source *s, size_t m, const float *all)
{
    const tsr_mod *mod = &b->mods->items[m];
    const tsr_stored *t = s->ids;
    size_t channels = t->shape[1], height = t->shape[2], width = t->shape[3], side = 1, rows = 0;
    while (side * side * channels < mod->patch_values)
        side++;
    if (side * side * channels != mod->patch_values || height % side || width % side ||
        height / side * (width / side) != s->places)
        TSR_FAIL(TSR_EMISMATCH, "%s: '%s' is not %zu patches of %u values",
                 tsr_safetensors_path(b->io), t->name, s->places, mod->patch_values);
    TSR_TRY(tsr_alloc(&b->pixels[m], t->count, sizeof *all));
    for (size_t n = 0; n < b->samples; n++) {
        const tsr_rows *r = &b->items[n].in[m];
        for (size_t k = 0; k < r->count; k++) {
            size_t at = (size_t)r->positions[k], top = at / (width / side) * side,
                   left = at % (width / side) * side;
            float *out = b->pixels[m] + rows++ * mod->patch_values;
            for (size_t i = 0; i < mod->patch_values; i++) {
                size_t y = top + i / channels / side, x = left + i / channels % side;
                out[i] = all[((n * channels + i % channels) * height + y) * width + x];
            }
        }
    }
    b->pixel_rows[m] = rows;
    return TSR_OK;
}

static tsr_status take_pixels(tsr_parity_batch *b, const source *s, size_t m)
{
    size_t values = b->mods->items[m].patch_values, rows = 0;
    float *all;
    tsr_status st;
    for (size_t n = 0; n < b->samples; n++)
        rows += b->items[n].in[m].count;
    if (rows == 0)
        return TSR_OK;
    if (s->patches) {
        if (s->patches->count != rows * values)
            TSR_FAIL(TSR_EMISMATCH, "%s: '%s' is not %zu rows of %zu values",
                     tsr_safetensors_path(b->io), s->patches->name, rows, values);
        b->pixel_rows[m] = rows;
        return tsr_parity_values(s->patches, &b->pixels[m]);
    }
    if (s->ids->ndim != 4 || s->ids->shape[0] != b->samples || s->ids->count == 0)
        TSR_FAIL(TSR_EMISMATCH, "%s: '%s' is not [%zu, channels, height, width]",
                 tsr_safetensors_path(b->io), s->ids->name, b->samples);
    TSR_TRY(tsr_parity_values(s->ids, &all));
    st = cut_patches(b, s, m, all);
    tsr_free(all);
    return st;
}

/* --- order and numbers of the modalities --- */

/* Without metadata: by name. Modalities that the list leaves out come last. */
static tsr_status read_order(tsr_parity_batch *b)
{
    const char *path = tsr_safetensors_path(b->io);
    const char *text =
        json_string_value(json_object_get(tsr_safetensors_metadata(b->io), "modality_order"));
    json_t *list = NULL, *v;
    int seen[TSR_MODALITIES] = {0};
    size_t i;
    if (text)
        TSR_TRY(tsr_json_parse(text, strlen(text), path, &list));
    json_array_foreach(list, i, v)
    {
        int m = json_is_string(v) ? tsr_mods_find(b->mods, json_string_value(v)) : -1;
        if (m < 0 || seen[m]++)
            continue;
        b->order[b->n_order++] = (size_t)m;
    }
    json_decref(list);
    for (size_t m = 0; m < b->mods->count; m++)
        if (!seen[m])
            b->order[b->n_order++] = m;
    return TSR_OK;
}

static tsr_status read_ids(tsr_parity_batch *b)
{
    const char *path = tsr_safetensors_path(b->io);
    const char *text =
        json_string_value(json_object_get(tsr_safetensors_metadata(b->io), "modality_ids"));
    json_t *ids = NULL;
    if (text)
        TSR_TRY(tsr_json_parse(text, strlen(text), path, &ids));
    for (size_t m = 0; m < b->mods->count; m++) {
        const json_t *id = json_object_get(ids, b->mods->items[m].name);
        b->ids[m] = json_is_integer(id) ? (int64_t)json_integer_value(id) : -1;
    }
    json_decref(ids);
    return TSR_OK;
}

/* --- all of it --- */

/* "in.NAME.input_mask" of a modality that the model has. */
static tsr_status count_samples(tsr_parity_batch *b)
{
    for (size_t m = 0; m < b->mods->count && !b->samples; m++) {
        const char *name = b->mods->items[m].name;
        const tsr_stored *t = tsr_parity_stored(b->io, "in.", name, ".input_mask");
        t = t ? t : tsr_parity_stored(b->io, "in.", name, ".target_mask");
        b->samples = t && t->ndim == 2 && t->count ? t->shape[0] : 0;
    }
    if (!b->samples)
        TSR_FAIL(TSR_ENOENT, "%s: holds no 'in.MODALITY.input_mask' of the model's modalities",
                 tsr_safetensors_path(b->io));
    return TSR_OK;
}

/* What is stored of a modality the model does not know would be left out in silence. */
static tsr_status check_known(const tsr_parity_batch *b)
{
    for (size_t i = 0; i < tsr_safetensors_count(b->io); i++) {
        const char *name = tsr_safetensors_at(b->io, i)->name, *end = strrchr(name, '.');
        char mod[TSR_NAME_CHARS];
        if (strncmp(name, "in.", 3) != 0 || end < name + 3)
            continue;
        size_t n = (size_t)(end - name - 3);
        n = n < sizeof mod ? n : sizeof mod - 1;
        memcpy(mod, name + 3, n);
        mod[n] = '\0';
        if (tsr_mods_find(b->mods, mod) < 0)
            TSR_FAIL(TSR_EMISMATCH, "%s: '%s' is of a modality that the model does not have",
                     tsr_safetensors_path(b->io), name);
    }
    return TSR_OK;
}

tsr_status tsr_parity_batch_init(tsr_parity_batch *b, const tsr_safetensors *io,
                                 const tsr_mods *mods)
{
    source sources[TSR_MODALITIES];
    size_t rows = 0, bytes = 0;
    *b = (tsr_parity_batch){.io = io, .mods = mods};
    TSR_TRY(count_samples(b));
    TSR_TRY(check_known(b));
    TSR_TRY(read_order(b));
    TSR_TRY(read_ids(b));
    for (size_t m = 0; m < mods->count; m++) {
        TSR_TRY(find_source(b, &mods->items[m], &sources[m]));
        if (sources[m].places > UINT32_MAX / 4 / TSR_MODALITIES)
            TSR_FAIL(TSR_ELIMIT, "%s: modality '%s' has %zu places", tsr_safetensors_path(io),
                     mods->items[m].name, sources[m].places);
        rows += 2 * sources[m].places;
        size_t of_mod = sources[m].places * mods->items[m].patch_values;
        bytes = of_mod > bytes ? of_mod : bytes;
    }
    TSR_TRY(tsr_alloc(&b->items, b->samples, sizeof *b->items));
    memset(b->items, 0, b->samples * sizeof *b->items);
    TSR_TRY(tsr_alloc(&b->list, b->samples, sizeof *b->list));
    for (size_t n = 0; n < b->samples; n++) {
        TSR_TRY(tsr_example_init(&b->items[n], mods, rows, bytes));
        memset(b->items[n].bytes, 0, bytes);
        b->list[n] = &b->items[n];
        for (size_t m = 0; m < mods->count; m++) {
            if (mods->items[m].input)
                TSR_TRY(take_rows(b, &sources[m], n, m, 0));
            if (mods->items[m].output)
                TSR_TRY(take_rows(b, &sources[m], n, m, 1));
        }
    }
    for (size_t m = 0; m < mods->count; m++)
        if (mods->items[m].cls == TSR_CLASS_PIXELS)
            TSR_TRY(take_pixels(b, &sources[m], m));
    return TSR_OK;
}

void tsr_parity_batch_clear(tsr_parity_batch *b)
{
    for (size_t n = 0; b->items && n < b->samples; n++)
        tsr_example_clear(&b->items[n]);
    for (size_t m = 0; m < TSR_MODALITIES; m++)
        tsr_free(b->pixels[m]);
    tsr_free(b->items);
    tsr_free(b->list);
}

static size_t count_of(const tsr_parity_batch *b, size_t sample, int target, size_t m)
{
    const tsr_example *e = &b->items[sample];
    return (target ? e->out : e->in)[m].count;
}

size_t tsr_parity_rows(const tsr_parity_batch *b, size_t sample, int target)
{
    size_t n = 0;
    for (size_t m = 0; m < b->mods->count; m++)
        n += count_of(b, sample, target, m);
    return n;
}

int tsr_parity_slot(const tsr_parity_batch *b, size_t sample, int target, size_t slot, size_t *m,
                    size_t *row)
{
    for (size_t k = 0; k < b->n_order; k++) {
        size_t count = count_of(b, sample, target, b->order[k]);
        if (slot < count) {
            *m = b->order[k];
            *row = slot;
            return 1;
        }
        slot -= count;
    }
    return 0;
}
