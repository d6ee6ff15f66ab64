/* SPDX-License-Identifier: Apache-2.0
 * Strikes each visible object once, from left to right: damped modes, as of small solid bodies. */
#include "scenes/scene.h"

#include <string.h>

#define PI         3.14159265358979323846
#define FIRST_S    0.05 /* first strike */
#define BEAT_S     0.40 /* between strikes */
#define PLAY_S     0.03 /* a strike comes up to this much late */
#define HIGHEST_HZ 7600.0

enum { MODES = 6 };

/* Timbre of a material: frequency over the fundamental's, strength, decay time over the
 * fundamental's. Metal has the modes of a free bar (1 : 2.756 : 5.404 : 8.933), glass those of a
 * bowl (1 : 2.32 : 4.25 : 6.63), both after Fletcher and Rossing, "The Physics of Musical
 * Instruments"; rubber has few, weak and quickly gone. */
static const struct {
    double ratio, strength, decay;
} timbres[TSR_STUFFS][MODES] = {
    [TSR_STUFF_RUBBER] = {{1, 1, 1}, {2, 0.20, 0.5}, {3.1, 0.05, 0.3}},
    [TSR_STUFF_METAL] = {{1, 0.45, 1},
                         {2.756, 0.80, 0.9},
                         {5.404, 0.80, 0.8},
                         {8.933, 0.70, 0.7},
                         {13.34, 0.50, 0.6},
                         {18.64, 0.30, 0.5}},
    [TSR_STUFF_GLASS] = {{1, 0.70, 1}, {2.32, 0.60, 0.85}, {4.25, 0.45, 0.7}, {6.63, 0.25, 0.55}},
};

/* The click of the mallet: strength, seconds, and how much of each sample is kept by the smoother.
 */
static const struct {
    double strength, seconds, smooth;
} clicks[TSR_STUFFS] = {{0.10, 0.006, 0.93}, {0.10, 0.002, 0.2}, {0.08, 0.002, 0.5}};

/* Seconds in which the fundamental falls by 60 dB. */
static const double decay_s[TSR_SHAPES] = {
    [TSR_SHAPE_BOX] = 0.10,    [TSR_SHAPE_CONE] = 0.19,  [TSR_SHAPE_CYLINDER] = 0.34,
    [TSR_SHAPE_SPHERE] = 0.62, [TSR_SHAPE_TORUS] = 1.10,
};

double tsr_object_pitch_hz(const tsr_object *o)
{
    return 784.0 * pow(0.28 / o->size, 1.1);
}

double tsr_object_decay_s(const tsr_object *o)
{
    return decay_s[o->shape];
}

/* Adds strength * sin(2 pi f t) * 10^(-3 t / t60) from frame `at` on, until 70 dB down. */
static void add_mode(float *out, size_t at, double hz, double t60, double strength)
{
    double turn = 2 * PI * hz / TSR_SCENE_RATE_HZ;
    double shrink = pow(10, -3 / (t60 * TSR_SCENE_RATE_HZ));
    double a = 2 * shrink * cos(turn), b = -shrink * shrink;
    double before = 0, now = strength * shrink * sin(turn);
    size_t n = (size_t)(t60 * TSR_SCENE_RATE_HZ * 70 / 60);
    if (n > TSR_SCENE_FRAMES - at)
        n = TSR_SCENE_FRAMES - at;
    for (size_t i = 1; i < n; i++) {
        out[at + i] += (float)now;
        double next = a * now + b * before;
        before = now;
        now = next;
    }
}

static void add_click(float *out, size_t at, tsr_stuff stuff, double strength, tsr_rng *r)
{
    size_t n = (size_t)(clicks[stuff].seconds * TSR_SCENE_RATE_HZ);
    double level = 0, keep = clicks[stuff].smooth;
    double gain = strength * clicks[stuff].strength / sqrt((1 - keep) / (1 + keep));
    for (size_t i = 0; i < n; i++) {
        double window = sin(PI * (double)i / (double)n);
        level = keep * level + (1 - keep) * tsr_rng_normal(r);
        out[at + i] += (float)(gain * window * level);
    }
}

static void strike(tsr_sample *m, int object, tsr_rng *r)
{
    const tsr_object *o = &m->scene.objects[object];
    tsr_seen *e = &m->seen[object];
    size_t at = (size_t)lrint((FIRST_S + BEAT_S * e->rank + PLAY_S * tsr_rng_double(r)) *
                              TSR_SCENE_RATE_HZ);
    double hz = tsr_object_pitch_hz(o), strength = 0.42 * clamp1(5 / e->depth_m, 0.6, 1), sum = 0;
    e->onset_s = (double)at / TSR_SCENE_RATE_HZ;
    for (int k = 0; k < MODES; k++)
        sum += timbres[o->stuff][k].strength;
    for (int k = 0; k < MODES; k++) {
        double f = hz * timbres[o->stuff][k].ratio;
        if (f > 0 && f <= HIGHEST_HZ)
            add_mode(m->audio.data, at, f, decay_s[o->shape] * timbres[o->stuff][k].decay,
                     strength * timbres[o->stuff][k].strength / sum);
    }
    add_click(m->audio.data, at, o->stuff, strength, r);
}

void tsr_sample_audio(tsr_sample *m)
{
    tsr_rng r;
    tsr_scene_rng(&r, &m->scene, TSR_PART_SOUND);
    memset(m->audio.data, 0, TSR_SCENE_FRAMES * sizeof(float));
    for (int rank = 0; rank < m->n_visible; rank++)
        for (int i = 0; i < m->scene.n_objects; i++)
            if (m->seen[i].rank == rank)
                strike(m, i, &r);
    float peak = 0;
    for (size_t i = 0; i < TSR_SCENE_FRAMES; i++)
        peak = fmaxf(peak, fabsf(m->audio.data[i]));
    for (size_t i = 0; i < TSR_SCENE_FRAMES && peak > 0.98f; i++)
        m->audio.data[i] *= 0.98f / peak;
}
