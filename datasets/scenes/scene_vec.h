/* SPDX-License-Identifier: Apache-2.0
 * Three numbers, for places, directions and linear-light colours of the ray caster. */
#ifndef TSR_SCENES_SCENE_VEC_H
#define TSR_SCENES_SCENE_VEC_H

#include <math.h>

typedef struct tsr_vec3 {
    double x, y, z;
} tsr_vec3;

static inline tsr_vec3 vec3(double x, double y, double z)
{
    return (tsr_vec3){x, y, z};
}

static inline tsr_vec3 add3(tsr_vec3 a, tsr_vec3 b)
{
    return vec3(a.x + b.x, a.y + b.y, a.z + b.z);
}

static inline tsr_vec3 sub3(tsr_vec3 a, tsr_vec3 b)
{
    return vec3(a.x - b.x, a.y - b.y, a.z - b.z);
}

static inline tsr_vec3 mul3(tsr_vec3 a, tsr_vec3 b)
{
    return vec3(a.x * b.x, a.y * b.y, a.z * b.z);
}

static inline tsr_vec3 scale3(tsr_vec3 a, double s)
{
    return vec3(a.x * s, a.y * s, a.z * s);
}

/* a + s b */
static inline tsr_vec3 along3(tsr_vec3 a, double s, tsr_vec3 b)
{
    return vec3(a.x + s * b.x, a.y + s * b.y, a.z + s * b.z);
}

/* (1 - s) a + s b */
static inline tsr_vec3 mix3(tsr_vec3 a, tsr_vec3 b, double s)
{
    return vec3(a.x + s * (b.x - a.x), a.y + s * (b.y - a.y), a.z + s * (b.z - a.z));
}

static inline double dot3(tsr_vec3 a, tsr_vec3 b)
{
    return a.x * b.x + a.y * b.y + a.z * b.z;
}

static inline tsr_vec3 cross3(tsr_vec3 a, tsr_vec3 b)
{
    return vec3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x);
}

static inline double length3(tsr_vec3 a)
{
    return sqrt(dot3(a, a));
}

static inline tsr_vec3 unit3(tsr_vec3 a)
{
    return scale3(a, 1.0 / length3(a));
}

/* Mirror direction of d at a surface with unit normal n. */
static inline tsr_vec3 mirror3(tsr_vec3 d, tsr_vec3 n)
{
    return along3(d, -2.0 * dot3(d, n), n);
}

static inline double clamp1(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

#endif
