/* SPDX-License-Identifier: Apache-2.0
 * Manifest, corpus and verification, on the corpus that write_corpus makes. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "shards/corpus.h"
#include "shards/verify.h"

#include <sys/stat.h>
#include <unistd.h>

static char folder[512];

static int make(void **state)
{
    char command[2048];
    (void)state;
    snprintf(folder, sizeof folder, "%s/test_corpus.d", build_folder());
    snprintf(command, sizeof command, "rm -rf '%s' && '%s/write_corpus' '%s' > /dev/null", folder,
             build_folder(), folder);
    return system(command);
}

static char *in_folder(const char *name)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* --- manifest --- */

static void manifest_round_trip(void **state)
{
    (void)state;
    tsr_manifest m;
    json_t *a, *b;
    assert_ok(tsr_manifest_read(folder, &m));
    assert_ok(tsr_manifest_to_json(&m, &a));
    assert_ok(tsr_json_read(in_folder("manifest.json"), 1 << 20, &b));
    assert_true(json_equal(a, b));
    json_decref(a);
    json_decref(b);
    assert_int_equal(tsr_manifest_modality(&m, "caption")->space.base, 0);
    assert_int_equal(tsr_manifest_modality(&m, "det@2")->space.base, 0);
    assert_int_equal(tsr_manifest_modality(&m, "rgb")->space.base, 30000);
    assert_int_equal(tsr_manifest_modality(&m, "audio")->space.base, 31024);
    assert_int_equal(tsr_manifest_vocabulary(&m), 101024);
    assert_null(tsr_manifest_modality(&m, "depth"));
    tsr_manifest_clear(&m);
}

static tsr_modality modality(const char *name, const char *vocabulary, uint32_t codes, uint64_t id)
{
    tsr_modality m = {.space = {.layout = TSR_LAYOUT_GRID,
                                .height = 2,
                                .width = 2,
                                .levels = 1,
                                .codebook_size = codes,
                                .tokenizer = {id, id}},
                      .crops = 1};
    snprintf(m.space.modality, sizeof m.space.modality, "%s", name);
    snprintf(m.space.vocabulary, sizeof m.space.vocabulary, "%s", vocabulary);
    return m;
}

static void ranges_never_move(void **state)
{
    (void)state;
    tsr_manifest m = {0};
    tsr_modality first[] = {modality("rgb", "rgb", 100, 1), modality("depth", "depth", 50, 2)};
    assert_ok(tsr_manifest_set_modalities(&m, first, 2));
    tsr_modality later[] = {modality("rgb", "rgb", 100, 1), modality("caption", "text", 1000, 3)};
    assert_ok(tsr_manifest_set_modalities(&m, later, 2));
    assert_int_equal(tsr_manifest_modality(&m, "rgb")->space.base, 0);
    assert_int_equal(tsr_manifest_modality(&m, "depth")->space.base, 100);
    assert_int_equal(tsr_manifest_modality(&m, "caption")->space.base, 150);
    /* Another tokenizer with as many codes stays in place; one with more goes to the end. */
    tsr_modality same = modality("depth", "depth", 50, 9);
    assert_ok(tsr_manifest_set_modalities(&m, &same, 1));
    assert_int_equal(tsr_manifest_modality(&m, "depth")->space.base, 100);
    tsr_modality more = modality("caption", "text", 1001, 9);
    assert_ok(tsr_manifest_set_modalities(&m, &more, 1));
    assert_int_equal(tsr_manifest_modality(&m, "caption")->space.base, 1150);
    assert_int_equal(tsr_manifest_vocabulary(&m), 2151);
    tsr_modality uneven = modality("boxes", "text", 5, 9);
    assert_fails(TSR_EMISMATCH, tsr_manifest_set_modalities(&m, &uneven, 1));
    tsr_modality reserved = modality("keys", "keys", 5, 9);
    assert_fails(TSR_EARG, tsr_manifest_set_modalities(&m, &reserved, 1));
    tsr_modality huge = modality("huge", "huge", UINT32_MAX - 100, 9);
    assert_fails(TSR_ELIMIT, tsr_manifest_set_modalities(&m, &huge, 1));
    tsr_manifest_clear(&m);
}

static void patches_take_no_range(void **state)
{
    (void)state;
    tsr_manifest m = {0};
    tsr_modality first[] = {modality("rgb@128", "", 0, 1), modality("rgb", "rgb", 256, 2)};
    tsr_space_set_patches(&first[0].space, 8, 8, 16);
    assert_ok(tsr_manifest_set_modalities(&m, first, 2));
    assert_int_equal(m.n_ranges, 1);
    assert_int_equal(tsr_manifest_vocabulary(&m), 256);
    assert_int_equal(tsr_manifest_modality(&m, "rgb")->space.base, 0);
    assert_int_equal(tsr_manifest_modality(&m, "rgb@128")->space.base, 0);
    /* Added to a corpus that exists, they move nothing. */
    tsr_modality later = modality("rgb@64", "", 0, 3);
    tsr_space_set_patches(&later.space, 4, 4, 16);
    assert_ok(tsr_manifest_set_modalities(&m, &later, 1));
    assert_int_equal(m.n_ranges, 1);
    assert_int_equal(m.n_modalities, 3);
    tsr_manifest_clear(&m);
}

static void replacing_removes_entries(void **state)
{
    (void)state;
    tsr_manifest m;
    assert_ok(tsr_manifest_read(folder, &m));
    tsr_modality same = *tsr_manifest_modality(&m, "rgb");
    assert_ok(tsr_manifest_set_modalities(&m, &same, 1));
    assert_non_null(tsr_manifest_file(&m.shards[0], "rgb"));
    same.space.tokenizer.hi ^= 1;
    assert_ok(tsr_manifest_set_modalities(&m, &same, 1));
    assert_null(tsr_manifest_file(&m.shards[0], "rgb"));
    assert_non_null(tsr_manifest_file(&m.shards[0], "caption"));
    assert_int_equal(tsr_manifest_modality(&m, "rgb")->space.base, 30000);
    tsr_manifest_clear(&m);
}

/* The manifest with one member set to a JSON value must be refused with these words. */
static void refused(const char *where, const char *value, const char *says)
{
    json_t *root, *o, *v;
    tsr_manifest m;
    char path[128];
    assert_ok(tsr_json_read(in_folder("manifest.json"), 1 << 20, &root));
    assert_ok(tsr_json_parse(value, strlen(value), "value", &v));
    snprintf(path, sizeof path, "%s", where);
    o = root;
    char *key = path;
    for (char *dot; (dot = strchr(key, '.')); key = dot + 1) {
        *dot = '\0';
        o = json_is_array(o) ? json_array_get(o, (size_t)atoi(key)) : json_object_get(o, key);
        assert_non_null(o);
    }
    json_object_set_new(o, key, v);
    tsr_status st = tsr_manifest_from_json(root, "m.json", &m);
    if (st == TSR_OK || !strstr(tsr_error(), says) || !strstr(tsr_error(), "m.json"))
        fail_msg("%s = %s: %s \"%s\"", where, value, tsr_status_name(st), tsr_error());
    json_decref(root);
}

static void bad_manifests_are_refused(void **state)
{
    (void)state;
    refused("format", "\"x\"", "format \"x\"");
    refused("format_version", "2", "version 2");
    refused("corpus", "\"zz\"", "32 hex");
    refused("shard_samples", "-1", "negative");
    refused("crops.count", "0", "0 crops");
    refused("modalities.rgb.grid", "[2]", "two positive");
    refused("modalities.rgb.grid", "[2, 1e9]", "two positive");
    refused("modalities.rgb.grid", "[100000, 100000]", "a grid of");
    refused("modalities.rgb.codebook_size", "7", "its range");
    refused("modalities.rgb.vocabulary", "\"other\"", "not listed");
    refused("modalities.rgb.layout", "\"tree\"", "layout \"tree\"");
    refused("modalities.rgb@8.patch_size", "3", "does not fit 48 levels");
    refused("modalities.rgb@8.patch_size", "\"4\"", "patch_size");
    refused("modalities.rgb@8.levels", "49", "does not fit 49 levels");
    refused("modalities.rgb@8.vocabulary", "\"rgb\"", "no vocabulary");
    refused("modalities.rgb@8.codebook_size", "1024", "codebook size 256");
    refused("vocabulary.ranges.0.size", "30001", "overlap");
    refused("vocabulary.ranges.0.base", "4294967295", "32 bits");
    refused("shards.1.shard", "0", "comes next");
    refused("shards.1.samples", "0", "0 samples");
    refused("shards.1.samples", "1e3", "integer");
    refused("shards.0.files.rgb.file", "\"../x.h5\"", "not its name");
    refused("shards.0.files.depth",
            "{\"file\": \"depth-00000.h5\", \"bytes\": 1, \"digest\": "
            "\"00000000000000000000000000000000\", \"tokenizer\": "
            "\"00000000000000000000000000000000\", \"inputs\": "
            "\"00000000000000000000000000000000\", \"present\": 0, \"missing\": 0, \"failed\": 0, "
            "\"tokens\": 0}",
            "not listed");
    refused("shards.0.files", "{}", "no keys file");
}

/* --- corpus --- */

static void samples_by_index_and_key(void **state)
{
    (void)state;
    tsr_corpus *c;
    tsr_tokens t;
    tsr_present p;
    uint64_t sample;
    char *key;
    tsr_view v;
    assert_ok(tsr_corpus_open(folder, &c));
    assert_int_equal(tsr_corpus_samples(c), 15);
    assert_ok(tsr_corpus_find(c, "longer-name1/00002", &sample));
    assert_int_equal(sample, 7);
    assert_ok(tsr_corpus_key(c, 7, &key));
    assert_string_equal(key, "longer-name1/00002");
    tsr_free(key);
    assert_ok(tsr_corpus_view(c, 7, 1, &v));
    assert_int_equal(v.crop.top, 2);
    assert_int_equal(v.height, 100);
    assert_ok(tsr_corpus_read(c, "rgb", 7, 1, &t, &p));
    assert_int_equal(p, TSR_REAL);
    assert_int_equal(t.count, 6);
    assert_int_equal(t.ids[0], (7001 + 2 * 601 + 53) % 1024);
    tsr_tokens_clear(&t);
    assert_ok(tsr_corpus_read(c, "audio", 14, 0, &t, &p));
    assert_int_equal(p, TSR_MISSING);
    assert_int_equal(t.count, 0);
    assert_int_equal(tsr_corpus_split_count(c, "val"), 5);
    assert_ok(tsr_corpus_split_sample(c, "val", 4, &sample));
    assert_int_equal(sample, 14);
    assert_fails(TSR_ENOENT, tsr_corpus_split_sample(c, "val", 5, &sample));
    assert_fails(TSR_ENOENT, tsr_corpus_find(c, "nothing", &sample));
    assert_ok(tsr_corpus_find_named(c, "longer-name1/00002", &sample));
    assert_int_equal(sample, 7);
    assert_ok(tsr_corpus_find_named(c, "14", &sample));
    assert_int_equal(sample, 14);
    assert_fails(TSR_ENOENT, tsr_corpus_find_named(c, "15", &sample));
    assert_non_null(strstr(tsr_error(), "key or number 15; there are 15"));
    assert_fails(TSR_ENOENT, tsr_corpus_find_named(c, "99999999999999999999", &sample));
    assert_fails(TSR_ENOENT, tsr_corpus_find_named(c, "1x", &sample));
    assert_fails(TSR_ENOENT, tsr_corpus_find_named(c, "", &sample));
    assert_int_equal(sample, 14);
    assert_fails(TSR_ENOENT, tsr_corpus_read(c, "depth", 0, 0, &t, &p));
    assert_fails(TSR_EARG, tsr_corpus_read(c, "rgb", 15, 0, &t, &p));
    assert_fails(TSR_EARG, tsr_corpus_read(c, "rgb", 7, 2, &t, &p));
    tsr_corpus_close(c);
    assert_fails(TSR_ENOENT, tsr_corpus_open("/nonexistent", &c));
}

static void patches_by_index(void **state)
{
    (void)state;
    enum { SIZE = 2 * 3 * 48 };
    tsr_corpus *c;
    tsr_present p;
    tsr_tokens t;
    uint8_t bytes[SIZE];
    int seen = 0;
    assert_ok(tsr_corpus_open(folder, &c));
    for (uint64_t i = 0; i < tsr_corpus_samples(c); i++)
        for (uint32_t crop = 0; crop < 2; crop++) {
            memset(bytes, 1, SIZE);
            assert_ok(tsr_corpus_read_patches(c, "rgb@8", i, crop, bytes, SIZE, &p));
            assert_ok(tsr_corpus_read(c, "rgb@8", i, crop, &t, &p));
            assert_int_equal(t.count, p == TSR_REAL ? SIZE : 0);
            for (size_t k = 0; k < SIZE; k++)
                assert_int_equal(bytes[k], p == TSR_REAL ? t.ids[k] : 1);
            seen += p == TSR_REAL;
            tsr_tokens_clear(&t);
        }
    assert_true(seen > 10);
    assert_fails(TSR_EARG, tsr_corpus_read_patches(c, "rgb@8", 0, 0, bytes, SIZE - 1, &p));
    assert_fails(TSR_EARG, tsr_corpus_read_patches(c, "rgb", 0, 0, bytes, 6, &p));
    assert_fails(TSR_EARG, tsr_corpus_read_patches(c, "rgb@8", 15, 0, bytes, SIZE, &p));
    assert_fails(TSR_EARG, tsr_corpus_read_patches(c, "rgb@8", 1, 2, bytes, SIZE, &p));
    assert_fails(TSR_ENOENT, tsr_corpus_read_patches(c, "depth", 0, 0, bytes, SIZE, &p));
    tsr_corpus_close(c);
}

static tsr_status read_one(void *ctx, size_t i, int lane)
{
    (void)lane;
    const char *names[] = {"rgb", "audio", "caption", "det@2", "rgb@8"};
    tsr_tokens t;
    tsr_present p;
    TSR_TRY(tsr_corpus_read(ctx, names[i % 5], i % 15, 0, &t, &p));
    tsr_tokens_clear(&t);
    return TSR_OK;
}

static void many_threads_read(void **state)
{
    (void)state;
    tsr_corpus *c;
    assert_ok(tsr_corpus_open(folder, &c));
    tsr_par_set_threads(4);
    assert_ok(tsr_par_for(600, read_one, c));
    tsr_par_set_threads(0);
    tsr_corpus_close(c);
}

static void a_foreign_file_is_refused(void **state)
{
    (void)state;
    tsr_corpus *c;
    tsr_tokens t;
    tsr_present p;
    char *data;
    size_t bytes;
    assert_ok(tsr_file_read(in_folder("rgb-00001.h5"), 1 << 20, &data, &bytes));
    assert_ok(tsr_file_write(in_folder("rgb-00000.h5"), data, bytes));
    tsr_free(data);
    assert_ok(tsr_corpus_open(folder, &c));
    assert_fails(TSR_EMISMATCH, tsr_corpus_read(c, "rgb", 0, 0, &t, &p));
    assert_non_null(strstr(tsr_error(), "belongs to keys"));
    tsr_corpus_close(c);
    assert_int_equal(make(NULL), 0);
}

/* --- verification --- */

static void expect(size_t problems, size_t remarks, const char *says)
{
    tsr_verify_report r;
    int found = says == NULL;
    assert_ok(tsr_verify(folder, 0, NULL, &r));
    for (size_t i = 0; i < r.problems.count; i++)
        found |= says && strstr(r.problems.names[i], says) != NULL;
    for (size_t i = 0; i < r.remarks.count; i++)
        found |= says && strstr(r.remarks.names[i], says) != NULL;
    if (!found || r.problems.count != problems || r.remarks.count != remarks) {
        for (size_t i = 0; i < r.problems.count; i++)
            print_message("problem: %s\n", r.problems.names[i]);
        for (size_t i = 0; i < r.remarks.count; i++)
            print_message("remark: %s\n", r.remarks.names[i]);
        fail_msg("expected %zu problems and %zu remarks with \"%s\"", problems, remarks, says);
    }
    tsr_verify_clear(&r);
}

static void flip(const char *name, long at)
{
    FILE *f = fopen(in_folder(name), "r+b");
    assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int c = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(c ^ 1, f);
    fclose(f);
}

static void a_good_corpus_verifies(void **state)
{
    (void)state;
    tsr_verify_report r;
    expect(0, 1, "audio is not tokenized in 1 of 3 shards");
    assert_ok(tsr_verify(in_folder("caption-00000.h5"), 0, NULL, &r));
    assert_int_equal(r.problems.count, 0);
    assert_int_equal(r.samples, 5);
    tsr_verify_clear(&r);
    assert_fails(TSR_ENOENT, tsr_verify("/nonexistent", 0, NULL, &r));
    assert_fails(TSR_ENOENT, tsr_verify(build_folder(), 0, NULL, &r));
}

static void all_problems_are_listed(void **state)
{
    (void)state;
    flip("rgb-00000.h5", -3);
    assert_int_equal(truncate(in_folder("rgb-00001.h5"), 1000), 0);
    assert_int_equal(unlink(in_folder("caption-00002.h5")), 0);
    expect(3, 1, "rgb-00001.h5: has 1000 bytes");
    assert_int_equal(make(NULL), 0);
}

static void single_flipped_bits_are_found(void **state)
{
    (void)state;
    const char *names[] = {"rgb-00000.h5", "keys-00001.h5", "caption-00002.h5"};
    for (int i = 0; i < 3; i++)
        for (long at = 3; at < 2000; at += 331) {
            flip(names[i], at);
            expect(1, 1, "its digest is");
            flip(names[i], at);
        }
}

static void leftovers_are_remarked(void **state)
{
    (void)state;
    assert_ok(tsr_file_write(in_folder("rgb-00002.h5.tmp.123"), "x", 1));
    assert_ok(tsr_file_write(in_folder("depth-00000.h5"), "x", 1));
    expect(0, 3, "left by a writer");
    assert_int_equal(make(NULL), 0);
}

static void wrong_counts_are_found(void **state)
{
    (void)state;
    tsr_manifest m;
    assert_ok(tsr_manifest_read(folder, &m));
    tsr_file_entry *f = (tsr_file_entry *)tsr_manifest_file(&m.shards[0], "caption");
    f->stats.tokens++;
    assert_ok(tsr_manifest_write(&m, folder));
    expect(1, 1, "holds");
    f->stats.tokens--;
    m.shards[1].keys.hi ^= 1;
    assert_ok(tsr_manifest_write(&m, folder));
    expect(6, 1, "belongs to keys");
    tsr_manifest_clear(&m);
    assert_int_equal(make(NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest_round_trip),
        cmocka_unit_test(ranges_never_move),
        cmocka_unit_test(patches_take_no_range),
        cmocka_unit_test(patches_by_index),
        cmocka_unit_test(replacing_removes_entries),
        cmocka_unit_test(bad_manifests_are_refused),
        cmocka_unit_test(samples_by_index_and_key),
        cmocka_unit_test(many_threads_read),
        cmocka_unit_test(a_foreign_file_is_refused),
        cmocka_unit_test(a_good_corpus_verifies),
        cmocka_unit_test(all_problems_are_listed),
        cmocka_unit_test(single_flipped_bits_are_found),
        cmocka_unit_test(leftovers_are_remarked),
        cmocka_unit_test(wrong_counts_are_found),
    };
    return cmocka_run_group_tests(tests, make, NULL);
}
