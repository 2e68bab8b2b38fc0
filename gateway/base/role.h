/*
 * The proof that a process has a role. Processes of several roles run as one user, so that the user
 * of a peer on a Unix socket does not tell them apart; a key that dirigod gives to the two ends
 * alone does.
 */
#ifndef DIRIGO_BASE_ROLE_H
#define DIRIGO_BASE_ROLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "gateway/base/hmac.h"

#define ROLE_KEY_LEN   32
#define ROLE_PROOF_LEN HMAC_LEN

/* The proof of the process pid for this role, e.g. "relay": of no use to another process. */
void role_prove(const uint8_t key[ROLE_KEY_LEN], const char *role, pid_t pid,
                uint8_t out[ROLE_PROOF_LEN]);
/* Whether proof was made with this key for this role and process. pid is what the kernel says. */
bool role_proven(const uint8_t key[ROLE_KEY_LEN], const char *role, pid_t pid, const void *proof,
                 size_t len);

#endif
