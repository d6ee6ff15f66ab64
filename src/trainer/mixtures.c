/* SPDX-License-Identifier: Apache-2.0
 * Published mixtures of masks: by name, and from the alphas files of the 4M repository. */
#include "trainer/policy.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/yamltree.h"

#include <string.h>

#define FILE_BYTES (1u << 20)
#define LISTS_MOST 4096 /* components */

/* Concentrations as published with 4M (Mizrahi et al. 2023, arXiv:2312.06647; Bachmann et al. 2024,
 * arXiv:2406.09406), one component a line; in brackets the name of the alphas file. Where these say
 * rgb@224, pixels of any name stand, and so do the tokens of a modality called `rgb`. Palettes
 * are kept wholly or not at all in 4M-21. */
static const struct {
    const char *name, *text;
} presets[] = {
    /* [all2all+rgb2all, a = 0.5] */
    {"4m-7", "totals: {inputs: 128, targets: 128}\n"
             "components:\n"
             "- {inputs: {default: 0, pixels: 1000, rgb: 1000}, targets: 0.5}\n"
             "- {inputs: 0.5, targets: 0.5}\n"},
    /* [all2allmix+rgb2all+capbias] */
    {"4m-7-mix", "totals: {inputs: 128, targets: 128}\n"
                 "components:\n"
                 "- {inputs: 0.01, targets: 0.01}\n"
                 "- {inputs: 0.1, targets: 0.1}\n"
                 "- {inputs: 1, targets: 1}\n"
                 "- {inputs: 10, targets: 10}\n"
                 "- {inputs: {default: 0, pixels: 1000, rgb: 1000}, targets: 0.5}\n"
                 "- {inputs: {default: 0.05, caption: 5}, targets: 0.5, keep: {caption: all}}\n"},
    /* The CC12M part of the data. */
    {"4m-21", "totals: {inputs: 256, targets: 256}\n"
              "keep: {default: random, '*palette': binary}\n"
              "components:\n"
              "- {inputs: 0.01, targets: 0.01, weight: 2}\n"
              "- {inputs: 0.1, targets: 0.1, weight: 2}\n"
              "- {inputs: 1, targets: 1, weight: 2}\n"
              "- {inputs: 10, targets: 10, weight: 2}\n"
              "- {inputs: {default: 0, pixels: 1000, rgb: 1000}, targets: 0.5, weight: 2}\n"
              "- inputs: {default: 0.05, caption: 5, t5_caption: 0}\n"
              "  targets: {default: 0.5, caption: 0}\n"
              "  keep: {caption: all}\n"
              "- inputs: {default: 0.05, t5_caption: 5, caption: 0}\n"
              "  targets: {default: 0.5, t5_caption: 0}\n"
              "  keep: {t5_caption: all}\n"},
    /* Text to image. */
    {"t2i", "totals: {inputs: [64, 256], targets: 256}\n"
            "components:\n"
            "- {inputs: {default: 0.05, caption: 5}, targets: 1, keep: {caption: all}}\n"
            "- {inputs: 0.2, targets: 1}\n"
            "- {inputs: 1, targets: 1}\n"},
    /* From 224 to 448 pixels. */
    {"sr", "totals: {inputs: [64, 1024], targets: 1024}\n"
           "components:\n"
           "- inputs: {default: 0.05, tok_rgb@224: 5, tok_rgb@448: 5}\n"
           "  targets: {default: 0, tok_rgb@448: 5, '*@448': 0.05}\n"
           "- inputs: {default: 0.05, caption: 5}\n"
           "  targets: {default: 0, '*@448': 1}\n"
           "  keep: {caption: all}\n"
           "- {inputs: 0.2, targets: {default: 0, '*@448': 1}}\n"
           "- {inputs: 1, targets: {default: 0, '*@448': 1}}\n"},
};
#define PRESETS (sizeof presets / sizeof presets[0])

tsr_status tsr_policy_preset(const char *name, json_t **out)
{
    const char *names[PRESETS], *close;
    for (size_t i = 0; i < PRESETS; i++) {
        names[i] = presets[i].name;
        if (strcmp(name, presets[i].name) == 0)
            return tsr_yaml_parse(presets[i].text, strlen(presets[i].text), name, NULL, out);
    }
    close = tsr_suggest(name, names, PRESETS);
    if (close)
        TSR_FAIL(TSR_ECONFIG, "mask.preset: '%s' is unknown; did you mean \"%s\"?", name, close);
    TSR_FAIL(TSR_ECONFIG, "mask.preset: '%s' is none of 4m-7, 4m-7-mix, 4m-21, t2i, sr", name);
}

/* --- alphas files --- */

/* Value k of the list under `key` of a modality, into a component's map. */
static tsr_status add_value(json_t *component, const char *map, const char *modality,
                            const json_t *lists, const char *key, size_t k, const char *path)
{
    const json_t *list = json_object_get(lists, key), *v = json_array_get(list, k);
    json_t *to = json_object_get(component, map);
    if (!list && strcmp(key, "keep") == 0)
        return TSR_OK;
    if (!v)
        TSR_FAIL(TSR_EFORMAT, "%s: %s of '%s' has no entry %zu", path, key, modality, k);
    return tsr_json_set(to, modality, json_deep_copy(v));
}

/* One component: entry k of every list. */
static tsr_status one_component(const json_t *mixture, const json_t *weights, size_t k,
                                const char *path, json_t *list)
{
    const char *modality;
    json_t *lists,
        *c = json_pack("{s:O, s:{s:i}, s:{s:i}, s:{}}", "weight", json_array_get(weights, k),
                       "inputs", "default", 0, "targets", "default", 0, "keep");
    TSR_TRY(tsr_json_append(list, c));
    json_object_foreach((json_t *)mixture, modality, lists)
    {
        size_t n = json_array_size(json_object_get(lists, "input_alphas"));
        if (n != json_array_size(weights))
            TSR_FAIL(TSR_EFORMAT, "%s: input_alphas of '%s' has %zu entries, expected %zu", path,
                     modality, n, json_array_size(weights));
        TSR_TRY(add_value(c, "inputs", modality, lists, "input_alphas", k, path));
        TSR_TRY(add_value(c, "targets", modality, lists, "target_alphas", k, path));
        TSR_TRY(add_value(c, "keep", modality, lists, "keep", k, path));
    }
    return TSR_OK;
}

/* Weights of a file without any: as many ones as the first modality has entries. *out owned. */
static tsr_status even_weights(const json_t *mixture, const char *path, json_t **out)
{
    void *first = json_object_iter((json_t *)mixture);
    size_t n =
        first ? json_array_size(json_object_get(json_object_iter_value(first), "input_alphas")) : 0;
    json_t *w = json_array();
    tsr_status st = w ? TSR_OK : tsr_fail_at(TSR_ENOMEM, __FILE__, __LINE__, "out of memory");
    if (st == TSR_OK && (!n || n > LISTS_MOST))
        st = tsr_fail_at(TSR_EFORMAT, __FILE__, __LINE__,
                         "%s is no alphas file: no modality with 1 to %d input_alphas", path,
                         LISTS_MOST);
    for (size_t i = 0; st == TSR_OK && i < n; i++)
        st = tsr_json_append(w, json_integer(1));
    if (st != TSR_OK) {
        json_decref(w);
        return st;
    }
    *out = w;
    return TSR_OK;
}

static tsr_status convert(const json_t *file, const char *path, json_t **out)
{
    const json_t *mixture = json_object_get(file, "alphas_mixture");
    json_t *weights = json_incref(json_object_get(file, "sampling_weights")), *list = json_array();
    tsr_status st = TSR_OK;
    mixture = mixture ? mixture : file;
    if (!weights)
        TSR_GO(even_weights(mixture, path, &weights));
    size_t n = json_array_size(weights);
    if (!list)
        TSR_GOFAIL(TSR_ENOMEM, "out of memory");
    if (!json_is_object(mixture) || !n || n > LISTS_MOST)
        TSR_GOFAIL(TSR_EFORMAT, "%s is no alphas file: no map of modalities, or no weights", path);
    for (size_t k = 0; k < n; k++)
        TSR_GO(one_component(mixture, weights, k, path, list));
    *out = json_incref(list);
out:
    json_decref(weights);
    json_decref(list);
    return st;
}

tsr_status tsr_policy_read_alphas(const char *path, json_t **out)
{
    char *text = NULL;
    size_t bytes;
    json_t *file = NULL;
    tsr_status st;
    TSR_TRY(tsr_file_read(path, FILE_BYTES, &text, &bytes));
    TSR_GO(tsr_yaml_parse(text, bytes, path, NULL, &file));
    st = convert(file, path, out);
out:
    tsr_free(text);
    json_decref(file);
    return st;
}
