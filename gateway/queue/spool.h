/*
 * Files of dirigo-queue under mail_directory: queue/spool/ID.msg holds a message that waits, ID.env
 * its envelope. The journal goes first: an envelope is written here after its record is durable, so
 * nothing here needs an fsync of its own but large messages, which the journal does not hold.
 *
 * Every function blocks; they may run on several threads at once, for different messages.
 */
#ifndef DIRIGO_QUEUE_SPOOL_H
#define DIRIGO_QUEUE_SPOOL_H

#include <stdbool.h>

#include "gateway/base/buf.h"
#include "gateway/queue/envelope.h"

struct spool {
    int mail_fd;  /* mail_directory */
    int queue_fd; /* queue/, where the journal is */
    int spool_fd; /* queue/spool/ */
};

/* Opens the folders, making what is missing. 0, or -1 with a text appended to error. */
int spool_open(struct spool *s, const char *mail_directory, struct buf *error);
void spool_close(struct spool *s);

/* An unnamed file on the mailboxes' file system, or -1 with errno. */
int spool_new_file(const struct spool *s);
/* A new unnamed file with the first size bytes of fd; -1 with errno. */
int spool_copy(const struct spool *s, int fd, uint64_t size);
/* Gives the file its name ID.msg, with fsync of file and folder where durable; that it has the name
 * already is no error. 0, or -1 with errno. */
int spool_link(const struct spool *s, const char *id, int fd, bool durable);
/* Opens ID.msg for reading; -1 with errno. */
int spool_open_message(const struct spool *s, const char *id);
/* Writes or replaces ID.env, whole. 0, or -1 with errno. */
int spool_write(const struct spool *s, const struct envelope *e);
/* Reads ID.env; NULL with errno (EBADMSG: it is no envelope, or another one's). */
struct envelope *spool_read(const struct spool *s, const char *id);
/* Removes ID.env, then ID.msg where message is set; what is missing is no error. 0, or -1. */
int spool_remove(const struct spool *s, const char *id, bool message);
/*
 * Hands each envelope to fn, which owns it. ID.msg without an envelope is removed unless keep says
 * that the journal still needs it; left-over temporary files are removed. Returns 0, or -1 with
 * errno.
 */
int spool_scan(const struct spool *s, void (*fn)(struct envelope *e, void *arg),
               bool (*keep)(const char *id, void *arg), void *arg);

/* Replaces queue/NAME by these bytes, and reads it whole; what is missing is empty. 0, or -1. */
int spool_save(const struct spool *s, const char *name, const struct buf *data);
int spool_load(const struct spool *s, const char *name, struct buf *data);

/* Reads all of len bytes at offset; 0, or -1 with errno (EIO for a file that is short). */
int spool_pread(int fd, void *data, size_t len, uint64_t offset);

#endif
