/*
 * The arguments of FETCH and SEARCH, carried out on a message: the command stands before the first
 * NUL byte, the message behind it.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/imap/fetch.h"
#include "gateway/imap/format.h"
#include "gateway/imap/search.h"
#include "gateway/imap/structure.h"
#include "gateway/pop3/dots.h"
#include "gateway/store/utf7.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_fetch(const struct imap_arg *arg, const char *message, size_t len)
{
    struct fetch_items items;
    if (fetch_items_parse(&items, arg) == 0) {
        size_t header = fetch_header_size(message, len);
        for (size_t i = 0; i < items.n; i++) {
            struct buf out = {.max = 100000};
            fetch_header_fields(&out, &items.v[i], message, header);
            if (items.v[i].label != NULL)
                imap_put_astring(&out, items.v[i].label);
            buf_free(&out);
        }
    }
    fetch_items_free(&items);
}

static void try_search(const struct imap_arg *arg, const char *message, size_t len,
                       const struct conf *conf)
{
    uint32_t uids[3] = {3, 5, 9};
    char *keywords[1] = {(char *)"work"};
    struct view view = {.uids = uids, .n = 3, .uidnext = 10, .keywords = keywords, .keyword_n = 1};
    struct message m = {.uid = 5, .size = (uint32_t)len, .date = 86400 * 9000, .flags = 5};
    struct message_file file = {.fd = open("/dev/null", O_RDONLY), .data = message, .len = len};
    struct search *s;
    if (search_parse(&s, arg, &view) == SEARCH_OK) {
        search_matches(s, &view, &m, NULL, &file, conf);
        search_free(&s);
    }
    struct buf out = {0};
    const struct mime_part *root = message_file_parse(&file, conf);
    imap_put_envelope(&out, root->envelope);
    imap_put_structure(&out, root, true);
    buf_free(&out);
    message_file_free(&file);
}

static void try_text(const char *text, const char *message, size_t len)
{
    struct buf out = {0};
    struct dots d = {.limited = len % 2 == 0, .body_lines = len % 5};
    if (utf7_decode(text, &out) == 0) {
        struct buf back = {0};
        /* What is well-formed has one spelling only. */
        if (utf7_encode(buf_str(&out), &back) != 0 || strcmp(buf_str(&back), text) != 0)
            abort();
        buf_free(&back);
    }
    buf_clear(&out);
    dots_push(&d, message, len, &out);
    dots_end(&d, &out);
    buf_free(&out);
    int64_t day;
    imap_parse_date(text, &day);
    if (imap_parse_date_time(text) >= 0)
        imap_put_date(&out, imap_parse_date_time(text));
    imap_pattern_matches(text, "INBOX.Sent.2024");
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct imap_limits limits = {8192, 8192, 300, 20};
    static struct conf *conf;
    const struct imap_command *cmd;
    if (conf == NULL)
        conf = conf_defaults();
    const uint8_t *nul = memchr(data, '\0', size);
    size_t command = nul == NULL ? size : (size_t)(nul - data);
    size_t len = nul == NULL ? 0 : size - command - 1;
    char *line = mem_strndup(data, command);
    char *message = malloc(len + 1); /* exactly as long as it is, for the sanitizer */
    memcpy(message, nul == NULL ? data : nul + 1, len);
    message = realloc(message, len > 0 ? len : 1);
    try_text(line, message, len);
    struct imap_parser *p = imap_parser_new(&limits);
    imap_parser_push(p, "a FETCH 1 ", 10);
    imap_parser_push(p, line, command);
    imap_parser_push(p, "\r\n", 2);
    if (imap_parser_next(p, &cmd) == IMAP_COMMAND && cmd->args != NULL) {
        try_fetch(cmd->args->next, message, len);
        try_search(cmd->args->next, message, len, conf);
    }
    imap_parser_free(&p);
    free(line);
    free(message);
    return 0;
}
