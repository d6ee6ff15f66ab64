/* SPDX-License-Identifier: Apache-2.0
 * Pictures of samples of a corpus: of the files they were made from, and of their tokens. */
#ifndef TSR_TASKS_SAMPLEPICTURE_H
#define TSR_TASKS_SAMPLEPICTURE_H

#include "pipeline/source.h"
#include "pipeline/toolbox.h"
#include "shards/corpus.h"
#include "types/media.h"

/* One modality of a corpus to be shown. All borrowed. */
typedef struct tsr_shown {
    tsr_corpus *corpus;
    const tsr_modality *modality;
    const tsr_tool *tool; /* NULL: no tokenizer */
    tsr_source *source;   /* of originals; NULL: none */
} tsr_shown;

/* The files below `root`[/split] of a modality: in the folder of its name, or that of what stands
 * before its size (rgb for rgb@128). *out is NULL for a tree without either. */
void tsr_shown_open_files(const char *root, const char *split, const char *modality,
                          tsr_source **out);

/* The original as the decoder should give it: cropped, resized, converted; without a tokenizer the
 * file as it is. One that cannot be shown leaves *out as it is. Errors: TSR_ENOMEM, and those of
 * the corpus. */
TSR_USE tsr_status tsr_shown_original(const tsr_shown *s, uint64_t sample, tsr_image *out);

/* What tokens decode to, patches as the picture they are. What no picture can be made of (or no
 * tokenizer decodes) leaves *out as it is. Errors: those of decoding. */
TSR_USE tsr_status tsr_shown_decoded(const tsr_shown *s, const tsr_tokens *tokens, tsr_image *out);

#endif
