/*
 * DNS lists (RFC 5782): the names that are asked, the answers that count, and whether a list is fit
 * for use. No I/O.
 */
#ifndef DIRIGO_SMTP_DNSL_H
#define DIRIGO_SMTP_DNSL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/netaddr.h"

/* ---- names and answers ---- */

/*
 * The address with its parts reversed before suffix ("2.0.0.127.list.example"), in
 * dst[DNS_NAME_MAX]; "" for no address. Returns dst.
 */
const char *dnsl_name(char *dst, const struct netaddr *addr, const char *suffix);

#define DNSL_RANGES_MAX 16

struct dnsl_octet {
    size_t count;
    struct {
        uint8_t from, to;
    } ranges[DNSL_RANGES_MAX];
};

/* Which answers count. */
struct dnsl_pattern {
    bool any; /* no pattern: every answer in 127.0.0.0/8, but for the errors in 127.255.255.0/24 */
    struct dnsl_octet octets[4];
};

/* "127.0.0.2", "127.0.0.[2;4..8]"; -1 for anything else. */
int dnsl_pattern_parse(struct dnsl_pattern *out, const char *text);
bool dnsl_pattern_match(const struct dnsl_pattern *p, const struct netaddr *answer);

/*
 * Divides "DOMAIN[=PATTERN][*WEIGHT]"; domain has room for size bytes. The weight is from
 * -DNSL_WEIGHT_MAX to DNSL_WEIGHT_MAX, and 0 where there is none. -1: malformed.
 */
#define DNSL_WEIGHT_MAX 1000
int dnsl_parse(const char *text, char *domain, size_t size, struct dnsl_pattern *pattern,
               int *weight);

/* ---- whether a list may be used ---- */

enum dnsl_kind {
    DNSL_IPV4,
    DNSL_IPV6,
    DNSL_NAMES
};

/* The test points of RFC 5782 section 5: what must be listed, and what must not. */
const char *dnsl_test_name(char *dst, enum dnsl_kind kind, bool listed, const char *domain);

enum dnsl_state {
    DNSL_UNTESTED, /* never, or too long ago */
    DNSL_GOOD,
    DNSL_BAD
};

/* What tests of lists found, for a process; bounded. */
struct dnsl_health;
struct dnsl_health *dnsl_health_new(void);
void dnsl_health_free(struct dnsl_health **h);
enum dnsl_state dnsl_health_get(const struct dnsl_health *h, const char *domain,
                                enum dnsl_kind kind, int64_t now);
/* Remembers a test until `until` (clock_now_ms). True where that is news. */
bool dnsl_health_set(struct dnsl_health *h, const char *domain, enum dnsl_kind kind, bool good,
                     int64_t until);
/* Appends the domains of lists that are not used at this time, with commas, as far as out has
 * room. */
void dnsl_health_bad(const struct dnsl_health *h, int64_t now, struct buf *out);

#endif
