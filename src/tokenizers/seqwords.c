/* SPDX-License-Identifier: Apache-2.0
 * Sequences of words. */
#include "tokenizers/seqwords.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MAX_NESTED 8
#define HALF_CODES 512u /* codes from here on are said with v1 */

/* ---- words ------------------------------------------------------------------------------------*/

tsr_status tsr_seq_say(const tsr_tokenizer *t, const char *text, tsr_tokens *out)
{
    TSR_TRY(tsr_text_encode(tsr_seq_of(t)->text, text, strlen(text), out));
    return tsr_seq_end(t, out);
}

/* "v2=17" */
static void read_value(tsr_word *w)
{
    char *end;
    w->line = -1;
    if (w->s[0] != 'v' || w->s[1] < '0' || w->s[1] > '3' || w->s[2] != '=' || w->s[3] < '0' ||
        w->s[3] > '9')
        return;
    unsigned long v = strtoul(w->s + 3, &end, 10);
    if (*end || v > 999)
        return;
    w->line = w->s[1] - '0';
    w->value = (unsigned)v;
}

static tsr_status split(const char *text, tsr_words *out)
{
    static const char blanks[] = " \t\r\n";
    TSR_TRY(tsr_strdup(&out->text, text));
    for (char *p = out->text + strspn(out->text, blanks); *p; p += strspn(p, blanks)) {
        TSR_TRY(tsr_room(&out->list, out->count, &out->cap, sizeof *out->list));
        tsr_word *w = &out->list[out->count++];
        w->s = p;
        p += strcspn(p, blanks);
        if (*p)
            *p++ = 0;
        read_value(w);
    }
    return TSR_OK;
}

tsr_status tsr_seq_words(const tsr_tokenizer *t, const tsr_tokens *tokens, tsr_words *out)
{
    char *text;
    TSR_TRY(
        tsr_text_decode(tsr_seq_of(t)->text, tokens->ids, tsr_seq_length(t, tokens), &text, NULL));
    tsr_status st = split(text, out);
    tsr_free(text);
    return st;
}

void tsr_words_clear(tsr_words *w)
{
    tsr_free(w->list);
    tsr_free(w->text);
    *w = (tsr_words){0};
}

int tsr_word_is(const tsr_words *w, size_t i, const char *s)
{
    return i < w->count && strcmp(w->list[i].s, s) == 0;
}

int tsr_words_values(const tsr_words *w, size_t at, size_t n, int line, unsigned *values)
{
    if (at > w->count || n > w->count - at)
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (w->list[at + i].line != line)
            return 0;
        values[i] = w->list[at + i].value;
    }
    return 1;
}

tsr_status tsr_words_quality(const char *want, size_t count, const char *got, size_t got_count,
                             json_t *into)
{
    json_int_t more = (json_int_t)got_count - (json_int_t)count;
    tsr_words x = {0}, y = {0};
    tsr_status st = TSR_OK;
    TSR_GO(split(want, &x));
    TSR_GO(split(got, &y));
    size_t most = x.count > y.count ? x.count : y.count, same = 0;
    for (size_t i = 0; i < x.count && i < y.count; i++)
        same += strcmp(x.list[i].s, y.list[i].s) == 0;
    TSR_GO(tsr_json_set(into, "exact", json_real(most ? (double)same / (double)most : 1)));
    TSR_GO(tsr_json_set(into, "count_error", json_integer(more < 0 ? -more : more)));
out:
    tsr_words_clear(&x);
    tsr_words_clear(&y);
    return st;
}

/* ---- codes ------------------------------------------------------------------------------------*/

tsr_status tsr_seq_say_code(tsr_str *b, unsigned code)
{
    return tsr_str_addf(b, " v%d=%u", code >= HALF_CODES, code % HALF_CODES);
}

int tsr_words_codes(const tsr_words *w, size_t at, size_t n, unsigned *codes)
{
    if (at > w->count || n > w->count - at)
        return 0;
    for (size_t i = 0; i < n; i++) {
        const tsr_word *word = &w->list[at + i];
        if ((word->line != 0 && word->line != 1) || word->value >= HALF_CODES)
            return 0;
        codes[i] = word->value + (word->line ? HALF_CODES : 0);
    }
    return 1;
}

tsr_status tsr_seq_codes_open(tsr_tokenizer *t, const json_t *config, const char *origin,
                              const char *file, const char *hint, size_t count)
{
    tsr_seq *s = tsr_seq_of(t);
    const json_t *v = json_object_get(config, "codes");
    if (!v)
        return TSR_OK;
    if (!json_is_string(v))
        TSR_FAIL(TSR_ECONFIG, "%s: \"codes\" must be the file of a tokenizer", origin);
    TSR_TRY(tsr_seq_find(json_string_value(v), file, &s->codes_path));
    tsr_status st = tsr_tokenizer_open(s->codes_path, hint, &s->codes);
    if (st != TSR_OK)
        return tsr_context(st, "%s: tokenizer of codes", origin);
    const tsr_token_space *space = tsr_tokenizer_space(s->codes);
    const char *made_with = json_string_value(json_object_get(config, "codes_hash"));
    char hash[TSR_DIGEST_CHARS];
    tsr_digest_text(space->tokenizer, hash);
    if (made_with && strcmp(made_with, hash) != 0)
        TSR_FAIL(TSR_EMISMATCH, "%s was made with the tokenizer of codes %.40s, but %s is %s",
                 origin, made_with, s->codes_path, hash);
    if (space->layout != TSR_LAYOUT_GRID || space->codebook_size > TSR_CODES_MAX ||
        (size_t)space->height * space->width * space->levels != count)
        TSR_FAIL(TSR_EMISMATCH, "%s: %s does not make %zu codes below %d", origin, s->codes_path,
                 count, TSR_CODES_MAX);
    return TSR_OK;
}

tsr_status tsr_seq_codes_work(const tsr_tokenizer *t, tsr_tokenizer_work *w)
{
    tsr_tokenizer_work *own = NULL;
    if (!tsr_seq_of(t)->codes)
        return TSR_OK;
    TSR_TRY(tsr_tokenizer_work_create(tsr_seq_of(t)->codes, &own));
    w->state = own;
    return TSR_OK;
}

void tsr_seq_codes_end(tsr_tokenizer_work *w)
{
    tsr_tokenizer_work_destroy(w->state);
}

tsr_status tsr_seq_codes_make(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                              const char *what, unsigned *codes)
{
    tsr_tokens ids = {0};
    if (!tsr_seq_of(t)->codes)
        TSR_FAIL(TSR_EFORMAT,
                 "%s: the record has no %s, and no tokenizer is set that makes them (\"codes\")",
                 t->space.modality, what);
    TSR_TRY(tsr_tokenizer_encode(tsr_seq_of(t)->codes, w->state, in, &ids));
    for (size_t i = 0; i < ids.count; i++)
        codes[i] = ids.ids[i];
    tsr_tokens_clear(&ids);
    return TSR_OK;
}

/* ---- numbers and order ------------------------------------------------------------------------*/

/* *n counts down; 0 for what is neither a number nor a list of such. */
static int gather(const json_t *v, double **out, size_t *n, int depth)
{
    if (json_is_number(v)) {
        if (*n == 0)
            return 0;
        *(*out)++ = json_number_value(v);
        --*n;
        return 1;
    }
    if (!json_is_array(v) || depth == MAX_NESTED)
        return 0;
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!gather(json_array_get(v, i), out, n, depth + 1))
            return 0;
    return 1;
}

int tsr_json_numbers(const json_t *v, double *out, size_t n)
{
    return gather(v, &out, &n, 0) && n == 0;
}

tsr_status tsr_seq_order_read(const json_t *config, const char *origin, tsr_seq_order *out)
{
    static const double seeds[2] = {0, 9e15};
    const json_t *v = json_object_get(config, "order");
    const char *word = v ? json_string_value(v) : "fixed";
    if (!word || (strcmp(word, "fixed") != 0 && strcmp(word, "shuffle") != 0))
        TSR_FAIL(TSR_ECONFIG, "%s: \"order\" is fixed or shuffle", origin);
    out->shuffle = word[0] == 's';
    return tsr_seq_number(config, origin, "seed", 0, seeds, &out->seed);
}

tsr_status tsr_seq_stream(const tsr_seq_order *o, const json_t *record, size_t crop, tsr_rng *out)
{
    char *text;
    TSR_TRY(tsr_json_text(record, 0, &text));
    tsr_rng_init(out, (uint64_t)o->seed, TSR_RNG_WORDS, tsr_hash_name(text) + crop);
    tsr_free(text);
    return TSR_OK;
}

void tsr_seq_permute(const tsr_seq_order *o, tsr_rng *r, size_t *places, size_t n)
{
    for (size_t i = 0; i < n; i++)
        places[i] = i;
    for (size_t i = n; o->shuffle && i > 1; i--) {
        size_t j = tsr_rng_below(r, (uint32_t)i), swap = places[i - 1];
        places[i - 1] = places[j];
        places[j] = swap;
    }
}
