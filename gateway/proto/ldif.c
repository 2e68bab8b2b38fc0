#include "gateway/proto/ldif.h"

#include <string.h>

#include "gateway/base/str.h"

/* An item while its record is being read: offsets instead of pointers. */
struct raw_item {
    enum ldif_op op;
    size_t name, value, value_len, line;
};

/* A logical line, taken apart. */
struct attrval {
    size_t name_len;
    size_t value; /* offset in text, plus 1 */
    size_t value_len;
};

void ldif_free(struct ldif_parser *p)
{
    buf_free(&p->line);
    buf_free(&p->text);
    buf_free(&p->items);
    memset(p, 0, sizeof(*p));
}

static void fault(struct ldif_parser *p, const char *text)
{
    if (p->fault != NULL)
        return;
    p->fault = text;
    p->fault_line = p->line_number;
}

/* ---- one logical line ---- */

static bool is_name(const char *s, size_t len)
{
    if (len == 0 || len > LDIF_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = str_lower_char(s[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && strchr("-;._", c) == NULL)
            return false;
    }
    return true;
}

/* Copies to text with a NUL behind; the offset plus 1, or 0 after a fault. */
static size_t keep(struct ldif_parser *p, const void *data, size_t len)
{
    size_t at = p->text.len + 1;

    p->text.max = LDIF_RECORD_MAX;
    if (buf_append(&p->text, data, len) == 0 && buf_append_byte(&p->text, '\0') == 0)
        return at;
    fault(p, "the record is too large");
    return 0;
}

static size_t keep_base64(struct ldif_parser *p, const char *s, size_t len, size_t *value_len)
{
    size_t at = p->text.len;

    p->text.max = LDIF_RECORD_MAX;
    if (str_base64_decode(&p->text, s, len) != 0) {
        fault(p, "the value is no base64, or too large");
        return 0;
    }
    *value_len = p->text.len - at;
    if (buf_append_byte(&p->text, '\0') == 0)
        return at + 1;
    fault(p, "the record is too large");
    return 0;
}

/* "name: value" and its forms; -1 after a fault. */
static int take_apart(struct ldif_parser *p, const char *s, size_t len, struct attrval *out)
{
    const char *colon = memchr(s, ':', len);

    if (colon == NULL || !is_name(s, (size_t)(colon - s))) {
        fault(p, "a line \"attribute: value\" is needed");
        return -1;
    }
    out->name_len = (size_t)(colon - s);
    const char *v = colon + 1, *end = s + len;
    bool base64 = v < end && *v == ':';
    if (v < end && *v == '<') {
        fault(p, "values given by URL are not read");
        return -1;
    }
    v += base64;
    while (v < end && *v == ' ')
        v++;
    if (v < end && memchr(v, '\0', (size_t)(end - v)) != NULL) {
        fault(p, "a NUL byte needs base64");
        return -1;
    }
    out->value_len = (size_t)(end - v);
    if (base64)
        out->value = keep_base64(p, v, out->value_len, &out->value_len);
    else
        out->value = keep(p, v, out->value_len);
    return out->value == 0 ? -1 : 0;
}

static void add_item(struct ldif_parser *p, enum ldif_op op, size_t name, const struct attrval *av)
{
    struct raw_item item = {.op = op, .name = name, .line = p->line_number + 1};

    if (av != NULL) {
        item.value = av->value;
        item.value_len = av->value_len;
    }
    p->items.max = LDIF_RECORD_MAX * 4;
    if (name != 0 && buf_append(&p->items, &item, sizeof(item)) != 0)
        fault(p, "the record is too large");
}

static const char *text_at(struct ldif_parser *p, size_t offset)
{
    return offset == 0 ? NULL : (const char *)p->text.data + offset - 1;
}

static void take_changetype(struct ldif_parser *p, const char *value)
{
    static const struct {
        const char *name;
        enum ldif_change change;
    } types[] = {{"add", LDIF_ADD},
                 {"delete", LDIF_DELETE},
                 {"modify", LDIF_MODIFY},
                 {"modrdn", LDIF_MODRDN},
                 {"moddn", LDIF_MODRDN}};

    p->has_change = true;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (str_ieq(value, types[i].name)) {
            p->change = types[i].change;
            return;
        }
    }
    fault(p, "changetype is add, delete, modify, modrdn or moddn");
}

static void take_modification(struct ldif_parser *p, const char *name, const struct attrval *av)
{
    const char *value = text_at(p, av->value);
    enum ldif_op op = LDIF_OP_VALUE;

    if (p->op_open) {
        const char *open = text_at(p, p->op_name);
        if (!str_is(name, av->name_len, open))
            fault(p, "a value of another attribute than the one that is changed");
        else
            add_item(p, LDIF_OP_VALUE, p->op_name, av);
        return;
    }
    if (str_is(name, av->name_len, "add"))
        op = LDIF_OP_ADD;
    else if (str_is(name, av->name_len, "delete"))
        op = LDIF_OP_DELETE;
    else if (str_is(name, av->name_len, "replace"))
        op = LDIF_OP_REPLACE;
    if (op == LDIF_OP_VALUE || !is_name(value, av->value_len)) {
        fault(p, "a modification begins with add, delete or replace and an attribute");
        return;
    }
    p->op_open = true;
    p->op_name = av->value;
    add_item(p, op, p->op_name, NULL);
}

static void take_rename(struct ldif_parser *p, const char *name, const struct attrval *av)
{
    const char *value = text_at(p, av->value);

    if (str_is(name, av->name_len, "newrdn")) {
        p->new_rdn = av->value;
    } else if (str_is(name, av->name_len, "newsuperior")) {
        p->new_superior = av->value;
    } else if (str_is(name, av->name_len, "deleteoldrdn") &&
               (strcmp(value, "0") == 0 || strcmp(value, "1") == 0)) {
        p->delete_old = *value == '1';
    } else {
        fault(p, "a rename has newrdn, deleteoldrdn (0 or 1) and newsuperior alone");
    }
}

/* A line behind the DN. */
static void take_line(struct ldif_parser *p, const char *s, const struct attrval *av)
{
    if (!p->after_first && str_is(s, av->name_len, "control"))
        return;
    if (!p->after_first && !p->has_change && str_is(s, av->name_len, "changetype")) {
        take_changetype(p, text_at(p, av->value));
        return;
    }
    p->after_first = true;
    switch (p->change) {
    case LDIF_DELETE:
        fault(p, "a deletion has nothing behind changetype");
        break;
    case LDIF_MODIFY:
        take_modification(p, s, av);
        break;
    case LDIF_MODRDN:
        take_rename(p, s, av);
        break;
    default:
        add_item(p, LDIF_OP_VALUE, keep(p, s, av->name_len), av);
        break;
    }
}

static void take_first(struct ldif_parser *p, const char *s, const struct attrval *av)
{
    if (!p->has_version && str_is(s, av->name_len, "version")) {
        if (av->value_len != 1 || *text_at(p, av->value) != '1')
            fault(p, "only version 1 is known");
        buf_clear(&p->text);
        return;
    }
    p->record_line = p->line_number;
    if (!str_is(s, av->name_len, "dn"))
        fault(p, "a record begins with dn");
    else if (memchr(text_at(p, av->value), '\0', av->value_len) != NULL)
        fault(p, "a NUL byte in a DN");
    p->dn = av->value;
}

static void end_line(struct ldif_parser *p)
{
    const char *s = (const char *)p->line.data;
    size_t len = p->line.len;
    struct attrval av;

    if (!p->has_line)
        return;
    p->has_line = false;
    if (p->fault == NULL && len > 0 && *s != '#') {
        if (len == 1 && *s == '-' && p->dn != 0 && p->change == LDIF_MODIFY && p->op_open)
            p->op_open = false;
        else if (len == 1 && *s == '-')
            fault(p, "\"-\" ends a modification, and there is none");
        else if (take_apart(p, s, len, &av) == 0)
            (p->dn == 0 ? take_first : take_line)(p, s, &av);
        p->has_version = true;
    }
    buf_clear(&p->line);
}

/* ---- records ---- */

static void end_record(struct ldif_parser *p)
{
    end_line(p);
    if (p->dn == 0 && p->fault == NULL)
        return; /* blank lines between records */
    if (p->fault == NULL && p->change == LDIF_MODRDN && p->new_rdn == 0) {
        p->line_number = p->record_line;
        fault(p, "a rename needs newrdn");
    }
    p->done = true;
}

/* The physical line ends at its LF. */
static void end_physical(struct ldif_parser *p)
{
    bool continuation = p->physical > 0;
    size_t len = p->line.len;

    if (len > p->physical && p->line.data[len - 1] == '\r')
        buf_truncate(&p->line, --len);
    p->inside = false;
    p->number++;
    if (len == 0 && !continuation) {
        p->has_line = false;
        end_record(p);
    }
}

/* The first byte of a physical line decides whether it goes on with the one before. */
static bool begin_physical(struct ldif_parser *p, char c)
{
    p->inside = true;
    if (c == ' ' && p->has_line) {
        p->physical = p->line.len;
        return true;
    }
    end_line(p);
    p->physical = 0;
    p->line_number = p->number;
    p->has_line = true;
    if (c == ' ')
        fault(p, "a continuation of nothing");
    return false;
}

static void reset(struct ldif_parser *p)
{
    buf_clear(&p->text);
    buf_clear(&p->items);
    p->dn = p->new_rdn = p->new_superior = 0;
    p->change = LDIF_CONTENT;
    p->has_change = p->after_first = p->delete_old = p->op_open = p->done = p->fetched = false;
    p->fault = NULL;
}

size_t ldif_push(struct ldif_parser *p, const void *data, size_t len)
{
    const char *s = data, *end = s + len;

    if (p->fetched)
        reset(p);
    p->line.max = LDIF_RECORD_MAX + LDIF_RECORD_MAX / 2;
    while (s < end && !p->done) {
        if (!p->inside && begin_physical(p, *s)) {
            s++;
            continue;
        }
        const char *lf = memchr(s, '\n', (size_t)(end - s));
        size_t n = (size_t)((lf != NULL ? lf : end) - s);
        if (buf_append(&p->line, s, n) != 0) {
            fault(p, "the line is too long");
            buf_truncate(&p->line, p->physical);
            (void)buf_append_byte(&p->line, ' '); /* a blank line is something else */
        }
        s += n;
        if (lf != NULL) {
            s++;
            end_physical(p);
        }
    }
    return (size_t)(s - (const char *)data);
}

void ldif_end(struct ldif_parser *p)
{
    if (p->done)
        return;
    if (p->fetched)
        reset(p);
    if (p->inside)
        end_physical(p);
    if (!p->done)
        end_record(p);
}

int ldif_next(struct ldif_parser *p, struct ldif_record *out, struct ldif_fault *f)
{
    if (!p->done)
        return 0;
    if (p->fault != NULL) {
        *f = (struct ldif_fault){.line = p->fault_line + 1, .text = p->fault};
        reset(p);
        return -1;
    }
    size_t count = p->items.len / sizeof(struct raw_item);
    struct ldif_item *items = (struct ldif_item *)p->items.data;
    _Static_assert(sizeof(struct raw_item) == sizeof(struct ldif_item),
                   "one takes the other's place");
    for (size_t i = 0; i < count; i++) {
        struct raw_item raw;
        memcpy(&raw, p->items.data + i * sizeof(raw), sizeof(raw));
        struct ldif_item item = {.op = raw.op,
                                 .name = text_at(p, raw.name),
                                 .value = text_at(p, raw.value),
                                 .value_len = raw.value_len,
                                 .line = raw.line};
        memcpy(&items[i], &item, sizeof(item));
    }
    *out = (struct ldif_record){.dn = text_at(p, p->dn),
                                .line = p->record_line + 1,
                                .change = p->change,
                                .items = items,
                                .count = count,
                                .new_rdn = text_at(p, p->new_rdn),
                                .new_superior = text_at(p, p->new_superior),
                                .delete_old_rdn = p->delete_old};
    p->done = false;
    p->fetched = true;
    return 1;
}
