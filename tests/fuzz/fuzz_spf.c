/* SPF with any records: the input up to the first NUL is the sender, and each question takes the
 * next piece for its answer. It always ends, within its bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/filter/spf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    RECORDS = 12,
    QUESTIONS_MAX = 11 * 11 + 2 * 12 + 30
};

struct input {
    const char *at, *end;
};

/* The next piece, as a string in dst. */
static size_t piece(struct input *in, char *dst, size_t max)
{
    size_t n = 0;

    while (in->at < in->end && *in->at != '\0' && n < max - 1)
        dst[n++] = *in->at++;
    if (in->at < in->end)
        in->at++;
    dst[n] = '\0';
    return n;
}

static void answer(struct spf *s, struct input *in, uint16_t type)
{
    static char text[8192], names[RECORDS][64];
    struct dns_record records[RECORDS];
    struct dns_answer a = {.status = DNS_FOUND, .why = "", .records = records};
    size_t len = piece(in, text, sizeof(text));

    if (len == 0 || text[0] == '!')
        a.status = len == 0 ? DNS_NXDOMAIN : DNS_UNKNOWN;
    while (a.status == DNS_FOUND && a.count < RECORDS) {
        struct dns_record *r = &records[a.count];
        *r = (struct dns_record){.type = type};
        if (type == DNS_TYPE_TXT) {
            r->data = (const uint8_t *)text;
            r->len = len;
        } else if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA) {
            r->data = (const uint8_t *)text;
            r->len = type == DNS_TYPE_A ? 4 : 16;
        } else {
            strncpy(names[a.count], text + (a.count < len ? a.count : 0), 63);
            r->name = names[a.count];
        }
        a.count++;
        if (type == DNS_TYPE_TXT || a.count >= len)
            break;
    }
    spf_answer(s, &a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {(const char *)data, (const char *)data + size};
    char sender[300];
    const char *name;
    struct spf_verdict v;
    uint16_t type;
    unsigned n = 0;

    piece(&in, sender, sizeof(sender));
    struct spf_query q = {.helo = "h.example.org", .sender = sender, .receiver = "r"};
    q.ip.family = size % 2 == 0 ? 4 : 6;
    memcpy(q.ip.bytes, "v=sp\x20\x01\x0d\xb8xxxxxxxx", 16);
    struct spf *s = spf_new(&q);
    while (spf_next(s, &name, &type)) {
        if (++n > QUESTIONS_MAX || strlen(name) >= DNS_NAME_MAX * 20)
            abort();
        answer(s, &in, type);
    }
    spf_verdict(s, &v);
    if (v.explanation != NULL && v.result != SPF_FAIL)
        abort();
    spf_free(&s);
    return 0;
}
