/* SPDX-License-Identifier: Apache-2.0
 * Renders a range of scenes into folders:
 *
 *   OUT/SPLIT/MODALITY/FOLDER/NAME.EXT     train/rgb/0000/000001.png
 *   OUT/scenes.json                        what every sample under OUT was made with
 *
 * NAME is the scene's index in six digits or more, FOLDER the index over 1,000. */
#ifndef TSR_SCENES_SCENE_WRITE_H
#define TSR_SCENES_SCENE_WRITE_H

#include "base/job.h"
#include "scenes/scene.h"

#define TSR_SCENE_SPLITS 3
extern const char *const tsr_scene_split_names[TSR_SCENE_SPLITS]; /* train, val, test */

/* Modalities in the order of the bits of tsr_scene_plan.modalities. */
typedef enum tsr_scene_modality {
    TSR_SCENE_RGB,
    TSR_SCENE_DEPTH,
    TSR_SCENE_NORMAL,
    TSR_SCENE_SEMSEG,
    TSR_SCENE_INSTANCE,
    TSR_SCENE_DET,
    TSR_SCENE_CAPTION,
    TSR_SCENE_AUDIO,
    TSR_SCENE_METADATA,
    TSR_SCENE_MODALITIES
} tsr_scene_modality;

/* Name of a modality ("rgb"). Never NULL. */
const char *tsr_scene_modality_name(tsr_scene_modality modality);

/* What to render. */
typedef struct tsr_scene_plan {
    const char *out;
    uint64_t seed; /* below 2^63 */
    int64_t first, count;
    int size;         /* pixels a side */
    int jpeg_quality; /* 1..100; 0: rgb is PNG */
    double split[TSR_SCENE_SPLITS]; /* fractions, sum 1 */
    unsigned modalities;            /* bit m: write modality m */
    int force;                      /* 1: write samples again that are already there */
} tsr_scene_plan;

/* What was done. */
typedef struct tsr_scene_tally {
    int64_t written, kept; /* samples; kept: all wanted files were there */
    int64_t per_split[TSR_SCENE_SPLITS];
    int64_t files, bytes; /* written */
    double seconds;
} tsr_scene_tally;

/* "rgb,depth" as bits. Errors: TSR_EARG for an unknown name, with the names there are. */
TSR_USE tsr_status tsr_scene_modalities(const char *text, unsigned *bits);

/* "0.9,0.05,0.05" as fractions. Errors: TSR_EARG unless three numbers >= 0 with sum 1. */
TSR_USE tsr_status tsr_scene_fractions(const char *text, double split[TSR_SCENE_SPLITS]);

/* Split of a scene: its index times the golden ratio, modulo 1, against the fractions. So a sample
 * keeps its split however many are made, and any run of indices is divided almost exactly. */
int tsr_scene_split(const tsr_scene_plan *p, int64_t index);

/* Samples of each split, and nothing else (for --dry-run). */
void tsr_scene_count(const tsr_scene_plan *p, tsr_scene_tally *out);

/* Render everything, tsr_par_threads() samples at a time. Files appear under their name only when
 * they are complete (renamed, not synced), so a sample whose files exist is not made again. The
 * bytes of a file depend on seed, index, size and format alone.
 *
 * Errors   TSR_EARG a plan out of range; TSR_EMISMATCH OUT holds samples of another seed, size,
 *          format or split and `force` is 0; TSR_EIO; TSR_ECANCEL when `job` asks to stop: finished
 *          samples stay, *out tells how many. */
TSR_USE tsr_status tsr_scene_render(const tsr_scene_plan *p, const tsr_job *job,
                                    tsr_scene_tally *out);

#endif
