#include "gateway/store/session.h"

#include <stdlib.h>
#include <unistd.h>

#include "gateway/base/mem.h"

int reply_file(struct reply *r, int fd, off_t offset, off_t len)
{
    if (r->file_n == REPLY_FILES_MAX) {
        close(fd);
        return -1;
    }
    if (r->files == NULL)
        r->files = mem_alloc(REPLY_FILES_MAX * sizeof(*r->files));
    r->files[r->file_n++] =
        (struct reply_file){.at = r->text.len, .fd = fd, .offset = offset, .len = len};
    r->file_bytes += (size_t)len;
    return 0;
}

size_t reply_size(const struct reply *r)
{
    return r->text.len + r->file_bytes;
}

int reply_send(struct reply *r, struct stream *s)
{
    size_t sent = 0;
    int rc = r->broken ? -1 : 0;
    for (unsigned i = 0; i < r->file_n; i++) {
        struct reply_file *f = &r->files[i];
        if (rc != 0) {
            close(f->fd);
            continue;
        }
        if (f->at > sent)
            stream_write(s, r->text.data + sent, f->at - sent);
        sent = f->at;
        rc = stream_write_file(s, f->fd, f->offset, f->len);
    }
    if (rc == 0 && r->text.len > sent)
        stream_write(s, r->text.data + sent, r->text.len - sent);
    r->file_n = 0;
    r->file_bytes = 0;
    r->broken = false;
    free(r->files);
    r->files = NULL;
    buf_free(&r->text); /* an idle session holds none */
    return rc;
}

void reply_free(struct reply *r)
{
    for (unsigned i = 0; i < r->file_n; i++)
        close(r->files[i].fd);
    r->file_n = 0;
    free(r->files);
    r->files = NULL;
    buf_free(&r->text);
}

const void *mail_input_peek(struct mail_input *in, struct stream *s, size_t *len)
{
    if (in->early.len == 0)
        return stream_peek(s, len);
    *len = in->early.len;
    return in->early.data;
}

void mail_input_consume(struct mail_input *in, struct stream *s, size_t len)
{
    if (in->early.len == 0) {
        stream_consume(s, len);
        return;
    }
    buf_consume(&in->early, len);
    if (in->early.len == 0)
        buf_free(&in->early);
}
