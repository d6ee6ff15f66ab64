/* SPDX-License-Identifier: Apache-2.0
 * Depth, normals, labels and boxes against surfaces that are rebuilt here from the metadata alone:
 * each solid as a function that is negative inside, crossed by stepping and halving. */
#include "testing.h"

#include "scenes/scene.h"

#include <math.h>

enum { SIDE = 64, SCENES = 40, STEPS = 300 };

/* --- the world as the metadata tells it --------------------------------------------------------
 */

typedef struct body {
    char shape[16];
    double centre[3], axes[3][3], extent[3], reach;
} body;

typedef struct world {
    double eye[3], right[3], down[3], forward[3], fov;
    int n_walls, n;
    double wall[2][5]; /* normal, offset, height */
    body bodies[6];
} world;

static void read3(const json_t *from, const char *key, double v[3])
{
    const json_t *a = json_object_get(from, key);
    assert_int_equal(json_array_size(a), 3);
    for (size_t i = 0; i < 3; i++)
        v[i] = json_real_value(json_array_get(a, i));
}

static void read_body(const json_t *o, body *b)
{
    snprintf(b->shape, sizeof b->shape, "%s", json_string_value(json_object_get(o, "shape")));
    read3(o, "centre", b->centre);
    read3(o, "x_axis", b->axes[0]);
    read3(o, "y_axis", b->axes[1]);
    read3(o, "z_axis", b->axes[2]);
    read3(o, "extent", b->extent);
    b->reach = b->extent[0] + b->extent[1] + b->extent[2];
}

static void read_world(const json_t *meta, world *w)
{
    const json_t *c = json_object_get(meta, "camera");
    const json_t *walls = json_object_get(json_object_get(meta, "world"), "walls");
    const json_t *objects = json_object_get(meta, "objects");
    read3(c, "position", w->eye);
    read3(c, "right", w->right);
    read3(c, "down", w->down);
    read3(c, "forward", w->forward);
    w->fov = json_real_value(json_object_get(c, "fov_deg"));
    w->n_walls = (int)json_array_size(walls);
    for (int i = 0; i < w->n_walls; i++) {
        const json_t *wall = json_array_get(walls, (size_t)i);
        read3(wall, "normal", w->wall[i]);
        w->wall[i][3] = json_real_value(json_object_get(wall, "offset"));
        w->wall[i][4] = json_real_value(json_object_get(wall, "height"));
    }
    w->n = (int)json_array_size(objects);
    for (int i = 0; i < w->n; i++)
        read_body(json_array_get(objects, (size_t)i), &w->bodies[i]);
}

static double inner(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* Negative inside, and of about the size of a distance close to the surface. */
static double solid(const body *b, const double p[3])
{
    double q[3], rel[3] = {p[0] - b->centre[0], p[1] - b->centre[1], p[2] - b->centre[2]};
    for (int i = 0; i < 3; i++)
        q[i] = inner(rel, b->axes[i]);
    double rho = hypot(q[0], q[1]), h = b->extent[2], r = b->extent[0];
    if (strcmp(b->shape, "sphere") == 0)
        return hypot(rho, q[2]) - r;
    if (strcmp(b->shape, "box") == 0)
        return fmax(fmax(fabs(q[0]) - r, fabs(q[1]) - b->extent[1]), fabs(q[2]) - h);
    if (strcmp(b->shape, "cylinder") == 0)
        return fmax(rho - r, fabs(q[2]) - h);
    if (strcmp(b->shape, "cone") == 0)
        return fmax((rho - r * (h - q[2]) / (2 * h)) / hypot(1, r / (2 * h)), -h - q[2]);
    return hypot(rho - r, q[2]) - h;
}

static void at(const double o[3], const double d[3], double t, double p[3])
{
    for (int i = 0; i < 3; i++)
        p[i] = o[i] + t * d[i];
}

/* First crossing into the body, or infinity. */
static double cross(const body *b, const double o[3], const double d[3])
{
    double to[3] = {b->centre[0] - o[0], b->centre[1] - o[1], b->centre[2] - o[2]}, p[3];
    double middle = inner(to, d) / inner(d, d), half = b->reach / sqrt(inner(d, d));
    double before = middle - half, step = 2 * half / STEPS;
    for (int i = 1; i <= STEPS; i++) {
        double now = middle - half + step * i;
        at(o, d, now, p);
        if (solid(b, p) >= 0) {
            before = now;
            continue;
        }
        for (int k = 0; k < 60; k++) {
            double mid = 0.5 * (before + now);
            at(o, d, mid, p);
            *(solid(b, p) < 0 ? &now : &before) = mid;
        }
        return now;
    }
    return INFINITY;
}

/* Unit normal from differences. */
static void slope(const body *b, const double p[3], double n[3])
{
    const double e = 1e-6;
    for (int i = 0; i < 3; i++) {
        double q[3] = {p[0], p[1], p[2]};
        q[i] += e;
        double up = solid(b, q);
        q[i] -= 2 * e;
        n[i] = up - solid(b, q);
    }
    double l = sqrt(inner(n, n));
    for (int i = 0; i < 3; i++)
        n[i] /= l;
}

/* Nearest surface: 0 sky, -1 ground, -2 wall, 1 + i body i. */
static int nearest(const world *w, const double d[3], double *depth, double n[3])
{
    int what = 0;
    *depth = INFINITY;
    memset(n, 0, 3 * sizeof *n);
    if (d[2] < 0) {
        *depth = -w->eye[2] / d[2];
        what = -1;
        n[2] = 1;
    }
    for (int i = 0; i < w->n_walls; i++) {
        const double *v = w->wall[i];
        double t = -(inner(v, w->eye) + v[3]) / inner(v, d), z = w->eye[2] + t * d[2];
        if (t > 0 && t < *depth && z >= 0 && z <= v[4]) {
            *depth = t;
            what = -2;
            memcpy(n, v, 3 * sizeof *n);
        }
    }
    for (int i = 0; i < w->n; i++) {
        double t = cross(&w->bodies[i], w->eye, d), p[3];
        if (t < *depth) {
            *depth = t;
            what = 1 + i;
            at(w->eye, d, t, p);
            slope(&w->bodies[i], p, n);
        }
    }
    return what;
}

/* --- tests ------------------------------------------------------------------------------------ */

typedef struct errors {
    long pixels, labels, depths, normals;
    double worst_mm, worst_deg;
} errors;

static int class_id(const world *w, int what)
{
    static const char *const order[] = {"sphere", "box", "cylinder", "cone", "torus"};
    if (what <= 0)
        return what == 0 ? 0 : what == -1 ? 1 : 2;
    for (int k = 0; k < 5; k++)
        if (strcmp(w->bodies[what - 1].shape, order[k]) == 0)
            return 3 + k;
    return -1;
}

static void check_normal(const world *w, const uint8_t *rgb, const double n[3], errors *e)
{
    double camera[3] = {inner(w->right, n), inner(w->down, n), inner(w->forward, n)}, got[3];
    for (int i = 0; i < 3; i++)
        got[i] = rgb[i] / 127.5 - 1;
    double length = sqrt(inner(got, got));
    assert_true(fabs(length - 1) < 0.0069); /* half a step of 1 / 127.5 in each component */
    double deg = acos(fmin(1, inner(camera, got) / length)) * 57.29577951;
    e->normals += deg > 0.4;
    if (deg <= 5 && deg > e->worst_deg)
        e->worst_deg = deg;
}

static void check_pixel(const tsr_sample *m, const world *w, size_t x, size_t y, errors *e)
{
    double k = 2 * tan(w->fov * 0.5 / 57.29577951308232) / SIDE, d[3], n[3], depth;
    for (int i = 0; i < 3; i++)
        d[i] = w->forward[i] + k * ((double)x + 0.5 - SIDE / 2.0) * w->right[i] +
               k * ((double)y + 0.5 - SIDE / 2.0) * w->down[i];
    int what = nearest(w, d, &depth, n);
    const uint8_t *normal = (uint8_t *)tsr_image_row(&m->normal, y) + 3 * x;
    unsigned mm = ((uint16_t *)tsr_image_row(&m->depth, y))[x];
    e->pixels++;
    if (((uint8_t *)tsr_image_row(&m->instance, y))[x] != (what > 0 ? what : 0) ||
        ((uint8_t *)tsr_image_row(&m->semseg, y))[x] != class_id(w, what)) {
        e->labels++;
        return;
    }
    if (what == 0) {
        assert_int_equal(mm, 0);
        assert_true(normal[0] == 128 && normal[1] == 128 && normal[2] == 128);
        return;
    }
    double error = depth * 1000 > 65535.5 ? mm : fabs(depth * 1000 - mm);
    e->depths += error > 0.51;
    e->worst_mm = fmax(e->worst_mm, error);
    check_normal(w, normal, n, e);
}

/* Half a millimetre of depth, 0.4 degrees of normal: what the files can hold. Of all pixels one in
 * 2,000 may be labelled otherwise (rays that graze a body between two steps of this test), one in
 * 5,000 may lie on an edge where a normal has two values. */
static void surfaces_agree(void **state)
{
    (void)state;
    tsr_sample m;
    errors e = {0};
    assert_ok(tsr_sample_init(&m, SIDE));
    for (uint64_t i = 0; i < SCENES; i++) {
        json_t *meta;
        world w;
        tsr_scene_make(&m.scene, 11, i);
        tsr_sample_labels(&m);
        assert_ok(tsr_sample_metadata(&m, "train", &meta));
        read_world(meta, &w);
        json_decref(meta);
        for (size_t y = 0; y < SIDE; y++)
            for (size_t x = 0; x < SIDE; x++)
                check_pixel(&m, &w, x, y, &e);
    }
    printf("pixels %ld: label %ld, depth %ld (worst %.3f mm), normal %ld (worst %.3f deg)\n",
           e.pixels, e.labels, e.depths, e.worst_mm, e.normals, e.worst_deg);
    assert_true(e.labels * 2000 <= e.pixels);
    assert_int_equal(e.depths, 0);
    assert_true(e.normals * 5000 <= e.pixels);
    tsr_sample_clear(&m);
}

/* Points of a grid over a body that lie in it are above the ground, and in nothing else. */
static void check_apart(const world *w, int a)
{
    enum { GRID = 21 };
    const body *b = &w->bodies[a];
    for (int k = 0; k < GRID * GRID * GRID; k++) {
        double u[3] = {k % GRID / 10.0 - 1, k / GRID % GRID / 10.0 - 1, k / GRID / GRID / 10.0 - 1};
        double p[3];
        at(b->centre, u, b->reach, p);
        if (solid(b, p) >= 0)
            continue;
        assert_true(p[2] > -1e-9);
        for (int o = 0; o < w->n; o++)
            assert_true(o == a || solid(&w->bodies[o], p) > 0);
        for (int v = 0; v < w->n_walls; v++)
            assert_true(inner(w->wall[v], p) + w->wall[v][3] > 0);
    }
}

/* Rays from below find the body's lowest point on the ground, within what their spacing allows. */
static void check_resting(const body *b)
{
    enum { GRID = 31 };
    double lowest = INFINITY;
    for (int k = 0; k < GRID * GRID; k++) {
        const double up[3] = {0, 0, 1};
        double from[3] = {b->centre[0] + (k % GRID / 15.0 - 1) * b->extent[0] * 1.1,
                          b->centre[1] + (k / GRID / 15.0 - 1) * b->extent[0] * 1.1, -b->reach};
        lowest = fmin(lowest, from[2] + cross(b, from, up));
    }
    assert_true(lowest > -1e-9 && lowest < 0.01);
}

static void bodies_rest_apart(void **state)
{
    (void)state;
    tsr_sample m;
    assert_ok(tsr_sample_init(&m, 16));
    for (uint64_t i = 0; i < 60; i++) {
        json_t *meta;
        world w;
        tsr_scene_make(&m.scene, 12, i);
        tsr_sample_labels(&m);
        assert_ok(tsr_sample_metadata(&m, "val", &meta));
        read_world(meta, &w);
        json_decref(meta);
        assert_in_range(w.n, 1, 6);
        for (int a = 0; a < w.n; a++) {
            check_apart(&w, a);
            check_resting(&w.bodies[a]);
        }
    }
    tsr_sample_clear(&m);
}

static void boxes_hug_masks(void **state)
{
    (void)state;
    tsr_sample m;
    int boxes = 0;
    assert_ok(tsr_sample_init(&m, SIDE));
    for (uint64_t i = 0; i < 60; i++) {
        json_t *det;
        size_t k = 0;
        tsr_scene_make(&m.scene, 13, i);
        tsr_sample_labels(&m);
        assert_ok(tsr_sample_boxes(&m, &det));
        const json_t *list = json_object_get(det, "instances");
        for (int o = 0; o < m.scene.n_objects; o++) {
            int x0 = SIDE, y0 = SIDE, x1 = -1, y1 = -1, n = 0;
            for (int y = 0; y < SIDE; y++)
                for (int x = 0; x < SIDE; x++) {
                    if (((uint8_t *)tsr_image_row(&m.instance, (size_t)y))[x] != o + 1)
                        continue;
                    n++;
                    x0 = x < x0 ? x : x0;
                    x1 = x > x1 ? x : x1;
                    y0 = y < y0 ? y : y0;
                    y1 = y;
                }
            if (n == 0 || n < SIDE * SIDE / 1000.0)
                continue;
            const json_t *one = json_array_get(list, k++), *b = json_object_get(one, "boxes");
            const double want[4] = {x0 / 64.0, y0 / 64.0, (x1 + 1) / 64.0, (y1 + 1) / 64.0};
            for (size_t c = 0; c < 4; c++)
                assert_true(fabs(json_real_value(json_array_get(b, c)) - want[c]) < 1e-9);
            assert_string_equal(json_string_value(json_object_get(one, "class_name")),
                                tsr_shape_names[m.scene.objects[o].shape]);
            boxes++;
        }
        assert_int_equal(json_array_size(list), k);
        json_decref(det);
    }
    assert_true(boxes > 100);
    tsr_sample_clear(&m);
}

static void scenes_follow_seed_and_index(void **state)
{
    (void)state;
    tsr_scene a, b;
    tsr_scene_make(&a, 5, 77);
    tsr_scene_make(&b, 5, 77);
    assert_memory_equal(&a, &b, sizeof a);
    tsr_scene_make(&b, 5, 78);
    assert_true(a.camera.fov_deg != b.camera.fov_deg);
    tsr_scene_make(&b, 6, 77);
    assert_true(a.camera.fov_deg != b.camera.fov_deg);
}

static void sizes_are_checked(void **state)
{
    (void)state;
    tsr_sample m;
    assert_fails(TSR_EARG, tsr_sample_init(&m, 15));
    assert_fails(TSR_EARG, tsr_sample_init(&m, 4097));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(surfaces_agree),    cmocka_unit_test(bodies_rest_apart),
        cmocka_unit_test(boxes_hug_masks),   cmocka_unit_test(scenes_follow_seed_and_index),
        cmocka_unit_test(sizes_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
