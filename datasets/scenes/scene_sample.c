/* SPDX-License-Identifier: Apache-2.0
 * Takes the pictures of a world: labels, depth and normals at pixel centres, colour from two rays
 * a pixel, or four where two differ. */
#include "scenes/scene.h"

#include <string.h>

tsr_status tsr_sample_init(tsr_sample *m, size_t side)
{
    memset(m, 0, sizeof *m);
    if (side < 16 || side > 4096)
        TSR_FAIL(TSR_EARG, "pictures of %zu pixels a side: expected 16 to 4096", side);
    tsr_status st;
    TSR_GO(tsr_image_init(&m->rgb, side, side, 3, TSR_PIXEL_U8));
    TSR_GO(tsr_image_init(&m->depth, side, side, 1, TSR_PIXEL_U16));
    TSR_GO(tsr_image_init(&m->normal, side, side, 3, TSR_PIXEL_U8));
    TSR_GO(tsr_image_init(&m->semseg, side, side, 1, TSR_PIXEL_U8));
    TSR_GO(tsr_image_init(&m->instance, side, side, 1, TSR_PIXEL_U8));
    TSR_GO(tsr_sound_init(&m->audio, TSR_SCENE_RATE_HZ, 1, TSR_SCENE_FRAMES));
out:
    if (st != TSR_OK)
        tsr_sample_clear(m);
    return st;
}

void tsr_sample_clear(tsr_sample *m)
{
    tsr_image_clear(&m->rgb);
    tsr_image_clear(&m->depth);
    tsr_image_clear(&m->normal);
    tsr_image_clear(&m->semseg);
    tsr_image_clear(&m->instance);
    tsr_sound_clear(&m->audio);
    tsr_str_clear(&m->caption);
}

tsr_vec3 tsr_camera_ray(const tsr_camera *c, double x, double y, double side)
{
    double k = 2 * c->reach / side;
    tsr_vec3 d = along3(c->forward, k * (x - 0.5 * side), c->right);
    return along3(d, k * (y - 0.5 * side), c->down);
}

tsr_vec3 tsr_camera_turn(const tsr_camera *c, tsr_vec3 d)
{
    return vec3(dot3(c->right, d), dot3(c->down, d), dot3(c->forward, d));
}

static int class_of(const tsr_scene *s, int object)
{
    if (object >= 0)
        return TSR_CLASS_SHAPE + (int)s->objects[object].shape;
    if (object == TSR_HIT_SKY)
        return TSR_CLASS_SKY;
    return object == TSR_HIT_GROUND ? TSR_CLASS_GROUND : TSR_CLASS_WALL;
}

static void put_normal(uint8_t *out, tsr_vec3 n)
{
    out[0] = (uint8_t)lrint((n.x * 0.5 + 0.5) * 255);
    out[1] = (uint8_t)lrint((n.y * 0.5 + 0.5) * 255);
    out[2] = (uint8_t)lrint((n.z * 0.5 + 0.5) * 255);
}

/* Grow the object's record by pixel (x, y). */
static void count_pixel(tsr_seen *seen, int x, int y)
{
    if (seen->pixels == 0)
        *seen = (tsr_seen){.x0 = x, .y0 = y, .x1 = x + 1, .y1 = y + 1};
    seen->pixels++;
    seen->column += x + 0.5;
    if (x < seen->x0)
        seen->x0 = x;
    if (x >= seen->x1)
        seen->x1 = x + 1;
    if (y >= seen->y1)
        seen->y1 = y + 1;
}

/* Visibility, distance and left-to-right order, once all pixels are counted. */
static void rank_objects(tsr_sample *m)
{
    int n = m->scene.n_objects;
    double area = (double)m->rgb.width * (double)m->rgb.width;
    m->n_visible = 0;
    for (int i = 0; i < n; i++) {
        tsr_seen *e = &m->seen[i];
        tsr_vec3 to = sub3(m->scene.objects[i].centre, m->scene.camera.position);
        e->depth_m = dot3(m->scene.camera.forward, to);
        e->column = e->pixels ? e->column / e->pixels : 0;
        e->visible = e->pixels > 0 && e->pixels >= area / 1000;
        m->n_visible += e->visible;
        e->rank = -1;
    }
    for (int i = 0; i < n; i++) {
        if (!m->seen[i].visible)
            continue;
        m->seen[i].rank = 0;
        for (int j = 0; j < n; j++)
            if (m->seen[j].visible && (m->seen[j].column < m->seen[i].column ||
                                       (m->seen[j].column == m->seen[i].column && j < i)))
                m->seen[i].rank++;
    }
}

void tsr_sample_labels(tsr_sample *m)
{
    const tsr_scene *s = &m->scene;
    size_t side = m->rgb.width;
    memset(m->seen, 0, sizeof m->seen);
    memset(m->class_pixels, 0, sizeof m->class_pixels);
    for (size_t y = 0; y < side; y++) {
        uint16_t *depth = tsr_image_row(&m->depth, y);
        uint8_t *normal = tsr_image_row(&m->normal, y);
        uint8_t *semseg = tsr_image_row(&m->semseg, y);
        uint8_t *instance = tsr_image_row(&m->instance, y);
        for (size_t x = 0; x < side; x++) {
            tsr_vec3 d = tsr_camera_ray(&s->camera, (double)x + 0.5, (double)y + 0.5, (double)side);
            tsr_hit hit = tsr_scene_meet(s, s->camera.position, d);
            /* d is 1 along the optical axis, so that t is the depth. */
            double mm = hit.object == TSR_HIT_SKY ? 0 : rint(1000 * hit.t);
            depth[x] = mm > TSR_SCENE_FAR_MM ? 0 : (uint16_t)mm;
            put_normal(normal + 3 * x, tsr_camera_turn(&s->camera, hit.normal));
            semseg[x] = (uint8_t)class_of(s, hit.object);
            instance[x] = (uint8_t)(hit.object >= 0 ? 1 + hit.object : 0);
            m->class_pixels[semseg[x]]++;
            if (hit.object >= 0)
                count_pixel(&m->seen[hit.object], (int)x, (int)y);
        }
    }
    rank_objects(m);
}

/* sRGB byte of linear light, with a soft shoulder so that highlights keep their colour. */
static uint8_t film(double light)
{
    double x = 0.82 * light;
    double y = x < 0.6 ? x : 0.6 + 0.4 * (1 - exp(-(x - 0.6) / 0.4));
    double v = y <= 0.0031308 ? 12.92 * y : 1.055 * pow(y, 1 / 2.4) - 0.055;
    return (uint8_t)lrint(255 * clamp1(v, 0, 1));
}

/* Light through one of four places of a pixel: a rotated square of rays, each towards its own place
 * on the sun's disc. Places 0 and 1 are opposite corners. */
static tsr_vec3 pixel_light(const tsr_scene *s, size_t x, size_t y, size_t side, int k)
{
    static const double place[4][2] = {
        {0.375, 0.125}, {0.625, 0.875}, {0.875, 0.375}, {0.125, 0.625}};
    static const double sun[4][2] = {{-0.6, -0.3}, {0.6, 0.3}, {0.3, -0.6}, {-0.3, 0.6}};
    tsr_vec3 d =
        tsr_camera_ray(&s->camera, (double)x + place[k][0], (double)y + place[k][1], (double)side);
    tsr_vec3 c = tsr_scene_light(s, s->camera.position, unit3(d), sun[k]);
    return vec3(fmin(c.x, 2), fmin(c.y, 2), fmin(c.z, 2));
}

/* Whether two colours would hardly be told apart. */
static int alike(tsr_vec3 a, tsr_vec3 b)
{
    tsr_vec3 d = sub3(a, b), sum = add3(a, b);
    double most = fmax(fabs(d.x), fmax(fabs(d.y), fabs(d.z)));
    return most < 0.01 + 0.01 * (sum.x + sum.y + sum.z);
}

void tsr_sample_rgb(tsr_sample *m)
{
    size_t side = m->rgb.width;
    for (size_t y = 0; y < side; y++) {
        uint8_t *out = tsr_image_row(&m->rgb, y);
        for (size_t x = 0; x < side; x++) {
            /* Four rays where two are not enough: at edges, in textures and reflections. */
            tsr_vec3 a = pixel_light(&m->scene, x, y, side, 0);
            tsr_vec3 b = pixel_light(&m->scene, x, y, side, 1), mean = mix3(a, b, 0.5);
            if (!alike(a, b)) {
                tsr_vec3 c = pixel_light(&m->scene, x, y, side, 2);
                mean = mix3(mean, mix3(c, pixel_light(&m->scene, x, y, side, 3), 0.5), 0.5);
            }
            out[3 * x] = film(mean.x);
            out[3 * x + 1] = film(mean.y);
            out[3 * x + 2] = film(mean.z);
        }
    }
}
