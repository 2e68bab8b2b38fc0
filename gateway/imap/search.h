/* SEARCH: RFC 3501 section 6.4.4. */
#ifndef DIRIGO_IMAP_SEARCH_H
#define DIRIGO_IMAP_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/imap/message.h"
#include "gateway/proto/imap_parser.h"
#include "gateway/store/mailbox.h"

struct search;

enum search_error {
    SEARCH_OK,
    SEARCH_BAD,        /* malformed */
    SEARCH_BAD_CHARSET /* neither US-ASCII nor UTF-8 */
};
/* A program from the arguments (CHARSET included). uid: numbers of sets outside of UID keys are
 * sequence numbers in either case. view: for "*" and keywords. Freed by search_free. */
enum search_error search_parse(struct search **out, const struct imap_arg *args,
                               const struct view *view);
void search_free(struct search **s);

/* Whether a message matches. file is opened where the program has to look into it; a message that
 * cannot be read does not match. */
bool search_matches(const struct search *s, const struct view *view, const struct message *m,
                    struct mail_read *read, struct message_file *file, const struct conf *conf);

/* Days since 1970 of a Date field's value (RFC 5322), its time and zone left out: 0 or -1. */
int search_parse_sent(const char *value, size_t len, int64_t *day);

#endif
