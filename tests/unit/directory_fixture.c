#include "tests/unit/directory_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/base/clock.h"

static char *destination[] = {(char *)"localhost", NULL};

void fixture_open(struct fixture *f)
{
    char *error = NULL;
    memset(f, 0, sizeof *f);
    strcpy(f->state, "/tmp/dirigo-test-XXXXXX");
    assert_non_null(mkdtemp(f->state));
    snprintf(f->dir, sizeof f->dir, "%s/replica", f->state);
    assert_int_equal(mkdir(f->dir, 0700), 0);
    clock_set_fake(100000, FIXTURE_NOW);
    f->conf.state_directory = f->state;
    f->conf.directory_map_size = 64 << 20;
    f->conf.directory_heartbeat_limit = 4000;
    f->conf.directory_stale_lookup_time = 100 * 1000;
    f->conf.directory_stale_login_time = 50 * 1000;
    f->conf.mydestination = (struct conf_list){.n = 1, .v = destination};
    f->conf.myhostname = "mx.example.org";
    f->conf.myorigin = "example.org";
    f->conf.recipient_delimiter = "+";
    f->conf.alias_depth_limit = 8;
    f->conf.alias_expansion_limit = 50;
    f->conf.alias_expansion_step = 20;
    f->replica = replica_open(f->dir, f->conf.directory_map_size, &error);
    assert_non_null(f->replica);
    fixture_sync(f, true, FIXTURE_NOW, FIXTURE_NOW);
    fixture_reader(f);
}

void fixture_reader(struct fixture *f)
{
    char *error = NULL;
    directory_close(&f->directory);
    f->directory = directory_open(&f->conf, &error);
    assert_non_null(f->directory);
}

void fixture_close(struct fixture *f)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "boot", "pulse"};
    char path[128];
    directory_close(&f->directory);
    replica_close(&f->replica);
    entry_draft_free(&f->draft);
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", f->dir, files[i]);
        unlink(path);
    }
    rmdir(f->dir);
    rmdir(f->state);
    clock_set_fake(-1, -1);
}

struct uuid fixture_uuid(unsigned n)
{
    struct uuid u = {{0}};
    memcpy(u.bytes + 12, &n, 4);
    return u;
}

void fixture_put(struct fixture *f, unsigned n, unsigned kinds, const char *dn,
                 const struct fixture_value *values)
{
    entry_draft_reset(&f->draft);
    f->draft.uuid = fixture_uuid(n);
    f->draft.kinds = kinds;
    buf_append_str(&f->draft.dn, dn);
    for (; values->text != NULL; values++)
        assert_int_equal(
            entry_draft_add(&f->draft, values->attr, values->text, strlen(values->text)), 0);
    assert_int_equal(replica_begin(f->replica), 0);
    assert_int_equal(replica_put(f->replica, &f->draft), 0);
    assert_int_equal(replica_commit(f->replica), 0);
}

void fixture_delete(struct fixture *f, unsigned n)
{
    struct uuid u = fixture_uuid(n);
    assert_int_equal(replica_begin(f->replica), 0);
    assert_int_equal(replica_delete(f->replica, &u), 0);
    assert_int_equal(replica_commit(f->replica), 0);
}

void fixture_sync(struct fixture *f, bool in_sync, int64_t last_sync, int64_t heartbeat)
{
    struct replica_state *s = replica_state(f->replica);
    s->in_sync = in_sync;
    s->last_sync = last_sync;
    clock_set_fake(100000 + (heartbeat - FIXTURE_NOW) * 1000, FIXTURE_NOW);
    replica_beat(f->replica);
    clock_set_fake(100000, FIXTURE_NOW);
    assert_int_equal(replica_begin(f->replica), 0);
    assert_int_equal(replica_commit(f->replica), 0);
}
