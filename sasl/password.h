/*
 * What a password that a client gave comes to before any server is asked: one of the user's app
 * passwords, or, where a one-time code belongs to it, the password without its code. Private to
 * dirigo-auth.
 */
#ifndef DIRIGO_SASL_PASSWORD_H
#define DIRIGO_SASL_PASSWORD_H

#include "sasl/auth.h"

enum password_answer {
    PASSWORD_BIND,   /* the server is to say whether *rest is right */
    PASSWORD_APP,    /* it is right: an app password for this service */
    PASSWORD_WRONG,  /* the one-time code is missing, wrong, or was used before */
    PASSWORD_UNKNOWN /* cannot be told now */
};

/* *rest is allocated for PASSWORD_BIND, to be wiped and freed; *why is a static text for the log.
 */
enum password_answer password_judge(struct auth_process *p, const struct login *login,
                                    const char *service, const char *password, char **rest,
                                    const char **why);

/* The one-time codes that were used: each is good once. */
struct used_codes;
struct used_codes *used_codes_new(void);
void used_codes_free(struct used_codes **u);

#endif
