/*
 * Load for a mail server on loopback: blocking clients on threads, bounded in count.
 *
 *   load smtp    PORT CONNECTIONS COUNT SIZE DOMAIN USERS   messages, one transaction after the
 * other load rcpt    PORT CONNECTIONS COUNT DOMAIN USERS        RCPT commands, answered one by one
 *   load login   PORT CONNECTIONS COUNT PASSWORD USERS      IMAP: connect, LOGIN, LOGOUT
 *   load session PORT CONNECTIONS COUNT PASSWORD USERS      IMAP: a session of 20 commands
 *
 * Users are user0 to userN-1. Prints: operations done, failures, seconds, p50 and p99 in
 * microseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct peer {
    int fd;
    size_t len, pos;
    char in[65536];
};

static struct {
    int port, count, size, users;
    const char *text;
    char *body;
    atomic_int next, failures;
    uint32_t *micros;
} load;

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int peer_open(struct peer *p)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1;
    p->len = p->pos = 0;
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return connect(p->fd, (struct sockaddr *)&to, sizeof(to));
}

static void peer_send(struct peer *p, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(p->fd, data, len);
        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

static void __attribute__((format(printf, 2, 3))) peer_say(struct peer *p, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    peer_send(p, line, (size_t)n);
}

/* The next line without its line end, or NULL when the server closed. */
static const char *peer_line(struct peer *p)
{
    for (;;) {
        char *eol = memchr(p->in + p->pos, '\n', p->len - p->pos);
        if (eol != NULL) {
            char *line = p->in + p->pos;
            p->pos = (size_t)(eol - p->in) + 1;
            *eol = '\0';
            return line;
        }
        memmove(p->in, p->in + p->pos, p->len - p->pos);
        p->len -= p->pos;
        p->pos = 0;
        ssize_t n =
            p->len < sizeof(p->in) ? read(p->fd, p->in + p->len, sizeof(p->in) - p->len) : 0;
        if (n <= 0)
            return NULL;
        p->len += (size_t)n;
    }
}

/* Reads one SMTP reply: its code, or 0. */
static int smtp_reply(struct peer *p)
{
    const char *line;
    do {
        line = peer_line(p);
        if (line == NULL || strlen(line) < 4)
            return 0;
    } while (line[3] == '-');
    return atoi(line);
}

/* Reads up to the tagged line: whether it is OK. */
static bool imap_reply(struct peer *p, const char *tag)
{
    size_t len = strlen(tag);
    for (;;) {
        const char *line = peer_line(p);
        if (line == NULL)
            return false;
        if (strncmp(line, tag, len) == 0 && line[len] == ' ')
            return strncmp(line + len + 1, "OK", 2) == 0;
    }
}

static bool imap_command(struct peer *p, const char *command)
{
    peer_say(p, "a %s\r\n", command);
    return imap_reply(p, "a");
}

static void record(int i, int64_t since, bool ok)
{
    load.micros[i] = (uint32_t)(now_us() - since);
    if (!ok)
        atomic_fetch_add(&load.failures, 1);
}

static void *run_smtp(void *arg)
{
    struct peer *p = arg;
    int i;
    if (peer_open(p) != 0 || smtp_reply(p) != 220)
        return NULL;
    peer_say(p, "EHLO bench.example.net\r\n");
    smtp_reply(p);
    while ((i = atomic_fetch_add(&load.next, 1)) < load.count) {
        int64_t start = now_us();
        peer_say(p, "MAIL FROM:<sender@example.net>\r\n");
        bool ok = smtp_reply(p) == 250;
        peer_say(p, "RCPT TO:<user%d@%s>\r\n", i % load.users, load.text);
        ok = smtp_reply(p) == 250 && ok;
        peer_say(p, "DATA\r\n");
        ok = ok && smtp_reply(p) == 354;
        if (ok) {
            peer_say(p,
                     "Subject: message %d\r\nMessage-ID: <%d@bench>\r\nDate: Mon, 2 Nov 2026 "
                     "10:00:00 +0000\r\n\r\n",
                     i, i);
            peer_send(p, load.body, (size_t)load.size);
            peer_send(p, ".\r\n", 3);
            ok = smtp_reply(p) == 250;
        } else {
            peer_say(p, "RSET\r\n");
            smtp_reply(p);
        }
        record(i, start, ok);
    }
    peer_say(p, "QUIT\r\n");
    smtp_reply(p);
    close(p->fd);
    return NULL;
}

static void *run_rcpt(void *arg)
{
    struct peer *p = arg;
    int i, in_transaction = 0;
    if (peer_open(p) != 0 || smtp_reply(p) != 220)
        return NULL;
    peer_say(p, "EHLO bench.example.net\r\nMAIL FROM:<sender@example.net>\r\n");
    smtp_reply(p);
    smtp_reply(p);
    while ((i = atomic_fetch_add(&load.next, 1)) < load.count) {
        if (++in_transaction == 100) {
            peer_say(p, "RSET\r\nMAIL FROM:<sender@example.net>\r\n");
            smtp_reply(p);
            smtp_reply(p);
            in_transaction = 0;
        }
        int64_t start = now_us();
        peer_say(p, "RCPT TO:<user%d@%s>\r\n", i % load.users, load.text);
        record(i, start, smtp_reply(p) == 250);
    }
    close(p->fd);
    return NULL;
}

static void *run_login(void *arg)
{
    struct peer *p = arg;
    int i;
    while ((i = atomic_fetch_add(&load.next, 1)) < load.count) {
        int64_t start = now_us();
        bool ok = peer_open(p) == 0 && peer_line(p) != NULL;
        if (ok) {
            peer_say(p, "l LOGIN user%d %s\r\n", i % load.users, load.text);
            ok = imap_reply(p, "l");
            record(i, start, ok);
            peer_say(p, "o LOGOUT\r\n");
            imap_reply(p, "o");
        } else {
            record(i, start, false);
        }
        close(p->fd);
    }
    return NULL;
}

static void *run_session(void *arg)
{
    static const char *const commands[] = {"CAPABILITY",
                                           "NAMESPACE",
                                           "LIST \"\" *",
                                           "LSUB \"\" *",
                                           "STATUS INBOX (MESSAGES UNSEEN UIDNEXT)",
                                           "SELECT INBOX",
                                           "FETCH 1:* (UID FLAGS)",
                                           "UID SEARCH ALL",
                                           "UID SEARCH UNSEEN",
                                           "FETCH 1 ENVELOPE",
                                           "FETCH 1 (BODYSTRUCTURE)",
                                           "FETCH 1 BODY.PEEK[HEADER]",
                                           "FETCH 1 BODY.PEEK[]",
                                           "STORE 1 +FLAGS (\\Seen)",
                                           "STORE 1 -FLAGS (\\Seen)",
                                           "NOOP",
                                           "CHECK",
                                           "CLOSE"};
    struct peer *p = arg;
    int i;
    while ((i = atomic_fetch_add(&load.next, 1)) < load.count) {
        int64_t start = now_us();
        bool ok = peer_open(p) == 0 && peer_line(p) != NULL;
        if (ok) {
            peer_say(p, "l LOGIN user%d %s\r\n", i % load.users, load.text);
            ok = imap_reply(p, "l");
        }
        for (size_t c = 0; ok && c < sizeof(commands) / sizeof(commands[0]); c++)
            ok = imap_command(p, commands[c]);
        if (ok)
            imap_command(p, "LOGOUT");
        record(i, start, ok);
        close(p->fd);
    }
    return NULL;
}

static int compare_micros(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void make_body(void)
{
    load.body = malloc((size_t)load.size + 1);
    for (int i = 0; i < load.size; i++)
        load.body[i] = i % 72 == 70 ? '\r' : i % 72 == 71 ? '\n' : (char)('a' + i % 26);
    if (load.size >= 2)
        memcpy(load.body + load.size - 2, "\r\n", 2);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void *(*run)(void *);
        int args;
    } kinds[] = {{"smtp", run_smtp, 8},
                 {"rcpt", run_rcpt, 7},
                 {"login", run_login, 7},
                 {"session", run_session, 7}};
    void *(*run)(void *) = NULL;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && argc > 1; i++)
        if (strcmp(argv[1], kinds[i].name) == 0 && argc == kinds[i].args)
            run = kinds[i].run;
    if (run == NULL) {
        fprintf(stderr, "usage: see the top of load.c\n");
        return 2;
    }
    int connections = atoi(argv[3]);
    load.port = atoi(argv[2]);
    load.count = atoi(argv[4]);
    load.size = argc == 8 ? atoi(argv[5]) / 72 * 72 : 0;
    load.text = argv[argc - 2];
    load.users = atoi(argv[argc - 1]);
    make_body();
    load.micros = calloc((size_t)load.count, sizeof(*load.micros));
    pthread_t *threads = calloc((size_t)connections, sizeof(*threads));
    int64_t start = now_us();
    for (int i = 0; i < connections; i++)
        pthread_create(&threads[i], NULL, run, calloc(1, sizeof(struct peer)));
    for (int i = 0; i < connections; i++)
        pthread_join(threads[i], NULL);
    double seconds = (double)(now_us() - start) / 1e6;
    qsort(load.micros, (size_t)load.count, sizeof(*load.micros), compare_micros);
    printf("done=%d failed=%d seconds=%.3f per_second=%.0f p50_us=%u p99_us=%u\n", load.count,
           load.failures, seconds, load.count / seconds, load.micros[load.count / 2],
           load.micros[load.count * 99 / 100]);
    return load.failures != 0;
}
