/*
 * kill -9 of dirigo-queue in a loop under commits, while the owners of the mailboxes read, move and
 * expunge what arrives: every message whose commit was accepted is there once, with all its bytes,
 * unless it was expunged; and nothing is there twice.
 *
 * This program is the queue's dirigod, its front end and its mailbox process.
 * DIRIGO_QUEUE_MESSAGES, DIRIGO_QUEUE_KILLS (0: none, then it is a benchmark), DIRIGO_QUEUE_SIZE,
 * DIRIGO_QUEUE_CLIENTS and DIRIGO_QUEUE_FOLDER change the run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/mem.h"
#include "gateway/event/loop.h"
#include "gateway/ipc/channel.h"
#include "gateway/queue/client.h"
#include "gateway/service/protocol.h"
#include "gateway/store/names.h"

#define OWNERS 8

struct sent {
    char id[ID_STRLEN];
    size_t size;
    unsigned owner;
    bool accepted, refused;
    bool expunged;
    unsigned found;
    char path[300]; /* where, for the report */
};

struct run {
    struct loop *loop;
    char folder[200];
    char mail[260];
    char socket[260];
    int listen_fd;
    pid_t pid;
    struct ipc_pair *control;
    struct queue_client *client;
    struct timer *kill_timer, *owner_timer, *end_timer;
    struct sent *sent;
    size_t messages, started, ended; /* more than messages are sent while kills are due */
    unsigned kills, killed;
    size_t size, clients;
    struct uuid owners[OWNERS];
    unsigned long expunges, moves;
    bool forgetting;
    bool over;
    char *content;
};

static size_t env_number(const char *name, size_t def)
{
    const char *s = getenv(name);
    return s == NULL ? def : (size_t)strtoul(s, NULL, 10);
}

/* ---- the process ---- */

static int control_message(struct msg *m, void *arg)
{
    (void)arg;
    if (msg_type(m) == SERVICE_MSG_FAILED)
        fail_msg("dirigo-queue failed to start: %s", msg_get_str(m));
    return 0;
}

/* Who kills it lets go of the channel at once: here it ended by itself. */
static void control_closed(void *arg)
{
    (void)arg;
    fail_msg("dirigo-queue has ended by itself");
}

static void queue_launch(struct run *r)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid == 0) {
        if (pair[1] == SERVICE_CONTROL_FD)
            fcntl(pair[1], F_SETFD, 0);
        else
            dup2(pair[1], SERVICE_CONTROL_FD);
        setenv("ASAN_OPTIONS", "detect_leaks=0", 0);
        execl("./dirigo-queue", "dirigo-queue", (char *)NULL);
        _exit(127);
    }
    close(pair[1]);
    r->control = ipc_pair_new(r->loop, pair[0], control_message, control_closed, r);

    char text[2000];
    int n =
        snprintf(text, sizeof(text),
                 "myhostname%cmx.example.org%cmydomain%cexample.org%csearch_base%cdc=x%c"
                 "run_directory%c%s%cmail_directory%c%s%cqueue_checkpoint_interval%c%s%c"
                 "queue_journal_size%c%s%clog_level%c%s%c",
                 0, 0, 0, 0, 0, 0, 0, r->folder, 0, 0, r->mail, 0, 0, r->kills > 0 ? "40ms" : "30s",
                 0, 0, r->kills > 0 ? "1M" : "32M", 0, 0, r->kills > 0 ? "warning" : "info", 0);
    struct msg *m = msg_new(SERVICE_MSG_CONFIG);
    msg_put_u32(m, 0);
    msg_put_u32(m, 1);
    msg_put_bool(m, false);
    msg_put_str(m, "stderr");
    msg_put_bytes(m, text, (size_t)n);
    msg_put_bytes(m, "", 0);
    ipc_pair_send(r->control, &m);
    m = msg_new(SERVICE_MSG_LISTENER);
    msg_put_str(m, "ipc");
    msg_put_fd(m, fcntl(r->listen_fd, F_DUPFD_CLOEXEC, 10));
    ipc_pair_send(r->control, &m);
    m = msg_new(SERVICE_MSG_BEGIN);
    ipc_pair_send(r->control, &m);
}

/* Ends it with a signal; the processor time it took, in microseconds. */
static uint64_t queue_end(struct run *r, int signum)
{
    struct rusage u;
    int status;
    kill(r->pid, signum);
    assert_int_equal(wait4(r->pid, &status, 0, &u), r->pid);
    ipc_pair_free(&r->control);
    if (signum == SIGTERM)
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void kill_now(void *arg)
{
    struct run *r = arg;
    if (r->killed >= r->kills || r->over)
        return;
    r->killed++;
    queue_end(r, SIGKILL);
    queue_launch(r);
    timer_set(r->kill_timer, 20 + arc4random_uniform(250));
}

/* ---- the front end ---- */

#define MESSAGES_MORE 50000

static void send_one(struct run *r);
static void run_check_end(struct run *r);

static bool run_wants_more(const struct run *r)
{
    return r->started < r->messages ||
           (r->killed < r->kills && r->started < r->messages + MESSAGES_MORE);
}

static void content_write(const struct sent *s, char *dst)
{
    int n = snprintf(dst, 64, "Return-Path: <>\r\nX-Id: %s\r\n\r\n", s->id);
    for (size_t i = (size_t)n; i < s->size; i++)
        dst[i] = s->id[i % 16];
}

struct commit {
    struct run *run;
    struct sent *sent;
};

static void run_check_end(struct run *r)
{
    if (r->ended == r->started && !run_wants_more(r) && !r->over) {
        r->over = true;
        timer_set(r->end_timer, 300);
    }
}

static void committed(enum queue_result result, void *arg)
{
    struct commit *k = arg;
    struct run *r = k->run;
    k->sent->accepted = result == QUEUE_ACCEPTED;
    k->sent->refused = result != QUEUE_ACCEPTED;
    free(k);
    r->ended++;
    send_one(r);
    run_check_end(r);
}

static void opened(int fd, bool full, void *arg)
{
    struct run *r = arg;
    (void)full;
    if (!run_wants_more(r)) {
        /* The last kill may find every client waiting for a file: no commit comes that would see
         * the end. */
        if (fd >= 0)
            close(fd);
        run_check_end(r);
        return;
    }
    if (fd < 0) {
        queue_open_file(r->client, opened, r);
        return;
    }
    struct commit *k = mem_zalloc(sizeof(*k));
    struct sent *s = k->sent = &r->sent[r->started++];
    k->run = r;
    id_new(s->id);
    s->owner = arc4random_uniform(OWNERS);
    s->size = r->kills == 0 ? r->size : 100 + arc4random_uniform((uint32_t)r->size);
    /* Some are too large for the journal. */
    if (r->kills > 0 && arc4random_uniform(20) == 0)
        s->size = 300000;
    content_write(s, r->content);
    assert_int_equal(write(fd, r->content, s->size), (ssize_t)s->size);
    struct queue_rcpt rcpt = {
        .kind = QUEUE_RCPT_MAILBOX, .owner = r->owners[s->owner], .address = "u@example.org"};
    struct queue_envelope e = {.id = s->id,
                               .sender = "s@example.net",
                               .client = "test [127.0.0.1]",
                               .size = s->size,
                               .trace_offset = 17,
                               .rcpts = &rcpt,
                               .rcpt_count = 1};
    queue_commit(r->client, fd, &e, committed, k);
}

static void send_one(struct run *r)
{
    if (run_wants_more(r))
        queue_open_file(r->client, opened, r);
}

/* ---- the owners ---- */

struct expunge {
    struct run *run;
    struct sent *sent;
    char path[1200];
};

static struct sent *sent_find(struct run *r, const char *name)
{
    const char *dot = strchr(name, '.');
    for (size_t i = 0; dot != NULL && i < r->started; i++)
        if (strncmp(dot + 1, r->sent[i].id, 16) == 0)
            return &r->sent[i];
    return NULL;
}

static void forgotten(bool ok, void *arg)
{
    struct expunge *x = arg;
    x->run->forgetting = false;
    if (ok && unlink(x->path) == 0) {
        x->sent->expunged = true;
        x->run->expunges++;
    }
    free(x);
}

static void owner_do(struct run *r, const char *box, const char *sub, const char *name)
{
    char from[1200], to[1200];
    int base = (int)strcspn(name, ":");
    snprintf(from, sizeof(from), "%s/%s/%s", box, sub, name);
    switch (arc4random_uniform(3)) {
    case 0:
        snprintf(to, sizeof(to), "%s/cur/%.*s:2,S", box, base, name);
        break;
    case 1:
        snprintf(to, sizeof(to), "%s/.Kept", box);
        mkdir(to, 0700);
        snprintf(to, sizeof(to), "%s/.Kept/cur", box);
        mkdir(to, 0700);
        snprintf(to, sizeof(to), "%s/.Kept/cur/%.*s:2,FS", box, base, name);
        break;
    default: {
        struct sent *s = sent_find(r, name);
        if (r->forgetting || s == NULL || s->expunged)
            return;
        char base_name[STORE_NAME_MAX];
        const char *names[1] = {base_name};
        snprintf(base_name, sizeof(base_name), "%.*s", base, name);
        struct expunge *x = mem_zalloc(sizeof(*x));
        x->run = r;
        x->sent = s;
        snprintf(x->path, sizeof(x->path), "%s", from);
        r->forgetting = true;
        queue_forget(r->client, &r->owners[s->owner], names, 1, forgotten, x);
        return;
    }
    }
    if (rename(from, to) == 0)
        r->moves++;
}

static void owners_act(void *arg)
{
    struct run *r = arg;
    char path[300], box[600];
    const struct uuid *owner = &r->owners[arc4random_uniform(OWNERS)];
    snprintf(box, sizeof(box), "%s/%s", r->mail, store_owner_path(owner, path, sizeof(path)));
    const char *sub = arc4random_uniform(2) == 0 ? "new" : "cur";
    snprintf(path, sizeof(path), "%.280s/%s", box, sub);
    DIR *dir = opendir(path);
    struct dirent *d;
    unsigned skip = arc4random_uniform(5);
    while (dir != NULL && (d = readdir(dir)) != NULL) {
        if (d->d_name[0] == '.' || skip-- > 0)
            continue;
        owner_do(r, box, sub, d->d_name);
        break;
    }
    if (dir != NULL)
        closedir(dir);
}

/* ---- the end ---- */

static struct run *walk_run;

static int count_file(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    struct run *r = walk_run;
    struct sent *s;
    if (flag != FTW_F || strstr(path, "/users/") == NULL)
        return 0;
    s = sent_find(r, path + ftw->base);
    assert_non_null(s);
    s->found++;
    if (s->found == 1 || strlen(s->path) < sizeof(s->path) / 2) {
        size_t at = strlen(s->path);
        snprintf(s->path + at, sizeof(s->path) - at, "%s ", path + strlen(r->mail));
    }
    assert_int_equal(st->st_size, s->size);
    char *want = mem_alloc(s->size + 64), *have = mem_alloc(s->size);
    int fd = open(path, O_RDONLY);
    content_write(s, want);
    assert_int_equal(read(fd, have, s->size), (ssize_t)s->size);
    assert_memory_equal(want, have, s->size);
    close(fd);
    free(want);
    free(have);
    return 0;
}

static void verify(struct run *r)
{
    size_t accepted = 0, lost = 0, doubled = 0;
    walk_run = r;
    assert_int_equal(nftw(r->mail, count_file, 16, FTW_PHYS), 0);
    for (size_t i = 0; i < r->started; i++) {
        const struct sent *s = &r->sent[i];
        accepted += s->accepted;
        bool gone = s->accepted && !s->expunged && s->found == 0;
        bool twice = s->found > 1 || (s->expunged && s->found > 0);
        lost += gone;
        doubled += twice;
        if (gone || twice)
            printf("# %s size=%zu accepted=%d expunged=%d found=%u in %s\n", s->id, s->size,
                   s->accepted, s->expunged, s->found, s->path);
    }
    printf(
        "# %zu messages, %zu accepted, %u kills, %lu moved, %lu expunged, %zu lost, %zu doubled\n",
        r->started, accepted, r->killed, r->moves, r->expunges, lost, doubled);
    assert_int_equal(lost, 0);
    assert_int_equal(doubled, 0);
    assert_true(accepted > 0);
}

static void stop_loop(void *arg)
{
    struct run *r = arg;
    loop_stop(r->loop);
}

static void reopened(int fd, bool full, void *arg)
{
    (void)full;
    if (fd >= 0)
        close(fd);
    stop_loop(arg);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void run_listen(struct run *r)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    const char *at = getenv("DIRIGO_QUEUE_FOLDER");
    /* A checkpoint flushes the whole file system: on a disk that others write to, hundreds of them
     * take minutes, and kill -9 asks nothing of the disk. */
    if (at == NULL)
        at = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(r->folder, sizeof(r->folder), "%s/dirigo-kill-XXXXXX", at);
    assert_non_null(mkdtemp(r->folder));
    snprintf(r->mail, sizeof(r->mail), "%s/mail", r->folder);
    snprintf(r->socket, sizeof(r->socket), "%s/queue.sock", r->folder);
    strlcpy(sun.sun_path, r->socket, sizeof(sun.sun_path));
    r->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(r->listen_fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(r->listen_fd, 16), 0);
}

static void test_kill_9(void **state)
{
    struct run r = {0};
    (void)state;
    r.kills = (unsigned)env_number("DIRIGO_QUEUE_KILLS", 8);
    r.messages = env_number("DIRIGO_QUEUE_MESSAGES", 1500);
    r.size = env_number("DIRIGO_QUEUE_SIZE", 8000);
    r.clients = env_number("DIRIGO_QUEUE_CLIENTS", 20);
    r.sent = mem_zalloc((r.messages + MESSAGES_MORE) * sizeof(*r.sent));
    r.content = mem_alloc(r.size + 400000);
    for (unsigned i = 0; i < OWNERS; i++)
        memset(r.owners[i].bytes, (int)(i + 1), sizeof(r.owners[i].bytes));
    run_listen(&r);
    r.loop = loop_new();
    r.kill_timer = timer_new(r.loop, kill_now, &r);
    r.owner_timer = timer_new(r.loop, owners_act, &r);
    r.end_timer = timer_new(r.loop, stop_loop, &r);
    queue_launch(&r);
    r.client = queue_client_new(r.loop, r.socket);
    if (r.kills > 0) {
        timer_set(r.kill_timer, 300);
        timer_repeat(r.owner_timer, 2);
    }
    int64_t start = clock_now_ms();
    for (size_t i = 0; i < r.clients; i++)
        send_one(&r);
    loop_run(r.loop);
    int64_t ms = clock_now_ms() - start - 300;

    /* Once more: what the last process left is replayed, and it ends cleanly. */
    timer_stop(r.owner_timer);
    uint64_t us = queue_end(&r, SIGKILL);
    if (r.kills == 0)
        printf("# %.0f messages/s, %.1f us of the queue's processor time each\n",
               (double)r.messages * 1000 / (double)(ms > 0 ? ms : 1),
               (double)us / (double)r.messages);
    queue_launch(&r);
    queue_client_free(&r.client);
    r.client = queue_client_new(r.loop, r.socket);
    if (queue_open_file(r.client, reopened, &r) != 0)
        loop_run(r.loop);
    verify(&r);
    queue_end(&r, SIGTERM);

    queue_client_free(&r.client);
    timer_free(&r.kill_timer);
    timer_free(&r.owner_timer);
    timer_free(&r.end_timer);
    loop_free(&r.loop);
    close(r.listen_fd);
    nftw(r.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(r.sent);
    free(r.content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_9),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
