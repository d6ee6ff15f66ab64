/* SPDX-License-Identifier: Apache-2.0
 * How a modality's codes are used. */
#include "tasks/usage.h"

#include "base/mem.h"
#include "base/par.h"

#include <math.h>
#include <string.h>

static tsr_status usage_init(const tsr_token_space *space, tsr_usage *u)
{
    *u = (tsr_usage){.space = *space, .crops = 1, .shortest = UINT64_MAX};
    u->codes = tsr_space_has_codes(space) ? space->codebook_size : 0;
    return tsr_alloc(&u->counts, u->codes, sizeof *u->counts);
}

void tsr_usage_clear(tsr_usage *u)
{
    tsr_free(u->counts);
    *u = (tsr_usage){0};
}

static void count_length(tsr_usage *u, size_t n)
{
    int bin = 0;
    for (size_t limit = 1; n > limit && bin < TSR_USAGE_LENGTHS - 1; limit *= 2)
        bin++;
    u->lengths[bin]++;
    u->shortest = n < u->shortest ? n : u->shortest;
    u->longest = n > u->longest ? n : u->longest;
    u->rows++;
    u->tokens += n;
}

static tsr_status count_row(tsr_usage *u, const tsr_shard *s, uint64_t row, uint32_t crop)
{
    tsr_tokens t = {0};
    if (u->codes == 0) {
        count_length(u, tsr_shard_count(s, row, crop));
        return TSR_OK;
    }
    TSR_TRY(tsr_shard_take(s, row, crop, &t));
    for (size_t i = 0; i < t.count; i++)
        u->counts[t.ids[i]]++;
    count_length(u, t.count);
    tsr_tokens_clear(&t);
    return TSR_OK;
}

static tsr_status count_shard(tsr_usage *u, const tsr_shard *s)
{
    const tsr_shard_info *info = tsr_shard_get_info(s);
    if (info->space.codebook_size != u->space.codebook_size)
        TSR_FAIL(TSR_EMISMATCH, "%s, shard %u: %u codes, the corpus says %u", u->space.modality,
                 info->shard, info->space.codebook_size, u->space.codebook_size);
    u->crops = info->crops;
    for (uint64_t row = 0; row < info->samples; row++) {
        tsr_present p = tsr_shard_present(s, row);
        u->present += p == TSR_REAL;
        u->missing += p == TSR_MISSING;
        u->failed += p == TSR_FAILED;
        for (uint32_t crop = 0; p == TSR_REAL && crop < info->crops; crop++)
            TSR_TRY(count_row(u, s, row, crop));
    }
    return TSR_OK;
}

/* Adding counts is the same in any order, so lanes need no fixed partition. */
static void merge(tsr_usage *into, const tsr_usage *from)
{
    into->present += from->present;
    into->missing += from->missing;
    into->failed += from->failed;
    into->damaged += from->damaged;
    into->rows += from->rows;
    into->tokens += from->tokens;
    into->shortest = from->shortest < into->shortest ? from->shortest : into->shortest;
    into->longest = from->longest > into->longest ? from->longest : into->longest;
    into->crops = from->crops > into->crops ? from->crops : into->crops;
    for (size_t i = 0; i < TSR_USAGE_LENGTHS; i++)
        into->lengths[i] += from->lengths[i];
    for (size_t k = 0; k < into->codes; k++)
        into->counts[k] += from->counts[k];
}

static void finish(tsr_usage *u)
{
    double sum = 0;
    for (size_t k = 0; k < u->codes; k++) {
        if (!u->counts[k])
            continue;
        double p = (double)u->counts[k] / (double)u->tokens;
        u->used++;
        sum -= p * log2(p);
    }
    u->entropy_bits = sum;
    u->perplexity = u->tokens && u->codes ? exp2(sum) : 0;
    if (u->rows == 0)
        u->shortest = 0;
}

tsr_status tsr_usage_shard(const tsr_shard *s, tsr_usage *out)
{
    tsr_usage u;
    TSR_TRY(usage_init(&tsr_shard_get_info(s)->space, &u));
    tsr_status st = count_shard(&u, s);
    if (st != TSR_OK) {
        tsr_usage_clear(&u);
        return st;
    }
    finish(&u);
    *out = u;
    return TSR_OK;
}

typedef struct counting {
    tsr_corpus *corpus;
    const char *modality;
    tsr_usage *lanes;
    void (*tell)(const char *what);
} counting;

static tsr_status count_item(void *ctx, size_t i, int lane)
{
    const counting *c = ctx;
    const tsr_shard *s;
    TSR_TRY(tsr_corpus_get_shard(c->corpus, c->modality, (uint32_t)i, &s));
    if (!s)
        return TSR_OK;
    tsr_status st = count_shard(&c->lanes[lane], s);
    tsr_corpus_put_shard(c->corpus, s);
    return st;
}

/* One shard that cannot be read does not hide the others. */
static tsr_status count_or_tell(void *ctx, size_t i, int lane)
{
    const counting *c = ctx;
    tsr_status st = count_item(ctx, i, lane);
    if (st == TSR_OK || st == TSR_ENOMEM)
        return st;
    if (c->tell)
        c->tell(tsr_error());
    c->lanes[lane].damaged++;
    return TSR_OK;
}

tsr_status tsr_usage_corpus(tsr_corpus *c, const tsr_modality *m, void (*tell)(const char *what),
                            tsr_usage *out)
{
    tsr_usage u = {0};
    int lanes = tsr_par_threads();
    counting work = {.corpus = c, .modality = m->space.modality, .tell = tell};
    tsr_status st;
    TSR_GO(tsr_alloc(&work.lanes, (size_t)lanes, sizeof *work.lanes));
    TSR_GO(usage_init(&m->space, &u));
    u.crops = m->crops;
    for (int i = 0; i < lanes; i++)
        TSR_GO(usage_init(&m->space, &work.lanes[i]));
    TSR_GO(tsr_par_for(tsr_corpus_manifest(c)->n_shards, count_or_tell, &work));
    for (int i = 0; i < lanes; i++)
        merge(&u, &work.lanes[i]);
    finish(&u);
    *out = u;
    u = (tsr_usage){0};
out:
    for (int i = 0; work.lanes && i < lanes; i++)
        tsr_usage_clear(&work.lanes[i]);
    tsr_free(work.lanes);
    tsr_usage_clear(&u);
    return st;
}

size_t tsr_usage_top(const tsr_usage *u, tsr_code_count *top, size_t n)
{
    size_t have = 0;
    for (uint32_t k = 0; k < u->codes; k++) {
        if (!u->counts[k] || n == 0 || (have == n && u->counts[k] <= top[n - 1].count))
            continue;
        size_t at = have < n ? have++ : n - 1;
        for (; at > 0 && top[at - 1].count < u->counts[k]; at--)
            top[at] = top[at - 1];
        top[at] = (tsr_code_count){k, u->counts[k]};
    }
    return have;
}

static tsr_status add_top(const tsr_usage *u, size_t n, json_t *object)
{
    tsr_code_count *top;
    json_t *list = json_array();
    TSR_TRY(tsr_alloc(&top, n, sizeof *top));
    size_t have = tsr_usage_top(u, top, n);
    tsr_status st = tsr_json_set(object, "top", list);
    for (size_t i = 0; i < have && st == TSR_OK; i++)
        st = tsr_json_append(list, json_pack("{s:I, s:I, s:I, s:f}", "id", (json_int_t)top[i].code,
                                             "global", (json_int_t)top[i].code + u->space.base,
                                             "count", (json_int_t)top[i].count, "share",
                                             (double)top[i].count / (double)u->tokens));
    tsr_free(top);
    return st;
}

static tsr_status add_lengths(const tsr_usage *u, json_t *object)
{
    json_t *bins = json_array();
    double mean = u->rows ? (double)u->tokens / (double)u->rows : 0;
    TSR_TRY(tsr_json_set(object, "lengths",
                         json_pack("{s:I, s:f, s:I, s:o}", "min", (json_int_t)u->shortest, "mean",
                                   mean, "max", (json_int_t)u->longest, "histogram", bins)));
    for (size_t i = 0; i < TSR_USAGE_LENGTHS; i++)
        TSR_TRY(tsr_json_append(bins, json_integer((json_int_t)u->lengths[i])));
    return TSR_OK;
}

static tsr_status add_codes(const tsr_usage *u, size_t top, json_t *v)
{
    TSR_TRY(tsr_json_set(v, "tokens", json_integer((json_int_t)u->tokens)));
    TSR_TRY(tsr_json_set(v, "codes_used", json_integer(u->used)));
    TSR_TRY(tsr_json_set(v, "codes_unused", json_integer((json_int_t)u->codes - u->used)));
    TSR_TRY(tsr_json_set(v, "entropy_bits", json_real(u->entropy_bits)));
    TSR_TRY(tsr_json_set(v, "perplexity", json_real(u->perplexity)));
    TSR_TRY(add_top(u, top, v));
    return add_lengths(u, v);
}

tsr_status tsr_usage_json(const tsr_usage *u, size_t top, json_t **out)
{
    json_t *v = json_object();
    tsr_status st;
    TSR_GO(tsr_space_json(&u->space, v));
    TSR_GO(tsr_json_set(v, "crops", json_integer(u->crops)));
    TSR_GO(tsr_json_set(v, "present", json_integer((json_int_t)u->present)));
    TSR_GO(tsr_json_set(v, "missing", json_integer((json_int_t)u->missing)));
    TSR_GO(tsr_json_set(v, "failed", json_integer((json_int_t)u->failed)));
    TSR_GO(u->codes ? add_codes(u, top, v)
                    : tsr_json_set(v, "values", json_integer((json_int_t)u->tokens)));
    *out = v;
    v = NULL;
out:
    json_decref(v);
    return st;
}
