/* The private keys of this host: files NAME.pem of one folder, read once. */
#ifndef DIRIGO_FILTER_KEYRING_H
#define DIRIGO_FILTER_KEYRING_H

#include "gateway/base/buf.h"
#include "gateway/filter/crypto.h"

struct keyring;
/* Reads every key of the folder ("": none); before the process gives its privileges up. NULL with a
 * text in why. */
struct keyring *keyring_new(const char *folder, struct buf *why);
void keyring_free(struct keyring **ring);
/* NULL where there is none of this name. */
const struct private_key *keyring_find(const struct keyring *ring, const char *name);

#endif
