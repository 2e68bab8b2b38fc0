/* Values of structured header fields: what mime.c uses of mime_value.c. */
#ifndef DIRIGO_PROTO_MIME_VALUE_H
#define DIRIGO_PROTO_MIME_VALUE_H

#include "gateway/proto/mime.h"

/*
 * "type/subtype; name=value …", all in lower case but the values; subtype NULL: a value without a
 * slash. False where there is no type. At most max parameters; *limited is set where there were
 * more.
 */
bool mime_value_with_params(struct arena *arena, const char *value, unsigned max, const char **type,
                            const char **subtype, struct mime_param **params, bool *limited);
/* The first token in lower case, such as a transfer encoding; NULL where there is none. */
const char *mime_value_token(struct arena *arena, const char *value);
/* A list of at most max tokens. */
struct mime_word *mime_value_words(struct arena *arena, const char *value, unsigned max);

#endif
