/* The parser of DNS responses. */
#include "gateway/proto/dns.h"

#include <stdbool.h>
#include <string.h>

#include "gateway/base/str.h"

enum {
    HEADER_LEN = 12,
    WIRE_NAME_MAX = 255, /* RFC 1035 section 2.3.4 */
    CHAIN_MAX = 16,      /* CNAMEs followed */
    CLASS_IN = 1
};

struct packet {
    const uint8_t *data;
    size_t len;
    size_t pos;
};

/* One resource record as it stands; owner is presentation form. */
struct rr {
    const char *owner;
    uint16_t type;
    uint16_t class;
    uint32_t ttl;
    size_t rdata; /* offset in the packet */
    size_t rdlen;
};

static int get_u16(struct packet *p, uint16_t *out)
{
    if (p->len - p->pos < 2)
        return -1;
    *out = (uint16_t)(p->data[p->pos] << 8 | p->data[p->pos + 1]);
    p->pos += 2;
    return 0;
}

static int get_u32(struct packet *p, uint32_t *out)
{
    uint16_t high, low;

    if (get_u16(p, &high) == -1 || get_u16(p, &low) == -1)
        return -1;
    *out = (uint32_t)high << 16 | low;
    return 0;
}

/* Appends one label to dst, which has room for every label that WIRE_NAME_MAX admits. */
static size_t put_label(char *dst, const uint8_t *label, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        uint8_t c = label[i];
        if (c == '.' || c == '\\') {
            dst[n++] = '\\';
            dst[n++] = (char)c;
        } else if (c > 0x20 && c < 0x7f) {
            dst[n++] = str_lower_char((char)c);
        } else {
            dst[n++] = '\\';
            dst[n++] = (char)('0' + c / 100);
            dst[n++] = (char)('0' + c / 10 % 10);
            dst[n++] = (char)('0' + c % 10);
        }
    }
    return n;
}

/*
 * Reads the name at p->pos into dst[DNS_NAME_MAX] and moves behind it. A compression pointer has to
 * point before the run of labels that it ends (RFC 1035 section 4.1.4: "a prior occurrence"), so
 * each jump goes further back and no chain of them can be a loop.
 */
static int get_name(struct packet *p, char *dst)
{
    size_t pos = p->pos, run = p->pos, wire = 1, n = 0;
    bool jumped = false;

    for (;;) {
        if (pos >= p->len)
            return -1;
        uint8_t c = p->data[pos];
        if (c >= 0xc0) {
            if (p->len - pos < 2)
                return -1;
            size_t target = (size_t)(c & 0x3f) << 8 | p->data[pos + 1];
            if (target >= run || target < HEADER_LEN)
                return -1;
            if (!jumped)
                p->pos = pos + 2;
            jumped = true;
            pos = run = target;
            continue;
        }
        if (c >= 0x40)
            return -1;
        if (c == 0)
            break;
        if (p->len - pos <= c || (wire += 1u + c) > WIRE_NAME_MAX)
            return -1;
        if (n > 0)
            dst[n++] = '.';
        n += put_label(dst + n, p->data + pos + 1, c);
        pos += 1u + c;
    }
    dst[n] = '\0';
    if (!jumped)
        p->pos = pos + 1;
    return 0;
}

static int get_rr(struct packet *p, struct arena *arena, struct rr *rr)
{
    char owner[DNS_NAME_MAX];
    uint16_t rdlen;

    if (get_name(p, owner) == -1 || get_u16(p, &rr->type) == -1 || get_u16(p, &rr->class) == -1 ||
        get_u32(p, &rr->ttl) == -1 || get_u16(p, &rdlen) == -1 || p->len - p->pos < rdlen)
        return -1;
    if (rr->ttl > INT32_MAX) /* RFC 2181 section 8 */
        rr->ttl = 0;
    rr->rdata = p->pos;
    rr->rdlen = rdlen;
    p->pos += rdlen;
    rr->owner = arena_strdup(arena, owner);
    return rr->owner == NULL ? -1 : 0;
}

/* The name that fills the rest of the rdata behind skip bytes. */
static int rdata_name(const struct packet *msg, const struct rr *rr, size_t skip,
                      struct arena *arena, const char **out)
{
    char name[DNS_NAME_MAX];
    struct packet p = {.data = msg->data, .len = rr->rdata + rr->rdlen, .pos = rr->rdata + skip};

    if (rr->rdlen <= skip || get_name(&p, name) == -1 || p.pos != p.len)
        return -1;
    *out = arena_strdup(arena, name);
    return *out == NULL ? -1 : 0;
}

/* TXT: character strings, joined (RFC 7208 section 3.3 and others read them so). */
static int rdata_text(const uint8_t *data, size_t len, struct arena *arena, struct dns_record *out)
{
    uint8_t *text = arena_alloc(arena, len + 1);

    if (text == NULL || len == 0)
        return -1;
    for (size_t i = 0; i < len; i += 1u + data[i]) {
        if (len - i <= data[i])
            return -1;
        memcpy(text + out->len, data + i + 1, data[i]);
        out->len += data[i];
    }
    out->data = text;
    return 0;
}

static int rdata_copy(const uint8_t *data, size_t len, size_t least, size_t most,
                      struct arena *arena, struct dns_record *out)
{
    if (len < least || len > most)
        return -1;
    uint8_t *copy = arena_alloc(arena, len + 1);
    if (copy == NULL)
        return -1;
    memcpy(copy, data, len);
    out->data = copy;
    out->len = len;
    return 0;
}

static int read_rdata(const struct packet *p, const struct rr *rr, struct arena *arena,
                      struct dns_record *out)
{
    const uint8_t *data = p->data + rr->rdata;

    out->type = rr->type;
    out->ttl = rr->ttl;
    switch (rr->type) {
    case DNS_TYPE_A:
        return rdata_copy(data, rr->rdlen, 4, 4, arena, out);
    case DNS_TYPE_AAAA:
        return rdata_copy(data, rr->rdlen, 16, 16, arena, out);
    case DNS_TYPE_MX:
        if (rr->rdlen < 3)
            return -1;
        out->preference = (uint16_t)(data[0] << 8 | data[1]);
        return rdata_name(p, rr, 2, arena, &out->name);
    case DNS_TYPE_NS:
    case DNS_TYPE_CNAME:
    case DNS_TYPE_PTR:
        return rdata_name(p, rr, 0, arena, &out->name);
    case DNS_TYPE_TXT:
        return rdata_text(data, rr->rdlen, arena, out);
    case DNS_TYPE_TLSA: /* RFC 6698 section 2.1: three octets, then the association data */
        return rdata_copy(data, rr->rdlen, 4, UINT16_MAX, arena, out);
    default:
        return rdata_copy(data, rr->rdlen, 0, UINT16_MAX, arena, out);
    }
}

/* The alias that owner is, or NULL. */
static const struct rr *find_cname(const struct rr *rrs, size_t n, const char *owner)
{
    for (size_t i = 0; i < n; i++)
        if (rrs[i].type == DNS_TYPE_CNAME && rrs[i].class == CLASS_IN &&
            strcmp(rrs[i].owner, owner) == 0)
            return &rrs[i];
    return NULL;
}

/* The name at the end of the CNAME chain that starts at the question. */
static int follow_chain(const struct packet *p, const struct rr *rrs, size_t n, struct arena *arena,
                        const char **name)
{
    const struct rr *alias;

    for (unsigned depth = 0; (alias = find_cname(rrs, n, *name)) != NULL; depth++)
        if (depth == CHAIN_MAX || rdata_name(p, alias, 0, arena, name) == -1)
            return -1;
    return 0;
}

/* Header and question; *answers gets the number of records that follow. */
static int read_head(struct packet *p, struct arena *arena, struct dns_message *out,
                     uint16_t *answers)
{
    uint16_t id, flags, questions, ns, ar, qclass;
    char name[DNS_NAME_MAX];

    if (get_u16(p, &id) == -1 || get_u16(p, &flags) == -1 || get_u16(p, &questions) == -1 ||
        get_u16(p, answers) == -1 || get_u16(p, &ns) == -1 || get_u16(p, &ar) == -1)
        return -1;
    /* A response (QR), whole (no TC), to one question. */
    if ((flags & 0x8000) == 0 || (flags & 0x0200) != 0 || questions != 1 ||
        *answers > DNS_RECORDS_MAX)
        return -1;
    out->rcode = flags & 0xf;
    if (get_name(p, name) == -1 || get_u16(p, &out->qtype) == -1 || get_u16(p, &qclass) == -1 ||
        qclass != CLASS_IN)
        return -1;
    out->qname = arena_strdup(arena, name);
    return out->qname == NULL ? -1 : 0;
}

int dns_parse(const void *packet, size_t len, struct arena *arena, struct dns_message *out)
{
    struct packet p = {.data = packet, .len = len};
    uint16_t answers;

    *out = (struct dns_message){0};
    if (read_head(&p, arena, out, &answers) == -1)
        return -1;
    if (answers == 0)
        return 0;
    struct rr *rrs = arena_alloc(arena, answers * sizeof(*rrs));
    struct dns_record *records = arena_alloc(arena, answers * sizeof(*records));
    if (rrs == NULL || records == NULL)
        return -1;
    for (size_t i = 0; i < answers; i++)
        if (get_rr(&p, arena, &rrs[i]) == -1)
            return -1;
    const char *name = out->qname;
    if (out->qtype != DNS_TYPE_CNAME && follow_chain(&p, rrs, answers, arena, &name) == -1)
        return -1;
    for (size_t i = 0; i < answers; i++) {
        if (rrs[i].type != out->qtype || rrs[i].class != CLASS_IN ||
            strcmp(rrs[i].owner, name) != 0)
            continue;
        if (read_rdata(&p, &rrs[i], arena, &records[out->count]) == -1)
            return -1;
        out->count++;
    }
    out->records = records;
    return 0;
}
