/* Every listening socket: bound here, kept across reloads, handed to the processes. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/master/master.h"

#define SOCKETS_BACKLOG 1024

/* What one call of sockets_bind carries along. */
struct binding {
    struct sockets *sockets;
    const struct conf *conf;
    const struct owners *owners;
    struct buf *errors;
};

static void socket_free(struct sockets *sockets, struct socket *s, bool unlink_path)
{
    TAILQ_REMOVE(sockets, s, link);
    if (s->fd >= 0)
        close(s->fd);
    if (s->path != NULL && unlink_path)
        unlink(s->path);
    free(s->path);
    free(s->protocol);
    free(s);
}

static struct socket *socket_add(struct binding *b, const struct kind *kind, const char *protocol)
{
    struct socket *s = mem_zalloc(sizeof(*s));
    s->kind = kind;
    s->protocol = mem_strdup(protocol);
    s->fd = -1;
    s->wanted = s->fresh = true;
    TAILQ_INSERT_TAIL(b->sockets, s, link);
    return s;
}

/* ---- TCP ---- */

static int socket_open_tcp(const struct netaddr *addr)
{
    struct sockaddr_storage ss;
    socklen_t len = netaddr_to_sockaddr(addr, &ss);
    int on = 1;
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if ((ss.ss_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
        bind(fd, (struct sockaddr *)&ss, len) < 0 || listen(fd, SOCKETS_BACKLOG) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* optional: an address of "all" or "loopback-only", which this machine need not have. */
static int socket_bind_tcp(struct binding *b, const struct kind *kind, const char *protocol,
                           const struct netaddr *addr, bool optional)
{
    char text[NETADDR_STRLEN];
    struct socket *s;
    TAILQ_FOREACH (s, b->sockets, link) {
        if (s->kind == kind && s->path == NULL && str_ieq(s->protocol, protocol) &&
            netaddr_eq(&s->addr, addr) && s->addr.port == addr->port) {
            s->wanted = true;
            return 0;
        }
    }
    int fd = socket_open_tcp(addr);
    if (fd < 0 && optional && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
        return 0;
    if (fd < 0) {
        const char *remedy = errno == EACCES ? "start as root, or choose a port above 1023"
                             : errno == EADDRINUSE
                                 ? "stop what listens there, or choose another port"
                                 : "see inet_interfaces and inet_protocols";
        const char *why = strerror(errno);
        char *name = mem_printf("port_%s", protocol);
        const char *origin = conf_origin(b->conf, name);
        buf_printf(b->errors, "%s: %s: port %u on %s cannot be bound: %s; %s\n",
                   strcmp(origin, "default") == 0 ? conf_file(b->conf) : origin, name, addr->port,
                   netaddr_str(addr, text), why, remedy);
        free(name);
        return -1;
    }
    s = socket_add(b, kind, protocol);
    s->addr = *addr;
    s->fd = fd;
    return 0;
}

/* One word of inet_interfaces. */
static int socket_bind_interface(struct binding *b, const struct kind *kind, const char *protocol,
                                 const char *word)
{
    const char *texts[2] = {word, NULL};
    bool optional = true;
    bool ipv4 = strcmp(b->conf->inet_protocols, "ipv6") != 0;
    bool ipv6 = strcmp(b->conf->inet_protocols, "ipv4") != 0;
    if (str_ieq(word, "all")) {
        texts[0] = "0.0.0.0";
        texts[1] = "::";
    } else if (str_ieq(word, "loopback-only")) {
        texts[0] = "127.0.0.1";
        texts[1] = "::1";
    } else {
        optional = false;
    }
    for (size_t i = 0; i < 2 && texts[i] != NULL; i++) {
        struct netaddr addr;
        if (netaddr_parse(&addr, texts[i]) < 0 || (addr.family == 4 && !ipv4) ||
            (addr.family == 6 && !ipv6))
            continue;
        addr.port = (uint16_t)protocol_port(b->conf, protocol);
        /* A machine without IPv6 is common; one without IPv4 should say so in inet_protocols. */
        if (socket_bind_tcp(b, kind, protocol, &addr, optional && addr.family == 6) < 0)
            return -1;
    }
    return 0;
}

static int sockets_bind_tcp(struct binding *b)
{
    const struct conf *conf = b->conf;
    int rc = 0;
    for (size_t k = 0; k < kinds_count; k++) {
        for (size_t i = 0; i < conf->protocols.n; i++) {
            if (!kind_serves(&kinds[k], conf->protocols.v[i]))
                continue;
            for (size_t j = 0; j < conf->inet_interfaces.n; j++)
                rc |= socket_bind_interface(b, &kinds[k], conf->protocols.v[i],
                                            conf->inet_interfaces.v[j]);
        }
    }
    return rc;
}

/* ---- Unix ---- */

static int socket_open_unix(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >= sizeof(sun.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    /* The pid file's lock says that what is there was left by a dirigod that has gone. */
    unlink(path);
    mode_t old = umask(0177);
    int rc = bind(fd, (struct sockaddr *)&sun, sizeof(sun));
    umask(old);
    if (rc < 0 || listen(fd, SOCKETS_BACKLOG) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* Connecting needs write permission: Dirigo's users share the group of dirigo_user. */
static int socket_bind_unix(struct binding *b, const struct kind *kind, const char *name,
                            unsigned index)
{
    char *path = mem_printf("%s/%s", b->conf->run_directory, name);
    struct socket *s;
    TAILQ_FOREACH (s, b->sockets, link) {
        if (s->path != NULL && strcmp(s->path, path) == 0) {
            s->wanted = true;
            free(path);
            return 0;
        }
    }
    int fd = socket_open_unix(path);
    if (fd < 0 || (kind != NULL && b->owners->root &&
                   (chown(path, 0, b->owners->dirigo.gid) < 0 || chmod(path, 0660) < 0))) {
        buf_printf(b->errors, "run_directory: the socket %s cannot be made: %s; %s\n", path,
                   strerror(errno),
                   errno == ENAMETOOLONG ? "choose a shorter path, as sockets allow 107 characters"
                                         : "choose a folder that is dirigod's own");
        if (fd >= 0)
            close(fd);
        free(path);
        return -1;
    }
    s = socket_add(b, kind, "ipc");
    s->path = path;
    s->index = index;
    s->fd = fd;
    return 0;
}

/* lmtp_socket: who may connect is said by its mode and group. */
static int sockets_bind_lmtp(struct binding *b)
{
    const struct conf *conf = b->conf;
    const char *path = conf->lmtp_socket, *group = conf->lmtp_socket_group;
    mode_t mode = (mode_t)strtoul(conf->lmtp_socket_mode, NULL, 8);
    struct socket *s;
    if (*path == '\0')
        return 0;
    TAILQ_FOREACH (s, b->sockets, link) {
        if (s->path != NULL && strcmp(s->path, path) == 0) {
            s->wanted = true;
            return 0;
        }
    }
    const struct kind *kind = kinds;
    while (kind < kinds + kinds_count && !kind_serves(kind, "lmtp"))
        kind++;
    struct group *g = *group == '\0' ? NULL : getgrnam(group);
    if (*group != '\0' && g == NULL) {
        buf_printf(b->errors, "lmtp_socket_group: there is no group %s\n", group);
        return -1;
    }
    int fd = socket_open_unix(path);
    if (fd < 0 || (g != NULL && chown(path, (uid_t)-1, g->gr_gid) < 0) || chmod(path, mode) < 0) {
        buf_printf(
            b->errors,
            "lmtp_socket: the socket %s cannot be made: %s; choose a folder that dirigod may "
            "write to, and a group that it is in\n",
            path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    s = socket_add(b, kind, "lmtp");
    s->path = mem_strdup(path);
    s->shared = true;
    s->fd = fd;
    return 0;
}

static int sockets_bind_unix(struct binding *b)
{
    char name[64];
    int rc = socket_bind_unix(b, NULL, "control.sock", 0);
    for (size_t k = 0; k < kinds_count && rc == 0; k++) {
        unsigned count = kinds[k].socket == NULL ? 0 : kind_count(&kinds[k], b->conf);
        for (unsigned i = 0; i < count && rc == 0; i++) {
            if (kinds[k].flags & KIND_MANY)
                snprintf(name, sizeof(name), "%s-%u.sock", kinds[k].socket, i);
            else
                snprintf(name, sizeof(name), "%s.sock", kinds[k].socket);
            rc = socket_bind_unix(b, &kinds[k], name, i);
        }
    }
    return rc;
}

int sockets_bind(struct sockets *sockets, const struct conf *conf, const struct owners *owners,
                 struct buf *errors)
{
    struct binding b = {sockets, conf, owners, errors};
    struct socket *s, *next;
    TAILQ_FOREACH (s, sockets, link)
        s->wanted = s->fresh = false;
    int rc = sockets_bind_tcp(&b) | sockets_bind_unix(&b) | sockets_bind_lmtp(&b);
    for (s = TAILQ_FIRST(sockets); s != NULL && rc != 0; s = next) {
        next = TAILQ_NEXT(s, link);
        if (s->fresh)
            socket_free(sockets, s, true);
        else
            s->wanted = true;
    }
    return rc == 0 ? 0 : -1;
}

void sockets_sweep(struct sockets *sockets)
{
    struct socket *s, *next;
    for (s = TAILQ_FIRST(sockets); s != NULL; s = next) {
        next = TAILQ_NEXT(s, link);
        if (!s->wanted)
            socket_free(sockets, s, true);
    }
}

void sockets_close(struct sockets *sockets)
{
    struct socket *s;
    while ((s = TAILQ_FIRST(sockets)) != NULL)
        socket_free(sockets, s, true);
}
