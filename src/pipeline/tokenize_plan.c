/* SPDX-License-Identifier: Apache-2.0
 * From a recipe and a corpus that may exist to the list of shards to look at. */
#include "pipeline/tokenize_plan.h"

#include "base/mem.h"
#include "base/str.h"
#include "pipeline/onefile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SHARD_SAMPLES 8192
#define SETTINGS              "crop_settings" /* folder of crops, as 4M calls it */

const tsr_field tsr_tokenize_fields[] = {
    {"source.root", TSR_FIELD_STRING, "!", 0, 0, "folder that holds the corpus of files"},
    {"source.name", TSR_FIELD_STRING, NULL, 0, 0, "name of the source; default: that of the root"},
    {"source.splits", TSR_FIELD_STRINGS, NULL, 0, 0,
     "splits, folders below the root; default: the root has none"},
    {"output", TSR_FIELD_STRING, "!", 0, 0, "folder of the corpus of tokens"},
    {"shard_samples", TSR_FIELD_INT, NULL, 1, 1048576, "samples of a shard; default 8192"},
    {"crops.count", TSR_FIELD_INT, NULL, 1, 256, "crops of a sample; the first is the centre"},
    {"crops.min_scale", TSR_FIELD_NUMBER, NULL, 0.01, 1,
     "smallest area of a random crop, as part of the picture; default 0.8"},
    {"crops.flips", TSR_FIELD_BOOL, NULL, 0, 0, "mirror half of the random crops; default true"},
    {"crops.seed", TSR_FIELD_INT, NULL, 0, 9e15, "seed of the random crops; default 0"},
    {"crops.reference", TSR_FIELD_STRING, NULL, 0, 0,
     "folder of the pictures that crops refer to; default rgb"},
    {"crops.from", TSR_FIELD_STRING, NULL, 0, 0,
     "folder of crops that are stored, not drawn: crop_settings of 4M, a .npy a sample"},
    {"modalities.*.tokenizer", TSR_FIELD_STRING, NULL, 0, 0, "tokenizer file"},
    {"modalities.*.tokens", TSR_FIELD_STRING, NULL, 0, 0,
     "folder of tokens made elsewhere by this tokenizer, .npy files; nothing is encoded"},
    {"modalities.*.from", TSR_FIELD_STRINGS, NULL, 0, 0,
     "source folders it reads, at most 4; default: the modality's name"},
    {"modalities.*.crops", TSR_FIELD_BOOL, NULL, 0, 0,
     "tokens for each crop (default for pictures), or once a sample"},
    {"modalities.*", TSR_FIELD_ANY, NULL, 0, 0,
     "or the settings of a tokenizer that needs no file: kind and what the kind knows"},
};
const size_t tsr_n_tokenize_fields = sizeof tsr_tokenize_fields / sizeof tsr_tokenize_fields[0];

void tsr_task_clear(tsr_task *t)
{
    for (size_t i = 0; i < t->n_modalities; i++)
        tsr_tokenizer_destroy(t->modalities[i].tokenizer);
    for (size_t i = 0; i < t->n_splits; i++) {
        tsr_source_close(t->splits[i].source);
        tsr_free(t->splits[i].base);
    }
    for (size_t i = 0; i < t->n_shards; i++)
        tsr_free(t->shards[i].rows);
    tsr_free(t->modalities);
    tsr_free(t->splits);
    tsr_free(t->shards);
    tsr_names_clear(&t->folders);
    tsr_names_clear(&t->unusable);
    tsr_manifest_clear(&t->manifest);
    *t = (tsr_task){0};
}

/* --- modalities --- */

static tsr_status folder_index(tsr_task *t, const char *name, size_t *out)
{
    for (size_t i = 0; i < t->folders.count; i++) {
        if (strcmp(t->folders.names[i], name) == 0) {
            *out = i;
            return TSR_OK;
        }
    }
    if (t->folders.count == TSR_SOURCE_FOLDERS)
        TSR_FAIL(TSR_ECONFIG, "the recipe names more than %d source folders", TSR_SOURCE_FOLDERS);
    *out = t->folders.count;
    return tsr_names_add(&t->folders, name);
}

static tsr_status read_folders(tsr_task *t, const json_t *section, tsr_task_modality *m)
{
    const json_t *tokens = json_object_get(section, "tokens");
    const json_t *from = json_object_get(section, "from");
    if (tokens && from)
        TSR_FAIL(TSR_ECONFIG, "modality %s: give either \"tokens\" or \"from\", not both", m->name);
    from = tokens ? tokens : from;
    size_t n = json_is_array(from) ? json_array_size(from) : 1;
    if (n < 1 || n > TSR_TOKENIZE_INPUTS)
        TSR_FAIL(TSR_ECONFIG, "modality %s reads %zu folders; 1 to %d are allowed", m->name, n,
                 TSR_TOKENIZE_INPUTS);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_is_array(from) ? json_array_get(from, i) : from;
        const char *name = from ? json_string_value(v) : m->name;
        if (!name || !name[0])
            TSR_FAIL(TSR_ECONFIG, "modality %s: \"%s\" is not a list of folder names", m->name,
                     tokens ? "tokens" : "from");
        TSR_TRY(folder_index(t, name, &m->folders[i]));
        m->n_folders++;
    }
    return TSR_OK;
}

/* A kind without a file: the section without our own keys, with the modality's name. */
static tsr_status create_inline(const json_t *section, tsr_task_modality *m)
{
    json_t *config = json_copy((json_t *)section);
    if (!config)
        TSR_FAIL(TSR_ENOMEM, "out of memory for the settings of %s", m->name);
    json_object_del(config, "from");
    json_object_del(config, "crops");
    tsr_status st = tsr_json_set(config, "modality", json_string(m->name));
    if (st == TSR_OK)
        st = tsr_tokenizer_create(config, m->name, &m->tokenizer);
    json_decref(config);
    return st;
}

static tsr_status open_tokenizer(const json_t *section, tsr_task_modality *m)
{
    m->file = json_string_value(json_object_get(section, "tokenizer"));
    int has_kind = json_object_get(section, "kind") != NULL;
    if (!m->file == !has_kind)
        TSR_FAIL(TSR_ECONFIG,
                 "modality %s: give either \"tokenizer\", a file, or \"kind\", the "
                 "kind of one that needs no file",
                 m->name);
    TSR_TRY(m->file ? tsr_tokenizer_open(m->file, m->name, &m->tokenizer)
                    : create_inline(section, m));
    if (json_object_get(section, "tokens") &&
        (!m->file || tsr_tokenizer_space(m->tokenizer)->layout != TSR_LAYOUT_GRID))
        TSR_FAIL(TSR_ECONFIG,
                 "modality %s: \"tokens\" are those of a grid, made by a \"tokenizer\" with a "
                 "file; texts and the like are read as they are (\"from\")",
                 m->name);
    return TSR_OK;
}

/* Pictures are cut, texts and sounds are not. */
static int is_cut(const json_t *section, const tsr_task_modality *m)
{
    static const char *const uncut[] = {"text", "audio", "palette", "metadata", "vector"};
    const json_t *wish = json_object_get(section, "crops");
    int cut = 1;
    for (size_t i = 0; i < sizeof uncut / sizeof uncut[0]; i++)
        cut = cut && strcmp(tsr_tokenizer_kind_name(m->tokenizer), uncut[i]) != 0;
    if (json_is_boolean(wish))
        cut = json_is_true(wish);
    return cut;
}

static tsr_status check_section(const tsr_task *t, const json_t *section, const char *name)
{
    char path[TSR_NAME_CHARS + 16];
    snprintf(path, sizeof path, "modalities.%.60s", name);
    if (!tsr_modality_name_ok(name) || strcmp(name, TSR_KEYS_NAME) == 0)
        return tsr_recipe_fail(t->recipe, path,
                               "is no name for a modality (a-z, 0-9, _, @ and -, at most 63)");
    if (!json_is_object(section))
        return tsr_recipe_fail(t->recipe, path,
                               "should be a mapping with \"tokenizer\" or \"kind\"");
    const json_t *crops = json_object_get(section, "crops");
    if (crops && !json_is_boolean(crops))
        return tsr_recipe_fail(t->recipe, path, "\"crops\" should be true or false");
    if (!json_object_get(section, "tokenizer"))
        return TSR_OK;
    /* With a file, nothing but our own keys may be there. */
    static const char *const known[] = {"tokenizer", "from", "crops", "tokens"};
    const size_t n_known = sizeof known / sizeof known[0];
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)section, key, value)
    {
        int ours = 0;
        for (size_t i = 0; i < n_known; i++)
            ours |= strcmp(key, known[i]) == 0;
        const char *close = tsr_suggest(key, known, n_known);
        if (!ours)
            return tsr_recipe_fail(t->recipe, path, "unknown key \"%s\"%s%s%s", key,
                                   close ? "; did you mean \"" : "", close ? close : "",
                                   close ? "\"?" : "");
    }
    return TSR_OK;
}

static tsr_status open_modalities(tsr_task *t)
{
    const json_t *all = tsr_recipe_get(t->recipe, "modalities");
    const char *name;
    json_t *section;
    if (json_object_size(all) == 0)
        TSR_FAIL(TSR_ECONFIG, "the recipe names no modality (modalities.NAME.tokenizer)");
    TSR_TRY(tsr_alloc(&t->modalities, json_object_size(all), sizeof *t->modalities));
    json_object_foreach((json_t *)all, name, section)
    {
        tsr_task_modality *m = &t->modalities[t->n_modalities];
        TSR_TRY(check_section(t, section, name));
        snprintf(m->name, sizeof m->name, "%.63s", name);
        t->n_modalities++;
        TSR_TRY(read_folders(t, section, m));
        tsr_status st = open_tokenizer(section, m);
        if (st != TSR_OK)
            return tsr_context(st, "modality %s", name);
        m->cut = is_cut(section, m);
        m->crops = m->cut ? t->manifest.crops.count : 1;
        const tsr_read_options read = tsr_onefile_options(m->tokenizer);
        m->form = json_object_get(section, "tokens") ? TSR_FORM_TOKENS
                  : read.palette_indices             ? TSR_FORM_INDICES
                  : read.as_vector                   ? TSR_FORM_ARRAY
                                                     : TSR_FORM_SEEN;
    }
    return TSR_OK;
}

/* --- the corpus --- */

/* A setting that is fixed for the life of a corpus: the recipe's must be the corpus' own. */
static tsr_status fixed(const tsr_task *t, const char *path, double *value)
{
    const json_t *v = tsr_recipe_get(t->recipe, path);
    if (!v)
        return TSR_OK;
    double wish = json_is_boolean(v) ? json_is_true(v) : json_number_value(v);
    if (!t->is_new && wish != *value)
        TSR_FAIL(TSR_EMISMATCH,
                 "%s: was made with %s = %.10g, the recipe says %.10g; leave it out, "
                 "or choose another output",
                 t->output, path, *value, wish);
    *value = wish;
    return TSR_OK;
}

/* The same of a folder's name. */
static tsr_status fixed_folder(const tsr_task *t, const char *path, char name[TSR_NAME_CHARS])
{
    const char *wish = tsr_recipe_string(t->recipe, path, name);
    if (strlen(wish) >= TSR_NAME_CHARS)
        TSR_FAIL(TSR_ECONFIG, "%s is longer than %d bytes", path, TSR_NAME_CHARS - 1);
    if (!t->is_new && strcmp(wish, name) != 0)
        TSR_FAIL(TSR_EMISMATCH, "%s: was made with %s = \"%s\", the recipe says \"%s\"", t->output, path,
                 name, wish);
    if (wish != name)
        snprintf(name, TSR_NAME_CHARS, "%s", wish);
    return TSR_OK;
}

static tsr_status read_rule(tsr_task *t)
{
    tsr_crop_rule *c = &t->manifest.crops;
    double count = c->count, flips = c->flips, seed = (double)c->seed;
    double samples = (double)t->manifest.shard_samples;
    TSR_TRY(fixed(t, "crops.count", &count));
    TSR_TRY(fixed(t, "crops.min_scale", &c->min_scale));
    TSR_TRY(fixed(t, "crops.flips", &flips));
    TSR_TRY(fixed(t, "crops.seed", &seed));
    TSR_TRY(fixed(t, "shard_samples", &samples));
    c->count = (uint32_t)count;
    c->flips = flips != 0;
    c->seed = (uint64_t)seed;
    t->manifest.shard_samples = (uint64_t)samples;
    TSR_TRY(fixed_folder(t, "crops.reference", c->reference));
    TSR_TRY(fixed_folder(t, "crops.from", c->from));
    if ((uint64_t)c->count * t->manifest.shard_samples > TSR_SHARD_MAX_ROWS)
        TSR_FAIL(TSR_ECONFIG, "%u crops of %llu samples are more rows than a shard may have (%u)",
                 c->count, (unsigned long long)t->manifest.shard_samples, TSR_SHARD_MAX_ROWS);
    return TSR_OK;
}

static tsr_status open_corpus(tsr_task *t)
{
    tsr_status st = tsr_manifest_read(t->output, &t->manifest);
    if (st != TSR_OK && st != TSR_ENOENT)
        return st;
    t->is_new = st == TSR_ENOENT;
    if (t->is_new)
        t->manifest =
            (tsr_manifest){.shard_samples = DEFAULT_SHARD_SAMPLES, .crops = {1, 0.8, 1, 0, "rgb", ""}};
    return read_rule(t);
}

static tsr_status check_replaced(const tsr_task *t, const tsr_task_modality *m)
{
    const tsr_modality *old = tsr_manifest_modality(&t->manifest, m->name);
    char a[TSR_DIGEST_CHARS], b[TSR_DIGEST_CHARS];
    if (!old)
        return TSR_OK;
    tsr_digest_text(old->space.tokenizer, a);
    tsr_digest_text(tsr_tokenizer_space(m->tokenizer)->tokenizer, b);
    if (strcmp(a, b) != 0)
        TSR_FAIL(TSR_EMISMATCH,
                 "%s: modality %s was made by tokenizer %s, the recipe has %s; "
                 "--replace makes it anew",
                 t->output, m->name, a, b);
    if (old->crops != m->crops)
        TSR_FAIL(TSR_EMISMATCH,
                 "%s: modality %s has %u crops a sample, the recipe says %u; "
                 "--replace makes it anew",
                 t->output, m->name, old->crops, m->crops);
    return TSR_OK;
}

static tsr_status set_modalities(tsr_task *t, int replace)
{
    tsr_modality *list;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_alloc(&list, t->n_modalities, sizeof *list));
    for (size_t i = 0; i < t->n_modalities; i++) {
        const tsr_task_modality *m = &t->modalities[i];
        if (!replace)
            TSR_GO(check_replaced(t, m));
        list[i].space = *tsr_tokenizer_space(m->tokenizer);
        list[i].crops = m->crops;
        snprintf(list[i].space.modality, sizeof list[i].space.modality, "%s", m->name);
        /* A range of its own is named as the modality is here; a shared one keeps its name. */
        if (strcmp(list[i].space.vocabulary, tsr_tokenizer_space(m->tokenizer)->modality) == 0)
            snprintf(list[i].space.vocabulary, sizeof list[i].space.vocabulary, "%s", m->name);
        TSR_GO(tsr_tokenizer_describe(m->tokenizer, &list[i].description));
    }
    TSR_GO(tsr_manifest_set_modalities(&t->manifest, list, t->n_modalities));
out:
    for (size_t i = 0; i < t->n_modalities; i++)
        json_decref(list[i].description);
    tsr_free(list);
    return st;
}

/* --- sources --- */

static tsr_status open_split(tsr_task *t, tsr_task_split *s, const char *name)
{
    const char *present[TSR_SOURCE_FOLDERS];
    size_t n = 0;
    tsr_status st = TSR_OK;
    char *path = NULL;
    if (strlen(name) >= sizeof s->name)
        TSR_FAIL(TSR_ECONFIG, "split \"%s\": a name has at most %zu bytes", name,
                 sizeof s->name - 1);
    snprintf(s->name, sizeof s->name, "%s", name);
    TSR_GO(name[0] ? tsr_path_join(&s->base, t->root, name) : tsr_strdup(&s->base, t->root));
    if (!tsr_is_folder(s->base))
        TSR_GOFAIL(TSR_ENOENT, "%s: no such folder (source.root and source.splits)", s->base);
    for (size_t f = 0; f < t->folders.count; f++) {
        TSR_GO(tsr_path_join(&path, s->base, t->folders.names[f]));
        s->folder[f] = tsr_is_folder(path) ? n : TSR_NO_ROW;
        if (s->folder[f] != TSR_NO_ROW)
            present[n++] = t->folders.names[f];
        tsr_free(path);
        path = NULL;
    }
    if (n)
        TSR_GO(tsr_source_open(t->root, name, present, n, &s->source));
    for (size_t i = 0; n && i < tsr_source_conflicts(s->source); i++) {
        TSR_GO(tsr_format(&path, "%s: another file has the same name and another extension",
                          tsr_source_conflict(s->source, i)));
        TSR_GO(tsr_names_add(&t->unusable, path));
        tsr_free(path);
        path = NULL;
    }
out:
    tsr_free(path);
    return st;
}

/* A folder may be absent from a split, but not from all of them: that is a typing error. */
static tsr_status check_folders(const tsr_task *t)
{
    for (size_t f = 0; f < t->folders.count; f++) {
        int found = f == t->reference;
        for (size_t m = 0; m < t->n_modalities && f == t->reference; m++)
            for (size_t i = 0; i < t->modalities[m].n_folders; i++)
                found = found && t->modalities[m].folders[i] != f;
        for (size_t s = 0; s < t->n_splits; s++)
            found |= t->splits[s].folder[f] != TSR_NO_ROW;
        if (!found)
            TSR_FAIL(TSR_ENOENT, "%s: no split has a folder \"%s\"", t->root, t->folders.names[f]);
    }
    return TSR_OK;
}

static tsr_status open_splits(tsr_task *t)
{
    const json_t *list = tsr_recipe_get(t->recipe, "source.splits");
    size_t n = list ? json_array_size(list) : 1;
    TSR_TRY(tsr_alloc(&t->splits, n, sizeof *t->splits));
    for (size_t i = 0; i < n; i++) {
        const char *name = list ? json_string_value(json_array_get(list, i)) : "";
        TSR_TRY(open_split(t, &t->splits[t->n_splits++], name));
    }
    return check_folders(t);
}

const char *tsr_task_path(const tsr_task *t, size_t split, size_t row, size_t f)
{
    const tsr_task_split *s = &t->splits[split];
    if (row == TSR_NO_ROW || !s->source || s->folder[f] == TSR_NO_ROW)
        return NULL;
    return tsr_source_path(s->source, row, s->folder[f]);
}

/* --- shards --- */

static tsr_status new_shard(tsr_task *t, size_t split, size_t samples, uint32_t number,
                            tsr_task_shard **out)
{
    TSR_TRY(tsr_room(&t->shards, t->n_shards, &t->cap_shards, sizeof *t->shards));
    tsr_task_shard *s = &t->shards[t->n_shards];
    *s = (tsr_task_shard){.number = number, .split = split, .samples = samples};
    TSR_TRY(tsr_alloc(&s->rows, samples, sizeof *s->rows));
    t->n_shards++;
    t->samples += samples;
    *out = s;
    return TSR_OK;
}

/* A shard that the corpus has: find its samples in the source and mark them as used. */
static tsr_status add_existing(tsr_task *t, size_t split, const tsr_shard_entry *e, char *used)
{
    tsr_task_shard *s;
    tsr_keys k = {0};
    char *name = NULL, *path = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_shard_name(TSR_KEYS_NAME, e->shard, &name));
    TSR_GO(tsr_path_join(&path, t->output, name));
    TSR_GO(tsr_keys_read(path, &k));
    TSR_GO(new_shard(t, split, k.samples, e->shard, &s));
    for (size_t i = 0; i < k.samples; i++) {
        if (tsr_source_find(t->splits[split].source, k.key[i], &s->rows[i]))
            used[s->rows[i]] = 1;
        else
            s->rows[i] = TSR_NO_ROW;
    }
out:
    tsr_keys_clear(&k);
    tsr_free(name);
    tsr_free(path);
    return st;
}

/* A sample that some modality can use, with a key that can be stored. */
static tsr_status usable(tsr_task *t, size_t split, size_t row, int *ok)
{
    const char *key = tsr_source_key(t->splits[split].source, row), *path = NULL;
    for (size_t m = 0; m < t->n_modalities && !path; m++)
        for (size_t i = 0; i < t->modalities[m].n_folders && !path; i++)
            if (t->modalities[m].folders[i] != t->settings)
                path = tsr_task_path(t, split, row, t->modalities[m].folders[i]);
    *ok = path != NULL && tsr_key_ok(key);
    if (!path || *ok)
        return TSR_OK;
    char *line;
    TSR_TRY(tsr_format(&line,
                       "%s: its name cannot be a key (1 to %d bytes of UTF-8 without control "
                       "characters)",
                       path, TSR_KEY_MAX));
    tsr_status st = tsr_names_add(&t->unusable, line);
    tsr_free(line);
    return st;
}

static tsr_status add_new(tsr_task *t, size_t split, const char *used, uint32_t *number)
{
    size_t n = tsr_source_count(t->splits[split].source), left = 0, at = 0;
    size_t *rows;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_alloc(&rows, n, sizeof *rows));
    for (size_t i = 0; i < n; i++) {
        int ok = 0;
        if (!used[i])
            TSR_GO(usable(t, split, i, &ok));
        if (ok)
            rows[left++] = i;
    }
    while (at < left) {
        tsr_task_shard *s;
        size_t k = left - at < t->manifest.shard_samples ? left - at : t->manifest.shard_samples;
        TSR_GO(new_shard(t, split, k, (*number)++, &s));
        memcpy(s->rows, rows + at, k * sizeof *rows);
        s->is_new = 1;
        at += k;
    }
out:
    tsr_free(rows);
    return st;
}

static tsr_status list_shards(tsr_task *t)
{
    uint32_t number = (uint32_t)t->manifest.n_shards;
    for (size_t split = 0; split < t->n_splits; split++) {
        const tsr_task_split *s = &t->splits[split];
        char *used;
        TSR_TRY(tsr_alloc(&used, s->source ? tsr_source_count(s->source) : 0, 1));
        tsr_status st = TSR_OK;
        for (size_t i = 0; st == TSR_OK && i < t->manifest.n_shards; i++) {
            const tsr_shard_entry *e = &t->manifest.shards[i];
            if (strcmp(e->split, s->name) == 0 && strcmp(e->source, t->source) == 0)
                st = add_existing(t, split, e, used);
        }
        if (st == TSR_OK && s->source)
            st = add_new(t, split, used, &number);
        tsr_free(used);
        TSR_TRY(st);
    }
    return TSR_OK;
}

/* Identity of a new corpus: what it is made from and how. */
static tsr_status identify(tsr_task *t)
{
    tsr_hasher *h;
    char text[256];
    const tsr_crop_rule *c = &t->manifest.crops;
    TSR_TRY(tsr_hasher_create(&h));
    int n = snprintf(text, sizeof text, "%s %u %.17g %d %llu %s %llu", t->source, c->count,
                     c->min_scale, c->flips, (unsigned long long)c->seed, c->reference,
                     (unsigned long long)t->manifest.shard_samples);
    tsr_hasher_add(h, text, (size_t)n + 1);
    tsr_hasher_add(h, c->from, strlen(c->from));
    for (size_t i = 0; i < t->n_shards; i++)
        for (size_t j = 0; j < t->shards[i].samples; j++) {
            const char *key =
                tsr_source_key(t->splits[t->shards[i].split].source, t->shards[i].rows[j]);
            tsr_hasher_add(h, key, strlen(key) + 1);
        }
    t->manifest.corpus = tsr_hasher_finish(h);
    tsr_hasher_destroy(h);
    return TSR_OK;
}

static tsr_status name_source(tsr_task *t)
{
    char *root;
    TSR_TRY(tsr_strdup(&root, t->root));
    for (size_t n = strlen(root); n > 1 && root[n - 1] == '/'; n--)
        root[n - 1] = '\0';
    const char *name = tsr_recipe_string(t->recipe, "source.name", tsr_path_name(root));
    int fits =
        strlen(name) < sizeof t->source && tsr_utf8_valid(name, strlen(name)) == strlen(name);
    if (fits)
        snprintf(t->source, sizeof t->source, "%s", name);
    tsr_free(root);
    if (!fits)
        TSR_FAIL(TSR_ECONFIG, "source.name: at most %zu bytes of UTF-8", sizeof t->source - 1);
    return TSR_OK;
}

/* 1 when any split has that folder. */
static int has_folder(const tsr_task *t, const char *name)
{
    const json_t *list = tsr_recipe_get(t->recipe, "source.splits");
    size_t n = list ? json_array_size(list) : 1;
    int found = 0;
    for (size_t i = 0; i < n && !found; i++) {
        const char *split = list ? json_string_value(json_array_get(list, i)) : "";
        char *path;
        if (tsr_format(&path, "%s/%s/%s", t->root, split, name) != TSR_OK)
            return 0;
        found = tsr_is_folder(path);
        tsr_free(path);
    }
    return found;
}

/* A folder of ready tokens holds no pictures, also where it is called like one that does. */
static void check_reference(tsr_task *t)
{
    for (size_t i = 0; i < t->n_modalities; i++)
        if (t->modalities[i].form == TSR_FORM_TOKENS && t->modalities[i].folders[0] == t->reference)
            t->reference = TSR_NO_ROW;
}

/* Where the crops of ready tokens are; every modality of such tokens depends on it. A new corpus takes
 * its crops from there. */
static tsr_status find_settings(tsr_task *t)
{
    char *from = t->manifest.crops.from;
    uint32_t most = 0;
    for (size_t i = 0; i < t->n_modalities; i++)
        if (t->modalities[i].form == TSR_FORM_TOKENS && t->modalities[i].crops > most)
            most = t->modalities[i].crops;
    if (most && t->is_new && !from[0] && has_folder(t, SETTINGS))
        strcpy(from, SETTINGS);
    if (from[0])
        TSR_TRY(folder_index(t, from, &t->crops_from));
    t->settings = most ? t->crops_from : TSR_NO_ROW;
    if (most && !from[0] && has_folder(t, SETTINGS))
        TSR_TRY(folder_index(t, SETTINGS, &t->settings));
    if (most > 1 && t->settings == TSR_NO_ROW)
        TSR_FAIL(TSR_ENOENT,
                 "%s: has no folder \"%s\", without which tokens of %u crops cannot be placed "
                 "(crops.from)",
                 t->root, SETTINGS, most);
    for (size_t i = 0; i < t->n_modalities && t->settings != TSR_NO_ROW; i++) {
        tsr_task_modality *m = &t->modalities[i];
        if (m->form == TSR_FORM_TOKENS)
            m->folders[m->n_folders++] = t->settings;
    }
    return TSR_OK;
}

static tsr_status open_task(tsr_task *t, int replace)
{
    t->root = tsr_recipe_string(t->recipe, "source.root", "");
    t->output = tsr_recipe_string(t->recipe, "output", "");
    TSR_TRY(name_source(t));
    TSR_TRY(open_corpus(t));
    TSR_TRY(open_modalities(t));
    TSR_TRY(folder_index(t, t->manifest.crops.reference, &t->reference));
    check_reference(t);
    TSR_TRY(find_settings(t));
    TSR_TRY(set_modalities(t, replace));
    TSR_TRY(open_splits(t));
    TSR_TRY(list_shards(t));
    return t->is_new ? identify(t) : TSR_OK;
}

tsr_status tsr_task_open(const tsr_recipe *recipe, int replace, tsr_task *out)
{
    tsr_task t = {.recipe = recipe,
                  .reference = TSR_NO_ROW,
                  .crops_from = TSR_NO_ROW,
                  .settings = TSR_NO_ROW};
    tsr_status st = open_task(&t, replace);
    if (st != TSR_OK) {
        tsr_task_clear(&t);
        return st;
    }
    *out = t;
    return TSR_OK;
}
