/* Senders of forwarded mail (SRS). */
#include <errno.h>
#include <string.h>

#include "gateway/base/file.h"
#include "gateway/base/log.h"
#include "gateway/filter/filter.h"

enum {
    FILE_MAX_SIZE = 65536,
    SECRET_MIN = 16,
    DAY_MS = 86400000
};

int forward_open(struct filter *f, struct buf *why)
{
    const struct conf *conf = f->conf;
    char *line, *rest;

    f->srs = (struct srs){.domain = conf->srs_domain,
                          .hash_length = (unsigned)conf->srs_hash_length,
                          .max_age = (unsigned)(conf->srs_max_age / DAY_MS)};
    if (*conf->srs_domain == '\0')
        return 0;
    if (file_read(conf->srs_secrets_file, FILE_MAX_SIZE, &f->srs_secrets) != 0) {
        buf_printf(why, "%s cannot be read: %s", conf->srs_secrets_file, strerror(errno));
        return -1;
    }
    rest = f->srs_secrets.len > 0 ? (char *)f->srs_secrets.data : NULL;
    while ((line = strsep(&rest, "\n")) != NULL && f->srs.secret_count < SRS_SECRETS_MAX) {
        line[strcspn(line, "\r")] = '\0';
        if (*line == '\0')
            continue;
        if (strlen(line) < SECRET_MIN) {
            buf_printf(why, "%s: a secret has at least %d characters", conf->srs_secrets_file,
                       SECRET_MIN);
            return -1;
        }
        f->srs.secrets[f->srs.secret_count++] = line;
    }
    if (f->srs.secret_count > 0)
        return 0;
    buf_printf(why, "%s has no secret; put a line of at least %d random characters into it",
               conf->srs_secrets_file, SECRET_MIN);
    return -1;
}

const char *forward_sender(struct filter *f, const char *sender, int64_t now, struct arena *arena)
{
    const char *at = strrchr(sender, '@'), *result;
    struct buf out = {.max = 1024};
    const struct entry *e;
    struct snapshot *snap;
    bool ours;

    if (f->srs.secret_count == 0 || at == NULL)
        return "";
    /* Our own domains may send from here. Who cannot be told is rewritten: that harms nobody. */
    snap = snapshot_take(f->directory);
    ours = snap != NULL && directory_domain(snap, at + 1, &e) == ANSWER_FOUND;
    snapshot_release(&snap);
    if (ours || srs_forward(&f->srs, sender, now, &out) != 0)
        result = "";
    else
        result = arena_strdup(arena, buf_str(&out));
    buf_free(&out);
    return result != NULL ? result : "";
}
