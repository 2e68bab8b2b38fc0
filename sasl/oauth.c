#include "sasl/oauth.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/event/worker.h"

#define THREADS      4
#define PENDING_MAX  1000
#define RESPONSE_MAX ((size_t)64 << 10)

struct oauth {
    const struct conf *conf;
    struct loop *loop;
    struct jwt_keys *keys;       /* NULL: no JWTs */
    struct worker_pool *workers; /* NULL: nobody to ask */
    char *secret;                /* of oauth2_client_id */
    atomic_bool stopping;
};

struct oauth_check {
    struct oauth *oauth;
    oauth_fn *fn; /* NULL: cancelled */
    void *arg;
    char *token;
    struct timer *timer; /* NULL: a worker has it */
    enum token_answer answer;
    char *user;
    const char *why;
    /* the worker's */
    struct buf response;
    long status;
    CURLcode code;
};

/* The first line of oauth2_client_secret_file. */
static char *read_secret(const struct conf *conf)
{
    char line[1024] = "";
    const char *path = conf->oauth2_client_secret_file;
    FILE *f = *path == '\0' ? NULL : fopen(path, "re");
    if (*path != '\0' && (f == NULL || fgets(line, sizeof(line), f) == NULL))
        log_error("oauth2_client_secret_file cannot be read", LOG_STR("file", path));
    if (f != NULL)
        fclose(f);
    line[strcspn(line, "\r\n")] = '\0';
    char *secret = mem_strdup(line);
    explicit_bzero(line, sizeof(line));
    return secret;
}

struct oauth *oauth_new(const struct conf *conf, struct loop *loop)
{
    struct oauth *o = mem_zalloc(sizeof(*o));
    o->conf = conf;
    o->loop = loop;
    if (*conf->oauth2_jwks_file != '\0')
        o->keys = jwt_keys_new(conf->oauth2_jwks_file);
    if (*conf->oauth2_introspection_url != '\0') {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        o->workers = worker_pool_new(loop, THREADS);
        o->secret = read_secret(conf);
    }
    return o;
}

void oauth_free(struct oauth **po)
{
    struct oauth *o = *po;
    if (o == NULL)
        return;
    *po = NULL;
    atomic_store(&o->stopping, true);
    if (o->workers != NULL) {
        worker_pool_free(&o->workers);
        curl_global_cleanup();
    }
    jwt_keys_free(&o->keys);
    mem_wipe_free_str(o->secret);
    free(o);
}

static void check_free(struct oauth_check *c)
{
    timer_free(&c->timer);
    mem_wipe_free_str(c->token);
    buf_wipe_free(&c->response);
    free(c->user);
    free(c);
}

void oauth_cancel(struct oauth_check **pc)
{
    struct oauth_check *c = *pc;
    if (c == NULL)
        return;
    *pc = NULL;
    c->fn = NULL;
    if (c->timer != NULL)
        check_free(c);
}

static void check_tell(struct oauth_check *c)
{
    if (c->fn != NULL)
        c->fn(c->answer, c->user, c->why, c->arg);
    check_free(c);
}

/* ---- asking ---- */

static size_t take_response(char *data, size_t size, size_t n, void *arg)
{
    struct oauth_check *c = arg;
    if (c->response.len + size * n > RESPONSE_MAX)
        return 0;
    return buf_append(&c->response, data, size * n) == 0 ? size * n : 0;
}

static int go_on(void *arg, curl_off_t a, curl_off_t b, curl_off_t d, curl_off_t e)
{
    struct oauth_check *c = arg;
    (void)a;
    (void)b;
    (void)d;
    (void)e;
    return atomic_load(&c->oauth->stopping) ? 1 : 0;
}

static void set_options(CURL *curl, struct oauth_check *c, const char *fields)
{
    const struct conf *conf = c->oauth->conf;
    curl_easy_setopt(curl, CURLOPT_URL, conf->oauth2_introspection_url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)conf->oauth2_timeout);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, fields);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_response);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, go_on);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, c);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (*conf->oauth2_tls_ca_cert_file != '\0')
        curl_easy_setopt(curl, CURLOPT_CAINFO, conf->oauth2_tls_ca_cert_file);
}

/* On a worker: one question and its answer. */
static void check_ask(void *arg)
{
    struct oauth_check *c = arg;
    const struct conf *conf = c->oauth->conf;
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    CURL *curl = curl_easy_init();
    char *token = curl == NULL ? NULL : curl_easy_escape(curl, c->token, 0);
    char *fields = mem_printf("token=%s&token_type_hint=access_token", token == NULL ? "" : token);
    c->code = CURLE_FAILED_INIT;
    if (token != NULL) {
        set_options(curl, c, fields);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        /* RFC 6749 section 2.3.1 */
        char *id = curl_easy_escape(curl, conf->oauth2_client_id, 0);
        char *secret = curl_easy_escape(curl, c->oauth->secret, 0);
        if (*conf->oauth2_client_id != '\0') {
            curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
            curl_easy_setopt(curl, CURLOPT_USERNAME, id);
            curl_easy_setopt(curl, CURLOPT_PASSWORD, secret);
        }
        c->code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &c->status);
        curl_free(id);
        if (secret != NULL)
            explicit_bzero(secret, strlen(secret));
        curl_free(secret);
        explicit_bzero(token, strlen(token));
    }
    curl_free(token);
    mem_wipe_free_str(fields);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
}

static void check_asked(void *arg)
{
    struct oauth_check *c = arg;
    struct oauth *o = c->oauth;
    if (c->code == CURLE_OK && c->status == 200) {
        c->answer = jwt_judge_introspection(o->conf, (const char *)c->response.data,
                                            c->response.len, clock_wall(), &c->user, &c->why);
    } else {
        c->answer = TOKEN_UNKNOWN;
        c->why = "oauth2_introspection_url gives no answer";
        log_warning("a token cannot be asked for",
                    LOG_STR("url", o->conf->oauth2_introspection_url), LOG_INT("status", c->status),
                    LOG_STR("error", c->code == CURLE_OK ? "" : curl_easy_strerror(c->code)));
    }
    check_tell(c);
}

/* ---- both ways ---- */

static void check_local(void *arg)
{
    struct oauth_check *c = arg;
    struct oauth *o = c->oauth;
    if (c->why == NULL)
        c->answer = jwt_verify(o->keys, o->conf, c->token, clock_wall(), &c->user, &c->why);
    check_tell(c);
}

struct oauth_check *oauth_verify(struct oauth *o, const char *token, oauth_fn *fn, void *arg)
{
    struct oauth_check *c = mem_zalloc(sizeof(*c));
    bool here = o->keys != NULL && jwt_looks_like_one(token);
    c->oauth = o;
    c->fn = fn;
    c->arg = arg;
    c->token = mem_strdup(token);
    if (!here && o->workers != NULL && worker_pending(o->workers) < PENDING_MAX) {
        worker_run(o->workers, check_ask, check_asked, c);
        return c;
    }
    if (!here) {
        c->answer = o->workers != NULL ? TOKEN_UNKNOWN : TOKEN_INVALID;
        c->why = o->workers != NULL ? "too many tokens are asked for" : "the token is no JWT";
    }
    c->timer = timer_new(o->loop, check_local, c);
    timer_set(c->timer, 0);
    return c;
}

/* ---- for the client ---- */

static char *join(const struct conf_list *words)
{
    struct buf out = {0};
    for (size_t i = 0; i < words->n; i++)
        (void)buf_printf(&out, "%s%s", i > 0 ? " " : "", words->v[i]);
    (void)buf_str(&out);
    return buf_steal_str(&out);
}

char *oauth_error(const struct conf *conf, enum token_answer answer, bool xoauth2)
{
    const char *status = answer == TOKEN_SCOPE ? "insufficient_scope" : "invalid_token";
    char *scope = join(&conf->oauth2_scope);
    json_t *o = json_object();
    json_object_set_new(o, "status",
                        json_string(!xoauth2                ? status
                                    : answer == TOKEN_SCOPE ? "403"
                                                            : "401"));
    if (xoauth2)
        json_object_set_new(o, "schemes", json_string("bearer"));
    if (*scope != '\0' || xoauth2)
        json_object_set_new(o, "scope", json_string(scope));
    if (*conf->oauth2_openid_configuration_url != '\0')
        json_object_set_new(o, "openid-configuration",
                            json_string(conf->oauth2_openid_configuration_url));
    char *dumped = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    char *text = mem_strdup(dumped == NULL ? "{}" : dumped);
    free(dumped);
    json_decref(o);
    free(scope);
    return text;
}
