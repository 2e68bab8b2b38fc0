/* A message's file in memory while a command looks at it: small ones read, large ones mapped. */
#ifndef DIRIGO_IMAP_MESSAGE_H
#define DIRIGO_IMAP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "gateway/proto/mime.h"
#include "gateway/store/mailbox.h"

struct message_file {
    int fd; /* -1: nothing is open */
    const char *data;
    size_t len;
    bool mapped;
    char *memory; /* kept for the next small message */
    struct arena *arena;
    const struct mime_part *root; /* once message_file_parse was called */
};

#define MESSAGE_FILE_INIT                                                                          \
    (struct message_file)                                                                          \
    {                                                                                              \
        .fd = -1                                                                                   \
    }
/* 0; -1 where it is gone or cannot be read. Closes what was open. */
int message_file_open(struct message_file *f, struct mail_read *r, uint32_t uid);
/* Its structure, valid until the file is closed; never NULL. */
const struct mime_part *message_file_parse(struct message_file *f, const struct conf *conf);
void message_file_close(struct message_file *f);
/* Closes it and frees the memory. */
void message_file_free(struct message_file *f);

#endif
