/* dirigo config: the parameters, their values and where they came from; and the check before a
 * start. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "directory/scratch.h"
#include "gateway/base/mem.h"
#include "gateway/ctl/command.h"
#include "gateway/event/tls.h"
#include "gateway/smtp/restriction.h"

#define CONFIG_SECRET_TEXT "(secret)"

/* A password is not for the screen, nor for the files and mails that output ends up in. */
static const char *config_shown(const struct conf *conf, const struct conf_param *p)
{
    const char *text = conf_text(conf, p->name);
    return strcmp(p->type, "secret") == 0 && *text != '\0' ? CONFIG_SECRET_TEXT : text;
}

static void config_put(const struct command_context *ctx, const struct conf *conf,
                       const struct conf_param *p, struct buf *out, bool *first)
{
    const char *text = config_shown(conf, p);
    const char *origin = conf_origin(conf, p->name);
    if (!ctx->json) {
        /* Output that can be read in again: comments on lines of their own, $ doubled. */
        if (strcmp(origin, "default") != 0)
            buf_printf(out, "# %s\n", origin);
        buf_printf(out, "%s =%s", p->name, *text == '\0' ? "" : " ");
        for (; *text != '\0'; text++)
            buf_append_str(out, *text == '$' ? "$$" : (char[]){*text, '\0'});
        buf_append_byte(out, '\n');
        return;
    }
    buf_append_str(out, *first ? "\n  " : ",\n  ");
    *first = false;
    buf_append_byte(out, '{');
    json_member(out, "name", p->name);
    buf_append_byte(out, ',');
    json_member(out, "type", p->type);
    buf_append_byte(out, ',');
    json_member(out, "value", text);
    buf_append_byte(out, ',');
    json_member(out, "origin", origin);
    buf_append_byte(out, ',');
    json_member(out, "default", p->default_text);
    buf_append_byte(out, ',');
    json_member(out, "help", p->help);
    buf_append_byte(out, '}');
}

/* Whether the name is one of n names, or all are wanted. */
static bool config_wanted(const char *name, int n, char **names)
{
    bool wanted = n == 0;
    for (int i = 0; i < n && !wanted; i++)
        wanted = strcmp(names[i], name) == 0;
    return wanted;
}

/* All parameters, those named, or those that are not at their defaults. */
static int config_list(const struct command_context *ctx, const struct conf *conf, bool changed,
                       int n, char **names)
{
    size_t count;
    const struct conf_param *params = conf_params(&count);
    struct buf out = {0};
    bool first = true;
    for (int i = 0; i < n; i++) {
        if (conf_text(conf, names[i]) == NULL)
            return command_error("there is no parameter %s; dirigo config lists them", names[i]);
    }
    if (ctx->json)
        buf_append_byte(&out, '[');
    for (size_t i = 0; i < count; i++) {
        if (!config_wanted(params[i].name, n, names) ||
            (changed && strcmp(conf_origin(conf, params[i].name), "default") == 0))
            continue;
        config_put(ctx, conf, &params[i], &out, &first);
    }
    for (size_t i = 0; i < conf->smtpd_restriction_classes.n; i++) {
        const char *name = conf->smtpd_restriction_classes.v[i];
        const struct conf_param p = {name, "restrictions", "",
                                     "A class of smtpd_restriction_classes.", CONF_FOR_ALL};
        if (config_wanted(name, n, names))
            config_put(ctx, conf, &p, &out, &first);
    }
    if (ctx->json)
        buf_append_str(&out, "\n]\n");
    return command_print(&out);
}

/* Loads a pair as the front ends do; dirigod itself links no TLS, and hears of a mismatch from
 * them. */
static void config_check_pair(const struct conf *conf, const char *parameter, const char *cert,
                              const char *key, struct buf *errors)
{
    char *error = NULL;
    struct tls_context *tls = tls_server_new(cert, key, &error);
    if (tls != NULL && tls_server_add_names(tls, (const char *const *)conf->ssl_sni_certs.v,
                                            conf->ssl_sni_certs.n, &error) != 0) {
        buf_printf(errors, "%s: ssl_sni_certs: %s\n", conf_origin(conf, "ssl_sni_certs"), error);
        free(error);
        error = NULL;
    } else if (tls == NULL)
        buf_printf(
            errors,
            "%s: %s: %s; give the certificate chain and the private key that belongs to it\n",
            conf_origin(conf, parameter), parameter, error);
    free(error);
    tls_context_free(&tls);
}

static void config_check_tls(const struct conf *conf, struct buf *errors)
{
    config_check_pair(conf, "ssl_cert", conf->ssl_cert, conf->ssl_key, errors);
    if (strcmp(conf->ssl_cert, conf->smtpd_tls_cert_file) != 0 ||
        strcmp(conf->ssl_key, conf->smtpd_tls_key_file) != 0)
        config_check_pair(conf, "smtpd_tls_cert_file", conf->smtpd_tls_cert_file,
                          conf->smtpd_tls_key_file, errors);
}

struct config_faults {
    const struct conf *conf;
    struct buf *errors;
};

static void config_list_fault(const char *parameter, const char *text, void *arg)
{
    struct config_faults *f = arg;
    buf_printf(f->errors, "%s: %s: %s\n", conf_origin(f->conf, parameter), parameter, text);
}

/* Profiles are read by dirigo-directory alone, so dirigod would hear of a fault too late. */
static void config_check_profiles(const struct conf *conf, struct buf *errors)
{
    char *error = NULL;
    struct scratch *scratch = scratch_new(conf, &error);
    if (scratch == NULL)
        buf_append_str(errors, error);
    free(error);
    scratch_free(&scratch);
}

/* What dirigod and its processes check before they start; as root the answer is the same as
 * dirigod's. */
static int config_check(const struct command_context *ctx)
{
    struct buf errors = {0};
    struct conf *conf = conf_load(ctx->conf_path, ctx->overrides, &errors);
    if (conf != NULL) {
        struct config_faults faults = {conf, &errors};
        if (conf_check(conf, &errors) == 0)
            config_check_tls(conf, &errors);
        config_check_profiles(conf, &errors);
        (void)restriction_check_conf(conf, config_list_fault, &faults);
    }
    int rc = errors.len == 0 ? COMMAND_OK : COMMAND_FAILED;
    if (ctx->json) {
        const char *text = buf_str(&errors);
        bool first = true;
        printf("{\"ok\":%s,\"errors\":[", errors.len == 0 ? "true" : "false");
        while (*text != '\0') {
            struct buf line = {0};
            size_t len = strcspn(text, "\n");
            char *one = mem_strndup(text, len);
            json_string(&line, one);
            printf("%s%s", first ? "" : ",", buf_str(&line));
            first = false;
            buf_free(&line);
            free(one);
            text += len + (text[len] == '\n');
        }
        printf("]}\n");
    } else if (rc == COMMAND_OK) {
        printf("%s: no faults\n", ctx->conf_path);
    } else {
        fputs(buf_str(&errors), stderr);
    }
    buf_free(&errors);
    conf_free(&conf);
    return rc;
}

static int config_run(const struct command_context *ctx, int argc, char **argv)
{
    bool changed = false;
    int option;
    optind = 1;
    while ((option = getopt(argc, argv, "+n")) != -1) {
        if (option != 'n')
            return command_usage(&command_config);
        changed = true;
    }
    if (optind + 1 == argc && !changed && strcmp(argv[optind], "check") == 0)
        return config_check(ctx);

    struct buf errors = {0};
    struct conf *conf = conf_load(ctx->conf_path, ctx->overrides, &errors);
    if (conf == NULL) {
        fputs(buf_str(&errors), stderr);
        buf_free(&errors);
        return COMMAND_FAILED;
    }
    int rc = config_list(ctx, conf, changed, argc - optind, argv + optind);
    buf_free(&errors);
    conf_free(&conf);
    return rc;
}

const struct command command_config = {
    .name = "config",
    .args = "[-n] [name ...] | check",
    .help = "Print parameters, their values and where they were set (-n: only those that were "
            "set), or check the file without starting anything.",
    .run = config_run,
};
