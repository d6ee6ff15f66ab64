/* SPDX-License-Identifier: Apache-2.0
 * Crops and what lies in them. */
#include "tokenizers/place.h"

#include "dsp/crop.h"
#include "tokenizers/kind.h"

static double size_of(const json_t *record, const char *key)
{
    double v = json_number_value(json_object_get(record, key));
    return v >= 1 && v <= 1e9 ? v : 0;
}

tsr_status tsr_place_find(const tsr_inputs *in, const json_t *record, tsr_place *out)
{
    const tsr_media *image = in ? tsr_inputs_find(in, TSR_MEDIA_IMAGE) : NULL;
    const tsr_view *view = in ? in->view : NULL;
    int sized = view && view->height > 0;
    *out = (tsr_place){.height = sized   ? view->height
                                 : image ? (double)image->as.image.height
                                         : size_of(record, "height"),
                       .width = sized   ? view->width
                                : image ? (double)image->as.image.width
                                        : size_of(record, "width")};
    out->sized = out->height > 0 && out->width > 0;
    if (!out->sized)
        out->height = out->width = 1;
    out->crop =
        (tsr_crop){0, 0, (int32_t)out->height, (int32_t)out->width, view ? view->crop.flip : 0};
    if (!out->sized || !in)
        return TSR_OK;
    return tsr_view_crop(view, (size_t)out->height, (size_t)out->width, &out->crop);
}

void tsr_place_box(const tsr_place *p, const double box[4], double out[4])
{
    out[0] = (box[0] * p->width - p->crop.left) / p->crop.width;
    out[1] = (box[1] * p->height - p->crop.top) / p->crop.height;
    out[2] = (box[2] * p->width - p->crop.left) / p->crop.width;
    out[3] = (box[3] * p->height - p->crop.top) / p->crop.height;
}

double tsr_place_clip(double v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}
