/* The restriction lists of dirigo.conf: each is compiled, so that a wrong one stops the start. */
#include <stdlib.h>

#include "gateway/smtp/restriction.h"

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
    int rc = 0;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        char *error = NULL;
        struct restriction_list *list =
            restriction_compile(conf_text(conf, lists[i].parameter), lists[i].stage, &error);
        if (list == NULL) {
            fault(lists[i].parameter, error, arg);
            rc = -1;
        }
        restriction_list_unref(&list);
        free(error);
    }
    return rc;
}
