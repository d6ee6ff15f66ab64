/* SPDX-License-Identifier: Apache-2.0
 * Facts of captions: the grammar, its paraphrases, text that is no caption, and the rates. */
#include "testing.h"

#include "tasks/facts.h"

#include <math.h>

enum { RED, ORANGE, YELLOW, GREEN, CYAN, BLUE, PURPLE, PINK, BROWN, WHITE };
enum { SPHERE, BOX, CYLINDER, CONE, TORUS };
enum { RUBBER, METAL, GLASS };

static tsr_facts of(const char *text)
{
    tsr_facts f;
    tsr_facts_of_text(text, strlen(text), &f);
    return f;
}

static void reads_long_captions(void **state)
{
    (void)state;
    tsr_facts f =
        of("There are five objects on a lawn, among them a little green matte can, a big "
           "checked pink metallic cone and a purple box. The mid-sized purple block stands "
           "right of the large checkered brown ball. Two of them are made of glass.");
    assert_int_equal(f.count, 5);
    assert_int_equal(tsr_facts_objects(&f), 4);
    assert_true(f.named[GREEN][CYLINDER] && f.named[PINK][CONE] && f.named[PURPLE][BOX] &&
                f.named[BROWN][SPHERE]);
    assert_int_equal(f.material[GREEN][CYLINDER], RUBBER);
    assert_int_equal(f.material[PINK][CONE], METAL);
    assert_int_equal(f.material[PURPLE][BOX], -1);
    assert_int_equal(f.of_them[GLASS], 2);
    assert_int_equal(f.of_them[METAL], -1);
}

static void reads_normalised_text(void **state)
{
    (void)state;
    /* blanks around marks, as decoded from tokens */
    tsr_facts f =
        of("four things stand on sand , among them a small blue cylinder , a medium - sized "
           "checked cyan see - through donut . to the right of the cyan ring is the "
           "shiny metal blue can . none of them is made of rubber .");
    assert_int_equal(f.count, 4);
    assert_int_equal(tsr_facts_objects(&f), 2);
    assert_int_equal(f.material[CYAN][TORUS], GLASS);
    assert_int_equal(f.of_them[RUBBER], 0);
    f = of("the red see through cone");
    assert_int_equal(f.material[RED][CONE], GLASS);
}

static void counts_without_a_number(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int count;
    } cases[] = {
        {"There is a mid-sized checkered cyan matte cone on concrete.", 1},
        {"Nothing stands on sand under a clear blue sky.", 0},
        {"A picture of a red box and an orange ball on tiles. The red box is behind the pink can.",
         2},
        {"The picture shows a red see-through cone on tiles", 1},
        {"Six things stand in a room: a red box, a red box and a red box.", 6},
        {"there are 12 objects", 12},
        {"there are 1000 objects", -1},
        {"there are 99999999999999999999999 objects", -1},
        {"A picture of a lake.", -1},
        {"A red box.", -1},
        {"The picture shows nothing. A red box.", -1},
        {"all of them are made of metal", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(of(cases[i].text).count, cases[i].count);
    tsr_facts f = of("Three things stand on sand. All of them are made of metal.");
    assert_int_equal(f.of_them[METAL], 3);
    assert_int_equal(of("All of them are made of metal.").of_them[METAL], -1);
}

static void takes_nothing_for_an_object(void **state)
{
    (void)state;
    static const char *const none[] = {
        "under a clear blue sky, ball",
        "red, box",
        "red. box",
        "pink morning ball",
        "redbox",
        "red\xc3\xa9 box",
        "\xff\xfe",
        "a box",
        "metal metal metal",
        "red",
        "box red",
        "\x80 . .",
        "reddddddddddddddddddddddddddddddddd box",
    };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        tsr_facts f = of(none[i]);
        if (tsr_facts_objects(&f) != 0)
            fail_msg("\"%s\" names an object", none[i]);
    }
    tsr_facts f;
    tsr_facts_of_text("red box and more", 7, &f); /* stops at the length given */
    assert_true(f.named[RED][BOX]);
    tsr_facts_of_text("red box", 6, &f);
    assert_int_equal(tsr_facts_objects(&f), 0);
    tsr_facts_of_text("red\0box. red box", 16, &f); /* bytes of any value */
    assert_true(f.named[RED][BOX]);
}

/* Random bytes and random words: no crash, and figures stay in range. */
static void survives_noise(void **state)
{
    (void)state;
    static const char *const words[] = {"red",     "blue", "ball",     "of",      "them",  "two",
                                        "are",     "made", "all",      "metal",   ".",     ",",
                                        "there",   "is",   "a",        "picture", "shows", "the",
                                        "objects", "999",  "\xe2\x82", "see"};
    uint32_t x = 1;
    tsr_facts truth = of("There are two objects: a red ball and a blue metal box.");
    for (int k = 0; k < 3000; k++) {
        char text[400];
        size_t n = 0;
        for (int i = 0; i < 40; i++) {
            x = x * 1664525u + 1013904223u;
            if (k % 2)
                text[n++] = (char)(x >> 24);
            else
                n += (size_t)snprintf(text + n, sizeof text - n, "%s ",
                                      words[(x >> 16) % (sizeof words / sizeof words[0])]);
        }
        tsr_facts f;
        tsr_fact_rates r;
        tsr_facts_of_text(text, n, &f);
        tsr_facts_compare(&truth, &f, &r);
        assert_true(r.facts >= 0 && r.facts <= 1 && r.f1 >= 0 && r.f1 <= 1);
        assert_true(r.precision >= 0 && r.precision <= 1 && r.material >= 0 && r.material <= 1);
        assert_true(f.count >= -1 && f.count <= 999);
    }
}

static int close_to(double a, double b)
{
    return fabs(a - b) < 1e-12;
}

static void rates_are_as_defined(void **state)
{
    (void)state;
    tsr_facts truth = of("There are four objects: a red metal ball, a blue glass box, a pink cone. "
                         "The white can is behind the red ball.");
    tsr_fact_rates r;
    tsr_facts_compare(&truth, &truth, &r);
    assert_true(r.facts == 1 && r.f1 == 1 && r.objects == 1 && r.precision == 1 && r.count == 1 &&
                r.material == 1);
    assert_true(close_to(r.full, 0.5)); /* two have a material */

    tsr_facts got = of("A picture of a red metal ball and a blue rubber box.");
    tsr_facts_compare(&truth, &got, &r);
    assert_true(close_to(r.facts, 2.0 / 5)); /* two pairs of four and the count, which is wrong */
    assert_true(close_to(r.f1, 4.0 / 8));
    assert_true(close_to(r.objects, 0.5) && r.precision == 1 && r.count == 0);
    assert_true(close_to(r.full, 0.25));
    assert_true(close_to(r.material, 0.5)); /* {metal, glass} against {metal, rubber} */

    tsr_facts nothing = of("no idea");
    tsr_facts_compare(&truth, &nothing, &r);
    assert_true(r.facts == 0 && r.f1 == 0 && r.precision == 0 && r.count == 0 && r.material == 0);
    tsr_facts_compare(&nothing, &truth, &r);
    assert_true(isnan(r.facts) && isnan(r.objects) && isnan(r.count) && isnan(r.material));

    /* Naming everything there could be gains nothing. */
    tsr_facts all = of("There are four objects.");
    memset(all.named, 1, sizeof all.named);
    tsr_facts_compare(&truth, &all, &r);
    assert_true(r.objects == 1);
    assert_true(close_to(r.facts, 5.0 / 51) && close_to(r.precision, 4.0 / 50));
}

static void reads_records(void **state)
{
    (void)state;
    json_t *o = json_pack("{s:[{s:s,s:s,s:s,s:b},{s:s,s:s,s:s,s:b}]}", "objects", "colour", "red",
                          "shape", "torus", "material", "glass", "visible", 1, "colour", "blue",
                          "shape", "box", "material", "metal", "visible", 0);
    tsr_facts f;
    assert_non_null(o);
    assert_true(tsr_facts_of_record(o, &f));
    assert_int_equal(f.count, 1);
    assert_int_equal(f.material[RED][TORUS], GLASS);
    assert_int_equal(tsr_facts_objects(&f), 1);
    json_decref(o);
    static const char *const bad[] = {"{\"objects\": 3}",
                                      "{}",
                                      "[]",
                                      "{\"objects\": [7]}",
                                      "{\"objects\": [{\"colour\": \"red\"}]}",
                                      "{\"objects\": [{\"colour\": \"box\", \"shape\": \"red\"}]}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_ok(tsr_json_parse(bad[i], strlen(bad[i]), "test", &o));
        assert_false(tsr_facts_of_record(o, &f));
        json_decref(o);
    }
    assert_false(tsr_facts_of_record(NULL, &f));
}

static void words_are_multisets(void **state)
{
    (void)state;
    double f1;
    assert_ok(tsr_words_f1("A red, red box!", "a RED box", &f1));
    assert_true(close_to(f1, 6.0 / 7));
    assert_ok(tsr_words_f1("one two", "three", &f1));
    assert_true(f1 == 0);
    assert_ok(tsr_words_f1("", " .", &f1));
    assert_true(f1 == 1);
    assert_ok(tsr_words_f1("word", "", &f1));
    assert_true(f1 == 0);
    assert_ok(tsr_words_f1("caf\xc3\xa9 caf", "CAF caf\xc3\xa9", &f1));
    assert_true(f1 == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_long_captions),     cmocka_unit_test(reads_normalised_text),
        cmocka_unit_test(counts_without_a_number), cmocka_unit_test(takes_nothing_for_an_object),
        cmocka_unit_test(survives_noise),          cmocka_unit_test(rates_are_as_defined),
        cmocka_unit_test(reads_records),           cmocka_unit_test(words_are_multisets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
