/* dirigo cache: how the replica stands, what it has of one entry, and a new one. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "directory/protocol.h"
#include "gateway/base/clock.h"
#include "gateway/base/mem.h"
#include "gateway/base/uuid.h"
#include "gateway/ctl/answer.h"
#include "gateway/ctl/command.h"
#include "gateway/ipc/channel.h"

#define CACHE_TIMEOUT 5000
/* Entries looked at in one snapshot, so that no writer's pages pile up. */
#define COUNT_SLICE 10000

static const struct {
    unsigned kind;
    const char *name;
} kinds[] = {{ENTRY_USER, "users"},        {ENTRY_ALIAS, "aliases"},
             {ENTRY_GROUP, "groups"},      {ENTRY_DOMAIN, "domains"},
             {ENTRY_POLICY, "policies"},   {ENTRY_CLASS, "classes"},
             {ENTRY_ACCESS, "access"},     {ENTRY_PARTNER, "partners"},
             {ENTRY_CONFIG, "config"},     {ENTRY_APP_PASSWORD, "app_passwords"},
             {ENTRY_DISABLED, "disabled"}, {ENTRY_NO_LOGIN, "no_login"}};
#define KINDS (sizeof kinds / sizeof kinds[0])

/* ---- what dirigo-directory is asked ---- */

/* The answer, or NULL with a text in error. */
static struct msg *ask(const struct command_context *ctx, uint16_t type, uint16_t answer,
                       char **error)
{
    char *path = command_socket(ctx, "directory.sock");
    struct msg *reply = NULL;
    struct ipc_sync *s =
        ipc_sync_open(path, DIRECTORY_SERVICE, DIRECTORY_VERSION, CACHE_TIMEOUT, error);
    if (s != NULL) {
        struct msg *m = msg_new(type);
        reply = ipc_sync_request(s, &m, CACHE_TIMEOUT, error);
    }
    if (reply != NULL && msg_type(reply) != answer) {
        msg_free(&reply);
        *error = mem_strdup("dirigo-directory answered something else; is it of this version?");
    }
    ipc_sync_close(&s);
    free(path);
    return reply;
}

static int rebuild(const struct command_context *ctx)
{
    char *error = NULL;
    struct msg *m = ask(ctx, DIRECTORY_MSG_REBUILD, DIRECTORY_MSG_REBUILD_RESULT, &error);
    if (m == NULL) {
        command_error("%s", error != NULL ? error : "no answer");
        free(error);
        return COMMAND_UNAVAILABLE;
    }
    bool begun = msg_get_bool(m);
    int rc = msg_end(m) == 0 && begun ? COMMAND_OK : COMMAND_FAILED;
    msg_free(&m);
    if (rc != COMMAND_OK)
        command_error("not now: the directory is away or being read, or was asked for everything "
                      "less than a minute ago");
    return rc;
}

/* ---- how it stands ---- */

static int count_kinds(struct directory *d, uint64_t counts[KINDS])
{
    struct uuid uuid = {{0}};
    enum answer more = ANSWER_FOUND;
    while (more == ANSWER_FOUND) {
        struct snapshot *snap = snapshot_take(d);
        const struct entry *e;
        if (snap == NULL)
            return -1;
        for (size_t i = 0; i < COUNT_SLICE; i++) {
            more = entry_next(snap, &uuid, &e);
            if (more != ANSWER_FOUND)
                break;
            for (size_t k = 0; k < KINDS; k++)
                counts[k] += (entry_kinds(e) & kinds[k].kind) != 0;
        }
        snapshot_release(&snap);
    }
    return more == ANSWER_ABSENT ? 0 : -1;
}

static void put_json(struct buf *out, const struct directory_state *s, int64_t age, uint64_t bytes,
                     const uint64_t counts[KINDS], const char *process)
{
    buf_append_byte(out, '{');
    json_member(out, "source", s->source);
    json_optional(out, "server", s->server);
    json_optional(out, "profiles", s->profiles);
    buf_printf(out,
               ",\"in_sync\":%s,\"last_sync\":%" PRId64 ",\"age\":%" PRId64
               ",\"generation\":%" PRIu64 ",\"entries\":%" PRIu64 ",\"bytes\":%" PRIu64,
               s->in_sync ? "true" : "false", s->last_sync, age, s->generation, s->entries, bytes);
    for (size_t k = 0; k < KINDS; k++)
        buf_printf(out, ",\"%s\":%" PRIu64, kinds[k].name, counts[k]);
    json_optional(out, "process", process);
    buf_append_str(out, "}\n");
}

static void put_state(struct buf *out, const struct directory_state *s, int64_t age, uint64_t bytes,
                      const uint64_t counts[KINDS], const char *process)
{
    buf_append_str(out, "source:     ");
    put_text(out, s->source);
    buf_append_str(out, "\nserver:     ");
    put_text(out, s->server);
    buf_append_str(out, "\nprofiles:   ");
    put_text(out, s->profiles);
    if (s->in_sync)
        buf_append_str(out, "\nstate:      in sync");
    else if (age < 0)
        buf_append_str(out, "\nstate:      never was in sync");
    else
        buf_printf(out, "\nstate:      behind since %" PRId64 " s", age);
    buf_printf(out,
               "\ngeneration: %" PRIu64 "\nsize:       %" PRIu64 " bytes\nentries:    %" PRIu64,
               s->generation, bytes, s->entries);
    for (size_t k = 0; k < KINDS; k++)
        if (counts[k] > 0)
            buf_printf(out, "\n  %-13s %" PRIu64, kinds[k].name, counts[k]);
    buf_append_str(out, "\nprocess:    ");
    put_text(out, process);
    buf_append_byte(out, '\n');
}

static int show(const struct command_context *ctx)
{
    uint64_t counts[KINDS] = {0};
    struct directory_state state;
    struct buf out = {0};
    char *error = NULL;
    struct directory *d = answer_open(ctx);
    if (d == NULL)
        return COMMAND_UNAVAILABLE;
    directory_state(d, &state);
    int rc = count_kinds(d, counts);
    directory_close(&d);
    if (rc != 0) {
        command_error("the replica cannot be read");
        return COMMAND_UNAVAILABLE;
    }
    struct msg *m = ask(ctx, DIRECTORY_MSG_STATUS, DIRECTORY_MSG_STATUS_RESULT, &error);
    const char *process = m == NULL ? error : msg_get_str(m);
    int64_t age = state.last_sync == 0 ? -1 : clock_wall() - state.last_sync;
    (ctx->json ? put_json : put_state)(&out, &state, state.in_sync ? 0 : age,
                                       directory_disk_bytes(ctx->conf), counts,
                                       process != NULL ? process : "");
    msg_free(&m);
    free(error);
    rc = command_print(&out);
    return rc == COMMAND_OK && !state.in_sync ? COMMAND_FAILED : rc;
}

/* ---- one entry ---- */

static enum answer find(struct snapshot *snap, const char *name, const struct entry **e)
{
    struct uuid uuid;
    if (uuid_parse(&uuid, name) == 0)
        return entry_by_uuid(snap, &uuid, e);
    if (strchr(name, '=') != NULL)
        return entry_by_dn(snap, name, e);
    return entry_by_login(snap, name, e);
}

/* directory: the name of the one that has it; "": the one without a name. */
static void dump_text(struct buf *out, const struct entry *e, const char *uuid,
                      const char *directory)
{
    const char *value;
    buf_append_str(out, "dn: ");
    put_text(out, entry_dn(e));
    if (*directory != '\0')
        buf_printf(out, "\ndirectory: %s", directory);
    buf_printf(out, "\nentryUUID: %s\nis:", uuid);
    for (size_t k = 0; k < KINDS; k++)
        if ((entry_kinds(e) & kinds[k].kind) != 0)
            buf_printf(out, " %s", kinds[k].name);
    for (enum entry_attr attr = 0; attr < ATTR_COUNT; attr++) {
        for (size_t i = 0; (value = entry_value(e, attr, i)) != NULL; i++) {
            buf_printf(out, "\n%s: ", entry_attr_name(attr));
            put_text(out, value);
        }
    }
    buf_append_byte(out, '\n');
}

static void dump_json(struct buf *out, const struct entry *e, const char *uuid,
                      const char *directory)
{
    const char *value;
    buf_append_byte(out, '{');
    json_member(out, "dn", entry_dn(e));
    json_optional(out, "entryUUID", uuid);
    json_optional(out, "directory", *directory == '\0' ? NULL : directory);
    buf_append_str(out, ",\"is\":[");
    const char *comma = "";
    for (size_t k = 0; k < KINDS; k++) {
        if ((entry_kinds(e) & kinds[k].kind) == 0)
            continue;
        buf_printf(out, "%s\"%s\"", comma, kinds[k].name);
        comma = ",";
    }
    buf_append_str(out, "],\"attributes\":[");
    comma = "";
    for (enum entry_attr attr = 0; attr < ATTR_COUNT; attr++) {
        for (size_t i = 0; (value = entry_value(e, attr, i)) != NULL; i++) {
            buf_printf(out, "%s[\"%s\",", comma, entry_attr_name(attr));
            json_string(out, value);
            buf_append_byte(out, ']');
            comma = ",";
        }
    }
    buf_append_str(out, "]}\n");
}

static int dump(const struct command_context *ctx, const char *name)
{
    struct directory *d = answer_open(ctx);
    struct buf out = {0};
    char uuid[UUID_STRLEN];
    const struct entry *e;
    if (d == NULL)
        return COMMAND_UNAVAILABLE;
    struct snapshot *snap = snapshot_take(d);
    enum answer answer = snap != NULL ? find(snap, name, &e) : ANSWER_UNKNOWN;
    if (answer == ANSWER_FOUND)
        (ctx->json ? dump_json : dump_text)(&out, e, uuid_str(entry_uuid(e), uuid),
                                            snapshot_directory_of(snap, e));
    snapshot_release(&snap);
    directory_close(&d);
    int rc = command_print(&out);
    if (answer == ANSWER_FOUND)
        return rc;
    return command_error("%s: %s", name,
                         answer == ANSWER_ABSENT
                             ? "the replica has no such entry; give a DN, an entryUUID, a login "
                               "name or an address of a user"
                             : "nobody can tell now, or two entries claim it");
}

static int run(const struct command_context *ctx, int argc, char **argv)
{
    if (argc == 1)
        return show(ctx);
    if (argc == 2 && strcmp(argv[1], "rebuild") == 0)
        return rebuild(ctx);
    if (argc == 3 && strcmp(argv[1], "dump") == 0)
        return dump(ctx, argv[2]);
    return command_usage(&command_cache);
}

const struct command command_cache = {
    .name = "cache",
    .args = "[dump name | rebuild]",
    .help = "show how the replica stands, what it has of one entry, or read it anew",
    .flags = COMMAND_NEEDS_CONF,
    .run = run,
};
