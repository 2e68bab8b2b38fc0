#include "gateway/queue/envelope.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"

#define ENVELOPE_FIRST_LINE     "dirigo-envelope 2"
#define ENVELOPE_FIRST_LINE_OLD "dirigo-envelope 1"

/* The lines between the first and the recipients, in their order. */
static const struct envelope_field {
    const char *name;
    enum {
        FIELD_NUMBER,
        FIELD_STRING
    } type;
    enum {
        FIELD_NULLABLE,
        FIELD_REQUIRED, /* a string that is not NULL */
        FIELD_OPTIONAL  /* no line for zero or NULL */
    } presence;
    size_t offset;
} envelope_fields[] = {
    {"id", FIELD_STRING, FIELD_REQUIRED, offsetof(struct envelope, id)},
    {"arrived", FIELD_NUMBER, FIELD_REQUIRED, offsetof(struct envelope, arrived)},
    {"next", FIELD_NUMBER, FIELD_REQUIRED, offsetof(struct envelope, next)},
    {"tries", FIELD_NUMBER, FIELD_REQUIRED, offsetof(struct envelope, tries)},
    {"bounce", FIELD_STRING, FIELD_NULLABLE, offsetof(struct envelope, bounce)},
    {"sender", FIELD_STRING, FIELD_REQUIRED, offsetof(struct envelope, sender)},
    {"client", FIELD_STRING, FIELD_NULLABLE, offsetof(struct envelope, client)},
    {"login", FIELD_STRING, FIELD_NULLABLE, offsetof(struct envelope, login)},
    {"size", FIELD_NUMBER, FIELD_REQUIRED, offsetof(struct envelope, size)},
    {"trace", FIELD_NUMBER, FIELD_REQUIRED, offsetof(struct envelope, trace)},
    {"8bit", FIELD_NUMBER, FIELD_REQUIRED, offsetof(struct envelope, body_8bit)},
    {"hold", FIELD_STRING, FIELD_OPTIONAL, offsetof(struct envelope, hold)},
    {"released", FIELD_NUMBER, FIELD_OPTIONAL, offsetof(struct envelope, released)},
    {"flags", FIELD_NUMBER, FIELD_OPTIONAL, offsetof(struct envelope, options.flags)},
    {"ret", FIELD_NUMBER, FIELD_OPTIONAL, offsetof(struct envelope, options.ret)},
    {"priority", FIELD_NUMBER, FIELD_OPTIONAL, offsetof(struct envelope, options.priority)},
    {"until", FIELD_NUMBER, FIELD_OPTIONAL, offsetof(struct envelope, options.hold_until)},
    {"by", FIELD_NUMBER, FIELD_OPTIONAL, offsetof(struct envelope, options.deliver_by)},
    {"decide", FIELD_NUMBER, FIELD_OPTIONAL, offsetof(struct envelope, options.decide_by)},
    {"envid", FIELD_STRING, FIELD_OPTIONAL, offsetof(struct envelope, options.envelope)},
};

#define FIELD_COUNT (sizeof(envelope_fields) / sizeof(envelope_fields[0]))

static const char *const envelope_kind_word[] = {"mailbox", "remote", "expanded"};
static const char *const envelope_state_word[] = {"pending",  "bounced", "delivered", "relayed",
                                                  "expanded", "delayed", "warned"};

#define KIND_COUNT      (sizeof(envelope_kind_word) / sizeof(envelope_kind_word[0]))
#define STATE_COUNT     (sizeof(envelope_state_word) / sizeof(envelope_state_word[0]))
#define KIND_COUNT_OLD  2
#define STATE_COUNT_OLD 2

struct envelope *envelope_new(void)
{
    return mem_zalloc(sizeof(struct envelope));
}

static void rcpt_clear(struct envelope_rcpt *r)
{
    free(r->address);
    free(r->original);
    free(r->host);
    free(r->remote);
    free(r->status);
    free(r->orcpt);
}

void envelope_free(struct envelope **pe)
{
    struct envelope *e = *pe;
    if (e == NULL)
        return;
    *pe = NULL;
    for (size_t i = 0; i < e->rcpt_count; i++)
        rcpt_clear(&e->rcpts[i]);
    free(e->rcpts);
    free(e->id);
    free(e->bounce);
    free(e->sender);
    free(e->client);
    free(e->login);
    free(e->hold);
    free((char *)(uintptr_t)e->options.envelope);
    free(e);
}

struct envelope_rcpt *envelope_add(struct envelope *e)
{
    /* Grows in powers of two, so that a long list is not copied for each. */
    if ((e->rcpt_count & (e->rcpt_count - 1)) == 0)
        e->rcpts =
            mem_realloc(e->rcpts, e->rcpt_count == 0 ? 1 : e->rcpt_count * 2, sizeof(*e->rcpts));
    struct envelope_rcpt *r = &e->rcpts[e->rcpt_count++];
    memset(r, 0, sizeof(*r));
    return r;
}

void envelope_remove(struct envelope *e, size_t i)
{
    rcpt_clear(&e->rcpts[i]);
    e->rcpt_count--;
    memmove(&e->rcpts[i], &e->rcpts[i + 1], (e->rcpt_count - i) * sizeof(*e->rcpts));
    /* envelope_add counts on room up to the next power of two. */
    if (e->rcpt_count > 0 && (e->rcpt_count & (e->rcpt_count - 1)) == 0)
        e->rcpts = mem_realloc(e->rcpts, e->rcpt_count, sizeof(*e->rcpts));
}

bool envelope_has(const struct envelope *e, enum queue_rcpt_kind kind)
{
    for (size_t i = 0; i < e->rcpt_count; i++)
        if (e->rcpts[i].kind == kind)
            return true;
    return false;
}

bool envelope_id_valid(const char *id)
{
    return id != NULL && strlen(id) == ID_STRLEN - 1 &&
           strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz") == ID_STRLEN - 1;
}

void envelope_set(char **field, const char *value)
{
    char *copy = value == NULL ? NULL : mem_strdup(value);
    free(*field);
    *field = copy;
}

/* ---- what becomes of a recipient ---- */

bool envelope_rcpt_pending(const struct envelope_rcpt *r)
{
    return r->state == ENVELOPE_PENDING || r->state == ENVELOPE_DELAYED ||
           r->state == ENVELOPE_WARNED;
}

bool envelope_rcpt_owed(const struct envelope_rcpt *r)
{
    return r->state != ENVELOPE_PENDING && r->state != ENVELOPE_WARNED;
}

bool envelope_owed(const struct envelope *e)
{
    for (size_t i = 0; i < e->rcpt_count; i++)
        if (envelope_rcpt_owed(&e->rcpts[i]))
            return true;
    return false;
}

bool envelope_rcpt_wants(const struct envelope *e, const struct envelope_rcpt *r, unsigned what)
{
    unsigned notify = r->notify == 0 ? QUEUE_NOTIFY_FAILURE : (unsigned)r->notify;
    return *e->sender != '\0' && (notify & what) != 0;
}

void envelope_rcpt_end(const struct envelope *e, struct envelope_rcpt *r, enum envelope_state end)
{
    unsigned what = end == ENVELOPE_BOUNCED ? QUEUE_NOTIFY_FAILURE : QUEUE_NOTIFY_SUCCESS;
    if (envelope_rcpt_wants(e, r, what))
        r->state = end;
    else
        r->done = true;
}

void envelope_set_options(struct envelope *e, const struct queue_options *o)
{
    free((char *)(uintptr_t)e->options.envelope);
    e->options = *o;
    e->options.envelope = o->envelope == NULL ? NULL : mem_strdup(o->envelope);
}

/* ---- writing ---- */

static int put_word(struct buf *out, const char *s)
{
    if (s == NULL)
        return buf_append_str(out, " -");
    if (*s == '\0')
        return buf_append_str(out, " <>");
    int r = buf_append_byte(out, ' ');
    bool dash = strcmp(s, "-") == 0;
    const char *run = s;
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c > ' ' && c < 0x7f && c != '%' && c != '<' && !dash)
            continue;
        r |= buf_append(out, run, (size_t)(s - run));
        r |= buf_printf(out, "%%%02x", c);
        run = s + 1;
    }
    return r | buf_append(out, run, (size_t)(s - run));
}

static int put_rcpt(struct buf *out, const struct envelope_rcpt *r)
{
    char owner[UUID_STRLEN];
    int e = buf_printf(out, "rcpt %s %s %" PRIu64 " %s", envelope_kind_word[r->kind],
                       envelope_state_word[r->state], r->number, uuid_str(&r->owner, owner));
    e |= put_word(out, r->address);
    e |= put_word(out, r->original);
    e |= put_word(out, r->host);
    e |= put_word(out, r->remote);
    e |= put_word(out, r->status);
    e |= buf_append_byte(out, '\n');
    if (r->notify == 0 && r->orcpt == NULL)
        return e;
    e |= buf_printf(out, "dsn %" PRIu64, r->notify);
    e |= put_word(out, r->orcpt);
    return e | buf_append_byte(out, '\n');
}

static bool field_missing(const struct envelope_field *f, const void *at)
{
    if (f->presence != FIELD_OPTIONAL)
        return false;
    return f->type == FIELD_NUMBER ? *(const uint64_t *)at == 0 : *(char *const *)at == NULL;
}

int envelope_write(const struct envelope *e, struct buf *out)
{
    int r = buf_append_str(out, ENVELOPE_FIRST_LINE "\n");
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const struct envelope_field *f = &envelope_fields[i];
        const void *at = (const char *)e + f->offset;
        if (field_missing(f, at))
            continue;
        r |= buf_append_str(out, f->name);
        if (f->type == FIELD_NUMBER)
            r |= buf_printf(out, " %" PRIu64, *(const uint64_t *)at);
        else
            r |= put_word(out, *(char *const *)at);
        r |= buf_append_byte(out, '\n');
    }
    for (size_t i = 0; i < e->rcpt_count; i++)
        r |= put_rcpt(out, &e->rcpts[i]);
    return r | buf_printf(out, "end %zu\n", e->rcpt_count);
}

/* ---- reading ---- */

struct text {
    const char *p, *end;
};

/* The next line without its end; false where there is none that is whole. */
static bool next_line(struct text *t, struct text *line)
{
    const char *nl = memchr(t->p, '\n', (size_t)(t->end - t->p));
    if (nl == NULL)
        return false;
    *line = (struct text){t->p, nl};
    t->p = nl + 1;
    return true;
}

static bool next_word(struct text *line, struct text *word)
{
    if (line->p == line->end)
        return false;
    const char *sp = memchr(line->p, ' ', (size_t)(line->end - line->p));
    *word = (struct text){line->p, sp == NULL ? line->end : sp};
    line->p = sp == NULL ? line->end : sp + 1;
    return word->p != word->end;
}

static bool word_is(const struct text *w, const char *s)
{
    size_t len = strlen(s);
    return (size_t)(w->end - w->p) == len && memcmp(w->p, s, len) == 0;
}

static bool get_number(struct text *line, uint64_t *out)
{
    struct text w;
    return next_word(line, &w) && str_uint(w.p, (size_t)(w.end - w.p), INT64_MAX, out) == 0;
}

static bool get_string(struct text *line, char **out)
{
    struct text w;
    *out = NULL;
    if (!next_word(line, &w))
        return false;
    if (word_is(&w, "-"))
        return true;
    if (word_is(&w, "<>")) {
        *out = mem_strdup("");
        return true;
    }
    char *s = mem_alloc((size_t)(w.end - w.p) + 1);
    size_t n = 0;
    while (w.p < w.end) {
        unsigned char c = (unsigned char)*w.p++;
        if (c == '%') {
            char hex[3] = "";
            if (w.end - w.p >= 2)
                memcpy(hex, w.p, 2);
            if (w.end - w.p < 2 || str_unhex(&c, 1, hex) < 0 || c == '\0') {
                free(s);
                return false;
            }
            w.p += 2;
        } else if (c <= ' ' || c >= 0x7f) {
            free(s);
            return false;
        }
        s[n++] = (char)c;
    }
    s[n] = '\0';
    *out = s;
    return true;
}

static bool get_choice(struct text *line, const char *const *words, size_t n, unsigned *out)
{
    struct text w;
    if (!next_word(line, &w))
        return false;
    for (*out = 0; *out < n; ++*out)
        if (word_is(&w, words[*out]))
            return true;
    return false;
}

static bool get_uuid(struct text *line, struct uuid *out)
{
    struct text w;
    char text[UUID_STRLEN];
    if (!next_word(line, &w) || w.end - w.p != UUID_STRLEN - 1)
        return false;
    memcpy(text, w.p, UUID_STRLEN - 1);
    text[UUID_STRLEN - 1] = '\0';
    return uuid_parse(out, text) == 0;
}

static bool get_rcpt(struct text *line, bool old, struct envelope_rcpt *r)
{
    unsigned kind, state;
    if (!get_choice(line, envelope_kind_word, old ? KIND_COUNT_OLD : KIND_COUNT, &kind) ||
        !get_choice(line, envelope_state_word, old ? STATE_COUNT_OLD : STATE_COUNT, &state))
        return false;
    r->kind = (enum queue_rcpt_kind)kind;
    r->state = (enum envelope_state)state;
    return get_number(line, &r->number) && get_uuid(line, &r->owner) &&
           get_string(line, &r->address) && r->address != NULL && get_string(line, &r->original) &&
           get_string(line, &r->host) && get_string(line, &r->remote) &&
           get_string(line, &r->status) && line->p == line->end;
}

/* NOTIFY and ORCPT of the recipient whose line was the last. */
static bool get_dsn(struct text *line, struct envelope_rcpt *r)
{
    return get_number(line, &r->notify) && r->notify <= QUEUE_NOTIFY_ALL && r->orcpt == NULL &&
           get_string(line, &r->orcpt) && line->p == line->end &&
           (r->notify != 0 || r->orcpt != NULL);
}

static bool get_field(struct text *line, const struct envelope_field *f, struct envelope *e)
{
    void *at = (char *)e + f->offset;
    if (f->type == FIELD_NUMBER)
        return get_number(line, at) && line->p == line->end;
    char **s = at;
    return get_string(line, s) && line->p == line->end &&
           (*s != NULL || f->presence == FIELD_NULLABLE);
}

/* The lines between the first and the recipients. */
static bool get_fields(struct text *t, struct envelope *e)
{
    struct text line, w, rest;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const struct envelope_field *f = &envelope_fields[i];
        rest = *t;
        if (!next_line(&rest, &line) || !next_word(&line, &w))
            return false;
        if (!word_is(&w, f->name)) {
            if (f->presence == FIELD_OPTIONAL)
                continue;
            return false;
        }
        if (!get_field(&line, f, e))
            return false;
        *t = rest;
    }
    const struct queue_options *o = &e->options;
    return envelope_id_valid(e->id) && (e->bounce == NULL || envelope_id_valid(e->bounce)) &&
           e->trace <= e->size && e->trace <= UINT32_MAX && e->body_8bit <= 1 &&
           o->flags <= QUEUE_FLAGS && o->ret <= QUEUE_RET_HDRS && o->priority <= QUEUE_PRIORITY_MAX;
}

static bool read_all(struct text *t, struct envelope *e)
{
    struct text line, w;
    if (!next_line(t, &line))
        return false;
    bool old = word_is(&line, ENVELOPE_FIRST_LINE_OLD), dsn = false;
    if ((!old && !word_is(&line, ENVELOPE_FIRST_LINE)) || !get_fields(t, e))
        return false;
    while (next_line(t, &line) && next_word(&line, &w)) {
        if (word_is(&w, "end")) {
            uint64_t n;
            return get_number(&line, &n) && line.p == line.end && n == e->rcpt_count &&
                   t->p == t->end;
        }
        if (dsn && word_is(&w, "dsn")) {
            if (!get_dsn(&line, &e->rcpts[e->rcpt_count - 1]))
                return false;
            dsn = false;
            continue;
        }
        if (!word_is(&w, "rcpt") || !get_rcpt(&line, old, envelope_add(e)))
            return false;
        dsn = !old;
    }
    return false;
}

struct envelope *envelope_read(const void *text, size_t len)
{
    struct text t = {text, (const char *)text + len};
    struct envelope *e = envelope_new();
    if (!read_all(&t, e))
        envelope_free(&e);
    return e;
}
