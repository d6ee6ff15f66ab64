/* SPDX-License-Identifier: Apache-2.0
 * Files of masked models: published ones, and ours, which say more.
 *
 * Metadata are the reference's options as its strings, and one more, "tessera": JSON with the
 * modalities as we know them, whether they share a vocabulary, and what the caller adds.
 * Source   apple/ml-4m, fourm/utils/checkpoint.py; fourm/models/fm.py, options of FM. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "nn/metatext.h"
#include "nn/safetensors.h"
#include "trainer/fm_priv.h"

#include <math.h>
#include <string.h>

#define OWN_KEY     "tessera"
#define OWN_VERSION 1

/* Options of the reference that are whole numbers or truths, and where they are kept. */
enum { SIZE, COUNT, TRUTH };
static const struct {
    const char *key;
    size_t offset;
    int kind;
} options[] = {
    {"dim", offsetof(tsr_fm_config, dim), SIZE},
    {"encoder_depth", offsetof(tsr_fm_config, encoder_depth), SIZE},
    {"decoder_depth", offsetof(tsr_fm_config, decoder_depth), SIZE},
    {"num_heads", offsetof(tsr_fm_config, heads), SIZE},
    {"qkv_bias", offsetof(tsr_fm_config, qkv_bias), TRUTH},
    {"proj_bias", offsetof(tsr_fm_config, proj_bias), TRUTH},
    {"mlp_bias", offsetof(tsr_fm_config, mlp_bias), TRUTH},
    {"norm_bias", offsetof(tsr_fm_config, norm_bias), TRUTH},
    {"gated_mlp", offsetof(tsr_fm_config, gated_mlp), TRUTH},
    {"qk_norm", offsetof(tsr_fm_config, qk_norm), TRUTH},
    {"image_size", offsetof(tsr_fm_config, image_size), COUNT},
    {"patch_size", offsetof(tsr_fm_config, patch_size), COUNT},
};
#define OPTIONS (sizeof options / sizeof options[0])

/* --- writing --------------------------------------------------------------------------------- */

static tsr_status add_names(const tsr_mods *mods, int output, const char *key, json_t *into)
{
    json_t *list = json_array();
    TSR_TRY(tsr_json_set(into, key, list));
    for (size_t i = 0; i < mods->count; i++)
        if (output ? mods->items[i].output : mods->items[i].input)
            TSR_TRY(tsr_json_append(list, json_string(mods->items[i].name)));
    return TSR_OK;
}

tsr_status tsr_fm_options(const tsr_fm_config *c, json_t *into)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        const void *at = (const char *)c + options[i].offset;
        json_t *v = options[i].kind == SIZE    ? json_integer((json_int_t) * (const size_t *)at)
                    : options[i].kind == COUNT ? json_integer(*(const int *)at)
                                               : json_boolean(*(const int *)at);
        TSR_TRY(tsr_json_set(into, options[i].key, v));
    }
    int whole = c->mlp_ratio == floor(c->mlp_ratio);
    TSR_TRY(tsr_json_set(into, "mlp_ratio",
                         whole ? json_integer((json_int_t)c->mlp_ratio) : json_real(c->mlp_ratio)));
    TSR_TRY(tsr_json_set(into, "act_layer", json_string(c->gelu ? "GELU" : "SiLU")));
    TSR_TRY(tsr_json_set(into, "share_modality_embeddings", json_false()));
    if (c->registers)
        TSR_TRY(tsr_json_set(into, "num_register_tokens", json_integer((json_int_t)c->registers)));
    TSR_TRY(add_names(&c->mods, 0, "domains_in", into));
    return add_names(&c->mods, 1, "domains_out", into);
}

/* The value of our own key, as text. */
static tsr_status own_to_text(const tsr_fm *m, const json_t *extra, char **out)
{
    tsr_status st;
    json_t *own = json_object(), *mods = NULL;
    extra = extra ? extra : m->extra;
    TSR_GO(tsr_mods_to_json(&m->config.mods, &mods));
    TSR_GO(tsr_json_set(own, "version", json_integer(OWN_VERSION)));
    TSR_GO(tsr_json_set(own, "shared_vocabulary", json_boolean(m->config.shared_vocabulary)));
    TSR_GO(tsr_json_set(own, "modalities", json_incref(mods)));
    if (m->left_out)
        TSR_GO(tsr_json_set(own, "left_out", json_incref(m->left_out)));
    if (extra)
        TSR_GO(tsr_json_set(own, "extra", json_incref((json_t *)(uintptr_t)extra)));
    TSR_GO(tsr_json_text(own, 0, out));
out:
    json_decref(own);
    json_decref(mods);
    return st;
}

tsr_status tsr_fm_list_left_out(const tsr_fm *m, json_t *config)
{
    json_t *list = json_object_get(config, "domains_in");
    for (size_t i = 0; i < json_array_size(m->left_out); i++)
        TSR_TRY(tsr_json_append(list, json_incref(json_array_get(m->left_out, i))));
    return TSR_OK;
}

/* 1 for the name of a tensor of embedded sentences. */
static int is_left_out(const tsr_fm *m, const char *tensor)
{
    char prefix[TSR_FM_NAME];
    for (size_t i = 0; i < json_array_size(m->left_out); i++) {
        snprintf(prefix, sizeof prefix, "encoder_embeddings.%s.",
                 json_string_value(json_array_get(m->left_out, i)));
        if (tsr_starts_with(tensor, prefix))
            return 1;
    }
    return 0;
}

tsr_status tsr_fm_keep_left_out(const tsr_fm *from, tsr_fm *to)
{
    to->left_out = json_incref(from->left_out);
    for (size_t i = 0; i < tsr_params_count(from->ps); i++) {
        const tsr_param *p = tsr_params_at(from->ps, i);
        tsr_param *q;
        if (!is_left_out(from, p->name))
            continue;
        TSR_TRY(tsr_params_add(to->ps, p->name, 0, p->ndim, p->shape, &q));
        TSR_TRY(tsr_param_read(p, 0, p->count, q->value));
    }
    return TSR_OK;
}

static tsr_status metadata_of(const tsr_fm *m, const json_t *extra, json_t **out)
{
    tsr_status st;
    char *text = NULL;
    json_t *config = json_object(), *all = NULL;
    TSR_GO(tsr_fm_options(&m->config, config));
    TSR_GO(tsr_fm_list_left_out(m, config));
    TSR_GO(tsr_metatext_write_all(config, &all));
    TSR_GO(own_to_text(m, extra, &text));
    TSR_GO(tsr_json_set(all, OWN_KEY, json_string(text)));
    *out = json_incref(all);
out:
    json_decref(config);
    json_decref(all);
    tsr_free(text);
    return st;
}

static tsr_stored stored_of(const tsr_param *p, const char *name, int averaged)
{
    tsr_stored t = {.name = name, .dtype = TSR_F32, .ndim = p->file_ndim, .count = p->count};
    memcpy(t.shape, p->file_shape, sizeof t.shape);
    t.data = averaged && p->average ? p->average : p->value;
    return t;
}

/* All tensors under all of their names. ties: storage for the second ones. */
static size_t list_tensors(const tsr_fm *m, int averaged, tsr_tie *ties, tsr_stored *items)
{
    size_t n = 0;
    for (size_t i = 0; i < tsr_params_count(m->ps); i++) {
        const tsr_param *p = tsr_params_at(m->ps, i);
        items[n++] = stored_of(p, p->name, averaged);
    }
    for (size_t i = 0; tsr_fm_tie(&m->config, i, &ties[i]); i++)
        if (!tsr_params_find(m->ps, ties[i].other))
            items[n++] = stored_of(tsr_params_find(m->ps, ties[i].name), ties[i].other, averaged);
    return n;
}

tsr_status tsr_fm_write(const tsr_fm *m, const char *path, int averaged, const json_t *extra)
{
    tsr_status st;
    tsr_tie *ties = NULL;
    tsr_stored *items = NULL;
    json_t *metadata = NULL;
    if (extra && !json_is_object(extra))
        TSR_FAIL(TSR_EARG, "%s: what is kept beside the model must be a JSON object", path);
    TSR_GO(tsr_params_hold(m->ps, ""));
    TSR_GO(metadata_of(m, extra, &metadata));
    TSR_GO(tsr_alloc(&ties, TSR_FM_TIES + 1, sizeof *ties));
    TSR_GO(tsr_alloc(&items, tsr_params_count(m->ps) + TSR_FM_TIES, sizeof *items));
    TSR_GO(tsr_safetensors_write(path, items, list_tensors(m, averaged, ties, items), metadata));
out:
    tsr_free(ties);
    tsr_free(items);
    json_decref(metadata);
    return st;
}

/* --- reading options ------------------------------------------------------------------------- */

/* What is wrong with the metadata, all of it. */
typedef struct problems {
    tsr_str text;
    tsr_status st;
} problems;

static void complain(problems *p, const char *what, const char *key)
{
    if (p->st == TSR_OK)
        p->st = tsr_str_addf(&p->text, "%s'%s' %s", p->text.len ? "; " : "", key, what);
}

static void read_option(const json_t *config, size_t i, tsr_fm_config *c, problems *p)
{
    const json_t *v = json_object_get(config, options[i].key);
    void *at = (char *)c + options[i].offset;
    json_int_t n = json_integer_value(v);
    int truth = options[i].kind == TRUTH;
    if (!v)
        return;
    if (truth && json_is_boolean(v))
        *(int *)at = json_is_true(v);
    else if (!truth && json_is_integer(v) && n >= 0 && n <= INT32_MAX)
        options[i].kind == SIZE ? (void)(*(size_t *)at = (size_t)n) : (void)(*(int *)at = (int)n);
    else
        complain(p, truth ? "is not True or False" : "is not a count", options[i].key);
}

/* Depth of a stack by its blocks, for files that do not say it. */
static size_t count_blocks(const tsr_safetensors *f, const char *stack)
{
    char name[TSR_FM_NAME];
    size_t n = 0;
    do
        snprintf(name, sizeof name, "%s.%zu.norm1.weight", stack, n);
    while (tsr_safetensors_find(f, name) && ++n);
    return n;
}

/* What tensors tell; metadata that say otherwise lead to the message about shapes. */
static void sizes_from_tensors(const tsr_safetensors *f, tsr_fm_config *c)
{
    const tsr_stored *t = tsr_safetensors_find(f, "mask_token");
    c->dim = t && t->ndim ? t->shape[t->ndim - 1] : 0;
    c->heads = c->dim >= 64 ? c->dim / 64 : 1;
    c->encoder_depth = count_blocks(f, "encoder");
    c->decoder_depth = count_blocks(f, "decoder");
    t = tsr_safetensors_find(f, "register_tokens");
    c->registers = t && t->ndim >= 2 ? t->shape[t->ndim - 2] : 0;
    c->mlp_ratio = 4.0;
    c->gated_mlp = tsr_safetensors_find(f, "encoder.0.mlp.fc3.weight") != NULL;
    c->image_size = 224;
    c->patch_size = 16;
}

static void read_options(const json_t *config, tsr_fm_config *c, problems *p)
{
    const json_t *ratio = json_object_get(config, "mlp_ratio");
    const char *act = json_string_value(json_object_get(config, "act_layer"));
    for (size_t i = 0; i < OPTIONS; i++)
        read_option(config, i, c, p);
    if (ratio && !json_is_number(ratio))
        complain(p, "is not a number", "mlp_ratio");
    else if (ratio)
        c->mlp_ratio = json_number_value(ratio);
    c->gelu = act && strcmp(act, "GELU") == 0;
    if (!act)
        complain(p, "is missing", "act_layer");
    else if (!c->gelu && strcmp(act, "SiLU") != 0)
        complain(p, "is neither SiLU nor GELU", "act_layer");
    if (json_is_true(json_object_get(config, "decoder_causal_mask")))
        complain(p, "is on, which is not handled", "decoder_causal_mask");
    if (json_is_false(json_object_get(config, "decoder_sep_mask")))
        complain(p, "is off, which is not handled", "decoder_sep_mask");
    if (!json_object_get(config, "domains_in") || !json_object_get(config, "domains_out"))
        complain(p, "are missing", "domains_in and domains_out");
}

/* --- reading --------------------------------------------------------------------------------- */

static tsr_status read_left_out(json_t *names, const char *path, tsr_fm *m)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name || !tsr_modality_name_ok(name))
            TSR_FAIL(TSR_EFORMAT, "%s: \"left_out\" holds no name of a modality", path);
    }
    m->left_out = json_array_size(names) ? json_incref(names) : NULL;
    return TSR_OK;
}

/* Our own key: modalities, whether they share a vocabulary, and the caller's object. */
static tsr_status read_own(const char *text, const char *path, tsr_fm *m)
{
    tsr_status st;
    json_t *own = NULL, *extra;
    long long version;
    TSR_TRY(tsr_json_parse(text, strlen(text), path, &own));
    TSR_GO(tsr_json_int(own, "version", path, &version));
    if (version != OWN_VERSION)
        TSR_GOFAIL(TSR_EUNSUPPORTED, "%s: written by a later version (format %lld, known: %d)",
                   path, version, OWN_VERSION);
    m->config.shared_vocabulary = json_is_true(json_object_get(own, "shared_vocabulary"));
    TSR_GO(tsr_mods_from_json(json_object_get(own, "modalities"), path, &m->config.mods));
    TSR_GO(read_left_out(json_object_get(own, "left_out"), path, m));
    extra = json_object_get(own, "extra");
    if (json_is_object(extra))
        m->extra = json_incref(extra);
out:
    json_decref(own);
    return st;
}

static tsr_status read_config(const tsr_safetensors *f, tsr_fm *m)
{
    problems p = {.st = TSR_OK};
    const char *path = tsr_safetensors_path(f);
    const json_t *metadata = tsr_safetensors_metadata(f);
    const char *own = json_string_value(json_object_get(metadata, OWN_KEY));
    json_t *config = NULL;
    TSR_TRY(tsr_metatext_read_all(metadata, &config));
    sizes_from_tensors(f, &m->config);
    read_options(config, &m->config, &p);
    tsr_status st = p.st;
    if (st == TSR_OK && p.text.len)
        st = tsr_fail_at(TSR_EFORMAT, __FILE__, __LINE__, "%s: in the metadata %s", path, p.text.s);
    if (st == TSR_OK)
        st = own ? read_own(own, path, m) : tsr_fm_published_mods(f, config, m);
    if (st == TSR_OK && tsr_fm_config_check(&m->config) != TSR_OK)
        st = tsr_context(TSR_EMISMATCH, "%s", path);
    tsr_str_clear(&p.text);
    json_decref(config);
    return st;
}

#define SMALL_TABLE ((size_t)4 << 20) /* bytes; comparing larger ones takes longer than people wait */

/* 1 when the file has both tensors, and they are two parameters: for training when they are not the
 * same; to run, so that nobody has to compare them; to look, when they are small and not the same. */
static int untied(const tsr_safetensors *f, const tsr_tie *t, tsr_fm_use use)
{
    const tsr_stored *a = tsr_safetensors_find(f, t->name);
    const tsr_stored *b = tsr_safetensors_find(f, t->other);
    if (!a || !b || t->idle)
        return 0;
    if (use == TSR_FM_RUN)
        return 1;
    if (use == TSR_FM_LOOK && a->count > SMALL_TABLE / tsr_dtype_bytes(a->dtype))
        return 0;
    return a->dtype != b->dtype || a->count != b->count ||
           memcmp(a->data, b->data, a->count * tsr_dtype_bytes(a->dtype)) != 0;
}

/* What a reading needs besides the model. */
typedef struct reading {
    tsr_tie ties[TSR_FM_TIES + 1];
    unsigned char untied[TSR_FM_TIES];
    const char *ignore[TSR_FM_TIES + 1];
} reading;

static void find_ties(const tsr_safetensors *f, const tsr_fm *m, tsr_fm_use use, reading *r)
{
    size_t n = 0;
    for (size_t i = 0; tsr_fm_tie(&m->config, i, &r->ties[i]); i++) {
        r->untied[i] = (unsigned char)untied(f, &r->ties[i], use);
        if (!r->untied[i])
            r->ignore[n++] = r->ties[i].other;
    }
}

int tsr_fm_is_file(const tsr_safetensors *f)
{
    return tsr_safetensors_find(f, "mask_token") &&
           tsr_safetensors_find(f, "decoder_proj_context.weight");
}

/* Tensors of what is left out are kept as they are, untrained, for files written from this one. */
static tsr_status keep_left_out(const tsr_safetensors *f, tsr_fm *m)
{
    for (size_t i = 0; i < tsr_safetensors_count(f); i++) {
        const tsr_stored *t = tsr_safetensors_at(f, i);
        if (is_left_out(m, t->name))
            TSR_TRY(tsr_params_add(m->ps, t->name, 0, t->ndim, t->shape, NULL));
    }
    return TSR_OK;
}

static tsr_status look(const tsr_safetensors *f, tsr_fm *m, tsr_fm_use use, reading *r)
{
    const char *path = tsr_safetensors_path(f);
    if (!tsr_fm_is_file(f))
        TSR_FAIL(TSR_EFORMAT,
                 "%s: is not a masked model (mask_token and decoder_proj_context are missing)",
                 path);
    TSR_TRY(read_config(f, m));
    find_ties(f, m, use, r);
    const tsr_fm_fill how = {.deferred = 1, .untied = r->untied};
    TSR_TRY(tsr_fm_make_tensors(m, &how));
    TSR_TRY(keep_left_out(f, m));
    TSR_TRY(tsr_safetensors_problems(f, m->ps, r->ignore, &m->problems));
    return use == TSR_FM_LOOK ? TSR_OK : tsr_problems_fail(m->problems, path);
}

tsr_status tsr_fm_open_for(const char *path, tsr_fm_use use, tsr_fm **out)
{
    tsr_status st;
    tsr_safetensors *f = NULL;
    tsr_fm *m = NULL;
    reading *r = NULL;
    TSR_GO(tsr_safetensors_open(path, &f));
    TSR_GO(tsr_alloc(&m, 1, sizeof *m));
    TSR_GO(tsr_alloc(&r, 1, sizeof *r));
    TSR_GO(look(f, m, use, r));
    if (use != TSR_FM_LOOK) {
        tsr_safetensors *given = f;
        f = NULL;
        TSR_GO(tsr_safetensors_attach(given, m->ps));
    }
    if (use == TSR_FM_TRAIN)
        TSR_GO(tsr_params_hold_all(m->ps));
    *out = m;
    m = NULL;
out:
    tsr_fm_destroy(m);
    tsr_free(r);
    tsr_safetensors_close(f);
    return tsr_of_file(st);
}

tsr_status tsr_fm_open(const char *path, tsr_fm **out)
{
    return tsr_fm_open_for(path, TSR_FM_TRAIN, out);
}

tsr_status tsr_fm_problems(const tsr_fm *m, const char *path)
{
    return tsr_problems_fail(m->problems, path);
}
