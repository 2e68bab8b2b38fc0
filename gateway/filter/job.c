#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/filter/filter.h"
#include "gateway/filter/rewrite.h"

enum {
    PIECE = 1 << 16,
    FIELDS_MAX = 2000
};

enum asker {
    ASKER_SPF,
    ASKER_DKIM,
    ASKER_ARC,
    ASKER_DMARC
};

/* One question that is out. */
struct question {
    LIST_ENTRY(question) link;
    struct job *job;
    enum asker asker;
    size_t index;
    uint32_t id;
};

static void proceed(struct job *job);

/* ---- the end ---- */

static void job_free(struct job *job)
{
    struct question *q;

    TAILQ_REMOVE(&job->filter->jobs, job, link);
    while ((q = LIST_FIRST(&job->questions)) != NULL) {
        dns_cancel(job->filter->dns, q->id);
        LIST_REMOVE(q, link);
        free(q);
    }
    if (job->fd >= 0)
        close(job->fd);
    spf_free(&job->spf);
    dkim_verifier_free(&job->dkim);
    arc_verifier_free(&job->arc);
    dmarc_free(&job->dmarc);
    bodyhash_free(&job->hashes);
    buf_free(&job->head);
    buf_free(&job->added);
    arena_free(&job->arena);
    service_session_end(job->filter->service);
    free(job);
}

static void finish(struct job *job)
{
    if (job->peer != NULL)
        filter_reply(job);
    job_free(job);
}

static void fail(struct job *job, const char *what, int error)
{
    log_error("message cannot be filtered", LOG_STR("id", job->request.id), LOG_STR("what", what),
              LOG_ERRNO(error));
    job->result = (struct filter_result){.verdict = FILTER_DEFER, .text = "Filtering failed"};
    finish(job);
}

void job_peer_gone(struct filter *f, const struct ipc_peer *peer)
{
    struct job *job, *next;

    TAILQ_FOREACH_SAFE (job, &f->jobs, link, next) {
        if (job->peer != peer)
            continue;
        job->peer = NULL;
        if (!job->in_worker) /* else its end frees it */
            job_free(job);
    }
}

void job_end_all(struct filter *f)
{
    struct job *job;

    while ((job = TAILQ_FIRST(&f->jobs)) != NULL)
        job_free(job);
}

/* ---- the file ---- */

/* Reads up to the end of the header, and a little of the body. 0 or an errno. */
static int read_head(struct job *job)
{
    uint64_t limit = job->request.message_at + (uint64_t)job->filter->conf->header_size_limit;
    uint64_t at = 0;

    if (limit > job->request.size)
        limit = job->request.size;
    job->head.max = (size_t)limit + PIECE;
    while (at < limit) {
        size_t want = limit - at < PIECE ? (size_t)(limit - at) : PIECE;
        char *room = buf_reserve(&job->head, want);
        ssize_t n = room != NULL ? pread(job->fd, room, want, (off_t)at) : -1;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        /* The end may lie across two pieces. */
        size_t from = job->head.len > 3 ? job->head.len - 3 : 0;
        buf_commit(&job->head, (size_t)n);
        at += (uint64_t)n;
        if (from < job->request.message_at)
            from = job->request.message_at;
        if (job->head.len > from &&
            memmem(job->head.data + from, job->head.len - from, "\r\n\r\n", 4) != NULL)
            break;
    }
    return 0;
}

static int read_fields(struct job *job)
{
    size_t body, from = job->request.message_at;

    if (job->head.len < from ||
        fields_read(&job->fields, (const char *)job->head.data + from, job->head.len - from,
                    FIELDS_MAX, job->arena, &body) != 0)
        return -1;
    job->body_at = from + body;
    buf_truncate(&job->head, (size_t)job->body_at);
    return 0;
}

static void hash_body(void *arg)
{
    struct job *job = arg;
    char piece[PIECE];

    for (uint64_t at = job->body_at; at < job->request.size;) {
        ssize_t n = pread(job->fd, piece, sizeof(piece), (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            job->error = n < 0 ? errno : EIO;
            return;
        }
        if ((uint64_t)n > job->request.size - at)
            n = (ssize_t)(job->request.size - at);
        bodyhash_push(job->hashes, piece, (size_t)n);
        at += (uint64_t)n;
    }
    bodyhash_finish(job->hashes);
}

static void body_hashed(void *arg)
{
    struct job *job = arg;

    job->in_worker = false;
    if (job->peer == NULL)
        job_free(job);
    else if (job->error != 0)
        fail(job, "reading the body", job->error);
    else
        proceed(job);
}

static void write_head(void *arg)
{
    struct job *job = arg;
    struct buf head = {.max = job->head.len + job->added.len + 1};
    uint64_t size = job->request.size;

    if (decide_head(job, &head) != 0)
        job->error = ENOMEM;
    else if (rewrite_head(job->fd, &size, job->body_at, head.data, head.len) != 0)
        job->error = errno;
    job->result.size = size;
    buf_free(&head);
}

static void head_written(void *arg)
{
    struct job *job = arg;

    job->in_worker = false;
    if (job->peer == NULL)
        job_free(job);
    else if (job->error != 0)
        fail(job, "writing the header", job->error);
    else
        finish(job);
}

static void into_worker(struct job *job, void (*run)(void *), void (*done)(void *))
{
    job->in_worker = true;
    worker_run(job->filter->workers, run, done, job);
}

/* ---- questions ---- */

static void on_answer(const struct dns_answer *a, void *arg)
{
    struct question *q = arg;
    struct job *job = q->job;

    LIST_REMOVE(q, link);
    switch (q->asker) {
    case ASKER_SPF:
        spf_answer(job->spf, a);
        break;
    case ASKER_DKIM:
        dkim_answer(job->dkim, q->index, a);
        break;
    case ASKER_ARC:
        arc_answer(job->arc, q->index, a);
        break;
    case ASKER_DMARC:
        dmarc_answer(job->dmarc, a);
        break;
    }
    free(q);
    proceed(job);
}

static void ask(struct job *job, enum asker asker, size_t index, const char *name, uint16_t type)
{
    struct question *q = mem_zalloc(sizeof(*q));

    *q = (struct question){.job = job, .asker = asker, .index = index};
    LIST_INSERT_HEAD(&job->questions, q, link);
    q->id = dns_query(job->filter->dns, name, type, on_answer, q);
}

static bool is_asked(const struct job *job, enum asker asker)
{
    const struct question *q;

    LIST_FOREACH (q, &job->questions, link) {
        if (q->asker == asker)
            return true;
    }
    return false;
}

/* What can be asked only when the answer before is there. */
static void ask_next(struct job *job)
{
    const char *name;
    uint16_t type;

    if (job->spf != NULL && !is_asked(job, ASKER_SPF) && spf_next(job->spf, &name, &type))
        ask(job, ASKER_SPF, 0, name, type);
    if (job->dmarc != NULL && !is_asked(job, ASKER_DMARC) &&
        (name = dmarc_question(job->dmarc)) != NULL)
        ask(job, ASKER_DMARC, 0, name, DNS_TYPE_TXT);
}

static void ask_all(struct job *job)
{
    const char *name;

    for (size_t i = 0; job->dkim != NULL && i < dkim_count(job->dkim); i++) {
        if (dkim_question(job->dkim, i) != NULL)
            ask(job, ASKER_DKIM, i, dkim_question(job->dkim, i), DNS_TYPE_TXT);
    }
    for (size_t i = 0; job->arc != NULL && (name = arc_question(job->arc, i)) != NULL; i++)
        ask(job, ASKER_ARC, i, name, DNS_TYPE_TXT);
    ask_next(job);
}

/* ---- the story ---- */

/* Goes on where nothing is out any more. */
static void proceed(struct job *job)
{
    ask_next(job);
    if (job->in_worker || !LIST_EMPTY(&job->questions))
        return;
    decide(job);
    if (job->result.verdict >= FILTER_REJECT)
        finish(job);
    else
        into_worker(job, write_head, head_written);
}

static void make_engines(struct job *job)
{
    const struct filter *f = job->filter;
    const struct conf *conf = f->conf;
    const struct filter_request *r = &job->request;
    const struct signature_limits limits = {.now = job->now,
                                            .drift = conf->dkim_clock_drift / 1000,
                                            .minimum_rsa = (unsigned)conf->dkim_minimum_key_bits};

    job->hashes = bodyhash_new((size_t)conf->dkim_maximum_signatures + 3);
    job->authors = dmarc_author(&job->fields, job->arena, &job->author);
    if (!(r->flags & FILTER_VERIFY))
        return;
    if (f->spf || f->dmarc) {
        const struct spf_query q = {.ip = r->peer,
                                    .helo = r->helo,
                                    .sender = r->sender,
                                    .receiver = conf->myhostname,
                                    .now = job->now,
                                    .lookup_limit = (unsigned)conf->spf_lookup_limit,
                                    .void_limit = (unsigned)conf->spf_void_lookup_limit};
        job->spf = spf_new(&q);
    }
    if (f->dkim || f->dmarc)
        job->dkim = dkim_verifier_new(&job->fields, job->hashes,
                                      (size_t)conf->dkim_maximum_signatures, &limits, job->arena);
    if (f->arc)
        job->arc = arc_verifier_new(&job->fields, job->hashes, &limits, job->arena);
    if (f->dmarc && job->authors == DMARC_AUTHOR_ONE)
        job->dmarc = dmarc_new(job->author, suffix_organisation, f->suffixes);
    if (f->arc && (r->flags & FILTER_SEAL))
        sealing_find(job);
}

void job_new(struct filter *f, struct ipc_peer *peer, uint32_t request_id, struct arena *arena,
             const struct filter_request *request, int fd)
{
    struct job *job = mem_zalloc(sizeof(*job));
    int error;

    *job = (struct job){.filter = f,
                        .peer = peer,
                        .request_id = request_id,
                        .arena = arena,
                        .request = *request,
                        .fd = fd,
                        .now = (int64_t)clock_wall(),
                        .result = {.text = "", .size = request->size}};
    TAILQ_INSERT_TAIL(&f->jobs, job, link);
    LIST_INIT(&job->questions);
    f->checked++;
    /* A request that came is served: the limit is the front ends'. */
    (void)service_session_begin(f->service);
    if (request->flags & FILTER_FORWARD)
        job->result.sender = forward_sender(f, request->sender, job->now, arena);
    if (!(request->flags & (FILTER_VERIFY | FILTER_SIGN))) {
        finish(job);
        return;
    }
    error = read_head(job);
    if (error != 0) {
        fail(job, "reading the header", error);
        return;
    }
    if (read_fields(job) != 0) {
        fail(job, "a header of too many fields", 0);
        return;
    }
    make_engines(job);
    if ((request->flags & FILTER_SIGN) && signing_find(job) != 0) {
        finish(job);
        return;
    }
    if (!(request->flags & FILTER_VERIFY) && job->signer_count == 0) {
        finish(job); /* nothing to be done */
        return;
    }
    into_worker(job, hash_body, body_hashed);
    ask_all(job);
}
