#include "gateway/imap/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/imap/format.h"

static struct fetch_item *add(struct fetch_items *items, enum fetch_type type)
{
    if ((items->n & (items->n - 1)) == 0)
        items->v = mem_realloc(items->v, items->n ? items->n * 2 : 1, sizeof(*items->v));
    struct fetch_item *item = &items->v[items->n++];
    *item = (struct fetch_item){.type = type};
    return item;
}

void fetch_items_add(struct fetch_items *items, enum fetch_type type)
{
    add(items, type);
}

void fetch_items_free(struct fetch_items *items)
{
    for (size_t i = 0; i < items->n; i++) {
        struct fetch_item *item = &items->v[i];
        for (unsigned j = 0; j < item->field_n; j++)
            free(item->fields[j]);
        free(item->fields);
        free(item->label);
    }
    free(items->v);
    *items = (struct fetch_items){0};
}

bool fetch_items_have(const struct fetch_items *items, enum fetch_type type)
{
    for (size_t i = 0; i < items->n; i++)
        if (items->v[i].type == type)
            return true;
    return false;
}

/* ---- sections ---- */

/* "1.2." in front of the rest of a section, or all of it. */
static int take_numbers(const char **p, struct fetch_item *item)
{
    uint64_t n;
    while (**p >= '0' && **p <= '9') {
        size_t len = strspn(*p, "0123456789");
        if (item->number_n == FETCH_NUMBERS_MAX || str_uint(*p, len, UINT32_MAX, &n) != 0 || n == 0)
            return -1;
        item->numbers[item->number_n++] = (uint32_t)n;
        *p += len;
        if (**p != '.')
            return 0;
        (*p)++;
        if (**p == ']') /* "1." */
            return -1;
    }
    return 0;
}

/* One name of a field list: an atom or a quoted string; moves *p behind it. */
static int take_field(const char **p, struct fetch_item *item)
{
    struct buf name = {.max = 1000};
    int rc = 0;
    if (**p == '"') {
        for ((*p)++; rc == 0 && **p != '"'; (*p)++) {
            if (**p == '\\')
                (*p)++;
            if (**p == '\0')
                rc = -1;
            else
                rc = buf_append_byte(&name, (unsigned char)**p);
            if (rc != 0)
                break;
        }
        if (rc == 0)
            (*p)++;
    } else {
        size_t len = strcspn(*p, " ()\"]");
        rc = len == 0 ? -1 : buf_append(&name, *p, len);
        *p += len;
    }
    if (rc != 0 || name.len == 0 || item->field_n == FETCH_FIELDS_MAX) {
        buf_free(&name);
        return -1;
    }
    item->fields = mem_realloc(item->fields, item->field_n + 1, sizeof(*item->fields));
    item->fields[item->field_n++] = buf_steal_str(&name);
    return 0;
}

/* " (DATE FROM)" */
static int take_fields(const char **p, struct fetch_item *item)
{
    *p += strspn(*p, " ");
    if (*(*p)++ != '(')
        return -1;
    for (;;) {
        *p += strspn(*p, " ");
        if (**p == ')' && item->field_n > 0) {
            (*p)++;
            return 0;
        }
        if (take_field(p, item) != 0)
            return -1;
    }
}

static int take_part(const char **p, struct fetch_item *item)
{
    static const struct {
        const char *name;
        enum fetch_part part;
    } parts[] = {{"HEADER.FIELDS.NOT", PART_FIELDS_NOT},
                 {"HEADER.FIELDS", PART_FIELDS},
                 {"HEADER", PART_HEADER},
                 {"TEXT", PART_TEXT},
                 {"MIME", PART_MIME}};
    size_t len = strcspn(*p, " ]");
    if (len == 0)
        return 0; /* the part itself, or the whole message */
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!str_is(*p, len, parts[i].name))
            continue;
        item->part = parts[i].part;
        *p += len;
        if (item->part == PART_MIME && item->number_n == 0)
            return -1;
        return item->part == PART_FIELDS || item->part == PART_FIELDS_NOT ? take_fields(p, item)
                                                                          : 0;
    }
    return -1;
}

/* "<0.100>" at the end. */
static int take_partial(const char *p, struct fetch_item *item)
{
    if (*p == '\0')
        return 0;
    if (*p++ != '<')
        return -1;
    size_t len = strspn(p, "0123456789");
    if (str_uint(p, len, UINT32_MAX, &item->offset) != 0 || p[len] != '.')
        return -1;
    p += len + 1;
    len = strspn(p, "0123456789");
    if (str_uint(p, len, UINT32_MAX, &item->length) != 0 || item->length == 0)
        return -1;
    item->partial = true;
    return strcmp(p + len, ">") == 0 ? 0 : -1;
}

static void make_label(struct fetch_item *item)
{
    static const char *const names[] = {"",     "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT",
                                        "TEXT", "MIME"};
    struct buf label = {0};
    buf_append_str(&label, "BODY[");
    for (unsigned i = 0; i < item->number_n; i++)
        buf_printf(&label, "%s%u", i > 0 ? "." : "", item->numbers[i]);
    if (item->number_n > 0 && item->part != PART_ALL)
        buf_append_byte(&label, '.');
    buf_append_str(&label, names[item->part]);
    for (unsigned i = 0; i < item->field_n; i++) {
        buf_append_str(&label, i == 0 ? " (" : " ");
        imap_put_astring(&label, item->fields[i]);
    }
    buf_append_str(&label, item->field_n > 0 ? ")]" : "]");
    if (item->partial)
        buf_printf(&label, "<%llu>", (unsigned long long)item->offset);
    item->label = buf_steal_str(&label);
}

/* text: what stands behind "BODY[" or "BODY.PEEK[". */
static int take_section(struct fetch_items *items, const char *text, bool peek)
{
    struct fetch_item *item = add(items, FETCH_SECTION);
    item->peek = peek;
    if (take_numbers(&text, item) != 0 || take_part(&text, item) != 0 || *text++ != ']' ||
        take_partial(text, item) != 0)
        return -1;
    make_label(item);
    return 0;
}

/* ---- items ---- */

static void add_rfc822(struct fetch_items *items, const char *label, enum fetch_part part,
                       bool peek)
{
    struct fetch_item *item = add(items, FETCH_SECTION);
    item->label = mem_strdup(label);
    item->part = part;
    item->peek = peek;
}

static int take_item(struct fetch_items *items, const struct imap_arg *arg)
{
    static const struct {
        const char *name;
        enum fetch_type type;
    } plain[] = {{"FLAGS", FETCH_FLAGS},
                 {"UID", FETCH_UID},
                 {"INTERNALDATE", FETCH_INTERNALDATE},
                 {"RFC822.SIZE", FETCH_SIZE},
                 {"ENVELOPE", FETCH_ENVELOPE},
                 {"BODY", FETCH_BODY},
                 {"BODYSTRUCTURE", FETCH_BODYSTRUCTURE}};
    if (arg->type != IMAP_ATOM || items->n >= FETCH_ITEMS_MAX)
        return -1;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        if (imap_arg_is(arg, plain[i].name)) {
            if (!fetch_items_have(items, plain[i].type))
                add(items, plain[i].type);
            return 0;
        }
    if (str_istarts(arg->str, "BODY["))
        return take_section(items, arg->str + 5, false);
    if (str_istarts(arg->str, "BODY.PEEK["))
        return take_section(items, arg->str + 10, true);
    if (imap_arg_is(arg, "RFC822"))
        add_rfc822(items, "RFC822", PART_ALL, false);
    else if (imap_arg_is(arg, "RFC822.HEADER"))
        add_rfc822(items, "RFC822.HEADER", PART_HEADER, true);
    else if (imap_arg_is(arg, "RFC822.TEXT"))
        add_rfc822(items, "RFC822.TEXT", PART_TEXT, false);
    else
        return -1;
    return 0;
}

/* ALL, FAST and FULL stand alone. */
static bool take_macro(struct fetch_items *items, const struct imap_arg *arg)
{
    bool full = imap_arg_is(arg, "FULL"), all = full || imap_arg_is(arg, "ALL");
    if (!all && !imap_arg_is(arg, "FAST"))
        return false;
    add(items, FETCH_FLAGS);
    add(items, FETCH_INTERNALDATE);
    add(items, FETCH_SIZE);
    if (all)
        add(items, FETCH_ENVELOPE);
    if (full)
        add(items, FETCH_BODY);
    return true;
}

int fetch_items_parse(struct fetch_items *out, const struct imap_arg *arg)
{
    *out = (struct fetch_items){0};
    if (arg == NULL || arg->next != NULL)
        return -1;
    if (arg->type == IMAP_ATOM && take_macro(out, arg))
        return 0;
    if (arg->type == IMAP_ATOM)
        return take_item(out, arg);
    if (arg->type != IMAP_LIST || arg->list == NULL)
        return -1;
    for (const struct imap_arg *a = arg->list; a != NULL; a = a->next)
        if (take_item(out, a) != 0)
            return -1;
    return 0;
}

/* ---- headers ---- */

size_t fetch_header_size(const char *message, size_t len)
{
    const char *p = message, *end = message + len;
    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        if (lf == NULL)
            return len;
        if (lf == p || (lf == p + 1 && *p == '\r'))
            return (size_t)(lf - message) + 1;
        p = lf + 1;
    }
    return len;
}

static bool wanted(const struct fetch_item *item, const char *name, size_t len)
{
    for (unsigned i = 0; i < item->field_n; i++)
        if (str_is(name, len, item->fields[i]))
            return item->part == PART_FIELDS;
    return item->part == PART_FIELDS_NOT;
}

int fetch_header_fields(struct buf *out, const struct fetch_item *item, const char *header,
                        size_t len)
{
    const char *p = header, *end = header + len;
    bool take = false;
    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        const char *next = lf == NULL ? end : lf + 1;
        if (*p == '\n' || (*p == '\r' && p + 1 < end && p[1] == '\n'))
            break;
        if (*p != ' ' && *p != '\t') {
            const char *colon = memchr(p, ':', (size_t)(next - p));
            const char *name_end = colon == NULL ? p : colon;
            while (name_end > p && (name_end[-1] == ' ' || name_end[-1] == '\t'))
                name_end--;
            take = colon != NULL && wanted(item, p, (size_t)(name_end - p));
        }
        if (take && buf_append(out, p, (size_t)(next - p)) != 0)
            return -1;
        p = next;
    }
    return buf_append(out, "\r\n", 2);
}
