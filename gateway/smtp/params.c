/* The parameters of MAIL and RCPT: one function each, which replies where it returns false. */
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/str.h"
#include "gateway/smtp/smtpd.h"

#define ENVID_MAX 100 /* RFC 3461 section 4.4 */
#define ORCPT_MAX 500 /* section 4.2 */

static bool syntax(struct session *s, const char *text)
{
    session_reply(s, 501, "5.5.4", "%s", text);
    return false;
}

/* Whether the value is xtext whose meaning is printable, of at most max bytes. */
static bool xtext_valid(const char *value, size_t max)
{
    struct buf b = {.max = max};
    bool good = smtp_xtext_decode(&b, value, strlen(value)) == 0;

    for (size_t i = 0; good && i < b.len; i++)
        good = b.data[i] >= ' ' && b.data[i] <= '~';
    buf_free(&b);
    return good;
}

/* ---- MAIL ---- */

static bool mail_size(struct session *s, struct transaction *tx, const char *value)
{
    uint64_t size;

    if (value == NULL || str_uint(value, strlen(value), UINT64_MAX, &size) != 0)
        return syntax(s, "SIZE needs a number");
    if (size > s->d->conf->message_size_limit) {
        session_reply(s, 552, "5.3.4", "Message size exceeds the limit");
        return false;
    }
    tx->declared_size = size;
    return true;
}

static bool mail_body(struct session *s, struct transaction *tx, const char *value)
{
    if (value != NULL && str_ieq(value, "8BITMIME"))
        tx->body_8bit = true;
    else if (value == NULL || !str_ieq(value, "7BIT"))
        return syntax(s, "BODY is 7BIT or 8BITMIME");
    return true;
}

/* RFC 4954 section 5: who vouches for the sender. It is checked and not believed. */
static bool mail_auth(struct session *s, struct transaction *tx, const char *value)
{
    (void)tx;
    return (value != NULL && xtext_valid(value, SMTP_ADDRESS_MAX)) ||
           syntax(s, "Malformed AUTH parameter");
}

static bool mail_ret(struct session *s, struct transaction *tx, const char *value)
{
    if (tx->options.ret != QUEUE_RET_NONE || value == NULL)
        return syntax(s, "RET is FULL or HDRS, once");
    if (str_ieq(value, "FULL"))
        tx->options.ret = QUEUE_RET_FULL;
    else if (str_ieq(value, "HDRS"))
        tx->options.ret = QUEUE_RET_HDRS;
    else
        return syntax(s, "RET is FULL or HDRS, once");
    return true;
}

static bool mail_envid(struct session *s, struct transaction *tx, const char *value)
{
    if (tx->options.envelope != NULL || value == NULL || !xtext_valid(value, ENVID_MAX))
        return syntax(s, "Malformed ENVID parameter");
    tx->options.envelope = value;
    return true;
}

/* RFC 6531 section 3.4 */
static bool mail_utf8(struct session *s, struct transaction *tx, const char *value)
{
    if (value != NULL)
        return syntax(s, "SMTPUTF8 has no value");
    tx->options.flags |= QUEUE_UTF8;
    return true;
}

/* RFC 4865: nothing is delivered before this time, which is at most future_release_limit away. */
static bool hold(struct session *s, struct transaction *tx, int64_t until)
{
    int64_t now = clock_wall();

    if (tx->options.hold_until != 0)
        return syntax(s, "One of HOLDFOR and HOLDUNTIL, once");
    if (until - now > s->d->conf->future_release_limit / 1000) {
        session_reply(s, 501, "5.5.4", "Held back for too long: at most %lld seconds",
                      (long long)(s->d->conf->future_release_limit / 1000));
        return false;
    }
    tx->options.hold_until = until > now ? (uint64_t)until : (uint64_t)now;
    return true;
}

static bool mail_hold_for(struct session *s, struct transaction *tx, const char *value)
{
    uint64_t seconds;

    if (value == NULL || strlen(value) > 9 ||
        str_uint(value, strlen(value), 999999999, &seconds) != 0)
        return syntax(s, "HOLDFOR needs a number of seconds");
    return hold(s, tx, clock_wall() + (int64_t)seconds);
}

static bool mail_hold_until(struct session *s, struct transaction *tx, const char *value)
{
    int64_t until;

    if (value == NULL || smtp_datetime_parse(value, &until) != 0)
        return syntax(s, "HOLDUNTIL needs a date and time as RFC 3339 has them");
    return hold(s, tx, until);
}

/* "SECONDS;MODE[T]" (RFC 2852 section 4) */
static bool mail_by(struct session *s, struct transaction *tx, const char *value)
{
    static const char error[] = "BY needs seconds, a semicolon and R or N, with T or not";
    const char *p = value;
    uint64_t seconds;

    if (p == NULL || tx->options.deliver_by != 0)
        return syntax(s, error);
    bool negative = *p == '-';
    p += *p == '-' || *p == '+';
    size_t digits = strcspn(p, ";");
    if (digits == 0 || digits > 9 || p[digits] != ';' ||
        str_uint(p, digits, 999999999, &seconds) != 0)
        return syntax(s, error);
    p += digits + 1;
    bool back = *p == 'R' || *p == 'r', trace = *p != '\0' && (p[1] == 'T' || p[1] == 't');
    if ((!back && *p != 'N' && *p != 'n') || p[trace ? 2 : 1] != '\0')
        return syntax(s, error);
    if (back && (negative || seconds == 0))
        return syntax(s, "BY: the time to return the message at has passed");
    int64_t by = clock_wall() + (negative ? -(int64_t)seconds : (int64_t)seconds);
    tx->options.deliver_by = by > 0 ? (uint64_t)by : 1;
    tx->options.flags |= (back ? QUEUE_BY_RETURN : 0u) | (trace ? QUEUE_BY_TRACE : 0u);
    return true;
}

/* RFC 6710; what is asked for beyond mt_priority_limit is what that allows. */
static bool mail_priority(struct session *s, struct transaction *tx, const char *value)
{
    bool negative = value != NULL && *value == '-';
    const char *digit = negative ? value + 1 : value;

    if (digit == NULL || *digit < '0' || *digit > '9' || digit[1] != '\0' ||
        tx->options.priority != QUEUE_PRIORITY_NONE)
        return syntax(s, "MT-PRIORITY is a number from -9 to 9, once");
    int64_t n = negative ? -(*digit - '0') : *digit - '0';
    if (n > s->d->conf->mt_priority_limit)
        n = s->d->conf->mt_priority_limit;
    tx->options.priority = QUEUE_PRIORITY(n);
    return true;
}

static const struct {
    const char *name;
    enum extension extension;
    bool (*take)(struct session *s, struct transaction *tx, const char *value);
} mail[] = {
    {"SIZE", EXT_SIZE, mail_size},
    {"BODY", EXT_8BITMIME, mail_body},
    {"AUTH", 0, mail_auth},
    {"RET", EXT_DSN, mail_ret},
    {"ENVID", EXT_DSN, mail_envid},
    {"SMTPUTF8", EXT_SMTPUTF8, mail_utf8},
    {"HOLDFOR", EXT_FUTURERELEASE, mail_hold_for},
    {"HOLDUNTIL", EXT_FUTURERELEASE, mail_hold_until},
    {"BY", EXT_DELIVERBY, mail_by},
    {"MT-PRIORITY", EXT_MT_PRIORITY, mail_priority},
};

static bool unsupported(struct session *s, const char *name)
{
    session_reply(s, 555, "5.5.4", "Unsupported parameter %.40s", name);
    return false;
}

bool params_mail(struct session *s, struct transaction *tx, const struct smtp_path_args *args)
{
    for (size_t i = 0; i < args->param_count; i++) {
        size_t j = 0, n = sizeof(mail) / sizeof(mail[0]);
        while (j < n && strcmp(mail[j].name, args->params[i].name) != 0)
            j++;
        if (j == n || (mail[j].extension != 0 && !extension_offered(s, mail[j].extension)))
            return unsupported(s, args->params[i].name);
        if (!mail[j].take(s, tx, args->params[i].value))
            return false;
    }
    return true;
}

/* ---- RCPT ---- */

static bool rcpt_notify(struct session *s, struct rcpt_options *o, const char *value)
{
    static const struct {
        const char *word;
        unsigned bit;
    } words[] = {{"NEVER", QUEUE_NOTIFY_NEVER},
                 {"SUCCESS", QUEUE_NOTIFY_SUCCESS},
                 {"FAILURE", QUEUE_NOTIFY_FAILURE},
                 {"DELAY", QUEUE_NOTIFY_DELAY}};
    static const char error[] = "NOTIFY is NEVER, or a list of SUCCESS, FAILURE and DELAY, once";
    unsigned notify = 0;

    for (const char *p = value; p != NULL; p = *p == ',' ? p + 1 : NULL) {
        size_t len = strcspn(p, ","), i = 0;
        while (i < 4 && !str_is(p, len, words[i].word))
            i++;
        if (i == 4 || (notify & words[i].bit))
            return syntax(s, error);
        notify |= words[i].bit;
        p += len;
    }
    if (notify == 0 || o->notify != 0 ||
        ((notify & QUEUE_NOTIFY_NEVER) && notify != QUEUE_NOTIFY_NEVER))
        return syntax(s, error);
    o->notify = notify;
    return true;
}

static bool rcpt_orcpt(struct session *s, struct rcpt_options *o, const char *value)
{
    size_t type = 0;

    while (value != NULL && ((value[type] >= '0' && value[type] <= '9') || value[type] == '-' ||
                             (value[type] >= 'A' && value[type] <= 'Z') ||
                             (value[type] >= 'a' && value[type] <= 'z')))
        type++;
    if (type == 0 || value[type] != ';' || value[type + 1] == '\0' || o->orcpt != NULL ||
        strlen(value) > ORCPT_MAX || !xtext_valid(value + type + 1, ORCPT_MAX))
        return syntax(s, "Malformed ORCPT parameter");
    o->orcpt = value;
    return true;
}

static const struct {
    const char *name;
    enum extension extension;
    bool (*take)(struct session *s, struct rcpt_options *o, const char *value);
} rcpt[] = {
    {"NOTIFY", EXT_DSN, rcpt_notify},
    {"ORCPT", EXT_DSN, rcpt_orcpt},
};

bool params_rcpt(struct session *s, struct rcpt_options *o, const struct smtp_path_args *args)
{
    *o = (struct rcpt_options){0};
    for (size_t i = 0; i < args->param_count; i++) {
        size_t j = 0, n = sizeof(rcpt) / sizeof(rcpt[0]);
        while (j < n && strcmp(rcpt[j].name, args->params[i].name) != 0)
            j++;
        if (j == n || !extension_offered(s, rcpt[j].extension))
            return unsupported(s, args->params[i].name);
        if (!rcpt[j].take(s, o, args->params[i].value))
            return false;
    }
    return true;
}
