#include "gateway/base/clock.h"

#include <time.h>

static struct {
    int64_t now_ms, wall_s;
} clock_fake = {-1, -1};

int64_t clock_now_ms(void)
{
    if (clock_fake.now_ms >= 0)
        return clock_fake.now_ms;
    struct timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_wall_us(void)
{
    if (clock_fake.wall_s >= 0)
        return clock_fake.wall_s * 1000000;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_wall(void)
{
    return clock_wall_us() / 1000000;
}

void clock_set_fake(int64_t now_ms, int64_t wall_s)
{
    clock_fake.now_ms = now_ms;
    clock_fake.wall_s = wall_s;
}
