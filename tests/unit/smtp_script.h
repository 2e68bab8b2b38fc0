/* An SMTP server on loopback that follows a script, for tests of the client. */
#ifndef DIRIGO_TESTS_SMTP_SCRIPT_H
#define DIRIGO_TESTS_SMTP_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/event/loop.h"

/* What a client's line must begin with, and what is answered: text sent as it is; NULL: nothing,
 * "!": the connection is closed. A NULL line is the greeting; "." takes a whole message up to its
 * final dot, of which "body" gets the unstuffed lines; ".+N": closes after N bytes of one. */
struct script_step {
    const char *line, *reply;
};

#define SCRIPT_STEPS_MAX 40

struct script_server;

/* Listens on address (port 0: any) and runs the steps, up to one without line behind the first,
 * with each connection. bytewise: replies leave byte by byte. */
struct script_server *script_server_new(struct loop *loop, const char *address, uint16_t port,
                                        const struct script_step *steps, bool bytewise);
uint16_t script_server_port(const struct script_server *s);
/* Connections taken so far. */
unsigned script_server_connections(const struct script_server *s);
/* Every line that fitted its step so far, each ended by '\n', and the bodies, unstuffed. */
const char *script_server_lines(struct script_server *s);
struct buf *script_server_body(struct script_server *s);
/* The first line that did not fit, or NULL. */
const char *script_server_fault(const struct script_server *s);
void script_server_free(struct script_server **s);

#endif
