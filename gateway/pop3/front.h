/* POP3 until login, for dirigo-pop3d and its tests. */
#ifndef DIRIGO_POP3_FRONT_H
#define DIRIGO_POP3_FRONT_H

#include "gateway/session/login.h"

extern const struct login_protocol pop3_front;

#endif
