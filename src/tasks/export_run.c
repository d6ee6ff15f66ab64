/* SPDX-License-Identifier: Apache-2.0
 * The export of a corpus: unit after unit of samples, each noted in export.json when it is on
 * disk. */
#include "tasks/exportwork.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/str.h"
#include "codecs/tar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOTE       "export.json"
#define STAGE      ".tmp"
#define FORMAT     "tessera-export"
#define NOTE_BYTES ((size_t)64 << 20)

static const char *const forms[] = {"files", "tars", "one tar"};

/* A sample of the unit at hand. */
typedef struct row {
    tsr_export_file *files; /* [n_mods + 1] */
    char *name, *reason;    /* reason: why it cannot be written, or NULL */
} row;

typedef struct unit {
    tsr_export_work *w;
    const tsr_export_split *split;
    size_t first, count, number; /* samples of the split; of the unit in it */
    row *rows;
    tsr_tokenizer_work **works; /* [lanes, n_mods] */
} unit;

static const char *folder_of(const tsr_export_work *w, size_t column)
{
    return column < w->n_mods ? w->mods[column].folder : "crop_settings";
}

/* --- files ----------------------------------------------------------------------------------- */

/* From a name in the staging folder to the place, which appears whole or not at all. */
static tsr_status place_file(const char *stage, const char *path, const tsr_export_file *f)
{
    FILE *out = fopen(stage, "wbe");
    int good = out && fwrite(f->data, 1, f->bytes, out) == f->bytes;
    if (out && fclose(out) != 0)
        good = 0;
    if (good && rename(stage, path) != 0) {
        if (errno != ENOENT)
            TSR_FAIL(TSR_EIO, "%s: cannot be written: %s", path, strerror(errno));
        TSR_TRY(tsr_make_parent(path));
        good = rename(stage, path) == 0;
    }
    if (!good)
        TSR_FAIL(TSR_EIO, "%s: cannot be written: %s", path, strerror(errno));
    return TSR_OK;
}

static tsr_status place_row(const unit *u, const row *r, int lane)
{
    const tsr_export_work *w = u->w;
    const char *split = u->split->name;
    char *stage = NULL, *path = NULL;
    tsr_status st;
    TSR_GO(tsr_format(&stage, "%s/" STAGE "/%ld-%d", w->spec->out, (long)getpid(), lane));
    for (size_t m = 0; m <= w->n_mods; m++) {
        if (!r->files[m].data)
            continue;
        TSR_GO(tsr_format(&path, "%s/%s%s%s/%s.%s", w->spec->out, split, split[0] ? "/" : "",
                          folder_of(w, m), r->name, r->files[m].extension));
        TSR_GO(place_file(stage, path, &r->files[m]));
        tsr_free(path);
        path = NULL;
    }
out:
    tsr_free(stage);
    tsr_free(path);
    return st;
}

/* --- tars ------------------------------------------------------------------------------------ */

static tsr_status tar_folder(const tsr_export_work *w, const char *split, size_t column, char **out)
{
    int together = w->spec->form == TSR_EXPORT_TOGETHER;
    return tsr_format(out, "%s%s%s%s%s", w->spec->out, split[0] ? "/" : "", split,
                      together ? "" : "/", together ? "" : folder_of(w, column));
}

static tsr_status tar_path(const unit *u, size_t column, char **out)
{
    char *folder;
    TSR_TRY(tar_folder(u->w, u->split->name, column, &folder));
    tsr_status st = tsr_format(out, "%s/shard-%05zu.tar", folder, u->number);
    tsr_free(folder);
    return st;
}

static tsr_status add_member(const unit *u, tsr_tar_writer *tar, const row *r, size_t column)
{
    const tsr_export_file *f = &r->files[column];
    char *name;
    if (r->reason || !f->data)
        return TSR_OK;
    if (u->w->spec->form == TSR_EXPORT_TOGETHER)
        TSR_TRY(tsr_format(&name, "%s.%s.%s", r->name, folder_of(u->w, column), f->extension));
    else
        TSR_TRY(tsr_format(&name, "%s.%s", r->name, f->extension));
    tsr_status st = tsr_tar_add(tar, name, f->data, f->bytes);
    tsr_free(name);
    return st;
}

/* One tar of columns [from, to). */
static tsr_status write_tar(const unit *u, size_t from, size_t to)
{
    tsr_tar_writer *tar = NULL;
    char *path = NULL;
    tsr_status st;
    TSR_GO(tar_path(u, from, &path));
    TSR_GO(tsr_make_parent(path));
    TSR_GO(tsr_tar_create(path, &tar));
    for (size_t i = 0; i < u->count; i++)
        for (size_t m = from; m < to; m++)
            TSR_GO(add_member(u, tar, &u->rows[i], m));
    TSR_GO(tsr_tar_seal(tar));
out:
    tsr_tar_destroy(tar);
    tsr_free(path);
    return st;
}

static tsr_status tar_column(void *ctx, size_t i, int lane)
{
    (void)lane;
    return write_tar(ctx, i, i + 1);
}

static tsr_status write_tars(unit *u)
{
    size_t columns = u->w->n_mods + 1;
    if (u->w->spec->form == TSR_EXPORT_TOGETHER)
        return write_tar(u, 0, columns);
    return tsr_par_for(columns, tar_column, u);
}

/* --- a unit ---------------------------------------------------------------------------------- */

static int stops(tsr_status st)
{
    return st == TSR_ENOMEM || st == TSR_ECANCEL || st == TSR_EIO;
}

static void clear_row(const tsr_export_work *w, row *r)
{
    for (size_t m = 0; r->files && m <= w->n_mods; m++)
        tsr_free(r->files[m].data);
    tsr_free(r->files);
    tsr_free(r->name);
    tsr_free(r->reason);
    *r = (row){0};
}

static tsr_status do_row(void *ctx, size_t i, int lane)
{
    unit *u = ctx;
    tsr_export_work *w = u->w;
    row *r = &u->rows[i];
    TSR_TRY(tsr_alloc(&r->files, w->n_mods + 1, sizeof *r->files));
    tsr_status st = tsr_export_row(w, u->split->samples[u->first + i],
                                   u->works + (size_t)lane * w->n_mods, r->files, &r->name);
    if (st != TSR_OK && !stops(st))
        return tsr_strdup(&r->reason, tsr_error());
    if (st != TSR_OK || w->spec->form != TSR_EXPORT_FILES)
        return st;
    st = place_row(u, r, lane);
    for (size_t m = 0; m <= w->n_mods; m++) { /* their number is wanted, not what they held */
        tsr_free(r->files[m].data);
        r->files[m].data = NULL;
    }
    return st;
}

static tsr_status note_failure(unit *u, const row *r, size_t i)
{
    tsr_export_work *w = u->w;
    char *key;
    if (!r->reason)
        return TSR_OK;
    w->failed++;
    TSR_TRY(tsr_corpus_key(w->corpus, u->split->samples[u->first + i], &key));
    tsr_job_warn(w->spec->job, "sample %s cannot be exported: %s", key, r->reason);
    tsr_status st = TSR_OK;
    if (json_array_size(w->failures) < TSR_EXPORT_LISTED)
        st = tsr_json_append(w->failures,
                             json_pack("{s:s, s:s}", "key", key, "reason", r->reason));
    tsr_free(key);
    return st;
}

static tsr_status do_unit(unit *u)
{
    tsr_status st;
    TSR_TRY(tsr_alloc(&u->rows, u->count, sizeof *u->rows));
    TSR_GO(tsr_par_for(u->count, do_row, u));
    if (u->w->spec->form != TSR_EXPORT_FILES)
        TSR_GO(write_tars(u));
    for (size_t i = 0; i < u->count; i++)
        TSR_GO(note_failure(u, &u->rows[i], i));
out:
    for (size_t i = 0; i < u->count; i++)
        clear_row(u->w, &u->rows[i]);
    tsr_free(u->rows);
    u->rows = NULL;
    return st;
}

/* --- the note -------------------------------------------------------------------------------- */

/* What decides the bytes of an export. */
static tsr_status identify(const tsr_export_work *w, tsr_digest *out)
{
    tsr_hasher *h;
    char text[256];
    TSR_TRY(tsr_hasher_create(&h));
    int n = snprintf(text, sizeof text, "%d %d %zu %zu", (int)w->spec->form, w->spec->partial,
                     w->spec->unit, w->n_mods);
    tsr_hasher_add(h, text, (size_t)n + 1);
    for (size_t m = 0; m < w->n_mods; m++)
        tsr_hasher_add(h, w->mods[m].folder, strlen(w->mods[m].folder) + 1);
    for (size_t i = 0; i < w->manifest->n_shards; i++) {
        const tsr_shard_entry *e = &w->manifest->shards[i];
        tsr_hasher_add(h, &e->keys, sizeof e->keys);
        for (size_t m = 0; m < w->n_mods; m++) {
            const tsr_file_entry *f = tsr_manifest_file(e, w->mods[m].mod->space.modality);
            tsr_hasher_add(h, f ? &f->stats.digest : &e->keys, sizeof e->keys);
        }
    }
    *out = tsr_hasher_finish(h);
    tsr_hasher_destroy(h);
    return TSR_OK;
}

static tsr_status describe_mods(const tsr_export_work *w, json_t *into)
{
    json_t *mods = json_object();
    TSR_TRY(tsr_json_set(into, "modalities", mods));
    for (size_t m = 0; m < w->n_mods; m++) {
        const tsr_modality *mod = w->mods[m].mod;
        char digest[TSR_DIGEST_CHARS];
        tsr_digest_text(mod->space.tokenizer, digest);
        const tsr_tokenizer *t = w->mods[m].tokenizer;
        const char *holds = w->mods[m].bytes == 2 ? "npy of 16 bits" : "npy of 32 bits";
        if (t)
            holds = strcmp(tsr_tokenizer_kind_name(t), "text") == 0 ? "txt" : "json";
        json_t *o = json_pack("{s:s, s:s, s:s}", "folder", w->mods[m].folder, "holds", holds,
                              "tokenizer", digest);
        TSR_TRY(tsr_json_set(mods, mod->space.modality, o));
    }
    return TSR_OK;
}

static tsr_status write_note(const tsr_export_work *w, const char *path, const char *plan,
                             size_t units_done)
{
    json_t *o =
        json_pack("{s:s, s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:O}", "format", FORMAT,
                  "format_version", 1, "plan", plan, "form", forms[w->spec->form], "samples",
                  (json_int_t)w->samples, "units", (json_int_t)w->units, "units_done",
                  (json_int_t)units_done, "incomplete", (json_int_t)w->incomplete, "failed",
                  (json_int_t)w->failed, "failures", w->failures);
    tsr_status st = o ? describe_mods(w, o) : TSR_ENOMEM;
    if (st == TSR_OK)
        st = tsr_json_write(path, o, 2);
    json_decref(o);
    return st;
}

/* How far an earlier run got; TSR_EMISMATCH when the folder holds something else. */
static tsr_status read_note(tsr_export_work *w, const char *path, const char *plan, size_t *done)
{
    json_t *o = NULL, *failures;
    const char *found;
    long long units, failed;
    tsr_names names = {0};
    tsr_status st = TSR_OK;
    *done = 0;
    if (!tsr_file_exists(path)) {
        if (tsr_is_folder(w->spec->out))
            TSR_TRY(tsr_list_folder(w->spec->out, &names));
        size_t n = names.count;
        tsr_names_clear(&names);
        if (n)
            TSR_FAIL(TSR_EMISMATCH, "%s: is not empty and holds no export; choose another folder",
                     w->spec->out);
        return TSR_OK;
    }
    TSR_TRY(tsr_json_read(path, NOTE_BYTES, &o));
    TSR_GO(tsr_json_string(o, "plan", path, &found));
    TSR_GO(tsr_json_int(o, "units_done", path, &units));
    TSR_GO(tsr_json_int(o, "failed", path, &failed));
    if (strcmp(found, plan) != 0 || units < 0 || (size_t)units > w->units || failed < 0)
        TSR_GOFAIL(TSR_EMISMATCH,
                   "%s: holds the export of another corpus, of other modalities or in another "
                   "form; remove it or choose another folder",
                   w->spec->out);
    *done = (size_t)units;
    w->failed = (uint64_t)failed;
    failures = json_object_get(o, "failures");
    if (json_is_array(failures) && json_array_extend(w->failures, failures) != 0)
        st = TSR_ENOMEM;
out:
    json_decref(o);
    return st;
}

/* --- the run --------------------------------------------------------------------------------- */

/* What killed runs left of files. */
static tsr_status clean_stage(const char *stage)
{
    tsr_names names = {0};
    TSR_TRY(tsr_make_folders(stage));
    tsr_status st = tsr_list_folder(stage, &names);
    for (size_t i = 0; st == TSR_OK && i < names.count; i++) {
        char *path;
        st = tsr_path_join(&path, stage, names.names[i]);
        if (st != TSR_OK)
            break;
        unlink(path);
        tsr_free(path);
    }
    tsr_names_clear(&names);
    return st;
}

/* The same of tars. */
static tsr_status clean_tars(const tsr_export_work *w)
{
    size_t columns = w->spec->form == TSR_EXPORT_TOGETHER ? 0 : w->n_mods;
    for (size_t s = 0; s < w->n_splits; s++)
        for (size_t m = 0; m <= columns; m++) {
            char *folder;
            TSR_TRY(tar_folder(w, w->splits[s].name, m, &folder));
            tsr_status st = tsr_remove_temporaries(folder);
            tsr_free(folder);
            TSR_TRY(st);
        }
    return TSR_OK;
}

static void report(const tsr_export_work *w, size_t done)
{
    const tsr_progress p = {.phase = "export",
                            .done = (int64_t)done,
                            .total = (int64_t)w->samples,
                            .failed = (int64_t)w->failed,
                            .unit = "samples"};
    tsr_job_report(w->spec->job, &p);
}

static tsr_status do_units(unit *u, const char *note, const char *plan, size_t *done)
{
    tsr_export_work *w = u->w;
    size_t number = 0, samples = 0;
    for (size_t s = 0; s < w->n_splits; s++) {
        u->split = &w->splits[s];
        for (size_t first = 0; first < u->split->count; first += w->spec->unit, number++) {
            size_t left = u->split->count - first;
            u->first = first;
            u->count = left < w->spec->unit ? left : w->spec->unit;
            u->number = first / w->spec->unit;
            samples += u->count;
            if (number < *done)
                continue;
            TSR_TRY(tsr_job_check(w->spec->job));
            TSR_TRY(do_unit(u));
            TSR_TRY(tsr_folder_sync(w->spec->out));
            TSR_TRY(write_note(w, note, plan, number + 1));
            *done = number + 1;
            report(w, samples);
        }
    }
    return TSR_OK;
}

static tsr_status run(tsr_export_work *w, size_t *done)
{
    unit u = {.w = w};
    char *note = NULL, *stage = NULL, plan[TSR_DIGEST_CHARS];
    size_t lanes = (size_t)tsr_par_threads();
    int lock = -1;
    tsr_digest identity;
    tsr_status st;
    TSR_GO(identify(w, &identity));
    tsr_digest_text(identity, plan);
    TSR_GO(tsr_path_join(&note, w->spec->out, NOTE));
    TSR_GO(tsr_path_join(&stage, w->spec->out, STAGE));
    TSR_GO(read_note(w, note, plan, done));
    if (w->spec->dry_run)
        goto out;
    TSR_GO(tsr_make_folders(w->spec->out));
    TSR_GO(tsr_lock_folder(w->spec->out, ".export.lock", "another export is writing there", &lock));
    TSR_GO(clean_stage(stage));
    if (w->spec->form != TSR_EXPORT_FILES)
        TSR_GO(clean_tars(w));
    TSR_GO(write_note(w, note, plan, *done));
    TSR_GO(tsr_alloc(&u.works, lanes * w->n_mods, sizeof *u.works));
    TSR_GO(do_units(&u, note, plan, done));
    rmdir(stage);
out:
    for (size_t i = 0; u.works && i < lanes * w->n_mods; i++)
        tsr_tokenizer_work_destroy(u.works[i]);
    tsr_free(u.works);
    if (lock >= 0)
        close(lock);
    tsr_free(note);
    tsr_free(stage);
    return st;
}

static tsr_status summarise(const tsr_export_work *w, size_t done, tsr_status st, double seconds,
                            json_t *o)
{
    TSR_TRY(tsr_json_set(o, "out", json_string(w->spec->out)));
    TSR_TRY(tsr_json_set(o, "form", json_string(forms[w->spec->form])));
    TSR_TRY(tsr_json_set(o, "samples", json_integer((json_int_t)w->samples)));
    TSR_TRY(tsr_json_set(o, "units", json_integer((json_int_t)w->units)));
    TSR_TRY(tsr_json_set(o, "units_done", json_integer((json_int_t)done)));
    TSR_TRY(tsr_json_set(o, "incomplete", json_integer((json_int_t)w->incomplete)));
    TSR_TRY(tsr_json_set(o, "failed", json_integer((json_int_t)w->failed)));
    TSR_TRY(describe_mods(w, o));
    TSR_TRY(tsr_json_set(o, "left_out", json_incref(w->left_out)));
    TSR_TRY(tsr_json_set(o, "failures", json_incref(w->failures)));
    TSR_TRY(tsr_json_set(o, "seconds", json_real(seconds)));
    TSR_TRY(tsr_json_set(o, "stopped", json_boolean(st == TSR_ECANCEL)));
    return tsr_json_set(o, "dry_run", json_boolean(w->spec->dry_run));
}

tsr_status tsr_export_corpus(const tsr_export_spec *spec, json_t **summary)
{
    tsr_export_work w;
    double start = tsr_now_s();
    json_t *o = json_object();
    size_t done = 0;
    tsr_status st = tsr_export_open(spec, &w);
    if (st == TSR_OK)
        st = run(&w, &done);
    if (st == TSR_OK || st == TSR_ECANCEL) {
        tsr_status told = summarise(&w, done, st, tsr_now_s() - start, o);
        if (told == TSR_OK)
            *summary = json_incref(o);
        st = told == TSR_OK ? st : told;
    }
    if (st == TSR_ECANCEL)
        (void)tsr_fail_at(st, __FILE__, __LINE__,
                          "%s: stopped on request; the same command goes on from there", spec->out);
    json_decref(o);
    tsr_export_close(&w);
    return st;
}
