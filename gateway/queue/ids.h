/*
 * The ids of recent messages: a commit that is repeated is known by its id, and a name to forget is
 * traced to the half of the journal that holds its message.
 */
#ifndef DIRIGO_QUEUE_IDS_H
#define DIRIGO_QUEUE_IDS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include "gateway/base/buf.h"
#include "gateway/base/uuid.h"

struct id_entry {
    RB_ENTRY(id_entry) link;
    TAILQ_ENTRY(id_entry) age;
    char id[ID_STRLEN];
    uint64_t generation; /* of the half that holds it; 0: not durable yet */
    int64_t since;       /* ms, when it was added */
    void *message;       /* the one under way, while generation is 0 */
};

RB_HEAD(id_tree, id_entry);
TAILQ_HEAD(id_ages, id_entry);

struct ids {
    struct id_tree tree;
    struct id_ages ages; /* oldest first */
    size_t count;
};

void ids_init(struct ids *t);
void ids_free(struct ids *t);
/* The entry, or NULL. */
struct id_entry *ids_find(struct ids *t, const char *id);
/* Adds one that is not there. */
struct id_entry *ids_add(struct ids *t, const char *id, int64_t now);
void ids_remove(struct ids *t, struct id_entry *e);
/*
 * Drops the oldest entries that keep() does not want, as far as they are older than age_ms or there
 * are more than max.
 */
void ids_expire(struct ids *t, int64_t now, int64_t age_ms, size_t max,
                int (*keep)(const struct id_entry *e, void *arg), void *arg);
/*
 * As text, "ID SECONDS" a line: the ids that are durable and younger than age_ms, for the time
 * after the journal has forgotten them. now and wall are the present in ms and in wall seconds.
 */
void ids_write(const struct ids *t, int64_t now, int64_t wall, int64_t age_ms, struct buf *out);
/* Adds what such a text names and is younger than age_ms; a damaged line ends it. */
void ids_read(struct ids *t, const char *text, size_t len, int64_t now, int64_t wall,
              int64_t age_ms);
/* The id in a mailbox file's base name, "SECONDS.IDRn"; -1 where it is not such a name. */
int ids_from_name(const char *name, char id[ID_STRLEN]);

#endif
