#include "gateway/filter/suffix.h"

#include <libpsl.h>
#include <stdlib.h>

#include "gateway/base/mem.h"

struct suffix_list {
    psl_ctx_t *psl;
};

struct suffix_list *suffix_list_new(void)
{
    psl_ctx_t *psl = psl_latest(psl_dist_filename());

    if (psl == NULL)
        return NULL;
    struct suffix_list *list = mem_zalloc(sizeof(*list));
    list->psl = psl;
    return list;
}

void suffix_list_free(struct suffix_list **list)
{
    if (*list == NULL)
        return;
    psl_free((*list)->psl);
    free(*list);
    *list = NULL;
}

const char *suffix_organisation(const char *domain, void *list)
{
    return psl_registrable_domain(((struct suffix_list *)list)->psl, domain);
}
