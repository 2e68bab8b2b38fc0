/* Commands on folders: RFC 3501 sections 6.3 and 6.4.2, UNSELECT (RFC 3691). */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/imap/format.h"
#include "gateway/imap/session.h"

/* The names a folder command works on; NULL where it has none. */
struct folder_work {
    char *name, *to;
    bool on;
    bool lsub;
    unsigned items;
    struct name_list names;
};

static void folder_work_free(void *work)
{
    struct folder_work *w = work;
    free(w->name);
    free(w->to);
    name_list_free(&w->names);
    free(w);
}

static struct folder_work *begin(struct imap *s, const char *name)
{
    struct folder_work *w = mem_zalloc(sizeof(*w));
    w->name = mem_strdup(name);
    imap_set_work(s, w, folder_work_free);
    return w;
}

/* ---- SELECT, EXAMINE, CLOSE, UNSELECT ---- */

static void put_selected(struct imap *s)
{
    const struct view *v = s->view;
    struct buf *out = &s->reply.text;
    uint32_t recent = 0;
    for (uint32_t i = 0; i < v->recent_n; i++)
        recent += view_seq_from(v, v->recent[i].last + 1) - view_seq_from(v, v->recent[i].first);
    buf_append_str(out, "* FLAGS (");
    imap_put_flag_names(out, v);
    buf_append_str(out, ")\r\n* OK [PERMANENTFLAGS (");
    if (!v->readonly) {
        imap_put_flag_names(out, v);
        buf_append_str(out, v->keyword_n < MAILBOX_KEYWORDS_MAX ? " \\*" : "");
    }
    buf_append_str(out, ")] Flags that can be kept\r\n");
    imap_untagged(s, "%u EXISTS", v->n);
    imap_untagged(s, "%u RECENT", recent);
    if (v->first_unseen != 0)
        imap_untagged(s, "OK [UNSEEN %u] The first unseen message", v->first_unseen);
    imap_untagged(s, "OK [UIDVALIDITY %u] UIDs are valid", v->uidvalidity);
    imap_untagged(s, "OK [UIDNEXT %u] The next UID", v->uidnext);
}

static void select_run(struct imap *s)
{
    struct folder_work *w = s->work;
    enum store_result r = view_open(s->mb, w->name, !w->on, &s->view);
    if (r != STORE_OK) {
        imap_no(s, r, "Cannot select the folder");
        return;
    }
    s->folder = mem_strdup(w->name);
    put_selected(s);
    imap_tagged(s, "OK [%s] Selected", w->on ? "READ-WRITE" : "READ-ONLY");
}

void imap_cmd_select(struct imap *s, const struct imap_arg *args)
{
    const char *name = imap_take_folder(s, args);
    if (name == NULL)
        return;
    /* Whether it succeeds or not, the folder that was selected is no more (6.3.1). */
    imap_deselect(s);
    begin(s, name)->on = strcmp(s->cmd->name, "SELECT") == 0;
    imap_work(s, select_run, NULL);
}

void imap_cmd_unselect(struct imap *s, const struct imap_arg *args)
{
    (void)args;
    imap_deselect(s);
    imap_tagged(s, "OK Unselected");
}

void imap_cmd_close(struct imap *s, const struct imap_arg *args)
{
    if (s->view->readonly)
        imap_cmd_unselect(s, args);
    else
        imap_cmd_expunge(s, args);
}

/* ---- CREATE, DELETE, RENAME, SUBSCRIBE ---- */

static void answer(struct imap *s, enum store_result r, const char *failed, const char *done)
{
    if (r == STORE_OK)
        imap_done(s, done);
    else
        imap_no(s, r, failed);
}

static void create_run(struct imap *s)
{
    struct folder_work *w = s->work;
    answer(s, mailbox_create(s->mb, w->name), "Cannot create the folder", "Created");
}

void imap_cmd_create(struct imap *s, const struct imap_arg *args)
{
    const char *name = imap_take_folder(s, args);
    if (name == NULL)
        return;
    struct folder_work *w = begin(s, name);
    /* A delimiter at the end says that folders below it will follow (6.3.3): it is no part of the
     * name. */
    size_t len = strlen(w->name);
    if (len > 1 && w->name[len - 1] == MAILBOX_DELIMITER)
        w->name[len - 1] = '\0';
    imap_work(s, create_run, NULL);
}

static void delete_run(struct imap *s)
{
    struct folder_work *w = s->work;
    enum store_result r = mailbox_delete(s->mb, w->name);
    if (r == STORE_OK && s->folder != NULL && strcmp(s->folder, w->name) == 0)
        imap_deselect(s);
    answer(s, r, "Cannot delete the folder", "Deleted");
}

static void delete_forgotten(bool ok, void *arg)
{
    struct imap *s = arg;
    if (!imap_unhold(s))
        return;
    if (ok) {
        imap_work(s, delete_run, NULL);
        return;
    }
    imap_no(s, STORE_FAILED, "Cannot delete the folder");
    imap_resume(s);
}

static void delete_named(struct imap *s)
{
    struct folder_work *w = s->work;
    if (s->answered)
        return;
    if (w->names.n == 0) {
        imap_work(s, delete_run, NULL);
        return;
    }
    imap_hold(s);
    queue_forget(s->env->queue, mailbox_owner(s->mb), (const char *const *)w->names.v, w->names.n,
                 delete_forgotten, s);
}

static void delete_names_run(struct imap *s)
{
    struct folder_work *w = s->work;
    enum store_result r = strcmp(w->name, "INBOX") == 0
                              ? STORE_INVALID
                              : mailbox_folder_names(s->mb, w->name, &w->names);
    if (r != STORE_OK)
        imap_no(s, r, "Cannot delete the folder");
}

void imap_cmd_delete(struct imap *s, const struct imap_arg *args)
{
    const char *name = imap_take_folder(s, args);
    if (name == NULL)
        return;
    begin(s, name);
    imap_work(s, delete_names_run, delete_named);
}

static void rename_run(struct imap *s)
{
    struct folder_work *w = s->work;
    enum store_result r = mailbox_rename(s->mb, w->name, w->to);
    if (r == STORE_OK && s->folder != NULL && strcmp(s->folder, w->name) == 0 &&
        strcmp(w->name, "INBOX") != 0) {
        free(s->folder);
        s->folder = mem_strdup(w->to);
    }
    answer(s, r, "Cannot rename the folder", "Renamed");
}

void imap_cmd_rename(struct imap *s, const struct imap_arg *args)
{
    const char *from = imap_take_folder(s, args);
    const char *to = from == NULL ? NULL : imap_take_folder(s, args->next);
    if (to == NULL)
        return;
    begin(s, from)->to = mem_strdup(to);
    imap_work(s, rename_run, NULL);
}

static void subscribe_run(struct imap *s)
{
    struct folder_work *w = s->work;
    enum store_result r = w->on && !folder_name_valid(w->name)
                              ? STORE_INVALID
                              : mailbox_subscribe(s->mb, w->name, w->on);
    answer(s, r, "Cannot change the subscription", "Done");
}

void imap_cmd_subscribe(struct imap *s, const struct imap_arg *args)
{
    const char *name = imap_take_folder(s, args);
    if (name == NULL)
        return;
    begin(s, name)->on = strcmp(s->cmd->name, "SUBSCRIBE") == 0;
    imap_work(s, subscribe_run, NULL);
}

/* ---- LIST and LSUB ---- */

/* RFC 6154, by the names that clients give these folders. */
static const char *special_use(const char *name)
{
    static const struct {
        const char *name, *use;
    } uses[] = {{"Sent", " \\Sent"},       {"Drafts", " \\Drafts"},      {"Trash", " \\Trash"},
                {"Junk", " \\Junk"},       {"Archive", " \\Archive"},    {"Spam", " \\Junk"},
                {"Sent Items", " \\Sent"}, {"Deleted Items", " \\Trash"}};
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++)
        if (str_ieq(name, uses[i].name))
            return uses[i].use;
    return "";
}

static void put_entry(struct imap *s, const char *what, const char *attributes, const char *use,
                      const char *name)
{
    struct buf *out = &s->reply.text;
    buf_printf(out, "* %s (%s%s) \"%c\" ", what, attributes, use, MAILBOX_DELIMITER);
    imap_put_astring(out, name);
    buf_append_str(out, "\r\n");
}

static void put_list(struct imap *s, const struct folder_list *list, const char *pattern)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct folder_entry *e = &list->v[i];
        if (!imap_pattern_matches(pattern, e->name))
            continue;
        const char *attributes = e->has_children ? "\\HasChildren" : "\\HasNoChildren";
        if (!e->selectable)
            attributes = "\\Noselect \\HasChildren";
        put_entry(s, "LIST", attributes, e->selectable ? special_use(e->name) : "", e->name);
    }
}

/* A level above a subscribed folder that matches stands for it where it does not itself (6.3.9). */
static void put_lsub(struct imap *s, const struct folder_list *list, const char *pattern)
{
    char last[MAILBOX_NAME_MAX] = "";
    for (size_t i = 0; i < list->n; i++) {
        char name[MAILBOX_NAME_MAX];
        strlcpy(name, list->v[i].name, sizeof(name));
        if (imap_pattern_matches(pattern, name)) {
            put_entry(s, "LSUB", "", "", name);
            strlcpy(last, name, sizeof(last));
            continue;
        }
        for (char *dot = strrchr(name, MAILBOX_DELIMITER); dot != NULL;
             dot = strrchr(name, MAILBOX_DELIMITER)) {
            *dot = '\0';
            if (!imap_pattern_matches(pattern, name))
                continue;
            if (strcmp(name, last) != 0)
                put_entry(s, "LSUB", "\\Noselect", "", name);
            strlcpy(last, name, sizeof(last));
            break;
        }
    }
}

static void list_run(struct imap *s)
{
    struct folder_work *w = s->work;
    struct folder_list list;
    enum store_result r =
        w->lsub ? mailbox_subscriptions(s->mb, &list) : mailbox_list(s->mb, &list);
    if (r != STORE_OK) {
        imap_no(s, r, "Cannot list the folders");
        return;
    }
    if (w->lsub)
        put_lsub(s, &list, w->name);
    else
        put_list(s, &list, w->name);
    folder_list_free(&list);
    imap_done(s, "Listed");
}

void imap_cmd_list(struct imap *s, const struct imap_arg *args)
{
    const char *reference = imap_arg_astring(args);
    const char *pattern = reference == NULL ? NULL : imap_arg_pattern(args->next);
    if (pattern == NULL) {
        imap_bad_args(s);
        return;
    }
    bool lsub = strcmp(s->cmd->name, "LSUB") == 0;
    if (pattern[0] == '\0') { /* asks for the delimiter and the root of the reference */
        put_entry(s, s->cmd->name, "\\Noselect", "", "");
        imap_tagged(s, "OK Listed");
        return;
    }
    struct folder_work *w = begin(s, "");
    free(w->name);
    w->name = mem_printf("%s%s", reference, pattern);
    w->lsub = lsub;
    imap_work(s, list_run, NULL);
}

/* ---- STATUS ---- */

enum {
    STATUS_MESSAGES,
    STATUS_RECENT,
    STATUS_UIDNEXT,
    STATUS_UIDVALIDITY,
    STATUS_UNSEEN,
    STATUS_SIZE,
    STATUS_ITEMS
};
static const char *const status_names[STATUS_ITEMS] = {"MESSAGES",    "RECENT", "UIDNEXT",
                                                       "UIDVALIDITY", "UNSEEN", "SIZE"};

static void status_run(struct imap *s)
{
    struct folder_work *w = s->work;
    struct folder_status st;
    enum store_result r = mailbox_status(s->mb, w->name, &st);
    if (r != STORE_OK) {
        imap_no(s, r, "Cannot look at the folder");
        return;
    }
    const uint64_t values[STATUS_ITEMS] = {st.messages,    st.recent, st.uidnext,
                                           st.uidvalidity, st.unseen, st.bytes};
    struct buf *out = &s->reply.text;
    const char *space = "";
    buf_append_str(out, "* STATUS ");
    imap_put_astring(out, w->name);
    buf_append_str(out, " (");
    for (int i = 0; i < STATUS_ITEMS; i++) {
        if (!(w->items & 1u << i))
            continue;
        buf_printf(out, "%s%s %llu", space, status_names[i], (unsigned long long)values[i]);
        space = " ";
    }
    buf_append_str(out, ")\r\n");
    imap_done(s, "Status told");
}

void imap_cmd_status(struct imap *s, const struct imap_arg *args)
{
    unsigned items = 0;
    const char *name = imap_take_folder(s, args);
    if (name == NULL)
        return;
    const struct imap_arg *list = args->next;
    bool good = list != NULL && list->type == IMAP_LIST && list->list != NULL;
    for (const struct imap_arg *a = good ? list->list : NULL; good && a != NULL; a = a->next) {
        int i = 0;
        while (i < STATUS_ITEMS && !imap_arg_is(a, status_names[i]))
            i++;
        good = i < STATUS_ITEMS;
        items |= 1u << i;
    }
    if (!good) {
        imap_bad_args(s);
        return;
    }
    begin(s, name)->items = items;
    imap_work(s, status_run, NULL);
}
