/* SPDX-License-Identifier: Apache-2.0
 * The common part of sequence kinds. */
#include "tokenizers/seqkind.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char *const common_keys[] = {"kind",      "modality", "vocabulary", "text",
                                          "text_hash", "codes_hash"};

#define N_COMMON (sizeof common_keys / sizeof common_keys[0])

/* Tokens that end a text: 4M's, then those of other published vocabularies. The first one counts.
 */
static const char *const ends[] = {"[EOS]",           "</s>",  "<|endoftext|>",
                                   "<|end_of_text|>", "<eos>", "[SEP]"};

#define N_ENDS (sizeof ends / sizeof ends[0])

tsr_status tsr_seq_check_keys(const json_t *object, const char *origin, const char *const *keys,
                              size_t n_keys)
{
    /* jansson iterates over objects that are not const only. */
    json_t *readable = json_deep_copy(object);
    const char *key, *wrong = NULL;
    json_t *value;
    if (!readable)
        TSR_FAIL(TSR_ENOMEM, "no memory to read %s", origin);
    json_object_foreach(readable, key, value)
    {
        int known = 0;
        for (size_t i = 0; i < n_keys; i++)
            known |= strcmp(key, keys[i]) == 0;
        if (!known) {
            wrong = key;
            break;
        }
    }
    tsr_status st = TSR_OK;
    if (wrong) {
        const char *near = tsr_suggest(wrong, keys, n_keys);
        st = tsr_fail_at(TSR_ECONFIG, __FILE__, __LINE__, "%s: unknown key \"%.60s\"%s%s%s", origin,
                         wrong, near ? " (did you mean \"" : "", near ? near : "",
                         near ? "\"?)" : "");
    }
    json_decref(readable);
    return st;
}

static tsr_status check_section(const json_t *config, const char *origin, const char *const *keys,
                                size_t n_keys)
{
    const char *all[32];
    size_t n = 0;
    for (; n < N_COMMON; n++)
        all[n] = common_keys[n];
    for (size_t i = 0; i < n_keys && n < 32; i++)
        all[n++] = keys[i];
    return tsr_seq_check_keys(config, origin, all, n);
}

tsr_status tsr_seq_find(const char *name, const char *file, char **out)
{
    char *folder = NULL, *path = NULL;
    tsr_status st = TSR_OK;
    if (!file)
        return tsr_strdup(out, name);
    TSR_GO(tsr_strndup(&folder, file, (size_t)(tsr_path_name(file) - file)));
    TSR_GO(tsr_path_join(&path, folder, name));
    if (!tsr_file_exists(path)) {
        char *beside = NULL;
        TSR_GO(tsr_path_join(&beside, folder, tsr_path_name(name)));
        tsr_free(path);
        path = beside;
    }
    *out = path;
    path = NULL;
out:
    tsr_free(folder);
    tsr_free(path);
    return st;
}

static tsr_status check_hash(const json_t *config, const char *origin, const tsr_text *text,
                             const char *path)
{
    const json_t *v = json_object_get(config, "text_hash");
    if (!v)
        return TSR_OK;
    char have[TSR_DIGEST_CHARS];
    tsr_digest_text(tsr_text_digest(text), have);
    if (!json_is_string(v) || strcmp(json_string_value(v), have) != 0)
        TSR_FAIL(TSR_EMISMATCH, "%s was made with the text vocabulary %.40s, but %s is %s", origin,
                 json_is_string(v) ? json_string_value(v) : "?", path, have);
    return TSR_OK;
}

tsr_status tsr_seq_init_text(tsr_tokenizer *t, tsr_text *text, const char *path)
{
    tsr_seq *s = NULL;
    tsr_status st = tsr_alloc(&s, 1, sizeof *s);
    if (st != TSR_OK) {
        tsr_text_destroy(text);
        return st;
    }
    t->state = s;
    s->text = text;
    s->eos = TSR_TEXT_NONE;
    TSR_TRY(tsr_strdup(&s->text_path, path));
    for (size_t i = 0; i < N_ENDS && s->eos == TSR_TEXT_NONE; i++)
        s->eos = tsr_text_id(text, ends[i]);
    if (s->eos == TSR_TEXT_NONE)
        TSR_FAIL(TSR_EMISMATCH,
                 "%s: the text vocabulary has no [EOS], nor another token that ends "
                 "a text (</s>, <|endoftext|>, <|end_of_text|>, <eos>, [SEP])",
                 path);
    t->space.layout = TSR_LAYOUT_SEQUENCE;
    t->space.height = t->space.width = t->space.levels = 1;
    t->space.codebook_size = tsr_text_size(text);
    return TSR_OK;
}

tsr_status tsr_seq_init(tsr_tokenizer *t, const json_t *config, const char *origin,
                        const char *file, const char *const *keys, size_t n_keys)
{
    const char *name;
    char *path = NULL;
    tsr_text *text = NULL;
    tsr_status st = TSR_OK;
    TSR_TRY(check_section(config, origin, keys, n_keys));
    TSR_TRY(tsr_kind_name_space(t, config, origin, "text"));
    TSR_TRY(tsr_json_string(config, "text", origin, &name));
    TSR_TRY(tsr_seq_find(name, file, &path));
    st = tsr_text_open(path, &text);
    if (st != TSR_OK) {
        st = tsr_context(st, "%s: text vocabulary", origin);
        goto out;
    }
    st = tsr_seq_init_text(t, text, path);
    if (st == TSR_OK)
        st = check_hash(config, origin, text, path);
out:
    tsr_free(path);
    return st;
}

tsr_status tsr_seq_seal(tsr_tokenizer *t, json_t *settings)
{
    tsr_seq *s = tsr_seq_of(t);
    tsr_str all = {0};
    char *text = NULL, hash[TSR_DIGEST_CHARS];
    tsr_status st = TSR_OK;
    s->settings = settings;
    if (!settings)
        TSR_FAIL(TSR_ENOMEM, "no memory for the settings of %s", t->space.modality);
    TSR_GO(tsr_json_text(settings, 0, &text));
    tsr_digest_text(tsr_text_digest(s->text), hash);
    TSR_GO(tsr_str_addf(&all, "%s %s ", t->kind->name, hash));
    TSR_GO(tsr_str_add(&all, text));
    if (s->codes) {
        tsr_digest_text(tsr_tokenizer_space(s->codes)->tokenizer, hash);
        TSR_GO(tsr_str_addf(&all, " %s", hash));
    }
    t->space.tokenizer = tsr_hash(all.s, all.len);
out:
    tsr_str_clear(&all);
    tsr_free(text);
    return st;
}

/* A file's path as it should stand in `file`: only its name when both share a folder, else
 * as it was opened (made absolute, because the working folder may be another one later). */
static tsr_status reference_to(const char *own_path, const char *file, char **out)
{
    const char *name = tsr_path_name(own_path);
    size_t a = (size_t)(name - own_path), b = (size_t)(tsr_path_name(file) - file);
    if (a == b && memcmp(own_path, file, a) == 0)
        return tsr_strdup(out, name);
    char *real = realpath(own_path, NULL);
    if (!real)
        return tsr_strdup(out, own_path);
    tsr_status st = tsr_strdup(out, real);
    free(real);
    return st;
}

tsr_status tsr_seq_write(const tsr_tokenizer *t, const char *path)
{
    const tsr_seq *s = tsr_seq_of(t);
    json_t *value = json_object();
    char hash[TSR_DIGEST_CHARS], *reference = NULL, *codes = NULL;
    tsr_status st = TSR_OK;
    if (!value)
        TSR_FAIL(TSR_ENOMEM, "no memory to write %s", path);
    tsr_digest_text(tsr_text_digest(s->text), hash);
    TSR_GO(reference_to(s->text_path, path, &reference));
    TSR_GO(tsr_json_set(value, "kind", json_string(t->kind->name)));
    TSR_GO(tsr_json_set(value, "modality", json_string(t->space.modality)));
    TSR_GO(tsr_json_set(value, "vocabulary", json_string(t->space.vocabulary)));
    TSR_GO(tsr_json_set(value, "text", json_string(reference)));
    TSR_GO(tsr_json_set(value, "text_hash", json_string(hash)));
    if (s->codes) {
        tsr_digest_text(tsr_tokenizer_space(s->codes)->tokenizer, hash);
        TSR_GO(reference_to(s->codes_path, path, &codes));
        TSR_GO(tsr_json_set(value, "codes", json_string(codes)));
        TSR_GO(tsr_json_set(value, "codes_hash", json_string(hash)));
    }
    if (json_object_update(value, s->settings) != 0)
        TSR_GOFAIL(TSR_ENOMEM, "no memory to write %s", path);
    TSR_GO(tsr_json_write(path, value, 2));
out:
    tsr_free(reference);
    tsr_free(codes);
    json_decref(value);
    return st;
}

void tsr_seq_destroy(tsr_tokenizer *t)
{
    tsr_seq *s = tsr_seq_of(t);
    if (!s)
        return;
    tsr_text_destroy(s->text);
    tsr_free(s->text_path);
    tsr_tokenizer_destroy(s->codes);
    tsr_free(s->codes_path);
    json_decref(s->settings);
    if (s->own_destroy)
        s->own_destroy(s->own);
    tsr_free(s);
    t->state = NULL;
}

tsr_status tsr_seq_describe(const tsr_tokenizer *t, json_t *into)
{
    const tsr_seq *s = tsr_seq_of(t);
    char hash[TSR_DIGEST_CHARS];
    tsr_digest_text(tsr_text_digest(s->text), hash);
    TSR_TRY(tsr_json_set(into, "text", json_string(s->text_path)));
    TSR_TRY(tsr_json_set(into, "text_hash", json_string(hash)));
    TSR_TRY(tsr_json_set(into, "end_token", json_integer(s->eos)));
    if (s->codes)
        TSR_TRY(tsr_json_set(into, "codes", json_string(s->codes_path)));
    TSR_TRY(tsr_json_set(into, "encoder", json_true()));
    TSR_TRY(tsr_json_set(into, "decoder", json_true()));
    return tsr_json_set(into, "settings", json_deep_copy(s->settings));
}

/* ---- tokens -----------------------------------------------------------------------------------*/

tsr_status tsr_seq_add(tsr_tokens *out, uint32_t id)
{
    /* Storage grows at each power of two from 16 on. */
    size_t n = out->count;
    if (n == 0 || (n >= 16 && (n & (n - 1)) == 0))
        TSR_TRY(tsr_grow(&out->ids, n, n ? 2 * n : 16, sizeof *out->ids));
    out->ids[out->count++] = id;
    return TSR_OK;
}

tsr_status tsr_seq_add_value(const tsr_tokenizer *t, tsr_tokens *out, unsigned line, unsigned value)
{
    uint32_t id;
    TSR_TRY(tsr_text_value(tsr_seq_of(t)->text, line, value, &id));
    return tsr_seq_add(out, id);
}

tsr_status tsr_seq_end(const tsr_tokenizer *t, tsr_tokens *out)
{
    TSR_TRY(tsr_grow(&out->ids, out->count, out->count + 1, sizeof *out->ids));
    out->ids[out->count++] = tsr_seq_of(t)->eos;
    return TSR_OK;
}

tsr_status tsr_tokenizer_spell(const tsr_tokenizer *t, const char *text, size_t bytes,
                               tsr_tokens *out)
{
    if (t->space.layout != TSR_LAYOUT_SEQUENCE)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s is no sequence of words", t->space.modality);
    TSR_TRY(tsr_text_encode(tsr_seq_of(t)->text, text, bytes, out));
    return tsr_seq_end(t, out);
}

size_t tsr_seq_length(const tsr_tokenizer *t, const tsr_tokens *tokens)
{
    size_t n = 0;
    while (n < tokens->count && tokens->ids[n] != tsr_seq_of(t)->eos)
        n++;
    return n;
}

tsr_status tsr_seq_number(const json_t *config, const char *origin, const char *key,
                          double fallback, const double range[2], double *out)
{
    const json_t *v = json_object_get(config, key);
    if (v && !json_is_number(v))
        TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" must be a number", origin, key);
    double x = v ? json_number_value(v) : fallback;
    if (!(x >= range[0] && x <= range[1]))
        TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" is %g; it must be %g..%g", origin, key, x, range[0],
                 range[1]);
    *out = x;
    return TSR_OK;
}
