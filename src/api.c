/* SPDX-License-Identifier: Apache-2.0
 * The public library: a thin layer over tokenizers, files and corpora. */
#include "tessera.h"

#include "base/mem.h"
#include "base/par.h"
#include "config.h"
#include "pipeline/onefile.h"
#include "shards/corpus.h"
#include "tokenizers/tokenizer.h"

/* The public codes are the internal ones. */
#define SAME(name) _Static_assert((int)TESSERA_##name == (int)TSR_##name, #name)
SAME(OK);
SAME(EARG);
SAME(ECONFIG);
SAME(ENOMEM);
SAME(EIO);
SAME(ENOENT);
SAME(ECANCEL);
SAME(EFORMAT);
SAME(EUNSUPPORTED);
SAME(EMISMATCH);
SAME(ENUMERIC);
SAME(ELIMIT);

struct tessera_tokenizer {
    tsr_tokenizer *tokenizer;
};

struct tessera_corpus {
    tsr_corpus *corpus;
};

const char *tessera_version(void)
{
    return PACKAGE_VERSION;
}

const char *tessera_error(void)
{
    return tsr_error();
}

const char *tessera_status_name(tessera_status code)
{
    return tsr_status_name((tsr_status)code);
}

void tessera_set_threads(int n)
{
    tsr_par_set_threads(n < 0 ? 0 : n);
}

void tessera_free(void *p)
{
    tsr_free(p);
}

static tsr_status open_tokenizer(const char *path, const char *modality, tessera_tokenizer **out)
{
    tessera_tokenizer *t;
    if (!path || !out)
        TSR_FAIL(TSR_EARG, "tessera_tokenizer_open: path and out must not be NULL");
    TSR_TRY(tsr_alloc(&t, 1, sizeof *t));
    tsr_status st = tsr_tokenizer_open(path, modality, &t->tokenizer);
    if (st != TSR_OK) {
        tsr_free(t);
        return st;
    }
    *out = t;
    return TSR_OK;
}

tessera_status tessera_tokenizer_open(const char *path, const char *modality,
                                      tessera_tokenizer **out)
{
    return (tessera_status)open_tokenizer(path, modality, out);
}

void tessera_tokenizer_close(tessera_tokenizer *t)
{
    if (!t)
        return;
    tsr_tokenizer_destroy(t->tokenizer);
    tsr_free(t);
}

static tsr_status text_of(json_t *v, char **out)
{
    tsr_status st = tsr_json_text(v, 2, out);
    json_decref(v);
    return st;
}

static tsr_status describe_tokenizer(const tessera_tokenizer *t, char **json)
{
    json_t *v;
    TSR_TRY(tsr_tokenizer_describe(t->tokenizer, &v));
    return text_of(v, json);
}

tessera_status tessera_tokenizer_describe(const tessera_tokenizer *t, char **json)
{
    return (tessera_status)describe_tokenizer(t, json);
}

static tsr_status encode_file(const tsr_tokenizer *t, const char *path, uint32_t **ids,
                              size_t *count)
{
    tsr_tokenizer_work *w;
    tsr_tokens tokens = {0};
    TSR_TRY(tsr_tokenizer_work_create(t, &w));
    tsr_status st = tsr_onefile_encode(t, w, &path, 1, NULL, &tokens);
    tsr_tokenizer_work_destroy(w);
    TSR_TRY(st);
    *ids = tokens.ids;
    *count = tokens.count;
    return TSR_OK;
}

tessera_status tessera_tokenizer_encode_file(const tessera_tokenizer *t, const char *path,
                                             uint32_t **ids, size_t *count)
{
    return (tessera_status)encode_file(t->tokenizer, path, ids, count);
}

static tsr_status decode_file(const tsr_tokenizer *t, const uint32_t *ids, size_t count,
                              const char *path)
{
    tsr_tokenizer_work *w = NULL;
    tsr_tokens tokens = {0};
    tsr_media media = {0};
    tsr_status st;
    TSR_GO(tsr_tokenizer_work_create(t, &w));
    TSR_GO(tsr_tokens_init(&tokens, count));
    for (size_t i = 0; i < count; i++)
        tokens.ids[i] = ids[i];
    TSR_GO(tsr_tokenizer_decode(t, w, &tokens, &media));
    TSR_GO(tsr_onefile_write(&media, path));
out:
    tsr_media_clear(&media);
    tsr_tokens_clear(&tokens);
    tsr_tokenizer_work_destroy(w);
    return st;
}

tessera_status tessera_tokenizer_decode_file(const tessera_tokenizer *t, const uint32_t *ids,
                                             size_t count, const char *path)
{
    return (tessera_status)decode_file(t->tokenizer, ids, count, path);
}

static tsr_status open_corpus(const char *path, tessera_corpus **out)
{
    tessera_corpus *c;
    if (!path || !out)
        TSR_FAIL(TSR_EARG, "tessera_corpus_open: path and out must not be NULL");
    TSR_TRY(tsr_alloc(&c, 1, sizeof *c));
    tsr_status st = tsr_corpus_open(path, &c->corpus);
    if (st != TSR_OK) {
        tsr_free(c);
        return st;
    }
    *out = c;
    return TSR_OK;
}

tessera_status tessera_corpus_open(const char *path, tessera_corpus **out)
{
    return (tessera_status)open_corpus(path, out);
}

void tessera_corpus_close(tessera_corpus *c)
{
    if (!c)
        return;
    tsr_corpus_close(c->corpus);
    tsr_free(c);
}

uint64_t tessera_corpus_samples(const tessera_corpus *c)
{
    return tsr_corpus_samples(c->corpus);
}

static tsr_status describe_corpus(const tessera_corpus *c, char **json)
{
    json_t *v;
    TSR_TRY(tsr_manifest_to_json(tsr_corpus_manifest(c->corpus), &v));
    return text_of(v, json);
}

tessera_status tessera_corpus_describe(const tessera_corpus *c, char **json)
{
    return (tessera_status)describe_corpus(c, json);
}

tessera_status tessera_corpus_key(tessera_corpus *c, uint64_t sample, char **key)
{
    return (tessera_status)tsr_corpus_key(c->corpus, sample, key);
}

static tsr_status read_corpus(tsr_corpus *c, const char *modality, uint64_t sample, uint32_t crop,
                              uint32_t **ids, size_t *count)
{
    tsr_tokens tokens = {0};
    tsr_present present;
    TSR_TRY(tsr_corpus_read(c, modality, sample, crop, &tokens, &present));
    *ids = tokens.ids;
    *count = tokens.count;
    return TSR_OK;
}

tessera_status tessera_corpus_read(tessera_corpus *c, const char *modality, uint64_t sample,
                                   uint32_t crop, uint32_t **ids, size_t *count)
{
    return (tessera_status)read_corpus(c->corpus, modality, sample, crop, ids, count);
}
