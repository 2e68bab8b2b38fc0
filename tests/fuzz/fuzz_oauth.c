/* What a client says in OAUTHBEARER and XOAUTH2. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sasl/oauth_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int gs2 = 0; gs2 < 2; gs2++) {
        struct oauth_message m;
        if (oauth_message_parse((const char *)data, size, gs2 == 1, &m) != 0)
            continue;
        if (m.token == NULL || strlen(m.token) > OAUTH_TOKEN_MAX)
            abort();
        oauth_message_clear(&m);
    }
    return 0;
}
