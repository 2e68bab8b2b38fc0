/* dirigo help: every command with its arguments, or one of them. */
#include <stdio.h>
#include <string.h>

#include "gateway/ctl/command.h"

static int help_run(const struct command_context *ctx, int argc, char **argv)
{
    (void)ctx;
    if (argc > 2)
        return command_usage(&command_help);
    bool found = false;
    if (argc == 1)
        printf("usage: dirigo [-c file] [-o name=value] [--json] command ...\n\n");
    for (const struct command *const *c = commands; *c != NULL; c++) {
        if (argc == 2 && strcmp((*c)->name, argv[1]) != 0)
            continue;
        printf("  dirigo %s%s%s\n      %s\n", (*c)->name, *(*c)->args == '\0' ? "" : " ",
               (*c)->args, (*c)->help);
        found = true;
    }
    if (!found)
        return command_error("there is no command %s; dirigo help lists them", argv[1]);
    return COMMAND_OK;
}

const struct command command_help = {
    .name = "help",
    .args = "[command]",
    .help = "Say what the commands do.",
    .run = help_run,
};
