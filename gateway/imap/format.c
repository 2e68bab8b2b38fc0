#include "gateway/imap/format.h"

#include <string.h>
#include <time.h>

#include "gateway/base/str.h"
#include "gateway/store/mailbox.h"

/* A longer string goes as a literal: quoting looks at every byte. */
#define QUOTED_MAX 1000

static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void imap_put_string(struct buf *out, const void *data, size_t len)
{
    const unsigned char *p = data;
    bool quoted = len <= QUOTED_MAX;
    for (size_t i = 0; quoted && i < len; i++)
        quoted = p[i] != '\0' && p[i] != '\r' && p[i] != '\n' && p[i] < 0x80;
    if (!quoted) {
        buf_printf(out, "{%zu}\r\n", len);
        buf_append(out, data, len);
        return;
    }
    buf_append_byte(out, '"');
    for (size_t i = 0; i < len; i++) {
        if (p[i] == '"' || p[i] == '\\')
            buf_append_byte(out, '\\');
        buf_append_byte(out, p[i]);
    }
    buf_append_byte(out, '"');
}

void imap_put_nstring(struct buf *out, const char *s)
{
    if (s == NULL)
        buf_append_str(out, "NIL");
    else
        imap_put_string(out, s, strlen(s));
}

void imap_put_astring(struct buf *out, const char *s)
{
    bool atom = s[0] != '\0' && !str_ieq(s, "NIL");
    for (const char *p = s; atom && *p != '\0'; p++)
        atom = *p > 0x20 && *p < 0x7f && strchr("(){%*\"\\]", *p) == NULL;
    if (atom)
        buf_append_str(out, s);
    else
        imap_put_string(out, s, strlen(s));
}

void imap_put_date(struct buf *out, int64_t wall)
{
    time_t t = (time_t)wall;
    struct tm tm;
    gmtime_r(&t, &tm);
    buf_printf(out, "\"%2d-%s-%04d %02d:%02d:%02d +0000\"", tm.tm_mday, months[tm.tm_mon],
               tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* count digits as a number; moves *p. */
static int digits(const char **p, int count)
{
    int n = 0;
    for (int i = 0; i < count; i++, (*p)++) {
        if (**p < '0' || **p > '9')
            return -1;
        n = n * 10 + (**p - '0');
    }
    return n;
}

/* "-Feb-1994" behind the day of the month. */
static int month_year(const char **p, struct tm *tm)
{
    if (*(*p)++ != '-')
        return -1;
    int m = 0;
    while (m < 12 && !(strlen(*p) >= 3 && str_ieq_n(*p, months[m], 3)))
        m++;
    if (m == 12)
        return -1;
    *p += 3;
    if (**p != '-')
        return -1;
    (*p)++;
    tm->tm_mon = m;
    tm->tm_year = digits(p, 4) - 1900;
    return tm->tm_year < -1900 ? -1 : 0;
}

static int month_days(const struct tm *tm)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int y = tm->tm_year + 1900;
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return days[tm->tm_mon] + (tm->tm_mon == 1 && leap);
}

int imap_parse_date(const char *s, int64_t *day)
{
    struct tm tm = {0};
    const char *p = s;
    tm.tm_mday = digits(&p, s[0] != '\0' && s[1] == '-' ? 1 : 2);
    if (tm.tm_mday < 1 || month_year(&p, &tm) != 0 || *p != '\0' || tm.tm_mday > month_days(&tm))
        return -1;
    *day = (int64_t)timegm(&tm) / 86400 - (timegm(&tm) % 86400 < 0);
    return 0;
}

int64_t imap_parse_date_time(const char *s)
{
    struct tm tm = {0};
    const char *p = s;
    if (*p == ' ') {
        p++;
        tm.tm_mday = digits(&p, 1);
    } else {
        tm.tm_mday = digits(&p, p[0] != '\0' && p[1] == '-' ? 1 : 2);
    }
    if (tm.tm_mday < 1 || month_year(&p, &tm) != 0 || *p++ != ' ' || tm.tm_mday > month_days(&tm))
        return -1;
    if ((tm.tm_hour = digits(&p, 2)) < 0 || *p++ != ':' || (tm.tm_min = digits(&p, 2)) < 0 ||
        *p++ != ':' || (tm.tm_sec = digits(&p, 2)) < 0 || *p++ != ' ')
        return -1;
    char sign = *p++;
    int hours = sign == '+' || sign == '-' ? digits(&p, 2) : -1;
    int minutes = hours < 0 ? -1 : digits(&p, 2);
    if (minutes < 0 || *p != '\0' || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60 ||
        minutes > 59)
        return -1;
    int64_t offset = (int64_t)hours * 3600 + minutes * 60;
    int64_t wall = (int64_t)timegm(&tm) - (sign == '+' ? offset : -offset);
    return wall < 0 ? -1 : wall;
}

/* One row of the table of which beginnings of the name match which beginnings of the pattern:
 * patterns come from the network, so backtracking is no way. */
bool imap_pattern_matches(const char *pattern, const char *name)
{
    bool row[MAILBOX_NAME_MAX + 1] = {true};
    size_t len = strlen(name);
    if (len >= MAILBOX_NAME_MAX)
        return false;
    bool inbox = strcmp(name, "INBOX") == 0;
    for (const char *p = pattern; *p != '\0'; p++) {
        if (*p == '*' || *p == '%') {
            for (size_t i = 1; i <= len; i++)
                row[i] = row[i] || (row[i - 1] && (*p == '*' || name[i - 1] != MAILBOX_DELIMITER));
            continue;
        }
        char c = inbox && *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
        for (size_t i = len; i > 0; i--)
            row[i] = row[i - 1] && name[i - 1] == c;
        row[0] = false;
    }
    return row[len];
}
