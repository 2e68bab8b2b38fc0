#include "gateway/queue/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/file.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"

#define SPOOL_NAME         (ID_STRLEN + 8)
#define SPOOL_CHUNK        ((size_t)64 << 10)
#define SPOOL_ENVELOPE_MAX ((size_t)64 << 20)

static const char *spool_name(const char *id, const char *suffix, char dst[SPOOL_NAME])
{
    snprintf(dst, SPOOL_NAME, "%.16s%s", id, suffix);
    return dst;
}

static int spool_open_dir(int at, const char *name, struct buf *error)
{
    if (mkdirat(at, name, 0700) < 0 && errno != EEXIST) {
        buf_printf(error, "%s: %s", name, strerror(errno));
        return -1;
    }
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        buf_printf(error, "%s: %s", name, strerror(errno));
    return fd;
}

int spool_open(struct spool *s, const char *mail_directory, struct buf *error)
{
    *s = (struct spool){-1, -1, -1};
    if ((s->mail_fd = spool_open_dir(AT_FDCWD, mail_directory, error)) < 0 ||
        (s->queue_fd = spool_open_dir(s->mail_fd, "queue", error)) < 0 ||
        (s->spool_fd = spool_open_dir(s->queue_fd, "spool", error)) < 0) {
        spool_close(s);
        return -1;
    }
    return 0;
}

void spool_close(struct spool *s)
{
    int *fds[] = {&s->mail_fd, &s->queue_fd, &s->spool_fd};
    for (size_t i = 0; i < 3; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

int spool_new_file(const struct spool *s)
{
    return openat(s->spool_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

int spool_copy(const struct spool *s, int fd, uint64_t size)
{
    int to = spool_new_file(s);
    if (to < 0)
        return -1;
    char *chunk = mem_alloc(SPOOL_CHUNK);
    int r = 0;
    for (uint64_t at = 0; at < size && r == 0; at += SPOOL_CHUNK) {
        size_t n = size - at < SPOOL_CHUNK ? (size_t)(size - at) : SPOOL_CHUNK;
        r = spool_pread(fd, chunk, n, at);
        if (r == 0)
            r = file_pwrite(to, chunk, n, at);
    }
    int error = errno;
    free(chunk);
    if (r < 0) {
        close(to);
        to = -1;
    }
    errno = error;
    return to;
}

int spool_link(const struct spool *s, const char *id, int fd, bool durable)
{
    char name[SPOOL_NAME], path[32];
    spool_name(id, ".msg", name);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (durable && fsync(fd) < 0)
        return -1;
    if (linkat(AT_FDCWD, path, s->spool_fd, name, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST)
        return -1;
    return durable ? fsync(s->spool_fd) : 0;
}

int spool_open_message(const struct spool *s, const char *id)
{
    char name[SPOOL_NAME];
    return openat(s->spool_fd, spool_name(id, ".msg", name), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

int spool_pread(int fd, void *data, size_t len, uint64_t offset)
{
    ssize_t n = file_pread(fd, data, len, offset);
    if (n < 0 || (size_t)n == len)
        return n < 0 ? -1 : 0;
    errno = EIO;
    return -1;
}

int spool_write(const struct spool *s, const struct envelope *e)
{
    char temp[SPOOL_NAME], name[SPOOL_NAME];
    struct buf text = {.max = SPOOL_ENVELOPE_MAX};
    int r = -1, saved;
    spool_name(e->id, ".tmp", temp);
    int fd = openat(s->spool_fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    if (envelope_write(e, &text) < 0)
        errno = EFBIG;
    else if (file_pwrite(fd, text.data, text.len, 0) == 0 &&
             renameat(s->spool_fd, temp, s->spool_fd, spool_name(e->id, ".env", name)) == 0)
        r = 0;
    saved = errno;
    close(fd);
    if (r < 0)
        unlinkat(s->spool_fd, temp, 0);
    buf_free(&text);
    errno = saved;
    return r;
}

struct envelope *spool_read(const struct spool *s, const char *id)
{
    char name[SPOOL_NAME];
    struct envelope *e = NULL;
    struct stat st;
    int fd = openat(s->spool_fd, spool_name(id, ".env", name), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    int error = EBADMSG;
    if (fstat(fd, &st) < 0) {
        error = errno;
    } else if (S_ISREG(st.st_mode) && (size_t)st.st_size <= SPOOL_ENVELOPE_MAX) {
        char *text = mem_alloc((size_t)st.st_size + 1);
        if (spool_pread(fd, text, (size_t)st.st_size, 0) < 0)
            error = errno;
        else
            e = envelope_read(text, (size_t)st.st_size);
        free(text);
    }
    close(fd);
    if (e != NULL && strcmp(e->id, id) != 0)
        envelope_free(&e);
    errno = error;
    return e;
}

int spool_remove(const struct spool *s, const char *id, bool message)
{
    char name[SPOOL_NAME];
    if (unlinkat(s->spool_fd, spool_name(id, ".env", name), 0) < 0 && errno != ENOENT)
        return -1;
    if (message && unlinkat(s->spool_fd, spool_name(id, ".msg", name), 0) < 0 && errno != ENOENT)
        return -1;
    return 0;
}

int spool_save(const struct spool *s, const char *name, const struct buf *data)
{
    char temp[64];
    snprintf(temp, sizeof(temp), "%s.tmp", name);
    int fd = openat(s->queue_fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    int r = file_pwrite(fd, data->data, data->len, 0);
    if (r == 0)
        r = renameat(s->queue_fd, temp, s->queue_fd, name);
    int error = errno;
    close(fd);
    errno = error;
    return r;
}

int spool_load(const struct spool *s, const char *name, struct buf *data)
{
    struct stat st;
    int fd = openat(s->queue_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    int r = fstat(fd, &st);
    if (r == 0 && st.st_size > 0) {
        void *to = buf_reserve(data, (size_t)st.st_size);
        errno = EFBIG;
        r = to == NULL ? -1 : spool_pread(fd, to, (size_t)st.st_size, 0);
        if (r == 0)
            buf_commit(data, (size_t)st.st_size);
    }
    int error = errno;
    close(fd);
    errno = error;
    return r;
}

/* "ID.suffix": puts ID in id. */
static bool spool_is(const char *name, const char *suffix, char id[ID_STRLEN])
{
    size_t len = strlen(name);
    if (len != ID_STRLEN - 1 + strlen(suffix) || strcmp(name + ID_STRLEN - 1, suffix) != 0)
        return false;
    memcpy(id, name, ID_STRLEN - 1);
    id[ID_STRLEN - 1] = '\0';
    return envelope_id_valid(id);
}

static void spool_scan_one(const struct spool *s, const char *name,
                           void (*fn)(struct envelope *e, void *arg),
                           bool (*keep)(const char *id, void *arg), void *arg)
{
    char id[ID_STRLEN], other[SPOOL_NAME];
    if (spool_is(name, ".env", id)) {
        struct envelope *e = spool_read(s, id);
        if (e != NULL)
            fn(e, arg);
        else
            log_error("spool file cannot be read; it is left as it is", LOG_STR("file", name),
                      LOG_ERRNO(errno));
    } else if (spool_is(name, ".tmp", id)) {
        unlinkat(s->spool_fd, name, 0);
    } else if (spool_is(name, ".msg", id) && !keep(id, arg) &&
               faccessat(s->spool_fd, spool_name(id, ".env", other), F_OK, 0) < 0 &&
               errno == ENOENT) {
        unlinkat(s->spool_fd, name, 0);
    }
}

int spool_scan(const struct spool *s, void (*fn)(struct envelope *e, void *arg),
               bool (*keep)(const char *id, void *arg), void *arg)
{
    int fd = openat(s->spool_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    struct dirent *d;
    while (errno = 0, (d = readdir(dir)) != NULL)
        spool_scan_one(s, d->d_name, fn, keep, arg);
    int error = errno;
    closedir(dir);
    errno = error;
    return error == 0 ? 0 : -1;
}
