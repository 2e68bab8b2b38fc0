/*
 * Messages into mailboxes, by linking; and where a message delivered before is by now. Blocking.
 */
#ifndef DIRIGO_QUEUE_DELIVER_H
#define DIRIGO_QUEUE_DELIVER_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/uuid.h"
#include "gateway/store/names.h"

/*
 * Links the file into new/ of owner's mailbox under the base name, making the owner's folders where
 * they are missing. Nothing is synced. 0, also where the name is there already; -1 with errno.
 */
int deliver_link(int mail_fd, const struct uuid *owner, const char *base, int fd);
/* Makes the file fd and its link in owner's new/ durable. 0, or -1 with errno. */
int deliver_sync(int mail_fd, const struct uuid *owner, int fd);

#define DELIVER_PATH_MAX 600

/* A name to look for in one owner's mailbox. */
struct deliver_name {
    char base[STORE_NAME_MAX];
    bool found;
    char path[DELIVER_PATH_MAX]; /* relative to the owner's folder: ".Folder/cur/BASE:2,S" */
    void *data;                  /* the caller's */
};

/*
 * Looks for each name in every folder of the owner's mailbox, whatever flags follow it. Sorts
 * names. A mailbox that is not there has none of them. 0, or -1 with errno: then it is not known.
 */
int deliver_find(int mail_fd, const struct uuid *owner, struct deliver_name *names, size_t n);

#endif
