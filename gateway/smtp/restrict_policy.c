/* check_policy_service: what a policy service says, by Postfix's policy delegation protocol. */
#include <string.h>

#include "gateway/smtp/policy_client.h"
#include "gateway/smtp/restriction_impl.h"

bool restriction_service_valid(const char *arg)
{
    struct policy_endpoint at;

    return policy_endpoint_parse(&at, arg) == 0;
}

/* Services expect the client's names, so these are looked up first. */
RESTRICTION_FUNCTION(check_policy_service)
{
    const char *action;

    if (restriction_client_name(run) == VERDICT_WAIT)
        return VERDICT_WAIT;
    if (!run->ops->policy(run->ops_arg, item->arg, restriction_run_stage(run), &action))
        return VERDICT_WAIT;
    if (action == NULL)
        action = run->conf->smtpd_policy_service_default_action;
    return restriction_act(run, SUBJECT_STAGE, action, NULL);
}
