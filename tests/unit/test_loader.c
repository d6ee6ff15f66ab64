/* SPDX-License-Identifier: Apache-2.0
 * The loader: order, several corpora, reading ahead, bad samples, what must agree with the model.
 * The masks are a stand-in that shows everything and draws one number. */
#include "testing.h"
#include "tokencorpus.h"

#include "trainer/loader.h"

#include <unistd.h>

/* --- masks that show everything --- */

struct tsr_policy {
    const tsr_mods *mods;
    size_t rows, bytes;
};

tsr_status tsr_mask_work_create(const tsr_policy *p, tsr_mask_work **out)
{
    (void)p;
    *out = NULL;
    return TSR_OK;
}

void tsr_mask_work_destroy(tsr_mask_work *w)
{
    (void)w;
}

size_t tsr_policy_rows(const tsr_policy *p)
{
    return p->rows;
}

size_t tsr_policy_patch_bytes(const tsr_policy *p)
{
    return p->bytes;
}

/* All tokens are inputs; one number drawn is the position of a target of the first modality. */
tsr_status tsr_mask_sample(const tsr_policy *p, const tsr_held *held, tsr_rng *rng,
                           tsr_mask_work *w, tsr_example *e)
{
    (void)w;
    tsr_example_reset(e);
    memset(e->pool, 0, e->pool_cap * sizeof *e->pool);
    for (size_t m = 0; m < p->mods->count; m++) {
        if (!held[m].present)
            continue;
        TSR_TRY(tsr_example_rows(e, &e->in[m], held[m].count));
        for (uint32_t i = 0; held[m].ids && i < held[m].count; i++)
            e->in[m].ids[i] = (int32_t)held[m].ids[i];
        if (held[m].patches) {
            size_t n = held[m].count * p->mods->items[m].patch_values;
            memcpy(e->bytes, held[m].patches, n);
            e->in[m].patches = e->bytes;
            e->bytes_used = n;
        }
    }
    TSR_TRY(tsr_example_rows(e, &e->out[0], 1));
    e->out[0].positions[0] = (int32_t)(tsr_rng_u32(rng) >> 1);
    return TSR_OK;
}

/* --- corpora --- */

static char first[512], second[512], other[512];
static const tc_spec corpora[] = {
    {.folder = first, .train = 50, .val = 9, .shard = 16, .crops = 2, .tokenizer = 7, .holes = 1},
    {.folder = second,
     .train = 20,
     .val = 3,
     .shard = 8,
     .crops = 1,
     .tokenizer = 7,
     .without = 1u << TC_DEPTH,
     .first = 1000},
    {.folder = other, .train = 8, .val = 1, .shard = 8, .crops = 1, .tokenizer = 8},
};

static int make(void **state)
{
    (void)state;
    static char *const names[] = {first, second, other};
    char command[600];
    for (size_t i = 0; i < 3; i++) {
        snprintf(names[i], sizeof first, "%s/test_loader.d/%zu", build_folder(), i);
        snprintf(command, sizeof command, "rm -rf '%s'", names[i]);
        if (system(command) != 0 || tc_write(&corpora[i]) != TSR_OK)
            return 1;
    }
    return 0;
}

static int forget(void **state)
{
    char command[600];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s/test_loader.d'", build_folder());
    return system(command);
}

static tsr_mods mods;
static tsr_policy policy;

static void use_modalities(const char *const *names, size_t n)
{
    mods.count = 0;
    for (size_t i = 0; i < n; i++) {
        tsr_mod m;
        for (int k = 0; k < TC_MODALITIES; k++) {
            const tsr_modality of = tc_modality(&corpora[0], k);
            if (strcmp(of.space.modality, names[i]) == 0)
                tsr_mod_of_space(&of.space, &m);
            if (k == TC_PIXELS && strcmp(names[i], "rgb@16") == 0) {
                m.cls = TSR_CLASS_PIXELS;
                m.places = TC_SIDE * TC_SIDE;
                m.patch_values = TC_PATCH * TC_PATCH * 3;
                m.vocabulary = 0;
            }
        }
        assert_ok(tsr_mods_add(&mods, &m));
    }
    policy = (tsr_policy){&mods, 200, 4096};
}

static const char *const all_names[] = {"rgb", "depth", "caption", "rgb@16"};

static tsr_loader_spec spec_of(const tsr_feed *feeds, size_t n)
{
    return (tsr_loader_spec){
        .mods = &mods, .feeds = feeds, .n_feeds = n, .policy = &policy, .seed = 3, .batch = 5};
}

/* Number of the sample an example came from, and that its tokens are that sample's. */
static uint64_t check_example(const tsr_example *e, const tc_spec *c, uint32_t crop)
{
    uint32_t ids[1024];
    uint64_t n = c->first + e->sample;
    for (int k = 0; k < TC_MODALITIES; k++) {
        const tsr_modality of = tc_modality(c, k);
        int m = tsr_mods_find(&mods, of.space.modality);
        int there = !(c->without >> k & 1) && tc_state(c, k, n) == TSR_REAL;
        if (m < 0)
            continue;
        size_t count = tc_ids(k, n, crop, ids);
        assert_int_equal(e->in[m].count, !there ? 0 : k == TC_PIXELS ? TC_SIDE * TC_SIDE : count);
        for (size_t i = 0; there && i < count; i++)
            assert_int_equal(k == TC_PIXELS ? e->in[m].patches[i] : e->in[m].ids[i], ids[i]);
    }
    return e->sample;
}

/* --- the order --- */

static void every_sample_once_a_pass(void **state)
{
    (void)state;
    use_modalities(all_names, 4);
    const tsr_feed feed = {.path = first, .split = "train", .weight = 1};
    tsr_loader_spec spec = spec_of(&feed, 1);
    tsr_loader *l;
    int seen[2][50] = {{0}};
    uint64_t order[2][50];
    size_t masks_equal = 0;
    int32_t mask[50];
    assert_ok(tsr_loader_open(&spec, &l));
    assert_int_equal(tsr_loader_samples(l), 50);
    assert_int_equal(tsr_loader_feed_samples(l, 0), 50);
    assert_int_equal(tsr_loader_feed_samples(l, 1), 0);
    for (uint64_t b = 0; b < 20; b++) {
        const tsr_example *const *e;
        size_t n;
        assert_ok(tsr_loader_batch(l, b, &e, &n));
        assert_int_equal(n, 5);
        for (size_t i = 0; i < n; i++) {
            uint64_t s = check_example(e[i], &corpora[0], 0), at = 5 * (b % 10) + i;
            assert_true(s < 50);
            seen[b / 10][s]++;
            order[b / 10][at] = s;
            if (b < 10)
                mask[s] = e[i]->out[0].positions[0];
            else
                masks_equal += mask[s] == e[i]->out[0].positions[0];
        }
    }
    for (int i = 0; i < 50; i++)
        assert_true(seen[0][i] == 1 && seen[1][i] == 1);
    assert_true(memcmp(order[0], order[1], sizeof order[0]) != 0);
    assert_int_equal(masks_equal, 0);
    tsr_loader_close(l);
}

static void bytes_do_not_depend_on_reading_ahead(void **state)
{
    (void)state;
    use_modalities(all_names, 4);
    static const uint64_t asked[] = {0, 1, 2, 3, 9, 10, 4, 5, 6, 6, 100, 0, 1};
    const tsr_feed feeds[] = {
        {.path = first, .split = "train", .weight = 3, .random_crops = 1},
        {.path = second, .split = "train", .weight = 1},
    };
    tsr_loader *plain, *ahead[3];
    tsr_loader_spec spec = spec_of(feeds, 2);
    assert_ok(tsr_loader_open(&spec, &plain));
    for (size_t i = 0; i < 3; i++) {
        spec.ahead = i == 2 ? 7 : i + 1;
        assert_ok(tsr_loader_open(&spec, &ahead[i]));
    }
    const tsr_example *const *before = NULL;
    uint64_t kept = 0;
    for (size_t k = 0; k < sizeof asked / sizeof asked[0]; k++) {
        const tsr_example *const *a, *const *b = NULL;
        size_t n, m;
        assert_ok(tsr_loader_batch(plain, asked[k], &a, &n));
        for (size_t i = 0; i < 3; i++) {
            assert_ok(tsr_loader_batch(ahead[i], asked[k], &b, &m));
            assert_int_equal(n, m);
            for (size_t e = 0; e < n; e++) {
                assert_int_equal(a[e]->corpus, b[e]->corpus);
                assert_int_equal(a[e]->sample, b[e]->sample);
                assert_int_equal(a[e]->pool_used, b[e]->pool_used);
                assert_memory_equal(a[e]->pool, b[e]->pool, a[e]->pool_used * sizeof *a[e]->pool);
                assert_int_equal(a[e]->bytes_used, b[e]->bytes_used);
                assert_memory_equal(a[e]->bytes, b[e]->bytes, a[e]->bytes_used);
            }
        }
        /* The batch before is still there. */
        if (before)
            assert_int_equal(before[0]->sample, kept);
        before = b;
        kept = b[0]->sample;
    }
    tsr_loader_close(plain);
    for (size_t i = 0; i < 3; i++)
        tsr_loader_close(ahead[i]);
}

static void corpora_keep_their_shares(void **state)
{
    (void)state;
    use_modalities(all_names, 4);
    const tsr_feed feeds[] = {
        {.path = first, .split = "train", .weight = 0.7},
        {.path = second, .split = "train", .weight = 0.3},
    };
    tsr_loader_spec spec = spec_of(feeds, 2);
    spec.batch = 64;
    tsr_loader *l;
    size_t of[2] = {0}, seen[20] = {0}, changes = 0;
    uint32_t last = 2;
    assert_ok(tsr_loader_open(&spec, &l));
    for (uint64_t b = 0; b < 64; b++) { /* one window of 4,096 */
        const tsr_example *const *e;
        size_t n;
        assert_ok(tsr_loader_batch(l, b, &e, &n));
        for (size_t i = 0; i < n; i++) {
            of[e[i]->corpus]++;
            changes += e[i]->corpus != last;
            last = e[i]->corpus;
            uint64_t s = check_example(e[i], &corpora[e[i]->corpus], 0);
            if (e[i]->corpus == 1)
                seen[s]++;
        }
    }
    assert_int_equal(of[0], 2867);
    assert_int_equal(of[1], 1229);
    assert_true(changes > 1400 && changes < 2100); /* 2 * 0.7 * 0.3 * 4096 = 1720 if drawn freely */
    for (int i = 0; i < 20; i++)
        assert_in_range(seen[i], 61, 62); /* passes follow each other */
    tsr_loader_close(l);
}

static void random_crops_are_drawn(void **state)
{
    (void)state;
    use_modalities(all_names, 1);
    const tsr_feed feed = {.path = first, .split = "train", .weight = 1, .random_crops = 1};
    tsr_loader_spec spec = spec_of(&feed, 1);
    tsr_loader *l;
    size_t second_crop = 0, told = 0;
    spec.batch = 100;
    assert_ok(tsr_loader_open(&spec, &l));
    const tsr_example *const *e;
    size_t n;
    assert_ok(tsr_loader_batch(l, 0, &e, &n));
    for (size_t i = 0; i < n; i++) {
        uint32_t a[1024], b[1024];
        size_t count = tc_ids(TC_RGB, e[i]->sample, 0, a);
        (void)tc_ids(TC_RGB, e[i]->sample, 1, b);
        if (memcmp(a, b, count * sizeof *a) == 0)
            continue;
        told++;
        second_crop += memcmp(e[i]->in[0].ids, b, count * sizeof *b) == 0;
    }
    assert_true(told > 80);
    assert_true(second_crop > told / 4 && second_crop < told * 3 / 4);
    tsr_loader_close(l);
}

static void in_order_ends(void **state)
{
    (void)state;
    use_modalities(all_names, 4);
    const tsr_feed feeds[] = {
        {.path = first, .split = "val", .weight = 1},
        {.path = second, .split = "val", .weight = 1},
    };
    tsr_loader_spec spec = spec_of(feeds, 2);
    spec.in_order = 1;
    for (size_t ahead = 0; ahead < 3; ahead += 2) {
        tsr_loader *l;
        const tsr_example *const *e;
        size_t n, at = 0;
        spec.ahead = ahead;
        assert_ok(tsr_loader_open(&spec, &l));
        assert_int_equal(tsr_loader_samples(l), 12);
        for (uint64_t b = 0; b < 3; b++) {
            assert_ok(tsr_loader_batch(l, b, &e, &n));
            assert_int_equal(n, b < 2 ? 5 : 2);
            for (size_t i = 0; i < n; i++, at++) {
                assert_int_equal(e[i]->corpus, at >= 9);
                assert_int_equal(e[i]->sample, at < 9 ? 50 + at : 20 + at - 9);
                check_example(e[i], &corpora[at >= 9], 0);
            }
        }
        assert_fails(TSR_ENOENT, tsr_loader_batch(l, 3, &e, &n));
        tsr_loader_close(l);
    }
    spec.limit = 4;
    tsr_loader *l;
    assert_ok(tsr_loader_open(&spec, &l));
    assert_int_equal(tsr_loader_samples(l), 7);
    tsr_loader_close(l);
}

/* --- one sample --- */

static void held_is_the_sample(void **state)
{
    (void)state;
    use_modalities(all_names, 4);
    const tsr_feed feed = {.path = first, .split = "val", .weight = 1};
    tsr_loader_spec spec = spec_of(&feed, 1);
    tsr_loader *l;
    tsr_sample_held h;
    uint32_t ids[1024];
    assert_ok(tsr_loader_open(&spec, &l));
    assert_string_equal(tsr_corpus_path(tsr_loader_corpus(l, 0)), first);
    assert_null(tsr_loader_corpus(l, 1));
    for (uint64_t n = 0; n < 9; n++) {
        assert_ok(tsr_loader_held(l, 0, n, &h));
        int depth = tsr_mods_find(&mods, "depth"), caption = tsr_mods_find(&mods, "caption");
        assert_int_equal(h.held[depth].present, (50 + n) % 7 != 3);
        assert_int_equal(h.held[depth].count, (50 + n) % 7 != 3 ? 16 : 0);
        size_t count = tc_ids(TC_CAPTION, 50 + n, 0, ids);
        assert_int_equal(h.held[caption].count, count);
        assert_memory_equal(h.held[caption].ids, ids, count * sizeof *ids);
        tsr_held_clear(&h);
    }
    assert_fails(TSR_EARG, tsr_loader_held(l, 0, 9, &h));
    assert_fails(TSR_EARG, tsr_loader_held(l, 1, 0, &h));
    tsr_loader_close(l);
}

/* --- what does not fit --- */

static void assert_says(const char *part)
{
    if (!strstr(tsr_error(), part))
        fail_msg("\"%s\" is not in: %s", part, tsr_error());
}

static void mismatches_name_both_sides(void **state)
{
    (void)state;
    use_modalities(all_names, 4);
    tsr_loader *l;
    tsr_feed feed = {.path = other, .split = "train", .weight = 1};
    tsr_loader_spec spec = spec_of(&feed, 1);
    assert_fails(TSR_EMISMATCH, tsr_loader_open(&spec, &l));
    assert_says("caption");
    assert_says("00000000000000070000000000000002");
    assert_says("00000000000000080000000000000002");
    assert_says(other);
    feed.path = second;
    assert_fails(TSR_ECONFIG, tsr_loader_open(&spec, &l));
    assert_says("depth");
    feed.path = first;
    feed.split = "nonesuch";
    assert_fails(TSR_ECONFIG, tsr_loader_open(&spec, &l));
    assert_says("nonesuch");
    feed.split = "train";
    feed.weight = 0;
    assert_fails(TSR_ECONFIG, tsr_loader_open(&spec, &l));
    feed.weight = 1;
    int rgb = tsr_mods_find(&mods, "rgb");
    mods.items[rgb].height = 5;
    assert_fails(TSR_EMISMATCH, tsr_loader_open(&spec, &l));
    assert_says("5 x 4");
    mods.items[rgb].height = 4;
    mods.items[rgb].vocabulary = 31;
    assert_fails(TSR_EMISMATCH, tsr_loader_open(&spec, &l));
    assert_says("31");
    mods.items[rgb].vocabulary = TC_CODES;
    mods.items[rgb].cls = TSR_CLASS_SEQUENCE;
    assert_fails(TSR_EMISMATCH, tsr_loader_open(&spec, &l));
    mods.items[rgb].cls = TSR_CLASS_IMAGE;
    mods.items[rgb].tokenizer = (tsr_digest){0, 0}; /* unknown: nothing to compare */
    assert_ok(tsr_loader_open(&spec, &l));
    tsr_loader_close(l);
}

static void names_may_differ(void **state)
{
    (void)state;
    use_modalities(all_names, 1);
    snprintf(mods.items[0].name, sizeof mods.items[0].name, "tok_rgb");
    const char *names[] = {"rgb"};
    const tsr_feed feed = {.path = first, .split = "train", .weight = 1, .names = names};
    tsr_loader_spec spec = spec_of(&feed, 1);
    tsr_loader *l;
    assert_ok(tsr_loader_open(&spec, &l));
    const tsr_example *const *e;
    size_t n;
    assert_ok(tsr_loader_batch(l, 0, &e, &n));
    assert_int_equal(e[0]->in[0].count, 16);
    tsr_loader_close(l);
    names[0] = "rgbb";
    assert_fails(TSR_ECONFIG, tsr_loader_open(&spec, &l));
}

/* Ids of one row of the file are set beyond the codebook: whoever needs that sample gets the next.
 */
static void unreadable_samples_are_replaced(void **state)
{
    (void)state;
    use_modalities(all_names, 3);
    char path[600];
    snprintf(path, sizeof path, "%s/rgb-00000.h5", second);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    static unsigned char all[1 << 20];
    size_t bytes = fread(all, 1, sizeof all, f);
    uint16_t row[16];
    uint32_t ids[1024];
    for (size_t i = 0; i < tc_ids(TC_RGB, 1005, 0, ids); i++)
        row[i] = (uint16_t)ids[i];
    unsigned char *at = memmem(all, bytes, row, sizeof row);
    assert_non_null(at);
    assert_int_equal(fseek(f, at - all, SEEK_SET), 0);
    fputc(0xff, f);
    fputc(0xff, f);
    fclose(f);
    const tsr_feed feeds[] = {{.path = first, .split = "train", .weight = 1e-9},
                              {.path = second, .split = "train", .weight = 1}};
    tsr_loader_spec spec = spec_of(feeds, 2);
    spec.batch = 100;
    spec.ahead = 1;
    tsr_loader *l;
    const tsr_example *const *e;
    const char *why;
    size_t n;
    assert_ok(tsr_loader_open(&spec, &l));
    assert_ok(tsr_loader_batch(l, 0, &e, &n));
    assert_int_equal(n, 100);
    for (size_t i = 0; i < n; i++)
        assert_false(e[i]->corpus == 1 && e[i]->sample == 5);
    assert_int_equal(tsr_loader_bad(l, &why), 5);
    assert_non_null(strstr(why, "id 65535"));
    tsr_loader_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_once_a_pass),
        cmocka_unit_test(bytes_do_not_depend_on_reading_ahead),
        cmocka_unit_test(corpora_keep_their_shares),
        cmocka_unit_test(random_crops_are_drawn),
        cmocka_unit_test(in_order_ends),
        cmocka_unit_test(held_is_the_sample),
        cmocka_unit_test(mismatches_name_both_sides),
        cmocka_unit_test(names_may_differ),
        cmocka_unit_test(unreadable_samples_are_replaced),
    };
    return cmocka_run_group_tests_name("loader", tests, make, forget);
}
