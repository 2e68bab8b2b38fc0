#include "directory/pollclock.h"

#include <string.h>
#include <time.h>

void poll_clock_saw(struct poll_clock *c, int64_t stamp, int64_t now, int64_t overlap_ms)
{
    if (stamp <= c->newest)
        return;
    c->newest = stamp;
    /* Steady changes need no sample each; a later time for a stamp is on the safe side. */
    bool crowded =
        c->n == POLL_CLOCK_SAMPLES ||
        (c->n >= 2 && now - c->sample[c->n - 2].at < overlap_ms / POLL_CLOCK_SAMPLES * 2);
    size_t i = crowded ? c->n - 1 : c->n++;
    c->sample[i].stamp = stamp;
    c->sample[i].at = now;
}

void poll_clock_ask(struct poll_clock *c, int64_t now, int64_t overlap_ms)
{
    size_t done = 0;
    while (done < c->n && c->sample[done].at + overlap_ms <= now)
        done++;
    if (done == 0)
        return;
    if (c->since < c->sample[done - 1].stamp + 1)
        c->since = c->sample[done - 1].stamp + 1;
    c->n -= done;
    memmove(c->sample, c->sample + done, c->n * sizeof c->sample[0]);
}

void poll_clock_read_all(struct poll_clock *c, int64_t began, int64_t now, int64_t overlap_ms)
{
    /* When the newest stamp was shown the server's clock was past it, so when the reading began it
     * was past this: */
    int64_t since = c->newest - (now - began + overlap_ms) / 1000 - 1;
    c->n = 0;
    c->since = since > 0 ? since : 0;
    if (c->newest == 0)
        return;
    c->sample[0].stamp = c->newest;
    c->sample[0].at = now;
    c->n = 1;
}

static int digits(const char *s, size_t n)
{
    int value = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        value = value * 10 + (s[i] - '0');
    }
    return value;
}

/* What follows the seconds: an optional fraction, then Z or a difference to UTC in seconds. */
static int parse_zone(const char *s, size_t len, int64_t *difference)
{
    size_t i = 0;
    *difference = 0;
    if (len > 0 && (s[0] == '.' || s[0] == ','))
        for (i = 1; i < len && s[i] >= '0' && s[i] <= '9';)
            i++;
    if (len - i == 1 && s[i] == 'Z')
        return 0;
    if (len - i != 5 || (s[i] != '+' && s[i] != '-'))
        return -1;
    int hours = digits(s + i + 1, 2), minutes = digits(s + i + 3, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return -1;
    *difference = (hours * 60 + minutes) * (s[i] == '-' ? -60 : 60);
    return 0;
}

int64_t generalized_time_parse(const char *text, size_t len)
{
    int64_t difference;
    if (len < 15 || digits(text, 4) < 1970 || digits(text + 4, 5) < 0 || digits(text + 9, 5) < 0 ||
        parse_zone(text + 14, len - 14, &difference) < 0)
        return -1;
    struct tm tm = {.tm_year = digits(text, 4) - 1900,
                    .tm_mon = digits(text + 4, 2) - 1,
                    .tm_mday = digits(text + 6, 2),
                    .tm_hour = digits(text + 8, 2),
                    .tm_min = digits(text + 10, 2),
                    .tm_sec = digits(text + 12, 2)};
    if (tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 60)
        return -1;
    return timegm(&tm) - difference;
}

const char *generalized_time_format(int64_t seconds, char dst[GENERALIZED_TIME_SIZE])
{
    struct tm tm;
    time_t t = seconds;
    if (gmtime_r(&t, &tm) == NULL ||
        strftime(dst, GENERALIZED_TIME_SIZE, "%Y%m%d%H%M%SZ", &tm) == 0)
        strcpy(dst, "19700101000000Z");
    return dst;
}
