/* SPDX-License-Identifier: Apache-2.0
 * Pickles: plain values, NumPy's arrays, and what a stranger may send. */
#include "testing.h"

#include "base/rng.h"
#include "codecs/pickle.h"

#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

static void assert_reads(const uint8_t *data, size_t n, const char *want)
{
    json_t *got, *v;
    assert_ok(tsr_pickle_read("x", data, n, &got));
    assert_ok(tsr_json_parse(want, strlen(want), "test", &v));
    assert_true(json_equal(got, v));
    json_decref(got);
    json_decref(v);
}

/* {"a": [1, -2, 300, 0.5, None, True], "b": ("x", "x")}, protocols 2 and 4 as Python writes them. */
static const char two[] = "\x80\x02}q\x00(X\x01\x00\x00\x00"
                          "aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01G?\xe0\x00\x00\x00\x00\x00\x00N\x88"
                          "eX\x01\x00\x00\x00"
                          "bq\x03X\x01\x00\x00\x00xq\x04h\x04\x86q\x05u.";
static const char four[] = "\x80\x04\x95\x2d\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01"
                           "a\x94]\x94(K\x01J\xfe\xff\xff\xffM,\x01G?\xe0\x00\x00\x00\x00\x00\x00N\x88"
                           "e\x8c\x01"
                           "b\x94\x8c\x01x\x94h\x04\x86\x94u.";

/* numpy.array([[1, 2], [3, -4]], '<i2'), protocol 3. */
static const char array[] = "\x80\x03"
                            "cnumpy.core.multiarray\n_reconstruct\nq\x00"
                            "cnumpy\nndarray\nq\x01K\x00\x85q\x02"
                            "C\x01"
                            "bq\x03\x87q\x04Rq\x05(K\x01K\x02K\x02\x86q\x06"
                            "cnumpy\ndtype\nq\x07X\x02\x00\x00\x00i2q\x08\x89\x88\x87q\tRq\n(K\x03X\x01\x00\x00\x00<"
                            "q\x0bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0c"
                            "b\x89"
                            "C\x08\x01\x00\x02\x00\x03\x00\xfc\xffq\rtq\x0e"
                            "b.";

static void plain_values_are_read(void **state)
{
    (void)state;
    static const char want[] = "{\"a\":[1,-2,300,0.5,null,true],\"b\":[\"x\",\"x\"]}";
    assert_reads(BYTES(two), want);
    assert_reads(BYTES(four), want);
    assert_reads(BYTES(array), "[[1,2],[3,-4]]");
    assert_reads(BYTES("(K\x01K\x02t."), "[1,2]");
    assert_reads(BYTES("].K"), "[]");
}

static void strangers_are_refused(void **state)
{
    (void)state;
    static const struct {
        tsr_status status;
        const char *data;
        size_t n;
    } wrong[] = {
        {TSR_EFORMAT, "", 0},
        {TSR_EFORMAT, ".", 1},
        {TSR_EFORMAT, "a.", 2},
        {TSR_EFORMAT, "e.", 2},
        {TSR_EFORMAT, "K\x01K\x02s.", 6},
        {TSR_EFORMAT, "}(K\x01u.", 6},
        {TSR_EFORMAT, "}K\x01K\x02s.", 7},                     /* a key that is no text */
        {TSR_EFORMAT, "h\x07.", 3},                            /* never remembered */
        {TSR_EFORMAT, "X\xff\xff\xff\x7f.", 6},                /* a text beyond the end */
        {TSR_EFORMAT, "(.", 2},                                /* a mark is no value */
        {TSR_EFORMAT, "G\x7f\xf0\x00\x00\x00\x00\x00\x00.", 10}, /* infinity */
        {TSR_EFORMAT, "X\x01\x00\x00\x00\xff.", 7},            /* not UTF-8 */
        {TSR_ELIMIT, "]q\x00h\x00" "a.", 7},                   /* a list that holds itself */
        {TSR_EUNSUPPORTED, "cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", 22},
        {TSR_EUNSUPPORTED, "cnumpy\nsystem\n)R.", 17},
        {TSR_EUNSUPPORTED, "(cos\nsystem\no.", 14},
        {TSR_EUNSUPPORTED, "K\x01" "b.", 4},
    };
    json_t *got;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        tsr_status st = tsr_pickle_read("x", (const uint8_t *)wrong[i].data, wrong[i].n, &got);
        int like = st == wrong[i].status || (i == 16 && st == TSR_EFORMAT);
        if (!like)
            fail_msg("case %zu: %s", i, tsr_status_name(st));
    }
}

/* Each cut, and many changed bytes: an answer or an error, never more. */
static void damaged_pickles_do_no_harm(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t n;
    } all[] = {{two, sizeof two - 1}, {four, sizeof four - 1}, {array, sizeof array - 1}};
    size_t refused = 0, tried = 0;
    uint8_t copy[512];
    tsr_rng r;
    json_t *got;
    tsr_rng_init(&r, 1, TSR_RNG_TEST, 0);
    for (size_t k = 0; k < 3; k++) {
        for (size_t n = 0; n < all[k].n; n++)
            assert_fails(TSR_EFORMAT, tsr_pickle_read("x", (const uint8_t *)all[k].data, n, &got));
        for (size_t i = 0; i < 4000; i++, tried++) {
            memcpy(copy, all[k].data, all[k].n);
            for (size_t c = 0; c <= i % 3; c++)
                copy[tsr_rng_below(&r, (uint32_t)all[k].n)] = (uint8_t)tsr_rng_u32(&r);
            if (tsr_pickle_read("x", copy, all[k].n, &got) == TSR_OK)
                json_decref(got);
            else
                refused++;
        }
    }
    print_message("%zu of %zu changed pickles were refused\n", refused, tried);
    assert_true(refused > tried / 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_values_are_read),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(damaged_pickles_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
