#include <string.h>

#include "gateway/base/str.h"
#include "gateway/proto/imap_parser.h"

bool imap_arg_is(const struct imap_arg *arg, const char *word)
{
    return arg != NULL && arg->type == IMAP_ATOM && str_is(arg->str, arg->len, word);
}

static const char *arg_without(const struct imap_arg *arg, const char *forbidden)
{
    if (arg == NULL || (arg->type != IMAP_ATOM && arg->type != IMAP_STRING))
        return NULL;
    if (strlen(arg->str) != arg->len)
        return NULL;
    if (arg->type == IMAP_ATOM && strpbrk(arg->str, forbidden) != NULL)
        return NULL;
    return arg->str;
}

const char *imap_arg_astring(const struct imap_arg *arg)
{
    return arg_without(arg, "%*\\");
}

const char *imap_arg_pattern(const struct imap_arg *arg)
{
    return arg_without(arg, "\\");
}

int imap_arg_nstring(const struct imap_arg *arg, const char **out)
{
    *out = NULL;
    if (imap_arg_is(arg, "NIL"))
        return 0;
    if (arg == NULL || arg->type != IMAP_STRING || strlen(arg->str) != arg->len)
        return -1;
    *out = arg->str;
    return 0;
}

int imap_arg_number(const struct imap_arg *arg, uint64_t max, uint64_t *out)
{
    if (arg == NULL || arg->type != IMAP_ATOM)
        return -1;
    return str_uint(arg->str, arg->len, max, out);
}
