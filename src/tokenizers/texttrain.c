/* SPDX-License-Identifier: Apache-2.0
 * Learning a WordPiece vocabulary: count words, then merge the commonest pair of pieces again and
 * again. Every count lives in a table that merges keep up to date, so a merge costs only the words
 * it touches. */
#include "tokenizers/text.h"

#include "base/mem.h"
#include "base/str.h"
#include "tokenizers/text_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORD_CHARS  100 /* longer words are [UNK] */
#define MAX_PIECE_BYTES 512 /* a word has at most 100 characters of 4 bytes, and "##" */

/* A distinct word of the texts. */
typedef struct word {
    char *text;
    int64_t count;
    uint32_t *pieces; /* [length] indices into trainer.pieces; merges shorten it */
    uint32_t length;
} word;

/* Two pieces that stand side by side somewhere. */
typedef struct pair {
    uint32_t left, right;
    int64_t count;
    uint32_t *words; /* where it was seen; may be out of date, may repeat */
    size_t n_words, cap_words;
} pair;

typedef struct heap_item {
    int64_t count; /* as it was when pushed */
    uint32_t pair;
} heap_item;

typedef struct trainer {
    const tsr_text_train_spec *spec;
    tsr_text *text;      /* the result; knows the specials from the start */
    tsr_textmap word_at; /* text -> index of words */
    word *words;
    size_t n_words, cap_words;
    tsr_textmap piece_at; /* "##ing" -> index of pieces */
    char **pieces;
    size_t n_pieces, cap_pieces;
    pair *pairs;
    size_t n_pairs, cap_pairs;
    struct slot {
        uint64_t key;  /* left << 32 | right */
        uint32_t pair; /* index + 1; 0: free */
    } * slots;
    size_t n_slots; /* a power of two */
    heap_item *heap;
    size_t n_heap, cap_heap;
    uint32_t *touched; /* pairs whose count rose in the merge under way */
    size_t n_touched, cap_touched;
} trainer;

void tsr_text_train_defaults(tsr_text_train_spec *spec)
{
    *spec = (tsr_text_train_spec){
        .vocabulary = 30000, .min_frequency = 2, .sentinels = 200, .values = 1000, .lowercase = 1};
}

/* ---- specials ---------------------------------------------------------------------------------*/

static tsr_status add_special(tsr_text *t, const char *token, int single_word, int normalized)
{
    const tsr_special s = {
        .id = t->size, .single_word = single_word, .normalized = normalized, .special = 1};
    if (tsr_text_id(t, token) != TSR_TEXT_NONE)
        TSR_FAIL(TSR_EARG, "special token \"%.60s\" is listed twice", token);
    TSR_TRY(tsr_text_add_token(t, s.id, token, 0));
    return tsr_text_add_special(t, &s);
}

static tsr_status add_specials(tsr_text *t, const tsr_text_train_spec *spec)
{
    static const char *const first[] = {"[PAD]", "[UNK]", "[SOS]", "[EOS]"};
    char name[32];
    for (size_t i = 0; i < 4; i++)
        TSR_TRY(add_special(t, first[i], 0, 0));
    for (uint32_t i = 0; i < spec->sentinels; i++) {
        snprintf(name, sizeof name, "[S_%u]", i);
        TSR_TRY(add_special(t, name, 1, 0));
    }
    for (unsigned line = 0; line < TSR_TEXT_LINES; line++)
        for (uint32_t v = 0; v < spec->values; v++) {
            snprintf(name, sizeof name, "v%u=%u", line, v);
            TSR_TRY(add_special(t, name, 1, 0));
        }
    for (size_t i = 0; i < spec->n_classes; i++)
        TSR_TRY(add_special(t, spec->classes[i], 1, 1));
    return TSR_OK;
}

/* ---- words ------------------------------------------------------------------------------------*/

static tsr_status count_word(void *ctx, const char *text, size_t bytes, uint32_t special)
{
    trainer *tr = ctx;
    if (special != TSR_TEXT_NONE || tsr_text_chars(text, bytes) > MAX_WORD_CHARS)
        return TSR_OK;
    const uint32_t *at = tsr_textmap_get(&tr->word_at, text, bytes);
    if (at) {
        tr->words[*at].count++;
        return TSR_OK;
    }
    TSR_TRY(tsr_room(&tr->words, tr->n_words, &tr->cap_words, sizeof *tr->words));
    word *w = &tr->words[tr->n_words];
    *w = (word){.count = 1};
    TSR_TRY(tsr_strndup(&w->text, text, bytes));
    tr->n_words++;
    return tsr_textmap_put(&tr->word_at, w->text, bytes, (uint32_t)(tr->n_words - 1));
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const word *)a)->text, ((const word *)b)->text);
}

/* ---- characters -------------------------------------------------------------------------------*/

typedef struct letter {
    int32_t c;
    int64_t count;
} letter;

static int by_char(const void *a, const void *b)
{
    int32_t x = ((const letter *)a)->c, y = ((const letter *)b)->c;
    return (x > y) - (x < y);
}

static int by_letter_count(const void *a, const void *b)
{
    const letter *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return by_char(a, b);
}

/* Join equal neighbours of a list sorted by character. */
static size_t join_letters(letter *l, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && l[kept - 1].c == l[i].c)
            l[kept - 1].count += l[i].count;
        else
            l[kept++] = l[i];
    }
    return kept;
}

/* The characters of the words, sorted; at most max_alphabet of them, the commonest. */
static tsr_status find_letters(const trainer *tr, letter **out, size_t *count)
{
    letter *l = NULL;
    size_t n = 0, cap = 0, used;
    for (size_t i = 0; i < tr->n_words; i++) {
        const char *s = tr->words[i].text;
        size_t bytes = strlen(s);
        for (size_t at = 0; at < bytes; at += used) {
            tsr_status st = tsr_room(&l, n, &cap, sizeof *l);
            if (st != TSR_OK) {
                tsr_free(l);
                return st;
            }
            l[n++] = (letter){tsr_text_char(s + at, bytes - at, &used), tr->words[i].count};
        }
    }
    if (n > 0)
        qsort(l, n, sizeof *l, by_char);
    n = join_letters(l, n);
    if (tr->spec->max_alphabet > 0 && n > tr->spec->max_alphabet) {
        qsort(l, n, sizeof *l, by_letter_count);
        n = tr->spec->max_alphabet;
        qsort(l, n, sizeof *l, by_char);
    }
    *out = l;
    *count = n;
    return TSR_OK;
}

/* ---- pieces -----------------------------------------------------------------------------------*/

/* Index of the piece with this text, made if it is new. */
static tsr_status need_piece(trainer *tr, const char *text, uint32_t *out)
{
    size_t bytes = strlen(text);
    const uint32_t *at = tsr_textmap_get(&tr->piece_at, text, bytes);
    if (at) {
        *out = *at;
        return TSR_OK;
    }
    TSR_TRY(tsr_room(&tr->pieces, tr->n_pieces, &tr->cap_pieces, sizeof *tr->pieces));
    char **piece = &tr->pieces[tr->n_pieces];
    TSR_TRY(tsr_strdup(piece, text));
    tr->n_pieces++;
    *out = (uint32_t)(tr->n_pieces - 1);
    return tsr_textmap_put(&tr->piece_at, *piece, bytes, *out);
}

/* A piece gets the next id unless the vocabulary has its text already. */
static tsr_status publish(trainer *tr, uint32_t piece)
{
    const char *text = tr->pieces[piece];
    if (tsr_text_id(tr->text, text) != TSR_TEXT_NONE)
        return TSR_OK;
    return tsr_text_add_token(tr->text, tr->text->size, text, 0);
}

/* All characters as first and as continuing pieces, as far as words use them. */
static tsr_status publish_letters(trainer *tr)
{
    char *used = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_alloc(&used, tr->n_pieces, 1));
    for (size_t i = 0; i < tr->n_words; i++)
        for (uint32_t k = 0; k < tr->words[i].length; k++)
            used[tr->words[i].pieces[k]] = 1;
    for (uint32_t p = 0; p < tr->n_pieces; p++)
        if (used[p])
            TSR_GO(publish(tr, p));
    if (tr->text->size > tr->spec->vocabulary)
        TSR_GOFAIL(TSR_EARG,
                   "a vocabulary of %u is too small: special tokens and characters alone are %u",
                   tr->spec->vocabulary, tr->text->size);
out:
    tsr_free(used);
    return st;
}

/* UTF-8 of a character; its length. */
static size_t encode_char(int32_t c, char out[4])
{
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    uint32_t rest = (uint32_t)c;
    size_t used = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t k = used; k-- > 1; rest >>= 6)
        out[k] = (char)(0x80 | (rest & 0x3F));
    out[0] = (char)(lead[used] | rest);
    return used;
}

/* Pieces of all letters, first forms before continuing ones, both by code point. */
static tsr_status make_letters(trainer *tr, const letter *l, size_t n)
{
    uint32_t piece;
    char text[16], utf8[4];
    for (int first = 1; first >= 0; first--)
        for (size_t i = 0; i < n; i++) {
            size_t used = encode_char(l[i].c, utf8);
            snprintf(text, sizeof text, "%s%.*s", first ? "" : "##", (int)used, utf8);
            TSR_TRY(need_piece(tr, text, &piece));
        }
    return TSR_OK;
}

/* Cut a word into letters; a word with a letter that was left out stays empty. */
static tsr_status spell(trainer *tr, word *w)
{
    size_t bytes = strlen(w->text), used;
    char text[16];
    TSR_TRY(tsr_alloc(&w->pieces, tsr_text_chars(w->text, bytes), sizeof *w->pieces));
    for (size_t at = 0; at < bytes; at += used) {
        tsr_text_char(w->text + at, bytes - at, &used);
        int n = snprintf(text, sizeof text, "%s%.*s", at ? "##" : "", (int)used, w->text + at);
        const uint32_t *piece = tsr_textmap_get(&tr->piece_at, text, (size_t)n);
        if (!piece) {
            w->length = 0;
            return TSR_OK;
        }
        w->pieces[w->length++] = *piece;
    }
    return TSR_OK;
}

/* ---- pairs ------------------------------------------------------------------------------------*/

static struct slot *pair_slot(const trainer *tr, uint64_t key)
{
    size_t i = (size_t)((key * 0x9E3779B97F4A7C15u) >> 20) & (tr->n_slots - 1);
    while (tr->slots[i].pair && tr->slots[i].key != key)
        i = (i + 1) & (tr->n_slots - 1);
    return &tr->slots[i];
}

static tsr_status enlarge_slots(trainer *tr)
{
    struct slot *old = tr->slots;
    size_t n = tr->n_slots;
    tr->slots = NULL;
    tr->n_slots = n ? 2 * n : 1024;
    tsr_status st = tsr_alloc(&tr->slots, tr->n_slots, sizeof *tr->slots);
    if (st != TSR_OK) {
        tr->slots = old;
        tr->n_slots = n;
        return st;
    }
    for (size_t i = 0; i < n; i++)
        if (old[i].pair)
            *pair_slot(tr, old[i].key) = old[i];
    tsr_free(old);
    return TSR_OK;
}

static tsr_status need_pair(trainer *tr, uint32_t left, uint32_t right, uint32_t *out)
{
    uint64_t key = (uint64_t)left << 32 | right;
    if (2 * (tr->n_pairs + 1) > tr->n_slots)
        TSR_TRY(enlarge_slots(tr));
    struct slot *s = pair_slot(tr, key);
    if (!s->pair) {
        TSR_TRY(tsr_room(&tr->pairs, tr->n_pairs, &tr->cap_pairs, sizeof *tr->pairs));
        tr->pairs[tr->n_pairs++] = (pair){.left = left, .right = right};
        *s = (struct slot){key, (uint32_t)tr->n_pairs};
    }
    *out = s->pair - 1;
    return TSR_OK;
}

/* Add or take away the pairs of a word. */
static tsr_status count_pairs(trainer *tr, uint32_t index, int64_t sign)
{
    const word *w = &tr->words[index];
    for (uint32_t k = 0; k + 1 < w->length; k++) {
        uint32_t at;
        TSR_TRY(need_pair(tr, w->pieces[k], w->pieces[k + 1], &at));
        pair *p = &tr->pairs[at];
        p->count += sign * w->count;
        if (sign < 0 || (p->n_words > 0 && p->words[p->n_words - 1] == index))
            continue;
        TSR_TRY(tsr_room(&p->words, p->n_words, &p->cap_words, sizeof *p->words));
        p->words[p->n_words++] = index;
        TSR_TRY(tsr_room(&tr->touched, tr->n_touched, &tr->cap_touched, sizeof *tr->touched));
        tr->touched[tr->n_touched++] = at;
    }
    return TSR_OK;
}

/* ---- the order of merges ----------------------------------------------------------------------*/

/* 1 when a is merged before b. */
static int before(const trainer *tr, heap_item a, heap_item b)
{
    if (a.count != b.count)
        return a.count > b.count;
    const pair *p = &tr->pairs[a.pair], *q = &tr->pairs[b.pair];
    int left = strcmp(tr->pieces[p->left], tr->pieces[q->left]);
    return left ? left < 0 : strcmp(tr->pieces[p->right], tr->pieces[q->right]) < 0;
}

static tsr_status heap_push(trainer *tr, uint32_t at)
{
    heap_item item = {tr->pairs[at].count, at};
    if (item.count <= 0)
        return TSR_OK;
    TSR_TRY(tsr_room(&tr->heap, tr->n_heap, &tr->cap_heap, sizeof *tr->heap));
    size_t i = tr->n_heap++;
    for (; i > 0 && before(tr, item, tr->heap[(i - 1) / 2]); i = (i - 1) / 2)
        tr->heap[i] = tr->heap[(i - 1) / 2];
    tr->heap[i] = item;
    return TSR_OK;
}

static heap_item heap_pop(trainer *tr)
{
    heap_item top = tr->heap[0], last = tr->heap[--tr->n_heap];
    size_t i = 0;
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= tr->n_heap)
            break;
        if (c + 1 < tr->n_heap && before(tr, tr->heap[c + 1], tr->heap[c]))
            c++;
        if (!before(tr, tr->heap[c], last))
            break;
        tr->heap[i] = tr->heap[c];
        i = c;
    }
    if (tr->n_heap > 0)
        tr->heap[i] = last;
    return top;
}

/* The pair to merge next; 0 when none is common enough. Counts that fell since they were pushed
 * go back with what they are now. */
static tsr_status best_pair(trainer *tr, int *found, uint32_t *out)
{
    *found = 0;
    while (tr->n_heap > 0) {
        heap_item top = heap_pop(tr);
        int64_t now = tr->pairs[top.pair].count;
        if (now != top.count) {
            if (now < top.count)
                TSR_TRY(heap_push(tr, top.pair));
            continue;
        }
        *found = now >= (int64_t)tr->spec->min_frequency;
        *out = top.pair;
        return TSR_OK;
    }
    return TSR_OK;
}

/* ---- merging ----------------------------------------------------------------------------------*/

static tsr_status merge_word(trainer *tr, uint32_t index, uint32_t left, uint32_t right,
                             uint32_t merged)
{
    word *w = &tr->words[index];
    uint32_t kept = 0, hits = 0;
    for (uint32_t k = 0; k + 1 < w->length; k++)
        hits += w->pieces[k] == left && w->pieces[k + 1] == right;
    if (hits == 0)
        return TSR_OK;
    TSR_TRY(count_pairs(tr, index, -1));
    for (uint32_t k = 0; k < w->length; kept++) {
        int hit = k + 1 < w->length && w->pieces[k] == left && w->pieces[k + 1] == right;
        w->pieces[kept] = hit ? merged : w->pieces[k];
        k += hit ? 2 : 1;
    }
    w->length = kept;
    return count_pairs(tr, index, 1);
}

static tsr_status merge(trainer *tr, uint32_t at)
{
    uint32_t left = tr->pairs[at].left, right = tr->pairs[at].right, merged;
    char text[MAX_PIECE_BYTES];
    snprintf(text, sizeof text, "%s%s", tr->pieces[left], tr->pieces[right] + 2);
    TSR_TRY(need_piece(tr, text, &merged));
    TSR_TRY(publish(tr, merged));
    /* The list may move and other pairs may be added while words are rewritten: take it. */
    uint32_t *words = tr->pairs[at].words;
    size_t n = tr->pairs[at].n_words;
    tr->pairs[at].words = NULL;
    tr->pairs[at].n_words = tr->pairs[at].cap_words = 0;
    tr->n_touched = 0;
    tsr_status st = TSR_OK;
    for (size_t i = 0; i < n; i++)
        TSR_GO(merge_word(tr, words[i], left, right, merged));
    for (size_t i = 0; i < tr->n_touched; i++) {
        const pair *p = &tr->pairs[tr->touched[i]];
        if (p->left == merged || p->right == merged)
            TSR_GO(heap_push(tr, tr->touched[i]));
    }
out:
    tsr_free(words);
    return st;
}

static tsr_status merge_all(trainer *tr, const tsr_job *job)
{
    tsr_progress report = {.phase = "train text", .total = tr->spec->vocabulary, .unit = "pieces"};
    for (uint32_t i = 0; i < tr->n_words; i++)
        TSR_TRY(count_pairs(tr, i, 1));
    for (uint32_t i = 0; i < tr->n_pairs; i++)
        TSR_TRY(heap_push(tr, i));
    while (tr->text->size < tr->spec->vocabulary) {
        int found;
        uint32_t at;
        TSR_TRY(best_pair(tr, &found, &at));
        if (!found)
            return TSR_OK;
        TSR_TRY(merge(tr, at));
        report.done = tr->text->size;
        tsr_job_report(job, &report);
        TSR_TRY(tsr_job_check(job));
    }
    return TSR_OK;
}

/* ---- the whole --------------------------------------------------------------------------------*/

static void trainer_clear(trainer *tr)
{
    for (size_t i = 0; i < tr->n_words; i++) {
        tsr_free(tr->words[i].text);
        tsr_free(tr->words[i].pieces);
    }
    for (size_t i = 0; i < tr->n_pieces; i++)
        tsr_free(tr->pieces[i]);
    for (size_t i = 0; i < tr->n_pairs; i++)
        tsr_free(tr->pairs[i].words);
    tsr_free(tr->words);
    tsr_free(tr->pieces);
    tsr_free(tr->pairs);
    tsr_free(tr->slots);
    tsr_free(tr->heap);
    tsr_free(tr->touched);
    tsr_textmap_clear(&tr->word_at);
    tsr_textmap_clear(&tr->piece_at);
    tsr_text_destroy(tr->text);
}

static tsr_status spell_words(trainer *tr)
{
    letter *letters = NULL;
    size_t n = 0;
    tsr_status st = TSR_OK;
    /* Sorted, so that nothing depends on the order of the texts. */
    if (tr->n_words > 0)
        qsort(tr->words, tr->n_words, sizeof *tr->words, by_text);
    tsr_textmap_clear(&tr->word_at);
    TSR_GO(find_letters(tr, &letters, &n));
    TSR_GO(make_letters(tr, letters, n));
    for (size_t i = 0; i < tr->n_words; i++)
        TSR_GO(spell(tr, &tr->words[i]));
    TSR_GO(publish_letters(tr));
out:
    tsr_free(letters);
    return st;
}

tsr_status tsr_text_train(const char *const *texts, const size_t *bytes, size_t n,
                          const tsr_text_train_spec *spec, const tsr_job *job, tsr_text **out)
{
    trainer tr = {.spec = spec};
    tsr_status st = TSR_OK;
    if (spec->values > 1000 || spec->sentinels > 100000 || spec->vocabulary >= TSR_TEXT_MAX_ID)
        TSR_FAIL(TSR_EARG, "%u values, %u sentinels, vocabulary %u: out of range", spec->values,
                 spec->sentinels, spec->vocabulary);
    TSR_GO(tsr_text_create_bert(spec->lowercase, &tr.text));
    TSR_GO(add_specials(tr.text, spec));
    for (size_t i = 0; i < n; i++) {
        st = tsr_text_split(tr.text, texts[i], bytes[i], count_word, &tr);
        if (st != TSR_OK) {
            st = tsr_context(st, "text %zu of %zu", i + 1, n);
            goto out;
        }
    }
    TSR_GO(spell_words(&tr));
    TSR_GO(merge_all(&tr, job));
    TSR_GO(tsr_text_seal(tr.text));
    *out = tr.text;
    tr.text = NULL;
out:
    trainer_clear(&tr);
    return st;
}
