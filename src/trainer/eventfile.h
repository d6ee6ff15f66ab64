/* SPDX-License-Identifier: Apache-2.0
 * TensorBoard event files: scalars over steps, written by hand.
 *
 * A file is a row of records: length (8 bytes, little-endian), its masked CRC-32C, the bytes, their
 * masked CRC-32C. The bytes are an Event message in protocol-buffer encoding.
 * Source   TensorFlow 2.x: tsl/lib/io/record_writer.cc (records, mask), tensorflow/core/util/
 *          event.proto and tensorflow/core/framework/summary.proto (field numbers). */
#ifndef TSR_TRAINER_EVENTFILE_H
#define TSR_TRAINER_EVENTFILE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tsr_eventfile tsr_eventfile;

/* A new file events.out.tfevents.SECONDS.PID.tessera in `folder` (made if needed), which says that
 * the run begins at `step`: TensorBoard then forgets later steps of earlier files there.
 * Errors: TSR_EIO, TSR_ENOMEM. */
TSR_USE tsr_status tsr_eventfile_create(const char *folder, uint64_t step, tsr_eventfile **out);

/* NULL is fine. What could not be written is lost: call flush before. */
void tsr_eventfile_close(tsr_eventfile *f);

/* One scalar, or several of one step. tags: [n] ("loss/rgb"); values: [n].
 * Errors: TSR_EIO, TSR_ENOMEM. */
TSR_USE tsr_status tsr_eventfile_add(tsr_eventfile *f, uint64_t step, const char *const *tags,
                                     const double *values, size_t n);

/* Hand everything to the operating system. TSR_EIO. */
TSR_USE tsr_status tsr_eventfile_flush(tsr_eventfile *f);

/* CRC-32C (Castagnoli) of bytes, not masked. Exported for tests. */
uint32_t tsr_crc32c(const void *data, size_t bytes);

#endif
