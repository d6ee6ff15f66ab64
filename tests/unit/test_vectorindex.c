/* SPDX-License-Identifier: Apache-2.0
 * Indexes: what is found is what comparing everything finds; damaged files are refused. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "tasks/vectorindex.h"

#include <math.h>
#include <unistd.h>

enum { ROWS = 700, WIDTH = 37, QUERIES = 21, BEST = 40 };

static char path[4200];
static float vectors[ROWS * WIDTH], queries[QUERIES * WIDTH];
static uint64_t samples[ROWS];
static char names[ROWS][16];
static char *keys[ROWS];

static void fill(float *v, size_t n, uint64_t index)
{
    tsr_rng r;
    tsr_rng_init(&r, 5, TSR_RNG_TEST, index);
    for (size_t i = 0; i < n * WIDTH; i++)
        v[i] = tsr_rng_normal(&r);
    for (size_t i = 0; i < n; i++)
        tsr_index_unit(v + i * WIDTH, WIDTH);
}

/* Every fifth row is the row before it once more; row 11 has no direction. */
static int make_all(void **state)
{
    (void)state;
    json_t *about = json_pack("{si ss}", "version", TSR_INDEX_VERSION, "modality", "feature");
    snprintf(path, sizeof path, "%s/test_vectorindex.%ld.safetensors", build_folder(),
             (long)getpid());
    fill(vectors, ROWS, 0);
    fill(queries, QUERIES, 1);
    for (size_t i = 0; i < ROWS; i++) {
        snprintf(names[i], sizeof names[i], "k/%zu", i);
        keys[i] = names[i];
        samples[i] = 2 * i;
        if (i % 5 == 4)
            memcpy(vectors + i * WIDTH, vectors + (i - 1) * WIDTH, WIDTH * sizeof *vectors);
    }
    memset(vectors + (size_t)11 * WIDTH, 0, WIDTH * sizeof *vectors);
    const tsr_index_content c = {.about = about,
                                 .rows = ROWS,
                                 .width = WIDTH,
                                 .vectors = vectors,
                                 .samples = samples,
                                 .keys = keys};
    tsr_status st = tsr_index_write(path, &c);
    json_decref(about);
    return st != TSR_OK;
}

static int remove_all(void **state)
{
    (void)state;
    return remove(path);
}

static double cosine(size_t query, size_t row)
{
    double sum = 0;
    for (size_t i = 0; i < WIDTH; i++)
        sum += (double)queries[query * WIDTH + i] * vectors[row * WIDTH + i];
    return sum;
}

static void rows_are_what_was_written(void **state)
{
    (void)state;
    tsr_index *x;
    size_t row;
    float v[WIDTH];
    assert_ok(tsr_index_open(path, &x));
    assert_int_equal(tsr_index_rows(x), ROWS);
    assert_int_equal(tsr_index_width(x), WIDTH);
    assert_string_equal(tsr_index_key(x, 300), "k/300");
    assert_int_equal(tsr_index_sample(x, 300), 600);
    assert_null(tsr_index_centre(x));
    assert_null(tsr_index_terms(x));
    assert_ok(tsr_index_find(x, "k/699", &row));
    assert_int_equal(row, 699);
    assert_ok(tsr_index_find(x, "12", &row));
    assert_int_equal(row, 12);
    assert_fails(TSR_ENOENT, tsr_index_find(x, "700", &row));
    assert_fails(TSR_ENOENT, tsr_index_find(x, "k/x", &row));
    assert_ok(tsr_index_vector(x, 300, v));
    assert_memory_equal(v, vectors + (size_t)300 * WIDTH, sizeof v);
    tsr_index_close(x);
}

static void the_best_are_the_best(void **state)
{
    (void)state;
    static tsr_hit all[QUERIES * BEST], again[QUERIES * BEST];
    tsr_index *x;
    assert_ok(tsr_index_open(path, &x));
    assert_ok(tsr_index_best(x, queries, QUERIES, BEST, all, NULL));
    for (size_t q = 0; q < QUERIES; q++)
        for (size_t i = 0; i < BEST; i++) {
            const tsr_hit *h = &all[q * BEST + i];
            size_t better = 0;
            assert_true(fabs(h->score - cosine(q, h->row)) < 1e-5);
            for (size_t r = 0; r < ROWS; r++)
                better += cosine(q, r) > cosine(q, h->row) + 1e-5;
            assert_true(better <= i);
            if (i > 0)
                assert_true(h[-1].score > h->score ||
                            (h[-1].score == h->score && h[-1].row < h->row));
        }
    for (int threads = 1; threads <= 5; threads += 2) { /* alone, among others, by any threads */
        tsr_par_set_threads(threads);
        for (size_t q = 0; q < QUERIES; q++)
            assert_ok(tsr_index_best(x, queries + q * WIDTH, 1, BEST, again + q * BEST, NULL));
        for (size_t i = 0; i < QUERIES * BEST; i++)
            assert_true(again[i].row == all[i].row && again[i].score == all[i].score);
    }
    tsr_par_set_threads(0);
    assert_fails(TSR_EARG, tsr_index_best(x, queries, 1, ROWS + 1, all, NULL));
    tsr_index_close(x);
}

static void ranks_count_ties_half(void **state)
{
    (void)state;
    size_t targets[QUERIES];
    double ranks[QUERIES];
    static tsr_hit all[QUERIES * ROWS];
    tsr_index *x;
    assert_ok(tsr_index_open(path, &x));
    for (size_t q = 0; q < QUERIES; q++)
        targets[q] = q * 30 + (q % 2 ? 4 : 2); /* even: alone; odd: one of two alike, but 11 */
    assert_ok(tsr_index_ranks(x, queries, QUERIES, targets, ranks, NULL));
    assert_ok(tsr_index_best(x, queries, QUERIES, ROWS, all, NULL));
    for (size_t q = 0; q < QUERIES; q++) {
        size_t higher = 0, equal = 0;
        float wanted = 0;
        for (size_t i = 0; i < ROWS; i++)
            if (all[q * ROWS + i].row == targets[q])
                wanted = all[q * ROWS + i].score;
        for (size_t i = 0; i < ROWS; i++) {
            higher += all[q * ROWS + i].score > wanted;
            equal += all[q * ROWS + i].score == wanted;
        }
        assert_int_equal(equal, q % 2 ? 2 : 1);
        assert_true(ranks[q] == 1.0 + (double)higher + (q % 2 ? 0.5 : 0.0));
    }
    targets[0] = ROWS;
    assert_fails(TSR_EARG, tsr_index_ranks(x, queries, 1, targets, ranks, NULL));
    tsr_index_close(x);
}

/* Opens and searches a file of these bytes; 1 when both went well. */
static int works(const char *bytes, size_t n)
{
    char other[4300];
    tsr_index *x = NULL;
    tsr_hit hit;
    float *query = NULL;
    int good = 0;
    snprintf(other, sizeof other, "%s.bad", path);
    assert_ok(tsr_file_write(other, bytes, n));
    if (tsr_index_open(other, &x) == TSR_OK &&
        tsr_alloc(&query, tsr_index_width(x), sizeof *query) == TSR_OK)
        good = tsr_index_best(x, query, 1, 1, &hit, NULL) == TSR_OK;
    if (!good)
        assert_true(strlen(tsr_error()) > 10);
    tsr_free(query);
    tsr_index_close(x);
    remove(other);
    return good;
}

/* Whatever byte is another one, and wherever the file ends: it is refused, unless the change was one
 * of blanks in the header. */
static void damage_is_seen(void **state)
{
    (void)state;
    char *bytes;
    size_t n, header = 0, passed = 0;
    assert_ok(tsr_file_read(path, 1 << 24, &bytes, &n));
    memcpy(&header, bytes, 4);
    assert_true(works(bytes, n));
    for (size_t i = 0; i < n; i += 1 + i / 40) {
        bytes[i] ^= 0x10;
        int good = works(bytes, n);
        bytes[i] ^= 0x10;
        passed += good;
        assert_true(!good || i < header + 8);
    }
    assert_true(passed < 12);
    for (size_t cut = 1; cut < n; cut = cut * 3 / 2 + 1)
        assert_false(works(bytes, n - cut));
    tsr_free(bytes);
}

static void wrong_content_is_refused(void **state)
{
    (void)state;
    char bad[] = "";
    char *one[] = {bad};
    json_t *about = json_pack("{si}", "version", TSR_INDEX_VERSION + 1);
    tsr_index_content c = {.about = about,
                           .rows = 1,
                           .width = WIDTH,
                           .vectors = vectors,
                           .samples = samples,
                           .keys = one};
    char other[4300];
    tsr_index *x = NULL;
    snprintf(other, sizeof other, "%s.bad", path);
    assert_fails(TSR_EARG, tsr_index_write(other, &c));
    c.keys = keys;
    assert_ok(tsr_index_write(other, &c));
    assert_fails(TSR_EUNSUPPORTED, tsr_index_open(other, &x));
    json_decref(about);
    remove(other);
    assert_fails(TSR_ENOENT, tsr_index_open(other, &x));
    snprintf(other, sizeof other, "%s/tests/data/golden/dinov2-global.safetensors",
             source_folder());
    assert_fails(TSR_EFORMAT, tsr_index_open(other, &x));
}

static void directions_have_length_one_or_none(void **state)
{
    (void)state;
    float v[3] = {3, 0, -4}, none[2] = {0, 0}, wild[2] = {INFINITY, 1};
    tsr_index_unit(v, 3);
    assert_true(fabsf(v[0] - 0.6f) < 1e-6f && v[1] == 0 && fabsf(v[2] + 0.8f) < 1e-6f);
    tsr_index_unit(none, 2);
    assert_true(none[0] == 0 && none[1] == 0);
    tsr_index_unit(wild, 2);
    assert_true(wild[0] == 0 && wild[1] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_what_was_written),
        cmocka_unit_test(the_best_are_the_best),
        cmocka_unit_test(ranks_count_ties_half),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(wrong_content_is_refused),
        cmocka_unit_test(directions_have_length_one_or_none),
    };
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
