#include "gateway/queue/replay.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/tree.h>
#include <unistd.h>

#include "gateway/base/file.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/queue/deliver.h"

#define REPLAY_CHUNK ((size_t)64 << 10)

/* All that the journal says about one message. */
struct item {
    RB_ENTRY(item) link;
    char id[ID_STRLEN];
    struct envelope *first; /* as accepted; NULL where an older half had that record */
    struct envelope *last;  /* what was left to do, by the latest RECORD_ENVELOPE; or NULL */
    uint64_t generation;
    uint32_t type; /* of the record with first */
    int half;      /* where the content lies, for RECORD_MESSAGE */
    uint64_t content;
    size_t content_len;
};

struct forgotten {
    RB_ENTRY(forgotten) link;
    char name[];
};

RB_HEAD(item_tree, item);
RB_HEAD(forgotten_tree, forgotten);

/* One delivery that the journal promises. */
struct task {
    struct uuid owner;
    struct item *item;
    size_t rcpt; /* in item->first */
    bool done;
};

struct replay {
    struct journal *journal;
    const struct spool *spool;
    struct item_tree items;
    size_t item_count;
    struct forgotten_tree forgotten;
    struct task *tasks;
    size_t task_count;
    struct replay_result *result;
};

static int item_compare(const struct item *a, const struct item *b)
{
    return strcmp(a->id, b->id);
}

static int forgotten_compare(const struct forgotten *a, const struct forgotten *b)
{
    return strcmp(a->name, b->name);
}

#define REPLAY_STATIC __attribute__((unused)) static
RB_GENERATE_INTERNAL(item_tree, item, link, item_compare, REPLAY_STATIC)
RB_GENERATE_INTERNAL(forgotten_tree, forgotten, link, forgotten_compare, REPLAY_STATIC)

/* ---- reading the records ---- */

struct envelope *replay_message_envelope(const void *payload, size_t len, size_t *content)
{
    uint32_t n;
    if (len < sizeof(n))
        return NULL;
    memcpy(&n, payload, sizeof(n));
    n = le32toh(n);
    if (n > len - sizeof(n))
        return NULL;
    *content = sizeof(n) + n;
    return envelope_read((const char *)payload + sizeof(n), n);
}

static struct item *replay_item(struct replay *p, const char *id)
{
    struct item key, *it;
    memcpy(key.id, id, ID_STRLEN);
    it = RB_FIND(item_tree, &p->items, &key);
    if (it == NULL) {
        it = mem_zalloc(sizeof(*it));
        memcpy(it->id, id, ID_STRLEN);
        RB_INSERT(item_tree, &p->items, it);
        p->item_count++;
    }
    return it;
}

static void replay_forget(struct replay *p, const char *names, size_t len)
{
    while (len > 0) {
        const char *end = memchr(names, '\0', len);
        if (end == NULL)
            return;
        size_t n = (size_t)(end - names) + 1;
        struct forgotten *f = mem_alloc(sizeof(*f) + n);
        memcpy(f->name, names, n);
        if (RB_INSERT(forgotten_tree, &p->forgotten, f) != NULL)
            free(f);
        names += n;
        len -= n;
    }
}

static int replay_record(const struct journal_record *r, void *arg)
{
    struct replay *p = arg;
    struct envelope *e = NULL;
    size_t content = 0;
    switch (r->type) {
    case RECORD_MESSAGE:
        e = replay_message_envelope(r->payload, r->len, &content);
        break;
    case RECORD_FILE:
    case RECORD_ENVELOPE:
        e = envelope_read(r->payload, r->len);
        break;
    case RECORD_FORGET:
        replay_forget(p, r->payload, r->len);
        return 0;
    }
    if (e == NULL) {
        log_error("journal record of an unknown kind", LOG_UINT("type", r->type),
                  LOG_UINT("sequence", r->sequence));
        errno = EBADMSG;
        return -1;
    }
    struct item *it = replay_item(p, e->id);
    if (r->type == RECORD_ENVELOPE) {
        envelope_free(&it->last);
        it->last = e;
        return 0;
    }
    envelope_free(&it->first);
    it->first = e;
    it->generation = r->generation;
    it->type = r->type;
    it->half = r->half;
    it->content = r->offset + content;
    it->content_len = r->len - content;
    return 0;
}

/* ---- contents ---- */

/* A new unnamed file with the content of a message, or the spool's file; -1 with errno. */
static int replay_open(struct replay *p, const struct item *it)
{
    if (it->type == RECORD_FILE)
        return spool_open_message(p->spool, it->id);
    int fd = spool_new_file(p->spool);
    if (fd < 0)
        return -1;
    char *chunk = mem_alloc(REPLAY_CHUNK);
    int r = 0;
    for (size_t at = 0; at < it->content_len && r == 0; at += REPLAY_CHUNK) {
        size_t n = it->content_len - at < REPLAY_CHUNK ? it->content_len - at : REPLAY_CHUNK;
        r = journal_read(p->journal, it->half, it->content + at, chunk, n);
        if (r == 0)
            r = file_pwrite(fd, chunk, n, at);
    }
    int error = errno;
    free(chunk);
    if (r < 0) {
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Whether the file has the message's content: 1, 0, or -1 with errno. After a power cut a linked
 * file may be there without it. */
static int replay_same(struct replay *p, const struct item *it, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -1;
    if ((uint64_t)st.st_size != it->first->size)
        return 0;
    if (it->type == RECORD_FILE)
        return 1;
    char *a = mem_alloc(REPLAY_CHUNK), *b = mem_alloc(REPLAY_CHUNK);
    int r = 1;
    for (size_t at = 0; at < it->content_len && r == 1; at += REPLAY_CHUNK) {
        size_t n = it->content_len - at < REPLAY_CHUNK ? it->content_len - at : REPLAY_CHUNK;
        if (journal_read(p->journal, it->half, it->content + at, a, n) < 0 ||
            spool_pread(fd, b, n, at) < 0)
            r = -1;
        else if (memcmp(a, b, n) != 0)
            r = 0;
    }
    free(a);
    free(b);
    return r;
}

/* ---- deliveries ---- */

static const char *task_name(const struct task *t, char dst[STORE_NAME_MAX])
{
    const struct envelope *e = t->item->first;
    return store_base_name((int64_t)e->arrived, e->id, (unsigned)e->rcpts[t->rcpt].number, dst,
                           STORE_NAME_MAX);
}

/* Puts the right content in the place of a file that was found with another. */
static int replay_repair(struct replay *p, const struct task *t, const char *path)
{
    char from[32], temp[STORE_NAME_MAX + 8], name[STORE_NAME_MAX];
    int owner = store_open_owner(p->spool->mail_fd, &t->owner);
    int fd = owner < 0 ? -1 : replay_open(p, t->item);
    int r = -1;
    if (fd >= 0) {
        snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
        snprintf(temp, sizeof(temp), "tmp/%s", task_name(t, name));
        unlinkat(owner, temp, 0);
        r = linkat(AT_FDCWD, from, owner, temp, AT_SYMLINK_FOLLOW);
        if (r == 0)
            r = renameat(owner, temp, owner, path);
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (owner >= 0)
        close(owner);
    errno = error;
    return r;
}

/* A delivery whose file was found: checks the content. */
static int replay_check(struct replay *p, struct task *t, const char *path)
{
    char full[64 + DELIVER_PATH_MAX], mailbox[64];
    store_owner_path(&t->owner, mailbox, sizeof(mailbox));
    snprintf(full, sizeof(full), "%s/%s", mailbox, path);
    int fd = openat(p->spool->mail_fd, full, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1; /* its owner has just moved it */
    int same = replay_same(p, t->item, fd);
    int error = errno;
    close(fd);
    errno = error;
    if (same < 0)
        return -1;
    if (same == 0) {
        if (replay_repair(p, t, path) < 0)
            return -1;
        p->result->repaired++;
    }
    return 0;
}

static int replay_deliver(struct replay *p, struct task *t)
{
    char name[STORE_NAME_MAX];
    int fd = replay_open(p, t->item);
    if (fd < 0)
        return -1;
    int r = deliver_link(p->spool->mail_fd, &t->owner, task_name(t, name), fd);
    int error = errno;
    close(fd);
    errno = error;
    if (r == 0) {
        p->result->delivered++;
        log_debug("delivered by the replay", LOG_STR("id", t->item->id),
                  LOG_UINT("generation", t->item->generation));
    }
    return r;
}

/* The tasks of one owner. What fails stays undone and goes to the spool. */
static int replay_owner(struct replay *p, struct task *tasks, size_t n)
{
    struct deliver_name *names = mem_zalloc(n * sizeof(*names));
    for (size_t i = 0; i < n; i++) {
        task_name(&tasks[i], names[i].base);
        names[i].data = &tasks[i];
    }
    int r = deliver_find(p->spool->mail_fd, &tasks[0].owner, names, n);
    if (r < 0)
        log_error("mailbox cannot be read", LOG_STR("id", tasks[0].item->id), LOG_ERRNO(errno));
    for (size_t i = 0; i < n && r == 0; i++) {
        struct task *t = names[i].data;
        if (names[i].found ? replay_check(p, t, names[i].path) < 0 : replay_deliver(p, t) < 0)
            log_warning("message not delivered in the replay", LOG_STR("id", t->item->id),
                        LOG_STR("name", names[i].base), LOG_ERRNO(errno));
        else
            t->done = true;
    }
    free(names);
    return r;
}

static bool replay_is_forgotten(struct replay *p, const char *name)
{
    size_t len = strlen(name) + 1;
    struct forgotten *key = mem_alloc(sizeof(*key) + len);
    memcpy(key->name, name, len);
    bool found = RB_FIND(forgotten_tree, &p->forgotten, key) != NULL;
    free(key);
    return found;
}

/*
 * A message that is held when it arrives is delivered from the spool later, durably; what is held
 * since stays where it is.
 */
static bool replay_is_held(const struct item *it, uint64_t number)
{
    if (it->first->hold != NULL || it->first->options.hold_until != 0)
        return true;
    if (it->last == NULL || it->last->hold == NULL)
        return false;
    for (size_t i = 0; i < it->last->rcpt_count; i++)
        if (it->last->rcpts[i].kind == QUEUE_RCPT_MAILBOX && it->last->rcpts[i].number == number)
            return true;
    return false;
}

static void replay_collect(struct replay *p)
{
    size_t cap = 0;
    struct item *it;
    RB_FOREACH (it, item_tree, &p->items) {
        for (size_t i = 0; it->first != NULL && i < it->first->rcpt_count; i++) {
            if (it->first->rcpts[i].kind != QUEUE_RCPT_MAILBOX ||
                replay_is_held(it, it->first->rcpts[i].number))
                continue;
            if (p->task_count == cap) {
                cap = cap == 0 ? 256 : cap * 2;
                p->tasks = mem_realloc(p->tasks, cap, sizeof(*p->tasks));
            }
            struct task *t = &p->tasks[p->task_count];
            char name[STORE_NAME_MAX];
            *t = (struct task){.owner = it->first->rcpts[i].owner, .item = it, .rcpt = i};
            if (replay_is_forgotten(p, task_name(t, name))) {
                p->result->forgotten++;
                t->done = true;
            }
            p->task_count++;
        }
    }
}

static int task_compare(const void *a, const void *b)
{
    const struct task *x = a, *y = b;
    if (x->done != y->done)
        return x->done ? 1 : -1;
    return memcmp(x->owner.bytes, y->owner.bytes, sizeof(x->owner.bytes));
}

static int replay_deliver_all(struct replay *p)
{
    replay_collect(p);
    if (p->task_count > 0)
        qsort(p->tasks, p->task_count, sizeof(*p->tasks), task_compare);
    for (size_t i = 0, n; i < p->task_count && !p->tasks[i].done; i += n) {
        for (n = 1; i + n < p->task_count && !p->tasks[i + n].done &&
                    uuid_eq(&p->tasks[i].owner, &p->tasks[i + n].owner);)
            n++;
        if (replay_owner(p, &p->tasks[i], n) < 0)
            return -1;
    }
    return 0;
}

/* ---- the spool ---- */

static size_t replay_find(const struct envelope *e, uint64_t number)
{
    size_t i = 0;
    while (i < e->rcpt_count &&
           (e->rcpts[i].kind != QUEUE_RCPT_MAILBOX || e->rcpts[i].number != number))
        i++;
    return i;
}

/* Delivered: struck out, unless the sender is to hear of it. */
static void replay_rcpt_done(struct envelope *e, uint64_t number)
{
    size_t i = replay_find(e, number);
    if (i == e->rcpt_count || !envelope_rcpt_pending(&e->rcpts[i]))
        return;
    envelope_rcpt_end(e, &e->rcpts[i], ENVELOPE_DELIVERED);
    if (e->rcpts[i].done)
        envelope_remove(e, i);
}

static void replay_rcpt_remove(struct envelope *e, uint64_t number)
{
    size_t i = replay_find(e, number);
    if (i < e->rcpt_count)
        envelope_remove(e, i);
}

/* Strikes out of what is left to do what the replay has delivered. */
static void replay_strike(struct replay *p)
{
    for (size_t i = 0; i < p->task_count; i++) {
        struct task *t = &p->tasks[i];
        uint64_t number = t->item->first->rcpts[t->rcpt].number;
        if (!t->done) {
            /* Not done: it must be in the envelope that goes to the spool. */
            struct envelope *last = t->item->last;
            if (last != NULL)
                replay_rcpt_remove(last, number);
            if (last != NULL) {
                struct envelope_rcpt *r = envelope_add(last), *f = &t->item->first->rcpts[t->rcpt];
                r->kind = QUEUE_RCPT_MAILBOX;
                r->number = number;
                r->owner = f->owner;
                envelope_set(&r->address, f->address);
                envelope_set(&r->original, f->original);
                r->notify = f->notify;
                envelope_set(&r->orcpt, f->orcpt);
            }
        } else if (t->item->last != NULL) {
            replay_rcpt_done(t->item->last, number);
        }
    }
    /* Only now: tasks point into first by place. */
    for (size_t i = 0; i < p->task_count; i++)
        if (p->tasks[i].done && p->tasks[i].item->last == NULL)
            p->tasks[i].item->first->rcpts[p->tasks[i].rcpt].busy = true;
    struct item *it;
    RB_FOREACH (it, item_tree, &p->items) {
        for (size_t i = it->first == NULL ? 0 : it->first->rcpt_count; i-- > 0;)
            if (it->first->rcpts[i].busy)
                replay_rcpt_done(it->first, it->first->rcpts[i].number);
    }
}

static int replay_spool(struct replay *p, struct item *it)
{
    struct envelope *left = it->last != NULL ? it->last : it->first;
    if (left->rcpt_count == 0)
        return spool_remove(p->spool, it->id, it->type != RECORD_FILE || it->first == NULL);
    if (it->first != NULL && it->type == RECORD_MESSAGE) {
        /* Whatever is there may be cut off. */
        int fd = spool_open_message(p->spool, it->id);
        int same = fd < 0 ? 0 : replay_same(p, it, fd);
        if (fd >= 0)
            close(fd);
        if (same != 1) {
            if (spool_remove(p->spool, it->id, true) < 0 || (fd = replay_open(p, it)) < 0)
                return -1;
            int r = spool_link(p->spool, it->id, fd, false);
            int error = errno;
            close(fd);
            errno = error;
            if (r < 0)
                return -1;
        }
    }
    return spool_write(p->spool, left);
}

static int replay_spool_all(struct replay *p)
{
    struct item *it;
    replay_strike(p);
    RB_FOREACH (it, item_tree, &p->items) {
        if (replay_spool(p, it) < 0) {
            log_error("message of the journal cannot be kept in the spool", LOG_STR("id", it->id),
                      LOG_ERRNO(errno));
            return -1;
        }
    }
    return 0;
}

/* ---- all of it ---- */

static void replay_report(struct replay *p)
{
    struct replay_result *out = p->result;
    struct item *it;
    out->messages = mem_zalloc((p->item_count + 1) * sizeof(*out->messages));
    RB_FOREACH (it, item_tree, &p->items) {
        if (it->first == NULL)
            continue;
        struct replay_message *m = &out->messages[out->count++];
        memcpy(m->id, it->id, ID_STRLEN);
        m->generation = it->generation;
        m->file = it->type == RECORD_FILE;
    }
}

static void replay_free(struct replay *p)
{
    struct item *it, *next;
    struct forgotten *f, *fnext;
    RB_FOREACH_SAFE(it, item_tree, &p->items, next)
    {
        RB_REMOVE(item_tree, &p->items, it);
        envelope_free(&it->first);
        envelope_free(&it->last);
        free(it);
    }
    RB_FOREACH_SAFE(f, forgotten_tree, &p->forgotten, fnext)
    {
        RB_REMOVE(forgotten_tree, &p->forgotten, f);
        free(f);
    }
    free(p->tasks);
}

int replay_run(struct journal *j, const struct spool *s, struct replay_result *out)
{
    struct replay p = {.journal = j, .spool = s, .result = out};
    memset(out, 0, sizeof(*out));
    RB_INIT(&p.items);
    RB_INIT(&p.forgotten);
    int r = journal_replay(j, replay_record, &p);
    if (r < 0)
        log_error("journal cannot be read", LOG_ERRNO(errno));
    if (r == 0)
        r = replay_deliver_all(&p);
    if (r == 0)
        r = replay_spool_all(&p);
    if (r == 0)
        replay_report(&p);
    replay_free(&p);
    return r;
}
