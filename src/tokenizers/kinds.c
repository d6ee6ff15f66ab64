/* SPDX-License-Identifier: Apache-2.0
 * The table of tokenizer kinds: one line each. Order matters only for files without our settings. */
#include "tokenizers/kind.h"

#include "base/str.h"
#include "tokenizers/grid.h"

#include <string.h>

extern const tsr_kind tsr_kind_boxes, tsr_kind_instances, tsr_kind_metadata, tsr_kind_palette,
    tsr_kind_pixels, tsr_kind_poses, tsr_kind_text, tsr_kind_vector;

const tsr_kind *const tsr_kinds[] = {
    &tsr_kind_image,    &tsr_kind_depth,   &tsr_kind_normal, &tsr_kind_label, &tsr_kind_audio,
    &tsr_kind_metadata, &tsr_kind_palette, &tsr_kind_boxes,  &tsr_kind_text,  &tsr_kind_pixels,
    &tsr_kind_vector,   &tsr_kind_poses,   &tsr_kind_mask,  &tsr_kind_features,
    &tsr_kind_instances,
    NULL,
};

tsr_status tsr_kind_find(const char *name, const char *origin, const tsr_kind **out)
{
    tsr_str names = {0};
    for (const tsr_kind *const *k = tsr_kinds; *k; k++) {
        if (strcmp((*k)->name, name) == 0) {
            tsr_str_clear(&names);
            *out = *k;
            return TSR_OK;
        }
        tsr_status st = tsr_str_addf(&names, "%s%s", names.len ? ", " : "", (*k)->name);
        if (st != TSR_OK) {
            tsr_str_clear(&names);
            return st;
        }
    }
    tsr_status st = tsr_fail_at(TSR_EUNSUPPORTED, __FILE__, __LINE__,
                                "%s: \"%.40s\" is no kind of tokenizer (known: %s)", origin, name,
                                names.s ? names.s : "none");
    tsr_str_clear(&names);
    return st;
}
