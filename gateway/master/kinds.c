/* The one table of the processes that dirigod starts. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/str.h"
#include "gateway/master/master.h"

static const char *const kinds_smtp[] = {"smtp", "submission", "submissions", "lmtp", NULL};
static const char *const kinds_imap[] = {"imap", "imaps", NULL};
static const char *const kinds_pop3[] = {"pop3", "pop3s", NULL};

/* Only where there is something to check or to sign. */
static bool filter_wanted(const struct conf *conf)
{
    return conf->authentication_checks.n > 0 || *conf->dkim_key_directory != '\0' ||
           *conf->srs_domain != '\0';
}

const struct kind kinds[] = {
    {.name = "slapd", .stage = STAGE_EMBEDDED, .exec = embedded_exec, .ready = embedded_ready},
    {.name = "dirigo-directory",
     .stage = STAGE_DIRECTORY,
     .flags = KIND_SECRETS,
     .socket = "directory"},
    {.name = "dirigo-auth", .stage = STAGE_SERVICES, .flags = KIND_TICKETS, .socket = "auth"},
    {.name = "dirigo-resolver", .stage = STAGE_SERVICES, .socket = "resolver"},
    {.name = "dirigo-queue",
     .stage = STAGE_SERVICES,
     .flags = KIND_KEEP | KIND_RELAYS,
     .socket = "queue"},
    {.name = "dirigo-filter", .stage = STAGE_SERVICES, .wanted = filter_wanted, .socket = "filter"},
    {.name = "dirigo-relay", .stage = STAGE_SESSIONS, .flags = KIND_MANY | KIND_KEEP | KIND_RELAYS},
    {.name = "dirigo-mailbox",
     .stage = STAGE_SESSIONS,
     .flags = KIND_MANY | KIND_KEEP | KIND_TICKETS,
     .socket = "mailbox"},
    {.name = "dirigo-smtpd",
     .stage = STAGE_SESSIONS,
     .flags = KIND_MANY | KIND_TLS | KIND_SHARED,
     .protocols = kinds_smtp},
    {.name = "dirigo-imapd",
     .stage = STAGE_SESSIONS,
     .flags = KIND_MANY | KIND_TLS,
     .protocols = kinds_imap},
    {.name = "dirigo-pop3d",
     .stage = STAGE_SESSIONS,
     .flags = KIND_MANY | KIND_TLS,
     .protocols = kinds_pop3},
};
const size_t kinds_count = sizeof(kinds) / sizeof(*kinds);

bool kind_serves(const struct kind *kind, const char *protocol)
{
    for (size_t i = 0; kind->protocols != NULL && kind->protocols[i] != NULL; i++) {
        if (str_ieq(kind->protocols[i], protocol))
            return true;
    }
    return false;
}

unsigned kind_count(const struct kind *kind, const struct conf *conf)
{
    if (kind->stage == STAGE_EMBEDDED)
        return conf->embedded_directory ? 1 : 0;
    if (kind->wanted != NULL && !kind->wanted(conf))
        return 0;
    bool on = kind->protocols == NULL || (*conf->lmtp_socket != '\0' && kind_serves(kind, "lmtp"));
    for (size_t i = 0; i < conf->protocols.n && !on; i++)
        on = kind_serves(kind, conf->protocols.v[i]);
    if (!on)
        return 0;
    if (!(kind->flags & KIND_MANY))
        return 1;
    if (conf->service_processes > 0)
        return (unsigned)conf->service_processes;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 1 ? 1 : processors > 64 ? 64 : (unsigned)processors;
}

int kinds_check(const struct conf *conf, struct buf *errors)
{
    int rc = 0;
    for (size_t i = 0; i < kinds_count; i++) {
        if (kinds[i].exec != NULL || kind_count(&kinds[i], conf) == 0)
            continue;
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", conf->daemon_directory, kinds[i].name);
        if (access(path, X_OK) == 0)
            continue;
        buf_printf(errors,
                   "daemon_directory: %s cannot be executed: %s; set it to where Dirigo's programs "
                   "are\n",
                   path, strerror(errno));
        rc = -1;
    }
    return rc;
}

int64_t protocol_port(const struct conf *conf, const char *protocol)
{
    const struct {
        const char *protocol;
        int64_t port;
    } ports[] = {
        {"smtp", conf->port_smtp}, {"submission", conf->port_submission},
        {"lmtp", conf->port_lmtp}, {"submissions", conf->port_submissions},
        {"imap", conf->port_imap}, {"imaps", conf->port_imaps},
        {"pop3", conf->port_pop3}, {"pop3s", conf->port_pop3s},
    };
    for (size_t i = 0; i < sizeof(ports) / sizeof(*ports); i++) {
        if (str_ieq(ports[i].protocol, protocol))
            return ports[i].port;
    }
    return 0;
}
