/* SPDX-License-Identifier: Apache-2.0
 * What a corpus keeps beside its shards, so that it can be looked at and made again: the merged
 * recipe and the tokenizers. */
#include "pipeline/tokenize_plan.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define MAX_TOKENIZER_BYTES ((size_t)8 << 30)

static tsr_status keep_recipe(const tsr_task *t)
{
    char *path = NULL, *text = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_path_join(&path, t->output, "recipe.yaml"));
    TSR_GO(tsr_recipe_text(t->recipe, &text));
    TSR_GO(tsr_file_write(path, text, strlen(text)));
out:
    tsr_free(path);
    tsr_free(text);
    return st;
}

/* Copy a file unless the target has the same bytes. */
static tsr_status copy_file(const char *from, const char *to)
{
    tsr_digest a, b;
    char *data = NULL;
    size_t bytes;
    if (tsr_file_exists(to)) {
        TSR_TRY(tsr_hash_file(from, &a));
        TSR_TRY(tsr_hash_file(to, &b));
        if (tsr_digest_equal(a, b))
            return TSR_OK;
    }
    TSR_TRY(tsr_file_read(from, MAX_TOKENIZER_BYTES, &data, &bytes));
    tsr_status st = tsr_file_write(to, data, bytes);
    tsr_free(data);
    return st;
}

/* Copy the file that member `key` refers to, and refer to the copy. */
static tsr_status keep_other(const char *folder, json_t *value, const char *key)
{
    const char *other = json_string_value(json_object_get(value, key));
    char *copy;
    if (!other || other[0] != '/' || !tsr_file_exists(other))
        return TSR_OK;
    TSR_TRY(tsr_path_join(&copy, folder, tsr_path_name(other)));
    tsr_status st = copy_file(other, copy);
    if (st == TSR_OK)
        st = tsr_json_set(value, key, json_string(tsr_path_name(copy)));
    tsr_free(copy);
    return st;
}

/* A tokenizer over a text vocabulary refers to its file, and perhaps to that of a tokenizer of codes. */
static tsr_status keep_others(const char *folder, const char *path)
{
    json_t *value;
    tsr_status st;
    TSR_TRY(tsr_json_read(path, MAX_TOKENIZER_BYTES, &value));
    TSR_GO(keep_other(folder, value, "text"));
    TSR_GO(keep_other(folder, value, "codes"));
    TSR_GO(tsr_json_write(path, value, 2));
out:
    json_decref(value);
    return st;
}

static tsr_status keep_tokenizer(const tsr_task_modality *m, const char *folder)
{
    int network = m->file && strcmp(tsr_path_extension(m->file), "safetensors") == 0;
    char *name = NULL, *path = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_format(&name, "%s.%s", m->name, network ? "safetensors" : "json"));
    TSR_GO(tsr_path_join(&path, folder, name));
    if (network) {
        TSR_GO(copy_file(m->file, path));
    } else {
        TSR_GO(tsr_tokenizer_write(m->tokenizer, path));
        TSR_GO(keep_others(folder, path));
    }
out:
    tsr_free(name);
    tsr_free(path);
    return st;
}

tsr_status tsr_task_keep(const tsr_task *t)
{
    char *folder = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(keep_recipe(t));
    TSR_GO(tsr_path_join(&folder, t->output, "tokenizers"));
    TSR_GO(tsr_make_folders(folder));
    for (size_t i = 0; i < t->n_modalities; i++)
        TSR_GO(keep_tokenizer(&t->modalities[i], folder));
out:
    tsr_free(folder);
    return st;
}
