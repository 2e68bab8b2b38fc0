/* STORE, COPY, MOVE (RFC 6851), EXPUNGE (UID EXPUNGE: RFC 4315) and CLOSE. */
#include <stdlib.h>
#include <string.h>

#include "gateway/imap/seqset.h"
#include "gateway/imap/session.h"

struct set_work {
    uint32_t *uids;
    uint32_t n;
    char *folder;
    struct flags_change change;
    bool silent, move, close;
    bool named; /* expunge: uids were given */
    struct name_list names;
    uint32_t at;
};

static void set_work_free(void *work)
{
    struct set_work *w = work;
    free(w->uids);
    free(w->folder);
    free((void *)w->change.keywords);
    name_list_free(&w->names);
    free(w);
}

static struct set_work *begin(struct imap *s)
{
    struct set_work *w = mem_zalloc(sizeof(*w));
    imap_set_work(s, w, set_work_free);
    return w;
}

/* ---- STORE ---- */

/* The new flags of every message of the set, a piece of the answer at a time. */
static void store_answer(struct imap *s)
{
    struct set_work *w = s->work;
    struct message m;
    struct mail_read *r = mail_read_begin(s->mb, s->view);
    while (r != NULL && !w->silent && w->at < w->n && reply_size(&s->reply) < REPLY_CHUNK) {
        uint32_t uid = w->uids[w->at++];
        if (mail_read_get(r, uid, &m) != 1)
            continue;
        buf_printf(&s->reply.text, "* %u FETCH (", view_seq(s->view, uid));
        if (s->uid)
            buf_printf(&s->reply.text, "UID %u ", uid);
        imap_put_flags(&s->reply.text, s->view, &m);
        buf_append_str(&s->reply.text, ")\r\n");
    }
    mail_read_end(&r);
    s->more = !w->silent && w->at < w->n && !atomic_load(&s->gone);
    if (s->more)
        return;
    imap_put_changes(s, s->uid);
    imap_tagged(s, "OK Stored");
}

static void store_run(struct imap *s)
{
    struct set_work *w = s->work;
    unsigned known = s->view->keyword_n;
    enum store_result r = mailbox_change_flags(s->mb, s->view, w->uids, w->n, &w->change);
    if (r != STORE_OK) {
        imap_no(s, r, "Cannot change flags");
        return;
    }
    if (s->view->keyword_n > known) {
        buf_append_str(&s->reply.text, "* FLAGS (");
        imap_put_flag_names(&s->reply.text, s->view);
        buf_append_str(&s->reply.text, ")\r\n");
    }
    s->run = store_answer;
    store_answer(s);
}

static bool take_op(const struct imap_arg *arg, struct set_work *w)
{
    static const struct {
        const char *name;
        enum flags_op op;
        bool silent;
    } ops[] = {{"FLAGS", FLAGS_REPLACE, false}, {"FLAGS.SILENT", FLAGS_REPLACE, true},
               {"+FLAGS", FLAGS_ADD, false},    {"+FLAGS.SILENT", FLAGS_ADD, true},
               {"-FLAGS", FLAGS_REMOVE, false}, {"-FLAGS.SILENT", FLAGS_REMOVE, true}};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        if (imap_arg_is(arg, ops[i].name)) {
            w->change.op = ops[i].op;
            w->silent = ops[i].silent;
            return true;
        }
    return false;
}

void imap_cmd_store(struct imap *s, const struct imap_arg *args)
{
    struct set_work *w = begin(s);
    if (!imap_take_set(s, args, &w->uids, &w->n))
        return;
    if (!take_op(args->next, w)) {
        imap_bad_args(s);
        return;
    }
    if (imap_take_flags(s, args->next->next, &w->change))
        imap_work(s, store_run, NULL);
}

/* ---- COPY and MOVE ---- */

static void put_copyuid(struct imap *s, const struct copy_result *r)
{
    struct buf *out = &s->reply.text;
    buf_printf(out, "[COPYUID %u ", r->uidvalidity);
    seqset_put(out, r->from, r->n);
    buf_append_byte(out, ' ');
    seqset_put(out, r->to, r->n);
    buf_append_str(out, "] ");
}

static void copy_run(struct imap *s)
{
    struct set_work *w = s->work;
    struct copy_result result;
    enum store_result r = mailbox_copy(s->mb, s->view, w->uids, w->n, w->folder, w->move, &result);
    if (r == STORE_ABSENT) {
        imap_tagged(s, "NO [TRYCREATE] No such folder");
        return;
    }
    if (r != STORE_OK) {
        imap_no(s, r, w->move ? "Cannot move" : "Cannot copy");
        return;
    }
    if (w->move && result.n > 0) {
        /* RFC 6851 section 4.3: COPYUID before the EXPUNGEs. */
        buf_append_str(&s->reply.text, "* OK ");
        put_copyuid(s, &result);
        buf_append_str(&s->reply.text, "Moved\r\n");
    }
    imap_put_changes(s, true);
    buf_printf(&s->reply.text, "%s OK ", s->cmd->tag);
    s->answered = true;
    if (!w->move && result.n > 0)
        put_copyuid(s, &result);
    buf_printf(&s->reply.text, "%s\r\n", w->move ? "Done" : "Copied");
    copy_result_free(&result);
}

void imap_cmd_copy(struct imap *s, const struct imap_arg *args)
{
    struct set_work *w = begin(s);
    if (!imap_take_set(s, args, &w->uids, &w->n))
        return;
    const char *folder = imap_take_folder(s, args->next);
    if (folder == NULL)
        return;
    w->folder = mem_strdup(folder);
    w->move = strcmp(s->cmd->name + (s->uid ? 4 : 0), "MOVE") == 0;
    imap_work(s, copy_run, NULL);
}

/* ---- EXPUNGE and CLOSE ---- */

static void expunge_end(struct imap *s)
{
    struct set_work *w = s->work;
    if (w->close) {
        imap_deselect(s);
        imap_tagged(s, "OK Closed");
    } else {
        imap_done(s, "Expunged");
    }
}

static void expunge_run(struct imap *s)
{
    struct set_work *w = s->work;
    enum store_result r = mailbox_expunge(s->mb, s->view, w->uids, w->n, MESSAGE_DELETED);
    if (r == STORE_OK) {
        expunge_end(s);
        return;
    }
    imap_put_changes(s, true);
    imap_no(s, r, "Cannot remove the messages");
}

static void expunge_forgotten(bool ok, void *arg)
{
    struct imap *s = arg;
    if (!imap_unhold(s))
        return;
    if (ok) {
        imap_work(s, expunge_run, NULL);
        return;
    }
    imap_no(s, STORE_FAILED, "The queue is away");
    imap_resume(s);
}

static void expunge_named(struct imap *s)
{
    struct set_work *w = s->work;
    if (s->answered)
        return;
    imap_hold(s);
    queue_forget(s->env->queue, mailbox_owner(s->mb), (const char *const *)w->names.v, w->names.n,
                 expunge_forgotten, s);
}

static void expunge_names_run(struct imap *s)
{
    struct set_work *w = s->work;
    uint32_t *uids;
    enum store_result r = mailbox_names(s->mb, s->view, w->named ? w->uids : NULL, w->n,
                                        MESSAGE_DELETED, &w->names, &uids);
    if (r != STORE_OK) {
        imap_no(s, r, "Cannot look at the messages");
        return;
    }
    free(w->uids);
    w->uids = uids;
    w->n = (uint32_t)w->names.n;
    if (w->n == 0)
        expunge_end(s);
}

void imap_cmd_expunge(struct imap *s, const struct imap_arg *args)
{
    struct set_work *w = begin(s);
    w->close = strcmp(s->cmd->name, "CLOSE") == 0;
    w->named = s->uid;
    if (w->named && !imap_take_set(s, args, &w->uids, &w->n))
        return;
    imap_work(s, expunge_names_run, expunge_named);
}
