/* SPDX-License-Identifier: Apache-2.0
 * What the masked model may see: whatever is hidden leaves every bit of the logits as it was, and
 * so do the other samples of the batch and the number of threads. */
#include "fmtest.h"

#include "base/par.h"

/* The forms of the model, each in both precisions. */
#define FORMS 6

typedef struct subject {
    tsr_fm *m;
    tsr_precision precision;
    fmtest_batch b;
} subject;

static void open_subject(subject *s, int form)
{
    tsr_fm_config c = fmtest_config(form % 3 == 1, 30);
    c.shared_vocabulary = form % 3 == 2;
    c.dim = 96;
    s->precision = form < 3 ? TSR_PRECISION_FP32 : TSR_PRECISION_BF16;
    assert_ok(tsr_fm_create(&c, 7, &s->m));
    fmtest_batch_init(&s->b, &c.mods, 11, 12);
}

static void close_subject(subject *s)
{
    fmtest_batch_clear(&s->b);
    tsr_fm_destroy(s->m);
}

static tsr_fmnet *net_of(const subject *s, tsr_fmnet_mode mode, size_t samples)
{
    tsr_fmnet_spec spec = fmtest_spec(tsr_fm_get_config(s->m), mode, s->precision, samples);
    tsr_fmnet *n;
    assert_ok(tsr_fmnet_create(s->m, &spec, &n));
    return n;
}

/* Logits of every modality of the list's sample `at`, copied. */
typedef struct seen {
    float *logits[TEST_MODS];
    size_t rows[TEST_MODS];
} seen;

static seen look(const subject *s, tsr_fmnet *n, const tsr_example *const *list, size_t count,
                 size_t at)
{
    seen r;
    const tsr_mods *mods = &tsr_fm_get_config(s->m)->mods;
    assert_ok(tsr_fmnet_run(n, list, count, 1.0));
    for (size_t m = 0; m < TEST_MODS; m++) {
        size_t all, width = mods->items[m].vocabulary, before = 0;
        const float *logits = tsr_fmnet_logits(n, m, &all);
        for (size_t i = 0; i < at; i++)
            before += list[i]->out[m].count;
        r.rows[m] = list[at]->out[m].count;
        r.logits[m] = malloc((r.rows[m] * width + 1) * sizeof(float));
        if (r.rows[m])
            memcpy(r.logits[m], logits + before * width, r.rows[m] * width * sizeof(float));
    }
    return r;
}

/* 1 when the first `rows` rows of modality m have the same bits. */
static int same_rows(const subject *s, const seen *a, const seen *b, size_t m, size_t rows)
{
    size_t width = tsr_fm_get_config(s->m)->mods.items[m].vocabulary;
    return !memcmp(a->logits[m], b->logits[m], rows * width * sizeof(float));
}

static int same(const subject *s, const seen *a, const seen *b)
{
    for (size_t m = 0; m < TEST_MODS; m++)
        if (a->rows[m] != b->rows[m] || !same_rows(s, a, b, m, a->rows[m]))
            return 0;
    return 1;
}

static void forget(seen *r)
{
    for (size_t m = 0; m < TEST_MODS; m++)
        free(r->logits[m]);
}

/* A sample with captions to predict and something else beside. */
static size_t sample_with_caption(const subject *s)
{
    for (size_t i = 1; i < FMTEST_EXAMPLES; i++)
        if (s->b.items[i].out[CAPTION].count >= 4 && s->b.items[i].out[DEPTH].count >= 2 &&
            s->b.items[i].in[DEPTH].count >= 1 && s->b.items[i].in[PIXELS].count >= 1)
            return i;
    fail_msg("no example fits");
    return 0;
}

static int32_t other(int32_t id)
{
    return (id + 1) % 30;
}

/* Ids of what is hidden change nothing; ids of what is shown do. */
static void hidden_tokens_change_nothing(void **state)
{
    (void)state;
    for (int form = 0; form < FORMS; form++) {
        subject s;
        open_subject(&s, form);
        size_t at = sample_with_caption(&s);
        tsr_example *e = &s.b.items[at], *stranger = &s.b.items[at - 1];
        tsr_fmnet *n = net_of(&s, TSR_FMNET_LOGITS, FMTEST_EXAMPLES);
        seen first = look(&s, n, s.b.list, FMTEST_EXAMPLES, at), now;

        /* labels, inputs and targets of another sample */
        for (size_t m = 0; m < TEST_MODS; m++) {
            for (size_t r = 0; r < e->out[m].count; r++)
                e->out[m].labels[r] = other(e->out[m].labels[r]);
            for (size_t r = 0; m != PIXELS && r < stranger->in[m].count; r++)
                stranger->in[m].ids[r] = other(stranger->in[m].ids[r]);
            for (size_t r = 0; r < stranger->out[m].count; r++)
                stranger->out[m].ids[r] = other(stranger->out[m].ids[r]);
        }
        stranger->bytes[0] ^= 255;
        now = look(&s, n, s.b.list, FMTEST_EXAMPLES, at);
        assert_true(same(&s, &first, &now));
        forget(&now);

        /* a sequence's tokens: seen by itself, from their place on, and by no other modality */
        e->out[CAPTION].ids[2] = other(e->out[CAPTION].ids[2]);
        now = look(&s, n, s.b.list, FMTEST_EXAMPLES, at);
        for (size_t m = 0; m < TEST_MODS; m++)
            assert_true(m == CAPTION || same_rows(&s, &first, &now, m, first.rows[m]));
        assert_true(same_rows(&s, &first, &now, CAPTION, 2));
        assert_false(same_rows(&s, &first, &now, CAPTION, 3));
        forget(&now);
        e->out[CAPTION].ids[2] -= e->out[CAPTION].ids[2] ? 1 : -29;

        /* what is shown is seen by all */
        e->in[DEPTH].ids[0] = other(e->in[DEPTH].ids[0]);
        now = look(&s, n, s.b.list, FMTEST_EXAMPLES, at);
        for (size_t m = 0; m < TEST_MODS; m++)
            assert_false(first.rows[m] && same_rows(&s, &first, &now, m, 1));
        forget(&now);
        forget(&first);
        tsr_fmnet_destroy(n);
        close_subject(&s);
    }
}

/* Alone, in another order, with other neighbours, in a smaller net: the same bits. */
static void neighbours_change_nothing(void **state)
{
    (void)state;
    for (int form = 0; form < FORMS; form++) {
        subject s;
        open_subject(&s, form);
        tsr_fmnet *big = net_of(&s, TSR_FMNET_LOGITS, FMTEST_EXAMPLES);
        tsr_fmnet *small = net_of(&s, TSR_FMNET_LOGITS, 1);
        const tsr_example *turned[FMTEST_EXAMPLES];
        for (size_t i = 0; i < FMTEST_EXAMPLES; i++)
            turned[i] = s.b.list[FMTEST_EXAMPLES - 1 - i];
        for (size_t i = 0; i < FMTEST_EXAMPLES; i++) {
            seen in_all = look(&s, big, s.b.list, FMTEST_EXAMPLES, i);
            seen views[] = {look(&s, big, s.b.list + i, 1, 0), look(&s, small, s.b.list + i, 1, 0),
                            look(&s, big, turned, FMTEST_EXAMPLES, FMTEST_EXAMPLES - 1 - i),
                            look(&s, big, s.b.list, i + 1, i)};
            for (size_t v = 0; v < sizeof views / sizeof views[0]; v++) {
                assert_true(same(&s, &in_all, &views[v]));
                forget(&views[v]);
            }
            forget(&in_all);
        }
        tsr_fmnet_destroy(big);
        tsr_fmnet_destroy(small);
        close_subject(&s);
    }
}

/* Losses, gradients: bytes for 1, 2 and 3 threads. */
static void threads_change_nothing(void **state)
{
    (void)state;
    for (int form = 0; form < FORMS; form++) {
        subject s;
        open_subject(&s, form);
        tsr_params *ps = tsr_fm_params(s.m);
        tsr_digest digests[3];
        double losses[3];
        for (int t = 0; t < 3; t++) {
            tsr_hasher *h;
            tsr_par_set_threads(t + 1);
            tsr_fmnet *n = net_of(&s, TSR_FMNET_TRAIN, FMTEST_EXAMPLES);
            assert_ok(tsr_params_need_grads(ps));
            tsr_params_zero_grads(ps);
            for (size_t count = 3; count <= FMTEST_EXAMPLES; count += 5)
                assert_ok(tsr_fmnet_run(n, s.b.list, count, 0.5));
            losses[t] = tsr_fmnet_loss(n);
            assert_ok(tsr_hasher_create(&h));
            for (size_t i = 0; i < tsr_params_count(ps); i++) {
                const tsr_param *p = tsr_params_at(ps, i);
                if (p->grad)
                    tsr_hasher_add(h, p->grad, p->count * sizeof *p->grad);
            }
            digests[t] = tsr_hasher_finish(h);
            tsr_hasher_destroy(h);
            tsr_fmnet_destroy(n);
        }
        tsr_par_set_threads(0);
        for (int t = 1; t < 3; t++) {
            assert_true(losses[t] == losses[0]);
            assert_true(tsr_digest_equal(digests[t], digests[0]));
        }
        close_subject(&s);
    }
}

/* A sample without inputs has nothing to attend to: its logits are those of a context of any kind,
 * whoever its neighbours are. */
static void nothing_shown_is_nothing_seen(void **state)
{
    (void)state;
    for (int form = 0; form < FORMS; form++) {
        subject s;
        open_subject(&s, form);
        size_t at = sample_with_caption(&s);
        tsr_fmnet *n = net_of(&s, TSR_FMNET_LOGITS, FMTEST_EXAMPLES);
        memset(s.b.items[at].in, 0, TEST_MODS * sizeof *s.b.items[at].in);
        seen in_all = look(&s, n, s.b.list, FMTEST_EXAMPLES, at);
        seen alone = look(&s, n, s.b.list + at, 1, 0);
        assert_true(same(&s, &in_all, &alone));
        if (form % 3 != 1) { /* no registers: keys and values have no part in it */
            tsr_param *p = tsr_params_find(tsr_fm_params(s.m), "decoder.0.cross_attn.kv.weight");
            tsr_param_init(p, TSR_INIT_NORMAL, 1.0f, 99);
            seen changed = look(&s, n, s.b.list, FMTEST_EXAMPLES, at);
            assert_true(same(&s, &in_all, &changed));
            forget(&changed);
        }
        forget(&in_all);
        forget(&alone);
        tsr_fmnet_destroy(n);
        close_subject(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hidden_tokens_change_nothing),
        cmocka_unit_test(neighbours_change_nothing),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(nothing_shown_is_nothing_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
