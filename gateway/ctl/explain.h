/*
 * Asking what an SMTP session would hear, with the code of the live session. For `dirigo explain`
 * and `dirigo what-if`.
 */
#ifndef DIRIGO_CTL_EXPLAIN_H
#define DIRIGO_CTL_EXPLAIN_H

#include "gateway/base/buf.h"
#include "gateway/event/loop.h"
#include "gateway/smtp/evaluate.h"

/* The session in question. */
struct explain_question {
    struct netaddr client;
    const char *helo;
    const char *from, *to; /* "" is the sender of bounces */
    const char *login;     /* NULL: nobody has logged in */
    bool submission, tls;
};

struct explain_attr {
    const char *name, *value;
};

/* An entry that a lookup found. */
struct explain_entry {
    const char *dn;
    const char *by;             /* what it was looked up by */
    struct explain_attr *attrs; /* what it means to mail */
    size_t attr_count;
};

struct explain_answer {
    struct arena *arena;
    bool accepted;
    unsigned code; /* 250 where it is accepted */
    char status[12];
    char text[RESTRICTION_REPLY_MAX];
    const char *stage; /* "smtpd_relay_restrictions", "recipient", "login" …; NULL: accepted */
    const char *restriction;     /* NULL: accepted */
    const char *dn;              /* of the entry or policy that decided; NULL: dirigo.conf */
    const char *reason;          /* more words, or NULL */
    struct resolution recipient; /* strings in the arena; answer unknown where it was not asked */
    bool resolved;
    struct restriction_trace *trace; /* every restriction evaluated, in order */
    size_t trace_count, trace_cap;
    struct explain_entry *entries;
    size_t entry_count, entry_cap;
    struct directory_state state;
};

/*
 * Asks; the directory of by is traced meanwhile. Returns 0 and the answer, which ends with
 * explain_answer_free, or -1 with an allocated text in error (an address is malformed).
 */
int explain_ask(struct evaluator *by, struct loop *loop, const struct explain_question *q,
                struct explain_answer *out, char **error);
void explain_answer_free(struct explain_answer *a);

#endif
