/* dirigo.conf's lines, in two portions, then every value through the control channel's decoder. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/lines.h"
#include "gateway/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_open("fuzz", LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
    struct conf_lines *p = conf_lines_new();
    struct conf_line line;
    size_t half = size / 2;
    conf_lines_push(p, data, half);
    while (conf_lines_next(p, &line) > 0)
        (void)strlen(line.value);
    conf_lines_push(p, data + half, size - half);
    conf_lines_end(p);
    while (conf_lines_next(p, &line) > 0)
        (void)strlen(line.name);
    conf_lines_free(&p);

    struct conf *conf = conf_decode(data, size);
    conf_free(&conf);

    struct buf errors = {0};
    conf = conf_load_with("/dev/null", NULL, data, size, &errors);
    conf_free(&conf);
    buf_free(&errors);
    return 0;
}
