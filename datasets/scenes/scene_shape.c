/* SPDX-License-Identifier: Apache-2.0
 * Where rays cross spheres, boxes, cylinders, cones and tori, in the object's own axes. */
#include "scenes/scene.h"

#define PI   3.14159265358979323846
#define NEAR 1e-7 /* crossings closer than this are the surface the ray starts on */

/* A ray in the object's axes, and the crossings found so far. */
typedef struct solid_ray {
    tsr_vec3 o, d;
    int leaving; /* keep crossings that go out instead of those that go in or out */
    double t;    /* nearest kept */
    tsr_vec3 n;
    int found;
} solid_ray;

static tsr_vec3 point_at(const solid_ray *r, double t)
{
    return along3(r->o, t, r->d);
}

/* Keep a crossing if it is nearer than the one we have and of the wanted kind. */
static void keep(solid_ray *r, double t, tsr_vec3 n)
{
    if (t <= NEAR || t >= r->t || (r->leaving && dot3(n, r->d) <= 0))
        return;
    r->t = t;
    r->n = n;
    r->found = 1;
}

/* Roots of a t^2 + 2 b t + c, ascending; 0 or 2 of them. */
static int roots(double a, double b, double c, double t[2])
{
    double disc = b * b - a * c;
    if (disc < 0 || a == 0)
        return 0;
    double q = -(b + copysign(sqrt(disc), b));
    double t0 = q / a, t1 = q != 0 ? c / q : t0;
    t[0] = t0 < t1 ? t0 : t1;
    t[1] = t0 < t1 ? t1 : t0;
    return 2;
}

static void meet_sphere(const tsr_object *o, solid_ray *r)
{
    double t[2], radius = o->extent.x;
    int n = roots(dot3(r->d, r->d), dot3(r->o, r->d), dot3(r->o, r->o) - radius * radius, t);
    for (int i = 0; i < n; i++)
        keep(r, t[i], scale3(point_at(r, t[i]), 1 / radius));
}

/* The two faces across one axis: place p and direction d along it, half side h; (b, bh), (c, ch)
 * are the other two coordinates of the ray and their half sides. */
static void meet_faces(solid_ray *r, int axis, const double h[3])
{
    const double o[3] = {r->o.x, r->o.y, r->o.z}, d[3] = {r->d.x, r->d.y, r->d.z};
    int b = (axis + 1) % 3, c = (axis + 2) % 3;
    if (d[axis] == 0)
        return;
    for (int side = -1; side <= 1; side += 2) {
        double t = (side * h[axis] - o[axis]) / d[axis];
        if (fabs(o[b] + t * d[b]) <= h[b] && fabs(o[c] + t * d[c]) <= h[c])
            keep(r, t, vec3(axis == 0 ? side : 0, axis == 1 ? side : 0, axis == 2 ? side : 0));
    }
}

static void meet_box(const tsr_object *o, solid_ray *r)
{
    const double h[3] = {o->extent.x, o->extent.y, o->extent.z};
    for (int axis = 0; axis < 3; axis++)
        meet_faces(r, axis, h);
}

/* A disc across the axis at height z. */
static void meet_disc(solid_ray *r, double z, double radius, double up)
{
    if (r->d.z == 0)
        return;
    double t = (z - r->o.z) / r->d.z;
    tsr_vec3 p = point_at(r, t);
    if (p.x * p.x + p.y * p.y <= radius * radius)
        keep(r, t, vec3(0, 0, up));
}

static void meet_cylinder(const tsr_object *o, solid_ray *r)
{
    double t[2], radius = o->extent.x, h = o->extent.z;
    tsr_vec3 p = r->o, d = r->d;
    int n = roots(d.x * d.x + d.y * d.y, p.x * d.x + p.y * d.y,
                  p.x * p.x + p.y * p.y - radius * radius, t);
    for (int i = 0; i < n; i++) {
        tsr_vec3 q = point_at(r, t[i]);
        if (fabs(q.z) <= h)
            keep(r, t[i], vec3(q.x / radius, q.y / radius, 0));
    }
    meet_disc(r, h, radius, 1);
    meet_disc(r, -h, radius, -1);
}

/* x^2 + y^2 = k^2 (h - z)^2 between base and apex, k = radius / height. */
static void meet_cone(const tsr_object *o, solid_ray *r)
{
    double t[2], h = o->extent.z, k = o->extent.x / (2 * h), kk = k * k;
    tsr_vec3 p = r->o, d = r->d;
    double e = h - p.z;
    int n = roots(d.x * d.x + d.y * d.y - kk * d.z * d.z, p.x * d.x + p.y * d.y + kk * e * d.z,
                  p.x * p.x + p.y * p.y - kk * e * e, t);
    for (int i = 0; i < n; i++) {
        tsr_vec3 q = point_at(r, t[i]);
        if (fabs(q.z) <= h)
            keep(r, t[i], unit3(vec3(q.x, q.y, kk * (h - q.z))));
    }
    meet_disc(r, -h, o->extent.x, -1);
}

/* Distance to the ring's tube, negative inside, and the direction away from the tube's middle. */
static double torus_distance(const tsr_object *o, tsr_vec3 p, tsr_vec3 *away)
{
    double s = sqrt(p.x * p.x + p.y * p.y), ring = s - o->extent.x;
    double k = s > 0 ? ring / s : 0;
    double l = sqrt(ring * ring + p.z * p.z);
    *away = vec3(p.x * k, p.y * k, p.z);
    if (l > 0)
        *away = scale3(*away, 1 / l);
    return l - o->extent.z;
}

/* Narrow [t[0], t[1]] to where the ray is between two planes across the axis, at heights -h and h;
 * 0 when nothing is left. */
static int between(const solid_ray *r, double h, double t[2])
{
    if (r->d.z == 0)
        return fabs(r->o.z) <= h;
    double a = (-h - r->o.z) / r->d.z, b = (h - r->o.z) / r->d.z;
    t[0] = fmax(t[0], fmin(a, b));
    t[1] = fmin(t[1], fmax(a, b));
    return t[0] <= t[1];
}

/* Steps along the ray by the distance to the surface, which cannot overshoot; close to the surface
 * Newton steps finish to machine accuracy. Source: Hart 1996, "Sphere tracing". */
static void meet_torus(const tsr_object *o, solid_ray *r)
{
    double length = length3(r->d), b = dot3(r->o, r->d) / (length * length), t[2];
    if (!roots(length * length, b * length * length, dot3(r->o, r->o) - o->bound * o->bound, t) ||
        !between(r, o->extent.z * (1 + 1e-6), t) || t[1] < 0)
        return;
    tsr_vec3 n;
    double at = t[0] > 0 ? t[0] : 0;
    double side = torus_distance(o, point_at(r, at), &n) < 0 ? -1 : 1;
    /* From a start on the surface the direction tells which side the ray runs on. */
    if (at == 0 && fabs(torus_distance(o, r->o, &n)) < 1e-6) {
        side = dot3(n, r->d) < 0 ? -1 : 1;
        at = 2e-6 / length;
    }
    for (int i = 0; i < 96 && at <= t[1]; i++) {
        double gap = side * torus_distance(o, point_at(r, at), &n);
        double closing = -side * dot3(n, r->d);
        if (gap < 1e-4 && closing > 1e-3 * length) {
            at += gap / closing;
            if (fabs(gap) > 1e-12)
                continue;
            keep(r, at, n);
            return;
        }
        at += fmax(gap, 1e-6) / length;
    }
}

typedef void (*meet_shape)(const tsr_object *o, solid_ray *r);

static const meet_shape meeters[TSR_SHAPES] = {
    [TSR_SHAPE_SPHERE] = meet_sphere,     [TSR_SHAPE_BOX] = meet_box,
    [TSR_SHAPE_CYLINDER] = meet_cylinder, [TSR_SHAPE_CONE] = meet_cone,
    [TSR_SHAPE_TORUS] = meet_torus,
};

static tsr_vec3 to_object(const tsr_object *o, tsr_vec3 d)
{
    return vec3(dot3(o->axes[0], d), dot3(o->axes[1], d), dot3(o->axes[2], d));
}

static tsr_vec3 to_world(const tsr_object *o, tsr_vec3 d)
{
    return along3(along3(scale3(o->axes[0], d.x), d.y, o->axes[1]), d.z, o->axes[2]);
}

static int meet(const tsr_object *o, solid_ray *r, tsr_hit *hit)
{
    meeters[o->shape](o, r);
    if (!r->found)
        return 0;
    hit->t = r->t;
    hit->normal = to_world(o, r->n);
    return 1;
}

int tsr_object_meet(const tsr_object *o, tsr_vec3 origin, tsr_vec3 d, double t_max, tsr_hit *hit)
{
    tsr_vec3 from = sub3(origin, o->centre);
    double dd = dot3(d, d), b = dot3(from, d), c = dot3(from, from) - o->bound * o->bound;
    if (b * b < dd * c || (c > 0 && b > 0))
        return 0;
    solid_ray r = {.o = to_object(o, from), .d = to_object(o, d), .t = t_max};
    return meet(o, &r, hit);
}

int tsr_object_leave(const tsr_object *o, tsr_vec3 origin, tsr_vec3 d, tsr_hit *hit)
{
    tsr_vec3 from = sub3(origin, o->centre);
    solid_ray r = {.o = to_object(o, from), .d = to_object(o, d), .t = INFINITY, .leaving = 1};
    return meet(o, &r, hit);
}

static void box_cells(const tsr_object *o, tsr_vec3 p, double *u, double *v)
{
    tsr_vec3 q = vec3(p.x / o->extent.x, p.y / o->extent.y, p.z / o->extent.z);
    double ax = fabs(q.x), ay = fabs(q.y), az = fabs(q.z);
    int top = az >= ax && az >= ay;
    *u = 2 * (ax >= ay && !top ? q.y : q.x) + 4;
    *v = (top ? 2 * q.y : 2.5 * q.z) + 4;
}

void tsr_object_cells(const tsr_object *o, tsr_vec3 point, double *u, double *v)
{
    tsr_vec3 p = to_object(o, sub3(point, o->centre));
    if (o->shape == TSR_SHAPE_BOX) {
        box_cells(o, p, u, v);
        return;
    }
    double turn = atan2(p.y, p.x) / (2 * PI) + 0.5, out = sqrt(p.x * p.x + p.y * p.y);
    *u = 10 * turn;
    switch (o->shape) {
    case TSR_SHAPE_SPHERE:
        *v = 7 * (asin(clamp1(p.z / o->extent.x, -1, 1)) / PI + 0.5);
        return;
    case TSR_SHAPE_TORUS:
        *u = 8 * (atan2(p.z, out - o->extent.x) / (2 * PI) + 0.5);
        *v = 14 * turn;
        return;
    default:
        *v = 2.5 * p.z / o->extent.z + 4;
        if (fabs(p.z) >= o->extent.z * (1 - 1e-9)) /* the flat ends: rings */
            *v = 3.5 - 2.5 * out / o->extent.x;
        return;
    }
}
