/* SPDX-License-Identifier: Apache-2.0
 * Stored numbers to metres and back. Inside codecs/ only. */
#ifndef TSR_CODECS_DEPTH_H
#define TSR_CODECS_DEPTH_H

#include "codecs/codec.h"

/* Apply the read options' depth form in place; nothing when scale_m is 0.
 * Errors   TSR_EFORMAT more than one channel, TSR_ENUMERIC a value that is not finite though the
 *          form does not call it invalid (names the pixel), TSR_EARG a scale below 0. */
TSR_USE tsr_status tsr_depth_read(tsr_image *im, const char *name, const tsr_depth_form *form);

/* Metres (F32, one channel) as U16 for storing: see tsr_write_options. TSR_EARG. */
TSR_USE tsr_status tsr_depth_store(const tsr_image *im, const char *name,
                                   const tsr_depth_form *form, tsr_image *out);

#endif
