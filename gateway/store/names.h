/*
 * Where mailboxes are: shared by dirigo-queue, which links messages into them, and dirigo-mailbox.
 *
 * mail_directory/
 *   queue/        journal, spool (dirigo-queue alone)
 *   users/XX/UUID/  one owner: a Maildir++ (new cur tmp, .Folder/…), and index/ (LMDB,
 * dirigo-mailbox alone)
 *
 * XX are the first two digits of the UUID. A delivered message's base name is "<wall
 * seconds>.<message id>R<recipient number>"; it identifies the delivery for ever, in whatever
 * folder the file is and whatever flags follow ":2,". Message files have CRLF line ends.
 */
#ifndef DIRIGO_STORE_NAMES_H
#define DIRIGO_STORE_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/uuid.h"

#define STORE_NAME_MAX 128

/* "users/XX/UUID" in dst, relative to mail_directory; returns dst. */
const char *store_owner_path(const struct uuid *owner, char *dst, size_t size);
/* The base name of a delivery. */
const char *store_base_name(int64_t wall, const char *message_id, unsigned recipient, char *dst,
                            size_t size);
/*
 * Makes the owner's folders under mail_directory's descriptor as far as they are missing (mode
 * 0700) and returns an O_PATH descriptor of UUID/, or -1 with errno.
 */
int store_open_owner(int mail_directory_fd, const struct uuid *owner);

#endif
