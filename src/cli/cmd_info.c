/* SPDX-License-Identifier: Apache-2.0
 * tessera info: what is this file? */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/preview.h"
#include "nn/safetensors.h"
#include "shards/corpus.h"
#include "tasks/vectorindex.h"
#include "tokenizers/tokenizer.h"
#include "trainer/fm.h"

#include <stdio.h>
#include <string.h>

typedef struct settings {
    int json, tensors, hash;
    const char *modality;
} settings;

static const tsr_option options[] = {
    {"modality", 'm', TSR_OPT_STRING, offsetof(settings, modality), NULL, 0, 0, "NAME",
     "modality of a published 4M tokenizer, whose file does not say it"},
    {"tensors", 0, TSR_OPT_FLAG, offsetof(settings, tensors), NULL, 0, 0, NULL,
     "list the tensors of a safetensors file"},
    {"hash", 0, TSR_OPT_FLAG, offsetof(settings, hash), NULL, 0, 0, NULL,
     "also read all of a large model or tokenizer for its digest"},
    TSR_OPTION_JSON(settings),
};

/* --- corpora and shards --- */

static tsr_status describe_corpus(const char *path, json_t *into)
{
    tsr_manifest m = {0};
    json_t *modalities = json_object();
    uint64_t samples = 0;
    tsr_status st;
    TSR_GO(tsr_json_set(into, "kind", json_string("corpus")));
    TSR_GO(tsr_manifest_read(path, &m));
    for (size_t i = 0; i < m.n_shards; i++)
        samples += m.shards[i].samples;
    TSR_GO(tsr_json_set(into, "samples", json_integer((json_int_t)samples)));
    TSR_GO(tsr_json_set(into, "shards", json_integer((json_int_t)m.n_shards)));
    TSR_GO(tsr_json_set(into, "vocabulary", json_integer(tsr_manifest_vocabulary(&m))));
    for (size_t i = 0; i < m.n_modalities; i++) {
        json_t *v = json_object();
        TSR_GO(tsr_json_set(modalities, m.modalities[i].space.modality, v));
        TSR_GO(tsr_space_json(&m.modalities[i].space, v));
    }
    TSR_GO(tsr_json_set(into, "modalities", json_incref(modalities)));
out:
    json_decref(modalities);
    tsr_manifest_clear(&m);
    return st;
}

static tsr_status describe_keys(const char *path, json_t *into)
{
    tsr_keys keys = {0};
    TSR_TRY(tsr_keys_read(path, &keys));
    json_t *v = json_pack("{s:s, s:I, s:s, s:s, s:I, s:I}", "kind", "keys", "shard",
                          (json_int_t)keys.shard, "split", keys.split, "source", keys.source,
                          "samples", (json_int_t)keys.samples, "crops", (json_int_t)keys.crops);
    tsr_status st = v && json_object_update(into, v) == 0 ? TSR_OK : TSR_ENOMEM;
    json_decref(v);
    tsr_keys_clear(&keys);
    return st;
}

static tsr_status describe_shard(const char *path, json_t *into)
{
    tsr_shard *shard = NULL;
    uint64_t counts[3] = {0};
    tsr_status st;
    if (tsr_starts_with(tsr_path_name(path), TSR_KEYS_NAME "-"))
        return describe_keys(path, into);
    TSR_GO(tsr_shard_open(path, &shard));
    const tsr_shard_info *info = tsr_shard_get_info(shard);
    for (uint64_t i = 0; i < info->samples; i++)
        counts[tsr_shard_present(shard, i)]++;
    TSR_GO(tsr_json_set(into, "kind", json_string("shard")));
    TSR_GO(tsr_json_set(into, "shard", json_integer(info->shard)));
    TSR_GO(tsr_space_json(&info->space, into));
    TSR_GO(tsr_json_set(into, "samples", json_integer((json_int_t)info->samples)));
    TSR_GO(tsr_json_set(into, "crops", json_integer(info->crops)));
    TSR_GO(tsr_json_set(into, "present", json_integer((json_int_t)counts[TSR_REAL])));
    TSR_GO(tsr_json_set(into, "missing", json_integer((json_int_t)counts[TSR_MISSING])));
    TSR_GO(tsr_json_set(into, "failed", json_integer((json_int_t)counts[TSR_FAILED])));
out:
    tsr_shard_close(shard);
    return st;
}

/* --- tokenizers and models --- */

static tsr_status describe_tokenizer(const tsr_tokenizer *t, json_t *into)
{
    json_t *v;
    TSR_TRY(tsr_tokenizer_describe(t, &v));
    tsr_status st = tsr_json_set(into, "kind", json_string("tokenizer"));
    if (st == TSR_OK)
        st = tsr_json_set(into, "tokenizer", v);
    else
        json_decref(v);
    return st;
}

static tsr_status tensor_list(const tsr_safetensors *f, json_t *into)
{
    json_t *list = json_object();
    tsr_status st = tsr_json_set(into, "tensors", list);
    for (size_t i = 0; i < tsr_safetensors_count(f) && st == TSR_OK; i++) {
        const tsr_stored *t = tsr_safetensors_at(f, i);
        char shape[96], text[128];
        tsr_shape_text(t->ndim, t->shape, shape, sizeof shape);
        snprintf(text, sizeof text, "%s %s", tsr_dtype_name(t->dtype), shape);
        st = tsr_json_set(list, t->name, json_string(text));
    }
    return st;
}

static tsr_status add_totals(const tsr_safetensors *f, json_t *into)
{
    json_t *types = json_object();
    json_int_t values = 0, bytes = 0;
    TSR_TRY(tsr_json_set(into, "element_types", types));
    for (size_t i = 0; i < tsr_safetensors_count(f); i++) {
        const tsr_stored *t = tsr_safetensors_at(f, i);
        const char *name = tsr_dtype_name(t->dtype);
        json_int_t had = json_integer_value(json_object_get(types, name));
        TSR_TRY(tsr_json_set(types, name, json_integer(had + 1)));
        values += (json_int_t)t->count;
        bytes += (json_int_t)(t->count * tsr_dtype_bytes(t->dtype));
    }
    TSR_TRY(tsr_json_set(into, "tensor_count", json_integer((json_int_t)tsr_safetensors_count(f))));
    TSR_TRY(tsr_json_set(into, "values", json_integer(values)));
    return tsr_json_set(into, "data_bytes", json_integer(bytes));
}

/* Of the header alone. Tensors that are not as they should be are described, too; *verdict tells. */
static tsr_status describe_model(const char *path, json_t *into, tsr_status *verdict)
{
    tsr_fm *m = NULL;
    json_t *v = NULL;
    tsr_status st;
    TSR_GO(tsr_fm_open_for(path, TSR_FM_LOOK, &m));
    TSR_GO(tsr_fm_describe(m, &v));
    if (json_object_update(into, v) != 0)
        TSR_GOFAIL(TSR_ENOMEM, "out of memory");
    *verdict = tsr_fm_problems(m, path);
out:
    json_decref(v);
    tsr_fm_destroy(m);
    return st;
}

static tsr_status describe_index(const char *path, json_t *into)
{
    tsr_index *x;
    TSR_TRY(tsr_index_open(path, &x));
    tsr_status st = tsr_json_set(into, "kind", json_string("index"));
    if (st == TSR_OK)
        st = tsr_json_set(into, "rows", json_integer((json_int_t)tsr_index_rows(x)));
    if (st == TSR_OK)
        st = tsr_json_set(into, "width", json_integer((json_int_t)tsr_index_width(x)));
    if (st == TSR_OK)
        st = tsr_json_set(into, "index", json_deep_copy(tsr_index_about(x)));
    tsr_index_close(x);
    return st;
}

static tsr_status add_hash(const char *path, json_t *into)
{
    tsr_digest digest;
    char text[TSR_DIGEST_CHARS];
    TSR_TRY(tsr_hash_file(path, &digest));
    tsr_digest_text(digest, text);
    json_t *tokenizer = json_object_get(into, "tokenizer");
    return tsr_json_set(tokenizer ? tokenizer : into, "hash", json_string(text));
}

/* A masked model, an index or a tokenizer where it is one; else tensors and metadata. Why it is not
 * a tokenizer is said; a tokenizer whose tensors are wrong is a failure, too. */
static tsr_status describe_safetensors(const char *path, const settings *s, json_t *into,
                                       tsr_status *verdict)
{
    tsr_safetensors *f = NULL;
    tsr_tokenizer *t = NULL;
    tsr_status st, looked;
    TSR_GO(tsr_safetensors_open(path, &f));
    if (tsr_fm_is_file(f)) {
        TSR_GO(describe_model(path, into, verdict));
    } else if (tsr_index_is_file(f)) {
        TSR_GO(describe_index(path, into));
    } else if ((looked = tsr_tokenizer_look(path, s->modality, &t)) == TSR_OK) {
        TSR_GO(describe_tokenizer(t, into));
    } else {
        *verdict = looked == TSR_EMISMATCH ? looked : TSR_OK;
        TSR_GO(tsr_json_set(into, "kind", json_string("safetensors")));
        TSR_GO(tsr_json_set(into, "not_a_tokenizer", json_string(tsr_error())));
        TSR_GO(tsr_json_set(into, "metadata", json_deep_copy(tsr_safetensors_metadata(f))));
    }
    TSR_GO(add_totals(f, into));
    if (s->hash)
        TSR_GO(add_hash(path, into));
    if (s->tensors)
        TSR_GO(tensor_list(f, into));
out:
    tsr_tokenizer_destroy(t);
    tsr_safetensors_close(f);
    return st;
}

static tsr_status describe_json(const char *path, const settings *s, json_t *into)
{
    tsr_tokenizer *t;
    TSR_TRY(tsr_tokenizer_open(path, s->modality, &t));
    tsr_status st = describe_tokenizer(t, into);
    tsr_tokenizer_destroy(t);
    return st;
}

/* --- which of them --- */

static tsr_status describe(const char *path, const settings *s, json_t *into, tsr_status *verdict)
{
    char head[10] = {0};
    uint64_t bytes;
    int64_t mtime;
    TSR_TRY(tsr_json_set(into, "path", json_string(path)));
    if (tsr_is_folder(path))
        return describe_corpus(path, into);
    TSR_TRY(tsr_file_stat(path, &bytes, &mtime));
    TSR_TRY(tsr_json_set(into, "bytes", json_integer((json_int_t)bytes)));
    int n = tsr_file_head(path, head, 9);
    if (n <= 0)
        TSR_FAIL(n ? TSR_ENOENT : TSR_EFORMAT, "%s: %s", path, n ? "cannot be opened" : "is empty");
    if (strcmp(tsr_path_name(path), "corpus.h5") == 0)
        return tsr_json_set(into, "kind", json_string("links to all shards of a corpus"));
    if (strcmp(tsr_path_name(path), "manifest.json") == 0)
        TSR_FAIL(TSR_EARG, "%s: a manifest belongs to a corpus; give its folder", path);
    if (tsr_ends_with(path, ".h5") || memcmp(head, "\x89HDF\r\n\x1a\n", 8) == 0)
        return describe_shard(path, into);
    if (head[strspn(head, " \t\r\n")] == '{')
        return describe_json(path, s, into);
    if (head[8] != '{' && !tsr_ends_with(path, ".safetensors"))
        TSR_FAIL(TSR_EFORMAT,
                 "%s: is neither a corpus, a shard, a tokenizer nor a safetensors file", path);
    return describe_safetensors(path, s, into, verdict);
}

#define NAMES_SHOWN 8 /* of wrong tensors, to people */

static tsr_status shorten(json_t *v, const char *list)
{
    json_t *names = json_object_get(v, list);
    char text[48];
    size_t n = json_array_size(names);
    if (n <= NAMES_SHOWN)
        return TSR_OK;
    while (json_array_size(names) > NAMES_SHOWN)
        json_array_remove(names, json_array_size(names) - 1);
    snprintf(text, sizeof text, "and %zu more", n - NAMES_SHOWN);
    return tsr_json_append(names, json_string(text));
}

static tsr_status show(const tsr_screen *screen, json_t *v)
{
    json_t *tokenizer = json_object_get(v, "tokenizer");
    TSR_TRY(shorten(v, "missing"));
    TSR_TRY(shorten(v, "misshapen"));
    TSR_TRY(shorten(v, "not_expected"));
    if (json_is_null(json_object_get(tokenizer, "hash")))
        TSR_TRY(tsr_json_set(tokenizer, "hash", json_string("not computed without --hash")));
    return tsr_show_fields(screen, v);
}

static tsr_status info(const char *path, const settings *s, const tsr_screen *screen)
{
    json_t *v = json_object();
    tsr_status verdict = TSR_OK, st = describe(path, s, v, &verdict);
    char *why = NULL;
    if (st == TSR_OK && verdict != TSR_OK)
        st = tsr_strdup(&why, tsr_error());
    if (st == TSR_OK)
        st = s->json ? tsr_print_json(v, 1) : show(screen, v);
    json_decref(v);
    if (st == TSR_OK && verdict != TSR_OK)
        st = tsr_fail_at(verdict, __FILE__, __LINE__, "%s", why);
    tsr_free(why);
    return st;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    tsr_screen screen;
    tsr_screen_init(&screen, TSR_COLOUR_NONE);
    tsr_status first = TSR_OK;
    for (int i = 0; i < n_operands; i++) {
        tsr_status st = info(operands[i], settings_, &screen);
        if (st != TSR_OK && n_operands > 1)
            tsr_say("%s", tsr_error());
        first = first == TSR_OK ? st : first;
    }
    if (first == TSR_OK || n_operands == 1)
        return tsr_finish(first);
    return tsr_finish_counted(TSR_OK, 1);
}

const tsr_command tsr_cmd_info = {
    .name = "info",
    .operands = "FILE...",
    .summary = "tell what a file is: tokenizer, model, shard, corpus",
    .details =
        "Tokenizers (ours and those of 4M): tokens and grid of a sample, input range and "
        "normalisation, resize rule, codebook sizes, whether encoder and decoder are there, bits "
        "of a sample, hash. Masked models (ours and those of 4M): sizes, parameters, modalities "
        "with their vocabularies and tokenizers, and of ours the recipe, steps and corpora they "
        "were trained with. Shards, keys files and corpora: what they hold. Other safetensors "
        "files: metadata and tensors.\n"
        "\n"
        "Of models and tokenizers the header is read, and the codebook: files of any size answer "
        "at once. Tensors that are missing, of the wrong shape or not expected are all listed, and "
        "the exit code is 3. weight_bytes is the memory that the weights will take: to run, where "
        "each is held once and tables stay in the file, and to train.",
    .min_operands = 1,
    .max_operands = -1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};
