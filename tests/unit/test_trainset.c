/* SPDX-License-Identifier: Apache-2.0
 * What a recipe makes of corpora: modalities, feeds, validation sets; entropies of their tokens;
 * the checksum of event files. */
#include "testing.h"
#include "tokencorpus.h"

#include "trainer/eventfile.h"
#include "trainer/fmrun.h"
#include "trainer/trainset.h"
#include "trainer/unigram.h"

#include <math.h>

static char first[512], second[512];

static int make(void **state)
{
    char command[600];
    (void)state;
    snprintf(first, sizeof first, "%s/test_trainset.d/a", build_folder());
    snprintf(second, sizeof second, "%s/test_trainset.d/b", build_folder());
    snprintf(command, sizeof command, "rm -rf '%s/test_trainset.d'", build_folder());
    const tc_spec a = {
        .folder = first, .train = 30, .val = 5, .shard = 16, .crops = 1, .tokenizer = 7};
    const tc_spec b = {.folder = second,
                       .train = 10,
                       .val = 4,
                       .shard = 16,
                       .crops = 1,
                       .tokenizer = 7,
                       .without = 1u << TC_DEPTH,
                       .first = 100};
    return system(command) != 0 || tc_write(&a) != TSR_OK || tc_write(&b) != TSR_OK;
}

static int forget(void **state)
{
    char command[600];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s/test_trainset.d'", build_folder());
    return system(command);
}

/* A recipe of both corpora with more lines. */
static tsr_recipe *recipe(const char *more)
{
    char text[4096];
    tsr_recipe *r;
    int n = snprintf(text, sizeof text,
                     "output: x\n"
                     "data:\n"
                     "  one: {corpus: '%s', weight: 2}\n"
                     "  two: {corpus: '%s', names: {tok_rgb: rgb}}\n%s",
                     first, second, more);
    assert_ok(tsr_recipe_parse(text, (size_t)n, "test", NULL, 0, tsr_fmrun_fields,
                               tsr_fmrun_n_fields, &r));
    return r;
}

static void modalities_of_all_corpora_are_there(void **state)
{
    (void)state;
    tsr_recipe *r = recipe("model: {max_tokens: {caption: 40}, inputs: [rgb, rgb@16, caption]}\n");
    tsr_mods m;
    assert_ok(tsr_trainset_mods(r, &m));
    assert_int_equal(m.count, 5);
    static const char *const names[] = {"caption", "depth", "rgb", "rgb@16", "tok_rgb"};
    static const int in[] = {1, 0, 1, 1, 0}, out[] = {1, 1, 1, 0, 1};
    uint32_t end = 0;
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(m.items[i].name, names[i]);
        assert_int_equal(m.items[i].input, in[i]);
        assert_int_equal(m.items[i].output, out[i]);
    }
    assert_int_equal(m.items[0].max_tokens, 40);
    /* One vocabulary for both: text first, ranges apart. */
    assert_int_equal(m.items[0].base, 0);
    static const size_t grids[] = {1, 2, 4};
    end = TC_TEXT;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(m.items[grids[i]].base, end);
        end += TC_CODES;
    }
    tsr_recipe_close(r);
    r = recipe("model: {outputs: [depht]}\n");
    assert_fails(TSR_ECONFIG, tsr_trainset_mods(r, &m));
    assert_non_null(strstr(tsr_error(), "did you mean \"depth\""));
    tsr_recipe_close(r);
}

static void feeds_and_validation_follow_the_recipe(void **state)
{
    (void)state;
    tsr_recipe *r = recipe("mask: {totals: {inputs: 8, targets: 9}}\n"
                           "validation:\n"
                           "  all: {}\n"
                           "  two: {corpus: two, split: train, samples: 3, mask: {totals: {inputs: "
                           "20, targets: 4}}}\n");
    tsr_mods m;
    tsr_trainset s;
    tsr_capacity c;
    assert_ok(tsr_trainset_mods(r, &m));
    assert_ok(tsr_trainset_open(r, &m, &s));
    assert_int_equal(s.n_feeds, 2);
    assert_true(s.feeds[0].weight == 2 && s.feeds[1].weight == 1);
    assert_string_equal(s.feeds[1].names[tsr_mods_find(&m, "tok_rgb")], "rgb");
    assert_int_equal(s.n_vals, 2);
    assert_int_equal(s.vals[0].n_feeds, 2);
    assert_string_equal(s.vals[0].feeds[0].split, "val");
    assert_int_equal(s.vals[0].samples, 256);
    assert_int_equal(s.vals[1].n_feeds, 1);
    assert_string_equal(s.vals[1].feeds[0].path, second);
    assert_int_equal(s.vals[1].samples, 3);
    tsr_trainset_capacity(&s, &c);
    assert_int_equal(c.in_rows, 20);
    assert_int_equal(c.out_rows, 9);
    tsr_trainset_close(&s);
    tsr_recipe_close(r);
    r = recipe("validation: {v: {corpus: three}}\n");
    assert_ok(tsr_trainset_mods(r, &m));
    assert_fails(TSR_ECONFIG, tsr_trainset_open(r, &m, &s));
    assert_non_null(strstr(tsr_error(), "three"));
    tsr_recipe_close(r);
}

static void entropies_are_those_of_the_tokens(void **state)
{
    (void)state;
    tsr_recipe *r = recipe("");
    tsr_mods m;
    tsr_trainset s;
    tsr_loader *l;
    tsr_unigrams u, back;
    json_t *v;
    assert_ok(tsr_trainset_mods(r, &m));
    assert_ok(tsr_trainset_open(r, &m, &s));
    const tsr_loader_spec spec = {.mods = &m, .feeds = s.feeds, .n_feeds = 2, .batch = 1};
    assert_ok(tsr_loader_open(&spec, &l));
    assert_ok(tsr_unigrams_count(l, &m, 0, &u));
    size_t rgb = (size_t)tsr_mods_find(&m, "rgb"), text = (size_t)tsr_mods_find(&m, "caption");
    /* Counted anew: rgb of the first corpus alone, the other's is called tok_rgb. */
    uint32_t counts[TC_CODES] = {0}, ids[1024], all = 0;
    double entropy = 0;
    for (uint64_t n = 0; n < 30; n++)
        for (size_t i = 0; i < tc_ids(TC_RGB, n, 0, ids); i++, all++)
            counts[ids[i]]++;
    for (int k = 0; k < TC_CODES; k++)
        if (counts[k])
            entropy -= counts[k] / (double)all * log(counts[k] / (double)all);
    assert_int_equal(u.tokens[rgb], all);
    assert_true(fabs(u.entropy[rgb] - entropy) < 1e-9);
    assert_int_equal(u.tokens[text], 40 * 3);
    assert_int_equal(u.tokens[(size_t)tsr_mods_find(&m, "rgb@16")], 0);
    assert_ok(tsr_unigrams_to_json(&u, &m, &v));
    assert_ok(tsr_unigrams_from_json(v, "test", &m, &back));
    assert_memory_equal(&u.entropy, &back.entropy, m.count * sizeof *u.entropy);
    json_object_del(v, "rgb");
    assert_fails(TSR_EFORMAT, tsr_unigrams_from_json(v, "test", &m, &back));
    json_decref(v);
    assert_ok(tsr_unigrams_count(l, &m, 5, &u));
    assert_int_equal(u.tokens[rgb], 5 * 16);
    tsr_loader_close(l);
    tsr_trainset_close(&s);
    tsr_recipe_close(r);
}

/* Expected: RFC 3720, appendix B.4 and the usual check value. */
static void checksums_are_castagnolis(void **state)
{
    unsigned char zeros[32] = {0}, ones[32];
    (void)state;
    memset(ones, 0xff, sizeof ones);
    assert_int_equal(tsr_crc32c("123456789", 9), 0xe3069283u);
    assert_int_equal(tsr_crc32c(zeros, sizeof zeros), 0x8a9136aau);
    assert_int_equal(tsr_crc32c(ones, sizeof ones), 0x62a8ab43u);
    assert_int_equal(tsr_crc32c("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modalities_of_all_corpora_are_there),
        cmocka_unit_test(feeds_and_validation_follow_the_recipe),
        cmocka_unit_test(entropies_are_those_of_the_tokens),
        cmocka_unit_test(checksums_are_castagnolis),
    };
    return cmocka_run_group_tests_name("trainset", tests, make, forget);
}
