#include "directory/dynamic.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "directory/memberurl.h"
#include "directory/protocol.h"
#include "directory/replica.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"

#define QUESTIONS_MAX 32 /* at one time */

/* One group that a front end asks for; its URLs are asked one after another. */
struct question {
    LIST_ENTRY(question) link;
    struct dynamic *dynamic;
    struct ipc_peer *peer;
    uint32_t id;
    struct uuid group;
    size_t next; /* URL */
    struct source_search *search;
    struct buf uuids;
};

struct dynamic {
    const struct conf *conf;
    struct directory *directory;
    struct source *(*source_of)(void *arg, const struct uuid *group);
    void *source_arg;
    LIST_HEAD(, question) questions;
    size_t count;
};

struct dynamic *dynamic_new(const struct conf *conf, struct directory *directory,
                            struct source *(*source_of)(void *arg, const struct uuid *group),
                            void *arg)
{
    struct dynamic *d = mem_zalloc(sizeof *d);
    d->conf = conf;
    d->directory = directory;
    d->source_of = source_of;
    d->source_arg = arg;
    LIST_INIT(&d->questions);
    return d;
}

static void drop(struct question *q)
{
    source_search_cancel(q->search);
    LIST_REMOVE(q, link);
    q->dynamic->count--;
    buf_free(&q->uuids);
    free(q);
}

void dynamic_free(struct dynamic **d)
{
    if (*d == NULL)
        return;
    while (!LIST_EMPTY(&(*d)->questions))
        drop(LIST_FIRST(&(*d)->questions));
    free(*d);
    *d = NULL;
}

void dynamic_peer_gone(struct dynamic *d, const struct ipc_peer *peer)
{
    struct question *q, *next;
    LIST_FOREACH_SAFE (q, &d->questions, link, next)
        if (q->peer == peer)
            drop(q);
}

static void reply(struct ipc_peer *peer, uint32_t id, enum answer answer, const char *why,
                  const struct buf *uuids)
{
    struct msg *m = msg_new(DIRECTORY_MSG_MEMBERS_RESULT);
    size_t n = uuids == NULL ? 0 : uuids->len / sizeof(struct uuid);
    msg_put_u8(m, (uint8_t)answer);
    msg_put_str(m, why);
    msg_put_u32(m, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        msg_put_uuid(m, (const struct uuid *)uuids->data + i);
    ipc_reply(peer, id, &m);
}

static void finish(struct question *q, enum answer answer, const char *why)
{
    reply(q->peer, q->id, answer, why, answer == ANSWER_FOUND ? &q->uuids : NULL);
    drop(q);
}

static size_t members_max(const struct dynamic *d)
{
    int64_t limit = d->conf->alias_expansion_limit;
    return limit < DIRECTORY_MEMBERS_MAX ? (size_t)limit : DIRECTORY_MEMBERS_MAX;
}

static void ask_next(struct question *q);

static void searched(enum answer answer, const struct uuid *uuids, size_t n, const char *why,
                     void *arg)
{
    struct question *q = arg;
    q->search = NULL;
    if (answer != ANSWER_FOUND) {
        finish(q, ANSWER_UNKNOWN, why);
        return;
    }
    if (n > 0)
        buf_append(&q->uuids, uuids, n * sizeof *uuids);
    if (q->uuids.len / sizeof *uuids > members_max(q->dynamic))
        finish(q, ANSWER_UNKNOWN, "more members than alias_expansion_limit allows");
    else
        ask_next(q);
}

/* The next URL as the group has it now: FOUND with *url; ABSENT: there are no more. */
static enum answer next_url(struct question *q, struct memberurl *url, char why[200])
{
    struct snapshot *snap = snapshot_take(q->dynamic->directory);
    const struct entry *e;
    enum answer answer = ANSWER_UNKNOWN;
    strlcpy(why, "the group cannot be read", 200);
    if (snap != NULL)
        answer = entry_by_uuid(snap, &q->group, &e);
    if (answer == ANSWER_FOUND) {
        const char *text = entry_value(e, ATTR_MEMBER_URL, q->next++);
        const char *fault = text == NULL ? NULL : memberurl_parse(url, text);
        if (text == NULL) {
            answer = ANSWER_ABSENT;
        } else if (fault != NULL) {
            log_warning("memberURL cannot be used", LOG_STR("dn", entry_dn(e)),
                        LOG_STR("url", text), LOG_STR("reason", fault));
            strlcpy(why, fault, 200);
            answer = ANSWER_UNKNOWN;
        }
    }
    snapshot_release(&snap);
    return answer;
}

static void ask_next(struct question *q)
{
    struct memberurl url;
    char text[200];
    const char *why = text;
    enum answer answer = next_url(q, &url, text);
    if (answer == ANSWER_ABSENT) {
        finish(q, ANSWER_FOUND, NULL);
        return;
    }
    struct source *source =
        answer == ANSWER_FOUND ? q->dynamic->source_of(q->dynamic->source_arg, &q->group) : NULL;
    if (answer == ANSWER_FOUND && source == NULL)
        why = "the group cannot be read";
    if (source != NULL)
        q->search = source_search(source, &url, members_max(q->dynamic), searched, q, &why);
    if (q->search == NULL)
        finish(q, ANSWER_UNKNOWN, why);
}

int dynamic_request(struct dynamic *d, struct ipc_peer *peer, struct msg *m)
{
    struct uuid group = msg_get_uuid(m);
    if (msg_end(m) < 0)
        return -1;
    if (d->count >= QUESTIONS_MAX) {
        reply(peer, msg_id(m), ANSWER_UNKNOWN, "too many groups are asked for at once", NULL);
        return 0;
    }
    struct question *q = mem_zalloc(sizeof *q);
    q->dynamic = d;
    q->peer = peer;
    q->id = msg_id(m);
    q->group = group;
    LIST_INSERT_HEAD(&d->questions, q, link);
    d->count++;
    ask_next(q);
    return 0;
}
