/* The commands of POP3's TRANSACTION state: RFC 1939, CAPA and response codes of RFC 2449. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/str.h"
#include "gateway/pop3/session.h"

#define POP3_READ   ((size_t)64 << 10)
#define UIDL_MAX    70 /* RFC 1939 section 7 */
#define LINES_CHUNK 1000

void pop3_open_run(struct pop3 *s)
{
    struct message m;
    /* Read only: a POP3 session takes no \Recent from IMAP's. */
    s->result = view_open(s->mb, "INBOX", true, &s->view);
    if (s->result != STORE_OK)
        return;
    s->sizes = mem_zalloc((size_t)s->view->n * sizeof(*s->sizes) + 1);
    s->marks = mem_zalloc((size_t)s->view->n + 1);
    struct mail_read *r = mail_read_begin(s->mb, s->view);
    if (r == NULL)
        s->result = STORE_FAILED;
    for (uint32_t i = 0; s->result == STORE_OK && i < s->view->n; i++) {
        int rc = mail_read_get(r, s->view->uids[i], &m);
        if (rc < 0)
            s->result = STORE_FAILED;
        else if (rc == 1)
            s->sizes[i] = m.size;
    }
    mail_read_end(&r);
}

/* A message number of the client's, from 0: true, or false after saying why not. */
static bool take_msg(struct pop3 *s, const char *text, size_t len, uint32_t *msg)
{
    uint64_t n;
    if (str_uint(text, len, UINT32_MAX, &n) != 0) {
        pop3_say(s, "-ERR Not a message number");
        return false;
    }
    if (n == 0 || n > s->view->n || (s->marks[n - 1] & POP3_DELETED)) {
        pop3_say(s, "-ERR No such message");
        return false;
    }
    *msg = (uint32_t)n - 1;
    return true;
}

static void totals(const struct pop3 *s, uint32_t *n, uint64_t *bytes)
{
    *n = 0;
    *bytes = 0;
    for (uint32_t i = 0; i < s->view->n; i++) {
        if (s->marks[i] & POP3_DELETED)
            continue;
        (*n)++;
        *bytes += s->sizes[i];
    }
}

static void cmd_stat(struct pop3 *s, const char *arg)
{
    uint32_t n;
    uint64_t bytes;
    (void)arg;
    totals(s, &n, &bytes);
    pop3_say(s, "+OK %u %llu", n, (unsigned long long)bytes);
}

static void list_run(struct pop3 *s)
{
    uint32_t stop = s->view->n - s->msg > LINES_CHUNK ? s->msg + LINES_CHUNK : s->view->n;
    for (; s->msg < stop; s->msg++)
        if (!(s->marks[s->msg] & POP3_DELETED))
            buf_printf(&s->reply.text, "%u %u\r\n", s->msg + 1, s->sizes[s->msg]);
    s->more = s->msg < s->view->n;
    if (!s->more)
        buf_append_str(&s->reply.text, ".\r\n");
}

static void cmd_list(struct pop3 *s, const char *arg)
{
    uint32_t n;
    uint64_t bytes;
    if (arg != NULL) {
        if (take_msg(s, arg, strlen(arg), &s->msg))
            pop3_say(s, "+OK %u %u", s->msg + 1, s->sizes[s->msg]);
        return;
    }
    totals(s, &n, &bytes);
    pop3_say(s, "+OK %u messages (%llu octets)", n, (unsigned long long)bytes);
    s->msg = 0;
    pop3_work(s, list_run, NULL);
}

/* The base name stays the same even when the index is built anew; others' names may be unfit. */
static void put_uidl(struct pop3 *s, const struct message *m)
{
    size_t len = strlen(m->base);
    bool fit = len <= UIDL_MAX;
    for (size_t i = 0; fit && i < len; i++)
        fit = m->base[i] > 0x20 && m->base[i] < 0x7f;
    if (fit)
        buf_append(&s->reply.text, m->base, len);
    else
        buf_printf(&s->reply.text, "%08x%08x", s->view->uidvalidity, m->uid);
    buf_append(&s->reply.text, "\r\n", 2);
}

static void uidl_run(struct pop3 *s)
{
    struct mail_read *r = mail_read_begin(s->mb, s->view);
    struct message m;
    uint32_t stop = s->view->n - s->msg > LINES_CHUNK ? s->msg + LINES_CHUNK : s->view->n;
    int rc = r == NULL ? -1 : 0;
    if (!s->all) {
        if (rc == 0)
            rc = mail_read_get(r, s->view->uids[s->msg], &m);
        if (rc == 1) {
            buf_printf(&s->reply.text, "+OK %u ", s->msg + 1);
            put_uidl(s, &m);
        } else {
            pop3_say(s, rc == 0 ? "-ERR No such message" : "-ERR [SYS/TEMP] Cannot read the index");
        }
        mail_read_end(&r);
        return;
    }
    for (; rc >= 0 && s->msg < stop; s->msg++) {
        if (s->marks[s->msg] & POP3_DELETED)
            continue;
        rc = mail_read_get(r, s->view->uids[s->msg], &m);
        if (rc != 1) /* gone by another session: it stays numbered, under its number */
            m = (struct message){.uid = s->view->uids[s->msg], .base = " "};
        buf_printf(&s->reply.text, "%u ", s->msg + 1);
        put_uidl(s, &m);
    }
    mail_read_end(&r);
    if (rc < 0)
        s->reply.broken = true;
    s->more = s->msg < s->view->n;
    if (!s->more)
        buf_append_str(&s->reply.text, ".\r\n");
}

static void cmd_uidl(struct pop3 *s, const char *arg)
{
    s->all = arg == NULL;
    s->msg = 0;
    if (arg != NULL && !take_msg(s, arg, strlen(arg), &s->msg))
        return;
    if (s->all)
        pop3_say(s, "+OK");
    pop3_work(s, uidl_run, NULL);
}

/* ---- RETR and TOP ---- */

static void retr_end(struct pop3 *s)
{
    close(s->fd);
    s->fd = -1;
}

static void retr_run(struct pop3 *s)
{
    char *data = mem_alloc(POP3_READ);
    ssize_t n = pread(s->fd, data, POP3_READ, s->offset);
    if (n < 0) {
        log_error("cannot read a message", LOG_STR("id", s->id), LOG_ERRNO(errno));
        s->reply.broken = true;
    }
    if (n > 0) {
        dots_push(&s->dots, data, (size_t)n, &s->reply.text);
        s->offset += n;
    }
    s->more = n > 0 && !s->dots.done;
    if (n == 0 || s->dots.done)
        dots_end(&s->dots, &s->reply.text);
    if (!s->more)
        retr_end(s);
    free(data);
}

static void retr_open_run(struct pop3 *s)
{
    struct mail_read *r = mail_read_begin(s->mb, s->view);
    s->fd = r == NULL ? -1 : mail_read_open(r, s->view->uids[s->msg]);
    mail_read_end(&r);
    if (s->fd < 0) {
        pop3_say(s, "-ERR The message is not available");
        return;
    }
    s->offset = 0;
    if (s->dots.limited)
        pop3_say(s, "+OK");
    else
        pop3_say(s, "+OK %u octets", s->sizes[s->msg]);
    s->run = retr_run;
    retr_run(s);
    if (!s->dots.limited)
        s->marks[s->msg] |= POP3_SEEN;
    s->retrieved++;
}

static void cmd_retr(struct pop3 *s, const char *arg)
{
    if (!take_msg(s, arg, strlen(arg), &s->msg))
        return;
    s->dots = (struct dots){0};
    pop3_work(s, retr_open_run, NULL);
}

static void cmd_top(struct pop3 *s, const char *arg)
{
    uint64_t lines;
    const char *count = arg + strcspn(arg, " ");
    size_t len = (size_t)(count - arg);
    count += strspn(count, " ");
    if (str_uint(count, strlen(count), UINT32_MAX, &lines) != 0) {
        pop3_say(s, "-ERR TOP needs a message number and a number of lines");
        return;
    }
    if (!take_msg(s, arg, len, &s->msg))
        return;
    s->dots = (struct dots){.limited = true, .body_lines = lines};
    pop3_work(s, retr_open_run, NULL);
}

/* ---- DELE, RSET, NOOP, CAPA ---- */

static void cmd_dele(struct pop3 *s, const char *arg)
{
    if (!take_msg(s, arg, strlen(arg), &s->msg))
        return;
    s->marks[s->msg] |= POP3_DELETED;
    pop3_say(s, "+OK Message %u will be removed", s->msg + 1);
}

static void cmd_rset(struct pop3 *s, const char *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < s->view->n; i++)
        s->marks[i] &= (uint8_t)~POP3_DELETED;
    pop3_say(s, "+OK");
}

static void cmd_noop(struct pop3 *s, const char *arg)
{
    (void)arg;
    pop3_say(s, "+OK");
}

static void cmd_capa(struct pop3 *s, const char *arg)
{
    (void)arg;
    pop3_say(s, "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\n"
                "EXPIRE NEVER\r\nIMPLEMENTATION Dirigo\r\n.");
}

/* ---- QUIT: the UPDATE state ---- */

static void goodbye(struct pop3 *s)
{
    s->closing = true;
    if (s->result == STORE_OK)
        pop3_say(s, "+OK Goodbye, %u messages removed", s->removed);
    else
        pop3_say(s, "-ERR [SYS/TEMP] Some deleted messages were not removed");
}

static uint32_t collect(struct pop3 *s, uint8_t mask, uint8_t value)
{
    free(s->uids);
    s->uids = mem_alloc(((size_t)s->view->n + 1) * sizeof(*s->uids));
    s->uid_n = 0;
    for (uint32_t i = 0; i < s->view->n; i++)
        if ((s->marks[i] & mask) == value)
            s->uids[s->uid_n++] = s->view->uids[i];
    return s->uid_n;
}

/* What was retrieved and stays is seen. A client that keeps mail here expects no more of it. */
static void seen_run(struct pop3 *s)
{
    struct flags_change c = {.op = FLAGS_ADD, .flags = MESSAGE_SEEN};
    if (collect(s, POP3_DELETED | POP3_SEEN, POP3_SEEN) > 0)
        mailbox_change_flags(s->mb, s->view, s->uids, s->uid_n, &c);
}

static void expunge_run(struct pop3 *s)
{
    s->result = mailbox_expunge(s->mb, s->view, s->uids, s->uid_n, 0);
    if (s->result == STORE_OK)
        s->removed = s->uid_n;
    seen_run(s);
}

static void forgotten(bool ok, void *arg)
{
    struct pop3 *s = arg;
    if (!pop3_unhold(s))
        return;
    if (!ok)
        s->result = STORE_FAILED;
    pop3_work(s, ok ? expunge_run : seen_run, goodbye);
}

static void ask_queue(struct pop3 *s)
{
    if (s->result != STORE_OK) {
        goodbye(s);
        return;
    }
    if (s->names.n == 0) { /* another session was faster */
        pop3_work(s, seen_run, goodbye);
        return;
    }
    pop3_hold(s);
    queue_forget(s->env->queue, mailbox_owner(s->mb), (const char *const *)s->names.v, s->names.n,
                 forgotten, s);
}

static void names_run(struct pop3 *s)
{
    uint32_t *uids;
    s->result = mailbox_names(s->mb, s->view, s->uids, s->uid_n, 0, &s->names, &uids);
    if (s->result != STORE_OK)
        return;
    free(s->uids);
    s->uids = uids;
    s->uid_n = (uint32_t)s->names.n;
}

static void cmd_quit(struct pop3 *s, const char *arg)
{
    (void)arg;
    s->result = STORE_OK;
    if (collect(s, POP3_DELETED, POP3_DELETED) > 0)
        pop3_work(s, names_run, ask_queue);
    else
        pop3_work(s, seen_run, goodbye);
}

/* ---- the table ---- */

enum {
    ARG_NONE = 1,
    ARG_OPTIONAL = 2,
    ARG_NEEDED = 4
};

static const struct {
    const char *name;
    unsigned flags;
    void (*fn)(struct pop3 *s, const char *arg);
} commands[] = {
    {"STAT", ARG_NONE, cmd_stat},     {"LIST", ARG_OPTIONAL, cmd_list},
    {"RETR", ARG_NEEDED, cmd_retr},   {"DELE", ARG_NEEDED, cmd_dele},
    {"NOOP", ARG_NONE, cmd_noop},     {"RSET", ARG_NONE, cmd_rset},
    {"QUIT", ARG_NONE, cmd_quit},     {"TOP", ARG_NEEDED, cmd_top},
    {"UIDL", ARG_OPTIONAL, cmd_uidl}, {"CAPA", ARG_NONE, cmd_capa},
};

void pop3_command(struct pop3 *s, const struct pop3_command *cmd)
{
    const char *arg = cmd->args_len == 0 ? NULL : cmd->args;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(cmd->name, commands[i].name) != 0)
            continue;
        if ((arg == NULL && (commands[i].flags & ARG_NEEDED)) ||
            (arg != NULL && (commands[i].flags & ARG_NONE)))
            pop3_say(s, "-ERR Bad arguments");
        else
            commands[i].fn(s, arg);
        return;
    }
    pop3_say(s, "-ERR Unknown command");
}
