/* SPDX-License-Identifier: Apache-2.0
 * Writes a corpus of a few samples with the modalities of 4M-21, sizes and vocabularies as
 * published: write_published FOLDER. Used to test the recipes of the published runs. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "shards/corpus.h"

#include <stdio.h>
#include <string.h>

enum { SAMPLES = 3 };

static const struct {
    const char *name;
    uint32_t side, codes; /* side 0: sequence; codes 0: patches of 16 x 16 */
} all[] = {
    {"rgb@224", 14, 0},         {"caption", 0, 30000},      {"det", 0, 30000},
    {"metadata", 0, 30000},     {"human_poses", 0, 30000},  {"palette", 0, 30000},
    {"sam_instance", 0, 30000}, {"rgb", 14, 16384},         {"depth", 14, 8192},
    {"normal", 14, 8192},       {"semseg", 14, 4096},       {"clip", 14, 8192},
    {"canny_edge", 14, 8192},   {"sam_edge", 14, 8192},     {"dinov2", 16, 8192},
    {"imagebind", 16, 8192},    {"dinov2_global", 4, 8192}, {"imagebind_global", 4, 8192},
};
#define COUNT (sizeof all / sizeof all[0])

static tsr_modality modality(size_t i)
{
    tsr_modality m = {.crops = 1};
    tsr_token_space *s = &m.space;
    snprintf(s->modality, sizeof s->modality, "%s", all[i].name);
    snprintf(s->vocabulary, sizeof s->vocabulary, "%s", all[i].side ? all[i].name : "text");
    s->tokenizer = (tsr_digest){4, i};
    s->layout = all[i].side ? TSR_LAYOUT_GRID : TSR_LAYOUT_SEQUENCE;
    s->height = s->width = all[i].side ? all[i].side : 1;
    s->levels = 1;
    s->codebook_size = all[i].codes;
    if (!all[i].codes)
        tsr_space_set_patches(s, all[i].side, all[i].side, 16);
    return m;
}

static tsr_status write_file(const char *folder, tsr_manifest *man, size_t i, const tsr_keys *k)
{
    const tsr_modality *mod = tsr_manifest_modality(man, all[i].name);
    tsr_shard_info info = {mod->space, k->shard, SAMPLES, 1, man->shards[k->shard].keys};
    tsr_file_entry e = {.tokenizer = mod->space.tokenizer, .inputs = {9, k->shard}};
    tsr_shard_writer *w = NULL;
    tsr_tokens t = {0};
    char *name = NULL, *path = NULL;
    tsr_status st = TSR_OK;
    memcpy(e.modality, mod->space.modality, sizeof e.modality);
    TSR_GO(tsr_shard_name(e.modality, k->shard, &name));
    TSR_GO(tsr_path_join(&path, folder, name));
    TSR_GO(tsr_shard_writer_create(&info, &w));
    TSR_GO(tsr_tokens_init(&t, all[i].side ? (size_t)all[i].side * all[i].side * mod->space.levels
                                           : 20));
    for (size_t n = 0; n < t.count; n++)
        t.ids[n] = n + 1 == t.count && !all[i].side ? 3 : 250 + n % 5;
    for (uint64_t row = 0; row < SAMPLES; row++)
        TSR_GO(tsr_shard_writer_put(w, row, &t));
    TSR_GO(tsr_shard_writer_seal(w, path, &e.stats));
    TSR_GO(tsr_manifest_seal(man, k->shard, &e));
out:
    tsr_shard_writer_destroy(w);
    tsr_tokens_clear(&t);
    tsr_free(name);
    tsr_free(path);
    return st;
}

static tsr_status write_shard(const char *folder, tsr_manifest *man, uint32_t shard)
{
    tsr_keys k = {0};
    tsr_shard_stats stats;
    char *name = NULL, *path = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_keys_init(&k, SAMPLES, 1));
    k.shard = shard;
    snprintf(k.split, sizeof k.split, "%s", shard ? "val" : "train");
    snprintf(k.source, sizeof k.source, "test");
    for (uint64_t i = 0; i < SAMPLES; i++) {
        TSR_GO(tsr_format(&k.key[i], "%u-%u", shard, (unsigned)i));
        k.size[2 * i] = k.size[2 * i + 1] = 224;
        k.crop[i] = tsr_crop_centre(224, 224);
    }
    TSR_GO(tsr_shard_name(TSR_KEYS_NAME, shard, &name));
    TSR_GO(tsr_path_join(&path, folder, name));
    TSR_GO(tsr_keys_write(&k, path, &stats));
    TSR_GO(tsr_manifest_add_shard(man, &k, &stats));
    for (size_t i = 0; i < COUNT; i++)
        TSR_GO(write_file(folder, man, i, &k));
out:
    tsr_keys_clear(&k);
    tsr_free(name);
    tsr_free(path);
    return st;
}

static tsr_status write_all(const char *folder)
{
    tsr_manifest man = {
        .corpus = {5, 7}, .shard_samples = SAMPLES, .crops = {1, 0.8, 1, 7, "rgb@224"}};
    tsr_modality mods[COUNT];
    tsr_status st = TSR_OK;
    for (size_t i = 0; i < COUNT; i++)
        mods[i] = modality(i);
    TSR_GO(tsr_make_folders(folder));
    TSR_GO(tsr_manifest_set_modalities(&man, mods, COUNT));
    TSR_GO(write_shard(folder, &man, 0));
    TSR_GO(write_shard(folder, &man, 1));
    TSR_GO(tsr_manifest_write(&man, folder));
out:
    tsr_manifest_clear(&man);
    return st;
}

int main(int argc, char **argv)
{
    if (argc != 2 || write_all(argv[1]) != TSR_OK) {
        fprintf(stderr, "write_published FOLDER: %s\n", tsr_error());
        return 1;
    }
    return 0;
}
