/* SPDX-License-Identifier: Apache-2.0
 * Pictures of one modality made from those of another: edges from RGB. A way is one file that fills
 * a tsr_derivation, and one line of the table in derive.c. Private to tokenizers. */
#ifndef TSR_TOKENIZERS_DERIVE_H
#define TSR_TOKENIZERS_DERIVE_H

#include "dsp/canny.h"
#include "tokenizers/setting.h"
#include "types/media.h"

typedef struct tsr_derivation tsr_derivation;

/* The way a tokenizer was told, with its settings. Zeroed: none. */
typedef struct tsr_derive {
    const tsr_derivation *way;
    struct {
        tsr_canny_rule rule;
        int grey; /* index into the words of "canny_grey" */
    } canny;
} tsr_derive;

struct tsr_derivation {
    const char *name; /* value of the setting "derive" */
    const char *from; /* modality it starts from, without "@224" */
    const char *made; /* published modalities of that beginning have it without being told */
    tsr_status (*configure)(tsr_derive *d, const tsr_settings *s);
    /* Same size; *out fresh. TSR_EFORMAT: this picture cannot be used. */
    tsr_status (*make)(const tsr_derive *d, const tsr_image *im, tsr_image *out);
};

extern const tsr_derivation tsr_derive_canny;

/* Settings "derive" (the name of a way) and those of that way; nothing is read or kept without.
 * Errors   TSR_ECONFIG. */
TSR_USE tsr_status tsr_derive_read(const tsr_settings *s, tsr_derive *out);

/* Name of the way to make a published modality ("canny_edge@224"), or NULL. */
const char *tsr_derive_of(const char *modality);

/* 1 when pictures of modality `from` (NULL: the tokenizer's own) are to be turned first. */
int tsr_derives(const tsr_derive *d, const char *from);

/* Turn a picture as the file held it. Only where tsr_derives() says so. */
TSR_USE tsr_status tsr_derive_image(const tsr_derive *d, const tsr_image *im, tsr_image *out);

#endif
