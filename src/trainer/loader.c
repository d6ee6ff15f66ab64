/* SPDX-License-Identifier: Apache-2.0
 * The loader: which sample comes when, its mask, and a thread that prepares batches ahead. */
#include "trainer/loader.h"

#include "base/mem.h"
#include "base/rng.h"
#include "trainer/feed.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define TRIES     16   /* neighbours tried in place of a sample that cannot be read */
#define WINDOW    4096 /* samples over which the shares of the corpora are kept exactly */
#define SENTENCE  1024
#define MAX_FEEDS 255

/* One batch: being made, ready, or in the caller's hands. */
typedef struct slot {
    enum { FREE, BUSY, READY, LENT } state;
    uint64_t number;
    size_t count;
    uint64_t bad; /* samples that could not be read */
    char why[SENTENCE];
    tsr_status status;
    char error[SENTENCE];
    tsr_example *examples;
    const tsr_example **list;
} slot;

typedef struct feeder {
    tsr_feed_source *source;
    const tsr_policy *policy;
    tsr_mask_work *work;
    uint32_t quota; /* samples of a window */
    int random_crops;
} feeder;

/* Which corpus each sample of a window comes from, and how many of that corpus came before it. */
typedef struct window {
    uint64_t number; /* UINT64_MAX: none yet */
    uint8_t feed[WINDOW];
    uint16_t rank[WINDOW];
} window;

struct tsr_loader {
    tsr_mods mods;
    feeder *feeds;
    size_t n_feeds;
    uint64_t seed, samples;
    size_t batch, ahead;
    int in_order;
    window *win;
    tsr_feed_buffer buffer;
    slot *slots; /* [ahead + 2]: two in the caller's hands, the others ready or being made */
    size_t n_slots;
    slot *lent[2]; /* the last one, the one before */
    uint64_t bad;
    char why[SENTENCE];
    /* between the caller and the thread: */
    pthread_t thread;
    int has_thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t next;  /* batch the caller is expected to ask for */
    uint64_t round; /* grows when the caller asks for another */
    int stop;
};

/* --- the order ---------------------------------------------------------------------------------
 */

/* Shares of a window by largest remainder, at least one sample each. */
static void share_out(tsr_loader *l, const tsr_feed *feeds)
{
    double total = 0;
    uint32_t given = 0;
    for (size_t i = 0; i < l->n_feeds; i++)
        total += feeds[i].weight;
    for (size_t i = 0; i < l->n_feeds; i++) {
        uint32_t q = (uint32_t)(WINDOW * (feeds[i].weight / total));
        l->feeds[i].quota = q ? q : 1;
        given += l->feeds[i].quota;
    }
    while (given != WINDOW) { /* to, or from, whoever is farthest from its share */
        size_t best = 0;
        double most = -1e300;
        for (size_t i = 0; i < l->n_feeds; i++) {
            double lack = WINDOW * (feeds[i].weight / total) - l->feeds[i].quota;
            lack = given < WINDOW ? lack : l->feeds[i].quota > 1 ? -lack : -1e299;
            if (lack > most) {
                most = lack;
                best = i;
            }
        }
        l->feeds[best].quota += given < WINDOW ? 1u : (uint32_t)-1;
        given += given < WINDOW ? 1u : (uint32_t)-1;
    }
}

static void make_window(tsr_loader *l, uint64_t number)
{
    uint16_t seen[MAX_FEEDS] = {0};
    for (uint64_t i = 0; i < WINDOW; i++) {
        uint64_t p = tsr_rng_permute(i, WINDOW, l->seed, TSR_RNG_ORDER, 1ull << 63 | number);
        size_t f = 0;
        for (uint64_t end = l->feeds[0].quota; p >= end; end += l->feeds[f].quota)
            f++;
        l->win->feed[i] = (uint8_t)f;
        l->win->rank[i] = seen[f]++;
    }
    l->win->number = number;
}

/* Where sample n of the run comes from: the corpus, and how many of it came before. */
static void place(tsr_loader *l, uint64_t n, size_t *f, uint64_t *index)
{
    *f = 0;
    *index = n;
    if (l->in_order) {
        while (*index >= tsr_feed_source_count(l->feeds[*f].source))
            *index -= tsr_feed_source_count(l->feeds[(*f)++].source);
        return;
    }
    if (l->n_feeds == 1)
        return;
    if (l->win->number != n / WINDOW)
        make_window(l, n / WINDOW);
    *f = l->win->feed[n % WINDOW];
    *index = n / WINDOW * l->feeds[*f].quota + l->win->rank[n % WINDOW];
}

/* --- samples -----------------------------------------------------------------------------------
 */

static tsr_status read_and_mask(tsr_loader *l, const feeder *f, uint64_t number, uint64_t stream,
                                tsr_example *e)
{
    tsr_held held[TSR_MODALITIES];
    tsr_rng rng;
    uint32_t crop = 0;
    uint64_t sample;
    if (f->random_crops) {
        tsr_rng_init(&rng, l->seed, TSR_RNG_AUGMENT, stream);
        crop = tsr_rng_below(&rng, tsr_feed_source_crops(f->source));
    }
    TSR_TRY(tsr_feed_source_read(f->source, number, crop, &l->buffer, held, &sample));
    tsr_rng_init(&rng, l->seed, TSR_RNG_MASK, stream);
    tsr_status st = tsr_mask_sample(f->policy, held, &rng, f->work, e);
    e->sample = sample;
    return st == TSR_OK ? st : tsr_context(st, "sample %llu", (unsigned long long)sample);
}

static tsr_status make_example(tsr_loader *l, uint64_t n, slot *s, tsr_example *e)
{
    size_t at;
    uint64_t index;
    place(l, n, &at, &index);
    const feeder *f = &l->feeds[at];
    uint64_t count = tsr_feed_source_count(f->source), pass = index / count;
    tsr_status st = TSR_OK;
    for (uint64_t i = 0; i < TRIES; i++) {
        uint64_t number = (index + i) % count;
        if (!l->in_order)
            number = tsr_rng_permute(number, count, l->seed, TSR_RNG_ORDER, at << 40 | pass);
        st = read_and_mask(l, f, number, (uint64_t)at << 56 | pass << 36 | number, e);
        e->corpus = (uint32_t)at;
        if (st == TSR_OK || st == TSR_ENOMEM)
            return st;
        s->bad++;
        snprintf(s->why, sizeof s->why, "%s: %s",
                 tsr_corpus_path(tsr_feed_source_corpus(f->source)), tsr_error());
    }
    (void)tsr_context(st, "%s: %d samples in a row cannot be used",
                      tsr_corpus_path(tsr_feed_source_corpus(f->source)), TRIES);
    return TSR_EIO;
}

static void make_batch(tsr_loader *l, slot *s, uint64_t number)
{
    uint64_t first = number * l->batch, left = l->batch;
    s->number = number;
    s->status = TSR_OK;
    s->bad = s->count = 0;
    if (l->in_order)
        left = first >= l->samples ? 0 : l->samples - first;
    for (size_t i = 0; i < l->batch && i < left && s->status == TSR_OK; i++) {
        s->status = make_example(l, first + i, s, &s->examples[i]);
        s->count += s->status == TSR_OK;
    }
    if (s->status == TSR_OK && s->count == 0)
        s->status = tsr_fail_at(TSR_ENOENT, __FILE__, __LINE__,
                                "batch %llu is beyond the last of %llu samples",
                                (unsigned long long)number, (unsigned long long)l->samples);
    if (s->status != TSR_OK)
        snprintf(s->error, sizeof s->error, "%s", tsr_error());
}

/* --- the thread --------------------------------------------------------------------------------
 */

static slot *find(const tsr_loader *l, int state, uint64_t number)
{
    for (size_t i = 0; i < l->n_slots; i++)
        if ((int)l->slots[i].state == state && (state == FREE || l->slots[i].number == number))
            return &l->slots[i];
    return NULL;
}

/* The batch to make now: the first one of the next `ahead` that is not ready. */
static slot *next_work(tsr_loader *l, uint64_t *number)
{
    for (uint64_t i = 0; i < l->ahead; i++) {
        *number = l->next + i;
        if (!find(l, READY, *number))
            return find(l, FREE, 0);
    }
    return NULL;
}

static void *run_ahead(void *ctx)
{
    tsr_loader *l = ctx;
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        uint64_t number, round = l->round;
        slot *s = next_work(l, &number);
        if (!s) {
            pthread_cond_wait(&l->changed, &l->lock);
            continue;
        }
        s->state = BUSY;
        pthread_mutex_unlock(&l->lock);
        make_batch(l, s, number);
        pthread_mutex_lock(&l->lock);
        s->state = round == l->round ? READY : FREE;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* The batch the thread has made, or will. The lock is held. */
static slot *await(tsr_loader *l, uint64_t b)
{
    slot *s;
    if (b != l->next) {
        l->next = b;
        l->round++;
        for (size_t i = 0; i < l->n_slots; i++)
            if (l->slots[i].state == READY)
                l->slots[i].state = FREE;
    }
    pthread_cond_broadcast(&l->changed);
    while (!(s = find(l, READY, b)))
        pthread_cond_wait(&l->changed, &l->lock);
    s->state = LENT;
    l->next = b + 1;
    pthread_cond_broadcast(&l->changed);
    return s;
}

tsr_status tsr_loader_batch(tsr_loader *l, uint64_t b, const tsr_example *const **examples,
                            size_t *count)
{
    slot *s;
    pthread_mutex_lock(&l->lock);
    if (l->lent[1])
        l->lent[1]->state = FREE;
    l->lent[1] = l->lent[0];
    l->lent[0] = NULL;
    if (l->has_thread) {
        s = await(l, b);
    } else {
        s = find(l, FREE, 0);
        s->state = LENT;
        make_batch(l, s, b);
    }
    l->lent[0] = s;
    pthread_mutex_unlock(&l->lock);
    l->bad += s->bad;
    if (s->bad)
        memcpy(l->why, s->why, sizeof l->why);
    if (s->status != TSR_OK)
        TSR_FAIL(s->status, "%s", s->error);
    *examples = s->list;
    *count = s->count;
    return TSR_OK;
}

/* --- opening -----------------------------------------------------------------------------------
 */

static tsr_status check_spec(const tsr_loader_spec *s)
{
    if (!s->n_feeds || s->n_feeds > MAX_FEEDS)
        TSR_FAIL(TSR_ECONFIG, "%zu corpora; 1 to %d are expected", s->n_feeds, MAX_FEEDS);
    if (!s->batch || s->batch > 65536 || s->ahead > 1024)
        TSR_FAIL(TSR_ECONFIG, "batches of %zu samples, %zu ahead: out of range", s->batch,
                 s->ahead);
    for (size_t i = 0; i < s->n_feeds; i++) {
        if (!(s->feeds[i].weight > 0) || s->feeds[i].weight > 1e12)
            TSR_FAIL(TSR_ECONFIG, "corpus %s: weight %g is not above 0", s->feeds[i].path,
                     s->feeds[i].weight);
        if (!s->feeds[i].policy && !s->policy)
            TSR_FAIL(TSR_EARG, "corpus %s has no masks", s->feeds[i].path);
    }
    return TSR_OK;
}

static tsr_status open_feeds(tsr_loader *l, const tsr_loader_spec *spec)
{
    int has[TSR_MODALITIES] = {0};
    TSR_TRY(tsr_alloc(&l->feeds, spec->n_feeds, sizeof *l->feeds));
    l->n_feeds = spec->n_feeds;
    for (size_t i = 0; i < l->n_feeds; i++) {
        feeder *f = &l->feeds[i];
        f->policy = spec->feeds[i].policy ? spec->feeds[i].policy : spec->policy;
        f->random_crops = spec->feeds[i].random_crops;
        TSR_TRY(tsr_feed_source_open(&l->mods, &spec->feeds[i], spec->limit, has, &f->source));
        TSR_TRY(tsr_mask_work_create(f->policy, &f->work));
        l->samples += tsr_feed_source_count(f->source);
    }
    for (size_t m = 0; m < l->mods.count; m++)
        if (!has[m])
            TSR_FAIL(TSR_ECONFIG, "modality %s: %s %s has it", l->mods.items[m].name,
                     l->n_feeds > 1 ? "none of the corpora, from" : "corpus, not",
                     spec->feeds[0].path);
    share_out(l, spec->feeds);
    return TSR_OK;
}

static tsr_status make_slots(tsr_loader *l)
{
    size_t rows = 0, bytes = 0;
    for (size_t i = 0; i < l->n_feeds; i++) {
        size_t r = tsr_policy_rows(l->feeds[i].policy);
        size_t p = tsr_policy_patch_bytes(l->feeds[i].policy);
        rows = r > rows ? r : rows;
        bytes = p > bytes ? p : bytes;
    }
    TSR_TRY(tsr_alloc(&l->slots, l->ahead + 2, sizeof *l->slots));
    l->n_slots = l->ahead + 2;
    for (size_t i = 0; i < l->n_slots; i++) {
        slot *s = &l->slots[i];
        TSR_TRY(tsr_alloc(&s->examples, l->batch, sizeof *s->examples));
        TSR_TRY(tsr_alloc(&s->list, l->batch, sizeof *s->list));
        for (size_t k = 0; k < l->batch; k++) {
            TSR_TRY(tsr_example_init(&s->examples[k], &l->mods, rows, bytes));
            s->list[k] = &s->examples[k];
        }
    }
    return TSR_OK;
}

tsr_status tsr_loader_open(const tsr_loader_spec *spec, tsr_loader **out)
{
    tsr_loader *l;
    tsr_status st = TSR_OK;
    TSR_TRY(check_spec(spec));
    TSR_TRY(tsr_alloc(&l, 1, sizeof *l));
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    l->mods = *spec->mods;
    l->seed = spec->seed;
    l->batch = spec->batch;
    l->ahead = spec->ahead;
    l->in_order = spec->in_order;
    TSR_GO(tsr_alloc(&l->win, 1, sizeof *l->win));
    l->win->number = UINT64_MAX;
    TSR_GO(open_feeds(l, spec));
    TSR_GO(make_slots(l));
    if (l->ahead) {
        if (pthread_create(&l->thread, NULL, run_ahead, l) != 0)
            TSR_GOFAIL(TSR_ENOMEM, "no thread can be started to read ahead");
        l->has_thread = 1;
    }
    *out = l;
    l = NULL;
out:
    tsr_loader_close(l);
    return st;
}

void tsr_loader_close(tsr_loader *l)
{
    if (!l)
        return;
    if (l->has_thread) {
        pthread_mutex_lock(&l->lock);
        l->stop = 1;
        pthread_cond_broadcast(&l->changed);
        pthread_mutex_unlock(&l->lock);
        pthread_join(l->thread, NULL);
    }
    for (size_t i = 0; i < l->n_slots; i++) {
        for (size_t k = 0; l->slots[i].examples && k < l->batch; k++)
            tsr_example_clear(&l->slots[i].examples[k]);
        tsr_free(l->slots[i].examples);
        tsr_free(l->slots[i].list);
    }
    for (size_t i = 0; i < l->n_feeds; i++) {
        tsr_feed_source_close(l->feeds[i].source);
        tsr_mask_work_destroy(l->feeds[i].work);
    }
    tsr_free(l->feeds);
    tsr_free(l->slots);
    tsr_free(l->win);
    tsr_feed_buffer_clear(&l->buffer);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    tsr_free(l);
}

uint64_t tsr_loader_samples(const tsr_loader *l)
{
    return l->samples;
}

uint64_t tsr_loader_feed_samples(const tsr_loader *l, size_t feed)
{
    return feed < l->n_feeds ? tsr_feed_source_count(l->feeds[feed].source) : 0;
}

tsr_corpus *tsr_loader_corpus(const tsr_loader *l, size_t feed)
{
    return feed < l->n_feeds ? tsr_feed_source_corpus(l->feeds[feed].source) : NULL;
}

uint64_t tsr_loader_bad(const tsr_loader *l, const char **sentence)
{
    if (sentence)
        *sentence = l->why;
    return l->bad;
}

/* --- one sample, unmasked ----------------------------------------------------------------------
 */

tsr_status tsr_loader_held(tsr_loader *l, size_t feed, uint64_t n, tsr_sample_held *out)
{
    tsr_feed_buffer *b;
    tsr_sample_held h = {.storage = NULL};
    uint64_t sample;
    if (feed >= l->n_feeds || n >= tsr_feed_source_count(l->feeds[feed].source))
        TSR_FAIL(TSR_EARG, "sample %llu of corpus %zu: out of range", (unsigned long long)n, feed);
    TSR_TRY(tsr_alloc(&b, 1, sizeof *b));
    h.storage = b;
    tsr_status st = tsr_feed_source_read(l->feeds[feed].source, n, 0, b, h.held, &sample);
    if (st != TSR_OK) {
        tsr_held_clear(&h);
        return st;
    }
    *out = h;
    return TSR_OK;
}

void tsr_held_clear(tsr_sample_held *h)
{
    if (!h || !h->storage)
        return;
    tsr_feed_buffer_clear(h->storage);
    tsr_free(h->storage);
    *h = (tsr_sample_held){.storage = NULL};
}
