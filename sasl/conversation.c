#include "sasl/conversation.h"

#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "sasl/oauth_plugin.h"

#define KEYS_PLUGIN "dircache"
/* Longer names and passwords are nobody's. */
#define NAME_MAX_LEN     512
#define PASSWORD_MAX_LEN 1024

/* Cyrus keeps callbacks of all kinds as one type. */
#define CALLBACK(fn) ((sasl_callback_ft)(void (*)(void))(fn))

struct cyrus {
    const struct conf *conf;
    struct buf mech_list;
    sasl_callback_t callbacks[4]; /* Cyrus keeps the pointer */
};

struct conversation {
    struct cyrus *cyrus;
    sasl_conn_t *conn;
    const struct conversation_ops *ops;
    void *arg;
    char *user;     /* from the callbacks, before Cyrus tells it */
    char *other;    /* whom it asks to act for, or NULL */
    char *password; /* wiped */
    bool unavailable;
    struct oauth_state oauth;
    bool scram, gssapi, cram;
    bool text;  /* what the mechanism's client sends has no NUL */
    bool bound; /* the client spoke of a channel binding */
    char *binding_name;
    char *binding_data;
    sasl_channel_binding_t binding;
    sasl_callback_t callbacks[3];
};

/* ---- the process ---- */

/* Every option that Cyrus looks for is answered here, so that no file of the host decides. */
static int cyrus_getopt(void *context, const char *plugin, const char *option, const char **result,
                        unsigned *len)
{
    struct cyrus *c = context;
    (void)plugin;
    if (strcmp(option, "mech_list") == 0)
        *result = (const char *)c->mech_list.data;
    else if (strcmp(option, "auxprop_plugin") == 0)
        *result = KEYS_PLUGIN;
    else if (strcmp(option, "pwcheck_method") == 0)
        *result = "auxprop";
    else if (strcmp(option, "log_level") == 0)
        *result = "1";
    else
        return SASL_FAIL;
    if (len != NULL)
        *len = (unsigned)strlen(*result);
    return SASL_OK;
}

static bool cyrus_offers(const struct cyrus *c, const char *mechanism)
{
    for (size_t i = 0; i < c->conf->auth_mechanisms.n; i++)
        if (str_ieq(c->conf->auth_mechanisms.v[i], mechanism))
            return true;
    return false;
}

static int cyrus_log(void *context, int level, const char *message)
{
    (void)context;
    /* What is below a warning may tell passwords. */
    if (level == SASL_LOG_ERR || level == SASL_LOG_WARN)
        log_debug("sasl", LOG_STR("text", message));
    return SASL_OK;
}

/* Loads the plugins of the mechanisms that are wanted and no other: some bring libraries and stores
 * along that have no business here. */
static int cyrus_verify_file(void *context, const char *file, sasl_verify_type_t type)
{
    static const struct {
        const char *plugin, *mechanism; /* NULL: it is always loaded */
    } wanted[] = {{"libplain.", NULL},
                  {"liblogin.", NULL},
                  {"libscram.", NULL},
                  {"libcrammd5.", "cram-md5"},
                  {"libgssapiv2.", "gssapi"}};
    const struct cyrus *c = context;
    const char *base = strrchr(file, '/');
    if (type != SASL_VRFY_PLUGIN)
        return SASL_CONTINUE;
    base = base == NULL ? file : base + 1;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
        if (str_istarts(base, wanted[i].plugin) &&
            (wanted[i].mechanism == NULL || cyrus_offers(c, wanted[i].mechanism)))
            return SASL_OK;
    return SASL_CONTINUE;
}

/* Kerberos is told by the environment alone where its files are. */
static void cyrus_set_kerberos(const struct conf *conf)
{
    char *replays = mem_printf("%s/secrets", conf->state_directory);
    if (*conf->auth_krb5_keytab != '\0')
        setenv("KRB5_KTNAME", conf->auth_krb5_keytab, 1);
    setenv("KRB5RCACHEDIR", replays, 1);
    free(replays);
}

static int keys_init(const sasl_utils_t *utils, int max_version, int *out_version,
                     sasl_auxprop_plug_t **plug, const char *name);

static bool cyrus_has_mechanisms(const struct conf *conf)
{
    const char **list = sasl_global_listmech();
    bool all = true;
    for (size_t i = 0; i < conf->auth_mechanisms.n; i++) {
        /* Plugins that are added later are not in Cyrus' list. */
        bool found = str_ieq(conf->auth_mechanisms.v[i], "oauthbearer") ||
                     str_ieq(conf->auth_mechanisms.v[i], "xoauth2");
        for (size_t j = 0; list != NULL && list[j] != NULL; j++)
            found = found || str_ieq(list[j], conf->auth_mechanisms.v[i]);
        if (!found)
            log_error("a mechanism of auth_mechanisms has no plugin; is libsasl2-modules (for "
                      "gssapi also libsasl2-modules-gssapi-mit) there?",
                      LOG_STR("mechanism", conf->auth_mechanisms.v[i]));
        all = all && found;
    }
    return all;
}

struct cyrus *cyrus_new(const struct conf *conf)
{
    struct cyrus *c = mem_zalloc(sizeof(*c));
    c->conf = conf;
    for (size_t i = 0; i < conf->auth_mechanisms.n; i++)
        (void)buf_printf(&c->mech_list, "%s%s", i > 0 ? " " : "", conf->auth_mechanisms.v[i]);
    for (size_t i = 0; i < c->mech_list.len; i++)
        if (c->mech_list.data[i] >= 'a' && c->mech_list.data[i] <= 'z')
            c->mech_list.data[i] -= 'a' - 'A';
    (void)buf_str(&c->mech_list);
    c->callbacks[0] = (sasl_callback_t){SASL_CB_GETOPT, CALLBACK(cyrus_getopt), c};
    c->callbacks[1] = (sasl_callback_t){SASL_CB_LOG, CALLBACK(cyrus_log), c};
    c->callbacks[2] = (sasl_callback_t){SASL_CB_VERIFYFILE, CALLBACK(cyrus_verify_file), c};
    c->callbacks[3] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
    /* Without an application name Cyrus reads no configuration file, and without these two it looks
     * for plugins only where the system keeps them. */
    unsetenv("SASL_PATH");
    unsetenv("SASL_CONF_PATH");
    if (cyrus_offers(c, "gssapi"))
        cyrus_set_kerberos(conf);
    int rc = sasl_server_init(c->callbacks, NULL);
    if (rc == SASL_OK)
        rc = sasl_auxprop_add_plugin(KEYS_PLUGIN, keys_init);
    if (rc == SASL_OK && (cyrus_offers(c, "oauthbearer") || cyrus_offers(c, "xoauth2")))
        rc = sasl_server_add_plugin("dirigo-oauth", oauth_plugin_init);
    if (rc != SASL_OK)
        log_error("Cyrus SASL cannot start", LOG_STR("error", sasl_errstring(rc, NULL, NULL)));
    if (rc != SASL_OK || !cyrus_has_mechanisms(conf))
        cyrus_free(&c);
    return c;
}

void cyrus_free(struct cyrus **pc)
{
    struct cyrus *c = *pc;
    if (c == NULL)
        return;
    *pc = NULL;
    sasl_server_done();
    buf_free(&c->mech_list);
    free(c);
}

/* ---- callbacks of one conversation ---- */

static bool conversation_take_user(struct conversation *c, const char *user, size_t len)
{
    if (len > NAME_MAX_LEN || memchr(user, '\0', len) != NULL)
        return false;
    free(c->user);
    c->user = mem_strndup(user, len);
    return true;
}

/* See conversation.h: this verifies nothing. */
static int take_password(sasl_conn_t *conn, void *context, const char *user, const char *pass,
                         unsigned passlen, struct propctx *propctx)
{
    struct conversation *c = context;
    (void)conn;
    (void)propctx;
    mem_wipe_free_str(c->password);
    /* The password "" is kept, and refused by whoever verifies it. */
    bool whole = passlen <= PASSWORD_MAX_LEN && memchr(pass, '\0', passlen) == NULL;
    c->password = whole ? mem_strndup(pass, passlen) : mem_strdup("");
    if (!conversation_take_user(c, user, strlen(user)))
        return SASL_BADAUTH;
    return SASL_OK;
}

/* Called when the client asks for another identity; see conversation.h. */
static int take_other(sasl_conn_t *conn, void *context, const char *other, unsigned other_len,
                      const char *user, unsigned user_len, const char *realm, unsigned realm_len,
                      struct propctx *propctx)
{
    struct conversation *c = context;
    (void)conn;
    (void)realm;
    (void)realm_len;
    (void)propctx;
    free(c->other);
    c->other = NULL;
    if (other_len == user_len && memcmp(other, user, user_len) == 0)
        return SASL_OK;
    if (other_len > NAME_MAX_LEN || memchr(other, '\0', other_len) != NULL)
        return SASL_NOAUTHZ;
    c->other = mem_strndup(other, other_len);
    return SASL_OK;
}

/* ---- the property plugin: where Cyrus asks for stored keys ---- */

static struct conversation *keys_conversation(sasl_server_params_t *sparams)
{
    sasl_callback_ft proc = NULL;
    void *context = NULL;
    const sasl_utils_t *u = sparams->utils;
    /* The plugin belongs to the process; a callback's context tells which conversation asks. */
    if (u->getcallback(u->conn, SASL_CB_SERVER_USERDB_CHECKPASS, &proc, &context) != SASL_OK)
        return NULL;
    return context;
}

static int keys_answer(struct conversation *c, sasl_server_params_t *sparams, const char *name)
{
    struct secrets_list list = {0};
    const char *user = c->user;

    if (c->ops->keys(user, &list, c->arg) < 0) {
        c->unavailable = true;
        return SASL_UNAVAIL;
    }
    for (size_t i = 0; i < list.count; i++)
        sparams->utils->prop_set(sparams->propctx, i == 0 ? name : NULL, list.value[i],
                                 (int)strlen(list.value[i]));
    secrets_list_wipe(&list);
    return SASL_OK;
}

/*
 * Called for the authentication and for the authorisation identity; keys are of the first alone
 * (they are asked for with a star). userPassword is answered for CRAM-MD5 alone: Cyrus takes its
 * value, be it a hash, for the clear text.
 */
static int keys_lookup(void *glob_context, sasl_server_params_t *sparams, unsigned flags,
                       const char *user, unsigned ulen)
{
    struct conversation *c = keys_conversation(sparams);
    const struct propval *p;
    (void)glob_context;

    if (c == NULL || user == NULL)
        return SASL_FAIL;
    if (flags & SASL_AUXPROP_AUTHZID)
        return SASL_OK;
    const char *wanted = c->cram ? "*userPassword" : "*authPassword";
    p = sparams->utils->prop_get(sparams->propctx);
    for (; p != NULL && p->name != NULL; p++) {
        if (strcmp(p->name, wanted) != 0 || p->values != NULL)
            continue;
        if (!conversation_take_user(c, user, ulen))
            return SASL_NOUSER;
        return keys_answer(c, sparams, p->name);
    }
    return SASL_OK;
}

static int keys_init(const sasl_utils_t *utils, int max_version, int *out_version,
                     sasl_auxprop_plug_t **plug, const char *name)
{
    static char plugin_name[] = KEYS_PLUGIN;
    /* Cyrus wants it writable, and writes nothing. */
    static sasl_auxprop_plug_t keys = {.auxprop_lookup = keys_lookup, .name = plugin_name};
    (void)utils;
    (void)name;
    if (max_version < SASL_AUXPROP_PLUG_VERSION)
        return SASL_BADVERS;
    *out_version = SASL_AUXPROP_PLUG_VERSION;
    *plug = &keys;
    return SASL_OK;
}

/* ---- a conversation ---- */

static const char *address_text(const struct netaddr *addr, char *dst, size_t size)
{
    char text[NETADDR_STRLEN];
    if (addr->family == 0)
        return NULL;
    (void)snprintf(dst, size, "%s;%u", netaddr_str(addr, text), addr->port);
    return dst;
}

static int conversation_set_up(struct conversation *c, const struct conversation_setup *setup)
{
    /* No layer of SASL's own: TLS is there, and after login nobody would undo it. */
    sasl_security_properties_t props = {.max_ssf = 0, .security_flags = SASL_SEC_NOANONYMOUS};
    sasl_ssf_t external = (sasl_ssf_t)setup->tls_bits;
    int rc = sasl_setprop(c->conn, SASL_SEC_PROPS, &props);

    if (rc == SASL_OK && setup->tls_bits > 0)
        rc = sasl_setprop(c->conn, SASL_SSF_EXTERNAL, &external);
    if (rc == SASL_OK && setup->external != NULL)
        rc = sasl_setprop(c->conn, SASL_AUTH_EXTERNAL, setup->external);
    if (rc == SASL_OK && setup->binding_name != NULL) {
        c->binding_name = mem_strdup(setup->binding_name);
        c->binding_data = mem_strndup(setup->binding, setup->binding_len);
        /* Not critical: then the -PLUS mechanisms and the plain ones both work. */
        c->binding = (sasl_channel_binding_t){.name = c->binding_name,
                                              .len = setup->binding_len,
                                              .data = (unsigned char *)c->binding_data};
        rc = sasl_setprop(c->conn, SASL_CHANNEL_BINDING, &c->binding);
    }
    return rc;
}

struct conversation *conversation_new(struct cyrus *cyrus, const struct conversation_setup *setup,
                                      const struct conversation_ops *ops, void *arg)
{
    struct conversation *c = mem_zalloc(sizeof(*c));
    char local[NETADDR_STRLEN + 8], peer[NETADDR_STRLEN + 8];

    c->cyrus = cyrus;
    c->ops = ops;
    c->arg = arg;
    c->callbacks[0] =
        (sasl_callback_t){SASL_CB_SERVER_USERDB_CHECKPASS, CALLBACK(take_password), c};
    c->callbacks[1] = (sasl_callback_t){SASL_CB_PROXY_POLICY, CALLBACK(take_other), c};
    c->callbacks[2] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
    int rc = sasl_server_new(
        str_ieq(setup->service, "pop3") ? "pop" : setup->service, cyrus->conf->auth_gssapi_hostname,
        NULL, address_text(setup->local, local, sizeof(local)),
        address_text(setup->peer, peer, sizeof(peer)), c->callbacks, 0, &c->conn);
    if (rc == SASL_OK)
        rc = conversation_set_up(c, setup);
    if (rc != SASL_OK) {
        log_error("no SASL conversation", LOG_STR("error", sasl_errstring(rc, NULL, NULL)));
        conversation_free(&c);
    }
    return c;
}

void conversation_free(struct conversation **pc)
{
    struct conversation *c = *pc;
    if (c == NULL)
        return;
    *pc = NULL;
    sasl_dispose(&c->conn);
    mem_wipe_free_str(c->password);
    oauth_message_clear(&c->oauth.message);
    free(c->oauth.user);
    free(c->oauth.error);
    free(c->user);
    free(c->other);
    free(c->binding_name);
    free(c->binding_data);
    free(c);
}

static enum conversation_result conversation_result(struct conversation *c, int rc)
{
    const void *user = NULL;
    switch (rc) {
    case SASL_OK:
        if (sasl_getprop(c->conn, SASL_AUTHUSER, &user) != SASL_OK || user == NULL ||
            !conversation_take_user(c, user, strlen(user)))
            return CONVERSATION_DENIED;
        return CONVERSATION_DONE;
    case SASL_CONTINUE:
        if (c->oauth.message.token == NULL || c->oauth.judged)
            return CONVERSATION_CONTINUE;
        if (c->oauth.message.user != NULL) /* for the log, until it is known */
            (void)conversation_take_user(c, c->oauth.message.user, strlen(c->oauth.message.user));
        return CONVERSATION_TOKEN;
    case SASL_NOMECH:
        return CONVERSATION_NO_MECHANISM;
    case SASL_BADPROT:
    case SASL_BADPARAM:
        /* Cyrus says so of a binding that is not this connection's, too. From a client that has
         * named somebody, or vouched for the connection, it is a proof that failed. */
        return c->user != NULL || c->bound ? CONVERSATION_DENIED : CONVERSATION_MALFORMED;
    case SASL_NOMEM:
    case SASL_TRYAGAIN:
    case SASL_UNAVAIL:
        return CONVERSATION_UNAVAILABLE;
    case SASL_FAIL:
        /* Of GSSAPI: there is no key, or Kerberos does not work here. */
        return c->unavailable || c->gssapi ? CONVERSATION_UNAVAILABLE : CONVERSATION_DENIED;
    default:
        /* Cyrus has many words for no; the client hears one. */
        return c->unavailable ? CONVERSATION_UNAVAILABLE : CONVERSATION_DENIED;
    }
}

/* Whether Cyrus may see what the client sent. Its plugins take text for a C string, and would go on
 * with what stands before a NUL. */
static bool conversation_admits(struct conversation *c, const char *data, size_t len)
{
    if (c->text && memchr(data, '\0', len) != NULL)
        return false;
    /* The header of SCRAM's first message (RFC 5802 section 7, gs2-cbind-flag). */
    if (c->scram && c->user == NULL && len > 0)
        c->bound = data[0] == 'p' || data[0] == 'y';
    return true;
}

static enum conversation_result conversation_end_step(struct conversation *c, int rc,
                                                      const char *challenge, unsigned challenge_len,
                                                      const char **out, size_t *out_len)
{
    *out = challenge == NULL ? "" : challenge;
    *out_len = challenge == NULL ? 0 : challenge_len;
    return conversation_result(c, rc);
}

enum conversation_result conversation_start(struct conversation *c, const char *mechanism,
                                            const char *initial, size_t len, const char **out,
                                            size_t *out_len)
{
    const char *challenge = NULL;
    unsigned challenge_len = 0;
    c->scram = str_istarts(mechanism, "SCRAM-");
    c->gssapi = str_ieq(mechanism, "GSSAPI");
    c->cram = str_ieq(mechanism, "CRAM-MD5");
    c->text = c->scram || c->cram || str_ieq(mechanism, "LOGIN") || str_ieq(mechanism, "EXTERNAL");
    if (initial != NULL && !conversation_admits(c, initial, len))
        return CONVERSATION_MALFORMED;
    int rc =
        sasl_server_start(c->conn, mechanism, initial, (unsigned)len, &challenge, &challenge_len);
    return conversation_end_step(c, rc, challenge, challenge_len, out, out_len);
}

enum conversation_result conversation_step(struct conversation *c, const char *data, size_t len,
                                           const char **out, size_t *out_len)
{
    const char *challenge = NULL;
    unsigned challenge_len = 0;
    if (!conversation_admits(c, data, len))
        return CONVERSATION_MALFORMED;
    int rc = sasl_server_step(c->conn, data, (unsigned)len, &challenge, &challenge_len);
    return conversation_end_step(c, rc, challenge, challenge_len, out, out_len);
}

struct oauth_state *oauth_plugin_state(void *context)
{
    struct conversation *c = context;
    return &c->oauth;
}

const char *conversation_token(const struct conversation *c)
{
    return c->oauth.message.token;
}

enum conversation_result conversation_verdict(struct conversation *c, const char *user,
                                              const char *error, const char **out, size_t *out_len)
{
    const char *challenge = NULL;
    unsigned challenge_len = 0;
    c->oauth.user = user == NULL ? NULL : mem_strdup(user);
    c->oauth.error = mem_strdup(error == NULL ? "" : error);
    int rc = sasl_server_step(c->conn, "", 0, &challenge, &challenge_len);
    return conversation_end_step(c, rc, challenge, challenge_len, out, out_len);
}

const char *conversation_user(const struct conversation *c)
{
    return c->user;
}

const char *conversation_other(const struct conversation *c)
{
    return c->other;
}

const char *conversation_password(const struct conversation *c)
{
    return c->password;
}
