/* The TLS side of a front end, from its parameters. */
#ifndef DIRIGO_SESSION_FRONT_TLS_H
#define DIRIGO_SESSION_FRONT_TLS_H

#include <stdbool.h>

#include "conf/conf.h"
#include "gateway/event/tls.h"

struct front_tls {
    const char *cert, *key;
    bool ask;       /* clients for a certificate */
    const char *ca; /* of those; "": none */
};
/* Reads all files at once, before the process is confined. NULL with an allocated text in error. */
struct tls_context *front_tls_new(const struct conf *conf, const struct front_tls *files,
                                  char **error);
/* struct service_def's tls_keys. */
void front_tls_keys(struct tls_context *ctx, const struct conf *conf, const void *keys, size_t len);
/* One line of the log about a finished handshake. */
struct stream;
void front_tls_log(const struct stream *s, const char *id);

#endif
