/* The StartTLS exchange (RFC 4511 section 4.14) as bytes, for a stream that libldap has no part in.
 */
#ifndef DIRIGO_DIRECTORY_STARTTLS_H
#define DIRIGO_DIRECTORY_STARTTLS_H

#include <stddef.h>

/* The request, message id 1. */
extern const unsigned char starttls_request[];
extern const size_t starttls_request_len;

/* Reads the answer: its length where it is whole and says success, 0 where more is needed, -1. */
int starttls_response(const void *data, size_t len);

#endif
