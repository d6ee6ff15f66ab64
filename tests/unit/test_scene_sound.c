/* SPDX-License-Identifier: Apache-2.0
 * Listens by measurement: strikes come from left to right, material is heard in the spectral
 * centroid, size in the fundamental, shape in the decay. */
#include "testing.h"

#include "scenes/scene.h"

#include <math.h>

#define PI 3.14159265358979323846

/* A scene of bodies in a row, labels set by hand, struck. */
static void play(tsr_sample *m, const tsr_object *bodies, int n)
{
    memset(&m->scene, 0, sizeof m->scene);
    memset(m->seen, 0, sizeof m->seen);
    m->scene.n_objects = m->n_visible = n;
    for (int i = 0; i < n; i++) {
        m->scene.objects[i] = bodies[i];
        m->seen[i] = (tsr_seen){.pixels = 100, .visible = 1, .depth_m = 5, .rank = i};
    }
    tsr_sample_audio(m);
}

static tsr_object body(tsr_shape shape, tsr_stuff stuff, double size)
{
    return (tsr_object){.shape = shape, .stuff = stuff, .size = size};
}

/* Strength of one frequency in frames [from, from + n) under a Hann window. */
static double tone(const tsr_sample *m, size_t from, size_t n, double hz)
{
    double re = 0, im = 0;
    for (size_t i = 0; i < n; i++) {
        double w = 0.5 - 0.5 * cos(2 * PI * (double)i / (double)n);
        double a = 2 * PI * hz * (double)i / TSR_SCENE_RATE_HZ;
        re += w * m->audio.data[from + i] * cos(a);
        im += w * m->audio.data[from + i] * sin(a);
    }
    return 4 * sqrt(re * re + im * im) / (double)n;
}

static size_t onset(const tsr_sample *m, int i)
{
    return (size_t)lrint(m->seen[i].onset_s * TSR_SCENE_RATE_HZ);
}

/* Lowest frequency at which the spectrum has a peak of a quarter of its highest. */
static double fundamental(const tsr_sample *m)
{
    enum { BINS = 600 };
    double level[BINS], top = 0;
    for (int i = 0; i < BINS; i++) {
        level[i] = tone(m, onset(m, 0), 1600, 150 + 4.0 * i);
        top = fmax(top, level[i]);
    }
    for (int i = 1; i < BINS - 1; i++)
        if (level[i] > top / 4 && level[i] >= level[i - 1] && level[i] > level[i + 1])
            return 150 + 4.0 * i;
    return 0;
}

static double centroid(const tsr_sample *m)
{
    double sum = 0, weight = 0;
    for (double hz = 100; hz < 8000; hz += 25) {
        double a = tone(m, onset(m, 0), 1024, hz);
        sum += hz * a * a;
        weight += a * a;
    }
    return sum / weight;
}

/* Seconds to fall by 60 dB, from two windows of 10 ms. */
static double decay(const tsr_sample *m, double expected)
{
    size_t start = onset(m, 0) + 160, step = (size_t)(0.3 * expected * TSR_SCENE_RATE_HZ);
    double hz = tsr_object_pitch_hz(&m->scene.objects[0]);
    double before = tone(m, start, 320, hz), after = tone(m, start + step, 320, hz);
    return 60 * (double)step / TSR_SCENE_RATE_HZ / (20 * log10(before / after));
}

static void size_is_pitch(void **state)
{
    tsr_sample *m = *state;
    static const double sizes[] = {0.27, 0.28, 0.42, 0.60, 0.65};
    for (int stuff = 0; stuff < TSR_STUFFS; stuff++)
        for (size_t i = 0; i < 5; i++) {
            tsr_object o = body(TSR_SHAPE_SPHERE, (tsr_stuff)stuff, sizes[i]);
            play(m, &o, 1);
            double want = 784 * pow(0.28 / sizes[i], 1.1), got = fundamental(m);
            if (fabs(got / want - 1) > 0.02)
                fail_msg("%s of %g m: %g Hz, expected %g", tsr_stuff_names[stuff], sizes[i], got,
                         want);
        }
}

static void material_is_timbre(void **state)
{
    tsr_sample *m = *state;
    for (int shape = 0; shape < TSR_SHAPES; shape++) {
        double hz[TSR_STUFFS];
        for (int stuff = 0; stuff < TSR_STUFFS; stuff++) {
            tsr_object o = body((tsr_shape)shape, (tsr_stuff)stuff, 0.42);
            play(m, &o, 1);
            hz[stuff] = centroid(m);
        }
        printf("%-8s centroid: rubber %.0f, glass %.0f, metal %.0f Hz\n", tsr_shape_names[shape],
               hz[TSR_STUFF_RUBBER], hz[TSR_STUFF_GLASS], hz[TSR_STUFF_METAL]);
        assert_true(hz[TSR_STUFF_GLASS] > 1.3 * hz[TSR_STUFF_RUBBER]);
        assert_true(hz[TSR_STUFF_METAL] > 1.3 * hz[TSR_STUFF_GLASS]);
    }
}

static void shape_is_decay(void **state)
{
    tsr_sample *m = *state;
    static const tsr_shape order[] = {TSR_SHAPE_BOX, TSR_SHAPE_CONE, TSR_SHAPE_CYLINDER,
                                      TSR_SHAPE_SPHERE, TSR_SHAPE_TORUS};
    for (int stuff = 0; stuff < TSR_STUFFS; stuff++) {
        double last = 0;
        for (int i = 0; i < TSR_SHAPES; i++) {
            tsr_object o = body(order[i], (tsr_stuff)stuff, 0.42);
            play(m, &o, 1);
            double want = tsr_object_decay_s(&o), got = decay(m, want);
            if (fabs(got / want - 1) > 0.15)
                fail_msg("%s %s: %g s, expected %g", tsr_stuff_names[stuff],
                         tsr_shape_names[order[i]], got, want);
            assert_true(got > 1.3 * last);
            last = got;
        }
    }
}

static double power(const tsr_sample *m, double from_s, double to_s)
{
    size_t a = (size_t)(from_s * TSR_SCENE_RATE_HZ), b = (size_t)(to_s * TSR_SCENE_RATE_HZ);
    double sum = 0;
    for (size_t i = a; i < b; i++)
        sum += (double)m->audio.data[i] * m->audio.data[i];
    return sum / (double)(b - a);
}

/* Boxes ring briefly, so that each strike stands alone: it starts from silence, at its beat, and
 * has the pitch of the object whose turn it is. */
static void strikes_follow_the_order(void **state)
{
    tsr_sample *m = *state;
    const tsr_object row[] = {body(TSR_SHAPE_BOX, TSR_STUFF_METAL, 0.62),
                              body(TSR_SHAPE_BOX, TSR_STUFF_GLASS, 0.28),
                              body(TSR_SHAPE_BOX, TSR_STUFF_RUBBER, 0.42)};
    play(m, row, 3);
    assert_true(power(m, 0, 0.05) == 0);
    for (int i = 0; i < 3; i++) {
        double t = m->seen[i].onset_s;
        assert_true(t >= 0.05 + 0.4 * i && t <= 0.0801 + 0.4 * i);
        assert_true(power(m, t, t + 0.02) > 1e4 * power(m, t - 0.02, t - 0.001) + 1e-4);
        for (int j = 0; j < 3; j++)
            assert_true(j == i || tone(m, onset(m, i), 800, tsr_object_pitch_hz(&row[i])) >
                                      2 * tone(m, onset(m, i), 800, tsr_object_pitch_hz(&row[j])));
    }
    assert_true(power(m, 1.5, 2.56) < 1e-8);
}

/* In rendered scenes the onsets of the metadata rise with the mean column of the instance map, and
 * each is heard. */
static void scenes_sound_left_to_right(void **state)
{
    tsr_sample *m = *state;
    for (uint64_t s = 0; s < 80; s++) {
        tsr_scene_make(&m->scene, 31, s);
        tsr_sample_labels(m);
        tsr_sample_audio(m);
        double sum[7] = {0}, n[7] = {0};
        for (size_t y = 0; y < m->instance.height; y++)
            for (size_t x = 0; x < m->instance.width; x++) {
                int k = ((uint8_t *)tsr_image_row(&m->instance, y))[x];
                sum[k] += (double)x;
                n[k]++;
            }
        float peak = 0;
        for (size_t i = 0; i < m->audio.frames; i++)
            peak = fmaxf(peak, fabsf(m->audio.data[i]));
        assert_true(peak <= 0.9801f && (peak > 0.05f) == (m->n_visible > 0));
        for (int a = 0; a < m->scene.n_objects; a++)
            for (int b = 0; b < m->scene.n_objects; b++)
                if (m->seen[a].visible && m->seen[b].visible &&
                    sum[a + 1] / n[a + 1] < sum[b + 1] / n[b + 1])
                    assert_true(m->seen[a].onset_s + 0.3 < m->seen[b].onset_s);
        for (int a = 0; a < m->scene.n_objects; a++)
            if (m->seen[a].visible)
                assert_true(tone(m, onset(m, a), 800, tsr_object_pitch_hz(&m->scene.objects[a])) >
                            0.004);
            else
                assert_true(m->seen[a].onset_s == 0);
    }
}

static int set_up(void **state)
{
    static tsr_sample m;
    *state = &m;
    return tsr_sample_init(&m, 64) != TSR_OK;
}

static int tear_down(void **state)
{
    tsr_sample_clear(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size_is_pitch),
        cmocka_unit_test(material_is_timbre),
        cmocka_unit_test(shape_is_decay),
        cmocka_unit_test(strikes_follow_the_order),
        cmocka_unit_test(scenes_sound_left_to_right),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
