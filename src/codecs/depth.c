/* SPDX-License-Identifier: Apache-2.0
 * Depth: stored numbers to metres and back. */
#include "codecs/depth.h"

#include <math.h>

static int is_invalid(double v, const tsr_depth_form *form)
{
    if (form->all_valid)
        return 0;
    if (isnan(form->invalid))
        return !isfinite(v);
    return v == form->invalid;
}

static int usable_scale(const tsr_depth_form *form)
{
    return form->scale_m > 0 && isfinite(form->scale_m);
}

tsr_status tsr_depth_read(tsr_image *im, const char *name, const tsr_depth_form *form)
{
    if (form->scale_m == 0)
        return TSR_OK;
    if (!usable_scale(form))
        TSR_FAIL(TSR_EARG, "%s: depth scale is %g metres, expected a positive number", name,
                 form->scale_m);
    if (im->channels != 1)
        TSR_FAIL(TSR_EFORMAT, "%s: depth has one channel, this picture has %zu", name,
                 im->channels);
    tsr_image metres;
    TSR_TRY(tsr_image_init(&metres, im->height, im->width, 1, TSR_PIXEL_F32));
    float *d = metres.data;
    const float invalid = form->form == TSR_INVALID_ZERO ? 0.0f : NAN;
    for (size_t i = 0; i < im->height * im->width; i++) {
        double v = tsr_image_component(im, i);
        if (is_invalid(v, form)) {
            d[i] = invalid;
            continue;
        }
        d[i] = (float)(v * form->scale_m);
        if (isfinite(d[i]))
            continue;
        tsr_image_clear(&metres);
        TSR_FAIL(TSR_ENUMERIC,
                 "%s: depth is %g at row %zu, column %zu, and that is not the value "
                 "given for invalid pixels",
                 name, v, i / im->width, i % im->width);
    }
    tsr_image_clear(im);
    *im = metres;
    return TSR_OK;
}

tsr_status tsr_depth_store(const tsr_image *im, const char *name, const tsr_depth_form *form,
                           tsr_image *out)
{
    if (!usable_scale(form))
        TSR_FAIL(TSR_EARG, "%s: float pixels become a PNG only with a depth scale in metres", name);
    if (im->channels != 1)
        TSR_FAIL(TSR_EARG, "%s: depth has one channel, this picture has %zu", name, im->channels);
    if (!(form->invalid >= 0 && form->invalid <= 65535))
        TSR_FAIL(TSR_EARG, "%s: %g cannot mark invalid pixels, 16 bits hold 0..65535", name,
                 form->invalid);
    TSR_TRY(tsr_image_init(out, im->height, im->width, 1, TSR_PIXEL_U16));
    const float *d = im->data;
    uint16_t *u = out->data;
    for (size_t i = 0; i < im->height * im->width; i++) {
        double v = nearbyint((double)d[i] / form->scale_m);
        if (!isfinite(d[i]) || d[i] <= 0)
            v = form->invalid;
        u[i] = (uint16_t)(v > 65535 ? 65535 : v);
    }
    return TSR_OK;
}
