/* Any record, From field and Authentication-Results field: the input is a header, then behind the
 * last NUL the record. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/filter/authres.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *organisation(const char *domain, void *arg)
{
    (void)arg;
    return strchr(domain, '.');
}

static void judge(const char *author, const struct dns_answer *answer, struct authres *out)
{
    struct dmarc *d = dmarc_new(author, organisation, NULL);
    struct dmarc_result r;
    unsigned questions = 0;

    while (dmarc_question(d) != NULL) {
        if (++questions > 2)
            abort();
        dmarc_answer(d, answer);
    }
    dmarc_take_spf(d, "example.org", false);
    dmarc_result(d, 50, &r);
    authres_dmarc(out, &r, author, "none", NULL);
    dmarc_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size > 0 ? memrchr(data, 0, size) : NULL;
    size_t len = nul != NULL ? (size_t)(nul - data) : size;
    struct dns_record record = {.type = DNS_TYPE_TXT, .data = nul != NULL ? nul + 1 : data};
    struct dns_answer answer = {
        .status = DNS_FOUND, .why = "", .records = &record, .count = nul != NULL};
    struct arena *arena = arena_new(1 << 20);
    struct authres out;
    struct fields fields;
    const char *author;

    record.len = nul != NULL ? size - len - 1 : 0;
    authres_begin(&out, "mx.example.org");
    if (fields_read(&fields, (const char *)data, len, 200, arena, NULL) == 0) {
        for (size_t i = 0; i < fields.count; i++)
            (void)authres_claims(&fields.v[i], "mx.example.org");
        if (dmarc_author(&fields, arena, &author) == DMARC_AUTHOR_ONE)
            judge(author, &answer, &out);
    }
    /* Nothing ends the field before its time. */
    for (const char *p = authres_text(&out); (p = strchr(p, '\n')) != NULL; p++) {
        if (p[1] != '\t')
            abort();
    }
    authres_free(&out);
    arena_free(&arena);
    return 0;
}
