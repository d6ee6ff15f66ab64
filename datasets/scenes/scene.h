/* SPDX-License-Identifier: Apache-2.0
 * A furnished little world: what is in it, what a camera sees of it, what is said and heard of it.
 *
 * World: metres, right-handed, z up, the ground is z = 0. Camera: x right, y down, z forward
 * (optical axis), square pixels, pixel (row i, column j) has its centre at (j + 0.5, i + 0.5). */
#ifndef TSR_SCENES_SCENE_H
#define TSR_SCENES_SCENE_H

#include "base/rng.h"
#include "base/str.h"
#include "scenes/scene_vec.h"
#include "types/media.h"

#include <stdint.h>

#define TSR_SCENE_OBJECTS 6    /* at most */
#define TSR_SCENE_WALLS 2      /* at most */
#define TSR_SCENE_RATE_HZ 16000
#define TSR_SCENE_FRAMES 40960 /* 2.56 s */
#define TSR_SCENE_FAR_MM 65535 /* the largest depth that is recorded */

typedef enum tsr_shape {
    TSR_SHAPE_SPHERE,   /* extent.x radius */
    TSR_SHAPE_BOX,      /* extent half sides */
    TSR_SHAPE_CYLINDER, /* extent.x radius, extent.z half height, along the object's z axis */
    TSR_SHAPE_CONE,     /* extent.x radius of the base at -z, extent.z half height, apex at +z */
    TSR_SHAPE_TORUS,    /* extent.x radius of the ring, extent.z radius of the tube, around z */
    TSR_SHAPES
} tsr_shape;

typedef enum tsr_stuff { TSR_STUFF_RUBBER, TSR_STUFF_METAL, TSR_STUFF_GLASS, TSR_STUFFS } tsr_stuff;
typedef enum tsr_bulk { TSR_BULK_SMALL, TSR_BULK_MEDIUM, TSR_BULK_LARGE, TSR_BULKS } tsr_bulk;
typedef enum tsr_texture {
    TSR_TEXTURE_PLAIN,
    TSR_TEXTURE_CHECKER,
    TSR_TEXTURE_STRIPES,
    TSR_TEXTURES
} tsr_texture;

/* Class ids of `semseg`; objects follow as TSR_CLASS_SHAPE + shape. */
enum { TSR_CLASS_SKY = 0, TSR_CLASS_GROUND = 1, TSR_CLASS_WALL = 2, TSR_CLASS_SHAPE = 3 };

#define TSR_SCENE_COLOURS 10
#define TSR_SCENE_GROUNDS 6
#define TSR_SCENE_SKIES 5

/* Names as captions and metadata use them, indexed by the enums above. */
extern const char *const tsr_shape_names[TSR_SHAPES];
extern const char *const tsr_stuff_names[TSR_STUFFS];
extern const char *const tsr_bulk_names[TSR_BULKS];
extern const char *const tsr_texture_names[TSR_TEXTURES];

/* A named colour: reflectance in linear light, and of the second colour of checks and stripes. */
typedef struct tsr_paint {
    const char *name;
    tsr_vec3 main, other;
} tsr_paint;
extern const tsr_paint tsr_scene_paints[TSR_SCENE_COLOURS];

/* What the ground (or floor) is made of. */
typedef struct tsr_ground {
    const char *name; /* "sand"; captions say "on sand" */
    tsr_texture texture;
    int indoors; /* 1: floors of rooms only, 0: outdoors only, 2: both */
    double tile_m;
    double joint;   /* half the width of dark joints, in tiles; 0: none */
    double mottled; /* strength of soft patches of light and dark */
    tsr_vec3 main, other;
} tsr_ground;
extern const tsr_ground tsr_scene_grounds[TSR_SCENE_GROUNDS];

/* Weather: colours of the sky in linear light, and of the sun. */
typedef struct tsr_sky {
    const char *name; /* "a clear blue sky" */
    tsr_vec3 zenith, horizon, sun;
    double sun_low_deg, sun_high_deg; /* range of the sun's elevation */
    double softness;                  /* angular radius of the sun, radian */
} tsr_sky;
extern const tsr_sky tsr_scene_skies[TSR_SCENE_SKIES];

typedef struct tsr_object {
    tsr_shape shape;
    tsr_stuff stuff;
    tsr_bulk bulk;
    tsr_texture texture;
    int colour; /* index into tsr_scene_paints */
    int lying;  /* cylinder: axis level; torus: standing on its rim; else 0 */
    tsr_vec3 centre;
    tsr_vec3 axes[3]; /* the object's x, y, z axes in world coordinates, orthonormal */
    tsr_vec3 extent;  /* metres, see tsr_shape */
    double bound;     /* radius of a sphere around centre that holds the object */
    double footprint; /* radius of an upright tube around centre that holds the object */
    double size;      /* metres: nominal radius that fixes pitch, 0.28, 0.42 or 0.62 with 6 % play */
} tsr_object;

/* The upright half-plane dot(normal, p) = -offset, 0 <= z <= height; normal looks into the room. */
typedef struct tsr_wall {
    tsr_vec3 normal;
    double offset, height;
} tsr_wall;

typedef struct tsr_camera {
    tsr_vec3 position, right, down, forward;
    double fov_deg; /* of the picture's side, both ways */
    double reach;   /* tan(fov / 2): half the picture's side at distance 1 */
} tsr_camera;

typedef struct tsr_scene {
    uint64_t seed, index;
    tsr_camera camera;
    int sky, ground;
    tsr_vec3 sun; /* unit, towards the sun */
    int n_walls;  /* 0: open country */
    tsr_wall walls[TSR_SCENE_WALLS];
    tsr_vec3 wall_colour;
    int n_objects;
    tsr_object objects[TSR_SCENE_OBJECTS];
} tsr_scene;

/* Streams of one scene that must not disturb each other. */
typedef enum tsr_scene_part {
    TSR_PART_WORLD,
    TSR_PART_CAPTION,
    TSR_PART_SOUND,
} tsr_scene_part;

/* The random stream of a part of scene `index` (below 2^56). */
void tsr_scene_rng(tsr_rng *r, const tsr_scene *s, tsr_scene_part part);

/* Draw scene `index` of `seed`: every field is a function of these two alone. Objects rest on the
 * ground, do not touch each other or the walls, and no two share colour and shape. */
void tsr_scene_make(tsr_scene *s, uint64_t seed, uint64_t index);

/* --- rays ------------------------------------------------------------------------------------- */

/* What a ray met. `object` is the index of an object, or one of these. */
enum { TSR_HIT_SKY = -1, TSR_HIT_GROUND = -2, TSR_HIT_WALL = -3 /* wall w: TSR_HIT_WALL - w */ };

typedef struct tsr_hit {
    double t; /* in units of the direction's length */
    int object;
    tsr_vec3 normal; /* unit, outward; zero for the sky */
} tsr_hit;

/* First crossing of the object's surface at t in (t_min, t_max), from outside or, if inside, from
 * within. d need not be unit. Returns 0 when there is none, else sets *t and the outward *n. */
int tsr_object_meet(const tsr_object *o, tsr_vec3 origin, tsr_vec3 d, double t_max, tsr_hit *hit);

/* The way out of an object from a point on its surface or inside it. */
int tsr_object_leave(const tsr_object *o, tsr_vec3 origin, tsr_vec3 d, tsr_hit *hit);

/* Place on the surface in cells of the object's texture: (u, v), a check or stripe per unit. */
void tsr_object_cells(const tsr_object *o, tsr_vec3 point, double *u, double *v);

/* The nearest thing along a ray; the sky when there is none. */
tsr_hit tsr_scene_meet(const tsr_scene *s, tsr_vec3 origin, tsr_vec3 d);

/* Direction, not unit (1 along the optical axis), through place (x, y) of a picture `side` wide. */
tsr_vec3 tsr_camera_ray(const tsr_camera *c, double x, double y, double side);

/* Components along right, down, forward of a world direction. */
tsr_vec3 tsr_camera_turn(const tsr_camera *c, tsr_vec3 d);

/* Linear light that arrives at `origin` from direction d (unit). `jitter` in [-1, 1]^2 picks a
 * place on the sun's disc. */
tsr_vec3 tsr_scene_light(const tsr_scene *s, tsr_vec3 origin, tsr_vec3 d, const double jitter[2]);

/* --- the sample ------------------------------------------------------------------------------- */

/* What the label map tells of one object. */
typedef struct tsr_seen {
    int pixels;
    int visible;                /* pixels >= side^2 / 1000 */
    int x0, y0, x1, y1;         /* box of its pixels, x1 and y1 exclusive */
    double column;              /* mean column of its pixels + 0.5 */
    double depth_m;             /* of its centre along the optical axis */
    int rank;                   /* place in left-to-right order among the visible, or -1 */
    double onset_s;             /* of its strike; 0 when not visible or not struck yet */
} tsr_seen;

/* Everything a sample consists of. Life: one per worker, reused from scene to scene. */
typedef struct tsr_sample {
    tsr_scene scene;
    tsr_image rgb;      /* [S, S, 3] u8 sRGB */
    tsr_image depth;    /* [S, S, 1] u16 mm along the optical axis, rounded; 0 sky or > 65.535 m */
    tsr_image normal;   /* [S, S, 3] u8 round((n * 0.5 + 0.5) * 255), camera space; sky 128 */
    tsr_image semseg;   /* [S, S, 1] u8 class id */
    tsr_image instance; /* [S, S, 1] u8: 0 or 1 + object */
    tsr_sound audio;    /* [40960, 1] */
    tsr_str caption;
    tsr_seen seen[TSR_SCENE_OBJECTS];
    int n_visible;
    int class_pixels[TSR_CLASS_SHAPE + TSR_SHAPES];
} tsr_sample;

/* Buffers for pictures of side x side pixels, 16 <= side <= 4096. */
TSR_USE tsr_status tsr_sample_init(tsr_sample *m, size_t side);
void tsr_sample_clear(tsr_sample *m);

/* Steps, in this order, each from m->scene and the results before it. Rows may be rendered
 * separately, in any order. */
void tsr_sample_labels(tsr_sample *m); /* depth, normal, semseg, instance, seen */
void tsr_sample_rgb(tsr_sample *m);
TSR_USE tsr_status tsr_sample_caption(tsr_sample *m);
void tsr_sample_audio(tsr_sample *m); /* also the onsets in seen */

/* What captions may say of two objects. */
typedef enum tsr_relation {
    TSR_RELATION_LEFT,    /* a's pixels lie, on average, 6 % of the side or more left of b's */
    TSR_RELATION_RIGHT,
    TSR_RELATION_FRONT,   /* a's centre is 0.3 m or more nearer, and at most 35 % beside b */
    TSR_RELATION_BEHIND,
    TSR_RELATION_BIGGER,  /* a is of a larger size class */
    TSR_RELATION_SMALLER,
    TSR_RELATION_NEAR,    /* 0.35 m or less between their footprints */
    TSR_RELATIONS
} tsr_relation;

/* 1 when `relation` holds between objects a and b of a sample whose labels are made. */
int tsr_sample_relation(const tsr_sample *m, tsr_relation relation, int a, int b);

/* Fundamental frequency of a struck object (its size), and the seconds in which it falls by 60 dB
 * (its shape). */
double tsr_object_pitch_hz(const tsr_object *o);
double tsr_object_decay_s(const tsr_object *o);

/* Records; *out is owned by the caller. `split` is the split's name. */
TSR_USE tsr_status tsr_sample_boxes(const tsr_sample *m, json_t **out);
TSR_USE tsr_status tsr_sample_metadata(const tsr_sample *m, const char *split, json_t **out);

#endif
