/* SPDX-License-Identifier: Apache-2.0
 * Tokenizers of a model: by digest, from where they usually lie. */
#include "base/file.h"
#include "base/mem.h"
#include "tasks/genwork.h"
#include "trainer/genpresets.h"

#include <stdio.h>
#include <string.h>

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

/* The name a tokenizer's file is opened by: "tok_depth@224" is made by that of "depth", at 224
 * pixels. */
static const char *plain_name(const tsr_mod *mod)
{
    return mod->name + (strncmp(mod->name, "tok_", 4) == 0 ? 4 : 0);
}

/* A published file serves several sizes: one that makes as many tokens as the model has. */
static int fits(const tsr_mod *mod, const tsr_token_space *s)
{
    return s->codebook_size == mod->vocabulary && s->height == mod->height &&
           s->width == mod->width;
}

/* A model that does not name its tokenizers (a published one) goes by the names of modalities. */
static const tsr_tool *find_tool(const tsr_gen_work *w, size_t m)
{
    const tsr_mod *mod = &w->mods->items[m];
    const tsr_tool *tool = NULL;
    if (is_known(mod->tokenizer))
        return tsr_toolbox_find(&w->tools, &w->spaces[m]);
    for (size_t i = 0; i < w->tools.count && !tool; i++) {
        const tsr_token_space *s = tsr_tokenizer_space(w->tools.tools[i].tokenizer);
        if (tsr_modality_same(s->modality, mod->name) && fits(mod, s))
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

/* Add a file or folder; files that do not say what they are (published ones) are tried for every
 * modality that is still missing. Errors: those of a file that was named. */
static tsr_status add(tsr_gen_work *w, const char *path)
{
    tsr_status st = tsr_toolbox_add(&w->tools, path, NULL);
    for (size_t m = 0; m < w->mods->count && st != TSR_ENOMEM && st != TSR_ENOENT; m++) {
        if (is_wanted(w, m) && !find_tool(w, m))
            st = tsr_toolbox_add(&w->tools, path, plain_name(&w->mods->items[m]));
    }
    return st;
}

/* What the user named must be a tokenizer, whatever it is for. */
static tsr_status add_named(tsr_gen_work *w, const char *path)
{
    size_t before = w->tools.count;
    tsr_status st = add(w, path);
    return w->tools.count > before && st != TSR_ENOMEM ? TSR_OK : st;
}

/* Add a folder, unless it is none or nothing is missing. */
static tsr_status look_in(tsr_gen_work *w, const char *folder)
{
    return missing(w) == 0 || !tsr_is_folder(folder) ? TSR_OK : add(w, folder);
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

tsr_status tsr_gen_tools(tsr_gen_work *w)
{
    for (size_t m = 0; m < w->mods->count; m++)
        space_of(&w->mods->items[m], &w->spaces[m]);
    for (size_t i = 0; i < w->spec->tokenizers.count; i++)
        TSR_TRY(add_named(w, w->spec->tokenizers.items[i]));
    if (w->corpus)
        TSR_TRY(look_below(w, tsr_corpus_path(w->corpus), "tokenizers"));
    TSR_TRY(beside_model(w));
    for (size_t m = 0; m < w->mods->count; m++) {
        char digest[TSR_DIGEST_CHARS];
        w->tool[m] = find_tool(w, m);
        tsr_digest_text(w->mods->items[m].tokenizer, digest);
        if (w->tool[m] || !is_wanted(w, m))
            continue;
        if (w->conditions[m].origin != TSR_GEN_ABSENT)
            TSR_FAIL(TSR_ENOENT,
                     "no tokenizer encodes %s for this model (tokenizer %s); name it, or its "
                     "folder, with --tokenizers",
                     w->mods->items[m].name, digest);
        tsr_job_warn(w->spec->job,
                     "no tokenizer decodes %s (tokenizer %s): its tokens are kept as they are",
                     w->mods->items[m].name, digest);
    }
    return TSR_OK;
}
