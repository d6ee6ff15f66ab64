/* SPDX-License-Identifier: Apache-2.0
 * The options --from and --crop: what else a tokenizer is told about a file. */
#ifndef TSR_CLI_CROPPING_H
#define TSR_CLI_CROPPING_H

#include "pipeline/crops.h"
#include "tokenizers/tokenizer.h"

#define TSR_OPTION_FROM(settings)                                                                  \
    {                                                                                              \
        "from", 0, TSR_OPT_STRING, offsetof(settings, from), NULL, 0, 0, "NAME",                   \
            "modality the files are of; \"rgb\" lets a tokenizer of edges find them in pictures"   \
    }
#define TSR_OPTION_CROP(settings)                                                                  \
    {                                                                                              \
        "crop", 0, TSR_OPT_STRING, offsetof(settings, crop), NULL, 0, 0, "CROP",                   \
            "TOP,LEFT,HEIGHT,WIDTH[,FLIP] in pixels of the file, or a .npy of such rows (4M's "    \
            "crop_settings); without it the centred square"                                        \
    }

/* The views of one file. `stored` 1: they are rows of a file, and keys say which. */
typedef struct tsr_cropping {
    tsr_view views[TSR_MAX_CROPS];
    size_t count; /* 0: the centred square */
    int stored;
} tsr_cropping;

/* Read the option's value; NULL gives none.
 * Errors   TSR_EARG for numbers that are no rectangle, those of tsr_crops_read. */
TSR_USE tsr_status tsr_cropping_read(const char *value, tsr_cropping *out);

/* What goes in for view i (0 when there is none), without media. Borrows c and from. */
tsr_inputs tsr_cropping_inputs(const tsr_cropping *c, size_t i, const char *from);

#endif
