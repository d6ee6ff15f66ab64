/* SPDX-License-Identifier: Apache-2.0
 * The folders a run leaves: names, formats, the same bytes for any number of threads, nothing made
 * twice, refusals, and a stop that keeps what is finished. */
#include "testing.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/par.h"
#include "codecs/codec.h"
#include "scenes/scene_write.h"

#include <unistd.h>

enum { ALL = (1 << TSR_SCENE_MODALITIES) - 1 };

static char folder[512];

/* A new, empty folder below the build. */
static const char *fresh(const char *name)
{
    char command[700];
    snprintf(folder, sizeof folder, "%s/tests/scratch/scene-%s", build_folder(), name);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
    return folder;
}

static tsr_scene_plan plan_of(const char *out)
{
    return (tsr_scene_plan){.out = out,
                            .seed = 3,
                            .count = 12,
                            .size = 32,
                            .split = {0.5, 0.25, 0.25},
                            .modalities = ALL};
}

/* Digest of all paths and bytes below a folder, and their number. */
static tsr_digest digest_of(const char *out, size_t *files)
{
    tsr_names names = {0};
    tsr_hasher *h;
    assert_ok(tsr_walk_folder(out, 8, &names));
    assert_ok(tsr_hasher_create(&h));
    for (size_t i = 0; i < names.count; i++) {
        char *path, *data;
        size_t bytes;
        assert_ok(tsr_path_join(&path, out, names.names[i]));
        assert_ok(tsr_file_read(path, 1 << 24, &data, &bytes));
        tsr_hasher_add(h, names.names[i], strlen(names.names[i]) + 1);
        tsr_hasher_add(h, data, bytes);
        tsr_free(data);
        tsr_free(path);
    }
    *files = names.count;
    tsr_digest d = tsr_hasher_finish(h);
    tsr_hasher_destroy(h);
    tsr_names_clear(&names);
    return d;
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 4};
    tsr_digest first = {0};
    for (int k = 0; k < 3; k++) {
        tsr_scene_tally t;
        size_t files;
        tsr_scene_plan p = plan_of(fresh("threads"));
        tsr_par_set_threads(threads[k]);
        assert_ok(tsr_scene_render(&p, NULL, &t));
        assert_int_equal(t.written, 12);
        assert_int_equal(t.files, 12 * TSR_SCENE_MODALITIES);
        tsr_digest d = digest_of(p.out, &files);
        assert_int_equal(files, 12 * TSR_SCENE_MODALITIES + 1);
        if (k == 0)
            first = d;
        assert_true(tsr_digest_equal(d, first));
    }
    tsr_par_set_threads(0);
}

/* Two halves made apart are the whole. */
static void ranges_join(void **state)
{
    (void)state;
    tsr_scene_tally t;
    size_t files;
    tsr_scene_plan p = plan_of(fresh("whole"));
    assert_ok(tsr_scene_render(&p, NULL, &t));
    tsr_digest whole = digest_of(p.out, &files);
    p.out = fresh("parts");
    p.first = 5;
    p.count = 7;
    assert_ok(tsr_scene_render(&p, NULL, &t));
    p.first = 0;
    p.count = 12;
    assert_ok(tsr_scene_render(&p, NULL, &t));
    assert_int_equal(t.kept, 7);
    assert_int_equal(t.written, 5);
    assert_true(tsr_digest_equal(whole, digest_of(p.out, &files)));
}

static void read_as(const char *path, tsr_media_kind kind, tsr_media *m)
{
    char full[600];
    snprintf(full, sizeof full, "%s/%s", folder, path);
    assert_ok(tsr_media_read(full, NULL, m));
    assert_int_equal(m->kind, kind);
}

/* What the files hold is what was rendered. */
static void files_hold_the_sample(void **state)
{
    (void)state;
    tsr_scene_tally t;
    tsr_sample m;
    tsr_media file;
    tsr_scene_plan p = plan_of(fresh("formats"));
    p.count = 1;
    p.split[0] = 1;
    p.split[1] = p.split[2] = 0;
    assert_ok(tsr_scene_render(&p, NULL, &t));
    assert_ok(tsr_sample_init(&m, 32));
    tsr_scene_make(&m.scene, 3, 0);
    tsr_sample_labels(&m);
    tsr_sample_rgb(&m);
    tsr_sample_audio(&m);
    assert_ok(tsr_sample_caption(&m));
    const struct {
        const char *path;
        const tsr_image *image;
    } images[] = {{"train/rgb/0000/000000.png", &m.rgb},
                  {"train/depth/0000/000000.png", &m.depth},
                  {"train/normal/0000/000000.png", &m.normal},
                  {"train/semseg/0000/000000.png", &m.semseg},
                  {"train/instance/0000/000000.png", &m.instance}};
    for (int k = 0; k < 5; k++) {
        const tsr_image *want = images[k].image;
        read_as(images[k].path, TSR_MEDIA_IMAGE, &file);
        assert_int_equal(file.as.image.channels, want->channels);
        assert_int_equal(file.as.image.pixel, want->pixel);
        assert_memory_equal(file.as.image.data, want->data,
                            32 * 32 * want->channels * (size_t)want->pixel);
        tsr_media_clear(&file);
    }
    read_as("train/audio/0000/000000.wav", TSR_MEDIA_SOUND, &file);
    assert_int_equal(file.as.sound.frames, 40960);
    assert_true(file.as.sound.rate_hz == 16000);
    for (size_t i = 0; i < 40960; i++)
        assert_true(fabsf(file.as.sound.data[i] - m.audio.data[i]) < 1.0f / 32000);
    tsr_media_clear(&file);
    read_as("train/caption/0000/000000.txt", TSR_MEDIA_TEXT, &file);
    assert_string_equal(file.as.text.s, m.caption.s);
    tsr_media_clear(&file);
    read_as("train/det/0000/000000.json", TSR_MEDIA_RECORD, &file);
    tsr_media_clear(&file);
    tsr_sample_clear(&m);
}

/* Modalities can be added later, and one that was lost is made again. */
static void modalities_are_added(void **state)
{
    (void)state;
    tsr_scene_tally t;
    size_t files;
    char lost[600];
    tsr_scene_plan p = plan_of(fresh("added"));
    assert_ok(tsr_scene_modalities("depth,caption", &p.modalities));
    assert_ok(tsr_scene_render(&p, NULL, &t));
    assert_int_equal(t.files, 24);
    p.modalities = ALL;
    assert_ok(tsr_scene_render(&p, NULL, &t));
    assert_int_equal(t.written, 12);
    tsr_digest whole = digest_of(p.out, &files);
    snprintf(lost, sizeof lost, "%s/train/audio/0000/000000.wav", p.out);
    assert_int_equal(truncate(lost, 0), 0);
    assert_ok(tsr_scene_render(&p, NULL, &t));
    assert_int_equal(t.written, 1);
    assert_int_equal(t.kept, 11);
    assert_true(tsr_digest_equal(whole, digest_of(p.out, &files)));
}

static void other_settings_are_refused(void **state)
{
    (void)state;
    tsr_scene_tally t;
    tsr_scene_plan p = plan_of(fresh("refused"));
    assert_ok(tsr_scene_render(&p, NULL, &t));
    tsr_scene_plan q = p;
    q.seed = 4;
    assert_fails(TSR_EMISMATCH, tsr_scene_render(&q, NULL, &t));
    assert_non_null(strstr(tsr_error(), "seed 3"));
    q = p;
    q.size = 48;
    assert_fails(TSR_EMISMATCH, tsr_scene_render(&q, NULL, &t));
    q = p;
    q.jpeg_quality = 90;
    assert_fails(TSR_EMISMATCH, tsr_scene_render(&q, NULL, &t));
    q = p;
    q.split[0] = 0.75;
    q.split[1] = 0;
    assert_fails(TSR_EMISMATCH, tsr_scene_render(&q, NULL, &t));
    q.force = 1;
    assert_ok(tsr_scene_render(&q, NULL, &t));
    assert_int_equal(t.written, 12);
}

static void plans_are_checked(void **state)
{
    (void)state;
    tsr_scene_tally t;
    tsr_scene_plan p = plan_of(""), q;
    assert_fails(TSR_EARG, tsr_scene_render(&p, NULL, &t));
    p = plan_of(fresh("never"));
    q = p, q.count = -1;
    assert_fails(TSR_EARG, tsr_scene_render(&q, NULL, &t));
    q = p, q.first = -1;
    assert_fails(TSR_EARG, tsr_scene_render(&q, NULL, &t));
    q = p, q.size = 8;
    assert_fails(TSR_EARG, tsr_scene_render(&q, NULL, &t));
    q = p, q.jpeg_quality = 101;
    assert_fails(TSR_EARG, tsr_scene_render(&q, NULL, &t));
    q = p, q.modalities = 0;
    assert_fails(TSR_EARG, tsr_scene_render(&q, NULL, &t));
    assert_false(tsr_file_exists(p.out));
    p.out = "/dev/null/x";
    assert_fails(TSR_EIO, tsr_scene_render(&p, NULL, &t));
}

static void words_are_read(void **state)
{
    (void)state;
    unsigned bits = 0;
    double split[3];
    assert_ok(tsr_scene_modalities("rgb,metadata", &bits));
    assert_int_equal(bits, 1 << TSR_SCENE_RGB | 1 << TSR_SCENE_METADATA);
    assert_fails(TSR_EARG, tsr_scene_modalities("", &bits));
    assert_fails(TSR_EARG, tsr_scene_modalities("rgb,", &bits));
    assert_fails(TSR_EARG, tsr_scene_modalities("rgb,colour", &bits));
    assert_ok(tsr_scene_fractions("1,0,0", split));
    assert_true(split[0] == 1 && split[2] == 0);
    static const char *const wrong[] = {
        "", "1", "0.5,0.5", "0.5,0.5,0.5", "1,0,0,0", "-0.5,1,0.5", "nan,1,0", "1,0,x", "inf,0,0"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_fails(TSR_EARG, tsr_scene_fractions(wrong[i], split));
}

static void splits_are_even(void **state)
{
    (void)state;
    tsr_scene_plan p = plan_of("x");
    assert_ok(tsr_scene_fractions("0.9,0.05,0.05", p.split));
    for (p.first = 0; p.first < 5000000; p.first += 1234567) {
        tsr_scene_tally t;
        p.count = 4000;
        tsr_scene_count(&p, &t);
        assert_in_range(t.per_split[0], 3596, 3604);
        assert_in_range(t.per_split[1], 196, 204);
        assert_int_equal(t.per_split[0] + t.per_split[1] + t.per_split[2], 4000);
    }
}

/* Ask to stop after three samples. */
static void stop_soon(void *ctx, const tsr_progress *p)
{
    if (p->done >= 3)
        *(volatile sig_atomic_t *)ctx = 1;
}

static void a_stop_keeps_what_is_done(void **state)
{
    (void)state;
    volatile sig_atomic_t stop = 0;
    tsr_scene_tally t;
    size_t files, again;
    tsr_scene_plan p = plan_of(fresh("undisturbed"));
    assert_ok(tsr_scene_render(&p, NULL, &t));
    tsr_digest whole = digest_of(p.out, &files);
    p.out = fresh("stopped");
    const tsr_job job = {stop_soon, NULL, (void *)&stop, &stop};
    tsr_par_set_threads(1);
    assert_fails(TSR_ECANCEL, tsr_scene_render(&p, &job, &t));
    assert_int_equal(t.written, 3);
    assert_ok(tsr_scene_render(&p, NULL, &t));
    tsr_par_set_threads(0);
    assert_int_equal(t.kept, 3);
    assert_true(tsr_digest_equal(whole, digest_of(p.out, &again)));
    assert_int_equal(files, again);
}

/* Whichever allocation fails, the run says so and leaves no sample that is not whole. */
static void memory_may_run_out(void **state)
{
    (void)state;
    tsr_scene_tally t;
    tsr_status st = TSR_ENOMEM;
    long n = 0;
    tsr_scene_plan p = plan_of(fresh("memory"));
    p.count = 1;
    p.size = 16;
    p.force = 1;
    tsr_par_set_threads(1);
    for (n = 1; st != TSR_OK && n < 2000; n++) {
        tsr_mem_fail_after(n);
        st = tsr_scene_render(&p, NULL, &t);
        tsr_mem_fail_after(0);
        if (st != TSR_OK && st != TSR_ENOMEM)
            fail_msg("allocation %ld: %s", n, tsr_error());
    }
    tsr_par_set_threads(0);
    assert_true(n > 20 && n < 2000);
    assert_int_equal(t.written, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(ranges_join),
        cmocka_unit_test(files_hold_the_sample),
        cmocka_unit_test(modalities_are_added),
        cmocka_unit_test(other_settings_are_refused),
        cmocka_unit_test(plans_are_checked),
        cmocka_unit_test(words_are_read),
        cmocka_unit_test(splits_are_even),
        cmocka_unit_test(a_stop_keeps_what_is_done),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
