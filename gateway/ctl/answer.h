/* What several commands print alike: answers of the directory, and text that came from it. */
#ifndef DIRIGO_CTL_ANSWER_H
#define DIRIGO_CTL_ANSWER_H

#include "directory/resolve.h"
#include "gateway/base/buf.h"
#include "gateway/ctl/command.h"

/* "found", "absent", "unknown". */
const char *answer_name(enum answer answer);
/* Text from the directory for a terminal: control characters as \xNN. */
void put_text(struct buf *out, const char *text);
/* ,"name":"text" where there is a text. */
void json_optional(struct buf *out, const char *name, const char *text);

/* One line for each step, and one for each delivery. */
void put_steps(struct buf *out, const struct resolution *res);
void put_deliveries(struct buf *out, const struct resolution *res);
/* ,"deliveries":[…] and ,"steps":[…] */
void json_deliveries(struct buf *out, const struct resolution *res);
void json_steps(struct buf *out, const struct resolution *res);
/* A line that says how old the answer is, where the directory is away; nothing in sync. */
void put_away(struct buf *out, const struct directory_state *state);

/* Opens the replica that conf names; NULL after a message that says what to do. */
struct directory *answer_open(const struct command_context *ctx);

#endif
