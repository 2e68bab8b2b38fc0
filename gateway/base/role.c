#include "gateway/base/role.h"

#include <inttypes.h>

#include "gateway/base/buf.h"

void role_prove(const uint8_t key[ROLE_KEY_LEN], const char *role, pid_t pid,
                uint8_t out[ROLE_PROOF_LEN])
{
    struct buf text = {0};
    buf_printf(&text, "%jd %s", (intmax_t)pid, role);
    hmac_sha256(key, ROLE_KEY_LEN, text.data, text.len, out);
    buf_free(&text);
}

bool role_proven(const uint8_t key[ROLE_KEY_LEN], const char *role, pid_t pid, const void *proof,
                 size_t len)
{
    uint8_t right[ROLE_PROOF_LEN], different = 0;
    const uint8_t *given = proof;
    if (len != ROLE_PROOF_LEN)
        return false;
    role_prove(key, role, pid, right);
    /* Every byte is compared, so that the time taken tells nothing of where they differ. */
    for (size_t i = 0; i < ROLE_PROOF_LEN; i++)
        different |= given[i] ^ right[i];
    return different == 0;
}
