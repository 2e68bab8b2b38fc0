#include <stdlib.h>

#include "directory/client.h"
#include "directory/protocol.h"
#include "directory/replica.h"
#include "gateway/base/mem.h"
#include "gateway/ipc/channel.h"

struct connection {
    struct directory_link link; /* first: the link is the connection */
    struct ipc_client *client;
    bool connected, told_out;
};

static void update(struct connection *c)
{
    c->link.up = c->connected && !c->told_out;
}

static void on_state(bool connected, void *arg)
{
    struct connection *c = arg;
    c->connected = connected;
    c->told_out = false; /* until the process says otherwise, the replica's own word counts */
    update(c);
}

/* Read whole before anybody is told: a message is good or is not. */
static int on_ended(struct connection *c, struct msg *m)
{
    struct uuid uuids[DIRECTORY_ENDED_MAX];
    uint32_t n = msg_get_u32(m);
    if (n > DIRECTORY_ENDED_MAX)
        return -1;
    for (uint32_t i = 0; i < n; i++)
        uuids[i] = msg_get_uuid(m);
    if (msg_end(m) < 0)
        return -1;
    for (uint32_t i = 0; i < n && c->link.ended != NULL; i++)
        c->link.ended(&uuids[i], c->link.ended_arg);
    return 0;
}

static int on_event(struct msg *m, void *arg)
{
    struct connection *c = arg;
    if (msg_type(m) == DIRECTORY_MSG_ENDED)
        return on_ended(c, m);
    bool in_sync = msg_get_bool(m);
    if (msg_end(m) < 0 || msg_type(m) != DIRECTORY_MSG_SYNC_STATE)
        return -1;
    c->told_out = !in_sync;
    update(c);
    return 0;
}

static void on_close(struct directory_link *link)
{
    struct connection *c = (struct connection *)link;
    ipc_client_free(&c->client);
    free(c);
}

void directory_connect(struct directory *d, struct loop *loop, const char *socket_path)
{
    struct connection *c = mem_zalloc(sizeof *c);
    c->link.close = on_close;
    c->client = ipc_client_new(loop, socket_path, DIRECTORY_SERVICE, DIRECTORY_VERSION);
    ipc_client_on_state(c->client, on_state, c);
    ipc_client_on_event(c->client, on_event, c);
    directory_set_link(d, &c->link);
}
