#include "gateway/smtp/dnsl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/proto/dns.h"

/* Lists come from policies, and so from few hands; past this the memory starts over. */
#define HEALTH_MAX 256

const char *dnsl_name(char *dst, const struct netaddr *addr, const char *suffix)
{
    const uint8_t *b = addr->bytes;
    size_t n = 0;

    *dst = '\0';
    if (addr->family == 4)
        snprintf(dst, DNS_NAME_MAX, "%u.%u.%u.%u.%s", b[3], b[2], b[1], b[0], suffix);
    if (addr->family != 6)
        return dst;
    for (int i = 15; i >= 0; i--)
        n += (size_t)snprintf(dst + n, DNS_NAME_MAX - n, "%x.%x.", b[i] & 15u, b[i] >> 4u);
    snprintf(dst + n, DNS_NAME_MAX - n, "%s", suffix);
    return dst;
}

/* ---- patterns ---- */

static int parse_number(const char **p, uint8_t *out)
{
    unsigned v = 0;
    const char *start = *p;

    while (**p >= '0' && **p <= '9' && *p - start < 4)
        v = v * 10 + (unsigned)(*(*p)++ - '0');
    *out = (uint8_t)v;
    return *p == start || v > 255 ? -1 : 0;
}

/* N or N..M */
static int parse_range(const char **p, struct dnsl_octet *o)
{
    uint8_t from, to;

    if (o->count == DNSL_RANGES_MAX || parse_number(p, &from) != 0)
        return -1;
    to = from;
    if (strncmp(*p, "..", 2) == 0) {
        *p += 2;
        if (parse_number(p, &to) != 0 || to < from)
            return -1;
    }
    o->ranges[o->count].from = from;
    o->ranges[o->count++].to = to;
    return 0;
}

/* A number, or [range;range...] */
static int parse_octet(const char **p, struct dnsl_octet *o)
{
    if (**p != '[') {
        uint8_t v;
        if (parse_number(p, &v) != 0)
            return -1;
        o->ranges[0].from = o->ranges[0].to = v;
        o->count = 1;
        return 0;
    }
    do {
        (*p)++;
        if (parse_range(p, o) != 0)
            return -1;
    } while (**p == ';');
    return *(*p)++ == ']' ? 0 : -1;
}

int dnsl_pattern_parse(struct dnsl_pattern *out, const char *text)
{
    const char *p = text;

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < 4; i++) {
        if (i > 0 && *p++ != '.')
            return -1;
        if (parse_octet(&p, &out->octets[i]) != 0)
            return -1;
    }
    return *p == '\0' ? 0 : -1;
}

static bool octet_match(const struct dnsl_octet *o, uint8_t v)
{
    for (size_t i = 0; i < o->count; i++)
        if (v >= o->ranges[i].from && v <= o->ranges[i].to)
            return true;
    return false;
}

bool dnsl_pattern_match(const struct dnsl_pattern *p, const struct netaddr *answer)
{
    const uint8_t *b = answer->bytes;

    if (answer->family != 4)
        return false;
    /* An answer outside 127/8 is a parked domain's; big lists tell who asks wrongly by .255.255. */
    if (p->any)
        return b[0] == 127 && !(b[1] == 255 && b[2] == 255);
    for (size_t i = 0; i < 4; i++)
        if (!octet_match(&p->octets[i], b[i]))
            return false;
    return true;
}

static int parse_weight(const char *text, int *out)
{
    bool minus = *text == '-';
    uint64_t n;

    text += minus;
    if (str_uint(text, strlen(text), DNSL_WEIGHT_MAX, &n) != 0 || n == 0)
        return -1;
    *out = minus ? -(int)n : (int)n;
    return 0;
}

int dnsl_parse(const char *text, char *domain, size_t size, struct dnsl_pattern *pattern,
               int *weight)
{
    const char *star = strchr(text, '*');
    size_t all = star != NULL ? (size_t)(star - text) : strlen(text);
    const char *eq = memchr(text, '=', all);
    size_t len = eq != NULL ? (size_t)(eq - text) : all;
    char form[256];

    *weight = 0;
    if (star != NULL && parse_weight(star + 1, weight) != 0)
        return -1;

    /* Room before it for a reversed IPv6 address is the resolver's business. */
    if (len == 0 || len >= size)
        return -1;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= ' ' || c >= 0x7f || strchr("@[]/\\\"", c) != NULL)
            return -1;
        domain[i] = (char)c;
    }
    domain[len] = '\0';
    *pattern = (struct dnsl_pattern){.any = true};
    if (eq == NULL)
        return 0;
    if (all - len - 1 >= sizeof(form))
        return -1;
    memcpy(form, eq + 1, all - len - 1);
    form[all - len - 1] = '\0';
    return dnsl_pattern_parse(pattern, form);
}

/* ---- health ---- */

const char *dnsl_test_name(char *dst, enum dnsl_kind kind, bool listed, const char *domain)
{
    struct netaddr a = {.family = 4, .bytes = {127, 0, 0, listed ? 2 : 1}};

    if (kind == DNSL_NAMES) {
        snprintf(dst, DNS_NAME_MAX, "%s.%s", listed ? "test" : "invalid", domain);
        return dst;
    }
    if (kind == DNSL_IPV6)
        a = (struct netaddr){
            .family = 6, .bytes = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = listed ? 2 : 1}};
    return dnsl_name(dst, &a, domain);
}

struct health_entry {
    RB_ENTRY(health_entry) link;
    enum dnsl_kind kind;
    bool good;
    int64_t until;
    char *domain;
};

static int health_cmp(const struct health_entry *a, const struct health_entry *b)
{
    return a->kind != b->kind ? (int)a->kind - (int)b->kind : strcmp(a->domain, b->domain);
}

RB_HEAD(health_tree, health_entry);
RB_GENERATE_INTERNAL(health_tree, health_entry, link, health_cmp, static __attribute__((unused)));

struct dnsl_health {
    struct health_tree tree;
    size_t count;
};

struct dnsl_health *dnsl_health_new(void)
{
    struct dnsl_health *h = mem_zalloc(sizeof(*h));

    RB_INIT(&h->tree);
    return h;
}

static void health_clear(struct dnsl_health *h)
{
    struct health_entry *e;

    while ((e = RB_ROOT(&h->tree)) != NULL) {
        RB_REMOVE(health_tree, &h->tree, e);
        free(e->domain);
        free(e);
    }
    h->count = 0;
}

void dnsl_health_free(struct dnsl_health **h)
{
    if (*h == NULL)
        return;
    health_clear(*h);
    free(*h);
    *h = NULL;
}

static struct health_entry *health_find(const struct dnsl_health *h, const char *domain,
                                        enum dnsl_kind kind)
{
    struct health_entry key = {.kind = kind, .domain = (char *)(uintptr_t)domain};
    struct dnsl_health *rw = (struct dnsl_health *)(uintptr_t)h;

    return RB_FIND(health_tree, &rw->tree, &key);
}

enum dnsl_state dnsl_health_get(const struct dnsl_health *h, const char *domain,
                                enum dnsl_kind kind, int64_t now)
{
    const struct health_entry *e = health_find(h, domain, kind);

    if (e == NULL || now >= e->until)
        return DNSL_UNTESTED;
    return e->good ? DNSL_GOOD : DNSL_BAD;
}

bool dnsl_health_set(struct dnsl_health *h, const char *domain, enum dnsl_kind kind, bool good,
                     int64_t until)
{
    struct health_entry *e = health_find(h, domain, kind);
    bool news = e == NULL ? !good : e->good != good;

    if (e == NULL) {
        if (h->count == HEALTH_MAX)
            health_clear(h);
        e = mem_zalloc(sizeof(*e));
        e->kind = kind;
        e->domain = mem_strdup(domain);
        RB_INSERT(health_tree, &h->tree, e);
        h->count++;
    }
    e->good = good;
    e->until = until;
    return news;
}

void dnsl_health_bad(const struct dnsl_health *h, int64_t now, struct buf *out)
{
    struct dnsl_health *rw = (struct dnsl_health *)(uintptr_t)h;
    struct health_entry *e;
    const char *comma = "";

    RB_FOREACH (e, health_tree, &rw->tree) {
        if (e->good || now >= e->until || out->len + strlen(e->domain) + 1 > out->max)
            continue;
        buf_printf(out, "%s%s", comma, e->domain);
        comma = ",";
    }
}
