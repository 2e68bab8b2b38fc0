/* Frames of any content: headers, bodies read field by field in an order that the input chooses,
 * and a whole stream of bytes against a service and a client on sockets. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/buf.h"
#include "gateway/event/loop.h"
#include "gateway/ipc/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* Reads one field after another as the bytes of kinds say; what was read is written again. */
static void read_fields(struct msg *m, const uint8_t *kinds, size_t n, struct msg *out)
{
    for (size_t i = 0; i < n && msg_ok(m); i++) {
        size_t len;
        struct uuid uuid;
        struct netaddr addr;
        const void *bytes;
        switch (kinds[i] % 8) {
        case 0:
            msg_put_u8(out, msg_get_u8(m));
            break;
        case 1:
            msg_put_u32(out, msg_get_u32(m));
            break;
        case 2:
            msg_put_u64(out, msg_get_u64(m));
            break;
        case 3:
            msg_put_bool(out, msg_get_bool(m));
            break;
        case 4:
            msg_put_str(out, msg_get_str(m));
            break;
        case 5:
            bytes = msg_get_bytes(m, &len);
            msg_put_bytes(out, bytes, len);
            break;
        case 6:
            uuid = msg_get_uuid(m);
            msg_put_uuid(out, &uuid);
            break;
        case 7:
            addr = msg_get_addr(m);
            msg_put_addr(out, &addr);
            break;
        }
    }
}

/* What was read whole and written again is the same bytes. */
static void fuzz_body(const uint8_t *kinds, size_t n, const uint8_t *body, size_t size)
{
    struct frame_header h = {.len = (uint32_t)size, .type = 1, .id = 2};
    uint8_t header[FRAME_HEADER_SIZE];
    struct msg m;
    struct msg *again = msg_new(1);

    frame_header_put(header, &h);
    check(frame_header_get(header, &h) == 0 && h.len == size && h.id == 2);
    msg_view(&m, &h, body);
    read_fields(&m, kinds, n, again);
    if (msg_end(&m) == 0) {
        check(again->out.len == size);
        check(size == 0 || memcmp(again->out.data, body, size) == 0);
    }
    check(msg_get_fd(&m) == -1 && msg_end(&m) != 0);
    msg_view_end(&m);
    msg_free(&again);
}

struct heard {
    struct loop *loop;
    struct buf text;
    bool closed;
};

static int on_message(struct msg *m, void *arg)
{
    struct heard *heard = arg;
    size_t len;

    (void)buf_printf(&heard->text, "%u %u ", msg_type(m), msg_id(m));
    const void *bytes = msg_get_bytes(m, &len);
    (void)buf_append(&heard->text, bytes, len);
    return msg_end(m);
}

static void on_closed(void *arg)
{
    struct heard *heard = arg;

    heard->closed = true;
    loop_stop(heard->loop);
}

static const struct conn_ops ops = {.message = on_message, .closed = on_closed};

/* The bytes against a connection, until it has closed, which it does at their end at the latest. */
static void fuzz_stream(const uint8_t *data, size_t size, size_t step, struct buf *out)
{
    struct heard heard = {.loop = loop_new()};
    int fds[2];

    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    struct conn *c = conn_new(heard.loop, fds[0], &ops, &heard);
    for (size_t at = 0; at < size;) {
        ssize_t n = send(fds[1], data + at, size - at < step ? size - at : step,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    close(fds[1]);
    loop_run(heard.loop);
    check(heard.closed);
    conn_free(&c);
    loop_free(&heard.loop);
    *out = heard.text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, bytes;

    if (size < 2)
        return 0;
    size_t n = data[0] % 16;
    if (n < size - 1)
        fuzz_body(data + 1, n, data + 1 + n, size - 1 - n);
    /* The kernel joins or keeps pieces as it likes: enough of them, not all, for the buffer. */
    fuzz_stream(data, size, size, &whole);
    fuzz_stream(data, size, size / 64 + 1, &bytes);
    check(whole.len == bytes.len);
    check(whole.len == 0 || memcmp(whole.data, bytes.data, whole.len) == 0);
    buf_free(&whole);
    buf_free(&bytes);
    return 0;
}
