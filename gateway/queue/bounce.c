#include "gateway/queue/bounce.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gateway/base/str.h"
#include "gateway/proto/smtp_command.h"

#define BOUNCE_TEXT_MAX 400 /* of a reply, so that no line grows past 998 bytes */
#define BOUNCE_LINE_MAX 990
#define UTF8_TEXT       "text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit"
#define UTF8_STATUS     "message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit"

/* RFC 5322 section 3.3, in UTC. */
static int put_date(struct buf *out, int64_t wall)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t t = (time_t)wall;
    struct tm tm;
    if (gmtime_r(&t, &tm) == NULL)
        memset(&tm, 0, sizeof(tm));
    return buf_printf(out, "%s, %d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday % 7], tm.tm_mday,
                      months[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Whether the report is one of RFC 6533, in UTF-8: as its message was. */
static bool is_utf8(const struct bounce_params *p)
{
    return (p->envelope->options.flags & QUEUE_UTF8) != 0;
}

/* Text of others inside a line: printable ASCII stays, and UTF-8 where the report is in it; the
 * rest becomes '?'. */
static int put_text(const struct bounce_params *p, struct buf *out, const char *s)
{
    bool utf8 =
        s != NULL && is_utf8(p) && strlen(s) < BOUNCE_TEXT_MAX && str_utf8_valid(s, strlen(s));
    int r = 0;
    for (size_t n = 0; s != NULL && s[n] != '\0' && n < BOUNCE_TEXT_MAX; n++) {
        unsigned char c = (unsigned char)s[n];
        r |= buf_append_byte(out, (c >= ' ' && c < 0x7f) || (utf8 && c > 0x7f) ? c : '?');
    }
    return r;
}

static const char *read_number(const char *s, int max_digits)
{
    int n = 0;
    while (n < max_digits && isdigit((unsigned char)s[n]))
        n++;
    return n > 0 ? s + n : NULL;
}

const char *bounce_status(const char *reply, char dst[16])
{
    const char *s = reply == NULL ? "" : reply;
    int class = *s == '2' || *s == '4' || *s == '5' ? *s - '0' : 5;
    snprintf(dst, 16, "%d.0.0", class);
    const char *p = read_number(s, 3);
    if (p == NULL)
        return dst;
    /* The relay's own words begin with the status, others' with the reply code. */
    const char *status = *p == ' ' || *p == '-' ? p + 1 : s;
    if (*status != (char)('0' + class) || status[1] != '.' ||
        (p = read_number(status + 2, 3)) == NULL || *p != '.' ||
        (p = read_number(p + 1, 3)) == NULL || (*p != ' ' && *p != '\0'))
        return dst;
    snprintf(dst, 16, "%.*s", (int)(p - status), status);
    return dst;
}

/* What a report says of each state: the word of RFC 3464, and its status where there is no better.
 */
static const struct {
    const char *action, *status, *words;
} states[] = {
    [ENVELOPE_PENDING] = {"delayed", "4.0.0", "not delivered yet"},
    [ENVELOPE_BOUNCED] = {"failed", "5.4.7", "it could not be delivered in time"},
    [ENVELOPE_DELIVERED] = {"delivered", "2.1.5", "delivered into the mailbox"},
    [ENVELOPE_RELAYED] = {"relayed", "2.1.9", "passed on to a system that makes no such reports"},
    [ENVELOPE_EXPANDED] = {"expanded", "2.1.5", "passed on to all that this address stands for"},
    [ENVELOPE_DELAYED] = {"delayed", "4.4.7", "not delivered yet; it is still tried"},
    [ENVELOPE_WARNED] = {"delayed", "4.0.0", "not delivered yet"},
};

/* The paragraphs, in their order, and the subject where one is the first. */
static const struct {
    enum envelope_state state;
    const char *subject, *words;
} paragraphs[] = {
    {ENVELOPE_BOUNCED, "Undelivered Mail Returned to Sender",
     "Your message could not be delivered to the recipients below, and it will not\r\n"
     "be tried again. It follows at the end, or its headers do.\r\n"},
    {ENVELOPE_DELAYED, "Delayed Mail (still being tried)",
     "Your message has not reached the recipients below yet. It is still tried; you\r\n"
     "need not send it again.\r\n"},
    {ENVELOPE_DELIVERED, "Successful Mail Delivery Report",
     "Your message was delivered to the recipients below.\r\n"},
    {ENVELOPE_EXPANDED, "Successful Mail Delivery Report",
     "Your message was passed on to all that the addresses below stand for; you will\r\n"
     "not hear of each delivery.\r\n"},
    {ENVELOPE_RELAYED, "Successful Mail Delivery Report",
     "Your message was passed on to a system that does not report deliveries, for the\r\n"
     "recipients below.\r\n"},
};

#define PARAGRAPHS (sizeof(paragraphs) / sizeof(paragraphs[0]))

static bool has_state(const struct bounce_params *p, enum envelope_state state)
{
    for (size_t i = 0; i < p->envelope->rcpt_count; i++)
        if (p->envelope->rcpts[i].state == state)
            return true;
    return false;
}

/* Temporary trouble that lasted too long is 5 (RFC 3463: delivery time expired), and a class that
 * the action contradicts is not said. */
static const char *final_status(const struct envelope_rcpt *r, char dst[16])
{
    const char *most = states[r->state].status;
    bounce_status(r->status, dst);
    if (r->status == NULL || dst[0] != most[0])
        snprintf(dst, 16, "%s", most);
    return dst;
}

static int put_head(const struct bounce_params *p, struct buf *out)
{
    size_t i = 0;
    while (i + 1 < PARAGRAPHS && !has_state(p, paragraphs[i].state))
        i++;
    int r = buf_append_str(out, "Date: ");
    r |= put_date(out, p->now);
    r |= buf_printf(out, "\r\nFrom: Mail Delivery System <MAILER-DAEMON@%s>\r\nTo: <", p->hostname);
    r |= put_text(p, out, p->envelope->sender);
    r |= buf_printf(out,
                    ">\r\nSubject: %s\r\n"
                    "Message-ID: <%s@%s>\r\nAuto-Submitted: auto-replied\r\n"
                    "MIME-Version: 1.0\r\n"
                    "Content-Type: multipart/report; report-type=%s;\r\n"
                    "\tboundary=\"%s/%s\"\r\n\r\n",
                    paragraphs[i].subject, p->id, p->hostname,
                    is_utf8(p) ? "global-delivery-status" : "delivery-status", p->id, p->hostname);
    return r;
}

static int put_part(const struct bounce_params *p, struct buf *out, const char *type)
{
    return buf_printf(out, "--%s/%s\r\nContent-Type: %s\r\n", p->id, p->hostname, type);
}

static int put_explained(const struct bounce_params *p, const struct envelope_rcpt *rcpt,
                         struct buf *out)
{
    int r = buf_append_str(out, "\r\n<");
    r |= put_text(p, out, rcpt->original == NULL ? rcpt->address : rcpt->original);
    r |= buf_append_str(out, ">:\r\n    ");
    if (rcpt->remote != NULL) {
        r |= put_text(p, out, rcpt->remote);
        r |= buf_append_str(out, " said: ");
    }
    r |= put_text(p, out, rcpt->status == NULL ? states[rcpt->state].words : rcpt->status);
    return r | buf_append_str(out, "\r\n");
}

static int put_explanation(const struct bounce_params *p, struct buf *out)
{
    int r = put_part(p, out, is_utf8(p) ? UTF8_TEXT : "text/plain; charset=us-ascii");
    r |= buf_printf(out, "\r\nThis is the mail system at %s.\r\n", p->hostname);
    for (size_t i = 0; i < PARAGRAPHS; i++) {
        if (!has_state(p, paragraphs[i].state))
            continue;
        r |= buf_printf(out, "\r\n%s", paragraphs[i].words);
        for (size_t j = 0; j < p->envelope->rcpt_count; j++)
            if (p->envelope->rcpts[j].state == paragraphs[i].state)
                r |= put_explained(p, &p->envelope->rcpts[j], out);
    }
    return r | buf_append_str(out, "\r\n");
}

static int put_field(const struct bounce_params *p, struct buf *out, const char *name,
                     const char *value)
{
    int r = buf_append_str(out, name);
    r |= put_text(p, out, value);
    return r | buf_append_str(out, "\r\n");
}

/* What was sent as xtext (RFC 3461 section 4), as it was meant; what is none goes as it came. */
static int put_xtext(const struct bounce_params *p, struct buf *out, const char *name,
                     const char *value)
{
    struct buf text = {.max = BOUNCE_TEXT_MAX};
    bool good = smtp_xtext_decode(&text, value, strlen(value)) == 0;
    int r = put_field(p, out, name, good ? buf_str(&text) : value);
    buf_free(&text);
    return r;
}

static bool is_ascii(const char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s > 0x7f)
            return false;
    return true;
}

static int put_original_rcpt(const struct bounce_params *p, const struct envelope_rcpt *rcpt,
                             struct buf *out)
{
    const char *colon = rcpt->orcpt == NULL ? NULL : strchr(rcpt->orcpt, ';');
    char name[80];
    if (colon == NULL)
        return rcpt->original == NULL
                   ? 0
                   : put_field(p, out,
                               is_ascii(rcpt->original) ? "Original-Recipient: rfc822; "
                                                        : "Original-Recipient: utf-8; ",
                               rcpt->original);
    size_t type = 0;
    while (rcpt->orcpt + type < colon && type < 40 &&
           (isalnum((unsigned char)rcpt->orcpt[type]) || rcpt->orcpt[type] == '-'))
        type++;
    snprintf(name, sizeof(name), "Original-Recipient: %.*s; ", (int)type, rcpt->orcpt);
    return put_xtext(p, out, name, colon + 1);
}

/* RFC 3464 section 2.3. */
static int put_rcpt_status(const struct bounce_params *p, const struct envelope_rcpt *rcpt,
                           struct buf *out)
{
    char status[16];
    int r = put_original_rcpt(p, rcpt, out);
    r |= put_field(
        p, out, is_ascii(rcpt->address) ? "Final-Recipient: rfc822; " : "Final-Recipient: utf-8; ",
        rcpt->address);
    r |= buf_printf(out, "Action: %s\r\nStatus: %s\r\n", states[rcpt->state].action,
                    final_status(rcpt, status));
    if (rcpt->remote != NULL)
        r |= put_field(p, out, "Remote-MTA: dns; ", rcpt->remote);
    if (rcpt->status != NULL) {
        bool reply = rcpt->remote != NULL && strspn(rcpt->status, "0123456789") == 3;
        r |= put_field(p, out, reply ? "Diagnostic-Code: smtp; " : "Diagnostic-Code: x-dirigo; ",
                       rcpt->status);
    }
    if (rcpt->state == ENVELOPE_DELAYED) {
        r |= buf_append_str(out, "Will-Retry-Until: ");
        r |= put_date(out, p->retry_until);
        r |= buf_append_str(out, "\r\n");
    }
    return r;
}

static int put_status(const struct bounce_params *p, struct buf *out)
{
    const char *envelope = p->envelope->options.envelope;
    int r = put_part(p, out, is_utf8(p) ? UTF8_STATUS : "message/delivery-status");
    r |= buf_append_str(out, "\r\n");
    if (envelope != NULL)
        r |= put_xtext(p, out, "Original-Envelope-Id: ", envelope);
    r |= buf_printf(out, "Reporting-MTA: dns; %s\r\nX-Dirigo-Queue-ID: %s\r\nArrival-Date: ",
                    p->hostname, p->envelope->id);
    r |= put_date(out, (int64_t)p->envelope->arrived);
    r |= buf_append_str(out, "\r\n");
    for (size_t i = 0; i < p->envelope->rcpt_count; i++) {
        r |= buf_append_str(out, "\r\n");
        r |= put_rcpt_status(p, &p->envelope->rcpts[i], out);
    }
    return r | buf_append_str(out, "\r\n");
}

/* The message, or its header section (RFC 3461 section 6.2: only a failure returns it whole),
 * without what a relay would leave out; lines are cut where they are too long, and end with CRLF
 * whatever they ended with. */
static int put_original(const struct bounce_params *p, struct buf *out, bool *body_8bit)
{
    const char *s = p->original, *end = s + p->original_len;
    int r = 0;
    size_t trace = (size_t)p->envelope->trace;
    s += trace < p->original_len ? trace : p->original_len;
    for (const char *c = s; c < end; c++)
        if ((unsigned char)*c > 0x7f)
            *body_8bit = true;
    bool full = p->full && has_state(p, ENVELOPE_BOUNCED);
    r |= put_part(p, out,
                  is_utf8(p) ? (full ? "message/global" : "message/global-headers")
                  : full     ? "message/rfc822"
                             : "text/rfc822-headers");
    r |= buf_printf(out, "Content-Transfer-Encoding: %s\r\n\r\n", *body_8bit ? "8bit" : "7bit");
    while (s < end) {
        const char *nl = memchr(s, '\n', (size_t)(end - s));
        size_t len = nl == NULL ? (size_t)(end - s) : (size_t)(nl - s);
        const char *next = nl == NULL ? end : nl + 1;
        if (len > 0 && s[len - 1] == '\r')
            len--;
        if (len == 0 && !full)
            break;
        r |= buf_append(out, s, len < BOUNCE_LINE_MAX ? len : BOUNCE_LINE_MAX);
        r |= buf_append_str(out, "\r\n");
        s = next;
    }
    return r;
}

int bounce_write(const struct bounce_params *p, struct buf *out, size_t *trace, bool *body_8bit)
{
    static const char return_path[] = "Return-Path: <>\r\n";
    *trace = sizeof(return_path) - 1;
    *body_8bit = is_utf8(p);
    int r = buf_append_str(out, return_path);
    r |= put_head(p, out);
    r |= put_explanation(p, out);
    r |= put_status(p, out);
    r |= put_original(p, out, body_8bit);
    return r | buf_printf(out, "\r\n--%s/%s--\r\n", p->id, p->hostname);
}
