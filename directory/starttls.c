#include "directory/starttls.h"

#include <string.h>

/* SEQUENCE { messageID 1, [APPLICATION 23] { requestName [0] "1.3.6.1.4.1.1466.20037" } } */
const unsigned char starttls_request[] = {
    0x30, 0x1d, 0x02, 0x01, 0x01, 0x77, 0x18, 0x80, 0x16, '1', '.', '3', '.', '6', '.', '1',
    '.',  '4',  '.',  '1',  '.',  '1',  '4',  '6',  '6',  '.', '2', '0', '0', '3', '7'};
const size_t starttls_request_len = sizeof starttls_request;

/* No server says more than a name and a sentence here. */
#define RESPONSE_MAX 4096

/* A tag and a definite length; 0 where more bytes are needed, else where the content begins, or -1.
 */
static int header(const unsigned char *p, size_t len, unsigned char tag, size_t *content)
{
    if (len < 2)
        return len == 1 && p[0] != tag ? -1 : 0;
    if (p[0] != tag)
        return -1;
    size_t n = p[1], octets = 0;
    if (n >= 0x80) {
        octets = n & 0x7f;
        if (octets == 0 || octets > 4)
            return -1;
        if (len < 2 + octets)
            return 0;
        n = 0;
        for (size_t i = 0; i < octets; i++)
            n = n << 8 | p[2 + i];
    }
    if (n > RESPONSE_MAX)
        return -1;
    *content = n;
    return (int)(2 + octets);
}

/* SEQUENCE { messageID 1, [APPLICATION 24] { resultCode ENUMERATED success, … } … } */
int starttls_response(const void *data, size_t len)
{
    static const unsigned char id[] = {0x02, 0x01, 0x01}, success[] = {0x0a, 0x01, 0x00};
    const unsigned char *p = data;
    size_t content, inner;
    int head = header(p, len, 0x30, &content);
    if (head <= 0)
        return head;
    if (len < (size_t)head + content)
        return 0;
    size_t total = (size_t)head + content;
    p += head;
    if (content < sizeof id || memcmp(p, id, sizeof id) != 0)
        return -1;
    head = header(p + sizeof id, content - sizeof id, 0x78, &inner);
    if (head <= 0 || sizeof id + (size_t)head + inner > content || inner < sizeof success)
        return -1;
    return memcmp(p + sizeof id + head, success, sizeof success) == 0 ? (int)total : -1;
}
