/* What those who give and those who take both need: which dirigo-mailbox serves an owner, and what
 * a notice may be. */
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/session/handoff.h"

unsigned handoff_index(const struct uuid *owner, unsigned count)
{
    return count == 0 ? 0 : str_crc32c(0, owner->bytes, sizeof(owner->bytes)) % count;
}

bool handoff_notice_valid(const char *notice)
{
    size_t len = strnlen(notice, HANDOFF_NOTICE_MAX + 1);
    for (size_t i = 0; i < len; i++)
        if (notice[i] < ' ' || notice[i] > '~')
            return false;
    return len <= HANDOFF_NOTICE_MAX;
}
