/* SPDX-License-Identifier: Apache-2.0
 * The truths of a sample as JSON: boxes, and everything the generator knows. */
#include "scenes/scene.h"

/* Puts value under key; remembers that something failed, so that one check at the end suffices. */
static void put(json_t *object, const char *key, json_t *value, int *failed)
{
    *failed |= json_object_set_new(object, key, value) != 0;
}

/* Nine decimals: a nanometre, and short to read. */
static json_t *number(double x)
{
    return json_real(rint(x * 1e9) / 1e9 + 0.0);
}

static json_t *numbers(const double *v, int n, int *failed)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++)
        *failed |= json_array_append_new(a, number(v[i])) != 0;
    return a;
}

static json_t *triple(tsr_vec3 v, int *failed)
{
    const double x[3] = {v.x, v.y, v.z};
    return numbers(x, 3, failed);
}

/* The value, or TSR_ENOMEM; takes `value`. */
static tsr_status finished(json_t *value, int failed, json_t **out)
{
    if (failed || !value) {
        json_decref(value);
        TSR_FAIL(TSR_ENOMEM, "no memory for the record of a scene");
    }
    *out = value;
    return TSR_OK;
}

static json_t *box(const tsr_sample *m, int object, int *failed)
{
    const tsr_seen *e = &m->seen[object];
    double side = (double)m->rgb.width;
    const double v[4] = {e->x0 / side, e->y0 / side, e->x1 / side, e->y1 / side};
    return numbers(v, 4, failed);
}

tsr_status tsr_sample_boxes(const tsr_sample *m, json_t **out)
{
    int failed = 0;
    json_t *all = json_object(), *list = json_array();
    for (int i = 0; i < m->scene.n_objects; i++) {
        if (!m->seen[i].visible)
            continue;
        json_t *one = json_object();
        put(one, "boxes", box(m, i, &failed), &failed);
        put(one, "class_name", json_string(tsr_shape_names[m->scene.objects[i].shape]), &failed);
        put(one, "score", json_integer(1), &failed);
        failed |= json_array_append_new(list, one) != 0;
    }
    put(all, "instances", list, &failed);
    return finished(all, failed, out);
}

static json_t *camera(const tsr_sample *m, int *failed)
{
    const tsr_camera *c = &m->scene.camera;
    json_t *o = json_object();
    put(o, "fov_deg", number(c->fov_deg), failed);
    put(o, "height_m", number(c->position.z), failed);
    put(o, "pitch_deg", number(asin(c->forward.z) * 57.29577951308232), failed);
    put(o, "position", triple(c->position, failed), failed);
    put(o, "right", triple(c->right, failed), failed);
    put(o, "down", triple(c->down, failed), failed);
    put(o, "forward", triple(c->forward, failed), failed);
    return o;
}

static json_t *light(const tsr_scene *s, int *failed)
{
    json_t *o = json_object();
    tsr_vec3 v = tsr_camera_turn(&s->camera, s->sun);
    put(o, "sky", json_string(tsr_scene_skies[s->sky].name), failed);
    put(o, "sun_elevation_deg", number(asin(s->sun.z) * 57.29577951308232), failed);
    /* 0 behind the camera, positive to its right */
    put(o, "sun_azimuth_deg", number(atan2(v.x, -v.z) * 57.29577951308232), failed);
    put(o, "sun", triple(s->sun, failed), failed);
    return o;
}

static json_t *world(const tsr_scene *s, int *failed)
{
    json_t *o = json_object(), *walls = json_array();
    put(o, "kind", json_string(s->n_walls ? "room" : "open"), failed);
    put(o, "ground", json_string(tsr_scene_grounds[s->ground].name), failed);
    for (int w = 0; w < s->n_walls; w++) {
        json_t *wall = json_object();
        put(wall, "normal", triple(s->walls[w].normal, failed), failed);
        put(wall, "offset", number(s->walls[w].offset), failed);
        put(wall, "height", number(s->walls[w].height), failed);
        *failed |= json_array_append_new(walls, wall) != 0;
    }
    put(o, "walls", walls, failed);
    return o;
}

static json_t *counts(const tsr_sample *m, int *failed)
{
    int shapes[TSR_SHAPES] = {0}, stuffs[TSR_STUFFS] = {0};
    json_t *o = json_object();
    for (int i = 0; i < m->scene.n_objects; i++) {
        shapes[m->scene.objects[i].shape] += m->seen[i].visible;
        stuffs[m->scene.objects[i].stuff] += m->seen[i].visible;
    }
    put(o, "objects", json_integer(m->scene.n_objects), failed);
    put(o, "visible", json_integer(m->n_visible), failed);
    for (int i = 0; i < TSR_SHAPES; i++)
        put(o, tsr_shape_names[i], json_integer(shapes[i]), failed);
    for (int i = 0; i < TSR_STUFFS; i++)
        put(o, tsr_stuff_names[i], json_integer(stuffs[i]), failed);
    return o;
}

static json_t *looks(const tsr_object *o, int *failed)
{
    json_t *j = json_object();
    put(j, "shape", json_string(tsr_shape_names[o->shape]), failed);
    put(j, "colour", json_string(tsr_scene_paints[o->colour].name), failed);
    put(j, "material", json_string(tsr_stuff_names[o->stuff]), failed);
    put(j, "size", json_string(tsr_bulk_names[o->bulk]), failed);
    put(j, "texture", json_string(tsr_texture_names[o->texture]), failed);
    put(j, "lying", json_boolean(o->lying), failed);
    put(j, "centre", triple(o->centre, failed), failed);
    put(j, "x_axis", triple(o->axes[0], failed), failed);
    put(j, "y_axis", triple(o->axes[1], failed), failed);
    put(j, "z_axis", triple(o->axes[2], failed), failed);
    put(j, "extent", triple(o->extent, failed), failed);
    put(j, "footprint_m", number(o->footprint), failed);
    put(j, "size_m", number(o->size), failed);
    return j;
}

static json_t *object(const tsr_sample *m, int i, int *failed)
{
    const tsr_seen *e = &m->seen[i];
    json_t *j = looks(&m->scene.objects[i], failed);
    put(j, "depth_m", number(e->depth_m), failed);
    put(j, "pixels", json_integer(e->pixels), failed);
    put(j, "visible", json_boolean(e->visible), failed);
    if (e->pixels > 0) {
        put(j, "box", box(m, i, failed), failed);
        put(j, "column", number(e->column / (double)m->rgb.width), failed);
    }
    if (!e->visible)
        return j;
    put(j, "order", json_integer(e->rank), failed);
    put(j, "onset_s", number(e->onset_s), failed);
    put(j, "pitch_hz", number(tsr_object_pitch_hz(&m->scene.objects[i])), failed);
    put(j, "decay_s", number(tsr_object_decay_s(&m->scene.objects[i])), failed);
    return j;
}

tsr_status tsr_sample_metadata(const tsr_sample *m, const char *split, json_t **out)
{
    int failed = 0;
    json_t *all = json_object(), *objects = json_array();
    put(all, "generator", json_string("tessera-scenes 1"), &failed);
    put(all, "seed", json_integer((json_int_t)m->scene.seed), &failed);
    put(all, "index", json_integer((json_int_t)m->scene.index), &failed);
    put(all, "split", json_string(split), &failed);
    put(all, "image_size", json_integer((json_int_t)m->rgb.width), &failed);
    put(all, "counts", counts(m, &failed), &failed);
    put(all, "camera", camera(m, &failed), &failed);
    put(all, "light", light(&m->scene, &failed), &failed);
    put(all, "world", world(&m->scene, &failed), &failed);
    for (int i = 0; i < m->scene.n_objects; i++)
        failed |= json_array_append_new(objects, object(m, i, &failed)) != 0;
    put(all, "objects", objects, &failed);
    return finished(all, failed, out);
}
