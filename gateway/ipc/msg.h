/*
 * A typed message between Dirigo's processes, and how its fields are written and read.
 *
 * On the wire: a header of 16 bytes (length of the body, type, request id, all little-endian; see
 * ipc/PROTOCOL), then the body: fields in a fixed order that each service's protocol.h gives.
 * Strings and byte strings carry a length. A descriptor travels with the message (at most
 * MSG_FDS_MAX).
 *
 * Reading goes field by field; the first field that does not fit marks the message as bad, later
 * reads return zeros, and msg_end says whether all was well and nothing is left. A bad message
 * closes its channel, so a reader checks once, at the end, before it acts.
 */
#ifndef DIRIGO_IPC_MSG_H
#define DIRIGO_IPC_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/mem.h"
#include "gateway/base/netaddr.h"
#include "gateway/base/uuid.h"

#define MSG_BODY_MAX ((size_t)1 << 20)
#define MSG_FDS_MAX  4

/* Writing. A message that outgrows MSG_BODY_MAX is marked and msg_full says so; sending it fails.
 */
struct msg;
struct msg *msg_new(uint16_t type);
void msg_free(struct msg **m); /* closes descriptors not yet sent; wipes the body */
void msg_put_u8(struct msg *m, uint8_t v);
void msg_put_u32(struct msg *m, uint32_t v);
void msg_put_u64(struct msg *m, uint64_t v);
void msg_put_bool(struct msg *m, bool v);
void msg_put_str(struct msg *m, const char *s); /* NULL stays apart from "" */
void msg_put_bytes(struct msg *m, const void *data, size_t len);
void msg_put_uuid(struct msg *m, const struct uuid *u);
void msg_put_addr(struct msg *m, const struct netaddr *a);
void msg_put_fd(struct msg *m, int fd); /* takes fd over */
bool msg_full(const struct msg *m);

/* Reading. Pointers into the message are valid until the handler that got it returns. */
uint16_t msg_type(const struct msg *m);
uint32_t msg_id(const struct msg *m);
uint8_t msg_get_u8(struct msg *m);
uint32_t msg_get_u32(struct msg *m);
uint64_t msg_get_u64(struct msg *m);
bool msg_get_bool(struct msg *m);
const char *msg_get_str(struct msg *m); /* NUL-terminated, no NUL inside; NULL where NULL was put */
const void *msg_get_bytes(struct msg *m, size_t *len);
struct uuid msg_get_uuid(struct msg *m);
struct netaddr msg_get_addr(struct msg *m);
int msg_get_fd(struct msg *m); /* the caller owns it; -1 (and bad) where none is left */
/* 0 where every field was there and nothing is left over; else -1. */
int msg_end(struct msg *m);
/* Whether every field read so far was there: for lists of a length read from the message itself. */
bool msg_ok(const struct msg *m);

#endif
