/* SPDX-License-Identifier: Apache-2.0
 * Writing tars, always the same bytes for the same members, by rename. */
#include "codecs/tar.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <archive.h>
#include <archive_entry.h>

#include <unistd.h>

struct tsr_tar_writer {
    char *path, *temp;
    struct archive *a;
    int sealed;
};

static tsr_status failed(const tsr_tar_writer *w, const char *what)
{
    const char *why = archive_error_string(w->a);
    TSR_FAIL(TSR_EIO, "%s: %s: %s", w->path, what, why ? why : "unknown reason");
}

tsr_status tsr_tar_create(const char *path, tsr_tar_writer **out)
{
    tsr_tar_writer *w;
    tsr_status st;
    TSR_TRY(tsr_alloc(&w, 1, sizeof *w));
    TSR_GO(tsr_strdup(&w->path, path));
    TSR_GO(tsr_file_temp_name(path, &w->temp));
    w->a = archive_write_new();
    if (!w->a)
        TSR_GOFAIL(TSR_ENOMEM, "%s: out of memory", path);
    if (archive_write_set_format_gnutar(w->a) != ARCHIVE_OK ||
        archive_write_open_filename(w->a, w->temp) != ARCHIVE_OK)
        TSR_GO(failed(w, "cannot be created"));
    *out = w;
    w = NULL;
out:
    tsr_tar_destroy(w);
    return st;
}

tsr_status tsr_tar_add(tsr_tar_writer *w, const char *name, const void *data, size_t bytes)
{
    struct archive_entry *e = archive_entry_new();
    if (!e)
        TSR_FAIL(TSR_ENOMEM, "%s: out of memory", w->path);
    archive_entry_set_pathname(e, name); /* its bytes, in any locale */
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, (la_int64_t)bytes);
    archive_entry_set_mtime(e, 0, 0);
    int good = archive_write_header(w->a, e) == ARCHIVE_OK &&
               archive_write_data(w->a, data, bytes) == (la_ssize_t)bytes;
    archive_entry_free(e);
    return good ? TSR_OK : failed(w, "writing failed");
}

tsr_status tsr_tar_seal(tsr_tar_writer *w)
{
    if (archive_write_close(w->a) != ARCHIVE_OK)
        return failed(w, "finishing failed");
    TSR_TRY(tsr_file_publish(w->temp, w->path));
    w->sealed = 1;
    return TSR_OK;
}

void tsr_tar_destroy(tsr_tar_writer *w)
{
    if (!w)
        return;
    if (w->a)
        archive_write_free(w->a);
    if (w->temp && !w->sealed)
        unlink(w->temp);
    tsr_free(w->path);
    tsr_free(w->temp);
    tsr_free(w);
}
