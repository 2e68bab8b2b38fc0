/*
 * The service of dirigo-directory on directory.sock; field order as listed.
 *
 * Front ends hold a channel as proof that the process lives. dirigo-auth (the same user) may ask
 * for binds; from other users a bind request is malformed.
 */
#ifndef DIRIGO_DIRECTORY_PROTOCOL_H
#define DIRIGO_DIRECTORY_PROTOCOL_H

#define DIRECTORY_SERVICE "directory"
#define DIRECTORY_VERSION 5

/* The most uuids that one DIRECTORY_MSG_ENDED names. */
#define DIRECTORY_ENDED_MAX 512
/* The most uuids in one DIRECTORY_MSG_MEMBERS_RESULT. */
#define DIRECTORY_MEMBERS_MAX 60000

enum {
    DIRECTORY_MSG_BIND = 1,       /* uuid entry, str password */
    DIRECTORY_MSG_BIND_RESULT,    /* u8 enum directory_bind, str server's text for the log, u8 enum
                                     password_end_kind, u32 its value */
    DIRECTORY_MSG_RESOLVE,        /* str address: for dirigo-queue, which has no replica */
    DIRECTORY_MSG_RESOLVE_RESULT, /* u8 enum answer, str reason, u32 n, n x (u8 kind, uuid, str
                                     address, str detail, str host, str dn) */
    DIRECTORY_MSG_STATUS,         /* - */
    DIRECTORY_MSG_STATUS_RESULT,  /* str key=value text */
    DIRECTORY_MSG_SYNC_STATE,     /* event: bool in sync */
    DIRECTORY_MSG_MEMBERS,        /* uuid of a group: what its memberURLs find */
    DIRECTORY_MSG_MEMBERS_RESULT, /* u8 enum answer, str reason, u32 n, n x uuid */
    DIRECTORY_MSG_WANT,           /* u8 enum directory_wanted, str name, str second name */
    DIRECTORY_MSG_WANT_RESULT,    /* bool: the server answered */
    DIRECTORY_MSG_ENDED,          /* event: u32 n, n x uuid: users whose sessions must end, because
                                     they were deleted, disabled, or may not log in any more */
    DIRECTORY_MSG_REBUILD,        /* from the same user or root: ask the server for everything */
    DIRECTORY_MSG_REBUILD_RESULT  /* bool: it is being asked */
};

enum directory_bind {
    DIRECTORY_BIND_OK,
    DIRECTORY_BIND_INVALID,     /* wrong password, or no password in the entry */
    DIRECTORY_BIND_UNAVAILABLE, /* no server could be asked: a temporary failure */
    /* What the server's password policy says beside it (its response control): */
    DIRECTORY_BIND_EXPIRED,
    DIRECTORY_BIND_LOCKED,
    DIRECTORY_BIND_MUST_CHANGE, /* the password is right, and good for changing it alone */
    DIRECTORY_BIND_HELD         /* too many wrong ones lately: no server was asked */
};

#endif
