/* The service of dirigo-filter on filter.sock; field order as listed. */
#ifndef DIRIGO_FILTER_PROTOCOL_H
#define DIRIGO_FILTER_PROTOCOL_H

#define FILTER_SERVICE "filter"
#define FILTER_VERSION 1

enum {
    /* str id, u32 flags (FILTER_*), addr peer, str helo, str sender, u64 size, u32 insert_at,
       u32 message_at, u32 n, n * str domain of a recipient, and the message's file */
    FILTER_MSG_CHECK = 1,
    /* u8 verdict (enum filter_verdict), str text, u64 size, str sender */
    FILTER_MSG_RESULT,
    /* str address; the answer is FILTER_MSG_RESULT, with the way back as text where it is accepted
     */
    FILTER_MSG_REVERSE,
};

#endif
