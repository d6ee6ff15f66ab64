/* SPDX-License-Identifier: Apache-2.0
 * Byte-pair encoding: a word starts as its characters; of all neighbours that have a merge, the one
 * with the lowest rank is joined, leftmost first, until none has.
 *
 * Words that come out as one token are found without merging, by a table made when the file is
 * read. Short words keep the ranks of their pairs in a row and look for the lowest; long ones keep
 * them in a heap, so that a text without blanks costs n log n.
 *
 * Source   behaviour of Hugging Face tokenizers 0.23, src/models/bpe. */
#include "base/mem.h"
#include "tokenizers/text_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_WORD 48    /* characters */
#define LOW_CHARS  0x200 /* characters with a direct table */
#define NONE       UINT32_MAX

typedef struct merge {
    uint32_t left, right, joined;
} merge;

typedef struct bpe {
    char *prefix, *suffix; /* of continuing pieces, of a word's last piece; "" for none */
    char *unknown_token;   /* NULL: characters without a token are left out */
    uint32_t unknown;
    int fuse_unk, byte_fallback, ignore_merges;
    merge *merges; /* [n_merges] by rank */
    size_t n_merges, cap_merges;
    struct slot {
        uint64_t pair; /* left << 32 | right */
        uint32_t rank; /* + 1; 0: free */
    } * slots;
    size_t n_slots;          /* a power of two */
    uint32_t low[LOW_CHARS]; /* token of a character inside a word, or NONE */
    uint32_t bytes[256];     /* "<0x41>", or NONE */
    uint32_t *whole;         /* [t->size] token a text becomes as a word, or NONE for several */
} bpe;

typedef struct symbol {
    uint32_t id;
    uint32_t before, after; /* places, NONE at the ends; heap only */
} symbol;

typedef struct heap_item {
    uint32_t rank, at;
} heap_item;

struct tsr_bpework {
    symbol *symbols;
    size_t count, cap;
    heap_item *heap;
    size_t n_heap, cap_heap;
};

/* ---- pairs ------------------------------------------------------------------------------------*/

static struct slot *slot_of(const bpe *m, uint64_t pair)
{
    size_t i = (size_t)((pair * 0x9E3779B97F4A7C15u) >> 32) & (m->n_slots - 1);
    while (m->slots[i].rank && m->slots[i].pair != pair)
        i = (i + 1) & (m->n_slots - 1);
    return &m->slots[i];
}

/* Rank of a pair, or NONE. */
static uint32_t rank_of(const bpe *m, uint32_t left, uint32_t right)
{
    return slot_of(m, (uint64_t)left << 32 | right)->rank - 1;
}

/* ---- merging ----------------------------------------------------------------------------------*/

static void merge_short(const bpe *m, struct tsr_bpework *b)
{
    uint32_t rank[SHORT_WORD];
    symbol *s = b->symbols;
    size_t n = b->count;
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = rank_of(m, s[i].id, s[i + 1].id);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == NONE)
            break;
        s[best].id = m->merges[rank[best]].joined;
        n--;
        for (size_t i = best + 1; i < n; i++) {
            s[i].id = s[i + 1].id;
            rank[i] = i + 1 < n ? rank[i + 1] : NONE;
        }
        if (best > 0)
            rank[best - 1] = rank_of(m, s[best - 1].id, s[best].id);
        if (best + 1 < n)
            rank[best] = rank_of(m, s[best].id, s[best + 1].id);
    }
    b->count = n;
}

static int before(heap_item a, heap_item b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

/* The pair that starts at a place, if it has a rank. */
static tsr_status heap_push(const bpe *m, struct tsr_bpework *b, uint32_t at)
{
    const symbol *s = b->symbols;
    if (s[at].after == NONE)
        return TSR_OK;
    heap_item item = {rank_of(m, s[at].id, s[s[at].after].id), at};
    if (item.rank == NONE)
        return TSR_OK;
    TSR_TRY(tsr_room(&b->heap, b->n_heap, &b->cap_heap, sizeof *b->heap));
    size_t i = b->n_heap++;
    for (; i > 0 && before(item, b->heap[(i - 1) / 2]); i = (i - 1) / 2)
        b->heap[i] = b->heap[(i - 1) / 2];
    b->heap[i] = item;
    return TSR_OK;
}

static heap_item heap_pop(struct tsr_bpework *b)
{
    heap_item top = b->heap[0], last = b->heap[--b->n_heap];
    size_t i = 0;
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= b->n_heap)
            break;
        if (c + 1 < b->n_heap && before(b->heap[c + 1], b->heap[c]))
            c++;
        if (!before(b->heap[c], last))
            break;
        b->heap[i] = b->heap[c];
        i = c;
    }
    b->heap[i] = last;
    return top;
}

static tsr_status merge_long(const bpe *m, struct tsr_bpework *b)
{
    symbol *s = b->symbols;
    b->n_heap = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        s[i].before = i - 1; /* NONE in front */
        s[i].after = i + 1 < b->count ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i < b->count; i++)
        TSR_TRY(heap_push(m, b, i));
    while (b->n_heap > 0) {
        heap_item top = heap_pop(b);
        uint32_t right = s[top.at].after;
        /* Out of date when the symbol is gone or a neighbour has changed. */
        if (s[top.at].id == NONE || right == NONE ||
            rank_of(m, s[top.at].id, s[right].id) != top.rank)
            continue;
        s[top.at].id = m->merges[top.rank].joined;
        s[top.at].after = s[right].after;
        s[right].id = NONE;
        if (s[top.at].after != NONE)
            s[s[top.at].after].before = top.at;
        TSR_TRY(heap_push(m, b, top.at));
        if (s[top.at].before != NONE)
            TSR_TRY(heap_push(m, b, s[top.at].before));
    }
    size_t kept = 0;
    for (size_t i = 0; i < b->count; i++)
        if (s[i].id != NONE)
            s[kept++].id = s[i].id;
    b->count = kept;
    return TSR_OK;
}

/* ---- characters -------------------------------------------------------------------------------*/

static tsr_status add_symbol(struct tsr_bpework *b, uint32_t id)
{
    TSR_TRY(tsr_room(&b->symbols, b->count, &b->cap, sizeof *b->symbols));
    b->symbols[b->count++].id = id;
    return TSR_OK;
}

/* Token of one character with what belongs before and after it. */
static tsr_status char_token(const tsr_text *t, tsr_textwork *w, const char *c, size_t bytes,
                             int first, int last, uint32_t *id)
{
    const bpe *m = t->model;
    int before = !first && m->prefix[0], after = last && m->suffix[0];
    if (!before && !after) {
        *id = tsr_text_model_id(t, c, bytes);
        return TSR_OK;
    }
    w->piece.len = 0;
    if (before)
        TSR_TRY(tsr_str_add(&w->piece, m->prefix));
    TSR_TRY(tsr_str_add_bytes(&w->piece, c, bytes));
    if (after)
        TSR_TRY(tsr_str_add(&w->piece, m->suffix));
    *id = tsr_text_model_id(t, w->piece.s, w->piece.len);
    return TSR_OK;
}

/* The byte tokens of a character that has none of its own; 0 in *done when one of them is missing.
 * With a prefix or suffix, its bytes count too. */
static tsr_status add_bytes(const tsr_text *t, tsr_textwork *w, const char *c, size_t bytes,
                            int first, int last, int *done)
{
    const bpe *m = t->model;
    const char *parts[] = {first ? "" : m->prefix, c, last ? m->suffix : ""};
    const size_t n[] = {strlen(parts[0]), bytes, strlen(parts[2])};
    *done = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int k = 0; k < 3; k++)
            for (size_t i = 0; i < n[k]; i++) {
                uint32_t id = m->bytes[(unsigned char)parts[k][i]];
                if (id == NONE)
                    return TSR_OK;
                if (pass)
                    TSR_TRY(add_symbol(w->bpe, id));
            }
    *done = 1;
    return TSR_OK;
}

/* The characters of a word as symbols. An unknown token waits until a known one follows, as in the
 * library, where byte tokens overtake it. */
static tsr_status spell(const tsr_text *t, const char *text, size_t bytes, tsr_textwork *w)
{
    const bpe *m = t->model;
    int waiting = 0;
    size_t used;
    w->bpe->count = 0;
    for (size_t at = 0; at < bytes; at += used) {
        int32_t c = tsr_text_char(text + at, bytes - at, &used);
        int first = at == 0, last = at + used == bytes, done = 0;
        uint32_t id = NONE;
        if (c < LOW_CHARS && (first || !m->prefix[0]) && !(last && m->suffix[0]))
            id = m->low[c];
        else
            TSR_TRY(char_token(t, w, text + at, used, first, last, &id));
        if (id != NONE) {
            if (waiting)
                TSR_TRY(add_symbol(w->bpe, m->unknown));
            waiting = 0;
            TSR_TRY(add_symbol(w->bpe, id));
            continue;
        }
        if (m->byte_fallback)
            TSR_TRY(add_bytes(t, w, text + at, used, first, last, &done));
        if (done || !m->unknown_token)
            continue;
        if (waiting && !m->fuse_unk)
            TSR_TRY(add_symbol(w->bpe, m->unknown));
        waiting = 1;
    }
    return waiting ? add_symbol(w->bpe, m->unknown) : TSR_OK;
}

static tsr_status merge_word(const tsr_text *t, const char *text, size_t bytes, tsr_textwork *w)
{
    if (!w->bpe)
        TSR_TRY(tsr_alloc(&w->bpe, 1, sizeof *w->bpe));
    TSR_TRY(spell(t, text, bytes, w));
    if (w->bpe->count > SHORT_WORD)
        return merge_long(t->model, w->bpe);
    merge_short(t->model, w->bpe);
    return TSR_OK;
}

static tsr_status word(const tsr_text *t, const char *text, size_t bytes, tsr_textwork *w)
{
    const bpe *m = t->model;
    uint32_t id = bytes <= t->longest ? tsr_text_model_id(t, text, bytes) : NONE;
    if (id != NONE && m->whole[id] != NONE)
        return tsr_textwork_emit(w, m->whole[id]);
    TSR_TRY(merge_word(t, text, bytes, w));
    for (size_t i = 0; i < w->bpe->count; i++)
        TSR_TRY(tsr_textwork_emit(w, w->bpe->symbols[i].id));
    return TSR_OK;
}

/* ---- reading ----------------------------------------------------------------------------------*/

static tsr_status read_string(const json_t *model, const char *key, const char *origin, char **out)
{
    const json_t *v = json_object_get(model, key);
    if (v && !json_is_null(v) && !json_is_string(v))
        TSR_FAIL(TSR_EFORMAT, "%s: \"%s\" must be a string or null", origin, key);
    return tsr_strdup(out, json_is_string(v) ? json_string_value(v) : "");
}

static tsr_status read_settings(const tsr_text *t, bpe *m, const json_t *model, const char *origin)
{
    const json_t *dropout = json_object_get(model, "dropout");
    if (dropout && !json_is_null(dropout) &&
        (!json_is_number(dropout) || json_number_value(dropout) != 0))
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: the model asks for dropout, which is not supported",
                 origin);
    TSR_TRY(read_string(model, "continuing_subword_prefix", origin, &m->prefix));
    TSR_TRY(read_string(model, "end_of_word_suffix", origin, &m->suffix));
    TSR_TRY(tsr_textstep_flag(model, "fuse_unk", 0, origin, &m->fuse_unk));
    TSR_TRY(tsr_textstep_flag(model, "byte_fallback", 0, origin, &m->byte_fallback));
    TSR_TRY(tsr_textstep_flag(model, "ignore_merges", 0, origin, &m->ignore_merges));
    m->unknown = NONE;
    if (!json_is_string(json_object_get(model, "unk_token")))
        return TSR_OK;
    TSR_TRY(read_string(model, "unk_token", origin, &m->unknown_token));
    m->unknown = tsr_text_model_id(t, m->unknown_token, strlen(m->unknown_token));
    if (m->unknown == NONE)
        TSR_FAIL(TSR_EFORMAT, "%s: the unknown token \"%.40s\" is not in the vocabulary", origin,
                 m->unknown_token);
    return TSR_OK;
}

/* The two sides of merge `v`: "a b" or ["a", "b"]. */
static tsr_status read_sides(const json_t *v, size_t i, const char *origin, const char *s[2],
                             size_t n[2])
{
    if (json_is_string(v)) {
        const char *blank = strchr(json_string_value(v), ' ');
        s[0] = json_string_value(v);
        s[1] = blank ? blank + 1 : "";
        n[0] = blank ? (size_t)(blank - s[0]) : 0;
        n[1] = strlen(s[1]);
        if (!blank || strchr(s[1], ' '))
            TSR_FAIL(TSR_EFORMAT, "%s: merge %zu is not two tokens with a blank between them",
                     origin, i);
        return TSR_OK;
    }
    for (size_t k = 0; k < 2; k++) {
        s[k] = json_string_value(json_array_get(v, k));
        if (!s[k] || json_array_size(v) != 2)
            TSR_FAIL(TSR_EFORMAT, "%s: merge %zu is not two tokens", origin, i);
        n[k] = strlen(s[k]);
    }
    return TSR_OK;
}

static tsr_status read_merge(const tsr_text *t, bpe *m, const json_t *v, size_t i,
                             const char *origin, tsr_str *joined)
{
    const char *s[2];
    size_t n[2], prefix = strlen(m->prefix);
    merge g;
    TSR_TRY(read_sides(v, i, origin, s, n));
    if (n[1] < prefix)
        TSR_FAIL(TSR_EFORMAT, "%s: the right side of merge %zu is shorter than the prefix", origin,
                 i);
    joined->len = 0;
    TSR_TRY(tsr_str_add_bytes(joined, s[0], n[0]));
    TSR_TRY(tsr_str_add_bytes(joined, s[1] + prefix, n[1] - prefix));
    g.left = tsr_text_model_id(t, s[0], n[0]);
    g.right = tsr_text_model_id(t, s[1], n[1]);
    g.joined = tsr_text_model_id(t, joined->s, joined->len);
    if (g.left == NONE || g.right == NONE || g.joined == NONE)
        TSR_FAIL(TSR_EFORMAT,
                 "%s: merge %zu (\"%.40s\") names a token that is not in the vocabulary", origin, i,
                 joined->s);
    TSR_TRY(tsr_room(&m->merges, m->n_merges, &m->cap_merges, sizeof *m->merges));
    m->merges[m->n_merges++] = g;
    return TSR_OK;
}

static tsr_status index_merges(bpe *m)
{
    for (m->n_slots = 16; m->n_slots < 2 * m->n_merges + 2;)
        m->n_slots *= 2;
    TSR_TRY(tsr_alloc(&m->slots, m->n_slots, sizeof *m->slots));
    for (uint32_t i = 0; i < m->n_merges; i++) {
        uint64_t pair = (uint64_t)m->merges[i].left << 32 | m->merges[i].right;
        *slot_of(m, pair) = (struct slot){pair, i + 1}; /* of equal ones the last counts */
    }
    return TSR_OK;
}

static tsr_status read_merges(const tsr_text *t, bpe *m, const json_t *model, const char *origin)
{
    const json_t *list;
    tsr_str joined = {0};
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_json_member(model, "merges", origin, JSON_ARRAY, &list));
    size_t n = json_array_size(list);
    if (n >= TSR_TEXT_MAX_ID)
        TSR_FAIL(TSR_ELIMIT, "%s: %zu merges", origin, n);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        const char *line = json_string_value(v);
        if (line && strncmp(line, "#version", 8) == 0)
            continue; /* the first line of the merges.txt that such lists were made of */
        TSR_GO(read_merge(t, m, v, i, origin, &joined));
    }
    TSR_GO(index_merges(m));
out:
    tsr_str_clear(&joined);
    return st;
}

static tsr_status index_chars(const tsr_text *t, bpe *m)
{
    tsr_str s = {0};
    for (int32_t c = 0; c < LOW_CHARS; c++) {
        s.len = 0;
        tsr_status st = tsr_text_put_char(&s, c);
        if (st != TSR_OK)
            return st;
        m->low[c] = tsr_text_model_id(t, s.s, s.len);
    }
    tsr_str_clear(&s);
    for (unsigned b = 0; b < 256; b++) {
        char name[8];
        int n = snprintf(name, sizeof name, "<0x%02X>", b);
        m->bytes[b] = tsr_text_model_id(t, name, (size_t)n);
    }
    return TSR_OK;
}

/* For every token: the one token its text becomes as a word, if it is one. */
static tsr_status index_words(const tsr_text *t, bpe *m)
{
    tsr_textwork w = {0};
    tsr_status st = TSR_OK;
    TSR_GO(tsr_alloc(&m->whole, t->size, sizeof *m->whole));
    for (uint32_t id = 0; id < t->size; id++) {
        m->whole[id] = NONE;
        if (!t->token[id] || t->added[id] || t->token[id][0] == '\0')
            continue;
        m->whole[id] = id;
        if (m->ignore_merges)
            continue;
        TSR_GO(merge_word(t, t->token[id], strlen(t->token[id]), &w));
        m->whole[id] = w.bpe->count == 1 ? w.bpe->symbols[0].id : NONE;
    }
out:
    tsr_textwork_clear(&w);
    return st;
}

static tsr_status read_model(tsr_text *t, const json_t *model, const char *origin)
{
    bpe *m = NULL;
    TSR_TRY(tsr_alloc(&m, 1, sizeof *m));
    t->model = m;
    TSR_TRY(read_settings(t, m, model, origin));
    TSR_TRY(read_merges(t, m, model, origin));
    TSR_TRY(index_chars(t, m));
    return index_words(t, m);
}

/* ---- writing ----------------------------------------------------------------------------------*/

static json_t *or_null(const char *s)
{
    return s && s[0] ? json_string(s) : json_null();
}

static tsr_status write_model(const tsr_text *t, json_t *model)
{
    const bpe *m = t->model;
    TSR_TRY(tsr_json_set(model, "dropout", json_null()));
    TSR_TRY(tsr_json_set(model, "unk_token",
                         m->unknown_token ? json_string(m->unknown_token) : json_null()));
    TSR_TRY(tsr_json_set(model, "continuing_subword_prefix", or_null(m->prefix)));
    TSR_TRY(tsr_json_set(model, "end_of_word_suffix", or_null(m->suffix)));
    TSR_TRY(tsr_json_set(model, "fuse_unk", json_boolean(m->fuse_unk)));
    TSR_TRY(tsr_json_set(model, "byte_fallback", json_boolean(m->byte_fallback)));
    return tsr_json_set(model, "ignore_merges", json_boolean(m->ignore_merges));
}

static tsr_status write_merges(const tsr_text *t, json_t *model)
{
    const bpe *m = t->model;
    json_t *list = json_array();
    tsr_status st = TSR_OK;
    if (!list)
        TSR_FAIL(TSR_ENOMEM, "no memory for a tokenizer file");
    for (size_t i = 0; i < m->n_merges; i++)
        TSR_GO(tsr_json_append(
            list, json_pack("[s, s]", t->token[m->merges[i].left], t->token[m->merges[i].right])));
    TSR_GO(tsr_json_set(model, "merges", json_incref(list)));
out:
    json_decref(list);
    return st;
}

static const char *suffix(const tsr_text *t)
{
    return ((const bpe *)t->model)->suffix;
}

static void destroy(void *model)
{
    bpe *m = model;
    if (!m)
        return;
    tsr_free(m->prefix);
    tsr_free(m->suffix);
    tsr_free(m->unknown_token);
    tsr_free(m->merges);
    tsr_free(m->slots);
    tsr_free(m->whole);
    tsr_free(m);
}

static void clear_work(tsr_textwork *w)
{
    if (!w->bpe)
        return;
    tsr_free(w->bpe->symbols);
    tsr_free(w->bpe->heap);
    tsr_free(w->bpe);
    w->bpe = NULL;
}

const tsr_textmodel tsr_textmodel_bpe = {
    .type = "BPE",
    .read = read_model,
    .write = write_model,
    .write_rest = write_merges,
    .word = word,
    .suffix = suffix,
    .destroy = destroy,
    .clear_work = clear_work,
};
