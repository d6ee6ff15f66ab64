/* SPDX-License-Identifier: Apache-2.0
 * Where a codec's bytes come from: memory, or a regular file that is read in place. Inside codecs/
 * only. */
#ifndef TSR_CODECS_BLOB_H
#define TSR_CODECS_BLOB_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tsr_blob {
    const char *name;    /* path, or what stands for it in messages; borrowed */
    uint64_t bytes;      /* of the whole */
    const uint8_t *data; /* all of them, or NULL: not loaded (yet) */
    char *loaded;        /* owned storage behind data, or NULL: data is borrowed */
    char *own_name;      /* owned storage behind name, or NULL */
    int fd;              /* of the file, or -1 */
} tsr_blob;

/* Open a regular file; a fifo, folder or device is refused without waiting for it.
 * Errors   TSR_ENOENT, TSR_EIO, TSR_EFORMAT. */
TSR_USE tsr_status tsr_blob_open(const char *path, tsr_blob *out);

/* Borrow memory. */
tsr_blob tsr_blob_memory(const char *name, const void *data, size_t bytes);

/* Copy up to n bytes from `offset` on; *got tells how many there were. TSR_EIO. */
TSR_USE tsr_status tsr_blob_read(const tsr_blob *s, uint64_t offset, void *into, size_t n,
                                 size_t *got);

/* Make s->data hold everything. Errors: TSR_ELIMIT beyond max_bytes, TSR_EIO, TSR_ENOMEM. */
TSR_USE tsr_status tsr_blob_load(tsr_blob *s, size_t max_bytes);

void tsr_blob_close(tsr_blob *s);

/* Unsigned numbers at p, of either byte order. */
static inline uint32_t tsr_be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t tsr_be32(const uint8_t *p)
{
    return tsr_be16(p) << 16 | tsr_be16(p + 2);
}

static inline uint32_t tsr_le16(const uint8_t *p)
{
    return (uint32_t)p[1] << 8 | p[0];
}

static inline uint32_t tsr_le32(const uint8_t *p)
{
    return tsr_le16(p + 2) << 16 | tsr_le16(p);
}

#endif
