/* The TLS side of streams: libevent's bufferevent with OpenSSL. */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/event/stream_private.h"
#include "gateway/event/tls_private.h"

static SSL *stream_ssl(const struct stream *s)
{
    return s->tls ? bufferevent_openssl_get_ssl(s->bev) : NULL;
}

static void stream_tls_close_notify(struct stream *s)
{
    SSL *ssl = stream_ssl(s);
    /* Only after a whole handshake; the peer's answer is not waited for. */
    if (ssl != NULL && SSL_is_init_finished(ssl))
        SSL_shutdown(ssl);
    ERR_clear_error();
}

static void stream_tls_describe_error(struct stream *s)
{
    unsigned long e = bufferevent_get_openssl_error(s->bev);
    const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;
    long verify = SSL_get_verify_result(bufferevent_openssl_get_ssl(s->bev));
    if (verify != X509_V_OK)
        reason = X509_verify_cert_error_string(verify);
    if (reason != NULL)
        strlcpy(s->error, reason, sizeof(s->error));
    ERR_clear_error();
}

static void stream_tls_done(struct stream *s)
{
    const SSL *ssl = bufferevent_openssl_get_ssl(s->bev);
    s->state = STREAM_OPEN;
    s->tls = true;
    timer_free(&s->handshake_timer);
    if (SSL_is_server(ssl) && SSL_get0_peer_certificate(ssl) != NULL) {
        s->peer_arena = arena_new(0);
        s->peer = tls_peer_read(ssl, s->peer_arena);
    }
    if (s->ops->secured != NULL)
        s->ops->secured(s, s->arg);
}

static int stream_tls_set_name(SSL *ssl, const struct tls_context *ctx, const char *name)
{
    unsigned char addr[16];
    bool is_address = inet_pton(AF_INET, name, addr) == 1 || inet_pton(AF_INET6, name, addr) == 1;
    if (!is_address && SSL_set_tlsext_host_name(ssl, name) != 1)
        return -1;
    if (ctx->verify != TLS_VERIFY_PEER)
        return 0;
    if (is_address)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1 ? 0 : -1;
    return SSL_set1_host(ssl, name) == 1 ? 0 : -1;
}

/* Replaces the plain bufferevent by one that speaks TLS on the same descriptor. */
static void stream_tls_switch(struct stream *s, bool server)
{
    SSL *ssl = SSL_new(s->tls_context->ctx);
    int fd = (int)bufferevent_getfd(s->bev);
    bool named = ssl != NULL && (s->server_name == NULL ||
                                 stream_tls_set_name(ssl, s->tls_context, s->server_name) == 0);
    struct bufferevent *secure = NULL;
    if (ssl != NULL)
        SSL_set_app_data(ssl, s->tls_context->tickets);
    if (named)
        secure = bufferevent_openssl_socket_new(loop_base(s->loop), -1, ssl,
                                                server ? BUFFEREVENT_SSL_ACCEPTING
                                                       : BUFFEREVENT_SSL_CONNECTING,
                                                BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (secure == NULL) {
        SSL_free(ssl);
        strlcpy(s->error, "cannot start TLS", sizeof(s->error));
        bufferevent_trigger_event(s->bev, BEV_EVENT_ERROR, BEV_TRIG_DEFER_CALLBACKS);
        return;
    }
    s->start_handshake = NULL;
    bufferevent_setfd(s->bev, -1);
    bufferevent_free(s->bev);
    s->bev = secure;
    bufferevent_setfd(s->bev, fd);
    /* Many peers close without close_notify; the protocols above know where a message ends. */
    bufferevent_openssl_set_allow_dirty_shutdown(s->bev, 1);
    s->close_notify = stream_tls_close_notify;
    s->describe_error = stream_tls_describe_error;
    s->handshake_done = stream_tls_done;
    stream_arm(s);
    if (s->guarded != NULL) {
        bufferevent_write_buffer(s->bev, s->guarded);
        evbuffer_free(s->guarded);
        s->guarded = NULL;
    }
}

static void stream_tls_too_slow(void *arg)
{
    struct stream *s = arg;
    strlcpy(s->error, "the handshake took too long", sizeof(s->error));
    stream_fail(s, STREAM_TLS_ERROR);
}

static void stream_tls_accept(struct stream *s)
{
    stream_tls_switch(s, true);
}

static void stream_tls_connect(struct stream *s)
{
    stream_tls_switch(s, false);
}

static size_t stream_tls_begin(struct stream *s, struct tls_context *ctx,
                               void (*handshake)(struct stream *s))
{
    struct evbuffer *in = bufferevent_get_input(s->bev);
    size_t injected = evbuffer_get_length(in);
    bufferevent_disable(s->bev, EV_READ);
    evbuffer_drain(in, injected);
    s->tls_context = ctx;
    s->state = STREAM_HANDSHAKE;
    s->start_handshake = handshake;
    s->paused = false;
    if (ctx->handshake_ms > 0) {
        s->handshake_timer = timer_new(s->loop, stream_tls_too_slow, s);
        timer_set(s->handshake_timer, ctx->handshake_ms);
    }
    /* From the loop, when what was queued in clear has left (at once where nothing was). */
    if (stream_pending(s) == 0)
        bufferevent_trigger(s->bev, EV_WRITE,
                            BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
    return injected;
}

void stream_start_tls_server(struct stream *s, struct tls_context *ctx, size_t *discarded)
{
    size_t injected = stream_tls_begin(s, ctx, stream_tls_accept);
    if (discarded != NULL)
        *discarded = injected;
}

void stream_start_tls_client(struct stream *s, struct tls_context *ctx, const char *server_name)
{
    s->server_name = server_name != NULL ? mem_strdup(server_name) : NULL;
    stream_tls_begin(s, ctx, stream_tls_connect);
}

void stream_tls_info(const struct stream *s, struct tls_info *info)
{
    const SSL *ssl = stream_ssl(s);
    memset(info, 0, sizeof(*info));
    if (ssl == NULL)
        return;
    info->version = SSL_get_version(ssl);
    info->cipher = SSL_get_cipher_name(ssl);
    info->bits = SSL_get_cipher_bits(ssl, NULL);
    info->sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    info->resumed = SSL_session_reused(ssl) == 1;
    info->peer = s->peer;
    info->peer_subject = s->peer != NULL && s->peer->verified ? s->peer->subject : NULL;
}

int stream_tls_binding(const struct stream *s, const char **name, struct buf *out)
{
    SSL *ssl = stream_ssl(s);
    unsigned char data[64];
    size_t len;
    if (ssl == NULL)
        return -1;
    if (SSL_version(ssl) >= TLS1_3_VERSION) {
        *name = "tls-exporter";
        len = 32;
        if (SSL_export_keying_material(ssl, data, len, "EXPORTER-Channel-Binding", 24, NULL, 0,
                                       0) != 1)
            return -1;
    } else {
        /* The first Finished message of the handshake: the server's where a session was resumed. */
        *name = "tls-unique";
        bool of_peer = SSL_session_reused(ssl) != SSL_is_server(ssl);
        len = of_peer ? SSL_get_peer_finished(ssl, data, sizeof(data))
                      : SSL_get_finished(ssl, data, sizeof(data));
        if (len == 0)
            return -1;
    }
    return buf_append(out, data, len);
}
