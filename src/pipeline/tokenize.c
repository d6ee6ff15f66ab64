/* SPDX-License-Identifier: Apache-2.0
 * The job behind `tessera tokenize`: lock, clean up, shard after shard, summary. */
#include "pipeline/tokenize.h"

#include "base/mem.h"
#include "base/str.h"
#include "pipeline/tokenize_plan.h"
#include "shards/corpus.h"

#include <string.h>
#include <unistd.h>

#define LISTED_FAILURES 100

/* What killed writers left in the folder and that of the kept tokenizers. */
static tsr_status clean_up(const char *folder)
{
    char *below;
    TSR_TRY(tsr_remove_temporaries(folder));
    TSR_TRY(tsr_path_join(&below, folder, "tokenizers"));
    tsr_status st = tsr_remove_temporaries(below);
    tsr_free(below);
    return st;
}

/* --- summary --- */

typedef struct totals {
    uint64_t present, missing, failed, tokens, values; /* values of patches are not tokens */
} totals;

static void add_totals(totals *a, const tsr_shard_stats *s, int codes)
{
    a->present += s->present;
    a->missing += s->missing;
    a->failed += s->failed;
    *(codes ? &a->tokens : &a->values) += s->tokens;
}

static tsr_status set_totals(json_t *o, const totals *a)
{
    TSR_TRY(tsr_json_set(o, "present", json_integer((json_int_t)a->present)));
    TSR_TRY(tsr_json_set(o, "missing", json_integer((json_int_t)a->missing)));
    TSR_TRY(tsr_json_set(o, "failed", json_integer((json_int_t)a->failed)));
    if (a->values)
        TSR_TRY(tsr_json_set(o, "values", json_integer((json_int_t)a->values)));
    return tsr_json_set(o, "tokens", json_integer((json_int_t)a->tokens));
}

static tsr_status add_failures(json_t *list, const tsr_file_entry *f)
{
    size_t i;
    json_t *item;
    json_array_foreach(f->failures, i, item)
    {
        if (json_array_size(list) >= LISTED_FAILURES)
            return TSR_OK;
        json_t *copy = json_copy(item);
        TSR_TRY(tsr_json_append(list, copy));
        TSR_TRY(tsr_json_set(copy, "modality", json_string(f->modality)));
    }
    return TSR_OK;
}

/* The modalities and shards of this recipe, as far as they are sealed. */
static tsr_status sum_up(const tsr_task *t, json_t *o)
{
    json_t *modalities = json_object(), *failures = json_array();
    totals all = {0};
    TSR_TRY(tsr_json_set(o, "modalities", modalities));
    TSR_TRY(tsr_json_set(o, "failures", failures));
    for (size_t m = 0; m < t->n_modalities; m++) {
        int codes = tsr_space_has_codes(tsr_tokenizer_space(t->modalities[m].tokenizer));
        totals mine = {0};
        json_t *entry = json_object();
        TSR_TRY(tsr_json_set(modalities, t->modalities[m].name, entry));
        for (size_t i = 0; i < t->n_shards; i++) {
            const tsr_file_entry *f = NULL;
            if (t->shards[i].number < t->manifest.n_shards)
                f = tsr_manifest_file(&t->manifest.shards[t->shards[i].number],
                                      t->modalities[m].name);
            if (!f)
                continue;
            add_totals(&mine, &f->stats, codes);
            add_totals(&all, &f->stats, codes);
            TSR_TRY(add_failures(failures, f));
        }
        TSR_TRY(set_totals(entry, &mine));
    }
    return set_totals(o, &all);
}

static tsr_status list_unusable(const tsr_task *t, json_t *o)
{
    json_t *list = json_array();
    TSR_TRY(tsr_json_set(o, "unusable", list));
    for (size_t i = 0; i < t->unusable.count; i++) {
        const char *line = t->unusable.names[i];
        size_t n = tsr_utf8_valid(line, strlen(line));
        TSR_TRY(tsr_json_append(list, json_stringn(line, n)));
    }
    return TSR_OK;
}

static tsr_status summarise(const tsr_task *t, const tsr_task_meter *meter, double seconds,
                            json_t **out)
{
    json_t *o = json_object();
    tsr_status st = TSR_OK;
    TSR_GO(tsr_json_set(o, "corpus", json_string(t->output)));
    TSR_GO(tsr_json_set(o, "samples", json_integer((json_int_t)t->samples)));
    TSR_GO(tsr_json_set(o, "shards", json_integer((json_int_t)t->n_shards)));
    TSR_GO(tsr_json_set(o, "files_written", json_integer((json_int_t)meter->files_written)));
    TSR_GO(tsr_json_set(o, "files_skipped", json_integer((json_int_t)meter->files_skipped)));
    TSR_GO(tsr_json_set(o, "vocabulary",
                        json_integer((json_int_t)tsr_manifest_vocabulary(&t->manifest))));
    TSR_GO(sum_up(t, o));
    TSR_GO(list_unusable(t, o));
    TSR_GO(tsr_json_set(o, "seconds", json_real(seconds)));
    TSR_GO(tsr_json_set(o, "samples_per_second",
                        json_real(seconds > 0 ? (double)meter->done / seconds : 0)));
    *out = json_incref(o);
out:
    json_decref(o);
    return st;
}

/* --- the run --- */

/* What would be done, without doing it. */
static tsr_status count_work(const tsr_task *t, tsr_task_meter *meter)
{
    for (size_t i = 0; i < t->n_shards; i++) {
        for (size_t m = 0; m < t->n_modalities; m++) {
            int sealed;
            TSR_TRY(tsr_task_sealed(t, &t->shards[i], &t->modalities[m], &sealed));
            meter->files_skipped += (uint64_t)sealed;
            meter->files_written += (uint64_t)!sealed;
        }
    }
    return TSR_OK;
}

static tsr_status run_shards(tsr_task *t, tsr_task_meter *meter)
{
    tsr_task_lanes lanes = {0};
    tsr_status st = tsr_task_lanes_init(t, &lanes);
    for (size_t i = 0; st == TSR_OK && i < t->n_shards; i++)
        st = tsr_task_shard_run(t, &t->shards[i], &lanes, meter);
    tsr_task_lanes_clear(t, &lanes);
    return st;
}

static tsr_status run(tsr_task *t, tsr_task_meter *meter)
{
    if (t->samples == 0)
        TSR_FAIL(TSR_ENOENT, "%s: has no sample for any modality of the recipe", t->root);
    TSR_TRY(clean_up(t->output));
    TSR_TRY(tsr_task_keep(t));
    /* The new vocabulary is in place before any file refers to it. */
    TSR_TRY(tsr_manifest_write(&t->manifest, t->output));
    for (size_t i = 0; i < t->unusable.count; i++)
        tsr_job_warn(meter->job, "%s", t->unusable.names[i]);
    tsr_status st = run_shards(t, meter);
    if (st != TSR_OK && st != TSR_ECANCEL)
        return st;
    TSR_TRY(tsr_corpus_link(t->output));
    if (st == TSR_ECANCEL)
        TSR_FAIL(st,
                 "%s: stopped on request; what was sealed is kept, the same command goes on "
                 "from there",
                 t->output);
    return TSR_OK;
}

tsr_status tsr_tokenize(const tsr_recipe *recipe, const tsr_tokenize_options *options,
                        json_t **summary)
{
    tsr_task t = {0};
    tsr_task_meter meter = {.job = options->job};
    double start = tsr_now_s();
    const char *output = tsr_recipe_string(recipe, "output", "");
    json_t *o = NULL;
    int lock = -1;
    tsr_status st = TSR_OK, result;
    if (!options->dry_run) {
        TSR_GO(tsr_make_folders(output));
        TSR_GO(tsr_lock_folder(output, ".writer.lock", "another program is writing to this corpus",
                               &lock));
    }
    TSR_GO(tsr_task_open(recipe, options->replace, &t));
    result = options->dry_run ? count_work(&t, &meter) : run(&t, &meter);
    if (result != TSR_OK && result != TSR_ECANCEL) {
        st = result;
        goto out;
    }
    TSR_GO(summarise(&t, &meter, tsr_now_s() - start, &o));
    TSR_GO(tsr_json_set(o, "dry_run", json_boolean(options->dry_run)));
    TSR_GO(tsr_json_set(o, "stopped", json_boolean(result == TSR_ECANCEL)));
    *summary = json_incref(o);
    st = result;
out:
    json_decref(o);
    tsr_task_clear(&t);
    if (lock >= 0)
        close(lock);
    return st;
}
