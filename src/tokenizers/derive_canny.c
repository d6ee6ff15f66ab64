/* SPDX-License-Identifier: Apache-2.0
 * Canny's edges of an RGB picture, found at its stored size and then cut and resized like a stored
 * edge map. 4M's tools read ready maps and do not say how theirs were made: the defaults are
 * cv2.Canny's thresholds 100 and 200 on grey, as most edge data are made. */
#include "tokenizers/derive.h"

#include "tokenizers/pixels.h"

enum { GREY_OPENCV, GREY_PILLOW, GREY_NONE };

static tsr_status configure(tsr_derive *d, const tsr_settings *s)
{
    static const char *const greys[] = {"opencv", "pillow", "none", NULL};
    static const char *const norms[] = {"l1", "l2", NULL};
    long long aperture;
    TSR_TRY(tsr_setting_number(s, "canny_low", 100, 0, 1e6, &d->canny.rule.low));
    TSR_TRY(tsr_setting_number(s, "canny_high", 200, 0, 1e6, &d->canny.rule.high));
    TSR_TRY(tsr_setting_int(s, "canny_aperture", 3, 3, 5, &aperture));
    if (aperture == 4)
        TSR_FAIL(TSR_ECONFIG, "%s: \"canny_aperture\" is 3 or 5", s->origin);
    d->canny.rule.aperture = (int)aperture;
    TSR_TRY(tsr_setting_word(s, "canny_norm", norms, 0, &d->canny.rule.l2));
    return tsr_setting_word(s, "canny_grey", greys, GREY_OPENCV, &d->canny.grey);
}

static tsr_status make(const tsr_derive *d, const tsr_image *im, tsr_image *out)
{
    static const tsr_background dropped = {.none = 1};
    tsr_image plain = {0}, grey = {0};
    tsr_status st = TSR_OK;
    int one = im->channels < 3 || d->canny.grey == GREY_PILLOW;
    TSR_GO(tsr_pixels_8bit(im, one ? 1 : 3, &dropped, &plain));
    if (one || d->canny.grey == GREY_NONE) {
        TSR_GO(tsr_canny(&plain, &d->canny.rule, out));
        goto out;
    }
    TSR_GO(tsr_grey_opencv(&plain, &grey));
    TSR_GO(tsr_canny(&grey, &d->canny.rule, out));
out:
    tsr_image_clear(&plain);
    tsr_image_clear(&grey);
    return st;
}

const tsr_derivation tsr_derive_canny = {
    .name = "canny",
    .from = "rgb",
    .made = "canny",
    .configure = configure,
    .make = make,
};
