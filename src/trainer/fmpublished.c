/* SPDX-License-Identifier: Apache-2.0
 * Modalities of published models: their files hold names and shapes, the rest is in this table.
 * Source   apple/ml-4m, fourm/data/modality_info.py. */
#include "base/str.h"
#include "trainer/fm_priv.h"

#include <ctype.h>
#include <string.h>

#define LONGEST_TEXT 256 /* of texts that are not in the table */

/* Texts: most tokens, and the length their decoder's positions were cut to where it is less. */
static const struct {
    const char *name;
    uint32_t tokens, wrap;
} texts[] = {
    {"caption", 256, 0},       {"det", 256, 0},          {"metadata", 40, 0},
    {"human_poses", 275, 263}, {"color_palette", 23, 0}, {"sam_instance", 290, 0},
};

static const tsr_stored *tensor_of(const tsr_safetensors *f, const char *side, const char *mod,
                                   const char *name)
{
    char full[TSR_FM_NAME];
    snprintf(full, sizeof full, "%s_embeddings.%s.%s", side, mod, name);
    return tsr_safetensors_find(f, full);
}

/* A tensor of the modality on either side, or NULL. */
static const tsr_stored *either(const tsr_safetensors *f, const char *mod, const char *name)
{
    const tsr_stored *t = tensor_of(f, "encoder", mod, name);
    return t ? t : tensor_of(f, "decoder", mod, name);
}

/* Dimension counted from the last one, 0 when there is none, or none that can be. */
static uint32_t size_of(const tsr_stored *t, int from_last)
{
    if (!t || t->ndim <= from_last)
        return 0;
    size_t n = t->shape[t->ndim - 1 - from_last];
    return n <= INT32_MAX ? (uint32_t)n : 0;
}

static void take_text(tsr_mod *m)
{
    m->cls = TSR_CLASS_SEQUENCE;
    m->max_tokens = m->positions < LONGEST_TEXT ? m->positions : LONGEST_TEXT;
    m->height = m->width = 1;
    memcpy(m->range, "text", sizeof "text");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(texts[i].name, m->name) == 0) {
            m->max_tokens = texts[i].tokens;
            m->wrap = texts[i].wrap;
        }
}

static int is_text(const tsr_mod *m)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(texts[i].name, m->name) == 0)
            return 1;
    return m->positions == TSR_SEQUENCE_POSITIONS;
}

/* A square grid of `positions` places; vectors lie in a row. */
static tsr_status take_grid(tsr_mod *m, const char *path)
{
    uint32_t side = 1;
    while (side * side < m->positions && side < 4096)
        side++;
    m->places = m->max_tokens = m->positions;
    m->height = m->width = side;
    if (m->cls == TSR_CLASS_VECTOR) {
        m->height = 1;
        m->width = m->positions;
    } else if (side * side != m->positions) {
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: modality '%s' has %u positions, which are no square grid",
                 path, m->name, m->positions);
    }
    return TSR_OK;
}

/* Everything about one modality from its tensors; what is missing gets a size that lets the message
 * about tensors name it. */
static tsr_status describe(const tsr_safetensors *f, tsr_mod *m)
{
    const tsr_stored *proj = tensor_of(f, "encoder", m->name, "proj.weight");
    const tsr_stored *head = tensor_of(f, "decoder", m->name, "to_logits.weight");
    uint32_t positions = size_of(either(f, m->name, "pos_emb"), 1);
    m->positions = positions ? positions : 1;
    memcpy(m->range, m->name, sizeof m->range);
    if (proj) {
        m->cls = TSR_CLASS_PIXELS;
        m->patch_values = size_of(proj, 0);
        m->range[0] = '\0';
        return take_grid(m, tsr_safetensors_path(f));
    }
    uint32_t ids = size_of(head ? head : either(f, m->name, "token_emb.weight"), 1);
    m->vocabulary = ids ? ids : 1;
    if (is_text(m)) {
        take_text(m);
        return TSR_OK;
    }
    m->cls = tsr_ends_with(m->name, "_global") ? TSR_CLASS_VECTOR : TSR_CLASS_IMAGE;
    return take_grid(m, tsr_safetensors_path(f));
}

/* --- lists of names -------------------------------------------------------------------------- */

/* The next name of a list as Python or JSON writes it, "['a', "b", c]"; 0 at its end. */
static int next_name(const char **at, char out[TSR_NAME_CHARS])
{
    const char *s = *at;
    size_t n = 0;
    while (*s && strchr("[]'\", ", *s))
        s++;
    while (s[n] && !strchr("[]'\", ", s[n]))
        n++;
    *at = s + n;
    if (!n)
        return 0;
    size_t kept = n < TSR_NAME_CHARS ? n : TSR_NAME_CHARS - 1;
    memcpy(out, s, kept);
    out[kept] = '\0';
    return 1;
}

/* Embedded sentences come as vectors of numbers, not tokens. */
static int is_vectors(const tsr_safetensors *f, const char *name)
{
    return tensor_of(f, "encoder", name, "emb_proj.weight") ||
           tensor_of(f, "encoder", name, "emb_proj.0.weight");
}

static tsr_status add_one(const tsr_safetensors *f, const char *name, int output, tsr_fm *m)
{
    tsr_mods *mods = &m->config.mods;
    tsr_mod mod = {.input = !output, .output = output};
    int at = tsr_mods_find(mods, name);
    if (output && !tensor_of(f, "decoder", name, "pos_emb") &&
        !tensor_of(f, "decoder", name, "to_logits.weight"))
        return TSR_OK; /* the reference skips it, too */
    if (!output && is_vectors(f, name)) {
        m->left_out = m->left_out ? m->left_out : json_array();
        return tsr_json_append(m->left_out, json_string(name));
    }
    if (at >= 0) {
        mods->items[at].output |= output;
        return TSR_OK;
    }
    memcpy(mod.name, name, strlen(name) + 1);
    TSR_TRY(describe(f, &mod));
    return tsr_mods_add(mods, &mod);
}

static tsr_status add_names(const tsr_safetensors *f, const json_t *config, const char *key,
                            tsr_fm *m)
{
    char name[TSR_NAME_CHARS];
    const char *path = tsr_safetensors_path(f);
    const char *at = json_string_value(json_object_get(config, key));
    while (at && next_name(&at, name)) {
        tsr_status st = add_one(f, name, strcmp(key, "domains_out") == 0, m);
        if (st != TSR_OK)
            return tsr_context(st == TSR_EARG ? TSR_EFORMAT : st, "%s", path);
    }
    return TSR_OK;
}

/* Texts share the first range, each grid has the next. */
static void give_bases(tsr_mods *mods)
{
    uint64_t next = 0;
    for (size_t i = 0; i < mods->count; i++)
        if (mods->items[i].cls == TSR_CLASS_SEQUENCE && mods->items[i].vocabulary > next)
            next = mods->items[i].vocabulary;
    for (size_t i = 0; i < mods->count; i++) {
        tsr_mod *m = &mods->items[i];
        if (m->cls == TSR_CLASS_SEQUENCE || m->cls == TSR_CLASS_PIXELS)
            continue;
        m->base = next + m->vocabulary <= INT32_MAX ? (uint32_t)next : 0;
        next += m->vocabulary;
    }
}

tsr_status tsr_fm_published_mods(const tsr_safetensors *f, const json_t *config, tsr_fm *m)
{
    TSR_TRY(add_names(f, config, "domains_in", m));
    TSR_TRY(add_names(f, config, "domains_out", m));
    give_bases(&m->config.mods);
    return TSR_OK;
}
