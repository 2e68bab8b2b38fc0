/* Messages with signatures and ARC sets of any content, and a key record behind the last NUL: whole
 * and byte by byte they get the same results. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/filter/arc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    SIGNATURES = 3
};

struct outcome {
    size_t count;
    enum auth_result result[SIGNATURES], chain;
};

static void judge(const char *text, size_t len, size_t step, const struct dns_answer *key,
                  struct outcome *out)
{
    static const struct signature_limits limits = {.now = 1, .minimum_rsa = 512};
    struct arena *arena = arena_new(1 << 20);
    struct bodyhash *hashes = bodyhash_new(SIGNATURES + 1);
    struct fields fields;
    struct dkim_result r;
    size_t body;

    *out = (struct outcome){0};
    if (fields_read(&fields, text, len, 200, arena, &body) == 0) {
        struct dkim_verifier *v = dkim_verifier_new(&fields, hashes, SIGNATURES, &limits, arena);
        struct arc_verifier *chain = arc_verifier_new(&fields, hashes, &limits, arena);
        struct arc_result ar;
        for (size_t at = body; at < len; at += step)
            bodyhash_push(hashes, text + at, len - at < step ? len - at : step);
        bodyhash_finish(hashes);
        out->count = dkim_count(v);
        for (size_t i = 0; i < out->count; i++) {
            if (dkim_question(v, i) != NULL)
                dkim_answer(v, i, key);
            dkim_result(v, i, &r);
            out->result[i] = r.result;
            if (strlen(r.domain) + strlen(r.identity) + strlen(r.selector) + strlen(r.reason) >
                2 * len + 200)
                abort();
        }
        for (size_t i = 0; arc_question(chain, i) != NULL; i++)
            arc_answer(chain, i, key);
        arc_result(chain, &ar);
        out->chain = ar.result;
        arc_verifier_free(&chain);
        dkim_verifier_free(&v);
    }
    bodyhash_free(&hashes);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size > 0 ? memrchr(data, 0, size) : NULL;
    size_t len = nul != NULL ? (size_t)(nul - data) : size;
    struct dns_record record = {.type = DNS_TYPE_TXT, .data = nul != NULL ? nul + 1 : NULL};
    struct dns_answer key = {.status = DNS_NODATA, .why = "", .records = &record};
    struct outcome whole, bytes;

    if (nul != NULL) {
        record.len = size - len - 1;
        key.count = 1;
        key.status = DNS_FOUND;
    }
    judge((const char *)data, len, SIZE_MAX / 2, &key, &whole);
    judge((const char *)data, len, 1, &key, &bytes);
    if (memcmp(&whole, &bytes, sizeof(whole)) != 0)
        abort();
    return 0;
}
