/* A session's numbering of a folder's messages, and what changed since it last heard. */
#include "gateway/base/mem.h"
#include "gateway/store/private.h"

#include <stdlib.h>
#include <string.h>

static void push(uint32_t **v, uint32_t *n, uint32_t value)
{
    if ((*n & (*n - 1)) == 0)
        *v = mem_realloc(*v, *n ? *n * 2 : 1, sizeof(**v));
    (*v)[(*n)++] = value;
}

static void add_uid(struct view *view, uint32_t uid)
{
    if (view->n == view->cap) {
        /* A quarter more: many views are held, and most grow by single messages. */
        view->cap = view->cap < 16 ? 16 : view->cap + view->cap / 4;
        view->uids = mem_realloc(view->uids, view->cap, sizeof(*view->uids));
    }
    view->uids[view->n++] = uid;
}

uint32_t view_seq_from(const struct view *view, uint32_t uid)
{
    uint32_t lo = 0, hi = view->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (view->uids[mid] < uid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo + 1;
}

uint32_t view_seq(const struct view *view, uint32_t uid)
{
    uint32_t seq = view_seq_from(view, uid);
    return seq <= view->n && view->uids[seq - 1] == uid ? seq : 0;
}

bool view_is_recent(const struct view *view, uint32_t uid)
{
    for (uint32_t i = 0; i < view->recent_n; i++)
        if (uid >= view->recent[i].first && uid <= view->recent[i].last)
            return true;
    return false;
}

/* Takes [from, uidnext) as \Recent of this session. */
static void add_recent(struct view *view, uint32_t from, uint32_t uidnext)
{
    if (from >= uidnext)
        return;
    struct uid_range *last = view->recent_n > 0 ? &view->recent[view->recent_n - 1] : NULL;
    if (last != NULL && from <= last->last + 1) {
        if (uidnext - 1 > last->last)
            last->last = uidnext - 1;
        return;
    }
    view->recent = mem_realloc(view->recent, view->recent_n + 1, sizeof(*view->recent));
    view->recent[view->recent_n++] = (struct uid_range){from, uidnext - 1};
}

static uint32_t count_recent(const struct view *view)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < view->recent_n; i++)
        n += view_seq_from(view, view->recent[i].last + 1) -
             view_seq_from(view, view->recent[i].first);
    return n;
}

/* Takes over the folder's keywords; whether there are new ones. */
static int take_keywords(struct index_txn *t, struct view *view, bool *grew)
{
    struct index_keywords k;
    if (index_keywords_get(t, view->folder, &k) < 0)
        return -1;
    *grew = k.n > view->keyword_n;
    if (!*grew)
        return 0;
    view->keywords = mem_realloc(view->keywords, k.n, sizeof(*view->keywords));
    while (view->keyword_n < k.n) {
        view->keywords[view->keyword_n] = mem_strdup(k.name[view->keyword_n]);
        view->keyword_n++;
    }
    return 0;
}

void view_free(struct view **viewp)
{
    struct view *view = *viewp;
    if (view == NULL)
        return;
    *viewp = NULL;
    for (unsigned i = 0; i < view->keyword_n; i++)
        free(view->keywords[i]);
    free(view->keywords);
    free(view->recent);
    free(view->uids);
    free(view);
}

void view_changes_free(struct view_changes *changes)
{
    free(changes->expunged);
    free(changes->flags);
    *changes = (struct view_changes){0};
}

/* ---- bringing it up to date ---- */

/* Only arrivals since last time: what is behind the last known UID. */
static int take_arrivals(struct index_txn *t, struct view *view)
{
    struct index_scan scan;
    struct index_msg m;
    int rc = index_scan_begin(t, view->folder, view->uidnext, &scan);
    while (rc >= 0 && (rc = index_scan_next(&scan, &m, false)) == 1)
        add_uid(view, m.uid);
    index_scan_end(&scan);
    return rc;
}

/* Removes from the view what is gone: present says which sequence numbers (from 0) are still there.
 */
static void drop_absent(struct view *view, const uint8_t *present, struct view_changes *c)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < view->n; i++) {
        if (present[i])
            view->uids[kept++] = view->uids[i];
        else
            push(&c->expunged, &c->expunged_n, kept + 1);
    }
    view->n = kept;
}

/* Walks the whole folder. UIDs in changed order: collects those whose flags changed. */
static int compare_all(struct index_txn *t, struct view *view, bool expunge, struct view_changes *c)
{
    struct index_scan scan;
    struct index_msg m;
    uint32_t known = view->n, i = 0;
    uint8_t *present = mem_zalloc(known + 1);
    uint32_t *changed = NULL, changed_n = 0;
    int rc = index_scan_begin(t, view->folder, 1, &scan);
    while (rc >= 0 && (rc = index_scan_next(&scan, &m, false)) == 1) {
        if (m.uid >= view->uidnext) {
            add_uid(view, m.uid);
            continue;
        }
        while (i < known && view->uids[i] < m.uid)
            i++;
        if (i == known || view->uids[i] != m.uid)
            continue;
        present[i] = 1;
        if (m.modseq > view->modseq)
            push(&changed, &changed_n, m.uid);
    }
    index_scan_end(&scan);
    if (rc >= 0 && expunge) {
        uint8_t *all = mem_realloc(present, (size_t)view->n + 1, 1);
        memset(all + known, 1, view->n - known);
        present = all;
        drop_absent(view, present, c);
    }
    for (uint32_t j = 0; rc >= 0 && j < changed_n; j++)
        push(&c->flags, &c->flags_n, view_seq(view, changed[j]));
    free(changed);
    free(present);
    return rc;
}

static enum store_result take_changes(struct mailbox *mb, struct view *view, bool expunge,
                                      struct view_changes *c)
{
    struct index_txn t;
    struct index_folder f;
    enum store_result r = mailbox_begin(mb, false, &t);
    if (r != STORE_OK)
        return r;
    int rc = index_folder_get(&t, view->folder, &f);
    if (rc != 1) {
        r = rc == 0 ? STORE_ABSENT : STORE_FAILED;
        goto out;
    }
    uint32_t before = view->n;
    bool removals = expunge && f.expunge_modseq > view->expunge_modseq;
    if (take_keywords(&t, view, &c->keywords) != 0)
        rc = -1;
    else if (removals || f.flags_modseq > view->modseq)
        rc = compare_all(&t, view, expunge, c);
    else if (f.uidnext > view->uidnext)
        rc = take_arrivals(&t, view);
    if (rc < 0) {
        r = STORE_FAILED;
        goto out;
    }
    c->arrived = view->n + c->expunged_n > before;
    view->uidnext = f.uidnext;
    view->modseq = f.modseq;
    if (expunge)
        view->expunge_modseq = f.expunge_modseq;
out:
    mailbox_abort(mb, &t);
    return r;
}

enum store_result view_refresh(struct mailbox *mb, struct view *view, bool expunge,
                               struct view_changes *changes)
{
    struct index_folder f;
    uint32_t recent_from;
    *changes = (struct view_changes){0};
    enum store_result r = folder_sync(mb, view->folder, NULL, !view->readonly, &f, &recent_from);
    if (r != STORE_OK)
        return r;
    if (f.modseq == view->modseq && f.uidnext == view->uidnext &&
        (!expunge || f.expunge_modseq == view->expunge_modseq)) {
        changes->recent = count_recent(view);
        return STORE_OK;
    }
    r = take_changes(mb, view, expunge, changes);
    if (r == STORE_OK) {
        if (recent_from < f.uidnext)
            add_recent(view, recent_from, f.uidnext);
        changes->recent = count_recent(view);
    }
    return r;
}

enum store_result view_open(struct mailbox *mb, const char *name, bool readonly, struct view **out)
{
    struct index_folder f;
    struct index_txn t;
    struct index_scan scan;
    struct index_msg m;
    uint32_t recent_from;
    bool keywords;
    *out = NULL;
    enum store_result r = folder_sync(mb, 0, name, !readonly, &f, &recent_from);
    if (r == STORE_OK)
        r = mailbox_begin(mb, false, &t);
    if (r != STORE_OK)
        return r;
    struct view *view = mem_zalloc(sizeof(*view));
    view->folder = f.id;
    view->uidvalidity = f.uidvalidity;
    view->readonly = readonly;
    /* The snapshot may be newer than what the sync saw: it is what the view begins with. */
    int rc = index_folder_get(&t, f.id, &f);
    if (rc != 1) {
        r = rc == 0 ? STORE_ABSENT : STORE_FAILED;
        goto out;
    }
    view->uidnext = f.uidnext;
    view->modseq = f.modseq;
    view->expunge_modseq = f.expunge_modseq;
    view->cap = f.messages;
    view->uids = mem_alloc(((size_t)view->cap + 1) * sizeof(*view->uids));
    rc = index_scan_begin(&t, f.id, 1, &scan);
    while (rc >= 0 && (rc = index_scan_next(&scan, &m, false)) == 1) {
        add_uid(view, m.uid);
        if (view->first_unseen == 0 && !(m.flags & MESSAGE_SEEN))
            view->first_unseen = view->n;
    }
    index_scan_end(&scan);
    if (rc < 0 || take_keywords(&t, view, &keywords) != 0)
        r = STORE_FAILED;
    else
        add_recent(view, recent_from, f.uidnext);
out:
    mailbox_abort(mb, &t);
    if (r == STORE_OK)
        *out = view;
    else
        view_free(&view);
    return r;
}
