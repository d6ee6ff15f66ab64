/* SPDX-License-Identifier: Apache-2.0
 * Parallel loops over a pool of threads that is started when first needed and sleeps between loops.
 *
 * A loop is announced by one word that holds its number and its team, so that a thread which wakes
 * late can never take a later loop for the one it was woken for. The caller works too, and leaves
 * only when every member of the team has finished. Whoever has nothing to do looks for news a few
 * microseconds long and then sleeps: on a busy machine a thread that kept looking would take the
 * core from the one it waits for. */
#include "base/par.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define WORKERS_MAX 255 /* threads beside the caller */
#define LOOKS 400       /* for news, before sleeping: some ten microseconds */

static int chosen;
static _Thread_local int inside; /* a loop */

static struct {
    pthread_once_t once;
    pthread_mutex_t busy; /* held by the caller of the loop that runs */
    pthread_mutex_t lock; /* of both conditions */
    pthread_cond_t begin, end;
    int workers;            /* threads started */
    atomic_uint_fast64_t now; /* number of the loop << 8 | workers that take part */
    atomic_int unfinished;    /* of these */
    atomic_size_t next;       /* item */
    size_t n;
    tsr_par_kernel kernel;
    void *ctx;
} pool = {.once = PTHREAD_ONCE_INIT, .busy = PTHREAD_MUTEX_INITIALIZER};

static int default_threads(void)
{
    const char *env = getenv("TESSERA_THREADS");
    int n = env ? atoi(env) : 0;
    cpu_set_t set;
    if (n < 1 && sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
    return n >= 1 ? n : 1;
}

int tsr_par_threads(void)
{
    return chosen >= 1 ? chosen : default_threads();
}

void tsr_par_set_threads(int n)
{
    chosen = n;
}

int tsr_par_team(void)
{
    return inside ? 1 : tsr_par_threads();
}

static int team_size(size_t n)
{
    int threads = tsr_par_team();
    threads = threads <= WORKERS_MAX ? threads : WORKERS_MAX + 1;
    return n < (size_t)threads ? (int)n : threads;
}

/* --- the pool ------------------------------------------------------------------------------------ */

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    sched_yield();
#endif
}

static void work(int lane)
{
    inside++;
    for (size_t i; (i = atomic_fetch_add_explicit(&pool.next, 1, memory_order_relaxed)) < pool.n;)
        pool.kernel(pool.ctx, i, lane);
    inside--;
}

/* The next word after `seen`. */
static uint64_t wait_for_loop(uint64_t seen)
{
    uint64_t word = seen;
    for (int i = 0; i < LOOKS && word == seen; i++) {
        word = atomic_load_explicit(&pool.now, memory_order_acquire);
        if (word == seen)
            pause_briefly();
    }
    if (word != seen)
        return word;
    pthread_mutex_lock(&pool.lock);
    while ((word = atomic_load(&pool.now)) == seen)
        pthread_cond_wait(&pool.begin, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    return word;
}

/* ctx: the lane, from 1, and the word before the first loop this thread may take part in. */
typedef struct start {
    int lane;
    uint64_t seen;
} start;

static void *worker(void *ctx)
{
    start s = *(const start *)ctx;
    for (;;) {
        s.seen = wait_for_loop(s.seen);
        if (s.lane > (int)(s.seen & WORKERS_MAX))
            continue;
        work(s.lane);
        if (atomic_fetch_sub(&pool.unfinished, 1) != 1)
            continue;
        pthread_mutex_lock(&pool.lock);
        pthread_cond_signal(&pool.end);
        pthread_mutex_unlock(&pool.lock);
    }
    return NULL;
}

/* A child process has none of its parent's threads. */
static void pool_reset(void)
{
    pthread_mutex_init(&pool.busy, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.begin, NULL);
    pthread_cond_init(&pool.end, NULL);
    pool.workers = 0;
}

static void pool_prepare(void)
{
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.begin, NULL);
    pthread_cond_init(&pool.end, NULL);
    pthread_atfork(NULL, NULL, pool_reset);
}

/* Have `wanted` (at most WORKERS_MAX) workers if the system gives them; returns how many of them there are. */
static int need_workers(int wanted)
{
    static start starts[WORKERS_MAX];
    while (pool.workers < wanted) {
        pthread_t id;
        start *s = &starts[pool.workers];
        *s = (start){pool.workers + 1, atomic_load(&pool.now)};
        if (pthread_create(&id, NULL, worker, s) != 0)
            break;
        pthread_detach(id);
        pool.workers++;
    }
    return pool.workers < wanted ? pool.workers : wanted;
}

static void announce(int members)
{
    uint64_t number = (atomic_load(&pool.now) >> 8) + 1;
    atomic_store(&pool.next, 0);
    atomic_store(&pool.unfinished, members);
    pthread_mutex_lock(&pool.lock);
    atomic_store_explicit(&pool.now, number << 8 | (uint64_t)members, memory_order_release);
    pthread_cond_broadcast(&pool.begin);
    pthread_mutex_unlock(&pool.lock);
}

static void wait_for_end(void)
{
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load(&pool.unfinished) == 0)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&pool.unfinished) > 0)
        pthread_cond_wait(&pool.end, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

static void run_alone(size_t n, tsr_par_kernel kernel, void *ctx)
{
    for (size_t i = 0; i < n; i++)
        kernel(ctx, i, 0);
}

/* --- loops --------------------------------------------------------------------------------------- */

void tsr_par_kernels(size_t n, tsr_par_kernel kernel, void *ctx)
{
    int team = team_size(n);
    if (team <= 1) {
        run_alone(n, kernel, ctx);
        return;
    }
    pthread_once(&pool.once, pool_prepare);
    if (pthread_mutex_trylock(&pool.busy) != 0) { /* another thread's loop has the pool */
        inside++;
        run_alone(n, kernel, ctx);
        inside--;
        return;
    }
    pool.n = n;
    pool.kernel = kernel;
    pool.ctx = ctx;
    announce(need_workers(team - 1));
    work(0);
    wait_for_end();
    pthread_mutex_unlock(&pool.busy);
}

typedef struct fallible {
    tsr_par_body body;
    void *ctx;
    atomic_size_t failed_at; /* the lowest so far */
    pthread_mutex_t lock;    /* of what follows */
    tsr_status failed;
    char sentence[1024];
} fallible;

static void fallible_item(void *ctx, size_t i, int lane)
{
    fallible *f = ctx;
    /* Items below a failure still run: the lowest failure must be the one reported. */
    if (i > atomic_load_explicit(&f->failed_at, memory_order_relaxed))
        return;
    tsr_status st = f->body(f->ctx, i, lane);
    if (st == TSR_OK)
        return;
    pthread_mutex_lock(&f->lock);
    if (i < atomic_load(&f->failed_at)) {
        f->failed = st;
        snprintf(f->sentence, sizeof f->sentence, "%s", tsr_error());
        atomic_store(&f->failed_at, i);
    }
    pthread_mutex_unlock(&f->lock);
}

tsr_status tsr_par_for(size_t n, tsr_par_body body, void *ctx)
{
    fallible f = {.body = body, .ctx = ctx, .failed_at = SIZE_MAX, .failed = TSR_OK};
    pthread_mutex_init(&f.lock, NULL);
    tsr_par_kernels(n, fallible_item, &f);
    pthread_mutex_destroy(&f.lock);
    if (f.failed != TSR_OK)
        TSR_FAIL(f.failed, "%s", f.sentence);
    return TSR_OK;
}
