#include "gateway/base/password_end.h"

#include <inttypes.h>
#include <stdio.h>

/* A unit is named while there are at least two of it. */
static const struct {
    uint32_t seconds;
    const char *name;
} units[] = {{86400, "days"}, {3600, "hours"}, {60, "minutes"}};

static void expires_str(uint32_t seconds, char text[PASSWORD_END_STRLEN])
{
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        uint32_t n = seconds / units[i].seconds;
        if (n < 2)
            continue;
        (void)snprintf(text, PASSWORD_END_STRLEN, "Your password expires in %" PRIu32 " %s.", n,
                       units[i].name);
        return;
    }
    (void)snprintf(text, PASSWORD_END_STRLEN, "Your password expires in less than two minutes.");
}

const char *password_end_str(const struct password_end *end, char text[PASSWORD_END_STRLEN])
{
    static const char last[] =
        "Your password has expired; this was the last login before you must change it.";
    switch (end->kind) {
    case PASSWORD_END_UNSAID:
        return NULL;
    case PASSWORD_EXPIRES:
        expires_str(end->value, text);
        break;
    case PASSWORD_GRACE:
        if (end->value == 0)
            (void)snprintf(text, PASSWORD_END_STRLEN, "%s", last);
        else
            (void)snprintf(text, PASSWORD_END_STRLEN,
                           "Your password has expired; %" PRIu32
                           " more login%s possible before you must change it.",
                           end->value, end->value == 1 ? " is" : "s are");
        break;
    }
    return text;
}
