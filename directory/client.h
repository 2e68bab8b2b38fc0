/*
 * The directory as every other process sees it: a replica that is read in place (LMDB, no system
 * call, no copy), and dirigo-directory behind it.
 *
 * Every lookup has one of three answers, and no code may merge the last two:
 *   ANSWER_FOUND    it is there
 *   ANSWER_ABSENT   it is not there; only said from a replica that is in sync
 *   ANSWER_UNKNOWN  nobody can tell now; on the wire always a temporary failure
 */
#ifndef DIRIGO_DIRECTORY_CLIENT_H
#define DIRIGO_DIRECTORY_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "gateway/base/mem.h"
#include "gateway/base/uuid.h"
#include "gateway/event/loop.h"

enum answer {
    ANSWER_FOUND,
    ANSWER_ABSENT,
    ANSWER_UNKNOWN
};

struct directory;

/*
 * Opens the replica under conf's state_directory for reading (before chroot; dirigo-directory has
 * made it). NULL with an allocated text in error. conf outlives it.
 */
struct directory *directory_open(const struct conf *conf, char **error);
/*
 * Keeps a channel to dirigo-directory at socket_path: while that process is away nothing is absent.
 * Without this call (the dirigo tool) the state in the replica and its age alone decide.
 */
void directory_connect(struct directory *d, struct loop *loop, const char *socket_path);
/*
 * fn is called, from the loop, for each user who may not log in any more: deleted, disabled, or
 * without the right to. Their sessions must end. Behind directory_connect.
 */
void directory_on_ended(struct directory *d, void (*fn)(const struct uuid *owner, void *arg),
                        void *arg);
void directory_close(struct directory **d);

/*
 * The entries that the memberURLs of a group find. dirigo-directory asks the server, so behind
 * directory_connect; fn is called once, from the loop: found, or unknown and why. uuids are valid
 * inside it. NULL, and fn is not called, where nobody can be asked.
 */
struct directory_query;
typedef void directory_members_fn(enum answer answer, const struct uuid *uuids, size_t n,
                                  const char *reason, void *arg);
struct directory_query *directory_members(struct directory *d, const struct uuid *group,
                                          directory_members_fn *fn, void *arg);
/*
 * Where the directory is one that is asked for each name (directory_source = lookup): asks for what
 * an address or a login name needs, and for that of a second address ("" or NULL: none). fn is
 * called once, from the loop, when the answers are in the replica or cannot be had now; what is
 * looked up then is found, absent or unknown as always. NULL, and fn is not called, where there is
 * nothing to ask for.
 */
enum directory_wanted {
    WANTED_ADDRESS,
    WANTED_LOGIN
};
struct directory_query *directory_want(struct directory *d, enum directory_wanted what,
                                       const char *name, const char *second, void (*fn)(void *arg),
                                       void *arg);
/* fn will not be called any more; nothing that has been called may be cancelled. *q may be NULL. */
void directory_query_cancel(struct directory_query **q);

/* How the replica stands. */
struct directory_state {
    bool in_sync;      /* absent may be said */
    int64_t last_sync; /* wall time at which it was last known to be in sync; 0: never */
    uint64_t entries;
    uint64_t generation; /* grows with every applied change */
    char server[256];    /* the URI in use, or the last one */
    char source[16];     /* "sync" */
    char profiles[256];  /* that entries are read by: names, and a sum of what they say */
};
void directory_state(struct directory *d, struct directory_state *out);
/* What the files of all of conf's replicas take on the disk, in bytes; before chroot. */
uint64_t directory_disk_bytes(const struct conf *conf);

/*
 * A consistent view of the replica. Short: taken, used and released inside one callback, one at a
 * time per directory. Everything read from it is valid until snapshot_release. NULL (then the
 * answer is unknown) where the replica cannot be read.
 */
struct snapshot;
struct snapshot *snapshot_take(struct directory *d);
void snapshot_release(struct snapshot **snap);
/* Whether absent may be said, and whether found may be for routing, and for logins (the two stale
 * bounds). */
bool snapshot_in_sync(const struct snapshot *snap);
bool snapshot_fresh_for_lookup(const struct snapshot *snap);
bool snapshot_fresh_for_login(const struct snapshot *snap);

/*
 * Tells fn of each entry that a lookup finds, and what it was looked up by ("address
 * alice@example.org"), until the next call; NULL ends it. For who explains an answer. The entry is
 * valid as long as the snapshot, the text inside fn.
 */
struct entry;
void directory_trace(struct directory *d,
                     void (*fn)(void *arg, const char *by, const struct entry *e), void *arg);

/* What an entry is, by its object classes; several may hold. */
enum {
    ENTRY_USER = 1, /* has a mailbox here or at its mailHost, may log in */
    ENTRY_ALIAS =
        2, /* routes an address (nisMailAlias, inetLocalMailRecipient with a routing address) */
    ENTRY_GROUP = 4,     /* groupOfNames, groupOfUniqueNames, mailGroup, dirigoGroup … */
    ENTRY_DOMAIN = 8,    /* a mail domain (dirigoDomain, dNSDomain, domain …) */
    ENTRY_POLICY = 16,   /* dirigoPolicy */
    ENTRY_DISABLED = 32, /* accountStatus and its like say that it may neither log in nor receive */
    ENTRY_NO_LOGIN = 64, /* it may not log in: disabled, or accountStatus is noaccess */
    ENTRY_ACCESS = 128,  /* dirigoAccess: an entry of access tables */
    ENTRY_CLASS = 256,   /* dirigoRestrictionClass */
    ENTRY_PARTNER = 512, /* dirigoPartner: what TLS was agreed on with somebody */
    ENTRY_CONFIG = 1024, /* dirigoConfig: parameters of dirigo.conf(5) */
    ENTRY_APP_PASSWORD = 2048, /* dirigoAppPassword: below a user, for one program of that user's */
    ENTRY_TOTP = 4096,         /* a password needs a one-time code, which dirigo-auth verifies */
    ENTRY_ONE_TIME = 8192      /* the same, but the directory verifies it within the bind */
};

/* Logical attributes; profiles map LDAP names to them. Values are UTF-8 text, in the directory's
 * order. */
enum entry_attr {
    ATTR_MAIL,           /* primary addresses: mail, mailLocalAddress, … */
    ATTR_MAIL_ALTERNATE, /* further addresses */
    ATTR_UID,            /* login names */
    ATTR_CN,
    ATTR_ROUTING_ADDRESS, /* mailRoutingAddress, mailForwardingAddress, rfc822MailMember: addresses
                           */
    ATTR_MAIL_HOST,       /* host name of the mailbox back end */
    ATTR_MEMBER,          /* DNs */
    ATTR_MEMBER_ADDRESS,  /* group members given by address */
    ATTR_DELIVERY_MODE,   /* "keep" (also deliver here while forwarding), "nolocal" … */
    ATTR_ACCOUNT_STATUS,
    ATTR_QUOTA,
    ATTR_DOMAIN,              /* the names of a domain entry */
    ATTR_DOMAIN_TARGET,       /* a domain alias: the domain it stands for */
    ATTR_CATCHALL,            /* address that takes what the domain does not know */
    ATTR_POLICY,              /* DN of the policy that governs this entry */
    ATTR_CLIENT_RESTRICTIONS, /* restriction lists of a policy, as main.cf writes them */
    ATTR_HELO_RESTRICTIONS,
    ATTR_SENDER_RESTRICTIONS,
    ATTR_RELAY_RESTRICTIONS,
    ATTR_RECIPIENT_RESTRICTIONS,
    ATTR_DATA_RESTRICTIONS,
    ATTR_LANGUAGE,
    ATTR_END_OF_DATA_RESTRICTIONS,
    ATTR_ETRN_RESTRICTIONS,
    ATTR_ACCESS_TABLE,  /* the names of the tables that an access entry is in */
    ATTR_ACCESS_KEY,    /* addresses, domains, networks */
    ATTR_ACCESS_ACTION, /* what it says of them */
    ATTR_RESTRICTIONS,  /* what a restriction class stands for */
    ATTR_MEMBER_URL,    /* LDAP URLs of members (RFC 4516) */
    ATTR_LIST_ALLOWED,  /* who may send to a list: addresses, LDAP URLs, DNs */
    ATTR_LIST_DENIED,   /* who may not */
    ATTR_LIST_ALLOWED_DOMAIN,
    ATTR_LIST_DENIED_DOMAIN,
    ATTR_LIST_ACCESS,             /* "membersOnly" and its like */
    ATTR_LIST_BROADCASTER_POLICY, /* "AUTH_REQ" */
    ATTR_LIST_MAX_SIZE,           /* bytes */
    ATTR_LIST_MODERATOR,
    ATTR_LIST_REJECT_ACTION,
    ATTR_LIST_REJECT_TEXT,
    ATTR_LIST_ERRORS_TO,  /* the last of them */
    ATTR_SEND_AS,         /* DNs of those who may send as this entry */
    ATTR_SEND_AS_ADDRESS, /* the same by address */
    ATTR_CERTIFICATE,     /* of each of a user's certificates the SHA-256 hash, in lower-case hex */
    ATTR_PRINCIPAL,       /* Kerberos principals of a user */
    ATTR_DELEGATE,        /* DNs of users and groups who may act for this user */
    ATTR_MEMBER_OF,       /* addresses of the lists that the entry is on */
    ATTR_PARTNER_KEY,     /* domains and networks of a partner */
    ATTR_PARTNER_TLS,     /* none, may, encrypt, verify or fingerprint */
    ATTR_PARTNER_CA,      /* the subject of the CA of its certificate */
    ATTR_PARTNER_CERTIFICATE, /* fingerprints */
    ATTR_PARAMETER,           /* "name = value" */
    ATTR_CONFIG_HOST,         /* the hosts that it is for; none: all */
    ATTR_DKIM_KEY,            /* of a domain: "SELECTOR" or "SELECTOR NAME" of its private keys */
    ATTR_DMARC_ACTION,        /* of a domain: the most that is done because of an author's policy */
    ATTR_SERVICE,             /* smtp, imap or pop3: what an app password is for; none: all */
    ATTR_NOT_AFTER,           /* when it ends, as a GeneralizedTime (RFC 4517 section 3.3.13) */
    ATTR_COUNT
};

/* "mail", "mailHost": a logical attribute's name, for people. */
const char *entry_attr_name(enum entry_attr attr);

/* Looks an entry up; *out is valid until the snapshot is released. */
enum answer entry_by_uuid(struct snapshot *snap, const struct uuid *uuid, const struct entry **out);
enum answer entry_by_dn(struct snapshot *snap, const char *dn, const struct entry **out);
/* The user that logs in under this name: uid, or an address of the user (case ignored). Two:
 * unknown. */
enum answer entry_by_login(struct snapshot *snap, const char *login, const struct entry **out);
/* The user who has this certificate (a value of ATTR_CERTIFICATE), or this Kerberos principal (case
 * ignored). Two: unknown. */
enum answer entry_by_certificate(struct snapshot *snap, const char *hash, const struct entry **out);
enum answer entry_by_principal(struct snapshot *snap, const char *principal,
                               const struct entry **out);
/* The app passwords of a user, at most ENTRY_APP_PASSWORDS_MAX: their uuids to out; how many, or
 * -1: unknown. */
#define ENTRY_APP_PASSWORDS_MAX 32
int entry_app_passwords(struct snapshot *snap, const struct entry *user,
                        struct uuid out[ENTRY_APP_PASSWORDS_MAX]);
/* The entry behind *uuid (zeros: the first of all), whose uuid *uuid gets; absent past the last. */
enum answer entry_next(struct snapshot *snap, struct uuid *uuid, const struct entry **out);
/* The name of the directory that an entry is of; "": the one without a name. */
const char *snapshot_directory_of(const struct snapshot *snap, const struct entry *e);
const struct uuid *entry_uuid(const struct entry *e);
const char *entry_dn(const struct entry *e);
unsigned entry_kinds(const struct entry *e);
/* How many values, and one of them (NULL past the end). */
size_t entry_count(const struct entry *e, enum entry_attr attr);
const char *entry_value(const struct entry *e, enum entry_attr attr, size_t i);

/*
 * Whether mail for this domain is ours: found with its entry (NULL where only mydestination names
 * it), absent, or unknown.
 */
enum answer directory_domain(struct snapshot *snap, const char *domain, const struct entry **out);

#endif
