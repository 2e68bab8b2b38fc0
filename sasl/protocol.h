/* The service of dirigo-auth on auth.sock; field order as listed. An exchange is named by u32
 * exchange, chosen by the client and unique on its channel; when the channel closes, its exchanges
 * are forgotten. */
#ifndef DIRIGO_SASL_PROTOCOL_H
#define DIRIGO_SASL_PROTOCOL_H

#define AUTH_SERVICE "auth"
#define AUTH_VERSION 4

enum {
    AUTH_MSG_START = 1, /* u32 exchange, str service, str session id, addr peer, addr local, bool
                           tls, u32 bits, str binding name, bytes binding, bool has certificate
                           (then: bool verified, bool in date, str subject, str fingerprint, u32
                           count, str email each), str mechanism, bool has initial, bytes initial */
    AUTH_MSG_STEP,      /* u32 exchange, bytes data */
    AUTH_MSG_CANCEL,    /* event: u32 exchange */
    AUTH_MSG_RESULT     /* u8 enum auth_result, bytes challenge; with AUTH_OK also: uuid owner, str
                           login, str address, str dn, str mail host, bytes ticket, u8 enum
                           password_end_kind, u32 its value */
};

#endif
