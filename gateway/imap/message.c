#include "gateway/imap/message.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/log.h"

#define SMALL_MAX   ((size_t)64 << 10)
#define ARENA_MAX   ((size_t)8 << 20)
#define PARTS_MAX   1000
#define DEPTH_MAX   32
#define PARAMS_MAX  100
#define ADDRESS_MAX 5000

static int read_small(struct message_file *f)
{
    if (f->memory == NULL)
        f->memory = mem_alloc(SMALL_MAX);
    size_t got = 0;
    while (got < f->len) {
        ssize_t n = pread(f->fd, f->memory + got, f->len - got, (off_t)got);
        if (n <= 0)
            return -1;
        got += (size_t)n;
    }
    f->data = f->memory;
    return 0;
}

int message_file_open(struct message_file *f, struct mail_read *r, uint32_t uid)
{
    struct stat st;
    message_file_close(f);
    f->fd = mail_read_open(r, uid);
    if (f->fd < 0)
        return -1;
    int rc = fstat(f->fd, &st);
    f->len = rc == 0 ? (size_t)st.st_size : 0;
    if (rc == 0 && f->len <= SMALL_MAX) {
        rc = read_small(f);
    } else if (rc == 0) {
        void *p = mmap(NULL, f->len, PROT_READ, MAP_PRIVATE, f->fd, 0);
        rc = p == MAP_FAILED ? -1 : 0;
        f->mapped = rc == 0;
        f->data = rc == 0 ? p : NULL;
    }
    if (rc == 0)
        return 0;
    log_error("cannot read a message", LOG_UINT("uid", uid), LOG_ERRNO(errno));
    message_file_close(f);
    return -1;
}

const struct mime_part *message_file_parse(struct message_file *f, const struct conf *conf)
{
    const struct mime_limits limits = {.header = conf->header_size_limit,
                                       .field = conf->header_size_limit,
                                       .parts = PARTS_MAX,
                                       .depth = DEPTH_MAX,
                                       .params = PARAMS_MAX,
                                       .addresses = ADDRESS_MAX};
    static const struct mime_part empty = {.type = "text", .subtype = "plain", .encoding = "7bit"};
    if (f->root != NULL)
        return f->root;
    if (f->arena == NULL)
        f->arena = arena_new(ARENA_MAX);
    struct mime_parser *p = mime_parser_new(&limits, f->arena);
    mime_parser_push(p, f->data, f->len);
    f->root = mime_parser_finish(p);
    mime_parser_free(&p);
    if (f->root == NULL)
        f->root = &empty;
    return f->root;
}

void message_file_close(struct message_file *f)
{
    if (f->mapped)
        munmap((void *)f->data, f->len);
    if (f->fd >= 0)
        close(f->fd);
    if (f->arena != NULL && f->root != NULL)
        arena_reset(f->arena);
    f->fd = -1;
    f->mapped = false;
    f->data = NULL;
    f->len = 0;
    f->root = NULL;
}

void message_file_free(struct message_file *f)
{
    message_file_close(f);
    arena_free(&f->arena);
    free(f->memory);
    f->memory = NULL;
}
