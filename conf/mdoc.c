/* Writes dirigo.conf(5): copies the page given as argument, and puts the parameters where it says
 * so. */
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"

/* Roff takes a backslash, and a dot or an apostrophe at the start of a line, for its own. */
static void mdoc_put(const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (const char *start = text; *text != '\0'; text++) {
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (text > start && text[0] == ' ' && text[-1] == '.')
            putchar('\n'); /* each sentence on a line of its own */
        else
            putchar(*text);
    }
}

/* An argument of a macro: quoted, so that no word of it is taken for a macro. */
static void mdoc_put_argument(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputs("\"\"", stdout);
        else if (*text == '\\')
            fputs("\\e", stdout);
        else
            putchar(*text);
    }
    putchar('"');
}

static void mdoc_parameters(void)
{
    size_t n;
    const struct conf_param *p = conf_params(&n);
    puts(".Bl -tag -width Ds");
    for (size_t i = 0; i < n; i++) {
        printf(".It Ic %s Pq %s , default: ", p[i].name, p[i].type);
        if (*p[i].default_text == '\0')
            puts("empty");
        else {
            fputs("Ql ", stdout);
            mdoc_put_argument(p[i].default_text);
            putchar('\n');
        }
        mdoc_put(p[i].help);
        putchar('\n');
        if (p[i].flags & CONF_LOCAL)
            puts("Local.");
    }
    puts(".El");
}

int main(int argc, char **argv)
{
    char line[4096];
    FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (f == NULL) {
        fputs("usage: mdoc page\n", stderr);
        return 1;
    }
    while (fgets(line, sizeof(line), f) != NULL) {
        if (strcmp(line, "@PARAMETERS@\n") == 0)
            mdoc_parameters();
        else
            fputs(line, stdout);
    }
    fclose(f);
    return fflush(stdout) == 0 ? 0 : 1;
}
