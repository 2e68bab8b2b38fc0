#include "gateway/imap/front.h"

#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/log.h"
#include "gateway/base/str.h"
#include "gateway/proto/imap_parser.h"

/* Before login commands are small: an ID has at most 30 pairs (RFC 2971). */
#define FRONT_ARGS  70
#define FRONT_DEPTH 2
#define TAG_MAX     128

struct front {
    struct imap_parser *parser;
    char tag[TAG_MAX + 1]; /* of the login under way */
};

enum {
    CMD_NO_ARGS = 1 /* anything behind the name is an error */
};

struct front_command {
    const char *name;
    unsigned flags;
    void (*run)(struct login *l, const struct imap_command *cmd);
};

/* ---- replies ---- */

static void reply(struct login *l, const char *tag, const char *text)
{
    stream_printf(login_stream(l), "%s %s\r\n", tag, text);
}

static void reply_bad(struct login *l, const char *tag, const char *text)
{
    stream_printf(login_stream(l), "%s BAD %s\r\n", tag, text);
    login_bad_command(l);
}

/* What may be done now; dirigo-mailbox tells what a session can. */
static void write_capabilities(struct login *l, struct buf *out)
{
    const char *mechanisms = login_mechanisms(l), *word;
    size_t len;

    (void)buf_append_str(out, "IMAP4rev1 LITERAL+ SASL-IR ID");
    if (!login_is_tls(l))
        (void)buf_append_str(out, " STARTTLS");
    if (!login_offers(l, "PLAIN"))
        (void)buf_append_str(out, " LOGINDISABLED");
    while (str_token(&mechanisms, " ", &word, &len))
        (void)buf_printf(out, " AUTH=%.*s", (int)len, word);
}

static void front_greet(struct login *l)
{
    struct buf caps = {0};
    write_capabilities(l, &caps);
    stream_printf(login_stream(l), "* OK [CAPABILITY %s] %s\r\n", buf_str(&caps),
                  login_conf(l)->login_greeting);
    buf_free(&caps);
}

/* ---- commands ---- */

static void cmd_capability(struct login *l, const struct imap_command *cmd)
{
    struct buf caps = {0};
    write_capabilities(l, &caps);
    stream_printf(login_stream(l), "* CAPABILITY %s\r\n%s OK Capability completed.\r\n",
                  buf_str(&caps), cmd->tag);
    buf_free(&caps);
}

static void cmd_noop(struct login *l, const struct imap_command *cmd)
{
    reply(l, cmd->tag, "OK Nothing to do.");
}

static void cmd_logout(struct login *l, const struct imap_command *cmd)
{
    stream_printf(login_stream(l), "* BYE Logging out.\r\n%s OK Logged out.\r\n", cmd->tag);
    login_quit(l);
}

/* RFC 2971: the client's word for the log, ours for the client. */
static void cmd_id(struct login *l, const struct imap_command *cmd)
{
    const struct imap_arg *arg = cmd->args, *field;
    const char *name = NULL, *version = NULL;

    if (cmd->argc != 1 || (arg->type != IMAP_LIST && !imap_arg_is(arg, "NIL"))) {
        reply_bad(l, cmd->tag, "A list or NIL was expected.");
        return;
    }
    for (field = arg->list; field != NULL && field->next != NULL; field = field->next->next) {
        const char *key = imap_arg_astring(field), *value = NULL;
        if (key == NULL || imap_arg_nstring(field->next, &value) < 0)
            continue;
        if (str_ieq(key, "name"))
            name = value;
        else if (str_ieq(key, "version"))
            version = value;
    }
    log_debug("client", LOG_STR("id", login_id(l)),
              LOG_BYTES("name", name, name == NULL ? 0 : strnlen(name, 100)),
              LOG_BYTES("version", version, version == NULL ? 0 : strnlen(version, 100)));
    stream_printf(login_stream(l), "* ID (\"name\" \"Dirigo\")\r\n%s OK Pleased to meet you.\r\n",
                  cmd->tag);
}

static void cmd_starttls(struct login *l, const struct imap_command *cmd)
{
    if (login_is_tls(l)) {
        reply_bad(l, cmd->tag, "TLS is in use already.");
        return;
    }
    reply(l, cmd->tag, "OK Begin TLS now.");
    login_start_tls(l);
}

/* Whether mechanism may be used here and now; says so where not. */
static bool may_use(struct login *l, const char *tag, const char *mechanism)
{
    if (*login_mechanisms(l) == '\0') {
        reply(l, tag, "NO [PRIVACYREQUIRED] Use TLS first.");
        return false;
    }
    if (!login_offers(l, mechanism)) {
        reply(l, tag, "NO [CANNOT] This way of logging in is not offered.");
        return false;
    }
    return true;
}

static void remember_tag(struct login *l, const struct imap_command *cmd)
{
    struct front *f = login_state(l);
    strlcpy(f->tag, cmd->tag, sizeof(f->tag));
}

static void cmd_login(struct login *l, const struct imap_command *cmd)
{
    const char *user = imap_arg_astring(cmd->args);
    const char *password = user == NULL ? NULL : imap_arg_astring(cmd->args->next);

    if (cmd->argc != 2 || password == NULL) {
        reply_bad(l, cmd->tag, "User name and password were expected.");
        return;
    }
    if (!may_use(l, cmd->tag, "PLAIN"))
        return;
    remember_tag(l, cmd);
    login_password(l, user, password);
}

static void cmd_authenticate(struct login *l, const struct imap_command *cmd)
{
    const char *mechanism = imap_arg_astring(cmd->args), *initial = NULL;

    if (mechanism != NULL && cmd->argc == 2)
        initial = imap_arg_astring(cmd->args->next);
    if (mechanism == NULL || cmd->argc > 2 || (cmd->argc == 2 && initial == NULL)) {
        reply_bad(l, cmd->tag, "A mechanism was expected.");
        return;
    }
    if (!may_use(l, cmd->tag, mechanism))
        return;
    remember_tag(l, cmd);
    login_sasl(l, mechanism, initial);
}

static const struct front_command commands[] = {
    {"AUTHENTICATE", 0, cmd_authenticate},
    {"CAPABILITY", CMD_NO_ARGS, cmd_capability},
    {"ID", 0, cmd_id},
    {"LOGIN", 0, cmd_login},
    {"LOGOUT", CMD_NO_ARGS, cmd_logout},
    {"NOOP", CMD_NO_ARGS, cmd_noop},
    {"STARTTLS", CMD_NO_ARGS, cmd_starttls},
};

static void run_command(struct login *l, const struct imap_command *cmd)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        if (strcmp(commands[i].name, cmd->name) != 0)
            continue;
        if ((commands[i].flags & CMD_NO_ARGS) && cmd->args != NULL)
            reply_bad(l, cmd->tag, "No arguments were expected.");
        else
            commands[i].run(l, cmd);
        return;
    }
    reply_bad(l, cmd->tag, "Unknown, or not before login.");
}

/* ---- input ---- */

static void take_literal(struct login *l, const struct imap_command *cmd)
{
    struct front *f = login_state(l);
    bool sync = cmd->literal.sync;
    if (imap_literal_keep(f->parser) == 0 && sync)
        stream_printf(login_stream(l), "+ Go on.\r\n");
}

static void bad_line(struct login *l, const struct imap_command *cmd)
{
    if (login_wants_answer(l))
        login_answer(l, NULL);
    else
        reply_bad(l, cmd->tag, cmd->error);
}

static bool front_next(struct login *l)
{
    struct front *f = login_state(l);
    const struct imap_command *cmd;
    size_t len, taken;
    const void *data = stream_peek(login_stream(l), &len);

    taken = imap_parser_push(f->parser, data, len);
    stream_consume(login_stream(l), taken);
    switch (imap_parser_next(f->parser, &cmd)) {
    case IMAP_MORE:
        return taken > 0 && taken < len;
    case IMAP_COMMAND:
        run_command(l, cmd);
        return true;
    case IMAP_LITERAL:
        take_literal(l, cmd);
        return true;
    case IMAP_LINE:
        login_answer(l, cmd->line);
        return true;
    case IMAP_BAD:
        bad_line(l, cmd);
        return true;
    }
    return false;
}

/* ---- what the login comes to ---- */

static void front_challenge(struct login *l, const char *base64)
{
    struct front *f = login_state(l);
    stream_printf(login_stream(l), "+ %s\r\n", base64);
    imap_parser_want_line(f->parser, login_conf(l)->login_line_limit);
}

static void front_failed(struct login *l, enum login_failure why)
{
    static const char *const texts[] = {
        [LOGIN_DENIED] = "NO [AUTHENTICATIONFAILED] Authentication failed.",
        [LOGIN_TEMPORARY] = "NO [UNAVAILABLE] That cannot be decided now; try again later.",
        [LOGIN_NO_MECHANISM] = "NO [CANNOT] This way of logging in is not offered.",
        [LOGIN_BAD_SYNTAX] = "BAD Malformed authentication data.",
        [LOGIN_CANCELLED] = "BAD Authentication cancelled.",
        [LOGIN_EXPIRED] = "NO [EXPIRED] Your password has expired and must be changed.",
        [LOGIN_LOCKED] =
            "NO [AUTHENTICATIONFAILED] This account is locked after too many wrong passwords.",
        [LOGIN_MUST_CHANGE] = "NO [EXPIRED] Your password must be changed before you can log in.",
    };
    struct front *f = login_state(l);
    reply(l, f->tag, texts[why]);
}

static void front_bye(struct stream *s, enum login_bye why)
{
    static const char *const texts[] = {
        [LOGIN_BYE_BUSY] = "[UNAVAILABLE] Too many connections; try again later.",
        [LOGIN_BYE_TIMEOUT] = "It took too long to log in.",
        [LOGIN_BYE_SHUTDOWN] = "[UNAVAILABLE] Closing for a restart; connect again.",
        [LOGIN_BYE_ERRORS] = "Too many errors.",
    };
    stream_printf(s, "* BYE %s\r\n", texts[why]);
}

static const char *front_tag(struct login *l)
{
    struct front *f = login_state(l);
    return f->tag;
}

/* ---- life ---- */

static void front_begin(struct login *l)
{
    const struct conf *conf = login_conf(l);
    const struct imap_limits limits = {.line = conf->login_line_limit,
                                       .literals = conf->login_line_limit,
                                       .args = FRONT_ARGS,
                                       .depth = FRONT_DEPTH};
    struct front *f = login_state(l);
    f->parser = imap_parser_new(&limits);
}

static void front_end(struct login *l)
{
    struct front *f = login_state(l);
    imap_parser_free(&f->parser);
}

const struct login_protocol imap_front = {
    .name = "imap",
    .name_tls = "imaps",
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
