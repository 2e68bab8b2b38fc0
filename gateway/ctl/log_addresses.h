/* The recipients of the last day, from the log. */
#ifndef DIRIGO_CTL_LOG_ADDRESSES_H
#define DIRIGO_CTL_LOG_ADDRESSES_H

#include <stddef.h>

/* Each once, in the order of the log. Zeros are an empty list. */
struct log_addresses {
    char **all;
    size_t count, capacity;
};

/*
 * Adds the recipients that dirigo-smtpd accepted or refused, by the lines of a log file ("-":
 * standard input) of the last 24 hours. A line's time is read as dirigod writes it, as RFC 3339 has
 * it, or as syslog always did; a line without any counts as new. 0, or -1 after a message.
 */
int log_addresses_read(struct log_addresses *list, const char *path);
void log_addresses_free(struct log_addresses *list);

#endif
