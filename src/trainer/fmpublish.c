/* SPDX-License-Identifier: Apache-2.0
 * A masked model as ml-4m builds it: its options for the model, its modalities, and what neither
 * has room for.
 *
 * ml-4m's loader hands all metadata to the constructor, which takes no others than its own, and
 * loads strictly: the file has every tensor under every name. The sizes of a modality come from a
 * table in ml-4m's source, which holds the modalities below and can be added to.
 * Source   apple/ml-4m, fourm/models/fm.py, class FM; fourm/data/modality_info.py (cda590f). */
#include "base/mem.h"
#include "base/str.h"
#include "nn/metatext.h"
#include "trainer/fm_priv.h"

#include <stdio.h>
#include <string.h>

/* ml-4m's table. ids: codes, 0 for pixels; size: side of the grid, or most tokens of a text. */
static const struct {
    const char *name;
    tsr_modality_class cls;
    uint32_t ids, size;
} table[] = {
    {"caption", TSR_CLASS_SEQUENCE, 30000, 256},
    {"det", TSR_CLASS_SEQUENCE, 30000, 256},
    {"metadata", TSR_CLASS_SEQUENCE, 30000, 40},
    {"human_poses", TSR_CLASS_SEQUENCE, 30000, 275},
    {"color_palette", TSR_CLASS_SEQUENCE, 30000, 23},
    {"sam_instance", TSR_CLASS_SEQUENCE, 30000, 290},
    {"rgb@224", TSR_CLASS_PIXELS, 0, 14},
    {"rgb@448", TSR_CLASS_PIXELS, 0, 28},
    {"tok_rgb@224", TSR_CLASS_IMAGE, 16384, 14},
    {"tok_depth@224", TSR_CLASS_IMAGE, 8192, 14},
    {"tok_normal@224", TSR_CLASS_IMAGE, 8192, 14},
    {"tok_semseg@224", TSR_CLASS_IMAGE, 4096, 14},
    {"tok_clip@224", TSR_CLASS_IMAGE, 8192, 14},
    {"tok_canny_edge@224", TSR_CLASS_IMAGE, 8192, 14},
    {"tok_sam_edge@224", TSR_CLASS_IMAGE, 8192, 14},
    {"tok_dinov2@224", TSR_CLASS_IMAGE, 8192, 16},
    {"tok_imagebind@224", TSR_CLASS_IMAGE, 8192, 16},
    {"tok_dinov2_global", TSR_CLASS_VECTOR, 8192, 4},
    {"tok_imagebind_global", TSR_CLASS_VECTOR, 8192, 4},
    {"tok_rgb@448", TSR_CLASS_IMAGE, 16384, 28},
    {"tok_depth@448", TSR_CLASS_IMAGE, 8192, 28},
    {"tok_normal@448", TSR_CLASS_IMAGE, 8192, 28},
    {"tok_semseg@448", TSR_CLASS_IMAGE, 4096, 28},
    {"tok_clip@448", TSR_CLASS_IMAGE, 8192, 28},
};
#define TABLE       (sizeof table / sizeof table[0])
#define PIXEL_PATCH 16u /* of the table's pixels */
#define POSES_WRAP  263u

/* --- modalities ------------------------------------------------------------------------------ */

static size_t row_of(const char *name)
{
    size_t i = 0;
    while (i < TABLE && strcmp(table[i].name, name) != 0)
        i++;
    return i;
}

/* Side P of a patch of pixels in three channels, 0 when there is none. */
static uint32_t patch_of(const tsr_mod *m)
{
    uint32_t p = 1;
    while (3 * p * p < m->patch_values)
        p++;
    return 3 * p * p == m->patch_values ? p : 0;
}

/* What the modality is beside what the table has under its name, as reasons. */
static tsr_status compare(const tsr_mod *m, const char *name, size_t row, tsr_publish *p)
{
    uint32_t size = table[row].size;
    /* The one text whose decoder has fewer positions than the text may have tokens. */
    uint32_t wrap = strcmp(name, "human_poses") == 0 ? POSES_WRAP : 0;
    if (m->cls != table[row].cls)
        return tsr_publish_refuse(p, "modality %s is of class %s, ml-4m's of class %s", name,
                                  tsr_modality_class_name(m->cls),
                                  tsr_modality_class_name(table[row].cls));
    if (m->cls != TSR_CLASS_PIXELS && m->vocabulary != table[row].ids)
        TSR_TRY(tsr_publish_refuse(p, "modality %s has %u ids, ml-4m's %u (--register)", name,
                                   m->vocabulary, table[row].ids));
    if (m->cls == TSR_CLASS_PIXELS && m->patch_values != 3 * PIXEL_PATCH * PIXEL_PATCH)
        TSR_TRY(tsr_publish_refuse(p, "modality %s has patches of %u values, ml-4m's %u "
                                   "(--register)", name, m->patch_values,
                                   3 * PIXEL_PATCH * PIXEL_PATCH));
    if (m->cls != TSR_CLASS_SEQUENCE && m->positions != size * size)
        TSR_TRY(tsr_publish_refuse(p, "modality %s has %u places, ml-4m's %u (--register)", name,
                                   m->positions, size * size));
    if (m->wrap != wrap && (m->wrap || m->max_tokens > wrap))
        TSR_TRY(tsr_publish_refuse(p, "modality %s wraps its positions at %u, ml-4m's at %u", name,
                                   m->wrap, wrap));
    if (m->cls == TSR_CLASS_SEQUENCE && m->positions != TSR_SEQUENCE_POSITIONS)
        TSR_TRY(tsr_publish_refuse(p, "modality %s has %u positions, ml-4m's texts have %d", name,
                                   m->positions, TSR_SEQUENCE_POSITIONS));
    if (m->cls == TSR_CLASS_SEQUENCE && m->max_tokens > size)
        TSR_TRY(tsr_publish_refuse(p, "modality %s has texts of up to %u tokens, ml-4m's %u "
                                   "(--register)", name, m->max_tokens, size));
    return TSR_OK;
}

/* An entry of ml-4m's table, as Python. */
static tsr_status register_mod(const tsr_mod *m, const char *name, tsr_publish *p)
{
    const int image = m->cls != TSR_CLASS_SEQUENCE, pixels = m->cls == TSR_CLASS_PIXELS;
    const char *kind = pixels ? "Image" : image ? "ImageToken" : "Sequence";
    uint32_t patch = pixels ? patch_of(m) : 16;
    char with[160];
    snprintf(with, sizeof with, pixels ? "num_channels=3" : "vocab_size=%u", m->vocabulary);
    if (m->cls == TSR_CLASS_VECTOR)
        strcat(with, ", sincos_pos_emb=False");
    if (!image)
        snprintf(with + strlen(with), sizeof with - strlen(with),
                 ", max_length=%d, padding_idx=0", TSR_SEQUENCE_POSITIONS);
    TSR_TRY(tsr_str_addf(&p->code, "\nMODALITY_INFO['%s'] = {\n", name));
    if (image)
        TSR_TRY(tsr_str_addf(&p->code, "    'input_size': (%u, %u),\n    'patch_size': %u,\n",
                             m->cls == TSR_CLASS_VECTOR ? patch : m->height * patch,
                             m->cls == TSR_CLASS_VECTOR ? m->positions * patch : m->width * patch,
                             patch));
    if (!pixels)
        TSR_TRY(tsr_str_addf(&p->code, "    'vocab_size': %u,\n", m->vocabulary));
    TSR_TRY(tsr_str_addf(&p->code, "    'encoder_embedding': partial(%sEncoderEmbedding, %s),\n",
                         kind, with));
    if (pixels)
        TSR_TRY(tsr_str_add(&p->code, "    'decoder_embedding': None,\n    'num_channels': 3,\n"));
    else
        TSR_TRY(tsr_str_addf(&p->code, "    'decoder_embedding': partial(%sDecoderEmbedding, %s),\n",
                             kind, with));
    if (image && !pixels)
        TSR_TRY(tsr_str_add(&p->code, "    'pretokenized': True,\n"));
    return tsr_str_addf(&p->code,
                        "    'min_tokens': 0,\n    'max_tokens': %u,\n    'type': '%s',\n"
                        "    'id': generate_uint15_hash('%s'),\n}\n",
                        m->max_tokens, image ? "img" : "seq", name);
}

static tsr_status publish_new(const tsr_mod *m, const char *name, tsr_publish *p)
{
    if (m->cls == TSR_CLASS_PIXELS && (!patch_of(m) || m->positions != m->height * m->width))
        return tsr_publish_refuse(p, "modality %s has no square patches of three channels", name);
    if (m->cls == TSR_CLASS_SEQUENCE && m->wrap)
        return tsr_publish_refuse(p, "modality %s wraps its positions at %u", name, m->wrap);
    if (m->cls == TSR_CLASS_SEQUENCE && m->positions != TSR_SEQUENCE_POSITIONS)
        return tsr_publish_refuse(p, "modality %s has %u positions, ml-4m's texts have %d", name,
                                  m->positions, TSR_SEQUENCE_POSITIONS);
    if (!p->code.len)
        TSR_TRY(tsr_str_add(
            &p->code,
            "from functools import partial\n\nfrom fourm.data.modality_info import MODALITY_INFO\n"
            "from fourm.models.decoder_embeddings import (ImageTokenDecoderEmbedding,\n"
            "                                             SequenceDecoderEmbedding)\n"
            "from fourm.models.encoder_embeddings import (ImageEncoderEmbedding,\n"
            "                                             ImageTokenEncoderEmbedding,\n"
            "                                             SequenceEncoderEmbedding)\n"
            "from fourm.utils import generate_uint15_hash\n"));
    return register_mod(m, name, p);
}

/* As the table has it; else, if that is allowed, an entry of its own, which may replace another. */
static tsr_status publish_mod(const tsr_mod *m, const char *name, tsr_publish *p)
{
    size_t row = row_of(name);
    tsr_publish trial = {0};
    tsr_status st;
    if (row == TABLE && !p->may_register)
        return tsr_publish_refuse(p,
                                  "modality %s is none of ml-4m's (--rename %s=tok_rgb@224 or the "
                                  "like, --register)",
                                  name, m->name);
    if (row == TABLE)
        return publish_new(m, name, p);
    if (!p->may_register)
        return compare(m, name, row, p);
    st = compare(m, name, row, &trial);
    if (st == TSR_OK && trial.reasons)
        st = publish_new(m, name, p);
    tsr_publish_clear(&trial);
    return st;
}

static tsr_status publish_mods(const tsr_fm *m, const tsr_renames *names, tsr_publish *p)
{
    const tsr_mods *mods = &m->config.mods;
    for (size_t i = 0; i < mods->count; i++) {
        const char *name = tsr_renamed(names, mods->items[i].name);
        for (size_t j = 0; j < i; j++)
            if (strcmp(tsr_renamed(names, mods->items[j].name), name) == 0)
                TSR_TRY(tsr_publish_refuse(p, "modalities %s and %s would both be called %s",
                                           mods->items[j].name, mods->items[i].name, name));
        TSR_TRY(publish_mod(&mods->items[i], name, p));
    }
    for (size_t i = 0; i < names->count; i++)
        if (tsr_mods_find(mods, names->items[i].from) < 0)
            TSR_TRY(tsr_publish_refuse(p, "there is no modality %s to be renamed",
                                       names->items[i].from));
    return TSR_OK;
}

/* --- options --------------------------------------------------------------------------------- */

static tsr_status rename_domains(const tsr_renames *names, const char *key, json_t *config)
{
    json_t *list = json_object_get(config, key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (json_array_set_new(list, i, json_string(tsr_renamed(names, name))) != 0)
            TSR_FAIL(TSR_ENOMEM, "out of memory");
    }
    return TSR_OK;
}

static tsr_status publish_config(const tsr_fm *m, const tsr_renames *names, tsr_publish *p)
{
    p->class_name = "FM";
    p->config = json_object();
    TSR_TRY(tsr_fm_options(&m->config, p->config));
    TSR_TRY(rename_domains(names, "domains_in", p->config));
    TSR_TRY(rename_domains(names, "domains_out", p->config));
    TSR_TRY(tsr_fm_list_left_out(m, p->config));
    if (m->config.shared_vocabulary)
        TSR_TRY(tsr_publish_refuse(p, "one table and one head hold all ids (shared_vocabulary); "
                                      "ml-4m has one of each for every modality"));
    return publish_mods(m, names, p);
}

/* --- tensors --------------------------------------------------------------------------------- */

typedef struct output {
    tsr_stored *items;
    char (*names)[TSR_FM_NAME];
    size_t count;
} output;

/* The name with its modality renamed: "encoder_embeddings.rgb.mod_emb". */
static void new_name(const tsr_renames *names, const char *old, char out[TSR_FM_NAME])
{
    const char *at = strstr(old, "coder_embeddings."), *end;
    char mod[TSR_NAME_CHARS];
    snprintf(out, TSR_FM_NAME, "%s", old);
    if (!at || at != old + 2)
        return;
    at += strlen("coder_embeddings.");
    end = strchr(at, '.');
    if (!end || (size_t)(end - at) >= sizeof mod)
        return;
    memcpy(mod, at, (size_t)(end - at));
    mod[end - at] = '\0';
    snprintf(out, TSR_FM_NAME, "%.*s%s%s", (int)(at - old), old, tsr_renamed(names, mod), end);
}

static void put(output *o, const tsr_renames *names, const tsr_stored *t, const char *name)
{
    o->items[o->count] = *t;
    new_name(names, name, o->names[o->count]);
    o->items[o->count].name = o->names[o->count];
    o->count++;
}

/* All tensors of the file, and those that are only there under the other of their two names. */
static tsr_status write_tensors(const tsr_safetensors *f, const tsr_fm *m,
                                const tsr_renames *names, const char *path, const json_t *metadata)
{
    size_t n = tsr_safetensors_count(f) + TSR_FM_TIES;
    output o = {0};
    tsr_tie tie;
    tsr_status st;
    TSR_GO(tsr_alloc(&o.items, n, sizeof *o.items));
    TSR_GO(tsr_alloc(&o.names, n, sizeof *o.names));
    for (size_t i = 0; i < tsr_safetensors_count(f); i++)
        put(&o, names, tsr_safetensors_at(f, i), tsr_safetensors_at(f, i)->name);
    for (size_t i = 0; tsr_fm_tie(&m->config, i, &tie); i++)
        if (!tsr_safetensors_find(f, tie.other))
            put(&o, names, tsr_safetensors_find(f, tie.name), tie.other);
    TSR_GO(tsr_safetensors_write(path, o.items, o.count, metadata));
out:
    tsr_free(o.items);
    tsr_free(o.names);
    return st;
}

tsr_status tsr_fm_publish(const char *path, const tsr_renames *names, tsr_publish *p,
                          const char *out)
{
    tsr_safetensors *f = NULL;
    tsr_fm *m = NULL;
    json_t *metadata = NULL;
    tsr_status st;
    TSR_GO(tsr_safetensors_open(path, &f));
    TSR_GO(tsr_fm_open_for(path, TSR_FM_LOOK, &m));
    TSR_GO(tsr_fm_problems(m, path));
    TSR_GO(publish_config(m, names, p));
    if (p->reasons || !out)
        goto out;
    TSR_GO(tsr_metatext_write_all(p->config, &metadata));
    TSR_GO(write_tensors(f, m, names, out, metadata));
out:
    json_decref(metadata);
    tsr_fm_destroy(m);
    tsr_safetensors_close(f);
    return st;
}
