/* SPDX-License-Identifier: Apache-2.0
 * Files and folders. */
#include "base/file.h"

#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMP_MARK ".tmp." /* between a name and the writer's process id */

static tsr_status os_failure(const char *path, const char *what)
{
    int code = errno;
    TSR_FAIL(code == ENOENT ? TSR_ENOENT : TSR_EIO, "%s: %s: %s", path, what, strerror(code));
}

static tsr_status read_all(int fd, const char *path, char *into, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = read(fd, into + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return os_failure(path, "reading failed");
        if (n == 0)
            TSR_FAIL(TSR_EIO, "%s: became shorter while it was read", path);
        done += (size_t)n;
    }
    return TSR_OK;
}

tsr_status tsr_file_read(const char *path, size_t max_bytes, char **data, size_t *bytes)
{
    tsr_status st = TSR_OK;
    char *text = NULL;
    /* O_NONBLOCK: opening a fifo must not wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return os_failure(path, "cannot be opened");
    struct stat s;
    if (fstat(fd, &s) != 0) {
        st = os_failure(path, "cannot be examined");
        goto out;
    }
    if (!S_ISREG(s.st_mode))
        TSR_GOFAIL(TSR_EFORMAT, "%s: is not a regular file", path);
    if ((uint64_t)s.st_size > max_bytes)
        TSR_GOFAIL(TSR_ELIMIT, "%s: %lld bytes, more than the limit of %zu", path,
                   (long long)s.st_size, max_bytes);
    TSR_GO(tsr_alloc(&text, (size_t)s.st_size + 1, 1));
    TSR_GO(read_all(fd, path, text, (size_t)s.st_size));
    *data = text;
    *bytes = (size_t)s.st_size;
    text = NULL;
out:
    tsr_free(text);
    close(fd);
    return st;
}

tsr_status tsr_file_temp_name(const char *path, char **temp)
{
    return tsr_format(temp, "%s" TEMP_MARK "%ld", path, (long)getpid());
}

int tsr_file_is_temp(const char *name)
{
    return strstr(name, TEMP_MARK) != NULL;
}

tsr_status tsr_remove_temporaries(const char *folder)
{
    tsr_names names = {0};
    if (!tsr_is_folder(folder))
        return TSR_OK;
    tsr_status st = tsr_list_folder(folder, &names);
    for (size_t i = 0; st == TSR_OK && i < names.count; i++) {
        char *path;
        if (!tsr_file_is_temp(names.names[i]))
            continue;
        TSR_GO(tsr_path_join(&path, folder, names.names[i]));
        unlink(path);
        tsr_free(path);
    }
out:
    tsr_names_clear(&names);
    return st;
}

tsr_status tsr_lock_folder(const char *folder, const char *name, const char *busy, int *fd)
{
    char *path;
    TSR_TRY(tsr_path_join(&path, folder, name));
    int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    int code = errno;
    tsr_free(path);
    if (f < 0)
        TSR_FAIL(TSR_EIO, "%s: cannot be written to: %s", folder, strerror(code));
    if (flock(f, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(f);
        TSR_FAIL(TSR_EIO, "%s: %s", folder, busy);
    }
    *fd = f;
    return TSR_OK;
}

static tsr_status sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return os_failure(path, "cannot be opened to be synced");
    int bad = fsync(fd) != 0;
    /* Some file systems refuse fsync on folders; the rename is then as durable as it gets. */
    if (bad && (errno == EINVAL || errno == ENOTSUP))
        bad = 0;
    tsr_status st = bad ? os_failure(path, "syncing to disk failed") : TSR_OK;
    close(fd);
    return st;
}

static tsr_status sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return sync_path(".", O_RDONLY | O_DIRECTORY);
    char *folder;
    TSR_TRY(tsr_strndup(&folder, path, slash == path ? 1 : (size_t)(slash - path)));
    tsr_status st = sync_path(folder, O_RDONLY | O_DIRECTORY);
    tsr_free(folder);
    return st;
}

tsr_status tsr_file_publish(const char *temp, const char *path)
{
    TSR_TRY(sync_path(temp, O_RDONLY));
    if (rename(temp, path) != 0)
        return os_failure(path, "renaming the finished file failed");
    return sync_parent(path);
}

tsr_status tsr_folder_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return os_failure(path, "cannot be opened to be synced");
    tsr_status st = syncfs(fd) == 0 ? TSR_OK : os_failure(path, "syncing to disk failed");
    close(fd);
    return st;
}

static tsr_status write_all(const char *path, const char *data, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return os_failure(path, "cannot be created");
    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(fd, data + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            tsr_status st = os_failure(path, "writing failed");
            close(fd);
            return st;
        }
        done += (size_t)n;
    }
    if (close(fd) != 0)
        return os_failure(path, "closing failed");
    return TSR_OK;
}

tsr_status tsr_file_write(const char *path, const void *data, size_t bytes)
{
    char *temp;
    TSR_TRY(tsr_file_temp_name(path, &temp));
    tsr_status st = write_all(temp, data, bytes);
    if (st == TSR_OK)
        st = tsr_file_publish(temp, path);
    if (st != TSR_OK)
        unlink(temp);
    tsr_free(temp);
    return st;
}

tsr_status tsr_make_folders(const char *path)
{
    char *p;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_strdup(&p, path));
    for (char *c = p + 1; *p; c++) {
        if (*c != '/' && *c != '\0')
            continue;
        char keep = *c;
        *c = '\0';
        if (mkdir(p, 0777) != 0 && errno != EEXIST) {
            st = os_failure(p, "folder cannot be made");
            break;
        }
        *c = keep;
        if (!keep)
            break;
    }
    tsr_free(p);
    if (st == TSR_OK && !tsr_is_folder(path))
        TSR_FAIL(TSR_EIO, "%s: exists and is not a folder", path);
    return st;
}

tsr_status tsr_make_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder;
    if (!slash || slash == path)
        return TSR_OK;
    TSR_TRY(tsr_strndup(&folder, path, (size_t)(slash - path)));
    tsr_status st = tsr_make_folders(folder);
    tsr_free(folder);
    return st;
}

tsr_status tsr_path_join(char **out, const char *a, const char *b)
{
    if (b[0] == '/' || a[0] == '\0')
        return tsr_strdup(out, b);
    return tsr_format(out, tsr_ends_with(a, "/") ? "%s%s" : "%s/%s", a, b);
}

const char *tsr_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char *tsr_path_extension(const char *path)
{
    const char *name = tsr_path_name(path), *dot = strrchr(name, '.');
    return dot && dot != name ? dot + 1 : "";
}

int tsr_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

int tsr_is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

int tsr_file_head(const char *path, char *head, int bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return -1;
    size_t n = fread(head, 1, (size_t)bytes, f);
    memset(head + n, 0, (size_t)bytes - n);
    fclose(f);
    return (int)n;
}

tsr_status tsr_file_stat(const char *path, uint64_t *bytes, int64_t *mtime_ns)
{
    struct stat s;
    if (stat(path, &s) != 0)
        return os_failure(path, "cannot be examined");
    if (!S_ISREG(s.st_mode))
        TSR_FAIL(TSR_EFORMAT, "%s: is not a regular file", path);
    *bytes = (uint64_t)s.st_size;
    *mtime_ns = (int64_t)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec;
    return TSR_OK;
}

tsr_status tsr_names_add(tsr_names *n, const char *name)
{
    TSR_TRY(tsr_room(&n->names, n->count, &n->cap, sizeof *n->names));
    TSR_TRY(tsr_strdup(&n->names[n->count], name));
    n->count++;
    return TSR_OK;
}

void tsr_names_clear(tsr_names *n)
{
    for (size_t i = 0; i < n->count; i++)
        tsr_free(n->names[i]);
    tsr_free(n->names);
    *n = (tsr_names){0};
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

tsr_status tsr_list_folder(const char *path, tsr_names *out)
{
    DIR *d = opendir(path);
    if (!d)
        return os_failure(path, "folder cannot be opened");
    tsr_status st = TSR_OK;
    for (struct dirent *e; st == TSR_OK && (e = readdir(d));)
        if (e->d_name[0] != '.')
            st = tsr_names_add(out, e->d_name);
    closedir(d);
    if (out->count)
        qsort(out->names, out->count, sizeof *out->names, by_bytes);
    return st;
}

/* Folders on the way down, to notice a symlink that leads back up. */
typedef struct trail {
    const struct trail *up;
    dev_t dev;
    ino_t ino;
} trail;

static int leads_back(const trail *t, const struct stat *s)
{
    for (; t; t = t->up)
        if (t->dev == s->st_dev && t->ino == s->st_ino)
            return 1;
    return 0;
}

/* What a walk does with folders. */
typedef struct walker {
    const char *root;
    int (*is_leaf)(const char *name); /* NULL: no folder is listed */
    tsr_names *out;
} walker;

static tsr_status walk(const walker *w, const char *below, int depth, const trail *up);

static tsr_status walk_entry(const walker *w, const char *below, const char *name, int depth,
                             const trail *up)
{
    tsr_status st = TSR_OK;
    char *path = NULL, *full = NULL;
    TSR_GO(tsr_path_join(&path, below, name));
    TSR_GO(tsr_path_join(&full, w->root, path));
    if (!tsr_is_folder(full) || (w->is_leaf && w->is_leaf(name)))
        TSR_GO(tsr_names_add(w->out, path));
    else if (depth > 0)
        TSR_GO(walk(w, path, depth - 1, up));
out:
    tsr_free(path);
    tsr_free(full);
    return st;
}

static tsr_status walk(const walker *w, const char *below, int depth, const trail *up)
{
    tsr_status st = TSR_OK;
    tsr_names here = {0};
    char *folder = NULL;
    struct stat s;
    TSR_GO(tsr_path_join(&folder, w->root, below));
    if (stat(folder[0] ? folder : ".", &s) != 0) {
        st = os_failure(folder, "cannot be examined");
        goto out;
    }
    if (leads_back(up, &s))
        goto out;
    trail t = {up, s.st_dev, s.st_ino};
    st = tsr_list_folder(folder, &here);
    if (st != TSR_OK && st != TSR_ENOMEM && w->is_leaf && up)
        st = tsr_names_add(w->out, below);
    for (size_t i = 0; st == TSR_OK && i < here.count; i++)
        st = walk_entry(w, below, here.names[i], depth, &t);
out:
    tsr_free(folder);
    tsr_names_clear(&here);
    return st;
}

tsr_status tsr_walk_folder(const char *root, int max_depth, tsr_names *out)
{
    return walk(&(walker){root, NULL, out}, "", max_depth, NULL);
}

tsr_status tsr_walk_leaves(const char *root, int max_depth, int (*is_leaf)(const char *name),
                           tsr_names *out)
{
    return walk(&(walker){root, is_leaf, out}, "", max_depth, NULL);
}
