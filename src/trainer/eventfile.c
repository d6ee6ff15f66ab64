/* SPDX-License-Identifier: Apache-2.0
 * TensorBoard event files. */
#include "trainer/eventfile.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MASK_DELTA 0xa282ead8u /* of record_writer.cc */

/* Field numbers and wire types: (number << 3) | type; 0 varint, 1 eight bytes, 2 length, 5 four. */
enum {
    EVENT_WALL_TIME = 1 << 3 | 1,
    EVENT_STEP = 2 << 3 | 0,
    EVENT_FILE_VERSION = 3 << 3 | 2,
    EVENT_SUMMARY = 5 << 3 | 2,
    EVENT_SESSION_LOG = 7 << 3 | 2,
    SUMMARY_VALUE = 1 << 3 | 2,
    VALUE_TAG = 1 << 3 | 2,
    VALUE_SIMPLE = 2 << 3 | 5,
    SESSION_STATUS = 1 << 3 | 0,
    SESSION_START = 1,
};

struct tsr_eventfile {
    FILE *file;
    char *path;
    tsr_str event, summary, value; /* kept from event to event */
};

uint32_t tsr_crc32c(const void *data, size_t bytes)
{
    const unsigned char *p = data;
    uint32_t crc = ~0u;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
    }
    return ~crc;
}

static uint32_t masked(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + MASK_DELTA;
}

static void put(unsigned char *to, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (unsigned char)(v >> 8 * i);
}

/* --- protocol buffers --------------------------------------------------------------------------
 */

static tsr_status add_varint(tsr_str *b, uint64_t v)
{
    unsigned char bytes[10];
    size_t n = 0;
    do {
        bytes[n++] = (unsigned char)((v & 127) | (v > 127 ? 128 : 0));
        v >>= 7;
    } while (v);
    return tsr_str_add_bytes(b, bytes, n);
}

static tsr_status add_fixed(tsr_str *b, int field, uint64_t bits, int bytes)
{
    unsigned char raw[8];
    TSR_TRY(add_varint(b, (uint64_t)field));
    put(raw, bits, bytes);
    return tsr_str_add_bytes(b, raw, (size_t)bytes);
}

static tsr_status add_bytes(tsr_str *b, int field, const char *data, size_t n)
{
    TSR_TRY(add_varint(b, (uint64_t)field));
    TSR_TRY(add_varint(b, n));
    return tsr_str_add_bytes(b, data, n);
}

/* The head every event has. */
static tsr_status begin_event(tsr_eventfile *f, uint64_t step)
{
    struct timespec now;
    uint64_t bits;
    clock_gettime(CLOCK_REALTIME, &now);
    double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    memcpy(&bits, &seconds, sizeof bits);
    f->event.len = 0;
    TSR_TRY(add_fixed(&f->event, EVENT_WALL_TIME, bits, 8));
    TSR_TRY(add_varint(&f->event, EVENT_STEP));
    return add_varint(&f->event, step);
}

static tsr_status write_record(tsr_eventfile *f)
{
    unsigned char head[12], tail[4];
    size_t n = f->event.len;
    put(head, n, 8);
    put(head + 8, masked(tsr_crc32c(head, 8)), 4);
    put(tail, masked(tsr_crc32c(f->event.s, n)), 4);
    if (fwrite(head, sizeof head, 1, f->file) != 1 || fwrite(f->event.s, n, 1, f->file) != 1 ||
        fwrite(tail, sizeof tail, 1, f->file) != 1)
        TSR_FAIL(TSR_EIO, "%s: writing failed: %s", f->path, strerror(errno));
    return TSR_OK;
}

/* --- files -------------------------------------------------------------------------------------
 */

static tsr_status write_start(tsr_eventfile *f, uint64_t step)
{
    static const char version[] = "brain.Event:2";
    TSR_TRY(begin_event(f, 0));
    TSR_TRY(add_bytes(&f->event, EVENT_FILE_VERSION, version, sizeof version - 1));
    TSR_TRY(write_record(f));
    TSR_TRY(begin_event(f, step));
    f->value.len = 0;
    TSR_TRY(add_varint(&f->value, SESSION_STATUS));
    TSR_TRY(add_varint(&f->value, SESSION_START));
    TSR_TRY(add_bytes(&f->event, EVENT_SESSION_LOG, f->value.s, f->value.len));
    TSR_TRY(write_record(f));
    return tsr_eventfile_flush(f);
}

tsr_status tsr_eventfile_create(const char *folder, uint64_t step, tsr_eventfile **out)
{
    tsr_eventfile *f;
    char *name = NULL;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_alloc(&f, 1, sizeof *f));
    TSR_GO(tsr_make_folders(folder));
    TSR_GO(tsr_format(&name, "events.out.tfevents.%010lld.%ld.tessera", (long long)time(NULL),
                      (long)getpid()));
    TSR_GO(tsr_path_join(&f->path, folder, name));
    f->file = fopen(f->path, "wbx");
    if (!f->file)
        TSR_GOFAIL(TSR_EIO, "%s: %s", f->path, strerror(errno));
    TSR_GO(write_start(f, step));
    *out = f;
    f = NULL;
out:
    tsr_free(name);
    tsr_eventfile_close(f);
    return st;
}

void tsr_eventfile_close(tsr_eventfile *f)
{
    if (!f)
        return;
    if (f->file)
        fclose(f->file);
    tsr_str_clear(&f->event);
    tsr_str_clear(&f->summary);
    tsr_str_clear(&f->value);
    tsr_free(f->path);
    tsr_free(f);
}

tsr_status tsr_eventfile_add(tsr_eventfile *f, uint64_t step, const char *const *tags,
                             const double *values, size_t n)
{
    f->summary.len = 0;
    for (size_t i = 0; i < n; i++) {
        float v = (float)values[i];
        uint32_t bits;
        memcpy(&bits, &v, sizeof bits);
        f->value.len = 0;
        TSR_TRY(add_bytes(&f->value, VALUE_TAG, tags[i], strlen(tags[i])));
        TSR_TRY(add_fixed(&f->value, VALUE_SIMPLE, bits, 4));
        TSR_TRY(add_bytes(&f->summary, SUMMARY_VALUE, f->value.s, f->value.len));
    }
    if (!n)
        return TSR_OK;
    TSR_TRY(begin_event(f, step));
    TSR_TRY(add_bytes(&f->event, EVENT_SUMMARY, f->summary.s, f->summary.len));
    return write_record(f);
}

tsr_status tsr_eventfile_flush(tsr_eventfile *f)
{
    if (fflush(f->file) != 0)
        TSR_FAIL(TSR_EIO, "%s: writing failed: %s", f->path, strerror(errno));
    return TSR_OK;
}
