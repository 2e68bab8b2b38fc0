#include "directory/profile_file.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

struct profile_parser {
    struct buf input; /* what was pushed; used says how far it was read */
    size_t used;
    bool ended;
    unsigned line; /* lines that were read */

    struct buf text; /* words of the statement at hand, each with its NUL */
    size_t words;
    unsigned first; /* the line of its first word; 0: none yet */
    const char *fault;
    struct buf shown; /* what the last next returned */
};

struct profile_parser *profile_parser_new(void)
{
    return mem_zalloc(sizeof(struct profile_parser));
}

void profile_parser_free(struct profile_parser **p)
{
    if (*p == NULL)
        return;
    buf_free(&(*p)->input);
    buf_free(&(*p)->text);
    buf_free(&(*p)->shown);
    free(*p);
    *p = NULL;
}

void profile_parser_push(struct profile_parser *p, const void *data, size_t len)
{
    if (len > 0)
        buf_append(&p->input, data, len);
}

void profile_parser_end(struct profile_parser *p)
{
    p->ended = true;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void add_word(struct profile_parser *p, const char *word, size_t len)
{
    static const char nul;
    if (p->first == 0)
        p->first = p->line;
    if (p->fault != NULL)
        return;
    if (p->words == PROFILE_WORDS_MAX)
        p->fault = "too many words; give the attribute a second statement";
    else if (p->text.len + len + 1 > PROFILE_STATEMENT_MAX)
        p->fault = "the statement is too long; give the attribute a second one";
    else if (!str_utf8_valid(word, len))
        p->fault = "not UTF-8 text; save the file as UTF-8";
    if (p->fault != NULL)
        return;
    buf_append(&p->text, word, len);
    buf_append(&p->text, &nul, 1);
    p->words++;
}

static void add_line(struct profile_parser *p, const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        if (is_space(s[i])) {
            i++;
            continue;
        }
        if (s[i] == '#')
            return;
        size_t from = i;
        while (i < len && !is_space(s[i]))
            i++;
        add_word(p, s + from, i - from);
    }
}

/* Hands the statement at hand out; 0 where there is none. */
static int show(struct profile_parser *p, struct profile_statement *out)
{
    if (p->first == 0)
        return 0;
    buf_clear(&p->shown);
    struct buf text = p->shown;
    p->shown = p->text;
    p->text = text;
    *out = (struct profile_statement){.line = p->first, .fault = p->fault};
    const char *word = (const char *)p->shown.data;
    for (; p->fault == NULL && out->count < p->words; word += strlen(word) + 1)
        out->words[out->count++] = word;
    p->words = 0;
    p->first = 0;
    p->fault = NULL;
    return 1;
}

/* Blank lines and comments end nothing, so that a long statement may have comments inside. */
static bool goes_on(const char *s, size_t len)
{
    size_t i = 0;
    while (i < len && is_space(s[i]))
        i++;
    return i > 0 || i == len || s[i] == '#';
}

int profile_parser_next(struct profile_parser *p, struct profile_statement *out)
{
    while (p->used < p->input.len) {
        const char *s = (const char *)p->input.data + p->used;
        size_t left = p->input.len - p->used;
        const char *end = memchr(s, '\n', left);
        if (end == NULL && !p->ended)
            break;
        size_t len = end == NULL ? left : (size_t)(end - s);
        if (!goes_on(s, len) && show(p, out) > 0)
            return 1; /* the line is read by the next call */
        p->line++;
        add_line(p, s, len);
        p->used += end == NULL ? len : len + 1;
    }
    if (p->used > 0) {
        buf_consume(&p->input, p->used);
        p->used = 0;
    }
    return p->ended ? show(p, out) : 0;
}
