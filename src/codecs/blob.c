/* SPDX-License-Identifier: Apache-2.0
 * Bytes from memory or from a regular file. */
#include "codecs/blob.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

tsr_status tsr_blob_open(const char *path, tsr_blob *out)
{
    /* O_NONBLOCK: opening a fifo must not wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        int code = errno;
        TSR_FAIL(code == ENOENT ? TSR_ENOENT : TSR_EIO, "%s: cannot be opened: %s", path,
                 strerror(code));
    }
    struct stat s;
    const char *what = NULL;
    if (fstat(fd, &s) != 0)
        what = "cannot be examined";
    else if (S_ISDIR(s.st_mode))
        what = "is a folder, not a file";
    else if (!S_ISREG(s.st_mode))
        what = "is not a regular file";
    if (what) {
        close(fd);
        TSR_FAIL(TSR_EFORMAT, "%s: %s", path, what);
    }
    *out = (tsr_blob){.name = path, .bytes = (uint64_t)s.st_size, .fd = fd};
    return TSR_OK;
}

tsr_blob tsr_blob_memory(const char *name, const void *data, size_t bytes)
{
    /* A pointer even for no bytes: NULL would mean "not loaded". */
    static const uint8_t nothing[1];
    return (tsr_blob){.name = name, .bytes = bytes, .data = data ? data : nothing, .fd = -1};
}

static tsr_status read_file(const tsr_blob *s, uint64_t offset, char *into, size_t n, size_t *got)
{
    size_t done = 0;
    while (done < n) {
        ssize_t k = pread(s->fd, into + done, n - done, (off_t)(offset + done));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            TSR_FAIL(TSR_EIO, "%s: reading failed: %s", s->name, strerror(errno));
        if (k == 0)
            break;
        done += (size_t)k;
    }
    *got = done;
    return TSR_OK;
}

tsr_status tsr_blob_read(const tsr_blob *s, uint64_t offset, void *into, size_t n, size_t *got)
{
    uint64_t left = offset < s->bytes ? s->bytes - offset : 0;
    if (n > left)
        n = (size_t)left;
    if (!s->data)
        return read_file(s, offset, into, n, got);
    if (n)
        memcpy(into, s->data + offset, n);
    *got = n;
    return TSR_OK;
}

tsr_status tsr_blob_load(tsr_blob *s, size_t max_bytes)
{
    if (s->bytes > max_bytes)
        TSR_FAIL(TSR_ELIMIT, "%s: %llu bytes, more than the limit of %zu", s->name,
                 (unsigned long long)s->bytes, max_bytes);
    if (s->data)
        return TSR_OK;
    char *text;
    TSR_TRY(tsr_alloc(&text, (size_t)s->bytes + 1, 1));
    size_t got = 0;
    tsr_status st = read_file(s, 0, text, (size_t)s->bytes, &got);
    if (st == TSR_OK && got < s->bytes)
        st = tsr_fail_at(TSR_EIO, __FILE__, __LINE__, "%s: became shorter while it was read",
                         s->name);
    if (st != TSR_OK) {
        tsr_free(text);
        return st;
    }
    s->loaded = text;
    s->data = (const uint8_t *)text;
    return TSR_OK;
}

void tsr_blob_close(tsr_blob *s)
{
    tsr_free(s->loaded);
    tsr_free(s->own_name);
    if (s->fd >= 0)
        close(s->fd);
    *s = (tsr_blob){.fd = -1};
}
