/* IMAP until login, for dirigo-imapd and its tests. */
#ifndef DIRIGO_IMAP_FRONT_H
#define DIRIGO_IMAP_FRONT_H

#include "gateway/session/login.h"

extern const struct login_protocol imap_front;

#endif
