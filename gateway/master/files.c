/*
 * Certificates, keys and CA files: whether they have changed on disk. Front ends cannot tell, for
 * they are confined; so new ones are started beside the old, as by a reload.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/base/mem.h"
#include "gateway/master/master.h"

/* A certificate and its key are two files: a change is acted upon when nothing has changed since
 * the look before. */
#define FILES_SETTLE 1000

struct files {
    struct master *master;
    struct timer *timer;
    struct buf used; /* as front ends have read them */
    struct buf seen; /* at the last look */
};

static void files_look_at(const char *path, struct buf *out)
{
    struct stat st;
    if (*path == '\0')
        return;
    if (stat(path, &st) < 0)
        memset(&st, 0, sizeof(st));
    buf_printf(out, "%s %llu %lld %lld.%09ld\n", path, (unsigned long long)st.st_ino,
               (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void files_look(const struct conf *conf, struct buf *out)
{
    const char *const paths[] = {conf->ssl_cert,           conf->ssl_key, conf->smtpd_tls_cert_file,
                                 conf->smtpd_tls_key_file, conf->ssl_ca,  conf->smtpd_tls_CAfile};
    buf_clear(out);
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        files_look_at(paths[i], out);
    for (size_t i = 0; i < conf->ssl_sni_certs.n; i++) {
        char *copy = mem_strdup(conf->ssl_sni_certs.v[i]);
        char *cert = strchr(copy, '='), *key = strrchr(copy, ':');
        if (cert != NULL && key > cert) {
            *key = '\0';
            files_look_at(cert + 1, out);
            files_look_at(key + 1, out);
        }
        free(copy);
    }
}

static bool same(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static void files_timer(void *arg)
{
    struct files *f = arg;
    const struct conf *conf = f->master->generation->conf;
    struct buf now = {0};
    bool settling = false;
    if (conf->tls_file_check_interval > 0) {
        files_look(conf, &now);
        settling = !same(&now, &f->used);
        if (settling && same(&now, &f->seen))
            settling = !master_renew(f->master);
        buf_free(&f->seen);
        f->seen = now;
    }
    int64_t interval = conf->tls_file_check_interval;
    timer_set(f->timer, settling || interval == 0 ? FILES_SETTLE : interval);
}

void files_used(struct files *f, const struct conf *conf)
{
    files_look(conf, &f->used);
}

struct files *files_new(struct master *m)
{
    struct files *f = mem_zalloc(sizeof(*f));
    f->master = m;
    files_used(f, m->generation->conf);
    f->timer = timer_new(m->loop, files_timer, f);
    timer_set(f->timer, FILES_SETTLE);
    return f;
}

void files_free(struct files **f)
{
    if (*f == NULL)
        return;
    timer_free(&(*f)->timer);
    buf_free(&(*f)->used);
    buf_free(&(*f)->seen);
    free(*f);
    *f = NULL;
}
