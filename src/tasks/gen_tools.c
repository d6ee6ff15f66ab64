/* SPDX-License-Identifier: Apache-2.0
 * Tokenizers of a model: by digest, from where they usually lie. */
#include "base/file.h"
#include "base/mem.h"
#include "tasks/genwork.h"
#include "trainer/genpresets.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The space of a modality's tokens, as tokenizers and previews want it. */
static void space_of(const tsr_mod *mod, tsr_token_space *s)
{
    uint32_t cells = mod->height * mod->width;
    *s = (tsr_token_space){.height = mod->height,
                           .width = mod->width,
                           .levels = 1,
                           .codebook_size = mod->vocabulary,
                           .base = mod->base,
                           .tokenizer = mod->tokenizer};
    memcpy(s->modality, mod->name, sizeof s->modality);
    memcpy(s->vocabulary, mod->range, sizeof s->vocabulary);
    s->layout = mod->cls == TSR_CLASS_SEQUENCE ? TSR_LAYOUT_SEQUENCE
                : mod->cls == TSR_CLASS_PIXELS ? TSR_LAYOUT_PATCHES
                                               : TSR_LAYOUT_GRID;
    if (mod->cls == TSR_CLASS_PIXELS)
        s->levels = mod->patch_values;
    else if (cells > 0 && mod->places > cells)
        s->levels = mod->places / cells;
}

static int is_known(tsr_digest d)
{
    return d.hi != 0 || d.lo != 0;
}

/* The kind that writes the records of a published modality with words of the text tokenizer; NULL
 * for plain text and everything else. */
static const char *kind_of_words(const tsr_mod *mod)
{
    static const struct {
        const char *name, *kind;
    } of[] = {{"det", "boxes"},
              {"color_palette", "palette"},
              {"metadata", "metadata"},
              {"human_poses", "poses"},
              {"sam_instance", "instances"}};
    for (size_t i = 0; i < sizeof of / sizeof *of && mod->cls == TSR_CLASS_SEQUENCE; i++)
        if (strcmp(of[i].name, mod->name) == 0)
            return of[i].kind;
    return NULL;
}

static int is_text(const tsr_tokenizer *t)
{
    return strcmp(tsr_tokenizer_kind_name(t), "text") == 0;
}

/* A published file serves several sizes: one that makes as many tokens as the model has. */
static int fits(const tsr_mod *mod, const tsr_tokenizer *t)
{
    const tsr_token_space *s = tsr_tokenizer_space(t);
    if (s->height != mod->height || s->width != mod->width)
        return 0;
    if (mod->cls == TSR_CLASS_PIXELS)
        return s->layout == TSR_LAYOUT_PATCHES && s->levels == mod->patch_values;
    return s->codebook_size == mod->vocabulary && !(kind_of_words(mod) && is_text(t));
}

/* A model that does not name its tokenizers (a published one) goes by the names of modalities. */
static const tsr_tool *find_tool(const tsr_gen_work *w, size_t m)
{
    const tsr_mod *mod = &w->mods->items[m];
    const tsr_tool *tool = NULL;
    if (is_known(mod->tokenizer))
        return tsr_toolbox_find(&w->tools, &w->spaces[m]);
    for (size_t i = 0; i < w->tools.count && !tool; i++) {
        const tsr_tokenizer *t = w->tools.tools[i].tokenizer;
        if (tsr_modality_same(tsr_tokenizer_space(t)->modality, mod->name) && fits(mod, t))
            tool = &w->tools.tools[i];
    }
    return tool;
}

static int is_wanted(const tsr_gen_work *w, size_t m)
{
    if (w->conditions[m].origin == TSR_GEN_FILE || w->conditions[m].origin == TSR_GEN_LITERAL)
        return 1;
    for (size_t t = 0; t < w->n_chain; t++)
        if (w->chain[t].m == m)
            return 1;
    return 0;
}

static size_t missing(const tsr_gen_work *w)
{
    size_t n = 0;
    for (size_t m = 0; m < w->mods->count; m++)
        n += is_wanted(w, m) && !find_tool(w, m);
    return n;
}

/* --- tokenizers without a file of their own --- */

static tsr_status create(tsr_gen_work *w, json_t *config, const char *origin)
{
    if (!config)
        TSR_FAIL(TSR_ENOMEM, "no memory for the settings of a tokenizer");
    tsr_status st = tsr_toolbox_create(&w->tools, config, origin);
    json_decref(config);
    return st;
}

/* Published models read pictures in patches and name no tokenizer that cuts them. */
static tsr_status add_pixels(tsr_gen_work *w, size_t m)
{
    const tsr_mod *mod = &w->mods->items[m];
    json_int_t patch = lround(sqrt(mod->patch_values / (double)TSR_PATCH_CHANNELS));
    if (mod->cls != TSR_CLASS_PIXELS || is_known(mod->tokenizer) || !is_wanted(w, m) ||
        patch * patch * TSR_PATCH_CHANNELS != mod->patch_values)
        return TSR_OK;
    return create(w,
                  json_pack("{ss, ss, s[II], sI}", "kind", "pixels", "modality", mod->name,
                            "image_size", mod->height * patch, mod->width * patch, "patch_size",
                            patch),
                  mod->name);
}

/* Modality m is of records, and the text tokenizer was added for it: what writes them with its
 * words. */
static tsr_status add_records(tsr_gen_work *w, size_t m)
{
    const tsr_mod *mod = &w->mods->items[m];
    const tsr_tool *last = w->tools.count ? &w->tools.tools[w->tools.count - 1] : NULL;
    const char *kind = kind_of_words(mod);
    if (!last || !kind || is_known(mod->tokenizer) || !is_text(last->tokenizer))
        return TSR_OK;
    return create(w,
                  json_pack("{ss, ss, ss}", "kind", kind, "modality", mod->name, "text",
                            last->path),
                  mod->name);
}

/* --- files --- */

/* Add what of a file or folder is for modality m and does not say so. */
static tsr_status add_for(tsr_gen_work *w, const char *path, size_t m)
{
    const tsr_mod *mod = &w->mods->items[m];
    char option[TSR_NAME_CHARS + 32];
    int found = 0;
    if (is_known(mod->tokenizer))
        return tsr_toolbox_add(&w->tools, path, mod->name);
    snprintf(option, sizeof option, "--tokenizers %s=FILE", mod->name);
    tsr_status st = tsr_toolbox_add_published(&w->tools, path, &w->spaces[m], option, &found);
    if (st == TSR_OK && found)
        st = add_records(w, m);
    return st != TSR_OK || found ? st : TSR_ENOENT;
}

/* Add a file or folder; files that do not say what they are (published ones) are tried for every
 * modality that is still missing. Errors: TSR_EMISMATCH for two that fit alike. */
static tsr_status add(tsr_gen_work *w, const char *path)
{
    tsr_status st = tsr_toolbox_add(&w->tools, path, NULL);
    int exists = st != TSR_ENOENT && st != TSR_ENOMEM;
    for (size_t m = 0; exists && m < w->mods->count; m++) {
        if (!is_wanted(w, m) || find_tool(w, m))
            continue;
        tsr_status one = add_for(w, path, m);
        if (one == TSR_ENOMEM || one == TSR_EMISMATCH)
            return one;
    }
    return st;
}

/* The file of "MODALITY=FILE", NULL for a plain path. A path may have the sign, too. */
static const char *file_named(const char *text)
{
    const char *sign = strchr(text, '=');
    return sign && access(text, F_OK) != 0 ? sign + 1 : NULL;
}

/* The file of one modality, as the user says; "rgb=rgb.safetensors". */
static tsr_status add_one(tsr_gen_work *w, const char *text, const char *path)
{
    size_t n = (size_t)(path - 1 - text), m = 0;
    while (m < w->mods->count &&
           !(strlen(w->mods->items[m].name) == n && strncmp(w->mods->items[m].name, text, n) == 0))
        m++;
    if (m == w->mods->count && w->spec->super_resolution) /* of the other model */
        return TSR_OK;
    if (m == w->mods->count)
        TSR_FAIL(TSR_EARG, "--tokenizers %s: no such file, and no modality \"%.*s\" of the model", text,
                 (int)n, text);
    const tsr_mod *mod = &w->mods->items[m];
    TSR_TRY(tsr_toolbox_add(&w->tools, path, mod->name));
    TSR_TRY(add_records(w, m));
    if (find_tool(w, m))
        return TSR_OK;
    TSR_FAIL(TSR_EMISMATCH, "%s: not the tokenizer of %s, which makes %u x %u tokens of %u codes%s", path,
             mod->name, mod->height, mod->width, mod->vocabulary,
             is_known(mod->tokenizer) ? " and has the digest that the model names" : "");
}

/* What the user named must be a tokenizer, whatever it is for. */
static tsr_status add_named(tsr_gen_work *w, const char *path)
{
    size_t before = w->tools.count;
    tsr_status st = add(w, path);
    return w->tools.count > before && st != TSR_ENOMEM && st != TSR_EMISMATCH ? TSR_OK : st;
}

/* Those of one modality first, so that nothing else is tried for it. */
static tsr_status add_all_named(tsr_gen_work *w)
{
    const tsr_words *named = &w->spec->tokenizers;
    for (size_t i = 0; i < named->count; i++) {
        const char *file = file_named(named->items[i]);
        if (file)
            TSR_TRY(add_one(w, named->items[i], file));
    }
    for (size_t i = 0; i < named->count; i++)
        if (!file_named(named->items[i]))
            TSR_TRY(add_named(w, named->items[i]));
    return TSR_OK;
}

/* Add a folder, unless it is none or nothing is missing. */
static tsr_status look_in(tsr_gen_work *w, const char *folder)
{
    if (missing(w) == 0 || !tsr_is_folder(folder))
        return TSR_OK;
    tsr_status st = add(w, folder);
    return st == TSR_ENOMEM || st == TSR_EMISMATCH ? st : TSR_OK;
}

static tsr_status look_below(tsr_gen_work *w, const char *folder, const char *below)
{
    char *path;
    TSR_TRY(tsr_path_join(&path, folder, below));
    tsr_status st = look_in(w, path);
    tsr_free(path);
    return st;
}

/* Folder of the model, "" for the current one: joined names stay relative. */
static tsr_status beside_model(tsr_gen_work *w)
{
    static const char *const places[] = {"tokenizers", "../tokenizers", "../corpus/tokenizers"};
    const char *name = tsr_path_name(w->path);
    char *folder;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_strndup(&folder, w->path, (size_t)(name - w->path)));
    for (size_t i = 0; i < sizeof places / sizeof *places && st == TSR_OK; i++)
        st = look_below(w, folder, places[i]);
    tsr_free(folder);
    return st;
}

/* Which tokenizer a modality asks for, in words. */
static void describe(const tsr_mod *mod, char *text, size_t size)
{
    char digest[TSR_DIGEST_CHARS];
    tsr_digest_text(mod->tokenizer, digest);
    if (is_known(mod->tokenizer))
        snprintf(text, size, "tokenizer %s", digest);
    else if (mod->cls == TSR_CLASS_SEQUENCE)
        snprintf(text, size, "text of %u entries", mod->vocabulary);
    else
        snprintf(text, size, "%u x %u tokens of %u codes", mod->height, mod->width,
                 mod->vocabulary);
}

tsr_status tsr_gen_tools(tsr_gen_work *w)
{
    for (size_t m = 0; m < w->mods->count; m++)
        space_of(&w->mods->items[m], &w->spaces[m]);
    for (size_t m = 0; m < w->mods->count; m++)
        TSR_TRY(add_pixels(w, m));
    TSR_TRY(add_all_named(w));
    if (w->corpus)
        TSR_TRY(look_below(w, tsr_corpus_path(w->corpus), "tokenizers"));
    TSR_TRY(beside_model(w));
    for (size_t m = 0; m < w->mods->count; m++) {
        char wanted[TSR_DIGEST_CHARS + 64];
        w->tool[m] = find_tool(w, m);
        describe(&w->mods->items[m], wanted, sizeof wanted);
        if (w->tool[m] || !is_wanted(w, m))
            continue;
        if (w->conditions[m].origin != TSR_GEN_ABSENT)
            TSR_FAIL(TSR_ENOENT,
                     "no tokenizer encodes %s for this model (%s); name it, or its "
                     "folder, with --tokenizers",
                     w->mods->items[m].name, wanted);
        tsr_job_warn(w->spec->job,
                     "no tokenizer decodes %s (%s): its tokens are kept as they are",
                     w->mods->items[m].name, wanted);
    }
    return TSR_OK;
}
