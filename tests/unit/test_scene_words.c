/* SPDX-License-Identifier: Apache-2.0
 * Captions are read back with a grammar of this test's own, and every statement is held against the
 * metadata and the instance map. */
#include "testing.h"

#include <math.h>
#include "scenes/scene.h"

enum { SIDE = 64, SCENES = 1500 };

typedef struct truth {
    const tsr_sample *m;
    json_t *meta;
} truth;

/* The checks answer 1 for true, 0 for false and say here why. */
static char why[600];
#define WRONG(...) return (snprintf(why, sizeof why, __VA_ARGS__), 0)

static const json_t *object(const truth *t, int i)
{
    return json_array_get(json_object_get(t->meta, "objects"), (size_t)i);
}

static const char *text_of(const truth *t, int i, const char *key)
{
    return json_string_value(json_object_get(object(t, i), key));
}

static double number_of(const truth *t, int i, const char *key)
{
    return json_number_value(json_object_get(object(t, i), key));
}

static int n_objects(const truth *t)
{
    return (int)json_array_size(json_object_get(t->meta, "objects"));
}

static int is_visible(const truth *t, int i)
{
    return json_is_true(json_object_get(object(t, i), "visible"));
}

/* Words and what they say: the key and value of an object's metadata. */
static const struct {
    const char *word, *key, *value;
} lexicon[] = {
    {"sphere", "shape", "sphere"},
    {"ball", "shape", "sphere"},
    {"box", "shape", "box"},
    {"block", "shape", "box"},
    {"cylinder", "shape", "cylinder"},
    {"can", "shape", "cylinder"},
    {"cone", "shape", "cone"},
    {"torus", "shape", "torus"},
    {"ring", "shape", "torus"},
    {"donut", "shape", "torus"},
    {"rubber", "material", "rubber"},
    {"matte", "material", "rubber"},
    {"metal", "material", "metal"},
    {"metallic", "material", "metal"},
    {"shiny", "material", "metal"},
    {"glass", "material", "glass"},
    {"see-through", "material", "glass"},
    {"small", "size", "small"},
    {"little", "size", "small"},
    {"medium-sized", "size", "medium"},
    {"mid-sized", "size", "medium"},
    {"large", "size", "large"},
    {"big", "size", "large"},
    {"checkered", "texture", "checkered"},
    {"checked", "texture", "checkered"},
    {"striped", "texture", "striped"},
    {"banded", "texture", "striped"},
};

static int agrees(const truth *t, int i, const char *word)
{
    for (size_t k = 0; k < sizeof lexicon / sizeof lexicon[0]; k++)
        if (strcmp(lexicon[k].word, word) == 0)
            return strcmp(text_of(t, i, lexicon[k].key), lexicon[k].value) == 0;
    return strcmp(text_of(t, i, "colour"), word) == 0;
}

/* The one visible object that a phrase ("a large red ball") can mean; 0 when not exactly one. */
static int meant(const truth *t, const char *phrase, int *found)
{
    int n = 0;
    for (int i = 0; i < n_objects(t); i++) {
        char copy[256], *rest = NULL;
        int fits = is_visible(t, i), article = 1;
        snprintf(copy, sizeof copy, "%s", phrase);
        for (char *w = strtok_r(copy, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
            if (article)
                fits &= strcasecmp(w, "a") == 0 || strcasecmp(w, "an") == 0 ||
                        strcasecmp(w, "the") == 0;
            else
                fits &= agrees(t, i, w);
            article = 0;
        }
        n += fits;
        if (fits)
            *found = i;
    }
    if (n != 1)
        WRONG("\"%s\" is %d objects", phrase, n);
    return 1;
}

/* Mean column of the object's pixels, from the instance map. */
static double column(const truth *t, int i)
{
    double sum = 0, n = 0;
    for (size_t y = 0; y < SIDE; y++)
        for (size_t x = 0; x < SIDE; x++)
            if (((uint8_t *)tsr_image_row(&t->m->instance, y))[x] == i + 1) {
                sum += (double)x;
                n++;
            }
    return sum / n;
}

static int bulk(const truth *t, int i)
{
    const char *s = text_of(t, i, "size");
    return *s == 's' ? 0 : *s == 'm' ? 1 : 2;
}

static int is_left(const truth *t, int a, int b)
{
    return column(t, b) - column(t, a) > 0.055 * SIDE;
}

static int is_nearer(const truth *t, int a, int b)
{
    return number_of(t, a, "depth_m") + 0.299 < number_of(t, b, "depth_m");
}

static int is_bigger(const truth *t, int a, int b)
{
    return bulk(t, a) > bulk(t, b);
}

static int is_near(const truth *t, int a, int b)
{
    const json_t *p = json_object_get(object(t, a), "centre");
    const json_t *q = json_object_get(object(t, b), "centre");
    double d[2];
    for (size_t i = 0; i < 2; i++)
        d[i] = json_real_value(json_array_get(p, i)) - json_real_value(json_array_get(q, i));
    return hypot(d[0], d[1]) <
           number_of(t, a, "footprint_m") + number_of(t, b, "footprint_m") + 0.3501;
}

/* Relations by their words. `turned`: the second phrase is the subject. */
static const struct {
    const char *before, *between, *after;
    int (*holds)(const truth *t, int a, int b);
    int turned;
} relations[] = {
    {"", " is to the left of ", "", is_left, 0},
    {"", " stands left of ", "", is_left, 0},
    {"To the left of ", " is ", "", is_left, 1},
    {"", " is to the right of ", "", is_left, 1},
    {"", " stands right of ", "", is_left, 1},
    {"To the right of ", " is ", "", is_left, 0},
    {"", " is in front of ", "", is_nearer, 0},
    {"In front of ", " is ", "", is_nearer, 1},
    {"", " is closer to the camera than ", "", is_nearer, 0},
    {"", " is behind ", "", is_nearer, 1},
    {"Behind ", " is ", "", is_nearer, 0},
    {"", " is farther away than ", "", is_nearer, 1},
    {"", " is bigger than ", "", is_bigger, 0},
    {"", " is larger than ", "", is_bigger, 0},
    {"", " is smaller than ", "", is_bigger, 1},
    {"", " is next to ", "", is_near, 0},
    {"", " and ", " are close together", is_near, 0},
};
enum { N_RELATIONS = sizeof relations / sizeof relations[0] };
static long told[N_RELATIONS], countings, lists;

static const char *const number_words[] = {"no", "one", "two", "three", "four", "five", "six"};

static int number_word(const char *w, size_t n)
{
    for (int i = 0; i < 7; i++)
        if (strlen(number_words[i]) == n && strncasecmp(number_words[i], w, n) == 0)
            return i;
    return -1;
}

static int n_visible(const truth *t)
{
    int n = 0;
    for (int i = 0; i < n_objects(t); i++)
        n += is_visible(t, i);
    return n;
}

/* "Two of them are made of metal" */
static int check_counting(const truth *t, const char *s)
{
    int n = number_word(s, strcspn(s, " ")), have = 0;
    const char *material = strrchr(s, ' ') + 1;
    for (int i = 0; i < n_objects(t); i++)
        have += is_visible(t, i) && strcmp(text_of(t, i, "material"), material) == 0;
    if (strncmp(s, "None", 4) == 0)
        n = 0;
    if (strncmp(s, "All", 3) == 0)
        n = n_visible(t);
    countings++;
    if (n != have)
        WRONG("%d are: %s", have, s);
    return 1;
}

static int check_relation(const truth *t, const char *s)
{
    for (int k = 0; k < N_RELATIONS; k++) {
        size_t lead = strlen(relations[k].before), tail = strlen(relations[k].after);
        size_t length = strlen(s);
        if (strncmp(s, relations[k].before, lead) != 0 || length < lead + tail ||
            strcmp(s + length - tail, relations[k].after) != 0)
            continue;
        const char *split = strstr(s + lead, relations[k].between);
        if (!split)
            continue;
        char a[256], b[256];
        int p, q;
        snprintf(a, sizeof a, "%.*s", (int)(split - s - (long)lead), s + lead);
        split += strlen(relations[k].between);
        snprintf(b, sizeof b, "%.*s", (int)(length - tail - (size_t)(split - s)), split);
        if (!meant(t, a, &p) || !meant(t, b, &q))
            return 0;
        told[k]++;
        if (!relations[k].holds(t, relations[k].turned ? q : p, relations[k].turned ? p : q))
            WRONG("not so: %s", s);
        return 1;
    }
    WRONG("not understood: %s", s);
}

/* "a, b and c" up to " on ", the place, or the end: n different ones, all there. */
static int check_list(const truth *t, const char *s, int *n)
{
    char copy[512];
    int object, named = 0;
    snprintf(copy, sizeof copy, "%s", s);
    char *place = strstr(copy, " on ");
    if (place)
        *place = '\0';
    *n = 0;
    for (char *at = copy; at; ++*n) {
        char *comma = strstr(at, ", "), *and = strstr(at, " and ");
        char *cut = comma ? comma : and;
        if (cut)
            *cut = '\0';
        if (!meant(t, at, &object))
            return 0;
        if (named >> object & 1)
            WRONG("told twice: %s", at);
        named |= 1 << object;
        at = !cut ? NULL : cut + (cut == comma ? 2 : 5);
    }
    lists++;
    return 1;
}

static int check_place(const truth *t, const char *s)
{
    static const char *const grounds[][3] = {
        {"grass", "on grass", "on a lawn"},
        {"sand", "on sand", "on sandy ground"},
        {"concrete", "on concrete", "on bare concrete"},
        {"tiles", "on tiles", "on tiled ground"},
        {"planks", "on planks", "on a wooden floor"},
        {"carpet", "on carpet", "on a carpet"},
    };
    const json_t *world = json_object_get(t->meta, "world");
    const char *ground = json_string_value(json_object_get(world, "ground"));
    int named = 0;
    for (int i = 0; i < 6; i++)
        if (strstr(s, grounds[i][1]) || strstr(s, grounds[i][2]))
            named += strcmp(grounds[i][0], ground) == 0 ? 1 : 10;
    if (named != 1)
        WRONG("the ground is %s: %s", ground, s);
    const char *under = strstr(s, " under a");
    const char *sky = json_string_value(json_object_get(json_object_get(t->meta, "light"), "sky"));
    if (under && (!strstr(under, sky) || t->m->class_pixels[TSR_CLASS_SKY] == 0))
        WRONG("the sky is %s: %s", sky, s);
    if (strstr(s, "room") && t->m->class_pixels[TSR_CLASS_WALL] == 0)
        WRONG("no wall is seen: %s", s);
    return 1;
}

static int check_opening(const truth *t, const char *s)
{
    static const char *const all[] = {"A picture of ", "The picture shows ", "There is "};
    int n = n_visible(t), listed = 0;
    if (!check_place(t, s))
        return 0;
    for (int i = 0; i < 3; i++)
        if (strncmp(s, all[i], strlen(all[i])) == 0)
            return check_list(t, s + strlen(all[i]), &listed) && listed == n;
    const char *word = strncmp(s, "There are ", 10) == 0 ? s + 10 : s;
    const char *colon = strstr(s, ": "), *among = strstr(s, ", among them ");
    if (number_word(word, strcspn(word, " ")) != n)
        WRONG("there are %d: %s", n, s);
    if (colon)
        return check_list(t, colon + 2, &listed) && listed == n;
    if (among)
        return check_list(t, among + 13, &listed) && listed < n;
    WRONG("not understood: %s", s);
}

static int check_caption(const truth *t, const char *caption)
{
    char copy[2048], *rest = NULL;
    int first = 1, good = 1;
    why[0] = '\0';
    assert_true(*caption && strlen(caption) < sizeof copy);
    snprintf(copy, sizeof copy, "%s", caption);
    for (char *s = strtok_r(copy, ".", &rest); s && good; s = strtok_r(NULL, ".", &rest)) {
        s += *s == ' ';
        assert_true(*s >= 'A' && *s <= 'Z');
        if (first)
            good = check_opening(t, s);
        else if (strstr(s, " of them "))
            good = check_counting(t, s);
        else
            good = check_relation(t, s);
        first = 0;
    }
    return good;
}

static void sample(truth *t, tsr_sample *m, uint64_t seed, uint64_t index)
{
    tsr_scene_make(&m->scene, seed, index);
    tsr_sample_labels(m);
    assert_ok(tsr_sample_caption(m));
    assert_ok(tsr_sample_metadata(m, "train", &t->meta));
    t->m = m;
}

static void captions_are_true(void **state)
{
    (void)state;
    tsr_sample m;
    assert_ok(tsr_sample_init(&m, SIDE));
    for (uint64_t i = 0; i < SCENES; i++) {
        truth t;
        sample(&t, &m, 21, i);
        if (!check_caption(&t, m.caption.s))
            fail_msg("scene %d: \"%s\": %s", (int)i, m.caption.s, why);
        json_decref(t.meta);
    }
    /* The test has seen every way of saying things. */
    assert_true(lists >= SCENES && countings > 50);
    for (int k = 0; k < N_RELATIONS; k++)
        if (told[k] < 5)
            fail_msg("\"%s%s\" was told %ld times", relations[k].before, relations[k].between,
                     told[k]);
    tsr_sample_clear(&m);
}

/* The checks above can fail: captions with one word turned into a lie are found out. */
static void lies_are_found(void **state)
{
    (void)state;
    static const char *const lies[][2] = {
        {" left of ", " right of "},
        {" in front of ", " behind "},
        {" is behind ", " is in front of "},
        {" bigger ", " smaller "},
        {" red ", " cyan "},
        {" glass ", " metal "},
        {"wo ", "hree "},
        {" sand", " carpet"},
        {" striped ", " checkered "},
        {" ball", " cone"},
        {"small ", "large "},
        {"One of them is", "All of them are"},
    };
    enum { LIES = sizeof lies / sizeof lies[0] };
    int tried[LIES] = {0};
    tsr_sample m;
    assert_ok(tsr_sample_init(&m, SIDE));
    for (uint64_t i = 0; i < 200; i++) {
        truth t;
        sample(&t, &m, 22, i);
        for (int k = 0; k < LIES; k++) {
            char lie[2048];
            const char *at = strstr(m.caption.s, lies[k][0]);
            if (!at)
                continue;
            snprintf(lie, sizeof lie, "%.*s%s%s", (int)(at - m.caption.s), m.caption.s, lies[k][1],
                     at + strlen(lies[k][0]));
            tried[k]++;
            if (check_caption(&t, lie))
                fail_msg("believed: %s", lie);
        }
        json_decref(t.meta);
    }
    for (int k = 0; k < LIES; k++)
        assert_true(tried[k] > 0);
    tsr_sample_clear(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(captions_are_true),
        cmocka_unit_test(lies_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
