#include "gateway/ctl/ldif_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/ctl/command.h"

#define CHUNK ((size_t)64 << 10)

struct reading {
    struct ldif_parser parser;
    struct scratch *s;
    ldif_file_report *report;
    void *arg;
};

static void take(struct reading *r)
{
    struct ldif_record record;
    struct ldif_fault fault;
    int rc = ldif_next(&r->parser, &record, &fault);
    if (rc == -1)
        r->report(r->arg, fault.line, NULL, fault.text);
    if (rc != 1)
        return;
    enum scratch_result result = scratch_apply(r->s, &record);
    if (result != SCRATCH_OK)
        r->report(r->arg, record.line, record.dn, scratch_text(result));
}

int ldif_file_apply(const char *path, struct scratch *s, ldif_file_report *report, void *arg)
{
    struct reading r = {.s = s, .report = report, .arg = arg};
    bool standard = strcmp(path, "-") == 0;
    FILE *f = standard ? stdin : fopen(path, "re");
    if (f == NULL) {
        command_error("%s: %s", path, strerror(errno));
        return -1;
    }
    char *chunk = mem_alloc(CHUNK);
    size_t n;
    while ((n = fread(chunk, 1, CHUNK, f)) > 0) {
        for (size_t used = 0; used < n;) {
            used += ldif_push(&r.parser, chunk + used, n - used);
            take(&r);
        }
    }
    int rc = ferror(f) ? command_error("%s: %s", path, strerror(errno)) : 0;
    ldif_end(&r.parser);
    take(&r);
    ldif_free(&r.parser);
    mem_wipe_free(chunk, CHUNK);
    if (!standard)
        fclose(f);
    return rc == 0 ? 0 : -1;
}
