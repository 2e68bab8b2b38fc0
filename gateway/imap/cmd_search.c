/* SEARCH: one job looks at all messages; nothing is sent before it ends. */
#include <stdlib.h>

#include "gateway/imap/search.h"
#include "gateway/imap/session.h"

static void search_work_free(void *work)
{
    struct search *search = work;
    search_free(&search);
}

static void search_run(struct imap *s)
{
    struct message_file file = MESSAGE_FILE_INIT;
    struct message m;
    struct mail_read *r = mail_read_begin(s->mb, s->view);
    if (r == NULL) {
        imap_no(s, STORE_FAILED, "Cannot read the folder");
        return;
    }
    buf_append_str(&s->reply.text, "* SEARCH");
    int rc = 0;
    for (uint32_t i = 0; rc >= 0 && i < s->view->n && !atomic_load(&s->gone); i++) {
        rc = mail_read_get(r, s->view->uids[i], &m);
        if (rc == 1 && search_matches(s->work, s->view, &m, r, &file, s->env->conf))
            buf_printf(&s->reply.text, " %u", s->uid ? m.uid : i + 1);
        message_file_close(&file);
    }
    message_file_free(&file);
    mail_read_end(&r);
    buf_append_str(&s->reply.text, "\r\n");
    if (rc < 0) {
        imap_no(s, STORE_FAILED, "Cannot read the folder");
        return;
    }
    imap_put_changes(s, s->uid);
    imap_tagged(s, "OK Searched");
}

void imap_cmd_search(struct imap *s, const struct imap_arg *args)
{
    struct search *search;
    switch (search_parse(&search, args, s->view)) {
    case SEARCH_BAD:
        imap_bad_args(s);
        return;
    case SEARCH_BAD_CHARSET:
        imap_tagged(s, "NO [BADCHARSET (US-ASCII UTF-8)] That character set is not known");
        return;
    case SEARCH_OK:
        imap_set_work(s, search, search_work_free);
        imap_work(s, search_run, NULL);
        return;
    }
}
