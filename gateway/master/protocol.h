/* The service of dirigod on control.sock, for the dirigo tool; field order as listed. Root and the
 * user who started dirigod may connect. */
#ifndef DIRIGO_MASTER_PROTOCOL_H
#define DIRIGO_MASTER_PROTOCOL_H

#define CONTROL_SERVICE "control"
#define CONTROL_VERSION 1

enum {
    CONTROL_MSG_STATUS = 1,    /* - */
    CONTROL_MSG_STATUS_RESULT, /* str version, str state, u32 pid, u64 seconds up, u32 generation,
                                  str conf file, u32 n, n x (str name, u32 index, u32 generation,
                                  u32 pid, str state, u64 seconds in it, u32 restarts, u32 open
                                  sessions, str counters as key=value text) */
    CONTROL_MSG_RELOAD,        /* -; answered when the new configuration is in force, or refused */
    CONTROL_MSG_STOP,          /* -; answered before it is done */
    CONTROL_MSG_RESULT         /* bool ok, str text, with a fault a line */
};

#endif
