/* SPDX-License-Identifier: Apache-2.0
 * Draws a world: camera, weather, room, and objects that rest on the ground without touching. */
#include "scenes/scene.h"

#include <string.h>

#define PI 3.14159265358979323846

enum { PLACES_TRIED = 80, GAP_MM = 60 };

static const double nominal_size[TSR_BULKS] = {0.28, 0.42, 0.62};

void tsr_scene_rng(tsr_rng *r, const tsr_scene *s, tsr_scene_part part)
{
    tsr_rng_init(r, s->seed, TSR_RNG_SCENE, s->index | (uint64_t)part << 56);
}

static double range(tsr_rng *r, double lo, double hi)
{
    return lo + (hi - lo) * tsr_rng_double(r);
}

static int below(tsr_rng *r, int n)
{
    return (int)tsr_rng_below(r, (uint32_t)n);
}

/* The camera looks slightly down at the middle of the furniture; its distance follows from the
 * field of view, so that the same stretch of ground fills the picture. */
static double make_camera(tsr_camera *c, tsr_rng *r, double half_width)
{
    tsr_vec3 target = vec3(range(r, -0.25, 0.25), range(r, -0.25, 0.25), range(r, 0.30, 0.50));
    double azimuth = range(r, -PI, PI), elevation = range(r, 11, 36) * PI / 180;
    c->fov_deg = range(r, 34, 62);
    c->reach = tan(c->fov_deg * PI / 360);
    double distance = half_width / c->reach;
    tsr_vec3 back =
        vec3(cos(azimuth) * cos(elevation), sin(azimuth) * cos(elevation), sin(elevation));
    c->position = along3(target, distance, back);
    c->forward = scale3(back, -1);
    c->right = unit3(cross3(c->forward, vec3(0, 0, 1)));
    c->down = cross3(c->forward, c->right);
    return azimuth;
}

/* The sun stands beside or behind the camera, so that what is seen is mostly lit, and before the
 * walls of a room, so that they do not darken it. */
static void make_weather(tsr_scene *s, tsr_rng *r, double azimuth)
{
    s->sky = below(r, TSR_SCENE_SKIES);
    const tsr_sky *k = &tsr_scene_skies[s->sky];
    double side = below(r, 2) ? 1 : -1;
    double where = azimuth + side * range(r, 20, 105) * PI / 180;
    if (s->n_walls) {
        tsr_vec3 n = s->walls[0].normal;
        if (s->n_walls == 2)
            n = add3(n, s->walls[1].normal);
        where = atan2(n.y, n.x) + side * range(r, 4, s->n_walls == 2 ? 32 : 60) * PI / 180;
    }
    double height = range(r, k->sun_low_deg, k->sun_high_deg) * PI / 180;
    s->sun = vec3(cos(where) * cos(height), sin(where) * cos(height), sin(height));
}

static void make_room(tsr_scene *s, tsr_rng *r, double azimuth)
{
    static const tsr_vec3 paints[] = {{0.70, 0.66, 0.58}, {0.52, 0.60, 0.64}, {0.66, 0.56, 0.48},
                                      {0.56, 0.62, 0.50}, {0.74, 0.73, 0.70}, {0.62, 0.50, 0.54}};
    s->n_walls = tsr_rng_below(r, 100) < 42 ? 1 + below(r, 2) : 0;
    s->wall_colour = paints[below(r, (int)(sizeof paints / sizeof paints[0]))];
    double height = range(r, 2.2, 4.5);
    double turn = azimuth + (s->n_walls == 2 ? range(r, 0.45, 1.12) : range(r, -0.4, 0.4));
    for (int w = 0; w < s->n_walls; w++) {
        double a = turn - w * PI / 2;
        s->walls[w] = (tsr_wall){vec3(cos(a), sin(a), 0), range(r, 2.0, 3.2), height};
    }
    do
        s->ground = below(r, TSR_SCENE_GROUNDS);
    while (tsr_scene_grounds[s->ground].indoors == (s->n_walls ? 0 : 1));
}

/* Proportions of a shape of nominal radius `a`; sets the pose, but not the place. */
static void make_body(tsr_object *o, tsr_rng *r)
{
    double a = o->size, turn = range(r, -PI, PI), high = 0;
    tsr_vec3 level = vec3(cos(turn), sin(turn), 0), aside = vec3(-sin(turn), cos(turn), 0);
    tsr_vec3 up = vec3(0, 0, 1);
    double p = range(r, 0.88, 1.08), q = range(r, 0.88, 1.08);
    int lies = tsr_rng_below(r, 100) < 40;
    tsr_vec3 e = vec3(a, a, a);
    switch (o->shape) {
    case TSR_SHAPE_BOX:
        e = vec3(0.80 * a * p, 0.80 * a * q, 0.80 * a);
        break;
    case TSR_SHAPE_CYLINDER:
        e = vec3(0.68 * a, 0.68 * a, 0.92 * a * p);
        break;
    case TSR_SHAPE_CONE:
        e = vec3(0.88 * a, 0.88 * a, 1.0 * a * p);
        break;
    case TSR_SHAPE_TORUS:
        e = vec3(0.78 * a, 0.78 * a, 0.29 * a);
        break;
    default:
        break;
    }
    o->extent = e;
    o->lying = lies && (o->shape == TSR_SHAPE_CYLINDER || o->shape == TSR_SHAPE_TORUS);
    o->axes[0] = o->lying ? aside : level;
    o->axes[1] = o->lying ? up : aside;
    o->axes[2] = o->lying ? level : up;
    switch (o->shape) {
    case TSR_SHAPE_BOX:
        o->bound = length3(e);
        o->footprint = sqrt(e.x * e.x + e.y * e.y);
        high = e.z;
        break;
    case TSR_SHAPE_TORUS:
        o->bound = e.x + e.z;
        o->footprint = o->bound;
        high = o->lying ? o->bound : e.z;
        break;
    case TSR_SHAPE_SPHERE:
        o->bound = o->footprint = high = a;
        break;
    default:
        o->bound = sqrt(e.x * e.x + e.z * e.z);
        o->footprint = o->lying ? o->bound : e.x;
        high = o->lying ? e.x : e.z;
        break;
    }
    o->centre.z = high;
}

static int same_words(const tsr_scene *s, const tsr_object *o)
{
    for (int i = 0; i < s->n_objects; i++)
        if (s->objects[i].shape == o->shape && s->objects[i].colour == o->colour)
            return 1;
    return 0;
}

static void make_looks(const tsr_scene *s, tsr_object *o, tsr_rng *r)
{
    do {
        o->shape = (tsr_shape)below(r, TSR_SHAPES);
        o->colour = below(r, TSR_SCENE_COLOURS);
    } while (same_words(s, o));
    o->stuff = (tsr_stuff)below(r, TSR_STUFFS);
    o->bulk = (tsr_bulk)below(r, TSR_BULKS);
    o->texture = tsr_rng_below(r, 100) < 56 ? TSR_TEXTURE_PLAIN
                                            : (tsr_texture)(1 + below(r, TSR_TEXTURES - 1));
    o->size = nominal_size[o->bulk] * range(r, 0.94, 1.06);
    make_body(o, r);
}

/* Place in the picture and radius there, both in halves of its side. */
static tsr_vec3 on_screen(const tsr_camera *c, const tsr_object *o)
{
    tsr_vec3 p = tsr_camera_turn(c, sub3(o->centre, c->position));
    double k = 1 / (p.z * c->reach);
    return vec3(p.x * k, p.y * k, o->bound * k);
}

/* Stands clear of walls and of other objects, is well inside the picture, and hides little. */
static int fits(const tsr_scene *s, const tsr_object *o)
{
    const double gap = GAP_MM / 1000.0;
    tsr_vec3 me = on_screen(&s->camera, o);
    if (fabs(me.x) + 0.85 * me.z > 1 || fabs(me.y) + 0.85 * me.z > 1)
        return 0;
    for (int w = 0; w < s->n_walls; w++)
        if (dot3(s->walls[w].normal, o->centre) + s->walls[w].offset < o->footprint + gap)
            return 0;
    for (int i = 0; i < s->n_objects; i++) {
        const tsr_object *other = &s->objects[i];
        if (hypot(other->centre.x - o->centre.x, other->centre.y - o->centre.y) <
            other->footprint + o->footprint + gap)
            return 0;
        tsr_vec3 it = on_screen(&s->camera, other);
        if (hypot(it.x - me.x, it.y - me.y) < 0.62 * (it.z + me.z))
            return 0;
    }
    return 1;
}

/* Adds one object, or none when no free place was found. */
static void add_object(tsr_scene *s, tsr_rng *r, double radius)
{
    tsr_object o;
    memset(&o, 0, sizeof o);
    make_looks(s, &o, r);
    for (int tried = 0; tried < PLACES_TRIED; tried++) {
        double a = range(r, -PI, PI), d = radius * sqrt(tsr_rng_double(r));
        o.centre.x = d * cos(a);
        o.centre.y = d * sin(a);
        if (fits(s, &o)) {
            s->objects[s->n_objects++] = o;
            return;
        }
    }
}

void tsr_scene_make(tsr_scene *s, uint64_t seed, uint64_t index)
{
    tsr_rng r;
    memset(s, 0, sizeof *s);
    s->seed = seed;
    s->index = index;
    tsr_scene_rng(&r, s, TSR_PART_WORLD);
    int wanted = 1 + below(&r, TSR_SCENE_OBJECTS);
    double half_width = (1.15 + 0.15 * wanted) * range(&r, 1.0, 1.3);
    double azimuth = make_camera(&s->camera, &r, half_width);
    make_room(s, &r, azimuth);
    make_weather(s, &r, azimuth);
    /* A large object may not fit into a close view: go on until one is placed. */
    for (int i = 0; i < wanted || s->n_objects == 0; i++)
        add_object(s, &r, (0.4 + 0.1 * wanted) * half_width);
}
