/* The restriction lists of dirigo.conf: each is compiled, so that a wrong one stops the start. */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/smtp/restriction_impl.h"

struct check {
    const struct conf *conf;
    void (*fault)(const char *parameter, const char *text, void *arg);
    void *arg;
    bool *told; /* of a class, by its place: one fault each is enough */
    int rc;
};

/* The class's place in smtpd_restriction_classes, or its length. */
static size_t class_place(const struct conf *conf, const char *name)
{
    const struct conf_list *classes = &conf->smtpd_restriction_classes;
    size_t i = 0;

    while (i < classes->n && strcmp(classes->v[i], name) != 0)
        i++;
    return i;
}

/* error is taken over. */
static void tell(struct check *c, const char *parameter, char *error)
{
    size_t place = class_place(c->conf, parameter);

    if (!c->told[place])
        c->fault(parameter, error, c->arg);
    if (place < c->conf->smtpd_restriction_classes.n)
        c->told[place] = true;
    c->rc = -1;
    free(error);
}

static char *unknown_word(const char *word)
{
    const char *nearest = restriction_nearest(word);

    return nearest != NULL
               ? mem_printf("unknown restriction \"%.64s\"; did you mean %s? A class of the "
                            "directory is ldap:%.64s",
                            word, nearest, word)
               : mem_printf("unknown restriction \"%.64s\"; write ldap:%.64s for a class of the "
                            "directory, or name one of this file in smtpd_restriction_classes",
                            word, word);
}

static void check_list(struct check *c, const char *parameter, const char *text,
                       enum restriction_stage stage, unsigned depth)
{
    char *error = NULL;
    const char *name;
    bool directory;

    if (depth == RESTRICTION_DEPTH_MAX) {
        tell(c, parameter, mem_strdup("classes are nested too deeply; break the circle"));
        return;
    }
    struct restriction_list *list = restriction_compile(text, stage, &error);
    if (list == NULL) {
        tell(c, parameter, error);
        return;
    }
    for (size_t i = 0; (name = restriction_list_class(list, &i, &directory)) != NULL;) {
        size_t place = class_place(c->conf, name);
        if (directory)
            continue;
        if (place == c->conf->smtpd_restriction_classes.n)
            tell(c, parameter, unknown_word(name));
        else if (!c->told[place])
            check_list(c, name, conf_class(c->conf, name), stage, depth + 1);
    }
    restriction_list_unref(&list);
}

/* Also of those that no list names, for an access entry may. */
static void check_classes(struct check *c)
{
    const struct conf_list *classes = &c->conf->smtpd_restriction_classes;

    for (size_t i = 0; i < classes->n; i++) {
        const char *name = classes->v[i];
        if (restriction_find(name, strlen(name)) != NULL ||
            !restriction_class_name(name, strlen(name)))
            tell(c, name,
                 mem_strdup("this is no name for a class; it may have 64 letters, digits, - and "
                            "_, and not begin like a restriction"));
        else if (!c->told[i])
            check_list(c, name, conf_class(c->conf, name), STAGE_RECIPIENT, 1);
    }
}

int restriction_check_conf(const struct conf *conf,
                           void (*fault)(const char *parameter, const char *text, void *arg),
                           void *arg)
{
    static const struct {
        const char *parameter;
        enum restriction_stage stage;
    } lists[] = {
        {"smtpd_client_restrictions", STAGE_CLIENT},
        {"smtpd_helo_restrictions", STAGE_HELO},
        {"smtpd_sender_restrictions", STAGE_SENDER},
        {"smtpd_relay_restrictions", STAGE_RELAY},
        {"smtpd_recipient_restrictions", STAGE_RECIPIENT},
        {"smtpd_data_restrictions", STAGE_DATA},
        {"smtpd_end_of_data_restrictions", STAGE_END_OF_DATA},
        {"smtpd_etrn_restrictions", STAGE_ETRN},
        {"submission_relay_restrictions", STAGE_RELAY},
    };
    struct check c = {.conf = conf, .fault = fault, .arg = arg};

    c.told = mem_zalloc(conf->smtpd_restriction_classes.n + 1);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        check_list(&c, lists[i].parameter, conf_text(conf, lists[i].parameter), lists[i].stage, 0);
    check_classes(&c);
    free(c.told);
    return c.rc;
}
