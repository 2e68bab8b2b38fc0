/* sd_notify(3)'s protocol, spoken by hand: one datagram to the socket that NOTIFY_SOCKET names. */
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/base/buf.h"
#include "gateway/master/master.h"

void notify_systemd(const char *fmt, ...)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    struct buf text = {0};
    va_list ap;
    if (path == NULL || (*path != '/' && *path != '@') || strlen(path) >= sizeof(sun.sun_path))
        return;
    memcpy(sun.sun_path, path, strlen(path));
    if (sun.sun_path[0] == '@')
        sun.sun_path[0] = '\0';
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
        /* Nobody to tell is no fault: systemd then times out and says so. */
        (void)!sendto(fd, text.data, text.len, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&sun,
                      len);
        close(fd);
    }
    buf_free(&text);
}
