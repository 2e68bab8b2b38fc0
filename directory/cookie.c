/* Cookies of OpenLDAP, whose form is known, and of the rest, whose form is not. */
#include <stdlib.h>
#include <string.h>

#include "directory/syncmsg.h"
#include "gateway/base/str.h"

/* Providers of one directory; server ids have three hexadecimal digits. */
#define PROVIDERS_MAX 64

/* A change sequence number: time#count#sid#mod. */
struct csn {
    const char *text, *sid;
    size_t len;
};

struct csn_set {
    struct csn csn[PROVIDERS_MAX];
    size_t n;
};

/* 1 where it is one (its provider told by the third field). */
static bool csn_parse(struct csn *out, const char *text, size_t len)
{
    const char *end = text + len, *s = text;
    for (int fields = 0; fields < 2; fields++) {
        s = memchr(s, '#', (size_t)(end - s));
        if (s == NULL)
            return false;
        s++;
    }
    if (end - s < 4 || s[3] != '#' || s - text < 16)
        return false;
    *out = (struct csn){.text = text, .sid = s, .len = len};
    return true;
}

static bool csn_set_put(struct csn_set *set, const struct csn *c)
{
    size_t i = 0;
    while (i < set->n && memcmp(set->csn[i].sid, c->sid, 3) != 0)
        i++;
    if (i == PROVIDERS_MAX)
        return false;
    if (i == set->n) {
        set->csn[set->n++] = *c;
        return true;
    }
    const struct csn *old = &set->csn[i];
    size_t n = old->len < c->len ? old->len : c->len;
    if (memcmp(c->text, old->text, n) > 0)
        set->csn[i] = *c;
    return true;
}

/* Adds the CSNs of a cookie; *head is the length of what stands before them. */
static bool csn_set_read(struct csn_set *set, const char *text, size_t len, size_t *head)
{
    static const char mark[] = ",csn=";
    if (len < 4 || memcmp(text, "rid=", 4) != 0)
        return false;
    const char *at = memmem(text, len, mark, sizeof mark - 1);
    if (at == NULL)
        return false;
    at += sizeof mark - 1;
    *head = (size_t)(at - text);
    for (const char *end = text + len; at < end;) {
        const char *stop = memchr(at, ';', (size_t)(end - at));
        struct csn c;
        if (stop == NULL)
            stop = end;
        if (!csn_parse(&c, at, (size_t)(stop - at)) || !csn_set_put(set, &c))
            return false;
        at = stop == end ? end : stop + 1;
    }
    return set->n > 0;
}

static int compare(const void *a, const void *b)
{
    const struct csn *x = a, *y = b;
    return memcmp(x->sid, y->sid, 3);
}

void sync_cookie_merge(struct buf *cookie, const struct berval *newer)
{
    struct csn_set set = {.n = 0};
    struct buf out = {.max = SYNC_COOKIE_MAX};
    size_t old_head, head;
    bool known = csn_set_read(&set, (const char *)cookie->data, cookie->len, &old_head) &&
                 csn_set_read(&set, newer->bv_val, newer->bv_len, &head);
    if (known) {
        qsort(set.csn, set.n, sizeof set.csn[0], compare);
        buf_append(&out, newer->bv_val, head);
        for (size_t i = 0; i < set.n; i++) {
            if (i > 0)
                buf_append_byte(&out, ';');
            buf_append(&out, set.csn[i].text, set.csn[i].len);
        }
    } else {
        buf_append(&out, newer->bv_val, newer->bv_len);
    }
    buf_clear(cookie);
    buf_append(cookie, out.data, out.len);
    buf_free(&out);
}
