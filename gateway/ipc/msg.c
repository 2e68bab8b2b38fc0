#include "gateway/ipc/msg.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/ipc/frame.h"

#define MSG_NULL_STR UINT32_MAX

static void put_le(uint8_t *dst, uint64_t v, size_t size)
{
    for (size_t i = 0; i < size; i++)
        dst[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get_le(const uint8_t *src, size_t size)
{
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++)
        v |= (uint64_t)src[i] << 8 * i;
    return v;
}

int frame_header_get(const uint8_t data[FRAME_HEADER_SIZE], struct frame_header *out)
{
    out->len = (uint32_t)get_le(data, 4);
    out->type = (uint16_t)get_le(data + 4, 2);
    out->fd_count = data[6];
    out->id = (uint32_t)get_le(data + 8, 4);
    if (out->len > MSG_BODY_MAX || out->fd_count > MSG_FDS_MAX || data[7] != 0 ||
        get_le(data + 12, 4) != 0)
        return -1;
    return 0;
}

void frame_header_put(uint8_t data[FRAME_HEADER_SIZE], const struct frame_header *h)
{
    memset(data, 0, FRAME_HEADER_SIZE);
    put_le(data, h->len, 4);
    put_le(data + 4, h->type, 2);
    data[6] = h->fd_count;
    put_le(data + 8, h->id, 4);
}

/* ---- writing ---- */

struct msg *msg_new(uint16_t type)
{
    struct msg *m = mem_zalloc(sizeof(*m));
    m->type = type;
    m->out.max = MSG_BODY_MAX;
    return m;
}

static void msg_close_fds(struct msg *m)
{
    for (; m->fd_next < m->fd_count; m->fd_next++)
        close(m->fds[m->fd_next]);
}

void msg_free(struct msg **msg)
{
    struct msg *m = *msg;
    if (m == NULL)
        return;
    msg_close_fds(m);
    if (!m->view)
        buf_wipe_free(&m->out);
    free(m);
    *msg = NULL;
}

static void msg_put_int(struct msg *m, uint64_t v, size_t size)
{
    uint8_t raw[8];
    put_le(raw, v, size);
    if (buf_append(&m->out, raw, size) != 0)
        m->bad = true;
}

void msg_put_u8(struct msg *m, uint8_t v)
{
    msg_put_int(m, v, 1);
}

void msg_put_u32(struct msg *m, uint32_t v)
{
    msg_put_int(m, v, 4);
}

void msg_put_u64(struct msg *m, uint64_t v)
{
    msg_put_int(m, v, 8);
}

void msg_put_bool(struct msg *m, bool v)
{
    msg_put_int(m, v, 1);
}

void msg_put_str(struct msg *m, const char *s)
{
    if (s == NULL) {
        msg_put_u32(m, MSG_NULL_STR);
        return;
    }
    size_t len = strlen(s);
    msg_put_u32(m, (uint32_t)len);
    if (len >= MSG_BODY_MAX || buf_append(&m->out, s, len + 1) != 0)
        m->bad = true;
}

void msg_put_bytes(struct msg *m, const void *data, size_t len)
{
    if (len > MSG_BODY_MAX) {
        m->bad = true;
        return;
    }
    msg_put_u32(m, (uint32_t)len);
    if (buf_append(&m->out, data, len) != 0)
        m->bad = true;
}

void msg_put_uuid(struct msg *m, const struct uuid *u)
{
    if (buf_append(&m->out, u->bytes, sizeof(u->bytes)) != 0)
        m->bad = true;
}

void msg_put_addr(struct msg *m, const struct netaddr *a)
{
    msg_put_u8(m, a->family);
    if (buf_append(&m->out, a->bytes, sizeof(a->bytes)) != 0)
        m->bad = true;
    msg_put_int(m, a->port, 2);
}

void msg_put_fd(struct msg *m, int fd)
{
    if (m->fd_count == MSG_FDS_MAX) {
        close(fd);
        m->bad = true;
        return;
    }
    m->fds[m->fd_count++] = fd;
}

bool msg_full(const struct msg *m)
{
    return m->bad;
}

/* ---- reading ---- */

void msg_view(struct msg *m, const struct frame_header *h, const uint8_t *body)
{
    memset(m, 0, sizeof(*m));
    m->type = h->type;
    m->id = h->id;
    m->view = true;
    m->body = body;
    m->len = h->len;
}

void msg_view_end(struct msg *m)
{
    msg_close_fds(m);
}

struct msg *msg_reread(const struct msg *m)
{
    struct msg *copy = mem_zalloc(sizeof(*copy));
    copy->type = m->type;
    copy->id = m->id;
    copy->out.max = MSG_BODY_MAX;
    buf_append(&copy->out, m->out.data, m->out.len);
    copy->body = copy->out.data;
    copy->len = copy->out.len;
    return copy;
}

uint16_t msg_type(const struct msg *m)
{
    return m->type;
}

uint32_t msg_id(const struct msg *m)
{
    return m->id;
}

/* The next size bytes, or NULL (and bad) where there are fewer. */
static const uint8_t *msg_take(struct msg *m, size_t size)
{
    if (m->bad || m->len - m->pos < size) {
        m->bad = true;
        return NULL;
    }
    const uint8_t *p = m->body + m->pos;
    m->pos += size;
    return p;
}

static uint64_t msg_get_int(struct msg *m, size_t size)
{
    const uint8_t *p = msg_take(m, size);
    return p == NULL ? 0 : get_le(p, size);
}

uint8_t msg_get_u8(struct msg *m)
{
    return (uint8_t)msg_get_int(m, 1);
}

uint32_t msg_get_u32(struct msg *m)
{
    return (uint32_t)msg_get_int(m, 4);
}

uint64_t msg_get_u64(struct msg *m)
{
    return msg_get_int(m, 8);
}

bool msg_get_bool(struct msg *m)
{
    uint64_t v = msg_get_int(m, 1);
    if (v > 1)
        m->bad = true;
    return v == 1;
}

const char *msg_get_str(struct msg *m)
{
    uint32_t len = msg_get_u32(m);
    if (m->bad || len == MSG_NULL_STR)
        return NULL;
    const uint8_t *p = msg_take(m, (size_t)len + 1);
    if (p == NULL)
        return NULL;
    if (memchr(p, '\0', (size_t)len + 1) != p + len) {
        m->bad = true;
        return NULL;
    }
    return (const char *)p;
}

const void *msg_get_bytes(struct msg *m, size_t *len)
{
    uint32_t size = msg_get_u32(m);
    const uint8_t *p = msg_take(m, size);
    *len = p == NULL ? 0 : size;
    return p == NULL ? (const void *)"" : p;
}

struct uuid msg_get_uuid(struct msg *m)
{
    struct uuid u = {{0}};
    const uint8_t *p = msg_take(m, sizeof(u.bytes));
    if (p != NULL)
        memcpy(u.bytes, p, sizeof(u.bytes));
    return u;
}

struct netaddr msg_get_addr(struct msg *m)
{
    struct netaddr a = {0};
    a.family = msg_get_u8(m);
    const uint8_t *p = msg_take(m, sizeof(a.bytes));
    if (p != NULL)
        memcpy(a.bytes, p, sizeof(a.bytes));
    a.port = (uint16_t)msg_get_int(m, 2);
    if (a.family != 0 && a.family != 4 && a.family != 6)
        m->bad = true;
    return a;
}

int msg_get_fd(struct msg *m)
{
    if (m->bad || m->fd_next == m->fd_count) {
        m->bad = true;
        return -1;
    }
    return m->fds[m->fd_next++];
}

int msg_end(struct msg *m)
{
    return m->bad || m->pos != m->len || m->fd_next != m->fd_count ? -1 : 0;
}

bool msg_ok(const struct msg *m)
{
    return !m->bad;
}

/* ---- hello ---- */

struct msg *hello_new(const char *service, uint32_t version)
{
    struct msg *m = msg_new(FRAME_TYPE_HELLO);
    msg_put_str(m, service);
    msg_put_u32(m, version);
    return m;
}

bool hello_matches(struct msg *m, const char *service, uint32_t version)
{
    const char *s = msg_get_str(m);
    uint32_t v = msg_get_u32(m);
    return m->type == FRAME_TYPE_HELLO && msg_end(m) == 0 && s != NULL && strcmp(s, service) == 0 &&
           v == version;
}
