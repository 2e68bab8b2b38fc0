/* What tls.c and stream_tls.c share. */
#ifndef DIRIGO_EVENT_TLS_PRIVATE_H
#define DIRIGO_EVENT_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "gateway/event/tls.h"

struct tls_context {
    SSL_CTX *ctx;
    enum tls_verify verify;
};

#endif
