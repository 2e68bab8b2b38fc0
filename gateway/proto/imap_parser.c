#include "gateway/proto/imap_parser.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

/* A tag longer than this is malformed; of a command that is skipped only this much is kept. */
#define TAG_MAX 128
/* The end of a skipped line that may announce a literal: "{18446744073709551615+}". */
#define TAIL_MAX 32
/* Room for the strings of an ordinary command, so that a password is not left behind by growing. */
#define TEXT_FIRST 1024
#define LINE_FIRST 500
#define DEPTH_MAX  32
#define NO_TEXT    SIZE_MAX

enum parser_state {
    PARSER_LINE,      /* gathers a line, up to its LF */
    PARSER_ANSWER,    /* gathers the line that was asked for */
    PARSER_DECIDE,    /* a literal was announced and the caller has not said what becomes of it */
    PARSER_KEEP,      /* gathers a literal's bytes */
    PARSER_STREAM,    /* the caller takes them */
    PARSER_SKIP_LINE, /* drops bytes up to LF, then looks whether a literal follows */
    PARSER_SKIP_LITERAL, /* drops a literal's bytes, then goes on in SKIP_LINE */
    PARSER_EVENT         /* an event waits to be fetched; then LINE */
};

/* An argument, and where its string is while the buffer may still move. */
struct parser_node {
    struct imap_arg arg;
    size_t at; /* in text */
    struct parser_node *before;
};

struct parser_level {
    struct imap_arg *list;  /* NULL: the arguments of the command themselves */
    struct imap_arg **tail; /* where the next one goes */
};

struct imap_parser {
    struct imap_limits limits;
    enum parser_state state;
    bool over;   /* everything of the last command goes at the next push */
    bool queued; /* an event that next has not given yet */
    enum imap_event event;
    struct imap_command cmd;
    struct buf line;     /* the segment of a command since its start or the last literal */
    size_t command_size; /* bytes of all its segments */
    size_t answer_max;
    bool answer_long;
    struct buf text; /* strings, each with its NUL, and kept literals */
    size_t literals; /* bytes of kept literals */
    uint64_t left;   /* of the literal */
    struct arena *arena;
    struct parser_node *nodes; /* newest first */
    unsigned node_count;
    struct parser_level levels[DEPTH_MAX + 1];
    unsigned depth;
    size_t tag_at, name_at;
    bool refused; /* what is being skipped was answered by the caller */
    char tail[TAIL_MAX];
    size_t tail_len;
};

/* ---- life ---- */

struct imap_parser *imap_parser_new(const struct imap_limits *limits)
{
    struct imap_parser *p = mem_zalloc(sizeof(*p));
    p->limits = *limits;
    if (p->limits.depth > DEPTH_MAX)
        p->limits.depth = DEPTH_MAX;
    p->over = true;
    return p;
}

/* Forgets the command, so that an idle connection holds no memory for one. */
static void parser_clear(struct imap_parser *p)
{
    buf_wipe_free(&p->line);
    buf_wipe_free(&p->text);
    arena_free(&p->arena);
    memset(&p->cmd, 0, sizeof(p->cmd));
    p->nodes = NULL;
    p->node_count = 0;
    p->command_size = 0;
    p->literals = 0;
    p->depth = 0;
    p->levels[0] = (struct parser_level){.list = NULL, .tail = &p->cmd.args};
    p->tag_at = p->name_at = NO_TEXT;
    p->refused = p->answer_long = false;
    p->tail_len = 0;
    p->over = false;
}

void imap_parser_free(struct imap_parser **pp)
{
    struct imap_parser *p = *pp;
    if (p == NULL)
        return;
    *pp = NULL;
    parser_clear(p);
    explicit_bzero(p, sizeof(*p));
    free(p);
}

bool imap_parser_busy(const struct imap_parser *p)
{
    return !(p->state == PARSER_LINE && (p->over || p->command_size == 0));
}

/* ---- events ---- */

static const char *parser_text(const struct imap_parser *p, size_t at, const char *none)
{
    return at == NO_TEXT ? none : (const char *)p->text.data + at;
}

/* The buffer does not move until the next push: now pointers can be given. */
static void parser_resolve(struct imap_parser *p)
{
    for (struct parser_node *n = p->nodes; n != NULL; n = n->before)
        if (n->at != NO_TEXT)
            n->arg.str = (const char *)p->text.data + n->at;
    p->cmd.tag = parser_text(p, p->tag_at, "*");
    p->cmd.name = parser_text(p, p->name_at, "");
}

static void parser_event(struct imap_parser *p, enum imap_event event)
{
    if (event == IMAP_BAD) {
        /* Of a malformed command nobody sees arguments: the last one may be half a string. */
        p->cmd.args = NULL;
        p->cmd.argc = 0;
        p->nodes = NULL;
    }
    parser_resolve(p);
    p->event = event;
    p->queued = true;
    if (event == IMAP_LITERAL) {
        p->state = PARSER_DECIDE;
    } else {
        p->state = PARSER_EVENT;
        p->over = true;
    }
}

enum imap_event imap_parser_next(struct imap_parser *p, const struct imap_command **cmd)
{
    *cmd = &p->cmd;
    if (!p->queued) {
        if (p->over)
            parser_clear(p);
        return IMAP_MORE;
    }
    p->queued = false;
    if (p->state == PARSER_EVENT)
        p->state = PARSER_LINE;
    return p->event;
}

/* ---- strings and arguments ---- */

static size_t parser_add_text(struct imap_parser *p, const void *s, size_t len)
{
    size_t at = p->text.len;
    if (p->text.data == NULL) {
        buf_init(&p->text, SIZE_MAX / 2); /* the limits bound it */
        (void)buf_reserve(&p->text, TEXT_FIRST);
    }
    (void)buf_append(&p->text, s, len);
    (void)buf_append_byte(&p->text, '\0');
    return at;
}

/* A new argument at the end of the innermost list, or NULL past the bound. */
static struct parser_node *parser_add(struct imap_parser *p, enum imap_type type)
{
    if (p->node_count >= p->limits.args)
        return NULL;
    if (p->arena == NULL)
        p->arena = arena_new(0);
    struct parser_node *n = arena_alloc(p->arena, sizeof(*n));
    n->arg.type = type;
    n->at = NO_TEXT;
    n->before = p->nodes;
    p->nodes = n;
    p->node_count++;
    *p->levels[p->depth].tail = &n->arg;
    p->levels[p->depth].tail = &n->arg.next;
    if (p->depth == 0)
        p->cmd.argc++;
    return n;
}

static const char *parser_add_string(struct imap_parser *p, enum imap_type type, const char *s,
                                     size_t len)
{
    struct parser_node *n = parser_add(p, type);
    if (n == NULL)
        return "too many arguments";
    n->arg.len = len;
    n->at = parser_add_text(p, s, len);
    return NULL;
}

/* ---- one segment of a command: the text up to a line end, literals apart ---- */

struct cursor {
    const char *at, *end;
};

static bool is_atom_byte(char c)
{
    unsigned char u = (unsigned char)c;
    return u > ' ' && u != 0x7f && u != '(' && u != ')' && u != '{' && u != '"';
}

static bool is_tag_byte(char c)
{
    return is_atom_byte(c) && (unsigned char)c < 0x7f && strchr("%*\\+", c) == NULL;
}

/* The literal at the end of a segment, "{n}", "{n+}" or either with ~ before it; false where there
 * is none. *start is where it begins. */
static bool find_literal(const char *s, size_t len, struct imap_literal *lit, size_t *start)
{
    size_t i = len;
    if (len < 3 || s[--i] != '}')
        return false;
    lit->sync = s[i - 1] != '+';
    if (!lit->sync)
        i--;
    size_t digits_end = i;
    while (i > 0 && s[i - 1] >= '0' && s[i - 1] <= '9')
        i--;
    if (i == 0 || s[i - 1] != '{' || str_uint(s + i, digits_end - i, INT64_MAX, &lit->size) < 0)
        return false;
    i--;
    lit->binary = i > 0 && s[i - 1] == '~';
    *start = lit->binary ? i - 1 : i;
    return true;
}

static const char *parse_quoted(struct imap_parser *p, struct cursor *c)
{
    struct parser_node *n = parser_add(p, IMAP_STRING);
    if (n == NULL)
        return "too many arguments";
    n->at = parser_add_text(p, "", 0);
    buf_truncate(&p->text, n->at); /* the NUL comes behind the content */
    for (c->at++; c->at < c->end && *c->at != '"'; c->at++) {
        if (*c->at == '\\' && (++c->at == c->end || (*c->at != '"' && *c->at != '\\')))
            return "bad escape in a quoted string";
        (void)buf_append_byte(&p->text, (unsigned char)*c->at);
        n->arg.len++;
    }
    (void)buf_append_byte(&p->text, '\0');
    if (c->at == c->end)
        return "a quoted string has no end";
    c->at++;
    return NULL;
}

/* Whether the atom that ends at c->at is the beginning of a section, whose brackets hold spaces and
 * parentheses. Only in FETCH: a mailbox may well be called "body[1". */
static bool opens_section(const struct imap_parser *p, const char *atom, const char *end)
{
    static const char *const words[] = {"BODY", "BODY.PEEK", "BINARY", "BINARY.PEEK",
                                        "BINARY.SIZE"};
    const char *name = parser_text(p, p->name_at, "");
    if (strcmp(name, "FETCH") != 0 && strcmp(name, "UID FETCH") != 0)
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (str_is(atom, (size_t)(end - atom), words[i]))
            return true;
    return false;
}

/* Moves c behind the closing bracket. */
static bool skip_section(struct cursor *c)
{
    bool quoted = false;
    for (c->at++; c->at < c->end; c->at++) {
        if (quoted && *c->at == '\\' && c->at + 1 < c->end)
            c->at++;
        else if (*c->at == '"')
            quoted = !quoted;
        else if (*c->at == ']' && !quoted)
            return true;
    }
    return false;
}

static const char *parse_atom(struct imap_parser *p, struct cursor *c)
{
    const char *start = c->at;
    for (; c->at < c->end && is_atom_byte(*c->at); c->at++) {
        if (*c->at == '[' && opens_section(p, start, c->at) && !skip_section(c))
            return "a section has no end";
    }
    if (c->at == start)
        return "a character that may not stand here";
    return parser_add_string(p, IMAP_ATOM, start, (size_t)(c->at - start));
}

static const char *parse_open(struct imap_parser *p, struct cursor *c)
{
    if (p->depth >= p->limits.depth)
        return "lists nested too deep";
    struct parser_node *n = parser_add(p, IMAP_LIST);
    if (n == NULL)
        return "too many arguments";
    p->depth++;
    p->levels[p->depth] = (struct parser_level){.list = &n->arg, .tail = &n->arg.list};
    c->at++;
    return NULL;
}

/* Arguments up to the end of the segment. */
static const char *parse_args(struct imap_parser *p, struct cursor *c)
{
    bool fresh = false;

    while (c->at < c->end) {
        const char *error = NULL;
        if (*c->at == ' ') {
            /* More than one space is what some clients send; no reading of it does harm. */
            c->at++;
            fresh = true;
            continue;
        }
        if (*c->at == ')') {
            if (p->depth == 0)
                return "a closing parenthesis too many";
            p->depth--;
            c->at++;
            fresh = false;
            continue;
        }
        /* "(a)(b)" needs no space before it: BODYSTRUCTURE and ENVELOPE have such lists. */
        if (!fresh && *c->at != '(')
            return "a space is missing";
        fresh = false;
        if (*c->at == '(') {
            error = parse_open(p, c);
            fresh = true;
        } else if (*c->at == '"') {
            error = parse_quoted(p, c);
        } else {
            error = parse_atom(p, c);
        }
        if (error != NULL)
            return error;
    }
    return NULL;
}

static size_t parse_word(struct imap_parser *p, struct cursor *c, const char *prefix)
{
    char name[64];
    size_t n = strlen(prefix), start = n;
    memcpy(name, prefix, n);
    while (c->at < c->end && is_tag_byte(*c->at)) {
        if (n == sizeof(name))
            return NO_TEXT;
        name[n++] = *c->at >= 'a' && *c->at <= 'z' ? *c->at - ('a' - 'A') : *c->at;
        c->at++;
    }
    if (n == start || (c->at < c->end && *c->at != ' '))
        return NO_TEXT;
    return parser_add_text(p, name, n);
}

/* Tag and name; what is malformed is left as it is said in IMAP_BAD. */
static const char *parse_start(struct imap_parser *p, struct cursor *c)
{
    const char *start = c->at;
    while (c->at < c->end && is_tag_byte(*c->at) && c->at - start < TAG_MAX)
        c->at++;
    if (c->at == start || c->at == c->end || *c->at != ' ')
        return "a tag was expected";
    p->tag_at = parser_add_text(p, start, (size_t)(c->at - start));
    c->at++;
    p->name_at = parse_word(p, c, "");
    if (p->name_at == NO_TEXT)
        return "a command was expected";
    if (strcmp(parser_text(p, p->name_at, ""), "UID") == 0 && c->at < c->end) {
        c->at++;
        p->name_at = parse_word(p, c, "UID ");
        if (p->name_at == NO_TEXT)
            return "a command was expected after UID";
    }
    return NULL;
}

static bool has_bad_byte(const char *s, size_t len)
{
    return memchr(s, '\0', len) != NULL || memchr(s, '\r', len) != NULL;
}

/* What becomes of a command that is not read on, at the end of one of its lines: a literal that
 * does not wait still comes. */
static void parser_skip_rest(struct imap_parser *p, const char *segment, size_t len)
{
    struct imap_literal lit = {0};
    size_t start;
    if (find_literal(segment, len, &lit, &start) && !lit.sync) {
        p->left = lit.size;
        p->tail_len = 0;
        p->state = lit.size > 0 ? PARSER_SKIP_LITERAL : PARSER_SKIP_LINE;
    } else if (p->refused) {
        p->state = PARSER_LINE;
        p->over = true;
    } else {
        parser_event(p, IMAP_BAD);
    }
}

/* A line of a command is whole. */
static void parser_segment(struct imap_parser *p)
{
    const char *s = buf_str(&p->line), *error = NULL;
    size_t len = p->line.len;
    struct imap_literal lit = {0};
    size_t start;

    if (len > 0 && s[len - 1] == '\r')
        len--;
    bool literal = find_literal(s, len, &lit, &start);
    struct cursor c = {.at = s, .end = s + (literal ? start : len)};
    bool first = p->tag_at == NO_TEXT;
    if (first)
        error = parse_start(p, &c);
    if (error == NULL && has_bad_byte(s, len))
        error = "a NUL or a bare CR";
    if (error == NULL)
        error = parse_args(p, &c);
    if (error == NULL && literal) {
        char before = start > 0 ? s[start - 1] : '\0';
        if (before != ' ' && before != '(')
            error = "a space is missing before a literal";
    }
    if (error == NULL && !literal && p->depth > 0)
        error = "a list has no end";
    if (error != NULL) {
        p->cmd.error = error;
        parser_skip_rest(p, s, len);
        return;
    }
    if (!literal) {
        parser_event(p, IMAP_COMMAND);
        return;
    }
    lit.in_list = p->depth > 0;
    p->cmd.literal = lit;
    buf_clear(&p->line);
    parser_event(p, IMAP_LITERAL);
}

/* ---- bytes ---- */

static void parser_keep_tail(struct imap_parser *p, const char *s, size_t len)
{
    if (len >= TAIL_MAX) {
        memcpy(p->tail, s + len - TAIL_MAX, TAIL_MAX);
        p->tail_len = TAIL_MAX;
        return;
    }
    size_t drop = p->tail_len + len > TAIL_MAX ? p->tail_len + len - TAIL_MAX : 0;
    memmove(p->tail, p->tail + drop, p->tail_len - drop);
    memcpy(p->tail + p->tail_len - drop, s, len);
    p->tail_len += len - drop;
}

/* The line is too long to be kept: what is known of it goes into the answer. */
static void parser_too_long(struct imap_parser *p)
{
    if (p->tag_at == NO_TEXT) {
        struct cursor c = {.at = buf_str(&p->line)};
        c.end = c.at + p->line.len;
        (void)parse_start(p, &c);
    }
    p->cmd.error = "the command line is too long";
    parser_keep_tail(p, buf_str(&p->line), p->line.len);
    buf_wipe_free(&p->line);
    p->state = PARSER_SKIP_LINE;
}

static size_t push_line(struct imap_parser *p, const char *s, size_t len)
{
    const char *lf = memchr(s, '\n', len);
    size_t n = lf != NULL ? (size_t)(lf - s) : len;
    size_t room = p->limits.line - p->command_size;

    if (p->line.data == NULL)
        (void)buf_reserve(&p->line, LINE_FIRST);
    if (n > room) {
        (void)buf_append(&p->line, s, room);
        p->command_size += room;
        parser_too_long(p);
        return room;
    }
    (void)buf_append(&p->line, s, n);
    p->command_size += n;
    if (lf == NULL)
        return n;
    if (p->tag_at == NO_TEXT && (p->line.len == 0 || (p->line.len == 1 && *p->line.data == '\r'))) {
        /* An empty line is what some clients send after a literal; it is no command. */
        p->command_size = 0;
        buf_clear(&p->line);
        return n + 1;
    }
    parser_segment(p);
    return n + 1;
}

static size_t push_answer(struct imap_parser *p, const char *s, size_t len)
{
    const char *lf = memchr(s, '\n', len);
    size_t n = lf != NULL ? (size_t)(lf - s) : len;

    /* One more than the bound for the CR. */
    if (p->line.len + n > p->answer_max + 1)
        p->answer_long = true;
    else
        (void)buf_append(&p->line, s, n);
    if (lf == NULL)
        return n;
    const char *line = buf_str(&p->line);
    size_t line_len = p->line.len;
    if (line_len > 0 && line[line_len - 1] == '\r')
        p->line.data[--line_len] = '\0';
    if (p->answer_long || line_len > p->answer_max || has_bad_byte(line, line_len)) {
        p->cmd.error = "the line is too long or has a NUL";
        parser_event(p, IMAP_BAD);
    } else {
        p->cmd.line = line;
        p->cmd.line_len = line_len;
        parser_event(p, IMAP_LINE);
    }
    return n + 1;
}

static size_t push_keep(struct imap_parser *p, const char *s, size_t len)
{
    struct parser_node *n = p->nodes;
    size_t take = len < p->left ? len : (size_t)p->left;
    if (!p->cmd.literal.binary && memchr(s, '\0', take) != NULL && p->cmd.error == NULL)
        p->cmd.error = "a NUL in a literal";
    (void)buf_append(&p->text, s, take);
    n->arg.len += take;
    p->left -= take;
    if (p->left == 0) {
        (void)buf_append_byte(&p->text, '\0');
        if (p->cmd.error != NULL) {
            p->tail_len = 0;
            p->state = PARSER_SKIP_LINE;
        } else {
            p->state = PARSER_LINE;
        }
    }
    return take;
}

static size_t push_skip_line(struct imap_parser *p, const char *s, size_t len)
{
    const char *lf = memchr(s, '\n', len);
    size_t n = lf != NULL ? (size_t)(lf - s) : len;
    parser_keep_tail(p, s, n);
    if (lf == NULL)
        return n;
    size_t tail = p->tail_len;
    if (tail > 0 && p->tail[tail - 1] == '\r')
        tail--;
    p->tail_len = 0;
    parser_skip_rest(p, p->tail, tail);
    return n + 1;
}

static size_t push_skip_literal(struct imap_parser *p, size_t len)
{
    size_t take = len < p->left ? len : (size_t)p->left;
    p->left -= take;
    if (p->left == 0)
        p->state = PARSER_SKIP_LINE;
    return take;
}

size_t imap_parser_push(struct imap_parser *p, const void *data, size_t len)
{
    const char *s = data;
    size_t used = 0;
    if (p->queued)
        return 0;
    if (p->over)
        parser_clear(p);
    while (used < len && !p->queued) {
        size_t n = 0;
        switch (p->state) {
        case PARSER_LINE:
            n = push_line(p, s + used, len - used);
            break;
        case PARSER_ANSWER:
            n = push_answer(p, s + used, len - used);
            break;
        case PARSER_KEEP:
            n = push_keep(p, s + used, len - used);
            break;
        case PARSER_SKIP_LINE:
            n = push_skip_line(p, s + used, len - used);
            if (p->over && !p->queued)
                parser_clear(p);
            break;
        case PARSER_SKIP_LITERAL:
            n = push_skip_literal(p, len - used);
            break;
        case PARSER_DECIDE:
        case PARSER_STREAM:
        case PARSER_EVENT:
            return used;
        }
        used += n;
    }
    return used;
}

void imap_parser_want_line(struct imap_parser *p, size_t max)
{
    parser_clear(p);
    p->answer_max = max;
    p->state = PARSER_ANSWER;
}

/* ---- literals ---- */

/* The literal cannot be taken: the command is malformed, at once where the client waits. */
static int literal_bad(struct imap_parser *p, const char *error)
{
    p->cmd.error = error;
    p->left = p->cmd.literal.size;
    if (p->cmd.literal.sync)
        parser_event(p, IMAP_BAD);
    else
        p->state = p->left > 0 ? PARSER_SKIP_LITERAL : PARSER_SKIP_LINE;
    return -1;
}

int imap_literal_keep(struct imap_parser *p)
{
    const struct imap_literal lit = p->cmd.literal;

    if (lit.size > p->limits.literals - p->literals)
        return literal_bad(p, "the literal is too long");
    struct parser_node *n = parser_add(p, IMAP_STRING);
    if (n == NULL)
        return literal_bad(p, "too many arguments");
    p->literals += (size_t)lit.size;
    n->arg.literal8 = lit.binary;
    n->at = parser_add_text(p, "", 0);
    p->left = lit.size;
    if (lit.size > 0) {
        buf_truncate(&p->text, n->at);
        p->state = PARSER_KEEP;
    } else {
        p->state = PARSER_LINE;
    }
    return 0;
}

int imap_literal_stream(struct imap_parser *p)
{
    struct parser_node *n = parser_add(p, IMAP_STREAMED);
    if (n == NULL)
        return literal_bad(p, "too many arguments");
    n->arg.literal8 = p->cmd.literal.binary;
    n->arg.len = (size_t)p->cmd.literal.size;
    p->left = p->cmd.literal.size;
    p->state = p->left > 0 ? PARSER_STREAM : PARSER_LINE;
    return 0;
}

uint64_t imap_literal_left(const struct imap_parser *p)
{
    return p->state == PARSER_STREAM ? p->left : 0;
}

void imap_literal_took(struct imap_parser *p, size_t len)
{
    p->left -= len < p->left ? len : p->left;
    if (p->left == 0)
        p->state = PARSER_LINE;
}

void imap_literal_refuse(struct imap_parser *p)
{
    p->refused = true;
    if (p->cmd.literal.sync) {
        p->state = PARSER_LINE;
        p->over = true;
    } else {
        p->left = p->cmd.literal.size;
        p->state = p->left > 0 ? PARSER_SKIP_LITERAL : PARSER_SKIP_LINE;
    }
}
