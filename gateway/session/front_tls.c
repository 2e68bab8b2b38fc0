#include "gateway/session/front_tls.h"

#include "gateway/base/log.h"
#include "gateway/event/stream.h"

struct tls_context *front_tls_new(const struct conf *conf, const struct front_tls *files,
                                  char **error)
{
    struct tls_context *ctx = tls_server_new(files->cert, files->key, error);
    if (ctx == NULL)
        return NULL;
    const char *ca = files->ca[0] != '\0' ? files->ca : NULL;
    if (tls_server_add_names(ctx, (const char *const *)conf->ssl_sni_certs.v, conf->ssl_sni_certs.n,
                             error) != 0 ||
        (files->ask && tls_server_ask_client(ctx, ca, error) != 0))
        tls_context_free(&ctx);
    else
        tls_server_set_handshake_time(ctx, conf->tls_handshake_timeout);
    return ctx;
}

void front_tls_keys(struct tls_context *ctx, const struct conf *conf, const void *keys, size_t len)
{
    if (tls_server_set_ticket_keys(ctx, keys, len, (long)(conf->tls_ticket_lifetime / 1000)) != 0)
        log_warning("keys of session tickets cannot be used");
}

void front_tls_log(const struct stream *s, const char *id)
{
    struct tls_info info;
    stream_tls_info(s, &info);
    if (info.peer == NULL) {
        log_debug("TLS", LOG_STR("id", id), LOG_STR("version", info.version),
                  LOG_STR("cipher", info.cipher), LOG_INT("resumed", info.resumed));
        return;
    }
    log_info("TLS client certificate", LOG_STR("id", id), LOG_STR("version", info.version),
             LOG_STR("subject", info.peer->subject), LOG_STR("issuer", info.peer->issuer),
             LOG_STR("fingerprint", info.peer->fingerprint),
             LOG_INT("verified", info.peer->verified), LOG_INT("resumed", info.resumed));
}
