/* Jobs: read, decided, reported. */
#include "gateway/relay/job.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/mem.h"

enum {
    RCPTS_MAX = 100000, /* more do not fit a message of the channel */
    TEXT_MAX = 400,     /* of words; small, so that a report fits as well */
    REPORT_ROOM = MSG_BODY_MAX - 4096
};

static char *copy(const char *s)
{
    return mem_strdup(s != NULL ? s : "");
}

struct relay_job *relay_job_read(struct msg *m)
{
    struct relay_job *job = mem_zalloc(sizeof(*job));

    job->job = copy(msg_get_str(m));
    job->id = copy(msg_get_str(m));
    job->sender = copy(msg_get_str(m));
    job->size = msg_get_u64(m);
    job->offset = msg_get_u32(m);
    job->body_8bit = msg_get_bool(m);
    int bad = queue_options_get(m, &job->options);
    if (job->options.envelope != NULL)
        job->options.envelope = mem_strdup(job->options.envelope);
    job->next_hop = copy(msg_get_str(m));
    uint32_t count = msg_get_u32(m);
    if (msg_ok(m) && count <= RCPTS_MAX)
        job->rcpts = mem_zalloc((count + 1) * sizeof(*job->rcpts));
    while (job->rcpts != NULL && msg_ok(m) && job->count < count) {
        struct relay_rcpt *rcpt = &job->rcpts[job->count++];
        rcpt->address = copy(msg_get_str(m));
        rcpt->notify = msg_get_u8(m);
        const char *orcpt = msg_get_str(m);
        rcpt->orcpt = orcpt != NULL ? mem_strdup(orcpt) : NULL;
    }
    job->fd = msg_get_fd(m);
    if (msg_end(m) == -1 || bad == -1 || job->rcpts == NULL || job->count == 0 ||
        job->offset > job->size)
        relay_job_free(&job);
    return job;
}

static void clear_decision(struct relay_rcpt *rcpt)
{
    free(rcpt->host);
    free(rcpt->text);
    rcpt->host = rcpt->text = NULL;
}

void relay_job_free(struct relay_job **job)
{
    struct relay_job *j = *job;

    if (j == NULL)
        return;
    for (size_t i = 0; i < j->count; i++) {
        clear_decision(&j->rcpts[i]);
        free(j->rcpts[i].address);
        free(j->rcpts[i].orcpt);
    }
    if (j->fd != -1)
        close(j->fd);
    free(j->rcpts);
    free(j->job);
    free(j->id);
    free(j->sender);
    free(j->next_hop);
    free((char *)(uintptr_t)j->options.envelope);
    free(j);
    *job = NULL;
}

struct msg *relay_job_report(const struct relay_job *job)
{
    struct msg *m = msg_new(QUEUE_MSG_RELAY_DONE);
    size_t room = REPORT_ROOM / job->count; /* for each recipient */

    msg_put_str(m, job->job);
    msg_put_u32(m, (uint32_t)job->count);
    for (size_t i = 0; i < job->count; i++) {
        const struct relay_rcpt *rcpt = &job->rcpts[i];
        char text[TEXT_MAX + 32];
        size_t host = strlen(rcpt->host) + 17;
        (void)strlcpy(text, rcpt->text, sizeof(text));
        if (room < host + sizeof(text))
            text[room > host + 17 ? room - host : 16] = '\0';
        msg_put_u8(m, (uint8_t)rcpt->status);
        msg_put_str(m, rcpt->host);
        msg_put_str(m, text);
        msg_put_bool(m, rcpt->told);
    }
    return m;
}

/* Words as one bounded line of printable ASCII. */
static void put_words(char *dst, size_t size, const char *words)
{
    size_t n = 0;

    for (; *words != '\0' && n + 1 < size; words++) {
        char c = *words;
        if (c == '\n' || c == '\r' || c == '\t')
            c = ' ';
        dst[n++] = c >= 0x20 && c < 0x7f ? c : '?';
    }
    dst[n] = '\0';
}

void relay_rcpt_decide(struct relay_rcpt *rcpt, enum relay_status status, bool final,
                       const char *host, unsigned code, const char *enhanced, const char *words)
{
    char line[TEXT_MAX];
    char class = status == RELAY_SENT ? '2' : status == RELAY_DEFERRED ? '4' : '5';

    clear_decision(rcpt);
    put_words(line, sizeof(line), words);
    const char *detail = enhanced[0] != '\0' ? enhanced + 1 : ".0.0";
    rcpt->text = code != 0 ? mem_printf("%u %c%s %s", code, class, detail, line)
                           : mem_printf("%c%s %s", class, detail, line);
    rcpt->host = mem_strdup(host);
    rcpt->status = status;
    rcpt->decided = true;
    rcpt->final = final;
}

void relay_job_decide(struct relay_job *job, enum relay_status status, bool final, const char *host,
                      unsigned code, const char *enhanced, const char *words)
{
    for (size_t i = 0; i < job->count; i++)
        if (!job->rcpts[i].final)
            relay_rcpt_decide(&job->rcpts[i], status, final, host, code, enhanced, words);
}

bool relay_job_final(const struct relay_job *job)
{
    for (size_t i = 0; i < job->count; i++)
        if (!job->rcpts[i].final)
            return false;
    return true;
}

const char *relay_status_word(enum relay_status status)
{
    static const char *const words[] = {
        [RELAY_SENT] = "sent", [RELAY_DEFERRED] = "deferred", [RELAY_BOUNCED] = "bounced"};

    return words[status];
}
