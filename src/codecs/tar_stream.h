/* SPDX-License-Identifier: Apache-2.0
 * Headers of a tar's regular files, one after another. Inside codecs/ only. */
#ifndef TSR_CODECS_TAR_STREAM_H
#define TSR_CODECS_TAR_STREAM_H

#include "codecs/blob.h"

#include <archive.h>

typedef struct tsr_tar_stream {
    tsr_blob source;
    struct archive *a; /* its position is at the data of the last header read */
} tsr_tar_stream;

/* Close also after a failed open. Errors as tsr_tar_open. */
TSR_USE tsr_status tsr_tar_stream_open(const char *path, tsr_tar_stream *s);
void tsr_tar_stream_close(tsr_tar_stream *s);

/* The next regular file's name (without a leading "./", borrowed until the next call) and size.
 * *more is 0 at the end. */
TSR_USE tsr_status tsr_tar_stream_next(tsr_tar_stream *s, const char **name, uint64_t *bytes,
                                       int *more);

#endif
