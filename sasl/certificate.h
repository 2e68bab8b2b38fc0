/*
 * Whose a client's certificate is: SASL EXTERNAL (RFC 4422 appendix A) with TLS.
 *
 * The client has proved, in the handshake, that it holds the certificate's key. What the
 * certificate says of its holder is believed where a CA vouches for it; one that the directory
 * itself holds needs none.
 */
#ifndef DIRIGO_SASL_CERTIFICATE_H
#define DIRIGO_SASL_CERTIFICATE_H

#include "sasl/auth.h"

#define CERTIFICATE_EMAILS_MAX 16

/* What a front end tells of a certificate; the texts are those of the message. */
struct certificate {
    bool verified, in_date;
    const char *subject;     /* RFC 2253 */
    const char *fingerprint; /* SHA-256, "AB:CD:…" */
    size_t count;
    const char *emails[CERTIFICATE_EMAILS_MAX];
};

/* Reads the fields of protocol.h into *out and *has; 0, or -1 where they are malformed. */
int certificate_read(struct msg *m, bool *has, struct certificate *out);
/* As login_lookup, by auth_ssl_cert_map. Found: *how says by which of its words. */
enum login_answer certificate_login(struct auth_process *p, const struct certificate *c,
                                    struct login *out, const char **how, const char **why);

/*
 * The login name in a subject by a rule (ssl_cert_dn_rule), and the value of a type of the subject
 * (ssl_cert_username_field); both in lower case, allocated. NULL: none.
 */
char *certificate_name_by_rule(const char *subject, const char *rules);
char *certificate_field(const char *subject, const char *field);

#endif
