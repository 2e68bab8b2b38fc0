/* IDLE, RFC 2177: changes are told when they happen, until the client says DONE. */
#include <stdlib.h>

#include "gateway/base/str.h"
#include "gateway/imap/session.h"

#define DONE_MAX 64

static void idle_run(struct imap *s)
{
    imap_put_changes(s, true);
}

void imap_idle_tell(struct imap *s)
{
    s->idle_again = false;
    imap_work(s, idle_run, NULL);
}

/* While a change is being told, or the client does not read, more changes wait and become one. */
static void idle_wake(void *arg)
{
    struct imap *s = arg;
    s->idle_again = true;
    if (!s->job && stream_pending(s->stream) <= REPLY_CHUNK)
        imap_idle_tell(s);
}

void imap_cmd_idle(struct imap *s, const struct imap_arg *args)
{
    (void)args;
    s->idle_tag = mem_strdup(s->cmd->tag);
    buf_append_str(&s->reply.text, "+ idling\r\n");
    imap_parser_want_line(s->parser, DONE_MAX);
    if (s->view == NULL)
        return;
    s->watch = mailbox_watch_new(s->mb, s->folder, idle_wake, s);
    imap_idle_tell(s);
}

void imap_idle_end(struct imap *s, const char *line)
{
    mailbox_watch_free(&s->watch);
    buf_printf(&s->reply.text, "%s %s\r\n", s->idle_tag,
               str_ieq(line, "DONE") ? "OK IDLE ended" : "BAD DONE was expected");
    s->idle_again = false;
    free(s->idle_tag);
    s->idle_tag = NULL;
}
