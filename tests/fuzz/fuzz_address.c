/* Addresses and DNs: what is accepted has one normal form, which is its own. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "directory/address.h"
#include "directory/dn.h"
#include "directory/replica.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(const char *text)
{
    struct address a, b;
    char one[ADDRESS_STRLEN], two[ADDRESS_STRLEN];
    if (address_parse(&a, text) < 0)
        return;
    address_format(&a, one);
    if (address_parse(&b, one) < 0 || strcmp(a.local, b.local) != 0 ||
        strcmp(a.domain, b.domain) != 0)
        abort();
    if (address_fold(&a, one) != strlen(one) || address_fold(&b, two) != strlen(two) ||
        strcmp(one, two) != 0)
        abort();
}

static void check_dn(const char *text)
{
    char one[DN_MAX], two[DN_MAX];
    struct index_key key;
    int len = dn_normalize(text, one);
    if (len < 0)
        return;
    if ((size_t)len != strlen(one) || dn_normalize(one, two) != len || strcmp(one, two) != 0)
        abort();
    if (index_key_dn(&key, INDEX_DN, text) < 0 || key.len > DB_KEY_MAX)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    check_address(text);
    check_dn(text);
    free(text);
    return 0;
}
