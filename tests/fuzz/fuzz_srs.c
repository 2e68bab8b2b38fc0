/* SRS with any address: nothing that was not made here leads anywhere, and what was leads back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/base/mem.h"
#include "gateway/filter/srs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct srs ours = {.domain = "srs.example.org",
                                .secrets = {"a secret that nobody knows"},
                                .secret_count = 1,
                                .hash_length = 8,
                                .max_age = 21};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *address = mem_strndup(data, size);
    struct buf there = {.max = 4096}, back = {.max = 4096};

    if (srs_reverse(&ours, address, 1764000000, &back) == SRS_FOUND &&
        strncasecmp(address, "SRS", 3) != 0)
        abort();
    buf_clear(&back);
    if (srs_forward(&ours, address, 1764000000, &there) == 0) {
        enum srs_answer answer = srs_reverse(&ours, buf_str(&there), 1764000000, &back);
        /* An address that is of the scheme already leads to the forwarder before. */
        if (strncasecmp(address, "SRS", 3) != 0 &&
            (answer != SRS_FOUND || strcmp(buf_str(&back), address) != 0))
            abort();
    }
    buf_free(&there);
    buf_free(&back);
    free(address);
    return 0;
}
