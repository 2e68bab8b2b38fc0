#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/imap/format.h"
#include "gateway/imap/search_private.h"
#include "gateway/imap/text.h"

#define SEARCH_DEPTH_MAX  50
#define SEARCH_RANGES_MAX 65536

struct parse {
    const struct imap_arg *arg; /* the next one */
    const struct view *view;
};

static bool take_key(struct parse *p, struct search_key **out, unsigned depth);

static void free_key(struct search_key *key)
{
    while (key != NULL) {
        struct search_key *next = key->next;
        free_key(key->list);
        seqset_free(&key->set);
        free(key->field);
        free(key->needle);
        free(key);
        key = next;
    }
}

void search_free(struct search **s)
{
    if (*s == NULL)
        return;
    free_key((*s)->root.list);
    free(*s);
    *s = NULL;
}

/* ---- arguments of keys ---- */

static const char *take_string(struct parse *p)
{
    const char *s = imap_arg_pattern(p->arg); /* clients send % and * unquoted too */
    if (s != NULL)
        p->arg = p->arg->next;
    return s;
}

static bool take_needle(struct parse *p, struct search_key *key)
{
    const char *s = take_string(p);
    if (s == NULL || !str_utf8_valid(s, strlen(s)))
        return false;
    struct buf folded = {0};
    text_fold(&folded, TEXT_UTF8, s, strlen(s));
    key->needle = buf_steal_str(&folded);
    return true;
}

static bool take_date(struct parse *p, struct search_key *key)
{
    int64_t day;
    const char *s = take_string(p);
    if (s == NULL || imap_parse_date(s, &day) != 0)
        return false;
    key->number = (uint64_t)day;
    return true;
}

static bool take_number(struct parse *p, struct search_key *key)
{
    if (imap_arg_number(p->arg, UINT32_MAX, &key->number) != 0)
        return false;
    p->arg = p->arg->next;
    return true;
}

static bool take_set(struct parse *p, struct search_key *key, bool uid)
{
    if (p->arg == NULL || p->arg->type != IMAP_ATOM ||
        seqset_parse(&key->set, p->arg->str, SEARCH_RANGES_MAX) != 0)
        return false;
    const struct view *v = p->view;
    seqset_resolve(&key->set, uid && v->n > 0 ? v->uids[v->n - 1] : v->n);
    key->type = uid ? SEARCH_UID : SEARCH_SEQ;
    p->arg = p->arg->next;
    return true;
}

/* A keyword that nobody has defined matches no message. */
static bool take_keyword(struct parse *p, struct search_key *key)
{
    if (p->arg == NULL || p->arg->type != IMAP_ATOM)
        return false;
    key->type = SEARCH_KEYWORD;
    for (unsigned i = 0; i < p->view->keyword_n; i++)
        if (str_ieq(p->view->keywords[i], p->arg->str))
            key->number = (uint64_t)1 << i;
    p->arg = p->arg->next;
    return true;
}

/* ---- keys ---- */

enum argument {
    NO_ARGUMENT,
    NEEDLE,
    DATE,
    NUMBER
};

static const struct {
    const char *name;
    enum search_type type;
    enum argument argument;
    bool negate;
    uint8_t flags;
    const char *field;
} keys[] = {
    {"ALL", SEARCH_ALL, NO_ARGUMENT, false, 0, NULL},
    {"ANSWERED", SEARCH_FLAGS, NO_ARGUMENT, false, MESSAGE_ANSWERED, NULL},
    {"DELETED", SEARCH_FLAGS, NO_ARGUMENT, false, MESSAGE_DELETED, NULL},
    {"DRAFT", SEARCH_FLAGS, NO_ARGUMENT, false, MESSAGE_DRAFT, NULL},
    {"FLAGGED", SEARCH_FLAGS, NO_ARGUMENT, false, MESSAGE_FLAGGED, NULL},
    {"SEEN", SEARCH_FLAGS, NO_ARGUMENT, false, MESSAGE_SEEN, NULL},
    {"UNANSWERED", SEARCH_FLAGS, NO_ARGUMENT, true, MESSAGE_ANSWERED, NULL},
    {"UNDELETED", SEARCH_FLAGS, NO_ARGUMENT, true, MESSAGE_DELETED, NULL},
    {"UNDRAFT", SEARCH_FLAGS, NO_ARGUMENT, true, MESSAGE_DRAFT, NULL},
    {"UNFLAGGED", SEARCH_FLAGS, NO_ARGUMENT, true, MESSAGE_FLAGGED, NULL},
    {"UNSEEN", SEARCH_FLAGS, NO_ARGUMENT, true, MESSAGE_SEEN, NULL},
    {"RECENT", SEARCH_RECENT, NO_ARGUMENT, false, 0, NULL},
    {"OLD", SEARCH_RECENT, NO_ARGUMENT, true, 0, NULL},
    {"LARGER", SEARCH_LARGER, NUMBER, false, 0, NULL},
    {"SMALLER", SEARCH_SMALLER, NUMBER, false, 0, NULL},
    {"BEFORE", SEARCH_BEFORE, DATE, false, 0, NULL},
    {"ON", SEARCH_ON, DATE, false, 0, NULL},
    {"SINCE", SEARCH_SINCE, DATE, false, 0, NULL},
    {"SENTBEFORE", SEARCH_SENTBEFORE, DATE, false, 0, NULL},
    {"SENTON", SEARCH_SENTON, DATE, false, 0, NULL},
    {"SENTSINCE", SEARCH_SENTSINCE, DATE, false, 0, NULL},
    {"BCC", SEARCH_HEADER, NEEDLE, false, 0, "Bcc"},
    {"CC", SEARCH_HEADER, NEEDLE, false, 0, "Cc"},
    {"FROM", SEARCH_HEADER, NEEDLE, false, 0, "From"},
    {"SUBJECT", SEARCH_HEADER, NEEDLE, false, 0, "Subject"},
    {"TO", SEARCH_HEADER, NEEDLE, false, 0, "To"},
    {"BODY", SEARCH_BODY, NEEDLE, false, 0, NULL},
    {"TEXT", SEARCH_TEXT, NEEDLE, false, 0, NULL},
};

/* A key of the table; false with *known false where the name is none of them. */
static bool take_plain(struct parse *p, struct search_key *key, bool *known)
{
    size_t i = 0, n = sizeof(keys) / sizeof(keys[0]);
    while (i < n && !imap_arg_is(p->arg, keys[i].name))
        i++;
    *known = i < n;
    if (!*known)
        return false;
    p->arg = p->arg->next;
    key->type = keys[i].type;
    key->negate = keys[i].negate;
    key->flags = keys[i].flags;
    key->costly = key->type >= SEARCH_SENTBEFORE;
    if (keys[i].field != NULL)
        key->field = mem_strdup(keys[i].field);
    switch (keys[i].argument) {
    case NEEDLE:
        return take_needle(p, key);
    case DATE:
        return take_date(p, key);
    case NUMBER:
        return take_number(p, key);
    case NO_ARGUMENT:
        break;
    }
    return true;
}

/* NEW is RECENT UNSEEN. */
static void make_new(struct search_key *key)
{
    key->type = SEARCH_AND;
    key->list = mem_zalloc(sizeof(*key));
    key->list->type = SEARCH_RECENT;
    key->list->next = mem_zalloc(sizeof(*key));
    key->list->next->type = SEARCH_FLAGS;
    key->list->next->flags = MESSAGE_SEEN;
    key->list->next->negate = true;
}

/* Keys up to the end of the arguments of a level, all of which must match. */
static bool take_all(struct parse *p, struct search_key *key, unsigned depth)
{
    struct search_key **tail = &key->list;
    key->type = SEARCH_AND;
    if (p->arg == NULL)
        return false;
    while (p->arg != NULL) {
        bool good = take_key(p, tail, depth);
        if (*tail != NULL) {
            key->costly = key->costly || (*tail)->costly;
            tail = &(*tail)->next;
        }
        if (!good)
            return false;
    }
    return true;
}

static bool take_group(struct parse *p, struct search_key *key, unsigned depth)
{
    struct parse inner = {.arg = p->arg->list, .view = p->view};
    p->arg = p->arg->next;
    return take_all(&inner, key, depth + 1);
}

static bool take_or(struct parse *p, struct search_key *key, unsigned depth)
{
    key->type = SEARCH_OR;
    if (!take_key(p, &key->list, depth + 1) || !take_key(p, &key->list->next, depth + 1))
        return false;
    key->costly = key->list->costly || key->list->next->costly;
    return true;
}

static bool take_not(struct parse *p, struct search_key *key, unsigned depth)
{
    key->type = SEARCH_AND;
    key->negate = true;
    if (!take_key(p, &key->list, depth + 1))
        return false;
    key->costly = key->list->costly;
    return true;
}

static bool take_word(struct parse *p, struct search_key *key, unsigned depth)
{
    bool known, good = take_plain(p, key, &known);
    if (known)
        return good;
    const struct imap_arg *word = p->arg;
    p->arg = word->next;
    if (imap_arg_is(word, "NOT"))
        return take_not(p, key, depth);
    if (imap_arg_is(word, "OR"))
        return take_or(p, key, depth);
    if (imap_arg_is(word, "UID"))
        return take_set(p, key, true);
    if (imap_arg_is(word, "KEYWORD"))
        return take_keyword(p, key);
    if (imap_arg_is(word, "UNKEYWORD")) {
        key->negate = true;
        return take_keyword(p, key);
    }
    if (imap_arg_is(word, "NEW")) {
        make_new(key);
        return true;
    }
    if (imap_arg_is(word, "HEADER")) {
        const char *field = take_string(p);
        key->type = SEARCH_HEADER;
        key->costly = true;
        if (field == NULL)
            return false;
        key->field = mem_strdup(field);
        return take_needle(p, key);
    }
    p->arg = word;
    return take_set(p, key, false);
}

static bool take_key(struct parse *p, struct search_key **out, unsigned depth)
{
    if (p->arg == NULL || depth > SEARCH_DEPTH_MAX)
        return false;
    struct search_key *key = *out = mem_zalloc(sizeof(*key));
    if (p->arg->type == IMAP_LIST)
        return take_group(p, key, depth);
    return p->arg->type == IMAP_ATOM && take_word(p, key, depth);
}

enum search_error search_parse(struct search **out, const struct imap_arg *args,
                               const struct view *view)
{
    struct parse p = {.arg = args, .view = view};
    *out = NULL;
    if (imap_arg_is(p.arg, "CHARSET")) {
        p.arg = p.arg->next;
        const char *charset = take_string(&p);
        if (charset == NULL)
            return SEARCH_BAD;
        if (!str_ieq(charset, "UTF-8") && !str_ieq(charset, "US-ASCII"))
            return SEARCH_BAD_CHARSET;
    }
    struct search *s = mem_zalloc(sizeof(*s));
    if (take_all(&p, &s->root, 0)) {
        *out = s;
        return SEARCH_OK;
    }
    search_free(&s);
    return SEARCH_BAD;
}
