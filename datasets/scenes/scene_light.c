/* SPDX-License-Identifier: Apache-2.0
 * Light along a ray: sun with shadows, sky, matte and mirror and glass-like surfaces, haze. */
#include "scenes/scene.h"

#include <string.h>

#define OFF 1e-5 /* metres: rays leave surfaces from this far outside */

enum { DEEPEST = 3 };

static const tsr_vec3 black = {0, 0, 0}, white = {1, 1, 1};

/* What every surface function needs of the point it shades. */
typedef struct point {
    const tsr_scene *s;
    tsr_vec3 at, d, n; /* n faces the viewer */
    int object, depth;
    const double *jitter;
} point;

static tsr_vec3 light_along(const tsr_scene *s, tsr_vec3 origin, tsr_vec3 d, const double *jitter,
                            int depth);

static void meet_ground(tsr_vec3 origin, tsr_vec3 d, tsr_hit *hit)
{
    if (d.z >= 0 || origin.z <= 0)
        return;
    double t = -origin.z / d.z;
    if (t < hit->t)
        *hit = (tsr_hit){t, TSR_HIT_GROUND, {0, 0, 1}};
}

static void meet_wall(const tsr_wall *w, int number, tsr_vec3 origin, tsr_vec3 d, tsr_hit *hit)
{
    double closing = dot3(w->normal, d), gap = dot3(w->normal, origin) + w->offset;
    if (closing >= 0 || gap <= 0)
        return;
    double t = -gap / closing, z = origin.z + t * d.z;
    if (t < hit->t && z >= 0 && z <= w->height)
        *hit = (tsr_hit){t, TSR_HIT_WALL - number, w->normal};
}

tsr_hit tsr_scene_meet(const tsr_scene *s, tsr_vec3 origin, tsr_vec3 d)
{
    tsr_hit best = {INFINITY, TSR_HIT_SKY, {0, 0, 0}}, hit;
    meet_ground(origin, d, &best);
    for (int w = 0; w < s->n_walls; w++)
        meet_wall(&s->walls[w], w, origin, d, &best);
    for (int i = 0; i < s->n_objects; i++) {
        if (tsr_object_meet(&s->objects[i], origin, d, best.t, &hit)) {
            best = hit;
            best.object = i;
        }
    }
    return best;
}

static tsr_vec3 sky_colour(const tsr_scene *s, tsr_vec3 d)
{
    const tsr_sky *k = &tsr_scene_skies[s->sky];
    double high = clamp1(d.z, 0, 1), f = 1 - (1 - high) * (1 - high) * (1 - high);
    tsr_vec3 c = mix3(k->horizon, k->zenith, f);
    double near_sun = clamp1(dot3(d, s->sun), 0, 1);
    double glow = near_sun * near_sun;
    glow *= glow;
    double disc = glow * glow;
    disc *= disc;
    c = along3(c, 0.10 * glow, k->sun);
    return along3(c, 0.35 * disc * disc * disc, k->sun);
}

/* Fraction of the sun's light, by colour, that reaches a point. */
static tsr_vec3 sun_share(const point *p, tsr_vec3 sun)
{
    const tsr_scene *s = p->s;
    tsr_vec3 from = along3(p->at, OFF, p->n), share = white;
    tsr_hit hit = {INFINITY, TSR_HIT_SKY, {0, 0, 0}};
    for (int w = 0; w < s->n_walls; w++)
        meet_wall(&s->walls[w], w, from, sun, &hit);
    if (hit.object != TSR_HIT_SKY)
        return black;
    for (int i = 0; i < s->n_objects; i++) {
        const tsr_object *o = &s->objects[i];
        if (!tsr_object_meet(o, from, sun, INFINITY, &hit))
            continue;
        if (o->stuff != TSR_STUFF_GLASS)
            return black;
        share = mul3(share, mix3(vec3(0.42, 0.42, 0.42), tsr_scene_paints[o->colour].main, 0.45));
    }
    return share;
}

static tsr_vec3 sun_place(const point *p)
{
    const tsr_scene *s = p->s;
    double r = tsr_scene_skies[s->sky].softness;
    tsr_vec3 side = unit3(cross3(s->sun, vec3(0, 0, 1))), top = cross3(side, s->sun);
    return unit3(along3(along3(s->sun, r * p->jitter[0], side), r * p->jitter[1], top));
}

/* How much of the sky other objects leave open: each as a sphere of its nominal size. */
static double openness(const point *p)
{
    double open = 1;
    for (int i = 0; i < p->s->n_objects; i++) {
        const tsr_object *o = &p->s->objects[i];
        if (i == p->object)
            continue;
        tsr_vec3 v = sub3(o->centre, p->at);
        double dd = dot3(v, v), r = 0.88 * o->size;
        double facing = dot3(v, p->n) / sqrt(dd);
        if (dd < 16 * r * r)
            open *= 1 - 0.8 * clamp1((facing + 0.3) / 1.3, 0, 1) * clamp1(r * r / dd - 0.06, 0, 1);
    }
    for (int w = 0; w < p->s->n_walls && p->object != TSR_HIT_WALL - w; w++) {
        double gap = dot3(p->s->walls[w].normal, p->at) + p->s->walls[w].offset;
        open *= 1 - 0.28 * exp(-2.2 * clamp1(gap, 0, 9));
    }
    return open;
}

/* Light of the sky and of the lit ground that falls on a matte surface. */
static tsr_vec3 ambient(const point *p)
{
    const tsr_sky *k = &tsr_scene_skies[p->s->sky];
    const tsr_ground *g = &tsr_scene_grounds[p->s->ground];
    tsr_vec3 sky = scale3(mix3(k->zenith, k->horizon, 0.5), 0.95);
    tsr_vec3 floor_light =
        mul3(mix3(g->main, g->other, 0.5), along3(sky, 0.55 * p->s->sun.z, k->sun));
    double up = 0.5 + 0.5 * p->n.z, near_ground = exp(-4.0 * clamp1(p->at.z, 0, 9));
    floor_light = scale3(floor_light, 0.8 * (1 - 0.6 * near_ground));
    if (p->s->n_walls)
        sky = mix3(sky, mul3(sky, p->s->wall_colour), 0.3);
    tsr_vec3 sum = along3(scale3(sky, up), 1 - up, floor_light);
    double low = p->object >= 0 ? 1 - 0.35 * near_ground * (1 - up) : 1;
    return scale3(sum, low * openness(p));
}

/* A matte surface of this reflectance with a sheen of strength `gloss`, as wide as 1 / `power`. */
static tsr_vec3 matte(const point *p, tsr_vec3 colour, double gloss, double power)
{
    tsr_vec3 sun = sun_place(p), light = ambient(p);
    const tsr_vec3 strength = tsr_scene_skies[p->s->sky].sun;
    double facing = dot3(p->n, sun);
    if (facing <= 0)
        return mul3(colour, light);
    tsr_vec3 share = mul3(sun_share(p, sun), strength);
    light = along3(light, facing, scale3(share, 0.62));
    tsr_vec3 half = unit3(sub3(sun, p->d));
    double sheen = gloss > 0 ? gloss * pow(clamp1(dot3(half, p->n), 0, 1), power) : 0;
    return along3(mul3(colour, light), sheen, share);
}

static double grazing(const point *p)
{
    double c = clamp1(1 + dot3(p->d, p->n), 0, 1), cc = c * c;
    return cc * cc * c;
}

static tsr_vec3 reflected(const point *p)
{
    return light_along(p->s, along3(p->at, OFF, p->n), unit3(mirror3(p->d, p->n)), p->jitter,
                       p->depth + 1);
}

static tsr_vec3 metal(const point *p, tsr_vec3 colour)
{
    tsr_vec3 tint = mix3(mix3(colour, white, 0.12), white, grazing(p));
    return along3(mul3(reflected(p), tint), 0.22, matte(p, colour, 2.6, 120));
}

/* Direction of d behind a surface whose inside is `ratio` times slower (Snell); 0 when all light is
 * reflected. */
static int bend(tsr_vec3 d, tsr_vec3 n, double ratio, tsr_vec3 *out)
{
    double c = -dot3(d, n), k = 1 - (1 - c * c) / (ratio * ratio);
    if (k < 0)
        return 0;
    *out = unit3(along3(scale3(d, 1 / ratio), c / ratio - sqrt(k), n));
    return 1;
}

/* Tinted translucency: bent on the way in and out, coloured by the length of the way within. */
static tsr_vec3 glass(const point *p, tsr_vec3 colour)
{
    const double index = 1.22;
    const tsr_object *o = &p->s->objects[p->object];
    tsr_vec3 within = p->d, beyond = p->d, exit = p->at;
    tsr_hit hit;
    double way = 0;
    if (!bend(p->d, p->n, index, &within))
        within = p->d;
    if (tsr_object_leave(o, along3(p->at, -OFF, p->n), within, &hit)) {
        way = hit.t;
        exit = along3(p->at, hit.t + 2 * OFF, within);
        exit.z = fmax(exit.z, OFF); /* an object's foot is on the ground, not below it */
        if (!bend(within, scale3(hit.normal, -1), 1 / index, &beyond))
            beyond = within;
    }
    double f = 1 - exp(-1.3 * way / o->size), keep = 0.05 + 0.75 * grazing(p);
    tsr_vec3 tint = mix3(white, mix3(colour, vec3(0.25, 0.25, 0.25), 0.12), 0.35 + 0.6 * f);
    tsr_vec3 through = mul3(light_along(p->s, exit, beyond, p->jitter, p->depth + 1), tint);
    tsr_vec3 body = matte(p, colour, 5.0, 260);
    return along3(mix3(through, reflected(p), keep), 0.20, body);
}

/* The colour of checks and stripes. */
static tsr_vec3 textured(tsr_texture kind, double u, double v, tsr_vec3 main, tsr_vec3 other)
{
    long iu = (long)floor(u), iv = (long)floor(v);
    long odd = kind == TSR_TEXTURE_CHECKER ? iu + iv : kind == TSR_TEXTURE_STRIPES ? iv : 0;
    return odd & 1 ? other : main;
}

/* A number in [-1, 1] that belongs to a lattice point. */
static double lattice(int32_t x, int32_t y)
{
    uint32_t h = (uint32_t)x * 0x9E3779B1u ^ (uint32_t)y * 0x85EBCA77u;
    h = (h ^ h >> 15) * 0x2C1B3C6Du;
    h = (h ^ h >> 12) * 0x297A2D39u;
    return (double)(h ^ h >> 15) * (2.0 / 4294967295.0) - 1;
}

/* Smooth patches, one per unit square, in [-1, 1]. */
static double patches(double x, double y)
{
    double fx = floor(x), fy = floor(y);
    int32_t ix = (int32_t)fx, iy = (int32_t)fy;
    double u = x - fx, v = y - fy;
    u = u * u * (3 - 2 * u);
    v = v * v * (3 - 2 * v);
    double low = lattice(ix, iy) * (1 - u) + lattice(ix + 1, iy) * u;
    double high = lattice(ix, iy + 1) * (1 - u) + lattice(ix + 1, iy + 1) * u;
    return low * (1 - v) + high * v;
}

static tsr_vec3 ground_colour(const point *p, double far)
{
    const tsr_ground *g = &tsr_scene_grounds[p->s->ground];
    double x = p->at.x / g->tile_m, y = p->at.y / g->tile_m, sharp = exp(-far * far / 500);
    tsr_vec3 mean = mix3(g->main, g->other, 0.5);
    tsr_vec3 c = textured(g->texture, x, y, g->main, g->other);
    if (fabs(x - rint(x)) < g->joint || fabs(y - rint(y)) < g->joint)
        c = scale3(c, 0.72);
    c = mix3(mean, c, sharp);
    if (g->mottled == 0 || far > 60)
        return c;
    double spots =
        patches(0.9 * p->at.x, 0.9 * p->at.y) + 0.7 * sharp * patches(5.3 * p->at.x, 5.3 * p->at.y);
    return scale3(c, 1 + g->mottled * spots * (1 - far / 60));
}

static tsr_vec3 object_light(const point *p)
{
    const tsr_object *o = &p->s->objects[p->object];
    const tsr_paint *paint = &tsr_scene_paints[o->colour];
    double u = 0, v = 0;
    if (o->texture != TSR_TEXTURE_PLAIN)
        tsr_object_cells(o, p->at, &u, &v);
    tsr_vec3 colour = textured(o->texture, u, v, paint->main, paint->other);
    if (p->depth >= DEEPEST || o->stuff == TSR_STUFF_RUBBER)
        return matte(p, colour, 0.07, 14);
    return o->stuff == TSR_STUFF_METAL ? metal(p, colour) : glass(p, colour);
}

static tsr_vec3 wall_light(const point *p)
{
    /* A skirting board gives the room its scale. */
    tsr_vec3 c = p->at.z < 0.14 ? scale3(p->s->wall_colour, 0.55) : p->s->wall_colour;
    return matte(p, c, 0, 1);
}

static tsr_vec3 light_along(const tsr_scene *s, tsr_vec3 origin, tsr_vec3 d, const double *jitter,
                            int depth)
{
    tsr_hit hit = tsr_scene_meet(s, origin, d);
    if (hit.object == TSR_HIT_SKY)
        return sky_colour(s, d);
    tsr_vec3 n = dot3(hit.normal, d) > 0 ? scale3(hit.normal, -1) : hit.normal;
    point p = {s, along3(origin, hit.t, d), d, n, hit.object, depth, jitter};
    if (hit.object >= 0)
        return object_light(&p);
    tsr_vec3 c =
        hit.object == TSR_HIT_GROUND ? matte(&p, ground_colour(&p, hit.t), 0, 1) : wall_light(&p);
    /* Haze takes the far ground into the horizon. */
    double far = 1 - exp(-clamp1(hit.t - 7, 0, 1e9) / 55);
    return mix3(c, tsr_scene_skies[s->sky].horizon, far);
}

tsr_vec3 tsr_scene_light(const tsr_scene *s, tsr_vec3 origin, tsr_vec3 d, const double jitter[2])
{
    return light_along(s, origin, d, jitter, 0);
}
