#include "sasl/oauth_plugin.h"

#include <string.h>

#include "gateway/base/mem.h"

static int plugin_new(void *glob_context, sasl_server_params_t *sparams, const char *challenge,
                      unsigned challenge_len, void **conn_context)
{
    (void)glob_context;
    (void)sparams;
    (void)challenge;
    (void)challenge_len;
    *conn_context = NULL; /* the conversation has it */
    return SASL_OK;
}

static struct oauth_state *plugin_state(sasl_server_params_t *sparams)
{
    sasl_callback_ft proc = NULL;
    void *context = NULL;
    const sasl_utils_t *u = sparams->utils;
    if (u->getcallback(u->conn, SASL_CB_SERVER_USERDB_CHECKPASS, &proc, &context) != SASL_OK)
        return NULL;
    return oauth_plugin_state(context);
}

static int plugin_accept(struct oauth_state *s, sasl_server_params_t *sparams,
                         sasl_out_params_t *oparams)
{
    const char *other = s->message.user != NULL ? s->message.user : s->user;
    int rc = sparams->canon_user(sparams->utils->conn, s->user, 0,
                                 SASL_CU_AUTHID | SASL_CU_EXTERNALLY_VERIFIED, oparams);
    if (rc == SASL_OK)
        rc = sparams->canon_user(sparams->utils->conn, other, 0, SASL_CU_AUTHZID, oparams);
    if (rc != SASL_OK)
        return rc;
    oparams->doneflag = 1;
    oparams->mech_ssf = 0;
    oparams->maxoutbuf = 0;
    oparams->encode_context = oparams->decode_context = NULL;
    oparams->encode = NULL;
    oparams->decode = NULL;
    oparams->param_version = 0;
    return SASL_OK;
}

/* The message; the verdict; and, where that is no, the client's word that it has read why. */
static int plugin_step(bool gs2, sasl_server_params_t *sparams, const char *in, unsigned in_len,
                       const char **out, unsigned *out_len, sasl_out_params_t *oparams)
{
    struct oauth_state *s = plugin_state(sparams);
    *out = "";
    *out_len = 0;
    if (s == NULL)
        return SASL_FAIL;
    if (s->message.token == NULL)
        return oauth_message_parse(in == NULL ? "" : in, in_len, gs2, &s->message) == 0
                   ? SASL_CONTINUE
                   : SASL_BADPROT;
    if (!s->judged) {
        s->judged = true;
        if (s->user != NULL) {
            *out = NULL; /* even an empty last word would want an answer */
            return plugin_accept(s, sparams, oparams);
        }
        *out = s->error;
        *out_len = (unsigned)strlen(s->error);
        return SASL_CONTINUE;
    }
    return SASL_BADAUTH;
}

static int bearer_step(void *conn_context, sasl_server_params_t *sparams, const char *in,
                       unsigned in_len, const char **out, unsigned *out_len,
                       sasl_out_params_t *oparams)
{
    (void)conn_context;
    return plugin_step(true, sparams, in, in_len, out, out_len, oparams);
}

static int xoauth2_step(void *conn_context, sasl_server_params_t *sparams, const char *in,
                        unsigned in_len, const char **out, unsigned *out_len,
                        sasl_out_params_t *oparams)
{
    (void)conn_context;
    return plugin_step(false, sparams, in, in_len, out, out_len, oparams);
}

int oauth_plugin_init(const sasl_utils_t *utils, int max_version, int *out_version,
                      sasl_server_plug_t **plugins, int *count)
{
#define FLAGS    (SASL_SEC_NOANONYMOUS | SASL_SEC_PASS_CREDENTIALS)
#define FEATURES (SASL_FEAT_WANT_CLIENT_FIRST | SASL_FEAT_ALLOWS_PROXY)
    /* Cyrus wants it writable, and writes nothing. */
    static sasl_server_plug_t mine[] = {
        {.mech_name = "OAUTHBEARER",
         .security_flags = FLAGS,
         .features = FEATURES,
         .mech_new = plugin_new,
         .mech_step = bearer_step},
        {.mech_name = "XOAUTH2",
         .security_flags = FLAGS,
         .features = FEATURES,
         .mech_new = plugin_new,
         .mech_step = xoauth2_step},
    };
    (void)utils;
    if (max_version < SASL_SERVER_PLUG_VERSION)
        return SASL_BADVERS;
    *out_version = SASL_SERVER_PLUG_VERSION;
    *plugins = mine;
    *count = 2;
    return SASL_OK;
}
