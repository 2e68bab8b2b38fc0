/* The table of commands, those that touch no files, and what commands share. */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/imap/format.h"
#include "gateway/imap/seqset.h"
#include "gateway/imap/session.h"

const char imap_capabilities[] =
    "IMAP4rev1 LITERAL+ ENABLE ID IDLE NAMESPACE CHILDREN UIDPLUS MOVE UNSELECT SPECIAL-USE "
    "STATUS=SIZE";

/* A set may name each message of a large folder, in one command line. */
#define SET_RANGES_MAX 65536

/* ---- commands that touch no files ---- */

static void cmd_capability(struct imap *s, const struct imap_arg *args)
{
    (void)args;
    imap_untagged(s, "CAPABILITY %s", imap_capabilities);
    imap_tagged(s, "OK Capabilities listed");
}

static void noop_run(struct imap *s)
{
    imap_done(s, "Done");
}

static void cmd_noop(struct imap *s, const struct imap_arg *args)
{
    (void)args;
    if (s->view == NULL)
        imap_tagged(s, "OK Done");
    else
        imap_work(s, noop_run, NULL);
}

static void cmd_logout(struct imap *s, const struct imap_arg *args)
{
    (void)args;
    imap_untagged(s, "BYE Logging out");
    imap_tagged(s, "OK Logged out");
    s->closing = true;
}

static void cmd_enable(struct imap *s, const struct imap_arg *args)
{
    if (args == NULL) {
        imap_bad_args(s);
        return;
    }
    /* Nothing that can be enabled is offered yet: RFC 5161 says to ignore the rest. */
    imap_untagged(s, "ENABLED");
    imap_tagged(s, "OK Enabled");
}

static void cmd_id(struct imap *s, const struct imap_arg *args)
{
    if (args == NULL || (args->type != IMAP_LIST && !imap_arg_is(args, "NIL"))) {
        imap_bad_args(s);
        return;
    }
    imap_untagged(s, "ID (\"name\" \"Dirigo\")");
    imap_tagged(s, "OK Identified");
}

static void cmd_namespace(struct imap *s, const struct imap_arg *args)
{
    (void)args;
    imap_untagged(s, "NAMESPACE ((\"\" \"%c\")) NIL NIL", MAILBOX_DELIMITER);
    imap_tagged(s, "OK Namespaces listed");
}

static const struct imap_cmd commands[] = {
    {"CAPABILITY", IMAP_NO_ARGS, cmd_capability},
    {"NOOP", IMAP_NO_ARGS, cmd_noop},
    {"LOGOUT", IMAP_NO_ARGS, cmd_logout},
    {"ENABLE", 0, cmd_enable},
    {"ID", 0, cmd_id},
    {"NAMESPACE", IMAP_NO_ARGS, cmd_namespace},
    {"IDLE", IMAP_NO_ARGS, imap_cmd_idle},
    {"SELECT", 0, imap_cmd_select},
    {"EXAMINE", 0, imap_cmd_select},
    {"CREATE", 0, imap_cmd_create},
    {"DELETE", 0, imap_cmd_delete},
    {"RENAME", 0, imap_cmd_rename},
    {"SUBSCRIBE", 0, imap_cmd_subscribe},
    {"UNSUBSCRIBE", 0, imap_cmd_subscribe},
    {"LIST", 0, imap_cmd_list},
    {"LSUB", 0, imap_cmd_list},
    {"STATUS", 0, imap_cmd_status},
    {"APPEND", 0, imap_cmd_append},
    {"CHECK", IMAP_NO_ARGS | IMAP_SELECTED, cmd_noop},
    {"CLOSE", IMAP_NO_ARGS | IMAP_SELECTED, imap_cmd_close},
    {"UNSELECT", IMAP_NO_ARGS | IMAP_SELECTED, imap_cmd_unselect},
    {"EXPUNGE", IMAP_NO_ARGS | IMAP_SELECTED | IMAP_WRITES, imap_cmd_expunge},
    {"UID EXPUNGE", IMAP_SELECTED | IMAP_WRITES | IMAP_IS_UID, imap_cmd_expunge},
    {"SEARCH", IMAP_SELECTED, imap_cmd_search},
    {"UID SEARCH", IMAP_SELECTED | IMAP_IS_UID, imap_cmd_search},
    {"FETCH", IMAP_SELECTED, imap_cmd_fetch},
    {"UID FETCH", IMAP_SELECTED | IMAP_IS_UID, imap_cmd_fetch},
    {"STORE", IMAP_SELECTED | IMAP_WRITES, imap_cmd_store},
    {"UID STORE", IMAP_SELECTED | IMAP_WRITES | IMAP_IS_UID, imap_cmd_store},
    {"COPY", IMAP_SELECTED, imap_cmd_copy},
    {"UID COPY", IMAP_SELECTED | IMAP_IS_UID, imap_cmd_copy},
    {"MOVE", IMAP_SELECTED | IMAP_WRITES, imap_cmd_copy},
    {"UID MOVE", IMAP_SELECTED | IMAP_WRITES | IMAP_IS_UID, imap_cmd_copy},
};

void imap_command(struct imap *s)
{
    const struct imap_cmd *cmd = NULL;
    for (size_t i = 0; cmd == NULL && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, s->cmd->name) == 0)
            cmd = &commands[i];
    if (cmd == NULL) {
        s->errors++;
        imap_tagged(s, "BAD Unknown command");
        return;
    }
    s->uid = (cmd->flags & IMAP_IS_UID) != 0;
    if ((cmd->flags & IMAP_SELECTED) && s->view == NULL)
        imap_tagged(s, "BAD No folder is selected");
    else if ((cmd->flags & IMAP_WRITES) && s->view->readonly)
        imap_tagged(s, "NO [CANNOT] The folder was opened read-only");
    else if ((cmd->flags & IMAP_NO_ARGS) && s->cmd->args != NULL)
        imap_bad_args(s);
    else
        cmd->fn(s, s->cmd->args);
}

/* ---- arguments ---- */

const char *imap_take_folder(struct imap *s, const struct imap_arg *arg)
{
    const char *name = imap_arg_astring(arg);
    if (name == NULL)
        imap_bad_args(s);
    return name == NULL ? NULL : folder_name_canonical(name);
}

bool imap_take_set(struct imap *s, const struct imap_arg *arg, uint32_t **uids, uint32_t *n)
{
    struct seqset set;
    const struct view *v = s->view;
    *uids = NULL;
    *n = 0;
    if (arg == NULL || arg->type != IMAP_ATOM ||
        seqset_parse(&set, arg->str, SET_RANGES_MAX) != 0) {
        imap_bad_args(s);
        return false;
    }
    uint32_t highest = s->uid ? (v->n > 0 ? v->uids[v->n - 1] : 0) : v->n;
    seqset_resolve(&set, highest);
    if (!s->uid && set.n > 0 && set.v[set.n - 1].last > v->n) {
        imap_tagged(s, "BAD There is no message of that number");
        seqset_free(&set);
        return false;
    }
    *uids = mem_alloc(((size_t)v->n + 1) * sizeof(**uids));
    for (size_t i = 0; i < set.n; i++) {
        uint32_t seq = s->uid ? view_seq_from(v, set.v[i].first) : set.v[i].first;
        for (; seq <= v->n && (s->uid ? v->uids[seq - 1] : seq) <= set.v[i].last; seq++)
            (*uids)[(*n)++] = v->uids[seq - 1];
    }
    seqset_free(&set);
    return true;
}

static const struct {
    const char *name;
    uint8_t flag;
} system_flags[] = {
    {"\\Answered", MESSAGE_ANSWERED}, {"\\Flagged", MESSAGE_FLAGGED},
    {"\\Deleted", MESSAGE_DELETED},   {"\\Seen", MESSAGE_SEEN},
    {"\\Draft", MESSAGE_DRAFT},
};
#define SYSTEM_FLAG_N (sizeof(system_flags) / sizeof(system_flags[0]))

static bool take_flag(const struct imap_arg *arg, struct flags_change *out)
{
    const char *name = arg->type == IMAP_ATOM ? arg->str : NULL;
    if (name == NULL || out->keyword_n >= IMAP_MAX_FLAGS)
        return false;
    for (size_t i = 0; i < SYSTEM_FLAG_N; i++)
        if (str_ieq(name, system_flags[i].name)) {
            out->flags |= system_flags[i].flag;
            return true;
        }
    /* \Recent and flags that RFC 3501 does not know cannot be changed by a client. */
    if (name[0] == '\\' || strlen(name) >= MAILBOX_KEYWORD_MAX)
        return false;
    for (const char *p = name; *p != '\0'; p++)
        if (strchr("%*\"\\]", *p) != NULL || (unsigned char)*p > 0x7e)
            return false;
    ((const char **)out->keywords)[out->keyword_n++] = name;
    return true;
}

bool imap_take_flags(struct imap *s, const struct imap_arg *arg, struct flags_change *out)
{
    bool good = arg != NULL;
    out->keywords = mem_alloc(IMAP_MAX_FLAGS * sizeof(char *));
    if (good && arg->type == IMAP_LIST)
        arg = arg->list;
    for (; good && arg != NULL; arg = arg->next)
        good = take_flag(arg, out);
    if (good)
        return true;
    free((void *)out->keywords);
    out->keywords = NULL;
    imap_tagged(s, "BAD Not a flag that can be set");
    return false;
}

/* ---- flags as they are sent ---- */

void imap_put_flag_names(struct buf *out, const struct view *view)
{
    for (size_t i = 0; i < SYSTEM_FLAG_N; i++)
        buf_printf(out, "%s%s", i > 0 ? " " : "", system_flags[i].name);
    for (unsigned i = 0; i < view->keyword_n; i++)
        buf_printf(out, " %s", view->keywords[i]);
}

void imap_put_flags(struct buf *out, const struct view *view, const struct message *m)
{
    const char *space = "";
    buf_append_str(out, "FLAGS (");
    for (size_t i = 0; i < SYSTEM_FLAG_N; i++)
        if (m->flags & system_flags[i].flag) {
            buf_printf(out, "%s%s", space, system_flags[i].name);
            space = " ";
        }
    for (unsigned i = 0; m->keywords != 0 && i < view->keyword_n; i++)
        if (m->keywords & (uint64_t)1 << i) {
            buf_printf(out, "%s%s", space, view->keywords[i]);
            space = " ";
        }
    if (view_is_recent(view, m->uid))
        buf_printf(out, "%s\\Recent", space);
    buf_append_byte(out, ')');
}

/* ---- what changed ---- */

static void put_changed_flags(struct imap *s, const struct view_changes *c)
{
    struct message m;
    struct mail_read *r = c->flags_n == 0 ? NULL : mail_read_begin(s->mb, s->view);
    for (uint32_t i = 0; r != NULL && i < c->flags_n; i++) {
        uint32_t seq = c->flags[i];
        if (mail_read_get(r, s->view->uids[seq - 1], &m) != 1)
            continue;
        buf_printf(&s->reply.text, "* %u FETCH (UID %u ", seq, m.uid);
        imap_put_flags(&s->reply.text, s->view, &m);
        buf_append_str(&s->reply.text, ")\r\n");
    }
    mail_read_end(&r);
}

void imap_put_changes(struct imap *s, bool expunge)
{
    struct view_changes c;
    if (s->view == NULL || s->closing)
        return;
    enum store_result r = view_refresh(s->mb, s->view, expunge, &c);
    if (r == STORE_ABSENT) {
        imap_untagged(s, "BYE The selected folder was removed");
        s->closing = true;
    }
    for (uint32_t i = 0; i < c.expunged_n; i++)
        imap_untagged(s, "%u EXPUNGE", c.expunged[i]);
    if (c.arrived || c.expunged_n > 0) {
        if (c.arrived)
            imap_untagged(s, "%u EXISTS", s->view->n);
        imap_untagged(s, "%u RECENT", c.recent);
    }
    if (c.keywords) {
        struct buf *out = &s->reply.text;
        buf_append_str(out, "* FLAGS (");
        imap_put_flag_names(out, s->view);
        buf_append_str(out, ")\r\n");
    }
    put_changed_flags(s, &c);
    view_changes_free(&c);
}
