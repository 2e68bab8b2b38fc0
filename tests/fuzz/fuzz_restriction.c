/* Restriction lists of any text, at every stage; what compiles is evaluated without an answer. */
#include <stdlib.h>
#include <string.h>

#include "gateway/smtp/restriction.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum answer no_answer(void *arg, const char *what)
{
    (void)arg;
    (void)what;
    return ANSWER_UNKNOWN;
}

static enum answer not_listed(void *arg, const char *what, bool *disabled)
{
    *disabled = true;
    return no_answer(arg, what);
}

static enum answer no_access(void *arg, const char *table, enum access_subject subject,
                             const char *key, struct restriction_text *out)
{
    (void)subject;
    (void)key;
    *out = (struct restriction_text){.text = NULL};
    return no_answer(arg, table);
}

static enum answer no_class(void *arg, const char *name, struct restriction_text *out)
{
    return no_access(arg, name, ACCESS_CLIENT, NULL, out);
}

static bool no_policy(void *arg, const char *service, enum restriction_stage stage,
                      const char **action)
{
    (void)arg;
    (void)service;
    (void)stage;
    *action = NULL;
    return true;
}

static enum answer no_right(void *arg, const char *address, bool *owned, const char **dn)
{
    *dn = NULL;
    return not_listed(arg, address, owned);
}

static bool over_limit(void *arg, const char *key, unsigned n, int64_t ms)
{
    (void)arg;
    if (*key == '\0' || n == 0 || ms <= 0)
        abort();
    return false;
}

static bool greylisted(void *arg, int64_t *wait_s)
{
    (void)arg;
    *wait_s = 1;
    return false;
}

static bool no_dns(void *arg, const char *name, uint16_t type, struct restriction_dns *out)
{
    (void)arg;
    (void)name;
    (void)type;
    *out = (struct restriction_dns){.status = DNS_UNKNOWN};
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct restriction_ops ops = {
        .domain = no_answer,
        .listed = not_listed,
        .dns = no_dns,
        .send_as = no_right,
        .access = no_access,
        .class = no_class,
        .policy = no_policy,
        .rate = over_limit,
        .greylist = greylisted,
    };
    static struct conf *conf;
    struct smtp_address address = {.text = "a@b.example", .domain = "b.example"};
    struct restriction_client client = {.name = NULL};
    struct restriction_facts facts = {.id = "fuzz", .client_name = &client};
    struct restriction_run run;
    char *error = NULL;

    if (size < 1)
        return 0;
    if (conf == NULL)
        conf = conf_defaults();
    enum restriction_stage stage = (enum restriction_stage)(data[0] % STAGE_COUNT);
    char *text = mem_strndup(data + 1, size - 1);
    struct restriction_list *list = restriction_compile(text, stage, &error);
    if ((list == NULL) != (error != NULL))
        abort();
    if (list != NULL) {
        if (restriction_list_len(list) > RESTRICTION_ITEMS_MAX)
            abort();
        facts.sender = facts.recipient =
            (struct restriction_address){&address, address.text, address.domain};
        restriction_run_init(&run, conf, &facts, &ops, NULL);
        restriction_run_add(&run, stage, list, NULL);
        if (!restriction_run_go(&run))
            abort();
        restriction_run_end(&run);
    }
    free(error);
    free(text);
    return 0;
}
