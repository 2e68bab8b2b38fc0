#include <string.h>

#include "gateway/base/str.h"
#include "gateway/ctl/command.h"

/* The bytes of the UTF-8 character at s, or 0 where there is none. */
static size_t json_utf8(const unsigned char *s)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    return str_utf8_valid(s, n) ? n : 0;
}

void json_string(struct buf *out, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    buf_append_byte(out, '"');
    while (*s != '\0') {
        size_t n = json_utf8(s);
        if (*s == '"' || *s == '\\')
            buf_printf(out, "\\%c", *s);
        else if (*s < ' ' || *s == 0x7f)
            buf_printf(out, "\\u%04x", *s);
        else if (n == 0)
            buf_append_str(out, "\\ufffd");
        else
            buf_append(out, s, n);
        s += n == 0 ? 1 : n;
    }
    buf_append_byte(out, '"');
}

void json_member(struct buf *out, const char *name, const char *text)
{
    json_string(out, name);
    buf_append_byte(out, ':');
    json_string(out, text);
}
