/* SPDX-License-Identifier: Apache-2.0
 * Names of files that are made from keys. */
#ifndef TSR_PIPELINE_OUTNAME_H
#define TSR_PIPELINE_OUTNAME_H

#include "base/status.h"

/* folder/KEY.middle.extension, KEY without its extension and leading dots and slashes, with every
 * byte that is a slash or a control character replaced by '_': a key cannot lead out of the folder.
 * Release with tsr_free. */
TSR_USE tsr_status tsr_out_name(const char *folder, const char *key, const char *middle,
                                const char *extension, char **out);

#endif
