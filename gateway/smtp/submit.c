/*
 * The header of a submitted message (RFC 6409 section 8): whose it says it is, and what it lacks.
 *
 * Who logs in owns what the header says of its sender, as it owns MAIL FROM: each address in From,
 * and that in Sender, is one that the login may send as (directory/send_as.h), with delegates and
 * groups as there. What may not be is refused, or told with a Sender field, as
 * submission_header_sender says.
 */
#include <stdio.h>
#include <string.h>

#include "directory/send_as.h"
#include "gateway/base/str.h"
#include "gateway/proto/header.h"
#include "gateway/proto/mime.h"
#include "gateway/smtp/smtpd.h"

#define ADDRESSES_MAX 100 /* in one From field */
#define SCRATCH_MAX   ((size_t)4 << 20)

struct look {
    struct session *s;
    struct snapshot *snap;
    struct arena *arena;
    unsigned seen;     /* SMTP_HEADER_* */
    unsigned from_all; /* mailboxes in From */
    bool twice;        /* From or Sender */
    bool alien_sender; /* Sender has one of those, or none */
    bool unknown;      /* nobody can tell now */
    const char *alien; /* an address that the login may not send as */
};

/* Whether the login may send as the mailbox; kept in *l. */
static void look_at(struct look *l, const struct mime_address *a)
{
    struct send_right right;

    if (a->host == NULL)
        return; /* the brackets of a group */
    l->from_all++;
    const char *text = *a->host != '\0' ? arena_printf(l->arena, "%s@%s", a->mailbox, a->host)
                                        : arena_strdup(l->arena, a->mailbox);
    if (text == NULL || l->snap == NULL) {
        l->unknown = true;
        return;
    }
    enum answer answer = may_send_as(l->snap, &l->s->login->owner, text, l->arena, &right);
    if (answer == ANSWER_UNKNOWN)
        l->unknown = true;
    else if (answer == ANSWER_ABSENT && l->alien == NULL)
        l->alien = text;
}

static void look_at_field(struct look *l, const struct header_field *f, unsigned bit)
{
    unsigned before = l->from_all;
    const char *alien = l->alien;

    l->alien = NULL;

    l->twice |= (l->seen & bit) != 0;
    l->seen |= bit;
    bool limited = false;
    struct mime_address *a =
        mime_addresses(f->value, f->value_len, ADDRESSES_MAX, l->arena, &limited);
    for (; a != NULL; a = a->next)
        look_at(l, a);
    /* No address, or more than are looked at: nothing that could be told of. */
    if (l->from_all == before || limited)
        l->alien = l->alien != NULL ? l->alien : "";
    if (bit == SMTP_HEADER_SENDER) {
        l->alien_sender |= l->alien != NULL;
        l->from_all = before;
    }
    l->alien = alien != NULL ? alien : l->alien;
}

static void look_at_event(struct look *l, enum header_event event, const struct header_field *f)
{
    if (event != HEADER_FIELD)
        return;
    if (header_field_is(f, "from"))
        look_at_field(l, f, SMTP_HEADER_FROM);
    else if (header_field_is(f, "sender"))
        look_at_field(l, f, SMTP_HEADER_SENDER);
}

static void look_through(struct look *l, const struct iovec pieces[2])
{
    struct header_reader *r = header_reader_new(pieces[0].iov_len + pieces[1].iov_len + 1);
    struct header_field f;
    enum header_event event = HEADER_MORE;

    for (int i = 0; i < 2; i++) {
        size_t at = 0;
        while (event != HEADER_END && at < pieces[i].iov_len) {
            at += header_reader_push(r, (const char *)pieces[i].iov_base + at,
                                     pieces[i].iov_len - at);
            event = header_reader_next(r, &f);
            look_at_event(l, event, &f);
        }
    }
    if (event != HEADER_END)
        header_reader_finish(r);
    while (event != HEADER_END) {
        event = header_reader_next(r, &f);
        look_at_event(l, event, &f);
    }
    header_reader_free(&r);
}

static void refuse(struct refusal *r, unsigned code, const char *status, const char *fmt,
                   const char *what)
{
    r->code = code;
    r->status = status;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(r->text, sizeof(r->text), fmt, what);
#pragma GCC diagnostic pop
}

void submit_header(struct session *s, const struct iovec pieces[2], struct buf *add,
                   struct refusal *refusal)
{
    const char *mode = s->d->conf->submission_header_sender;
    const char *sender = s->tx->sender.full;
    struct look l = {.s = s};

    if (strcmp(mode, "any") == 0 || s->login == NULL)
        return;
    l.arena = arena_new(SCRATCH_MAX);
    l.snap = snapshot_take(s->d->evaluator.directory);
    look_through(&l, pieces);
    if (l.twice)
        refuse(refusal, 550, "5.6.0", "The header has more than one %s", "From or Sender field");
    else if (l.unknown)
        refuse(refusal, 451, "4.4.3", "%s", "Temporary lookup failure");
    /* Who tells who sent it does not tell something else. */
    else if (l.alien != NULL && (l.alien_sender || strcmp(mode, "own") == 0))
        refuse(refusal, 550, "5.7.1", "The header's sender is not yours: <%.200s>", l.alien);
    /* RFC 5322 section 3.6.2: one who sent it, where From does not say who. */
    else if ((l.alien != NULL || l.from_all > 1) && !(l.seen & SMTP_HEADER_SENDER)) {
        if (*sender == '\0')
            sender = s->login->address;
        if (sender != NULL)
            buf_printf(add, "Sender: <%s>\r\n", sender);
        else if (l.alien != NULL)
            refuse(refusal, 550, "5.7.1", "The header's sender is not yours: <%.200s>", l.alien);
    }
    snapshot_release(&l.snap);
    arena_free(&l.arena);
}
