/* One job of the queue: a message for recipients that have the same next hop. */
#ifndef DIRIGO_RELAY_JOB_H
#define DIRIGO_RELAY_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/ipc/msg.h"
#include "gateway/queue/options.h"
#include "gateway/queue/protocol.h"

struct relay_rcpt {
    char *address;
    bool utf8;       /* it needs SMTPUTF8 */
    unsigned notify; /* QUEUE_NOTIFY_*; 0: not given */
    char *orcpt;     /* or NULL */
    bool told;       /* the host that took it knows them */
    bool decided;    /* status, host and text hold */
    bool final;      /* no other host may be tried for it */
    enum relay_status status;
    char *host; /* "name[address]:port" of who decided; "" for this host */
    char *text; /* as QUEUE_MSG_RELAY_DONE says */
};

struct relay_job {
    char *job, *id, *sender, *next_hop;
    uint64_t size;   /* of the file */
    uint32_t offset; /* where what is sent begins */
    bool body_8bit;
    struct queue_options options; /* its string is allocated */
    int fd;
    struct relay_rcpt *rcpts;
    size_t count;
};

/* Reads QUEUE_MSG_RELAY_JOB; NULL where it is malformed. */
struct relay_job *relay_job_read(struct msg *m);
/* Closes the descriptor too. *job may be NULL. */
void relay_job_free(struct relay_job **job);
/* The report, QUEUE_MSG_RELAY_DONE; every recipient has been decided. */
struct msg *relay_job_report(const struct relay_job *job);

/*
 * Decides about a recipient; a decision that was not final is replaced. code: the SMTP code that a
 * remote host gave, or 0. enhanced: its code by RFC 3463, or "" for the class alone; the class is
 * made that of the status. words: bounded and made one line of printable ASCII here.
 */
void relay_rcpt_decide(struct relay_rcpt *rcpt, enum relay_status status, bool final,
                       const char *host, unsigned code, const char *enhanced, const char *words);
/* The same for all recipients of the job that have no final decision. */
void relay_job_decide(struct relay_job *job, enum relay_status status, bool final, const char *host,
                      unsigned code, const char *enhanced, const char *words);
/* Whether every decision is final. */
bool relay_job_final(const struct relay_job *job);
/* "sent", "deferred" or "bounced". */
const char *relay_status_word(enum relay_status status);

#endif
