/*
 * OAUTHBEARER and XOAUTH2 for Cyrus SASL, which has no server's side of them: a plugin in this
 * process. A step must not wait, and a token may have to be asked for elsewhere; so the plugin
 * takes the client's message down and goes on, in a second step without input, when the verdict is
 * there.
 */
#ifndef DIRIGO_SASL_OAUTH_PLUGIN_H
#define DIRIGO_SASL_OAUTH_PLUGIN_H

#include <sasl/sasl.h>
#include <sasl/saslplug.h>

#include "sasl/oauth_message.h"

/* Of one conversation, which owns it. */
struct oauth_state {
    struct oauth_message message; /* token: NULL until the client has sent it */
    bool judged;
    char *user;  /* whose the token is; NULL: it is not good */
    char *error; /* the JSON that says so */
};

/* For sasl_server_add_plugin. The state is found by the callback SASL_CB_SERVER_USERDB_CHECKPASS,
 * whose context oauth_plugin_state turns into it. */
int oauth_plugin_init(const sasl_utils_t *utils, int max_version, int *out_version,
                      sasl_server_plug_t **plugins, int *count);
/* What the conversation provides. */
struct oauth_state *oauth_plugin_state(void *context);

#endif
