/*
 * Reads from a server what profiles are detected by: what its root DSE says that it supports, and
 * its subschema. Two searches on a connection that is ready; a server that shows neither is no
 * failure, but shows nothing.
 */
#ifndef DIRIGO_DIRECTORY_DETECT_H
#define DIRIGO_DIRECTORY_DETECT_H

#include "directory/ldapconn.h"
#include "directory/profile.h"

struct detect;

/*
 * done is called once, from detect_message, when set has been told everything. The connection and
 * the set outlive the detection. NULL where the request cannot be sent.
 */
struct detect *detect_start(struct ldapconn *c, struct profile_set *set, void (*done)(void *arg),
                            void *arg);
/* Whether the message belongs to the detection, which may be freed inside. d may be NULL. */
bool detect_message(struct detect *d, LDAPMessage *msg);
/* done will not be called any more. */
void detect_free(struct detect **d);

#endif
