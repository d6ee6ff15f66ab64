/* SPDX-License-Identifier: Apache-2.0
 * The samples of an evaluation: tokens from a corpus, tokenizers, and the files they came from. */
#include "tasks/evalwork.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "pipeline/tokenize.h"

#include <string.h>

#define FACTS_FOLDER "metadata"

static void clear_item(tsr_eval_item *it, size_t mods)
{
    for (size_t m = 0; m < mods; m++)
        tsr_free(it->owned[m]);
    tsr_free(it->key);
    *it = (tsr_eval_item){0};
}

void tsr_eval_set_close(tsr_eval_set *s)
{
    size_t mods = s->mods ? s->mods->count : 0;
    for (size_t i = 0; i < s->count; i++)
        clear_item(&s->items[i], mods);
    for (size_t i = 0; s->works && i < (size_t)s->lanes * mods; i++)
        tsr_tokenizer_work_destroy(s->works[i]);
    tsr_free(s->items);
    tsr_free(s->works);
    tsr_source_close(s->source);
    tsr_toolbox_clear(&s->tools);
    tsr_corpus_close(s->corpus);
    *s = (tsr_eval_set){0};
}

/* ---- modalities -------------------------------------------------------------------------------*/

static tsr_status compare(const tsr_mod *m, const tsr_token_space *c, const char *corpus)
{
    static const tsr_digest unknown = {0, 0};
    char ours[TSR_DIGEST_CHARS], theirs[TSR_DIGEST_CHARS];
    tsr_mod like;
    tsr_mod_of_space(c, &like);
    if (!tsr_digest_equal(m->tokenizer, unknown) && !tsr_digest_equal(m->tokenizer, c->tokenizer)) {
        tsr_digest_text(m->tokenizer, ours);
        tsr_digest_text(c->tokenizer, theirs);
        TSR_FAIL(TSR_EMISMATCH,
                 "%s: modality %s is of tokenizer %s; the model was trained with %s: tokenize the "
                 "corpus with the model's tokenizers",
                 corpus, m->name, theirs, ours);
    }
    if (m->cls != TSR_CLASS_PIXELS && (m->vocabulary < like.vocabulary || m->places != like.places))
        TSR_FAIL(TSR_EMISMATCH,
                 "%s: modality %s has %u codes and %u places; the model knows %u and %u", corpus,
                 m->name, like.vocabulary, like.places, m->vocabulary, m->places);
    if (m->cls == TSR_CLASS_PIXELS &&
        (c->layout != TSR_LAYOUT_PATCHES || c->height * c->width != m->places ||
         c->levels != m->patch_values))
        TSR_FAIL(TSR_EMISMATCH, "%s: modality %s does not have the model's %u patches of %u values",
                 corpus, m->name, m->places, m->patch_values);
    return TSR_OK;
}

static tsr_status find_modalities(tsr_eval_set *s, const tsr_eval_spec *spec, const char *wanted)
{
    for (size_t m = 0; m < s->mods->count; m++) {
        const tsr_mod *mod = &s->mods->items[m];
        const tsr_modality *c = tsr_manifest_modality(tsr_corpus_manifest(s->corpus), mod->name);
        if (!wanted[m])
            continue;
        if (!c && wanted[m] > 1)
            continue;
        if (!c)
            TSR_FAIL(TSR_ECONFIG, "%s: the corpus has no modality \"%s\"", spec->corpus, mod->name);
        TSR_TRY(compare(mod, &c->space, spec->corpus));
        s->of[m].space = &c->space;
        s->of[m].tool = tsr_toolbox_find(&s->tools, &c->space);
    }
    return TSR_OK;
}

static tsr_status open_tokenizers(tsr_eval_set *s, const tsr_eval_spec *spec)
{
    const tsr_manifest *manifest = tsr_corpus_manifest(s->corpus);
    char *folder;
    tsr_status st = TSR_OK;
    for (size_t i = 0; i < spec->n_tokenizers; i++)
        TSR_TRY(tsr_toolbox_add_for(&s->tools, spec->tokenizers[i], manifest));
    TSR_TRY(tsr_path_join(&folder, spec->corpus, "tokenizers"));
    if (tsr_is_folder(folder))
        st = tsr_toolbox_add_for(&s->tools, folder, manifest);
    tsr_free(folder);
    return st;
}

/* ---- files ------------------------------------------------------------------------------------*/

/* Folders that a source is opened with; all of them exist. */
typedef struct folders {
    const char *root, *split;
    const char *names[TSR_SOURCE_FOLDERS];
    size_t n;
} folders;

/* Index of a folder, added when it is there; TSR_EVAL_NONE when it is not. */
static tsr_status folder(folders *f, const char *name, size_t *out)
{
    char *below = NULL, *path = NULL;
    tsr_status st;
    *out = TSR_EVAL_NONE;
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->names[i], name) == 0) {
            *out = i;
            return TSR_OK;
        }
    TSR_GO(tsr_path_join(&below, f->root, f->split));
    TSR_GO(tsr_path_join(&path, below, name));
    if (tsr_is_folder(path) && f->n < TSR_SOURCE_FOLDERS) {
        *out = f->n;
        f->names[f->n++] = name;
    }
out:
    tsr_free(below);
    tsr_free(path);
    return st;
}

/* Folders of one modality: what the corpus's recipe says, else that of its name. */
static tsr_status mod_folders(const json_t *recipe, const char *name, folders *f, tsr_eval_mod *m)
{
    const json_t *from = json_object_get(json_object_get(recipe, name), "from");
    size_t n = from ? json_is_array(from) ? json_array_size(from) : 1 : 1;
    for (size_t i = 0; i < n && m->n_folders < TSR_EVAL_FOLDERS; i++) {
        const json_t *one = json_is_array(from) ? json_array_get(from, i) : from;
        const char *text = json_is_string(one) ? json_string_value(one) : name;
        size_t at;
        TSR_TRY(folder(f, text, &at));
        if (at != TSR_EVAL_NONE)
            m->folders[m->n_folders++] = at;
        else if (i == 0)
            break; /* without the first there is no such media */
    }
    return TSR_OK;
}

static tsr_status split_folder(const tsr_eval_spec *spec, const char **split)
{
    char *path;
    if (!tsr_is_folder(spec->files))
        TSR_FAIL(TSR_ENOENT, "%s: no such folder of files", spec->files);
    TSR_TRY(tsr_path_join(&path, spec->files, spec->split));
    *split = tsr_is_folder(path) ? spec->split : "";
    tsr_free(path);
    return TSR_OK;
}

static tsr_status open_recipe(const char *corpus, tsr_recipe **out)
{
    char *path;
    *out = NULL;
    TSR_TRY(tsr_path_join(&path, corpus, "recipe.yaml"));
    tsr_status st = TSR_OK;
    if (tsr_file_exists(path))
        st = tsr_recipe_open(path, NULL, 0, tsr_tokenize_fields, tsr_n_tokenize_fields, out);
    tsr_free(path);
    return st;
}

static tsr_status open_files(tsr_eval_set *s, const tsr_eval_spec *spec)
{
    folders f = {.root = spec->files};
    tsr_recipe *recipe = NULL;
    tsr_status st;
    TSR_GO(split_folder(spec, &f.split));
    TSR_GO(open_recipe(spec->corpus, &recipe));
    const json_t *known = recipe ? tsr_recipe_get(recipe, "modalities") : NULL;
    for (size_t m = 0; m < s->mods->count; m++)
        if (s->of[m].space)
            TSR_GO(mod_folders(known, s->mods->items[m].name, &f, &s->of[m]));
    TSR_GO(folder(&f, FACTS_FOLDER, &s->facts_folder));
    if (f.n == 0)
        TSR_GOFAIL(TSR_ENOENT, "%s: holds no folder of any modality that is evaluated",
                   spec->files);
    TSR_GO(tsr_source_open(f.root, f.split, f.names, f.n, &s->source));
out:
    tsr_recipe_close(recipe);
    return st;
}

tsr_status tsr_eval_set_open(const tsr_eval_spec *spec, const tsr_mods *mods, const char *wanted,
                             tsr_eval_set *out)
{
    tsr_eval_set s = {.mods = mods, .facts_folder = TSR_EVAL_NONE, .lanes = tsr_par_team()};
    tsr_status st;
    TSR_GO(tsr_corpus_open(spec->corpus, &s.corpus));
    if (tsr_corpus_split_count(s.corpus, spec->split) == 0)
        TSR_GOFAIL(TSR_ECONFIG, "%s: no samples in split \"%s\"", spec->corpus, spec->split);
    TSR_GO(open_tokenizers(&s, spec));
    TSR_GO(find_modalities(&s, spec, wanted));
    if (spec->files)
        TSR_GO(open_files(&s, spec));
    TSR_GO(tsr_alloc(&s.works, (size_t)s.lanes * mods->count, sizeof *s.works));
    *out = s;
    s = (tsr_eval_set){0};
out:
    tsr_eval_set_close(&s);
    return st;
}

/* ---- samples ----------------------------------------------------------------------------------*/

static tsr_status read_patches(tsr_eval_set *s, tsr_eval_item *it, size_t m)
{
    const tsr_token_space *c = s->of[m].space;
    size_t size = (size_t)c->height * c->width * c->levels;
    tsr_present present;
    TSR_TRY(tsr_alloc(&it->owned[m], size, 1));
    TSR_TRY(tsr_corpus_read_patches(s->corpus, c->modality, it->sample, 0, it->owned[m], size,
                                    &present));
    if (present == TSR_REAL)
        it->held[m] =
            (tsr_held){.present = 1, .count = c->height * c->width, .patches = it->owned[m]};
    return TSR_OK;
}

static tsr_status read_ids(tsr_eval_set *s, tsr_eval_item *it, size_t m)
{
    tsr_tokens tokens = {0};
    tsr_present present;
    TSR_TRY(tsr_corpus_read(s->corpus, s->of[m].space->modality, it->sample, 0, &tokens, &present));
    if (present != TSR_REAL || tokens.count > UINT32_MAX) {
        tsr_tokens_clear(&tokens);
        return TSR_OK;
    }
    it->owned[m] = tokens.ids;
    it->held[m] = (tsr_held){.present = 1, .count = (uint32_t)tokens.count, .ids = tokens.ids};
    return TSR_OK;
}

static tsr_status read_item(tsr_eval_set *s, const char *wanted, tsr_eval_item *it)
{
    TSR_TRY(tsr_corpus_key(s->corpus, it->sample, &it->key));
    TSR_TRY(tsr_corpus_view(s->corpus, it->sample, 0, &it->view));
    if (!tsr_source_find(s->source, it->key, &it->row))
        it->row = TSR_EVAL_NONE;
    for (size_t m = 0; m < s->mods->count; m++) {
        if (!wanted[m] || !s->of[m].space)
            continue;
        if (s->mods->items[m].cls == TSR_CLASS_PIXELS)
            TSR_TRY(read_patches(s, it, m));
        else
            TSR_TRY(read_ids(s, it, m));
    }
    return TSR_OK;
}

static int suits(const tsr_eval_item *it, const tsr_eval_list *l, size_t mods)
{
    for (size_t m = 0; m < mods; m++)
        if (l->need[m] && !it->held[m].present)
            return 0;
    return 1;
}

/* Put a sample on the lists it suits; *used says whether there was one. */
static tsr_status offer(const tsr_eval_set *s, const tsr_eval_item *it, tsr_eval_list *lists,
                        size_t n, int *used)
{
    *used = 0;
    for (size_t k = 0; k < n; k++) {
        tsr_eval_list *l = &lists[k];
        if (l->count >= l->limit || !suits(it, l, s->mods->count))
            continue;
        TSR_TRY(tsr_room(&l->items, l->count, &l->cap, sizeof *l->items));
        l->items[l->count++] = s->count;
        *used = 1;
    }
    return TSR_OK;
}

static int all_full(const tsr_eval_list *lists, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (lists[k].count < lists[k].limit)
            return 0;
    return 1;
}

tsr_status tsr_eval_set_fill(tsr_eval_set *s, const char *split, const char *wanted,
                             tsr_eval_list *lists, size_t n, const tsr_job *job, size_t *empty)
{
    uint64_t all = tsr_corpus_split_count(s->corpus, split);
    for (uint64_t i = 0; i < all && !all_full(lists, n); i++) {
        tsr_eval_item it = {0};
        int used = 0;
        tsr_status st;
        TSR_TRY(tsr_job_check(job));
        TSR_TRY(tsr_room(&s->items, s->count, &s->cap, sizeof *s->items));
        TSR_TRY(tsr_corpus_split_sample(s->corpus, split, i, &it.sample));
        st = read_item(s, wanted, &it);
        if (st == TSR_OK)
            st = offer(s, &it, lists, n, &used);
        if (st == TSR_OK && used)
            s->items[s->count++] = it;
        else
            clear_item(&it, s->mods->count);
        TSR_TRY(st);
    }
    for (*empty = 0; *empty < n; ++*empty)
        if (lists[*empty].count < 2)
            return TSR_ECONFIG;
    return TSR_OK;
}
