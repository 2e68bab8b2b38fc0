#include "directory/pulse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/mem.h"

#define PULSE_SIZE 4096

struct page {
    char boot[64];  /* in which the beats were */
    int64_t beaten; /* clock_now_ms */
};

struct pulse {
    struct page *page;
    char boot[64];
};

static void this_boot(char dst[64])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, dst, 63);
    if (fd >= 0)
        close(fd);
    dst[n < 0 ? 0 : n] = '\0';
}

/* A page of the file, of its full size; NULL and errno. */
static struct page *map(const char *path, bool write)
{
    struct stat st;
    int fd = open(path, (write ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW, 0640);
    void *page = MAP_FAILED;
    if (fd < 0)
        return NULL;
    bool good = fstat(fd, &st) == 0 && (st.st_size == PULSE_SIZE || write);
    /* The umask cuts the mode. */
    if (good && write)
        good = fchmod(fd, 0640) == 0 && ftruncate(fd, PULSE_SIZE) == 0;
    if (good)
        page =
            mmap(NULL, PULSE_SIZE, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    return page == MAP_FAILED ? NULL : page;
}

struct pulse *pulse_open(const char *dir, bool write, char **error)
{
    char *path = mem_printf("%s/pulse", dir);
    struct pulse *p = NULL;
    struct page *page = map(path, write);
    if (page == NULL) {
        *error = mem_printf("%s: %s", path, strerror(errno));
    } else {
        p = mem_zalloc(sizeof *p);
        p->page = page;
        this_boot(p->boot);
        if (write) {
            __atomic_store_n(&page->beaten, INT64_MAX, __ATOMIC_RELEASE);
            memcpy(page->boot, p->boot, sizeof page->boot);
        }
    }
    free(path);
    return p;
}

void pulse_close(struct pulse **p)
{
    if (*p == NULL)
        return;
    munmap((*p)->page, PULSE_SIZE);
    free(*p);
    *p = NULL;
}

void pulse_beat(struct pulse *p)
{
    __atomic_store_n(&p->page->beaten, clock_now_ms(), __ATOMIC_RELEASE);
}

int64_t pulse_age(const struct pulse *p)
{
    int64_t beaten = __atomic_load_n(&p->page->beaten, __ATOMIC_ACQUIRE);
    int64_t now = clock_now_ms();
    /* Before the first beat of another boot the page is of an earlier one. */
    if (beaten > now || memcmp(p->page->boot, p->boot, sizeof p->boot) != 0)
        return INT64_MAX;
    return now - beaten;
}
