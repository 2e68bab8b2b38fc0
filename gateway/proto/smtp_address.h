/*
 * Mail addresses and host names as SMTP commands carry them (RFC 5321 sections 4.1.2 and 4.1.3).
 * No I/O, no rewriting: what a local part means is the directory's business.
 */
#ifndef DIRIGO_PROTO_SMTP_ADDRESS_H
#define DIRIGO_PROTO_SMTP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/mem.h"
#include "gateway/base/netaddr.h"

/* Real senders (VERP, SRS, BATV) pass RFC 5321's 64 octets, which is the least that must be taken.
 */
#define SMTP_LOCAL_MAX   255
#define SMTP_DOMAIN_MAX  255
#define SMTP_ADDRESS_MAX 768 /* a local part may double when it has to be quoted */

struct smtp_address {
    const char *text;   /* "local@domain", the local part quoted only where it must be; "" for <> */
    const char *domain; /* inside text, behind the '@' that divides; "" where none was given */
    size_t local_len;   /* bytes of the local part in text, quotes included */
    bool literal;       /* the domain is an address literal in brackets */
    bool utf8;          /* it has characters beyond ASCII */
};

enum smtp_syntax {
    SMTP_SYNTAX_OK,
    SMTP_SYNTAX_COMMAND,  /* not the form of the command: 501 5.5.4 */
    SMTP_SYNTAX_ADDRESS,  /* a malformed address: 501 5.1.7 or 5.1.3 */
    SMTP_SYNTAX_NEED_UTF8 /* non-ASCII bytes without SMTPUTF8: 553 5.6.7 */
};

/*
 * Parses a Mailbox at *cursor, up to end; *cursor is behind it then. The domain may be missing
 * (a local part alone). The text lives in arena. *error, where it fails, is a static text for the
 * reply.
 */
enum smtp_syntax smtp_address_scan(const char **cursor, const char *end, struct arena *arena,
                                   struct smtp_address *out, const char **error);
/* The same for a whole string. */
enum smtp_syntax smtp_address_parse(const char *s, size_t len, struct arena *arena,
                                    struct smtp_address *out, const char **error);

/*
 * A path: "<" [source route ":"] Mailbox ">", or "<>"; source routes are taken and ignored as RFC
 * 5321 appendix C says, and a mailbox without brackets is taken up to the next space. utf8: it may
 * be one of RFC 6531, in UTF-8.
 */
enum smtp_syntax smtp_path_scan(const char **cursor, const char *end, bool utf8,
                                struct arena *arena, struct smtp_address *out, const char **error);

/* Letters, digits, hyphens and underscores in labels of 1 to 63, at most 255 in all, not all
 * numeric. */
bool smtp_hostname_valid(const char *s, size_t len);
/* A valid name of at least two labels. */
bool smtp_hostname_fqdn(const char *s, size_t len);
/* "[192.0.2.1]" or "[IPv6:2001:db8::1]"; -1 for anything else. */
int smtp_literal_parse(const char *s, size_t len, struct netaddr *out);

#endif
