/* Which dirigo-mailbox serves an owner: known to those who give and to those who take. */
#include "gateway/base/str.h"
#include "gateway/session/handoff.h"

unsigned handoff_index(const struct uuid *owner, unsigned count)
{
    return count == 0 ? 0 : str_crc32c(0, owner->bytes, sizeof(owner->bytes)) % count;
}
