/*
 * APPEND (RFC 3501 section 6.3.11; APPENDUID: RFC 4315).
 *
 * Its message never stands in memory as a whole: when the literal is announced the folder is looked
 * at and a file begun (a job), then the client may send; the bytes go to the file in pieces of
 * APPEND_CHUNK (a job each, while which no input is read); when the command has ended the file is
 * made durable and placed (a job), and only then comes OK.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/imap/format.h"
#include "gateway/imap/session.h"

#define APPEND_CHUNK ((size_t)256 << 10)

struct imap_append {
    struct append *file;
    struct imap_literal literal;
    char *tag, *folder;
    struct buf chunk;
    enum store_result result;
    bool refused; /* answered: the rest of the command is skipped */
    bool taking;  /* the literal's bytes are being taken */
};

void imap_append_free(struct imap *s)
{
    struct imap_append *a = s->append;
    if (a == NULL)
        return;
    s->append = NULL;
    append_abort(&a->file);
    buf_free(&a->chunk);
    free(a->folder);
    free(a->tag);
    free(a);
}

/* ---- the literal ---- */

/* Whether the literal that is announced is APPEND's message: it stands behind the folder's name,
 * and nothing but flags and a date between. */
static bool is_message(const struct imap_command *cmd)
{
    return strcmp(cmd->name, "APPEND") == 0 && cmd->args != NULL && !cmd->literal.in_list;
}

static void refuse(struct imap *s, const char *text)
{
    struct imap_append *a = s->append;
    buf_printf(&s->reply.text, "%s %s\r\n", a->tag, text);
    imap_literal_refuse(s->parser);
    imap_append_free(s);
}

static void begin_run(struct imap *s)
{
    s->append->result = append_begin(s->mb, s->append->folder, &s->append->file);
}

static void begun(struct imap *s)
{
    struct imap_append *a = s->append;
    switch (a->result) {
    case STORE_OK:
        imap_literal_stream(s->parser);
        a->taking = true;
        if (a->literal.sync)
            buf_append_str(&s->reply.text, "+ Ready for the message\r\n");
        return;
    case STORE_ABSENT:
        refuse(s, "NO [TRYCREATE] No such folder");
        return;
    case STORE_LIMIT:
        refuse(s, "NO [LIMIT] The disk is full");
        return;
    default:
        refuse(s, "NO [SERVERBUG] Try again later");
        return;
    }
}

void imap_append_literal(struct imap *s)
{
    const struct imap_command *cmd = s->cmd;
    if (!is_message(cmd)) {
        bool sync = cmd->literal.sync;
        /* A client that is told to go on after a refusal sends what would be read as commands. */
        if (imap_literal_keep(s->parser) == 0 && sync)
            buf_append_str(&s->reply.text, "+ Go on\r\n");
        return;
    }
    const char *folder = imap_arg_astring(cmd->args);
    imap_append_free(s);
    s->append = mem_zalloc(sizeof(*s->append));
    s->append->tag = mem_strdup(cmd->tag);
    s->append->literal = cmd->literal;
    buf_init(&s->append->chunk, APPEND_CHUNK);
    if (folder == NULL) {
        refuse(s, "BAD Not a folder's name");
    } else if (cmd->literal.size > s->env->conf->imap_append_limit) {
        refuse(s, "NO [TOOBIG] The message is too large");
    } else if (cmd->literal.size == 0) {
        refuse(s, "NO A message cannot be empty");
    } else {
        s->append->folder = mem_strdup(folder_name_canonical(folder));
        imap_work(s, begin_run, begun);
    }
}

static void write_run(struct imap *s)
{
    struct imap_append *a = s->append;
    /* A failure is told at the end: the client sends the rest in any case. */
    if (a->result == STORE_OK)
        a->result = append_write(a->file, a->chunk.data, a->chunk.len);
    buf_free(&a->chunk);
}

bool imap_append_input(struct imap *s)
{
    struct imap_append *a = s->append;
    uint64_t left;
    size_t len;
    if (!a->taking)
        return false;
    while ((left = imap_literal_left(s->parser)) > 0 && a->chunk.len < APPEND_CHUNK) {
        const void *p = mail_input_peek(&s->input, s->stream, &len);
        if (len == 0)
            return false;
        if (len > left)
            len = (size_t)left;
        if (len > APPEND_CHUNK - a->chunk.len)
            len = APPEND_CHUNK - a->chunk.len;
        buf_append(&a->chunk, p, len);
        mail_input_consume(&s->input, s->stream, len);
        imap_literal_took(s->parser, len);
    }
    if (left == 0)
        a->taking = false;
    imap_work(s, write_run, NULL);
    return true;
}

/* ---- the command ---- */

struct append_work {
    struct flags_change flags;
    int64_t date;
};

static void append_work_free(void *work)
{
    struct append_work *w = work;
    free((void *)w->flags.keywords);
    free(w);
}

static void commit_run(struct imap *s)
{
    struct imap_append *a = s->append;
    struct append_work *w = s->work;
    uint32_t uidvalidity, uid;
    enum store_result r = a->result;
    if (r == STORE_OK)
        r = append_commit(&a->file, &w->flags, w->date, &uidvalidity, &uid);
    if (r != STORE_OK) {
        imap_no(s, r, "Cannot keep the message");
        return;
    }
    imap_put_changes(s, true);
    imap_tagged(s, "OK [APPENDUID %u %u] Appended", uidvalidity, uid);
}

static void committed(struct imap *s)
{
    imap_append_free(s);
}

/* The arguments behind the folder: [flags] [date] message. */
static bool take_args(struct imap *s, const struct imap_arg *arg, struct append_work *w)
{
    w->date = -1;
    w->flags.op = FLAGS_REPLACE;
    if (arg != NULL && arg->type == IMAP_LIST) {
        if (arg->list != NULL && !imap_take_flags(s, arg, &w->flags))
            return false;
        arg = arg->next;
    }
    if (arg != NULL && arg->type == IMAP_STRING) {
        w->date = imap_parse_date_time(arg->str);
        if (w->date < 0) {
            imap_tagged(s, "BAD Not a date");
            return false;
        }
        arg = arg->next;
    }
    if (arg == NULL || arg->type != IMAP_STREAMED || arg->next != NULL) {
        imap_bad_args(s);
        return false;
    }
    return true;
}

void imap_cmd_append(struct imap *s, const struct imap_arg *args)
{
    struct append_work *w = mem_zalloc(sizeof(*w));
    imap_set_work(s, w, append_work_free);
    if (s->append == NULL || args == NULL) {
        imap_bad_args(s);
    } else if (!take_args(s, args->next, w)) {
        imap_append_free(s);
    } else {
        imap_work(s, commit_run, committed);
    }
}
