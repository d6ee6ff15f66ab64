/* SPDX-License-Identifier: Apache-2.0
 * Writes a small corpus with all that the format allows into FOLDER, and on standard output what a
 * reader must find in it. Used by the tests of the format. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "shards/corpus.h"

#include <stdio.h>
#include <string.h>

enum { SHARDS = 3, SAMPLES = 5, CROPS = 2, MODALITIES = 5 };

static const tsr_modality modalities[MODALITIES] = {
    {{.modality = "rgb",
      .layout = TSR_LAYOUT_GRID,
      .height = 2,
      .width = 3,
      .levels = 1,
      .codebook_size = 1024,
      .tokenizer = {1, 1},
      .vocabulary = "rgb"},
     CROPS,
     NULL},
    {{.modality = "audio",
      .layout = TSR_LAYOUT_GRID,
      .height = 1,
      .width = 4,
      .levels = 2,
      .codebook_size = 70000,
      .tokenizer = {2, 2},
      .vocabulary = "audio"},
     1,
     NULL},
    {{.modality = "caption",
      .layout = TSR_LAYOUT_SEQUENCE,
      .height = 1,
      .width = 1,
      .levels = 1,
      .codebook_size = 30000,
      .tokenizer = {3, 3},
      .vocabulary = "text"},
     1,
     NULL},
    {{.modality = "det@2",
      .layout = TSR_LAYOUT_SEQUENCE,
      .height = 1,
      .width = 1,
      .levels = 1,
      .codebook_size = 30000,
      .tokenizer = {4, 4},
      .vocabulary = "text"},
     CROPS,
     NULL},
    {{.modality = "rgb@8",
      .layout = TSR_LAYOUT_PATCHES,
      .height = 2,
      .width = 3,
      .levels = 4 * 4 * 3,
      .codebook_size = 256,
      .tokenizer = {5, 5}},
     CROPS,
     NULL},
};

/* audio is not tokenized in the last shard. */
static int skipped(size_t modality, uint32_t shard)
{
    return modality == 1 && shard == SHARDS - 1;
}

static tsr_present state_of(size_t modality, uint32_t shard, uint64_t row)
{
    uint64_t x = (shard * SAMPLES + row) * (MODALITIES + 1) + modality;
    return skipped(modality, shard) ? TSR_MISSING : (tsr_present)(x % 7 == 3 ? 2 : x % 5 != 4);
}

static tsr_status make_tokens(size_t modality, uint32_t shard, uint64_t row, uint32_t crop,
                              tsr_tokens *t)
{
    const tsr_token_space *s = &modalities[modality].space;
    size_t n = s->layout != TSR_LAYOUT_SEQUENCE ? (size_t)s->height * s->width * s->levels
                                                : (row + shard + crop) % 4;
    TSR_TRY(tsr_tokens_init(t, n));
    for (size_t i = 0; i < n; i++)
        t->ids[i] = (uint32_t)((shard * 7001 + row * 601 + crop * 53 + i * 9973 + modality) %
                               s->codebook_size);
    return TSR_OK;
}

static tsr_status make_keys(uint32_t shard, tsr_keys *k)
{
    TSR_TRY(tsr_keys_init(k, SAMPLES, CROPS));
    k->shard = shard;
    snprintf(k->split, sizeof k->split, "%s", shard < 2 ? "train" : "val");
    snprintf(k->source, sizeof k->source, "test");
    for (uint64_t i = 0; i < SAMPLES; i++) {
        /* Keys of different lengths, so that the string types of the files differ. */
        TSR_TRY(
            tsr_format(&k->key[i], "%s%u/%05d", shard == 1 ? "longer-name" : "a", shard, (int)i));
        if (i == 3)
            continue;
        k->size[2 * i] = 100;
        k->size[2 * i + 1] = 120;
        k->crop[CROPS * i] = tsr_crop_centre(100, 120);
        k->crop[CROPS * i + 1] = (tsr_crop){(int32_t)i, 3, 90, 80, 1};
    }
    return TSR_OK;
}

static void print_ids(const tsr_tokens *t)
{
    printf("[");
    for (size_t i = 0; i < t->count; i++)
        printf(i ? ", %u" : "%u", t->ids[i]);
    printf("]");
}

static tsr_status write_row(tsr_shard_writer *w, size_t m, uint32_t shard, uint64_t row,
                            const char *key)
{
    tsr_present state = state_of(m, shard, row);
    tsr_tokens t[CROPS] = {{0}};
    tsr_status st = TSR_OK;
    printf("{\"key\": \"%s\", \"modality\": \"%s\", \"present\": %d, \"ids\": [", key,
           modalities[m].space.modality, state);
    for (uint32_t c = 0; state == TSR_REAL && c < modalities[m].crops; c++) {
        TSR_GO(make_tokens(m, shard, row, c, &t[c]));
        if (c)
            printf(", ");
        print_ids(&t[c]);
    }
    printf("]}\n");
    if (w && state == TSR_REAL)
        st = tsr_shard_writer_put(w, row, t);
    if (w && state == TSR_FAILED)
        st = tsr_shard_writer_fail(w, row, key);
out:
    for (int c = 0; c < CROPS; c++)
        tsr_tokens_clear(&t[c]);
    return st;
}

static tsr_status write_modality(const char *folder, tsr_manifest *m, size_t i, const tsr_keys *k)
{
    const tsr_modality *mod = tsr_manifest_modality(m, modalities[i].space.modality);
    tsr_shard_info info = {mod->space, k->shard, SAMPLES, mod->crops, m->shards[k->shard].keys};
    tsr_file_entry e = {.tokenizer = mod->space.tokenizer, .inputs = {9, k->shard}};
    tsr_shard_writer *w = NULL;
    char *name = NULL, *path = NULL;
    tsr_status st = TSR_OK;
    memcpy(e.modality, mod->space.modality, sizeof e.modality);
    TSR_GO(tsr_shard_name(e.modality, k->shard, &name));
    TSR_GO(tsr_path_join(&path, folder, name));
    if (!skipped(i, k->shard))
        TSR_GO(tsr_shard_writer_create(&info, &w));
    for (uint64_t row = 0; row < SAMPLES; row++)
        TSR_GO(write_row(w, i, k->shard, row, k->key[row]));
    if (w) {
        TSR_GO(tsr_shard_writer_seal(w, path, &e.stats));
        TSR_GO(tsr_manifest_seal(m, k->shard, &e));
    }
out:
    tsr_shard_writer_destroy(w);
    tsr_free(name);
    tsr_free(path);
    return st;
}

static tsr_status write_shard(const char *folder, tsr_manifest *m, uint32_t shard)
{
    tsr_keys k = {0};
    tsr_shard_stats stats;
    char *name = NULL, *path = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(make_keys(shard, &k));
    TSR_GO(tsr_shard_name(TSR_KEYS_NAME, shard, &name));
    TSR_GO(tsr_path_join(&path, folder, name));
    TSR_GO(tsr_keys_write(&k, path, &stats));
    TSR_GO(tsr_manifest_add_shard(m, &k, &stats));
    for (size_t i = 0; i < MODALITIES; i++)
        TSR_GO(write_modality(folder, m, i, &k));
out:
    tsr_keys_clear(&k);
    tsr_free(name);
    tsr_free(path);
    return st;
}

static tsr_status write_all(const char *folder)
{
    tsr_manifest m = {
        .corpus = {5, 6}, .shard_samples = SAMPLES, .crops = {CROPS, 0.8, 1, 7, "rgb"}};
    tsr_status st = TSR_OK;
    TSR_GO(tsr_make_folders(folder));
    TSR_GO(tsr_manifest_set_modalities(&m, modalities, MODALITIES));
    for (uint32_t i = 0; i < SHARDS; i++)
        TSR_GO(write_shard(folder, &m, i));
    TSR_GO(tsr_manifest_write(&m, folder));
    TSR_GO(tsr_corpus_link(folder));
out:
    tsr_manifest_clear(&m);
    return st;
}

int main(int argc, char **argv)
{
    if (argc != 2 || write_all(argv[1]) != TSR_OK) {
        fprintf(stderr, "write_corpus FOLDER: %s\n", tsr_error());
        return 1;
    }
    return 0;
}
