/* The service extensions that EHLO offers, and which of them the configuration withholds. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gateway/base/clock.h"
#include "gateway/base/str.h"
#include "gateway/smtp/smtpd.h"

static const struct {
    const char *keyword;
    enum extension extension;
} extensions[] = {
    {"PIPELINING", EXT_PIPELINING},
    {"SIZE", EXT_SIZE},
    {"STARTTLS", EXT_STARTTLS},
    {"AUTH", EXT_AUTH},
    {"ETRN", EXT_ETRN},
    {"XCLIENT", EXT_XCLIENT},
    {"ENHANCEDSTATUSCODES", EXT_ENHANCEDSTATUSCODES},
    {"8BITMIME", EXT_8BITMIME},
    {"DSN", EXT_DSN},
    {"CHUNKING", EXT_CHUNKING},
    {"SMTPUTF8", EXT_SMTPUTF8},
    {"FUTURERELEASE", EXT_FUTURERELEASE},
    {"DELIVERBY", EXT_DELIVERBY},
    {"MT-PRIORITY", EXT_MT_PRIORITY},
    {"LIMITS", EXT_LIMITS},
};

#define EXTENSIONS (sizeof(extensions) / sizeof(extensions[0]))

void extensions_init(struct smtpd *d)
{
    const struct conf_list *words = &d->conf->smtpd_discard_ehlo_keywords;

    for (size_t w = 0; w < words->n; w++) {
        const char *word = words->v[w];
        size_t i = 0;
        while (i < EXTENSIONS && !str_ieq(word, extensions[i].keyword))
            i++;
        if (i < EXTENSIONS)
            d->withheld |= extensions[i].extension;
        else
            log_warning("smtpd_discard_ehlo_keywords names an extension that is not offered",
                        LOG_STR("keyword", word));
    }
}

/* Whether this session has a use for it, and it is not withheld. */
bool extension_offered(const struct session *s, enum extension e)
{
    const struct flavour *f = s->flavour;

    if (s->d->withheld & e)
        return false;
    switch (e) {
    case EXT_STARTTLS:
        return !s->tls;
    case EXT_AUTH:
        return command_mechanisms(s)[0] != '\0';
    case EXT_XCLIENT:
        return s->may_name_client;
    case EXT_FUTURERELEASE:
        return f->submission && s->d->conf->future_release_limit > 0;
    case EXT_MT_PRIORITY:
        return f->submission;
    case EXT_ETRN:
        return !f->submission && !f->lmtp;
    default:
        return true;
    }
}

/* The longest interval and the latest time (RFC 4865 section 4). */
static void future_release(const struct conf *conf, char *dst, size_t size)
{
    int64_t most = conf->future_release_limit / 1000;
    time_t latest = (time_t)(clock_wall() + most);
    struct tm tm;

    gmtime_r(&latest, &tm);
    int n = snprintf(dst, size, " %lld ", (long long)most);
    strftime(dst + n, size - (size_t)n, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* What follows the keyword. */
static void put_values(struct session *s, enum extension e, char *dst, size_t size)
{
    const struct conf *conf = s->d->conf;

    dst[0] = '\0';
    if (e == EXT_SIZE)
        snprintf(dst, size, " %llu", (unsigned long long)conf->message_size_limit);
    else if (e == EXT_XCLIENT)
        snprintf(dst, size, " NAME REVERSE_NAME ADDR PORT PROTO HELO");
    else if (e == EXT_FUTURERELEASE)
        future_release(conf, dst, size);
    else if (e == EXT_LIMITS)
        snprintf(dst, size, " RCPTMAX=%lld", (long long)conf->smtpd_recipient_limit);
    else if (e == EXT_AUTH)
        snprintf(dst, size, " %s", command_mechanisms(s));
}

void extensions_say(struct session *s)
{
    char values[256];
    size_t last = EXTENSIONS;

    for (size_t i = 0; i < EXTENSIONS; i++)
        if (extension_offered(s, extensions[i].extension))
            last = i;
    if (last == EXTENSIONS) {
        session_reply(s, 250, NULL, "%s", s->d->conf->myhostname);
        return;
    }
    session_reply_more(s, 250, "%s", s->d->conf->myhostname);
    for (size_t i = 0; i <= last; i++) {
        if (!extension_offered(s, extensions[i].extension))
            continue;
        put_values(s, extensions[i].extension, values, sizeof(values));
        if (i < last)
            session_reply_more(s, 250, "%s%s", extensions[i].keyword, values);
        else
            session_reply(s, 250, NULL, "%s%s", extensions[i].keyword, values);
    }
}
