/* SPDX-License-Identifier: Apache-2.0
 * One shard: decode each sample's files once, encode every modality that is not sealed, seal. */
#include "pipeline/tokenize_plan.h"

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "base/str.h"
#include "pipeline/crops.h"

#include <stdio.h>
#include <string.h>

/* Samples between two looks at the stop flag. */
#define BLOCK 128

/* --- inputs of a shard --- */

tsr_status tsr_task_inputs(const tsr_task *t, const tsr_task_shard *s, const tsr_task_modality *m,
                           tsr_digest *out)
{
    const tsr_task_split *split = &t->splits[s->split];
    tsr_hasher *h;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_hasher_create(&h));
    for (size_t i = 0; st == TSR_OK && i < s->samples; i++) {
        for (size_t f = 0; st == TSR_OK && f < m->n_folders; f++) {
            size_t folder = split->folder[m->folders[f]];
            if (s->rows[i] != TSR_NO_ROW && folder != TSR_NO_ROW)
                st = tsr_source_mark(split->source, s->rows[i], folder, h);
            else
                tsr_hasher_add(h, "-", 2);
        }
    }
    *out = tsr_hasher_finish(h);
    tsr_hasher_destroy(h);
    return st;
}

tsr_status tsr_task_sealed(const tsr_task *t, const tsr_task_shard *s, const tsr_task_modality *m,
                           int *sealed)
{
    tsr_digest inputs;
    const tsr_file_entry *f =
        s->is_new ? NULL : tsr_manifest_file(&t->manifest.shards[s->number], m->name);
    *sealed = 0;
    if (!f || !tsr_digest_equal(f->tokenizer, tsr_tokenizer_space(m->tokenizer)->tokenizer))
        return TSR_OK;
    TSR_TRY(tsr_task_inputs(t, s, m, &inputs));
    *sealed = tsr_digest_equal(inputs, f->inputs);
    /* Tokens of files that were deleted since cannot be made again. */
    for (size_t i = 0; !*sealed && i < s->samples; i++)
        *sealed = s->rows[i] == TSR_NO_ROW;
    return TSR_OK;
}

/* --- scratch of the workers --- */

tsr_status tsr_task_lanes_init(const tsr_task *t, tsr_task_lanes *l)
{
    l->n_lanes = (size_t)tsr_par_threads();
    return tsr_alloc(&l->works, l->n_lanes * t->n_modalities, sizeof *l->works);
}

void tsr_task_lanes_clear(const tsr_task *t, tsr_task_lanes *l)
{
    for (size_t i = 0; l->works && i < l->n_lanes * t->n_modalities; i++)
        tsr_tokenizer_work_destroy(l->works[i]);
    tsr_free(l->works);
    *l = (tsr_task_lanes){0};
}

/* --- one sample --- */

typedef struct run {
    const tsr_task *t;
    const tsr_task_shard *s;
    const tsr_task_lanes *lanes;
    tsr_keys keys;
    tsr_shard_writer **writers; /* [n_modalities]; NULL: sealed already */
    size_t first;               /* of the block at hand */
} run;

/* A file of the sample, decoded at most once in each form. */
typedef struct decoded {
    int tried;
    tsr_status st;
    char *reason; /* when st is not TSR_OK */
    tsr_media media;
} decoded;

typedef struct sample {
    size_t row;          /* of the shard */
    decoded (*files)[TSR_FORMS]; /* [folders] */
    char *no_crops;              /* why its stored crops cannot be used */
} sample;

/* What stops a run; everything else is a fault of the sample. */
static int stops(tsr_status st)
{
    return st == TSR_ENOMEM || st == TSR_ECANCEL;
}

static const char *path_of(const run *r, const sample *s, size_t f)
{
    return tsr_task_path(r->t, r->s->split, r->s->rows[s->row], f);
}

static tsr_status decode(const run *r, sample *s, size_t f, tsr_task_form form, const decoded **out)
{
    const tsr_task_split *split = &r->t->splits[r->s->split];
    decoded *d = &s->files[f][form];
    *out = d;
    if (d->tried)
        return TSR_OK;
    tsr_read_options o = {.palette_indices = form == TSR_FORM_INDICES,
                          .as_vector = form == TSR_FORM_ARRAY,
                          .as_integers = form == TSR_FORM_TOKENS};
    d->tried = 1;
    d->st = tsr_source_read(split->source, r->s->rows[s->row], split->folder[f], &o, &d->media);
    if (stops(d->st))
        return d->st;
    return d->st == TSR_OK ? TSR_OK : tsr_strdup(&d->reason, tsr_error());
}

/* The first of the stored crops. TSR_EFORMAT: this sample's cannot be used. */
static tsr_status read_crops(run *r, sample *s, tsr_crop *out)
{
    size_t n, count = r->t->manifest.crops.count;
    tsr_crop all[TSR_MAX_CROPS];
    const char *path = path_of(r, s, r->t->crops_from);
    const decoded *d;
    if (!path)
        TSR_FAIL(TSR_EFORMAT, "it has no file in the folder of crops, \"%s\"", r->t->manifest.crops.from);
    TSR_TRY(decode(r, s, r->t->crops_from, TSR_FORM_ARRAY, &d));
    if (d->st != TSR_OK)
        TSR_FAIL(TSR_EFORMAT, "%s", d->reason);
    TSR_TRY(tsr_crops_of_array(&d->media, path, all, &n));
    if (n < count)
        TSR_FAIL(TSR_EFORMAT, "%s: %zu crops, the recipe has %zu (crops.count)", path, n, count);
    memcpy(out, all, count * sizeof *out);
    return TSR_OK;
}

/* The crops that ready tokens came with, and why they cannot be used ("": there are none). size: as
 * tsr_stored_crops. */
static tsr_status stored_crops(const run *r, sample *s, tsr_crop *crop, uint32_t size[2],
                               const char **why)
{
    const char *path = r->t->settings == TSR_NO_ROW ? NULL : path_of(r, s, r->t->settings);
    const decoded *d;
    *why = "";
    if (!path)
        return TSR_OK;
    TSR_TRY(decode(r, s, r->t->settings, TSR_FORM_ARRAY, &d));
    *why = d->reason;
    if (d->st != TSR_OK)
        return TSR_OK;
    tsr_status st = tsr_stored_crops(&d->media, path, r->t->manifest.crops.count, crop, size);
    *why = st == TSR_OK ? NULL : tsr_error();
    return TSR_OK;
}

/* Size of the reference picture and the crops, before the keys file is sealed. A picture that
 * cannot be read leaves both 0, unless ready tokens came with crops that tell it; stored crops that
 * cannot be used leave them 0. */
static tsr_status draw_crops(run *r, sample *s)
{
    const tsr_crop_rule *rule = &r->t->manifest.crops;
    tsr_crop *crop = &r->keys.crop[s->row * rule->count];
    uint32_t *size = &r->keys.size[2 * s->row], h = 0, w = 0;
    const char *why;
    const decoded *d;
    tsr_rng rng;
    if (r->t->reference != TSR_NO_ROW && path_of(r, s, r->t->reference)) {
        TSR_TRY(decode(r, s, r->t->reference, TSR_FORM_SEEN, &d));
        h = d->st == TSR_OK && d->media.kind == TSR_MEDIA_IMAGE ? (uint32_t)d->media.as.image.height : 0;
        w = h ? (uint32_t)d->media.as.image.width : 0;
    }
    if (!h)
        return stored_crops(r, s, crop, size, &why); /* what is wrong is told of each modality */
    if (rule->from[0]) {
        tsr_status st = read_crops(r, s, crop);
        if (st != TSR_OK)
            return stops(st) ? st : tsr_strdup(&s->no_crops, tsr_error());
    }
    size[0] = h;
    size[1] = w;
    if (rule->from[0])
        return TSR_OK;
    crop[0] = tsr_crop_centre(h, w);
    tsr_rng_init(&rng, rule->seed, TSR_RNG_CROP, tsr_hash_name(r->keys.key[s->row]));
    for (uint32_t c = 1; c < rule->count; c++)
        crop[c] = tsr_crop_random(h, w, rule->min_scale, rule->flips, &rng);
    return TSR_OK;
}

/* Reasons name files below the split's folder, so that they do not depend on where it lies. */
static tsr_status record(const run *r, size_t modality, const sample *s, const char *path,
                         const char *why)
{
    const char *base = r->t->splits[r->s->split].base, *rest = why;
    size_t n = strlen(base);
    tsr_str text = {0};
    tsr_status st = TSR_OK;
    if (path && !strstr(why, path))
        TSR_GO(tsr_str_addf(&text, "%s: ", path + (strncmp(path, base, n) == 0 ? n + 1 : 0)));
    for (const char *hit; (hit = strstr(rest, base)); rest = hit) {
        TSR_GO(tsr_str_add_bytes(&text, rest, (size_t)(hit - rest)));
        hit += n;
        hit += *hit == '/';
    }
    TSR_GO(tsr_str_add(&text, rest));
    TSR_GO(tsr_shard_writer_fail(r->writers[modality], s->row, text.s));
out:
    tsr_str_clear(&text);
    return st;
}

static tsr_status encode_crops(const run *r, const sample *s, size_t modality, int lane,
                               tsr_inputs *in, tsr_tokens *tokens)
{
    const tsr_task_modality *m = &r->t->modalities[modality];
    tsr_tokenizer_work **work = &r->lanes->works[(size_t)lane * r->t->n_modalities + modality];
    if (!*work)
        TSR_TRY(tsr_tokenizer_work_create(m->tokenizer, work));
    for (uint32_t c = 0; c < m->crops; c++) {
        tsr_view view = tsr_keys_view(&r->keys, s->row, c);
        in->view = view.height ? &view : NULL;
        in->crop = c;
        TSR_TRY(tsr_tokenizer_encode(m->tokenizer, *work, in, &tokens[c]));
    }
    return TSR_OK;
}

/* Put what was made (st: how that went), or record why there is nothing; releases the tokens. */
static tsr_status finish(const run *r, const sample *s, size_t modality, const char *path,
                         tsr_tokens *tokens, tsr_status st)
{
    const tsr_task_modality *m = &r->t->modalities[modality];
    int full = 0; /* a disk without room is no fault of the sample */
    if (st == TSR_OK) {
        st = tsr_shard_writer_put(r->writers[modality], s->row, tokens);
        full = st == TSR_EIO;
    }
    if (st != TSR_OK && !stops(st) && !full)
        st = record(r, modality, s, path, tsr_error());
    for (uint32_t c = 0; c < m->crops; c++)
        tsr_tokens_clear(&tokens[c]);
    tsr_free(tokens);
    return st;
}

/* The crops that the tokens were made from must be those of the sample. */
static tsr_status check_crops(const run *r, sample *s, const char **why)
{
    tsr_crop *crop;
    size_t k = r->keys.crops;
    const uint32_t *known = &r->keys.size[2 * s->row];
    uint32_t size[2] = {known[0], known[1]};
    *why = NULL;
    if (r->t->settings == TSR_NO_ROW)
        return TSR_OK;
    TSR_TRY(tsr_alloc(&crop, k, sizeof *crop));
    tsr_status st = stored_crops(r, s, crop, size, why);
    if (st == TSR_OK && *why && !**why)
        *why = "the sample has no crop settings";
    else if (st == TSR_OK && !*why && memcmp(crop, &r->keys.crop[s->row * k], k * sizeof *crop) != 0)
        *why = "its crop settings are not those the corpus has";
    tsr_free(crop);
    return st;
}

/* Tokens that another program made. */
static tsr_status take_tokens(const run *r, sample *s, size_t modality)
{
    const tsr_task_modality *m = &r->t->modalities[modality];
    const char *path = path_of(r, s, m->folders[0]), *why;
    const decoded *d;
    tsr_tokens *tokens;
    if (!path)
        return TSR_OK;
    TSR_TRY(decode(r, s, m->folders[0], TSR_FORM_TOKENS, &d));
    if (d->st != TSR_OK)
        return record(r, modality, s, path, d->reason);
    TSR_TRY(check_crops(r, s, &why));
    if (why)
        return record(r, modality, s, path, why);
    TSR_TRY(tsr_alloc(&tokens, m->crops, sizeof *tokens));
    tsr_status st = tsr_stored_tokens(&d->media, path, tsr_tokenizer_space(m->tokenizer), m->crops,
                                      tokens);
    return finish(r, s, modality, path, tokens, st);
}

static tsr_status encode(const run *r, const sample *s, size_t modality, int lane, tsr_inputs *in,
                         const char *path)
{
    tsr_tokens *tokens;
    TSR_TRY(tsr_alloc(&tokens, r->t->modalities[modality].crops, sizeof *tokens));
    tsr_status st = encode_crops(r, s, modality, lane, in, tokens);
    return finish(r, s, modality, path, tokens, st);
}

static tsr_status do_modality(const run *r, sample *s, size_t modality, int lane)
{
    const tsr_task_modality *m = &r->t->modalities[modality];
    tsr_inputs in = {.from = r->t->folders.names[m->folders[0]]};
    const char *path = NULL;
    if (m->form == TSR_FORM_TOKENS)
        return take_tokens(r, s, modality);
    for (size_t i = 0; i < m->n_folders; i++) {
        const char *here = path_of(r, s, m->folders[i]);
        const decoded *d;
        if (!here)
            continue;
        TSR_TRY(decode(r, s, m->folders[i], m->form, &d));
        if (d->st != TSR_OK)
            return record(r, modality, s, here, d->reason);
        in.media[in.count++] = &d->media;
        path = path ? path : here;
    }
    if (in.count && m->cut && r->t->manifest.crops.from[0] && r->keys.size[2 * s->row] == 0)
        return record(r, modality, s, NULL,
                      s->no_crops ? s->no_crops : "its crops or their picture could not be read");
    return in.count ? encode(r, s, modality, lane, &in, path) : TSR_OK;
}

static void clear_sample(const run *r, sample *s)
{
    for (size_t f = 0; s->files && f < r->t->folders.count; f++) {
        for (int form = 0; form < TSR_FORMS; form++) {
            if (s->files[f][form].st == TSR_OK)
                tsr_media_clear(&s->files[f][form].media);
            tsr_free(s->files[f][form].reason);
        }
    }
    tsr_free(s->files);
    tsr_free(s->no_crops);
}

static tsr_status do_sample(void *ctx, size_t i, int lane)
{
    run *r = ctx;
    sample s = {.row = r->first + i};
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_alloc(&s.files, r->t->folders.count, sizeof *s.files));
    if (r->s->rows[s.row] == TSR_NO_ROW)
        goto out;
    if (r->s->is_new)
        TSR_GO(draw_crops(r, &s));
    for (size_t m = 0; m < r->t->n_modalities; m++)
        if (r->writers[m])
            TSR_GO(do_modality(r, &s, m, lane));
out:
    clear_sample(r, &s);
    return st;
}

/* --- the shard --- */

static tsr_status file_path(const run *r, const char *modality, char **out)
{
    char *name;
    TSR_TRY(tsr_shard_name(modality, r->s->number, &name));
    tsr_status st = tsr_path_join(out, r->t->output, name);
    tsr_free(name);
    return st;
}

static tsr_status open_keys(run *r)
{
    const tsr_task_shard *s = r->s;
    const tsr_task_split *split = &r->t->splits[s->split];
    if (!s->is_new) {
        char *path;
        TSR_TRY(file_path(r, TSR_KEYS_NAME, &path));
        tsr_status st = tsr_keys_read(path, &r->keys);
        tsr_free(path);
        return st;
    }
    TSR_TRY(tsr_keys_init(&r->keys, s->samples, r->t->manifest.crops.count));
    r->keys.shard = s->number;
    memcpy(r->keys.split, split->name, sizeof r->keys.split);
    memcpy(r->keys.source, r->t->source, sizeof r->keys.source);
    for (size_t i = 0; i < s->samples; i++)
        TSR_TRY(tsr_strdup(&r->keys.key[i], tsr_source_key(split->source, s->rows[i])));
    return TSR_OK;
}

/* Writers of the modalities that are not sealed; *work says whether there is any. */
static tsr_status open_writers(run *r, tsr_task_meter *meter, int *work)
{
    const tsr_task *t = r->t;
    *work = 0;
    TSR_TRY(tsr_alloc(&r->writers, t->n_modalities, sizeof *r->writers));
    for (size_t i = 0; i < t->n_modalities; i++) {
        const tsr_task_modality *m = &t->modalities[i];
        int sealed;
        TSR_TRY(tsr_task_sealed(t, r->s, m, &sealed));
        meter->files_skipped += (uint64_t)sealed;
        if (sealed)
            continue;
        tsr_shard_info info = {.space = tsr_manifest_modality(&t->manifest, m->name)->space,
                               .shard = r->s->number,
                               .samples = r->s->samples,
                               .crops = m->crops};
        TSR_TRY(tsr_space_has_codes(&info.space)
                    ? tsr_shard_writer_create(&info, &r->writers[i])
                    : tsr_shard_writer_create_aside(&info, t->output, &r->writers[i]));
        *work = 1;
    }
    return TSR_OK;
}

static uint64_t count_failed(const run *r, size_t first, size_t n)
{
    uint64_t failed = 0;
    for (size_t m = 0; m < r->t->n_modalities; m++)
        for (size_t i = first; r->writers[m] && i < first + n; i++)
            failed += tsr_shard_writer_reason(r->writers[m], i) != NULL;
    return failed;
}

static void warn_failed(const run *r, size_t first, size_t n, const tsr_job *job)
{
    for (size_t m = 0; m < r->t->n_modalities; m++) {
        for (size_t i = first; r->writers[m] && i < first + n; i++) {
            const char *why = tsr_shard_writer_reason(r->writers[m], i);
            if (why)
                tsr_job_warn(job, "%s of sample %s failed: %s", r->t->modalities[m].name,
                             r->keys.key[i], why);
        }
    }
}

static tsr_status do_samples(run *r, tsr_task_meter *meter)
{
    for (r->first = 0; r->first < r->s->samples; r->first += BLOCK) {
        size_t left = r->s->samples - r->first, n = left < BLOCK ? left : BLOCK;
        TSR_TRY(tsr_job_check(meter->job));
        TSR_TRY(tsr_par_for(n, do_sample, r));
        meter->done += n;
        meter->failed += count_failed(r, r->first, n);
        warn_failed(r, r->first, n, meter->job);
        tsr_progress p = {.phase = "tokenize",
                          .done = (int64_t)meter->done,
                          .total = (int64_t)r->t->samples,
                          .failed = (int64_t)meter->failed,
                          .unit = "samples"};
        tsr_job_report(meter->job, &p);
    }
    return TSR_OK;
}

static tsr_status list_failures(const run *r, size_t m, json_t **out)
{
    json_t *list = json_array();
    tsr_status st = TSR_OK;
    for (size_t i = 0; i < r->s->samples && json_array_size(list) < TSR_MANIFEST_FAILURES; i++) {
        const char *why = tsr_shard_writer_reason(r->writers[m], i);
        if (why)
            TSR_GO(tsr_json_append(list,
                                   json_pack("{s:s,s:s}", "key", r->keys.key[i], "reason", why)));
    }
    if (json_array_size(list))
        *out = json_incref(list);
out:
    json_decref(list);
    return st;
}

static tsr_status seal_modality(run *r, tsr_task *t, size_t i, tsr_task_meter *meter)
{
    const tsr_task_modality *m = &t->modalities[i];
    tsr_file_entry e = {.tokenizer = tsr_tokenizer_space(m->tokenizer)->tokenizer};
    char *path = NULL;
    tsr_status st = TSR_OK;
    memcpy(e.modality, m->name, sizeof e.modality);
    tsr_shard_writer_align(r->writers[i], t->manifest.shards[r->s->number].keys);
    TSR_GO(tsr_task_inputs(t, r->s, m, &e.inputs));
    TSR_GO(list_failures(r, i, &e.failures));
    TSR_GO(file_path(r, m->name, &path));
    TSR_GO(tsr_shard_writer_seal(r->writers[i], path, &e.stats));
    TSR_GO(tsr_manifest_seal(&t->manifest, r->s->number, &e));
    meter->files_written++;
out:
    json_decref(e.failures);
    tsr_free(path);
    return st;
}

static tsr_status seal_keys(run *r, tsr_task *t)
{
    tsr_shard_stats stats;
    char *path;
    TSR_TRY(file_path(r, TSR_KEYS_NAME, &path));
    tsr_status st = tsr_keys_write(&r->keys, path, &stats);
    tsr_free(path);
    TSR_TRY(st);
    return tsr_manifest_add_shard(&t->manifest, &r->keys, &stats);
}

static void clear_run(run *r)
{
    for (size_t i = 0; r->writers && i < r->t->n_modalities; i++)
        tsr_shard_writer_destroy(r->writers[i]);
    tsr_free(r->writers);
    tsr_keys_clear(&r->keys);
}

tsr_status tsr_task_shard_run(tsr_task *t, const tsr_task_shard *s, const tsr_task_lanes *lanes,
                              tsr_task_meter *meter)
{
    run r = {.t = t, .s = s, .lanes = lanes};
    tsr_status st = TSR_OK;
    int work;
    TSR_GO(open_writers(&r, meter, &work));
    if (!work) {
        meter->done += s->samples;
        goto out;
    }
    TSR_GO(open_keys(&r));
    TSR_GO(do_samples(&r, meter));
    if (s->is_new)
        TSR_GO(seal_keys(&r, t));
    for (size_t i = 0; i < t->n_modalities; i++)
        if (r.writers[i])
            TSR_GO(seal_modality(&r, t, i, meter));
    TSR_GO(tsr_manifest_write(&t->manifest, t->output));
out:
    clear_run(&r);
    return st;
}
