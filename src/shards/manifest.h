/* SPDX-License-Identifier: Apache-2.0
 * manifest.json: what a corpus contains. In memory it is plain structs; the file is replaced in
 * one step. */
#ifndef TSR_SHARDS_MANIFEST_H
#define TSR_SHARDS_MANIFEST_H

#include "base/json.h"
#include "base/status.h"
#include "shards/keys.h"
#include "shards/shard.h"

#define TSR_MANIFEST_FAILURES 100    /* failures listed with their reasons per file */
#define TSR_KEYS_NAME         "keys" /* stands for the keys file where a modality is expected */

/* How crops were drawn; fixed for the life of a corpus. */
typedef struct tsr_crop_rule {
    uint32_t count;   /* k >= 1; crop 0 is the centred square */
    double min_scale; /* smallest area of a random crop, as part of the picture */
    int flips;        /* random crops are mirrored with probability 1/2 */
    uint64_t seed;
    char reference[TSR_NAME_CHARS]; /* source folder of the pictures they refer to */
    char from[TSR_NAME_CHARS];      /* source folder of stored crops (4M's crop_settings); "": drawn */
} tsr_crop_rule;

typedef struct tsr_modality {
    tsr_token_space space;
    uint32_t crops;
    json_t *description; /* or NULL; owned */
} tsr_modality;

typedef struct tsr_file_entry {
    char modality[TSR_NAME_CHARS]; /* or TSR_KEYS_NAME */
    tsr_shard_stats stats;
    tsr_digest tokenizer, inputs;
    json_t *failures; /* array or NULL; owned */
} tsr_file_entry;

typedef struct tsr_shard_entry {
    uint32_t shard;
    char split[TSR_NAME_CHARS], source[TSR_NAME_CHARS];
    uint64_t samples;
    tsr_digest keys;
    tsr_file_entry *files;
    size_t n_files, cap_files;
} tsr_shard_entry;

typedef struct tsr_range {
    char name[TSR_NAME_CHARS];
    uint32_t base, size;
} tsr_range;

typedef struct tsr_manifest {
    tsr_digest corpus;
    uint64_t shard_samples;
    tsr_crop_rule crops;
    tsr_range *ranges;
    size_t n_ranges, cap_ranges;
    tsr_modality *modalities;
    size_t n_modalities, cap_modalities;
    tsr_shard_entry *shards;
    size_t n_shards, cap_shards;
} tsr_manifest;

/* `folder`/manifest.json. Errors: TSR_ENOENT, TSR_EIO, TSR_EFORMAT, TSR_EUNSUPPORTED. */
TSR_USE tsr_status tsr_manifest_read(const char *folder, tsr_manifest *out);
TSR_USE tsr_status tsr_manifest_write(const tsr_manifest *m, const char *folder);
void tsr_manifest_clear(tsr_manifest *m);

/* From and to text, for tests and other stores. */
TSR_USE tsr_status tsr_manifest_from_json(const json_t *root, const char *origin,
                                          tsr_manifest *out);
TSR_USE tsr_status tsr_manifest_to_json(const tsr_manifest *m, json_t **out);

/* One more than the largest global id. */
uint32_t tsr_manifest_vocabulary(const tsr_manifest *m);

/* Borrowed, or NULL. */
const tsr_modality *tsr_manifest_modality(const tsr_manifest *m, const char *name);
const tsr_file_entry *tsr_manifest_file(const tsr_shard_entry *s, const char *modality);

/* Add or replace modalities: each space gets its base (ranges that exist never move; in a manifest
 * without ranges "text" comes first; patches have no range), entries of replaced ones are removed. A modality that is
 * there with an equal space is left as it is. modalities  [n], descriptions are copied by reference
 * Errors   TSR_EMISMATCH shared range of another size, TSR_ELIMIT, TSR_ENOMEM. */
TSR_USE tsr_status tsr_manifest_set_modalities(tsr_manifest *m, const tsr_modality *modalities,
                                               size_t n);

/* Append a shard (number m->n_shards) with its keys file. */
TSR_USE tsr_status tsr_manifest_add_shard(tsr_manifest *m, const tsr_keys *keys,
                                          const tsr_shard_stats *stats);

/* Record a sealed file; takes entry->failures. Replaces an entry of the same modality. */
TSR_USE tsr_status tsr_manifest_seal(tsr_manifest *m, uint32_t shard, tsr_file_entry *entry);

#endif
