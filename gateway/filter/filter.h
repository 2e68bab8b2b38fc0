/*
 * dirigo-filter: one job for each message. Private to the process.
 *
 * The story of a job: server.c reads the request; job.c reads the header on the loop, makes the
 * engines that the request asks for, has a worker thread hash the body while the DNS answers their
 * questions, and when the last answer is in decides (decide.c): what the header gets, and what
 * becomes of the message. A worker rewrites the header in the file, and the answer leaves.
 */
#ifndef DIRIGO_FILTER_FILTER_H
#define DIRIGO_FILTER_FILTER_H

#include <sys/queue.h>

#include "directory/client.h"
#include "gateway/event/worker.h"
#include "gateway/filter/authres.h"
#include "gateway/filter/client.h"
#include "gateway/filter/keyring.h"
#include "gateway/filter/srs.h"
#include "gateway/filter/suffix.h"
#include "gateway/ipc/channel.h"
#include "gateway/service/service.h"

struct filter {
    struct service *service;
    const struct conf *conf;
    bool spf, dkim, dmarc, arc; /* authentication_checks */
    struct directory *directory;
    struct keyring *keys;
    struct srs srs;         /* no secrets: none is made */
    struct buf srs_secrets; /* the lines of the file, each ended by NUL */
    struct suffix_list *suffixes;
    struct dns_client *dns;
    struct worker_pool *workers;
    struct ipc_server *server;
    struct timer *report;
    TAILQ_HEAD(, job) jobs;
    uint64_t checked, signed_messages, rejected, held;
};

#define SIGNERS_MAX 4

/* A key that a domain's entry names. */
struct signer {
    const struct private_key *key;
    const char *domain, *selector;
};

struct question;

struct job {
    TAILQ_ENTRY(job) link;
    struct filter *filter;
    struct ipc_peer *peer; /* NULL: it has gone */
    uint32_t request_id;
    /* the request */
    struct arena *arena;
    struct filter_request request;
    int fd;
    int64_t now; /* seconds since 1970 */
    /* the message */
    struct buf head; /* the file up to the body */
    struct fields fields;
    uint64_t body_at;
    bool in_worker;
    int error; /* errno of what a worker did */
    struct bodyhash *hashes;
    /* the engines; NULL where they are not wanted */
    struct spf *spf;
    struct dkim_verifier *dkim;
    struct arc_verifier *arc;
    struct dmarc *dmarc;
    const char *author; /* the domain in From; NULL: none, or several */
    enum dmarc_author authors;
    struct signer signers[SIGNERS_MAX];
    size_t signer_count;
    int sign_form, seal_form;
    struct signer sealer; /* key NULL: none */
    LIST_HEAD(, question) questions;
    /* the outcome */
    struct buf added; /* header fields */
    struct filter_result result;
};

/* Begins a job, which ends by itself. request's strings are in arena, which is taken over, as fd
 * is.
 */
void job_new(struct filter *f, struct ipc_peer *peer, uint32_t request_id, struct arena *arena,
             const struct filter_request *request, int fd);
/* The peer has gone: its jobs end without an answer. */
void job_peer_gone(struct filter *f, const struct ipc_peer *peer);
/* The process ends: so do all jobs. */
void job_end_all(struct filter *f);

/* ---- signing.c ---- */

/* The keys for mail of the job's author. 0; -1 where they cannot be told now, or one is missing:
 * then result says so. */
int signing_find(struct job *job);
/* The key for a seal: job->sealer. */
void sealing_find(struct job *job);
/* Appends the signatures to job->added. 0 or -1. */
int signing_put(struct job *job);
/* Appends one more ARC set, which carries results. 0 or -1. */
int sealing_put(struct job *job, const char *results);

/* ---- forward.c ---- */

/* Reads the secrets; before privileges are given up. 0, or -1 with a text in why. */
int forward_open(struct filter *f, struct buf *why);
/* The sender that forwarded mail of this one gets, in arena; "": as it is. */
const char *forward_sender(struct filter *f, const char *sender, int64_t now, struct arena *arena);

/* ---- decide.c ---- */

/* Everything is known: fills job->added and job->result. */
void decide(struct job *job);
/* The header that the file gets: job->head with what is added and without what is forged. 0 or -1.
 */
int decide_head(const struct job *job, struct buf *out);

/* ---- server.c ---- */

/* Serves on the listening socket, which is taken over. */
void filter_serve(struct filter *f, int listen_fd);
void filter_reply(struct job *job);

#endif
