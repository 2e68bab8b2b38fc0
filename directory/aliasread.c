#include "directory/aliasread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/proto/aliases.h"

#define CHUNK       ((size_t)64 << 10)
#define DEPTH_MAX   8 /* of includes */
#define TARGETS_MAX ((size_t)32 << 20)

static void stamp_of(struct aliasread_stamp *out, int fd, const char *path)
{
    struct stat st;
    out->there = (fd >= 0 ? fstat(fd, &st) : stat(path, &st)) == 0;
    if (!out->there)
        return;
    out->device = st.st_dev;
    out->inode = st.st_ino;
    out->size = (unsigned long long)st.st_size;
    out->modified = st.st_mtim;
}

bool aliasread_changed(const struct aliasread *r)
{
    for (size_t i = 0; i < r->stamp_count; i++) {
        const struct aliasread_stamp *was = &r->stamps[i];
        struct aliasread_stamp is = {0};
        stamp_of(&is, -1, was->path);
        if (is.there != was->there || is.device != was->device || is.inode != was->inode ||
            is.size != was->size || is.modified.tv_sec != was->modified.tv_sec ||
            is.modified.tv_nsec != was->modified.tv_nsec)
            return true;
    }
    return r->stamp_count == 0;
}

void aliasread_free_names(struct aliasread *r)
{
    struct aliasread_name *n;
    while ((n = STAILQ_FIRST(&r->names)) != NULL) {
        STAILQ_REMOVE_HEAD(&r->names, link);
        buf_free(&n->targets);
        free(n->refused);
        free(n);
    }
}

void aliasread_free(struct aliasread *r)
{
    aliasread_free_names(r);
    for (size_t i = 0; i < r->stamp_count; i++)
        free(r->stamps[i].path);
    free(r->error);
    *r = (struct aliasread){0};
    STAILQ_INIT(&r->names);
}

/* Opens a file and remembers how it was; -1 with errno. Not a terminal, nor a pipe that blocks. */
static int open_file(struct aliasread *r, const char *path)
{
    struct stat st;
    if (r->stamp_count == ALIASREAD_FILES_MAX) {
        errno = EMFILE;
        return -1;
    }
    struct aliasread_stamp *stamp = &r->stamps[r->stamp_count++];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int error = errno;
    stamp->path = mem_strdup(path);
    stamp_of(stamp, fd, path);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    if (fd >= 0) {
        close(fd);
        error = EINVAL;
    }
    errno = error;
    return -1;
}

struct reading {
    struct aliasread *all;
    const char *path;
    struct aliasread_name
        *name; /* an include file: what its targets are for; NULL: an alias file */
    unsigned depth;
};

static void read_targets(struct reading *r, struct aliasread_name *n, const struct alias_entry *e);

static void take(struct reading *r, struct aliases_parser *parser)
{
    struct alias_entry e;
    struct aliases_fault fault;
    int rc = aliases_next(parser, &e, &fault);
    if (rc == -1)
        log_warning("alias left out", LOG_STR("file", r->path), LOG_UINT("line", fault.line),
                    LOG_STR("reason", fault.text));
    if (rc != 1)
        return;
    if (r->name != NULL) {
        read_targets(r, r->name, &e);
        return;
    }
    struct aliasread_name *n = mem_zalloc(sizeof *n + strlen(e.name) + 1);
    strcpy(n->name, e.name);
    n->line = e.line;
    n->targets.max = TARGETS_MAX;
    STAILQ_INSERT_TAIL(&r->all->names, n, link);
    r->all->count++;
    read_targets(r, n, &e);
}

/* 0, or -1 with errno. */
static int read_stream(struct reading *r, int fd)
{
    struct aliases_parser parser = {.list = r->name != NULL};
    char *chunk = mem_alloc(CHUNK);
    ssize_t n;
    while ((n = read(fd, chunk, CHUNK)) > 0) {
        r->all->bytes += (size_t)n;
        if (r->all->bytes > ALIASREAD_BYTES_MAX) {
            errno = EFBIG;
            n = -1;
            break;
        }
        for (size_t used = 0; used < (size_t)n;) {
            used += aliases_push(&parser, chunk + used, (size_t)n - used);
            take(r, &parser);
        }
    }
    int error = errno;
    aliases_end(&parser);
    take(r, &parser);
    aliases_free(&parser);
    free(chunk);
    errno = error;
    return n == 0 ? 0 : -1;
}

/* ---- targets ---- */

static void refuse(struct reading *r, struct aliasread_name *n, size_t line, const char *what)
{
    log_warning("mail for an alias waits", LOG_STR("file", r->path), LOG_UINT("line", line),
                LOG_STR("alias", n->name), LOG_STR("reason", what));
    if (n->refused == NULL)
        n->refused = mem_printf("%s:%zu: %s: %s", r->path, line, n->name, what);
}

static void include(struct reading *r, struct aliasread_name *n, size_t line, const char *path)
{
    struct reading inner = {.all = r->all, .path = path, .name = n, .depth = r->depth + 1};
    if (r->depth == DEPTH_MAX) {
        refuse(r, n, line, "files include each other too deep");
        return;
    }
    int fd = path[0] == '/' ? open_file(r->all, path) : -1;
    if (path[0] != '/')
        refuse(r, n, line, ":include: needs a path that begins with /");
    else if (fd < 0 || read_stream(&inner, fd) < 0)
        refuse(r, n, line, "the included file cannot be read");
    if (fd >= 0)
        close(fd);
}

static void read_targets(struct reading *r, struct aliasread_name *n, const struct alias_entry *e)
{
    for (size_t i = 0; i < e->count; i++) {
        const struct alias_target *t = &e->targets[i];
        switch (t->kind) {
        case ALIAS_INCLUDE:
            /* The text moves when the next entry is read, and by then it is not needed. */
            include(r, n, e->line, t->text);
            break;
        case ALIAS_COMMAND:
            refuse(r, n, e->line,
                   "delivery to a command is not done here; name a mailbox or an address");
            break;
        case ALIAS_FILE:
            refuse(r, n, e->line,
                   "delivery to a file is not done here; name a mailbox or an address");
            break;
        default:
            if ((t->kind == ALIAS_ACCOUNT && buf_append_byte(&n->targets, '\\') < 0) ||
                buf_append(&n->targets, t->text, strlen(t->text) + 1) < 0)
                refuse(r, n, e->line, "too many targets");
        }
    }
}

void aliasread_file(struct aliasread *r, const char *path)
{
    struct reading top = {.all = r, .path = path};
    STAILQ_INIT(&r->names);
    int fd = open_file(r, path);
    if (fd < 0 || read_stream(&top, fd) < 0)
        r->error = mem_printf("%s", strerror(errno));
    if (fd >= 0)
        close(fd);
}
