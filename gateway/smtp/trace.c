/* The header fields that we add: trace information, and what a submitted message lacks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/base/clock.h"
#include "gateway/smtp/smtpd.h"

#define DATE_MAX 64

/* RFC 5322 section 3.3, in local time. */
static const char *date(char dst[DATE_MAX])
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = (time_t)clock_wall();
    struct tm tm;

    localtime_r(&now, &tm);
    long minutes = labs(tm.tm_gmtoff) / 60;
    snprintf(dst, DATE_MAX, "%s, %d %s %d %02d:%02d:%02d %c%02ld%02ld", days[tm.tm_wday],
             tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec,
             tm.tm_gmtoff < 0 ? '-' : '+', minutes / 60, minutes % 60);
    return dst;
}

/* RFC 3848 and 6531 section 4.3: ESMTP, LMTP, UTF8SMTP, with S for TLS and A for a login. */
static const char *with(const struct session *s, char dst[16])
{
    bool utf8 = (s->tx->options.flags & QUEUE_UTF8) != 0;
    const char *base = s->flavour->lmtp ? (utf8 ? "UTF8LMTP" : "LMTP")
                       : utf8           ? "UTF8SMTP"
                       : s->esmtp       ? "ESMTP"
                                        : "SMTP";

    snprintf(dst, 16, "%s%s%s", base, s->tls && s->esmtp ? "S" : "",
             s->login != NULL && s->esmtp ? "A" : "");
    return dst;
}

void trace_headers(const struct session *s, const char *id, struct buf *out,
                   uint32_t *return_path_len)
{
    const struct transaction *tx = s->tx;
    char literal[NETADDR_STRLEN + 8], protocol[16], now[DATE_MAX];
    struct tls_info info;

    buf_printf(out, "Return-Path: <%s>\r\n", transaction_sender(tx, STAILQ_FIRST(&tx->parts)));
    *return_path_len = (uint32_t)out->len;
    /* Where somebody is who has logged in may be his own business. */
    bool hidden = s->login != NULL && s->d->conf->submission_hide_client;
    session_peer_literal(s, literal);
    /* The name only where DNS has it both ways, and only where a restriction had to know it. */
    const char *name = s->client_name.verified == CLIENT_NAME_FOUND ? s->client_name.name : NULL;
    buf_append_str(out, "Received:");
    if (!hidden)
        buf_printf(out, " from %s (%s%s%s)\r\n", s->helo != NULL ? s->helo : literal,
                   name != NULL ? name : "", name != NULL ? " " : "", literal);
    if (s->tls && !hidden) {
        stream_tls_info(s->stream, &info);
        buf_printf(out, "\t(using %s with cipher %s (%d bits))\r\n", info.version, info.cipher,
                   info.bits);
    }
    buf_printf(out, "%sby %s (Dirigo) with %s id %s", hidden ? " " : "\t", s->d->conf->myhostname,
               with(s, protocol), id);
    /* More than one would tell each of the others (RFC 5321 section 7.6). */
    if (tx->recipient_count == 1)
        buf_printf(out, "\r\n\tfor <%s>", STAILQ_FIRST(&tx->recipients)->address);
    buf_printf(out, ";\r\n\t%s\r\n", date(now));
}

void trace_missing_fields(const struct session *s, const char *id, unsigned seen, struct buf *out)
{
    char now[DATE_MAX];

    if (!(seen & SMTP_HEADER_DATE))
        buf_printf(out, "Date: %s\r\n", date(now));
    if (!(seen & SMTP_HEADER_FROM) && s->tx->sender.full[0] != '\0')
        buf_printf(out, "From: <%s>\r\n", s->tx->sender.full);
    if (!(seen & SMTP_HEADER_MESSAGE_ID))
        buf_printf(out, "Message-ID: <%s@%s>\r\n", id, s->d->conf->myhostname);
}
