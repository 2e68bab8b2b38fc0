#include "gateway/pop3/dots.h"

#include <string.h>

/* Takes up to the next LF, or all. */
static void push_line(struct dots *d, const char *p, size_t len, struct buf *out)
{
    bool ends = p[len - 1] == '\n';
    size_t text = ends ? len - 1 : len;
    bool cr = text > 0 ? p[text - 1] == '\r' : d->cr;
    if (!d->in_line) {
        if (p[0] == '.')
            buf_append_byte(out, '.');
        d->empty = true;
    }
    if (text > 1 || (text == 1 && p[0] != '\r'))
        d->empty = false;
    buf_append(out, p, text);
    d->cr = cr;
    d->in_line = !ends;
    if (!ends)
        return;
    buf_append(out, cr ? "\n" : "\r\n", cr ? 1 : 2);
    d->cr = false;
    if (!d->in_body)
        d->in_body = d->empty;
    else if (d->limited && d->body_lines > 0)
        d->body_lines--;
    if (d->limited && d->in_body && d->body_lines == 0)
        d->done = true;
}

void dots_push(struct dots *d, const char *data, size_t len, struct buf *out)
{
    while (len > 0 && !d->done) {
        const char *lf = memchr(data, '\n', len);
        size_t n = lf == NULL ? len : (size_t)(lf - data) + 1;
        push_line(d, data, n, out);
        data += n;
        len -= n;
    }
}

void dots_end(struct dots *d, struct buf *out)
{
    if (d->in_line)
        buf_append(out, d->cr ? "\n" : "\r\n", d->cr ? 1 : 2);
    buf_append(out, ".\r\n", 3);
}
