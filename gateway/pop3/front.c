#include "gateway/pop3/front.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/proto/pop3_parser.h"

struct front {
    struct pop3_parser parser;
    char *user; /* of USER, until PASS */
};

enum {
    CMD_NO_ARGS = 1 /* anything behind the name is an error */
};

struct front_command {
    const char *name;
    unsigned flags;
    void (*run)(struct login *l, const struct pop3_command *cmd);
};

/* ---- replies ---- */

static void reply(struct login *l, const char *text)
{
    stream_printf(login_stream(l), "%s\r\n", text);
}

static void reply_bad(struct login *l, const char *text)
{
    stream_printf(login_stream(l), "-ERR %s\r\n", text);
    login_bad_command(l);
}

static void front_greet(struct login *l)
{
    stream_printf(login_stream(l), "+OK %s\r\n", login_conf(l)->login_greeting);
}

/* ---- commands ---- */

/* RFC 2449; what a session has more is told after login. */
static void cmd_capa(struct login *l, const struct pop3_command *cmd)
{
    struct stream *s = login_stream(l);
    (void)cmd;
    stream_printf(s, "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n");
    if (!login_is_tls(l))
        stream_printf(s, "STLS\r\n");
    if (login_offers(l, "PLAIN"))
        stream_printf(s, "USER\r\n");
    if (*login_mechanisms(l) != '\0')
        stream_printf(s, "SASL %s\r\n", login_mechanisms(l));
    stream_printf(s, "IMPLEMENTATION Dirigo\r\n.\r\n");
}

static void cmd_quit(struct login *l, const struct pop3_command *cmd)
{
    (void)cmd;
    reply(l, "+OK Bye.");
    login_quit(l);
}

static void cmd_stls(struct login *l, const struct pop3_command *cmd)
{
    (void)cmd;
    if (login_is_tls(l)) {
        reply_bad(l, "TLS is in use already.");
        return;
    }
    reply(l, "+OK Begin TLS now.");
    login_start_tls(l);
}

/* Whether mechanism may be used here and now; says so where not. */
static bool may_use(struct login *l, const char *mechanism)
{
    if (*login_mechanisms(l) == '\0') {
        reply(l, "-ERR Use TLS first.");
        return false;
    }
    if (!login_offers(l, mechanism)) {
        reply(l, "-ERR This way of logging in is not offered.");
        return false;
    }
    return true;
}

static void cmd_user(struct login *l, const struct pop3_command *cmd)
{
    struct front *f = login_state(l);
    if (*cmd->args == '\0') {
        reply_bad(l, "A user name was expected.");
        return;
    }
    if (!may_use(l, "PLAIN"))
        return;
    mem_wipe_free_str(f->user);
    f->user = mem_strdup(cmd->args);
    /* The same for every name: whether it exists is not told here. */
    reply(l, "+OK And the password?");
}

static void cmd_pass(struct login *l, const struct pop3_command *cmd)
{
    struct front *f = login_state(l);
    char *user = f->user;
    if (user == NULL) {
        reply_bad(l, "USER comes first.");
        return;
    }
    f->user = NULL;
    /* Everything behind the first space is the password (RFC 1939 section 7). */
    login_password(l, user, cmd->args);
    mem_wipe_free_str(user);
}

/* RFC 5034. */
static void cmd_auth(struct login *l, const struct pop3_command *cmd)
{
    const char *cursor = cmd->args, *word;
    size_t len;

    if (!str_token(&cursor, " ", &word, &len)) {
        /* What was usual before CAPA: the list of mechanisms. */
        struct stream *s = login_stream(l);
        stream_printf(s, "+OK\r\n");
        for (cursor = login_mechanisms(l); str_token(&cursor, " ", &word, &len);)
            stream_printf(s, "%.*s\r\n", (int)len, word);
        stream_printf(s, ".\r\n");
        return;
    }
    char *mechanism = mem_strndup(word, len), *initial = NULL;
    if (str_token(&cursor, " ", &word, &len))
        initial = mem_strndup(word, len);
    if (str_token(&cursor, " ", &word, &len))
        reply_bad(l, "Too many arguments.");
    else if (may_use(l, mechanism))
        login_sasl(l, mechanism, initial);
    free(mechanism);
    mem_wipe_free_str(initial);
}

static const struct front_command commands[] = {
    {"AUTH", 0, cmd_auth},           {"CAPA", CMD_NO_ARGS, cmd_capa}, {"PASS", 0, cmd_pass},
    {"QUIT", CMD_NO_ARGS, cmd_quit}, {"STLS", CMD_NO_ARGS, cmd_stls}, {"USER", 0, cmd_user},
};

static void run_command(struct login *l, const struct pop3_command *cmd)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        if (strcmp(commands[i].name, cmd->name) != 0)
            continue;
        if ((commands[i].flags & CMD_NO_ARGS) && *cmd->args != '\0')
            reply_bad(l, "No arguments were expected.");
        else
            commands[i].run(l, cmd);
        return;
    }
    reply_bad(l, "Unknown, or not before login.");
}

/* ---- input ---- */

static bool front_next(struct login *l)
{
    struct front *f = login_state(l);
    const struct pop3_command *cmd;
    size_t len;
    const void *data = stream_peek(login_stream(l), &len);
    size_t taken = pop3_parser_push(&f->parser, data, len);

    stream_consume(login_stream(l), taken);
    switch (pop3_parser_next(&f->parser, &cmd)) {
    case POP3_MORE:
        return taken > 0 && taken < len;
    case POP3_COMMAND:
        run_command(l, cmd);
        return true;
    case POP3_LINE:
        login_answer(l, cmd->args);
        return true;
    case POP3_BAD:
        if (login_wants_answer(l))
            login_answer(l, NULL);
        else
            reply_bad(l, "Unknown, or too long.");
        return true;
    }
    return false;
}

/* ---- what the login comes to ---- */

static void front_challenge(struct login *l, const char *base64)
{
    struct front *f = login_state(l);
    stream_printf(login_stream(l), "+ %s\r\n", base64);
    pop3_parser_want_line(&f->parser);
}

static void front_failed(struct login *l, enum login_failure why)
{
    static const char *const texts[] = {
        [LOGIN_DENIED] = "-ERR [AUTH] Authentication failed.",
        [LOGIN_TEMPORARY] = "-ERR [SYS/TEMP] That cannot be decided now; try again later.",
        [LOGIN_NO_MECHANISM] = "-ERR This way of logging in is not offered.",
        [LOGIN_BAD_SYNTAX] = "-ERR Malformed authentication data.",
        [LOGIN_CANCELLED] = "-ERR Authentication cancelled.",
        [LOGIN_EXPIRED] = "-ERR [AUTH] Your password has expired and must be changed.",
        [LOGIN_LOCKED] = "-ERR [AUTH] This account is locked after too many wrong passwords.",
        [LOGIN_MUST_CHANGE] = "-ERR [AUTH] Your password must be changed before you can log in.",
    };
    reply(l, texts[why]);
}

static void front_bye(struct stream *s, enum login_bye why)
{
    static const char *const texts[] = {
        [LOGIN_BYE_BUSY] = "[SYS/TEMP] Too many connections; try again later.",
        [LOGIN_BYE_TIMEOUT] = "It took too long to log in.",
        [LOGIN_BYE_SHUTDOWN] = "[SYS/TEMP] Closing for a restart; connect again.",
        [LOGIN_BYE_ERRORS] = "Too many errors.",
    };
    stream_printf(s, "-ERR %s\r\n", texts[why]);
}

static const char *front_tag(struct login *l)
{
    (void)l;
    return "";
}

/* ---- life ---- */

static void front_begin(struct login *l)
{
    struct front *f = login_state(l);
    pop3_parser_init(&f->parser, login_conf(l)->login_line_limit);
}

static void front_end(struct login *l)
{
    struct front *f = login_state(l);
    pop3_parser_free(&f->parser);
    mem_wipe_free_str(f->user);
    f->user = NULL;
}

const struct login_protocol pop3_front = {
    .name = "pop3",
    .name_tls = "pop3s",
    .state_size = sizeof(struct front),
    .begin = front_begin,
    .end = front_end,
    .greet = front_greet,
    .next = front_next,
    .challenge = front_challenge,
    .failed = front_failed,
    .bye = front_bye,
    .tag = front_tag,
};
