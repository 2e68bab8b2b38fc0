/* The file of local records. */
#include "gateway/resolver/local_data.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <unbound.h>

#include "gateway/base/buf.h"
#include "gateway/base/file.h"
#include "gateway/base/log.h"

enum {
    LOCAL_DATA_MAX = 1 << 22
};

/* The length of a line without its comment and the space at its end. */
static size_t record_len(const char *line, size_t len)
{
    bool quoted = false;
    size_t end = 0;
    for (size_t i = 0; i < len; i++) {
        if (line[i] == '\\' && i + 1 < len) {
            end = ++i + 1;
            continue;
        }
        if (line[i] == '"')
            quoted = !quoted;
        if (line[i] == ';' && !quoted)
            break;
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            end = i + 1;
    }
    return end;
}

int local_data_add(struct ub_ctx *ub, const char *path)
{
    struct buf text = {0}, record = {0};
    unsigned number = 0;
    int err = 0;

    if (file_read(path, LOCAL_DATA_MAX, &text) < 0) {
        log_error("cannot read the file of local DNS records",
                  LOG_STR("resolver_local_data_file", path), LOG_ERRNO(errno));
        buf_free(&text);
        return -1;
    }
    for (const char *line = buf_str(&text); err == 0 && *line != '\0';) {
        size_t len = strcspn(line, "\n"), used = record_len(line, len);
        number++;
        if (used > 0) {
            buf_clear(&record);
            buf_append(&record, line, used);
            err = ub_ctx_data_add(ub, buf_str(&record));
        }
        if (err != 0)
            log_error("not a DNS record: write NAME TYPE DATA", LOG_STR("file", path),
                      LOG_UINT("line", number), LOG_BYTES("record", line, used),
                      LOG_STR("error", ub_strerror(err)));
        line += len + (line[len] == '\n');
    }
    buf_free(&text);
    buf_free(&record);
    return err == 0 ? 0 : -1;
}
