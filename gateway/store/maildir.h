/* The files of a Maildir++: names, flags in names, directories. Paths are relative to the owner's
 * directory descriptor. */
#ifndef DIRIGO_STORE_MAILDIR_H
#define DIRIGO_STORE_MAILDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/store/index.h"

#define MAILDIR_PATH_MAX 640

struct maildir_file {
    size_t base_len;
    uint8_t flags;
    uint8_t where; /* INDEX_CUR_PLAIN or INDEX_CUR, as the name has it */
    uint32_t letters;
};
/* Takes a file name in cur/ apart; -1 for one that is no message's. */
int maildir_parse(const char *name, struct maildir_file *out);

/* The directory of a folder, "" for INBOX and ".NAME/" for others, in dst; returns dst. */
const char *maildir_dir(const char *folder, char dst[MAILDIR_PATH_MAX]);
/* The path of a message's file; returns dst. */
const char *maildir_path(const char *folder, const struct index_msg *m, char dst[MAILDIR_PATH_MAX]);

/* Makes a folder durably: 0, 1 where it is there already, -1 with errno. */
int maildir_make(int owner_fd, const char *folder);
/* Removes a folder with all it holds; 0 or -1 with errno. */
int maildir_remove(int owner_fd, const char *folder);
/* Whether there is such a folder: 1, 0, or -1 with errno. */
int maildir_exists(int owner_fd, const char *folder);
/* Makes names in a directory ("" is the owner's) durable; 0 or -1 with errno. */
int maildir_sync_dir(int owner_fd, const char *dir);
/* mtime in ns of folder's new/ or cur/; -1 with errno. */
int64_t maildir_mtime(int owner_fd, const char *folder, const char *sub);

/* Calls fn for each message file of one directory; fn returns -1 to stop. 0, or -1 with errno. */
int maildir_each(int owner_fd, const char *folder, const char *sub,
                 int (*fn)(const char *name, void *arg), void *arg);

#endif
