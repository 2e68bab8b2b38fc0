/* Access tables, restriction classes, policy services: restrictions that answer with an action. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/base/str.h"
#include "gateway/smtp/restriction_impl.h"

#define WORD_MAX      64
#define HOLD_TEXT_MAX 300

/* An action that is being carried out. */
struct action {
    struct restriction_run *run;
    enum restriction_subject subject;
    const char *word;
    size_t word_len;
    const char *text; /* behind the word; may be empty */
    const char *all;
    const char *dn;
};

bool restriction_take_status(const char **text, char status[12])
{
    static const char digits[] = "0123456789";
    size_t len = strspn(*text, "0123456789."), second, third;
    const char *p = *text;

    if (len < 5 || len > 9 || (p[len] != ' ' && p[len] != '\0') || strchr("245", p[0]) == NULL ||
        p[1] != '.')
        return false;
    second = strspn(p + 2, digits);
    if (second == 0 || second > 3 || p[2 + second] != '.')
        return false;
    third = strspn(p + 3 + second, digits);
    if (third == 0 || third > 3 || 3 + second + third != len)
        return false;
    snprintf(status, 12, "%.*s", (int)len, p);
    *text += len + strspn(*text + len, " ");
    return true;
}

static enum verdict refuse(const struct action *a, unsigned code, const char *status,
                           const char *otherwise)
{
    const char *text = a->text;
    char own[12];

    if (restriction_take_status(&text, own))
        status = own;
    return restriction_refuse(a->run, a->subject, code, status, *text != '\0' ? text : otherwise);
}

static enum verdict do_ok(const struct action *a)
{
    (void)a;
    return VERDICT_PERMIT;
}

static enum verdict do_dunno(const struct action *a)
{
    (void)a;
    return VERDICT_DUNNO;
}

static enum verdict do_reject(const struct action *a)
{
    return refuse(a, (unsigned)a->run->conf->access_map_reject_code, "5.7.1", "Access denied");
}

static enum verdict do_defer(const struct action *a)
{
    return refuse(a, (unsigned)a->run->conf->access_map_defer_code, "4.7.1", "Try again later");
}

static enum verdict do_defer_if_permit(const struct action *a)
{
    refuse(a, (unsigned)a->run->conf->access_map_defer_code, "4.7.1", "Service unavailable");
    return VERDICT_DEFER_IF_PERMIT;
}

static enum verdict do_defer_if_reject(const struct action *a)
{
    refuse(a, (unsigned)a->run->conf->access_map_defer_code, "4.7.1", "Service unavailable");
    return VERDICT_DEFER_IF_REJECT;
}

static enum verdict do_warn(const struct action *a)
{
    const struct restriction_facts *f = a->run->facts;
    char client[RESTRICTION_CLIENT_STRLEN];

    log_notice("access table warns", LOG_STR("id", f->id),
               LOG_STR("client", restriction_client_str(f, client)), LOG_STR("helo", f->helo),
               LOG_STR("from", f->sender.full), LOG_STR("to", f->recipient.full),
               LOG_STR("entry", a->dn), LOG_STR("text", a->text));
    return VERDICT_DUNNO;
}

static enum verdict do_discard(const struct action *a)
{
    return restriction_effect(a->run, EFFECT_DISCARD, a->text);
}

static bool is_address(const char *s)
{
    const char *at = strrchr(s, '@');

    /* It goes between angle brackets, into an envelope. */
    for (const char *p = s; *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || *p == 127 || *p == '<' || *p == '>')
            return false;
    return at != NULL && at != s && smtp_hostname_valid(at + 1, strlen(at + 1));
}

static enum verdict do_redirect(const struct action *a)
{
    if (!is_address(a->text))
        return restriction_misconfigured(a->run, "REDIRECT needs an address", a->all);
    return restriction_effect(a->run, EFFECT_REDIRECT, a->text);
}

static enum verdict do_bcc(const struct action *a)
{
    if (!is_address(a->text))
        return restriction_misconfigured(a->run, "BCC needs an address", a->all);
    return restriction_effect(a->run, EFFECT_BCC, a->text);
}

/* Who looks at the queue reads why: the text, and the entry that says so. */
static enum verdict do_hold(const struct action *a)
{
    char why[HOLD_TEXT_MAX];

    snprintf(why, sizeof(why), "%s%s%s", a->text, *a->text != '\0' ? " " : "by ",
             a->dn != NULL ? a->dn : "a policy service");
    return restriction_effect(a->run, EFFECT_HOLD, why);
}

/* "HOST", "[HOST]" or "[ADDRESS]", with an optional ":PORT". */
static bool is_hop(const char *s)
{
    bool bracket = *s == '[';
    size_t len = strcspn(s + bracket, bracket ? "]" : ":");
    const char *rest = s + bracket + len;
    uint64_t port;

    if (len == 0 || len > RESTRICTION_NAME_MAX || (bracket && *rest++ != ']'))
        return false;
    for (const char *p = s + bracket; p < s + bracket + len; p++)
        if (!isalnum((unsigned char)*p) && strchr(bracket ? ".-:_" : ".-_", *p) == NULL)
            return false;
    if (*rest == '\0')
        return true;
    return *rest == ':' && str_uint(rest + 1, strlen(rest + 1), 65535, &port) == 0 && port > 0;
}

static enum verdict do_filter(const struct action *a)
{
    static const char transport[] = "smtp:";

    if (!str_istarts(a->text, transport) || !is_hop(a->text + strlen(transport)))
        return restriction_misconfigured(
            a->run, "FILTER needs smtp:HOST, smtp:[HOST] or smtp:[ADDRESS], with an optional :PORT",
            a->all);
    return restriction_effect(a->run, EFFECT_FILTER, a->text);
}

/* "Name: value" (RFC 5322 section 2.2), in printable ASCII. */
static bool is_header_field(const char *s)
{
    size_t name = 0;

    while (s[name] > ' ' && s[name] <= '~' && s[name] != ':')
        name++;
    if (name == 0 || s[name] != ':')
        return false;
    for (const char *p = s + name; *p != '\0'; p++)
        if (*p < ' ' || *p > '~')
            return false;
    return strlen(s) <= RESTRICTION_FIELD_MAX;
}

static enum verdict do_prepend(const struct action *a)
{
    if (!is_header_field(a->text))
        return restriction_misconfigured(a->run, "PREPEND needs a header field", a->all);
    return restriction_effect(a->run, EFFECT_PREPEND, a->text);
}

static const struct {
    const char *word;
    enum verdict (*run)(const struct action *a);
} actions[] = {
    {"OK", do_ok},
    {"DUNNO", do_dunno},
    {"REJECT", do_reject},
    {"DEFER", do_defer},
    {"DEFER_IF_PERMIT", do_defer_if_permit},
    {"DEFER_IF_REJECT", do_defer_if_reject},
    {"WARN", do_warn},
    {"INFO", do_warn},
    {"DISCARD", do_discard},
    {"REDIRECT", do_redirect},
    {"PREPEND", do_prepend},
    {"HOLD", do_hold},
    {"FILTER", do_filter},
    {"BCC", do_bcc},
};

enum verdict restriction_act(struct restriction_run *run, enum restriction_subject subject,
                             const char *text, const char *dn)
{
    struct action a = {.run = run, .subject = subject, .dn = dn};

    run->decided_by = dn;
    a.all = a.word = text + strspn(text, " \t");
    a.word_len = strcspn(a.word, " \t");
    a.text = a.word + a.word_len;
    a.text += strspn(a.text, " \t");
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (str_is(a.word, a.word_len, actions[i].word))
            return actions[i].run(&a);
    if (a.word_len > 0 && strspn(a.word, "0123456789") == a.word_len) {
        if (a.word_len == 3 && (a.word[0] == '4' || a.word[0] == '5'))
            return refuse(&a,
                          (unsigned)(a.word[0] - '0') * 100 + (unsigned)(a.word[1] - '0') * 10 +
                              (unsigned)(a.word[2] - '0'),
                          "5.7.1", "Access denied");
        return VERDICT_PERMIT; /* a number is what scripts write for OK */
    }
    return restriction_nest(run, a.all, dn);
}

/* ---- classes ---- */

/* Names that begin like a restriction are never a class, so that a slip of the pen is found out. */
bool restriction_class_name(const char *s, size_t len)
{
    static const char *const reserved[] = {"permit", "reject", "defer", "check", "warn"};

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (len >= strlen(reserved[i]) && str_ieq_n(s, reserved[i], strlen(reserved[i])))
            return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '_' && s[i] != '-')
            return false;
    return len > 0 && len <= WORD_MAX && isalpha((unsigned char)s[0]);
}

static enum verdict unknown(struct restriction_run *run, const struct restriction_text *t)
{
    run->decided_by = t->dn;
    return restriction_refuse(run, SUBJECT_STAGE, 451, "4.3.0", "Temporary lookup failure");
}

static enum verdict check_ldap_class(struct restriction_run *run,
                                     const struct restriction_item *item)
{
    struct restriction_text t;

    switch (run->ops->class(run->ops_arg, item->arg, &t)) {
    case ANSWER_FOUND:
        return restriction_nest(run, t.text, t.dn);
    case ANSWER_ABSENT:
        return restriction_misconfigured(run, "unknown restriction", item->arg);
    default:
        return unknown(run, &t);
    }
}

/* The file's own class wins over one of the directory. */
static enum verdict check_class(struct restriction_run *run, const struct restriction_item *item)
{
    const char *text = conf_class(run->conf, item->arg);

    return text != NULL ? restriction_nest(run, text, NULL) : check_ldap_class(run, item);
}

const struct restriction restriction_class = {
    .name = "restriction class", .flags = RESTRICTION_ARG, .check = check_class};
const struct restriction restriction_ldap_class = {
    .name = "restriction class", .flags = RESTRICTION_ARG, .check = check_ldap_class};

/* ---- tables ---- */

/* A table's name; what Postfix has here, such as hash:/etc/access, is none. */
bool restriction_table_valid(const char *arg)
{
    size_t len = strlen(arg);

    return len <= WORD_MAX && strcspn(arg, ":/\\\"") == len;
}

static enum verdict answered(struct restriction_run *run, enum restriction_subject subject,
                             enum answer answer, const struct restriction_text *t)
{
    switch (answer) {
    case ANSWER_FOUND:
        return restriction_act(run, subject, t->text, t->dn);
    case ANSWER_ABSENT:
        return VERDICT_DUNNO;
    default:
        return unknown(run, t);
    }
}

/* The address, then the verified name, which is only looked up for a table that has names. */
RESTRICTION_FUNCTION(check_client_access)
{
    const struct restriction_client *c = run->facts->client_name;
    struct restriction_text t;
    enum answer answer = run->ops->access(run->ops_arg, item->arg, ACCESS_CLIENT, NULL, &t);

    if (answer == ANSWER_ABSENT)
        answer = run->ops->access(run->ops_arg, item->arg, ACCESS_ANY_DOMAIN, NULL, &t);
    else
        return answered(run, SUBJECT_CLIENT, answer, &t);
    if (answer == ANSWER_FOUND) {
        if (restriction_client_name(run) == VERDICT_WAIT)
            return VERDICT_WAIT;
        answer = ANSWER_ABSENT;
        if (c->verified == CLIENT_NAME_FOUND)
            answer = run->ops->access(run->ops_arg, item->arg, ACCESS_DOMAIN, c->name, &t);
    }
    return answered(run, SUBJECT_CLIENT, answer, &t);
}

RESTRICTION_FUNCTION(check_helo_access)
{
    const char *helo = run->facts->helo;
    struct restriction_text t;

    if (helo == NULL)
        return VERDICT_DUNNO;
    return answered(run, SUBJECT_HELO,
                    run->ops->access(run->ops_arg, item->arg, ACCESS_DOMAIN, helo, &t), &t);
}

static enum verdict check_address(struct restriction_run *run, const struct restriction_item *item,
                                  const struct restriction_address *a,
                                  enum restriction_subject subject)
{
    struct restriction_text t;

    if (a->given == NULL)
        return VERDICT_DUNNO;
    return answered(run, subject,
                    run->ops->access(run->ops_arg, item->arg, ACCESS_ADDRESS, a->full, &t), &t);
}

RESTRICTION_FUNCTION(check_sender_access)
{
    return check_address(run, item, &run->facts->sender, SUBJECT_SENDER);
}

RESTRICTION_FUNCTION(check_recipient_access)
{
    return check_address(run, item, &run->facts->recipient, SUBJECT_RECIPIENT);
}
