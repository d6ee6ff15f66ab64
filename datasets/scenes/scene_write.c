/* SPDX-License-Identifier: Apache-2.0
 * Renders a range of scenes into folders, several at a time. */
#include "scenes/scene_write.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "codecs/codec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PER_FOLDER = 1000, FAST_PNG = 1 };

const char *const tsr_scene_split_names[TSR_SCENE_SPLITS] = {"train", "val", "test"};

/* Bytes of one modality of a finished sample; *data is released with tsr_free. */
typedef tsr_status (*encode_modality)(const tsr_sample *m, const char *name,
                                      const tsr_scene_plan *p, char **data, size_t *bytes);

static tsr_status image_bytes(const tsr_image *image, const char *name, const tsr_scene_plan *p,
                              char **data, size_t *bytes)
{
    const tsr_media media = {.kind = TSR_MEDIA_IMAGE, .as.image = *image};
    const tsr_write_options o = {.quality = p->jpeg_quality, .compression = FAST_PNG};
    return tsr_media_write_memory(name, &media, &o, data, bytes);
}

static tsr_status rgb_bytes(const tsr_sample *m, const char *name, const tsr_scene_plan *p,
                            char **data, size_t *bytes)
{
    return image_bytes(&m->rgb, name, p, data, bytes);
}

static tsr_status depth_bytes(const tsr_sample *m, const char *name, const tsr_scene_plan *p,
                              char **data, size_t *bytes)
{
    return image_bytes(&m->depth, name, p, data, bytes);
}

static tsr_status normal_bytes(const tsr_sample *m, const char *name, const tsr_scene_plan *p,
                               char **data, size_t *bytes)
{
    return image_bytes(&m->normal, name, p, data, bytes);
}

static tsr_status semseg_bytes(const tsr_sample *m, const char *name, const tsr_scene_plan *p,
                               char **data, size_t *bytes)
{
    return image_bytes(&m->semseg, name, p, data, bytes);
}

static tsr_status instance_bytes(const tsr_sample *m, const char *name, const tsr_scene_plan *p,
                                 char **data, size_t *bytes)
{
    return image_bytes(&m->instance, name, p, data, bytes);
}

/* One line of JSON; takes `record`. */
static tsr_status json_bytes(json_t *record, char **data, size_t *bytes)
{
    tsr_status st = tsr_json_text(record, 0, data);
    json_decref(record);
    if (st == TSR_OK)
        *bytes = strlen(*data);
    return st;
}

static tsr_status det_bytes(const tsr_sample *m, const char *name, const tsr_scene_plan *p,
                            char **data, size_t *bytes)
{
    (void)name, (void)p;
    json_t *record;
    TSR_TRY(tsr_sample_boxes(m, &record));
    return json_bytes(record, data, bytes);
}

static tsr_status metadata_bytes(const tsr_sample *m, const char *name, const tsr_scene_plan *p,
                                 char **data, size_t *bytes)
{
    (void)name;
    json_t *record;
    int split = tsr_scene_split(p, (int64_t)m->scene.index);
    TSR_TRY(tsr_sample_metadata(m, tsr_scene_split_names[split], &record));
    return json_bytes(record, data, bytes);
}

static tsr_status caption_bytes(const tsr_sample *m, const char *name, const tsr_scene_plan *p,
                                char **data, size_t *bytes)
{
    (void)name, (void)p;
    TSR_TRY(tsr_strdup(data, m->caption.s));
    *bytes = m->caption.len;
    return TSR_OK;
}

static tsr_status audio_bytes(const tsr_sample *m, const char *name, const tsr_scene_plan *p,
                              char **data, size_t *bytes)
{
    (void)p;
    const tsr_media media = {.kind = TSR_MEDIA_SOUND, .as.sound = m->audio};
    return tsr_media_write_memory(name, &media, NULL, data, bytes);
}

static const struct {
    const char *name, *extension;
    encode_modality encode;
} modalities[TSR_SCENE_MODALITIES] = {
    [TSR_SCENE_RGB] = {"rgb", "png", rgb_bytes},
    [TSR_SCENE_DEPTH] = {"depth", "png", depth_bytes},
    [TSR_SCENE_NORMAL] = {"normal", "png", normal_bytes},
    [TSR_SCENE_SEMSEG] = {"semseg", "png", semseg_bytes},
    [TSR_SCENE_INSTANCE] = {"instance", "png", instance_bytes},
    [TSR_SCENE_DET] = {"det", "json", det_bytes},
    [TSR_SCENE_CAPTION] = {"caption", "txt", caption_bytes},
    [TSR_SCENE_AUDIO] = {"audio", "wav", audio_bytes},
    [TSR_SCENE_METADATA] = {"metadata", "json", metadata_bytes},
};

const char *tsr_scene_modality_name(tsr_scene_modality modality)
{
    return modalities[modality].name;
}

tsr_status tsr_scene_modalities(const char *text, unsigned *bits)
{
    unsigned found = 0;
    for (const char *w = text;;) {
        size_t n = strcspn(w, ","), m = 0;
        while (m < TSR_SCENE_MODALITIES &&
               (strlen(modalities[m].name) != n || memcmp(modalities[m].name, w, n) != 0))
            m++;
        if (m == TSR_SCENE_MODALITIES)
            TSR_FAIL(TSR_EARG,
                     "modality '%.*s' is not known: rgb, depth, normal, semseg, instance, det, "
                     "caption, audio and metadata are",
                     (int)(n < 40 ? n : 40), w);
        found |= 1u << m;
        if (w[n] == '\0')
            break;
        w += n + 1;
    }
    *bits = found;
    return TSR_OK;
}

tsr_status tsr_scene_fractions(const char *text, double split[TSR_SCENE_SPLITS])
{
    double f[TSR_SCENE_SPLITS], sum = 0;
    const char *at = text;
    int n = 0;
    for (; n < TSR_SCENE_SPLITS; n++) {
        char *end;
        f[n] = strtod(at, &end);
        if (end == at || !(f[n] >= 0) || *end != (n == TSR_SCENE_SPLITS - 1 ? '\0' : ','))
            break;
        sum += f[n];
        at = end + 1;
    }
    if (n != TSR_SCENE_SPLITS || fabs(sum - 1) > 1e-9)
        TSR_FAIL(TSR_EARG,
                 "split '%s': three fractions with sum 1 were expected, "
                 "for train, val and test, as in 0.9,0.05,0.05",
                 text);
    memcpy(split, f, sizeof f);
    return TSR_OK;
}

int tsr_scene_split(const tsr_scene_plan *p, int64_t index)
{
    double u = (double)((uint64_t)index * UINT64_C(0x9E3779B97F4A7C15) >> 11) * 0x1p-53;
    if (u < p->split[0])
        return 0;
    return u < p->split[0] + p->split[1] ? 1 : 2;
}

void tsr_scene_count(const tsr_scene_plan *p, tsr_scene_tally *out)
{
    memset(out, 0, sizeof *out);
    for (int64_t i = 0; i < p->count; i++)
        out->per_split[tsr_scene_split(p, p->first + i)]++;
}

/* --- one sample ------------------------------------------------------------------------------- */

typedef struct run {
    const tsr_scene_plan *p;
    const tsr_job *job;
    tsr_sample *lanes;
    int64_t written, kept, files, bytes, done;
} run;

/* OUT/train/rgb/0000/<dot>000001.png<end>; release with tsr_free. */
static tsr_status path_of(const tsr_scene_plan *p, int64_t index, int modality, int temporary,
                          char **path)
{
    const char *ext = modalities[modality].extension;
    if (modality == TSR_SCENE_RGB && p->jpeg_quality)
        ext = "jpg";
    return tsr_format(path, "%s/%s/%s/%04" PRId64 "/%s%06" PRId64 ".%s%s", p->out,
                      tsr_scene_split_names[tsr_scene_split(p, index)], modalities[modality].name,
                      index / PER_FOLDER, temporary ? "." : "", index, ext,
                      temporary ? ".part" : "");
}

/* Complete or absent, but not synced: a corpus that can be rendered again needs no fsync, and it
 * would cost more than the rendering. */
static tsr_status put_file(const char *path, const char *temp, const char *data, size_t bytes)
{
    FILE *f = fopen(temp, "wb");
    if (!f)
        TSR_FAIL(TSR_EIO, "%s: cannot be created: %s", temp, strerror(errno));
    int bad = fwrite(data, 1, bytes, f) != bytes;
    bad |= fclose(f) != 0;
    if (bad || rename(temp, path) != 0) {
        int code = errno;
        unlink(temp);
        TSR_FAIL(TSR_EIO, "%s: cannot be written: %s", path, strerror(code));
    }
    return TSR_OK;
}

static tsr_status put_modality(const run *r, const tsr_sample *m, int modality, size_t *bytes)
{
    char *path = NULL, *temp = NULL, *data = NULL;
    tsr_status st;
    TSR_GO(path_of(r->p, (int64_t)m->scene.index, modality, 0, &path));
    TSR_GO(path_of(r->p, (int64_t)m->scene.index, modality, 1, &temp));
    TSR_GO(modalities[modality].encode(m, path, r->p, &data, bytes));
    TSR_GO(put_file(path, temp, data, *bytes));
out:
    tsr_free(data);
    tsr_free(temp);
    tsr_free(path);
    return st;
}

static int wants(const run *r, int modality)
{
    return (r->p->modalities >> modality & 1) != 0;
}

/* Whether every wanted file of the sample is there and holds something. */
static tsr_status is_complete(const run *r, int64_t index, int *complete)
{
    *complete = !r->p->force;
    for (int k = 0; k < TSR_SCENE_MODALITIES && *complete; k++) {
        char *path;
        uint64_t bytes = 0;
        int64_t when;
        if (!wants(r, k))
            continue;
        TSR_TRY(path_of(r->p, index, k, 0, &path));
        *complete =
            tsr_file_exists(path) && tsr_file_stat(path, &bytes, &when) == TSR_OK && bytes > 0;
        tsr_free(path);
    }
    return TSR_OK;
}

static tsr_status make_sample(const run *r, tsr_sample *m, int64_t index)
{
    tsr_scene_make(&m->scene, r->p->seed, (uint64_t)index);
    tsr_sample_labels(m);
    if (wants(r, TSR_SCENE_RGB))
        tsr_sample_rgb(m);
    if (wants(r, TSR_SCENE_CAPTION))
        TSR_TRY(tsr_sample_caption(m));
    /* The metadata tells the onsets. */
    if (wants(r, TSR_SCENE_AUDIO) || wants(r, TSR_SCENE_METADATA))
        tsr_sample_audio(m);
    return TSR_OK;
}

static tsr_status write_sample(run *r, tsr_sample *m, int64_t index)
{
    TSR_TRY(make_sample(r, m, index));
    for (int k = 0; k < TSR_SCENE_MODALITIES; k++) {
        size_t bytes;
        if (!wants(r, k))
            continue;
        TSR_TRY(put_modality(r, m, k, &bytes));
        __atomic_fetch_add(&r->files, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&r->bytes, (int64_t)bytes, __ATOMIC_RELAXED);
    }
    return TSR_OK;
}

static tsr_status one_sample(void *ctx, size_t i, int lane)
{
    run *r = ctx;
    int64_t index = r->p->first + (int64_t)i;
    int complete;
    TSR_TRY(tsr_job_check(r->job));
    TSR_TRY(is_complete(r, index, &complete));
    if (!complete)
        TSR_TRY(write_sample(r, &r->lanes[lane], index));
    __atomic_fetch_add(complete ? &r->kept : &r->written, 1, __ATOMIC_RELAXED);
    int64_t done = __atomic_add_fetch(&r->done, 1, __ATOMIC_RELAXED);
    if (lane == 0) {
        const tsr_progress now = {"render", done, r->p->count, 0, "samples", NULL};
        tsr_job_report(r->job, &now);
    }
    return TSR_OK;
}

/* --- the whole -------------------------------------------------------------------------------- */

static tsr_status check_plan(const tsr_scene_plan *p)
{
    if (!p->out || !*p->out)
        TSR_FAIL(TSR_EARG, "no folder was given to write to");
    if (p->seed >> 63)
        TSR_FAIL(TSR_EARG, "seed %" PRIu64 ": must be below 2^63", p->seed);
    if (p->first < 0 || p->count < 0 || p->first > (INT64_C(1) << 48) ||
        p->count > (INT64_C(1) << 32))
        TSR_FAIL(TSR_EARG, "scenes %" PRId64 " and %" PRId64 " more: out of range", p->first,
                 p->count);
    if (p->jpeg_quality < 0 || p->jpeg_quality > 100)
        TSR_FAIL(TSR_EARG, "JPEG quality %d: must be 1 to 100", p->jpeg_quality);
    if (!p->modalities || p->modalities >> TSR_SCENE_MODALITIES)
        TSR_FAIL(TSR_EARG, "no modality, or one that is not known, was asked for");
    return TSR_OK;
}

static tsr_status make_folder(const run *r, int split, int modality, int64_t folder)
{
    char *path;
    TSR_TRY(tsr_format(&path, "%s/%s/%s/%04" PRId64, r->p->out, tsr_scene_split_names[split],
                       modalities[modality].name, folder));
    tsr_status st = tsr_make_folders(path);
    tsr_free(path);
    return st;
}

/* Every folder that will get a sample. */
static tsr_status make_folders(const run *r)
{
    int64_t made[TSR_SCENE_SPLITS] = {-1, -1, -1};
    for (int64_t i = 0; i < r->p->count; i++) {
        int64_t folder = (r->p->first + i) / PER_FOLDER;
        int split = tsr_scene_split(r->p, r->p->first + i);
        if (made[split] == folder)
            continue;
        made[split] = folder;
        for (int k = 0; k < TSR_SCENE_MODALITIES; k++)
            if (wants(r, k))
                TSR_TRY(make_folder(r, split, k, folder));
    }
    return TSR_OK;
}

/* What all samples under OUT have in common; a later run must agree with it. */
static tsr_status describe(const tsr_scene_plan *p, json_t **out)
{
    json_t *o =
        json_pack("{s:s,s:I,s:i,s:s,s:i,s:[f,f,f]}", "generator", "tessera-scenes 1", "seed",
                  (json_int_t)p->seed, "size", p->size, "rgb", p->jpeg_quality ? "jpg" : "png",
                  "jpeg_quality", p->jpeg_quality, "split", p->split[0], p->split[1], p->split[2]);
    if (!o)
        TSR_FAIL(TSR_ENOMEM, "no memory for the description of the corpus");
    *out = o;
    return TSR_OK;
}

static tsr_status compare(const char *path, const json_t *mine, json_t *theirs)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)mine, key, value)
    {
        const json_t *other = json_object_get(theirs, key);
        if (json_equal(value, other))
            continue;
        char *a = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
        char *b = json_dumps(other, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
        tsr_status st = tsr_fail_at(TSR_EMISMATCH, __FILE__, __LINE__,
                                    "%s: made with %s %s, now %s was asked for; write to another "
                                    "folder or use --force",
                                    path, key, b ? b : "(none)", a ? a : "?");
        free(a);
        free(b);
        return st;
    }
    return TSR_OK;
}

static tsr_status agree(const run *r)
{
    json_t *mine = NULL, *theirs = NULL;
    char *path = NULL;
    tsr_status st;
    TSR_GO(tsr_make_folders(r->p->out));
    TSR_GO(tsr_path_join(&path, r->p->out, "scenes.json"));
    TSR_GO(describe(r->p, &mine));
    if (tsr_file_exists(path) && !r->p->force) {
        TSR_GO(tsr_json_read(path, 1 << 16, &theirs));
        TSR_GO(compare(path, mine, theirs));
    } else {
        TSR_GO(tsr_json_write(path, mine, 2));
    }
out:
    tsr_free(path);
    json_decref(mine);
    json_decref(theirs);
    return st;
}

tsr_status tsr_scene_render(const tsr_scene_plan *p, const tsr_job *job, tsr_scene_tally *out)
{
    run r = {.p = p, .job = job};
    tsr_status st;
    int lanes = tsr_par_threads();
    double start = tsr_now_s();
    TSR_TRY(check_plan(p));
    TSR_TRY(tsr_alloc(&r.lanes, (size_t)lanes, sizeof *r.lanes));
    for (int k = 0; k < lanes; k++)
        TSR_GO(tsr_sample_init(&r.lanes[k], (size_t)p->size));
    TSR_GO(agree(&r));
    TSR_GO(make_folders(&r));
    st = tsr_par_for((size_t)p->count, one_sample, &r);
    if (st != TSR_OK && st != TSR_ECANCEL)
        goto out;
    /* Reports come from one worker only, which need not have seen the last sample. */
    tsr_job_report(job, &(tsr_progress){"render", r.done, p->count, 0, "samples", NULL});
    tsr_scene_count(p, out);
    out->written = r.written;
    out->kept = r.kept;
    out->files = r.files;
    out->bytes = r.bytes;
    out->seconds = tsr_now_s() - start;
out:
    for (int k = 0; k < lanes; k++)
        tsr_sample_clear(&r.lanes[k]);
    tsr_free(r.lanes);
    return st;
}
