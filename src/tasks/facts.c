/* SPDX-License-Identifier: Apache-2.0
 * Reads the facts of captions and compares them. */
#include "tasks/facts.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WORD_CHARS 12 /* no word of the grammar is longer */
#define NUMBER_MAX 999

/* What a word of the grammar means. Synonyms share a value. */
typedef enum meaning {
    OTHER, /* any other word */
    STOP,  /* the end of a sentence */
    COLOUR,
    SHAPE,
    MATERIAL,
    NUMBER,
    ALL,
    A,
    THE,
    THERE,
    IS,
    ARE,
    OF,
    THEM,
    MADE,
    NOTHING,
    THINGS,
    PICTURE,
    SHOWS,
} meaning;

typedef struct word {
    meaning means;
    int value;
} word;

enum { RUBBER, METAL, GLASS };

/* Words of the captions and of the records of tessera-scenes. "shiny" and "see" open "shiny metal"
 * and "see-through". */
static const struct {
    const char *word;
    meaning means;
    int value;
} lexicon[] = {
    {"red", COLOUR, 0},
    {"orange", COLOUR, 1},
    {"yellow", COLOUR, 2},
    {"green", COLOUR, 3},
    {"cyan", COLOUR, 4},
    {"blue", COLOUR, 5},
    {"purple", COLOUR, 6},
    {"pink", COLOUR, 7},
    {"brown", COLOUR, 8},
    {"white", COLOUR, 9},
    {"sphere", SHAPE, 0},
    {"ball", SHAPE, 0},
    {"box", SHAPE, 1},
    {"block", SHAPE, 1},
    {"cylinder", SHAPE, 2},
    {"can", SHAPE, 2},
    {"cone", SHAPE, 3},
    {"torus", SHAPE, 4},
    {"ring", SHAPE, 4},
    {"donut", SHAPE, 4},
    {"rubber", MATERIAL, RUBBER},
    {"matte", MATERIAL, RUBBER},
    {"metal", MATERIAL, METAL},
    {"metallic", MATERIAL, METAL},
    {"shiny", MATERIAL, METAL},
    {"glass", MATERIAL, GLASS},
    {"see", MATERIAL, GLASS},
    {"through", MATERIAL, GLASS},
    {"no", NUMBER, 0},
    {"none", NUMBER, 0},
    {"one", NUMBER, 1},
    {"two", NUMBER, 2},
    {"three", NUMBER, 3},
    {"four", NUMBER, 4},
    {"five", NUMBER, 5},
    {"six", NUMBER, 6},
    {"seven", NUMBER, 7},
    {"eight", NUMBER, 8},
    {"nine", NUMBER, 9},
    {"ten", NUMBER, 10},
    {"eleven", NUMBER, 11},
    {"twelve", NUMBER, 12},
    {"all", ALL, 0},
    {"a", A, 0},
    {"an", A, 0},
    {"the", THE, 0},
    {"there", THERE, 0},
    {"is", IS, 0},
    {"are", ARE, 0},
    {"of", OF, 0},
    {"them", THEM, 0},
    {"made", MADE, 0},
    {"nothing", NOTHING, 0},
    {"objects", THINGS, 0},
    {"object", THINGS, 0},
    {"things", THINGS, 0},
    {"thing", THINGS, 0},
    {"picture", PICTURE, 0},
    {"shows", SHOWS, 0},
};

static word look_up(const char *lower, meaning wanted)
{
    for (size_t i = 0; i < sizeof lexicon / sizeof lexicon[0]; i++)
        if (strcmp(lexicon[i].word, lower) == 0 && (wanted == OTHER || wanted == lexicon[i].means))
            return (word){lexicon[i].means, lexicon[i].value};
    return (word){OTHER, 0};
}

static int is_letter(unsigned char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static int is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

/* Bytes beyond ASCII belong to words, so that half a foreign word is never taken for one of ours.
 */
static int in_word(unsigned char c)
{
    return is_letter(c) || is_digit(c) || c >= 128;
}

/* The word s[0..n). */
static word understand(const char *s, size_t n)
{
    char lower[WORD_CHARS + 1];
    size_t digits = 0;
    int number = 0;
    if (n > WORD_CHARS)
        return (word){OTHER, 0};
    for (size_t i = 0; i < n; i++) {
        lower[i] = is_letter((unsigned char)s[i]) ? (char)(s[i] | 32) : s[i];
        if (!is_digit((unsigned char)s[i]))
            continue;
        digits++;
        number = number > NUMBER_MAX ? number : 10 * number + (s[i] - '0');
    }
    lower[n] = '\0';
    if (digits == n)
        return number > NUMBER_MAX ? (word){OTHER, 0} : (word){NUMBER, number};
    return look_up(lower, OTHER);
}

/* Where reading is: the last words, and the object that may be under way. */
typedef struct reader {
    tsr_facts *f;
    word last[4]; /* last[0] is the word just read */
    int colour, material;
    int of_them;  /* number in "N of them are made of", waiting for a material; -1 */
    int sentence; /* 0: the first */
    int words;    /* of this sentence */
    int listing;  /* the first sentence lists all there is */
} reader;

static void name_object(reader *r, int shape)
{
    tsr_facts *f = r->f;
    int8_t *m = &f->material[r->colour][shape];
    if (!f->named[r->colour][shape])
        *m = -1;
    f->named[r->colour][shape] = 1;
    if (*m < 0)
        *m = (int8_t)r->material;
}

/* A colour, materials, a shape: anything else between them ends the object. */
static void follow_object(reader *r, word w)
{
    if (w.means == COLOUR) {
        r->colour = w.value;
        r->material = -1;
        return;
    }
    if (r->colour >= 0 && w.means == MATERIAL) {
        r->material = w.value;
        return;
    }
    if (r->colour >= 0 && w.means == SHAPE)
        name_object(r, w.value);
    r->colour = -1;
}

/* "two of them are made of metal", with "all" as -2 until the count is known. */
static void follow_materials(reader *r, word w)
{
    const word *l = r->last;
    if (w.means == THEM && l[1].means == OF && (l[2].means == NUMBER || l[2].means == ALL))
        r->of_them = l[2].means == ALL ? -2 : l[2].value;
    if (w.means == MATERIAL && l[1].means == OF && l[2].means == MADE && r->of_them != -1) {
        if (r->f->of_them[w.value] == -1)
            r->f->of_them[w.value] = r->of_them;
        r->of_them = -1;
    }
}

static void state_count(reader *r, int count)
{
    if (r->f->count < 0)
        r->f->count = count;
}

static void follow_count(reader *r, word w)
{
    const word *l = r->last;
    if (w.means == THINGS && l[1].means == NUMBER)
        state_count(r, l[1].value);
    if (w.means == NOTHING && r->words == 1)
        state_count(r, 0);
    if (w.means == A && l[1].means == IS && l[2].means == THERE)
        state_count(r, 1);
    if (r->sentence > 0)
        return;
    if ((w.means == OF && l[1].means == PICTURE && l[2].means == A && r->words == 3) ||
        (w.means == SHOWS && l[1].means == PICTURE && l[2].means == THE && r->words == 3))
        r->listing = 1;
}

static void end_sentence(reader *r)
{
    if (r->words == 0)
        return; /* punctuation before the first word */
    if (r->sentence == 0 && r->listing && tsr_facts_objects(r->f) > 0)
        state_count(r, tsr_facts_objects(r->f));
    r->colour = r->of_them = -1;
    r->words = 0;
    r->sentence++;
}

static void read_word(reader *r, word w)
{
    memmove(r->last + 1, r->last, sizeof r->last - sizeof r->last[0]);
    r->last[0] = w;
    if (w.means == STOP) {
        end_sentence(r);
        return;
    }
    r->words += r->words < 4;
    follow_object(r, w);
    follow_materials(r, w);
    follow_count(r, w);
}

static void start(tsr_facts *f)
{
    memset(f, 0, sizeof *f);
    memset(f->material, -1, sizeof f->material);
    f->count = -1;
    for (int m = 0; m < TSR_FACT_MATERIALS; m++)
        f->of_them[m] = -1;
}

void tsr_facts_of_text(const char *text, size_t bytes, tsr_facts *out)
{
    reader r = {.f = out, .colour = -1, .material = -1, .of_them = -1};
    start(out);
    for (size_t i = 0; i < bytes;) {
        size_t n = 0;
        while (i + n < bytes && in_word((unsigned char)text[i + n]))
            n++;
        char c = text[i];
        if (n > 0)
            read_word(&r, understand(text + i, n));
        else if (c == '.' || c == '!' || c == '?')
            read_word(&r, (word){STOP, 0});
        else if (c == ',' || c == ':' || c == ';')
            r.colour = -1; /* no object goes across a comma */
        i += n > 0 ? n : 1;
    }
    end_sentence(&r);
    for (int m = 0; m < TSR_FACT_MATERIALS; m++) /* "all of them" */
        if (out->of_them[m] == -2)
            out->of_them[m] = out->count;
}

/* Value of a record's word in its own class, or -1. */
static int value_of(const json_t *object, const char *key, meaning wanted)
{
    const char *s = json_string_value(json_object_get(object, key));
    word w = s ? look_up(s, wanted) : (word){OTHER, 0};
    return w.means == wanted ? w.value : -1;
}

int tsr_facts_of_record(const json_t *record, tsr_facts *out)
{
    const json_t *objects = json_object_get(record, "objects"), *o;
    size_t i;
    start(out);
    if (!json_is_array(objects))
        return 0;
    out->count = 0;
    json_array_foreach(objects, i, o)
    {
        int colour = value_of(o, "colour", COLOUR), shape = value_of(o, "shape", SHAPE);
        if (colour < 0 || shape < 0)
            return 0;
        if (json_is_false(json_object_get(o, "visible")))
            continue;
        out->count += out->count < NUMBER_MAX;
        out->named[colour][shape] = 1;
        out->material[colour][shape] = (int8_t)value_of(o, "material", MATERIAL);
    }
    return 1;
}

int tsr_facts_objects(const tsr_facts *f)
{
    int n = 0;
    for (int c = 0; c < TSR_FACT_COLOURS; c++)
        for (int s = 0; s < TSR_FACT_SHAPES; s++)
            n += f->named[c][s];
    return n;
}

/* Objects of each material, by objects named and by "k of them". Returns how many in all. */
static int materials(const tsr_facts *f, int count[TSR_FACT_MATERIALS])
{
    int sum = 0;
    memset(count, 0, TSR_FACT_MATERIALS * sizeof *count);
    for (int c = 0; c < TSR_FACT_COLOURS; c++)
        for (int s = 0; s < TSR_FACT_SHAPES; s++)
            if (f->named[c][s] && f->material[c][s] >= 0)
                count[f->material[c][s]]++;
    for (int m = 0; m < TSR_FACT_MATERIALS; m++) {
        count[m] = f->of_them[m] > count[m] ? f->of_them[m] : count[m];
        sum += count[m];
    }
    return sum;
}

static double material_rate(const tsr_facts *truth, const tsr_facts *got)
{
    int a[TSR_FACT_MATERIALS], b[TSR_FACT_MATERIALS], both = 0;
    int n = materials(truth, a), m = materials(got, b);
    for (int k = 0; k < TSR_FACT_MATERIALS; k++)
        both += a[k] < b[k] ? a[k] : b[k];
    return n > 0 ? (double)both / (n > m ? n : m) : NAN;
}

void tsr_facts_compare(const tsr_facts *truth, const tsr_facts *got, tsr_fact_rates *out)
{
    int r = tsr_facts_objects(truth), c = tsr_facts_objects(got), h = 0, full = 0;
    for (int i = 0; i < TSR_FACT_COLOURS; i++)
        for (int j = 0; j < TSR_FACT_SHAPES; j++) {
            if (!truth->named[i][j] || !got->named[i][j])
                continue;
            h++;
            full += got->material[i][j] >= 0 && got->material[i][j] == truth->material[i][j];
        }
    int knows = truth->count >= 0, says = got->count >= 0;
    int right = knows && got->count == truth->count;
    int all = r + knows, claims = c + says, hits = h + right;
    out->facts = all > 0 ? (double)hits / (all > claims ? all : claims) : NAN;
    out->f1 = all > 0 ? 2.0 * hits / (all + claims) : NAN;
    out->objects = r > 0 ? (double)h / r : NAN;
    out->precision = r > 0 ? c > 0 ? (double)h / c : 0.0 : NAN;
    out->full = r > 0 ? (double)full / r : NAN;
    out->count = knows ? right : NAN;
    out->material = material_rate(truth, got);
}

/* ---- words of any text ------------------------------------------------------------------------*/

typedef struct piece {
    const char *s;
    size_t n;
} piece;

static int compare_pieces(const void *a_, const void *b_)
{
    const piece *a = a_, *b = b_;
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        unsigned char x = (unsigned char)a->s[i], y = (unsigned char)b->s[i];
        x = is_letter(x) ? x | 32 : x;
        y = is_letter(y) ? y | 32 : y;
        if (x != y)
            return x < y ? -1 : 1;
    }
    return a->n < b->n ? -1 : a->n > b->n;
}

static tsr_status sorted_words(const char *text, piece **out, size_t *n)
{
    size_t cap = 0;
    *out = NULL;
    *n = 0;
    for (const char *s = text; *s;) {
        size_t k = 0;
        while (in_word((unsigned char)s[k]))
            k++;
        if (k > 0) {
            TSR_TRY(tsr_room(out, *n, &cap, sizeof **out));
            (*out)[(*n)++] = (piece){s, k};
        }
        s += k > 0 ? k : 1;
    }
    if (*n > 0)
        qsort(*out, *n, sizeof **out, compare_pieces);
    return TSR_OK;
}

tsr_status tsr_words_f1(const char *truth, const char *got, double *f1)
{
    piece *a = NULL, *b = NULL;
    size_t n = 0, m = 0, both = 0;
    tsr_status st;
    TSR_GO(sorted_words(truth, &a, &n));
    TSR_GO(sorted_words(got, &b, &m));
    for (size_t i = 0, j = 0; i < n && j < m;) {
        int order = compare_pieces(&a[i], &b[j]);
        both += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    *f1 = n + m > 0 ? 2.0 * (double)both / (double)(n + m) : 1.0;
out:
    tsr_free(a);
    tsr_free(b);
    return st;
}
